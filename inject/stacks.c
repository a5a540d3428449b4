/* SPDX-License-Identifier: MIT */
#include "inject/stacks.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "inject/inspect.h"
#include "inject/safe_point.h"
#include "inject/stack_capture.h"
#include "inject/symbols.h"
#include "inject/unwinder.h"
#include "proto/cold_part.h"
#include "proto/stack_merge.h"

enum {
	MAX_REWALKS = 32, /* threads that are stopped once more, alone */
	HEADERS = 64,     /* of a program that we look at */
};

struct ma_stacks_session {
	struct ma_view view;
	struct ma_view copied; /* the same view, whose memory is the stack that was copied */
	const struct ma_captured *walking;
	struct ma_unwinder *unwinder;
	struct ma_symbols *symbols;
	struct ma_capture *capture;
	struct ma_range cold_loop; /* part of the interpreter loop that may have no symbol */
	bool same_root;            /* the target's files have the names that we know them by */
	struct ma_stacks stacks;
	struct ma_stack_walk walk;
};

/* The memory of a thread that runs again: what was copied of its stack. */
static ssize_t read_copied(const struct ma_target_memory *memory, uint64_t address, void *buffer,
			   size_t bytes)
{
	const struct ma_stacks_session *session = memory->context;
	const struct ma_captured *thread = session->walking;
	uint64_t left;

	if (address < thread->stack_start || address - thread->stack_start >= thread->stack_bytes) {
		errno = EFAULT;
		return -1;
	}
	left = thread->stack_start + thread->stack_bytes - address;
	if (bytes > left)
		bytes = left;
	memcpy(buffer, session->capture->stack + thread->stack_at + (address - thread->stack_start),
	       bytes);
	return (ssize_t)bytes;
}

static ssize_t refuse_write(const struct ma_target_memory *memory, uint64_t address,
			    const void *buffer, size_t bytes)
{
	(void)memory, (void)address, (void)buffer, (void)bytes;
	errno = EROFS;
	return -1;
}

static const struct ma_memory_ops copied_ops = {.read = read_copied, .write = refuse_write};

static int out_of_memory(const struct ma_stacks_session *session, struct ma_error *error)
{
	return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "reading the stacks of process %d",
			    session->view.pid);
}

/* The address of .eh_frame_hdr, 0: none. */
static uint64_t find_unwind_header(const struct ma_target_memory *memory,
				   const struct ma_module *module)
{
	Elf64_Ehdr elf;
	Elf64_Phdr header[HEADERS];

	if (ma_memory_read(memory, module->base, &elf, sizeof(elf), NULL) || !elf.e_phnum ||
	    elf.e_phnum > HEADERS || elf.e_phentsize != sizeof(header[0]) ||
	    ma_memory_read(memory, ma_raddr_add(module->base, elf.e_phoff), header,
			   elf.e_phnum * sizeof(header[0]), NULL))
		return 0;
	for (int i = 0; i < elf.e_phnum; i++)
		if (header[i].p_type == PT_GNU_EH_FRAME)
			return header[i].p_vaddr + module->bias;
	return 0;
}

static int read_code(void *context, uint64_t address, void *buffer, size_t bytes)
{
	return ma_memory_read(context, ma_raddr(address), buffer, bytes, NULL);
}

static void find_cold_loop(struct ma_stacks_session *session)
{
	const struct ma_module *module =
		&session->view.link_map.object[session->view.interpreter.object].module;
	const struct ma_segment *segment;
	struct ma_symbol symbol;
	struct ma_code_range loop, cold;
	const struct ma_code_source source = {
		.read = read_code,
		.context = &session->view.memory,
		.unwind_header = find_unwind_header(&session->view.memory, module),
	};

	session->cold_loop = (struct ma_range){0};
	if (ma_module_symbol(&session->view.memory, module, "_PyEval_EvalFrameDefault", &symbol,
			     NULL) != 1)
		return;
	loop = (struct ma_code_range){symbol.address.value, symbol.address.value + symbol.size};
	if (!ma_cold_part_find(&source, &loop, &cold))
		return;
	segment = ma_module_segment(module, cold.start, 1);
	if (segment && (segment->protection & PROT_EXEC))
		session->cold_loop = (struct ma_range){cold.start, cold.end};
}

