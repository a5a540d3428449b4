/* SPDX-License-Identifier: MIT */
/* Looking at real processes: every Python of this machine, and everything that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "child_process.h"
#include "inject/inspect.h"

static struct python pythons[MAX_PYTHONS];
static int python_count;

/* major << 8 | minor of "3.11.7" */
static unsigned minor_of(const char *release)
{
	unsigned major = 0, minor = 0;
	sscanf(release, "%u.%u", &major, &minor);
	return major << 8 | minor;
}

static void check_supported(const struct python *python, const struct child *child,
			    const char *release)
{
	struct ma_view view;
	struct ma_error error = {0};
	int code = ma_view_open(child->pid, &view, &error);
	if (code)
		fail_msg("%s %s: %s: %s", python->program, release, error.what, error.answer);
	const struct ma_process *process = &view.process;
	assert_string_equal(process->python_release, release);
	assert_int_equal(process->python_version >> 16, minor_of(release));
	assert_int_equal(process->pid, child->pid);
	assert_true(process->python_base && strlen(process->python_path) > 1);
	assert_true(process->threads >= 1 && !process->free_threaded);
	assert_false(process->attached || process->thunks_left);
	assert_non_null(strstr(process->command, "sys.version"));
	assert_int_equal(view.interpreter.layout.version, minor_of(release));
	assert_int_equal(view.interpreter.debug_offsets, minor_of(release) >= 0x030d);
	assert_int_equal(view.resolved.next_object[MA_FN_MALLOC], view.link_map.libc_object);
	assert_false(ma_view_ended(&view));
	assert_int_equal(ma_view_refresh(&view, &error), 0);
	/* The interpreter is there: its main thread state's interpreter can be read. */
	uint64_t interpreter = 0;
	struct ma_raddr at = ma_raddr_add(view.interpreter.runtime,
					  view.interpreter.layout.runtime_main_interpreter);
	assert_int_equal(ma_memory_read_u64(&view.memory, at, &interpreter, &error), 0);
	assert_true(ma_maps_covers(&view.maps, interpreter, 64, PROT_READ | PROT_WRITE));
	ma_view_close(&view);
}

static void check_too_old(const struct child *child, const char *release)
{
	struct ma_process process;
	struct ma_error error = {0};
	assert_int_equal(ma_process_inspect(child->pid, &process, &error), MA_ERR_NOT_PYTHON);
	assert_int_equal(strncmp(process.python_release, "Python ", 7), 0);
	assert_int_equal(minor_of(process.python_release + 7), minor_of(release));
	assert_non_null(strstr(error.answer, release));
	assert_non_null(strstr(error.answer, "too old"));
}

static void every_python_is_recognised(void **state)
{
	(void)state;
	if (!python_count) {
		print_message("skipped: no Python on this machine\n");
		skip();
	}
	int seen = 0;
	for (int i = 0; i < python_count; i++) {
		struct child child;
		char release[64];
		if (python_start(&pythons[i], &child, release, sizeof release)) {
			print_message("%s%s does not run\n", pythons[i].root, pythons[i].program);
			continue;
		}
		if (minor_of(release) >= 0x0308)
			check_supported(&pythons[i], &child, release);
		else
			check_too_old(&child, release);
		child_end(&child);
		seen++;
	}
	assert_true(seen > 0);
}

static void expect_not_python(const char *program, const char *release, const char *answer)
{
	const char *const argv[] = {program, NULL};
	struct child child;
	struct ma_process process;
	struct ma_error error = {0};
	char line[64];
	assert_int_equal(child_start(&child, NULL, argv), 0);
	assert_true(child_line(&child, line, sizeof line)[0] != '\0');
	assert_int_equal(ma_process_inspect(child.pid, &process, &error), MA_ERR_NOT_PYTHON);
	assert_string_equal(process.python_release, release);
	assert_non_null(strstr(error.answer, answer));
	assert_int_equal(process.python_version, 0);
	assert_true(process.state == 'S' || process.state == 'R');
	child_end(&child);
}

static void what_is_no_python_is_named(void **state)
{
	(void)state;
	expect_not_python(MA_CANONICAL_PLT_PROGRAM, "not Python", "look_canonical_plt");
	expect_not_python(MA_STATIC_PROGRAM, "static program", "static");
	if (access(MA_PROGRAM_32_BIT, X_OK))
		print_message("32-bit programs cannot be built here: not tried\n");
	else
		expect_not_python(MA_PROGRAM_32_BIT, "32-bit program", "32-bit");
}

/* Copies a program under another name into a directory of its own; returns its path. */
static void copy_program(const char *program, const char *name, char directory[64], char path[128])
{
	char buffer[4096];
	size_t bytes;
	strcpy(directory, "/tmp/memattach-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, 128, "%s/%s", directory, name);
	FILE *in = fopen(program, "rb"), *out = fopen(path, "wb");
	assert_true(in && out);
	while ((bytes = fread(buffer, 1, sizeof buffer, in)) > 0)
		assert_int_equal(fwrite(buffer, 1, bytes, out), bytes);
	fclose(in);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(path, 0755), 0);
}

