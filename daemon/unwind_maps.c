/* SPDX-License-Identifier: MIT */
/* See unwind_maps.h. */
#include "daemon/unwind_maps.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/modules.h"

#define STACK_ROOM (UINT64_C(64) << 20) /* by which the main stack may grow between two looks */

/* The last mapping of a file's beginning. */
struct head {
	uint64_t start, inode;
};

struct line {
	uint64_t start, end, offset, inode;
	const char *protection; /* "r-xp" */
	char *name;             /* to the end of the line, which is a NUL by now */
};

/* Reads a number up to a character; NULL: there is none. */
static char *number(char *at, int base, char up_to, uint64_t *value)
{
	char *end;
	*value = strtoull(at, &end, base);
	return end != at && *end == up_to ? end + 1 : NULL;
}

/* "start-end perms offset dev:dev inode   name" */
static bool parse_line(char *at, struct line *line)
{
	uint64_t device;
	at = number(at, 16, '-', &line->start);
	at = at ? number(at, 16, ' ', &line->end) : NULL;
	if (!at || strnlen(at, 5) < 5 || at[4] != ' ' || line->start >= line->end)
		return false;
	line->protection = at;
	at = number(at + 5, 16, ' ', &line->offset);
	at = at ? number(at, 16, ':', &device) : NULL;
	at = at ? number(at, 16, ' ', &device) : NULL;
	if (!at)
		return false;
	line->inode = strtoull(at, &at, 10);
	line->name = at + strspn(at, " ");
	return true;
}

/* Takes off what the kernel adds to a name: " (deleted)", and "\012" for a line feed. */
static void clean(char *name)
{
	static const char deleted[] = " (deleted)", line_feed[] = "\\012";
	size_t length = strlen(name);
	char *to = name;
	if (length >= sizeof deleted - 1 &&
	    strcmp(name + length - (sizeof deleted - 1), deleted) == 0)
		name[length - (sizeof deleted - 1)] = 0;
	for (const char *from = name; *from; to++) {
		bool escaped = strncmp(from, line_feed, sizeof line_feed - 1) == 0;
		*to = escaped ? '\n' : *from;
		from += escaped ? sizeof line_feed - 1 : 1;
	}
	*to = 0;
}

static void take_code(struct ma_unwind_maps *maps, const struct line *line, const struct head *head)
{
	struct ma_unwind_mapped *last =
		maps->mapped_count ? &maps->mapped[maps->mapped_count - 1] : NULL;
	bool vdso = strcmp(line->name, MA_MODULE_VDSO) == 0;
	if (line->protection[2] != 'x' || (line->name[0] != '/' && !vdso))
		return;
	if (last && last->end == line->start && last->inode == line->inode && !vdso &&
	    last->offset + (last->end - last->start) == line->offset) {
		last->end = line->end;
		return;
	}
	if (maps->mapped_count == MA_UNWIND_MODULES)
		return;
	clean(line->name);
	maps->mapped[maps->mapped_count++] = (struct ma_unwind_mapped){
		.start = line->start,
		.end = line->end,
		.offset = line->offset,
		.inode = line->inode,
		.head = head->inode == line->inode ? head->start : 0,
		.path = line->name,
	};
}

static bool is_main_stack(const struct line *line)
{
	return strcmp(line->name, "[stack]") == 0;
}

/* The stacks that were known before, and the first that does not end below the line. */
struct known {
	struct ma_unwind_stack *stacks;
	uint32_t count, next;
};

/*
 * glibc 2.42 and later guard a thread's stack without a mapping of its own (MADV_GUARD_INSTALL), so
 * that only a walk tells where one is; and it has to tell once, because the next hint is another's.
 */
static bool was_stack(struct known *known, const struct line *line)
{
	while (known->next < known->count && known->stacks[known->next].end <= line->start)
		known->next++;
	return known->next < known->count && known->stacks[known->next].start < line->end;
}

static bool is_stack(const struct line *line, bool guarded, uint64_t hint, struct known *known)
{
	if (line->inode || line->protection[0] != 'r' || line->protection[1] != 'w' ||
	    line->protection[3] != 'p')
		return false;
	if (is_main_stack(line) || (hint >= line->start && hint < line->end) ||
	    was_stack(known, line))
		return true;
	/* Named mappings: "[anon: glibc: pthread stack: 4711]" and the like. */
	return guarded && (!line->name[0] || strncmp(line->name, "[anon", 5) == 0);
}

static void take_stack(struct ma_unwind_maps *maps, const struct line *line, uint64_t below)
{
	uint64_t start = line->start;
	if (maps->stack_count == MA_UNWIND_STACKS)
		return;
	if (is_main_stack(line)) {
		uint64_t lowest = line->end > STACK_ROOM ? line->end - STACK_ROOM : 0;
		lowest = lowest > below ? lowest : below;
		start = lowest < start ? lowest : start;
	}
	maps->stacks[maps->stack_count++] = (struct ma_unwind_stack){start, line->end};
}

bool ma_unwind_maps_parse(struct ma_unwind_maps *maps, char *text,
			  const struct ma_unwind_maps_hints *hints)
{
	uint64_t below = 0; /* end of the mapping before */
	struct head head = {0};
	bool guard_below = false;
	struct known known = {.count = maps->stack_count};
	if (!maps->mapped)
		maps->mapped = calloc(MA_UNWIND_MODULES, sizeof *maps->mapped);
	if (!maps->stacks)
		maps->stacks = calloc(MA_UNWIND_STACKS, sizeof *maps->stacks);
	if (!maps->mapped || !maps->stacks)
		return false;
	known.stacks = malloc((known.count + 1) * sizeof *known.stacks);
	if (!known.stacks)
		return false;
	memcpy(known.stacks, maps->stacks, known.count * sizeof *known.stacks);
	maps->mapped_count = maps->stack_count = 0;
	maps->interpreter_inode = 0;
	for (char *next = text; next && *next;) {
		struct line line;
		char *at = next, *end = strchr(next, '\n');
		if (end)
			*end = 0;
		next = end ? end + 1 : NULL;
		/* The kernel's are ascending; searches rely on that. */
		if (!parse_line(at, &line) || line.start < below)
			continue;
		if (hints->interpreter_base >= line.start && hints->interpreter_base < line.end)
			maps->interpreter_inode = line.inode;
		if (line.offset == 0 && line.inode)
			head = (struct head){line.start, line.inode};
		take_code(maps, &line, &head);
		if (is_stack(&line, guard_below && below == line.start, hints->stack, &known))
			take_stack(maps, &line, below);
		guard_below = memcmp(line.protection, "---", 3) == 0;
		below = line.end;
	}
	free(known.stacks);
	return true;
}

void ma_unwind_maps_fini(struct ma_unwind_maps *maps)
{
	free(maps->mapped);
	free(maps->stacks);
	*maps = (struct ma_unwind_maps){0};
}
