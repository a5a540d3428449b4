/* SPDX-License-Identifier: MIT */
/* JSON lines; see plain_json.h. The writer of documents makes many lines; joined they are one. */
#include "cli/live/plain_json.h"

#include <string.h>

#include "cli/json_out.h"
#include "cli/live/estimates.h"
#include "cli/session_view.h"
#include "cli/windows_view.h"
#include "proto/area.h"

/* Adds a text without its line breaks and what indents after them: there are none in strings. */
static void add_joined(struct ma_text *text, const char *document)
{
	while (*document) {
		size_t length = strcspn(document, "\n");
		ma_text_add_bytes(text, document, length);
		document += length;
		document += strspn(document, "\n ");
	}
	ma_text_add(text, "\n");
}

static void write_estimate(struct ma_json *json, const char *key, struct ma_estimate estimate)
{
	struct ma_interval interval = ma_interval_95(&estimate);
	ma_json_begin_object(json, key);
	ma_json_whole(json, "bytes", estimate.value);
	ma_json_whole(json, "low_bytes", interval.low);
	ma_json_whole(json, "high_bytes", interval.high);
	ma_json_end_object(json);
}

static void write_process(struct ma_json *json, const Memattach__LiveView *view)
{
	const Memattach__Session *session = view->session;
	ma_json_integer(json, "pid", session->pid);
	ma_json_time(json, "time", view->time_nanos);
	ma_json_time(json, "attached", session->attach_time_nanos);
	ma_json_time(json, "reference", view->reference_time_nanos);
	ma_json_string(json, "state", ma_session_state_name(session->state));
	if (session->ended[0])
		ma_json_string(json, "ended", session->ended);
	else
		ma_json_null(json, "ended");
	ma_json_string(json, "mode",
		       session->mode == MA_MODE_EXACT     ? "exact"
		       : session->mode == MA_MODE_CLASSES ? "classes"
							  : "sampled");
	ma_json_unsigned(json, "interval_bytes", session->interval_bytes);
	ma_windows_json(json, "windows_open_ratio", session->window_exponent_max);
	if (session->cost_ratio >= 0)
		ma_json_real(json, "cost_ratio", session->cost_ratio);
	else
		ma_json_null(json, "cost_ratio");
	ma_json_unsigned(json, "drops", session->drops);
}

static void write_memory(struct ma_json *json, const Memattach__Memory *memory)
{
	ma_json_begin_object(json, "memory");
	ma_json_unsigned(json, "rss_bytes", memory->rss_bytes);
	ma_json_unsigned(json, "pss_bytes", memory->pss_bytes);
	ma_json_unsigned(json, "swap_bytes", memory->swap_bytes);
	ma_json_unsigned(json, "limit_bytes", memory->cgroup_limit_bytes);
	ma_json_unsigned(json, "cgroup_bytes", memory->cgroup_bytes);
	ma_json_whole(json, "growth_bytes_per_second", memory->growth_bytes_per_second);
	ma_json_end_object(json);
}

/* What the line called in native code. */
static void write_native(struct ma_json *json, const Memattach__LiveRow *row)
{
	if (!row->callee[0]) {
		ma_json_null(json, "native");
		return;
	}
	ma_json_begin_object(json, "native");
	ma_json_begin_object(json, "entry");
	ma_json_string(json, "function", row->callee);
	ma_json_string(json, "module", row->callee_module);
	ma_json_end_object(json);
	ma_json_end_object(json);
}

static void write_row(struct ma_json *json, const Memattach__LiveRow *row)
{
	ma_json_begin_object(json, NULL);
	ma_json_string(json, "function", row->function);
	ma_json_string(json, "file", row->file);
	ma_json_integer(json, "line", row->line);
	ma_json_string(json, "kind", row->module[0] ? "native" : "python");
	if (row->module[0])
		ma_json_string(json, "module", row->module);
	write_native(json, row);
	write_estimate(json, "live", ma_live_row_estimate(row));
	ma_json_whole(json, "count", row->live_count);
	ma_json_whole(json, "change_bytes", row->delta_bytes);
	ma_json_whole(json, "held_bytes", row->held_bytes);
	ma_json_whole(json, "peak_bytes", row->peak_bytes);
	ma_json_whole(json, "allocated_bytes_per_second", row->rate);
	ma_json_unsigned(json, "sites", row->sites);
	ma_json_end_object(json);
}

void ma_live_json_write(struct ma_text *text, const Memattach__LiveView *view)
{
	struct ma_json json = {0};
	const Memattach__Totals *totals = view->totals;
	ma_json_begin_object(&json, NULL);
	ma_json_string(&json, "schema", "memattach.live/1");
	write_process(&json, view);
	write_memory(&json, view->memory);
	write_estimate(&json, "live", ma_live_total_estimate(totals));
	write_estimate(&json, "peak", ma_live_peak_estimate(totals));
	ma_json_time(&json, "peak_time", view->session->peak_time_nanos);
	ma_json_whole(&json, "allocated_bytes_per_second", totals->allocated_bytes_per_second);
	ma_json_unsigned(&json, "line_count", view->row_count);
	ma_json_begin_array(&json, "lines");
	for (size_t i = 0; i < view->n_row; i++)
		write_row(&json, view->row[i]);
	ma_json_end_array(&json);
	ma_json_end_object(&json);
	add_joined(text, ma_text_string(&json.text));
	ma_text_fini(&json.text);
}
