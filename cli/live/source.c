/* SPDX-License-Identifier: MIT */
/* Reading a source file out of another process's root; see source.h. */
#include "cli/live/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/alloc.h"

/* Opens a path below a directory of /proc/PID as if that were the root. Without openat2 (Linux
 * before 5.6) only links of the last part are refused. -1: *reason says why. */
static int open_inside(pid_t pid, const char *file, const char **reason)
{
	char base[32];
	snprintf(base, sizeof base, "/proc/%d/%s", (int)pid, file[0] == '/' ? "root" : "cwd");
	int directory = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0) {
		/* A zombie has neither any more. */
		*reason = errno == ENOENT || errno == ESRCH ? "the process has ended"
							    : strerror(errno);
		return -1;
	}
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = file[0] == '/' ? RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
					  : RESOLVE_NO_MAGICLINKS,
	};
	const char *path = file + strspn(file, "/");
	int fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
	if (fd < 0 && errno == ENOSYS)
		fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		*reason = strerror(errno);
	close(directory);
	return fd;
}

static void fail(struct ma_source *source, const char *reason)
{
	snprintf(source->reason, sizeof source->reason, "%s", reason);
}

static void read_text(struct ma_source *source, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		fail(source, strerror(errno));
		return;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > MA_SOURCE_MOST_BYTES) {
		fail(source, S_ISREG(st.st_mode) ? "the file is too large" : "it is no plain file");
		return;
	}
	size_t room = (size_t)st.st_size, got = 0;
	char *text = ma_alloc(room + 1, 1);
	while (got < room) {
		ssize_t bytes = read(fd, text + got, room - got);
		if (bytes <= 0)
			break;
		got += (size_t)bytes;
	}
	text[got] = '\0';
	source->text = text;
	source->line_count = 0;
	size_t starts_room = 1024;
	source->starts = ma_alloc(starts_room + 1, sizeof *source->starts);
	for (size_t at = 0; at < got;) {
		if (source->line_count == starts_room) {
			starts_room *= 2;
			source->starts = ma_alloc_grow(source->starts, starts_room + 1,
						       sizeof *source->starts);
		}
		source->starts[source->line_count++] = at;
		const char *end = memchr(text + at, '\n', got - at);
		at = end ? (size_t)(end - text) + 1 : got;
	}
	source->starts[source->line_count] = got;
}

void ma_source_load(struct ma_source *source, pid_t pid, const char *file)
{
	if (source->file && strcmp(source->file, file) == 0)
		return;
	ma_source_fini(source);
	source->file = ma_alloc_string(file);
	if (!file[0] || file[0] == '<') {
		fail(source, "there is no file: the code was made at run time");
		return;
	}
	const char *reason;
	int fd = open_inside(pid, file, &reason);
	if (fd < 0) {
		fail(source, reason);
		return;
	}
	read_text(source, fd);
	close(fd);
}

const char *ma_source_line(const struct ma_source *source, size_t number, size_t *bytes)
{
	if (!source->text || number < 1 || number > source->line_count)
		return NULL;
	size_t start = source->starts[number - 1], end = source->starts[number];
	while (end > start && (source->text[end - 1] == '\n' || source->text[end - 1] == '\r'))
		end--;
	*bytes = end - start;
	return source->text + start;
}

void ma_source_fini(struct ma_source *source)
{
	free(source->file);
	free(source->text);
	free(source->starts);
	*source = (struct ma_source){0};
}
