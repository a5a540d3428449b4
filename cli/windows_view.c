/* SPDX-License-Identifier: MIT */
/* See windows_view.h. */
#include "cli/windows_view.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 15 }; /* MA_RATE_WINDOW has no more bits; a snapshot may say anything */

struct ma_figure ma_windows_part(uint32_t exponent)
{
	struct ma_figure figure;
	snprintf(figure.text, sizeof figure.text, "1/%u",
		 1U << (exponent < MOST ? exponent : MOST));
	return figure;
}

void ma_windows_json(struct ma_json *json, const char *name, uint32_t exponent)
{
	ma_json_real(json, name, ldexp(1, -(int)(exponent < MOST ? exponent : MOST)));
}
