/* SPDX-License-Identifier: MIT */
/*
 * Code objects in the tables: what a record says, when two share one, how an address loses its
 * identity, and that neither addresses nor a full log can wear the tables out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook_fake_python.h"
#include "inject/hook/code_check.h"
#include "inject/hook/filter.h"
#include "inject/hook/site.h"
#include "proto/area_check.h"

static struct fake_python python;
static struct ma_tables *tables;

static int set_up(void **state)
{
	(void)state;
	fake_init(&python, 0x030c);
	tables = &python.area->tables;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_fini(&python);
	return 0;
}

static uint32_t describe(uint64_t address)
{
	bool busy = false;
	uint32_t id = ma_codes_describe(python.area, &python.config.layout, &python.writer, address,
					&busy);

	assert_false(busy);
	return id;
}

/* A record as the daemon reads it. */
static struct ma_code read_code(uint32_t id, uint8_t *data, size_t room)
{
	static uint64_t buffer[MA_CODE_RECORD_WORDS];
	struct ma_code head;
	int64_t bytes = ma_code_copy(tables, id, buffer, sizeof(buffer));

	assert_true(bytes >= (int64_t)sizeof(head));
	memcpy(&head, buffer, sizeof(head));
	assert_true((size_t)bytes - sizeof(head) <= room);
	memcpy(data, (uint8_t *)buffer + sizeof(head), (size_t)bytes - sizeof(head));
	return head;
}

static void code_record(void **state)
{
	uint64_t address = fake_code(&python, "Shop.order", 42);
	uint8_t data[MA_CODE_LINE_BYTES];
	struct ma_code head;
	uint32_t id;

	(void)state;
	assert_int_equal(ma_codes_find(tables, address), MA_CODE_UNSEEN);
	id = describe(address);
	assert_true(id != 0);
	assert_int_equal(ma_codes_find(tables, address), id);
	head = read_code(id, data, sizeof(data));
	assert_true(head.address == address);
	assert_int_equal(head.first_line, 42);
	assert_int_equal(head.name_bytes, 10);
	assert_int_equal(head.filename_bytes, 7);
	assert_int_equal(head.linetable_bytes, 4);
	assert_int_equal(head.linetable_total_bytes, 4);
	assert_int_equal(head.name_kind, 1);
	assert_int_equal(head.cut, 0);
	assert_memory_equal(data, "Shop.orderfake.py\x80\x01\x02\x03", 21);
	assert_int_equal(tables->code_used, id + head.words);
}

static void code_strings(void **state)
{
	static const uint16_t wide[] = {0x4e2d, 0x6587};
	static const uint32_t widest[] = {0x1d538, 'x'};
	const struct ma_py_layout *layout = &python.config.layout;
	static char many[3000];
	uint64_t address = fake_code(&python, "x", 1), text;
	uint8_t data[MA_CODE_LINE_BYTES];
	struct ma_code head;

	(void)state;
	fake_put(address, layout->code_name, fake_text(&python, wide, 2, 2));
	fake_put(address, layout->code_filename, fake_text(&python, widest, 2, 4));
	head = read_code(describe(address), data, sizeof(data));
	assert_int_equal(head.name_kind, 2);
	assert_int_equal(head.filename_kind, 4);
	assert_memory_equal(data, wide, 4);
	assert_memory_equal(data + 4, widest, 8);

	/* Not compact: the data is elsewhere (an instance of a subclass of str). */
	text = fake_object(&python, layout->unicode_compact + 8, python.some_type);
	fake_put(text, layout->unicode_length, 3);
	fake_put_int(text, layout->unicode_state, 1u << layout->unicode_kind_shift);
	fake_put(text, layout->unicode_compact, (uint64_t)(uintptr_t) "far");
	ma_codes_remove(tables, address);
	fake_put(address, layout->code_name, text);
	head = read_code(describe(address), data, sizeof(data));
	assert_int_equal(head.name_bytes, 3);
	assert_memory_equal(data, "far", 3);

	memset(many, 'y', sizeof(many));
	ma_codes_remove(tables, address);
	fake_put(address, layout->code_name, fake_text(&python, many, sizeof(many), 1));
	head = read_code(describe(address), data, sizeof(data));
	assert_int_equal(head.name_bytes, MA_CODE_NAME_BYTES);
	assert_int_equal(head.cut, 1);
}

/* Is what the map knows of a code object still true of it? */
static bool holds(uint64_t address)
{
	return ma_code_check_holds(&python.config.layout, address,
				   ma_codes_identity(tables, address));
}

