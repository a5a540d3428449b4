/* SPDX-License-Identifier: MIT */
/*
 * Negative control: unloads the hook without the proof that nobody is inside (careless_point.c says
 * what for).
 */
#include "inject/proof.h"

int __wrap_ma_proof_try(const struct ma_view *view, struct ma_unwinder *unwinder,
			enum ma_proof_rule rule, const struct ma_range *ranges, int range_count,
			struct ma_proof_result *result, struct ma_error *error);

int __wrap_ma_proof_try(const struct ma_view *view, struct ma_unwinder *unwinder,
			enum ma_proof_rule rule, const struct ma_range *ranges, int range_count,
			struct ma_proof_result *result, struct ma_error *error)
{
	(void)view;
	(void)unwinder;
	(void)rule;
	(void)ranges;
	(void)range_count;
	(void)error;
	*result = (struct ma_proof_result){.verdict = MA_PROOF_CLEAR};
	return 0;
}
