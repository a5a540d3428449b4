/* SPDX-License-Identifier: MIT */
/*
 * See unwind_rules.h. Register numbers are those of the System V ABI for x86-64, figure 3.36; the
 * expressions are those that binutils writes for a PLT, gcc for a realigned stack, and glibc for
 * the frame of a signal handler (sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c).
 */
#include "daemon/unwind_rules.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/unwind_table.h"

enum {
	RBP = 6,
	RSP = 7,
	RIP = 16,
	SLOTS = 2 * MA_UNWIND_RULES,
	/* offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP]) */
	UCONTEXT_RSP = 160,
	/* An ordinary frame's CFA is that far above the rbp that its function set up. */
	RBP_TO_CFA = 16,
};

/* A register's value at the call, as dwarf_frame_register tells it. */
struct value {
	Dwarf_Op room[3];
	Dwarf_Op *ops;
	size_t count;
	bool known, undefined, same;
};

static struct value value_of(Dwarf_Frame *frame, int number)
{
	struct value value = {.count = 0};
	value.known =
		dwarf_frame_register(frame, number, value.room, &value.ops, &value.count) == 0;
	value.undefined = value.known && value.count == 0 && value.ops == value.room;
	value.same = value.known && value.count == 0 && value.ops == NULL;
	/* The room moves when the struct is returned. */
	if (value.ops == value.room)
		value.ops = NULL;
	return value;
}

static const Dwarf_Op *ops_of(const struct value *value)
{
	return value->ops ? value->ops : value->room;
}

/* Is it kept in memory at CFA + *offset? */
static bool is_at_cfa(const struct value *value, int64_t *offset)
{
	const Dwarf_Op *ops = ops_of(value);
	if (!value->known || value->count == 0 || value->count > 2 ||
	    ops[0].atom != DW_OP_call_frame_cfa)
		return false;
	*offset = 0;
	if (value->count == 2) {
		if (ops[1].atom != DW_OP_plus_uconst)
			return false;
		*offset = (int64_t)ops[1].number;
	}
	return true;
}

/* Register + offset, in any of the forms that there are for it. */
static bool is_register_plus(const Dwarf_Op *op, int number, int64_t *offset)
{
	if (op->atom == DW_OP_bregx && op->number == (Dwarf_Word)number) {
		*offset = (int64_t)op->number2;
		return true;
	}
	if (op->atom == DW_OP_breg0 + number) {
		*offset = (int64_t)op->number;
		return true;
	}
	return false;
}

/* rsp + 8 + ((rip & 15) >= from) * 8 */
static bool is_plt(const Dwarf_Op *ops, size_t count, int32_t *from)
{
	int64_t rsp, rip;
	if (count != 9 || !is_register_plus(&ops[0], RSP, &rsp) ||
	    !is_register_plus(&ops[1], RIP, &rip))
		return false;
	*from = ops[4].atom - DW_OP_lit0;
	return rsp == 8 && rip == 0 && ops[2].atom == DW_OP_lit15 && ops[3].atom == DW_OP_and &&
	       *from >= 0 && *from < 16 && ops[5].atom == DW_OP_ge && ops[6].atom == DW_OP_lit3 &&
	       ops[7].atom == DW_OP_shl && ops[8].atom == DW_OP_plus;
}

static bool set_cfa(struct ma_unwind_rule *rule, enum ma_unwind_cfa cfa, int64_t offset)
{
	if (offset < INT32_MIN || offset > INT32_MAX)
		return false;
	rule->cfa = (uint8_t)cfa;
	rule->cfa_offset = (int32_t)offset;
	return true;
}

static bool find_cfa(Dwarf_Frame *frame, bool signal, struct ma_unwind_rule *rule)
{
	Dwarf_Op *ops;
	size_t count;
	int64_t offset;
	int32_t from;
	if (dwarf_frame_cfa(frame, &ops, &count) != 0 || count == 0)
		return false;
	bool deref = count == 2 && ops[1].atom == DW_OP_deref;
	if (signal)
		return deref && is_register_plus(&ops[0], RSP, &offset) &&
		       set_cfa(rule, MA_CFA_SIGNAL, offset - UCONTEXT_RSP);
	if (count == 1 && is_register_plus(&ops[0], RSP, &offset))
		return set_cfa(rule, MA_CFA_RSP, offset);
	if (count == 1 && is_register_plus(&ops[0], RBP, &offset))
		return set_cfa(rule, MA_CFA_RBP, offset);
	if (deref && is_register_plus(&ops[0], RBP, &offset))
		return set_cfa(rule, MA_CFA_RBP_DEREF, offset);
	return is_plt(ops, count, &from) && set_cfa(rule, MA_CFA_PLT, from);
}

