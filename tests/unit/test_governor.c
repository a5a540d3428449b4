/* SPDX-License-Identifier: MIT */
/* The interval follows cost and pressure, within bounds, and stays put when it is fixed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/governor.h"
#include "proto/area.h"

enum { KHZ = 2000000, START = 64 << 10 };

/*
 * A target whose slow path costs slow_us for each sample, with `rate` bytes and `operations` a
 * second. Runs for some seconds at 20 ms a poll.
 */
struct load {
	double bytes_per_second, slow_us, operations_per_second;
	double windowed; /* the part of the operations and bytes that windows let pass by */
	double samples, windowed_samples; /* so far */
	uint64_t live_count;
	struct ma_governor_input now;
};

static void run(struct ma_governor *governor, struct load *load, double seconds)
{
	for (int i = 0; i < (int)(seconds * 50); i++) {
		double open = load->windowed * ldexp(1, -(int)governor->exponent);
		double samples = load->bytes_per_second * 0.02 / governor->interval_bytes;
		samples *= governor->has_windows ? 1 - load->windowed + open : 1;
		load->now.now_ms += 20;
		load->now.tsc += (uint64_t)KHZ * 20;
		load->now.slow_cycles += samples * load->slow_us * KHZ / 1000;
		load->now.operations += load->operations_per_second * 0.02;
		load->now.windowed += load->operations_per_second * 0.02 * load->windowed;
		load->now.live_count = load->live_count;
		load->samples += samples;
		load->windowed_samples += samples * open / (1 - load->windowed + open);
		load->now.samples = (uint64_t)load->samples;
		load->now.windowed_samples = (uint64_t)load->windowed_samples;
		ma_governor_tick(governor, &load->now);
	}
}

static void test_holds_budget(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {.bytes_per_second = 8e9, .slow_us = 2, .now = {.tsc = 1}};
	ma_governor_init(&governor, START, false, 0.02, KHZ);
	assert_true(ma_governor_cost(&governor) < 0);
	run(&governor, &load, 60); /* at 64 KiB it would be 24 % */
	assert_true(ma_governor_cost(&governor) <= 0.02);
	assert_true(governor.interval_bytes >= 10 * START && governor.interval_bytes <= 32 * START);
	assert_int_equal(governor.max_bytes, governor.interval_bytes);
	/* The load goes: back to the start, not below it, and not at once. */
	load.bytes_per_second = 1e6;
	run(&governor, &load, 5);
	assert_true(governor.interval_bytes > START);
	run(&governor, &load, 200);
	assert_int_equal(governor.interval_bytes, START);
	assert_int_equal(governor.min_bytes, START);
}

/* From idle to what costs ten times the budget: a second later it is within it. */
static void test_wakes_up(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {.now = {.tsc = 1}};
	ma_governor_init(&governor, START, false, 0.02, KHZ);
	run(&governor, &load, 30);
	assert_int_equal(governor.interval_bytes, START);
	load.bytes_per_second = 9e9;
	load.slow_us = 1.5;
	run(&governor, &load, 1);
	double cycles = load.now.slow_cycles;
	run(&governor, &load, 4);
	assert_true((load.now.slow_cycles - cycles) / (4.0 * KHZ * 1000) <= 0.02);
	/* One period that is a little too dear is no reason; the next one of that kind is. */
	uint32_t interval = governor.interval_bytes;
	load.slow_us *= 1.6;
	run(&governor, &load, 0.28);
	assert_int_equal(governor.interval_bytes, interval);
	run(&governor, &load, 0.5);
	assert_true(governor.interval_bytes > interval);
}

