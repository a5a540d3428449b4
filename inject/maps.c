/* SPDX-License-Identifier: MIT */
/*
 * Parser of /proc/PID/maps (proc_pid_maps(5)). The kernel escapes a newline in a name as "\012" and
 * nothing else, so a name may hold spaces, quotes and backslashes.
 */
#include "inject/maps.h"

#include "inject/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAPS_MAX_BYTES (UINT64_C(256) << 20) /* vm.max_map_count may be raised to millions */

/* A cursor over one line; every step reports whether it found what it wanted. */
struct cursor {
	const char *at;
	const char *end;
};

static bool take_number(struct cursor *c, unsigned base, uint64_t *value)
{
	uint64_t sum = 0;
	const char *start = c->at;
	for (; c->at < c->end; c->at++) {
		unsigned digit;
		if (*c->at >= '0' && *c->at <= '9')
			digit = (unsigned)(*c->at - '0');
		else if (*c->at >= 'a' && *c->at <= 'f')
			digit = (unsigned)(*c->at - 'a') + 10;
		else
			break;
		if (digit >= base)
			break;
		if (sum > (UINT64_MAX - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	*value = sum;
	return c->at > start;
}

static bool take_char(struct cursor *c, char wanted)
{
	if (c->at >= c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static bool take_flags(struct cursor *c, struct ma_map *map)
{
	static const struct {
		char letter;
		int bit;
	} flags[] = {{'r', PROT_READ}, {'w', PROT_WRITE}, {'x', PROT_EXEC}};

	if (c->end - c->at < 4)
		return false;
	map->protection = 0;
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++, c->at++) {
		if (*c->at == flags[i].letter)
			map->protection |= flags[i].bit;
		else if (*c->at != '-')
			return false;
	}
	map->shared = *c->at == 's';
	return take_char(c, map->shared ? 's' : 'p');
}

/* Decodes the name in place, writes its NUL, and cuts " (deleted)" off. */
static void take_name(struct cursor *c, char *line, struct ma_map *map)
{
	static const char deleted[] = " (deleted)";
	while (c->at < c->end && *c->at == ' ')
		c->at++;
	char *name = line + (c->at - line);
	char *out = name;
	for (const char *in = name; in < c->end; in++) {
		if (c->end - in >= 4 && memcmp(in, "\\012", 4) == 0) {
			*out++ = '\n';
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
	size_t length = (size_t)(out - name);
	map->deleted =
		length >= sizeof deleted - 1 && strcmp(out - (sizeof deleted - 1), deleted) == 0;
	if (map->deleted)
		out[-(ptrdiff_t)(sizeof deleted - 1)] = '\0';
	map->name = name;
}

/* Parses one line, whose bytes the name may rewrite: line[length] may be written to. */
static bool parse_line(char *line, size_t length, struct ma_map *map)
{
	struct cursor c = {line, line + length};
	uint64_t major, minor;
	bool fine = take_number(&c, 16, &map->start) && take_char(&c, '-') &&
		    take_number(&c, 16, &map->end) && take_char(&c, ' ') && take_flags(&c, map) &&
		    take_char(&c, ' ') && take_number(&c, 16, &map->offset_bytes) &&
		    take_char(&c, ' ') && take_number(&c, 16, &major) && take_char(&c, ':') &&
		    take_number(&c, 16, &minor) && take_char(&c, ' ') &&
		    take_number(&c, 10, &map->inode);
	if (!fine || map->end <= map->start || major > UINT32_MAX || minor > UINT32_MAX)
		return false;
	map->device_major = (uint32_t)major;
	map->device_minor = (uint32_t)minor;
	take_name(&c, line, map);
	return true;
}

static size_t count_lines(const char *text, size_t bytes)
{
	size_t lines = 1;
	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n';
	return lines;
}

/*
 * Adds *map to the array, whose room is known to suffice. A mapping that grew while the kernel
 * wrote the file appears twice (proc_pid_maps is consistent per line only): what is new of it is
 * kept.
 */
static bool append(struct ma_maps *maps, struct ma_map map)
{
	uint64_t behind = maps->count ? maps->map[maps->count - 1].end : 0;
	if (map.end <= behind)
		return maps->map[maps->count - 1].start <= map.start;
	if (map.start < behind) {
		if (map.inode)
			map.offset_bytes += behind - map.start;
		map.start = behind;
	}
	maps->map[maps->count++] = map;
	return true;
}

/* Parses text[bytes], which *maps owns already and which has room for a NUL at its end. */
static int parse_owned(struct ma_maps *maps, size_t bytes, struct ma_error *error)
{
	char *text = maps->text;
	size_t line = 1;
	maps->map = calloc(count_lines(text, bytes), sizeof *maps->map);
	if (!maps->map)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "parsing memory maps");
	for (size_t at = 0; at < bytes; line++) {
		char *newline = memchr(text + at, '\n', bytes - at);
		size_t length = newline ? (size_t)(newline - text) - at : bytes - at;
		struct ma_map map = {0};
		if (!parse_line(text + at, length, &map) || !append(maps, map)) {
			ma_error_set(error, MA_ERR_PROTOCOL, 0, "parsing memory maps, line %zu",
				     line);
			ma_error_answer(error, "not a line of /proc/PID/maps, or out of order");
			return MA_ERR_PROTOCOL;
		}
		at += length + 1;
	}
	return 0;
}

int ma_maps_parse(const char *text, size_t bytes, struct ma_maps *maps, struct ma_error *error)
{
	*maps = (struct ma_maps){.text = malloc(bytes + 1)};
	if (!maps->text)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "parsing memory maps");
	memcpy(maps->text, text, bytes);
	maps->text[bytes] = '\0';
	return parse_owned(maps, bytes, error);
}

int ma_maps_read(pid_t pid, struct ma_maps *maps, struct ma_error *error)
{
	char path[64];
	size_t bytes;
	*maps = (struct ma_maps){0};
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	int code = ma_proc_slurp(path, MAPS_MAX_BYTES, &maps->text, &bytes, error);
	return code ? code : parse_owned(maps, bytes, error);
}

void ma_maps_fini(struct ma_maps *maps)
{
	free(maps->map);
	free(maps->text);
	*maps = (struct ma_maps){0};
}

const struct ma_map *ma_maps_find(const struct ma_maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (maps->map[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < maps->count && maps->map[low].start <= address ? &maps->map[low] : NULL;
}

const struct ma_map *ma_maps_find_name(const struct ma_maps *maps, const char *name, size_t from)
{
	for (size_t i = from; i < maps->count; i++) {
		if (strcmp(maps->map[i].name, name) == 0)
			return &maps->map[i];
	}
	return NULL;
}

const struct ma_map *ma_maps_find_memfd(const struct ma_maps *maps, const char *memfd,
					int protection, size_t from)
{
	static const char prefix[] = "/memfd:";
	for (size_t i = from; i < maps->count; i++) {
		const struct ma_map *map = &maps->map[i];
		if (strncmp(map->name, prefix, sizeof prefix - 1) == 0 &&
		    strcmp(map->name + sizeof prefix - 1, memfd) == 0 &&
		    (map->protection & protection) == protection)
			return map;
	}
	return NULL;
}

bool ma_map_same_file(const struct ma_map *a, const struct ma_map *b)
{
	return a->inode && a->inode == b->inode && a->device_major == b->device_major &&
	       a->device_minor == b->device_minor;
}

int ma_maps_module(const struct ma_maps *maps, uint64_t address, uint64_t *start, uint64_t *end,
		   size_t *first)
{
	const struct ma_map *here = ma_maps_find(maps, address);
	if (!here || !here->inode)
		return MA_ERR_FAILED;
	size_t low = (size_t)(here - maps->map), high = low;
	/* Down to the mapping of the file's beginning; what lies between may be anonymous. */
	for (size_t i = low; maps->map[low].offset_bytes && i-- > 0;) {
		if (ma_map_same_file(&maps->map[i], here))
			low = i;
		else if (maps->map[i].inode)
			break;
	}
	for (size_t i = high + 1; i < maps->count; i++) {
		const struct ma_map *map = &maps->map[i];
		if (ma_map_same_file(map, here) && map->offset_bytes)
			high = i;
		else if (map->inode || map->start != map[-1].end)
			break;
	}
	*start = maps->map[low].start;
	*end = maps->map[high].end;
	*first = low;
	return 0;
}

bool ma_maps_covers(const struct ma_maps *maps, uint64_t address, uint64_t bytes, int protection)
{
	uint64_t end = address + bytes;
	if (end < address)
		return false;
	while (address < end) {
		const struct ma_map *map = ma_maps_find(maps, address);
		if (!map || (map->protection & protection) != protection)
			return false;
		address = map->end;
	}
	return true;
}