/* The caller's rsp is the CFA: the ABI's initial rule, which hand-written code may override. */
static bool rsp_is_cfa(Dwarf_Frame *frame)
{
	struct value rsp = value_of(frame, RSP);
	const Dwarf_Op *ops = ops_of(&rsp);
	if (!rsp.known || rsp.count < 2 || ops[0].atom != DW_OP_call_frame_cfa ||
	    ops[rsp.count - 1].atom != DW_OP_stack_value)
		return false;
	return rsp.count == 2 ||
	       (rsp.count == 3 && ops[1].atom == DW_OP_plus_uconst && ops[1].number == 0);
}

static int16_t saved_words(int64_t offset)
{
	if (offset % 8 != 0 || offset == 0 || offset / 8 <= INT16_MIN || offset / 8 > INT16_MAX)
		return MA_UNWIND_RBP_LOST;
	return (int16_t)(offset / 8);
}

static int16_t find_rbp(Dwarf_Frame *frame, const struct ma_unwind_rule *rule)
{
	struct value rbp = value_of(frame, RBP);
	int64_t offset;
	if (rbp.same)
		return 0;
	if (rule->cfa != MA_CFA_RBP_DEREF)
		return is_at_cfa(&rbp, &offset) ? saved_words(offset) : MA_UNWIND_RBP_LOST;
	/* libdw pushes the CFA in front of every expression, as DWARF has it. */
	const Dwarf_Op *ops = ops_of(&rbp);
	if (rbp.known && rbp.count == 2 && ops[0].atom == DW_OP_call_frame_cfa &&
	    is_register_plus(&ops[1], RBP, &offset))
		return saved_words(offset - RBP_TO_CFA);
	return MA_UNWIND_RBP_LOST;
}

struct ma_unwind_rule ma_unwind_rule_of(Dwarf_Frame *frame)
{
	struct ma_unwind_rule rule = {.cfa = MA_CFA_UNSUPPORTED};
	const struct ma_unwind_rule unsupported = rule;
	Dwarf_Addr start, end;
	bool signal = false;
	int64_t offset;
	int return_register = dwarf_frame_info(frame, &start, &end, &signal);
	if (return_register < 0)
		return unsupported;
	struct value rip = value_of(frame, return_register);
	if (rip.undefined)
		return (struct ma_unwind_rule){.cfa = MA_CFA_END};
	if (!find_cfa(frame, signal, &rule))
		return unsupported;
	if (signal)
		return rule; /* everything else is in the ucontext */
	if (!is_at_cfa(&rip, &offset) || offset != -8 || !rsp_is_cfa(frame))
		return unsupported;
	rule.saved_rbp = find_rbp(frame, &rule);
	return rule;
}

static uint32_t slot_of(const struct ma_unwind_rule *rule)
{
	uint64_t word;
	memcpy(&word, rule, sizeof word);
	return (uint32_t)(word * UINT64_C(0x9E3779B97F4A7C15) >> 40) % SLOTS;
}

bool ma_unwind_rules_init(struct ma_unwind_rules *rules)
{
	const struct ma_unwind_rule none = {.cfa = MA_CFA_NONE};
	rules->count = 0;
	rules->rule = calloc(MA_UNWIND_RULES, sizeof *rules->rule);
	rules->slots = calloc(SLOTS, sizeof *rules->slots);
	if (!rules->rule || !rules->slots)
		return false;
	ma_unwind_rules_index(rules, &none);
	return true;
}

void ma_unwind_rules_fini(struct ma_unwind_rules *rules)
{
	free(rules->rule);
	free(rules->slots);
	*rules = (struct ma_unwind_rules){0};
}

uint16_t ma_unwind_rules_index(struct ma_unwind_rules *rules, const struct ma_unwind_rule *rule)
{
	uint32_t slot = slot_of(rule);
	while (rules->slots[slot]) {
		uint32_t index = rules->slots[slot] - 1;
		if (memcmp(&rules->rule[index], rule, sizeof *rule) == 0)
			return (uint16_t)index;
		slot = (slot + 1) % SLOTS;
	}
	if (rules->count == MA_UNWIND_RULES)
		return 0;
	rules->rule[rules->count] = *rule;
	rules->slots[slot] = ++rules->count;
	return (uint16_t)(rules->count - 1);
}
