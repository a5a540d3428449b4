/* SPDX-License-Identifier: MIT */
/*
 * Memory shared with a target: a memfd that the target makes by remote system call and that we open
 * through /proc/PID/fd. That works across mount, PID and user namespaces, with read-only roots, and
 * needs no right beyond ptrace's own.
 */
#ifndef MA_INJECT_REMOTE_MEMFD_H
#define MA_INJECT_REMOTE_MEMFD_H

#include <stdint.h>

#include "inject/loader/resident.h"
#include "inject/remote_call.h"
#include "proto/error.h"

/* Names of ours, beside MA_THUNK_MEMFD and MA_UNWIND_MEMFD: how mappings are recognised later. */
#define MA_HOOK_MEMFD "memattach-hook"
#define MA_AREA_MEMFD "memattach-area"

struct ma_remote_memfd {
	int fd;                   /* ours, read-write, CLOEXEC; owned, -1 = none */
	unsigned int flags;       /* what it was made with: another one would be, too */
	struct ma_boot_fd remote; /* its number in the target, where it is CLOEXEC too */
};

/*
 * Makes one by a remote system call, and opens it. Tracer, holding.
 */
int ma_remote_memfd_create(struct ma_remote *remote, const char *name, uint64_t bytes,
			   struct ma_remote_memfd *memfd, struct ma_error *error);

/*
 * Opens what was made in the target (memfd->remote.number) and gives it `bytes` of zeros. The
 * number there may be closed and used again by the program at any time, so what was opened is
 * checked to be a fresh memfd of that name, and users of the number compare device and inode.
 */
int ma_remote_memfd_open(struct ma_remote_memfd *memfd, pid_t pid, const char *name, uint64_t bytes,
			 struct ma_error *error);

/* Forbids shrinking, growing and, if asked, writing, for good. */
void ma_remote_memfd_seal(const struct ma_remote_memfd *memfd, bool writing);

/* Closes our end. */
void ma_remote_memfd_fini(struct ma_remote_memfd *memfd);

#endif
