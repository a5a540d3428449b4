/* SPDX-License-Identifier: MIT */
/* See area_map.h. */
#include "daemon/area_map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "proto/area_check.h"

/*
 * A signal handler gets no context but the address, so the guarded ranges are in a table of the
 * process. The daemon loop writes it, the handler reads it on whichever thread touched the page.
 */
static struct guard {
	uintptr_t start; /* 0 = free; stored last, cleared first */
	uintptr_t end;
	int lost;
} guards[MA_AREA_MAPS];
static struct sigaction action_before;

/* Async-signal-safe: mmap is a plain system call here, errno is put back. */
static void on_bus_error(int signal, siginfo_t *info, void *context)
{
	(void)context;
	int errno_before = errno;
	uintptr_t address = (uintptr_t)info->si_addr;
	for (int i = 0; i < MA_AREA_MAPS; i++) {
		uintptr_t start = __atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE);
		if (start == 0 || address < start || address >= guards[i].end)
			continue;
		uintptr_t page = address & ~(uintptr_t)(MA_PAGE_BYTES - 1);
		void *mapped = mmap((void *)page, guards[i].end - page, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
		if (mapped == MAP_FAILED)
			break;
		__atomic_store_n(&guards[i].lost, 1, __ATOMIC_RELEASE);
		errno = errno_before;
		return;
	}
	/* Not ours: the instruction faults again and takes the usual course. */
	sigaction(signal, &action_before, NULL);
	errno = errno_before;
}

int ma_area_guard_install(struct ma_error *error)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &action_before) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "installing a SIGBUS handler");
	return 0;
}

void ma_area_guard_remove(void)
{
	sigaction(SIGBUS, &action_before, NULL);
}

static int guard_take(const void *start, uint64_t bytes)
{
	for (int i = 0; i < MA_AREA_MAPS; i++) {
		if (guards[i].start)
			continue;
		guards[i].end = (uintptr_t)start + bytes;
		__atomic_store_n(&guards[i].lost, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&guards[i].start, (uintptr_t)start, __ATOMIC_RELEASE);
		return i;
	}
	return -1;
}

static int refuse(struct ma_error *error, const char *answer)
{
	int code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "taking over the target's shared area");
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "This is a fault of the attaching side: attach again.");
	return code;
}

int ma_area_map_open(struct ma_area_map *map, int area_fd, struct ma_error *error)
{
	struct stat file;
	if (fstat(area_fd, &file) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "examining the shared area");
	/* Only memfds and tmpfs files have seals; reading any other file could block us. */
	if (!S_ISREG(file.st_mode) || fcntl(area_fd, F_GET_SEALS) < 0)
		return refuse(error, "the descriptor is no memfd");
	if (file.st_size < (off_t)MA_AREA_SAMPLED_BYTES)
		return refuse(error, "the file is too small");
	/* Refused for a file made without sealing; the guard is there for that. */
	fcntl(area_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	uint64_t bytes = (uint64_t)file.st_size;
	void *area =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, area_fd, 0);
	if (area == MAP_FAILED)
		return ma_error_set(error, MA_ERR_FAILED, errno,
				    "mapping the target's shared area of %llu bytes",
				    (unsigned long long)bytes);
	/* What reads a target's files for us (daemon/confine.h) is not to reach its memory. */
	madvise(area, bytes, MADV_DONTFORK);
	int guard = guard_take(area, bytes);
	if (guard < 0) {
		munmap(area, bytes);
		int code = ma_error_set(error, MA_ERR_FAILED, 0, "serving one more process");
		ma_error_answer(error, "the daemon serves %d already, which is its limit",
				MA_AREA_MAPS);
		ma_error_remedy(error, "Detach from one that is no longer needed: "
				       "memattach detach PID.");
		return code;
	}
	*map = (struct ma_area_map){.area = area, .bytes = bytes, .guard = guard};
	int code = ma_area_check_ident(map->area, bytes, &map->ident, error);
	if (code < 0)
		ma_area_map_close(map);
	return code;
}

void ma_area_map_close(struct ma_area_map *map)
{
	if (!map->area)
		return;
	__atomic_store_n(&guards[map->guard].start, 0, __ATOMIC_RELEASE);
	munmap(map->area, map->bytes);
	map->area = NULL;
}

bool ma_area_map_is_lost(const struct ma_area_map *map)
{
	return map->area && __atomic_load_n(&guards[map->guard].lost, __ATOMIC_ACQUIRE);
}

static void touch(void *start, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += MA_PAGE_BYTES)
		__atomic_fetch_or((uint32_t *)(void *)((uint8_t *)start + at), 0, __ATOMIC_RELAXED);
}

void ma_area_map_touch(struct ma_area_map *map)
{
	touch(map->area->rings, sizeof map->area->rings);
	touch(&map->area->filter, sizeof map->area->filter);
	touch(&map->area->live, sizeof map->area->live);
}

static void give_back(void *start, uint64_t bytes)
{
	/* Best effort: what cannot be given back stays until the session goes. */
	(void)madvise(start, bytes, MADV_REMOVE);
}

void ma_area_map_shrink(struct ma_area_map *map)
{
	struct ma_area *area = map->area;
	if (!area)
		return;
	give_back(area->rings, sizeof area->rings);
	give_back(&area->filter, sizeof area->filter);
	give_back(&area->live, sizeof area->live);
	if (map->bytes > sizeof *area)
		give_back(area + 1, map->bytes - sizeof *area);
}
