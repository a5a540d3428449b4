/* SPDX-License-Identifier: MIT */
/*
 * One look at a process, in the order in which each step can explain the failure of the next: does
 * it exist, is it alive, is it 64-bit, may we look, is it dynamic, is it Python.
 */
#include "inject/inspect.h"

#include "inject/arch/arch.h"
#include "inject/clock.h"
#include "inject/memory_cache.h"
#include "inject/permission.h"
#include "proto/area.h"

#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STARTING_MS = 100, STARTING_PAUSE_MS = 2 };

static int not_a_process(pid_t pid, struct ma_error *error, const char *answer, const char *remedy)
{
	ma_error_set(error, MA_ERR_NO_PROCESS, 0, "looking at process %d", (int)pid);
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", remedy);
	return MA_ERR_NO_PROCESS;
}

static const char list_remedy[] = "`memattach ps` lists the Python processes here";

/* pidfd_open(2) wants a thread-group leader: a thread's id is told apart by name. */
static int open_pidfd(pid_t pid, int *pidfd, struct ma_error *error)
{
	char answer[200], path[64];
	struct ma_proc_status status;

	*pidfd = -1;
	if (pid > 0)
		*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*pidfd >= 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	if (pid > 0 && access(path, F_OK) == 0) {
		if (ma_proc_status_read(pid, 0, &status, NULL) || status.tgid == pid)
			return 0; /* an old kernel or a filter: do without */
		snprintf(answer, sizeof answer, "%d is a thread of process %d", (int)pid,
			 (int)status.tgid);
		char remedy[64];
		snprintf(remedy, sizeof remedy, "memattach %d", (int)status.tgid);
		return not_a_process(pid, error, answer, remedy);
	}
	snprintf(answer, sizeof answer, "there is no process %d", (int)pid);
	return not_a_process(pid, error, answer, list_remedy);
}

bool ma_view_ended(const struct ma_view *view)
{
	struct pollfd poller = {.fd = view->pidfd, .events = POLLIN};
	if (view->pidfd >= 0)
		return poll(&poller, 1, 0) > 0;
	struct ma_proc_stat stat;
	return ma_proc_stat_read(view->pid, 0, &stat, NULL) || strchr("ZX", stat.state);
}

static uint64_t uptime_ms(pid_t pid)
{
	struct ma_proc_stat stat;
	struct timespec now;
	long ticks = sysconf(_SC_CLK_TCK);
	if (ticks <= 0 || ma_proc_stat_read(pid, 0, &stat, NULL) ||
	    clock_gettime(CLOCK_BOOTTIME, &now))
		return 0;
	uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	uint64_t start_ms = stat.start_ticks * 1000 / (uint64_t)ticks;
	return now_ms > start_ms ? now_ms - start_ms : 0;
}

/* What /proc tells about any process, ours to look into or not. */
static int look_at_status(struct ma_view *view, struct ma_error *error)
{
	struct ma_process *process = &view->process;
	char answer[200];
	int code = ma_proc_status_read(view->pid, 0, &view->status, error);
	if (code == MA_ERR_PERMISSION)
		return ma_permission_explain(view->pid, EACCES, "reading its status", error);
	if (code)
		return code;
	process->ns_pid = view->status.ns_tgid;
	process->uid = view->status.uid[1];
	process->threads = view->status.threads;
	process->state = view->status.state;
	process->tracer = view->status.tracer;
	process->uptime_ms = uptime_ms(view->pid);
	ma_proc_link(view->pid, "exe", process->exe, sizeof process->exe);
	ma_proc_command(view->pid, process->command, sizeof process->command);
	if (strchr("ZX", view->status.state)) {
		snprintf(answer, sizeof answer,
			 "process %d (%s) has ended and is a zombie, waiting for its parent %d",
			 (int)view->pid, view->status.name, (int)view->status.ppid);
		return not_a_process(view->pid, error, answer, list_remedy);
	}
	return 0;
}

static int not_python(struct ma_view *view, const char *release, const char *answer,
		      struct ma_error *error)
{
	snprintf(view->process.python_release, sizeof view->process.python_release, "%s", release);
	ma_error_set(error, MA_ERR_NOT_PYTHON, 0, "recognising process %d", (int)view->pid);
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", list_remedy);
	return MA_ERR_NOT_PYTHON;
}

static int look_at_program(struct ma_view *view, struct ma_error *error)
{
	char answer[200];
	if (view->status.kernel_thread)
		return not_python(view, "kernel thread", "it is a kernel thread", error);
	if (ma_proc_elf_class(view->pid) == ELFCLASS32) {
		snprintf(answer, sizeof answer, "it is a 32-bit program (%.150s)",
			 view->process.exe);
		return not_python(view, "32-bit program", answer, error);
	}
	return 0;
}

