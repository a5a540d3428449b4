/* SPDX-License-Identifier: MIT */
/* Checked copies out of the shared area: what is accepted, and every way to lie that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "proto/area_check.h"
#include "proto/unwind.h"

static struct ma_area *area;

static int set_up(void **state)
{
	(void)state;
	area = mmap(NULL, sizeof *area, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -1;
	area->ident = (struct ma_area_ident){
		.magic = MA_AREA_MAGIC,
		.version = MA_AREA_VERSION,
		.python_version = 0x030b07f0,
		.area_bytes = MA_AREA_SAMPLED_BYTES,
		.area_address = 0x7f0000000000,
		.mode = MA_MODE_SAMPLED,
		.tsc_khz = 2400000,
		.python_path = "/usr/bin/python3.11",
		.python_build_id = "0123456789abcdef",
	};
	area->tables.stack_used = area->tables.code_used = 1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return munmap(area, sizeof *area);
}

static int check(uint64_t bytes)
{
	struct ma_area_ident ident;
	struct ma_error error = {0};
	int code = ma_area_check_ident(area, bytes, &ident, &error);
	if (code) {
		assert_int_equal(code, MA_ERR_PROTOCOL);
		assert_int_equal(error.code, code);
		assert_true(error.what[0] && error.answer[0] && error.remedy[0]);
		assert_int_equal(ident.magic, 0);
	}
	return code;
}

static void test_ident_accepted(void **state)
{
	(void)state;
	struct ma_area_ident ident;
	assert_int_equal(ma_area_check_ident(area, MA_AREA_SAMPLED_BYTES, &ident, NULL), 0);
	assert_string_equal(ident.python_path, "/usr/bin/python3.11");
	assert_memory_equal(&ident, &area->ident, sizeof ident);

	area->ident.mode = MA_MODE_EXACT;
	area->ident.area_bytes = MA_AREA_EXACT_BYTES(512);
	area->ident.exact_heap_bytes = 512 * MA_PAGE_BYTES;
	assert_int_equal(check(MA_AREA_EXACT_BYTES(512)), 0);
	area->ident.exact_heap_bytes += MA_PAGE_BYTES;
	assert_int_equal(check(MA_AREA_EXACT_BYTES(512)), MA_ERR_PROTOCOL);
}

static void test_ident_refused(void **state)
{
	(void)state;
	const uint64_t bytes = MA_AREA_SAMPLED_BYTES;
	const struct ma_area_ident good = area->ident;
	assert_int_equal(check(bytes), 0);
	assert_int_equal(check(bytes + MA_PAGE_BYTES), MA_ERR_PROTOCOL);
	assert_int_equal(check(0), MA_ERR_PROTOCOL);

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		area->ident.change;                                                                \
		assert_int_equal(check(bytes), MA_ERR_PROTOCOL);                                   \
		area->ident = good;                                                                \
		assert_int_equal(check(bytes), 0);                                                 \
	} while (0)
	REFUSED(magic ^= 1);
	REFUSED(version++);
	REFUSED(area_bytes--);
	REFUSED(mode = 0);
	REFUSED(mode = MA_MODE_CLASSES); /* there are no classes */
	REFUSED(mode = MA_MODE_CLASSES + 1);
	REFUSED(size_rate_count = 1); /* not in this mode */
	REFUSED(mode = MA_MODE_EXACT);
	REFUSED(area_address += 8);
	REFUSED(area_address = UINT64_C(1) << 47);
	REFUSED(python_version = 0x020712f0);
	REFUSED(tsc_khz = 0);
	REFUSED(tsc_khz = UINT32_MAX);
#undef REFUSED
	memset(area->ident.python_path, 'x', sizeof area->ident.python_path);
	assert_int_equal(check(bytes), MA_ERR_PROTOCOL);
	area->ident = good;
	memset(area->ident.python_build_id, 'x', sizeof area->ident.python_build_id);
	assert_int_equal(check(bytes), MA_ERR_PROTOCOL);
}

