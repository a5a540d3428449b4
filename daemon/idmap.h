/* SPDX-License-Identifier: MIT */
/*
 * A map from 64-bit keys to 32-bit values: open addressing, linear probing, no removal. The indexes
 * of a snapshot being built and the caches of decoded names are such maps.
 */
#ifndef MA_DAEMON_IDMAP_H
#define MA_DAEMON_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

struct ma_idmap_slot {
	uint64_t key; /* as stored; meaningful where value is not MA_IDMAP_NONE */
	uint32_t value;
};

#define MA_IDMAP_NONE UINT32_MAX /* not a value that can be stored */

/* Zero-initialise, then use. */
struct ma_idmap {
	struct ma_idmap_slot *slots;
	uint32_t room; /* 0 or a power of two */
	uint32_t used;
};

/* The value of key, or MA_IDMAP_NONE. */
uint32_t ma_idmap_find(const struct ma_idmap *map, uint64_t key);

/* Stores value under a key that is not there yet. false: no memory, the map is as before. */
bool ma_idmap_add(struct ma_idmap *map, uint64_t key, uint32_t value);

/* Zeroed maps are accepted. */
void ma_idmap_fini(struct ma_idmap *map);

#endif
