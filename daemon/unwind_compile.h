/* SPDX-License-Identifier: MIT */
/*
 * The table compiler: call frame information in, a table of rows and rules out. It lets libdw
 * interpret what the target's file says, so it belongs into a process that may crash, hang or run
 * out of memory (daemon/unwind_child.h).
 */
#ifndef MA_DAEMON_UNWIND_COMPILE_H
#define MA_DAEMON_UNWIND_COMPILE_H

#include <stddef.h>

#include "daemon/unwind_source.h"
#include "proto/error.h"

/*
 * Compiles .eh_frame, and .debug_frame for what .eh_frame does not cover. *table is returned-owned
 * (free), in the form of daemon/unwind_table.h. Errors: MA_ERR_PROTOCOL (there is no unwind
 * information, or none that makes sense), MA_ERR_FAILED (no memory, the table is too large).
 */
int ma_unwind_compile(const struct ma_unwind_source *source, void **table, size_t *bytes,
		      struct ma_error *error);

#endif
