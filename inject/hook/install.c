/* SPDX-License-Identifier: MIT */
/*
 * The hook's exported functions: taking the configuration, switching on, switching off. Called by
 * the boot code on a thread that holds no lock of the target and no GIL. Switching is one aligned
 * store per thunk; threads that are in the hook at that moment finish what they do.
 */
#include "inject/hook/config.h"

#include "inject/hook/entries.h"
#include "inject/hook/pass.h"
#include "inject/hook/python_tables.h"
#include "inject/hook/site.h"
#include "inject/hook/state.h"
#include "inject/hook/windows.h"

#define MA_EXPORT __attribute__((visibility("default")))

MA_EXPORT int ma_hook_prepare(struct ma_hook_config *config);
MA_EXPORT int ma_hook_start(struct ma_hook_config *config);
MA_EXPORT int ma_hook_stop(struct ma_hook_config *config);

enum { INVALID = -22 }; /* EINVAL */

struct ma_hook ma_hook;

/* Set by the linker: where this object begins and ends in memory. */
extern const char __ehdr_start[] MA_HIDDEN;
extern const char _end[] MA_HIDDEN;

static bool is_usable(const struct ma_hook_config *config)
{
	const struct ma_area *area = (const struct ma_area *)config->area;
	const struct ma_thunk_data *thunks = (const struct ma_thunk_data *)config->thunk_data;

	if (config->abi != MA_HOOK_ABI || config->tls_slots != MA_HOOK_TP_SLOTS)
		return false;
	if (!area || !thunks || !config->gate || !config->thunk_code || !config->r_debug)
		return false;
	if (config->area_bytes < MA_AREA_SAMPLED_BYTES || config->mode < MA_MODE_SAMPLED ||
	    config->mode > MA_MODE_CLASSES)
		return false;
	return area->ident.magic == MA_AREA_MAGIC && area->ident.version == MA_AREA_VERSION &&
	       thunks->magic == MA_THUNK_MAGIC;
}

/* Classes that are not in use take nothing: the last in use takes every size. */
static void copy_size_rates(const struct ma_area_ident *ident)
{
	for (uint32_t i = 0; i < MA_SIZE_RATES; i++)
		ma_hook.size_rates[i] =
			i < ident->size_rate_count
				? ident->size_rates[i]
				: (struct ma_size_rate){UINT64_MAX, UINT64_MAX, 0, 0};
}

/* Thunks of symbols lead straight to the definitions, as slots do that are not patched. */
static void connect_symbols(const struct ma_hook_config *config, struct ma_thunk_data *thunks)
{
	for (uint32_t fn = 0; fn < MA_FN_SYMBOLS; fn++) {
		ma_hook.next[fn] = config->next[fn];
		thunks->next[fn] = config->next[fn];
		__atomic_store_n(&thunks->target[fn], config->next[fn], __ATOMIC_RELEASE);
	}
}

int ma_hook_prepare(struct ma_hook_config *config)
{
	uint32_t generation = ma_hook.generation + 1;
	struct ma_thunk_data *thunks = (struct ma_thunk_data *)config->thunk_data;
	struct ma_area *area = (struct ma_area *)config->area;

	if (!is_usable(config))
		return INVALID;
	ma_hook = (struct ma_hook){
		.gate = (uint64_t *)config->gate,
		.area = area,
		.small_limit = config->small_limit,
		.tid_offset = config->tid_offset,
		.mode = config->mode,
		.generation = generation,
		.config = config,
		.thunks = thunks,
	};
	copy_size_rates(&area->ident);
	if (config->mode == MA_MODE_EXACT &&
	    !ma_exact_init(&ma_hook.exact, area, config->area_bytes))
		return INVALID;
	config->hook_base = (uint64_t)(uintptr_t)__ehdr_start;
	config->hook_end = ((uint64_t)(uintptr_t)_end + 4095) & ~UINT64_C(4095);
	thunks->abi = MA_HOOK_ABI;
	thunks->config = (uint64_t)(uintptr_t)config;
	connect_symbols(config, thunks);
	ma_hook_frames_init(config);
	/* Whose thread is whose must be sure: a path has one owner. */
	ma_hook_paths_init(config->mode == MA_MODE_EXACT && config->tid_offset
				   ? ma_exact_reserve(&ma_hook.exact, MA_HOOK_PATHS_BYTES)
				   : NULL);
	ma_pass_forget();
	thunks->state = MA_THUNKS_INSTALLED;
	return 0;
}

static void switch_symbols_on(void)
{
	for (uint32_t fn = 0; fn < MA_FN_SYMBOLS; fn++)
		if (ma_hook.next[fn])
			__atomic_store_n(
				&ma_hook.thunks->target[fn],
				ma_entry_address((enum ma_fn)fn, (enum ma_mode)ma_hook.mode),
				__ATOMIC_RELEASE);
}

int ma_hook_start(struct ma_hook_config *config)
{
	if (config != ma_hook.config)
		return INVALID;
	switch_symbols_on();
	config->tables_foreign = ma_python_tables_install();
	__atomic_store_n(&ma_hook.running, 1, __ATOMIC_RELEASE);
	__atomic_store_n(ma_hook.gate, 1, __ATOMIC_RELEASE);
	return 0;
}

int ma_hook_stop(struct ma_hook_config *config)
{
	struct ma_thunk_data *thunks = ma_hook.thunks;

	if (config != ma_hook.config)
		return INVALID;
	ma_windows_stop();
	__atomic_store_n(&ma_hook.running, 0, __ATOMIC_RELEASE);
	__atomic_store_n(ma_hook.gate, 0, __ATOMIC_RELEASE);
	for (uint32_t fn = 0; fn < MA_FN_COUNT; fn++)
		__atomic_store_n(&thunks->target[fn], thunks->next[fn], __ATOMIC_RELEASE);
	config->tables_foreign = ma_python_tables_restore();
	return 0;
}
