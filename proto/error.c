/* SPDX-License-Identifier: MIT */
/* Filling of struct ma_error; see error.h for the idiom. */
#include "proto/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int ma_error_set(struct ma_error *error, enum ma_err code, int sys_errno, const char *what, ...)
{
	if (!error)
		return code;
	va_list ap;
	va_start(ap, what);
	memset(error, 0, sizeof *error);
	error->code = code;
	error->sys_errno = sys_errno;
	vsnprintf(error->what, sizeof error->what, what, ap);
	va_end(ap);
	if (sys_errno)
		snprintf(error->answer, sizeof error->answer, "%s", strerror(sys_errno));
	return code;
}

void ma_error_answer(struct ma_error *error, const char *answer, ...)
{
	if (!error)
		return;
	va_list ap;
	va_start(ap, answer);
	vsnprintf(error->answer, sizeof error->answer, answer, ap);
	va_end(ap);
}

void ma_error_remedy(struct ma_error *error, const char *remedy, ...)
{
	if (!error)
		return;
	va_list ap;
	va_start(ap, remedy);
	vsnprintf(error->remedy, sizeof error->remedy, remedy, ap);
	va_end(ap);
}

int ma_error_exit_code(enum ma_err code)
{
	switch (code) {
	case MA_OK:
		return 0;
	case MA_ERR_USAGE:
	case MA_ERR_PERMISSION:
	case MA_ERR_NOT_PYTHON:
	case MA_ERR_NO_PROCESS:
	case MA_ERR_UNSAFE:
		return -(int)code;
	case MA_ERR_FAILED:
	case MA_ERR_PROTOCOL:
		return 1;
	}
	return 1;
}