static void other_pythons_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		const char *release;
	} cases[] = {{"pypy3.9", "PyPy"}, {"graalpy", "GraalPy"}, {"micropython", "MicroPython"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char directory[64], path[128], answer[64];
		copy_program(MA_CANONICAL_PLT_PROGRAM, cases[i].file, directory, path);
		snprintf(answer, sizeof answer, "it is %s", cases[i].release);
		expect_not_python(path, cases[i].release, answer);
		unlink(path);
		rmdir(directory);
	}
}

/* After an upgrade the files that a process runs are gone: everything is read from its memory. */
static void deleted_files_are_not_missed(void **state)
{
	(void)state;
	char directory[64], path[128], line[300];
	struct child child;
	struct ma_process process;
	struct ma_error error = {0};
	copy_program(MA_FAKE_PYTHON, "python-gone", directory, path);
	const char *const argv[] = {path, "", "030b07f0", "none", NULL};
	assert_int_equal(child_start(&child, NULL, argv), 0);
	child_line(&child, line, sizeof line);
	unlink(path);
	rmdir(directory);
	assert_int_equal(ma_process_inspect(child.pid, &process, &error), 0);
	assert_string_equal(process.python_release, "3.11.7");
	assert_string_equal(process.python_path, path);
	assert_non_null(strstr(process.exe, "(deleted)"));
	child_end(&child);
}

static void an_embedded_interpreter_is_found(void **state)
{
	(void)state;
	int seen = 0;
	for (int i = 0; i < python_count; i++) {
		char pattern[300], line[128];
		char *bin = strstr(pythons[i].program, "/bin/python");
		glob_t found;
		if (pythons[i].root[0] || !bin)
			continue;
		snprintf(pattern, sizeof pattern, "%.*s/lib/libpython3.*.so.1.0",
			 (int)(bin - pythons[i].program), pythons[i].program);
		if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1) {
			const char *const argv[] = {MA_EMBEDDING_PROGRAM, found.gl_pathv[0], NULL};
			struct child child;
			struct ma_process process;
			struct ma_error error = {0};
			assert_int_equal(child_start(&child, NULL, argv), 0);
			child_line(&child, line, sizeof line);
			line[strcspn(line, " ")] = '\0';
			int code = ma_process_inspect(child.pid, &process, &error);
			if (minor_of(line) >= 0x0308) {
				assert_int_equal(code, 0);
				assert_string_equal(process.python_release, line);
			} else {
				assert_int_equal(code, MA_ERR_NOT_PYTHON);
			}
			assert_string_equal(process.python_path, found.gl_pathv[0]);
			child_end(&child);
			seen++;
		}
		globfree(&found);
	}
	if (!seen) {
		print_message("skipped: no libpython on this machine\n");
		skip();
	}
}

static void a_process_that_is_not_there(void **state)
{
	(void)state;
	static const pid_t never[] = {0, -1, 0x7ffffff0};
	struct ma_process process;
	struct ma_error error = {0};
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		assert_int_equal(ma_process_inspect(never[i], &process, &error), MA_ERR_NO_PROCESS);
}

static int do_nothing(void *context)
{
	(void)context;
	return 0;
}

static void a_process_that_ends(void **state)
{
	(void)state;
	struct child child;
	struct ma_view view;
	struct ma_process process;
	struct ma_error error = {0};
	char line[16];
	assert_int_equal(child_fork(&child, do_nothing, NULL), 0);
	child_line(&child, line, sizeof line);
	assert_int_equal(ma_view_open(child.pid, &view, &error), MA_ERR_NOT_PYTHON);
	assert_false(ma_view_ended(&view));
	kill(child.pid, SIGKILL);
	child_wait_zombie(&child);
	assert_true(ma_view_ended(&view));
	assert_int_equal(ma_view_refresh(&view, &error), MA_ERR_NO_PROCESS);
	ma_view_close(&view);
	assert_int_equal(ma_process_inspect(child.pid, &process, &error), MA_ERR_NO_PROCESS);
	assert_int_equal(process.state, 'Z');
	assert_non_null(strstr(error.answer, "zombie"));
	child_end(&child);
}

static void *tell_tid(void *pipe_ends)
{
	const int *ends = pipe_ends;
	pid_t tid = (pid_t)syscall(SYS_gettid);
	char byte;
	if (write(ends[1], &tid, sizeof tid) != sizeof tid)
		return NULL;
	while (read(ends[2], &byte, 1) > 0) {
	}
	return NULL;
}

static void a_thread_is_no_process(void **state)
{
	(void)state;
	int tell[2], stay[2];
	pthread_t thread;
	pid_t tid = 0;
	struct ma_process process;
	struct ma_error error = {0};
	assert_int_equal(pipe(tell) | pipe(stay), 0);
	int ends[] = {tell[0], tell[1], stay[0]};
	assert_int_equal(pthread_create(&thread, NULL, tell_tid, ends), 0);
	assert_int_equal(read(tell[0], &tid, sizeof tid), sizeof tid);
	assert_int_equal(ma_process_inspect(tid, &process, &error), MA_ERR_NO_PROCESS);
	assert_non_null(strstr(error.answer, "is a thread of process"));
	close(stay[1]);
	pthread_join(thread, NULL);
	close(stay[0]);
	close(tell[0]);
	close(tell[1]);
}