/* Loads what the view's objects say of unwinding and of names. */
static int load_tables(struct ma_stacks_session *session, struct ma_error *error)
{
	ma_unwinder_destroy(session->unwinder);
	ma_symbols_destroy(session->symbols);
	find_cold_loop(session);
	session->copied = session->view;
	session->copied.memory = (struct ma_target_memory){
		.pid = session->view.pid, .fd = -1, .ops = &copied_ops, .context = session};
	session->unwinder = ma_unwinder_create(&session->copied);
	if (session->unwinder)
		ma_unwinder_load(session->unwinder);
	session->symbols = ma_symbols_create(&session->view);
	return session->unwinder && session->symbols ? 0 : out_of_memory(session, error);
}

static bool is_same_root(pid_t pid)
{
	struct stat ours, its;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/root/.", pid);
	return !stat("/.", &ours) && !stat(path, &its) && ours.st_dev == its.st_dev &&
	       ours.st_ino == its.st_ino;
}

int ma_stacks_open(pid_t pid, struct ma_stacks_session **opened, struct ma_error *error)
{
	struct ma_stacks_session *session = calloc(1, sizeof(*session));
	int failed;

	*opened = NULL;
	if (!session)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "looking at process %d", pid);
	failed = ma_view_open(pid, &session->view, error);
	if (!failed)
		failed = load_tables(session, error);
	if (!failed) {
		session->same_root = is_same_root(pid);
		session->capture = ma_capture_create();
		if (!session->capture)
			failed = out_of_memory(session, error);
	}
	if (failed) {
		ma_stacks_close(session);
		return failed;
	}
	*opened = session;
	return 0;
}

static void forget(struct ma_stacks *stacks)
{
	for (uint32_t i = 0; i < stacks->thread_count; i++)
		free(stacks->thread[i].frame);
	free(stacks->thread);
	*stacks = (struct ma_stacks){0};
}

void ma_stacks_close(struct ma_stacks_session *session)
{
	if (!session)
		return;
	forget(&session->stacks);
	ma_unwinder_destroy(session->unwinder);
	ma_symbols_destroy(session->symbols);
	ma_capture_destroy(session->capture);
	ma_view_close(&session->view);
	free(session);
}

const struct ma_process *ma_stacks_process(const struct ma_stacks_session *session)
{
	return &session->view.process;
}

/* Walks the copied stack of a thread into session->walk. */
static void walk(struct ma_stacks_session *session, const struct ma_captured *thread)
{
	session->walking = thread;
	if (thread->walked) {
		session->walk.count =
			thread->pc_count < MA_WALK_FRAMES ? (int)thread->pc_count : MA_WALK_FRAMES;
		memcpy(session->walk.pc, session->capture->pc + thread->pc_at,
		       (size_t)session->walk.count * sizeof(session->walk.pc[0]));
		session->walk.complete = true;
		return;
	}
	ma_unwinder_walk(session->unwinder, thread->tid, &thread->regs, &session->walk);
}

/* Did a walk come through an object that was loaded after the view was opened? */
static bool met_new_object(const struct ma_stacks_session *session, const struct ma_maps *maps)
{
	for (int i = 0; i < session->walk.count; i++) {
		const struct ma_map *map;

		if (ma_link_map_find(&session->view.link_map, session->walk.pc[i]))
			continue;
		map = ma_maps_find(maps, session->walk.pc[i]);
		if (map && map->inode && (map->protection & PROT_EXEC))
			return true;
	}
	return false;
}

