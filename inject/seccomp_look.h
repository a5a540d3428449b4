/* SPDX-License-Identifier: MIT */
/* What an attach would say to the seccomp filters of a process, found out without attaching. */
#ifndef MA_INJECT_SECCOMP_LOOK_H
#define MA_INJECT_SECCOMP_LOOK_H

#include <sys/types.h>

#include "proto/error.h"

/*
 * Stops one thread for a moment, as an attach would, reads its filters and judges them. Nothing
 * runs in the target and nothing is written. 0 = an attach is let in; else the attach's own answer:
 * MA_ERR_UNSAFE, or why the thread could not be stopped. CLI; blocks up to two seconds.
 */
int ma_seccomp_look(pid_t pid, struct ma_error *error);

#endif
