/* SPDX-License-Identifier: MIT */
/* See governor.h. */
#include "daemon/governor.h"

#include <math.h>
#include <string.h>

#include "proto/area.h"

enum {
	RING_PRESSURE_PERMILLE = 250, /* events pile up */
	RING_CALM_PERMILLE = 60,
	LIVE_ENTRIES = MA_LIVE_BUCKETS * MA_LIVE_WAYS,
	LIVE_PRESSURE = LIVE_ENTRIES / 2,
	LIVE_STEP = LIVE_ENTRIES / 16, /* growth that calls for another raise */
	LIVE_CALM = LIVE_ENTRIES / 8,
	CALM_MS = 10000, /* before R is lowered */
	MAX_STEP = 8,    /* R changes by at most this factor at once, either way */
};

#define SMOOTHING 0.3  /* share of the newest period in the cost */
#define GROSSLY   2.0  /* so many times its share of the budget is too much at once */
#define AIM       0.75 /* part of its share that a raised R is to cost */

#define FAST_PART  0.4  /* of the budget, for the fast path where there are windows */
#define LEAST_PART 0.05 /* of the budget for windows, where the rest takes more than that */
#define WIDER      1.5  /* windows open wider when they could if things cost so many times more */

static uint32_t bounded(uint64_t interval_bytes)
{
	if (interval_bytes < MA_INTERVAL_MIN_BYTES)
		return MA_INTERVAL_MIN_BYTES;
	if (interval_bytes > MA_INTERVAL_MAX_BYTES)
		return MA_INTERVAL_MAX_BYTES;
	return (uint32_t)interval_bytes;
}

void ma_governor_init(struct ma_governor *governor, uint32_t interval_bytes, bool fixed,
		      double budget_ratio, uint32_t tsc_khz)
{
	uint32_t start = bounded(interval_bytes);
	*governor = (struct ma_governor){.fixed = fixed,
					 .budget_ratio = budget_ratio > 0 ? budget_ratio : 0,
					 .tsc_khz = tsc_khz,
					 .start_bytes = start,
					 .interval_bytes = start,
					 .min_bytes = start,
					 .max_bytes = start};
}

static bool change(struct ma_governor *governor, uint64_t interval_bytes, uint64_t now_ms)
{
	uint32_t interval = bounded(interval_bytes);
	governor->calm_since_ms = now_ms;
	governor->was_over = false;
	if (interval == governor->interval_bytes)
		return false;
	governor->interval_bytes = interval;
	if (interval < governor->min_bytes)
		governor->min_bytes = interval;
	if (interval > governor->max_bytes)
		governor->max_bytes = interval;
	return true;
}

void ma_governor_fix(struct ma_governor *governor, uint32_t interval_bytes)
{
	governor->fixed = true;
	governor->exponent = 0;
	change(governor, interval_bytes, governor->last.now_ms);
	governor->start_bytes = governor->interval_bytes;
}

double ma_governor_cost(const struct ma_governor *governor)
{
	return governor->known ? governor->slow_ratio + governor->fast_ratio : -1;
}

static double open_part(const struct ma_governor *governor)
{
	return ldexp(1, -(int)governor->exponent);
}

/* What the slow path may cost: what the fast path leaves of the budget, though never less than a
 * quarter of it, since no R brings the fast path down. */
static double allowed_ratio(const struct ma_governor *governor)
{
	double left = governor->budget_ratio - governor->fast_ratio;
	double least = governor->budget_ratio / 4;
	return left > least ? left : least;
}

static void remember(struct ma_governor *governor, const struct ma_governor_input *input,
		     double slow_ratio, double fast_ratio, double operations)
{
	uint64_t span_ms = input->now_ms - governor->last.now_ms;
	struct ma_cost_span span = {
		.end_ms = input->now_ms,
		.span_ms = span_ms < UINT32_MAX ? (uint32_t)span_ms : UINT32_MAX,
		.interval_bytes = governor->interval_bytes,
		.window_exponent = governor->exponent,
		.slow_ratio = slow_ratio,
		.fast_ratio = fast_ratio,
		.operations_per_second = operations * 1e3 / (double)span_ms,
	};
	ma_cost_history_add(&governor->history, &span);
}

static double part_of(uint64_t some, uint64_t all)
{
	return some < all ? (double)some / (double)all : all > 0;
}

/* Returns whether a new figure was made. */
static bool measure(struct ma_governor *governor, const struct ma_governor_input *input)
{
	struct ma_governor_input *last = &governor->last;
	if (last->tsc == 0) {
		*last = *input;
		return false;
	}
	if (input->now_ms - last->now_ms < MA_GOVERNOR_PERIOD_MS || input->tsc <= last->tsc)
		return false;
	double cycles = (double)(input->tsc - last->tsc);
	/* The counters are the target's: a step back is nonsense and counts as nothing. */
	double slow = input->slow_cycles >= last->slow_cycles
			      ? (input->slow_cycles - last->slow_cycles) / cycles
			      : 0;
	double operations = fmax(0, input->operations - last->operations);
	double windowed = fmin(operations, fmax(0, input->windowed - last->windowed));
	double per_ns = governor->tsc_khz / 1e6 / cycles;
	double others_ratio = (operations - windowed) * MA_FAST_PATH_NS * per_ns;
	double windowed_ratio = windowed * MA_WINDOWED_PATH_NS * per_ns;
	double fast = others_ratio + open_part(governor) * windowed_ratio;
	double share = governor->known ? SMOOTHING : 1;
	governor->slow_ratio += share * (slow - governor->slow_ratio);
	governor->fast_ratio += share * (fast - governor->fast_ratio);
	governor->windowed_ratio += share * (windowed_ratio - governor->windowed_ratio);
	governor->newest_slow_ratio = slow;
	governor->newest_windowed_ratio = windowed_ratio;
	governor->windowed_part = part_of(input->windowed_samples - last->windowed_samples,
					  input->samples - last->samples);
	governor->known = true;
	remember(governor, input, slow, fast, operations);
	*last = *input;
	return true;
}

