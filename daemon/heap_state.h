/* SPDX-License-Identifier: MIT */
/*
 * The heap as the events tell it: per site and in total what was allocated, what is live, and what
 * was live at the moment when the total was largest. Every event costs O(1), the peak included: a
 * global epoch counts new maxima of the total, and a site stores its value at the last maximum only
 * when it is next touched after it. The maximum of a noisy estimate is too high, by what
 * daemon/halves.h tells: the views are corrected for that. Bytes and counts are integers
 * (daemon/estimate.h), so that live returns to exactly 0; variances are floating point and are
 * reset where no sample is left.
 * Bounded: sites beyond the limit share one entry, "(other)".
 */
#ifndef MA_DAEMON_HEAP_STATE_H
#define MA_DAEMON_HEAP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/estimate.h"
#include "daemon/halves.h"
#include "daemon/shared_windows.h"
#include "proto/area.h"

enum {
	MA_HEAP_SITE_LIMIT = 100000, /* sites told apart */
	MA_HEAP_SIZE_CLASSES = 48,   /* class c: sizes 2^c .. 2^(c+1) - 1 */
};

/* Ids, beside those of sites, that ma_heap_state_view knows: allocations of a domain whose site the
 * hook could not tell, and those of the sites beyond the limit. */
#define MA_HEAP_UNKNOWN(domain) (UINT32_C(0xffffff00) + (domain))
#define MA_HEAP_OTHER(domain)   (UINT32_C(0xffffff80) + (domain))
enum { MA_HEAP_DOMAINS = MA_DOMAIN_MMAP + 1 };

/* An allocation as far as sums are concerned. */
struct ma_heap_sample {
	uint64_t size_bytes;
	uint32_t site;     /* 0 = unknown */
	uint32_t rate;     /* how it was chosen (proto/area.h); 0 = recorded for certain */
	uint32_t domain;   /* enum ma_domain; used where the site is unknown or merged */
	uint32_t birth_ms; /* since attach; of one that has a window, that of the window */
	uint32_t coin;     /* ma_halves_coin */
};

/* How uncertain a sum of samples is by itself: cumulants, as in daemon/estimate.h. */
struct ma_cumulants {
	double bytes_variance;
	double count_variance;
	double bytes_third;
	double count_third;
};

/* The same for readers, and how uncertain it is together with everything that was looked at in the
 * same windows: a standard deviation (daemon/shared_windows.h). All add up. */
struct ma_spread {
	double bytes_variance;
	double count_variance;
	double bytes_third;
	double count_third;
	double bytes_shared;
	double count_shared;
};

/* Several samples of one site, added up. */
struct ma_heap_sum {
	struct ma_weight weight;
	struct ma_shared shared;
	uint64_t samples;
};

/* Sums of one site, or of all. bytes and counts in the units of daemon/estimate.h. */
struct ma_heap_sums {
	uint64_t allocated_bytes;
	uint64_t allocated_count;
	uint64_t live_bytes;
	uint64_t live_count;
	/* A site's peak is valid while its epoch is the state's, else live is its value at the
	 * peak. */
	uint64_t peak_bytes;
	uint64_t peak_count;
	struct ma_cumulants allocated;
	struct ma_cumulants live;
	struct ma_cumulants peak;
	struct ma_shared allocated_shared;
	struct ma_shared live_shared;
	struct ma_shared peak_shared;
	uint64_t allocated_samples;
	uint64_t live_samples;
	uint64_t epoch;
	uint32_t first_ms;
	uint32_t last_ms; /* of the last allocation */
};

struct ma_size_class {
	uint64_t allocated_count;
	uint64_t allocated_bytes;
	uint64_t live_count;
	uint64_t live_bytes;
};

struct ma_heap_state {
	struct ma_heap_sums *sites; /* index: site id; 0 is not used */
	uint32_t room;              /* entries allocated, grown on demand */
	uint32_t limit;             /* largest site id told apart */
	struct ma_heap_sums unknown[MA_HEAP_DOMAINS];
	struct ma_heap_sums other[MA_HEAP_DOMAINS];
	struct ma_heap_sums total;
	struct ma_halves halves;
	struct ma_shared_windows windows;
	uint32_t window_exponent_max; /* of any sample (MA_RATE_WINDOW); 0: there are no windows */
	uint64_t made_samples[MA_HEAP_DOMAINS];
	uint64_t made_count[MA_HEAP_DOMAINS]; /* in the units of counts, as the next */
	uint64_t freed_count[MA_HEAP_DOMAINS];
	double deviations;     /* sum of the standard deviations of all samples, bytes */
	uint32_t peak_ms;      /* when the total was largest */
	uint64_t unbalanced;   /* frees of more than was live: something was lost */
	double bunched;        /* bytes_square of what was allocated, each site by itself */
	uint32_t merged_sites; /* sites that share `other` */
	bool peak_elsewhere;   /* only ma_heap_state_mark_peak makes peaks */
	uint8_t merged[MA_SITES / 8];
	struct ma_size_class classes[MA_HEAP_SIZE_CLASSES];
};

