/* SPDX-License-Identifier: MIT */
/*
 * A library whose handler of pthread_atfork takes its time, as one does that waits for locks or for
 * other threads (allocators, gRPC). And threads that fork all the while; each child loads a
 * library, which it cannot if it was copied while the loader's lock was held.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILD_SECONDS = 20, MAX_THREADS = 64 };

static uint32_t nap_ms = 300;
static uint32_t napping;

static const char *library;
static uint32_t forks, broken, stopping;
static pthread_t thread[MAX_THREADS];
static int thread_count;

uint32_t fork_nap_napping(void);
int fork_nap_start(uint32_t ms, int threads, const char *path);
void fork_nap_stop(void);
uint32_t fork_nap_forks(void);
uint32_t fork_nap_broken(void);

static void prepare(void)
{
	const struct timespec span = {.tv_sec = nap_ms / 1000,
				      .tv_nsec = (long)(nap_ms % 1000) * 1000000};

	__atomic_fetch_add(&napping, 1, __ATOMIC_RELEASE);
	nanosleep(&span, NULL);
	__atomic_fetch_sub(&napping, 1, __ATOMIC_RELEASE);
}

static void child(void)
{
	napping = 0;
}

__attribute__((constructor)) static void begin(void)
{
	pthread_atfork(prepare, NULL, child);
}

/* How many threads are in the handler. */
uint32_t fork_nap_napping(void)
{
	return __atomic_load_n(&napping, __ATOMIC_ACQUIRE);
}

static void *fork_on(void *arg)
{
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		int status = -1;
		pid_t pid = fork();

		if (!pid) {
			alarm(CHILD_SECONDS);
			_exit(dlopen(library, RTLD_NOW) ? 0 : 1);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			__atomic_fetch_add(&broken, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&forks, 1, __ATOMIC_RELAXED);
	}
	return arg;
}

/* path: of what the children load; kept. 0, or an errno. */
int fork_nap_start(uint32_t ms, int threads, const char *path)
{
	int failed = 0;

	nap_ms = ms;
	library = path;
	while (thread_count < threads && thread_count < MAX_THREADS && !failed) {
		failed = pthread_create(&thread[thread_count], NULL, fork_on, NULL);
		thread_count += !failed;
	}
	return failed;
}

/* Waits for the last child. */
void fork_nap_stop(void)
{
	__atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < thread_count; i++)
		pthread_join(thread[i], NULL);
}

uint32_t fork_nap_forks(void)
{
	return __atomic_load_n(&forks, __ATOMIC_RELAXED);
}

uint32_t fork_nap_broken(void)
{
	return __atomic_load_n(&broken, __ATOMIC_RELAXED);
}
