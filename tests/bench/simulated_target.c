/* SPDX-License-Identifier: MIT */
/* See simulated_target.h. */
#include "tests/bench/simulated_target.h"

#include <string.h>
#include <sys/mman.h>

#include "daemon/ingest.h"
#include "inject/hook/entries.h"
#include "inject/hook/sampler.h"
#include "inject/hook/site.h"
#include "inject/hook/state.h"
#include "inject/hook/tls.h"
#include "inject/hook/windows.h"

enum { SMALL_LIMIT = 512 }; /* of pymalloc */

struct ma_hook ma_hook;

static struct {
	struct ma_area *area;
	struct ma_hook_config config;
	uint64_t gate;
	uint32_t site;         /* of the allocation that is being made */
	uint64_t next_address; /* that the made-up allocator hands out */
	uint64_t random;       /* of the simulation */
	uint64_t hook_random;  /* seeds of the hook's threads */
	struct ma_ingest ingest;
	struct ma_heap_state heap;
} sim;

uint32_t ma_hook_site(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	(void)scratch;
	(void)domain;
	(void)thread_slot;
	return sim.site;
}

uint32_t ma_hook_site_known(uint8_t domain, uint8_t thread_slot)
{
	(void)domain;
	(void)thread_slot;
	return sim.site;
}

uint32_t ma_hook_site_learn(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	return ma_hook_site(scratch, domain, thread_slot);
}

/* Which no thunk here leads to. */
uint64_t ma_entry_address(enum ma_fn fn, enum ma_mode mode)
{
	(void)fn;
	(void)mode;
	return 0;
}

void ma_hook_code_freed(uint64_t address)
{
	(void)address;
}

static void *made_up_malloc(size_t bytes)
{
	(void)bytes;
	return (void *)(uintptr_t)(sim.next_address += 16);
}

static void *made_up_object(void *context, size_t bytes)
{
	(void)context;
	return made_up_malloc(bytes);
}

static void *made_up_realloc(void *block, size_t bytes)
{
	(void)block;
	return made_up_malloc(bytes);
}

static void made_up_free(void *block)
{
	(void)block;
}

bool sim_open(void)
{
	sim.area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return sim.area != MAP_FAILED;
}

/* The hook seeds its threads with the time; here runs must be repeatable. */
static void seed_thread(void)
{
	ma_tls_settle(ma_tls(), ma_tls_thread_id());
	ma_tls()->random = ma_sampler_random(&sim.hook_random);
}

void sim_begin(uint64_t seed, enum ma_mode mode, uint32_t interval_bytes,
	       const struct ma_size_rate *rates)
{
	typedef void any(void);
	uint32_t generation = ma_hook.generation + 1;
	struct ma_area *area = sim.area;

	/* Neighbouring states of this generator begin sequences that overlap. */
	sim.random = ma_sampler_random(&seed);
	sim.hook_random = ma_sampler_random(&seed);
	/* What the run before left behind. */
	memset(&area->counters, 0, sizeof area->counters);
	memset(&area->filter, 0, sizeof area->filter);
	memset(area->live.address, 0, sizeof area->live.address);
	area->control = (struct ma_control){
		.enabled = 1, .interval_bytes = interval_bytes, .lease_tsc = UINT64_MAX};
	sim.gate = 1;
	sim.next_address = (sim_random() & 0xffffff) << 20;
	ma_hook = (struct ma_hook){.gate = &sim.gate,
				   .area = area,
				   .mode = mode,
				   .generation = generation,
				   .config = &sim.config};
	for (int i = 0; rates && i < MA_SIZE_RATES; i++)
		ma_hook.size_rates[i] = rates[i];
	ma_hook.next[MA_FN_MALLOC] = (uint64_t)(uintptr_t)(any *)made_up_malloc;
	ma_hook.next[MA_FN_REALLOC] = (uint64_t)(uintptr_t)(any *)made_up_realloc;
	ma_hook.next[MA_FN_FREE] = (uint64_t)(uintptr_t)(any *)made_up_free;
	ma_hook.next[MA_FN_OBJ_MALLOC] = (uint64_t)(uintptr_t)(any *)made_up_object;
	ma_hook.small_limit = SMALL_LIMIT;
	sim_change_thread();
	ma_ingest_fini(&sim.ingest);
	ma_ingest_init(&sim.ingest, __atomic_load_n(&area->sequence, __ATOMIC_RELAXED) + 1);
	ma_heap_state_fini(&sim.heap);
	ma_heap_state_init(&sim.heap, MA_HEAP_SITE_LIMIT);
}

