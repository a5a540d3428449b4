/* SPDX-License-Identifier: MIT */
/*
 * The shared area of a hostile target. The input is a head that sets the counters and chooses what
 * to look at, then bytes that fill the first part of the logs, of the ring and of the live set.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "proto/area_check.h"

enum { FILL = 1024 }; /* bytes of each table that the input reaches */

struct head {
	uint64_t area_bytes;
	struct ma_area_ident ident;
	uint64_t ring_head, ring_tail;
	uint64_t stack_used, code_used;
	uint32_t site_count;
	uint32_t stack_id, code_id, site_id, bucket;
	uint16_t max_events;
	uint16_t room;
	uint8_t log_end; /* 1: the input lies at the end of the logs, not at the start */
	uint8_t reserved[7];
};

static struct ma_area *area;

static uint64_t *log_part(uint64_t *log, size_t words, bool at_end)
{
	return at_end ? log + words - FILL / sizeof *log : log;
}

static void fill(void *to, const uint8_t **data, size_t *size)
{
	size_t bytes = *size < FILL ? *size : FILL;
	memset(to, 0, FILL);
	memcpy(to, *data, bytes);
	*data += bytes;
	*size -= bytes;
}

static void fill_area(const struct head *head, const uint8_t *data, size_t size)
{
	bool at_end = head->log_end & 1;
	struct ma_tables *tables = &area->tables;
	area->ident = head->ident;
	area->rings[0].head = head->ring_head;
	area->rings[0].tail = head->ring_tail;
	tables->stack_used = head->stack_used;
	tables->code_used = head->code_used;
	tables->site_count = head->site_count;
	fill(log_part(tables->code_log, MA_CODE_WORDS, at_end), &data, &size);
	fill(log_part(tables->stack_log, MA_STACK_WORDS, at_end), &data, &size);
	fill(area->rings[0].events, &data, &size);
	fill(tables->sites, &data, &size);
	fill(area->live.address, &data, &size);
	fill(area->live.entry, &data, &size);
}

static void look_at_ring(const struct head *head)
{
	static struct ma_event events[MA_RING_EVENTS];
	uint64_t lost;
	int max = head->max_events % (MA_RING_EVENTS + 1);
	for (int round = 0; round < 3; round++) {
		int count = ma_ring_take(&area->rings[0], events, max, &lost);
		MUST(count == MA_ERR_PROTOCOL || (count >= 0 && count <= max));
		for (int i = 0; i < count; i++)
			if (ma_event_check(&events[i]) == 0)
				MUST(events[i].site < MA_SITES && events[i].size_bytes > 0);
	}
}

static void look_at_tables(const struct head *head)
{
	static uint64_t frames[MA_MAX_FRAMES];
	static uint8_t buffer[UINT16_MAX];
	struct ma_stack stack;
	struct ma_site site;
	if (ma_stack_copy(&area->tables, head->stack_id, &stack, frames) == 0) {
		MUST(stack.frame_count <= MA_MAX_FRAMES);
		ma_stack_keep_python(&stack, frames);
		for (uint32_t i = 0; i < stack.frame_count; i++)
			MUST(frames[i] >> 62 == 0);
	}
	if (ma_site_copy(&area->tables, head->site_id, &site) == 0)
		MUST(site.thread < MA_THREAD_SLOTS);
	int64_t bytes = ma_code_copy(&area->tables, head->code_id, buffer, head->room);
	MUST(bytes == MA_ERR_PROTOCOL || (bytes >= 48 && bytes <= head->room));
	if (bytes > 0) {
		struct ma_code code;
		memcpy(&code, buffer, sizeof code);
		MUST(48 + (int64_t)code.name_bytes + code.filename_bytes + code.linetable_bytes ==
		     bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct head head = {0};
	struct ma_area_ident ident;
	struct ma_error error;
	if (!area)
		area = mmap(NULL, sizeof *area, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(area != MAP_FAILED);
	size_t head_bytes = size < sizeof head ? size : sizeof head;
	memcpy(&head, data, head_bytes);
	fill_area(&head, data + head_bytes, size - head_bytes);
	if (ma_area_check_ident(area, head.area_bytes, &ident, &error) == 0)
		MUST(strlen(ident.python_path) < sizeof ident.python_path);
	look_at_ring(&head);
	look_at_tables(&head);
	for (int way = -1; way <= MA_LIVE_WAYS; way++) {
		uint64_t address = 0;
		struct ma_live_entry entry;
		if (ma_live_copy(&area->live, head.bucket, way, &address, &entry))
			MUST(address > 1 && entry.size_bytes > 0 && entry.site < MA_SITES);
	}
	return 0;
}