/* Objects that were loaded since are made known; the stacks are copied, so there is time. */
static int know_new_objects(struct ma_stacks_session *session, struct ma_error *error)
{
	const struct ma_capture *capture = session->capture;
	struct ma_maps maps = {0};
	bool found = false;

	if (!ma_maps_read(session->view.pid, &maps, NULL))
		for (uint32_t i = 0; i < capture->count && !found; i++) {
			if (capture->thread[i].how != MA_CAPTURED_STOPPED)
				continue;
			walk(session, &capture->thread[i]);
			found = met_new_object(session, &maps);
		}
	ma_maps_fini(&maps);
	/* Gone by now: what was copied is good all the same. */
	if (!found || ma_view_refresh(&session->view, NULL))
		return 0;
	return load_tables(session, error);
}

/* Where tables did not lead to the end, libunwind may find the way; it reads live threads only. */
static void rewalk(struct ma_stacks_session *session)
{
	struct ma_capture *capture = session->capture;
	int done = 0;

	for (uint32_t i = 0; session->same_root && i < capture->count && done < MAX_REWALKS; i++) {
		if (capture->thread[i].how != MA_CAPTURED_STOPPED)
			continue;
		walk(session, &capture->thread[i]);
		if (session->walk.complete)
			continue;
		done++;
		if (ma_capture_rewalk(&session->view, session->unwinder, capture, i, NULL) ==
		    MA_ERR_NO_PROCESS)
			break;
	}
}

/* A native frame, with those of the functions that were inlined there before it; what would be left
 * out as a frame is left out as an inlined one. Returns how many. */
static uint32_t fill_native(struct ma_stacks_session *session, uint64_t pc,
			    struct ma_stack_frame *frame)
{
	const struct ma_symbol_place *place = ma_symbols_find(session->symbols, pc);
	const struct ma_stack_frame own = {
		.function = place->function,
		.file = place->file,
		.line = place->line,
		.module = place->module,
		.build_id = place->build_id,
		.offset = place->offset,
		.address = pc,
	};
	uint32_t count = 0;

	for (int i = 0; i < place->inlined_count; i++) {
		const struct ma_symbol_inline *inlined = &place->inlined[i];

		if (place->interpreter && ma_stack_role(inlined->function) != MA_NATIVE_OTHER)
			continue;
		frame[count] = own;
		frame[count].inlined = true;
		frame[count].function = inlined->function;
		frame[count].file = inlined->file;
		frame[count++].line = inlined->line;
	}
	frame[count++] = own;
	return count;
}

static void fill_python(struct ma_stacks_session *session, const struct ma_py_place *place,
			struct ma_stack_frame *frame)
{
	const struct ma_py_stacks *python = &session->capture->python;
	const struct ma_py_code *code = &python->code[place->code];

	*frame = (struct ma_stack_frame){
		.python = true,
		.function = python->text + code->name,
		.file = python->text + code->filename,
		.line = ma_py_stacks_line(&session->view.interpreter, python, place),
	};
}

static enum ma_native_role role_of(struct ma_stacks_session *session, uint64_t pc)
{
	const struct ma_symbol_place *place = ma_symbols_find(session->symbols, pc);

	if (!place->interpreter)
		return MA_NATIVE_OTHER;
	if (!place->function && ma_range_has(&session->cold_loop, pc))
		return MA_NATIVE_LOOP;
	return ma_stack_role(place->function);
}

/* Merges what session->walk holds with the thread's Python frames. */
static int fill_frames(struct ma_stacks_session *session, const struct ma_captured *from,
		       struct ma_stack_thread *thread)
{
	uint32_t natives = thread->native ? (uint32_t)session->walk.count : 0;
	const struct ma_py_place *place = session->capture->python.place + from->python.first;
	uint32_t most = natives + from->python.count, inlined = 0, count = 0;
	enum ma_native_role *role = calloc(natives + 1, sizeof(*role));
	uint8_t *mark = calloc(from->python.count + 1, sizeof(*mark));
	struct ma_merged *merged = calloc(most + 1, sizeof(*merged));
	struct ma_merge merge;

