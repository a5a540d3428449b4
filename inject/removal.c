/* SPDX-License-Identifier: MIT */
#include "inject/removal.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/boot_run.h"
#include "inject/children.h"
#include "inject/clock.h"
#include "inject/hook_file.h"
#include "inject/proof.h"
#include "inject/remote_memfd.h"
#include "inject/strays.h"
#include "proto/unwind.h"

enum {
	REMOVE_MS = 3000,
	PLAIN_PROOFS = 2,      /* tries that take every word for a way back into the hook */
	RESIDENTS = 8,         /* loaders that killed tracers may have left behind */
	IN_PROGRESS_MS = 2000, /* for a loader that somebody else has started */
};

/* What is to be removed. */
struct removal {
	struct ma_session *session;
	struct ma_detach_result *result;
	struct ma_resident *resident; /* a copy */
	uint64_t base;
	uint64_t deadline_ns;
};

static uint64_t find_config(const struct ma_session *session)
{
	const struct ma_thunk_page *thunks = &session->view.thunks;

	if (thunks->found && thunks->content.state != MA_THUNKS_IDLE && thunks->content.config)
		return thunks->content.config;
	return ma_strays_resident(session);
}

bool ma_removal_needed(const struct ma_session *session)
{
	const struct ma_thunk_page *thunks = &session->view.thunks;

	return (thunks->found && thunks->content.state != MA_THUNKS_IDLE) ||
	       ma_strays_resident(session) || ma_strays_exist(session);
}

static int refuse_version(const struct ma_session *session, struct ma_error *error)
{
	const struct ma_thunk_data *data = &session->view.thunks.content;

	if (!session->view.thunks.found || data->abi == MA_HOOK_ABI)
		return 0;
	ma_error_set(error, MA_ERR_UNSAFE, 0, "removing the hook from process %d", session->pid);
	ma_error_answer(error, "it was put there by memattach %s, which works differently",
			data->release);
	ma_error_remedy(error, "Use memattach %s to detach, or restart the process.",
			data->release);
	return MA_ERR_UNSAFE;
}

/* A loader that somebody else started may be at work still (its tracer was killed). Waits until it
 * is through, or until nobody is there who could run it. */
static int await_loader(struct removal *removal, struct ma_error *error)
{
	struct ma_session *session = removal->session;
	struct ma_resident *resident = removal->resident;
	const struct ma_range range = {removal->base, removal->base + MA_RESIDENT_BYTES};
	uint64_t deadline = ma_clock_ns() + IN_PROGRESS_MS * MA_NS_PER_MS;
	uint64_t config = range.start + MA_RESIDENT_DATA + offsetof(struct ma_resident, config);
	bool waited = false;

	ma_boot_cancel(session, removal->base);
	while (resident->boot.op && !resident->boot.done && ma_clock_ns() < deadline) {
		struct ma_proof_result proof;
		int failed = ma_proof_try(&session->view, session->unwinder, MA_PROOF_EVERY_WORD,
					  &range, 1, &proof, error);

		if (failed)
			return failed;
		if (ma_boot_read(&session->view.memory, config, resident, NULL) ||
		    proof.verdict == MA_PROOF_CLEAR)
			break;
		waited = true;
		ma_clock_pause(5 * MA_NS_PER_MS);
	}
	return waited ? ma_session_refresh(session, error) : 0;
}

/* Runs an op of the boot code that is in the target. */
static int run_op(struct removal *removal, enum ma_boot_op op, struct ma_error *error)
{
	struct ma_session *session = removal->session;
	bool on_thread = false;
	int failed;

	session->deadline_ns = removal->deadline_ns;
	failed = ma_session_stop(session, MA_NEED_CALLS, error);
	if (failed)
		return failed;
	ma_boot_fill(&removal->resident->boot, session, removal->base);
	failed = ma_boot_start(session, removal->base, &removal->resident->boot, op, &on_thread,
			       error);
	if (!failed)
		failed = ma_boot_finish(session, removal->base, on_thread,
					ma_clock_ns() + REMOVE_MS * MA_NS_PER_MS, removal->resident,
					error);
	if (!failed)
		failed = ma_boot_judge(removal->resident, session->pid, error);
	if (failed)
		ma_session_release(session);
	return failed;
}

static int switch_off(struct removal *removal, struct ma_error *error)
{
	const struct ma_hook_config *config = &removal->resident->config;
	int failed = run_op(removal, MA_BOOT_STOP, error);

	ma_session_release(removal->session);
	if (failed)
		return failed;
	removal->result->slots_foreign = (uint32_t)config->slots_foreign;
	removal->result->tables_foreign = config->tables_foreign;
	return 0;
}

int ma_removal_prove(struct ma_session *session, const struct ma_range *ranges, int count,
		     uint32_t plain_tries, uint64_t deadline_ns, struct ma_detach_result *result,
		     struct ma_error *error)
{
	uint64_t pause_ns = 300 * MA_NS_PER_US;

