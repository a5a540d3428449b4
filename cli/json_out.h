/* SPDX-License-Identifier: MIT */
/*
 * Writes one JSON document. Keys are literals of ours; values may hold anything: what is not valid
 * UTF-8 is written as the four characters \xNN, as in a snapshot. A key of NULL is for elements of
 * arrays and for the document itself. The document's schema is in docs/json.md.
 */
#ifndef MA_CLI_JSON_OUT_H
#define MA_CLI_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/text.h"

enum { MA_JSON_DEPTH = 16 };

/* Embedded; all zero is an empty document. */
struct ma_json {
	struct ma_text text;
	unsigned depth;
	bool filled[MA_JSON_DEPTH]; /* something was written at that depth */
};

void ma_json_begin_object(struct ma_json *json, const char *key);
void ma_json_end_object(struct ma_json *json);
void ma_json_begin_array(struct ma_json *json, const char *key);
void ma_json_end_array(struct ma_json *json);

void ma_json_string(struct ma_json *json, const char *key, const char *value);
void ma_json_bool(struct ma_json *json, const char *key, bool value);
void ma_json_integer(struct ma_json *json, const char *key, int64_t value);
void ma_json_unsigned(struct ma_json *json, const char *key, uint64_t value);
/* A real number; null when it is not finite. */
void ma_json_real(struct ma_json *json, const char *key, double value);
/* An estimate of bytes or counts, rounded to a whole number. */
void ma_json_whole(struct ma_json *json, const char *key, double value);
/* CLOCK_REALTIME as an ISO 8601 string in UTC; null when 0. */
void ma_json_time(struct ma_json *json, const char *key, uint64_t realtime_ns);
void ma_json_null(struct ma_json *json, const char *key);

#endif
