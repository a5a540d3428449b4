/* SPDX-License-Identifier: MIT */
/*
 * Native frames of one target: which module and which function each of them is in. New stacks are
 * gone through in the background, so that names are there by the time that somebody asks; until
 * then a frame says that it is not known yet.
 */
#ifndef MA_DAEMON_NATIVE_H
#define MA_DAEMON_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/idmap.h"
#include "daemon/modules.h"
#include "daemon/native_cache.h"
#include "daemon/notes.h"
#include "proto/area.h"
#include "proto/stack_merge.h"

enum { MA_NATIVE_OPEN_JOBS = 8 }; /* being put together at a time */

/* A frame that is native (MA_FRAME_IS_NATIVE). */
struct ma_native_frame {
	const struct ma_native_module *module; /* NULL: none that we know */
	const struct ma_native_place *place;   /* borrowed until more is taken in */
	uint64_t address; /* as the module's file counts them; the target's where there is none */
};

struct ma_native_scratch;

/* Zero-initialise, then ma_native_init. */
struct ma_native {
	struct ma_native_cache *cache; /* NULL: nobody looks up names */
	const struct ma_modules *modules;
	const struct ma_tables *tables;
	char *servers; /* for debug files, as in DEBUGINFOD_URLS; owned; NULL: none */
	struct ma_idmap file_of_module;
	struct ma_idmap place_of_frame;
	uint32_t scanned; /* stacks below this id were gone through */
	bool over;        /* and no more will be */
	struct ma_symbol_job *jobs[MA_NATIVE_OPEN_JOBS];
	uint32_t job_modules[MA_NATIVE_OPEN_JOBS];
	struct ma_native_scratch *scratch;
};

/* All borrowed. Names are looked up once native->cache is set. false: no memory. Daemon loop, as
 * everything here. */
bool ma_native_init(struct ma_native *native, const struct ma_modules *modules,
		    const struct ma_tables *tables);
void ma_native_fini(struct ma_native *native);

/* From now on debug files that are not here are asked of these servers ("" or NULL: of none). */
void ma_native_set_servers(struct ma_native *native, const char *servers);

/* Says, once names have come, which of its modules lost theirs, and how often servers failed. */
void ma_native_note(const struct ma_native *native, struct ma_notes *notes);

/* Goes through stacks that are new, and has the names of their frames looked up; some hundred
 * stacks a call. */
void ma_native_scan(struct ma_native *native);

/* The target is about to go: goes through what is left, as far as there is room. */
void ma_native_finish(struct ma_native *native);

/* How many addresses are still being looked up, those of other targets among them; not 0 either
 * while there are stacks to go through. */
uint32_t ma_native_pending(const struct ma_native *native);

struct ma_native_frame ma_native_frame(const struct ma_native *native, uint64_t frame);

/*
 * "libfoo.so+0x1234" for a frame without a name, written into text. Valid UTF-8.
 */
void ma_native_frame_text(const struct ma_native_frame *frame, char *text, size_t room);

/* Lines of a place that are shown: how the interpreter calls functions, compiled into one of its
 * functions, is left out like a frame of it. */
bool ma_native_line_is_shown(const struct ma_native_frame *frame, uint32_t line);

/*
 * native_stack.c: puts the frames of a copied stack (proto/area_check.h) into one order, innermost
 * first: Python frames without MA_FRAME_ENTRY, and between them native ones, as far as there is
 * code other than the interpreter's own in between; or Python frames alone when native ones are not
 * wanted, or their names are not known yet. stack->frame_count becomes the count. Returns false
 * when that may be different later, because of names that are on the way.
 */
bool ma_native_arrange(struct ma_native *native, struct ma_stack *stack,
		       uint64_t frames[MA_MAX_FRAMES], bool wanted);

/* What native_stack.c works in. */
struct ma_native_scratch {
	enum ma_native_role role[MA_MAX_FRAMES];
	uint8_t mark[MA_MAX_FRAMES];
	struct ma_merged merged[MA_MAX_FRAMES];
	uint64_t words[MA_MAX_FRAMES];
};

#endif
