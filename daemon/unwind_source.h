/* SPDX-License-Identifier: MIT */
/*
 * What an unwind table is compiled from: the few parts of an ELF file that say how to unwind it,
 * read with care, because the file is the target's and may be anything. The compiler sees nothing
 * else of the file, so the hash of these parts names the table, whatever build-id the file claims.
 */
#ifndef MA_DAEMON_UNWIND_SOURCE_H
#define MA_DAEMON_UNWIND_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/modules.h"
#include "daemon/sha256.h"
#include "proto/error.h"

enum { MA_UNWIND_CODES = 8 };

/* An executable segment, as the file has it. */
struct ma_unwind_code {
	uint64_t address, offset, bytes;
};

/* A section, bytes NULL when the file has none. */
struct ma_unwind_section {
	uint64_t address;
	uint64_t flags; /* SHF_COMPRESSED alone */
	uint64_t size;
	uint8_t *bytes; /* owned */
};

struct ma_unwind_source {
	bool is_elf;                                 /* and for x86-64 */
	struct ma_unwind_code code[MA_UNWIND_CODES]; /* ascending */
	uint32_t code_count;
	struct ma_unwind_section eh_frame, debug_frame;
	uint8_t build_id[MA_BUILD_ID_BYTES];
	uint32_t build_id_bytes; /* 0: it has none */
	uint8_t hash[MA_SHA256_BYTES];
};

/*
 * Reads a source from an ELF file for x86-64 (fd borrowed). Errors: MA_ERR_PROTOCOL (no such file,
 * or one that makes no sense), MA_ERR_FAILED (cannot be read, no memory, too large). A file without
 * any unwind information is no error. ma_unwind_source_fini in any case. Any process.
 */
int ma_unwind_source_read(struct ma_unwind_source *source, int fd, struct ma_error *error);
void ma_unwind_source_fini(struct ma_unwind_source *source);

/* Does it say anything about unwinding? An end of .eh_frame alone is nothing. */
bool ma_unwind_source_has_any(const struct ma_unwind_source *source);

/* Address in the target - address in the file, for a mapping that begins at start and shows the
 * file from offset on. false: no executable segment lies there. */
bool ma_unwind_source_bias(const struct ma_unwind_source *source, uint64_t start, uint64_t offset,
			   uint64_t *bias);

#endif