/* The same of one site for readers: bytes, counts and their cumulants unscaled. */
struct ma_site_view {
	double allocated_bytes;
	double allocated_count;
	double peak_bytes;
	double peak_count;
	double live_bytes;
	double live_count;
	struct ma_spread allocated;
	struct ma_spread peak;
	struct ma_spread live;
	uint64_t allocated_samples;
	uint64_t live_samples;
	uint32_t first_ms;
	uint32_t last_ms;
};

/* limit: sites told apart, below MA_SITES. fini accepts a zeroed state. Daemon loop. */
void ma_heap_state_init(struct ma_heap_state *state, uint32_t limit);
void ma_heap_state_fini(struct ma_heap_state *state);

/* An allocation was sampled; it is freed. clock_ms: since attach. */
void ma_heap_state_alloc(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			 uint32_t clock_ms);
void ma_heap_state_free(struct ma_heap_state *state, const struct ma_heap_sample *sample);

/* An allocation whose live part is counted already, by a rebuild: only what was allocated grows. */
void ma_heap_state_allocated(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			     uint32_t clock_ms);

/* A part of a mapped region is gone: `bytes` of it; the last part takes the count along. */
void ma_heap_state_unmap(struct ma_heap_state *state, const struct ma_heap_sample *region,
			 uint64_t bytes, bool last_part);

/*
 * What is live is taken anew from a better source: begin forgets all live values (peaks stay), each
 * live allocation is then counted by relive, each part of a region by relive_region,
 * the sum of several by relive_sum, what all of such sums share by relive_shared, and end looks
 * whether the total is a new maximum.
 */
void ma_heap_state_rebuild_begin(struct ma_heap_state *state);
void ma_heap_state_relive(struct ma_heap_state *state, const struct ma_heap_sample *sample);
void ma_heap_state_relive_region(struct ma_heap_state *state, const struct ma_heap_sample *region,
				 uint64_t bytes, bool first_part);
void ma_heap_state_relive_sum(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			      const struct ma_heap_sum *sum);
void ma_heap_state_relive_shared(struct ma_heap_state *state, const struct ma_shared *shared);
void ma_heap_state_rebuild_end(struct ma_heap_state *state, uint32_t clock_ms);

/* Declares this moment the peak, whatever the total is: somebody else's total has its maximum. */
void ma_heap_state_mark_peak(struct ma_heap_state *state, uint32_t clock_ms);

/* The values of a site, or of one of the ids above. false: nothing was ever recorded for it (*view
 * is zeroed). */
bool ma_heap_state_view(const struct ma_heap_state *state, uint32_t site,
			struct ma_site_view *view);

/* The totals; peak_* are of the moment ma_heap_state_peak_ms. */
void ma_heap_state_total(const struct ma_heap_state *state, struct ma_site_view *view);

/* How many allocations of a domain (enum ma_domain) were made, or freed, estimated. */
double ma_heap_state_made(const struct ma_heap_state *state, uint32_t domain);
double ma_heap_state_freed(const struct ma_heap_state *state, uint32_t domain);

/* When the total was largest, milliseconds since attach. */
uint32_t ma_heap_state_peak_ms(const struct ma_heap_state *state);

/* By how much the highest estimate of the total exceeded the peak that the total states. */
double ma_heap_state_peak_excess(const struct ma_heap_state *state);

/* What a sample stands for, in bytes, on the average over what was allocated so far: as much as a
 * kind of allocation may stand for of which there is no sample. 0: nothing is sampled. */
double ma_heap_state_unseen(const struct ma_heap_state *state);

/* The same of a whole site of which there is no sample, of which three may well have gone unseen:
 * with windows it may have been at work in closed ones only, and weigh as much as a site has, on
 * the average, in one. */
double ma_heap_state_unseen_site(const struct ma_heap_state *state);

/* The size class of a size: the index of its highest bit, bounded. */
int ma_heap_size_class(uint64_t size_bytes);

#endif
