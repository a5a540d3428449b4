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

/* What the boot code asks for; nothing asked for, and running: the target has loaded something. */
static enum ma_pass wanted_pass(void)
{
	const struct ma_hook_config *config = ma_hook.config;

	if (!config)
		return MA_PASS_NONE;
	if (config->pass == MA_PASS_NONE && ma_hook.running)
		return MA_PASS_PATCH;
	return (enum ma_pass)config->pass;
}

__attribute__((used)) static function *resolve(void)
{
	enum ma_pass pass = wanted_pass();

	if (pass == MA_PASS_NONE)
		return nothing;
	if (is_at_rest()) {
		ma_pass_run(pass);
	} else {
		/* In the middle of a dlopen: what runs us is code that the loader calls. */
		ma_hook.config->passes_failed += !ma_hook.running;
		ma_tls()->dirty = 1;
	}
	return nothing;
}

__attribute__((visibility("default"), ifunc("resolve"))) int ma_hook_pass(void);
