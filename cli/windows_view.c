/* SPDX-License-Identifier: MIT */
/* See windows_view.h. */
#include "cli/windows_view.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 15 }; /* MA_RATE_WINDOW has no more bits; a snapshot may say anything */

struct ma_figure ma_windows_part(uint32_t exponent_max)
{
	struct ma_figure figure;
	snprintf(figure.text, sizeof figure.text, "1/%u",
		 1U << (exponent_max < MOST ? exponent_max : MOST));
	return figure;
}

void ma_windows_json(struct ma_json *json, uint32_t exponent_max)
{
	ma_json_real(json, "windows_open_ratio",
		     ldexp(1, -(int)(exponent_max < MOST ? exponent_max : MOST)));
}
