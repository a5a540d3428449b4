/* SPDX-License-Identifier: MIT */
/* The thread and the child process that find unwind tables; the target is us. */
#include <dlfcn.h>
#include <dwarf.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/proc_maps.h"
#include "daemon/unwind_maps.h"
#include "daemon/unwind_table.h"
#include "daemon/unwind_worker.h"
#include "unwind_elf.h"

enum { START = 0x700001000, WAIT_MS = 60000 };

struct fixture {
	char cache[64];
	char file[80];
	uint64_t inode;
	int proc_fd;
	struct ma_unwind_worker *worker;
};

/* Copies a file made by hand to where a target would have it. */
static void write_file(struct fixture *fixture, int functions)
{
	static const uint8_t pushed[] = {0x41, DW_CFA_def_cfa_offset, 16};
	struct unwind_elf elf;
	struct stat status;
	char buffer[65536];
	unwind_elf_begin(&elf, UNWIND_ELF_EH_FRAME);
	for (int i = 0; i < functions; i++)
		unwind_elf_function(&elf, 0x10 + 0x20 * (uint32_t)i, 0x20, pushed, sizeof pushed);
	int from = unwind_elf_end(&elf);
	ssize_t bytes = pread(from, buffer, sizeof buffer, 0);
	int to = open(fixture->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(to, buffer, (size_t)bytes), bytes);
	assert_int_equal(fstat(to, &status), 0);
	fixture->inode = status.st_ino;
	close(to);
	close(from);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	struct ma_error error;
	if (!fixture)
		return -1;
	snprintf(fixture->cache, sizeof fixture->cache, "/tmp/ma_worker.XXXXXX");
	assert_non_null(mkdtemp(fixture->cache));
	snprintf(fixture->file, sizeof fixture->file, "%s/file", fixture->cache);
	setenv("MEMATTACH_CACHE_DIR", fixture->cache, 1);
	fixture->proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_file(fixture, 3);
	fixture->worker = ma_unwind_worker_start(&error);
	assert_non_null(fixture->worker);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char command[128];
	ma_unwind_worker_stop(fixture->worker);
	/* Every child has been waited for. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	close(fixture->proc_fd);
	snprintf(command, sizeof command, "rm -rf %s", fixture->cache);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

static void submit(struct fixture *fixture, uint64_t owner)
{
	const struct ma_native_module module = {.start = START,
						.end = START + UNWIND_ELF_CODE_BYTES,
						.inode = fixture->inode,
						.path = fixture->file};
	struct ma_unwind_job *job = ma_unwind_job_create(&module, getpid(), fixture->proc_fd);
	assert_non_null(job);
	job->owner = owner;
	job->offset = 0x1000;
	ma_unwind_worker_submit(fixture->worker, job);
}

static struct ma_unwind_job *wait_for_job(struct fixture *fixture)
{
	struct ma_unwind_job *job;
	struct pollfd wait = {.fd = fixture->worker->base.done_fd, .events = POLLIN};
	while (!(job = ma_unwind_worker_take(fixture->worker)))
		assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
	return job;
}

static void assert_table(const struct ma_unwind_job *job, uint32_t functions)
{
	struct ma_unwind_table_view view;
	assert_int_equal(job->code, 0);
	assert_true(job->known);
	assert_int_equal(job->module.bias, START - UNWIND_ELF_CODE);
	assert_int_equal(job->module.build_id_bytes, 20);
	assert_int_equal(job->module.build_id[2], 3);
	assert_true(ma_unwind_table_open(&view, job->table, job->bytes));
	assert_int_equal(view.head->functions, functions);
}

static void restart(struct fixture *fixture, const struct ma_unwind_limits *limits)
{
	struct ma_error error;
	ma_unwind_worker_stop(fixture->worker);
	fixture->worker = ma_unwind_worker_start(&error);
	assert_non_null(fixture->worker);
	fixture->worker->limits = *limits;
}

static void test_a_table_is_compiled_once(void **state)
{
	static const struct ma_unwind_limits none = {.memory_bytes = 0, .time_ms = 0};
	struct fixture *fixture = *state;
	submit(fixture, 7);
	struct ma_unwind_job *job = wait_for_job(fixture);
	assert_int_equal(job->owner, 7);
	assert_table(job, 3);
	ma_unwind_job_destroy(job);
	/* Nothing can be compiled any more, and nothing has to be. */
	restart(fixture, &none);
	submit(fixture, 8);
	job = wait_for_job(fixture);
	assert_table(job, 3);
	ma_unwind_job_destroy(job);
	/* Another content is another table. */
	write_file(fixture, 4);
	submit(fixture, 9);
	job = wait_for_job(fixture);
	assert_int_equal(job->code, MA_ERR_FAILED);
	assert_true(job->known);
	assert_null(job->table);
	ma_unwind_job_destroy(job);
}

