/* SPDX-License-Identifier: MIT */
/* Live set, filter and thread slots, by one thread and by several at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/hook/filter.h"
#include "inject/hook/live.h"
#include "inject/hook/sampler.h"
#include "inject/hook/threads.h"
#include "proto/area_check.h"

enum { ANY = -1, THREADS = 4, OWN = 4000, ROUNDS = 400000 };

static struct ma_live *live;

static int make(void **state)
{
	(void)state;
	free(live);
	live = calloc(1, sizeof *live);
	return live ? 0 : -1;
}

static struct ma_live_entry entry_of(uint64_t address)
{
	return (struct ma_live_entry){
		.size_bytes = address * 3,
		.site = (uint32_t)address & 0xffff,
		.rate = 65536,
		.birth_ms = 5,
		.domain = MA_DOMAIN_OBJECT,
	};
}

static uint32_t count_all(void)
{
	uint32_t count = 0;

	for (uint32_t bucket = 0; bucket < MA_LIVE_BUCKETS; bucket++)
		for (int way = 0; way < MA_LIVE_WAYS; way++) {
			struct ma_live_entry entry;
			uint64_t address;

			count += ma_live_copy(live, bucket, way, &address, &entry) == 1;
		}
	return count;
}

static void test_enter_and_take(void **state)
{
	struct ma_live_entry entry = entry_of(0x1000), out = {0};

	(void)state;
	assert_false(ma_live_take(live, 0x1000, (uint32_t)ANY, &out));
	assert_int_equal(ma_live_enter(live, 0x1000, &entry, &out), MA_LIVE_ENTERED);
	assert_int_equal(count_all(), 1);
	/* Not of this layer: left where it is. */
	assert_false(ma_live_take(live, 0x1000, 1u << MA_DOMAIN_MALLOC, &out));
	assert_true(ma_live_take(live, 0x1000, 1u << MA_DOMAIN_OBJECT, &out));
	assert_memory_equal(&out, &entry, sizeof out);
	assert_false(ma_live_take(live, 0x1000, (uint32_t)ANY, &out));
	assert_int_equal(count_all(), 0);
	/* Addresses that mean something else in a slot. */
	assert_false(ma_live_take(live, 0, (uint32_t)ANY, &out));
	assert_false(ma_live_take(live, MA_LIVE_BUSY, (uint32_t)ANY, &out));
}

static void test_implicit_free(void **state)
{
	struct ma_live_entry first = entry_of(0x2000), second = first, out = {0};

	(void)state;
	second.site = 77;
	ma_live_enter(live, 0x2000, &first, &out);
	assert_int_equal(ma_live_enter(live, 0x2000, &second, &out),
			 MA_LIVE_ENTERED | MA_LIVE_REPLACED);
	assert_memory_equal(&out, &first, sizeof out);
	assert_int_equal(count_all(), 1);
	assert_true(ma_live_take(live, 0x2000, (uint32_t)ANY, &out));
	assert_int_equal(out.site, 77);
}

static void test_full(void **state)
{
	uint32_t entered = 0;
	uint64_t address = 0x100000;
	struct ma_live_entry out;

	(void)state;
	for (;; address += 48) {
		struct ma_live_entry entry = entry_of(address);

		if (!ma_live_enter(live, address, &entry, &out))
			break;
		entered++;
	}
	assert_int_equal(count_all(), entered);
	/* Buckets of eight fill evenly: the first refusal comes when it is more than half full.
	 */
	assert_true(entered > MA_LIVE_BUCKETS * MA_LIVE_WAYS * 65 / 100);
	assert_false(ma_live_take(live, address, (uint32_t)ANY, &out));
	for (uint64_t at = 0x100000; at < address; at += 48)
		assert_true(ma_live_take(live, at, (uint32_t)ANY, &out));
	assert_int_equal(count_all(), 0);
}

/* What is in while there is little stays in a few pages; what finds no room there is found too. */
static void test_front(void **state)
{
	enum { FEW = MA_LIVE_FRONT_BUCKETS * MA_LIVE_WAYS / 4 };
	struct ma_live_entry out;
	uint32_t in_front = 0;

	(void)state;
	for (uint64_t i = 0; i < FEW; i++) {
		struct ma_live_entry entry = entry_of(0x100000 + i * 3088);

		assert_int_equal(ma_live_enter(live, 0x100000 + i * 3088, &entry, &out),
				 MA_LIVE_ENTERED);
	}
	for (uint32_t bucket = 0; bucket < MA_LIVE_FRONT_BUCKETS; bucket++)
		for (int way = 0; way < MA_LIVE_WAYS; way++)
			in_front += live->address[bucket][way] != 0;
	assert_in_range(in_front, FEW * 95 / 100, FEW);
	for (uint64_t i = 0; i < FEW; i++)
		assert_true(ma_live_take(live, 0x100000 + i * 3088, (uint32_t)ANY, &out));
	assert_int_equal(count_all(), 0);
}

