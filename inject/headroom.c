/* SPDX-License-Identifier: MIT */
/*
 * Every memory cgroup from the target's own up to the root that we can see may have the limit that
 * counts. What a cgroup uses includes page cache; inactive file pages are dropped before anybody is
 * killed, so they count as room (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst).
 */
#include "inject/headroom.h"

#include "inject/procfs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_MOUNT "/sys/fs/cgroup"
/* v1 writes "no limit" as the largest page-aligned number. */
#define V1_UNLIMITED (UINT64_C(1) << 62)

/* The names of the same four things in the two versions. */
struct flavour {
	const char *below_mount; /* v1 has a hierarchy for each controller */
	const char *limit;
	const char *usage;
	const char *inactive; /* a line of memory.stat */
};

static const struct flavour version2 = {"", "memory.max", "memory.current", "inactive_file "};
static const struct flavour version1 = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
					"total_inactive_file "};

static uint64_t stat_line(const char *directory, const char *key)
{
	char path[PATH_MAX], *text;
	size_t bytes;
	uint64_t value = 0;
	if (snprintf(path, sizeof path, "%s/memory.stat", directory) >= (int)sizeof path ||
	    ma_proc_slurp(path, 1 << 20, &text, &bytes, NULL))
		return 0;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, strlen(key)) == 0) {
			value = strtoull(line + strlen(key), NULL, 10);
			break;
		}
	}
	free(text);
	return value;
}

static int64_t number_in(const char *directory, const char *file)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/%s", directory, file) >= (int)sizeof path)
		return -1;
	return ma_proc_number(path, -1); /* "max" is no number */
}

/* Looks at one level; keeps it if it has less room than those before. */
static void look_at(const struct flavour *flavour, const char *directory, const char *cgroup,
		    struct ma_headroom *headroom)
{
	int64_t limit = number_in(directory, flavour->limit);
	int64_t usage = number_in(directory, flavour->usage);
	if (limit < 0 || usage < 0 || (uint64_t)limit >= V1_UNLIMITED)
		return;
	uint64_t inactive = stat_line(directory, flavour->inactive);
	uint64_t used = (uint64_t)usage > inactive ? (uint64_t)usage - inactive : 0;
	uint64_t room = (uint64_t)limit > used ? (uint64_t)limit - used : 0;
	if (headroom->limited && room >= headroom->free_bytes)
		return;
	headroom->limited = true;
	headroom->limit_bytes = (uint64_t)limit;
	headroom->used_bytes = used;
	headroom->free_bytes = room;
	snprintf(headroom->cgroup, sizeof headroom->cgroup, "%s", *cgroup ? cgroup : "/");
}

static void walk_up(const struct flavour *flavour, const char *mount, const char *path,
		    struct ma_headroom *headroom)
{
	char cgroup[1024], directory[PATH_MAX];
	snprintf(cgroup, sizeof cgroup, "%s", path);
	for (;;) {
		size_t length = strlen(cgroup);
		while (length && cgroup[length - 1] == '/')
			cgroup[--length] = '\0';
		if (snprintf(directory, sizeof directory, "%s%s%s", mount, flavour->below_mount,
			     cgroup) < (int)sizeof directory)
			look_at(flavour, directory, cgroup, headroom);
		char *slash = strrchr(cgroup, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

/* Is "memory" one of the comma-separated controllers in [text, end)? */
static bool has_memory(const char *text, const char *end)
{
	static const char wanted[] = "memory";
	size_t length = sizeof wanted - 1;
	while (text < end) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		const char *stop = comma ? comma : end;
		if ((size_t)(stop - text) == length && memcmp(text, wanted, length) == 0)
			return true;
		text = stop + 1;
	}
	return false;
}

void ma_headroom_from(const char *cgroup_text, const char *mount, struct ma_headroom *headroom)
{
	*headroom = (struct ma_headroom){.free_bytes = UINT64_MAX};
	/* Lines are "id:controllers:path"; v2 is "0::path" (cgroups(7)). */
	for (const char *line = cgroup_text; line && *line;) {
		const char *end = line + strcspn(line, "\n");
		const char *first = memchr(line, ':', (size_t)(end - line));
		const char *second =
			first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
		char path[1024];
		if (second && end - second <= (ptrdiff_t)sizeof path) {
			memcpy(path, second + 1, (size_t)(end - second - 1));
			path[end - second - 1] = '\0';
			if (first + 1 == second)
				walk_up(&version2, mount, path, headroom);
			else if (has_memory(first + 1, second))
				walk_up(&version1, mount, path, headroom);
		}
		line = *end ? end + 1 : NULL;
	}
}

void ma_headroom_read(pid_t pid, struct ma_headroom *headroom)
{
	char path[64], *text;
	size_t bytes;
	*headroom = (struct ma_headroom){.free_bytes = UINT64_MAX};
	snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
	if (ma_proc_slurp(path, 1 << 20, &text, &bytes, NULL))
		return;
	ma_headroom_from(text, CGROUP_MOUNT, headroom);
	free(text);
}

int ma_headroom_check(pid_t pid, uint64_t need_bytes, struct ma_headroom *headroom,
		      struct ma_error *error)
{
	ma_headroom_read(pid, headroom);
	if (!headroom->limited || headroom->free_bytes >= need_bytes)
		return 0;
	ma_error_set(error, MA_ERR_UNSAFE, 0, "checking the memory limit of process %d", (int)pid);
	ma_error_answer(error,
			"its cgroup %.60s has %.1f of %.1f MiB left, and we may need %.1f MiB",
			headroom->cgroup, (double)headroom->free_bytes / 1048576,
			(double)headroom->limit_bytes / 1048576, (double)need_bytes / 1048576);
	ma_error_remedy(error, "raise the limit, or attach all the same with  --force");
	return MA_ERR_UNSAFE;
}
