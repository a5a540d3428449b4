/* SPDX-License-Identifier: MIT */
/* The guardian process: results and fds come back, its death is told, its caller's death is
 * noticed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject/clock.h"
#include "inject/guardian.h"

struct shared {
	int started;
	int orphaned;
	int go_on;
	pid_t session;
};

static struct shared *shared_page(void)
{
	void *page = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(page != MAP_FAILED);
	return page;
}

static void wait_for(const int *flag)
{
	uint64_t deadline = ma_clock_ns() + 20 * MA_NS_PER_S;

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE) && ma_clock_ns() < deadline)
		ma_clock_pause(MA_NS_PER_MS);
}

static int answer(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	struct shared *shared = request;
	int *number = result;
	int ends[2];

	(void)error;
	shared->session = getsid(0);
	*number = 42;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "hello", 5), 5);
	fds[0] = ends[0];
	fds[2] = ends[1]; /* and none in between */
	return 0;
}

static int refuse(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	(void)request, (void)result, (void)fds;
	ma_error_set(error, MA_ERR_UNSAFE, EBUSY, "trying %d", 7);
	ma_error_remedy(error, "wait");
	return MA_ERR_UNSAFE;
}

static int vanish(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	(void)request, (void)result, (void)fds, (void)error;
	raise(SIGKILL);
	return 0;
}

static int insist(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	struct shared *shared = request;

	(void)result, (void)fds, (void)error;
	__atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
	wait_for(&shared->go_on);
	return 0;
}

static void note_orphaned(void *request)
{
	struct shared *shared = request;

	__atomic_store_n(&shared->orphaned, 1, __ATOMIC_RELEASE);
}

static void results_and_fds_come_back(void **state)
{
	struct shared *shared = shared_page();
	struct ma_error error;
	int fds[MA_GUARDIAN_FDS];
	int number = 0;
	char text[8] = "";
	struct ma_guardian_task task = {
		.work = answer,
		.request = shared,
		.result = &number,
		.result_bytes = sizeof(number),
	};

	(void)state;
	assert_int_equal(ma_guardian_run(&task, fds, &error), 0);
	assert_int_equal(number, 42);
	assert_int_equal(read(fds[0], text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_int_not_equal(shared->session, getsid(0));
	assert_int_equal(fds[1], -1);
	assert_int_equal(write(fds[2], "again", 5), 5);
	close(fds[0]);
	close(fds[2]);
	/* It was reaped. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void errors_come_back(void **state)
{
	struct ma_error error;
	int fds[MA_GUARDIAN_FDS];
	struct ma_guardian_task task = {.work = refuse};

	(void)state;
	assert_int_equal(ma_guardian_run(&task, fds, &error), MA_ERR_UNSAFE);
	assert_string_equal(error.what, "trying 7");
	assert_string_equal(error.remedy, "wait");
	assert_int_equal(error.sys_errno, EBUSY);
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[1], -1);
}

static void its_death_is_told(void **state)
{
	struct ma_error error;
	int fds[MA_GUARDIAN_FDS];
	struct ma_guardian_task task = {.work = vanish};

	(void)state;
	assert_int_equal(ma_guardian_run(&task, fds, &error), MA_ERR_FAILED);
	assert_non_null(strstr(error.answer, "ended before"));
}

static void the_callers_death_is_noticed(void **state)
{
	struct shared *shared = shared_page();
	struct ma_guardian_task task = {
		.work = insist,
		.orphaned = note_orphaned,
		.request = shared,
	};
	pid_t caller = fork();

	(void)state;
	if (!caller) {
		int fds[MA_GUARDIAN_FDS];

		ma_guardian_run(&task, fds, NULL);
		_exit(0);
	}
	wait_for(&shared->started);
	kill(caller, SIGKILL);
	assert_int_equal(waitpid(caller, NULL, 0), caller);
	assert_int_equal(shared->orphaned, 0);
	__atomic_store_n(&shared->go_on, 1, __ATOMIC_RELEASE);
	wait_for(&shared->orphaned);
	assert_int_equal(shared->orphaned, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_and_fds_come_back),
		cmocka_unit_test(errors_come_back),
		cmocka_unit_test(its_death_is_told),
		cmocka_unit_test(the_callers_death_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
