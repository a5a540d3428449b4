/* SPDX-License-Identifier: MIT */
/*
 * Classic BPF: what may be run, what it answers, and that exploring with unknown arguments never
 * misses an answer that some arguments lead to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inject/bpf.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define LOAD(field)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define ARG_LOW(i)    (offsetof(struct seccomp_data, args) + 8 * (i))

static struct seccomp_data call(uint32_t number, uint64_t first)
{
	return (struct seccomp_data){
		.nr = (int)number, .arch = AUDIT_ARCH_X86_64, .args = {first, 2, 3, 4, 5, 6}};
}

static void runs_a_usual_filter(void **state)
{
	(void)state;
	static const struct sock_filter program[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 9, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(0)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | EPERM),
		RETURN(SECCOMP_RET_ALLOW),
	};
	assert_true(ma_bpf_check(program, LENGTH(program)));
	struct seccomp_data data = call(9, 4);
	assert_int_equal(ma_bpf_run(program, LENGTH(program), &data), SECCOMP_RET_ERRNO | EPERM);
	data = call(9, 3);
	assert_int_equal(ma_bpf_run(program, LENGTH(program), &data), SECCOMP_RET_ALLOW);
	data = call(10, 4);
	assert_int_equal(ma_bpf_run(program, LENGTH(program), &data), SECCOMP_RET_ALLOW);
	data.arch = AUDIT_ARCH_I386;
	assert_int_equal(ma_bpf_run(program, LENGTH(program), &data), SECCOMP_RET_KILL_PROCESS);

	struct ma_bpf_input input = {.number = 9, .architecture = AUDIT_ARCH_X86_64};
	struct ma_bpf_outcome outcome = {0};
	ma_bpf_explore(program, LENGTH(program), &input, &outcome);
	assert_true(outcome.allow && outcome.fail);
	assert_false(outcome.kill || outcome.trap || outcome.supervise || outcome.no_system_call);
	input.known = 1;
	input.args[0] = 3;
	outcome = (struct ma_bpf_outcome){0};
	ma_bpf_explore(program, LENGTH(program), &input, &outcome);
	assert_true(outcome.allow && !outcome.fail);
}

static void computes_as_the_kernel_does(void **state)
{
	(void)state;
	static const struct {
		uint16_t operation;
		uint32_t a, b, result;
	} cases[] = {
		{BPF_ADD, 0xffffffff, 2, 1},          {BPF_SUB, 1, 2, 0xffffffff},
		{BPF_MUL, 0x10000, 0x10001, 0x10000}, {BPF_DIV, 7, 2, 3},
		{BPF_AND, 0xf0f0, 0xff00, 0xf000},    {BPF_OR, 0xf0, 0x0f, 0xff},
		{BPF_XOR, 0xff, 0x0f, 0xf0},          {BPF_LSH, 1, 31, 0x80000000},
		{BPF_RSH, 0x80000000, 31, 1},         {BPF_DIV, 7, 0, 0},
	};
	struct seccomp_data data = call(0, 0);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct sock_filter by_x[] = {
			BPF_STMT(BPF_LDX | BPF_IMM, cases[i].b),
			BPF_STMT(BPF_LD | BPF_IMM, cases[i].a),
			BPF_STMT(BPF_ALU | cases[i].operation | BPF_X, 0),
			BPF_STMT(BPF_RET | BPF_A, 0),
		};
		const struct sock_filter by_k[] = {
			BPF_STMT(BPF_LD | BPF_IMM, cases[i].a),
			BPF_STMT(BPF_ALU | cases[i].operation | BPF_K, cases[i].b),
			BPF_STMT(BPF_RET | BPF_A, 0),
		};
		assert_true(ma_bpf_check(by_x, LENGTH(by_x)));
		assert_int_equal(ma_bpf_run(by_x, LENGTH(by_x), &data), cases[i].result);
		if (cases[i].operation == BPF_DIV && !cases[i].b) {
			assert_false(ma_bpf_check(by_k, LENGTH(by_k)));
			continue;
		}
		assert_true(ma_bpf_check(by_k, LENGTH(by_k)));
		assert_int_equal(ma_bpf_run(by_k, LENGTH(by_k), &data), cases[i].result);
	}
	static const struct sock_filter moves[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LDX | BPF_MEM, 3),
		BPF_STMT(BPF_ALU | BPF_NEG, 0),
		BPF_STMT(BPF_STX, 15),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 15),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	assert_true(ma_bpf_check(moves, LENGTH(moves)));
	assert_int_equal(ma_bpf_run(moves, LENGTH(moves), &data), sizeof(struct seccomp_data));
}

static void refuses_what_the_kernel_refuses(void **state)
{
	(void)state;
	static const struct sock_filter end = RETURN(SECCOMP_RET_ALLOW);
	static const struct sock_filter wrong[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 16),
		BPF_STMT(BPF_STX, 16),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 0xffffffff, 0, 0),
		BPF_STMT(BPF_RET | BPF_X, 0),
		{0x1234, 0, 0, 0},
	};
	for (size_t i = 0; i < LENGTH(wrong); i++) {
		const struct sock_filter program[] = {wrong[i], end};
		assert_false(ma_bpf_check(program, 2));
	}
	assert_false(ma_bpf_check(&end, 0));
	assert_false(ma_bpf_check(&end, BPF_MAXINSNS + 1));
	static const struct sock_filter endless = BPF_STMT(BPF_LD | BPF_IMM, 1);
	assert_false(ma_bpf_check(&endless, 1));
	assert_true(ma_bpf_check(&end, 1));
}

static void tells_every_action_apart(void **state)
{
	(void)state;
	static const struct {
		uint32_t result;
		struct ma_bpf_outcome outcome;
	} cases[] = {
		{SECCOMP_RET_ALLOW, {.allow = true}},
		{SECCOMP_RET_LOG, {.allow = true}},
		{SECCOMP_RET_ERRNO | ENOSYS, {.no_system_call = true}},
		{SECCOMP_RET_ERRNO | EPERM, {.fail = true}},
		{SECCOMP_RET_ERRNO, {.fail = true}},
		{SECCOMP_RET_TRAP, {.trap = true}},
		{SECCOMP_RET_TRACE | 1, {.supervise = true}},
		{SECCOMP_RET_USER_NOTIF, {.supervise = true}},
		{SECCOMP_RET_KILL_THREAD, {.kill = true}},
		{SECCOMP_RET_KILL_PROCESS, {.kill = true}},
		{0x12340000, {.kill = true}},
	};
	struct ma_bpf_input input = {.architecture = AUDIT_ARCH_X86_64};
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct sock_filter program = RETURN(cases[i].result);
		struct ma_bpf_outcome outcome = {0};
		ma_bpf_explore(&program, 1, &input, &outcome);
		assert_memory_equal(&outcome, &cases[i].outcome, sizeof outcome);
	}
}

static uint64_t seed = 42;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % below;
}

static struct sock_filter draw_step(size_t at, size_t count)
{
	static const uint16_t codes[] = {
		BPF_LD | BPF_W | BPF_ABS,
		BPF_LD | BPF_W | BPF_ABS,
		BPF_LD | BPF_IMM,
		BPF_LDX | BPF_IMM,
		BPF_LD | BPF_MEM,
		BPF_ST,
		BPF_STX,
		BPF_LDX | BPF_MEM,
		BPF_MISC | BPF_TAX,
		BPF_MISC | BPF_TXA,
		BPF_ALU | BPF_AND | BPF_K,
		BPF_ALU | BPF_ADD | BPF_X,
		BPF_ALU | BPF_DIV | BPF_X,
		BPF_ALU | BPF_RSH | BPF_X,
		BPF_JMP | BPF_JEQ | BPF_K,
		BPF_JMP | BPF_JGT | BPF_X,
		BPF_JMP | BPF_JSET | BPF_K,
		BPF_JMP | BPF_JGE | BPF_K,
		BPF_JMP | BPF_JA,
		BPF_RET | BPF_K,
		BPF_RET | BPF_A,
	};
	static const uint32_t results[] = {SECCOMP_RET_ALLOW,         SECCOMP_RET_KILL_PROCESS,
					   SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | ENOSYS,
					   SECCOMP_RET_TRAP,          SECCOMP_RET_TRACE};
	uint16_t code = codes[draw(LENGTH(codes))];
	uint32_t left = (uint32_t)(count - at - 1);
	struct sock_filter step = {.code = code, .k = draw(8)};
	if (at + 1 == count || code == (BPF_RET | BPF_K))
		return (struct sock_filter)RETURN(results[draw(LENGTH(results))]);
	if (code == (BPF_LD | BPF_W | BPF_ABS))
		step.k = 4 * draw(16);
	if (BPF_CLASS(code) == BPF_JMP) {
		step.jt = (uint8_t)draw(left);
		step.jf = (uint8_t)draw(left);
		if (BPF_OP(code) == BPF_JA)
			step.k = draw(left);
	}
	return step;
}

static bool covered(const struct ma_bpf_outcome *outcome, uint32_t result)
{
	struct ma_bpf_outcome one = {0};
	const struct sock_filter program = RETURN(result);
	const struct ma_bpf_input input = {0};
	ma_bpf_explore(&program, 1, &input, &one);
	return (!one.allow || outcome->allow) && (!one.fail || outcome->fail) &&
	       (!one.no_system_call || outcome->no_system_call) && (!one.trap || outcome->trap) &&
	       (!one.supervise || outcome->supervise) && (!one.kill || outcome->kill);
}

static void exploring_misses_nothing(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct sock_filter program[24];
		size_t count = 2 + draw(LENGTH(program) - 2);
		for (size_t i = 0; i < count; i++)
			program[i] = draw_step(i, count);
		assert_true(ma_bpf_check(program, count));
		struct ma_bpf_input input = {.number = draw(8),
					     .architecture = AUDIT_ARCH_X86_64,
					     .known = (uint8_t)draw(64)};
		struct ma_bpf_outcome outcome = {0};
		for (int i = 0; i < 6; i++)
			input.args[i] = draw(8);
		ma_bpf_explore(program, count, &input, &outcome);
		for (int sample = 0; sample < 8; sample++) {
			struct seccomp_data data = {.nr = (int)input.number,
						    .arch = AUDIT_ARCH_X86_64,
						    .instruction_pointer = draw(8)};
			for (int i = 0; i < 6; i++)
				data.args[i] = input.known >> i & 1 ? input.args[i] : draw(8);
			assert_true(covered(&outcome, ma_bpf_run(program, count, &data)));
		}
	}
}

/* With everything known, exploring is running. */
static void exploring_the_known_is_exact(void **state)
{
	(void)state;
	for (int round = 0; round < 5000; round++) {
		struct sock_filter program[24];
		size_t count = 2 + draw(LENGTH(program) - 2);
		bool reads_pointer = false;
		for (size_t i = 0; i < count; i++) {
			program[i] = draw_step(i, count);
			reads_pointer |= program[i].code == (BPF_LD | BPF_W | BPF_ABS) &&
					 (program[i].k == 8 || program[i].k == 12);
		}
		if (reads_pointer)
			continue;
		struct ma_bpf_input input = {
			.number = draw(8), .architecture = AUDIT_ARCH_X86_64, .known = 63};
		struct seccomp_data data = {.nr = (int)input.number, .arch = AUDIT_ARCH_X86_64};
		for (int i = 0; i < 6; i++)
			data.args[i] = input.args[i] = draw(8);
		struct ma_bpf_outcome outcome = {0};
		ma_bpf_explore(program, count, &input, &outcome);
		int answers = outcome.allow + outcome.fail + outcome.no_system_call + outcome.trap +
			      outcome.supervise + outcome.kill;
		assert_int_equal(answers, 1);
		assert_true(covered(&outcome, ma_bpf_run(program, count, &data)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_a_usual_filter),
		cmocka_unit_test(computes_as_the_kernel_does),
		cmocka_unit_test(refuses_what_the_kernel_refuses),
		cmocka_unit_test(tells_every_action_apart),
		cmocka_unit_test(exploring_misses_nothing),
		cmocka_unit_test(exploring_the_known_is_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
