/* SPDX-License-Identifier: MIT */
#include "inject/children.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "inject/hook/config.h"
#include "inject/procfs.h"

static bool maps_file(pid_t pid, const struct ma_map *file)
{
	const struct ma_map *found = NULL;
	struct ma_maps maps = {0};
	bool same = false;

	if (!ma_maps_read(pid, &maps, NULL))
		found = ma_maps_find_memfd(&maps, MA_THUNK_MEMFD, PROT_EXEC, 0);
	while (found && !same) {
		same = ma_map_same_file(found, file);
		found = ma_maps_find_memfd(&maps, MA_THUNK_MEMFD, PROT_EXEC,
					   (size_t)(found - maps.map) + 1);
	}
	ma_maps_fini(&maps);
	return same;
}

uint32_t ma_children_count(pid_t pid, const struct ma_map *thunks)
{
	char ours[512], theirs[512];
	uint32_t found = 0;
	size_t count;
	pid_t *pids;

	if (ma_proc_link(pid, "exe", ours, sizeof(ours)) || ma_proc_pids(&pids, &count, NULL))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (pids[i] != pid && !ma_proc_link(pids[i], "exe", theirs, sizeof(theirs)) &&
		    !strcmp(ours, theirs) && maps_file(pids[i], thunks))
			found++;
	free(pids);
	return found;
}
