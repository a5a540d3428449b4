/* SPDX-License-Identifier: MIT */
/* Is this UTF-8? Every string of a snapshot must be, because strict readers refuse it otherwise. */
#ifndef MA_PROTO_UTF8_H
#define MA_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Is text, of that many bytes, well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF)? An embedded NUL is well-formed. Any thread.
 */
bool ma_utf8_valid(const char *text, size_t bytes);

#endif
