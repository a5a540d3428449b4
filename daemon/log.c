/* SPDX-License-Identifier: MIT */
/* See log.h. */
#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

int ma_log_open(struct ma_log *log, const char *path, struct ma_error *error)
{
	log->fd = STDERR_FILENO;
	if (!path)
		return 0;
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
	if (fd < 0) {
		int code = ma_error_set(error, MA_ERR_FAILED, errno, "opening the log %s", path);
		ma_error_remedy(error, "Name a file in a directory that can be written to.");
		return code;
	}
	log->fd = fd;
	return 0;
}

void ma_log_close(struct ma_log *log)
{
	if (log->fd > STDERR_FILENO)
		close(log->fd);
	log->fd = STDERR_FILENO;
}

void ma_log_line(const struct ma_log *log, const char *format, ...)
{
	char line[LINE_BYTES];
	struct tm local;
	time_t now = time(NULL);
	localtime_r(&now, &local);
	size_t length = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S ", &local);
	size_t room = sizeof line - length - 1;
	va_list arguments;
	va_start(arguments, format);
	int wrote = vsnprintf(line + length, room, format, arguments);
	va_end(arguments);
	if (wrote > 0)
		length += (size_t)wrote < room ? (size_t)wrote : room - 1;
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[length++] = '\n';
	/* A log that cannot be written must not stop what is logged. */
	ssize_t ignored = write(log->fd, line, length);
	(void)ignored;
}

void ma_log_error(const struct ma_log *log, const struct ma_error *error)
{
	ma_log_line(log, "%s%s%s%s%s", error->what, error->answer[0] ? ": " : "", error->answer,
		    error->remedy[0] ? ". " : "", error->remedy);
}
