/* SPDX-License-Identifier: MIT */
/*
 * Which native frames are shown between Python's. Native frames are written as "module:function"
 * with the modules py (the interpreter), ext and so (somebody else's), libc, exe (the program, when
 * the interpreter is a library); a function "?" has no name, "!" is not looked up yet. Python
 * frames are capital letters where they begin a call of the loop, else small ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/native.h"
#include "proto/unwind.h"

enum { TEXT = 512 };

static const struct {
	const char *name, *path;
	bool interpreter;
} objects[] = {
	{"py", "/usr/lib/libpython3.11.so.1.0", true},
	{"ext", "/srv/ext.cpython-311-x86_64-linux-gnu.so", false},
	{"so", "/usr/lib/libfoo.so.1", false},
	{"libc", "/lib/x86_64-linux-gnu/libc.so.6", false},
	{"exe", "/usr/bin/python3.11", false},
};

enum { OBJECTS = sizeof objects / sizeof objects[0] };

struct world {
	struct ma_native_cache cache;
	struct ma_modules modules;
	struct ma_native native;
	struct ma_native_line lines[64];
	uint32_t line_count;
	uint64_t next_pc;
};

static void begin(struct world *world)
{
	static const struct ma_tables *no_tables;
	*world = (struct world){.next_pc = 0x1000};
	ma_native_cache_init(&world->cache);
	ma_modules_init(&world->modules, 0, -1);
	assert_true(ma_native_init(&world->native, &world->modules, no_tables));
	world->native.cache = &world->cache;
	for (size_t i = 0; i < OBJECTS; i++) {
		const struct ma_native_module module = {.path = objects[i].path,
							.interpreter = objects[i].interpreter};
		assert_int_equal(ma_modules_add(&world->modules, &module), i + 1);
	}
}

static void end(struct world *world)
{
	ma_native_fini(&world->native);
	ma_modules_fini(&world->modules);
	ma_native_cache_fini(&world->cache);
}

/* The frame that a word of the test means, made known as the scan would. */
static uint64_t native_frame(struct world *world, const char *word)
{
	const char *colon = strchr(word, ':');
	uint32_t module = 0;
	bool is_new;
	assert_non_null(colon);
	for (uint32_t i = 0; i < OBJECTS; i++)
		if (strlen(objects[i].name) == (size_t)(colon - word) &&
		    strncmp(objects[i].name, word, (size_t)(colon - word)) == 0)
			module = i + 1;
	assert_int_not_equal(module, 0);
	uint64_t pc = world->next_pc++;
	uint32_t place = ma_native_cache_place(&world->cache, module, pc, &is_new);
	struct ma_native_line *line = &world->lines[world->line_count++];
	*line = (struct ma_native_line){.function = colon + 1, .linkage = colon + 1, .file = ""};
	world->cache.places[place] =
		(struct ma_native_place){.known = colon[1] != '!',
					 .count = colon[1] != '!' && colon[1] != '?',
					 .line = line};
	uint64_t frame = MA_FRAME_NATIVE(module, pc);
	ma_idmap_add(&world->native.place_of_frame, frame, place + 1);
	return frame;
}

static void write_frame(struct world *world, uint64_t frame, char *text)
{
	if (!MA_FRAME_IS_NATIVE(frame)) {
		assert_int_equal(frame & MA_FRAME_ENTRY, 0);
		sprintf(text + strlen(text), "%s%c", text[0] ? " " : "",
			(char)MA_FRAME_CODE(frame));
		return;
	}
	struct ma_native_frame native = ma_native_frame(&world->native, frame);
	sprintf(text + strlen(text), "%s%s:%s", text[0] ? " " : "",
		objects[MA_FRAME_NATIVE_MODULE(frame) - 1].name,
		native.place->count ? native.place->line[0].function : "?");
}

/* python and native: innermost first. */
static void arrange(const char *python, const char *native, uint32_t flags, bool wanted,
		    char result[TEXT], bool *settled)
{
	static struct world world;
	static uint64_t frames[MA_MAX_FRAMES];
	struct ma_stack stack = {.flags = flags};
	char words[TEXT], *rest = words;
	begin(&world);
	for (; *python; python++) {
		bool entry = *python >= 'A' && *python <= 'Z';
		frames[stack.frame_count++] =
			MA_FRAME((unsigned char)*python, 7U) | (entry ? MA_FRAME_ENTRY : 0);
	}
	snprintf(words, sizeof words, "%s", native);
	/* A name may have a space, written as a tilde. */
	for (char *word; (word = strsep(&rest, " "));) {
		for (char *tilde = word; (tilde = strchr(tilde, '~'));)
			*tilde = ' ';
		if (*word)
			frames[stack.frame_count++] = native_frame(&world, word);
	}
	*settled = ma_native_arrange(&world.native, &stack, frames, wanted);
	result[0] = 0;
	for (uint32_t i = 0; i < stack.frame_count; i++)
		write_frame(&world, frames[i], result);
	end(&world);
}

#define LOOP  "py:_PyEval_EvalFrameDefault"
#define START " py:Py_RunMain exe:main libc:? libc:__libc_start_main exe:_start"

