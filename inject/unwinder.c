/* SPDX-License-Identifier: MIT */
/* libdw with own callbacks: files by inode, memory from one snapshot, registers from ptrace. */
#include "inject/unwinder.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject/procfs.h"

enum {
	SNAPSHOT_BYTES = 1 << 16,
	REHEARSED = 256, /* frames */
};

struct ma_unwinder {
	const struct ma_view *view;
	Dwfl *dwfl;
	bool attached;
	uint64_t libc_start, libc_end; /* these two are known to have tables throughout */
	uint64_t python_start, python_end;

	pid_t tid; /* of the walk under way */
	const struct ma_regs *regs;
	const struct ma_target_memory *memory;
	uint64_t *pc;
	int count, room;
	bool tables_only; /* ends where tables do */
	bool guessed;     /* a frame without tables: libdw follows frame pointers there */
	uint64_t snapshot_start;
	size_t snapshot_bytes;
	uint8_t snapshot[SNAPSHOT_BYTES];
};

static bool same_inode(int fd, const struct ma_map *map)
{
	struct stat found;

	/* Device numbers may differ between maps and stat (btrfs, overlayfs); the inode does not.
	 */
	return !fstat(fd, &found) && found.st_ino == map->inode && S_ISREG(found.st_mode);
}

int ma_unwinder_open_file(const struct ma_view *view, uint64_t address, char *path, size_t room)
{
	const struct ma_map *map = ma_maps_find(&view->maps, address);
	int fd;

	if (!map || map->name[0] != '/')
		return -1;
	snprintf(path, room, "/proc/%d/root%s", view->pid, map->name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 && same_inode(fd, map))
		return fd;
	if (fd >= 0)
		close(fd);
	snprintf(path, room, "/proc/%d/map_files/%llx-%llx", view->pid,
		 (unsigned long long)map->start, (unsigned long long)map->end);
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static int find_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
		    char **file_name, Elf **elf)
{
	struct ma_unwinder *unwinder = *userdata;
	char path[4200];
	char in_memory[32];
	int fd;

	if (name[0] != '[') {
		fd = ma_unwinder_open_file(unwinder->view, base, path, sizeof(path));
		if (fd >= 0)
			*file_name = strdup(path);
		if (fd >= 0)
			return fd;
	}
	/* The vDSO, and files that are gone: libdwfl reads what it takes for a vDSO from the
	 * target's memory. */
	snprintf(in_memory, sizeof(in_memory), "[vdso: %d]", unwinder->view->pid);
	return dwfl_linux_proc_find_elf(module, userdata, in_memory, base, file_name, elf);
}

static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			  const char *file, const char *link, GElf_Word checksum, char **found)
{
	(void)module, (void)userdata, (void)name, (void)base;
	(void)file, (void)link, (void)checksum, (void)found;
	return -1; /* .eh_frame is all we want */
}

static const Dwfl_Callbacks file_callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = find_debuginfo,
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	struct ma_unwinder *unwinder = arg;

	(void)dwfl;
	if (*thread_arg)
		return 0;
	*thread_arg = unwinder;
	return unwinder->tid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread_arg)
{
	(void)dwfl, (void)tid;
	*thread_arg = arg;
	return true;
}

static void take_snapshot(struct ma_unwinder *unwinder, const struct ma_target_memory *memory,
			  uint64_t start)
{
	unwinder->snapshot_start = start;
	unwinder->snapshot_bytes = ma_memory_read_some(memory, ma_raddr(start), unwinder->snapshot,
						       SNAPSHOT_BYTES, NULL);
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *arg)
{
	struct ma_unwinder *unwinder = arg;

	(void)dwfl;
	if (address < unwinder->snapshot_start ||
	    address - unwinder->snapshot_start + sizeof(*result) > unwinder->snapshot_bytes) {
		take_snapshot(unwinder, unwinder->memory, address & ~UINT64_C(7));
		if (address - unwinder->snapshot_start + sizeof(*result) > unwinder->snapshot_bytes)
			return false;
	}
	memcpy(result, unwinder->snapshot + (address - unwinder->snapshot_start), sizeof(*result));
	return true;
}