#ifdef __SANITIZE_ADDRESS__
/* A child without memory is to get NULL, as from libc: what the sanitizer would say instead takes
 * more memory than there is, and never ends. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}
#endif

static void test_too_little_memory(void **state)
{
	/* Less than the compiler's own tables take. */
	static const struct ma_unwind_limits little = {.memory_bytes = 256 << 10,
						       .time_ms = WAIT_MS};
	struct fixture *fixture = *state;
	restart(fixture, &little);
	submit(fixture, 1);
	struct ma_unwind_job *job = wait_for_job(fixture);
	assert_int_equal(job->code, MA_ERR_FAILED);
	assert_true(job->error.answer[0] != 0);
	ma_unwind_job_destroy(job);
	/* One that fails does not keep the next from being done. */
	restart(fixture, &ma_unwind_limits);
	submit(fixture, 2);
	job = wait_for_job(fixture);
	assert_table(job, 3);
	ma_unwind_job_destroy(job);
}

static void test_no_such_file(void **state)
{
	struct fixture *fixture = *state;
	fixture->inode++;
	submit(fixture, 1);
	struct ma_unwind_job *job = wait_for_job(fixture);
	assert_int_not_equal(job->code, 0);
	assert_false(job->known);
	ma_unwind_job_destroy(job);
}

/* One that breaks off makes no sense; one that is no ELF file never promised to. */
static void test_no_elf_file(void **state)
{
	struct fixture *fixture = *state;
	for (off_t size = 100; size > 0; size -= 90) {
		assert_int_equal(truncate(fixture->file, size), 0);
		submit(fixture, 1);
		struct ma_unwind_job *job = wait_for_job(fixture);
		assert_int_equal(job->code, MA_ERR_PROTOCOL);
		assert_false(job->known);
		assert_int_equal(job->silly, size == 100);
		ma_unwind_job_destroy(job);
	}
}

static void test_what_is_forgotten_does_not_come(void **state)
{
	struct fixture *fixture = *state;
	for (int i = 0; i < 50; i++)
		submit(fixture, i % 2 ? 1 : 2);
	ma_unwind_worker_forget(fixture->worker, 1);
	int own = 0, others = 0;
	while (own < 25) {
		struct ma_unwind_job *job = wait_for_job(fixture);
		own += job->owner == 2;
		others += job->owner == 1;
		ma_unwind_job_destroy(job);
	}
	assert_in_range(others, 0, 1);
}

/* A job for our own libc; inode: of the file, or another one. */
static struct ma_unwind_job *do_libc(struct fixture *fixture, const struct ma_unwind_mapped *libc,
				     uint64_t inode)
{
	const struct ma_native_module module = {
		.start = libc->start, .end = libc->end, .inode = inode, .path = libc->path};
	struct ma_unwind_job *job = ma_unwind_job_create(&module, getpid(), fixture->proc_fd);
	assert_non_null(job);
	job->offset = libc->offset;
	job->head = libc->head;
	ma_unwind_worker_submit(fixture->worker, job);
	return wait_for_job(fixture);
}

static const struct ma_unwind_mapped *find_libc(const struct ma_unwind_maps *maps)
{
	uint64_t address = (uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
	for (uint32_t i = 0; i < maps->mapped_count; i++) {
		if (address >= maps->mapped[i].start && address < maps->mapped[i].end)
			return &maps->mapped[i];
	}
	return NULL;
}

/* The memory says what the file says. */
static void test_a_file_that_is_gone(void **state)
{
	static const struct ma_unwind_maps_hints none = {0};
	struct fixture *fixture = *state;
	struct ma_unwind_maps maps = {0};
	struct ma_unwind_table_view by_file, by_memory;
	char *text = ma_proc_maps_read(fixture->proc_fd);
	assert_non_null(text);
	assert_true(ma_unwind_maps_parse(&maps, text, &none));
	const struct ma_unwind_mapped *libc = find_libc(&maps);
	if (!libc)
		skip(); /* linked statically */
	struct ma_unwind_job *file = do_libc(fixture, libc, libc->inode);
	struct ma_unwind_job *memory = do_libc(fixture, libc, libc->inode + 1);
	assert_int_equal(file->code, 0);
	assert_int_equal(memory->code, 0);
	assert_int_equal(file->module.bias, memory->module.bias);
	assert_true(file->module.build_id_bytes > 0);
	assert_memory_equal(file->module.build_id, memory->module.build_id, MA_BUILD_ID_BYTES);
	assert_true(ma_unwind_table_open(&by_file, file->table, file->bytes));
	assert_true(ma_unwind_table_open(&by_memory, memory->table, memory->bytes));
	assert_int_equal(by_file.head->row_count, by_memory.head->row_count);
	assert_int_equal(by_file.head->pc_first, by_memory.head->pc_first);
	assert_memory_equal(by_file.rows, by_memory.rows,
			    by_file.head->row_count * sizeof(uint32_t));
	assert_memory_equal(by_file.rule, by_memory.rule,
			    by_file.head->rule_count * sizeof(struct ma_unwind_rule));
	ma_unwind_job_destroy(file);
	ma_unwind_job_destroy(memory);
	ma_unwind_maps_fini(&maps);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_table_is_compiled_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_little_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_such_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_that_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_elf_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_forgotten_does_not_come, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
