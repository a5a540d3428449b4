/* SPDX-License-Identifier: MIT */
/* One session: who, since when, how finely, at what cost, what was lost. */
#include "cli/session_view.h"

#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/flow.h"
#include "cli/format.h"
#include "cli/size_classes.h"
#include "cli/windows_view.h"
#include "proto/area.h"
#include "proto/interval.h"

enum { LABEL = 12 };

#define GAP "   "

const char *ma_session_state_name(Memattach__Session__State state)
{
	switch (state) {
	case MEMATTACH__SESSION__STATE__TRACKING:
		return "tracking";
	case MEMATTACH__SESSION__STATE__ENDED:
		return "ended";
	case MEMATTACH__SESSION__STATE__LOST:
		return "lost";
	default:
		return "unknown";
	}
}

static void write_head(struct ma_flow *flow, const Memattach__Session *session)
{
	char label[24], rest[96];
	struct ma_text escaped = {0}, command = {0};
	snprintf(label, sizeof label, "%d  ", session->pid);
	snprintf(rest, sizeof rest, "Python %.20s" GAP "uid %u", session->python_version,
		 session->uid);
	size_t taken = strlen(label) + strlen(rest) + strlen(GAP);
	ma_display_escape(&escaped, ma_display_command(session->command[0] ? session->command
									   : session->executable));
	ma_display_add_start(&command, ma_text_string(&escaped), flow->width - (unsigned)taken);
	ma_flow_begin(flow, label, (unsigned)strlen(label), GAP);
	ma_flow_item(flow, MA_STYLE_HEAD, "%s", ma_text_string(&command));
	ma_flow_item(flow, MA_STYLE_PLAIN, "%s", rest);
	ma_flow_end(flow);
	ma_text_fini(&escaped);
	ma_text_fini(&command);
}

static void write_state(struct ma_flow *flow, const Memattach__Session *session, uint64_t now_ns)
{
	bool ended = session->state == MEMATTACH__SESSION__STATE__ENDED;
	uint64_t until_ns = ended && session->end_time_nanos ? session->end_time_nanos : now_ns;
	double age_us = until_ns > session->attach_time_nanos
				? (double)(until_ns - session->attach_time_nanos) / 1e3
				: 0;
	struct ma_text sentence = {0};
	ma_display_escape(&sentence, session->ended);
	ma_flow_begin(flow, "  state", LABEL, GAP);
	ma_flow_item(flow,
		     session->state == MEMATTACH__SESSION__STATE__TRACKING ? MA_STYLE_GOOD
									   : MA_STYLE_BAD,
		     "%s%s%s", ma_session_state_name(session->state), sentence.length ? ": " : "",
		     ma_text_string(&sentence));
	ma_flow_item(flow, MA_STYLE_PLAIN, "attached %s, for %s",
		     ma_format_clock(session->attach_time_nanos, now_ns).text,
		     ma_format_duration_us(age_us).text);
	if (session->hook_running_us)
		ma_flow_item(flow, MA_STYLE_PLAIN, "in %s, longest pause %s",
			     ma_format_duration_us(session->hook_running_us).text,
			     ma_format_duration_us(session->pause_us).text);
	ma_flow_end(flow);
	ma_text_fini(&sentence);
}

static void write_classes(struct ma_flow *flow, const Memattach__Session *session)
{
	struct ma_text classes = {0};
	ma_size_classes_write(&classes, session->rate, session->n_rate);
	ma_flow_item(flow, MA_STYLE_PLAIN, "by size %s", ma_text_string(&classes));
	ma_text_fini(&classes);
}

static void write_sampling(struct ma_flow *flow, const Memattach__Session *session)
{
	ma_flow_begin(flow, "  sampling", LABEL, GAP);
	if (session->mode == MA_MODE_EXACT)
		ma_flow_item(flow, MA_STYLE_PLAIN, "every allocation");
	else if (session->n_rate)
		write_classes(flow, session);
	else if (session->fixed_interval)
		ma_flow_item(flow, MA_STYLE_PLAIN, "one in %s, fixed",
			     ma_format_setting((double)session->interval_bytes).text);
	else
		ma_flow_item(flow, MA_STYLE_PLAIN, "one in %s, steered to a budget of %s",
			     ma_format_setting((double)session->interval_bytes).text,
			     ma_format_share(session->budget_ratio).text);
	if (session->window_exponent)
		ma_flow_item(flow, MA_STYLE_PLAIN, "small Python objects for %s of the time",
			     ma_windows_part(session->window_exponent).text);
	if (session->cost_ratio >= 0)
		ma_flow_item(flow, MA_STYLE_PLAIN, "cost %s",
			     ma_format_share(session->cost_ratio).text);
	ma_flow_item(flow, MA_STYLE_PLAIN, "%s samples at %s sites",
		     ma_format_count((double)session->samples).text,
		     ma_format_count((double)session->sites).text);
	ma_flow_item(flow, session->drops ? MA_STYLE_WARN : MA_STYLE_PLAIN, "drops %s",
		     ma_format_count((double)session->drops).text);
	ma_flow_end(flow);
}