	for (uint32_t tries = 0;;) {
		struct ma_proof_result proof;
		int failed;

		ma_session_settle(session);
		failed = ma_proof_try(&session->view, session->unwinder,
				      tries < plain_tries ? MA_PROOF_EVERY_WORD : MA_PROOF_WALKED,
				      ranges, count, &proof, error);

		if (failed)
			return failed;
		tries++;
		result->proofs++;
		if (proof.pause_us > result->pause_us)
			result->pause_us = proof.pause_us;
		if (proof.prolonged)
			snprintf(result->notice, sizeof(result->notice),
				 "A waiting system call was started over with its whole timeout.");
		if (proof.verdict == MA_PROOF_CLEAR)
			return 0;
		/* Stacks are walked by the tables of what was loaded when we looked. */
		if (tries % 16 == 4)
			failed = ma_session_refresh(session, error);
		if (failed)
			return failed;
		if (ma_clock_ns() >= deadline_ns) {
			result->lingering = true;
			snprintf(
				result->notice, sizeof(result->notice),
				"Thread %d may still be inside the hook: it stays mapped, switched "
				"off. Detach again later to remove it.",
				proof.tid);
			return 0;
		}
		/* Where stopping all takes long, for want of a processor, they run as long as they
		 * were stopped. */
		ma_clock_pause(pause_ns > proof.pause_us * MA_NS_PER_US
				       ? pause_ns
				       : proof.pause_us * MA_NS_PER_US);
		if (pause_ns < 50 * MA_NS_PER_MS)
			pause_ns *= 2;
	}
}

/* Nobody is in the loader's code, nor in the hook as long as that is there. */
static int prove(struct removal *removal, uint32_t plain_tries, struct ma_error *error)
{
	const struct ma_hook_config *config = &removal->resident->config;
	const struct ma_range ranges[] = {
		{removal->base, removal->base + MA_RESIDENT_BYTES},
		{config->hook_base, config->hook_end},
	};

	return ma_removal_prove(removal->session, ranges, config->dl_handle ? 2 : 1, plain_tries,
				removal->deadline_ns, removal->result, error);
}

/* While it is being unloaded, threads that fork wait in the loader's code. */
static int unload(struct removal *removal, struct ma_error *error)
{
	int failed = run_op(removal, MA_BOOT_UNLOAD, error);

	if (failed || removal->session->holding)
		return failed;
	removal->deadline_ns = ma_clock_ns() + REMOVE_MS * MA_NS_PER_MS;
	return prove(removal, 0, error);
}

static int unmap(struct removal *removal, uint64_t address, uint64_t bytes, struct ma_error *error)
{
	uint64_t args[6] = {address, bytes};

	return ma_remote_demand(&removal->session->remote, "unmapping our memory", SYS_munmap, args,
				NULL, error);
}

static bool shows(const struct ma_maps *maps, uint64_t address, const char *memfd)
{
	const struct ma_map *map = ma_maps_find(maps, address);

	return map && ma_maps_find_memfd(maps, memfd, 0, (size_t)(map - maps->map)) == map;
}

/* Is the hook's library still mapped? Its file was a memfd, or one of hook_file.h's. */
static bool hook_is_mapped(const struct ma_maps *maps, uint64_t hook_base)
{
	const struct ma_map *map = ma_maps_find(maps, hook_base);

	return shows(maps, hook_base, MA_HOOK_MEMFD) ||
	       (map && strstr(map->name, "/" MA_HOOK_FILE_PREFIX));
}

static int set_idle(struct removal *removal, struct ma_error *error)
{
	const struct ma_view *view = &removal->session->view;
	uint64_t data = view->thunks.data.value;
	const uint32_t idle = MA_THUNKS_IDLE;
	int failed;

	if (!view->thunks.found)
		return 0;
	failed = ma_memory_write(&view->memory,
				 ma_raddr(data + offsetof(struct ma_thunk_data, state)), &idle,
				 sizeof(idle), error);
	if (!failed)
		failed = ma_memory_write_u64(
			&view->memory, ma_raddr(data + offsetof(struct ma_thunk_data, config)), 0,
			error);
	return failed;
}

/* Takes away what the hook needed. Addresses are checked against the maps of this moment: after a
 * removal that was cut short, something else may be there by now. The loader's mapping goes last;
 * the call that unmaps it runs in libc and returns to the thread's own context. */
