/* SPDX-License-Identifier: MIT */
/*
 * The handlers of pthread_atfork by which forks and our dlopen and dlclose keep out of each other's
 * way (fork_bar.h). They lie in the thunk page, which is never unmapped, and stay registered:
 * libc calls a handler after it has released the lock of their list (2.34 on), so that one that was
 * taken off the list may still be called, any time later. In a child nothing waits.
 *
 * Flat code without libc. Runs on a thread of the target that forks, under whatever it holds; so
 * the wait has an end.
 */
#include "inject/hook/thunks.h"
#include "inject/loader/syscall_x86_64.h"

enum { NAP_NS = 1000000 };

/* What is registered: 16 bytes each, in the order of enum ma_fork_handler. */
__asm__(".section .text.entry,\"ax\",@progbits\n"
	"ma_fork_page:\n"
	"endbr64\n\tjmp ma_fork_prepare\n\t.balign 16\n"
	"endbr64\n\tjmp ma_fork_parent\n\t.balign 16\n"
	"endbr64\n\tjmp ma_fork_child\n\t.balign 16\n"
	".text\n");

extern const uint8_t ma_fork_page[] __attribute__((visibility("hidden")));

void ma_fork_prepare(void);
void ma_fork_parent(void);
void ma_fork_child(void);

static struct ma_thunk_data *thunk_data(void)
{
	uint64_t page = (uint64_t)(uintptr_t)ma_fork_page & ~(uint64_t)(MA_THUNK_PAGE_BYTES - 1);

	return (void *)(page + MA_THUNK_PAGE_BYTES);
}

/* Counts itself first, then looks at the bar; who sets the bar does it the other way round. */
__attribute__((used)) void ma_fork_prepare(void)
{
	struct ma_thunk_data *data = thunk_data();
	const uint64_t nap[2] = {0, NAP_NS};

	for (;;) {
		uint64_t until;

		__atomic_fetch_add(&data->forks, 1, __ATOMIC_SEQ_CST);
		until = __atomic_load_n(&data->fork_until_tsc, __ATOMIC_SEQ_CST);
		if (!until || ma_raw_timestamp() >= until)
			return;
		__atomic_fetch_sub(&data->forks, 1, __ATOMIC_SEQ_CST);
		ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)&data->fork_until_tsc, MA_FUTEX_WAIT,
			       (uint32_t)until, (uintptr_t)nap);
	}
}

__attribute__((used)) void ma_fork_parent(void)
{
	__atomic_fetch_sub(&thunk_data()->forks, 1, __ATOMIC_SEQ_CST);
}

__attribute__((used)) void ma_fork_child(void)
{
	__atomic_store_n(&thunk_data()->forks, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&thunk_data()->fork_until_tsc, 0, __ATOMIC_RELAXED);
}
