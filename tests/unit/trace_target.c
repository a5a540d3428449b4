/* SPDX-License-Identifier: MIT */
#include "trace_target.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inject/clock.h"

static struct trace_page *page; /* of the target, for its signal handler */

static void count_signal(int signal)
{
	(void)signal;
	page->signals++;
}

/* Values that only live in vector registers and in the red zone while the loop turns. */
static int registers_broken(uint64_t round)
{
	uint64_t low, high, vector = 0;

	__asm__ volatile("movq %3, %%xmm5\n\t"
			 "pxor %%xmm6, %%xmm6\n\t"
			 "mov %3, -8(%%rsp)\n\t"
			 "mov %3, -128(%%rsp)\n\t"
			 "mov $20000, %%ecx\n"
			 "1:\tpaddq %%xmm6, %%xmm5\n\t"
			 "dec %%ecx\n\t"
			 "jnz 1b\n\t"
			 "mov -8(%%rsp), %0\n\t"
			 "mov -128(%%rsp), %1\n\t"
			 "movq %%xmm5, %2"
			 : "=&r"(low), "=&r"(high), "=&r"(vector)
			 : "r"(round)
			 : "rcx", "xmm5", "xmm6", "cc", "memory");
	return low != round || high != round || vector != round;
}

static int mask_or_stack_broken(const stack_t *stack, const sigset_t *mask)
{
	stack_t now_stack;
	sigset_t now_mask;

	sigaltstack(NULL, &now_stack);
	sigprocmask(SIG_SETMASK, NULL, &now_mask);
	for (int signal = 1; signal < 32; signal++)
		if (sigismember(mask, signal) != sigismember(&now_mask, signal))
			return 1;
	return now_stack.ss_sp != stack->ss_sp || now_stack.ss_size != stack->ss_size ||
	       now_stack.ss_flags != stack->ss_flags;
}

_Noreturn static void run(enum trace_work work)
{
	static uint8_t signal_stack[1 << 14];
	const struct timespec nap = {.tv_nsec = 2000000};
	stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	sigset_t mask;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGUSR2, count_signal);
	sigaltstack(&stack, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	for (;;) {
		if (work == TRACE_REGISTERS)
			page->broken += (uint64_t)registers_broken(page->rounds);
		else
			nanosleep(&nap, NULL);
		page->broken += (uint64_t)mask_or_stack_broken(&stack, &mask);
		__atomic_add_fetch(&page->rounds, 1, __ATOMIC_RELAXED);
	}
}

static void find_machine(struct trace_target *target)
{
	struct ma_maps maps = {0};

	/* The child is a copy of us: what lies where in our libc lies there in its. */
	assert_int_equal(ma_maps_read(getpid(), &maps, NULL), 0);
	ma_arch.measure(&target->machine);
	for (size_t i = 0; i < maps.count; i++) {
		const struct ma_map *map = &maps.map[i];

		if ((map->protection & (PROT_READ | PROT_EXEC)) == (PROT_READ | PROT_EXEC) &&
		    map->name[0] == '/')
			ma_arch.find_gadgets((const uint8_t *)(uintptr_t)map->start,
					     map->end - map->start, map->start, &target->machine);
	}
	ma_maps_fini(&maps);
	assert_true(target->machine.syscall_return && target->machine.sigreturn);
}

void trace_start(struct trace_target *target, enum trace_work work)
{
	void *stub = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *shared = mmap(NULL, sizeof(struct trace_page), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(stub != MAP_FAILED && shared != MAP_FAILED);
	*target = (struct trace_target){.page = shared, .stub = (uint64_t)(uintptr_t)stub};
	ma_arch.stub_write(stub);
	assert_int_equal(mprotect(stub, 4096, PROT_READ | PROT_EXEC), 0);
	find_machine(target);
	page = shared;
	target->pid = fork();
	assert_true(target->pid >= 0);
	if (!target->pid)
		run(work);
	assert_int_equal(ma_memory_open(target->pid, &target->memory, NULL), 0);
	trace_goes_on(target);
}

void trace_goes_on(const struct trace_target *target)
{
	uint64_t rounds = __atomic_load_n(&target->page->rounds, __ATOMIC_RELAXED);
	uint64_t deadline = ma_clock_ns() + 20 * MA_NS_PER_S;

	while (__atomic_load_n(&target->page->rounds, __ATOMIC_RELAXED) < rounds + 3) {
		assert_true(ma_clock_ns() < deadline);
		ma_clock_pause(MA_NS_PER_MS);
	}
	assert_int_equal(target->page->broken, 0);
}

void trace_end(struct trace_target *target)
{
	kill(target->pid, SIGKILL);
	while (waitpid(target->pid, NULL, __WALL) == target->pid)
		continue;
	ma_memory_close(&target->memory);
	munmap(target->page, sizeof(*target->page));
	munmap((void *)(uintptr_t)target->stub, 4096);
}

void trace_hold(const struct trace_target *target, struct ma_tracee *tracee,
		struct ma_remote *remote)
{
	assert_int_equal(ma_tracee_seize(tracee, target->pid, target->pid, NULL), 0);
	assert_int_equal(ma_tracee_interrupt(tracee, ma_clock_ns() + 5 * MA_NS_PER_S, NULL), 0);
	assert_int_equal(ma_tracee_save(tracee, NULL), 0);
	ma_remote_init(remote, tracee, &target->memory, &target->machine);
}

void trace_view_open(struct ma_view *view, pid_t pid)
{
	*view = (struct ma_view){.pid = pid, .pidfd = -1};
	assert_int_equal(ma_memory_open(pid, &view->memory, NULL), 0);
	assert_int_equal(ma_maps_read(pid, &view->maps, NULL), 0);
	assert_int_equal(ma_proc_auxv_read(pid, &view->auxv, NULL), 0);
	assert_int_equal(
		ma_link_map_read(&view->memory, &view->auxv, &view->maps, &view->link_map, NULL),
		0);
	/* Nobody's code is taken for the interpreter's. */
	view->interpreter.object = view->link_map.loader;
}

void trace_view_close(struct ma_view *view)
{
	ma_view_close(view);
}
