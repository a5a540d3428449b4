/* SPDX-License-Identifier: MIT */
/* See hook_watch.h. */
#include "daemon/hook_watch.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "daemon/proc_maps.h"

/* PyMemAllocatorEx (CPython Include/cpython/pymem.h, 3.5 on): ctx, malloc, calloc, realloc, free.
 */
enum { TABLE_WORDS = 5, TABLE_CALLOC = 2, TABLE_FREE = 4 };

/* In the thunk page's head: a magic number of 8 bytes, then ABI and state of 4 each. */
enum { MAGIC_BYTES = 8, STATE_OFFSET = 12 };

enum {
	ATTACH_TSC_OFFSET =
		offsetof(struct ma_area, ident) + offsetof(struct ma_area_ident, attach_tsc)
};

static int read_memory(pid_t pid, uint64_t address, void *buffer, size_t bytes)
{
	struct iovec local = {.iov_base = buffer, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
	ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	if (got == (ssize_t)bytes)
		return 0;
	return got < 0 ? -errno : -EFAULT;
}

/* Do the functions of a table that always do lead to the thunk page? What frees need not, and
 * malloc only while a window is open. -1: the table cannot be read. */
static int table_is_ours(const struct ma_hook_watch *watch, uint64_t table)
{
	uint64_t words[TABLE_WORDS];
	if (read_memory(watch->pid, table, words, sizeof words) < 0)
		return -1;
	for (int i = TABLE_CALLOC; i < TABLE_FREE; i++) {
		if (words[i] - watch->thunk_code >= MA_PAGE_BYTES)
			return 0;
	}
	return 1;
}

/* Another attach in the meantime has a memory of its own, maybe at the same address. */
static bool area_is_ours(const struct ma_hook_watch *watch)
{
	uint64_t attach_tsc = 0;
	return read_memory(watch->pid, watch->area_address + ATTACH_TSC_OFFSET, &attach_tsc,
			   sizeof attach_tsc) == 0 &&
	       attach_tsc == watch->attach_tsc;
}

void ma_hook_watch_init(struct ma_hook_watch *watch, pid_t pid, const struct ma_area_ident *ident)
{
	*watch = (struct ma_hook_watch){.pid = pid,
					.area_address = ident->area_address,
					.attach_tsc = ident->attach_tsc,
					.thunk_code = ident->thunk_code,
					.thunk_data = ident->thunk_data,
					.table = {ident->obj_table, ident->mem_table}};
	watch->cookie_known =
		watch->thunk_data &&
		read_memory(pid, watch->thunk_data, watch->cookie, sizeof watch->cookie) == 0;
	watch->area_known = area_is_ours(watch);
	for (int i = 0; i < MA_WATCH_TABLES; i++)
		watch->table_ours[i] =
			watch->table[i] && table_is_ours(watch, watch->table[i]) == 1;
}

enum ma_hook_presence ma_hook_watch_look(const struct ma_hook_watch *watch, int proc_fd)
{
	if (!watch->cookie_known)
		return MA_HOOK_UNKNOWN;
	uint8_t now[MA_WATCH_COOKIE_BYTES];
	int result = read_memory(watch->pid, watch->thunk_data, now, sizeof now);
	if (result == 0 && memcmp(now, watch->cookie, MAGIC_BYTES) == 0) {
		bool same_state = memcmp(now + STATE_OFFSET, watch->cookie + STATE_OFFSET,
					 sizeof now - STATE_OFFSET) == 0;
		if (!same_state)
			return MA_HOOK_REMOVED;
		return !watch->area_known || area_is_ours(watch) ? MA_HOOK_PRESENT
								 : MA_HOOK_TAKEN_OVER;
	}
	if (result < 0 && result != -EFAULT)
		return MA_HOOK_UNKNOWN;
	char *maps = ma_proc_maps_read(proc_fd);
	if (!maps)
		return MA_HOOK_UNKNOWN;
	bool mapped = ma_proc_maps_has(maps, watch->area_address, "memattach-area");
	free(maps);
	return mapped ? MA_HOOK_UNKNOWN : MA_HOOK_EXECED;
}

unsigned ma_hook_watch_tables(struct ma_hook_watch *watch, unsigned *back)
{
	unsigned gone = 0;
	*back = 0;
	for (int i = 0; i < MA_WATCH_TABLES; i++) {
		int ours = watch->table[i] ? table_is_ours(watch, watch->table[i]) : -1;
		if (ours < 0 || watch->table_ours[i] == (ours == 1))
			continue;
		watch->table_ours[i] = ours == 1;
		*(ours ? back : &gone) |= 1U << i;
	}
	return gone;
}