static void test_history(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {
		.bytes_per_second = 65536, .slow_us = 10000, .operations_per_second = 1e6};
	load.now.tsc = 1;
	ma_governor_init(&governor, START, true, 0.02, KHZ);
	run(&governor, &load, 20);
	const struct ma_cost_history *history = &governor.history;
	assert_in_range(history->count, 18, 20);
	load.operations_per_second = 0;
	run(&governor, &load, 1000);
	assert_in_range(history->count, MA_COST_SPANS / 2, MA_COST_SPANS);
	uint64_t end_ms = 0, total_ms = 0;
	double operations = 0;
	for (uint32_t i = 0; i < history->count; i++) {
		const struct ma_cost_span *span = &history->spans[i];
		assert_true(i == 0 || span->end_ms == end_ms + span->span_ms);
		assert_true(span->slow_ratio > 0.009 && span->slow_ratio < 0.011);
		assert_int_equal(span->interval_bytes, START);
		end_ms = span->end_ms;
		total_ms += span->span_ms;
		operations += span->operations_per_second * span->span_ms / 1e3;
	}
	/* Nothing is lost by merging. */
	assert_true(total_ms > 980000 && total_ms <= 1020000);
	assert_true(operations > 1.9e7 && operations < 2.1e7);
}

static void test_fast_path_is_no_reason(void **state)
{
	(void)state;
	struct ma_governor governor;
	/* 50 million operations a second: 11.5 % by themselves. */
	struct load load = {.bytes_per_second = 1e8,
			    .slow_us = 1,
			    .operations_per_second = 5e7,
			    .now = {.tsc = 1}};
	ma_governor_init(&governor, START, false, 0.02, KHZ);
	run(&governor, &load, 60);
	assert_int_equal(governor.interval_bytes, START);
	assert_true(governor.fast_ratio > 0.11 && governor.fast_ratio < 0.12);
}

/* The same where small objects can pass by: half a second later they do, and no more than needed.
 */
static void test_windows(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {.bytes_per_second = 1e8,
			    .slow_us = 1,
			    .operations_per_second = 1e6,
			    .windowed = 0.95,
			    .now = {.tsc = 1}};
	ma_governor_init(&governor, START, false, 0.02, KHZ);
	governor.has_windows = true;
	run(&governor, &load, 20);
	assert_int_equal(governor.exponent, 0);
	load.operations_per_second = 5e7;
	run(&governor, &load, 0.75);
	/* 7.1 % is to become 0.8 %, less the 0.6 % of what does not pass by. */
	assert_in_range(governor.exponent, 4, 5);
	run(&governor, &load, 2);
	assert_int_equal(governor.exponent, 5);
	assert_true(governor.fast_ratio < 0.008);
	assert_int_equal(governor.interval_bytes, START);
	/* A third of it: wider, but not at once. */
	load.operations_per_second /= 3;
	run(&governor, &load, 5);
	assert_int_equal(governor.exponent, 5);
	run(&governor, &load, 10);
	assert_int_equal(governor.exponent, 3);
	/* Rest: no windows. What was is remembered. */
	load.operations_per_second = 0;
	run(&governor, &load, 20);
	assert_int_equal(governor.exponent, 0);
	assert_int_equal(governor.max_exponent, 5);
	const struct ma_cost_history *history = &governor.history;
	uint32_t met = 0;
	for (uint32_t i = 0; i < history->count; i++)
		met |= 1U << history->spans[i].window_exponent;
	assert_int_equal(met, 1U << 0 | 1U << 3 | 1U << 5 | (met & 1U << 4));
}

/* Sampling costs three times what it may, but not once there are windows: R stays as it is. */
static void test_windows_spare_samples(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {.slow_us = 1.5, .windowed = 1, .now = {.tsc = 1}};
	ma_governor_init(&governor, START, false, 0.02, KHZ);
	governor.has_windows = true;
	run(&governor, &load, 5);
	load.operations_per_second = 5e7;
	load.bytes_per_second = 2e9;
	run(&governor, &load, 3);
	assert_true(governor.exponent >= 3);
	assert_int_equal(governor.max_bytes, START);
	assert_true(ma_governor_cost(&governor) <= 0.02);
}