/* Where frees are not seen, a walk notices that another code object lives at an address. */
static void code_check(void **state)
{
	const struct ma_py_layout *layout = &python.config.layout;
	uint64_t address = fake_code(&python, "before", 10), frames[MA_MAX_FRAMES];
	uint64_t lines = ma_py_word(address, layout->code_linetable);
	uint64_t frame = fake_frame(&python, 0, address, 8);
	uint32_t size = (uint32_t)ma_py_word(lines, layout->bytes_size), id;
	struct {
		uint64_t field;
		uint64_t value;
	} words[] = {
		{layout->code_name, fake_text(&python, "after!", 6, 1)},
		{layout->code_filename, fake_text(&python, "new.py", 6, 1)},
		{layout->code_linetable, fake_bytes(&python, "\x80\x01\x02\x03", 4)},
		{layout->object_type, python.root_type},
	};

	(void)state;
	python.writer.sees_frees = false;
	id = describe(address);
	assert_true(holds(address));
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		uint64_t old = ma_py_word(address, words[i].field);

		fake_put(address, words[i].field, words[i].value);
		assert_false(holds(address));
		fake_put(address, words[i].field, old);
		assert_true(holds(address));
	}
	/* The line table's own bytes, at the same place: every one of so few counts. */
	for (uint32_t i = 0; i < size; i++) {
		uint8_t *byte = (uint8_t *)(uintptr_t)(lines + layout->bytes_data + i);

		*byte ^= 1;
		assert_false(holds(address));
		*byte ^= 1;
	}
	assert_true(holds(address));
	fake_put_int(address, layout->code_first_line, 11);
	assert_false(holds(address));
	fake_enter(fake_state(&python, frame));
	assert_int_equal(fake_walk(&python, frames).count, 1);
	assert_true(MA_FRAME_CODE(frames[0]) != id);
	assert_int_equal(MA_FRAME_CODE(frames[0]), ma_codes_find(tables, address));
	assert_true(holds(address));
	/* Such an address is not in the filter, from which nobody would take it. */
	assert_false(ma_filter_may_hold(python.area, address));
}

/* The second half is not looked at where the first is wrong: the line table may be anything. */
static void code_check_surprise(void **state)
{
	uint64_t address = fake_code(&python, "before", 10);

	(void)state;
	describe(address);
	fake_put(address, python.config.layout.code_linetable, 0xdead0000);
	assert_false(holds(address));
}

static void code_unreadable(void **state)
{
	const struct ma_py_layout *layout = &python.config.layout;
	uint64_t text = fake_text(&python, "name", 4, 1), address = fake_code(&python, "x", 1);
	uint64_t used = tables->code_used;

	(void)state;
	fake_put_int(text, layout->unicode_state, 7u << layout->unicode_kind_shift);
	fake_put(address, layout->code_name, text);
	assert_int_equal(describe(address), 0);
	ma_codes_remove(tables, address);
	fake_put_int(text, layout->unicode_state, 1u << layout->unicode_kind_shift);
	fake_put(text, layout->unicode_length, (uint64_t)-1);
	assert_int_equal(describe(address), 0);
	ma_codes_remove(tables, address);
	fake_put(address, layout->code_name, 0);
	assert_int_equal(describe(address), 0);
	assert_int_equal(ma_codes_find(tables, address), 0);
	assert_int_equal(tables->code_used, used);
}

static void code_shared(void **state)
{
	static uint8_t lines[MA_CODE_LINE_BYTES + 100];
	const struct ma_py_layout *layout = &python.config.layout;
	uint64_t first = fake_code(&python, "same", 1), second = fake_code(&python, "same", 1);
	uint64_t other = fake_code(&python, "same", 2), table;
	uint32_t id = describe(first);

	(void)state;
	assert_int_equal(describe(second), id);
	assert_true(describe(other) != id);
	/* A table that is cut is the same only where it is the very same. */
	fake_put(first, layout->code_linetable, fake_bytes(&python, lines, sizeof(lines)));
	table = fake_bytes(&python, lines, sizeof(lines));
	fake_put(second, layout->code_linetable, table);
	fake_put(other, layout->code_linetable, table);
	fake_put_int(other, layout->code_first_line, 1);
	ma_codes_remove(tables, first);
	ma_codes_remove(tables, second);
	ma_codes_remove(tables, other);
	id = describe(first);
	assert_true(describe(second) != id);
	assert_int_equal(describe(other), ma_codes_find(tables, second));
}

static void code_freed(void **state)
{
	uint64_t address = fake_code(&python, "before", 1),
		 name = fake_text(&python, "after", 5, 1);
	uint32_t id = describe(address);

	(void)state;
	assert_true(ma_filter_may_hold(python.area, address));
	ma_hook_code_freed(address + 16);
	ma_hook_code_freed(0);
	ma_hook_code_freed(MA_CODE_REMOVED);
	assert_int_equal(ma_codes_find(tables, address), id);
	ma_hook_code_freed(address);
	assert_false(ma_filter_may_hold(python.area, address));
	assert_int_equal(ma_codes_find(tables, address), MA_CODE_UNSEEN);
	fake_code_at(&python, address, name, 1);
	assert_true(describe(address) != id);
}

