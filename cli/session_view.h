/* SPDX-License-Identifier: MIT */
/* A session of the daemon, as text and as JSON. Pure functions. */
#ifndef MA_CLI_SESSION_VIEW_H
#define MA_CLI_SESSION_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/json_out.h"
#include "cli/text.h"
#include "proto/control.pb-c.h"

/* A block of lines; now_ns: CLOCK_REALTIME. */
void ma_session_view_write(struct ma_text *text, const Memattach__Session *session, uint64_t now_ns,
			   unsigned width, bool color);

/* An element of an array. */
void ma_session_json_write(struct ma_json *json, const Memattach__Session *session);

/* "tracking", "ended", "lost" or "unknown". */
const char *ma_session_state_name(Memattach__Session__State state);

#endif
