/* SPDX-License-Identifier: MIT */
/* Labelled lines of items that break between items where the terminal ends. */
#ifndef MA_CLI_FLOW_H
#define MA_CLI_FLOW_H

#include <stdbool.h>

#include "cli/terminal.h"
#include "cli/text.h"

/* Embedded; text is borrowed. */
struct ma_flow {
	struct ma_text *text;
	unsigned width;
	bool color;
	unsigned indent; /* of the items: columns that the label takes */
	unsigned column;
	bool filled;           /* the line has an item */
	const char *separator; /* between items of a line; borrowed */
};

/* What stays the same from line to line. */
struct ma_flow ma_flow_init(struct ma_text *text, unsigned width, bool color);

/* Starts a line. The label is padded to `indent` columns, where continuation lines start. */
void ma_flow_begin(struct ma_flow *flow, const char *label, unsigned indent, const char *separator);

/* Adds an item. Its text must be harmless (cli/display.h); one wider than the line is cut. */
void ma_flow_item(struct ma_flow *flow, enum ma_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds a sentence word by word, so that it breaks where the line ends; harmless like an item. */
void ma_flow_words(struct ma_flow *flow, enum ma_style style, const char *sentence);

void ma_flow_end(struct ma_flow *flow);

#endif
