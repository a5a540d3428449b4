/* SPDX-License-Identifier: MIT */
/*
 * See confine.h. The list of system calls is what libelf, libdw and malloc need once a file is
 * open; anything else fails with EPERM. A kernel or a sandbox without seccomp leaves the other
 * walls: no descriptors, bounded memory, no privilege to gain.
 */
#include "daemon/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/clock.h"

enum {
	SOCKET_FD = 3, /* where the child has its socket */
	CHILD_FILES = 64,
	NICE = 10,
};

static const int allowed[] = {
	SYS_read,       SYS_pread64,      SYS_write,          SYS_lseek,      SYS_fstat,
	SYS_newfstatat, SYS_close,        SYS_fcntl,          SYS_recvmsg,    SYS_sendmsg,
	SYS_poll,       SYS_munmap,       SYS_mremap,         SYS_brk,        SYS_madvise,
	SYS_futex,      SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_getrandom,  SYS_clock_gettime,
	SYS_getpid,     SYS_gettid,       SYS_exit,           SYS_exit_group,
};

/* Allowed unless they ask for memory to be executed: that is their third argument. */
static const int allowed_without_exec[] = {SYS_mmap, SYS_mprotect};

enum { ALLOWED = sizeof allowed / sizeof allowed[0], MAPPING = 2, FIXED = 16 };

_Static_assert(sizeof allowed_without_exec / sizeof allowed_without_exec[0] == MAPPING, "both");

#define AT(member)                offsetof(struct seccomp_data, member)
#define LOAD(offset)              BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define RETURN(action)            BPF_STMT(BPF_RET | BPF_K, (action))
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, count)

static void filter_system_calls(void)
{
	struct sock_filter code[ALLOWED * 2 + FIXED];
	unsigned short count = 0;
	code[count++] = (struct sock_filter)LOAD(AT(arch));
	code[count++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	code[count++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
	code[count++] = (struct sock_filter)LOAD(AT(nr));
	for (size_t i = 0; i < ALLOWED; i++) {
		code[count++] = (struct sock_filter)SKIP_UNLESS(allowed[i], 1);
		code[count++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	}
	for (size_t i = 0; i < MAPPING; i++) {
		code[count++] = (struct sock_filter)SKIP_UNLESS(allowed_without_exec[i], 4);
		code[count++] = (struct sock_filter)LOAD(AT(args[2]));
		code[count++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0);
		code[count++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
		code[count++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
	}
	code[count++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
	struct sock_fprog program = {.len = count, .filter = code};
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Private writable memory that we have, in bytes (proc(5), statm). */
static uint64_t data_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*u %*u %*u %*u %*u %llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void limit(int resource, uint64_t soft, uint64_t hard)
{
	const struct rlimit value = {soft, hard};
	setrlimit((__rlimit_resource_t)resource, &value);
}

static void forget_signals(void)
{
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	/* Whoever ends the daemon's process group lets the daemon end us. */
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
}

static void close_all_but(int fd)
{
	int most = (int)sysconf(_SC_OPEN_MAX);
	dup2(fd, SOCKET_FD);
	for (int i = 0; i < SOCKET_FD; i++)
		close(i);
	if (syscall(SYS_close_range, SOCKET_FD + 1, ~0U, 0) == 0)
		return;
	for (int i = SOCKET_FD + 1; i < most; i++)
		close(i);
}

static void confine(const char *name, uint64_t memory_bytes, uint64_t data_before)
{
	setsid();
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	limit(RLIMIT_CORE, 0, 0);
	limit(RLIMIT_FSIZE, 0, 0);
	limit(RLIMIT_NPROC, 0, 0);
	limit(RLIMIT_NOFILE, CHILD_FILES, CHILD_FILES);
	/* The hard limit stays, so that ma_confined_grant can raise this one. */
	struct rlimit data;
	if (getrlimit(RLIMIT_DATA, &data) == 0 && data_before + memory_bytes < data.rlim_max)
		limit(RLIMIT_DATA, data_before + memory_bytes, data.rlim_max);
	if (nice(NICE) < 0)
		errno = 0; /* as it was, then */
	filter_system_calls();
}

int ma_confined_start(struct ma_confined *child, const char *name, uint64_t memory_bytes,
		      ma_confined_work *work, struct ma_error *error)
{
	int sockets[2];
	*child = (struct ma_confined){0};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "making a socket pair");
	/* Twice the largest message, so that one always goes in at once. */
	int room = 2 * MA_CONFINED_PACKET_BYTES;
	for (int i = 0; i < 2; i++)
		setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	pid_t parent = getpid();
	uint64_t data_before = data_bytes();
	pid_t pid = fork();
	if (pid == 0) {
		forget_signals();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		close_all_but(sockets[1]);
		confine(name, memory_bytes, data_before);
		work(SOCKET_FD);
		_exit(0);
	}
	int fork_errno = errno;
	close(sockets[1]);
	if (pid < 0) {
		close(sockets[0]);
		return ma_error_set(error, MA_ERR_FAILED, fork_errno, "starting a process");
	}
	*child = (struct ma_confined){
		.pid = pid, .socket = sockets[0], .memory_bytes = data_before + memory_bytes};
	return 0;
}

void ma_confined_grant(const struct ma_confined *child, uint64_t bytes)
{
	struct rlimit data;
	if (prlimit(child->pid, RLIMIT_DATA, NULL, &data) < 0 || data.rlim_cur == RLIM_INFINITY)
		return;
	data.rlim_cur = child->memory_bytes + bytes;
	if (data.rlim_cur < data.rlim_max)
		prlimit(child->pid, RLIMIT_DATA, &data, NULL);
}

void ma_confined_stop(struct ma_confined *child)
{
	if (!child->pid)
		return;
	close(child->socket);
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*child = (struct ma_confined){0};
}

/* Waits until the socket is ready. */
static bool is_ready(int socket, short events, uint64_t deadline_ms)
{
	struct pollfd wait = {.fd = socket, .events = events};
	for (;;) {
		int left = -1;
		if (deadline_ms) {
			uint64_t now_ms = ma_clock_monotonic_ns() / 1000000;
			left = now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0;
		}
		int ready = poll(&wait, 1, left);
		if (ready > 0)
			return true;
		if (ready == 0 || errno != EINTR)
			return false;
	}
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * MA_CONFINED_FDS)];
};

int ma_confined_send(int socket, const void *bytes, size_t count, int fd, uint64_t deadline_ms)
{
	struct iovec io = {(void *)(uintptr_t)bytes, count};
	union control control = {0};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	}
	for (;;) {
		ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !is_ready(socket, POLLOUT, deadline_ms))
			return -1;
	}
}

/* The descriptor that came with a message, -1: none. */
static int descriptor_of(struct msghdr *message)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

ssize_t ma_confined_receive(int socket, void *buffer, size_t room, int *fd, uint64_t deadline_ms)
{
	struct iovec io = {buffer, room};
	union control control = {0};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (fd) {
		*fd = -1;
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
	}
	for (;;) {
		ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (got >= 0 && fd)
			*fd = descriptor_of(&message);
		if (got >= 0 && !(message.msg_flags & MSG_TRUNC))
			return got;
		if (got >= 0) {
			if (fd && *fd >= 0)
				close(*fd);
			return -1;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !is_ready(socket, POLLIN, deadline_ms))
			return -1;
	}
}
