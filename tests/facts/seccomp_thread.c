/* SPDX-License-Identifier: MIT */
/*
 * A filter that kills on getppid, suspended by the tracer for the only thread there is; then that
 * thread makes the call, and so does a thread that it makes. Prints "survived" for each that lived;
 * the last line is "killed" or "ended". Needs CAP_SYS_ADMIN; prints "not permitted" without.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SUSPEND_SECCOMP = 1 << 21 }; /* PTRACE_O_SUSPEND_SECCOMP */

static void survive(void)
{
	static const char words[] = "survived\n";

	syscall(SYS_getppid);
	(void)!write(STDOUT_FILENO, words, sizeof(words) - 1);
}

static void *run(void *arg)
{
	survive();
	return arg;
}

static int be_filtered(int ready, int go)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	pthread_t thread;
	char byte = 0;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 1;
	(void)!write(ready, &byte, 1);
	(void)!read(go, &byte, 1);
	survive();
	if (pthread_create(&thread, NULL, run, NULL))
		return 1;
	return pthread_join(thread, NULL);
}

int main(void)
{
	int ready[2], go[2], status;
	char byte = 0;
	pid_t child;

	if (pipe(ready) || pipe(go))
		return 2;
	child = fork();
	if (!child)
		_exit(be_filtered(ready[1], go[0]));
	(void)!read(ready[0], &byte, 1);
	if (ptrace(PTRACE_SEIZE, child, NULL, (long)SUSPEND_SECCOMP)) {
		puts("not permitted");
		(void)!write(go[1], &byte, 1);
		waitpid(child, &status, 0);
		return 0;
	}
	(void)!write(go[1], &byte, 1);
	while (waitpid(child, &status, __WALL) == child && WIFSTOPPED(status))
		ptrace(PTRACE_CONT, child, NULL, NULL);
	puts(WIFSIGNALED(status) ? "killed" : "ended");
	return 0;
}
