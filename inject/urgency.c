/* SPDX-License-Identifier: MIT */
#include "inject/urgency.h"

#include <sched.h>

void ma_urgency_begin(struct ma_urgency *urgency)
{
	struct sched_param now = {0}, urgent = {.sched_priority = 1};

	if (urgency->raised)
		return;
	urgency->policy = sched_getscheduler(0);
	if (urgency->policy < 0 || sched_getparam(0, &now))
		return;
	urgency->priority = now.sched_priority;
	/* Reset on fork: nobody inherits it. */
	urgency->raised = !sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &urgent);
}

void ma_urgency_end(struct ma_urgency *urgency)
{
	struct sched_param before = {.sched_priority = urgency->priority};

	if (urgency->raised)
		sched_setscheduler(0, urgency->policy, &before);
	urgency->raised = false;
}