/* How much R must grow at once, because memory that is shared runs out; 1 = not at all. */
static unsigned pressure(struct ma_governor *governor, const struct ma_governor_input *input)
{
	unsigned factor = 1;
	if (input->ring_permille >= RING_PRESSURE_PERMILLE)
		factor = 2;
	if (input->dropped != governor->last_dropped)
		factor = 4;
	governor->last_dropped = input->dropped;
	if (input->live_count < governor->live_at_raise)
		governor->live_at_raise = input->live_count;
	/* What is in the live set already stays there: only its growth calls for a further step. */
	if (input->live_count > LIVE_PRESSURE &&
	    input->live_count - governor->live_at_raise > LIVE_STEP) {
		governor->live_at_raise = input->live_count;
		factor = factor > 2 ? factor : 2;
	}
	return factor;
}

/* By how much R must grow because of what the last period cost; 1 = not at all. */
static double excess(struct ma_governor *governor, double allowed)
{
	double times = governor->newest_slow_ratio / allowed;
	bool over = times > 1;
	bool act = over && (governor->was_over || times > GROSSLY);
	governor->was_over = over;
	if (!act)
		return 1;
	return times / AIM < MAX_STEP ? times / AIM : MAX_STEP;
}

/* By how much R may shrink, so that its cost is half of what it may be. At least 2. */
static double relief(const struct ma_governor *governor, double allowed)
{
	double times = governor->slow_ratio * 2 * MAX_STEP > allowed
			       ? allowed / 2 / governor->slow_ratio
			       : MAX_STEP;
	return governor->budget_ratio > 0 && times > 2 ? times : 2;
}

/* How narrow windows must be that look at what would cost `windowed_ratio` without them. */
static uint32_t exponent_for(const struct ma_governor *governor, double windowed_ratio)
{
	double budget = governor->budget_ratio;
	double others = governor->fast_ratio - open_part(governor) * governor->windowed_ratio;
	double room = fmax(FAST_PART * budget - fmax(0, others), LEAST_PART * budget);
	uint32_t exponent = 0;
	while (exponent < MA_WINDOW_EXPONENT_MAX && ldexp(windowed_ratio, -(int)exponent) > room)
		exponent++;
	return exponent;
}

/* Sampling in windows gets dearer or cheaper with them: R is judged by what it will cost. */
static void set_exponent(struct ma_governor *governor, uint32_t exponent, uint64_t now_ms)
{
	double others = governor->fast_ratio - open_part(governor) * governor->windowed_ratio;
	double times = ldexp(1, (int)governor->exponent - (int)exponent);
	double slow = 1 - governor->windowed_part + governor->windowed_part * times;
	governor->exponent = exponent;
	governor->fast_ratio = fmax(0, others) + open_part(governor) * governor->windowed_ratio;
	governor->slow_ratio *= slow;
	governor->newest_slow_ratio *= slow;
	if (exponent > governor->max_exponent)
		governor->max_exponent = exponent;
	governor->was_wide = false;
	governor->narrow_since_ms = now_ms;
}

/* Judges the windows, after a period. */
static void steer_windows(struct ma_governor *governor, uint64_t now_ms)
{
	uint32_t narrow = exponent_for(governor, governor->newest_windowed_ratio);
	uint32_t grossly = exponent_for(governor, governor->newest_windowed_ratio / GROSSLY);
	uint32_t wide = exponent_for(governor, governor->windowed_ratio * WIDER);
	bool was_wide = governor->was_wide;
	governor->was_wide = narrow > governor->exponent;
	if (grossly > governor->exponent || (governor->was_wide && was_wide))
		set_exponent(governor, narrow, now_ms);
	else if (wide >= governor->exponent)
		governor->narrow_since_ms = now_ms;
	else if (now_ms - governor->narrow_since_ms >= CALM_MS)
		set_exponent(governor, wide, now_ms);
}

bool ma_governor_tick(struct ma_governor *governor, const struct ma_governor_input *input)
{
	bool measured = measure(governor, input);
	unsigned factor = pressure(governor, input);
	uint64_t now_ms = input->now_ms;
	if (governor->fixed)
		return false;
	if (measured && governor->has_windows && governor->budget_ratio > 0)
		steer_windows(governor, now_ms);
	if (factor > 1)
		return change(governor, (uint64_t)governor->interval_bytes * factor, now_ms);
	if (!measured)
		return false;
	double allowed = allowed_ratio(governor);
	double times = governor->budget_ratio > 0 ? excess(governor, allowed) : 1;
	if (times > 1)
		return change(governor, (uint64_t)(governor->interval_bytes * times), now_ms);
	bool calm = input->ring_permille < RING_CALM_PERMILLE && input->live_count < LIVE_CALM &&
		    (governor->budget_ratio <= 0 || governor->slow_ratio < allowed / 4);
	if (!calm || governor->interval_bytes <= governor->start_bytes) {
		governor->calm_since_ms = now_ms;
		return false;
	}
	if (now_ms - governor->calm_since_ms < CALM_MS)
		return false;
	uint32_t lower = (uint32_t)(governor->interval_bytes / relief(governor, allowed));
	return change(governor, lower > governor->start_bytes ? lower : governor->start_bytes,
		      now_ms);
}
