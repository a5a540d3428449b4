/* SPDX-License-Identifier: MIT */
/* Which processes are meant; see targets.h. */
#include "cli/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/display.h"
#include "cli/format.h"
#include "cli/process_tree.h"
#include "cli/text.h"

enum { NAMED_CHILDREN = 3 };

static struct ma_target *add(struct ma_targets *targets, pid_t pid)
{
	targets->list = ma_alloc_grow(targets->list, targets->count + 1, sizeof *targets->list);
	struct ma_target *target = &targets->list[targets->count++];
	memset(target, 0, sizeof *target);
	target->pid = pid;
	return target;
}

static bool is_listed(const struct ma_targets *targets, pid_t pid)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->list[i].pid == pid)
			return true;
	return false;
}

/* A Python process below a PID. */
struct child {
	struct ma_process process;
	uint64_t rss_bytes;
};

static int by_memory(const void *a, const void *b)
{
	const struct child *x = a, *y = b;
	return (x->rss_bytes < y->rss_bytes) - (x->rss_bytes > y->rss_bytes);
}

/* The Python descendants of pid, the largest first. Returned-owned. */
static size_t python_children(pid_t pid, struct child **children)
{
	struct ma_process_entry *entries, entry;
	pid_t *below;
	size_t entry_count = ma_process_tree_read(&entries), count = 0;
	size_t below_count = ma_process_tree_below(entries, entry_count, pid, &below);
	*children = ma_alloc(below_count, sizeof **children);
	for (size_t i = 0; i < below_count; i++) {
		struct child *child = &(*children)[count];
		if (ma_process_inspect(below[i], &child->process, NULL) ||
		    ma_process_entry_read(below[i], &entry))
			continue;
		child->rss_bytes = entry.rss_bytes;
		count++;
	}
	qsort(*children, count, sizeof **children, by_memory);
	free(below);
	free(entries);
	return count;
}

/* "17 (gunicorn: worker) 1.20 GiB, 18 (...) 900 MiB and 2 more" */
static void name_children(struct ma_text *text, const struct child *children, size_t count)
{
	for (size_t i = 0; i < count && i < NAMED_CHILDREN; i++)
		ma_text_addf(text, "%s%d (%.40s) %s", i ? ", " : "", (int)children[i].process.pid,
			     ma_display_command(children[i].process.command),
			     ma_format_size((double)children[i].rss_bytes).text);
	if (count > NAMED_CHILDREN)
		ma_text_addf(text, " and %zu more", count - NAMED_CHILDREN);
}

static void suggest_children(struct ma_target *target, const struct child *children, size_t count)
{
	struct ma_text names = {0};
	name_children(&names, children, count);
	ma_error_remedy(&target->error,
			"Its Python children are %s.\nFor all of them: memattach --children %d",
			ma_text_string(&names), (int)target->pid);
	ma_text_fini(&names);
}

static void resolve_one(struct ma_targets *targets, pid_t pid, bool with_children)
{
	struct ma_process process = {.pid = pid};
	struct ma_error error = {0};
	struct child *children = NULL;
	int code = ma_process_inspect(pid, &process, &error);
	size_t count = 0;
	if (with_children || code == MA_ERR_NOT_PYTHON)
		count = python_children(pid, &children);
	/* A parent that is not Python is passed over when its children were asked for and found. */
	if ((!code || !with_children || !count) && !is_listed(targets, pid)) {
		struct ma_target *target = add(targets, pid);
		target->process = process;
		if (code) {
			target->error = error;
			target->error.code = (enum ma_err)code;
		}
		if (code == MA_ERR_NOT_PYTHON && count && !with_children)
			suggest_children(target, children, count);
	}
	for (size_t i = 0; with_children && i < count; i++)
		if (!is_listed(targets, children[i].process.pid))
			add(targets, children[i].process.pid)->process = children[i].process;
	free(children);
}

void ma_targets_resolve(struct ma_targets *targets, const pid_t *pids, size_t count, bool children)
{
	*targets = (struct ma_targets){0};
	for (size_t i = 0; i < count; i++)
		resolve_one(targets, pids[i], children);
}

void ma_targets_fini(struct ma_targets *targets)
{
	free(targets->list);
	*targets = (struct ma_targets){0};
}
