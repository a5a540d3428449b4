/* SPDX-License-Identifier: MIT */
/*
 * How a pass comes to run under the dynamic loader's lock without a callback in between, which a
 * fork would leave locked (dl_iterate_phdr): ma_hook_pass is an IFUNC, and dlsym resolves an IFUNC
 * symbol by calling its resolver while it holds dl_load_lock (glibc 2.31 to 2.41: dlfcn/dlsym.c,
 * elf/dl-sym.c). So every look-up of the symbol is a pass. What dlsym returns is of no use.
 */
#include "inject/hook/pass.h"

#include "inject/hook/object.h"
#include "inject/hook/state.h"
#include "inject/hook/tls.h"

typedef int function(void);

int ma_hook_pass(void);

static int nothing(void)
{
	return 0;
}

/* Is the link map at rest, so that every object on it is relocated? */
static bool is_at_rest(void)
{
	const struct r_debug *loader = (const struct r_debug *)ma_hook.config->r_debug;

	return loader->r_state == RT_CONSISTENT;
}

__attribute__((used)) static function *resolve(void)
{
	struct ma_hook_config *config = ma_hook.config;

	if (!config || config->pass == MA_PASS_NONE)
		return nothing;
	if (config->pass == MA_PASS_PATCH && ma_hook.stopping)
		return nothing;
	if (!is_at_rest()) {
		config->passes_failed++;
		ma_tls()->dirty = 1;
		return nothing;
	}
	ma_pass_run((enum ma_pass)config->pass);
	return nothing;
}

__attribute__((visibility("default"), ifunc("resolve"))) int ma_hook_pass(void);
