/* SPDX-License-Identifier: MIT */
/*
 * Nobody forks while a thread of ours is in dlopen or dlclose. Both hold the lock of the list of
 * objects (dl_load_write_lock), which glibc does not reset in a child: its next dlopen would hang
 * (2.31 to 2.41: elf/dl-close.c, sysdeps/nptl/fork.c). dlclose moreover unmaps under it, which
 * waits for a fork that is copying the address space, so that the two do meet.
 *
 * Handlers of pthread_atfork (fork_wait.c, in the thunk page) count the forks that are under way,
 * from the first attach on, and make new ones wait while the bar is set. The prepare handler runs
 * before all that were registered earlier, above all before those in which allocators take their
 * locks, which dlclose needs: waiting later than that (in fork's own lock of the list of open
 * files, say) is a deadlock with jemalloc and tcmalloc. Every wait is bounded, because a forking
 * thread may itself hold the loader's lock.
 *
 * Part of the boot code: flat, no libc.
 */
#ifndef MA_LOADER_FORK_BAR_H
#define MA_LOADER_FORK_BAR_H

#include "inject/hook/thunks.h"
#include "inject/loader/resident.h"
#include "inject/loader/syscall_x86_64.h"

typedef int ma_register_fn(uint64_t prepare, uint64_t parent, uint64_t child, uint64_t object);
typedef void ma_lock_fn(void);
typedef void *ma_look_up_fn(void *handle, const char *name);

/* Ticks that a wait takes at most: about a second of today's processors. */
#define MA_FORK_WAIT_TICKS (UINT64_C(1) << 31)

enum { MA_FORK_NAP_NS = 200000 };

static struct ma_thunk_data *ma_fork_thunks(const struct ma_resident *resident)
{
	return (void *)(uintptr_t)resident->config.thunk_data;
}

/* Registers them once and for all: a fork that began before they were is not counted, and is still
 * on its way when something is loaded or unloaded shortly after. */
static void ma_fork_handlers_begin(struct ma_resident *resident)
{
	struct ma_thunk_data *thunks = ma_fork_thunks(resident);
	struct ma_boot *boot = &resident->boot;
	uint64_t page = resident->config.thunk_code, first = page + MA_THUNK_FORK_WAIT;

	if (thunks->fork_handlers || !boot->register_atfork)
		return;
	/* Said afterwards: a child that is copied in between has them twice, which does no harm. */
	if (!((ma_register_fn *)boot->register_atfork)(first + MA_FORK_PREPARE * MA_THUNK_BYTES,
						       first + MA_FORK_PARENT * MA_THUNK_BYTES,
						       first + MA_FORK_CHILD * MA_THUNK_BYTES,
						       page))
		thunks->fork_handlers = 1;
}

static void ma_fork_await(struct ma_thunk_data *thunks, uint64_t until)
{
	const uint64_t nap[2] = {0, MA_FORK_NAP_NS};
	int32_t forks;

	while ((forks = __atomic_load_n(&thunks->forks, __ATOMIC_SEQ_CST)) > 0 &&
	       ma_raw_timestamp() < until)
		ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)&thunks->forks, MA_FUTEX_WAIT,
			       (uint32_t)forks, (uintptr_t)nap);
}

/*
 * Until ma_fork_bar_lift. Under no lock; does nothing where this is the only thread that runs, or
 * where libc has no such handlers. The look-up waits for whoever is in the loader, without the bar.
 * A fork that began before the handlers were registered is not counted: when it copies, it holds
 * the lock of the list of open files.
 */
static void ma_fork_bar_set(struct ma_resident *resident)
{
	struct ma_thunk_data *thunks = ma_fork_thunks(resident);
	struct ma_boot *boot = &resident->boot;
	uint64_t until;

	if (!boot->on_thread)
		return;
	ma_fork_handlers_begin(resident);
	if (!thunks->fork_handlers)
		return;
	((ma_look_up_fn *)boot->dlsym)(0 /* RTLD_DEFAULT */, "free");
	until = ma_raw_timestamp() + MA_FORK_WAIT_TICKS;
	__atomic_store_n(&thunks->fork_until_tsc, until, __ATOMIC_SEQ_CST);
	ma_fork_await(thunks, until);
	if (boot->list_lock && boot->list_unlock) {
		((ma_lock_fn *)boot->list_lock)();
		((ma_lock_fn *)boot->list_unlock)();
	}
	__atomic_store_n(&thunks->fork_until_tsc, ma_raw_timestamp() + MA_FORK_WAIT_TICKS,
			 __ATOMIC_SEQ_CST);
}

static void ma_fork_bar_lift(struct ma_resident *resident)
{
	struct ma_thunk_data *thunks = ma_fork_thunks(resident);

	if (!resident->boot.on_thread || !thunks->fork_handlers)
		return;
	__atomic_store_n(&thunks->fork_until_tsc, 0, __ATOMIC_SEQ_CST);
	ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)&thunks->fork_until_tsc, MA_FUTEX_WAKE, INT32_MAX,
		       0);
}

#endif
