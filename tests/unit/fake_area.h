/* SPDX-License-Identifier: MIT */
/*
 * A shared area with a hook that is played by the test: memory as the target would have it, tables
 * that are filled by hand, allocations that enter the live set and the rings as the hook would do.
 */
#ifndef MA_TESTS_FAKE_AREA_H
#define MA_TESTS_FAKE_AREA_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

struct fake_area {
	int fd; /* a memfd with sealing allowed */
	struct ma_area *area;
	uint64_t bytes;
};

/* arena_pages: of the exact mode's shadow. Aborts when it cannot be made. */
void fake_area_init(struct fake_area *fake, enum ma_mode mode, uint32_t arena_pages);
void fake_area_fini(struct fake_area *fake);

/* Adds a code object whose every position is on its first line (an empty line table). */
uint32_t fake_area_code(struct fake_area *fake, const char *name, const char *file, int first_line);

/* The same with everything given; kinds are bytes a code point. Returns the id. */
struct fake_code {
	const void *name, *file, *lines;
	uint16_t name_bytes, file_bytes;
	uint32_t lines_bytes, lines_total_bytes;
	uint8_t name_kind, file_kind, cut;
	int32_t first_line;
	uint64_t address, lines_address;
};
uint32_t fake_area_code_full(struct fake_area *fake, const struct fake_code *code);

uint32_t fake_area_stack(struct fake_area *fake, const uint64_t *frames, uint32_t count,
			 uint32_t flags);
uint32_t fake_area_site(struct fake_area *fake, uint32_t stack, enum ma_domain domain,
			uint8_t thread, uint16_t flags);

/* Publishes an event in a ring; its sequence number is taken here. false: the ring is full. */
bool fake_area_push(struct fake_area *fake, int ring, struct ma_event event);

/* An allocation enters the live set and is told of; it leaves again. `told` false: the event is
 * lost, as when all rings are full. false: no room in the live set, or nothing there to free. */
bool fake_area_alloc(struct fake_area *fake, int ring, uint64_t address, uint64_t size_bytes,
		     uint32_t site, uint32_t rate);
bool fake_area_free(struct fake_area *fake, int ring, uint64_t address, bool told);

/* Exact mode: puts a live block into shadow, site counters and totals. */
void fake_area_exact_alloc(struct fake_area *fake, uint64_t address, uint64_t size_bytes,
			   uint32_t site, uint32_t birth_ms);

#endif
