/* SPDX-License-Identifier: MIT */
/* Parsing of /proc/PID/stat; field numbers are those of proc(5), the first one is 1. */
#include "daemon/process_stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc_text.h"

enum {
	FIELD_STATE = 3,
	FIELD_MINOR_FAULTS = 10,
	FIELD_MAJOR_FAULTS = 12,
	FIELD_THREADS = 20,
	FIELD_START_TIME = 22,
	FIELD_EXIT_CODE = 52,
	FIELDS = 53,
};

int ma_process_stat_parse(const char *text, struct ma_process_stat *stat)
{
	memset(stat, 0, sizeof *stat);
	/* The name, field 2, may hold anything, a closing parenthesis too: the last one ends it. */
	const char *at = strrchr(text, ')');
	if (!at || at[1] != ' ' || at[2] == '\0')
		return -1;
	at += 2;
	stat->state = *at++;
	unsigned long long fields[FIELDS] = {0};
	int field = FIELD_STATE + 1;
	for (; field < FIELDS; field++) {
		char *end;
		fields[field] = strtoull(at, &end, 10);
		if (end == at)
			break;
		at = end;
	}
	if (field <= FIELD_START_TIME)
		return -1;
	stat->minor_faults = fields[FIELD_MINOR_FAULTS];
	stat->major_faults = fields[FIELD_MAJOR_FAULTS];
	stat->threads = fields[FIELD_THREADS];
	stat->start_ticks = fields[FIELD_START_TIME];
	stat->exit_code = (int)fields[FIELD_EXIT_CODE];
	return 0;
}

int ma_process_stat_read(int fd, struct ma_process_stat *stat)
{
	char text[2048];
	memset(stat, 0, sizeof *stat);
	int length = ma_proc_text_read(fd, text, sizeof text);
	if (length < 0)
		return length;
	return ma_process_stat_parse(text, stat) == 0 ? 0 : -EPROTO;
}
