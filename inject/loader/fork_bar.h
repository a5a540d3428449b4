/* SPDX-License-Identifier: MIT */
/*
 * Nobody forks while a thread of ours is in dlopen or dlclose. Both hold the lock of the list of
 * objects (dl_load_write_lock), which glibc does not reset in a child: its next dlopen would hang
 * (2.31 to 2.41: elf/dl-close.c, sysdeps/nptl/fork.c). dlclose moreover unmaps under it, which
 * waits for a fork that is copying the address space, so that the two do meet.
 *
 * A handler of pthread_atfork makes a forking thread wait (fork_wait.c, in the thunk page). Being
 * the last one registered it runs before all others, above all before those in which allocators
 * take their locks, which dlclose needs: waiting later than that (in fork's own lock of the list of
 * open files, say) is a deadlock with jemalloc and tcmalloc. The wait is bounded, because the
 * forking thread may itself hold the loader's lock.
 *
 * Part of the boot code: flat, no libc.
 */
#ifndef MA_LOADER_FORK_BAR_H
#define MA_LOADER_FORK_BAR_H

#include "inject/hook/thunks.h"
#include "inject/loader/resident.h"
#include "inject/loader/syscall_x86_64.h"

typedef int ma_register_fn(uint64_t prepare, void (*parent)(void), void (*child)(void),
			   uint64_t object);
typedef void ma_finalize_fn(uint64_t object);
typedef void ma_lock_fn(void);
typedef void *ma_look_up_fn(void *handle, const char *name);

/* Ticks that a fork waits at most: about a second of today's processors. */
#define MA_FORK_WAIT_TICKS (UINT64_C(1) << 31)

static struct ma_thunk_data *ma_fork_thunks(const struct ma_resident *resident)
{
	return (void *)(uintptr_t)resident->config.thunk_data;
}

/*
 * Until ma_fork_bar_lift. Does nothing where this is the only thread that runs, or where libc has
 * no such handlers. Under no lock. A thread that is past the handlers holds the lock of the list of
 * open files while it copies; the look-up waits for whoever is in the loader, without the bar.
 */
static void ma_fork_bar_set(struct ma_resident *resident)
{
	struct ma_thunk_data *thunks = ma_fork_thunks(resident);
	struct ma_boot *boot = &resident->boot;
	uint64_t page = resident->config.thunk_code;

	if (!boot->on_thread || !boot->register_atfork || !boot->cxa_finalize)
		return;
	boot->fork_handler = 1;
	if (((ma_register_fn *)boot->register_atfork)(page + MA_THUNK_FORK_WAIT, 0, 0, page)) {
		boot->fork_handler = 0;
		return;
	}
	((ma_look_up_fn *)boot->dlsym)(0 /* RTLD_DEFAULT */, "free");
	thunks->fork_pid = (int32_t)ma_raw_syscall(MA_SYS_GETPID, 0, 0, 0, 0);
	__atomic_store_n(&thunks->fork_until_tsc, ma_raw_timestamp() + MA_FORK_WAIT_TICKS,
			 __ATOMIC_RELEASE);
	if (boot->list_lock && boot->list_unlock) {
		((ma_lock_fn *)boot->list_lock)();
		((ma_lock_fn *)boot->list_unlock)();
	}
}

/* A child that was forked in between has the handler too, and boot->fork_handler with it. */
static void ma_fork_bar_lift(struct ma_resident *resident)
{
	struct ma_thunk_data *thunks = ma_fork_thunks(resident);
	struct ma_boot *boot = &resident->boot;

	if (!boot->fork_handler || !boot->cxa_finalize)
		return;
	__atomic_store_n(&thunks->fork_until_tsc, 0, __ATOMIC_RELEASE);
	ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)&thunks->fork_until_tsc, MA_FUTEX_WAKE, INT32_MAX,
		       0);
	((ma_finalize_fn *)boot->cxa_finalize)(resident->config.thunk_code);
	boot->fork_handler = 0;
}

#endif