/* A little too much once is no reason; where most does not pass by, windows close as far as it
 * goes. */
static void test_windows_hesitate(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {.operations_per_second = 6e6, .windowed = 1, .now = {.tsc = 1}};
	ma_governor_init(&governor, START, false, 0.02, KHZ);
	governor.has_windows = true;
	run(&governor, &load,
	    1.02); /* the last period has just been judged: 0.9 % where 0.8 may be */
	assert_int_equal(governor.exponent, 1);
	load.operations_per_second = 1e8;
	load.windowed = 0.5;
	run(&governor, &load, 30);
	assert_int_equal(governor.exponent, MA_WINDOW_EXPONENT_MAX);
	ma_governor_fix(&governor, START);
	assert_int_equal(governor.exponent, 0);
	run(&governor, &load, 5);
	assert_int_equal(governor.exponent, 0);
}

static void test_fixed(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct load load = {.bytes_per_second = 8e9, .slow_us = 5, .now = {.tsc = 1}};
	ma_governor_init(&governor, START, true, 0.02, KHZ);
	load.now.ring_permille = 900;
	run(&governor, &load, 30);
	assert_int_equal(governor.interval_bytes, START);
	assert_true(ma_governor_cost(&governor) > 0.02);
	ma_governor_fix(&governor, 1);
	assert_int_equal(governor.interval_bytes, MA_INTERVAL_MIN_BYTES);
	ma_governor_fix(&governor, UINT32_MAX);
	assert_int_equal(governor.interval_bytes, MA_INTERVAL_MAX_BYTES);
}

static void test_pressure(void **state)
{
	(void)state;
	struct ma_governor governor;
	struct ma_governor_input input = {.tsc = 1, .ring_permille = 300};
	ma_governor_init(&governor, START, false, 0, KHZ);
	assert_true(ma_governor_tick(&governor, &input));
	assert_int_equal(governor.interval_bytes, 2 * START);
	input.ring_permille = 0;
	input.dropped = 5;
	assert_true(ma_governor_tick(&governor, &input));
	assert_int_equal(governor.interval_bytes, 8 * START);
	assert_false(ma_governor_tick(&governor, &input));
	/* The live set: once at half full, then with each sixteenth more, not at every look. */
	uint64_t entries = MA_LIVE_BUCKETS * MA_LIVE_WAYS;
	input.live_count = entries / 2 + 1;
	assert_true(ma_governor_tick(&governor, &input));
	for (int i = 0; i < 100; i++)
		assert_false(ma_governor_tick(&governor, &input));
	input.live_count += entries / 16 + 1;
	assert_true(ma_governor_tick(&governor, &input));
	assert_int_equal(governor.interval_bytes, 32 * START);
	for (uint64_t i = 0; i < 100; i++) {
		input.dropped++;
		ma_governor_tick(&governor, &input);
	}
	assert_int_equal(governor.interval_bytes, MA_INTERVAL_MAX_BYTES);
}

static void test_nonsense(void **state)
{
	(void)state;
	struct ma_governor governor;
	ma_governor_init(&governor, 0, false, -3, 0);
	assert_int_equal(governor.interval_bytes, MA_INTERVAL_MIN_BYTES);
	struct ma_governor_input input = {.now_ms = 1, .tsc = 5, .slow_cycles = 0x1p64};
	ma_governor_tick(&governor, &input);
	input = (struct ma_governor_input){.now_ms = 9000, .tsc = 3, .slow_cycles = 1};
	ma_governor_tick(&governor, &input);
	input.tsc = 100;
	ma_governor_tick(&governor, &input);
	assert_true(ma_governor_cost(&governor) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds_budget),
		cmocka_unit_test(test_wakes_up),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_fast_path_is_no_reason),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_windows_spare_samples),
		cmocka_unit_test(test_windows_hesitate),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_nonsense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
