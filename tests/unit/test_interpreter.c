/* SPDX-License-Identifier: MIT */
/* Telling versions: texts, names, and programs that pretend to be an interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "child_process.h"
#include "inject/inspect.h"
#include "inject/interpreter.h"

static void reads_version_texts(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t hex;
	} cases[] = {
		{"3.8.18", 0x030812f0},
		{"3.8.18 (default, May  9 2026, 10:00:00) \n[GCC 12.2.0]", 0x030812f0},
		{"3.13.0rc2+", 0x030d00c2},
		{"3.15.0a1 (main)", 0x030f00a1},
		{"3.14.0b4", 0x030e00b4},
		{"2.7.18+ (x)", 0x020712f0},
		{"3.10.13+ (heads/x)", 0x030a0df0},
		{"3.8", 0},
		{"3.8.", 0},
		{"", 0},
		{"3.8.18x", 0},
		{"3.8.18-beta", 0},
		{"13.8.18", 0},
		{"3.100.1", 0},
		{"3.8.256", 0},
		{"3.8.1rc16", 0},
		{"3.8.1rc", 0},
		{"0.8.1", 0},
		{"3.99999999999999999999.1", 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(ma_interpreter_version_hex(cases[i].text), cases[i].hex);
}

static void knows_names(void **state)
{
	(void)state;
	static const char *const python[] = {
		"/usr/bin/python3.11",
		"/opt/x/python",
		"/usr/lib/libpython3.11.so.1.0",
		"/usr/lib/python3/dist-packages/_brotli.cpython-311-x86_64-linux-gnu.so",
		"/usr/lib/python3.8/lib-dynload/_ssl.so",
		"/opt/pypy3/bin/pypy3.9",
	};
	static const char *const other[] = {"/usr/bin/sleep", "/home/python/bin/app", "",
					    "/usr/lib/python3/x/native.so", "/usr/bin/ipython"};
	for (size_t i = 0; i < sizeof python / sizeof *python; i++)
		assert_true(ma_interpreter_named(python[i]));
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		assert_false(ma_interpreter_named(other[i]));
}

#define BUILD " (default, May  9 2026, 10:00:00) \n[GCC 12.2.0]"

static void judges_pretenders(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *hex;
		const char *offsets;
		int code;
		const char *release;
		const char *answer;
	} cases[] = {
		{"3.8.18" BUILD, "0", "none", 0, "3.8.18", NULL},
		{"3.10.0rc1" BUILD, "0", "none", 0, "3.10.0rc1", NULL},
		{"ignored", "030b07f0", "none", 0, "3.11.7", NULL},
		{"3.8.18" BUILD, "030c01f0", "none", 0, "3.12.1", NULL},
		{"2.7.18" BUILD, "0", "none", MA_ERR_NOT_PYTHON, "Python 2.7", "too old"},
		{"3.7.16" BUILD, "0", "none", MA_ERR_NOT_PYTHON, "Python 3.7", "3.7.16: too old"},
		{"", "03630000", "none", MA_ERR_NOT_PYTHON, "Python 3.99", "newer"},
		{"3.8.18", "0", "none", MA_ERR_NOT_PYTHON, "Python ?", "unknown version"},
		{"", "0", "none", MA_ERR_NOT_PYTHON, "Python ?", "unknown version"},
		{"", "030d00f0", "good", 0, "3.13.0", NULL},
		{"", "030e0af0", "good", 0, "3.14.10", NULL},
		{"", "030d00f0", "none", MA_ERR_NOT_PYTHON, "3.13.0", "_Py_DebugOffsets"},
		{"", "030d00f0", "moved", MA_ERR_NOT_PYTHON, "3.13.0", "laid out otherwise"},
		{"", "030d00f0", "free-threaded", MA_ERR_NOT_PYTHON, "3.13.0", "free-threaded"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *const argv[] = {MA_FAKE_PYTHON, cases[i].text, cases[i].hex,
					    cases[i].offsets, NULL};
		struct child child;
		struct ma_view view;
		struct ma_error error = {0};
		char line[300];
		assert_int_equal(child_start(&child, NULL, argv), 0);
		child_line(&child, line, sizeof line);
		assert_int_equal(strncmp(line, "ready", 5), 0);
		assert_int_equal(ma_view_open(child.pid, &view, &error), cases[i].code);
		assert_string_equal(view.process.python_release, cases[i].release);
		if (cases[i].answer)
			assert_non_null(strstr(error.answer, cases[i].answer));
		assert_int_equal(view.process.free_threaded,
				 strcmp(cases[i].offsets, "free-threaded") == 0);
		if (!cases[i].code) {
			const struct ma_interpreter *found = &view.interpreter;
			assert_int_equal(found->layout.version, found->version >> 16);
			assert_int_equal(found->debug_offsets,
					 strcmp(cases[i].offsets, "good") == 0);
			assert_true(found->runtime.value && found->set_allocator.value &&
				    found->this_thread_state.value);
			assert_ptr_equal(ma_link_map_find(&view.link_map, found->runtime.value),
					 &view.link_map.object[0]);
		}
		ma_view_close(&view);
		child_end(&child);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_version_texts),
		cmocka_unit_test(knows_names),
		cmocka_unit_test(judges_pretenders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
