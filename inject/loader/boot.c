/* SPDX-License-Identifier: MIT */
/*
 * The boot code: gets the hook in and out, from inside. A flat, position-independent piece of code
 * without libc, relocations or writable data; what it needs is in struct ma_resident. It runs on a
 * borrowed thread of the target (single-threaded or group-stopped targets) or makes a detached
 * thread on our own stack, on which it ends; never under a lock of ours.
 *
 * A pass over the link map is the look-up of ma_hook_pass: an IFUNC, resolved by dlsym under the
 * dynamic loader's lock (inject/hook/config.h).
 */
#include "inject/loader/fork_bar.h"
#include "inject/loader/resident.h"
#include "inject/loader/syscall_x86_64.h"

enum {
	RTLD_NOW_ = 2,
	DETACHED = 1, /* PTHREAD_CREATE_DETACHED */
	READ_EXECUTE = 5,
	FIXED = 0x12, /* MAP_PRIVATE | MAP_FIXED */
	GO_NAP_NS = 20000,
};

/* Some two seconds of today's processors; and as long as it mostly takes. */
#define GO_TICKS      (UINT64_C(1) << 32)
#define GO_SPIN_TICKS (UINT64_C(1) << 19)

typedef void *dlopen_fn(const char *path, int flags);
typedef void *dlsym_fn(void *handle, const char *name);
typedef const char *dlerror_fn(void);
typedef int dlclose_fn(void *handle);
typedef int hook_fn(struct ma_hook_config *config);
typedef int attr_fn(void *attr);
typedef int attr_setstack_fn(void *attr, void *stack, uint64_t bytes);
typedef int attr_set_fn(void *attr, int value);
typedef int create_fn(uint64_t *thread, const void *attr, void *(*run)(void *), void *arg);

#define FUNCTION(type, address) ((type *)(uintptr_t)(address))

static void copy_text(char *to, uint64_t room, const char *from)
{
	uint64_t i = 0;

	for (; from && from[i] && i + 1 < room; i++)
		to[i] = from[i];
	to[i] = '\0';
}

static uint64_t is_ours(const struct ma_boot_fd *fd)
{
	struct ma_kernel_stat found;

	return fd->number >= 0 &&
	       !ma_raw_syscall(MA_SYS_FSTAT, (uint64_t)fd->number, (uintptr_t)&found, 0, 0) &&
	       found.device == fd->device && found.inode == fd->inode;
}

static void close_fds(struct ma_boot *boot)
{
	for (int i = 0; i < MA_BOOT_FDS; i++) {
		if (is_ours(&boot->fd[i]))
			ma_raw_syscall(MA_SYS_CLOSE, (uint64_t)boot->fd[i].number, 0, 0, 0);
		boot->fd[i].number = -1;
	}
}

static void *hook_symbol(struct ma_resident *resident, const char *name)
{
	return FUNCTION(dlsym_fn, resident->boot.dlsym)((void *)resident->config.dl_handle, name);
}

static void run_pass(struct ma_resident *resident, uint32_t pass)
{
	resident->config.pass = pass;
	hook_symbol(resident, "ma_hook_pass");
	resident->config.pass = MA_PASS_NONE;
}

static void say_state(struct ma_resident *resident, uint32_t state)
{
	struct ma_thunk_data *thunks = (void *)resident->config.thunk_data;

	if (state != MA_THUNKS_IDLE)
		thunks->config = (uintptr_t)&resident->config;
	__atomic_store_n(&thunks->state, state, __ATOMIC_RELEASE);
	if (state == MA_THUNKS_IDLE)
		thunks->config = 0;
}

static int close_library(struct ma_resident *resident)
{
	struct ma_hook_config *config = &resident->config;
	int failed;

	ma_fork_bar_set(resident);
	failed = FUNCTION(dlclose_fn, resident->boot.dlclose)((void *)config->dl_handle);
	if (!failed)
		config->dl_handle = 0;
	ma_fork_bar_lift(resident);
	return failed;
}

