/* SPDX-License-Identifier: MIT */
/*
 * The kernel's small text files, in /proc and in the cgroup file systems: read one whole from an fd
 * that stays open, pick numbers out by the key that starts their line.
 */
#ifndef MA_DAEMON_PROC_TEXT_H
#define MA_DAEMON_PROC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the file from its start into text, NUL-terminated, cut at room - 1 bytes. Returns the
 * length or a negative errno (an fd of -1: -EBADF). Any thread.
 */
int ma_proc_text_read(int fd, char *text, size_t room);

/* The same for a file relative to a directory, opened for this once. */
int ma_proc_text_read_at(int directory_fd, const char *name, char *text, size_t room);

/* Does a line start with key, then blanks, then a decimal number? Then *value is that. */
bool ma_proc_text_number(const char *text, const char *key, uint64_t *value);

#endif