/* Without a place for an old one, the caller knows that there is none: nothing is looked for. */
static void test_known_to_be_new(void **state)
{
	struct ma_live_entry entry = entry_of(0x3000), out;

	(void)state;
	assert_int_equal(ma_live_enter(live, 0x3000, &entry, NULL), MA_LIVE_ENTERED);
	assert_true(ma_live_take(live, 0x3000, (uint32_t)ANY, &out));
	assert_memory_equal(&out, &entry, sizeof out);
}

/* Each thread owns some addresses, as if from malloc, and knows which of them are in. */
static void *churn(void *argument)
{
	uint64_t base = UINT64_C(0x7f0000000000) + (uint64_t)(uintptr_t)argument * 0x10000000;
	uint64_t random = base;
	bool *in = calloc(OWN, sizeof *in);
	uintptr_t wrong = 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t n = ma_sampler_random(&random) % OWN;
		struct ma_live_entry entry = entry_of(base + n * 32), out;

		if (in[n]) {
			wrong += !ma_live_take(live, base + n * 32, (uint32_t)ANY, &out);
			wrong += memcmp(&out, &entry, sizeof out) != 0;
		} else {
			wrong +=
				ma_live_enter(live, base + n * 32, &entry, &out) != MA_LIVE_ENTERED;
		}
		in[n] = !in[n];
	}
	for (uint64_t n = 0; n < OWN; n++) {
		struct ma_live_entry out;

		wrong += ma_live_take(live, base + n * 32, (uint32_t)ANY, &out) != in[n];
	}
	free(in);
	return (void *)wrong;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(count_all(), 0);
}

static struct ma_area *map_area(void)
{
	struct ma_area *area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(area, MAP_FAILED);
	return area;
}

static void unmap_empty(struct ma_area *area)
{
	for (uint32_t i = 0; i < MA_FILTER_WORDS; i++)
		assert_int_equal(area->filter.words[i], 0);
	for (uint32_t i = 0; i < sizeof area->filter.counts; i++)
		assert_int_equal(area->filter.counts[i], 0);
	munmap(area, MA_AREA_SAMPLED_BYTES);
}

static void test_filter(void **state)
{
	enum { ADDRESSES = 65536, OTHERS = 1000000 };
	struct ma_area *area = map_area();
	uint32_t wrong = 0;

	(void)state;
	for (uint64_t i = 0; i < OTHERS; i++)
		assert_false(ma_filter_may_hold(area, UINT64_C(0x560000000000) + i * 32));
	for (uint64_t i = 0; i < ADDRESSES; i++)
		ma_filter_add(area, UINT64_C(0x7f1234560000) + i * 112);
	for (uint64_t i = 0; i < ADDRESSES; i++)
		assert_true(ma_filter_may_hold(area, UINT64_C(0x7f1234560000) + i * 112));
	/* As many addresses as words: some 0.4 % of the words are crowded. */
	for (uint64_t i = 0; i < OTHERS; i++)
		wrong += ma_filter_may_hold(area, UINT64_C(0x560000000000) + i * 32);
	assert_true(wrong < OTHERS / 100);
	for (uint64_t i = 0; i < ADDRESSES; i += 2)
		ma_filter_remove(area, UINT64_C(0x7f1234560000) + i * 112);
	for (uint64_t i = 1; i < ADDRESSES; i += 2)
		assert_true(ma_filter_may_hold(area, UINT64_C(0x7f1234560000) + i * 112));
	for (uint64_t i = 1; i < ADDRESSES; i += 2)
		ma_filter_remove(area, UINT64_C(0x7f1234560000) + i * 112);
	unmap_empty(area);
}

/* Of the addresses `step` bytes apart, how many share a count with one that is in? */
static uint32_t look_twice(const struct ma_area *area, uint64_t step)
{
	uint32_t count = 0;

	for (uint64_t i = 1; i <= 100000; i++)
		count +=
			area->filter.counts[ma_filter_count(UINT64_C(0x7f1000000000) + i * step)] !=
			0;
	return count;
}

/* While few addresses are in, the counts are enough for nearly all others. */
static void test_filter_counts(void **state)
{
	enum { FEW = 20 };
	static const uint64_t steps[] = {16, 48, 3072, 4096, 65536 + 16, 1 << 20};
	struct ma_area *area = map_area();

	(void)state;
	for (uint64_t i = 0; i < FEW; i++)
		ma_filter_add(area, UINT64_C(0x7f1234560010) + i * 520000);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		assert_in_range(look_twice(area, steps[i]), 1, 100000 * 2 / 100);
	for (uint64_t i = 0; i < FEW; i++)
		ma_filter_remove(area, UINT64_C(0x7f1234560010) + i * 520000);
	unmap_empty(area);
}

