/* SPDX-License-Identifier: MIT */
/* Sampled mode's slow paths, and the events of both modes. */
#include "inject/hook/record.h"

#include "inject/hook/filter.h"
#include "inject/hook/gate.h"
#include "inject/hook/live.h"
#include "inject/hook/promote.h"
#include "inject/hook/ring.h"
#include "inject/hook/sampler.h"
#include "inject/hook/site.h"
#include "inject/hook/size_rates.h"
#include "inject/hook/tables.h"
#include "inject/hook/windows.h"

enum {
	DEFAULT_INTERVAL_BYTES = 64 << 10,
	MAX_INTERVAL_BYTES = 64 << 20,
};

static uint32_t interval_wanted(void)
{
	uint32_t bytes = __atomic_load_n(&ma_hook.area->control.interval_bytes, __ATOMIC_RELAXED);

	if (!bytes)
		return DEFAULT_INTERVAL_BYTES;
	return bytes < MAX_INTERVAL_BYTES ? bytes : MAX_INTERVAL_BYTES;
}

static struct ma_ring *claim_ring(const struct ma_visit *visit)
{
	return ma_ring_claim(ma_hook.area, visit->tid, visit->tls->slot, visit->left_behind);
}

static struct ma_event taken_event(enum ma_event_kind kind, uint64_t address,
				   const struct ma_taken *taken)
{
	return (struct ma_event){
		.address = address,
		.size_bytes = taken->size_bytes,
		.site = taken->site,
		.rate = taken->rate,
		.clock_ms = taken->birth_ms,
		.kind = (uint16_t)kind,
		.domain = (uint16_t)taken->domain,
	};
}

static struct ma_live_entry live_entry(const struct ma_taken *taken)
{
	return (struct ma_live_entry){
		.size_bytes = taken->size_bytes,
		.site = taken->site,
		.rate = taken->rate,
		.birth_ms = taken->birth_ms,
		.domain = taken->domain,
	};
}

static struct ma_taken taken_of(const struct ma_live_entry *entry)
{
	return (struct ma_taken){
		.size_bytes = entry->size_bytes,
		.site = entry->site,
		.rate = entry->rate,
		.birth_ms = entry->birth_ms,
		.domain = entry->domain,
	};
}

/* Tells of one event, or counts it in *dropped. */
static void tell(const struct ma_visit *visit, const struct ma_event *event, uint64_t *dropped)
{
	struct ma_ring *ring = claim_ring(visit);
	bool told = ring && ma_ring_has_room(ring, 1);

	if (told)
		ma_ring_push(ma_hook.area, ring, event);
	else
		ma_counter_add(dropped, 1);
	if (ring)
		ma_ring_release(ring, visit->tid);
}

/* Enters into live set and filter, as ma_live_enter. */
static int enter_live(uint64_t address, const struct ma_taken *made, struct ma_live_entry *old)
{
	struct ma_area *area = ma_hook.area;
	struct ma_live_entry entry = live_entry(made);
	/* What the filter does not know of need not be looked for. */
	bool may_be_in = ma_filter_may_hold(area, address);
	int outcome = ma_live_enter(&area->live, address, &entry, may_be_in ? old : NULL);

	if (outcome == MA_LIVE_ENTERED)
		ma_filter_add(area, address);
	if (outcome == MA_LIVE_REPLACED)
		ma_filter_remove(area, address);
	return outcome;
}

/* Live set and filter first, then the event: what is told of is always found when it is freed. */
static void sample(struct ma_ring *ring, const struct ma_visit *visit, uint64_t address,
		   struct ma_taken *made)
{
	struct ma_area *area = ma_hook.area;
	struct ma_live_entry old;
	struct ma_event event;
	int outcome;

