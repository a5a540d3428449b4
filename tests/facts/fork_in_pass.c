/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a child forked while another thread walks the loaded objects.
 *
 *   fork_in_pass iterate             the walk is in dl_iterate_phdr
 *   fork_in_pass lookup LIBRARY      the walk is in a resolver that dlsym calls (pass_symbol.c)
 *
 * Prints "works" when the child could load a library, "hangs" when it had to be ended by an alarm.
 */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 4 };

static int inside, leave;
static void *library;

static int stay(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	(void)info;
	(void)bytes;
	(void)arg;
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&leave, __ATOMIC_ACQUIRE))
		continue;
	return 1;
}

static void *iterate(void *arg)
{
	dl_iterate_phdr(stay, arg);
	return NULL;
}

static void *look_up(void *arg)
{
	(void)arg;
	dlsym(library, "pass_symbol");
	return NULL;
}

static int child_works(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		alarm(CHILD_SECONDS);
		_exit(dlopen("libz.so.1", RTLD_NOW) || dlopen("libm.so.6", RTLD_NOW) ? 0 : 1);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	int *where = &inside, *until = &leave;
	void *(*walk)(void *) = iterate;
	pthread_t thread;
	int works;

	if (argc == 3) {
		library = dlopen(argv[2], RTLD_NOW);
		where = library ? dlsym(library, "pass_inside") : NULL;
		until = library ? dlsym(library, "pass_leave") : NULL;
		walk = look_up;
	}
	if (argc < 2 || !where || !until || pthread_create(&thread, NULL, walk, NULL))
		return 2;
	while (!__atomic_load_n(where, __ATOMIC_ACQUIRE))
		continue;
	works = child_works();
	__atomic_store_n(until, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	puts(works ? "works" : "hangs");
	return 0;
}
