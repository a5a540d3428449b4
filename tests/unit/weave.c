/* SPDX-License-Identifier: MIT */
/*
 * Depth first over schedules, each run from the beginning along the path that is being explored. A
 * state that was seen before is not explored again: it is the shared memory, and what each thread
 * has read from it so far, which is all that decides how it goes on.
 */
#include "weave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum {
	STACK_BYTES = 64 * 1024,
	MOST_STEPS = 1024,
	SEEN_SLOTS = 1 << 22, /* a power of two */
	TORN = 0xa5,
};

enum life { ALIVE, ENDED, DEAD };

struct thread {
	ucontext_t context;
	uint8_t *stack;
	enum life life;
	uint64_t history; /* of its points and of what it has read */
};

/* A choice: thread t goes on, or (t + WEAVE_THREADS) dies. */
struct step {
	uint32_t left; /* bit per choice that is still to be tried */
	int taken;
};

static struct {
	const struct weave_case *test;
	struct thread thread[WEAVE_THREADS];
	ucontext_t scheduler;
	int current; /* -1: none is running */
	struct step step[MOST_STEPS];
	int depth;
	uint64_t *seen;
} weave = {.current = -1};

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
	const uint8_t *from = bytes;

	while (count) {
		size_t chunk = count < 8 ? count : 8;
		uint64_t word = 0;

		memcpy(&word, from, chunk);
		hash = (hash ^ word) * UINT64_C(0x9FB21C651E98DF25);
		hash ^= hash >> 29;
		from += chunk;
		count -= chunk;
	}
	return hash;
}

static bool is_shared(const void *address)
{
	const struct weave_case *test = weave.test;

	for (int i = 0; weave.current >= 0 && i < WEAVE_RANGES; i++)
		if ((uintptr_t)address - (uintptr_t)test->shared[i].start < test->shared[i].bytes)
			return true;
	return false;
}

/* Here any other thread may go on, or this one die. */
static void point(void)
{
	struct thread *thread = &weave.thread[weave.current];

	thread->history++;
	swapcontext(&thread->context, &weave.scheduler);
}

static void has_read(const void *bytes, size_t count)
{
	struct thread *thread = &weave.thread[weave.current];

	thread->history = mix(thread->history, bytes, count);
}

static void before_read(const void *address, size_t bytes)
{
	if (!is_shared(address))
		return;
	point();
	has_read(address, bytes);
}

static void before_write(const void *address)
{
	if (is_shared(address))
		point();
}

/* A store of many bytes is not done at once: others see a part of it that is neither old nor new.
 */
static void before_copy(void *to, size_t bytes)
{
	before_write(to);
	if (!is_shared(to))
		return;
	memset(to, TORN, bytes);
	before_write(to);
}

static void run_thread(int number)
{
	weave.test->thread[number]();
	weave.thread[number].life = ENDED;
}

static void reset(void)
{
	weave.current = -1;
	weave.test->setup();
	for (int i = 0; i < weave.test->threads; i++) {
		struct thread *thread = &weave.thread[i];

		thread->life = ALIVE;
		thread->history = 0;
		getcontext(&thread->context);
		thread->context.uc_stack.ss_sp = thread->stack;
		thread->context.uc_stack.ss_size = STACK_BYTES;
		thread->context.uc_link = &weave.scheduler;
		makecontext(&thread->context, (void (*)(void))run_thread, 1, i);
	}
}

static void take(int choice)
{
	if (choice >= WEAVE_THREADS) {
		weave.thread[choice - WEAVE_THREADS].life = DEAD;
		return;
	}
	weave.current = choice;
	swapcontext(&weave.scheduler, &weave.thread[choice].context);
	weave.current = -1;
}

static uint32_t choices(void)
{
	uint32_t open = 0;

	for (int i = 0; i < weave.test->threads; i++)
		if (weave.thread[i].life == ALIVE)
			open |= 1u << i | (weave.test->mortal >> i & 1) << (i + WEAVE_THREADS);
	return open;
}

/* Notes the state that this is. False: it was there before. */
static bool is_new(void)
{
	uint64_t hash = 0;

	for (int i = 0; i < weave.test->threads; i++) {
		hash = mix(hash, &weave.thread[i].life, sizeof(enum life));
		hash = mix(hash, &weave.thread[i].history, sizeof(uint64_t));
	}
	for (int i = 0; i < WEAVE_RANGES; i++)
		hash = mix(hash, weave.test->state[i].start, weave.test->state[i].bytes);
	hash += !hash;
	for (uint64_t at = hash;; at++) {
		uint64_t *slot = &weave.seen[at % SEEN_SLOTS];

		if (*slot == hash)
			return false;
		if (*slot)
			continue;
		*slot = hash;
		return true;
	}
}

static int lowest(uint32_t bits)
{
	return __builtin_ctz(bits);
}

/* Runs the path that is given, then on to an end or to what was seen. */
static void run(struct weave_result *result)
{
	uint32_t open;

	reset();
	for (int i = 0; i < weave.depth; i++)
		take(weave.step[i].taken);
	result->runs++;
	while ((open = choices())) {
		struct step *step = &weave.step[weave.depth];

		if (!is_new())
			return;
		if (++result->states > SEEN_SLOTS / 2 || weave.depth + 1 >= MOST_STEPS) {
			result->broken = "there are more states than there is room for";
			return;
		}
		step->taken = lowest(open);
		step->left = open & (open - 1);
		weave.depth++;
		take(step->taken);
	}
	result->ends++;
	result->broken = weave.test->check();
}

