/* SPDX-License-Identifier: MIT */
/* The string table of a profile being built: each text once, text 0 empty, valid UTF-8 as it comes
 * from daemon/text.h. Memory is the pool's; the index is the table's own. */
#ifndef MA_DAEMON_STRINGS_H
#define MA_DAEMON_STRINGS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/idmap.h"
#include "daemon/pool.h"

struct ma_strings {
	struct ma_pool *pool;  /* borrowed */
	struct ma_idmap index; /* hash -> position */
	char **texts;          /* in the pool */
	size_t count;
	size_t room;
};

void ma_strings_init(struct ma_strings *strings, struct ma_pool *pool);

/* The position of a text, added if it is new; 0 when there is no memory (the pool says so). */
int64_t ma_strings_add(struct ma_strings *strings, const char *text);

/* Gives the index back; the texts stay with the pool. */
void ma_strings_fini(struct ma_strings *strings);

#endif
