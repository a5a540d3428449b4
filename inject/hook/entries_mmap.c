/* SPDX-License-Identifier: MIT */
/*
 * Regions that the program maps by itself, each told to the daemon. A region is reported after it
 * was mapped and before it is unmapped, so that another thread's region at the same address comes
 * in between. A call whose arguments the kernel refuses at once (mmap(2), munmap(2): EINVAL) is not
 * reported.
 */
#include "inject/hook/account.h"
#include "inject/hook/entries.h"

#define MAP_FAILED_ADDRESS UINT64_MAX

enum {
	FLAG_MAYMOVE = 1,   /* linux/mman.h: MREMAP_MAYMOVE */
	FLAG_DONTUNMAP = 4, /* MREMAP_DONTUNMAP */
	PAGE_MASK = MA_PAGE_BYTES - 1,
};

/* Is this Python's arena allocator at work, up the stack? */
MA_INLINE bool is_arena(void)
{
	return (uint64_t)(uintptr_t)__builtin_frame_address(0) < ma_tls()->in_arena;
}

static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
}

static void *mapped(void *region, size_t bytes)
{
	if ((uint64_t)(uintptr_t)region != MAP_FAILED_ADDRESS && !is_arena())
		ma_record_region(MA_EVENT_MAP, (uint64_t)(uintptr_t)region, whole_pages(bytes));
	return region;
}

void *ma_mmap_entry(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset)
{
	ma_fn_mmap *next = MA_NEXT(MA_FN_MMAP, ma_fn_mmap);

	return mapped(next(address, bytes, protection, flags, fd, offset), bytes);
}

void *ma_mmap64_entry(void *address, size_t bytes, int protection, int flags, int fd,
		      int64_t offset)
{
	ma_fn_mmap *next = MA_NEXT(MA_FN_MMAP64, ma_fn_mmap);

	return mapped(next(address, bytes, protection, flags, fd, offset), bytes);
}

static bool is_region(uint64_t address, uint64_t bytes)
{
	return address && !(address & PAGE_MASK) && bytes && address + bytes > address;
}

int ma_munmap_entry(void *address, size_t bytes)
{
	uint64_t region = (uint64_t)(uintptr_t)address;

	if (is_region(region, bytes) && !is_arena())
		ma_record_region(MA_EVENT_UNMAP, region, whole_pages(bytes));
	return MA_NEXT(MA_FN_MUNMAP, ma_fn_munmap)(address, bytes);
}

/*
 * The old region is reported as gone before the call when the call may give addresses back to the
 * kernel; when it then fails, the region comes back with this place as its site. MREMAP_DONTUNMAP
 * and an old size of 0 leave the old region mapped.
 */
void *ma_mremap_entry(void *address, size_t old_bytes, size_t new_bytes, int flags,
		      void *new_address)
{
	uint64_t old = (uint64_t)(uintptr_t)address;
	bool known = is_region(old, old_bytes) && !is_arena();
	bool goes = known && !(flags & FLAG_DONTUNMAP);
	bool first = goes && (flags & FLAG_MAYMOVE || new_bytes < old_bytes);
	void *region;

	if (first)
		ma_record_region(MA_EVENT_UNMAP, old, whole_pages(old_bytes));
	region = MA_NEXT(MA_FN_MREMAP, ma_fn_mremap)(address, old_bytes, new_bytes, flags,
						     new_address);
	if ((uint64_t)(uintptr_t)region == MAP_FAILED_ADDRESS) {
		if (first)
			ma_record_region(MA_EVENT_MAP, old, whole_pages(old_bytes));
		return region;
	}
	if (goes && !first)
		ma_record_region(MA_EVENT_UNMAP, old, whole_pages(old_bytes));
	return mapped(region, new_bytes);
}
