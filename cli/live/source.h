/* SPDX-License-Identifier: MIT */
/*
 * The text of a Python source file, as the process sees it: below /proc/PID/root, relative names
 * from /proc/PID/cwd, and never out of there by a link. The file belongs to a stranger: it is read
 * only if it is a plain one of sensible size, and its text is escaped before anybody shows it.
 */
#ifndef MA_CLI_LIVE_SOURCE_H
#define MA_CLI_LIVE_SOURCE_H

#include <stddef.h>
#include <sys/types.h>

enum { MA_SOURCE_MOST_BYTES = 8 << 20 };

/* Zero-initialise, then use. */
struct ma_source {
	char *file;     /* the one that is held; owned; NULL: none yet */
	char *text;     /* owned; NULL: it could not be read */
	size_t *starts; /* of its lines; owned */
	size_t line_count;
	char reason[160]; /* why it could not be read */
};

/* Reads a file, unless it is the one that is held. */
void ma_source_load(struct ma_source *source, pid_t pid, const char *file);

/* Line `number` (from 1) without its end; NULL: there is none. Borrowed until the next call. The
 * length is in *bytes: lines are not terminated. */
const char *ma_source_line(const struct ma_source *source, size_t number, size_t *bytes);

void ma_source_fini(struct ma_source *source);

#endif
