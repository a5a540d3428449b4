/* SPDX-License-Identifier: MIT */
/* Reading of the kernel's text files; see proc_text.h. */
#include "daemon/proc_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ma_proc_text_read(int fd, char *text, size_t room)
{
	size_t used = 0;
	text[0] = '\0';
	while (used + 1 < room && used < INT_MAX) {
		ssize_t got = pread(fd, text + used, room - 1 - used, (off_t)used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			text[0] = '\0';
			return -errno;
		}
		if (got == 0)
			break;
		used += (size_t)got;
	}
	text[used] = '\0';
	return (int)used;
}

int ma_proc_text_read_at(int directory_fd, const char *name, char *text, size_t room)
{
	text[0] = '\0';
	int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int length = ma_proc_text_read(fd, text, room);
	close(fd);
	return length;
}

bool ma_proc_text_number(const char *text, const char *key, uint64_t *value)
{
	size_t length = strlen(key);
	for (const char *line = text; line && *line;) {
		if (strncmp(line, key, length) == 0) {
			const char *digits = line + length + strspn(line + length, " \t");
			if (digits > line + length && *digits >= '0' && *digits <= '9') {
				*value = strtoull(digits, NULL, 10);
				return true;
			}
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return false;
}
