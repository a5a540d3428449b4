/* SPDX-License-Identifier: MIT */
/*
 * One step function over values that are known or not serves both the concrete run and the
 * exploration. Jumps go forward only, so exploring is one pass from the first instruction to the
 * last with one merged machine state at each: linear, whatever the program.
 */
#include "inject/bpf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a load at offset k of struct seccomp_data sees: one 32-bit half of a field. */
enum { DATA_BYTES = sizeof(struct seccomp_data), DATA_WORDS = DATA_BYTES / 4 };

struct value {
	uint32_t bits;
	bool known;
};

struct machine {
	bool reached;
	struct value a;
	struct value x;
	struct value memory[BPF_MEMWORDS];
};

static struct value known(uint32_t bits)
{
	return (struct value){bits, true};
}

static bool alu_allowed(uint16_t code)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_DIV:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
	case BPF_LSH:
	case BPF_RSH:
		return code <= 0xff;
	case BPF_NEG:
		return code == (BPF_ALU | BPF_NEG);
	default:
		return false;
	}
}

static bool alu_operand_allowed(const struct sock_filter *step)
{
	if (BPF_SRC(step->code) == BPF_X)
		return true;
	if (BPF_OP(step->code) == BPF_DIV)
		return step->k != 0;
	if (BPF_OP(step->code) == BPF_LSH || BPF_OP(step->code) == BPF_RSH)
		return step->k < 32;
	return true;
}

static bool jump_allowed(const struct sock_filter *step, size_t at, size_t count)
{
	size_t next = at + 1;
	switch (BPF_OP(step->code)) {
	case BPF_JA:
		return step->code == (BPF_JMP | BPF_JA) && step->k < count - next;
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE:
	case BPF_JSET:
		return next + step->jt < count && next + step->jf < count;
	default:
		return false;
	}
}

static bool step_allowed(const struct sock_filter *step, size_t at, size_t count)
{
	switch (step->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return step->k % 4 == 0 && step->k < DATA_BYTES;
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
		return true;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return step->k < BPF_MEMWORDS;
	}
	if (BPF_CLASS(step->code) == BPF_ALU)
		return alu_allowed(step->code) && alu_operand_allowed(step);
	return BPF_CLASS(step->code) == BPF_JMP && step->code <= 0xff &&
	       jump_allowed(step, at, count);
}

bool ma_bpf_check(const struct sock_filter *program, size_t count)
{
	if (!count || count > BPF_MAXINSNS || BPF_CLASS(program[count - 1].code) != BPF_RET)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!step_allowed(&program[i], i, count))
			return false;
	}
	return true;
}

/* Does the operation have a result? Division by an X of 0 ends the program with result 0. */
static bool alu(uint16_t code, struct value *a, struct value b)
{
	if (BPF_OP(code) == BPF_DIV && b.known && !b.bits)
		return false;
	a->known = a->known && (b.known || BPF_OP(code) == BPF_NEG);
	switch (BPF_OP(code)) {
	case BPF_ADD:
		a->bits += b.bits;
		break;
	case BPF_SUB:
		a->bits -= b.bits;
		break;
	case BPF_MUL:
		a->bits *= b.bits;
		break;
	case BPF_DIV:
		a->bits = b.bits ? a->bits / b.bits : 0;
		break;
	case BPF_AND:
		a->bits &= b.bits;
		break;
	case BPF_OR:
		a->bits |= b.bits;
		break;
	case BPF_XOR:
		a->bits ^= b.bits;
		break;
	case BPF_LSH:
		a->bits <<= b.bits & 31;
		break;
	case BPF_RSH:
		a->bits >>= b.bits & 31;
		break;
	case BPF_NEG:
		a->bits = 0 - a->bits;
		break;
	}
	return true;
}

static bool compare(uint16_t code, uint32_t a, uint32_t b)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default:
		return a & b;
	}
}

/* Loads, stores, moves: everything that neither jumps nor computes nor returns. */
static void move(const struct sock_filter *step, const struct value data[DATA_WORDS],
		 struct machine *m)
{
	switch (step->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		m->a = data[step->k / 4];
		break;
	case BPF_LD | BPF_W | BPF_LEN:
		m->a = known(DATA_BYTES);
		break;
	case BPF_LDX | BPF_W | BPF_LEN:
		m->x = known(DATA_BYTES);
		break;
	case BPF_LD | BPF_IMM:
		m->a = known(step->k);
		break;
	case BPF_LDX | BPF_IMM:
		m->x = known(step->k);
		break;
	case BPF_LD | BPF_MEM:
		m->a = m->memory[step->k];
		break;
	case BPF_LDX | BPF_MEM:
		m->x = m->memory[step->k];
		break;
	case BPF_ST:
		m->memory[step->k] = m->a;
		break;
	case BPF_STX:
		m->memory[step->k] = m->x;
		break;
	case BPF_MISC | BPF_TAX:
		m->x = m->a;
		break;
	case BPF_MISC | BPF_TXA:
		m->a = m->x;
		break;
	}
}

enum step_end {
	STEP_NEXT,   /* goes on at *next */
	STEP_EITHER, /* at *next or at *other */
	STEP_RETURN, /* ends with *result */
};