static void test_size_rates(void **state)
{
	(void)state;
	const uint64_t bytes = MA_AREA_SAMPLED_BYTES;
	area->ident.mode = MA_MODE_CLASSES;
	area->ident.size_rate_count = 3;
	area->ident.size_rates[0] = (struct ma_size_rate){128, 1, MA_RATE_CHANCE | 1, 0};
	area->ident.size_rates[1] = (struct ma_size_rate){8192, 1, UINT32_MAX, 0};
	area->ident.size_rates[2] = (struct ma_size_rate){UINT64_MAX, UINT64_MAX, 0, 0};
	const struct ma_area_ident good = area->ident;
	assert_int_equal(check(bytes), 0);

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		area->ident.change;                                                                \
		assert_int_equal(check(bytes), MA_ERR_PROTOCOL);                                   \
		area->ident = good;                                                                \
		assert_int_equal(check(bytes), 0);                                                 \
	} while (0)
	REFUSED(size_rate_count = 0);
	REFUSED(size_rate_count = 2); /* the last class must take every size */
	REFUSED(size_rate_count = MA_SIZE_RATES + 1);
	REFUSED(size_rate_count = UINT32_MAX);
	REFUSED(size_rates[0].below_bytes = 0);
	REFUSED(size_rates[1].below_bytes = 128);
	REFUSED(size_rates[2].below_bytes--);
	REFUSED(size_rates[0].rate = MA_RATE_CHANCE); /* a chance of 0 */
#undef REFUSED
}

static struct ma_event event_number(uint64_t number)
{
	return (struct ma_event){
		.sequence = number,
		.address = 0x1000 + number * 16,
		.size_bytes = 16,
		.site = 1,
		.rate = 65536,
		.kind = MA_EVENT_ALLOC,
		.domain = MA_DOMAIN_MALLOC,
	};
}

static void test_ring_wraps_around(void **state)
{
	(void)state;
	struct ma_ring *ring = &area->rings[3];
	struct ma_event events[100];
	uint64_t lost = 9, written = 0, read = 0;
	assert_int_equal(ma_ring_take(ring, events, 100, &lost), 0);
	assert_int_equal(lost, 0);
	while (read < 3 * MA_RING_EVENTS) {
		for (int i = 0; i < 130 && written - read < MA_RING_EVENTS; i++) {
			ring->events[written % MA_RING_EVENTS] = event_number(written + 1);
			ring->head = ++written;
		}
		int got = ma_ring_take(ring, events, 100, &lost);
		assert_true(got > 0 && got <= 100);
		assert_int_equal(lost, 0);
		for (int i = 0; i < got; i++) {
			assert_int_equal(ma_event_check(&events[i]), 0);
			assert_int_equal(events[i].sequence, ++read);
		}
		assert_int_equal(ring->tail, read);
	}
	while (read < written)
		read += (uint64_t)ma_ring_take(ring, events, 100, &lost);
	assert_int_equal(ma_ring_take(ring, events, 0, &lost), 0);
	assert_int_equal(ma_ring_take(ring, events, -5, &lost), 0);
}

static void test_ring_full_and_impossible(void **state)
{
	(void)state;
	struct ma_ring *ring = &area->rings[0];
	static struct ma_event events[MA_RING_EVENTS + 8];
	uint64_t lost;
	/* The counters wrap after 2^64 events; that is no fault. */
	ring->tail = UINT64_MAX - 5;
	ring->head = ring->tail + MA_RING_EVENTS;
	assert_int_equal(ma_ring_take(ring, events, MA_RING_EVENTS + 8, &lost), MA_RING_EVENTS);
	assert_int_equal(ring->tail, ring->head);

	ring->head = ring->tail + MA_RING_EVENTS + 1;
	assert_int_equal(ma_ring_take(ring, events, 8, &lost), MA_ERR_PROTOCOL);
	assert_int_equal(lost, MA_RING_EVENTS);
	assert_int_equal(ring->tail, ring->head);
	assert_int_equal(ma_ring_take(ring, events, 8, &lost), 0);

	ring->head = ring->tail - 1;
	assert_int_equal(ma_ring_take(ring, events, 8, &lost), MA_ERR_PROTOCOL);
	assert_int_equal(ring->tail, ring->head);
}

static void test_event(void **state)
{
	(void)state;
	const struct ma_event good = event_number(7);
	struct ma_event event = good;
	assert_int_equal(ma_event_check(&event), 0);
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		event.change;                                                                      \
		assert_int_equal(ma_event_check(&event), MA_ERR_PROTOCOL);                         \
		event = good;                                                                      \
	} while (0)
	REFUSED(sequence = 0);
	REFUSED(kind = 0);
	REFUSED(kind = MA_EVENT_UNMAP + 1);
	REFUSED(address = 0);
	REFUSED(address = UINT64_C(1) << 47);
	REFUSED(size_bytes = 0);
	REFUSED(size_bytes = UINT64_C(1) << 47);
	REFUSED(size_bytes = UINT64_MAX);
	REFUSED(site = MA_SITES);
	REFUSED(rate = (64u << 20) + 1);
	REFUSED(kind = MA_EVENT_MAP); /* an interval makes no sense there */
	REFUSED(domain = 0);
	REFUSED(domain = MA_DOMAIN_MMAP + 1);
