/* SPDX-License-Identifier: MIT */
/*
 * Slow paths of the entry points: what is done for an allocation that was drawn (sampled mode) or
 * for every one (exact mode), for a free that may be of interest, and for a mapped region. Each
 * passes the gate first. Runs on the target's threads, inside an allocator call, after the real
 * allocation and before the real free; never touches errno.
 *
 * `layers` is a mask of 1 << enum ma_domain: whose block it is counted as. A block of malloc that
 * passes Python's hooks on its way is left to the malloc hook, which is called next.
 */
#ifndef MA_HOOK_RECORD_H
#define MA_HOOK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/hook/config.h"
#include "proto/area.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

#define MA_LAYER_PYTHON (1u << MA_DOMAIN_OBJECT | 1u << MA_DOMAIN_MEM)
#define MA_LAYER_ANY    (1u << MA_DOMAIN_MALLOC | MA_LAYER_PYTHON)

/* A block that was taken out of the books because it is about to be freed or moved. */
struct ma_taken {
	uint64_t size_bytes;
	uint32_t site;
	uint32_t rate; /* as in struct ma_event */
	uint32_t birth_ms;
	uint32_t domain;
};

/* Beside a domain: allocated through a word that is ours while a window is open (windows.h). */
enum { MA_WINDOWED = 1 << 8 };

/*
 * Sampled mode, by bytes or by size class. The thread's `left` did not cover this allocation:
 * samples it, or draws first if no draw was in force, or waits while nobody wants data. Returns
 * block, which may be NULL (failed: no effect), or where it was moved to (promote.h). domain: enum
 * ma_domain, with or without MA_WINDOWED.
 */
MA_HIDDEN void *ma_record_sampled(void *block, size_t bytes, uint32_t domain);

/* Exact mode: enters this allocation, NULL excepted. Returns block. */
MA_HIDDEN void *ma_record_exact(void *block, size_t bytes, enum ma_domain domain);

/* The block is about to be freed: takes it out and tells so. Returns block. */
MA_HIDDEN void *ma_record_free_sampled(void *block);
MA_HIDDEN void *ma_record_free_exact(void *block);

/*
 * The same for a block that a reallocation may free: takes it out, without telling yet. False: it
 * is not in, or not of these layers. To be followed by ma_record_gone or ma_record_back.
 */
MA_HIDDEN bool ma_record_take_sampled(void *block, uint32_t layers, struct ma_taken *taken);
MA_HIDDEN bool ma_record_take_exact(void *block, uint32_t layers, struct ma_taken *taken);

/* The reallocation freed it / failed and left it as it was. */
MA_HIDDEN void ma_record_gone(const void *block, const struct ma_taken *taken);
MA_HIDDEN void ma_record_back(const void *block, const struct ma_taken *taken);

/* ma_record_back of exact mode. */
MA_HIDDEN void ma_record_back_exact(const void *block, const struct ma_taken *taken);

/* A region was mapped (MA_EVENT_MAP) or is about to be unmapped (MA_EVENT_UNMAP). */
MA_HIDDEN void ma_record_region(enum ma_event_kind kind, uint64_t address, uint64_t bytes);

#endif
