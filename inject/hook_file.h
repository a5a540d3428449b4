/* SPDX-License-Identifier: MIT */
/*
 * A target that sees no /proc (a bare chroot) cannot open its own memfd by name. For it the hook's
 * library lies in a file of its own root for as long as dlopen needs it.
 */
#ifndef MA_INJECT_HOOK_FILE_H
#define MA_INJECT_HOOK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "inject/procfs.h"
#include "proto/error.h"

#define MA_HOOK_FILE_PREFIX ".memattach-"

struct ma_hook_file {
	char inside[64]; /* what the target calls it; "" = there is no such file */
	char name[32];   /* in the directory */
	int directory;   /* owned while there is a file */
	int locked;      /* the same: holds a lock on the file, which says that it is in use */
};

/* Does this process see no /proc, or one that does not show it (another PID namespace's)? */
bool ma_hook_file_needed(pid_t pid);

/*
 * Writes the library to a directory of the target's root that allows execution, readable by the
 * target's user alone. MA_ERR_UNSAFE when there is no such directory. Changes our ids for file
 * access for a moment: for a process with one thread. Tracer.
 */
int ma_hook_file_create(struct ma_hook_file *file, pid_t pid, const struct ma_proc_status *status,
			const void *bytes, size_t count, struct ma_error *error);

/* The directory where the file would be tried first, without touching it; NULL = there is none. */
const char *ma_hook_file_place(pid_t pid);

/* Removes it, if there is one. */
void ma_hook_file_remove(struct ma_hook_file *file);

/* Removes what tracers that were killed have left where ma_hook_file_create leaves files. */
void ma_hook_file_sweep(pid_t pid);

#endif
