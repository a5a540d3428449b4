/* SPDX-License-Identifier: MIT */
#include "inject/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/boot_list.h"
#include "inject/boot_run.h"
#include "inject/clock.h"
#include "inject/hook/thunks.h"
#include "inject/loader/payload.h"
#include "inject/python_allocator.h"
#include "proto/unwind.h"

enum {
	PAGE = MA_PAGE_BYTES,
	WIPE_ON_FORK = 18, /* MADV_WIPEONFORK, Linux 4.14 */
	DONT_DUMP = 16,    /* MADV_DONTDUMP */
	TCB_BYTES = 4096,
	TCB_TID_OFFSET = 720, /* struct pthread.tid of glibc 2.31 to 2.41 on x86-64 */
};

static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* Exact mode's shadow takes as much as the heap it describes, sparse; room for what the program may
 * grow to, within its own address-space limit. */
static uint64_t arena_pages(const struct ma_session *session)
{
	const uint64_t least = UINT64_C(1) << 18, most = UINT64_C(1) << 24; /* 1 GiB, 64 GiB */
	uint64_t limit = ma_proc_limit(session->pid, "Max address space");
	uint64_t pages = session->view.status.rss_bytes * 4 / PAGE + (UINT64_C(1) << 21);

	if (limit != UINT64_MAX && pages > limit / 4 / PAGE)
		pages = limit / 4 / PAGE;
	if (pages < least)
		pages = least;
	return pages > most ? most : pages;
}

void ma_install_init(struct ma_install *install, bool tls_slots, uint64_t start_tsc,
		     uint64_t start_ns)
{
	const struct ma_remote_memfd none = {.fd = -1, .remote = {.number = -1}};

	*install = (struct ma_install){
		.tls_slots = tls_slots,
		.start_tsc = start_tsc,
		.start_ns = start_ns,
		.hook = none,
		.area_file = none,
		.thunks = none,
		.unwind = {.file = none},
	};
}

static const uint8_t *hook_bytes(const struct ma_install *install, size_t *count)
{
	const uint8_t *hook = install->tls_slots ? ma_payload_hook_tp : ma_payload_hook_ie;
	const uint8_t *end = install->tls_slots ? ma_payload_hook_tp_end : ma_payload_hook_ie_end;

	*count = (size_t)(end - hook);
	return hook;
}

int ma_install_plan(struct ma_install *install, const struct ma_session *session,
		    const struct ma_attach_options *options, struct ma_error *error)
{
	const uint8_t *hook;
	size_t count;

	install->area_bytes = options->mode == MA_MODE_EXACT
				      ? MA_AREA_EXACT_BYTES(arena_pages(session))
				      : MA_AREA_SAMPLED_BYTES;
	install->unwind.refused = options->native && !ma_unwind_area_fits(session);
	install->small_limit =
		ma_python_small_limit(session->pid, session->view.process.python_path);
	if (session->view.thunks.found) {
		install->thunk_code = session->view.thunks.code.value;
		install->thunk_data = session->view.thunks.data.value;
	}
	if (!ma_hook_file_needed(session->pid))
		return 0;
	hook = hook_bytes(install, &count);
	return ma_hook_file_create(&install->file, session->pid, &session->view.status, hook, count,
				   error);
}

