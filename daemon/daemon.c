/* SPDX-License-Identifier: MIT */
/*
 * The daemon as a process: its socket, its log, its signals, and that the kernel may kill it first
 * when memory runs out. What it does is in server.c. See daemon.h.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/area_map.h"
#include "daemon/server.h"
#include "proto/channel.h"

enum { IDLE_SECONDS = 300 };

/* What is changed in the process while the daemon runs, and put back. */
struct surroundings {
	sigset_t mask_before;
	struct sigaction pipe_before;
	int signal_fd;
};

static int enter(struct surroundings *surroundings, struct ma_error *error)
{
	sigset_t ending;
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigemptyset(&ignore.sa_mask);
	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGHUP);
	surroundings->signal_fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	if (surroundings->signal_fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "making a signalfd");
	int code = ma_area_guard_install(error);
	if (code < 0) {
		close(surroundings->signal_fd);
		return code;
	}
	pthread_sigmask(SIG_BLOCK, &ending, &surroundings->mask_before);
	sigaction(SIGPIPE, &ignore, &surroundings->pipe_before);
	return 0;
}

static void leave(struct surroundings *surroundings)
{
	sigaction(SIGPIPE, &surroundings->pipe_before, NULL);
	/* The signal that ended us has been heard; unblocked, it would end the process itself. */
	struct signalfd_siginfo heard;
	while (read(surroundings->signal_fd, &heard, sizeof heard) == (ssize_t)sizeof heard)
		;
	pthread_sigmask(SIG_SETMASK, &surroundings->mask_before, NULL);
	ma_area_guard_remove();
	close(surroundings->signal_fd);
}

/* When memory runs out, losing the observer is better than losing the observed. */
static void offer_to_oom_killer(const struct ma_log *log)
{
	static const char most[] = "1000";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, most, sizeof most - 1) < 0)
		ma_log_line(log, "oom_score_adj could not be set: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void tell_ready(int ready_fd)
{
	static const char byte = 1;
	if (ready_fd < 0)
		return;
	/* Whoever waits for it may be gone; then nobody needs to know. */
	ssize_t ignored = write(ready_fd, &byte, 1);
	(void)ignored;
	close(ready_fd);
}

static int serve(const struct ma_daemon_options *options, struct ma_log *log, int listen_fd,
		 struct ma_error *error)
{
	struct surroundings surroundings;
	struct ma_server server = {0};
	int code = enter(&surroundings, error);
	if (code < 0)
		return code;
	unsigned idle_seconds = options->idle_seconds ? options->idle_seconds : IDLE_SECONDS;
	server.log = log;
	server.listen_fd = listen_fd;
	server.signal_fd = surroundings.signal_fd;
	server.idle_ms = options->foreground ? 0 : idle_seconds * UINT64_C(1000);
	offer_to_oom_killer(log);
	ma_log_line(log, "memattach " MA_RELEASE " serves, process %d", (int)getpid());
	tell_ready(options->ready_fd);
	code = ma_server_run(&server, error);
	ma_log_line(log, "stopped");
	leave(&surroundings);
	return code;
}

int ma_daemon_run(const struct ma_daemon_options *options, struct ma_error *error)
{
	struct ma_log log;
	int listen_fd = options->listen_fd;
	int code = ma_log_open(&log, options->log_path, error);
	if (code == 0 && listen_fd < 0) {
		listen_fd = ma_channel_listen(error);
		code = listen_fd < 0 ? listen_fd : 0;
	}
	if (code == 0) {
		/* Several clients may be ready and gone again before we accept. */
		int flags = fcntl(listen_fd, F_GETFL);
		if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
			code = ma_error_set(error, MA_ERR_FAILED, errno, "preparing the socket");
	}
	if (code == 0)
		code = serve(options, &log, listen_fd, error);
	if (listen_fd >= 0)
		close(listen_fd);
	ma_log_close(&log);
	return code;
}
