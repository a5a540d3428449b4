/* SPDX-License-Identifier: MIT */
/*
 * Are estimates true, and are their intervals right? Runs a made-up program many times, each time
 * with another seed, through hook and daemon (simulated_target.h), and compares what is estimated
 * with what was allocated: bias, and how often the 95 % interval covers the truth. The sites are of
 * mixes that are hard to estimate; how many blocks a site allocates varies from run to run, so that
 * no figure rests on one lucky number.
 *
 *   estimates [SEEDS] [--check]     --check: fail unless the figures are within their bounds
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/interval.h"
#include "proto/size_rates.h"
#include "tests/bench/simulated_target.h"

enum {
	INTERVAL = 4096, /* R; sizes below are in relation to it */
	DELAYED = 64,    /* blocks that wait to be freed */
	POLL_OPERATIONS = 1000,
	PARTS = 8,          /* of a run, each with an interval and an exponent of its own */
	WINDOW_BLOCKS = 40, /* of a window, on the average */
	MAX_OPERATIONS = 60000,
	MAX_LIVE = 60000,
	MANY_SAMPLES = 30, /* from here on intervals must be right */
};

/* How a site's blocks come by their sizes. */
enum pattern {
	PAIR,   /* `few` blocks of `large` bytes, `many` of `small` bytes */
	SPREAD, /* sizes between small and large, each order of magnitude equally often */
	CHAIN,  /* blocks that grow from small to large, each step twice the size, by realloc */
};

struct site {
	const char *name;
	enum pattern pattern;
	uint32_t many, small, few, large; /* counts are means over the runs */
	double freed;                     /* this part of the blocks is freed soon */
	bool hard_to_count; /* few blocks carry the count: its interval cannot be right */
	bool hard;          /* nor that of the bytes: few windows carry it all */
	uint32_t burst;     /* of the many, so many at once; 0: one */
};

static const struct site usual_sites[] = {
	{"small blocks, many", PAIR, 15000, 80, 0, 0, 0.5, false, false, 0},
	{"small blocks, some", PAIR, 2000, 80, 0, 0, 0.3, false, false, 0},
	{"small blocks, rare", PAIR, 200, 64, 0, 0, 0, false, false, 0},
	{"size R", PAIR, 0, 0, 80, INTERVAL, 0.4, false, false, 0},
	{"size 3 R", PAIR, 0, 0, 60, 3 * INTERVAL, 0.4, false, false, 0},
	{"size 8 R", PAIR, 0, 0, 50, 8 * INTERVAL, 0.4, false, false, 0},
	{"size 8 R, two blocks", PAIR, 0, 0, 2, 8 * INTERVAL, 0, false, false, 0},
	{"40 of 50 R, small ones", PAIR, 1000, 40, 40, 50 * INTERVAL, 0.4, true, false, 0},
	{"40 of 3 R, small ones", PAIR, 3000, 24, 40, 3 * INTERVAL, 0.4, true, false, 0},
	{"sizes 16 B to 16 R", SPREAD, 400, 16, 0, 16 * INTERVAL, 0.4, true, false, 0},
	{"growing 64 B to 8 R", CHAIN, 40, 64, 0, 8 * INTERVAL, 0.4, true, false, 0},
	{"come and go", PAIR, 3000, 200, 20, 2 * INTERVAL, 1, false, false, 0},
};

