/* SPDX-License-Identifier: MIT */
/* A code object's line table: version, first line and offset are the first bytes of the input. */
#include <string.h>

#include "proto/linetable.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct {
		uint8_t minor;
		uint8_t reserved;
		uint16_t offset;
		int32_t first_line;
	} head;
	if (size < sizeof head)
		return 0;
	memcpy(&head, data, sizeof head);
	uint32_t version = 0x03000000u | (uint32_t)(8 + head.minor % 8) << 16;
	int line = ma_linetable_line(version, head.first_line, data + sizeof head,
				     size - sizeof head, head.offset);
	MUST(line >= 0);
	MUST(ma_linetable_line(version, head.first_line, data + sizeof head, size - sizeof head,
			       UINT32_MAX) >= 0);
	return 0;
}