/* Explains a refusal of the kernel that came up as a plain MA_ERR_PERMISSION. */
static int explained(const struct ma_view *view, int code, const char *what, struct ma_error *error)
{
	if (code != MA_ERR_PERMISSION)
		return code;
	char full[160];
	snprintf(full, sizeof full, "%s of process %d", what, (int)view->pid);
	return ma_permission_explain(view->pid, EPERM, full, error);
}

static int look_at_memory(struct ma_view *view, struct ma_error *error)
{
	int code = ma_maps_read(view->pid, &view->maps, error);
	if (!code)
		code = ma_memory_open(view->pid, &view->memory, error);
	if (!code)
		code = ma_proc_auxv_read(view->pid, &view->auxv, error);
	if (!code)
		code = ma_link_map_read(&view->memory, &view->auxv, &view->maps, &view->link_map,
					error);
	if (code == MA_ERR_NOT_PYTHON)
		snprintf(view->process.python_release, sizeof view->process.python_release,
			 "static program");
	return explained(view, code, "reading the memory", error);
}

uint64_t ma_view_lease(const struct ma_view *view)
{
	uint64_t config = view->thunks.content.config, area = 0, lease_tsc = 0;

	if (!view->process.attached ||
	    ma_memory_read_u64(&view->memory,
			       ma_raddr(config + offsetof(struct ma_hook_config, area)), &area,
			       NULL) ||
	    ma_memory_read_u64(&view->memory,
			       ma_raddr(area + offsetof(struct ma_area, control) +
					offsetof(struct ma_control, lease_tsc)),
			       &lease_tsc, NULL))
		return 0;
	/* The time-stamp counter is the same for everybody. */
	return lease_tsc > ma_arch.timestamp() ? lease_tsc : 0;
}

static int look_at_thunks(struct ma_view *view, struct ma_error *error)
{
	uint32_t gate_is_on = 0;
	uint64_t gate = 0;
	int code = ma_thunk_page_find(&view->memory, &view->maps, &view->thunks, error);
	if (code || !view->thunks.found)
		return code;
	const struct ma_thunk_data *data = &view->thunks.content;
	/* A child forked while its parent was attached has our thunks too, but its gate reads 0. */
	if (data->state == MA_THUNKS_INSTALLED && data->config &&
	    !ma_memory_read_u64(&view->memory,
				ma_raddr(data->config + offsetof(struct ma_hook_config, gate)),
				&gate, NULL))
		ma_memory_read_u32(&view->memory, ma_raddr(gate), &gate_is_on, NULL);
	view->process.attached = gate_is_on != 0;
	view->process.served = ma_view_lease(view) != 0;
	view->process.thunks_left = !view->process.attached;
	snprintf(view->process.attached_release, sizeof view->process.attached_release, "%s",
		 data->release);
	return 0;
}

static int look_at_python(struct ma_view *view, struct ma_error *error)
{
	struct ma_process *process = &view->process;
	struct ma_interpreter *interpreter = &view->interpreter;
	struct ma_memory_cache *cache;
	const struct ma_target_memory *memory = ma_memory_cache_create(&view->memory, &cache);
	int code = ma_interpreter_find(memory, &view->link_map, interpreter, error);
	ma_memory_cache_destroy(cache);
	process->python_version = interpreter->version;
	process->free_threaded = interpreter->free_threaded;
	memcpy(process->python_release, interpreter->release, sizeof process->python_release);
	if (interpreter->object < view->link_map.count) {
		const struct ma_module *module = &view->link_map.object[interpreter->object].module;
		memcpy(process->python_path, module->path, sizeof process->python_path);
		memcpy(process->python_build_id, module->build_id, sizeof process->python_build_id);
		process->python_base = module->base.value;
	}
	return explained(view, code, "reading the interpreter", error);
}

/* Everything but the functions that an attach calls. */
static int look(pid_t pid, struct ma_view *view, struct ma_error *error)
{
	static int (*const steps[])(struct ma_view *, struct ma_error *) = {
		look_at_status, look_at_program, look_at_memory, look_at_thunks, look_at_python,
	};
	*view = (struct ma_view){.pid = pid, .pidfd = -1, .process = {.pid = pid, .ns_pid = pid}};
	view->memory.fd = -1;
	int code = open_pidfd(pid, &view->pidfd, error);
	for (size_t i = 0; !code && i < sizeof steps / sizeof *steps; i++)
		code = steps[i](view, error);
	return code;
}

