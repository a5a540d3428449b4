/* SPDX-License-Identifier: MIT */
/*
 * The first screen: what a process holds, where it came from, and what is not known. Pure functions
 * of a snapshot and of the daemon's session; the text is complete lines that fit the width.
 */
#ifndef MA_CLI_SUMMARY_VIEW_H
#define MA_CLI_SUMMARY_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/heap_rows.h"
#include "cli/text.h"
#include "proto/control.pb-c.h"
#include "proto/profile.pb-c.h"

struct ma_summary {
	const Memattach__Profile *profile; /* borrowed; must have its heap */
	const Memattach__Session *session; /* borrowed; NULL: not known */
	bool leaving;                      /* tracking ends when the command does */
	unsigned top;                      /* rows of the table */
	unsigned width;
	bool color;
};

/* The whole screen. */
void ma_summary_view_write(struct ma_text *text, const struct ma_summary *summary);

/* The table of sites alone (summary_table.c). */
void ma_summary_table_write(struct ma_text *text, const struct ma_summary *summary);

#endif
