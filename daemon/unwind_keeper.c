/* SPDX-License-Identifier: MIT */
/* See unwind_keeper.h. */
#include "daemon/unwind_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"
#include "daemon/proc_maps.h"
#include "daemon/text.h"

enum {
	PAUSE_MIN_MS = 20,
	PAUSE_MAX_MS = 5000, /* code without a file is met again and again */
	COST_FACTOR = 50,    /* looking at the maps takes at most a 50th of the time */
	FIRST_MS = 10000,    /* the first index waits that long for its tables */
};

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

int ma_unwind_keeper_init(struct ma_unwind_keeper *keeper,
			  const struct ma_unwind_keeper_options *options, int unwind_fd,
			  struct ma_error *error)
{
	static uint64_t last_id;
	*keeper = (struct ma_unwind_keeper){
		.id = ++last_id,
		.pid = options->pid,
		.proc_fd = options->proc_fd,
		.modules = options->modules,
		.notes = options->notes,
		.interpreter_base = options->ident->python_base,
	};
	int code = ma_unwind_area_open(&keeper->map, unwind_fd, error);
	if (code == 0)
		keeper->worker = options->worker;
	return code;
}

void ma_unwind_keeper_fini(struct ma_unwind_keeper *keeper)
{
	if (keeper->worker)
		ma_unwind_worker_forget(keeper->worker, keeper->id);
	ma_unwind_area_close(&keeper->map);
	ma_unwind_maps_fini(&keeper->maps);
	free(keeper->known);
	*keeper = (struct ma_unwind_keeper){0};
}

static bool is_same(const struct ma_unwind_known *known, const struct ma_unwind_mapped *mapped)
{
	return known->module.start == mapped->start && known->module.end == mapped->end &&
	       known->offset == mapped->offset && known->inode == mapped->inode;
}

static bool submit(struct ma_unwind_keeper *keeper, const struct ma_unwind_mapped *mapped)
{
	const struct ma_native_module module = {
		.start = mapped->start,
		.end = mapped->end,
		.inode = mapped->inode,
		.path = mapped->path,
		.interpreter = mapped->inode && mapped->inode == keeper->maps.interpreter_inode,
	};
	struct ma_unwind_job *job = ma_unwind_job_create(&module, keeper->pid, keeper->proc_fd);
	if (!job)
		return false;
	job->owner = keeper->id;
	job->offset = mapped->offset;
	job->head = mapped->head;
	ma_unwind_worker_submit(keeper->worker, job);
	return true;
}

/* Makes what is known what is mapped: both are ascending. Did any code come or go? */
static bool compare_modules(struct ma_unwind_keeper *keeper)
{
	const struct ma_unwind_maps *maps = &keeper->maps;
	struct ma_unwind_known *now = calloc(maps->mapped_count + 1, sizeof *now);
	uint32_t old = 0, same = 0, waiting = 0;
	if (!now)
		return false;
	for (uint32_t i = 0; i < maps->mapped_count; i++) {
		const struct ma_unwind_mapped *mapped = &maps->mapped[i];
		while (old < keeper->known_count && keeper->known[old].module.start < mapped->start)
			old++;
		if (old < keeper->known_count && is_same(&keeper->known[old], mapped)) {
			now[i] = keeper->known[old];
			same++;
		} else {
			now[i].module.start = mapped->start;
			now[i].module.end = mapped->end;
			now[i].offset = mapped->offset;
			now[i].inode = mapped->inode;
			now[i].waiting = submit(keeper, mapped);
		}
		waiting += now[i].waiting;
	}
	bool changed = same != maps->mapped_count || same != keeper->known_count;
	free(keeper->known);
	keeper->known = now;
	keeper->known_count = maps->mapped_count;
	keeper->waiting = waiting;
	return changed;
}

/* Reads the maps. Is there anything new in them? */
static bool look(struct ma_unwind_keeper *keeper, uint64_t stack)
{
	const struct ma_unwind_maps_hints hints = {keeper->interpreter_base, stack};
	struct ma_unwind_stack *before = NULL;
	uint32_t count = keeper->maps.stack_count;
	char *text = ma_proc_maps_read(keeper->proc_fd);
	if (text)
		before = malloc((count + 1) * sizeof *before);
	if (before && count)
		memcpy(before, keeper->maps.stacks, count * sizeof *before);
	bool changed = false;
	if (before && ma_unwind_maps_parse(&keeper->maps, text, &hints)) {
		changed = compare_modules(keeper) || count != keeper->maps.stack_count ||
			  memcmp(before, keeper->maps.stacks, count * sizeof *before) != 0;
	}
	free(before);
	free(text);
	return changed;
}

