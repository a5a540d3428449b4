/* SPDX-License-Identifier: MIT */
/*
 * The unwind area kept up to date, with us as the target: what is loaded, started and unloaded
 * shows in the index, as a hook would read it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/clock.h"
#include "daemon/unwind_keeper.h"

enum { WAIT_MS = 60000, POLL_MS = 10 };

/* A library that this program does not need, and that comes with the C library. */
static const char later[] = "libresolv.so.2";

struct fixture {
	char cache[64];
	int proc_fd, unwind_fd;
	struct ma_area *area;
	struct ma_area_ident ident;
	const struct ma_unwind_area *seen; /* as the target has it mapped */
	struct ma_modules modules;
	struct ma_notes notes;
	struct ma_unwind_worker *worker;
	struct ma_unwind_keeper keeper;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	struct ma_error error;
	if (!fixture)
		return -1;
	snprintf(fixture->cache, sizeof fixture->cache, "/tmp/ma_keeper.XXXXXX");
	assert_non_null(mkdtemp(fixture->cache));
	setenv("MEMATTACH_CACHE_DIR", fixture->cache, 1);
	fixture->proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture->unwind_fd = memfd_create(MA_UNWIND_MEMFD, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fixture->unwind_fd, MA_UNWIND_BYTES), 0);
	fixture->seen = mmap(NULL, MA_UNWIND_BYTES, PROT_READ, MAP_SHARED, fixture->unwind_fd, 0);
	assert_ptr_not_equal(fixture->seen, MAP_FAILED);
	fixture->area = mmap(NULL, sizeof *fixture->area, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(fixture->area, MAP_FAILED);
	fixture->ident.python_base =
		(uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version"); /* libc stands for it */
	fixture->worker = ma_unwind_worker_start(&error);
	assert_non_null(fixture->worker);
	ma_modules_init(&fixture->modules, getpid(), fixture->proc_fd);
	const struct ma_unwind_keeper_options options = {.worker = fixture->worker,
							 .pid = getpid(),
							 .proc_fd = fixture->proc_fd,
							 .modules = &fixture->modules,
							 .notes = &fixture->notes,
							 .ident = &fixture->ident};
	assert_int_equal(
		ma_unwind_keeper_init(&fixture->keeper, &options, fixture->unwind_fd, &error), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char command[128];
	ma_unwind_keeper_fini(&fixture->keeper);
	ma_unwind_worker_stop(fixture->worker);
	ma_modules_fini(&fixture->modules);
	munmap(fixture->area, sizeof *fixture->area);
	munmap((void *)(uintptr_t)fixture->seen, MA_UNWIND_BYTES);
	close(fixture->unwind_fd);
	close(fixture->proc_fd);
	snprintf(command, sizeof command, "rm -rf %s", fixture->cache);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

/* One turn of the daemon's loop. */
static void turn(struct fixture *fixture)
{
	struct pollfd wait = {.fd = fixture->worker->base.done_fd, .events = POLLIN};
	struct ma_unwind_job *job;
	poll(&wait, 1, POLL_MS);
	while ((job = ma_unwind_worker_take(fixture->worker))) {
		assert_true(ma_unwind_keeper_take(&fixture->keeper, job));
		ma_unwind_job_destroy(job);
	}
	ma_unwind_keeper_poll(&fixture->keeper, fixture->area, ma_clock_monotonic_ns() / 1000000);
}

static const struct ma_unwind_module *find(const struct fixture *fixture, const void *address)
{
	uint64_t pc = (uintptr_t)address;
	if (!fixture->seen->current)
		return NULL;
	const struct ma_unwind_index *index = &fixture->seen->index[fixture->seen->current - 1];
	assert_int_equal(index->sequence % 2, 0);
	for (uint32_t i = 0; i < index->module_count; i++) {
		const struct ma_unwind_module *module = &index->modules[i];
		assert_true(i == 0 || module->start >= module[-1].end);
		if (pc >= module->start && pc < module->end)
			return module;
	}
	return NULL;
}

static bool has_stack(const struct fixture *fixture, const void *address)
{
	uint64_t at = (uintptr_t)address;
	const struct ma_unwind_index *index = &fixture->seen->index[fixture->seen->current - 1];
	for (uint32_t i = 0; i < index->stack_count; i++) {
		assert_true(i == 0 || index->stacks[i].start >= index->stacks[i - 1].end);
		if (at >= index->stacks[i].start && at < index->stacks[i].end)
			return true;
	}
	return false;
}

/* Turns until the condition holds. */
#define TURN_UNTIL(fixture, condition)                                                             \
	do {                                                                                       \
		uint64_t end_ms_ = ma_clock_monotonic_ns() / 1000000 + WAIT_MS;                    \
		while (!(condition)) {                                                             \
			assert_true(ma_clock_monotonic_ns() / 1000000 < end_ms_);                  \
			turn(fixture);                                                             \
		}                                                                                  \
	} while (0)

static void assert_has_table(const struct fixture *fixture, const void *address, const char *path)
{
	const struct ma_unwind_module *module = find(fixture, address);
	assert_non_null(module);
	assert_int_not_equal(module->table, 0);
	const struct ma_unwind_table *table =
		(const void *)((const uint8_t *)fixture->seen + module->table);
	uint64_t pc = (uintptr_t)address - module->bias;
	assert_true(pc >= table->pc_first && pc < table->pc_end);
	assert_true(table->rule + table->rule_count * sizeof(struct ma_unwind_rule) <=
		    fixture->seen->used);
	const struct ma_native_module *known = ma_modules_find(&fixture->modules, module->id);
	assert_non_null(known);
	assert_int_equal(known->bias, module->bias);
	assert_true(strstr(known->path, path) != NULL);
}

static void test_what_is_there_at_first(void **state)
{
	struct fixture *fixture = *state;
	TURN_UNTIL(fixture, fixture->seen->current);
	assert_int_equal(fixture->seen->magic, MA_UNWIND_MAGIC);
	assert_int_equal(fixture->seen->bytes, MA_UNWIND_BYTES);
	/* All at once: what was there waited for its tables. */
	void *in_libc = dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
	assert_has_table(fixture, in_libc, "libc");
	assert_has_table(fixture, (void *)(uintptr_t)test_what_is_there_at_first, "keeper");
	const struct ma_unwind_module *libc = find(fixture, in_libc);
	assert_true(ma_modules_find(&fixture->modules, libc->id)->interpreter);
	void *vdso = (void *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	if (vdso)
		assert_true(find(fixture, vdso) && find(fixture, vdso)->table);
	int here;
	assert_true(has_stack(fixture, &here));
	assert_false(has_stack(fixture, fixture->seen));
}

static void test_modules_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	TURN_UNTIL(fixture, fixture->seen->current);
	uint32_t count = fixture->seen->index[fixture->seen->current - 1].module_count;
	assert_null(dlopen(later, RTLD_NOW | RTLD_NOLOAD));
	void *handle = dlopen(later, RTLD_NOW);
	assert_non_null(handle);
	/* Nothing tells of it, so nobody looks. */
	uint32_t current = fixture->seen->current;
	for (int i = 0; i < 5; i++)
		turn(fixture);
	assert_int_equal(fixture->seen->current, current);
	fixture->area->counters.passes++;
	TURN_UNTIL(fixture, fixture->seen->index[fixture->seen->current - 1].module_count > count);
	uint32_t ids = fixture->modules.count;
	dlclose(handle);
	fixture->area->counters.native_no_module++;
	TURN_UNTIL(fixture, fixture->seen->index[fixture->seen->current - 1].module_count == count);
	/* The name stays, and the id is not used again. */
	assert_int_equal(fixture->modules.count, ids);
}

static void *wait_in_thread(void *context)
{
	int *pipe_fds = context;
	int here;
	uintptr_t address = (uintptr_t)&here;
	char byte;
	assert_int_equal(write(pipe_fds[1], &address, sizeof address), sizeof address);
	assert_int_equal(read(pipe_fds[2], &byte, 1), 1);
	return NULL;
}

static void test_a_thread_that_comes_later(void **state)
{
	struct fixture *fixture = *state;
	int fds[4];
	pthread_t thread;
	uintptr_t address;
	TURN_UNTIL(fixture, fixture->seen->current);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(fds + 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, fds), 0);
	assert_int_equal(read(fds[0], &address, sizeof address), sizeof address);
	fixture->area->wants.stack = address;
	fixture->area->counters.native_no_stack++;
	TURN_UNTIL(fixture, has_stack(fixture, (void *)address));
	assert_int_equal(write(fds[3], "x", 1), 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void test_the_area_is_sealed(void **state)
{
	struct fixture *fixture = *state;
	struct ma_error error;
	struct ma_unwind_area_map map = {0};
	assert_int_equal(ftruncate(fixture->unwind_fd, 0), -1);
	assert_ptr_equal(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fixture->unwind_fd, 0),
		MAP_FAILED);
	/* What is no such area is refused. */
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ma_unwind_area_open(&map, fd, &error), MA_ERR_PROTOCOL);
	close(fd);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, MA_UNWIND_BYTES), 0);
	assert_int_equal(ma_unwind_area_open(&map, fd, &error), MA_ERR_PROTOCOL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_there_at_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modules_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thread_that_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_area_is_sealed, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
