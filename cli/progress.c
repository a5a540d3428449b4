/* SPDX-License-Identifier: MIT */
/* The progress bar; see progress.h. */
#include "cli/progress.h"

#include <unistd.h>

#include "cli/format.h"
#include "cli/output.h"

enum { BAR_CELLS = 24, WORTH_SHOWING_MS = 1000 };

static void write_stderr(const struct ma_text *line)
{
	struct ma_error ignored;
	ma_output_write_all(STDERR_FILENO, line->data, line->length, "progress", &ignored);
}

void ma_progress_begin(struct ma_progress *progress, bool visible, const char *label,
		       uint64_t total_ms)
{
	*progress = (struct ma_progress){visible && total_ms > WORTH_SHOWING_MS, label, total_ms};
}

void ma_progress_bar(struct ma_text *text, double ratio, unsigned cells)
{
	double filled = (ratio > 0 ? ratio < 1 ? ratio : 1 : 0) * cells;
	unsigned count = (unsigned)(filled + 0.5);
	ma_text_add(text, "[");
	ma_text_repeat(text, '#', count);
	ma_text_repeat(text, '-', cells - count);
	ma_text_add(text, "]");
}

void ma_progress_update(struct ma_progress *progress, uint64_t done_ms, const char *note)
{
	if (!progress->shown)
		return;
	if (done_ms > progress->total_ms)
		done_ms = progress->total_ms;
	struct ma_text line = {0};
	ma_text_addf(&line, "\r%s ", progress->label);
	ma_progress_bar(&line, (double)done_ms / (double)progress->total_ms, BAR_CELLS);
	ma_text_addf(&line, " %s of %s", ma_format_duration_us(1e6 * (double)(done_ms / 1000)).text,
		     ma_format_duration_us(1e3 * (double)progress->total_ms).text);
	ma_text_addf(&line, "%s%s\033[K", note[0] ? "   " : "", note);
	write_stderr(&line);
	ma_text_fini(&line);
}

void ma_progress_end(struct ma_progress *progress)
{
	if (!progress->shown)
		return;
	struct ma_text line = {0};
	ma_text_add(&line, "\r\033[K");
	write_stderr(&line);
	ma_text_fini(&line);
	progress->shown = false;
}
