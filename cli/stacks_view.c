/* SPDX-License-Identifier: MIT */
/* Stacks on paper; see stacks_view.h. */
#include "cli/stacks_view.h"

#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/errors.h"
#include "cli/flow.h"
#include "cli/format.h"

enum { INDENT = 4, NAME_LEAST = 20, GAP_COLUMNS = 2, ALIKE_LEAST = 4 };

static const char *state_name(char state)
{
	static const struct {
		char letter;
		const char *name;
	} names[] = {
		{'R', "running"}, {'S', "sleeping"}, {'D', "in the kernel"}, {'T', "stopped"},
		{'t', "traced"},  {'Z', "ended"},    {'X', "ended"},         {'I', "idle"},
	};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].letter == state)
			return names[i].name;
	return "new";
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

/* "libfoo.so+0x1234", or the bare address of code that is in no object. */
static void add_place(struct ma_text *text, const struct ma_stack_frame *frame)
{
	if (frame->module) {
		ma_display_escape(text, base_name(frame->module));
		ma_text_addf(text, "+0x%llx", (unsigned long long)frame->offset);
	} else {
		ma_text_addf(text, "0x%llx", (unsigned long long)frame->address);
	}
}

static void add_where(struct ma_text *text, const struct ma_stack_frame *frame)
{
	if (frame->file) {
		ma_display_escape(text, frame->python ? ma_display_path(frame->file) : frame->file);
		if (frame->line)
			ma_text_addf(text, ":%d", frame->line);
	}
	if (frame->python || !frame->function)
		return;
	if (!frame->file) {
		add_place(text, frame);
	} else if (frame->inlined) {
		ma_text_add(text, " (inlined)");
	} else if (frame->module) {
		ma_text_add(text, " (");
		ma_display_escape(text, base_name(frame->module));
		ma_text_add(text, ")");
	}
}