/* To the next path that was not tried. False: there is none. */
static bool go_back(void)
{
	while (weave.depth) {
		struct step *step = &weave.step[weave.depth - 1];

		if (step->left) {
			step->taken = lowest(step->left);
			step->left &= step->left - 1;
			return true;
		}
		weave.depth--;
	}
	return false;
}

void weave_explore(const struct weave_case *test, struct weave_result *result)
{
	*result = (struct weave_result){0};
	weave.test = test;
	weave.depth = 0;
	weave.seen = calloc(SEEN_SLOTS, sizeof(*weave.seen));
	for (int i = 0; i < test->threads; i++) {
		weave.thread[i].stack = malloc(STACK_BYTES);
		if (!weave.thread[i].stack)
			abort();
	}
	if (!weave.seen)
		abort();
	do
		run(result);
	while (!result->broken && go_back());
	for (int i = 0; i < test->threads; i++)
		free(weave.thread[i].stack);
	free(weave.seen);
}

bool weave_is_dead(int thread)
{
	return weave.thread[thread].life == DEAD;
}

/* What code compiled with -fsanitize=thread calls (compiler-rt, tsan_interface.h and
 * tsan_interface_atomic.h). */

#define PLAIN(bytes)                                                                               \
	void __tsan_read##bytes(void *address);                                                    \
	void __tsan_write##bytes(void *address);                                                   \
	void __tsan_unaligned_read##bytes(void *address);                                          \
	void __tsan_unaligned_write##bytes(void *address);                                         \
	void __tsan_read##bytes(void *address)                                                     \
	{                                                                                          \
		before_read(address, bytes);                                                       \
	}                                                                                          \
	void __tsan_write##bytes(void *address)                                                    \
	{                                                                                          \
		before_write(address);                                                             \
	}                                                                                          \
	void __tsan_unaligned_read##bytes(void *address)                                           \
	{                                                                                          \
		before_read(address, bytes);                                                       \
	}                                                                                          \
	void __tsan_unaligned_write##bytes(void *address)                                          \
	{                                                                                          \
		before_write(address);                                                             \
	}
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

#define ATOMIC(bits)                                                                               \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order);        \
	void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int order); \
	uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile void *address,                     \
						       uint##bits##_t value, int order);           \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile void *address, void *expected,  \
							  uint##bits##_t wanted, int order,        \
							  int otherwise);                          \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                 \
		volatile void *address, uint##bits##_t expected, uint##bits##_t wanted, int order, \
		int otherwise);                                                                    \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile void *address, int order)         \
	{                                                                                          \
		const uint##bits##_t *from = (const uint##bits##_t *)(uintptr_t)address;           \
		(void)order;                                                                       \
		before_read(from, sizeof(*from));                                                  \
		return *from;                                                                      \
	}                                                                                          \
	void __tsan_atomic##bits##_store(volatile void *address, uint##bits##_t value, int order)  \
	{                                                                                          \
		uint##bits##_t *to = (uint##bits##_t *)(uintptr_t)address;                         \
		(void)order;                                                                       \
		before_write(to);                                                                  \
		*to = value;                                                                       \
	}                                                                                          \
	uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile void *address,                     \
						       uint##bits##_t value, int order)            \
	{                                                                                          \
		uint##bits##_t *to = (uint##bits##_t *)(uintptr_t)address;                         \
		uint##bits##_t was;                                                                \
		(void)order;                                                                       \
		before_read(to, sizeof(*to));                                                      \
		was = *to;                                                                         \
		*to = (uint##bits##_t)(was + value);                                               \
		return was;                                                                        \
	}                                                                                          \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                 \
		volatile void *address, uint##bits##_t expected, uint##bits##_t wanted, int order, \
		int otherwise)                                                                     \
	{                                                                                          \
		uint##bits##_t *to = (uint##bits##_t *)(uintptr_t)address;                         \
		uint##bits##_t was;                                                                \
		(void)order;                                                                       \
		(void)otherwise;                                                                   \
		before_read(to, sizeof(*to));                                                      \
		was = *to;                                                                         \
		if (was == expected)                                                               \
			*to = wanted;                                                              \
		return was;                                                                        \
	}                                                                                          \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile void *address, void *expected,  \
							  uint##bits##_t wanted, int order,        \
							  int otherwise)                           \
	{                                                                                          \
		uint##bits##_t *known = expected;                                                  \
		uint##bits##_t was = __tsan_atomic##bits##_compare_exchange_val(                   \
			address, *known, wanted, order, otherwise);                                \
		bool same = was == *known;                                                         \
		*known = was;                                                                      \
		return same;                                                                       \
	}
ATOMIC(32)
ATOMIC(64)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes);
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memset(void *to, int value, size_t bytes);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
	(void)caller;
}

void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *address, size_t bytes)
{
	before_read(address, bytes);
}

void __tsan_write_range(void *address, size_t bytes)
{
	before_copy(address, bytes);
}

void *__tsan_memcpy(void *to, const void *from, size_t bytes)
{
	before_read(from, bytes);
	before_copy(to, bytes);
	return memcpy(to, from, bytes);
}

void *__tsan_memset(void *to, int value, size_t bytes)
{
	before_copy(to, bytes);
	return memset(to, value, bytes);
}
