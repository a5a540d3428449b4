/* SPDX-License-Identifier: MIT */
/* Writing to stdout and stderr; see output.h. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/display.h"
#include "cli/errors.h"

void ma_output_init(void)
{
	/* Opened the wrong way round: using a stream that the caller closed stays an error. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
				break;
	signal(SIGPIPE, SIG_IGN);
}

int ma_output_write_all(int fd, const void *bytes, size_t count, const char *name,
			struct ma_error *error)
{
	const char *next = bytes;
	while (count) {
		ssize_t written = write(fd, next, count);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) {
			int sys_errno = errno;
			ma_error_set(error, MA_ERR_FAILED, sys_errno, "writing %s", name);
			if (sys_errno == ENOSPC || sys_errno == EDQUOT)
				ma_error_remedy(error, "Make room, or write somewhere else.");
			return MA_ERR_FAILED;
		}
		next += written;
		count -= (size_t)written;
	}
	return 0;
}

int ma_output_print(const struct ma_text *text, int exit_code)
{
	struct ma_error error = {0};
	if (!text->length)
		return exit_code;
	if (ma_output_write_all(STDOUT_FILENO, text->data, text->length, "the results", &error) &&
	    error.sys_errno != EPIPE)
		return ma_errors_print(&error);
	return exit_code;
}

static void write_stderr(const struct ma_text *line)
{
	struct ma_error ignored;
	ma_output_write_all(STDERR_FILENO, line->data, line->length, "a notice", &ignored);
}

void ma_output_notice(const char *sentence, ...)
{
	char buffer[1024];
	struct ma_text line = {0};
	va_list ap;
	va_start(ap, sentence);
	vsnprintf(buffer, sizeof buffer, sentence, ap);
	va_end(ap);
	ma_text_add(&line, "memattach: ");
	ma_display_escape(&line, buffer);
	ma_text_add(&line, "\n");
	write_stderr(&line);
	ma_text_fini(&line);
}

void ma_output_notice_lines(int pid, const char *lines)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");
		if (length)
			ma_output_notice("%d: %.*s", pid, (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}
