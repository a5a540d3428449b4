/* SPDX-License-Identifier: MIT */
/*
 * Listening and connecting on the daemon's socket. The socket file appears under its name only when
 * it is being listened on: it is bound under another one and renamed, so that nobody meets a socket
 * that refuses, and a stale one is replaced in one step. Two daemons that start at once are told
 * apart by a lock file beside it.
 */
#include "proto/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/channel_path.h"

#define LOCK_NAME "daemon.lock"
#define NEW_NAME  "daemon.new"

enum {
	BACKLOG = 64,
	CONNECT_SECONDS = 5, /* for a daemon whose backlog is full */
	LOCK_MS = 5000,      /* for another daemon that is just starting */
	LOCK_RETRY_MS = 5,
};

/* A place that was found and opened. */
struct place {
	char path[108];
	int abstract;
	int directory_fd; /* owned; -1 when abstract */
};

static void place_fini(struct place *place)
{
	if (place->directory_fd >= 0)
		close(place->directory_fd);
}

/*
 * The address of `name` in the place's directory. Through /proc/self/fd it is the directory that
 * was checked; without a /proc it is the path.
 */
static socklen_t make_address(const struct place *place, const char *name,
			      struct sockaddr_un *address)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	size_t room = sizeof address->sun_path;
	if (place->abstract) {
		size_t length = strlen(place->path);
		memcpy(address->sun_path, place->path, length);
		address->sun_path[0] = '\0';
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	}
	char link[40];
	snprintf(link, sizeof link, "/proc/self/fd/%d", place->directory_fd);
	if (access(link, F_OK) == 0) {
		snprintf(address->sun_path, room, "%s/%s", link, name);
	} else {
		/* NEW_NAME is no longer than the name that path ends in, so this fits. */
		const char *slash = strrchr(place->path, '/');
		snprintf(address->sun_path, room, "%.*s/%s", (int)(slash - place->path),
			 place->path, name);
	}
	return sizeof *address;
}

static int make_socket(struct ma_error *error)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "making a Unix socket");
	return fd;
}

/* Connects within CONNECT_SECONDS. Returns 0 or a positive errno. */
static int connect_within(int fd, const struct sockaddr_un *address, socklen_t length)
{
	struct timeval limit = {.tv_sec = CONNECT_SECONDS};
	struct timeval none = {0};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	int result;
	do {
		result = connect(fd, (const struct sockaddr *)address, length) == 0 ? 0 : errno;
	} while (result == EINTR);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
	return result;
}

int ma_channel_check_peer(int fd, pid_t *pid, struct ma_error *error)
{
	struct ucred peer;
	socklen_t length = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return ma_error_set(error, MA_ERR_PERMISSION, errno,
				    "asking who is at the other end of the socket");
	if (peer.uid != geteuid() && peer.uid != 0) {
		int code = ma_error_set(error, MA_ERR_PERMISSION, 0,
					"checking who is at the other end of the socket");
		ma_error_answer(error, "process %d runs as uid %u, not as uid %u or root",
				(int)peer.pid, (unsigned)peer.uid, (unsigned)geteuid());
		ma_error_remedy(error, "Set MEMATTACH_RUNTIME_DIR to a directory of your own.");
		return code;
	}
	if (pid)
		*pid = peer.pid;
	return 0;
}

int ma_channel_connect(struct ma_error *error)
{
	struct place place;
	int code =
		ma_channel_open_directory(place.path, &place.abstract, &place.directory_fd, error);
	if (code)
		return code;
	int fd = make_socket(error);
	if (fd < 0) {
		place_fini(&place);
		return fd;
	}
	struct sockaddr_un address;
	socklen_t length = make_address(&place, MA_CHANNEL_SOCKET_NAME, &address);
	int failed = connect_within(fd, &address, length);
	place_fini(&place);
	if (failed == ENOENT || failed == ECONNREFUSED) {
		code = ma_error_set(error, MA_ERR_NO_PROCESS, failed,
				    "connecting to memattach's daemon at %s", place.path);
		ma_error_answer(error, "no daemon is running");
	} else if (failed) {
		code = ma_error_set(error, MA_ERR_FAILED, failed,
				    "connecting to memattach's daemon at %s", place.path);
		if (failed == EAGAIN)
			ma_error_answer(error, "it took no connection within %d s",
					CONNECT_SECONDS);
	} else {
		code = ma_channel_check_peer(fd, NULL, error);
	}
	if (code) {
		close(fd);
		return code;
	}
	return fd;
}

