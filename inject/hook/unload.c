/* SPDX-License-Identifier: MIT */
/*
 * Nobody forks while we are being unloaded. dlclose holds the lock of the list of objects
 * (dl_load_write_lock) while it unmaps, which waits for a fork that is copying the address space,
 * and glibc does not reset that lock in the child: its next dlopen would hang (2.31 to 2.41:
 * elf/dl-close.c, sysdeps/nptl/fork.c). So the lock that fork() takes first, of the list of open
 * files, is taken here: a destructor runs within dlclose, under the loader's lock, and that is the
 * order in which libraries that open a file while they are loaded take the two. The boot code
 * releases it when dlclose is through. Runs on the boot thread; and at the end of the process,
 * where there is nothing to do.
 */
/*
 * Nobody forks while we are being unloaded. dlclose holds the lock of the list of objects
 * (dl_load_write_lock) while it unmaps, which waits for a fork that is copying the address space,
 * and glibc does not reset that lock in the child: its next dlopen would hang (2.31 to 2.41:
 * elf/dl-close.c, sysdeps/nptl/fork.c). So the lock that fork() takes first, of the list of open
 * files, is taken here: a destructor runs within dlclose, under the loader's lock, and that is the
 * order in which libraries that open a file while they are loaded take the two. The boot code
 * releases it when dlclose is through. Runs on the boot thread; and at the end of the process,
 * where there is nothing to do.
 */
#include "inject/hook/config.h"
#include "inject/hook/state.h"

typedef void lock_function(void);

__attribute__((destructor, used)) static void unload(void)
{
	struct ma_hook_config *config = ma_hook.config;

	if (!config || !config->fork_lock)
		return;
	((lock_function *)config->fork_lock)();
	config->fork_locked = 1;
}
