/* SPDX-License-Identifier: MIT */
/* See fake_area.h. */
#include "fake_area.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DIRECTORY_PAGES = MA_SHADOW_PAGES * 4 / MA_PAGE_BYTES };

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void fake_area_init(struct fake_area *fake, enum ma_mode mode, uint32_t arena_pages)
{
	fake->bytes =
		mode == MA_MODE_EXACT ? MA_AREA_EXACT_BYTES(arena_pages) : MA_AREA_SAMPLED_BYTES;
	fake->fd = memfd_create("memattach-area", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fake->fd < 0 || ftruncate(fake->fd, (off_t)fake->bytes) < 0)
		abort();
	fake->area = mmap(NULL, fake->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fake->fd, 0);
	if (fake->area == MAP_FAILED)
		abort();
	struct ma_area_ident *ident = &fake->area->ident;
	ident->magic = MA_AREA_MAGIC;
	ident->version = MA_AREA_VERSION;
	ident->python_version = 0x030b07f0;
	ident->area_bytes = fake->bytes;
	ident->area_address = (uint64_t)(uintptr_t)fake->area;
	ident->mode = mode;
	ident->tsc_khz = 2000000;
	ident->attach_realtime_ns = clock_ns(CLOCK_REALTIME);
	ident->attach_monotonic_ns = clock_ns(CLOCK_MONOTONIC);
	ident->exact_heap_bytes = mode == MA_MODE_EXACT ? (uint64_t)arena_pages * MA_PAGE_BYTES : 0;
	strcpy(ident->python_path, "/usr/bin/python3.11");
	strcpy(ident->python_build_id, "0123456789abcdef0123456789abcdef01234567");
	ident->python_base = 0x400000;
	fake->area->tables.stack_used = 1;
	fake->area->tables.code_used = 1;
	if (mode == MA_MODE_EXACT)
		fake->area->exact.arena_pages = arena_pages;
}

void fake_area_fini(struct fake_area *fake)
{
	munmap(fake->area, fake->bytes);
	close(fake->fd);
}

uint32_t fake_area_code_full(struct fake_area *fake, const struct fake_code *code)
{
	struct ma_tables *tables = &fake->area->tables;
	uint32_t id = (uint32_t)tables->code_used;
	uint32_t bytes = (uint32_t)sizeof(struct ma_code) + code->name_bytes + code->file_bytes +
			 code->lines_bytes;
	struct ma_code head = {.address = code->address,
			       .linetable_address = code->lines_address,
			       .words = (bytes + 7) / 8,
			       .first_line = code->first_line,
			       .linetable_total_bytes = code->lines_total_bytes,
			       .linetable_bytes = code->lines_bytes,
			       .name_bytes = code->name_bytes,
			       .filename_bytes = code->file_bytes,
			       .name_kind = code->name_kind,
			       .filename_kind = code->file_kind,
			       .cut = code->cut};
	uint8_t *to = (uint8_t *)&tables->code_log[id];
	memcpy(to, &head, sizeof head);
	to += sizeof head;
	memcpy(to, code->name, code->name_bytes);
	to += code->name_bytes;
	memcpy(to, code->file, code->file_bytes);
	to += code->file_bytes;
	if (code->lines_bytes)
		memcpy(to, code->lines, code->lines_bytes);
	__atomic_store_n(&tables->code_used, id + head.words, __ATOMIC_RELEASE);
	return id;
}

uint32_t fake_area_code(struct fake_area *fake, const char *name, const char *file, int first_line)
{
	struct fake_code code = {.name = name,
				 .file = file,
				 .name_bytes = (uint16_t)strlen(name),
				 .file_bytes = (uint16_t)strlen(file),
				 .name_kind = 1,
				 .file_kind = 1,
				 .first_line = first_line};
	return fake_area_code_full(fake, &code);
}

uint32_t fake_area_stack(struct fake_area *fake, const uint64_t *frames, uint32_t count,
			 uint32_t flags)
{
	struct ma_tables *tables = &fake->area->tables;
	uint32_t id = (uint32_t)tables->stack_used;
	struct ma_stack head = {.frame_count = count, .flags = flags};
	memcpy(&tables->stack_log[id], &head, sizeof head);
	memcpy(&tables->stack_log[id + sizeof head / 8], frames, count * sizeof *frames);
	__atomic_store_n(&tables->stack_used, id + sizeof head / 8 + count, __ATOMIC_RELEASE);
	return id;
}

uint32_t fake_area_site(struct fake_area *fake, uint32_t stack, enum ma_domain domain,
			uint8_t thread, uint16_t flags)
{
	struct ma_tables *tables = &fake->area->tables;
	uint32_t id = tables->site_count + 1;
	tables->sites[id] = (struct ma_site){
		.stack = stack, .domain = (uint8_t)domain, .thread = thread, .flags = flags};
	__atomic_store_n(&tables->site_count, id, __ATOMIC_RELEASE);
	return id;
}

bool fake_area_push(struct fake_area *fake, int ring, struct ma_event event)
{
	struct ma_ring *to = &fake->area->rings[ring];
	uint64_t head = __atomic_load_n(&to->head, __ATOMIC_RELAXED);
	if (head - __atomic_load_n(&to->tail, __ATOMIC_ACQUIRE) >= MA_RING_EVENTS)
		return false;
	event.sequence = __atomic_add_fetch(&fake->area->sequence, 1, __ATOMIC_RELAXED);
	to->events[head % MA_RING_EVENTS] = event;
	__atomic_store_n(&to->head, head + 1, __ATOMIC_RELEASE);
	return true;
}

