/* SPDX-License-Identifier: MIT */
/*
 * Starting the daemon on demand; see daemon_start.h. The starter learns over one pipe that the
 * daemon listens, and over another what went wrong if it does not.
 */
#include "cli/daemon_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/orphan.h"
#include "cli/output.h"
#include "daemon/daemon.h"
#include "proto/channel.h"

enum {
	READY_MS = 10000,
	ELSEWHERE_MS = 5000, /* for a daemon that somebody else is starting */
	RETRY_MS = 10,
	LAST_WORDS_MS = 1000,
	STOP_MS = 5000,
	LOG_MOST_BYTES = 1 << 20,
	FIRST_FREE_FD = 5,
};

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Where the daemon's messages go: beside the socket; /dev/null when that has no directory. */
static void find_log(char log[PATH_MAX])
{
	char path[108];
	int abstract = 0;
	struct stat st;
	snprintf(log, PATH_MAX, "/dev/null");
	if (ma_channel_path(path, &abstract, NULL) || abstract)
		return;
	char *slash = strrchr(path, '/');
	if (!slash)
		return;
	snprintf(log, PATH_MAX, "%.*s/daemon.log", (int)(slash - path), path);
	/* The log of a daemon that talked a lot is not kept for ever. */
	if (lstat(log, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_size > LOG_MOST_BYTES))
		unlink(log);
}

static void close_above(int first)
{
	if (syscall(SYS_close_range, (unsigned)first, ~0u, 0) == 0)
		return;
	/* Linux before 5.9. */
	long most = sysconf(_SC_OPEN_MAX);
	for (int fd = first; fd < (most > 0 && most < 65536 ? most : 65536); fd++)
		close(fd);
}

/* What ps shows: the starter's arguments would be a lie. They lie one behind the other in memory,
 * so the new title goes where they were, as far as there is room. */
static void change_title(void)
{
	char arguments[4096];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, arguments, sizeof arguments);
	if (fd >= 0)
		close(fd);
	if (length > 0) {
		memset(program_invocation_name, 0, (size_t)length);
		snprintf(program_invocation_name, (size_t)length, "memattach daemon");
	}
	prctl(PR_SET_NAME, "memattachd");
}

/* Leaves nothing of the starter in this process but the two pipes, which become 3 and 4. */
static void shed(int ready_fd, int error_fd)
{
	sigset_t none;
	int high_ready = fcntl(ready_fd, F_DUPFD, FIRST_FREE_FD);
	int high_error = fcntl(error_fd, F_DUPFD, FIRST_FREE_FD);
	if (high_ready < 0 || high_error < 0 || dup2(high_ready, 3) < 0 || dup2(high_error, 4) < 0)
		_exit(1);
	close_above(FIRST_FREE_FD);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	fcntl(4, F_SETFD, FD_CLOEXEC);
	int null = open("/dev/null", O_RDWR);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > 4)
		close(null);
	if (chdir("/") < 0)
		_exit(1);
	umask(077);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	ma_interrupt_reset();
	change_title();
}

/* In the process that is to be the daemon. Does not return. */
static void __attribute__((noreturn)) serve(int ready_fd, int error_fd, bool is_child)
{
	static char log[PATH_MAX];
	struct ma_error error = {0};
	find_log(log);
	shed(ready_fd, error_fd);
	struct ma_daemon_options options = {
		.listen_fd = -1,
		.ready_fd = 3,
		.foreground = is_child,
		.log_path = log,
	};
	int code = ma_daemon_run(&options, &error);
	if (code) {
		struct ma_error ignored;
		ma_output_write_all(4, &error, sizeof error, "the error", &ignored);
	}
	_exit(code ? 1 : 0);
}

/* Two forks with a session in between: nobody's child but the adopter's, without a terminal. */
static void __attribute__((noreturn)) serve_as_orphan(int ready_fd, int error_fd)
{
	setsid();
	pid_t pid = fork();
	if (pid == 0)
		serve(ready_fd, error_fd, false);
	_exit(pid < 0 ? 1 : 0);
}

static void __attribute__((noreturn)) serve_as_child(int ready_fd, int error_fd, pid_t starter)
{
	/* A session of its own, so that Ctrl-C reaches only the starter, which ends us in order. */
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != starter)
		_exit(1);
	serve(ready_fd, error_fd, true);
}

