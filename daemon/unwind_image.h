/* SPDX-License-Identifier: MIT */
/*
 * A module's unwind information out of the target's memory: for files that are gone or replaced,
 * and for memfds (our own hook is one), which take privilege to open.
 */
#ifndef MA_DAEMON_UNWIND_IMAGE_H
#define MA_DAEMON_UNWIND_IMAGE_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Copies what ma_unwind_source_read wants to see of the ELF file whose beginning is mapped at head
 * into a memfd, returned-owned; -1: it is none, or cannot be read. Any thread.
 */
int ma_unwind_image_copy(pid_t pid, uint64_t head);

#endif