static void test_cases(void **state)
{
	(void)state;
	static const struct {
		const char *python, *native, *expected;
	} cases[] = {
		/* the interpreter makes an object: the line alone */
		{"aB", "py:PyObject_Malloc py:list_resize " LOOP START, "a B"},
		/* an extension: its frames, without malloc's and without how it was called */
		{"aB", "libc:malloc ext:grow ext:method py:cfunction_call " LOOP START,
		 "ext:grow ext:method a B"},
		{"A", "so:operator~new so:fill ext:method " LOOP START, "so:fill ext:method A"},
		/* nothing but the allocator's own name: it stays, somebody else's it is */
		{"A", "ext:? " LOOP START, "ext:? A"},
		/* the interpreter's functions between an extension and the allocation */
		{"A", "py:PyList_New ext:method py:? " LOOP START, "py:PyList_New ext:method A"},
		/* C that calls back into Python stays between; the interpreter's own does not */
		{"AB", "py:new " LOOP " py:_PyEval_Vector ext:apply ext:map " LOOP START,
		 "A ext:apply ext:map B"},
		{"AB", "py:new " LOOP " py:list_sort_impl " LOOP START, "A B"},
		/* to 3.10 each frame has a call of its own */
		{"ABC", "ext:f " LOOP " py:_PyFunction_Vectorcall " LOOP " " LOOP START,
		 "ext:f A B C"},
		/* a program that embeds Python, and the start of a thread */
		{"A", "py:new " LOOP " py:PyRun_String so:serve so:run libc:? libc:?",
		 "A py:PyRun_String so:serve so:run"},
		{"A",
		 "py:new " LOOP " py:thread_run py:pythread_wrapper libc:start_thread libc:clone3",
		 "A"},
		/* no Python: everything but the ends */
		{"", "libc:malloc so:make so:worker libc:start_thread libc:clone3",
		 "so:make so:worker"},
		{"", "py:new py:call so:worker libc:? libc:?", "py:new py:call so:worker"},
		{"", "libc:?", "libc:?"},
		/* names that are not there yet: Python first */
		{"AB", "ext:! " LOOP " " LOOP START, "A B"},
		{"AB", "", "A B"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char result[TEXT];
		bool settled;
		arrange(cases[i].python, cases[i].native, 0, true, result, &settled);
		if (strcmp(result, cases[i].expected) != 0)
			fail_msg("%s with %s: \"%s\" instead of \"%s\"", cases[i].python,
				 cases[i].native, result, cases[i].expected);
		assert_int_equal(settled, !strstr(cases[i].native, "!"));
	}
}

static void test_not_wanted(void **state)
{
	(void)state;
	char result[TEXT];
	bool settled;
	arrange("aB", "ext:grow " LOOP START, 0, false, result, &settled);
	assert_string_equal(result, "a B");
	assert_true(settled);
	arrange("", "so:make so:worker", MA_STACK_NO_PYTHON, false, result, &settled);
	assert_string_equal(result, "");
	arrange("aB", "ext:! " LOOP, 0, false, result, &settled);
	assert_string_equal(result, "a B");
	assert_true(settled);
}

/* The walk ended early: what Python knows goes on behind it. */
static void test_cut(void **state)
{
	(void)state;
	char result[TEXT];
	bool settled;
	arrange("ABC", "ext:grow " LOOP, MA_STACK_NATIVE_CUT, true, result, &settled);
	assert_string_equal(result, "ext:grow A B C");
	arrange("ABC", "ext:grow so:deeper", MA_STACK_NATIVE_CUT, true, result, &settled);
	assert_string_equal(result, "ext:grow so:deeper A B C");
}

static void test_texts(void **state)
{
	(void)state;
	char text[64];
	const struct ma_native_module module = {.path = "/usr/lib/libfoo.so.1"};
	struct ma_native_frame frame = {.module = &module, .address = 0x1234};
	ma_native_frame_text(&frame, text, sizeof text);
	assert_string_equal(text, "libfoo.so.1+0x1234");
	frame.module = NULL;
	ma_native_frame_text(&frame, text, sizeof text);
	assert_string_equal(text, "0x1234");
}

/* What a target is told of names that were lost: of its own modules alone, and of servers if it
 * asked for them. */
static void test_notes(void **state)
{
	(void)state;
	struct world world;
	struct ma_notes notes = {0};
	begin(&world);
	ma_native_note(&world.native, &notes);
	assert_int_equal(notes.count, 0);
	world.cache.lost[0] = (struct ma_native_lost){"/not/of/this.so", MA_SYMBOL_LOST_NAMES};
	world.cache.lost[1] = (struct ma_native_lost){objects[0].path, MA_SYMBOL_LOST_LINES};
	world.cache.lost_count = 2;
	world.cache.fetched = (struct ma_symbol_fetched){3, 2, "they are out"};
	for (int i = 0; i < 2; i++)
		ma_native_note(&world.native, &notes);
	assert_int_equal(notes.count, 1);
	assert_non_null(strstr(notes.notes[0].text, objects[0].path));
	assert_non_null(strstr(notes.notes[0].text, "have no lines"));
	ma_native_set_servers(&world.native, "somewhere");
	ma_native_note(&world.native, &notes);
	assert_int_equal(notes.count, 2);
	assert_non_null(strstr(notes.notes[1].text, "failed for 2 of 3 debug files"));
	assert_non_null(strstr(notes.notes[1].text, "they are out"));
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases), cmocka_unit_test(test_not_wanted),
		cmocka_unit_test(test_cut),   cmocka_unit_test(test_texts),
		cmocka_unit_test(test_notes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
