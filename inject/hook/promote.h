/* SPDX-License-Identifier: MIT */
/*
 * Why frees of Python's small blocks need no hook in sampled mode. pymalloc serves up to
 * small_limit bytes itself; what is larger it passes on to malloc, and such a block finds its own
 * way back to free, which is hooked. So a small block that was drawn is made a large one at once,
 * by pymalloc's own realloc, and then cut to its size by the C library: from then on it is a block
 * of malloc like any other large object of Python's, and stays one after we have left. All other
 * small blocks are freed without passing us.
 *
 * That holds where the tables are the interpreter's own. In front of somebody else's allocator or
 * the debug allocators (whose context is not NULL), which would see the wrong size, and where more
 * than one small block in 64 is recorded by its size class, frees are hooked, and nothing is
 * promoted.
 */
#ifndef MA_HOOK_PROMOTE_H
#define MA_HOOK_PROMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "inject/hook/tls.h"
#include "proto/area.h"

/* Is a small block of Python's that is to be recorded to be promoted first? */
static inline bool ma_promotes(enum ma_domain domain)
{
	return ma_hook.config->promotes && domain != MA_DOMAIN_MALLOC;
}

/*
 * Makes a malloc block of a small block of `bytes` that an OBJ or MEM table has just handed out,
 * inside a visit; the thread's draw is used up. Returns the block as it is from now on. *seen:
 * malloc's hook has handed it out, so that its free will be seen too.
 */
MA_HIDDEN void *ma_promote(struct ma_tls *tls, void *block, size_t bytes, enum ma_domain domain,
			   bool *seen);

#endif
