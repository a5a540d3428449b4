/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait, with a limit, in system calls that a mere stop ends with EINTR, each time
 * after they have littered the stack below them with one word: what a wrapper of libc does not
 * write keeps it.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 300, WORDS = 64 };

static uint64_t litter;
static uint64_t broken;
static int timed_socket[2], epoll_fd;
static aio_context_t aio;
static const struct timespec limit = {.tv_nsec = LIMIT_MS * 1000000L};

int littered_start(uint64_t word);
uint64_t littered_rounds(void);
uint64_t littered_broken(void);

__attribute__((noinline)) static long wait_recv(void)
{
	char byte;

	return recv(timed_socket[0], &byte, 1, 0);
}

__attribute__((noinline)) static long wait_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll_fd, &event, 1, LIMIT_MS);
}

__attribute__((noinline)) static long wait_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &limit);
}

__attribute__((noinline)) static long wait_aio(void)
{
	struct io_event event;

	return syscall(SYS_io_getevents, aio, 1L, 1L, &event, &limit);
}

static long (*const waits[])(void) = {wait_recv, wait_epoll, wait_signal, wait_aio};
enum { WAITS = sizeof(waits) / sizeof(waits[0]) };

static uint64_t rounds[WAITS];

__attribute__((noinline)) static void drop_litter(void)
{
	uint64_t words[WORDS];

	for (int i = 0; i < WORDS; i++)
		words[i] = litter;
	__asm__ volatile("" : : "r"(words) : "memory"); /* they are written */
}

static void *wait_on(void *arg)
{
	long (*const *wait)(void) = arg;
	uint64_t *own_rounds = &rounds[wait - waits];

	for (;;) {
		drop_litter();
		if ((*wait)() < 0 && errno == EINTR)
			__atomic_fetch_add(&broken, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(own_rounds, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Every signal is blocked in them. 0, or an errno. */
int littered_start(uint64_t word)
{
	const struct timeval span = {.tv_usec = LIMIT_MS * 1000};
	sigset_t all, former;
	int failed = 0;

	litter = word;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, timed_socket) ||
	    setsockopt(timed_socket[0], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof(span)) ||
	    syscall(SYS_io_setup, 4L, &aio))
		return errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &former);
	for (int i = 0; i < WAITS && !failed; i++) {
		pthread_t thread;

		failed = pthread_create(&thread, NULL, wait_on, (void *)&waits[i]);
	}
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	return failed;
}

/* How many calls have ended in each thread, of the one with the fewest. */
uint64_t littered_rounds(void)
{
	uint64_t fewest = UINT64_MAX;

	for (int i = 0; i < WAITS; i++) {
		uint64_t of_thread = __atomic_load_n(&rounds[i], __ATOMIC_ACQUIRE);

		if (of_thread < fewest)
			fewest = of_thread;
	}
	return fewest;
}

uint64_t littered_broken(void)
{
	return __atomic_load_n(&broken, __ATOMIC_RELAXED);
}
