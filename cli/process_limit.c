/* SPDX-License-Identifier: MIT */
/* Memory limits from the cgroup file systems; see process_limit.h and cgroups(7). */
#include "cli/process_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Version 1 writes "none" as a number near the largest that a page counter holds. */
static const uint64_t no_limit = UINT64_C(1) << 60;

static uint64_t read_limit(const char *path)
{
	char line[32] = "";
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(line, sizeof line, file))
		line[0] = '\0';
	fclose(file);
	uint64_t limit = strtoull(line, NULL, 10);
	return limit < no_limit ? limit : 0;
}

/* The smallest limit of a cgroup and those above it. */
static uint64_t smallest_limit(const char *mount, char *path, const char *file)
{
	uint64_t smallest = 0;
	for (;;) {
		char full[1024];
		if (snprintf(full, sizeof full, "%s%s/%s", mount, path, file) < (int)sizeof full) {
			uint64_t limit = read_limit(full);
			if (limit && (!smallest || limit < smallest))
				smallest = limit;
		}
		char *slash = strrchr(path, '/');
		if (!slash)
			return smallest;
		*slash = '\0';
	}
}

uint64_t ma_process_limit_bytes(pid_t pid)
{
	char name[40], line[768];
	uint64_t smallest = 0;
	snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
	FILE *file = fopen(name, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof line, file)) {
		/* "0::/path" or "4:memory:/path" */
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		uint64_t limit = 0;
		if (strcmp(controllers, ":") == 0)
			limit = smallest_limit("/sys/fs/cgroup", path, "memory.max");
		else if (strstr(controllers, "memory"))
			limit = smallest_limit("/sys/fs/cgroup/memory", path,
					       "memory.limit_in_bytes");
		if (limit && (!smallest || limit < smallest))
			smallest = limit;
	}
	fclose(file);
	return smallest;
}
