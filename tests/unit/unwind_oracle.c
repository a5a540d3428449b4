/* SPDX-License-Identifier: MIT */
/* See unwind_oracle.h. */
#include "unwind_oracle.h"

#include <dwarf.h>
#include <stdlib.h>

enum { RBP = 6, RSP = 7, RIP = 16, STACK = 16, UCONTEXT_RSP = 160, UCONTEXT_RBP = 120 };

static const uint64_t rsp_value = UINT64_C(0x7ffd00001230);
static const uint64_t rbp_value = UINT64_C(0x7ffe00004560);

/* No two addresses hold the same. */
static uint64_t memory(uint64_t address)
{
	return address * UINT64_C(0x9E3779B97F4A7C15) + 1;
}

static bool register_value(uint64_t number, uint64_t pc, uint64_t *value)
{
	*value = number == RSP ? rsp_value : number == RBP ? rbp_value : pc;
	return number == RSP || number == RBP || number == RIP;
}

/* One operation on top of the stack; false: it is not known here. */
static bool apply(const Dwarf_Op *op, uint64_t pc, uint64_t cfa, uint64_t *stack, int *depth)
{
	uint64_t value;
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
		stack[(*depth)++] = op->atom - DW_OP_lit0;
		return true;
	}
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		if (!register_value(op->atom - DW_OP_breg0, pc, &value))
			return false;
		stack[(*depth)++] = value + op->number;
		return true;
	}
	switch (op->atom) {
	case DW_OP_bregx:
		if (!register_value(op->number, pc, &value))
			return false;
		stack[(*depth)++] = value + op->number2;
		return true;
	case DW_OP_call_frame_cfa:
		stack[(*depth)++] = cfa;
		return true;
	default:
		break;
	}
	if (*depth < 1)
		return false;
	uint64_t *top = &stack[*depth - 1];
	if (op->atom == DW_OP_deref)
		*top = memory(*top);
	else if (op->atom == DW_OP_plus_uconst)
		*top += op->number;
	if (op->atom == DW_OP_deref || op->atom == DW_OP_plus_uconst)
		return true;
	if (*depth < 2)
		return false;
	value = *top;
	(*depth)--;
	top--;
	switch (op->atom) {
	case DW_OP_plus:
		*top += value;
		return true;
	case DW_OP_and:
		*top &= value;
		return true;
	case DW_OP_shl:
		*top <<= value;
		return true;
	case DW_OP_ge:
		*top = (int64_t)*top >= (int64_t)value;
		return true;
	default:
		return false;
	}
}

/* *is_value: the result is the value itself, not where it is. */
static bool evaluate(const Dwarf_Op *ops, size_t count, uint64_t pc, uint64_t cfa, uint64_t *result,
		     bool *is_value)
{
	uint64_t stack[STACK];
	int depth = 0;
	*is_value = false;
	for (size_t i = 0; i < count; i++) {
		if (ops[i].atom == DW_OP_stack_value) {
			*is_value = true;
			continue;
		}
		if (depth >= STACK - 1 || !apply(&ops[i], pc, cfa, stack, &depth))
			return false;
	}
	if (depth < 1)
		return false;
	*result = stack[depth - 1];
	return true;
}

/* realigned: the CFA is in memory. Only there rules know an rbp that is not told from the CFA. */
static bool find_rbp(Dwarf_Frame *frame, uint64_t pc, bool realigned, struct unwind_step *step)
{
	Dwarf_Op room[3], *ops;
	size_t count;
	bool is_value;
	if (dwarf_frame_register(frame, RBP, room, &ops, &count) != 0)
		return false;
	step->rbp_known = count != 0 || ops == NULL;
	if (count == 0)
		return true;
	if (!realigned && count > 1 && ops[1].atom != DW_OP_plus_uconst) {
		step->rbp_known = false;
		return true;
	}
	step->rbp_known =
		evaluate(ops, count, pc, step->cfa, &step->rbp_at, &is_value) && !is_value;
	return true;
}

