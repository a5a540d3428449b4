/* SPDX-License-Identifier: MIT */
/* A bar on stderr while something takes more than a second; nothing where that is no terminal. */
#ifndef MA_CLI_PROGRESS_H
#define MA_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/text.h"

/* Embedded. */
struct ma_progress {
	bool shown;
	const char *label; /* borrowed */
	uint64_t total_ms;
};

/* visible: stderr is a terminal and the person wants to see it. */
void ma_progress_begin(struct ma_progress *progress, bool visible, const char *label,
		       uint64_t total_ms);
/* note: a few words behind the bar; may be empty. Borrowed. */
void ma_progress_update(struct ma_progress *progress, uint64_t done_ms, const char *note);
/* Takes the bar away. */
void ma_progress_end(struct ma_progress *progress);

/* "[###-----]" of so many cells, ratio 0 .. 1. Shared with the memory limit's bar. */
void ma_progress_bar(struct ma_text *text, double ratio, unsigned cells);

#endif
