/* SPDX-License-Identifier: MIT */
/* See threads.h. */
#include "daemon/threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proc_text.h"
#include "daemon/text.h"

enum { MAX_TASKS = 4096 };

/* The last number of the line "NSpid:\t42\t7": the id in the innermost namespace. */
static uint32_t innermost_id(int proc_fd, const char *task)
{
	char path[48], text[4096];
	snprintf(path, sizeof path, "task/%.16s/status", task);
	if (ma_proc_text_read_at(proc_fd, path, text, sizeof text) < 0)
		return 0;
	const char *line = strstr(text, "\nNSpid:");
	if (!line)
		return 0;
	const char *at = line + strlen("\nNSpid:");
	unsigned long id = 0;
	while (*at == '\t' || *at == ' ') {
		char *end;
		id = strtoul(at, &end, 10);
		if (end == at)
			return 0;
		at = end;
	}
	return id <= UINT32_MAX ? (uint32_t)id : 0;
}

/* Does the process have a PID namespace of its own, below the one that we see it from? */
static bool is_nested(int proc_fd)
{
	char text[4096];
	if (ma_proc_text_read_at(proc_fd, "status", text, sizeof text) < 0)
		return false;
	static const char key[] = "\nNSpid:\t";
	const char *line = strstr(text, key);
	const char *first = line ? line + strlen(key) : "";
	return first[strcspn(first, "\t\n")] == '\t';
}

static bool read_name(int proc_fd, const char *task, char name[MA_THREAD_NAME_BYTES])
{
	char path[48], text[64];
	snprintf(path, sizeof path, "task/%.16s/comm", task);
	int length = ma_proc_text_read_at(proc_fd, path, text, sizeof text);
	if (length <= 0)
		return false;
	if (text[length - 1] == '\n')
		length--;
	ma_text_from_bytes(name, MA_THREAD_NAME_BYTES, text, (size_t)length);
	return true;
}

/* Calls visit for each thread until it returns true. Returns whether one did; *complete: all were
 * shown. */
typedef bool task_visit(void *context, int proc_fd, const char *task);

static bool each_task(int proc_fd, task_visit *visit, void *context, bool *complete)
{
	*complete = false;
	int fd = openat(proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tasks = fd >= 0 ? fdopendir(fd) : NULL;
	if (!tasks) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	bool stopped = false;
	int seen = 0;
	const struct dirent *entry;
	while (!stopped && seen < MAX_TASKS && (entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		seen++;
		stopped = visit(context, proc_fd, entry->d_name);
	}
	*complete = !stopped && seen < MAX_TASKS;
	closedir(tasks);
	return stopped;
}

/* What a look through the threads is for. */
struct search {
	struct ma_threads *threads;
	uint64_t wanted; /* bit per slot */
};

static bool name_task(void *context, int proc_fd, const char *task)
{
	struct search *search = context;
	uint32_t id = innermost_id(proc_fd, task);
	for (int slot = 1; id && slot < MA_THREAD_SLOTS; slot++) {
		uint64_t bit = UINT64_C(1) << slot;
		struct ma_thread_name *known = &search->threads->slots[slot];
		if ((search->wanted & bit) && known->tid == id) {
			read_name(proc_fd, task, known->name);
			search->wanted &= ~bit;
		}
	}
	return search->wanted == 0;
}

/* Renews what is known of a slot. Returns whether its name should be looked up. */
static bool renew_slot(struct ma_thread_name *known, uint32_t tid, bool all_again)
{
	bool is_new = tid != known->tid;
	if (is_new)
		*known = (struct ma_thread_name){.tid = tid};
	return tid && (is_new || all_again);
}

void ma_threads_refresh(struct ma_threads *threads, const struct ma_area *area, int proc_fd,
			bool all_again)
{
	struct search search = {.threads = threads};
	for (int slot = 1; slot < MA_THREAD_SLOTS; slot++) {
		uint32_t tid = __atomic_load_n(&area->threads[slot].tid, __ATOMIC_RELAXED);
		if (renew_slot(&threads->slots[slot], tid, all_again))
			search.wanted |= UINT64_C(1) << slot;
	}
	if (!search.wanted)
		return;
	bool complete;
	if (is_nested(proc_fd)) {
		each_task(proc_fd, name_task, &search, &complete);
		return;
	}
	/* Nearly always the namespaces agree: then the id is the name of the task. */
	for (int slot = 1; slot < MA_THREAD_SLOTS; slot++) {
		struct ma_thread_name *known = &threads->slots[slot];
		char task[16];
		snprintf(task, sizeof task, "%u", known->tid);
		if (search.wanted & UINT64_C(1) << slot)
			read_name(proc_fd, task, known->name);
	}
}

static bool is_task(void *context, int proc_fd, const char *task)
{
	const uint32_t *tid = context;
	return innermost_id(proc_fd, task) == *tid;
}

bool ma_threads_is_alive(int proc_fd, uint32_t tid)
{
	char path[32];
	bool complete;
	snprintf(path, sizeof path, "task/%u", tid);
	if (!is_nested(proc_fd))
		return faccessat(proc_fd, path, F_OK, 0) == 0 || errno != ENOENT;
	return each_task(proc_fd, is_task, &tid, &complete) || !complete;
}
