/* SPDX-License-Identifier: MIT */
/* The JSON writer; see json_out.h. */
#include "cli/json_out.h"

#include <inttypes.h>
#include <math.h>

#include "cli/display.h"
#include "cli/format.h"

static void add_quoted(struct ma_text *text, const char *string)
{
	ma_text_add(text, "\"");
	while (*string) {
		const char *start = string;
		uint32_t c;
		if (!ma_display_decode(&string, &c))
			ma_text_addf(text, "\\\\x%02x", (unsigned)c);
		else if (c == '"' || c == '\\')
			ma_text_addf(text, "\\%c", (int)c);
		else if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029)
			ma_text_addf(text, "\\u%04x", (unsigned)c);
		else
			ma_text_add_bytes(text, start, (size_t)(string - start));
	}
	ma_text_add(text, "\"");
}

/* What stands in front of a value: a comma, the line break, the key. */
static void start_value(struct ma_json *json, const char *key)
{
	if (json->depth) {
		ma_text_add(&json->text, json->filled[json->depth] ? ",\n" : "\n");
		ma_text_repeat(&json->text, ' ', (size_t)2 * json->depth);
		json->filled[json->depth] = true;
	}
	if (key) {
		add_quoted(&json->text, key);
		ma_text_add(&json->text, ": ");
	}
}

static void open_level(struct ma_json *json, const char *key, const char *bracket)
{
	start_value(json, key);
	ma_text_add(&json->text, bracket);
	if (json->depth + 1 < MA_JSON_DEPTH)
		json->depth++;
	json->filled[json->depth] = false;
}

static void close_level(struct ma_json *json, const char *bracket)
{
	bool filled = json->filled[json->depth];
	if (json->depth)
		json->depth--;
	if (filled) {
		ma_text_add(&json->text, "\n");
		ma_text_repeat(&json->text, ' ', (size_t)2 * json->depth);
	}
	ma_text_add(&json->text, bracket);
	if (!json->depth)
		ma_text_add(&json->text, "\n");
}

void ma_json_begin_object(struct ma_json *json, const char *key)
{
	open_level(json, key, "{");
}

void ma_json_end_object(struct ma_json *json)
{
	close_level(json, "}");
}

void ma_json_begin_array(struct ma_json *json, const char *key)
{
	open_level(json, key, "[");
}

void ma_json_end_array(struct ma_json *json)
{
	close_level(json, "]");
}

void ma_json_string(struct ma_json *json, const char *key, const char *value)
{
	start_value(json, key);
	add_quoted(&json->text, value);
}

void ma_json_bool(struct ma_json *json, const char *key, bool value)
{
	start_value(json, key);
	ma_text_add(&json->text, value ? "true" : "false");
}

void ma_json_integer(struct ma_json *json, const char *key, int64_t value)
{
	start_value(json, key);
	ma_text_addf(&json->text, "%" PRId64, value);
}

void ma_json_unsigned(struct ma_json *json, const char *key, uint64_t value)
{
	start_value(json, key);
	ma_text_addf(&json->text, "%" PRIu64, value);
}

void ma_json_real(struct ma_json *json, const char *key, double value)
{
	if (!isfinite(value)) {
		ma_json_null(json, key);
		return;
	}
	start_value(json, key);
	ma_text_addf(&json->text, "%.9g", value);
}

void ma_json_whole(struct ma_json *json, const char *key, double value)
{
	if (!isfinite(value)) {
		ma_json_null(json, key);
		return;
	}
	start_value(json, key);
	ma_text_addf(&json->text, "%.0f", rint(value) + 0.0);
}

void ma_json_time(struct ma_json *json, const char *key, uint64_t realtime_ns)
{
	struct ma_figure time = ma_format_iso(realtime_ns);
	if (!realtime_ns || !time.text[0])
		ma_json_null(json, key);
	else
		ma_json_string(json, key, time.text);
}

void ma_json_null(struct ma_json *json, const char *key)
{
	start_value(json, key);
	ma_text_add(&json->text, "null");
}