/* Takes the hook out of use again: the way of STOP, and of a LOAD that fails late. */
static int stop(struct ma_resident *resident)
{
	struct ma_hook_config *config = &resident->config;
	hook_fn *hook_stop = hook_symbol(resident, "ma_hook_stop");
	int status = MA_BOOT_NO_SYMBOL;

	config->step = MA_STEP_STOP;
	if (!hook_stop)
		return status;
	status = hook_stop(config);
	config->step = MA_STEP_RESTORE;
	run_pass(resident, MA_PASS_RESTORE);
	config->step = MA_STEP_STOPPED;
	say_state(resident, MA_THUNKS_LINGERING);
	return status < 0 ? status : 0;
}

static int open_library(struct ma_resident *resident)
{
	struct ma_boot *boot = &resident->boot;
	struct ma_hook_config *config = &resident->config;
	void *handle;

	config->step = MA_STEP_DLOPEN;
	if (!is_ours(&boot->fd[0]))
		return MA_BOOT_FD_REPLACED;
	ma_fork_bar_set(resident);
	handle = FUNCTION(dlopen_fn, boot->dlopen)(boot->path, RTLD_NOW_);
	ma_fork_bar_lift(resident);
	if (!handle) {
		const char *text =
			boot->dlerror ? FUNCTION(dlerror_fn, boot->dlerror)() : (const char *)0;

		copy_text(config->message, sizeof(config->message), text);
		return MA_BOOT_NO_LIBRARY;
	}
	config->dl_handle = (uintptr_t)handle;
	return 0;
}

static uint64_t has_failed(int64_t result)
{
	return result < 0 && result >= MA_BOOT_NO_RESULT;
}

/* Once. Ends at the first that must not fail. */
static int make_calls(struct ma_resident *resident)
{
	uint64_t calls = resident->calls;

	resident->calls = 0;
	for (uint64_t i = 0; i < calls; i++) {
		struct ma_boot_call *call = &resident->call[i];
		uint64_t possible = 1;

		for (int a = 0; a < 6; a++) {
			int64_t result;

			if (!call->from[a])
				continue;
			result = resident->call[call->from[a] - 1].result;
			call->args[a] = (uint64_t)result;
			possible &= !has_failed(result);
		}
		if (possible)
			call->result = ma_raw_syscall6(call->number, call->args);
		if (has_failed(call->result) && !call->may_fail)
			return MA_BOOT_NOT_CALLED;
	}
	return 0;
}

/* Only now that its content is there does a new thunk page become executable, which is what it is
 * found by. The program may have closed the number and used it again. */
static int map_thunks(const struct ma_resident *resident)
{
	const struct ma_boot_fd *file = &resident->boot.fd[2];
	const uint64_t args[6] = {resident->config.thunk_code,
				  MA_THUNK_PAGE_BYTES,
				  READ_EXECUTE,
				  FIXED,
				  (uint64_t)file->number,
				  0};

	if (file->number < 0)
		return 0;
	if (!is_ours(file))
		return MA_BOOT_FD_REPLACED;
	if (has_failed(ma_raw_syscall6(MA_SYS_MMAP, args)))
		return MA_BOOT_NOT_CALLED;
	return is_ours(file) ? 0 : MA_BOOT_FD_REPLACED;
}

/* The injector fills what was made. Should it have died, nobody says anything any more. */
static int await_go(struct ma_boot *boot)
{
	const uint64_t nap[2] = {0, GO_NAP_NS};
	uint64_t now = ma_raw_timestamp(), nap_from = now + GO_SPIN_TICKS, until = now + GO_TICKS;

	while (!__atomic_load_n(&boot->go, __ATOMIC_ACQUIRE)) {
		now = ma_raw_timestamp();
		if (__atomic_load_n(&boot->cancel, __ATOMIC_ACQUIRE) || now >= until)
			return MA_BOOT_CANCELLED;
		if (now < nap_from)
			continue;
		ma_raw_syscall(MA_SYS_FUTEX, (uintptr_t)&boot->go, MA_FUTEX_WAIT, 0,
			       (uintptr_t)nap);
	}
	return 0;
}

