/* SPDX-License-Identifier: MIT */
/* See cost_history.h. */
#include "daemon/cost_history.h"

/* `later` follows `earlier`. */
static struct ma_cost_span joined(const struct ma_cost_span *earlier,
				  const struct ma_cost_span *later)
{
	uint32_t span_ms = earlier->span_ms + later->span_ms;
	double share = span_ms ? (double)later->span_ms / span_ms : 1;
	struct ma_cost_span both = *later;
	both.span_ms = span_ms;
	both.slow_ratio = earlier->slow_ratio + share * (later->slow_ratio - earlier->slow_ratio);
	both.fast_ratio = earlier->fast_ratio + share * (later->fast_ratio - earlier->fast_ratio);
	both.operations_per_second =
		earlier->operations_per_second +
		share * (later->operations_per_second - earlier->operations_per_second);
	return both;
}

static void halve(struct ma_cost_history *history)
{
	history->count /= 2;
	history->merges++;
	for (uint32_t i = 0; i < history->count; i++)
		history->spans[i] = joined(&history->spans[2 * i], &history->spans[2 * i + 1]);
}

void ma_cost_history_add(struct ma_cost_history *history, const struct ma_cost_span *span)
{
	history->growing = joined(&history->growing, span);
	if (history->growing.span_ms >> history->merges < MA_COST_SPAN_MS)
		return;
	if (history->count == MA_COST_SPANS)
		halve(history);
	history->spans[history->count++] = history->growing;
	history->growing = (struct ma_cost_span){0};
}
