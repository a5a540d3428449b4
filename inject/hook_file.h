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

#define MA_HOOK_FILE_PREFIX "/.memattach-"

struct ma_hook_file {
	char inside[64];   /* the path that the target uses; "" = no such file is needed */
	char outside[128]; /* the path that we use */
};

/* Does this process see /proc? */
bool ma_hook_file_needed(pid_t pid);

/*
 * Writes the library to a directory of the target's root that allows execution, readable by the
 * target's user alone. MA_ERR_UNSAFE when there is no such directory.
 */
int ma_hook_file_create(struct ma_hook_file *file, pid_t pid, const struct ma_proc_status *status,
			const void *bytes, size_t count, struct ma_error *error);

/* Removes it, if there is one. */
void ma_hook_file_remove(struct ma_hook_file *file);

#endif
