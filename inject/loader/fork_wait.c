/* SPDX-License-Identifier: MIT */
/*
 * The handler of pthread_atfork that makes a forking thread wait while a thread of ours is in
 * dlopen or dlclose (fork_bar.h). It lies in the thunk page, which is never unmapped: libc calls a
 * handler after it has released the lock of their list (2.34 on), so that one that was taken off
 * the list may still be called, any time later. Then, and in a child, it returns at once.
 *
 * Flat code without libc. Runs on a thread of the target that forks, under whatever it holds; so
 * the wait has an end.
 */
#include "inject/hook/thunks.h"
#include "inject/loader/syscall_x86_64.h"

enum { NAP_NS = 1000000 };

__attribute__((section(".text.entry"), used)) void ma_fork_wait(void)
{
	uint64_t page = (uint64_t)(uintptr_t)&ma_fork_wait & ~(uint64_t)(MA_THUNK_PAGE_BYTES - 1);
	struct ma_thunk_data *data = (void *)(page + MA_THUNK_PAGE_BYTES);
	const uint64_t nap[2] = {0, NAP_NS};

	for (;;) {
		uint64_t until = __atomic_load_n(&data->fork_until_tsc, __ATOMIC_ACQUIRE);

		if (!until || ma_raw_timestamp() >= until ||
		    ma_raw_syscall(MA_SYS_GETPID, 0, 0, 0, 0) != data->fork_pid)
			return;
		ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)&data->fork_until_tsc, MA_FUTEX_WAIT,
			       (uint32_t)until, (uintptr_t)nap);
	}
}
