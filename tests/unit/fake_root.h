/* SPDX-License-Identifier: MIT */
/* A directory that plays / for tests: files of /proc and /sys with the content that a case needs.
 */
#ifndef MA_TESTS_FAKE_ROOT_H
#define MA_TESTS_FAKE_ROOT_H

/* Makes an empty one; its path, borrowed, valid until fake_root_remove. Fails the test on error. */
const char *fake_root_make(void);

/* Writes a file below it, with the directories that it needs: path is like "/proc/4242/stat". */
void fake_root_write(const char *path, const char *text);

/* Removes it and everything below. */
void fake_root_remove(void);

#endif