#undef REFUSED
	event.kind = MA_EVENT_UNMAP;
	event.rate = 0;
	assert_int_equal(ma_event_check(&event), 0);
}

static uint32_t add_stack(uint32_t frames, uint32_t flags)
{
	uint32_t id = (uint32_t)area->tables.stack_used;
	struct ma_stack stack = {.frame_count = frames, .flags = flags, .hash = 77};
	memcpy(&area->tables.stack_log[id], &stack, sizeof stack);
	for (uint32_t i = 0; i < frames && i < MA_MAX_FRAMES; i++)
		area->tables.stack_log[id + 2 + i] = MA_FRAME(i + 1, i * 2);
	area->tables.stack_used = id + 2 + frames;
	return id;
}

static void test_stack(void **state)
{
	(void)state;
	struct ma_tables *tables = &area->tables;
	struct ma_stack stack;
	static uint64_t frames[MA_MAX_FRAMES];
	uint32_t none = add_stack(0, MA_STACK_NO_PYTHON);
	uint32_t three = add_stack(3, 0);
	uint32_t deep = add_stack(MA_MAX_FRAMES, MA_STACK_TRUNCATED);
	assert_int_equal(ma_stack_copy(tables, none, &stack, frames), 0);
	assert_int_equal(stack.frame_count, 0);
	assert_int_equal(ma_stack_copy(tables, three, &stack, frames), 0);
	assert_int_equal(stack.hash, 77);
	assert_int_equal(MA_FRAME_CODE(frames[2]), 3);
	assert_int_equal(MA_FRAME_OFFSET(frames[2]), 4);
	assert_int_equal(ma_stack_copy(tables, deep, &stack, frames), 0);
	assert_int_equal(stack.frame_count, MA_MAX_FRAMES);

	assert_int_equal(ma_stack_copy(tables, 0, &stack, frames), MA_ERR_PROTOCOL);
	assert_int_equal(ma_stack_copy(tables, UINT32_MAX, &stack, frames), MA_ERR_PROTOCOL);
	assert_int_equal(ma_stack_copy(tables, (uint32_t)tables->stack_used, &stack, frames),
			 MA_ERR_PROTOCOL);
	tables->stack_used--; /* the last record is not complete */
	assert_int_equal(ma_stack_copy(tables, deep, &stack, frames), MA_ERR_PROTOCOL);
	tables->stack_used = MA_STACK_WORDS + 1;
	assert_int_equal(ma_stack_copy(tables, three, &stack, frames), MA_ERR_PROTOCOL);
	tables->stack_used = MA_STACK_WORDS;
	tables->stack_log[three] = MA_MAX_FRAMES + 1;
	assert_int_equal(ma_stack_copy(tables, three, &stack, frames), MA_ERR_PROTOCOL);
	tables->stack_log[three] = UINT64_C(128) << 32 | 3; /* a flag that there is not */
	assert_int_equal(ma_stack_copy(tables, three, &stack, frames), MA_ERR_PROTOCOL);
	tables->stack_log[MA_STACK_WORDS - 2] = 1; /* its frame would lie beyond the log */
	assert_int_equal(ma_stack_copy(tables, MA_STACK_WORDS - 2, &stack, frames),
			 MA_ERR_PROTOCOL);
}

