/* SPDX-License-Identifier: MIT */
/* Labelled lines; see flow.h. */
#include "cli/flow.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/display.h"

struct ma_flow ma_flow_init(struct ma_text *text, unsigned width, bool color)
{
	return (struct ma_flow){.text = text, .width = width, .color = color};
}

void ma_flow_begin(struct ma_flow *flow, const char *label, unsigned indent, const char *separator)
{
	enum ma_style style = label[0] ? MA_STYLE_HEAD : MA_STYLE_PLAIN;
	ma_style_begin(flow->text, flow->color, style);
	ma_text_add(flow->text, label);
	ma_style_end(flow->text, flow->color, style);
	flow->column = ma_display_columns(label);
	if (flow->column < indent) {
		ma_text_repeat(flow->text, ' ', indent - flow->column);
		flow->column = indent;
	}
	flow->indent = indent;
	flow->separator = separator;
	flow->filled = false;
}

/* Columns of the separator that stay when a line breaks after it. */
static unsigned tail_of(const char *separator)
{
	size_t length = strlen(separator);
	while (length && separator[length - 1] == ' ')
		length--;
	return (unsigned)length;
}

/* Takes back spaces at the end of the text: of a separator that a break follows. */
static void trim(struct ma_text *text)
{
	while (text->length && text->data[text->length - 1] == ' ')
		text->data[--text->length] = '\0';
}

void ma_flow_item(struct ma_flow *flow, enum ma_style style, const char *format, ...)
{
	char item[1024];
	va_list ap;
	va_start(ap, format);
	vsnprintf(item, sizeof item, format, ap);
	va_end(ap);
	if (!item[0])
		return;
	unsigned columns = ma_display_columns(item), tail = tail_of(flow->separator);
	if (flow->filled) {
		unsigned gap = (unsigned)strlen(flow->separator);
		ma_text_add(flow->text, flow->separator);
		flow->column += gap;
		if (flow->column + columns + tail > flow->width) {
			trim(flow->text);
			ma_text_add(flow->text, "\n");
			ma_text_repeat(flow->text, ' ', flow->indent);
			flow->column = flow->indent;
		}
	}
	unsigned end = flow->column + tail;
	unsigned room = flow->width > end ? flow->width - end : 0;
	ma_style_begin(flow->text, flow->color, style);
	flow->column += ma_display_add_start(flow->text, item, room);
	ma_style_end(flow->text, flow->color, style);
	flow->filled = true;
}

void ma_flow_words(struct ma_flow *flow, enum ma_style style, const char *sentence)
{
	while (*sentence) {
		size_t length = strcspn(sentence, " ");
		ma_flow_item(flow, style, "%.*s", (int)length, sentence);
		sentence += length + strspn(sentence + length, " ");
	}
}

void ma_flow_end(struct ma_flow *flow)
{
	trim(flow->text);
	ma_text_add(flow->text, "\n");
	flow->filled = false;
}
