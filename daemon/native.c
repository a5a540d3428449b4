/* SPDX-License-Identifier: MIT */
/* See native.h. */
#include "daemon/native.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/text.h"
#include "proto/area_check.h"
#include "proto/unwind.h"

enum {
	STACKS_PER_CALL = 512,
	FRAMES_MAX = 1 << 20, /* told apart; beyond that they have no names */
	HEAD_WORDS = sizeof(struct ma_stack) / sizeof(uint64_t),
	SCANNED_ALL = UINT32_MAX, /* the log makes no sense from here on */
};

bool ma_native_init(struct ma_native *native, const struct ma_modules *modules,
		    const struct ma_tables *tables)
{
	*native = (struct ma_native){
		.modules = modules,
		.tables = tables,
		.scanned = 1,
		.scratch = malloc(sizeof *native->scratch),
	};
	return native->scratch != NULL;
}

void ma_native_fini(struct ma_native *native)
{
	for (int i = 0; i < MA_NATIVE_OPEN_JOBS; i++)
		ma_symbol_job_destroy(native->jobs[i]);
	ma_idmap_fini(&native->file_of_module);
	ma_idmap_fini(&native->place_of_frame);
	free(native->scratch);
	free(native->servers);
	*native = (struct ma_native){0};
}

void ma_native_set_servers(struct ma_native *native, const char *servers)
{
	free(native->servers);
	native->servers = servers && servers[0] ? strdup(servers) : NULL;
}

static bool has_module(const struct ma_native *native, const char *path)
{
	for (uint32_t i = 0; i < native->modules->count; i++)
		if (strcmp(native->modules->modules[i].path, path) == 0)
			return true;
	return false;
}

static void note_lost(const struct ma_native *native, struct ma_notes *notes)
{
	static const char *const without[] = {
		[MA_SYMBOL_LOST_LINES] = "lines",
		[MA_SYMBOL_LOST_NAMES] = "names",
	};
	for (uint32_t i = 0; i < native->cache->lost_count; i++) {
		const struct ma_native_lost *lost = &native->cache->lost[i];
		char path[200];
		if (!has_module(native, lost->path))
			continue;
		ma_text_from_bytes(path, sizeof path, lost->path, strlen(lost->path));
		ma_notes_add(notes, ma_clock_realtime_ns(),
			     "Functions of %s have no %s: reading its symbols crashed, or took too "
			     "much time or memory.",
			     path, without[lost->what]);
	}
}

void ma_native_note(const struct ma_native *native, struct ma_notes *notes)
{
	if (!native->cache)
		return;
	note_lost(native, notes);
	if (!native->servers || !native->cache->fetched.failed)
		return;
	const struct ma_symbol_fetched *fetched = &native->cache->fetched;
	ma_notes_update(notes, ma_clock_realtime_ns(), "debuginfod failed",
			" for %u of %u debug files since the daemon runs (%s): native lines of "
			"these modules are what the files here say.",
			fetched->failed, fetched->asked, fetched->answer);
}

/* A job of a module, for which its file is open. NULL: no memory. Takes fd. */
static struct ma_symbol_job *make_job(const struct ma_native *native,
				      const struct ma_native_module *module, uint32_t file, int fd)
{
	struct ma_symbol_job *job = calloc(1, sizeof *job);
	char *path = strdup(module->path);
	if (!job || !path) {
		free(job);
		free(path);
		close(fd);
		return NULL;
	}
	job->file = file;
	job->fd = fd;
	job->root_fd = ma_modules_root(native->modules);
	job->path = path;
	job->servers = native->servers ? strdup(native->servers) : NULL;
	job->flags = module->interpreter ? MA_SYMBOL_INTERPRETER : 0;
	return job;
}

static void submit(struct ma_native *native, int at)
{
	ma_native_cache_ask(native->cache, native->jobs[at]);
	native->jobs[at] = NULL;
}

/* The file of a module, MA_NATIVE_NONE: it cannot be opened. *fd: the open file, where that was
 * necessary to know; -1 else. */
static uint32_t file_of(struct ma_native *native, uint32_t id,
			const struct ma_native_module *module, int *fd)
{
	uint32_t known = ma_idmap_find(&native->file_of_module, id);
	*fd = -1;
	if (known != MA_IDMAP_NONE)
		return known - 1;
	*fd = ma_modules_open(native->modules, module);
	uint32_t file = MA_NATIVE_NONE;
	if (*fd >= 0)
		file = ma_native_cache_file(native->cache, *fd, native->servers != NULL);
	/* One more, because a map cannot hold MA_NATIVE_NONE itself. */
	ma_idmap_add(&native->file_of_module, id, file + 1);
	return file;
}