/* Native frames follow the Python ones. */
static void test_native_frames(void **state)
{
	(void)state;
	struct ma_tables *tables = &area->tables;
	struct ma_stack stack;
	static uint64_t frames[MA_MAX_FRAMES];
	const uint64_t pc = UINT64_C(0x7ffff7a12345);
	tables->stack_used = 1;
	uint32_t id = add_stack(4, MA_STACK_NATIVE_CUT);
	uint64_t *words = &tables->stack_log[id + 2];
	words[0] |= MA_FRAME_ENTRY;
	words[2] = MA_FRAME_NATIVE(0xfffe, pc);
	words[3] = MA_FRAME_NATIVE(1, pc + 1);
	assert_int_equal(ma_stack_copy(tables, id, &stack, frames), 0);
	assert_int_equal(stack.frame_count, 4);
	assert_true(MA_FRAME_IS_NATIVE(frames[2]));
	assert_int_equal(MA_FRAME_NATIVE_MODULE(frames[2]), 0xfffe);
	assert_int_equal(MA_FRAME_NATIVE_PC(frames[3]), pc + 1);
	assert_int_equal(MA_FRAME_OFFSET(frames[0]), 0);
	ma_stack_keep_python(&stack, frames);
	assert_int_equal(stack.frame_count, 2);
	assert_int_equal(frames[0], MA_FRAME(1, 0));

	words[3] = MA_FRAME_NATIVE(0, pc); /* no module */
	assert_int_equal(ma_stack_copy(tables, id, &stack, frames), MA_ERR_PROTOCOL);
	words[3] = MA_FRAME(4, 6); /* a Python frame behind a native one */
	assert_int_equal(ma_stack_copy(tables, id, &stack, frames), MA_ERR_PROTOCOL);
	words[2] = MA_FRAME(3, 4);
	assert_int_equal(ma_stack_copy(tables, id, &stack, frames), 0);
}

static void test_site(void **state)
{
	(void)state;
	struct ma_tables *tables = &area->tables;
	const struct ma_site good = {
		.stack = 5, .domain = MA_DOMAIN_MMAP, .thread = 63, .flags = 127};
	struct ma_site site;
	tables->sites[2] = good;
	tables->site_count = 2;
	assert_int_equal(ma_site_copy(tables, 2, &site), 0);
	assert_memory_equal(&site, &good, sizeof site);
	assert_int_equal(ma_site_copy(tables, 1, &site), MA_ERR_PROTOCOL); /* no domain */
	assert_int_equal(ma_site_copy(tables, 0, &site), MA_ERR_PROTOCOL);
	assert_int_equal(ma_site_copy(tables, 3, &site), MA_ERR_PROTOCOL);
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		tables->sites[2].change;                                                           \
		assert_int_equal(ma_site_copy(tables, 2, &site), MA_ERR_PROTOCOL);                 \
		tables->sites[2] = good;                                                           \
		assert_int_equal(ma_site_copy(tables, 2, &site), 0);                               \
	} while (0)
	REFUSED(stack = MA_STACK_WORDS);
	REFUSED(domain = MA_DOMAIN_MMAP + 1);
	REFUSED(thread = MA_THREAD_SLOTS);
	REFUSED(flags = 128);
#undef REFUSED
	tables->site_count = MA_SITES;
	assert_int_equal(ma_site_copy(tables, 2, &site), MA_ERR_PROTOCOL);
}

static const char code_data[] = "namefile.py\1\2\3";
enum { CODE_DATA = 14, CODE_BYTES = sizeof(struct ma_code) + CODE_DATA, CODE_WORDS = 8 };

static struct ma_code *add_code(uint32_t *id)
{
	struct ma_tables *tables = &area->tables;
	*id = (uint32_t)tables->code_used;
	struct ma_code *code = (struct ma_code *)(void *)&tables->code_log[*id];
	*code = (struct ma_code){
		.address = 0x7f0000001000,
		.words = CODE_WORDS,
		.first_line = 12,
		.linetable_total_bytes = 3,
		.linetable_bytes = 3,
		.name_bytes = 4,
		.filename_bytes = 7,
		.name_kind = 1,
		.filename_kind = 1,
	};
	memcpy(code + 1, code_data, CODE_DATA);
	tables->code_used = *id + CODE_WORDS;
	return code;
}

