/* SPDX-License-Identifier: MIT */
/*
 * How far from the truth is the peak that is reported? Heaps that rise and fall in known ways,
 * their blocks replaced all the time, run through hook and daemon (simulated_target.h). The highest
 * estimate is too high, the more so the longer a heap stays level; the corrected peak is what
 * snapshots state (daemon/halves.h).
 *
 *   peak [SEEDS] [--check]     --check: fail unless the corrected figures are within their bounds
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/interval.h"
#include "tests/bench/simulated_target.h"

enum {
	INTERVAL = 4096,
	MAX_BLOCKS = 1 << 17,
	POLL_OPERATIONS = 1000,
	SITES = 4,
	WINDOW_BLOCKS = 40
};

/* The heap's size over its life (0 .. 1), in parts of its plateau. */
static double level(double at)
{
	return fmin(1, at * 20);
}

static double teeth(double at)
{
	double tooth = at * 10 - floor(at * 10);
	return tooth < 0.75 ? 0.5 + tooth / 1.5 : 1 - 2 * (tooth - 0.75);
}

static double hump(double at)
{
	return level(at) * (1 + fmax(0, 0.2 * (1 - fabs(at - 0.5) * 8)));
}

static double spike(double at)
{
	return level(at) * (1 + fmax(0, 1 - fabs(at - 0.5) * 40));
}

static double ramp(double at)
{
	return at;
}

struct shape {
	const char *name;
	double (*level)(double at);
	double bias_bound; /* of the corrected peak, in standard deviations */
};