/* More addresses than a count can tell, all sharing it: none is lost, whichever goes first. */
static void test_full_count(void **state)
{
	enum { ADDRESSES = UINT8_MAX + 45 };
	struct ma_area *area = map_area();

	(void)state;
	for (uint64_t i = 0; i < ADDRESSES; i++)
		ma_filter_add(area, 0x1000 + (i << 32));
	for (uint64_t i = 0; i < ADDRESSES; i++) {
		for (uint64_t j = i; j < ADDRESSES; j++)
			assert_true(ma_filter_may_hold(area, 0x1000 + (j << 32)));
		ma_filter_remove(area, 0x1000 + (i << 32));
	}
	assert_false(ma_filter_may_hold(area, 0x1000));
	/* It no longer knows, so it asks for a second look for ever. */
	assert_int_equal(area->filter.counts[ma_filter_count(0x1000)], UINT8_MAX);
	area->filter.counts[ma_filter_count(0x1000)] = 0;
	unmap_empty(area);
}

/* The n-th address that shares a word with address 0x1000, some of them its tag as well. */
static uint64_t neighbour(uint32_t n)
{
	uint64_t word = ma_filter_word(ma_address_hash(0x1000)), address = 0x1000;

	while (n)
		n -= ma_filter_word(ma_address_hash(address += 16)) == word;
	return address;
}

static void test_crowded_word(void **state)
{
	struct ma_area *area = map_area();

	(void)state;
	/* Any number of addresses in one word, taken out in either order. */
	for (uint32_t count = 1; count <= 9; count++)
		for (int turned = 0; turned < 2; turned++) {
			for (uint32_t i = 0; i < count; i++)
				ma_filter_add(area, neighbour(i));
			for (uint32_t i = 0; i < count; i++) {
				for (uint32_t j = i; j < count; j++)
					assert_true(ma_filter_may_hold(
						area, neighbour(turned ? count - 1 - j : j)));
				ma_filter_remove(area, neighbour(turned ? count - 1 - i : i));
			}
			assert_false(ma_filter_may_hold(area, 0x1000));
		}
	/* The same address twice, as when its tag is another's. */
	ma_filter_add(area, 0x1000);
	ma_filter_add(area, 0x1000);
	ma_filter_remove(area, 0x1000);
	assert_true(ma_filter_may_hold(area, 0x1000));
	ma_filter_remove(area, 0x1000);
	/* What was never in changes nothing. */
	ma_filter_remove(area, 0x1000);
	unmap_empty(area);
}

static struct ma_area *shared_area;

static void *filter_churn(void *argument)
{
	uint64_t random = (uintptr_t)argument;
	uintptr_t wrong = 0;

	for (int i = 0; i < ROUNDS / 4; i++) {
		/* Few addresses, so that the threads meet in words. */
		uint64_t address =
			(ma_sampler_random(&random) % 32 * THREADS + (uintptr_t)argument) * 16 +
			0x1000000;

		ma_filter_add(shared_area, address);
		wrong += !ma_filter_may_hold(shared_area, address);
		ma_filter_remove(shared_area, address);
	}
	return (void *)wrong;
}

static void test_filter_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	shared_area = map_area();
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, filter_churn, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	unmap_empty(shared_area);
}

static void test_slots(void **state)
{
	struct ma_thread threads[MA_THREAD_SLOTS] = {{0}};

	(void)state;
	for (uint32_t tid = 1000; tid < 1000 + MA_THREAD_SLOTS - 1; tid++)
		assert_int_equal(ma_threads_slot(threads, tid), tid - 999);
	assert_int_equal(ma_threads_slot(threads, 5), 0);
	assert_int_equal(ma_threads_slot(threads, 1003), 4);
	threads[9].tid = 0;
	assert_int_equal(ma_threads_slot(threads, 5), 9);
	assert_int_equal(threads[0].tid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_enter_and_take, make),
		cmocka_unit_test_setup(test_implicit_free, make),
		cmocka_unit_test_setup(test_full, make),
		cmocka_unit_test_setup(test_front, make),
		cmocka_unit_test_setup(test_known_to_be_new, make),
		cmocka_unit_test_setup(test_threads, make),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_filter_counts),
		cmocka_unit_test(test_full_count),
		cmocka_unit_test(test_crowded_word),
		cmocka_unit_test(test_filter_threads),
		cmocka_unit_test(test_slots),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(live);
	return failed;
}
