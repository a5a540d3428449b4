/* SPDX-License-Identifier: MIT */
/*
 * Who would adopt a process of ours that we leave behind? An orphan becomes a child of PID 1 of its
 * PID namespace. Where that is the program itself (a container without an init), it would see a
 * child it never had: a SIGCHLD, an unknown PID from waitpid(-1). There no daemon may be left
 * behind.
 */
#ifndef MA_CLI_ORPHAN_H
#define MA_CLI_ORPHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * May a daemon outlive us? No when PID 1 or an ancestor of ours (which might be a subreaper) is one
 * of the targets, or when PID 1 is not known to be an init. why (room for a sentence) says which;
 * only written when the answer is no.
 */
bool ma_orphan_allowed(const pid_t *targets, size_t count, char *why, size_t room);

/* Is a program of that name (comm of /proc/PID/stat) an init, or a shell or placeholder that does
 * not mind foreign children? */
bool ma_orphan_is_init(const char *name);

#endif
