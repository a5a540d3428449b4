/* SPDX-License-Identifier: MIT */
/* "Did you mean ...?" for a word that nobody knows. */
#ifndef MA_CLI_SUGGEST_H
#define MA_CLI_SUGGEST_H

/* Edits (insert, delete, replace, swap of neighbours) from one word to the other; words longer than
 * 31 bytes count as far apart. */
unsigned ma_suggest_distance(const char *a, const char *b);

/* Is `candidate` near enough to what was typed to be suggested? Smaller *best wins. */
int ma_suggest_better(const char *typed, const char *candidate, unsigned *best);

#endif
