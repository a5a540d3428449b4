/* SPDX-License-Identifier: MIT */
/*
 * A seccomp filter out of a target: the input is 64 bytes of struct seccomp_data, one byte that
 * says which arguments are known, then instructions. A program that passes the check must run to
 * its end, and what it answers must be among what exploring it promised.
 */
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "inject/bpf.h"

static struct ma_bpf_outcome outcome_of(uint32_t result)
{
	const struct sock_filter program = BPF_STMT(BPF_RET | BPF_K, result);
	const struct ma_bpf_input input = {0};
	struct ma_bpf_outcome outcome = {0};
	ma_bpf_explore(&program, 1, &input, &outcome);
	return outcome;
}

static void check_program(const struct sock_filter *program, size_t count,
			  const struct seccomp_data *data, uint8_t known)
{
	struct ma_bpf_input input = {
		.number = (uint32_t)data->nr, .architecture = data->arch, .known = known};
	struct ma_bpf_outcome outcome = {0};
	memcpy(input.args, data->args, sizeof input.args);
	ma_bpf_explore(program, count, &input, &outcome);
	struct ma_bpf_outcome one = outcome_of(ma_bpf_run(program, count, data));
	MUST(!one.allow || outcome.allow);
	MUST(!one.no_system_call || outcome.no_system_call);
	MUST(!one.fail || outcome.fail);
	MUST(!one.trap || outcome.trap);
	MUST(!one.supervise || outcome.supervise);
	MUST(!one.kill || outcome.kill);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seccomp_data call;
	if (size < sizeof call + 1)
		return 0;
	memcpy(&call, data, sizeof call);
	size_t count = (size - sizeof call - 1) / sizeof(struct sock_filter);
	struct sock_filter *program = malloc((count + 1) * sizeof *program);
	MUST(program);
	memcpy(program, data + sizeof call + 1, count * sizeof *program);
	if (ma_bpf_check(program, count))
		check_program(program, count, &call, data[sizeof call]);
	free(program);
	return 0;
}
