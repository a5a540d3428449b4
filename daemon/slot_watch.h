/* SPDX-License-Identifier: MIT */
/*
 * Do calls of malloc and its relatives still lead to us? Other tools overwrite the call slots that
 * the hook has patched (memray does while it tracks, and puts back what was there before us), and
 * nobody says so. So the daemon notes where the slots are, and looks at them now and then, by
 * process_vm_readv.
 */
#ifndef MA_DAEMON_SLOT_WATCH_H
#define MA_DAEMON_SLOT_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/area.h"

enum { MA_SLOT_WATCH_MOST = 2048 };

/* Zero-initialise, then use. */
struct ma_slot_watch {
	uint64_t *slot; /* addresses of words that led to the thunk page, owned */
	uint32_t count;
	uint32_t gone;   /* how many did not at the last look */
	uint64_t passes; /* of the hook, when they were looked for */
	char where[128]; /* the file that the first of them leads into */
};

/*
 * Looks. passes: the hook's count, which says when to look for slots anew. Returns 1 when the
 * number of those that lead elsewhere has changed, else 0. proc_fd (borrowed) is /proc/PID. Daemon
 * loop.
 */
int ma_slot_watch_look(struct ma_slot_watch *watch, pid_t pid, int proc_fd,
		       const struct ma_area_ident *ident, uint64_t passes);

void ma_slot_watch_fini(struct ma_slot_watch *watch);

#endif