static int served_already(struct ma_error *error, const char *path)
{
	int code = ma_error_set(error, MA_ERR_UNSAFE, 0, "listening on %s", path);
	ma_error_answer(error, "another memattach daemon serves there");
	ma_error_remedy(error, "Use that one: it serves every target of yours.");
	return code;
}

/* Is the socket file free to be replaced? 0: it is, or there is none. */
static int check_stale(const struct place *place, struct ma_error *error)
{
	struct stat st;
	if (fstatat(place->directory_fd, MA_CHANNEL_SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : ma_error_set(error, MA_ERR_FAILED, errno, "looking at %s",
						      place->path);
	if (!S_ISSOCK(st.st_mode)) {
		int code = ma_error_set(error, MA_ERR_UNSAFE, 0, "listening on %s", place->path);
		ma_error_answer(error, "there is a file that is no socket");
		ma_error_remedy(error, "Remove it.");
		return code;
	}
	int fd = make_socket(error);
	if (fd < 0)
		return fd;
	struct sockaddr_un address;
	socklen_t length = make_address(place, MA_CHANNEL_SOCKET_NAME, &address);
	int failed = connect_within(fd, &address, length);
	close(fd);
	if (failed == ECONNREFUSED || failed == ENOENT)
		return 0;
	if (failed == 0 || failed == EAGAIN)
		return served_already(error, place->path);
	return ma_error_set(error, MA_ERR_FAILED, failed, "looking who serves %s", place->path);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes the lock file. Returns its fd, owned; closing it gives the lock back. */
static int take_lock(const struct place *place, struct ma_error *error)
{
	int fd = openat(place->directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "opening " LOCK_NAME " beside %s",
				    place->path);
	int64_t deadline = now_ms() + LOCK_MS;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || now_ms() > deadline) {
			int code = ma_error_set(error, MA_ERR_FAILED, errno,
						"locking " LOCK_NAME " beside %s", place->path);
			close(fd);
			return code;
		}
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return fd;
}

/* Binds, listens, and only then gives the socket its name. The lock is held. */
static int publish(int fd, const struct place *place, struct ma_error *error)
{
	struct sockaddr_un address;
	socklen_t length = make_address(place, NEW_NAME, &address);
	if (unlinkat(place->directory_fd, NEW_NAME, 0) < 0 && errno != ENOENT)
		return ma_error_set(error, MA_ERR_FAILED, errno, "removing " NEW_NAME " beside %s",
				    place->path);
	if (bind(fd, (struct sockaddr *)&address, length) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "binding a socket beside %s",
				    place->path);
	if (listen(fd, BACKLOG) < 0 || renameat(place->directory_fd, NEW_NAME, place->directory_fd,
						MA_CHANNEL_SOCKET_NAME) < 0) {
		int code =
			ma_error_set(error, MA_ERR_FAILED, errno, "listening on %s", place->path);
		unlinkat(place->directory_fd, NEW_NAME, 0);
		return code;
	}
	return 0;
}

static int listen_abstract(int fd, const struct place *place, struct ma_error *error)
{
	struct sockaddr_un address;
	socklen_t length = make_address(place, "", &address);
	if (bind(fd, (struct sockaddr *)&address, length) < 0) {
		if (errno == EADDRINUSE)
			return served_already(error, place->path);
		return ma_error_set(error, MA_ERR_FAILED, errno, "binding %s", place->path);
	}
	if (listen(fd, BACKLOG) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "listening on %s", place->path);
	return 0;
}

static int listen_path(int fd, const struct place *place, struct ma_error *error)
{
	/* The file's mode is the socket's, less the umask: nobody but us, even in a wide umask. */
	if (fchmod(fd, 0600) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "setting a socket's mode");
	int lock_fd = take_lock(place, error);
	if (lock_fd < 0)
		return lock_fd;
	int code = check_stale(place, error);
	if (code == 0)
		code = publish(fd, place, error);
	close(lock_fd);
	return code;
}

int ma_channel_listen(struct ma_error *error)
{
	struct place place;
	int code =
		ma_channel_open_directory(place.path, &place.abstract, &place.directory_fd, error);
	if (code)
		return code;
	int fd = make_socket(error);
	if (fd < 0) {
		place_fini(&place);
		return fd;
	}
	code = place.abstract ? listen_abstract(fd, &place, error) : listen_path(fd, &place, error);
	place_fini(&place);
	if (code) {
		close(fd);
		return code;
	}
	return fd;
}