	/* From far away, while the stack is walked. */
	ma_filter_expect(area, address);
	made->site = ma_hook_site(ring->frames, (uint8_t)made->domain, visit->tls->slot);
	outcome = enter_live(address, made, &old);
	if (outcome & MA_LIVE_REPLACED) {
		struct ma_taken gone = taken_of(&old);

		event = taken_event(MA_EVENT_FREE_IMPLICIT, address, &gone);
		ma_ring_push(area, ring, &event);
		ma_counter_add(&area->counters.implicit_frees, 1);
	}
	if (!(outcome & MA_LIVE_ENTERED)) {
		ma_counter_add(&area->counters.dropped_allocs, 1);
		return;
	}
	event = taken_event(MA_EVENT_ALLOC, address, made);
	ma_ring_push(area, ring, &event);
	ma_counter_add(&area->counters.samples, 1);
}

static void sample_or_drop(const struct ma_visit *visit, uint64_t address, struct ma_taken *made)
{
	struct ma_ring *ring = claim_ring(visit);

	/* Two: this one, and an implicit free. */
	if (ring && ma_ring_has_room(ring, 2))
		sample(ring, visit, address, made);
	else
		ma_counter_add(&ma_hook.area->counters.dropped_allocs, 1);
	if (ring)
		ma_ring_release(ring, visit->tid);
}

/* A block whose free would not be seen is made one whose free is. Returns the block. */
static void *promote_and_sample(const struct ma_visit *visit, void *block, struct ma_taken *made)
{
	bool seen;

	block = ma_promote(visit->tls, block, made->size_bytes, (enum ma_domain)made->domain,
			   &seen);
	if (seen)
		sample_or_drop(visit, (uint64_t)(uintptr_t)block, made);
	else
		ma_counter_add(&ma_hook.area->counters.dropped_allocs, 1);
	return block;
}

static bool by_classes(void)
{
	return ma_hook.mode == MA_MODE_CLASSES;
}

/* Draws what may pass until the next sample. */
static void draw(struct ma_tls *tls)
{
	tls->interval = by_classes() ? 1 : interval_wanted();
	tls->left = by_classes() ? ma_sampler_exponential(&tls->random)
				 : ma_sampler_draw(&tls->random, tls->interval);
}

/*
 * Is this allocation drawn? `left` does not cover it. Sets `left` to what it is afterwards, but for
 * a new draw after a sample.
 */
static bool is_drawn(struct ma_tls *tls, uint64_t bytes)
{
	uint64_t cost = ma_cost_of((enum ma_mode)ma_hook.mode, bytes);

	if (tls->interval)
		return true;
	draw(tls);
	if (tls->left < cost)
		return true;
	tls->left -= cost;
	return false;
}

/* Lets `bytes` pass before the thread asks again. */
static void pause_thread(struct ma_tls *tls, uint64_t bytes)
{
	tls->interval = 0;
	tls->left = by_classes() ? MA_SIZE_RATE_PAUSE : bytes;
}

/* How an allocation that was drawn is told. */
static struct ma_taken taken_now(const struct ma_tls *tls, uint64_t bytes, enum ma_domain domain)
{
	return (struct ma_taken){
		.size_bytes = bytes,
		.rate = by_classes() ? ma_size_rate_of(bytes)->rate : tls->interval,
		.birth_ms = ma_clock_ms(),
		.domain = domain,
	};
}

/* Puts the window that it was allocated in beside it. False: that is closed. */
static bool put_window(struct ma_taken *made)
{
	uint64_t window = ma_windows_now();
	uint32_t exponent = MA_WINDOW_EXPONENT(window);

	if (exponent && !by_classes()) {
		made->rate |= exponent << MA_RATE_WINDOW_SHIFT;
		made->birth_ms = MA_WINDOW_START_MS(window);
	}
	return !(window & MA_WINDOW_CLOSED);
}

