/* SPDX-License-Identifier: MIT */
/* Edit distance with swaps (optimal string alignment), for short words. */
#include "cli/suggest.h"

#include <string.h>

enum { LONGEST = 31, FAR = 99 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned ma_suggest_distance(const char *a, const char *b)
{
	size_t rows = strlen(a), columns = strlen(b);
	if (rows > LONGEST || columns > LONGEST)
		return FAR;
	unsigned table[LONGEST + 1][LONGEST + 1];
	for (unsigned i = 0; i <= rows; i++)
		table[i][0] = i;
	for (unsigned j = 0; j <= columns; j++)
		table[0][j] = j;
	for (size_t i = 1; i <= rows; i++) {
		for (size_t j = 1; j <= columns; j++) {
			unsigned differs = a[i - 1] != b[j - 1];
			unsigned cost = least(table[i - 1][j] + 1, table[i][j - 1] + 1);
			cost = least(cost, table[i - 1][j - 1] + differs);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cost = least(cost, table[i - 2][j - 2] + 1);
			table[i][j] = cost;
		}
	}
	return table[rows][columns];
}

int ma_suggest_better(const char *typed, const char *candidate, unsigned *best)
{
	unsigned distance = ma_suggest_distance(typed, candidate);
	if (strlen(typed) >= 3 && strncmp(typed, candidate, strlen(typed)) == 0)
		distance = 1;
	unsigned most = strlen(typed) <= 3 ? 1 : strlen(typed) <= 6 ? 2 : 3;
	if (distance > most || distance >= *best)
		return 0;
	*best = distance;
	return 1;
}
