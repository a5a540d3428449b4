/* SPDX-License-Identifier: MIT */
/*
 * Allocations from places that no walk gets out of by the book: a coroutine's stack, a signal
 * handler on a stack of its own, functions without unwind information, with a frame pointer and
 * with anything in its place. Stacks here end at memory that must not be touched.
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { STACK_BYTES = 64 << 10, GUARD_BYTES = 64 << 10 };

void odd_stacks_run(size_t bytes);

static __thread ucontext_t outside, inside;
static __thread size_t wanted;

static __attribute__((noinline)) void take(void)
{
	void *volatile block = malloc(wanted);

	free(block);
}

/* Calls take() with rbp as a frame pointer, and with rbp as what it happens to be used for. */
void odd_stacks_with_pointer(void (*function)(void));
void odd_stacks_without_pointer(void (*function)(void), uint64_t rbp);
__asm__(".text\n"
	".globl odd_stacks_with_pointer\n"
	".type odd_stacks_with_pointer, @function\n"
	"odd_stacks_with_pointer:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	call *%rdi\n"
	"	pop %rbp\n"
	"	ret\n"
	".size odd_stacks_with_pointer, . - odd_stacks_with_pointer\n"
	".globl odd_stacks_without_pointer\n"
	".type odd_stacks_without_pointer, @function\n"
	"odd_stacks_without_pointer:\n"
	"	push %rbp\n"
	"	mov %rsi, %rbp\n"
	"	call *%rdi\n"
	"	pop %rbp\n"
	"	ret\n"
	".size odd_stacks_without_pointer, . - odd_stacks_without_pointer\n");

static void in_coroutine(void)
{
	take();
	/* Beyond its top, and below it. */
	odd_stacks_without_pointer(take, (uint64_t)(uintptr_t)inside.uc_stack.ss_sp + STACK_BYTES);
	odd_stacks_without_pointer(take, (uint64_t)(uintptr_t)inside.uc_stack.ss_sp - 8);
	swapcontext(&inside, &outside);
}

/* A stack between pages that nobody may touch. */
static char *make_stack(void)
{
	char *room = mmap(NULL, STACK_BYTES + 2 * GUARD_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED || mprotect(room + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE))
		abort();
	return room + GUARD_BYTES;
}

static void free_stack(char *stack)
{
	munmap(stack - GUARD_BYTES, STACK_BYTES + 2 * GUARD_BYTES);
}

static void on_coroutine(void)
{
	char *stack = make_stack();

	if (getcontext(&inside))
		abort();
	inside.uc_stack = (stack_t){.ss_sp = stack, .ss_size = STACK_BYTES};
	inside.uc_link = NULL;
	makecontext(&inside, in_coroutine, 0);
	if (swapcontext(&outside, &inside))
		abort();
	free_stack(stack);
}

static void on_signal(int signal)
{
	(void)signal;
	take();
}

__attribute__((constructor)) static void handle_signal(void)
{
	struct sigaction handler = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

	if (sigaction(SIGUSR2, &handler, NULL))
		abort();
}

static void on_signal_stack(void)
{
	stack_t own = {.ss_sp = make_stack(), .ss_size = STACK_BYTES}, usual;

	if (sigaltstack(&own, &usual))
		abort();
	raise(SIGUSR2);
	sigaltstack(&usual, NULL);
	free_stack(own.ss_sp);
}

void odd_stacks_run(size_t bytes)
{
	uint64_t here;

	wanted = bytes;
	on_coroutine();
	on_signal_stack();
	odd_stacks_with_pointer(take);
	odd_stacks_without_pointer(take, 0);
	odd_stacks_without_pointer(take, 0x1234);
	odd_stacks_without_pointer(take, UINT64_MAX - 7);
	odd_stacks_without_pointer(take, (uint64_t)(uintptr_t)&here);
	odd_stacks_without_pointer(take, (uint64_t)(uintptr_t)&here + 1);
	/* The end of the main thread's stack, if this is it. */
	odd_stacks_without_pointer(take, ((uint64_t)(uintptr_t)&here | 0xfffff) + 1);
}