/* Was everything set alike in both? */
static bool is_same_setting(const Memattach__CostSpan *a, const Memattach__CostSpan *b)
{
	return a->interval_bytes == b->interval_bytes && a->window_exponent == b->window_exponent;
}

/* Average cost of spans [first, end), in which nothing was set anew. */
static void write_spans(struct ma_flow *flow, const Memattach__Session *session, size_t first,
			size_t end, uint64_t now_ns)
{
	char windows[48] = "";
	double cost = 0, total_ms = 0;
	for (size_t i = first; i < end; i++) {
		const Memattach__CostSpan *span = session->cost[i];
		cost += span->span_ms * (span->slow_ratio + span->fast_ratio);
		total_ms += span->span_ms;
	}
	const Memattach__CostSpan *begin = session->cost[first];
	uint64_t since_ns = begin->end_time_nanos - begin->span_ms * UINT64_C(1000000);
	struct ma_figure every = {""};
	if (begin->interval_bytes)
		every = ma_format_setting((double)begin->interval_bytes);
	if (begin->window_exponent)
		snprintf(windows, sizeof windows, ", windows %s",
			 ma_windows_part(begin->window_exponent).text);
	ma_flow_item(flow, MA_STYLE_PLAIN, "%s%s%s%s from %s: %s", every.text[0] ? "one in " : "",
		     every.text, every.text[0] ? "" : "all", windows,
		     ma_format_clock(since_ns, now_ns).text,
		     ma_format_share(total_ms > 0 ? cost / total_ms : 0).text);
}

/* What the cost consists of, and what it was at the last few settings. */
static void write_cost(struct ma_flow *flow, const Memattach__Session *session, uint64_t now_ns)
{
	enum { SHOWN = 4 };
	size_t starts[SHOWN], count = 0, end = session->n_cost;
	bool beyond = session->budget_ratio > 0 && session->fast_ratio > session->budget_ratio;
	if (session->cost_ratio < 0 || session->n_cost == 0)
		return;
	ma_flow_begin(flow, "  cost", LABEL, GAP);
	ma_flow_item(flow, beyond ? MA_STYLE_WARN : MA_STYLE_PLAIN, "passing through %s%s",
		     ma_format_share(session->fast_ratio).text,
		     beyond ? ", above the budget at any interval" : "");
	ma_flow_item(flow, MA_STYLE_PLAIN, "sampling %s",
		     ma_format_share(session->cost_ratio - session->fast_ratio).text);
	for (size_t i = end; i-- > 0 && count < SHOWN;)
		if (i == 0 || !is_same_setting(session->cost[i], session->cost[i - 1]))
			starts[count++] = i;
	for (size_t i = count; i-- > 0;)
		write_spans(flow, session, starts[i], i ? starts[i - 1] : end, now_ns);
	ma_flow_end(flow);
}

static void write_cost_json(struct ma_json *json, const Memattach__Session *session)
{
	ma_json_begin_array(json, "cost_history");
	for (size_t i = 0; i < session->n_cost; i++) {
		const Memattach__CostSpan *span = session->cost[i];
		ma_json_begin_object(json, NULL);
		ma_json_time(json, "end_time", span->end_time_nanos);
		ma_json_real(json, "seconds", span->span_ms / 1e3);
		ma_json_unsigned(json, "interval_bytes", span->interval_bytes);
		ma_windows_json(json, "windows_open_ratio", span->window_exponent);
		ma_json_real(json, "sampling_ratio", span->slow_ratio);
		ma_json_real(json, "passing_ratio", span->fast_ratio);
		ma_json_real(json, "operations_per_second", span->operations_per_second);
		ma_json_end_object(json);
	}
	ma_json_end_array(json);
}

static struct ma_estimate live_of(const Memattach__Session *session)
{
	return (struct ma_estimate){
		.value = session->live_bytes,
		.variance = session->live_bytes_variance,
		.third = (double)session->live_bytes_third,
		.unseen = session->unseen_bytes,
		.shared = (double)session->live_bytes_shared,
	};
}

static void write_heap(struct ma_flow *flow, const Memattach__Session *session, uint64_t now_ns)
{
	const struct ma_estimate live = live_of(session);
	ma_flow_begin(flow, "  heap", LABEL, GAP);
	ma_flow_item(flow, MA_STYLE_PLAIN, "live %s",
		     ma_format_size_interval(live.value, ma_interval_plus_minus(&live)).text);
	if (session->peak_time_nanos)
		ma_flow_item(flow, MA_STYLE_PLAIN, "peak %s at %s",
			     ma_format_size(session->peak_bytes).text,
			     ma_format_clock(session->peak_time_nanos, now_ns).text);
	ma_flow_item(flow, MA_STYLE_PLAIN, "allocated %s",
		     ma_format_size(session->allocated_bytes).text);
	ma_flow_end(flow);
	ma_flow_begin(flow, "  process", LABEL, GAP);
	ma_flow_item(flow, MA_STYLE_PLAIN, "RSS %s",
		     ma_format_size((double)session->rss_bytes).text);
	if (session->cgroup_limit_bytes)
		ma_flow_item(flow, MA_STYLE_PLAIN, "cgroup %s of %s",
			     ma_format_size((double)session->cgroup_bytes).text,
			     ma_format_size((double)session->cgroup_limit_bytes).text);
	ma_flow_end(flow);
}

