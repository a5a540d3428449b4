/* SPDX-License-Identifier: MIT */
/*
 * Libraries with known names and lines, built by the test that wants them with the compilers of
 * this machine, in a directory of their own.
 */
#ifndef MA_TESTS_CODE_SAMPLE_H
#define MA_TESTS_CODE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

struct ma_code_sample {
	char folder[64];
	const char *source; /* borrowed: where code_place_sample.* are */
};

/* Makes the folder. */
void ma_code_sample_init(struct ma_code_sample *sample, const char *source);
void ma_code_sample_fini(struct ma_code_sample *sample);

/* Runs a shell command with $S (sources) in the folder; was it successful? printf-like. */
bool ma_code_sample_run(const struct ma_code_sample *sample, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The line of a source that has a mark. */
int ma_code_sample_line(const struct ma_code_sample *sample, const char *file, const char *mark);

/* The range of a symbol of a library in the folder, by nm; false: it has none. */
bool ma_code_sample_symbol(const struct ma_code_sample *sample, const char *library,
			   const char *name, uint64_t *start, uint64_t *end);

#endif
