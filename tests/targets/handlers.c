/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers that allocate, for tests/targets/odd.py, which calls these by ctypes. Timer
 * signals come as often as they can while the calling thread works; what a handler may do depends
 * on what it may have interrupted:
 *
 *   handlers_compute   the thread computes; the handler takes memory from malloc and gives it back
 *   handlers_allocate  the thread allocates; the handler maps and unmaps, which takes no lock
 *   handlers_jump      the thread maps and unmaps; the handler allocates, and leaves by siglongjmp
 *
 * Each runs until so many signals were handled, and returns how many checks failed. With
 * `alternate` the handler runs on a stack of its own.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#define EXPORT __attribute__((visibility("default")))

enum { TIMER_US = 150, STACK_BYTES = 64 * 1024, REGION_BYTES = 64 * 1024, CANARY = 0x5a };

EXPORT long handlers_compute(long signals, int alternate);
EXPORT long handlers_allocate(long signals, int alternate);
EXPORT long handlers_jump(long signals, int alternate);

static volatile long handled, wrong;
static sigjmp_buf back;

static void check(const void *memory, size_t at)
{
	if (!memory || ((const unsigned char *)memory)[at] != CANARY)
		wrong++;
}

static void use_malloc(size_t bytes)
{
	void *block = malloc(bytes);

	if (block)
		memset(block, CANARY, bytes);
	check(block, bytes - 1);
	block = realloc(block, bytes * 3);
	check(block, bytes - 1);
	free(block);
}

static void use_mmap(void)
{
	void *region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (region == MAP_FAILED) {
		wrong++;
		return;
	}
	*(unsigned char *)region = CANARY;
	check(region, 0);
	munmap(region, REGION_BYTES);
}

static void on_compute(int number)
{
	(void)number;
	handled++;
	use_malloc(100 + (size_t)(handled % 7) * 20000);
}

static void on_allocate(int number)
{
	(void)number;
	handled++;
	use_mmap();
}

static void on_jump(int number)
{
	(void)number;
	handled++;
	use_malloc(100 + (size_t)(handled % 7) * 20000);
	siglongjmp(back, 1);
}

static void begin(void (*handler)(int), int alternate)
{
	static unsigned char stack[STACK_BYTES];
	const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	const struct itimerval often = {{0, TIMER_US}, {0, TIMER_US}};
	struct sigaction action = {.sa_flags = SA_RESTART | (alternate ? SA_ONSTACK : 0)};

	handled = wrong = 0;
	action.sa_handler = handler;
	if (alternate)
		sigaltstack(&own, NULL);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static long end(void)
{
	const struct itimerval never = {{0, 0}, {0, 0}};
	const stack_t none = {.ss_flags = SS_DISABLE};
	struct sigaction action = {.sa_flags = 0};

	setitimer(ITIMER_REAL, &never, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = SIG_DFL;
	sigaction(SIGALRM, &action, NULL);
	sigaltstack(&none, NULL);
	return wrong;
}

long handlers_compute(long signals, int alternate)
{
	uint64_t sum = 0;

	begin(on_compute, alternate);
	for (uint64_t i = 0; handled < signals; i++)
		sum = sum * 31 + i;
	return end() + (sum == 1);
}

long handlers_allocate(long signals, int alternate)
{
	begin(on_allocate, alternate);
	for (size_t i = 0; handled < signals; i++)
		use_malloc(100 + i % 5 * 30000);
	return end();
}

long handlers_jump(long signals, int alternate)
{
	begin(on_jump, alternate);
	(void)sigsetjmp(back, 1);
	while (handled < signals)
		use_mmap();
	return end();
}
