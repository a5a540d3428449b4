/* SPDX-License-Identifier: MIT */
/*
 * While a thread of the target stands still because of us, we should not be waiting for a processor
 * ourselves: a real-time priority, where it is permitted, for as long as that takes and no longer.
 */
#ifndef MA_INJECT_URGENCY_H
#define MA_INJECT_URGENCY_H

#include <stdbool.h>

struct ma_urgency {
	bool raised;
	int policy; /* what it was before */
	int priority;
};

/* Not being permitted is fine. Guardian. */
void ma_urgency_begin(struct ma_urgency *urgency);
void ma_urgency_end(struct ma_urgency *urgency);

#endif