static uint32_t now_ms(const struct fake_area *fake)
{
	return __atomic_load_n(&fake->area->control.clock_ms, __ATOMIC_RELAXED);
}

/* The slot of an address in the live set (0: a free one that it may take); NULL = none. */
static uint64_t *find_slot(struct fake_area *fake, uint64_t address, uint64_t wanted,
			   struct ma_live_entry **entry)
{
	uint64_t hash = ma_address_hash(address);
	for (int choice = 0; choice < MA_LIVE_CHOICES; choice++) {
		uint32_t bucket = ma_live_bucket(hash, choice);
		for (int way = 0; way < MA_LIVE_WAYS; way++) {
			*entry = &fake->area->live.entry[bucket][way];
			if (fake->area->live.address[bucket][way] == wanted)
				return &fake->area->live.address[bucket][way];
		}
	}
	return NULL;
}

bool fake_area_alloc(struct fake_area *fake, int ring, uint64_t address, uint64_t size_bytes,
		     uint32_t site, uint32_t rate)
{
	struct ma_live_entry *entry;
	uint64_t *slot = find_slot(fake, address, 0, &entry);
	enum ma_domain domain = site ? fake->area->tables.sites[site].domain : MA_DOMAIN_MALLOC;
	if (!slot)
		return false;
	__atomic_store_n(slot, MA_LIVE_BUSY, __ATOMIC_RELAXED);
	*entry = (struct ma_live_entry){.size_bytes = size_bytes,
					.site = site,
					.rate = rate,
					.birth_ms = now_ms(fake),
					.domain = domain};
	__atomic_store_n(slot, address, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&fake->area->counters.samples, 1, __ATOMIC_RELAXED);
	return fake_area_push(fake, ring,
			      (struct ma_event){.address = address,
						.size_bytes = size_bytes,
						.site = site,
						.rate = rate,
						.clock_ms = now_ms(fake),
						.kind = MA_EVENT_ALLOC,
						.domain = (uint16_t)domain});
}

bool fake_area_free(struct fake_area *fake, int ring, uint64_t address, bool told)
{
	struct ma_live_entry *entry;
	uint64_t *slot = find_slot(fake, address, address, &entry);
	if (!slot)
		return false;
	struct ma_event event = {.address = address,
				 .size_bytes = entry->size_bytes,
				 .site = entry->site,
				 .rate = entry->rate,
				 .clock_ms = entry->birth_ms,
				 .kind = MA_EVENT_FREE,
				 .domain = (uint16_t)entry->domain};
	__atomic_store_n(slot, 0, __ATOMIC_RELEASE);
	if (!told || !fake_area_push(fake, ring, event))
		__atomic_fetch_add(&fake->area->counters.dropped_frees, 1, __ATOMIC_RELAXED);
	return true;
}

static uint8_t *arena_page(struct fake_area *fake, uint32_t page)
{
	return (uint8_t *)(fake->area + 1) + (uint64_t)(page - 1) * MA_PAGE_BYTES;
}

static uint32_t take_pages(struct fake_area *fake, uint32_t pages)
{
	struct ma_exact *exact = &fake->area->exact;
	if (exact->arena_pages - exact->arena_pages_used < pages)
		abort();
	uint32_t first = exact->arena_pages_used + 1;
	exact->arena_pages_used += pages;
	return first;
}

void fake_area_exact_alloc(struct fake_area *fake, uint64_t address, uint64_t size_bytes,
			   uint32_t site, uint32_t birth_ms)
{
	struct ma_exact *exact = &fake->area->exact;
	uint32_t *region = &exact->regions[address >> MA_SHADOW_REGION_BITS];
	if (!*region)
		*region = take_pages(fake, DIRECTORY_PAGES);
	uint32_t *directory = (uint32_t *)(void *)arena_page(fake, *region);
	uint32_t *page = &directory[address >> MA_SHADOW_PAGE_BITS & (MA_SHADOW_PAGES - 1)];
	if (!*page)
		*page = take_pages(fake, 1);
	struct ma_shadow *slots = (struct ma_shadow *)(void *)arena_page(fake, *page);
	uint64_t word = ma_shadow_word(site, size_bytes, birth_ms);
	if (size_bytes >= MA_SHADOW_LARGE) {
		uint32_t number = ++exact->larges_used;
		page = &exact->larges[(number - 1) / MA_LARGES_A_PAGE];
		if (!*page)
			*page = take_pages(fake, 1);
		struct ma_exact_large *large = (void *)arena_page(fake, *page);
		large[(number - 1) % MA_LARGES_A_PAGE] =
			(struct ma_exact_large){.size_bytes = size_bytes, .birth_ms = birth_ms};
		word = ma_shadow_word(site, MA_SHADOW_LARGE, number);
	}
	slots[address >> MA_SHADOW_GRANULE_BITS & (MA_SHADOW_SLOTS - 1)].word = word;
	struct ma_exact_site *at = &exact->sites[site];
	if (!at->allocated_count)
		at->first_ms = birth_ms;
	at->last_ms = birth_ms;
	at->allocated_bytes += size_bytes;
	at->allocated_count++;
	at->live_bytes += size_bytes;
	at->live_count++;
	exact->allocated_bytes += size_bytes;
	exact->allocated_count++;
	exact->live_bytes += size_bytes;
	exact->live_count++;
	if (exact->live_bytes > exact->peak_bytes) {
		exact->peak_bytes = exact->live_bytes;
		exact->peak_count = exact->live_count;
		exact->peak_ms = birth_ms;
		exact->epoch++;
	}
}
