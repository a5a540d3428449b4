/* SPDX-License-Identifier: MIT */
/* See proc_maps.h. */
#include "daemon/proc_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_ROOM = 64 << 10, MAX_ROOM = 16 << 20 };

/* Reads to the end; the buffer grows as needed. */
static char *read_all(int fd)
{
	size_t room = FIRST_ROOM, length = 0;
	char *text = malloc(room);
	while (text) {
		ssize_t got = read(fd, text + length, room - 1 - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || (got == 0 && length == 0))
			break;
		if (got == 0) {
			text[length] = 0;
			return text;
		}
		length += (size_t)got;
		if (length < room - 1)
			continue;
		if (room >= MAX_ROOM)
			break;
		char *larger = realloc(text, room * 2);
		if (!larger)
			break;
		text = larger;
		room *= 2;
	}
	free(text);
	return NULL;
}

char *ma_proc_maps_read(int proc_fd)
{
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	char *text = read_all(fd);
	close(fd);
	return text;
}

bool ma_proc_maps_has(const char *text, uint64_t start, const char *name)
{
	char prefix[24];
	/* The kernel pads addresses to eight digits. */
	int length = snprintf(prefix, sizeof prefix, "%08llx-", (unsigned long long)start);
	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		size_t bytes = end ? (size_t)(end - line) : strlen(line);
		if (strncmp(line, prefix, (size_t)length) == 0 &&
		    memmem(line, bytes, name, strlen(name)))
			return true;
		line = end ? end + 1 : NULL;
	}
	return false;
}
