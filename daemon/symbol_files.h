/* SPDX-License-Identifier: MIT */
/* Where a separate debug file may lie. */
#ifndef MA_DAEMON_SYMBOL_FILES_H
#define MA_DAEMON_SYMBOL_FILES_H

#include "daemon/symbol_packet.h"

/*
 * Opens the candidate number want->attempt for a debug file: below root_fd (the target's root,
 * borrowed, -1: none), then below ours, by build-id, and beside and behind `path`, which is the
 * file's. Whether it is the right one is for the reader to find out. An fd (returned-owned); -1:
 * there are no more. Any thread.
 */
int ma_symbol_files_open(int root_fd, const char *path, const struct ma_symbol_want *want);

#endif