/* Waits until the daemon listens. 0, or what the daemon said before it left. */
static int await_ready(int ready_fd, int error_fd, struct ma_error *error)
{
	struct pollfd ready = {.fd = ready_fd, .events = POLLIN};
	int64_t deadline = now_ms() + READY_MS;
	int polled;
	do {
		int64_t left = deadline - now_ms();
		polled = poll(&ready, 1, left > 0 ? (int)left : 0);
	} while (polled < 0 && errno == EINTR);
	char byte;
	if (polled > 0 && read(ready_fd, &byte, 1) == 1)
		return 0;
	if (polled == 0) {
		ma_error_set(error, MA_ERR_FAILED, 0, "starting the daemon");
		ma_error_answer(error, "it does not listen after %d s", READY_MS / 1000);
		ma_error_remedy(error, "Run `memattach daemon` in another terminal to see why.");
		return MA_ERR_FAILED;
	}
	struct ma_error said;
	struct pollfd told = {.fd = error_fd, .events = POLLIN};
	if (poll(&told, 1, LAST_WORDS_MS) > 0 &&
	    read(error_fd, &said, sizeof said) == (ssize_t)sizeof said && said.code < 0) {
		*error = said;
		return said.code;
	}
	ma_error_set(error, MA_ERR_FAILED, 0, "starting the daemon");
	ma_error_answer(error, "it ended before it listened");
	ma_error_remedy(error, "Run `memattach daemon` in another terminal to see why.");
	return MA_ERR_FAILED;
}

static int make_pipes(int ready[2], int errors[2], struct ma_error *error)
{
	if (pipe2(ready, O_CLOEXEC) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno,
				    "starting the daemon: making a pipe");
	if (pipe2(errors, O_CLOEXEC) == 0)
		return 0;
	ma_error_set(error, MA_ERR_FAILED, errno, "starting the daemon: making a pipe");
	close(ready[0]);
	close(ready[1]);
	return MA_ERR_FAILED;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start(struct ma_client *client, bool as_child, struct ma_error *error)
{
	int ready[2], errors[2];
	pid_t starter = getpid();
	int code = make_pipes(ready, errors, error);
	if (code)
		return code;
	pid_t pid = fork();
	if (pid == 0 && as_child)
		serve_as_child(ready[1], errors[1], starter);
	if (pid == 0)
		serve_as_orphan(ready[1], errors[1]);
	int fork_errno = errno;
	close(ready[1]);
	close(errors[1]);
	if (pid < 0) {
		code = ma_error_set(error, MA_ERR_FAILED, fork_errno, "starting the daemon");
	} else {
		if (!as_child)
			reap(pid);
		code = await_ready(ready[0], errors[0], error);
		if (as_child && code) {
			kill(pid, SIGTERM);
			reap(pid);
		} else if (as_child) {
			client->child = pid;
		}
	}
	close(ready[0]);
	close(errors[0]);
	return code;
}

int ma_daemon_open(struct ma_client *client, const pid_t *targets, size_t count,
		   struct ma_error *error)
{
	char why[160] = "";
	int code = ma_client_connect(client, error);
	if (code != MA_ERR_NO_PROCESS)
		return code;
	bool as_child = !ma_orphan_allowed(targets, count, why, sizeof why);
	struct ma_error start_error = {0};
	int start_code = start(client, as_child, &start_error);
	/* When the start failed, it may be because somebody else was faster. */
	int64_t deadline = now_ms() + (start_code == MA_ERR_UNSAFE ? ELSEWHERE_MS : 0);
	while ((code = ma_client_connect(client, error)) == MA_ERR_NO_PROCESS &&
	       now_ms() < deadline)
		poll(NULL, 0, RETRY_MS);
	if (code == MA_ERR_NO_PROCESS && start_code) {
		if (error)
			*error = start_error;
		return start_code;
	}
	if (code == 0 && client->child)
		ma_output_notice("%s: a daemon left behind would become its child. So tracking "
				 "ends with this command. To keep tracking, run `memattach daemon` "
				 "in another terminal first.",
				 why);
	return code;
}

void ma_daemon_end(struct ma_client *client)
{
	if (!client->child)
		return;
	kill(client->child, SIGTERM);
	int64_t deadline = now_ms() + STOP_MS;
	pid_t reaped;
	while ((reaped = waitpid(client->child, NULL, WNOHANG)) == 0 && now_ms() < deadline)
		poll(NULL, 0, RETRY_MS);
	if (reaped == 0) {
		kill(client->child, SIGKILL);
		reap(client->child);
	}
	client->child = 0;
}
