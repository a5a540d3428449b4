/* SPDX-License-Identifier: MIT */
/* Use, limit and OOM kills of a memory cgroup and of those above it; see cgroup.h. */
#include "daemon/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/cgroup_find.h"
#include "daemon/proc_text.h"

/* What the kernel calls the files. */
struct names {
	const char *use;
	const char *limit;
	const char *events;
};

static const struct names names[] = {
	[1] = {"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control"},
	[2] = {"memory.current", "memory.max", "memory.events"},
};

#define NO_LIMIT (UINT64_C(1) << 62) /* version 1 says "none" with a number of about 2^63 */
#define KILLS    "oom_kill"

/* Opens a kernel file; anything that could block or lead elsewhere is no kernel file. */
static int open_file(int directory_fd, const char *name)
{
	struct stat st;
	int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool read_bytes(int fd, uint64_t *value)
{
	char text[64];
	if (fd < 0 || ma_proc_text_read(fd, text, sizeof text) <= 0)
		return false;
	if (text[0] < '0' || text[0] > '9')
		return false; /* "max" */
	*value = strtoull(text, NULL, 10);
	return *value < NO_LIMIT;
}

static bool read_kills(int fd, uint64_t *kills)
{
	char text[16384];
	return fd >= 0 && ma_proc_text_read(fd, text, sizeof text) > 0 &&
	       ma_proc_text_number(text, KILLS, kills);
}

static void open_level(struct ma_cgroup *cgroup, int directory_fd)
{
	const struct names *name = &names[cgroup->version];
	int use_fd = open_file(directory_fd, name->use);
	/* The root of version 2, and cgroups without the controller, account nothing. */
	if (use_fd < 0 || cgroup->level_count == MA_CGROUP_LEVELS) {
		if (use_fd >= 0)
			close(use_fd);
		return;
	}
	cgroup->level[cgroup->level_count++] = (struct ma_cgroup_level){
		.use_fd = use_fd,
		.limit_fd = open_file(directory_fd, name->limit),
		.events_fd = open_file(directory_fd, name->events),
	};
}

/* Version 1 states the smallest limit above us even where we cannot see it. */
static uint64_t read_hidden_limit(int directory_fd)
{
	char text[8192];
	uint64_t limit = 0;
	if (ma_proc_text_read_at(directory_fd, "memory.stat", text, sizeof text) <= 0 ||
	    !ma_proc_text_number(text, "hierarchical_memory_limit", &limit) || limit >= NO_LIMIT)
		return 0;
	return limit;
}

static void read_all_kills(struct ma_cgroup *cgroup)
{
	for (int i = 0; i < cgroup->level_count; i++) {
		struct ma_cgroup_level *level = &cgroup->level[i];
		level->kills_known = read_kills(level->events_fd, &level->kills);
	}
	/* /proc/vmstat is long: only where no cgroup counts. */
	cgroup->system_kills_known = (cgroup->level_count == 0 || !cgroup->level[0].kills_known) &&
				     read_kills(cgroup->vmstat_fd, &cgroup->system_kills);
}

void ma_cgroup_open(struct ma_cgroup *cgroup, int proc_fd, const char *root)
{
	char text[8192], vmstat[128];
	int fds[MA_CGROUP_DEPTH];
	memset(cgroup, 0, sizeof *cgroup);
	snprintf(vmstat, sizeof vmstat, "%s/proc/vmstat", root);
	cgroup->vmstat_fd = open(vmstat, O_RDONLY | O_CLOEXEC);
	if (ma_proc_text_read_at(proc_fd, "cgroup", text, sizeof text) > 0)
		cgroup->version = ma_cgroup_parse(text, cgroup->path, sizeof cgroup->path);
	int count = 0;
	if (cgroup->version)
		count = ma_cgroup_find(proc_fd, root, cgroup->version, cgroup->path, fds);
	if (count && cgroup->version == 1)
		cgroup->hidden_limit_bytes = read_hidden_limit(fds[count - 1]);
	while (count) {
		open_level(cgroup, fds[--count]);
		close(fds[count]);
	}
	if (cgroup->level_count == 0)
		cgroup->version = 0;
	read_all_kills(cgroup);
}

static void close_fd(int *fd)
{
	if (*fd > 0)
		close(*fd);
	*fd = -1;
}

void ma_cgroup_close(struct ma_cgroup *cgroup)
{
	for (int i = 0; i < cgroup->level_count; i++) {
		close_fd(&cgroup->level[i].use_fd);
		close_fd(&cgroup->level[i].limit_fd);
		close_fd(&cgroup->level[i].events_fd);
	}
	cgroup->level_count = 0;
	close_fd(&cgroup->vmstat_fd);
}

bool ma_cgroup_moved(const struct ma_cgroup *cgroup, int proc_fd)
{
	char text[8192], path[sizeof cgroup->path];
	if (ma_proc_text_read_at(proc_fd, "cgroup", text, sizeof text) <= 0)
		return false;
	return ma_cgroup_parse(text, path, sizeof path) != 0 && strcmp(path, cgroup->path) != 0;
}

void ma_cgroup_read(struct ma_cgroup *cgroup, struct ma_cgroup_figures *figures)
{
	memset(figures, 0, sizeof *figures);
	figures->version = cgroup->version;
	figures->headroom_bytes = UINT64_MAX;
	figures->limit_bytes = cgroup->hidden_limit_bytes;
	for (int i = 0; i < cgroup->level_count; i++) {
		uint64_t use = 0, limit;
		read_bytes(cgroup->level[i].use_fd, &use);
		if (i == 0)
			figures->use_bytes = figures->limit_use_bytes = use;
		if (!read_bytes(cgroup->level[i].limit_fd, &limit))
			continue;
		uint64_t headroom = use < limit ? limit - use : 0;
		if (headroom < figures->headroom_bytes)
			figures->headroom_bytes = headroom;
		if (figures->limit_bytes == 0 || limit < figures->limit_bytes) {
			figures->limit_bytes = limit;
			figures->limit_use_bytes = use;
		}
	}
	uint64_t hidden = cgroup->hidden_limit_bytes;
	if (hidden && figures->headroom_bytes == UINT64_MAX)
		figures->headroom_bytes =
			figures->use_bytes < hidden ? hidden - figures->use_bytes : 0;
	read_all_kills(cgroup);
	figures->oom_kills_known = cgroup->level_count && cgroup->level[0].kills_known;
	figures->oom_kills = figures->oom_kills_known ? cgroup->level[0].kills : 0;
}

bool ma_cgroup_oom_rose(const struct ma_cgroup *cgroup, uint64_t *from, uint64_t *to,
			const char **whose)
{
	/* Only version 2 counts in the parents too. */
	int levels = cgroup->version == 1 && cgroup->level_count ? 1 : cgroup->level_count;
	for (int i = 0; i < levels; i++) {
		const struct ma_cgroup_level *level = &cgroup->level[i];
		uint64_t now;
		if (!level->kills_known || !read_kills(level->events_fd, &now))
			continue;
		*from = level->kills;
		*to = now;
		*whose = i == 0 ? "the cgroup's" : "the parent cgroup's";
		return now > level->kills;
	}
	*whose = "the system's";
	*from = cgroup->system_kills;
	return cgroup->system_kills_known && read_kills(cgroup->vmstat_fd, to) && *to > *from;
}