static bool find_step(Dwarf_Frame *frame, uint64_t pc, struct unwind_step *step)
{
	Dwarf_Op room[3], *ops;
	Dwarf_Addr start, end;
	size_t count;
	uint64_t rsp;
	bool is_value, signal;
	int return_register = dwarf_frame_info(frame, &start, &end, &signal);
	if (dwarf_frame_register(frame, return_register, room, &ops, &count) != 0)
		return false;
	if (count == 0) {
		step->ends = step->outermost = ops == room;
		return ops == room;
	}
	Dwarf_Op *cfa_ops;
	size_t cfa_count;
	/* Three operations: assembly that keeps the caller's rsp in the stack it realigned. */
	if (dwarf_frame_cfa(frame, &cfa_ops, &cfa_count) != 0 || cfa_count == 3 ||
	    !evaluate(cfa_ops, cfa_count, pc, 0, &step->cfa, &is_value) ||
	    !evaluate(ops, count, pc, step->cfa, &step->return_at, &is_value) || is_value)
		return false;
	/* Signal frames have a return address elsewhere, and that is what they are for. */
	if (!signal && step->return_at != step->cfa - 8)
		return false;
	if (!signal && (dwarf_frame_register(frame, RSP, room, &ops, &count) != 0 ||
			!evaluate(ops, count, pc, step->cfa, &rsp, &is_value) || rsp != step->cfa))
		return false;
	return find_rbp(frame, pc, cfa_count == 2, step);
}

struct unwind_step unwind_step_by_libdw(Dwarf_CFI *cfi, uint64_t pc, bool *sayable)
{
	struct unwind_step step = {0};
	Dwarf_Frame *frame;
	*sayable = true;
	if (dwarf_cfi_addrframe(cfi, pc, &frame) != 0)
		return (struct unwind_step){.ends = true};
	*sayable = find_step(frame, pc, &step);
	free(frame);
	return step;
}

static void find_rbp_by_rule(const struct ma_unwind_rule *rule, struct unwind_step *step)
{
	uint64_t from = rule->cfa == MA_CFA_RBP_DEREF ? rbp_value + 16 : step->cfa;
	step->rbp_known = rule->saved_rbp != MA_UNWIND_RBP_LOST;
	if (step->rbp_known && rule->saved_rbp)
		step->rbp_at = from + (uint64_t)(rule->saved_rbp * INT64_C(8));
}

struct unwind_step unwind_step_by_rule(const struct ma_unwind_rule *rule, uint64_t pc)
{
	struct unwind_step step = {0};
	if (!rule || rule->cfa == MA_CFA_NONE || rule->cfa == MA_CFA_UNSUPPORTED)
		return (struct unwind_step){.ends = true};
	uint64_t offset = (uint64_t)(int64_t)rule->cfa_offset;
	switch (rule->cfa) {
	case MA_CFA_END:
		return (struct unwind_step){.ends = true, .outermost = true};
	case MA_CFA_RSP:
		step.cfa = rsp_value + offset;
		break;
	case MA_CFA_RBP:
		step.cfa = rbp_value + offset;
		break;
	case MA_CFA_RBP_DEREF:
		step.cfa = memory(rbp_value + offset);
		break;
	case MA_CFA_PLT:
		step.cfa = rsp_value + 8 + (pc % 16 >= offset ? 8 : 0);
		break;
	case MA_CFA_SIGNAL:
		step.cfa = memory(rsp_value + offset + UCONTEXT_RSP);
		step.return_at = rsp_value + offset + UCONTEXT_RSP + 8;
		step.rbp_at = rsp_value + offset + UCONTEXT_RBP;
		step.rbp_known = true;
		return step;
	default:
		abort();
	}
	step.return_at = step.cfa - 8;
	find_rbp_by_rule(rule, &step);
	return step;
}

bool unwind_steps_are_equal(const struct unwind_step *a, const struct unwind_step *b)
{
	return a->ends == b->ends && a->outermost == b->outermost && a->cfa == b->cfa &&
	       a->return_at == b->return_at && a->rbp_at == b->rbp_at &&
	       a->rbp_known == b->rbp_known;
}