/* Small objects, looked at in windows; about 120 blocks are of one. */
static const struct site windowed_sites[] = {
	{"steady, many", PAIR, 12000, 80, 0, 0, 0.5, false, false, 0},
	{"steady, some", PAIR, 4000, 80, 0, 0, 0.3, false, false, 0},
	{"steady, rare", PAIR, 400, 64, 0, 0, 0, false, false, 0},
	{"512 bytes", PAIR, 2500, 512, 0, 0, 0.4, false, false, 0},
	{"sizes 16 to 512 B", SPREAD, 5000, 16, 0, 512, 0.4, true, false, 0},
	{"small beside 40 of 3 R", PAIR, 3000, 48, 40, 3 * INTERVAL, 0.4, true, false, 0},
	{"40 of 3 R alone", PAIR, 0, 0, 40, 3 * INTERVAL, 0.4, false, false, 0},
	{"come and go", PAIR, 3000, 200, 0, 0, 1, false, false, 0},
	{"bursts of 10", PAIR, 800, 80, 0, 0, 0.4, false, false, 10},
	{"bursts of 100", PAIR, 120, 80, 0, 0, 0.4, false, false, 100},
	{"six bursts of 1000", PAIR, 6, 80, 0, 0, 0.4, false, true, 1000},
	{"one burst of 100", PAIR, 1, 80, 0, 0, 0, false, true, 100},
};
/* Sites, and all of them: by the totals, and added up from the sites. */
enum { SITES = sizeof usual_sites / sizeof usual_sites[0], TOTAL = SITES, SUM, ROWS };
_Static_assert(sizeof windowed_sites == sizeof usual_sites, "results are of as many sites");

/* The values that are estimated. */
enum value { ALLOCATED, ALLOCATED_COUNT, LIVE, LIVE_COUNT, VALUES };

static const char *const value_names[VALUES] = {"allocated", "allocations", "live", "live blocks"};

/* Coverage by how many samples an estimate rests on. */
static const uint32_t steps[] = {0, 1, 2, 5, 10, MANY_SAMPLES};
enum { STEPS = sizeof steps / sizeof steps[0] };

struct coverage {
	double looks, too_low, too_high; /* intervals that lie below, above the truth */
};

struct result {
	double looks, truth, error, error_squared, samples;
	struct coverage all, many;
};

/* How small objects are looked at: all, in windows of one chance, or of many. */
enum windows { NO_WINDOWS, WINDOWS, WINDOWS_CHANGE };

/* A way to run the program. */
struct variant {
	const char *name;
	enum ma_mode mode;
	const struct site *sites;
	uint32_t change_thread; /* after so many operations; 0: never */
	bool change_interval;
	enum windows windows;
};