static enum step_end step(const struct sock_filter *program, size_t at,
			  const struct value data[DATA_WORDS], struct machine *m, size_t *next,
			  size_t *other, struct value *result)
{
	const struct sock_filter *now = &program[at];
	struct value operand = BPF_SRC(now->code) == BPF_X ? m->x : known(now->k);
	*next = at + 1;
	switch (BPF_CLASS(now->code)) {
	case BPF_RET:
		*result = BPF_RVAL(now->code) == BPF_A ? m->a : known(now->k);
		return STEP_RETURN;
	case BPF_ALU:
		*result = known(0);
		return alu(now->code, &m->a, operand) ? STEP_NEXT : STEP_RETURN;
	case BPF_JMP:
		if (BPF_OP(now->code) == BPF_JA) {
			*next = at + 1 + now->k;
			return STEP_NEXT;
		}
		*next = at + 1 + now->jt;
		*other = at + 1 + now->jf;
		if (!m->a.known || !operand.known)
			return STEP_EITHER;
		if (!compare(now->code, m->a.bits, operand.bits))
			*next = *other;
		return STEP_NEXT;
	default:
		move(now, data, m);
		return STEP_NEXT;
	}
}

uint32_t ma_bpf_run(const struct sock_filter *program, size_t count,
		    const struct seccomp_data *data)
{
	struct value words[DATA_WORDS], result = known(SECCOMP_RET_KILL_THREAD);
	struct machine m = {.a = known(0), .x = known(0)};
	uint32_t raw[DATA_WORDS];
	memcpy(raw, data, sizeof raw);
	for (size_t i = 0; i < DATA_WORDS; i++)
		words[i] = known(raw[i]);
	for (size_t i = 0; i < BPF_MEMWORDS; i++)
		m.memory[i] = known(0);
	for (size_t at = 0, other; at < count;) {
		if (step(program, at, words, &m, &at, &other, &result) == STEP_RETURN)
			return result.bits;
	}
	return result.bits;
}

static void add_result(struct value result, struct ma_bpf_outcome *outcome)
{
	if (!result.known) {
		*outcome = (struct ma_bpf_outcome){true, true, true, true, true, true};
		return;
	}
	switch (result.bits & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		outcome->allow = true;
		break;
	case SECCOMP_RET_ERRNO:
		if ((result.bits & SECCOMP_RET_DATA) == ENOSYS)
			outcome->no_system_call = true;
		else
			outcome->fail = true;
		break;
	case SECCOMP_RET_TRAP:
		outcome->trap = true;
		break;
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF:
		outcome->supervise = true;
		break;
	default:
		outcome->kill = true;
		break;
	}
}

static struct value meet(struct value a, struct value b)
{
	a.known = a.known && b.known && a.bits == b.bits;
	return a;
}

static void merge(struct machine *into, const struct machine *from)
{
	if (!into->reached) {
		*into = *from;
		into->reached = true;
		return;
	}
	into->a = meet(into->a, from->a);
	into->x = meet(into->x, from->x);
	for (size_t i = 0; i < BPF_MEMWORDS; i++)
		into->memory[i] = meet(into->memory[i], from->memory[i]);
}

static void fill_words(const struct ma_bpf_input *input, struct value words[DATA_WORDS])
{
	enum { FIRST_ARG_WORD = offsetof(struct seccomp_data, args) / 4 };
	memset(words, 0, DATA_WORDS * sizeof *words);
	words[offsetof(struct seccomp_data, nr) / 4] = known(input->number);
	words[offsetof(struct seccomp_data, arch) / 4] = known(input->architecture);
	for (size_t i = 0; i < 6; i++) {
		if (!(input->known >> i & 1))
			continue;
		words[FIRST_ARG_WORD + 2 * i] = known((uint32_t)input->args[i]);
		words[FIRST_ARG_WORD + 2 * i + 1] = known((uint32_t)(input->args[i] >> 32));
	}
}

void ma_bpf_explore(const struct sock_filter *program, size_t count,
		    const struct ma_bpf_input *input, struct ma_bpf_outcome *outcome)
{
	struct value words[DATA_WORDS], result;
	struct machine *state = calloc(count, sizeof *state);
	if (!state) {
		outcome->kill = true; /* not known to be harmless */
		return;
	}
	fill_words(input, words);
	state[0] = (struct machine){.reached = true, .a = known(0), .x = known(0)};
	for (size_t i = 0; i < BPF_MEMWORDS; i++)
		state[0].memory[i] = known(0);
	for (size_t at = 0, next, other; at < count; at++) {
		if (!state[at].reached)
			continue;
		struct machine m = state[at];
		bool may_divide_by_zero =
			program[at].code == (BPF_ALU | BPF_DIV | BPF_X) && !m.x.known;
		if (may_divide_by_zero)
			outcome->kill = true;
		switch (step(program, at, words, &m, &next, &other, &result)) {
		case STEP_RETURN:
			add_result(result, outcome);
			break;
		case STEP_EITHER:
			merge(&state[other], &m);
			merge(&state[next], &m);
			break;
		case STEP_NEXT:
			merge(&state[next], &m);
			break;
		}
	}
	free(state);
}
