/* SPDX-License-Identifier: MIT */
#include "inject/strays.h"

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/boot_run.h"
#include "inject/remote_memfd.h"
#include "proto/unwind.h"

/* The mark at the end of a resident mapping's code, if this mapping is one. */
static bool is_resident(const struct ma_session *session, const struct ma_map *map,
			struct ma_resident_mark *mark)
{
	return map->end - map->start == MA_RESIDENT_CODE_BYTES &&
	       !ma_memory_read(&session->view.memory, ma_raddr(map->start + MA_RESIDENT_MARK), mark,
			       sizeof(*mark), NULL) &&
	       mark->magic == MA_RESIDENT_MAGIC;
}

static uint64_t config_of(const struct ma_map *map)
{
	return map->start + MA_RESIDENT_DATA + offsetof(struct ma_resident, config);
}

uint64_t ma_strays_resident(const struct ma_session *session)
{
	const struct ma_maps *maps = &session->view.maps;
	struct ma_resident *resident = malloc(sizeof(*resident));
	const struct ma_map *map = ma_maps_find_memfd(maps, MA_HOOK_MEMFD, PROT_EXEC, 0);
	struct ma_resident_mark mark;
	uint64_t found = 0;

	while (resident && map && !found) {
		if (is_resident(session, map, &mark) &&
		    !ma_boot_read(&session->view.memory, config_of(map), resident, NULL))
			found = config_of(map);
		map = ma_maps_find_memfd(maps, MA_HOOK_MEMFD, PROT_EXEC,
					 (size_t)(map - maps->map) + 1);
	}
	free(resident);
	return found;
}

/* Is this mapping one that never came into use? *bytes is its extent, with what belongs to it. */
static bool is_stray(const struct ma_session *session, size_t index, uint64_t *bytes)
{
	const struct ma_maps *maps = &session->view.maps;
	const struct ma_map *map = &maps->map[index];
	const struct ma_thunk_page *thunks = &session->view.thunks;
	struct ma_resident_mark mark;

	*bytes = map->end - map->start;
	if (ma_maps_find_memfd(maps, MA_AREA_MEMFD, 0, index) == map ||
	    ma_maps_find_memfd(maps, MA_UNWIND_MEMFD, 0, index) == map)
		return true;
	/* Executable thunks stay, whatever they are: somebody may have copied an address. */
	if (ma_maps_find_memfd(maps, MA_THUNK_MEMFD, 0, index) == map)
		return !(map->protection & PROT_EXEC) &&
		       !(thunks->found && map->start == thunks->data.value);
	if (ma_maps_find_memfd(maps, MA_HOOK_MEMFD, PROT_EXEC, index) != map ||
	    !is_resident(session, map, &mark) || mark.bytes < *bytes ||
	    !ma_maps_covers(maps, map->start, mark.bytes, PROT_READ))
		return false;
	*bytes = mark.bytes;
	return true;
}

/* The next file descriptor of ours in that directory of /proc, -1 = no more. */
static int next_fd(DIR *directory)
{
	static const char *const names[] = {
		"/memfd:" MA_HOOK_MEMFD " (deleted)", "/memfd:" MA_AREA_MEMFD " (deleted)",
		"/memfd:" MA_UNWIND_MEMFD " (deleted)", "/memfd:" MA_THUNK_MEMFD " (deleted)"};
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		char link[64];
		ssize_t bytes = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);

		if (bytes <= 0)
			continue;
		link[bytes] = '\0';
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (!strcmp(link, names[i]))
				return atoi(entry->d_name);
	}
	return -1;
}

static DIR *open_fds(const struct ma_session *session)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", session->pid);
	return opendir(path);
}

bool ma_strays_exist(const struct ma_session *session)
{
	uint64_t bytes;
	DIR *directory;
	bool found;

	for (size_t i = 0; i < session->view.maps.count; i++)
		if (is_stray(session, i, &bytes))
			return true;
	directory = open_fds(session);
	found = next_fd(directory) >= 0;
	if (directory)
		closedir(directory);
	return found;
}

int ma_strays_remove(struct ma_session *session, struct ma_error *error)
{
	DIR *directory = open_fds(session);
	int failed = 0;
	int fd;

	for (size_t i = 0; i < session->view.maps.count && !failed; i++) {
		uint64_t args[6] = {session->view.maps.map[i].start};

		if (is_stray(session, i, &args[1]))
			failed = ma_remote_demand(&session->remote, "unmapping what was left",
						  SYS_munmap, args, NULL, error);
	}
	while (!failed && (fd = next_fd(directory)) >= 0) {
		uint64_t args[6] = {(uint64_t)fd};

		failed = ma_remote_demand(&session->remote, "closing what was left", SYS_close,
					  args, NULL, error);
	}
	if (directory)
		closedir(directory);
	return failed;
}
