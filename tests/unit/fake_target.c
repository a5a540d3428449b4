/* SPDX-License-Identifier: MIT */
/* See fake_target.h. The child is a fork of the test, so statics are at the same addresses. */
#include "fake_target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/estimate.h"

enum { THUNK_CODE = 0x10000, TABLE_WORDS = 5, INTERVAL = 65536 };

/* The head of the thunk page's data (inject/hook/config.h): magic, ABI, state. */
static struct {
	uint64_t magic;
	uint32_t abi;
	uint32_t state;
} thunk_data = {UINT64_C(0x6b6e7568745f616d), 1, 1};
static uint64_t obj_table[TABLE_WORDS], mem_table[TABLE_WORDS];

static void fill_table(uint64_t table[TABLE_WORDS], uint64_t first)
{
	for (uint64_t i = 0; i < TABLE_WORDS; i++)
		table[i] = i ? first + i * 16 : 0;
}

static void obey(char order)
{
	switch ((enum fake_order)order) {
	case FAKE_REPLACE_TABLE:
		fill_table(obj_table, 0x777000);
		break;
	case FAKE_RESTORE_TABLE:
		fill_table(obj_table, THUNK_CODE);
		break;
	case FAKE_REMOVE_HOOK:
		thunk_data.state = 0;
		break;
	case FAKE_EXEC:
		/* Says "y" when it runs, and then waits for its input to end. */
		execl("/bin/sh", "sh", "-c", "printf y; read nothing", (char *)NULL);
		_exit(127);
	case FAKE_EXIT_3:
		_exit(3);
	}
}

static void __attribute__((noreturn)) live(int orders, int answers)
{
	char order;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(orders, STDIN_FILENO);
	dup2(answers, STDOUT_FILENO);
	while (read(STDIN_FILENO, &order, 1) == 1) {
		obey(order);
		if (write(STDOUT_FILENO, "y", 1) != 1)
			break;
	}
	_exit(0);
}

void fake_target_start(struct fake_target *target, enum ma_mode mode, uint32_t arena_pages)
{
	int orders[2], answers[2];
	fake_area_init(&target->area, mode, arena_pages);
	struct ma_area_ident *ident = &target->area.area->ident;
	ident->thunk_code = THUNK_CODE;
	ident->thunk_data = (uint64_t)(uintptr_t)&thunk_data;
	ident->obj_table = (uint64_t)(uintptr_t)obj_table;
	ident->mem_table = (uint64_t)(uintptr_t)mem_table;
	fill_table(obj_table, THUNK_CODE);
	fill_table(mem_table, THUNK_CODE + 80);
	target->area.area->control.enabled = 1;
	if (pipe(orders) < 0 || pipe(answers) < 0)
		abort();
	target->pid = fork();
	if (target->pid < 0)
		abort();
	if (target->pid == 0) {
		close(orders[1]);
		close(answers[0]);
		live(orders[0], answers[1]);
	}
	close(orders[0]);
	close(answers[1]);
	target->orders = orders[1];
	target->answers = answers[0];
	target->pidfd = (int)syscall(SYS_pidfd_open, target->pid, 0);
	if (target->pidfd < 0)
		abort();
}

static void wait_for_end(struct fake_target *target)
{
	struct pollfd ended = {.fd = target->pidfd, .events = POLLIN};
	while (poll(&ended, 1, -1) < 0 && errno == EINTR)
		;
}

void fake_target_order(struct fake_target *target, enum fake_order order)
{
	char byte = (char)order;
	if (write(target->orders, &byte, 1) != 1)
		abort();
	if (order == FAKE_EXIT_3)
		wait_for_end(target);
	else if (read(target->answers, &byte, 1) != 1)
		abort();
}

void fake_target_kill(struct fake_target *target, int signal)
{
	kill(target->pid, signal);
	wait_for_end(target);
}

void fake_target_end(struct fake_target *target)
{
	kill(target->pid, SIGKILL);
	waitpid(target->pid, NULL, 0);
	close(target->pidfd);
	close(target->orders);
	close(target->answers);
	fake_area_fini(&target->area);
}

static double weighted(uint64_t size_bytes, int count)
{
	struct ma_weight weight;
	ma_estimate_weight(size_bytes, INTERVAL, &weight);
	return (double)weight.bytes / MA_BYTES_UNITS * count;
}

struct fake_heap fake_target_fill(struct fake_target *target)
{
	struct fake_area *area = &target->area;
	uint32_t main_code = fake_area_code(area, "main", "/srv/app.py", 1);
	uint32_t leak_code = fake_area_code(area, "Cache.leak", "/srv/app.py", 10);
	uint32_t churn_code = fake_area_code(area, "<lambda>", "/srv/app.py", 20);
	uint64_t leak[] = {MA_FRAME(leak_code, 4), MA_FRAME(main_code, 8)};
	uint64_t churn[] = {MA_FRAME(churn_code, 2), MA_FRAME(main_code, 12)};
	area->area->threads[1].tid = (uint32_t)target->pid;
	struct fake_heap heap = {
		.leak_site = fake_area_site(area, fake_area_stack(area, leak, 2, 0),
					    MA_DOMAIN_OBJECT, 1, 0),
		.churn_site = fake_area_site(area, fake_area_stack(area, churn, 2, 0),
					     MA_DOMAIN_MALLOC, 0, 0),
		.native_site = fake_area_site(area, 0, MA_DOMAIN_MALLOC, 0, MA_STACK_NO_PYTHON),
		.leak_bytes = weighted(65536, 100),
		.churn_bytes = weighted(1000, 50),
		.native_bytes = weighted(4096, 1),
	};
	uint64_t address = UINT64_C(0x7f1000000000);
	for (int i = 0; i < 50; i++)
		fake_area_alloc(area, i % MA_RINGS, address + (uint64_t)i * 4112, 1000,
				heap.churn_site, INTERVAL);
	for (int i = 0; i < 50; i++)
		fake_area_free(area, (i + 3) % MA_RINGS, address + (uint64_t)i * 4112, true);
	for (int i = 0; i < 100; i++)
		fake_area_alloc(area, i % MA_RINGS, address + (uint64_t)(i + 100) * 65552, 65536,
				heap.leak_site, INTERVAL);
	fake_area_alloc(area, 0, address - 4096, 4096, heap.native_site, INTERVAL);
	return heap;
}