static bool set_initial_registers(Dwfl_Thread *thread, void *thread_arg)
{
	struct ma_unwinder *unwinder = thread_arg;
	uint64_t words[32];
	Dwarf_Word registers[32];
	int count = ma_arch.dwarf_registers(unwinder->regs, words);

	for (int i = 0; i < count; i++)
		registers[i] = words[i];
	return dwfl_thread_state_registers(thread, 0, (unsigned int)count, registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = memory_read,
	.set_initial_registers = set_initial_registers,
};

static int load_tables(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr start,
		       void *arg)
{
	Dwarf_Addr bias;

	(void)userdata, (void)name, (void)start, (void)arg;
	dwfl_module_eh_cfi(module, &bias);
	return DWARF_CB_OK;
}

/* The object that has this address, if any. */
static void load_module(struct ma_unwinder *unwinder, uint64_t address)
{
	Dwfl_Module *module = dwfl_addrmodule(unwinder->dwfl, address);
	Dwarf_Addr bias;

	if (module)
		dwfl_module_eh_cfi(module, &bias);
}

static void report_module(struct ma_unwinder *unwinder, const char *name, uint64_t start,
			  uint64_t end)
{
	Dwfl_Module *module = dwfl_report_module(unwinder->dwfl, name, start, end);
	void **userdata;

	if (!module)
		return;
	dwfl_module_info(module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = unwinder;
}

static void report_modules(struct ma_unwinder *unwinder)
{
	const struct ma_view *view = unwinder->view;
	const struct ma_map *vdso = ma_maps_find_name(&view->maps, "[vdso]", 0);

	dwfl_report_begin(unwinder->dwfl);
	for (size_t i = 0; i < view->link_map.count; i++) {
		const struct ma_link_object *object = &view->link_map.object[i];

		if (!object->usable || (vdso && object->module.start == vdso->start))
			continue;
		report_module(unwinder, object->module.path[0] ? object->module.path : "main",
			      object->module.start, object->module.end);
	}
	if (vdso) {
		char name[32];

		snprintf(name, sizeof(name), "[vdso: %d]", view->pid);
		report_module(unwinder, name, vdso->start, vdso->end);
	}
	dwfl_report_end(unwinder->dwfl, NULL, NULL);
}

struct ma_unwinder *ma_unwinder_create(const struct ma_view *view)
{
	struct ma_unwinder *unwinder = calloc(1, sizeof(*unwinder));
	const struct ma_module *module;

	if (!unwinder)
		return NULL;
	unwinder->view = view;
	module = &view->link_map.object[view->link_map.libc_object].module;
	unwinder->libc_start = module->start;
	unwinder->libc_end = module->end;
	module = &view->link_map.object[view->interpreter.object].module;
	unwinder->python_start = module->start;
	unwinder->python_end = module->end;
	unwinder->dwfl = dwfl_begin(&file_callbacks);
	if (!unwinder->dwfl) {
		free(unwinder);
		return NULL;
	}
	report_modules(unwinder);
	unwinder->attached =
		dwfl_attach_state(unwinder->dwfl, NULL, view->pid, &thread_callbacks, unwinder);
	return unwinder;
}

void ma_unwinder_load(struct ma_unwinder *unwinder)
{
	dwfl_getmodules(unwinder->dwfl, load_tables, NULL, 0);
}

void ma_unwinder_destroy(struct ma_unwinder *unwinder)
{
	if (!unwinder)
		return;
	dwfl_end(unwinder->dwfl);
	free(unwinder);
}

/* libdw follows frame pointers where a frame has no tables, and may leave frames out. */
static bool has_tables(struct ma_unwinder *unwinder, uint64_t pc)
{
	Dwfl_Module *module;
	Dwarf_CFI *cfi;
	Dwarf_Addr bias;
	Dwarf_Frame *frame;

	if ((pc >= unwinder->libc_start && pc < unwinder->libc_end) ||
	    (pc >= unwinder->python_start && pc < unwinder->python_end))
		return true;
	module = dwfl_addrmodule(unwinder->dwfl, pc);
	cfi = module ? dwfl_module_eh_cfi(module, &bias) : NULL;
	if (!cfi || dwarf_cfi_addrframe(cfi, pc - bias, &frame))
		return false;
	free(frame);
	return true;
}

static int take_frame(Dwfl_Frame *frame, void *arg)
{
	struct ma_unwinder *unwinder = arg;
	Dwarf_Addr pc;
	bool activation;

	if (unwinder->count == unwinder->room || !dwfl_frame_pc(frame, &pc, &activation))
		return DWARF_CB_ABORT;
	if (!activation)
		pc--;
	unwinder->pc[unwinder->count++] = pc;
	if (!has_tables(unwinder, pc))
		unwinder->guessed = true;
	return unwinder->guessed && unwinder->tables_only ? DWARF_CB_ABORT : DWARF_CB_OK;
}

/* Walks into pc. Returns whether that came to the outermost frame. */
static bool walk_into(struct ma_unwinder *unwinder, const struct ma_target_memory *memory,
		      pid_t tid, const struct ma_regs *regs, uint64_t *pc, int room)
{
	unwinder->count = 0;
	unwinder->guessed = false;
	if (!unwinder->attached)
		return false;
	unwinder->tid = tid;
	unwinder->regs = regs;
	unwinder->memory = memory;
	unwinder->pc = pc;
	unwinder->room = room;
	take_snapshot(unwinder, memory, ma_arch.sp(regs) - ma_arch.red_zone_bytes);
	return !dwfl_getthread_frames(unwinder->dwfl, tid, take_frame, unwinder);
}

void ma_unwinder_load_for(struct ma_unwinder *unwinder, pid_t tid)
{
	struct ma_proc_syscall call;
	struct ma_regs regs;
	uint64_t pc[REHEARSED];

	if (ma_proc_syscall_read(unwinder->view->pid, tid, &call, NULL) || call.running) {
		ma_unwinder_load(unwinder);
		return;
	}
	/* As far as it comes without the other registers, for libdw to read the entries it needs.
	 */
	ma_arch.regs_at(&regs, call.pc, call.sp);
	unwinder->tables_only = true;
	walk_into(unwinder, &unwinder->view->memory, tid, &regs, pc, REHEARSED);
	/* And whatever else the stack may lead to. */
	take_snapshot(unwinder, &unwinder->view->memory, call.sp & ~UINT64_C(7));
	for (size_t at = 0; at + sizeof(uint64_t) <= unwinder->snapshot_bytes;
	     at += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, unwinder->snapshot + at, sizeof(word));
		load_module(unwinder, word);
	}
}

void ma_unwinder_walk(struct ma_unwinder *unwinder, pid_t tid, const struct ma_regs *regs,
		      struct ma_stack_walk *walk)
{
	bool ended;

	unwinder->tables_only = false;
	ended = walk_into(unwinder, &unwinder->view->memory, tid, regs, walk->pc, MA_WALK_FRAMES);

	walk->count = unwinder->count;
	walk->complete = ended && walk->count && !unwinder->guessed;
}

int ma_unwinder_top(struct ma_unwinder *unwinder, const struct ma_target_memory *memory, pid_t tid,
		    const struct ma_regs *regs, uint64_t *pc, int room)
{
	if (!unwinder)
		return 0;
	unwinder->tables_only = true;
	walk_into(unwinder, memory, tid, regs, pc, room);
	return unwinder->count;
}
