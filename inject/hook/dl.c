/* SPDX-License-Identifier: MIT */
/*
 * Noticing that objects were loaded. The pass itself runs inside libc's dlsym, under the dynamic
 * loader's lock (pass.c). It replaces the thread's pending dlerror, as the dlopen or dlsym that
 * follows at once does anyway.
 */
#include "inject/hook/dl.h"

#include "inject/hook/gate.h"

_Static_assert(offsetof(struct ma_hook, next[MA_FN_DLOPEN]) == MA_HOOK_NEXT_DLOPEN, "entries_dl.S");
_Static_assert(offsetof(struct ma_hook, next[MA_FN_DLSYM]) == MA_HOOK_NEXT_DLSYM, "entries_dl.S");

typedef void *dlsym_function(void *handle, const char *name);

static void pass_if_dirty(struct ma_tls *tls)
{
	const struct ma_hook_config *config = ma_hook.config;
	dlsym_function *dlsym = (dlsym_function *)config->dlsym;

	if (!tls->dirty || !config->dl_handle || !dlsym)
		return;
	tls->dirty = 0;
	dlsym((void *)config->dl_handle, "ma_hook_pass");
}

void ma_dl_before_dlopen(void)
{
	struct ma_tls *tls = ma_tls();

	if (!ma_gate_on())
		return;
	pass_if_dirty(tls);
	tls->dirty = 1;
}

void ma_dl_before_dlsym(void)
{
	if (ma_gate_on())
		pass_if_dirty(ma_tls());
}
