/* SPDX-License-Identifier: MIT */
#include "inject/guardian.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

struct reply {
	int status;
	uint32_t sent; /* bit i: fds[i] comes along */
	struct ma_error error;
};

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * MA_GUARDIAN_FDS)];
};

static int send_reply(int socket, struct reply *reply, const struct ma_guardian_task *task,
		      const int *fds)
{
	struct iovec io[2] = {{reply, sizeof(*reply)}, {task->result, task->result_bytes}};
	union control control;
	struct msghdr message = {.msg_iov = io, .msg_iovlen = 2};
	ssize_t sent;
	int open_fds[MA_GUARDIAN_FDS];
	size_t count = 0;

	for (int i = 0; i < MA_GUARDIAN_FDS; i++)
		if (fds[i] >= 0) {
			reply->sent |= UINT32_C(1) << i;
			open_fds[count++] = fds[i];
		}
	if (count) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), open_fds, count * sizeof(int));
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* Nothing but SIGKILL and a fault of its own ends the guardian before its time. */
static void go_deaf(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
	sigset_t mask;

	setsid();
	prctl(PR_SET_NAME, "memattach-guard");
	prctl(PR_SET_TIMERSLACK, 1000UL); /* naps of microseconds, while a thread stands still */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		signal(faults[i], SIG_DFL);
		sigdelset(&mask, faults[i]);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void guard(int socket, const struct ma_guardian_task *task)
{
	int fds[MA_GUARDIAN_FDS];
	struct reply reply = {0};

	memset(fds, -1, sizeof(fds));
	go_deaf();
	reply.status = task->work(task->request, task->result, fds, &reply.error);
	if (send_reply(socket, &reply, task, fds) && !reply.status && task->orphaned)
		task->orphaned(task->request);
	_exit(0);
}

/* Puts what came where the guardian had it. */
static void place_fds(uint32_t sent, const unsigned char *came, size_t count,
		      int fds[MA_GUARDIAN_FDS])
{
	for (int i = 0; i < MA_GUARDIAN_FDS && count; i++) {
		if (!(sent >> i & 1))
			continue;
		memcpy(&fds[i], came, sizeof(int));
		came += sizeof(int);
		count--;
	}
}

static int receive_reply(int socket, struct reply *reply, const struct ma_guardian_task *task,
			 int fds[MA_GUARDIAN_FDS])
{
	struct iovec io[2] = {{reply, sizeof(*reply)}, {task->result, task->result_bytes}};
	union control control;
	struct msghdr message = {.msg_iov = io,
				 .msg_iovlen = 2,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	const struct cmsghdr *header;
	ssize_t got;

	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)(sizeof(*reply) + task->result_bytes))
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		place_fds(reply->sent, CMSG_DATA(header),
			  (header->cmsg_len - CMSG_LEN(0)) / sizeof(int), fds);
	return 0;
}

int ma_guardian_run(const struct ma_guardian_task *task, int fds[MA_GUARDIAN_FDS],
		    struct ma_error *error)
{
	struct reply reply = {0};
	int sockets[2];
	int received;
	pid_t pid;

	for (int i = 0; i < MA_GUARDIAN_FDS; i++)
		fds[i] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return ma_error_set(error, MA_ERR_FAILED, errno, "making a socket pair");
	pid = fork();
	if (pid < 0) {
		int sys_errno = errno;

		close(sockets[0]);
		close(sockets[1]);
		return ma_error_set(error, MA_ERR_FAILED, sys_errno, "making the tracing process");
	}
	if (!pid) {
		close(sockets[0]);
		guard(sockets[1], task);
	}
	close(sockets[1]);
	received = receive_reply(sockets[0], &reply, task, fds);
	close(sockets[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (received) {
		ma_error_set(error, MA_ERR_FAILED, 0, "working on the process");
		ma_error_answer(error, "the tracing process ended before it was done");
		ma_error_remedy(error, "The target goes on by itself; try again.");
		return MA_ERR_FAILED;
	}
	if (error)
		*error = reply.error;
	return reply.status;
}