static int same_string(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Do two frames read the same? Of a recursion only the ends are worth a line each. */
static int alike(const struct ma_stack_frame *a, const struct ma_stack_frame *b)
{
	return a->python == b->python && same_string(a->function, b->function) &&
	       same_string(a->file, b->file) && a->line == b->line &&
	       (a->python || a->function || a->address == b->address);
}

static void write_frame(struct ma_text *text, const struct ma_terminal *terminal,
			const struct ma_stack_frame *frame, unsigned name_columns)
{
	struct ma_text name = {0}, where = {0};
	if (frame->function)
		ma_display_escape(&name, frame->function);
	else
		add_place(&name, frame);
	add_where(&where, frame);
	ma_text_repeat(text, ' ', INDENT);
	enum ma_style style = frame->python ? MA_STYLE_PLAIN : MA_STYLE_FAINT;
	ma_style_begin(text, terminal->color, style);
	/* What differs most is at the end of a path and at the beginning of a name. */
	unsigned used =
		ma_display_add_start(text, ma_text_string(&name),
				     where.length ? name_columns : terminal->width - INDENT);
	if (where.length) {
		ma_text_repeat(text, ' ', name_columns + GAP_COLUMNS - used);
		ma_display_add_end(text, ma_text_string(&where),
				   terminal->width - INDENT - name_columns - GAP_COLUMNS);
	}
	ma_style_end(text, terminal->color, style);
	ma_text_add(text, "\n");
	ma_text_fini(&name);
	ma_text_fini(&where);
}

static void write_note(struct ma_text *text, const struct ma_terminal *terminal, const char *note)
{
	struct ma_flow flow = ma_flow_init(text, terminal->width, terminal->color);
	ma_flow_begin(&flow, "", INDENT, " ");
	ma_flow_words(&flow, MA_STYLE_FAINT, note);
	ma_flow_end(&flow);
}

static void write_notes(struct ma_text *text, const struct ma_terminal *terminal,
			const struct ma_stack_thread *thread)
{
	const struct {
		int applies;
		const char *note;
	} notes[] = {
		{thread->how == MA_STACK_BUSY,
		 "(not read: it did not stop in time, being deep in a system call)"},
		{thread->how == MA_STACK_TRACED, "(not read: another program traces this thread)"},
		{thread->how == MA_STACK_READ && thread->native && !thread->complete,
		 "(the native stack could not be followed further out)"},
		{thread->how == MA_STACK_READ && thread->native && !thread->exact,
		 "(which native frame called which Python frame is not certain)"},
		{thread->python_broken, "(further Python frames could not be read)"},
		{thread->again, "(stopped once more, a moment later, for its native stack)"},
		{thread->how == MA_STACK_READ && !thread->frame_count, "(no frames)"},
	};
	for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
		if (notes[i].applies)
			write_note(text, terminal, notes[i].note);
	if (thread->folded) {
		char note[80];
		snprintf(note, sizeof note, "(%u %s of the interpreter itself left out)",
			 thread->folded, thread->folded == 1 ? "frame" : "frames");
		write_note(text, terminal, note);
	}
}

static void write_frames(struct ma_text *text, const struct ma_terminal *terminal,
			 const struct ma_stack_thread *thread, unsigned name_columns)
{
	for (uint32_t i = 0; i < thread->frame_count;) {
		uint32_t next = i + 1;
		while (next < thread->frame_count && alike(&thread->frame[i], &thread->frame[next]))
			next++;
		uint32_t shown = next - i < ALIKE_LEAST ? next - i : 1;
		for (uint32_t k = 0; k < shown; k++)
			write_frame(text, terminal, &thread->frame[i], name_columns);
		if (shown < next - i) {
			char note[64];
			snprintf(note, sizeof note, "... and %u more of the same", next - i - 1);
			write_note(text, terminal, note);
		}
		i = next;
	}
}

/* Wide enough for most names, and never more than half of the line. */
static unsigned choose_name_columns(const struct ma_terminal *terminal,
				    const struct ma_stacks *stacks)
{
	unsigned most = terminal->width / 2 - INDENT, columns = NAME_LEAST;
	for (uint32_t i = 0; i < stacks->thread_count; i++)
		for (uint32_t k = 0; k < stacks->thread[i].frame_count && columns < most; k++) {
			const struct ma_stack_frame *frame = &stacks->thread[i].frame[k];
			struct ma_text name = {0};
			if (frame->function)
				ma_display_escape(&name, frame->function);
			unsigned width = ma_display_columns(ma_text_string(&name));
			if (width > columns)
				columns = width < most ? width : most;
			ma_text_fini(&name);
		}
	return columns;
}

static void write_thread(struct ma_text *text, const struct ma_terminal *terminal, pid_t pid,
			 const struct ma_stack_thread *thread, unsigned name_columns)
{
	ma_text_add(text, "\n");
	ma_style_begin(text, terminal->color, MA_STYLE_HEAD);
	ma_text_addf(text, "thread %d  ", (int)thread->tid);
	ma_display_escape(text, thread->name);
	ma_style_end(text, terminal->color, MA_STYLE_HEAD);
	ma_text_addf(text, "   %s", state_name(thread->state));
	if (thread->tid == pid)
		ma_text_add(text, "   main");
	if (thread->holds_gil) {
		ma_text_add(text, "   ");
		ma_style_begin(text, terminal->color, MA_STYLE_WARN);
		ma_text_add(text, "holds the GIL");
		ma_style_end(text, terminal->color, MA_STYLE_WARN);
	}
	if (thread->how == MA_STACK_READ && !thread->has_python)
		ma_text_add(text, "   not a Python thread");
	ma_text_add(text, "\n");
	write_frames(text, terminal, thread, name_columns);
	write_notes(text, terminal, thread);
}

void ma_stacks_view_write(struct ma_text *text, const struct ma_terminal *terminal,
			  const struct ma_process *process, const struct ma_stacks *stacks,
			  uint64_t taken_ns)
{
	ma_style_begin(text, terminal->color, MA_STYLE_HEAD);
	ma_text_addf(text, "%d  ", (int)process->pid);
	ma_display_escape(
		text, ma_display_command(process->command[0] ? process->command : process->exe));
	ma_style_end(text, terminal->color, MA_STYLE_HEAD);
	ma_text_addf(text, "   Python %s\n", process->python_release);
	ma_text_addf(text, "%u %s at %s, innermost frame first; the process stood still for %s\n",
		     stacks->thread_count, stacks->thread_count == 1 ? "thread" : "threads",
		     ma_format_clock(taken_ns, taken_ns).text,
		     ma_format_duration_us(stacks->pause_us).text);
	if (stacks->finalizing)
		ma_text_add(text, "The interpreter is shutting down: no Python frames.\n");
	if (stacks->incomplete)
		ma_text_add(text, "Some Python threads may be missing.\n");
	unsigned name_columns = choose_name_columns(terminal, stacks);
	for (uint32_t i = 0; i < stacks->thread_count; i++)
		write_thread(text, terminal, process->pid, &stacks->thread[i], name_columns);
}

static void json_optional(struct ma_json *json, const char *key, const char *value)
{
	if (value)
		ma_json_string(json, key, value);
	else
		ma_json_null(json, key);
}

static void json_frame(struct ma_json *json, const struct ma_stack_frame *frame)
{
	ma_json_begin_object(json, NULL);
	ma_json_string(json, "kind", frame->python ? "python" : "native");
	json_optional(json, "function", frame->function);
	json_optional(json, "file", frame->file);
	if (frame->line)
		ma_json_integer(json, "line", frame->line);
	else
		ma_json_null(json, "line");
	if (!frame->python) {
		ma_json_bool(json, "inlined", frame->inlined);
		json_optional(json, "module", frame->module);
		ma_json_string(json, "build_id", frame->build_id ? frame->build_id : "");
		ma_json_unsigned(json, "offset", frame->offset);
		ma_json_unsigned(json, "address", frame->address);
	}
	ma_json_end_object(json);
}

static void json_thread(struct ma_json *json, pid_t pid, const struct ma_stack_thread *thread)
{
	static const char *const hows[] = {
		[MA_STACK_READ] = "read", [MA_STACK_BUSY] = "busy", [MA_STACK_TRACED] = "traced"};
	const char state[2] = {thread->state, '\0'};
	ma_json_begin_object(json, NULL);
	ma_json_integer(json, "tid", thread->tid);
	ma_json_string(json, "name", thread->name);
	ma_json_bool(json, "main", thread->tid == pid);
	ma_json_string(json, "state", state);
	ma_json_string(json, "read", hows[thread->how]);
	ma_json_bool(json, "python", thread->has_python);
	ma_json_bool(json, "holds_gil", thread->holds_gil);
	ma_json_bool(json, "complete",
		     (thread->complete || !thread->native) && !thread->python_broken &&
			     thread->how == MA_STACK_READ);
	ma_json_bool(json, "exact", thread->exact);
	ma_json_bool(json, "stopped_again", thread->again);
	ma_json_unsigned(json, "folded", thread->folded);
	ma_json_begin_array(json, "frames");
	for (uint32_t i = 0; i < thread->frame_count; i++)
		json_frame(json, &thread->frame[i]);
	ma_json_end_array(json);
	ma_json_end_object(json);
}

void ma_stacks_view_json(struct ma_json *json, const struct ma_process *process,
			 const struct ma_stacks *stacks, uint64_t taken_ns)
{
	ma_json_begin_object(json, NULL);
	ma_json_string(json, "schema", "memattach.stacks/1");
	ma_json_integer(json, "pid", process->pid);
	ma_json_string(json, "command", process->command);
	ma_json_string(json, "python", process->python_release);
	ma_json_time(json, "time", taken_ns);
	ma_json_unsigned(json, "pause_us", stacks->pause_us);
	ma_json_unsigned(json, "prolonged_calls", stacks->prolonged);
	ma_json_bool(json, "finalizing", stacks->finalizing);
	ma_json_bool(json, "incomplete", stacks->incomplete);
	ma_json_begin_array(json, "threads");
	for (uint32_t i = 0; i < stacks->thread_count; i++)
		json_thread(json, process->pid, &stacks->thread[i]);
	ma_json_end_array(json);
	ma_json_begin_array(json, "errors");
	ma_json_end_array(json);
	ma_json_end_object(json);
}

void ma_stacks_view_json_error(struct ma_json *json, pid_t pid, const struct ma_error *error)
{
	ma_json_begin_object(json, NULL);
	ma_json_string(json, "schema", "memattach.stacks/1");
	ma_json_integer(json, "pid", pid);
	ma_json_begin_array(json, "threads");
	ma_json_end_array(json);
	ma_json_begin_array(json, "errors");
	ma_errors_json(json, (int)pid, error);
	ma_json_end_array(json);
	ma_json_end_object(json);
}