static int write_all(int fd, const void *bytes, size_t count, uint64_t offset)
{
	const uint8_t *from = bytes;

	while (count) {
		ssize_t done = pwrite(fd, from, count, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? errno : EIO;
		from += done;
		offset += (uint64_t)done;
		count -= (size_t)done;
	}
	return 0;
}

static int map(struct ma_session *session, const char *what, uint64_t at, uint64_t bytes,
	       int protection, int flags, const struct ma_remote_memfd *file, uint64_t offset,
	       uint64_t *address, struct ma_error *error)
{
	uint64_t args[6] = {at,
			    bytes,
			    (uint64_t)protection,
			    (uint64_t)flags,
			    file ? (uint64_t)file->remote.number : UINT64_MAX,
			    offset};

	return ma_remote_demand(&session->remote, what, SYS_mmap, args, address, error);
}

/* What was mapped came through a file descriptor number, which the program may have closed and used
 * again: does it really show our file? */
static int verify(struct ma_session *session, uint64_t address, const void *bytes, size_t count,
		  struct ma_error *error)
{
	uint8_t found[PAGE];
	int failed = ma_memory_read(&session->view.memory, ma_raddr(address), found, count, error);

	if (failed || !memcmp(found, bytes, count))
		return failed;
	ma_error_set(error, MA_ERR_UNSAFE, 0, "mapping our memory in process %d", session->pid);
	ma_error_answer(error, "the program closed a file descriptor that was not its own");
	ma_error_remedy(error, "Try again.");
	return MA_ERR_UNSAFE;
}

/* The hook's file, with the boot code behind the room for the library, and the resident mapping. */
static int install_resident(struct ma_install *install, struct ma_session *session,
			    struct ma_error *error)
{
	size_t count;
	size_t boot_bytes = (size_t)(ma_payload_boot_end - ma_payload_boot);
	uint64_t offset;
	uint8_t code[MA_RESIDENT_CODE_BYTES] = {0};
	const struct ma_resident_mark mark = {MA_RESIDENT_MAGIC, MA_HOOK_ABI, MA_RESIDENT_BYTES};
	uint64_t address;
	int problem;
	int failed;

	hook_bytes(install, &count);
	offset = whole_pages(count);
	ma_arch.stub_write(code);
	if (boot_bytes > MA_RESIDENT_MARK - MA_STUB_BYTES)
		boot_bytes = MA_RESIDENT_MARK - MA_STUB_BYTES;
	memcpy(code + MA_STUB_BYTES, ma_payload_boot, boot_bytes);
	memcpy(code + MA_RESIDENT_MARK, &mark, sizeof(mark));

	failed = ma_remote_memfd_create(&session->remote, MA_HOOK_MEMFD, offset + sizeof(code),
					&install->hook, error);
	if (install->hook.remote.number >= 0)
		ma_session_push_close(session, &install->hook.remote);
	if (failed)
		return failed;
	problem = write_all(install->hook.fd, code, sizeof(code), offset);
	if (problem)
		return ma_error_set(error, MA_ERR_FAILED, problem, "copying the loader for %d",
				    session->pid);

	failed = map(session, "making room for the loader", 0, MA_RESIDENT_BYTES,
		     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0,
		     &install->resident, error);
	if (failed)
		return failed;
	ma_session_push_undo(session, SYS_munmap, install->resident, MA_RESIDENT_BYTES);
	failed = map(session, "mapping the loader", install->resident, MA_RESIDENT_CODE_BYTES,
		     PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, &install->hook, offset,
		     &address, error);
	return failed ? failed : verify(session, install->resident, code, 256, error);
}

/* The library itself. Only the loader will ask for it. */
static int copy_hook(struct ma_install *install, struct ma_session *session, struct ma_error *error)
{
	size_t count;
	const uint8_t *hook = hook_bytes(install, &count);
	int problem = write_all(install->hook.fd, hook, count, 0);

	if (problem)
		return ma_error_set(error, MA_ERR_FAILED, problem, "copying the hook for %d",
				    session->pid);
	ma_remote_memfd_seal(&install->hook, true);
	return 0;
}

static void fill_ident(const struct ma_install *install, const struct ma_session *session,
		       const struct ma_attach_options *options)
{
	const struct ma_process *process = &session->view.process;
	struct ma_area_ident *ident = &install->area->ident;
	uint64_t tsc = ma_arch.timestamp();
	uint64_t now_ns = ma_clock_ns();
	uint64_t span_ns = now_ns - install->start_ns;
	unsigned __int128 khz = (unsigned __int128)(tsc - install->start_tsc) * 1000000;

	ident->python_version = process->python_version;
	ident->area_bytes = install->area_bytes;
	ident->mode = options->mode;
	ident->tsc_khz = (uint32_t)(khz / (span_ns ? span_ns : 1));
	ident->attach_realtime_ns = ma_clock_of(CLOCK_REALTIME);
	ident->attach_monotonic_ns = now_ns;
	ident->attach_tsc = tsc;
	if (options->mode == MA_MODE_EXACT)
		ident->exact_heap_bytes = install->area_bytes - sizeof(struct ma_area);
	if (options->mode == MA_MODE_CLASSES) {
		ident->size_rate_count = options->size_rate_count;
		memcpy(ident->size_rates, options->size_rates,
		       options->size_rate_count * sizeof(ident->size_rates[0]));
	}
	snprintf(ident->python_path, sizeof(ident->python_path), "%s", process->python_path);
	ident->python_base = process->python_base;
	snprintf(ident->python_build_id, sizeof(ident->python_build_id), "%s",
		 process->python_build_id);
	ident->magic = MA_AREA_MAGIC;
	ident->version = MA_AREA_VERSION;
}

static void fill_control(const struct ma_install *install, const struct ma_attach_options *options)
{
	struct ma_control *control = &install->area->control;
	uint64_t lease = (uint64_t)install->area->ident.tsc_khz * 1000 * 30;

	control->interval_bytes = options->interval_bytes;
	control->lease_tsc = ma_arch.timestamp() + lease;
	__atomic_store_n(&control->enabled, 1, __ATOMIC_RELEASE);
}

static int take_area(struct ma_install *install, struct ma_session *session,
		     const struct ma_attach_options *options, struct ma_error *error)
{
	void *ours;

	ma_remote_memfd_seal(&install->area_file, false);
	ours = mmap(NULL, install->area_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		    install->area_file.fd, 0);
	if (ours == MAP_FAILED)
		return ma_error_set(error, MA_ERR_FAILED, errno, "mapping the shared memory");
	install->area = ours;
	fill_ident(install, session, options);
	install->area->ident.area_address = install->area_address;
	return verify(session, install->area_address, &install->area->ident, 128, error);
}

static int take_thunks(struct ma_install *install, struct ma_session *session,
		       struct ma_error *error)
{
	uint8_t pages[MA_THUNK_PAGES * PAGE] = {0};
	struct ma_thunk_data *data = (void *)(pages + PAGE);
	int problem;
	int failed;

	ma_thunk_code_fill(pages);
	memcpy(pages + MA_THUNK_FORK_WAIT, ma_payload_fork_wait,
	       (size_t)(ma_payload_fork_wait_end - ma_payload_fork_wait));
	*data = (struct ma_thunk_data){.magic = MA_THUNK_MAGIC, .abi = MA_HOOK_ABI};
	snprintf(data->release, sizeof(data->release), "%s", MA_RELEASE);
	for (int i = 0; i < MA_FN_SYMBOLS; i++)
		data->next[i] = data->target[i] = session->view.resolved.next[i].value;
	problem = write_all(install->thunks.fd, pages, sizeof(pages), 0);
	if (problem)
		return ma_error_set(error, MA_ERR_FAILED, problem, "writing the thunks for %d",
				    session->pid);
	ma_remote_memfd_seal(&install->thunks, true);
	install->thunk_data = install->thunk_code + PAGE;
	install->made_thunks = true;
	failed = verify(session, install->thunk_code, pages, PAGE, error);
	return failed ? failed : verify(session, install->thunk_data, data, 128, error);
}

/* Where the thread control block holds the thread's id, told from a thread whose id we know. */
static uint32_t find_tid_offset(const struct ma_session *session)
{
	uint64_t block = ma_arch.thread_pointer(&session->victim.context.regs);
	uint32_t words[TCB_BYTES / sizeof(uint32_t)];
	size_t count = ma_memory_read_some(&session->view.memory, ma_raddr(block), words,
					   sizeof(words), NULL) /
		       sizeof(words[0]);

	if (count > TCB_TID_OFFSET / 4 && words[TCB_TID_OFFSET / 4] == session->victim_ns_tid)
		return TCB_TID_OFFSET;
	for (size_t i = 0; i < count; i++)
		if (words[i] == session->victim_ns_tid)
			return (uint32_t)(i * sizeof(words[0]));
	return 0;
}

/* Where the stack ends that the kernel made for the program (proc(5)): it never moves. */
static uint64_t main_stack_end(const struct ma_maps *maps)
{
	const struct ma_map *map = ma_maps_find_name(maps, "[stack]", 0);

	return map ? map->end : 0;
}

static void fill_config(struct ma_hook_config *config, const struct ma_install *install,
			const struct ma_session *session, const struct ma_attach_options *options)
{
	const struct ma_view *view = &session->view;

	*config = (struct ma_hook_config){
		.abi = MA_HOOK_ABI,
		.mode = options->mode,
		.area = install->area_address,
		.area_bytes = install->area_bytes,
		.unwind = install->unwind.address,
		.unwind_bytes = install->unwind.address ? MA_UNWIND_BYTES : 0,
		.main_stack_end = main_stack_end(&view->maps),
		.gate = install->resident + MA_RESIDENT_GATE,
		.thunk_code = install->thunk_code,
		.thunk_data = install->thunk_data,
		.r_debug = view->link_map.r_debug.value,
		.dlsym = view->resolved.call[MA_CALL_DLSYM].value,
		.exe_phdr = view->auxv.phdr,
		.exe_phnum = view->auxv.phdr_count,
		.py_get_allocator = view->interpreter.get_allocator.value,
		.py_set_allocator = view->interpreter.set_allocator.value,
		.py_get_arena_allocator = view->interpreter.get_arena_allocator.value,
		.py_set_arena_allocator = view->interpreter.set_arena_allocator.value,
		.py_thread_state = view->interpreter.this_thread_state.value,
		.py_runtime = view->interpreter.runtime.value,
		.layout = view->interpreter.layout,
		.tid_offset = install->tid_offset,
		.small_limit = (uint32_t)install->small_limit,
		.tls_slots = install->tls_slots,
	};
	for (int i = 0; i < MA_FN_SYMBOLS; i++)
		config->next[i] = view->resolved.next[i].value;
}

/* A path to the hook's file that was never used before: dlopen knows libraries by their path, and
 * one that could not be unloaded may still have an older one. Each bit is a "/." or a "//." */
static void write_path(char *path, size_t room, int fd, uint64_t nonce)
{
	size_t used = (size_t)snprintf(path, room, "/proc/self/fd");

	for (int bit = 0; bit < 24; bit++)
		used += (size_t)snprintf(path + used, room - used, nonce >> bit & 1 ? "//." : "/.");
	snprintf(path + used, room - used, "/%d", fd);
}

/* All that comes behind the orders in struct ma_boot, and then the word to go on: the boot code may
 * be waiting for it. */
static int write_resident(struct ma_install *install, struct ma_session *session,
			  const struct ma_attach_options *options, struct ma_error *error)
{
	const size_t from = offsetof(struct ma_resident, boot) + offsetof(struct ma_boot, fd);
	const size_t to = offsetof(struct ma_resident, call);
	const size_t go = offsetof(struct ma_resident, boot) + offsetof(struct ma_boot, go);
	struct ma_resident *content = install->content;
	uint64_t address = install->resident + MA_RESIDENT_DATA;
	int failed;

	content->boot.fd[0] = install->hook.remote;
	content->boot.fd[1] = install->area_file.remote;
	content->boot.fd[2] = install->thunks.remote;
	content->boot.fd[3] = install->unwind.file.remote;
	if (install->file.inside[0])
		snprintf(content->boot.path, sizeof(content->boot.path), "%s",
			 install->file.inside);
	else
		write_path(content->boot.path, sizeof(content->boot.path),
			   install->hook.remote.number, ma_arch.timestamp() >> 4);
	fill_config(&content->config, install, session, options);
	fill_control(install, options);
	install->area->ident.thunk_code = install->thunk_code;
	install->area->ident.thunk_data = install->thunk_data;
	content->boot.go = 1;
	failed = ma_memory_write(&session->view.memory, ma_raddr(address + from),
				 (const char *)content + from, to - from, error);
	return failed ? failed
		      : ma_memory_write(&session->view.memory, ma_raddr(address + go),
					&content->boot.go, sizeof(content->boot.go), error);
}

/* A thunk page from before is used again; its code is ours as long as its ABI is. A new one is only
 * made executable by the boot code, when it is complete. */
static void plan_memory(struct ma_install *install, const struct ma_session *session,
			const struct ma_attach_options *options)
{
	const uint64_t gate[6] = {install->resident + MA_RESIDENT_GATE, PAGE, WIPE_ON_FORK};
	struct ma_boot_list *list = &install->list;
	unsigned int flags = install->hook.flags;

	*list = (struct ma_boot_list){.resident = install->content, .base = install->resident};
	ma_boot_list_add(list, "making the gate page", SYS_madvise, gate);
	install->area_made = ma_boot_list_memfd(list, MA_AREA_MEMFD, flags);
	install->area_mapped = ma_boot_list_map(list, "mapping the shared memory",
						install->area_made, install->area_bytes,
						PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
	/* A core file of the target need not hold our tables; if this fails it does. */
	ma_boot_list_advise(list, install->area_mapped, install->area_bytes, DONT_DUMP);
	if (!session->view.thunks.found) {
		install->thunks_made = ma_boot_list_memfd(list, MA_THUNK_MEMFD, flags);
		install->thunks_mapped = ma_boot_list_map(
			list, "mapping the thunks", install->thunks_made, MA_THUNK_PAGES * PAGE,
			PROT_READ | PROT_WRITE, MAP_PRIVATE);
	}
	if (options->native && !install->unwind.refused)
		ma_unwind_area_plan(&install->unwind, list, flags);
}

int ma_install(struct ma_install *install, struct ma_session *session,
	       const struct ma_attach_options *options, struct ma_error *error)
{
	int failed;

	install->content = calloc(1, sizeof(*install->content));
	if (!install->content)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "preparing the attach");
	failed = install_resident(install, session, error);
	if (failed)
		return failed;
	/* Complete as to what it is: should we die from here on, whoever comes next makes sure that
	 * nobody is in the boot code before taking it away. */
	*install->content = (struct ma_resident){
		.magic = MA_RESIDENT_MAGIC,
		.abi = MA_HOOK_ABI,
		.bytes = MA_RESIDENT_BYTES,
		.base = install->resident,
		.stub = install->resident,
		.boot_entry = install->resident + MA_STUB_BYTES,
		.call_stack_top =
			install->resident + MA_RESIDENT_STACKS + MA_RESIDENT_CALL_STACK_BYTES,
		.area_bytes = install->area_bytes,
	};
	ma_boot_fill(&install->content->boot, session, install->resident);
	plan_memory(install, session, options);
	install->tid_offset = find_tid_offset(session);
	return ma_memory_write(&session->view.memory,
			       ma_raddr(install->resident + MA_RESIDENT_DATA), install->content,
			       sizeof(*install->content), error);
}

/* Also after a failure: to be closed again, they must be known. */
static int open_files(struct ma_install *install, struct ma_session *session,
		      struct ma_error *error)
{
	const struct {
		uint8_t made;
		uint64_t bytes;
		struct ma_remote_memfd *file;
	} files[] = {
		{install->area_made, install->area_bytes, &install->area_file},
		{install->thunks_made, MA_THUNK_PAGES * PAGE, &install->thunks},
		{install->unwind.made, MA_UNWIND_BYTES, &install->unwind.file},
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !failed; i++)
		failed = ma_boot_list_open(&install->list, files[i].made, session, files[i].bytes,
					   files[i].file, error);
	return failed;
}

int ma_install_fill(struct ma_install *install, struct ma_session *session,
		    const struct ma_attach_options *options, uint64_t deadline_ns,
		    struct ma_error *error)
{
	int failed = ma_boot_list_read(&install->list, session, deadline_ns, error);
	int unopened = open_files(install, session, failed ? NULL : error);

	if (failed || unopened)
		return failed ? failed : unopened;
	ma_boot_list_made(&install->list, install->area_mapped, &install->area_address);
	failed = take_area(install, session, options, error);
	if (!failed && install->thunks_made) {
		ma_boot_list_made(&install->list, install->thunks_mapped, &install->thunk_code);
		failed = take_thunks(install, session, error);
	}
	if (!failed && install->unwind.made)
		failed = ma_unwind_area_take(&install->unwind, &install->list, session, error);
	if (!failed)
		failed = copy_hook(install, session, error);
	return failed ? failed : write_resident(install, session, options, error);
}

void ma_install_touch(const struct ma_install *install)
{
	const off_t start = offsetof(struct ma_area, control);
	const off_t end = offsetof(struct ma_area, tables);

	/* Allocates without reading; where the kernel cannot, the pages are the target's. */
	fallocate(install->area_file.fd, 0, start, end - start);
}

void ma_install_fini(struct ma_install *install)
{
	if (install->area)
		munmap(install->area, install->area_bytes);
	install->area = NULL;
	free(install->content);
	install->content = NULL;
	ma_hook_file_remove(&install->file);
	ma_remote_memfd_fini(&install->hook);
	ma_remote_memfd_fini(&install->area_file);
	ma_remote_memfd_fini(&install->thunks);
	ma_remote_memfd_fini(&install->unwind.file);
}
