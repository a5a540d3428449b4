/* SPDX-License-Identifier: MIT */
/* See strings.h. */
#include "daemon/strings.h"

#include <string.h>

enum { FIRST_ROOM = 256 };

void ma_strings_init(struct ma_strings *strings, struct ma_pool *pool)
{
	*strings = (struct ma_strings){.pool = pool};
	ma_strings_add(strings, "");
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return hash;
}

static bool make_room(struct ma_strings *strings)
{
	if (strings->count < strings->room)
		return true;
	size_t room = strings->room ? strings->room * 2 : FIRST_ROOM;
	char **texts = ma_pool_alloc(strings->pool, room, sizeof *texts);
	if (!texts)
		return false;
	if (strings->count)
		memcpy(texts, strings->texts, strings->count * sizeof *texts);
	strings->texts = texts;
	strings->room = room;
	return true;
}

int64_t ma_strings_add(struct ma_strings *strings, const char *text)
{
	/* Two texts with one hash stand at neighbouring keys. */
	uint64_t key = hash_of(text);
	uint32_t at;
	for (; (at = ma_idmap_find(&strings->index, key)) != MA_IDMAP_NONE; key++) {
		if (strcmp(strings->texts[at], text) == 0)
			return at;
	}
	char *copy = make_room(strings) ? ma_pool_text(strings->pool, text) : NULL;
	if (!copy || !ma_idmap_add(&strings->index, key, (uint32_t)strings->count)) {
		strings->pool->failed = true;
		return 0;
	}
	strings->texts[strings->count] = copy;
	return (int64_t)strings->count++;
}

void ma_strings_fini(struct ma_strings *strings)
{
	ma_idmap_fini(&strings->index);
}