/* Code objects come and go at random addresses, few at a time: the map stays nearly empty. */
static void code_churn(void **state)
{
	enum { ROUNDS = 400000, ALIVE = 300 };
	static uint64_t alive[ALIVE];
	uint64_t name = fake_text(&python, "churn", 5, 1);
	uint64_t lowest = (uint64_t)(uintptr_t)python.memory + FAKE_MEMORY_BYTES / 2;
	uint64_t seed = 1, worst = 0, table;
	uint32_t id = 0, removed = 0;

	(void)state;
	table = fake_bytes(&python, "abcd", 4);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t *slot = &alive[i % ALIVE];
		size_t used = python.used;

		if (*slot) {
			assert_int_equal(ma_codes_find(tables, *slot), id);
			ma_hook_code_freed(*slot);
		}
		seed = seed * UINT64_C(6364136223846793005) + 1;
		/* Objects may overlap here: each is written anew just before it is read. */
		*slot = lowest + (seed >> 40) % (FAKE_MEMORY_BYTES / 2 - FAKE_CODE_BYTES) / 16 * 16;
		if (ma_codes_find(tables, *slot) != MA_CODE_UNSEEN) {
			*slot = 0; /* another one lives there */
			continue;
		}
		fake_code_at(&python, *slot, name, 1);
		python.used = used;
		fake_put(*slot, python.config.layout.code_linetable, table);
		id = describe(*slot);
		assert_true(id != 0);
		assert_int_equal(ma_codes_find(tables, *slot), id);
	}
	for (uint32_t i = 0, run = 0; i < MA_CODE_MAP; i++) {
		removed += tables->code_map[i].address == MA_CODE_REMOVED;
		run = tables->code_map[i].address ? run + 1 : 0;
		worst = run > worst ? run : worst;
	}
	assert_in_range(removed, 0, MA_CODE_MAP * 3 / 4);
	assert_in_range(worst, 0, MA_CODE_PROBES / 2);
}

/* A crowded map costs time, never correctness. */
static void code_crowded(void **state)
{
	uint64_t address = fake_code(&python, "crowded", 1);
	uint64_t home = ma_address_hash(address) / (UINT64_MAX / MA_CODE_MAP + 1);
	uint32_t id;

	(void)state;
	for (uint32_t i = 0; i < MA_CODE_PROBES; i++)
		tables->code_map[(home + i) % MA_CODE_MAP].address = 16 * (i + 1);
	id = describe(address);
	assert_true(id != 0);
	assert_int_equal(ma_codes_find(tables, address), MA_CODE_UNSEEN);
	assert_int_equal(describe(address), id);
	/* One that goes makes room. */
	tables->code_map[(home + 5) % MA_CODE_MAP].address = MA_CODE_REMOVED;
	assert_int_equal(describe(address), id);
	assert_int_equal(ma_codes_find(tables, address), id);
	/* Where frees are not seen, none goes: the first to come gives way. */
	tables->code_map[(home + 5) % MA_CODE_MAP].address = 16 * 6;
	python.writer.sees_frees = false;
	assert_int_equal(describe(address), id);
	assert_int_equal(ma_codes_find(tables, address), id);
	assert_int_equal(tables->code_map[home].address, address);
}

static void code_log_full(void **state)
{
	uint64_t known = fake_code(&python, "known", 1), again = fake_code(&python, "known", 1);
	uint64_t fresh = fake_code(&python, "fresh", 1);
	uint32_t id = describe(known);

	(void)state;
	tables->code_used = MA_CODE_WORDS - 3;
	assert_int_equal(describe(fresh), 0);
	assert_int_equal(ma_codes_find(tables, fresh), 0);
	assert_int_equal(describe(again), id);
	assert_int_equal(tables->code_used, MA_CODE_WORDS - 3);
	/* Whatever stands there, nothing is written outside. */
	tables->code_used = UINT64_MAX;
	assert_int_equal(describe(fake_code(&python, "fresher", 1)), 0);
}

static void code_busy(void **state)
{
	uint64_t address = fake_code(&python, "busy", 1);
	struct ma_writer other = {.owner = 77, .second_ticks = UINT64_MAX};
	bool busy = false;

	(void)state;
	assert_true(ma_tables_lock(tables, &other));
	assert_int_equal(ma_codes_describe(python.area, &python.config.layout, &python.writer,
					   address, &busy),
			 0);
	assert_true(busy);
	assert_int_equal(ma_codes_find(tables, address), MA_CODE_UNSEEN);
	ma_tables_unlock(tables, 77);
	assert_true(describe(address) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(code_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_strings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_check_surprise, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_unreadable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_shared, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_freed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_churn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_crowded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_log_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(code_busy, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
