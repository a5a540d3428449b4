/* SPDX-License-Identifier: MIT */
/*
 * One stack out of Python's frames and the native ones. The merge says which native frames stand
 * between which Python frames; here it is decided which runs of them are worth a look. That the
 * interpreter runs a line, makes an object or starts a thread is true of every line, so a run of
 * native frames is shown only if it comes through code of somebody else: an extension, a library, a
 * program that embeds Python. What asked for the memory on behalf of everybody (malloc, operator
 * new) is left out at the inner end, what started the thread at the outer end.
 */
#include "daemon/native.h"

#include <string.h>

#include "proto/area_check.h"
#include "proto/unwind.h"

static const char *base_name(const struct ma_native_module *module)
{
	const char *slash = strrchr(module->path, '/');
	return slash ? slash + 1 : module->path;
}

/* glibc by its file names of all releases, from which threads and programs are started. */
static bool is_libc(const struct ma_native_frame *frame)
{
	static const char *const names[] = {"libc.so.", "libc-2.", "libpthread.so.",
					    "libpthread-2."};
	for (size_t i = 0; frame->module && i < sizeof names / sizeof names[0]; i++)
		if (strncmp(base_name(frame->module), names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static bool is_interpreter(const struct ma_native_frame *frame)
{
	return frame->module && frame->module->interpreter;
}

/* The function that a symbol names; NULL: none. */
static const char *name_of(const struct ma_native_frame *frame)
{
	return frame->place->count ? frame->place->line[frame->place->count - 1].function : NULL;
}

static enum ma_native_role role_of(const struct ma_native_frame *frame)
{
	return is_interpreter(frame) ? ma_stack_role(name_of(frame)) : MA_NATIVE_OTHER;
}

/* How many of the outermost frames only started the thread or the program. */
static uint32_t count_starters(const struct ma_native *native, const uint64_t *frames,
			       uint32_t count)
{
	uint32_t at = count;
	const struct ma_native_module *program = NULL;
	if (at > 1) {
		struct ma_native_frame outermost = ma_native_frame(native, frames[at - 1]);
		struct ma_native_frame next = ma_native_frame(native, frames[at - 2]);
		/* _start is the program's own, and so is main, with libc between them. */
		if (!is_libc(&outermost) && is_libc(&next)) {
			program = outermost.module;
			at--;
		}
	}
	while (at > 1) {
		struct ma_native_frame frame = ma_native_frame(native, frames[at - 1]);
		bool is_main = program && frame.module == program;
		if (!is_libc(&frame) && !is_main)
			break;
		at--;
		if (is_main)
			break;
	}
	return count - at;
}

/* Copies the frames of a run that are worth it. Returns how many. */
static uint32_t copy_run(const struct ma_native *native, const uint64_t *run, uint32_t count,
			 bool alone, uint64_t *words)
{
	bool foreign = alone;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < count && !foreign; i++) {
		struct ma_native_frame frame = ma_native_frame(native, run[i]);
		foreign = !is_interpreter(&frame);
	}
	for (uint32_t i = 0; i < count && foreign; i++) {
		struct ma_native_frame frame = ma_native_frame(native, run[i]);
		if (alone || role_of(&frame) == MA_NATIVE_OTHER)
			words[kept++] = run[i];
	}
	return kept;
}

/* The parts of a stack, and where the merge of them goes. */
struct arranging {
	const struct ma_native *native;
	const uint64_t *python;
	uint32_t pythons;
	const uint64_t *natives;
	uint64_t *words;
	uint32_t count;
};

/* Takes the merge over, run by run. A run ends where the next Python frame begins. */
static void take_runs(struct arranging *arranging, const struct ma_merged *merged, uint32_t count)
{
	const struct ma_native *native = arranging->native;
	uint64_t *run = NULL;
	uint32_t length = 0;
	for (uint32_t i = 0; i <= count; i++) {
		if (i < count && !merged[i].python) {
			/* Runs are copied onto themselves: a word is never written before it is
			 * read. */
			if (!length)
				run = arranging->words + arranging->count;
			run[length++] = arranging->natives[merged[i].index];
			continue;
		}
		if (length)
			arranging->count += copy_run(native, run, length, !arranging->pythons, run);
		length = 0;
		if (i < count)
			arranging->words[arranging->count++] =
				arranging->python[merged[i].index] & ~MA_FRAME_ENTRY;
	}
}

static bool names_are_known(const struct ma_native *native, const uint64_t *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!ma_native_frame(native, frames[i]).place->known)
			return false;
	return true;
}

bool ma_native_arrange(struct ma_native *native, struct ma_stack *stack,
		       uint64_t frames[MA_MAX_FRAMES], bool wanted)
{
	struct ma_native_scratch *scratch = native->scratch;
	uint32_t pythons = 0, inner = 0;
	while (pythons < stack->frame_count && !MA_FRAME_IS_NATIVE(frames[pythons]))
		pythons++;
	uint32_t natives = stack->frame_count - pythons;
	const uint64_t *word = frames + pythons;
	bool known = !wanted || names_are_known(native, word, natives);
	if (!wanted || !natives || (pythons && !known)) {
		ma_stack_keep_python(stack, frames);
		return known;
	}
	natives -= count_starters(native, word, natives);
	while (inner + 1 < natives) {
		struct ma_native_frame frame = ma_native_frame(native, word[inner]);
		if (!ma_stack_is_allocator(name_of(&frame)))
			break;
		inner++;
	}
	for (uint32_t i = inner; i < natives; i++) {
		struct ma_native_frame frame = ma_native_frame(native, word[i]);
		scratch->role[i - inner] = role_of(&frame);
	}
	for (uint32_t i = 0; i < pythons; i++)
		scratch->mark[i] = frames[i] & MA_FRAME_ENTRY ? MA_PYTHON_ENTRY : 0;
	struct ma_merge merge = ma_stack_merge(scratch->role, natives - inner,
					       !(stack->flags & MA_STACK_NATIVE_CUT), scratch->mark,
					       pythons, scratch->merged);
	struct arranging arranging = {
		.native = native,
		.python = frames,
		.pythons = pythons,
		.natives = word + inner,
		.words = scratch->words,
	};
	take_runs(&arranging, scratch->merged, merge.count);
	memcpy(frames, scratch->words, arranging.count * sizeof *frames);
	stack->frame_count = arranging.count;
	return known;
}