static void test_code(void **state)
{
	(void)state;
	struct ma_tables *tables = &area->tables;
	uint8_t buffer[CODE_BYTES + 1];
	uint32_t id;
	struct ma_code *code = add_code(&id);
	const struct ma_code good = *code;
	buffer[CODE_BYTES] = 0x55;
	assert_int_equal(ma_code_copy(tables, id, buffer, CODE_BYTES), CODE_BYTES);
	assert_memory_equal(buffer, code, CODE_BYTES);
	assert_int_equal(buffer[CODE_BYTES], 0x55);
	assert_int_equal(ma_code_copy(tables, id, buffer, CODE_BYTES - 1), MA_ERR_PROTOCOL);
	assert_int_equal(ma_code_copy(tables, 0, buffer, CODE_BYTES), MA_ERR_PROTOCOL);
	assert_int_equal(ma_code_copy(tables, id + 3, buffer, CODE_BYTES), MA_ERR_PROTOCOL);
	assert_int_equal(ma_code_copy(tables, UINT32_MAX, buffer, CODE_BYTES), MA_ERR_PROTOCOL);
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		code->change;                                                                      \
		assert_int_equal(ma_code_copy(tables, id, buffer, sizeof buffer),                  \
				 MA_ERR_PROTOCOL);                                                 \
		*code = good;                                                                      \
		assert_int_equal(ma_code_copy(tables, id, buffer, sizeof buffer), CODE_BYTES);     \
	} while (0)
	REFUSED(words = CODE_WORDS + 1);
	REFUSED(words = 0);
	REFUSED(words = UINT32_MAX);
	REFUSED(words = CODE_WORDS - 1);
	REFUSED(name_kind = 3);
	REFUSED(name_kind = 0);
	REFUSED(filename_kind = 2); /* seven bytes are not pairs */
	REFUSED(name_bytes = UINT16_MAX);
	REFUSED(linetable_bytes = 4); /* more than there are in all */
	REFUSED(linetable_bytes = code->linetable_total_bytes = UINT32_MAX);
	REFUSED(cut = 2);
#undef REFUSED
	tables->code_used--;
	assert_int_equal(ma_code_copy(tables, id, buffer, sizeof buffer), MA_ERR_PROTOCOL);
	tables->code_used = UINT64_MAX;
	assert_int_equal(ma_code_copy(tables, id, buffer, sizeof buffer), MA_ERR_PROTOCOL);
}

static void test_live(void **state)
{
	(void)state;
	struct ma_live *live = &area->live;
	const struct ma_live_entry good = {.size_bytes = 100,
					   .site = 9,
					   .rate = 4096,
					   .birth_ms = 5,
					   .domain = MA_DOMAIN_OBJECT};
	struct ma_live_entry entry;
	uint64_t address;
	const uint32_t bucket = MA_LIVE_BUCKETS - 1;
	const int way = MA_LIVE_WAYS - 1;
	assert_int_equal(ma_live_copy(live, bucket, way, &address, &entry), 0);
	live->entry[bucket][way] = good;
	live->address[bucket][way] = MA_LIVE_BUSY;
	assert_int_equal(ma_live_copy(live, bucket, way, &address, &entry), 0);
	live->address[bucket][way] = 0x7f0000001230;
	assert_int_equal(ma_live_copy(live, bucket, way, &address, &entry), 1);
	assert_int_equal(address, 0x7f0000001230);
	assert_memory_equal(&entry, &good, sizeof entry);

	assert_int_equal(ma_live_copy(live, MA_LIVE_BUCKETS, 0, &address, &entry), 0);
	assert_int_equal(ma_live_copy(live, 0, MA_LIVE_WAYS, &address, &entry), 0);
	assert_int_equal(ma_live_copy(live, 0, -1, &address, &entry), 0);
#define IGNORED(change)                                                                            \
	do {                                                                                       \
		live->entry[bucket][way].change;                                                   \
		assert_int_equal(ma_live_copy(live, bucket, way, &address, &entry), 0);            \
		live->entry[bucket][way] = good;                                                   \
		assert_int_equal(ma_live_copy(live, bucket, way, &address, &entry), 1);            \
	} while (0)
	IGNORED(size_bytes = 0);
	IGNORED(size_bytes = UINT64_MAX);
	IGNORED(site = MA_SITES);
	IGNORED(rate = MA_RATE_CHANCE);
	IGNORED(rate = UINT32_C(3) << MA_RATE_WINDOW_SHIFT); /* a window without an interval */
	IGNORED(domain = 0);
	IGNORED(domain = 0x10001);
#undef IGNORED
	live->address[bucket][way] = UINT64_MAX;
	assert_int_equal(ma_live_copy(live, bucket, way, &address, &entry), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_ident_accepted),
		TEST(test_ident_refused),
		TEST(test_size_rates),
		TEST(test_ring_wraps_around),
		TEST(test_ring_full_and_impossible),
		TEST(test_event),
		TEST(test_stack),
		TEST(test_native_frames),
		TEST(test_site),
		TEST(test_code),
		TEST(test_live),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