	for (uint32_t i = 0; i < natives; i++)
		inlined += (uint32_t)ma_symbols_find(session->symbols, session->walk.pc[i])
				   ->inlined_count;
	thread->frame = calloc(most + inlined + 1, sizeof(*thread->frame));
	if (!role || !mark || !merged || !thread->frame) {
		free(role);
		free(mark);
		free(merged);
		return -1;
	}
	for (uint32_t i = 0; i < from->python.count; i++)
		mark[i] = (place[i].flags & MA_PY_PLACE_ENTRY ? MA_PYTHON_ENTRY : 0) |
			  (place[i].flags & MA_PY_PLACE_HIDDEN ? MA_PYTHON_HIDDEN : 0);
	for (uint32_t i = 0; i < natives; i++)
		role[i] = role_of(session, session->walk.pc[i]);
	merge = ma_stack_merge(role, natives, thread->complete, mark, from->python.count, merged);
	for (uint32_t i = 0; i < merge.count; i++)
		if (merged[i].python)
			fill_python(session, &place[merged[i].index], &thread->frame[count++]);
		else
			count += fill_native(session, session->walk.pc[merged[i].index],
					     &thread->frame[count]);
	thread->frame_count = count;
	thread->folded = merge.folded;
	thread->exact = merge.exact && !from->python.broken;
	free(role);
	free(mark);
	free(merged);
	return 0;
}

static int fill_thread(struct ma_stacks_session *session, const struct ma_captured *from,
		       bool native, struct ma_stack_thread *thread)
{
	static const enum ma_stack_how hows[] = {
		[MA_CAPTURED_STOPPED] = MA_STACK_READ,
		[MA_CAPTURED_BUSY] = MA_STACK_BUSY,
		[MA_CAPTURED_FOREIGN] = MA_STACK_TRACED,
	};
	struct ma_proc_stat stat;

	*thread = (struct ma_stack_thread){
		.tid = from->tid,
		.state = from->state,
		.how = hows[from->how],
		.has_python = from->has_python,
		.holds_gil = from->holds_gil,
		.native = native,
		.python_broken = from->python.broken,
		.again = from->walked,
	};
	if (!ma_proc_stat_read(session->view.pid, from->tid, &stat, NULL))
		snprintf(thread->name, sizeof(thread->name), "%s", stat.comm);
	session->walk.count = 0;
	session->walk.complete = false;
	if (native && thread->how == MA_STACK_READ)
		walk(session, from);
	thread->complete = session->walk.complete;
	return fill_frames(session, from, thread);
}

static int by_tid(const void *a, const void *b)
{
	const struct ma_stack_thread *left = a, *right = b;

	return (left->tid > right->tid) - (left->tid < right->tid);
}

int ma_stacks_take(struct ma_stacks_session *session, bool native, const struct ma_stacks **taken,
		   struct ma_error *error)
{
	struct ma_stacks *stacks = &session->stacks;
	struct ma_capture *capture = session->capture;
	int failed;

	forget(stacks);
	*taken = stacks;
	if (ma_view_ended(&session->view))
		return ma_error_set(error, MA_ERR_NO_PROCESS, ESRCH, "looking at process %d",
				    session->view.pid);
	failed = ma_capture_take(&session->view, session->unwinder, capture, native, error);
	if (!failed && native)
		failed = know_new_objects(session, error);
	if (failed)
		return failed;
	if (native)
		rewalk(session);
	stacks->thread = calloc(capture->count + 1, sizeof(*stacks->thread));
	if (!stacks->thread)
		return out_of_memory(session, error);
	for (uint32_t i = 0; i < capture->count; i++) {
		/* One that ended while the others were being stopped is none any more. */
		if (capture->thread[i].how == MA_CAPTURED_GONE)
			continue;
		if (fill_thread(session, &capture->thread[i], native,
				&stacks->thread[stacks->thread_count++]))
			return out_of_memory(session, error);
	}
	qsort(stacks->thread, stacks->thread_count, sizeof(*stacks->thread), by_tid);
	stacks->pause_us = capture->pause_us;
	stacks->prolonged = capture->prolonged;
	stacks->finalizing = capture->python.finalizing;
	stacks->incomplete = capture->python.incomplete;
	return 0;
}
