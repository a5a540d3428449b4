/* SPDX-License-Identifier: MIT */
/*
 * Turns names that come from a target into valid UTF-8, as the snapshot's strings must be: raw
 * bytes of the kernel and the three widths of Python's Unicode data. What is not valid Unicode, and
 * the NUL that would end a string early, is written as \xNN, \uNNNN or \UNNNNNNNN. Control
 * characters pass: whoever prints a name escapes them.
 */
#ifndef MA_DAEMON_TEXT_H
#define MA_DAEMON_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Writes a NUL-terminated text of at most room - 1 bytes, cut between characters; room > 0. Returns
 * its length. Pure functions, any thread. */
size_t ma_text_from_bytes(char *text, size_t room, const void *bytes, size_t count);

/* kind: bytes a code point, 1 (Latin-1), 2 or 4, in host order; count in bytes. */
size_t ma_text_from_unicode(char *text, size_t room, int kind, const void *data, size_t count);

#endif
