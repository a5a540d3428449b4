/* SPDX-License-Identifier: MIT */
/*
 * Names and lines of the code objects that the hook described: decoded on first use, kept by id.
 * A line table that was too long for the code log is read out of the target while its code object
 * still lives, and trusted only where code object, table address and the stored beginning agree.
 */
#ifndef MA_DAEMON_NAMES_H
#define MA_DAEMON_NAMES_H

#include <stdint.h>
#include <sys/types.h>

#include "daemon/idmap.h"
#include "proto/area.h"

/* One code object, as people know it. */
struct ma_code_name {
	const char *function; /* valid UTF-8 */
	const char *file;
	int32_t first_line;
};

struct ma_long_table; /* a line table fetched from the target */

/* Zero-initialise, then ma_names_init. */
struct ma_names {
	const struct ma_tables *tables;
	uint32_t python_version;
	struct ma_idmap codes; /* code id -> index of an entry */
	struct ma_code_name *entries;
	uint32_t entry_count;
	uint32_t entry_room;
	struct ma_idmap lines;      /* frame -> line */
	struct ma_idmap long_index; /* code id -> index of a long table */
	struct ma_long_table *long_tables;
	uint32_t long_count;
	uint64_t long_bytes; /* fetched so far; bounded */
	uint32_t looked_at;  /* code ids below this were looked at for long tables */
	uint8_t *scratch;
};

/* Reads `bytes` at address in the target into buffer; 0 or negative. For tests, else
 * ma_names_read_process with a pid_t. */
typedef int ma_read_memory(void *context, uint64_t address, void *buffer, size_t bytes);

/* tables (borrowed) must outlive the names. -1: no memory. Daemon loop, as everything here. */
int ma_names_init(struct ma_names *names, const struct ma_tables *tables, uint32_t python_version);
void ma_names_fini(struct ma_names *names);

/* The name of a code object; NULL when the id is not one (0, out of range, malformed). Borrowed
 * until the next call of ma_names_code. */
const struct ma_code_name *ma_names_code(struct ma_names *names, uint32_t code_id);

/* The line of a frame (MA_FRAME); the function's first line where the table has none; 0 when the
 * code object is not known. */
int32_t ma_names_line(struct ma_names *names, uint64_t frame);

/* Fetches the long line tables of code objects that were described since the last call. Bounded:
 * looks at some thousand code objects a call. */
void ma_names_fetch_tables(struct ma_names *names, ma_read_memory *read, void *context);

/* A ma_read_memory by process_vm_readv; context points to a pid_t. */
int ma_names_read_process(void *context, uint64_t address, void *buffer, size_t bytes);

#endif