static void write_until(struct ma_flow *flow, const Memattach__Session *session, uint64_t now_ns)
{
	bool ended = session->state == MEMATTACH__SESSION__STATE__ENDED;
	ma_flow_begin(flow, ended ? "  kept" : "  until", LABEL, GAP);
	if (!ended)
		ma_flow_item(flow, MA_STYLE_PLAIN, "memattach detach %d%s", session->pid,
			     session->keep ? ", for as long as it runs" : "");
	if (session->expires_time_nanos && (ended || !session->keep))
		ma_flow_item(flow, MA_STYLE_PLAIN, ended ? "until %s" : "or %s if nobody asks",
			     ma_format_clock(session->expires_time_nanos, now_ns).text);
	ma_flow_end(flow);
}

static void write_notices(struct ma_flow *flow, const char *notice)
{
	bool first = true;
	while (*notice) {
		char line[512];
		size_t length = strcspn(notice, "\n");
		struct ma_text escaped = {0};
		snprintf(line, sizeof line, "%.*s", (int)length, notice);
		ma_display_escape(&escaped, line);
		if (length) {
			ma_flow_begin(flow, first ? "  notice" : "", LABEL, " ");
			ma_flow_words(flow, MA_STYLE_PLAIN, ma_text_string(&escaped));
			ma_flow_end(flow);
			first = false;
		}
		ma_text_fini(&escaped);
		notice += length + (notice[length] == '\n');
	}
}

void ma_session_view_write(struct ma_text *text, const Memattach__Session *session, uint64_t now_ns,
			   unsigned width, bool color)
{
	struct ma_flow flow = ma_flow_init(text, width, color);
	write_head(&flow, session);
	write_state(&flow, session, now_ns);
	write_sampling(&flow, session);
	write_cost(&flow, session, now_ns);
	write_heap(&flow, session, now_ns);
	write_until(&flow, session, now_ns);
	write_notices(&flow, session->notice);
}

void ma_session_json_write(struct ma_json *json, const Memattach__Session *session)
{
	const struct ma_estimate estimate = live_of(session);
	struct ma_interval live = ma_interval_95(&estimate);
	bool exact = session->mode == MA_MODE_EXACT;
	ma_json_begin_object(json, NULL);
	ma_json_integer(json, "pid", session->pid);
	ma_json_string(json, "command", session->command);
	ma_json_string(json, "executable", session->executable);
	ma_json_string(json, "python", session->python_version);
	ma_json_unsigned(json, "uid", session->uid);
	ma_json_string(json, "state", ma_session_state_name(session->state));
	ma_json_string(json, "ended", session->ended);
	ma_json_time(json, "attached", session->attach_time_nanos);
	ma_json_time(json, "end_time", session->end_time_nanos);
	ma_json_time(json, "expires", session->expires_time_nanos);
	ma_json_bool(json, "keep", session->keep);
	ma_json_string(json, "mode", exact ? "exact" : session->n_rate ? "classes" : "sampled");
	ma_json_unsigned(json, "interval_bytes",
			 exact || session->n_rate ? 0 : session->interval_bytes);
	ma_windows_json(json, "windows_open_ratio", session->window_exponent_max);
	ma_windows_json(json, "windows_open_ratio_now", session->window_exponent);
	ma_size_classes_json(json, session->rate, session->n_rate);
	ma_json_bool(json, "fixed_interval", session->fixed_interval);
	ma_json_real(json, "budget_ratio", session->budget_ratio);
	if (session->cost_ratio >= 0)
		ma_json_real(json, "cost_ratio", session->cost_ratio);
	else
		ma_json_null(json, "cost_ratio");
	ma_json_real(json, "passing_ratio", session->fast_ratio);
	write_cost_json(json, session);
	ma_json_unsigned(json, "hook_running_us", session->hook_running_us);
	ma_json_unsigned(json, "pause_us", session->pause_us);
	ma_json_unsigned(json, "samples", session->samples);
	ma_json_unsigned(json, "sites", session->sites);
	ma_json_unsigned(json, "drops", session->drops);
	ma_json_unsigned(json, "names_pending", session->names_pending);
	ma_json_begin_object(json, "live");
	ma_json_whole(json, "bytes", session->live_bytes);
	ma_json_whole(json, "low_bytes", live.low);
	ma_json_whole(json, "high_bytes", live.high);
	ma_json_end_object(json);
	ma_json_whole(json, "peak_bytes", session->peak_bytes);
	ma_json_time(json, "peak_time", session->peak_time_nanos);
	ma_json_whole(json, "allocated_bytes", session->allocated_bytes);
	ma_json_unsigned(json, "rss_bytes", session->rss_bytes);
	ma_json_unsigned(json, "cgroup_bytes", session->cgroup_bytes);
	ma_json_unsigned(json, "limit_bytes", session->cgroup_limit_bytes);
	ma_json_string(json, "notice", session->notice);
	ma_json_end_object(json);
}
