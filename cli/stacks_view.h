/* SPDX-License-Identifier: MIT */
/* The stacks of all threads of a process, as text and as JSON. Pure functions of what was read. */
#ifndef MA_CLI_STACKS_VIEW_H
#define MA_CLI_STACKS_VIEW_H

#include <stdint.h>

#include "cli/json_out.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "inject/stacks.h"

/* The picture as text. taken_ns is CLOCK_REALTIME. */
void ma_stacks_view_write(struct ma_text *text, const struct ma_terminal *terminal,
			  const struct ma_process *process, const struct ma_stacks *stacks,
			  uint64_t taken_ns);

/* The picture as one document, memattach.stacks/1 of docs/json.md. */
void ma_stacks_view_json(struct ma_json *json, const struct ma_process *process,
			 const struct ma_stacks *stacks, uint64_t taken_ns);

/* The document where there is no picture: without threads, with the error. */
void ma_stacks_view_json_error(struct ma_json *json, pid_t pid, const struct ma_error *error);

#endif