static void lists_pythons_only(void **state)
{
	(void)state;
	const char *const argv[] = {MA_CANONICAL_PLT_PROGRAM, NULL};
	struct child python, other;
	char release[64], line[64];
	int i = 0;
	while (i < python_count && python_start(&pythons[i], &python, release, sizeof release))
		i++;
	if (i == python_count) {
		print_message("skipped: no Python on this machine\n");
		skip();
	}
	assert_int_equal(child_start(&other, NULL, argv), 0);
	child_line(&other, line, sizeof line);
	enum { MAX_LISTED = 4096 };
	pid_t *pids = calloc(MAX_LISTED, sizeof *pids);
	int count = ma_process_list(pids, MAX_LISTED);
	bool has_python = false, has_other = false, has_us = false;
	for (i = 0; i < count && i < MAX_LISTED; i++) {
		has_python |= pids[i] == python.pid;
		has_other |= pids[i] == other.pid;
		has_us |= pids[i] == getpid();
	}
	assert_true(has_python);
	assert_false(has_other || has_us);
	assert_true(ma_process_list(NULL, 0) > 0);
	free(pids);
	child_end(&python);
	child_end(&other);
}

static const struct ma_check *find_check(const struct ma_check *checks, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(checks[i].name, name) == 0)
			return &checks[i];
	}
	fail_msg("no check is named %s", name);
	return checks;
}

enum { MAX_CHECKS = 64 };
static struct ma_check checks[MAX_CHECKS];

static void the_doctor_on_a_good_target(void **state)
{
	(void)state;
	struct child child;
	char release[64];
	int i = python_count - 1;
	while (i >= 0 && python_start(&pythons[i], &child, release, sizeof release))
		i--;
	if (i < 0) {
		print_message("skipped: no Python on this machine\n");
		skip();
	}
	int machine = ma_doctor(0, checks, MAX_CHECKS);
	int count = ma_doctor(child.pid, checks, MAX_CHECKS);
	assert_true(machine > 3 && count > machine + 10);
	static const char *const fine[] = {"process", "tracer",  "permission",   "program",
					   "Python",  "seccomp", "shadow stack", "memattach"};
	for (size_t k = 0; k < sizeof fine / sizeof *fine; k++)
		assert_int_equal(find_check(checks, count, fine[k])->state, MA_CHECK_OK);
	assert_non_null(strstr(find_check(checks, count, "Python")->found, release));
	assert_int_equal(ma_doctor(child.pid, checks, 3), 3);
	kill(child.pid, SIGSTOP);
	struct ma_proc_stat stat;
	do {
		assert_int_equal(ma_proc_stat_read(child.pid, 0, &stat, NULL), 0);
	} while (stat.state != 'T');
	count = ma_doctor(child.pid, checks, MAX_CHECKS);
	assert_int_equal(find_check(checks, count, "state")->state, MA_CHECK_WARN);
	child_end(&child);
	count = ma_doctor(0x7ffffff0, checks, MAX_CHECKS);
	assert_int_equal(find_check(checks, count, "process")->state, MA_CHECK_FAIL);
}

/* Whatever fails comes with something to do about it. */
static void the_doctor_on_a_bad_target(void **state)
{
	(void)state;
	const char *const argv[] = {MA_STATIC_PROGRAM, NULL};
	struct child child;
	char line[64];
	assert_int_equal(child_start(&child, NULL, argv), 0);
	child_line(&child, line, sizeof line);
	int count = ma_doctor(child.pid, checks, MAX_CHECKS);
	assert_int_equal(find_check(checks, count, "program")->state, MA_CHECK_FAIL);
	assert_non_null(strstr(find_check(checks, count, "program")->found, "static"));
	for (int i = 0; i < count; i++) {
		assert_true(checks[i].name[0] && checks[i].found[0]);
		if (checks[i].state == MA_CHECK_FAIL && strcmp(checks[i].name, "machine") != 0)
			assert_true(checks[i].remedy[0] != '\0');
	}
	child_end(&child);
}

static int find_pythons(void **state)
{
	(void)state;
	python_count = python_list(pythons);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_python_is_recognised),
		cmocka_unit_test(what_is_no_python_is_named),
		cmocka_unit_test(other_pythons_are_named),
		cmocka_unit_test(deleted_files_are_not_missed),
		cmocka_unit_test(an_embedded_interpreter_is_found),
		cmocka_unit_test(a_process_that_is_not_there),
		cmocka_unit_test(a_process_that_ends),
		cmocka_unit_test(a_thread_is_no_process),
		cmocka_unit_test(lists_pythons_only),
		cmocka_unit_test(the_doctor_on_a_good_target),
		cmocka_unit_test(the_doctor_on_a_bad_target),
	};
	return cmocka_run_group_tests(tests, find_pythons, NULL);
}