void sim_set_interval(uint32_t interval_bytes)
{
	sim.area->control.interval_bytes = interval_bytes;
}

void sim_change_thread(void)
{
	*ma_tls() = (struct ma_tls){0};
	seed_thread();
}

void sim_window(uint32_t start_ms, uint32_t exponent, bool closed)
{
	sim.area->control.clock_ms = start_ms;
	sim.area->control.window =
		exponent ? MA_WINDOW(start_ms, exponent, closed ? MA_WINDOW_CLOSED : 0) : 0;
	sim_free((uint64_t)(uintptr_t)made_up_malloc(1));
}

uint64_t sim_object(uint32_t site, uint64_t bytes)
{
	sim.site = site;
	if (bytes > SMALL_LIMIT)
		return (uint64_t)(uintptr_t)ma_malloc_sampled(bytes);
	/* The word holds the interpreter's own function then. */
	if (ma_windows_now() & MA_WINDOW_CLOSED)
		return (uint64_t)(uintptr_t)made_up_object(NULL, bytes);
	return (uint64_t)(uintptr_t)ma_obj_malloc_sampled(NULL, bytes);
}

uint64_t sim_malloc(uint32_t site, uint64_t bytes)
{
	sim.site = site;
	if (ma_hook.mode == MA_MODE_CLASSES)
		return (uint64_t)(uintptr_t)ma_malloc_classes(bytes);
	return (uint64_t)(uintptr_t)ma_malloc_sampled(bytes);
}

uint64_t sim_realloc(uint32_t site, uint64_t address, uint64_t bytes)
{
	void *block = (void *)(uintptr_t)address;

	sim.site = site;
	if (ma_hook.mode == MA_MODE_CLASSES)
		return (uint64_t)(uintptr_t)ma_realloc_classes(block, bytes);
	return (uint64_t)(uintptr_t)ma_realloc_sampled(block, bytes);
}

void sim_free(uint64_t address)
{
	ma_free_sampled((void *)(uintptr_t)address);
}

static void take(void *context, const struct ma_event *event)
{
	const struct ma_heap_sample sample = {
		.size_bytes = event->size_bytes,
		.site = event->site,
		.rate = event->rate,
		.domain = event->domain,
		.birth_ms = event->clock_ms,
		.coin = ma_halves_coin(event->address, event->clock_ms),
	};
	if (event->kind == MA_EVENT_ALLOC)
		ma_heap_state_alloc(context, &sample, event->clock_ms);
	else
		ma_heap_state_free(context, &sample);
}

void sim_poll(void)
{
	ma_ingest_poll(&sim.ingest, sim.area->rings, 0, true, take, &sim.heap);
}

const struct ma_heap_state *sim_books(void)
{
	sim_poll();
	return &sim.heap;
}

uint64_t sim_losses(void)
{
	const struct ma_counters *counters = &sim.area->counters;

	return counters->dropped_allocs + counters->dropped_frees + counters->implicit_frees +
	       counters->reentered + sim.ingest.gaps + sim.ingest.malformed + sim.heap.unbalanced;
}

uint64_t sim_random(void)
{
	return ma_sampler_random(&sim.random);
}

double sim_uniform(void)
{
	return ((double)(sim_random() >> 11) + 0.5) / 9007199254740992.0;
}