static const struct shape shapes[] = {
	{"level", level, 0.7},
	{"ten teeth", teeth, 0.9},
	{"level, a hump of 20 %", hump, 1.3},
	{"level, a spike of 100 %", spike, 1.0},
	{"a ramp", ramp, 1.2},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* Samples that the plateau would rest on without windows, and how often its blocks are replaced;
 * windows are open with the chance 2^-exponent. */
static const struct size {
	double samples, turns;
	uint32_t exponent;
} sizes[] = {{30, 20, 0}, {300, 20, 0}, {300, 100, 0}, {600, 20, 2}};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static struct {
	uint64_t address[MAX_BLOCKS], bytes[MAX_BLOCKS];
	uint32_t count;
	double live, peak;
	uint32_t exponent;
	uint32_t window_ms, window_blocks; /* start of the window, and blocks that it will have */
} heap;

struct result {
	double truth, highest, corrected, highest_squared, corrected_squared, deviation, sites;
	double covers, covers_plain;
};

static uint64_t allocate(uint32_t site, uint64_t bytes)
{
	if (!heap.exponent)
		return sim_malloc(site, bytes);
	if (heap.window_blocks-- == 0) {
		heap.window_blocks = (uint32_t)(WINDOW_BLOCKS * (0.5 + sim_uniform()));
		heap.window_ms += 2;
		sim_window(heap.window_ms, heap.exponent,
			   sim_uniform() >= ldexp(1, -(int)heap.exponent));
	}
	return sim_object(site, bytes);
}

static void make_block(uint32_t at)
{
	heap.bytes[at] = 16 + sim_random() % 200;
	heap.address[at] = allocate((uint32_t)(1 + sim_random() % SITES), heap.bytes[at]);
	heap.live += (double)heap.bytes[at];
	heap.peak = fmax(heap.peak, heap.live);
}

static void drop_block(uint32_t at)
{
	sim_free(heap.address[at]);
	heap.live -= (double)heap.bytes[at];
	heap.count--;
	heap.address[at] = heap.address[heap.count];
	heap.bytes[at] = heap.bytes[heap.count];
}

static void run_heap(const struct shape *shape, const struct size *size)
{
	double plateau = size->samples * INTERVAL / 115.5; /* blocks */
	uint32_t steps = (uint32_t)(plateau * size->turns);

	heap.count = 0;
	heap.live = heap.peak = 0;
	heap.exponent = size->exponent;
	heap.window_ms = heap.window_blocks = 0;
	for (uint32_t step = 0; step < steps; step++) {
		double wanted = plateau * shape->level((double)step / steps);

		/* One is replaced, and the number follows the shape. */
		if (heap.count)
			drop_block((uint32_t)(sim_random() % heap.count));
		while (heap.count < wanted && heap.count < MAX_BLOCKS)
			make_block(heap.count++);
		while (heap.count > wanted + 1)
			drop_block((uint32_t)(sim_random() % heap.count));
		if (step % POLL_OPERATIONS == 0)
			sim_poll();
	}
}

static void judge(struct result *result)
{
	const struct ma_heap_state *books = sim_books();
	struct ma_site_view view, site;
	double highest = (double)books->total.peak_bytes / MA_BYTES_UNITS, sites = 0;

	ma_heap_state_total(books, &view);
	for (uint32_t i = 1; i <= SITES; i++) {
		ma_heap_state_view(books, i, &site);
		sites += site.peak_bytes;
	}
	struct ma_estimate estimate = {.value = view.peak_bytes,
				       .variance = view.peak.bytes_variance,
				       .third = view.peak.bytes_third,
				       .shared = view.peak.bytes_shared,
				       .unseen = ma_heap_state_unseen(books)};
	struct ma_interval interval =
		ma_interval_95_of_peak(&estimate, ma_heap_state_peak_excess(books));
	result->covers += interval.low <= heap.peak && heap.peak <= interval.high;
	estimate.value = highest;
	interval = ma_interval_95(&estimate);
	result->covers_plain += interval.low <= heap.peak && heap.peak <= interval.high;
	result->truth += heap.peak;
	result->deviation += sqrt(heap.peak * INTERVAL * ldexp(1, (int)heap.exponent) +
				  pow(view.peak.bytes_shared, 2));
	result->highest += highest - heap.peak;
	result->highest_squared += pow(highest - heap.peak, 2);
	result->corrected += view.peak_bytes - heap.peak;
	result->corrected_squared += pow(view.peak_bytes - heap.peak, 2);
	result->sites += sites - view.peak_bytes;
}

static int print_result(const struct shape *shape, const struct result *result, uint32_t seeds,
			bool checked)
{
	double deviation = result->deviation / seeds;
	double bias = result->corrected / seeds / deviation;

	printf("%-24s  %+6.2f %% %+5.2f %5.2f %6.1f %%   %+6.2f %% %+5.2f %5.2f %6.1f %%\n",
	       shape->name, 100 * result->highest / result->truth,
	       result->highest / seeds / deviation,
	       sqrt(result->highest_squared / seeds) / deviation,
	       100 * result->covers_plain / seeds, 100 * result->corrected / result->truth, bias,
	       sqrt(result->corrected_squared / seeds) / deviation, 100 * result->covers / seeds);
	if (fabs(result->sites) > 0.02 * result->truth) {
		printf("   OUT OF BOUNDS: the sites add up to something else\n");
		return 1;
	}
	/* The root mean square is about 1: so many seeds tell the mean to 4 / sqrt(seeds). */
	if (checked && (fabs(bias) > shape->bias_bound + 4 / sqrt(seeds) ||
			result->covers / seeds < 0.9 - 2 / sqrt(seeds))) {
		printf("   OUT OF BOUNDS\n");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t seeds = 100;
	bool checked = false;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--check") == 0)
			checked = true;
		else
			seeds = (uint32_t)strtoul(argv[i], NULL, 10);
	}
	if (!seeds || !sim_open()) {
		fprintf(stderr, "usage: peak [SEEDS] [--check]\n");
		return 2;
	}
	printf("%u seeds; errors: mean in percent and in standard deviations, root mean square in "
	       "these, interval covers\n%-24s  %31s   %31s\n",
	       seeds, "", "highest estimate", "corrected");
	for (int size = 0; size < SIZES; size++) {
		printf("%.0f samples at the plateau, each replaced %.0f times, 1/%u looked at\n",
		       sizes[size].samples, sizes[size].turns, 1U << sizes[size].exponent);
		for (int i = 0; i < SHAPES; i++) {
			struct result result = {0};
			for (uint32_t seed = 0; seed < seeds; seed++) {
				sim_begin(seed, MA_MODE_SAMPLED, INTERVAL, NULL);
				run_heap(&shapes[i], &sizes[size]);
				judge(&result);
				if (sim_losses()) {
					fprintf(stderr, "something was lost\n");
					return 1;
				}
			}
			failed |= print_result(&shapes[i], &result, seeds, checked);
		}
	}
	return failed;
}
