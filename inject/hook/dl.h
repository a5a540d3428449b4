/* SPDX-License-Identifier: MIT */
/*
 * What happens before the target's own dlopen and dlsym. Shared by the stubs (entries_dl.S) and
 * dl.c.
 */
#ifndef MA_HOOK_DL_H
#define MA_HOOK_DL_H

/* Offsets into struct ma_hook of the two words that the stubs jump through; checked in dl.c. */
#define MA_HOOK_NEXT_DLOPEN 104
#define MA_HOOK_NEXT_DLSYM  112

#ifndef __ASSEMBLER__

/*
 * On the thread that calls dlopen / dlsym, before the call. A dlopen makes the thread "dirty":
 * objects may be new afterwards. The thread's next call of either runs a pass over the link map
 * first, so that a module's slots are patched before anybody who found it by dlsym calls into it.
 */
__attribute__((visibility("hidden"))) void ma_dl_before_dlopen(void);
__attribute__((visibility("hidden"))) void ma_dl_before_dlsym(void);

#endif
#endif