static const struct variant variants[] = {
	{"fixed interval", MA_MODE_SAMPLED, usual_sites, 0, false, NO_WINDOWS},
	{"threads that end", MA_MODE_SAMPLED, usual_sites, 53, false, NO_WINDOWS},
	{"interval that changes", MA_MODE_SAMPLED, usual_sites, 211, true, NO_WINDOWS},
	{"by size class", MA_MODE_CLASSES, usual_sites, 211, false, NO_WINDOWS},
	{"windows, 1/4 open", MA_MODE_SAMPLED, windowed_sites, 0, false, WINDOWS},
	{"windows, 1 to 1/16 open", MA_MODE_SAMPLED, windowed_sites, 0, false, WINDOWS_CHANGE},
	{"windows and interval that change", MA_MODE_SAMPLED, windowed_sites, 211, true,
	 WINDOWS_CHANGE},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

struct block {
	uint64_t address;
	uint64_t bytes;
	uint32_t site;
};

static struct {
	const struct site *sites;
	enum windows windows;
	uint32_t window_ms;     /* start of the window that goes on */
	uint32_t window_blocks; /* that it will still have */
	uint32_t part;          /* of the run, of PARTS */
	double truth[ROWS][VALUES];
	uint32_t operations[MAX_OPERATIONS];
	uint32_t operation_count;
	struct block live[MAX_LIVE];
	uint32_t live_count;
	struct block delayed[DELAYED];
	struct result results[ROWS][VALUES];
	struct coverage by_samples[2][STEPS]; /* of bytes, of counts */
} run;

/* An operation is a site's block: the site, and whether it is one of the few. */
static void plan(uint32_t site, uint32_t mean, bool few)
{
	uint32_t count = (uint32_t)(mean * (0.5 + sim_uniform()) + sim_uniform());

	for (uint32_t i = 0; i < count && run.operation_count < MAX_OPERATIONS; i++)
		run.operations[run.operation_count++] = site << 1 | few;
}

static void plan_all(void)
{
	run.operation_count = 0;
	for (uint32_t site = 0; site < SITES; site++) {
		plan(site, run.sites[site].many, false);
		plan(site, run.sites[site].few, true);
	}
	for (uint32_t i = run.operation_count; i > 1; i--) {
		uint32_t other = (uint32_t)(sim_random() % i);
		uint32_t kept = run.operations[i - 1];

		run.operations[i - 1] = run.operations[other];
		run.operations[other] = kept;
	}
}

static void count(uint32_t site, enum value bytes, double sign, uint64_t size)
{
	run.truth[site][bytes] += sign * (double)size;
	run.truth[site][bytes + 1] += sign;
	for (int row = TOTAL; row <= SUM; row++) {
		run.truth[row][bytes] += sign * (double)size;
		run.truth[row][bytes + 1] += sign;
	}
}

static void release(struct block *block)
{
	if (!block->address)
		return;
	sim_free(block->address);
	count(block->site, LIVE, -1, block->bytes);
	block->address = 0;
}

static void keep(const struct block *block)
{
	if (sim_uniform() < run.sites[block->site].freed) {
		struct block *slot = &run.delayed[sim_random() % DELAYED];

		release(slot);
		*slot = *block;
	} else if (run.live_count < MAX_LIVE) {
		run.live[run.live_count++] = *block;
	}
}

/* The window of the next block. */
static void turn_window(void)
{
	static const uint32_t exponents[PARTS] = {0, 2, 1, 3, 4, 0, 2, 4};
	uint32_t exponent = run.windows == WINDOWS ? 2 : exponents[run.part];

	if (run.windows == NO_WINDOWS || run.window_blocks-- > 0)
		return;
	run.window_blocks = (uint32_t)(WINDOW_BLOCKS * (0.5 + sim_uniform()));
	run.window_ms += 2;
	sim_window(run.window_ms, exponent, sim_uniform() >= ldexp(1, -(int)exponent));
}

static void allocate_one(uint32_t operation)
{
	uint32_t index = operation >> 1;
	const struct site *site = &run.sites[index];
	struct block block = {.site = index, .bytes = operation & 1 ? site->large : site->small};

	if (site->pattern == SPREAD)
		block.bytes = (uint64_t)(site->small *
					 pow((double)site->large / site->small, sim_uniform()));
	turn_window();
	block.address = run.windows == NO_WINDOWS ? sim_malloc(index + 1, block.bytes)
						  : sim_object(index + 1, block.bytes);
	count(index, ALLOCATED, 1, block.bytes);
	count(index, LIVE, 1, block.bytes);
	while (site->pattern == CHAIN && block.bytes < site->large) {
		count(index, LIVE, -1, block.bytes);
		block.bytes *= 2;
		block.address = sim_realloc(index + 1, block.address, block.bytes);
		count(index, ALLOCATED, 1, block.bytes);
		count(index, LIVE, 1, block.bytes);
	}
	keep(&block);
}

static void allocate(uint32_t operation)
{
	uint32_t burst = operation & 1 ? 0 : run.sites[operation >> 1].burst;

	do
		allocate_one(operation);
	while (burst-- > 1);
}

static void run_program(const struct variant *variant)
{
	static const uint32_t factors[PARTS] = {1, 4, 16, 2, 1, 8, 4, 1};

	memset(run.truth, 0, sizeof run.truth);
	run.live_count = 0;
	run.sites = variant->sites;
	run.windows = variant->windows;
	run.window_ms = run.window_blocks = 0;
	plan_all();
	for (uint32_t i = 0; i < run.operation_count; i++) {
		run.part = (uint32_t)((uint64_t)i * PARTS / run.operation_count);
		if (variant->change_interval)
			sim_set_interval(INTERVAL * factors[run.part]);
		if (variant->change_thread && i % variant->change_thread == 0)
			sim_change_thread();
		allocate(run.operations[i]);
		if (i % POLL_OPERATIONS == 0)
			sim_poll();
	}
	for (int i = 0; i < DELAYED; i++)
		release(&run.delayed[i]);
}

/* The estimates of bytes and count that a value is of. */
struct pair {
	struct ma_estimate bytes, count;
};

static struct pair pair_of(const struct ma_site_view *view, enum value value, double unseen)
{
	const struct ma_spread *spread = value < LIVE ? &view->allocated : &view->live;

	return (struct pair){
		.bytes = {.value = value < LIVE ? view->allocated_bytes : view->live_bytes,
			  .variance = spread->bytes_variance,
			  .third = spread->bytes_third,
			  .unseen = unseen,
			  .shared = spread->bytes_shared},
		.count = {.value = value < LIVE ? view->allocated_count : view->live_count,
			  .variance = spread->count_variance,
			  .third = spread->count_third,
			  .shared = spread->count_shared},
	};
}

static void look(struct coverage *coverage, struct ma_interval interval, double truth)
{
	coverage->looks++;
	coverage->too_low += interval.high < truth * (1 - 1e-9);
	coverage->too_high += interval.low > truth * (1 + 1e-9);
}

static void judge(uint32_t site, enum value value, const struct pair *pair, uint64_t samples)
{
	struct result *result = &run.results[site][value];
	bool is_count = value % 2;
	struct ma_interval interval = is_count ? ma_interval_95_of_count(&pair->count, &pair->bytes)
					       : ma_interval_95(&pair->bytes);
	double truth = run.truth[site][value];
	double error = (is_count ? pair->count.value : pair->bytes.value) - truth;
	int step = STEPS - 1;

	result->looks++;
	result->truth += truth;
	result->error += error;
	result->error_squared += error * error;
	result->samples += (double)samples;
	/* Where there is no sample nothing is claimed of the count. */
	if (is_count && !samples)
		return;
	look(&result->all, interval, truth);
	if (samples >= MANY_SAMPLES)
		look(&result->many, interval, truth);
	while (samples < steps[step])
		step--;
	if (site < SITES && truth > 0)
		look(&run.by_samples[is_count][step], interval, truth);
}

static void judge_all(const struct ma_heap_state *books)
{
	double unseen = ma_heap_state_unseen(books);
	struct pair sums[VALUES] = {0};
	uint64_t samples[VALUES] = {0};
	struct ma_site_view view;

	for (uint32_t row = 0; row < ROWS; row++) {
		if (row < SITES)
			ma_heap_state_view(books, row + 1, &view);
		else
			ma_heap_state_total(books, &view);
		for (int value = 0; value < VALUES; value++) {
			uint64_t own = value < LIVE ? view.allocated_samples : view.live_samples;
			struct pair pair = pair_of(&view, (enum value)value, unseen);
			if (row == SUM) {
				judge(row, (enum value)value, &sums[value], samples[value]);
				continue;
			}
			judge(row, (enum value)value, &pair, own);
			if (row == TOTAL)
				continue;
			ma_estimate_add(&sums[value].bytes, &pair.bytes);
			ma_estimate_add(&sums[value].count, &pair.count);
			samples[value] += own;
		}
	}
}

static void run_once(const struct variant *variant, uint64_t seed, const struct ma_size_rate *rates)
{
	struct ma_site_view view;

	sim_begin(seed, variant->mode, INTERVAL, rates);
	run_program(variant);
	judge_all(sim_books());
	for (uint32_t i = 0; i < run.live_count; i++) {
		release(&run.live[i]);
		if (i % POLL_OPERATIONS == 0)
			sim_poll();
	}
	ma_heap_state_total(sim_books(), &view);
	if (sim_losses() || view.live_bytes != 0 || view.live_samples != 0) {
		fprintf(stderr, "seed %llu: something was lost\n", (unsigned long long)seed);
		exit(1);
	}
}

static double percent(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : 0;
}

static double covered(const struct coverage *coverage)
{
	return percent(coverage->looks - coverage->too_low - coverage->too_high, coverage->looks);
}

static void print_coverage(const struct coverage *coverage)
{
	if (coverage->looks > 0)
		printf("  %6.2f (%5.2f %5.2f)", covered(coverage),
		       percent(coverage->too_low, coverage->looks),
		       percent(coverage->too_high, coverage->looks));
	else
		printf("  %21s", "-");
}

static double bias_percent(const struct result *result)
{
	return percent(result->error, result->truth);
}

/* Standard error of the bias over the runs, in percent. */
static double bias_error(const struct result *result)
{
	double mean = result->error / result->looks;
	double variance = result->error_squared / result->looks - mean * mean;

	return percent(sqrt(variance * result->looks), result->truth);
}

/* Prints what is out of bounds; 1 if anything is. */
static int check(uint32_t site, enum value value)
{
	const struct result *result = &run.results[site][value];
	double bias = fabs(bias_percent(result)), error = bias_error(result);
	double part = result->looks > 0 ? result->many.looks / result->looks : 0;
	bool is_count = value % 2;
	/* Five standard errors of a share, for short checks. */
	double slack = 500 * sqrt(0.05 * 0.95 / fmax(1, result->many.looks));
	double least = 93 - slack;
	int failed = 0;

	if (bias > 0.5 + 4 * error) {
		printf("   OUT OF BOUNDS: bias\n");
		failed = 1;
	}
	/* Where it is by chance that there are so many samples, what is chosen is the unusual. */
	if (part < 0.9 ||
	    (site < SITES && (run.sites[site].hard || (is_count && run.sites[site].hard_to_count))))
		return failed;
	if (covered(&result->many) < least) {
		printf("   OUT OF BOUNDS: coverage\n");
		failed = 1;
	}
	return failed;
}

static int print_value(enum value value, bool checked)
{
	int failed = 0;

	printf("\n%-24s %8s  %-18s  %-22s  %-22s\n", value_names[value], "samples", "bias %",
	       "covered % (below above)", "with 30 samples or more");
	for (uint32_t site = 0; site < ROWS; site++) {
		const struct result *result = &run.results[site][value];
		if (result->truth == 0)
			continue;
		printf("%-24s %8.1f  %+6.3f +- %.3f  ",
		       site < SITES    ? run.sites[site].name
		       : site == TOTAL ? "(all of them)"
				       : "(the sites added up)",
		       result->samples / result->looks, bias_percent(result), bias_error(result));
		print_coverage(&result->all);
		print_coverage(&result->many);
		printf("\n");
		if (checked)
			failed |= check(site, value);
	}
	return failed;
}

static void print_by_samples(void)
{
	printf("\n%-24s  %21s  %21s\n", "by samples", "bytes", "counts");
	for (int step = 0; step < STEPS; step++) {
		char name[32];
		if (step + 1 < STEPS && steps[step + 1] - 1 > steps[step])
			snprintf(name, sizeof name, "%u to %u", steps[step], steps[step + 1] - 1);
		else
			snprintf(name, sizeof name, "%u%s", steps[step],
				 step + 1 < STEPS ? "" : " or more");
		printf("%-24s", name);
		print_coverage(&run.by_samples[0][step]);
		print_coverage(&run.by_samples[1][step]);
		printf("\n");
	}
}

static int run_variant(const struct variant *variant, uint32_t seeds, bool checked)
{
	const struct ma_size_rate rates[MA_SIZE_RATES] = {ma_size_rate_make(128, 0.01),
							  ma_size_rate_make(2 * INTERVAL, 0.3),
							  ma_size_rate_make(UINT64_MAX, 1)};
	int failed = 0;

	memset(run.results, 0, sizeof run.results);
	memset(run.by_samples, 0, sizeof run.by_samples);
	for (uint32_t seed = 0; seed < seeds; seed++)
		run_once(variant, seed, rates);
	printf("\n%s, %u seeds\n", variant->name, seeds);
	for (int value = 0; value < VALUES; value++)
		failed |= print_value((enum value)value, checked);
	print_by_samples();
	return failed;
}

int main(int argc, char **argv)
{
	uint32_t seeds = 1000;
	bool checked = false;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--check") == 0)
			checked = true;
		else
			seeds = (uint32_t)strtoul(argv[i], NULL, 10);
	}
	if (!seeds || !sim_open()) {
		fprintf(stderr, "usage: estimates [SEEDS] [--check]\n");
		return 2;
	}
	for (int i = 0; i < VARIANTS; i++)
		failed |= run_variant(&variants[i], seeds, checked);
	return failed;
}
