/* SPDX-License-Identifier: MIT */
/* The boot code's list of system calls, made by the boot code itself, in this very process. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/boot_list.h"
#include "inject/clock.h"
#include "inject/loader/payload.h"

enum { BYTES = 3 * 4096 };

typedef int64_t entry_fn(struct ma_resident *resident);

struct fixture {
	uint8_t *base;
	struct ma_session *session;
	struct ma_resident ours;
	struct ma_boot_list list;
};

static int begin(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->session = calloc(1, sizeof(*fixture->session));
	fixture->base = mmap(NULL, MA_RESIDENT_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_non_null(fixture->session);
	assert_true(fixture->base != MAP_FAILED);
	memcpy(fixture->base + MA_RESIDENT_ENTRY, ma_payload_boot,
	       (size_t)(ma_payload_boot_end - ma_payload_boot));
	assert_int_equal(mprotect(fixture->base, MA_RESIDENT_CODE_BYTES, PROT_READ | PROT_EXEC), 0);
	fixture->session->pid = getpid();
	assert_int_equal(ma_memory_open(getpid(), &fixture->session->view.memory, NULL), 0);
	fixture->list = (struct ma_boot_list){.resident = &fixture->ours,
					      .base = (uint64_t)(uintptr_t)fixture->base};
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	ma_memory_close(&fixture->session->view.memory);
	munmap(fixture->base, MA_RESIDENT_BYTES);
	free(fixture->session);
	free(fixture);
	return 0;
}

/* Runs the boot code as an attach does, and reads what came of it. */
static int run(struct fixture *fixture, struct ma_error *error)
{
	struct ma_resident *resident = (void *)(fixture->base + MA_RESIDENT_DATA);
	entry_fn *entry = (entry_fn *)(uintptr_t)(fixture->base + MA_RESIDENT_ENTRY);

	fixture->ours.boot.op = MA_BOOT_CALL;
	*resident = fixture->ours;
	assert_int_equal(entry(resident), 0);
	assert_int_equal(resident->boot.done, 1);
	return ma_boot_list_read(&fixture->list, fixture->session, ma_clock_ns(), error);
}

static void later_calls_use_the_results_of_earlier_ones(void **state)
{
	struct fixture *fixture = *state;
	struct ma_boot_list *list = &fixture->list;
	struct ma_remote_memfd file = {.fd = -1};
	uint8_t memfd = ma_boot_list_memfd(list, "boot-list", MFD_CLOEXEC);
	uint8_t mapping =
		ma_boot_list_map(list, "mapping", memfd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	uint64_t address;

	ma_boot_list_advise(list, mapping, BYTES, MADV_DONTDUMP);
	assert_int_equal(run(fixture, NULL), 0);
	assert_true(ma_boot_list_made(list, mapping, &address));
	assert_int_equal(ma_boot_list_open(list, memfd, fixture->session, BYTES, &file, NULL), 0);
	assert_int_equal(pwrite(file.fd, "seen", 4, 4096), 4);
	assert_memory_equal((const char *)(uintptr_t)address + 4096, "seen", 4);
	assert_true(ma_boot_list_made(list, 3, &address));
	/* Newest first: the number is closed, the mapping goes. */
	assert_int_equal(fixture->session->undo_count, 2);
	assert_int_equal(fixture->session->undo[0].number, SYS_munmap);
	assert_int_equal(fixture->session->undo[0].args[1], BYTES);
	assert_int_equal(fixture->session->undo[1].number, SYS_close);
	assert_int_equal(close(file.remote.number), 0);
	ma_remote_memfd_fini(&file);
}

static void a_list_is_made_once(void **state)
{
	struct fixture *fixture = *state;
	struct ma_resident *resident = (void *)(fixture->base + MA_RESIDENT_DATA);
	entry_fn *entry = (entry_fn *)(uintptr_t)(fixture->base + MA_RESIDENT_ENTRY);
	uint8_t memfd = ma_boot_list_memfd(&fixture->list, "boot-list", MFD_CLOEXEC);
	uint64_t number;

	assert_int_equal(run(fixture, NULL), 0);
	assert_true(ma_boot_list_made(&fixture->list, memfd, &number));
	assert_int_equal(close((int)number), 0);
	assert_int_equal(entry(resident), 0);
	assert_int_equal(close((int)number), -1);
}

static void it_ends_at_a_call_that_must_not_fail(void **state)
{
	static const uint64_t bad[6] = {9999}, none[6];
	struct fixture *fixture = *state;
	struct ma_boot_list *list = &fixture->list;
	struct ma_error error;
	uint64_t result;
	uint8_t closed = ma_boot_list_add(list, "closing it", SYS_close, bad);
	uint8_t later = ma_boot_list_add(list, "asking", SYS_getpid, none);

	assert_int_equal(run(fixture, &error), MA_ERR_FAILED);
	assert_int_equal(error.sys_errno, EBADF);
	assert_non_null(strstr(error.what, "closing it"));
	assert_false(ma_boot_list_made(list, closed, &result));
	assert_false(ma_boot_list_made(list, later, &result));
}

static void what_depends_on_a_failed_call_is_left_out(void **state)
{
	static const uint64_t bad[6] = {9999}, none[6];
	struct fixture *fixture = *state;
	struct ma_boot_list *list = &fixture->list;
	uint64_t result;
	uint8_t dup_call = ma_boot_list_add(list, NULL, SYS_dup, bad);
	uint8_t mapping = ma_boot_list_map(list, NULL, dup_call, BYTES, PROT_READ, MAP_SHARED);
	uint8_t later = ma_boot_list_add(list, "asking", SYS_getpid, none);

	assert_int_equal(run(fixture, NULL), 0);
	assert_false(ma_boot_list_made(list, dup_call, &result));
	assert_false(ma_boot_list_made(list, mapping, &result));
	assert_int_equal((int64_t)result, MA_BOOT_NO_RESULT);
	assert_true(ma_boot_list_made(list, later, &result));
	assert_int_equal(result, getpid());
	assert_int_equal(fixture->session->undo_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(later_calls_use_the_results_of_earlier_ones, begin,
						end),
		cmocka_unit_test_setup_teardown(a_list_is_made_once, begin, end),
		cmocka_unit_test_setup_teardown(it_ends_at_a_call_that_must_not_fail, begin, end),
		cmocka_unit_test_setup_teardown(what_depends_on_a_failed_call_is_left_out, begin,
						end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
