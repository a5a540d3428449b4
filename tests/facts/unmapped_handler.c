/* SPDX-License-Identifier: MIT */
/*
 * Closes a library while another thread is in its handler of pthread_atfork: unmapped_handler
 * LIBRARY unmapped|kept. Prints "crashes" or "works".
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef uint32_t napping_fn(void);

static void *fork_once(void *arg)
{
	pid_t pid = fork();

	(void)arg;
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return NULL;
}

static int victim(const char *path, int flags)
{
	void *library = dlopen(path, RTLD_NOW | flags);
	napping_fn *napping = library ? (napping_fn *)dlsym(library, "fork_nap_napping") : NULL;
	pthread_t thread;

	if (!napping || pthread_create(&thread, NULL, fork_once, NULL))
		return 2;
	while (!napping())
		usleep(1000);
	dlclose(library);
	pthread_join(thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	if (argc != 3)
		return 2;
	pid = fork();
	if (!pid)
		_exit(victim(argv[1], strcmp(argv[2], "kept") ? 0 : RTLD_NODELETE));
	if (waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status)))
		return 2;
	puts(WIFSIGNALED(status) ? "crashes" : "works");
	return 0;
}
