/* SPDX-License-Identifier: MIT */
/* See bloom_refresh.h. */
#include "daemon/bloom_refresh.h"

/* Samples after which it is worth the milliseconds; 32,768 addresses set 1.5 % of the bits. */
#define WORTH_SAMPLES 32768

static void set_bits(uint64_t words[MA_BLOOM_WORDS], uint64_t address)
{
	uint64_t hash = ma_address_hash(address);
	__atomic_fetch_or(&words[ma_bloom_word(hash)], ma_bloom_bits(hash), __ATOMIC_RELAXED);
}

uint64_t ma_bloom_refresh_now(struct ma_area *area)
{
	uint32_t next = !(__atomic_load_n(&area->control.bloom_current, __ATOMIC_RELAXED) & 1);
	uint64_t *words = area->bloom[next];
	uint64_t count = 0;
	for (uint32_t i = 0; i < MA_BLOOM_WORDS; i++)
		__atomic_store_n(&words[i], 0, __ATOMIC_RELAXED);
	/* No load of the scan may overtake the clearing. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t bucket = 0; bucket < MA_LIVE_BUCKETS; bucket++) {
		for (int way = 0; way < MA_LIVE_WAYS; way++) {
			uint64_t address =
				__atomic_load_n(&area->live.address[bucket][way], __ATOMIC_RELAXED);
			if (address == 0 || address == MA_LIVE_BUSY)
				continue;
			set_bits(words, address);
			count++;
		}
	}
	for (uint32_t i = 0; i < MA_CODE_MAP; i++) {
		uint64_t address =
			__atomic_load_n(&area->tables.code_map[i].address, __ATOMIC_RELAXED);
		if (address <= 1)
			continue;
		set_bits(words, address);
		count++;
	}
	__atomic_store_n(&area->control.bloom_current, next, __ATOMIC_SEQ_CST);
	return count;
}

bool ma_bloom_refresh_tick(struct ma_bloom_refresh *refresh, struct ma_area *area)
{
	uint64_t samples = __atomic_load_n(&area->counters.samples, __ATOMIC_RELAXED);
	uint64_t since = samples - refresh->samples;
	if (since < WORTH_SAMPLES || since < refresh->live)
		return false;
	refresh->live = ma_bloom_refresh_now(area);
	refresh->samples = samples;
	refresh->refreshes++;
	return true;
}
