/* SPDX-License-Identifier: MIT */
/*
 * The tables of the shared area as the hook writes them: code objects (codes.c), stacks and sites
 * (intern.c), and the one lock that additions take (tables_lock.c). Lookups take no lock.
 *
 * How a reader in this process or in the daemon never sees half a record: a record is written into
 * free room first, then `used` is moved past it, and only then does an index slot get its id, each
 * by a release store or a compare-and-swap. Nothing that was published changes, but for slots of
 * the code map, which follow the life of the code objects.
 *
 * Thread context: as in site.h. area is the caller's mapping of the shared area.
 */
#ifndef MA_HOOK_TABLES_H
#define MA_HOOK_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/config.h"
#include "proto/area.h"

enum {
	MA_CODE_PROBES = 128,     /* slots of the code map looked at for one address */
	MA_INDEX_PROBES = 128,    /* the same for the three indexes */
	MA_CODE_NAME_BYTES = 512, /* bounds of what is stored of a code object */
	MA_CODE_FILE_BYTES = 1024,
	MA_CODE_LINE_BYTES = 32 << 10,
	MA_SITE_RESERVE =
		2048,        /* sites kept for those without a stack, when all others are taken */
	MA_CODE_REMOVED = 1, /* address of a slot of the code map whose code object is gone */
};

/* Most words that one record of each log can take. */
#define MA_STACK_RECORD_WORDS (sizeof(struct ma_stack) / 8 + MA_MAX_FRAMES)
#define MA_CODE_RECORD_WORDS                                                                       \
	((sizeof(struct ma_code) + MA_CODE_NAME_BYTES + MA_CODE_FILE_BYTES + MA_CODE_LINE_BYTES) / \
	 8)

/* A code object that is not in the code map. Known to be undescribable is 0. */
#define MA_CODE_UNSEEN UINT32_MAX

/* What one walk found. frames are MA_FRAME words, innermost first. */
struct ma_walk {
	uint64_t *frames;
	uint32_t count;
	uint32_t flags; /* enum ma_stack_flag */
	uint64_t hash;  /* ma_walk_mix over the frames */
	bool busy;      /* a new code object could not be described: the tables were locked */
};

/* Rolling hash over frame words. Not keyed: equal hashes are always followed by a comparison. */
static inline uint64_t ma_walk_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9FB21C651E98DF25);
	return hash ^ hash >> 32;
}

/* Adds to one of the area's counters. */
static inline void ma_counter_add(uint64_t *counter, uint64_t count)
{
	__atomic_fetch_add(counter, count, __ATOMIC_RELAXED);
}

/* What additions need to know besides the area. */
struct ma_writer {
	uint32_t owner;        /* what the lock shows: the thread's id, not 0 */
	bool patient;          /* waits for the lock until it has it */
	uint64_t second_ticks; /* ticks of the time stamp counter in a second */
	bool sees_frees;       /* of every block, so that the filter is to know code objects */
};

/*
 * Takes the lock, waiting a few microseconds at most, or if patient a second; takes it over from a
 * holder of more than a second, who is dead or was stopped. A holder who comes back after that
 * finds its records refused, see ma_tables_publish.
 */
bool ma_tables_lock(struct ma_tables *tables, const struct ma_writer *writer);
void ma_tables_unlock(struct ma_tables *tables, uint32_t owner);

/*
 * Moves a log's `used` from `start` to `start + words`, publishing the record written there. False
 * when `used` is no longer `start`: somebody took the lock over, and the record must be given up.
 */
bool ma_tables_publish(uint64_t *used, uint64_t start, uint64_t words);

/*
 * What the code map knows of this address: an id and a check, see struct ma_code_slot; id
 * MA_CODE_UNSEEN when it was not met yet, 0 when it could not be described. Lock-free.
 */
static inline uint64_t ma_codes_identity(const struct ma_tables *tables, uint64_t address)
{
	uint64_t at = ma_address_hash(address) / (UINT64_MAX / MA_CODE_MAP + 1);

	for (uint32_t probe = 0; probe < MA_CODE_PROBES; probe++) {
		const struct ma_code_slot *slot = &tables->code_map[(at + probe) % MA_CODE_MAP];
		uint64_t have = __atomic_load_n(&slot->address, __ATOMIC_ACQUIRE);

		if (have == address)
			return __atomic_load_n(&slot->identity, __ATOMIC_RELAXED);
		if (!have)
			break;
	}
	return MA_CODE_UNSEEN;
}

/* The id alone, for who hears of every free: what is in the map then is what lives there. */
static inline uint32_t ma_codes_find(const struct ma_tables *tables, uint64_t address)
{
	return (uint32_t)ma_codes_identity(tables, address);
}

/*
 * Describes the code object at this address, which the caller knows to be alive, and enters it into
 * log and map, in place of what the map knows of that address, and into the filter. Returns its id,
 * or 0 when it cannot be read or the log is full; *busy is set when it is 0 because the lock was
 * not to be had.
 */
uint32_t ma_codes_describe(struct ma_area *area, const struct ma_py_layout *layout,
			   const struct ma_writer *writer, uint64_t address, bool *busy);

/* Ends what the code map knows of this address. Lock-free. */
bool ma_codes_remove(struct ma_tables *tables, uint64_t address);

/*
 * The site of a walk. Adds stack and site where they are new. Falls back to a site without a stack
 * when that cannot be done; returns 0 when there is none either. Counts what went wrong.
 */
uint32_t ma_intern_site(struct ma_area *area, const struct ma_writer *writer,
			const struct ma_walk *walk, uint8_t domain, uint8_t thread);

/*
 * The site of an interned stack, domain and thread; 0 = there is none yet. Stack 0 is that of a
 * thread without Python frames. Lock-free.
 */
uint32_t ma_intern_find(struct ma_tables *tables, uint32_t stack, uint8_t domain, uint8_t thread);

/*
 * The innermost Python frame of the calling thread and the state that it belongs to; 0 = none, with
 * a flag (enum ma_stack_flag) unless the state merely has no frame.
 */
uint64_t ma_frames_innermost(const struct ma_hook_config *config, uint64_t *state, uint32_t *flags);

/*
 * Walks the calling thread's Python stack into walk->frames (room for MA_MAX_FRAMES); sets the rest
 * of *walk. Reads the interpreter's memory only, and calls PyGILState_GetThisThreadState. Code
 * objects met for the first time are described on the way.
 */
void ma_frames_walk(struct ma_area *area, const struct ma_hook_config *config,
		    const struct ma_writer *writer, struct ma_walk *walk);

#endif
