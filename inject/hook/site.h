/* SPDX-License-Identifier: MIT */
/*
 * Who allocates here: the hook's one question, answered with a site id. A site is the thread's
 * Python stack, the domain and the thread slot, interned in the tables of the shared area
 * (proto/area.h). frames.c reads the interpreter's frames, intern.c keeps the tables.
 *
 * Thread context of everything here: the target's own threads, inside an allocator hook, with or
 * without the GIL, never under a lock of ours, and never re-entered on the same thread (the
 * caller's re-entrancy flag sees to that). Nothing here allocates, makes a system call, touches
 * errno or a floating-point register, or calls into Python, PyGILState_GetThisThreadState excepted.
 */
#ifndef MA_HOOK_SITE_H
#define MA_HOOK_SITE_H

#include <stdint.h>

#include "inject/hook/config.h"
#include "inject/hook/path.h"

/*
 * Takes the configuration: area, layout, thread state function, _PyRuntime. The config is borrowed
 * and must stay as long as the hook does. Called once, before anything below, by the thread that
 * installs the hook.
 */
void ma_hook_frames_init(const struct ma_hook_config *config);

/*
 * The site of the calling thread, now. scratch is MA_MAX_FRAMES words that nobody else uses during
 * the call (the frames of a claimed ring). domain is enum ma_domain; thread_slot < MA_THREAD_SLOTS.
 * Returns a site id, or 0 when the tables are full or busy and no site without a stack exists for
 * this domain and thread yet; what went wrong is counted in the area's counters.
 * Any thread of the target; takes the tables' lock only for what is new, and waits for it only for
 * a few microseconds, or in exact mode until it has it: a second and more where its holder has
 * died.
 */
uint32_t ma_hook_site(uint64_t *scratch, uint8_t domain, uint8_t thread_slot);

/*
 * The same for who asks at every allocation: what the thread's stack was the last time is kept, and
 * only what has changed is read (path.h). Returns 0 where that does not help: no memory was given
 * for it, the stack is of a kind that cannot be kept, or nothing was allocated here before. Then
 * ma_hook_site_learn finds the site as ma_hook_site does, and keeps it.
 */
uint32_t ma_hook_site_known(uint8_t domain, uint8_t thread_slot);
uint32_t ma_hook_site_learn(uint64_t *scratch, uint8_t domain, uint8_t thread_slot);

/*
 * Gives the memory for that: MA_HOOK_PATHS_BYTES, zeroed, on a page; what is not used is not
 * touched. NULL: there is none. Called once, after ma_hook_frames_init.
 */
void ma_hook_paths_init(void *memory);
#define MA_HOOK_PATHS_BYTES (sizeof(struct ma_call_tree) + MA_THREAD_SLOTS * sizeof(struct ma_path))

/*
 * The block at this address is about to be freed. If a described code object lives there, its
 * identity ends: the next one at this address is described anew. Must be called before the real
 * free, for every freed address that the filter does not rule out. Lock-free; any thread.
 */
void ma_hook_code_freed(uint64_t address);

#endif
