/* SPDX-License-Identifier: MIT */
/*
 * The table compiler in a confined process (daemon/confine.h), one for each file: one that libdw
 * came to grief over can spoil no table but its own. The child gets the source that was hashed, and
 * no file that could have changed since.
 */
#ifndef MA_DAEMON_UNWIND_CHILD_H
#define MA_DAEMON_UNWIND_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/unwind_source.h"
#include "proto/error.h"

struct ma_unwind_limits {
	uint64_t memory_bytes; /* that the child may take */
	uint64_t time_ms;      /* until it is given up */
};

extern const struct ma_unwind_limits ma_unwind_limits;

/*
 * As ma_unwind_compile, in a child; the table has been checked, and is of this source. Also fails
 * with MA_ERR_FAILED when the child came to grief, or *stopping (read atomically) became true. Any
 * one thread, which waits.
 */
int ma_unwind_child_compile(const struct ma_unwind_source *source,
			    const struct ma_unwind_limits *limits, const bool *stopping,
			    void **table, size_t *bytes, struct ma_error *error);

#endif
