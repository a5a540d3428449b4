/* SPDX-License-Identifier: MIT */
/*
 * Copying what another process may be writing. Every word is loaded exactly once, as a relaxed
 * atomic: a plain copy would allow the compiler to read the source again after a check, when the
 * target may have changed it.
 */
#ifndef MA_PROTO_COPY_WORDS_H
#define MA_PROTO_COPY_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t ma_word __attribute__((may_alias));

static inline void ma_copy_words(void *to, const void *source, size_t words)
{
	const ma_word *from = source;
	uint8_t *out = to;
	for (size_t i = 0; i < words; i++) {
		uint64_t value = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		memcpy(out + i * sizeof value, &value, sizeof value);
	}
}

#endif