static void publish(struct ma_unwind_keeper *keeper)
{
	struct ma_unwind_module *modules = calloc(keeper->known_count + 1, sizeof *modules);
	uint32_t count = 0;
	if (!modules)
		return;
	for (uint32_t i = 0; i < keeper->known_count; i++) {
		if (keeper->known[i].module.id)
			modules[count++] = keeper->known[i].module;
	}
	ma_unwind_area_publish(&keeper->map, modules, count, keeper->maps.stacks,
			       keeper->maps.stack_count);
	free(modules);
	keeper->changed = false;
	keeper->published = true;
}

static bool has_reason(struct ma_unwind_keeper *keeper, const struct ma_area *area)
{
	const struct ma_unwind_asked asked = {load(&area->counters.passes),
					      load(&area->counters.native_no_module),
					      load(&area->counters.native_no_stack)};
	bool reason = !keeper->begun_ms || memcmp(&asked, &keeper->asked, sizeof asked) != 0;
	keeper->asked = asked;
	return reason;
}

void ma_unwind_keeper_poll(struct ma_unwind_keeper *keeper, const struct ma_area *area,
			   uint64_t now_ms)
{
	if (!keeper->worker)
		return;
	if (now_ms >= keeper->next_look_ms && has_reason(keeper, area)) {
		uint64_t start_ns = ma_clock_monotonic_ns();
		bool changed = look(keeper, load(&area->wants.stack));
		uint64_t cost_ms = (ma_clock_monotonic_ns() - start_ns) / 1000000 * COST_FACTOR;
		keeper->changed |= changed;
		keeper->begun_ms = keeper->begun_ms ? keeper->begun_ms : now_ms;
		keeper->pause_ms =
			changed || !keeper->pause_ms ? PAUSE_MIN_MS : keeper->pause_ms * 2;
		if (keeper->pause_ms > PAUSE_MAX_MS)
			keeper->pause_ms = PAUSE_MAX_MS;
		keeper->next_look_ms =
			now_ms + (cost_ms > keeper->pause_ms ? cost_ms : keeper->pause_ms);
	}
	bool complete =
		keeper->published || !keeper->waiting || now_ms - keeper->begun_ms >= FIRST_MS;
	if (keeper->changed && complete)
		publish(keeper);
}

static void note_trouble(struct ma_unwind_keeper *keeper, const struct ma_unwind_job *job)
{
	char path[200];
	ma_text_from_bytes(path, sizeof path, job->module.path, strlen(job->module.path));
	ma_notes_add(keeper->notes, ma_clock_realtime_ns(),
		     "Native stacks end in %s: no unwind table (%s).", path, job->error.answer);
}

static void note_full(struct ma_unwind_keeper *keeper)
{
	if (!keeper->full_noted)
		ma_notes_add(keeper->notes, ma_clock_realtime_ns(),
			     "The room for unwind tables is full: native stacks end in modules "
			     "that were loaded last.");
	keeper->full_noted = true;
}

static void take_table(struct ma_unwind_keeper *keeper, const struct ma_unwind_job *job,
		       struct ma_unwind_known *known)
{
	struct ma_unwind_table_view view;
	if ((job->code == MA_ERR_FAILED && job->known) || job->silly)
		note_trouble(keeper, job);
	if (job->code < 0 || !ma_unwind_table_open(&view, job->table, job->bytes))
		return;
	known->module.table = ma_unwind_area_place(&keeper->map, &view);
	if (!known->module.table)
		note_full(keeper);
}

bool ma_unwind_keeper_take(struct ma_unwind_keeper *keeper, const struct ma_unwind_job *job)
{
	struct ma_unwind_known *known = NULL;
	if (!keeper->worker || job->owner != keeper->id)
		return false;
	for (uint32_t i = 0; i < keeper->known_count && !known; i++) {
		struct ma_unwind_known *one = &keeper->known[i];
		if (one->waiting && one->module.start == job->module.start &&
		    one->module.end == job->module.end && one->offset == job->offset &&
		    one->inode == job->module.inode)
			known = one;
	}
	if (!known)
		return true; /* unmapped meanwhile */
	known->waiting = false;
	keeper->waiting--;
	/* A file that cannot be read has a name all the same. */
	known->module.bias = job->known ? job->module.bias : known->module.start - known->offset;
	struct ma_native_module module = job->module;
	module.bias = known->module.bias;
	known->module.id = ma_modules_add(keeper->modules, &module);
	take_table(keeper, job, known);
	keeper->changed = true;
	return true;
}
