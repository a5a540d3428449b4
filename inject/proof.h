/* SPDX-License-Identifier: MIT */
/*
 * The proof that nobody is inside: all threads of the target stopped at once, and no register and
 * no word of any of their stacks points into given ranges. Only then may code be unmapped. Threads
 * asleep in a call that would not survive a stop unnoticed are left asleep, and only their stacks
 * are looked at: code that nobody gets into any more is only reached by returning to it.
 */
#ifndef MA_INJECT_PROOF_H
#define MA_INJECT_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/inspect.h"
#include "inject/safe_point.h"
#include "proto/error.h"

/*
 * How a word that points inside is judged. Stacks are full of words that nobody will use again:
 * room that a deep call left behind and a later frame has not written to. A first try takes every
 * word seriously, because most go away by themselves; after that, a thread whose stack can be
 * walked to its end by unwind tables alone, without meeting a frame inside, counts as outside.
 */
enum ma_proof_rule {
	MA_PROOF_EVERY_WORD,
	MA_PROOF_WALKED,
};

enum ma_proof {
	MA_PROOF_CLEAR,      /* nobody is inside */
	MA_PROOF_INSIDE,     /* some thread may be: try again later */
	MA_PROOF_IMPOSSIBLE, /* some thread cannot be stopped or read now */
};

struct ma_proof_result {
	enum ma_proof verdict;
	uint32_t threads;
	uint32_t pause_us; /* from the first stop to the last thread running again */
	pid_t tid;         /* the thread that stood in the way */
	bool prolonged;    /* a call with a time limit was made to start over */
};

/*
 * Tries once; unwinder is for the view. Nothing may lead into the ranges any more. Returns 0 and
 * the verdict, or MA_ERR_NO_PROCESS, MA_ERR_FAILED. All threads run again
 * afterwards. Tracer, not holding a thread.
 */
int ma_proof_try(const struct ma_view *view, struct ma_unwinder *unwinder, enum ma_proof_rule rule,
		 const struct ma_range *ranges, int range_count, struct ma_proof_result *result,
		 struct ma_error *error);

#endif
