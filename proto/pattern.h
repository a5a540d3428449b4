/* SPDX-License-Identifier: MIT */
/*
 * The regular expressions that people filter with. The daemon runs them for a viewer while it
 * serves others, so a pattern can cost no more than its length times that of the text: no
 * backtracking, and a program of bounded size (Thompson, "Regular expression search algorithm",
 * CACM 1968).
 *
 *   abc  .  [a-z_]  [^0-9]  \d \w \s \D \W \S \b \B  \. (any sign escaped)
 *   x*  x+  x?  x{2}  x{2,}  x{2,5}   a|b   (ab)  (?:ab)   ^  $
 *
 * A match may be anywhere in the text. Letters match either case, unless the pattern has a capital
 * letter. Patterns and texts are UTF-8; a byte that is none matches itself.
 */
#ifndef MA_PROTO_PATTERN_H
#define MA_PROTO_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MA_PATTERN_STEPS = 512,   /* instructions of a program */
	MA_PATTERN_RANGES = 256,  /* of all its character sets together */
	MA_PATTERN_REPEATS = 256, /* largest number in x{m,n} */
	MA_PATTERN_BYTES = 1024,  /* longest pattern */
};

struct ma_pattern_step {
	uint16_t kind;
	uint16_t next;  /* where to go on, or of a set its first range */
	uint32_t value; /* a code point, the other way of a fork, the end of a set's ranges */
};

struct ma_pattern_range {
	uint32_t first;
	uint32_t last;
};

/* A compiled pattern. Embedded, owns nothing; a copy is a pattern too. */
struct ma_pattern {
	uint16_t step_count;
	uint16_t range_count;
	bool either_case;
	struct ma_pattern_step steps[MA_PATTERN_STEPS];
	struct ma_pattern_range ranges[MA_PATTERN_RANGES];
};

/* Compiles `source`. false: it is none, and *reason says why (a literal). The empty pattern matches
 * everything. Pure function, any thread. */
bool ma_pattern_compile(struct ma_pattern *pattern, const char *source, const char **reason);

/* Is there a match in the text? Pure function, any thread. */
bool ma_pattern_matches(const struct ma_pattern *pattern, const char *text);

#endif