static int load(struct ma_resident *resident)
{
	struct ma_boot *boot = &resident->boot;
	struct ma_hook_config *config = &resident->config;
	hook_fn *prepare, *start;
	int status = await_go(boot);

	if (!status)
		status = map_thunks(resident);
	if (!status)
		status = open_library(resident);
	if (status)
		return status;
	close_fds(boot);
	config->step = MA_STEP_SYMBOLS;
	prepare = hook_symbol(resident, "ma_hook_prepare");
	start = hook_symbol(resident, "ma_hook_start");
	status = prepare && start ? 0 : MA_BOOT_NO_SYMBOL;
	if (!status) {
		config->step = MA_STEP_PREPARE;
		status = prepare(config);
	}
	if (status >= 0 && __atomic_load_n(&boot->cancel, __ATOMIC_ACQUIRE))
		status = MA_BOOT_CANCELLED;
	if (status < 0) {
		/* Nothing leads into it yet. */
		close_library(resident);
		say_state(resident, MA_THUNKS_IDLE);
		return status;
	}
	config->step = MA_STEP_PATCH;
	say_state(resident, MA_THUNKS_INSTALLED);
	run_pass(resident, MA_PASS_PATCH);
	if (config->passes_failed) {
		status = MA_BOOT_NOT_PATCHED;
	} else {
		config->step = MA_STEP_START;
		status = start(config);
	}
	if (status < 0) {
		stop(resident);
		return status;
	}
	config->step = MA_STEP_RUNNING;
	return 0;
}

/* The state stays "lingering" until the injector has taken the rest away. */
static int unload(struct ma_resident *resident)
{
	resident->config.step = MA_STEP_DLCLOSE;
	if (resident->config.dl_handle && close_library(resident))
		return MA_BOOT_NOT_UNLOADED;
	resident->config.step = MA_STEP_UNLOADED;
	return 0;
}

static void run_op(struct ma_resident *resident)
{
	struct ma_boot *boot = &resident->boot;
	int status;

	boot->tid = (uint32_t)ma_raw_syscall(MA_SYS_GETTID, 0, 0, 0, 0);
	status = make_calls(resident);
	__atomic_store_n(&boot->called, 1, __ATOMIC_RELEASE);
	switch (status ? MA_BOOT_CALL : boot->op) {
	case MA_BOOT_LOAD:
		status = load(resident);
		break;
	case MA_BOOT_CALL:
		break;
	case MA_BOOT_STOP:
		status = stop(resident);
		break;
	default:
		status = unload(resident);
		break;
	}
	resident->config.status = status;
	boot->finished_tsc = ma_raw_timestamp();
	__atomic_store_n(&boot->done, 1, __ATOMIC_RELEASE);
}

static void *run_thread(void *arg)
{
	uint64_t all = UINT64_MAX;

	ma_raw_syscall(MA_SYS_SIGPROCMASK, 2 /* SIG_SETMASK */, (uintptr_t)&all, 0, sizeof(all));
	run_op(arg);
	return 0;
}

/* The entry: first in the flat code (boot.ld). Returns 0, or the error of pthread_create. */
__attribute__((section(".text.entry"), used)) int64_t ma_boot_entry(struct ma_resident *resident)
{
	struct ma_boot *boot = &resident->boot;
	uint64_t attr[16]; /* pthread_attr_t takes 56 bytes */
	uint64_t thread;
	int failed;

	if (!boot->on_thread) {
		run_op(resident);
		return 0;
	}
	failed = FUNCTION(attr_fn, boot->pthread_attr_init)(attr);
	if (!failed)
		failed = FUNCTION(attr_setstack_fn, boot->pthread_attr_setstack)(
			attr, (void *)boot->stack, boot->stack_bytes);
	if (!failed)
		failed = FUNCTION(attr_set_fn, boot->pthread_attr_setdetachstate)(attr, DETACHED);
	if (!failed)
		failed = FUNCTION(create_fn, boot->pthread_create)(&thread, attr, run_thread,
								   resident);
	FUNCTION(attr_fn, boot->pthread_attr_destroy)(attr);
	return failed;
}
