/* SPDX-License-Identifier: MIT */
/* The summary as JSON; the schema is in docs/json.md. */
#ifndef MA_CLI_SUMMARY_JSON_H
#define MA_CLI_SUMMARY_JSON_H

#include "cli/json_out.h"
#include "cli/summary_view.h"

/* Adds one element of the array `targets`. */
void ma_summary_json_write(struct ma_json *json, const struct ma_summary *summary);

/* Adds the member `ended`: how the process ended, null while it runs. */
void ma_summary_json_end(struct ma_json *json, const Memattach__End *end);

#endif
