/* SPDX-License-Identifier: MIT */
/*
 * Ctrl-C: the first one means "now" (stop watching, print what is known), the second one leaves at
 * once with 130. SIGTERM and SIGHUP count as the first, so that what was begun is ended in order.
 */
#ifndef MA_CLI_INTERRUPT_H
#define MA_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* Installs the handlers. Call once, before anything that takes time. */
void ma_interrupt_init(void);

/* Was it asked to stop? */
bool ma_interrupt_seen(void);

/* Sleeps up to the given time, less when a signal comes. */
void ma_interrupt_sleep_ms(uint64_t milliseconds);

/* A file that must not be left behind when the program is made to leave; NULL: none (any more).
 * Borrowed until the next call. */
void ma_interrupt_remove_on_exit(const char *path);

/* Puts the signals back to their defaults: in a child process. */
void ma_interrupt_reset(void);

#endif
