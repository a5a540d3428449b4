/* SPDX-License-Identifier: MIT */
/* The tree of processes; see process_tree.h. */
#include "cli/process_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/alloc.h"

int ma_process_entry_read(pid_t pid, struct ma_process_entry *entry)
{
	char path[40], line[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	size_t length = fread(line, 1, sizeof line - 1, file);
	fclose(file);
	line[length] = '\0';
	/* The name stands in parentheses and may hold any of them: it ends at the last one. */
	char *open = strchr(line, '('), *close = strrchr(line, ')');
	if (!open || !close || close < open)
		return -1;
	int parent;
	long rss_pages;
	*entry = (struct ma_process_entry){.pid = pid};
	if (sscanf(close + 1,
		   " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %ld",
		   &entry->state, &parent, &rss_pages) != 3)
		return -1;
	size_t name_bytes = (size_t)(close - open - 1);
	if (name_bytes >= sizeof entry->name)
		name_bytes = sizeof entry->name - 1;
	memcpy(entry->name, open + 1, name_bytes);
	entry->parent = parent;
	entry->rss_bytes =
		rss_pages > 0 ? (uint64_t)rss_pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	return 0;
}

size_t ma_process_tree_read(struct ma_process_entry **entries)
{
	size_t count = 0, room = 0;
	*entries = NULL;
	DIR *proc = opendir("/proc");
	if (!proc)
		return 0;
	for (struct dirent *item; (item = readdir(proc));) {
		if (!isdigit((unsigned char)item->d_name[0]))
			continue;
		if (count == room) {
			room = room ? 2 * room : 256;
			*entries = ma_alloc_grow(*entries, room, sizeof **entries);
		}
		if (ma_process_entry_read((pid_t)strtol(item->d_name, NULL, 10),
					  &(*entries)[count]) == 0)
			count++;
	}
	closedir(proc);
	return count;
}

size_t ma_process_tree_below(const struct ma_process_entry *entries, size_t count, pid_t root,
			     pid_t **pids)
{
	pid_t *found = ma_alloc(count + 1, sizeof *found);
	bool *taken = ma_alloc(count, sizeof *taken);
	size_t length = 1;
	found[0] = root;
	/* Breadth first; `found` is the queue too. Each entry is taken once, so a loop of parents,
	 * which a reused PID can make up, ends. */
	for (size_t next = 0; next < length; next++) {
		for (size_t i = 0; i < count; i++) {
			if (taken[i] || entries[i].parent != found[next] || entries[i].pid == root)
				continue;
			taken[i] = true;
			found[length++] = entries[i].pid;
		}
	}
	memmove(found, found + 1, (length - 1) * sizeof *found);
	free(taken);
	*pids = found;
	return length - 1;
}
