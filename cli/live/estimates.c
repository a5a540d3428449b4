/* SPDX-License-Identifier: MIT */
/* From messages to estimates; see estimates.h. */
#include "cli/live/estimates.h"

#include <stdio.h>

struct ma_estimate ma_live_row_estimate(const Memattach__LiveRow *row)
{
	return (struct ma_estimate){.value = row->live_bytes,
				    .variance = row->live_variance,
				    .third = row->live_third,
				    .shared = row->live_shared,
				    .unseen = row->unseen_bytes};
}

struct ma_estimate ma_live_total_estimate(const Memattach__Totals *totals)
{
	return (struct ma_estimate){.value = totals->live_bytes,
				    .variance = totals->live_bytes_variance,
				    .third = totals->live_bytes_third,
				    .shared = totals->live_bytes_shared,
				    .unseen = totals->unseen_bytes};
}

struct ma_estimate ma_live_peak_estimate(const Memattach__Totals *totals)
{
	return (struct ma_estimate){.value = totals->peak_bytes,
				    .variance = totals->peak_bytes_variance,
				    .third = totals->peak_bytes_third,
				    .shared = totals->peak_bytes_shared,
				    .unseen = totals->unseen_bytes};
}

struct ma_figure ma_live_plus_minus(struct ma_estimate estimate, const char *sign)
{
	struct ma_figure figure = {""};
	double plus_minus = ma_interval_plus_minus(&estimate);
	if (plus_minus > 0)
		snprintf(figure.text, sizeof figure.text, " %.4s%.20s", sign,
			 ma_format_size_beside(plus_minus, estimate.value).text);
	return figure;
}