static int unmap_all(struct removal *removal, struct ma_error *error)
{
	struct ma_session *session = removal->session;
	const struct ma_hook_config *config = &removal->resident->config;
	struct ma_maps maps = {0};
	int failed = 0;

	if (!session->holding) {
		session->deadline_ns = ma_clock_ns() + REMOVE_MS * MA_NS_PER_MS;
		failed = ma_session_stop(session, MA_NEED_SYSCALLS, error);
	}
	if (!failed)
		failed = ma_maps_read(session->pid, &maps, error);
	if (!failed && hook_is_mapped(&maps, config->hook_base)) {
		removal->result->lingering = true;
		snprintf(removal->result->notice, sizeof(removal->result->notice),
			 "The program holds a reference to the hook: it stays mapped, switched "
			 "off.");
	} else {
		if (!failed && shows(&maps, config->area, MA_AREA_MEMFD))
			failed = unmap(removal, config->area, config->area_bytes, error);
		if (!failed && config->unwind && shows(&maps, config->unwind, MA_UNWIND_MEMFD))
			failed = unmap(removal, config->unwind, config->unwind_bytes, error);
		if (!failed)
			failed = set_idle(removal, error);
		if (!failed && shows(&maps, removal->base, MA_HOOK_MEMFD))
			failed = unmap(removal, removal->base, MA_RESIDENT_BYTES, error);
	}
	ma_maps_fini(&maps);
	ma_session_release(session);
	return failed;
}

static int read_resident(struct removal *removal, struct ma_error *error)
{
	struct ma_session *session = removal->session;
	uint64_t config = find_config(session);
	int failed;

	if (!config) {
		ma_error_set(error, MA_ERR_FAILED, 0, "removing the hook from process %d",
			     session->pid);
		ma_error_answer(error, "its thunk page does not say where the hook is");
		return MA_ERR_FAILED;
	}
	failed = ma_boot_read(&session->view.memory, config, removal->resident, error);
	removal->base = removal->resident->base;
	return failed;
}

static int remove_found(struct removal *removal, struct ma_error *error)
{
	struct ma_session *session = removal->session;
	const struct ma_hook_config *config = &removal->resident->config;
	int failed = read_resident(removal, error);

	if (failed)
		return failed;
	failed = await_loader(removal, error);
	if (failed)
		return failed;
	ma_safe_rules_own(&session->rules, config->hook_base, config->hook_end);
	ma_safe_rules_own(&session->rules, removal->base, removal->base + MA_RESIDENT_BYTES);
	removal->deadline_ns = ma_clock_ns() + REMOVE_MS * MA_NS_PER_MS;
	if (session->view.thunks.found &&
	    session->view.thunks.content.state == MA_THUNKS_INSTALLED && config->dl_handle)
		failed = switch_off(removal, error);
	if (!failed)
		failed = prove(removal, PLAIN_PROOFS, error);
	if (failed || removal->result->lingering)
		return failed;
	if (config->dl_handle)
		failed = unload(removal, error);
	if (failed || removal->result->lingering)
		return failed;
	return unmap_all(removal, error);
}

static void report(const struct ma_session *session, struct ma_detach_result *result)
{
	const struct ma_map *thunks =
		ma_maps_find(&session->view.maps, session->view.thunks.code.value);

	if (!session->view.thunks.found)
		return;
	result->bytes_left = MA_THUNK_PAGES * 4096;
	if (thunks)
		result->children = ma_children_count(session->pid, thunks);
}

/* Reads the maps and the thunk page again: what else is there? */
static int look_again(struct ma_session *session, struct ma_error *error)
{
	struct ma_view *view = &session->view;
	int failed;

	ma_maps_fini(&view->maps);
	failed = ma_maps_read(session->pid, &view->maps, error);
	return failed ? failed
		      : ma_thunk_page_find(&view->memory, &view->maps, &view->thunks, error);
}

/* Takes away what never came into use. */
static int remove_strays(struct ma_session *session, struct ma_error *error)
{
	int failed;

	session->deadline_ns = ma_clock_ns() + REMOVE_MS * MA_NS_PER_MS;
	failed = ma_session_stop(session, MA_NEED_SYSCALLS, error);
	if (!failed)
		failed = ma_strays_remove(session, error);
	ma_session_release(session);
	return failed;
}

static int remove_all(struct removal *removal, struct ma_error *error)
{
	struct ma_session *session = removal->session;
	int failed = 0;

	/* One, unless tracers were killed before. */
	for (int i = 0; i < RESIDENTS && find_config(session) && !failed; i++) {
		failed = remove_found(removal, error);
		if (!failed && removal->result->lingering)
			return 0;
		if (!failed)
			failed = look_again(session, error);
	}
	if (!failed && ma_strays_exist(session))
		failed = remove_strays(session, error);
	return failed;
}

int ma_remove(struct ma_session *session, struct ma_detach_result *result, struct ma_error *error)
{
	struct removal removal = {.session = session, .result = result};
	int failed;

	memset(result, 0, sizeof(*result));
	result->was_attached = ma_removal_needed(session);
	failed = result->was_attached ? refuse_version(session, error) : 0;
	if (result->was_attached && !failed) {
		removal.resident = calloc(1, sizeof(*removal.resident));
		failed = removal.resident ? remove_all(&removal, error)
					  : ma_error_set(error, MA_ERR_FAILED, 0, "out of memory");
		free(removal.resident);
	}
	if (!failed)
		report(session, result);
	return failed;
}
