/* SPDX-License-Identifier: MIT */
/*
 * Where the daemon's socket is. Candidates are tried in order; one that the system does not let us
 * have is passed over, one that is there but not safe ends the search: passing over it would let
 * somebody else choose where we talk.
 */
#include "proto/channel_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/channel.h"

enum { PATH_ROOM = 108, MAX_CANDIDATES = 3 };

/* A directory that the socket may be in. */
struct candidate {
	char path[4096];
	bool chosen; /* named by the user: nothing else is tried */
};

static bool is_our_directory(const char *path)
{
	struct stat st;
	return path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid();
}

static int list_candidates(struct candidate list[MAX_CANDIDATES])
{
	int count = 0;
	const char *chosen = getenv("MEMATTACH_RUNTIME_DIR");
	if (chosen && chosen[0]) {
		snprintf(list[0].path, sizeof list[0].path, "%s", chosen);
		list[0].chosen = true;
		return 1;
	}
	/* su and sudo -E leave another user's XDG_RUNTIME_DIR behind: only our own counts. */
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	if (xdg && is_our_directory(xdg))
		snprintf(list[count++].path, sizeof list[0].path, "%s/memattach", xdg);
	if (geteuid() == 0)
		snprintf(list[count++].path, sizeof list[0].path, "/run/memattach");
	const char *tmp = getenv("TMPDIR");
	if (!tmp || tmp[0] != '/')
		tmp = "/tmp";
	snprintf(list[count++].path, sizeof list[0].path, "%s/memattach-%u", tmp,
		 (unsigned)geteuid());
	return count;
}

static int refuse(struct ma_error *error, const char *path, const char *found)
{
	int code = ma_error_set(error, MA_ERR_UNSAFE, 0, "using the directory %s", path);
	ma_error_answer(error, "%s", found);
	ma_error_remedy(error,
			"It must be a directory of your own with mode 0700. Remove it, or set "
			"MEMATTACH_RUNTIME_DIR to a directory that is.");
	return code;
}

/* Checks what was opened, not what the path names by now. */
static int check_directory(int fd, const char *path, struct ma_error *error)
{
	struct stat st;
	char found[160];
	if (fstat(fd, &st) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "looking at the directory %s",
				    path);
	if (st.st_uid != geteuid()) {
		snprintf(found, sizeof found, "it belongs to uid %u, not to uid %u",
			 (unsigned)st.st_uid, (unsigned)geteuid());
		return refuse(error, path, found);
	}
	if (st.st_mode & 077) {
		snprintf(found, sizeof found, "others may enter it (mode %04o)",
			 (unsigned)st.st_mode & 07777);
		return refuse(error, path, found);
	}
	return 0;
}

/*
 * Makes and opens one candidate. Returns 0 with *fd; MA_ERR_UNSAFE; or MA_ERR_FAILED with
 * error->sys_errno when the system does not let us have it.
 */
static int open_candidate(const char *path, int *fd, struct ma_error *error)
{
	int make_errno = mkdir(path, 0700) == 0 ? 0 : errno;
	int opened = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (opened < 0) {
		int open_errno = errno;
		if (make_errno == EEXIST && (open_errno == ENOTDIR || open_errno == ELOOP))
			return refuse(error, path, "it is not a directory");
		if (make_errno == EEXIST && open_errno == EACCES)
			return refuse(error, path, "it is closed to you");
		return ma_error_set(error, MA_ERR_FAILED,
				    make_errno && make_errno != EEXIST ? make_errno : open_errno,
				    "making the directory %s", path);
	}
	int code = check_directory(opened, path, error);
	if (code == 0 && faccessat(opened, ".", W_OK | X_OK, AT_EACCESS) < 0)
		code = ma_error_set(error, MA_ERR_FAILED, errno, "using the directory %s", path);
	if (code) {
		close(opened);
		return code;
	}
	*fd = opened;
	return 0;
}

static int too_long(struct ma_error *error, const char *path)
{
	int code =
		ma_error_set(error, MA_ERR_USAGE, 0, "placing the daemon's socket in %.100s", path);
	ma_error_answer(error, "the path is longer than a socket's may be (%d bytes)",
			PATH_ROOM - 1);
	ma_error_remedy(error, "Set MEMATTACH_RUNTIME_DIR to a shorter path.");
	return code;
}

int ma_channel_open_directory(char path[108], int *abstract, int *directory_fd,
			      struct ma_error *error)
{
	struct candidate list[MAX_CANDIDATES] = {0};
	int count = list_candidates(list);
	*abstract = 0;
	*directory_fd = -1;
	int code = 0;
	bool nowhere = false; /* the file system has no place for us, as opposed to: forbids it */
	for (int i = 0; i < count; i++) {
		struct ma_error why = {0};
		int length = snprintf(path, PATH_ROOM, "%s/" MA_CHANNEL_SOCKET_NAME, list[i].path);
		if (length >= PATH_ROOM)
			return too_long(error, list[i].path);
		code = open_candidate(list[i].path, directory_fd, &why);
		if (code == 0)
			return 0;
		if (error)
			*error = why;
		if (code == MA_ERR_UNSAFE)
			return code;
		nowhere |= why.sys_errno == EROFS || (why.sys_errno == ENOENT && !list[i].chosen);
	}
	if (nowhere) {
		snprintf(path, PATH_ROOM, "@memattach-%u", (unsigned)geteuid());
		*abstract = 1;
		return 0;
	}
	ma_error_remedy(error, "Set MEMATTACH_RUNTIME_DIR to a directory of your own, mode 0700, "
			       "whose parent exists.");
	return code;
}

int ma_channel_path(char path[108], int *abstract, struct ma_error *error)
{
	int fd;
	int code = ma_channel_open_directory(path, abstract, &fd, error);
	if (code == 0 && fd >= 0)
		close(fd);
	return code;
}
