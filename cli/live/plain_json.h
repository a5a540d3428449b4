/* SPDX-License-Identifier: MIT */
/* A picture of the live view as one line of JSON. */
#ifndef MA_CLI_LIVE_PLAIN_JSON_H
#define MA_CLI_LIVE_PLAIN_JSON_H

#include "cli/text.h"
#include "proto/control.pb-c.h"

/* Adds the document and a line break; schema memattach.live/1 of docs/json.md. Pure function. */
void ma_live_json_write(struct ma_text *text, const Memattach__LiveView *view);

#endif