/* Adds an address to the job of its module. */
static void ask(struct ma_native *native, uint32_t id, const struct ma_native_module *module,
		uint32_t file, int fd, uint32_t place, uint64_t address)
{
	int at = 0, fullest = 0;
	while (at < MA_NATIVE_OPEN_JOBS && !(native->jobs[at] && native->job_modules[at] == id)) {
		if (native->jobs[at] && native->jobs[fullest] &&
		    native->jobs[at]->count > native->jobs[fullest]->count)
			fullest = at;
		at++;
	}
	if (at == MA_NATIVE_OPEN_JOBS) {
		for (at = 0; at < MA_NATIVE_OPEN_JOBS && native->jobs[at];)
			at++;
		if (at == MA_NATIVE_OPEN_JOBS)
			submit(native, at = fullest);
		if (fd < 0)
			fd = ma_modules_open(native->modules, module);
		native->jobs[at] = fd >= 0 ? make_job(native, module, file, fd) : NULL;
		native->job_modules[at] = id;
	} else if (fd >= 0) {
		close(fd);
	}
	if (!native->jobs[at]) {
		ma_native_cache_give_up(native->cache, place);
		return;
	}
	native->jobs[at]->address[native->jobs[at]->count++] = address;
	if (native->jobs[at]->count == MA_SYMBOL_BATCH)
		submit(native, at);
}

/* Makes a frame known; has its name looked up if nobody did. */
static void want(struct ma_native *native, uint64_t frame)
{
	uint32_t id = MA_FRAME_NATIVE_MODULE(frame), place = MA_NATIVE_NONE;
	const struct ma_native_module *module = ma_modules_find(native->modules, id);
	bool is_new = false;
	int fd;
	if (!module || native->place_of_frame.used >= FRAMES_MAX ||
	    ma_idmap_find(&native->place_of_frame, frame) != MA_IDMAP_NONE)
		return;
	uint32_t file = file_of(native, id, module, &fd);
	uint64_t address = MA_FRAME_NATIVE_PC(frame) - module->bias;
	if (file != MA_NATIVE_NONE)
		place = ma_native_cache_place(native->cache, file, address, &is_new);
	ma_idmap_add(&native->place_of_frame, frame, place + 1);
	if (is_new)
		ask(native, id, module, file, fd, place, address);
	else if (fd >= 0)
		close(fd);
}

static uint64_t stack_end(const struct ma_native *native)
{
	return __atomic_load_n(&native->tables->stack_used, __ATOMIC_ACQUIRE);
}

void ma_native_scan(struct ma_native *native)
{
	struct ma_stack stack;
	uint64_t *frames = native->scratch->words;
	if (!native->cache)
		return;
	for (int i = 0; i < STACKS_PER_CALL && native->scanned < stack_end(native); i++) {
		if (!ma_native_cache_has_room(native->cache))
			break;
		if (ma_stack_copy(native->tables, native->scanned, &stack, frames) < 0) {
			native->scanned = SCANNED_ALL;
			break;
		}
		for (uint32_t at = stack.frame_count; at > 0 && MA_FRAME_IS_NATIVE(frames[at - 1]);
		     at--)
			want(native, frames[at - 1]);
		native->scanned += HEAD_WORDS + stack.frame_count;
	}
	for (int i = 0; i < MA_NATIVE_OPEN_JOBS; i++)
		if (native->jobs[i])
			submit(native, i);
}

void ma_native_finish(struct ma_native *native)
{
	uint32_t before;
	do {
		before = native->scanned;
		ma_native_scan(native);
	} while (native->scanned != before && native->scanned != SCANNED_ALL);
	native->over = true;
}

uint32_t ma_native_pending(const struct ma_native *native)
{
	if (!native->cache)
		return 0;
	return native->cache->pending +
	       (!native->over && native->scanned < stack_end(native) ? 1 : 0);
}

struct ma_native_frame ma_native_frame(const struct ma_native *native, uint64_t frame)
{
	static const struct ma_native_place unknown = {.known = false};
	struct ma_native_frame found = {
		.module = ma_modules_find(native->modules, MA_FRAME_NATIVE_MODULE(frame)),
		.place = &unknown,
		.address = MA_FRAME_NATIVE_PC(frame),
	};
	uint32_t place = 0;
	if (found.module)
		found.address -= found.module->bias;
	if (found.module && native->cache && native->place_of_frame.used < FRAMES_MAX)
		place = ma_idmap_find(&native->place_of_frame, frame);
	if (place == MA_IDMAP_NONE && native->over)
		place = 0;
	if (place != MA_IDMAP_NONE)
		found.place =
			ma_native_cache_get(native->cache, place ? place - 1 : MA_NATIVE_NONE);
	return found;
}

void ma_native_frame_text(const struct ma_native_frame *frame, char *text, size_t room)
{
	if (!frame->module) {
		snprintf(text, room, "0x%" PRIx64, frame->address);
		return;
	}
	const char *slash = strrchr(frame->module->path, '/');
	const char *name = slash && slash[1] ? slash + 1 : frame->module->path;
	size_t length = ma_text_from_bytes(text, room, name, strlen(name));
	snprintf(text + length, room - length, "+0x%" PRIx64, frame->address);
}

bool ma_native_line_is_shown(const struct ma_native_frame *frame, uint32_t line)
{
	const struct ma_native_place *place = frame->place;
	return line + 1 == place->count || !frame->module || !frame->module->interpreter ||
	       ma_stack_role(place->line[line].function) == MA_NATIVE_OTHER;
}