__attribute__((cold, noinline)) void *ma_record_sampled(void *block, size_t bytes, uint32_t domain)
{
	uint64_t counted = ma_counted_bytes(bytes);
	struct ma_visit visit;
	struct ma_tls *tls;

	if (!block)
		return NULL;
	if (!ma_gate_enter(&visit, true)) {
		pause_thread(ma_tls(), MA_RECHECK_CLOSED_BYTES);
		return block;
	}
	tls = visit.tls;
	if (ma_tls_is_shared(tls)) {
		ma_counter_add(&ma_hook.area->counters.dropped_allocs, 1);
		pause_thread(tls, MA_RECHECK_BYTES);
	} else if (visit.nested) {
		/* The visit that is at work draws anew when it ends. */
		tls->left = 0;
	} else if (!ma_gate_wanted()) {
		pause_thread(tls, MA_RECHECK_BYTES);
	} else if (is_drawn(tls, counted)) {
		enum ma_domain layer = (enum ma_domain)(domain & ~(uint32_t)MA_WINDOWED);
		struct ma_taken made = taken_now(tls, counted, layer);

		if (domain & MA_WINDOWED && !put_window(&made))
			; /* somebody who holds our thunk came while the window is closed */
		else if (ma_promotes(layer))
			block = promote_and_sample(&visit, block, &made);
		else
			sample_or_drop(&visit, (uint64_t)(uintptr_t)block, &made);
		draw(tls);
	}
	ma_gate_leave(&visit);
	return block;
}

__attribute__((noinline)) bool ma_record_take_sampled(void *block, uint32_t layers,
						      struct ma_taken *taken)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	struct ma_live_entry entry;

	if (!block || !ma_gate_on())
		return false;
	ma_hook_code_freed(address);
	if (!ma_live_take(&ma_hook.area->live, address, layers, &entry))
		return false;
	ma_filter_remove(ma_hook.area, address);
	*taken = taken_of(&entry);
	return true;
}

__attribute__((cold, noinline)) void *ma_record_free_sampled(void *block)
{
	struct ma_taken taken;

	if (ma_record_take_sampled(block, MA_LAYER_ANY, &taken))
		ma_record_gone(block, &taken);
	return block;
}

__attribute__((cold)) void ma_record_gone(const void *block, const struct ma_taken *taken)
{
	struct ma_counters *counters = &ma_hook.area->counters;
	struct ma_event event = taken_event(MA_EVENT_FREE, (uint64_t)(uintptr_t)block, taken);
	struct ma_visit visit;

	/* In exact mode the books were changed when it was taken. */
	if (ma_hook.mode == MA_MODE_EXACT || !ma_gate_enter(&visit, true))
		return;
	tell(&visit, &event, &counters->dropped_frees);
	ma_counter_add(&counters->sample_frees, 1);
	ma_gate_leave(&visit);
}

__attribute__((cold)) void ma_record_back(const void *block, const struct ma_taken *taken)
{
	struct ma_live_entry old;

	if (ma_hook.mode == MA_MODE_EXACT)
		ma_record_back_exact(block, taken);
	else if (ma_gate_on() &&
		 !(enter_live((uint64_t)(uintptr_t)block, taken, &old) & MA_LIVE_ENTERED))
		ma_record_gone(block, taken);
}

/* An event of a region, with a site if it begins one. */
static void tell_region(const struct ma_visit *visit, struct ma_event *event)
{
	struct ma_area *area = ma_hook.area;
	struct ma_ring *ring = claim_ring(visit);

	if (ring && ma_ring_has_room(ring, 1)) {
		if (event->kind == MA_EVENT_MAP && !visit->nested)
			event->site = ma_hook_site(ring->frames, MA_DOMAIN_MMAP, visit->tls->slot);
		ma_ring_push(area, ring, event);
	} else {
		ma_counter_add(&area->counters.dropped_maps, 1);
	}
	if (ring)
		ma_ring_release(ring, visit->tid);
}

void ma_record_region(enum ma_event_kind kind, uint64_t address, uint64_t bytes)
{
	struct ma_event event = {
		.address = address,
		.size_bytes = bytes,
		.kind = (uint16_t)kind,
		.domain = MA_DOMAIN_MMAP,
	};
	struct ma_visit visit;

	if (!bytes || !ma_gate_enter(&visit, true))
		return;
	event.clock_ms = ma_clock_ms();
	if (kind == MA_EVENT_UNMAP || ma_gate_wanted())
		tell_region(&visit, &event);
	ma_gate_leave(&visit);
}
