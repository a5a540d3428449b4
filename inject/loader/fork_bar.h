/* SPDX-License-Identifier: MIT */
/*
 * Nobody forks while a thread of ours is in dlopen or dlclose. Both hold the lock of the list of
 * objects (dl_load_write_lock), which glibc does not reset in a child: its next dlopen would hang
 * (2.31 to 2.41: elf/dl-close.c, sysdeps/nptl/fork.c). dlclose moreover unmaps under it, which
 * waits for a fork that is copying the address space, so that the two do meet.
 *
 * A handler of pthread_atfork makes a forking thread wait. Being the last one registered it runs
 * before all others, above all before those in which allocators take their locks, which dlclose
 * needs: waiting later than that (in fork's own lock of the list of open files, say) is a deadlock
 * with jemalloc and tcmalloc. The wait is bounded, because the forking thread may itself hold the
 * loader's lock. The word that it waits for is on the gate page and thus 0 in a child.
 *
 * Part of the boot code: flat, no libc.
 */
#ifndef MA_LOADER_FORK_BAR_H
#define MA_LOADER_FORK_BAR_H

#include "inject/loader/resident.h"
#include "inject/loader/syscall_x86_64.h"

typedef int ma_register_fn(void (*prepare)(void), void (*parent)(void), void (*child)(void),
			   void *object);
typedef void ma_finalize_fn(void *object);
typedef void ma_lock_fn(void);
typedef void *ma_look_up_fn(void *handle, const char *name);

enum {
	MA_FORK_WAIT_ROUNDS = 500,
	MA_FORK_WAIT_NS = 1000000,
	MA_FUTEX_WAIT = 128, /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */
	MA_FUTEX_WAKE = 129,
};

int64_t ma_boot_entry(struct ma_resident *resident);

static uint32_t *ma_fork_bar(uint64_t base)
{
	return (uint32_t *)(base + MA_RESIDENT_FORK_BAR);
}

/* The handler. It has no argument; where the code is, is where the mapping is. */
static void ma_fork_wait(void)
{
	uint64_t base = (uint64_t)(uintptr_t)&ma_boot_entry - MA_RESIDENT_ENTRY;
	const uint64_t nap[2] = {0, MA_FORK_WAIT_NS};
	uint32_t *bar = ma_fork_bar(base);

	for (int i = 0; i < MA_FORK_WAIT_ROUNDS && __atomic_load_n(bar, __ATOMIC_ACQUIRE); i++)
		ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)bar, MA_FUTEX_WAIT, 1, (uintptr_t)nap);
}

/*
 * Until ma_fork_bar_lift. Does nothing where this is the only thread that runs, or where libc has
 * no such handlers. Under no lock. A thread that is past the handlers holds the lock of the list of
 * open files while it copies; the look-up waits for whoever is in the loader, without the bar.
 */
static void ma_fork_bar_set(struct ma_resident *resident)
{
	struct ma_boot *boot = &resident->boot;

	if (!boot->on_thread || !boot->register_atfork || !boot->cxa_finalize)
		return;
	boot->fork_handler = 1;
	if (((ma_register_fn *)boot->register_atfork)(ma_fork_wait, 0, 0, resident)) {
		boot->fork_handler = 0;
		return;
	}
	((ma_look_up_fn *)boot->dlsym)(0 /* RTLD_DEFAULT */, "free");
	__atomic_store_n(ma_fork_bar(resident->base), 1, __ATOMIC_RELEASE);
	if (boot->list_lock && boot->list_unlock) {
		((ma_lock_fn *)boot->list_lock)();
		((ma_lock_fn *)boot->list_unlock)();
	}
}

/* A child that was forked in between has the handler too, and boot->fork_handler with it. */
static void ma_fork_bar_lift(struct ma_resident *resident)
{
	struct ma_boot *boot = &resident->boot;
	uint32_t *bar = ma_fork_bar(resident->base);

	if (!boot->fork_handler || !boot->cxa_finalize)
		return;
	__atomic_store_n(bar, 0, __ATOMIC_RELEASE);
	ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)bar, MA_FUTEX_WAKE, INT32_MAX, 0);
	((ma_finalize_fn *)boot->cxa_finalize)(resident);
	boot->fork_handler = 0;
}

#endif