/* Did it become another program while we looked? Each has addresses of its own. */
static bool was_replaced(const struct ma_view *view)
{
	struct ma_proc_auxv now;
	return view->auxv.entry && !ma_proc_auxv_read(view->pid, &now, NULL) &&
	       memcmp(&view->auxv, &now, sizeof now) != 0;
}

/* The same, more than once at a program that has just been started: it has no list of loaded
 * objects yet, and what was read may be of the program before it. */
static int look_again(pid_t pid, struct ma_view *view, struct ma_error *error)
{
	uint64_t patient_ns = ma_clock_ns() + STARTING_MS * MA_NS_PER_MS;
	for (;;) {
		int code = look(pid, view, error);
		bool starting = code == MA_ERR_FAILED || code == MA_ERR_PROTOCOL;
		if ((!starting && !was_replaced(view)) || ma_view_ended(view) ||
		    ma_clock_ns() >= patient_ns)
			return code;
		ma_view_close(view);
		ma_clock_pause(STARTING_PAUSE_MS * MA_NS_PER_MS);
	}
}

/* A process that ended while it was read shows as any error; and what was read of one whose pid was
 * taken over by another is worth nothing. */
static int still_there(const struct ma_view *view, int code, struct ma_error *error)
{
	char answer[200];
	if (code == MA_ERR_NO_PROCESS || !ma_view_ended(view))
		return code;
	snprintf(answer, sizeof answer, "process %d has just ended", (int)view->pid);
	return not_a_process(view->pid, error, answer, list_remedy);
}

int ma_view_open(pid_t pid, struct ma_view *view, struct ma_error *error)
{
	int code = look_again(pid, view, error);
	if (!code) {
		struct ma_memory_cache *cache;
		const struct ma_target_memory *memory =
			ma_memory_cache_create(&view->memory, &cache);
		code = explained(view, ma_resolve(memory, &view->link_map, &view->resolved, error),
				 "looking up functions", error);
		ma_memory_cache_destroy(cache);
	}
	return still_there(view, code, error);
}

void ma_view_close(struct ma_view *view)
{
	ma_link_map_fini(&view->link_map);
	ma_maps_fini(&view->maps);
	ma_memory_close(&view->memory);
	if (view->pidfd >= 0)
		close(view->pidfd);
	view->pidfd = -1;
}

int ma_view_refresh(struct ma_view *view, struct ma_error *error)
{
	ma_link_map_fini(&view->link_map);
	ma_maps_fini(&view->maps);
	int code = ma_maps_read(view->pid, &view->maps, error);
	if (!code)
		code = ma_link_map_read(&view->memory, &view->auxv, &view->maps, &view->link_map,
					error);
	if (!code)
		code = look_at_thunks(view, error);
	return still_there(view, explained(view, code, "reading the memory", error), error);
}

int ma_process_inspect(pid_t pid, struct ma_process *process, struct ma_error *error)
{
	struct ma_view view;
	int code = still_there(&view, look_again(pid, &view, error), error);
	*process = view.process;
	ma_view_close(&view);
	return code;
}

/* Does any file that the process has mapped look like an interpreter or an extension module? */
static bool maps_look_like_python(pid_t pid)
{
	struct ma_maps maps;
	bool found = false;
	if (!ma_maps_read(pid, &maps, NULL)) {
		for (size_t i = 0; !found && i < maps.count; i++)
			found = maps.map[i].inode && ma_interpreter_named(maps.map[i].name);
	}
	ma_maps_fini(&maps);
	return found;
}

/* By the cheapest test that answers; without the right to look, by the name it runs under. */
static bool looks_like_python(pid_t pid)
{
	char text[512];
	int link = ma_proc_link(pid, "exe", text, sizeof text);
	if (!link)
		return ma_interpreter_named(text) || maps_look_like_python(pid);
	if (link != -EACCES && link != -EPERM)
		return false; /* gone, or a kernel thread */
	text[0] = '/';
	ma_proc_command(pid, text + 1, sizeof text - 1);
	text[strcspn(text, " ")] = '\0';
	return ma_interpreter_named(text);
}

int ma_process_list(pid_t *pids, int max)
{
	pid_t *all;
	size_t count;
	int found = 0;
	if (ma_proc_pids(&all, &count, NULL))
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (all[i] == getpid() || !looks_like_python(all[i]))
			continue;
		if (found < max)
			pids[found] = all[i];
		found++;
	}
	free(all);
	return found;
}
