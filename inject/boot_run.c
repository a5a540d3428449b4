/* SPDX-License-Identifier: MIT */
#include "inject/boot_run.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "inject/clock.h"

_Static_assert((int)MA_RESIDENT_ENTRY == (int)MA_STUB_BYTES, "the boot code follows the stub");

static uint64_t boot_address(uint64_t base)
{
	return base + MA_RESIDENT_DATA + offsetof(struct ma_resident, boot);
}

void ma_boot_fill(struct ma_boot *boot, const struct ma_session *session, uint64_t base)
{
	const struct ma_raddr *call = session->view.resolved.call;

	boot->dlopen = call[MA_CALL_DLOPEN].value;
	boot->dlsym = call[MA_CALL_DLSYM].value;
	boot->dlerror = call[MA_CALL_DLERROR].value;
	boot->dlclose = call[MA_CALL_DLCLOSE].value;
	boot->list_lock = call[MA_CALL_LIST_LOCK].value;
	boot->list_unlock = call[MA_CALL_LIST_UNLOCK].value;
	boot->register_atfork = call[MA_CALL_REGISTER_ATFORK].value;
	boot->pthread_create = call[MA_CALL_PTHREAD_CREATE].value;
	boot->pthread_attr_init = call[MA_CALL_PTHREAD_ATTR_INIT].value;
	boot->pthread_attr_setstack = call[MA_CALL_PTHREAD_ATTR_SETSTACK].value;
	boot->pthread_attr_setdetachstate = call[MA_CALL_PTHREAD_ATTR_SETDETACHSTATE].value;
	boot->pthread_attr_destroy = call[MA_CALL_PTHREAD_ATTR_DESTROY].value;
	boot->stack = base + MA_RESIDENT_STACKS + MA_RESIDENT_CALL_STACK_BYTES;
	boot->stack_bytes = MA_RESIDENT_THREAD_STACK_BYTES;
}

static bool can_make_threads(const struct ma_boot *boot)
{
	return boot->pthread_create && boot->pthread_attr_init && boot->pthread_attr_setstack &&
	       boot->pthread_attr_setdetachstate && boot->pthread_attr_destroy;
}

int ma_boot_start(struct ma_session *session, uint64_t base, struct ma_boot *boot,
		  enum ma_boot_op op, bool *on_thread, struct ma_error *error)
{
	const struct ma_target_memory *memory = &session->view.memory;
	uint64_t data = base + MA_RESIDENT_DATA;
	struct ma_call_site site = {
		.stub = base,
		.control = data + offsetof(struct ma_resident, control),
		.frame = base + MA_RESIDENT_FRAME,
		.stack_top = base + MA_RESIDENT_STACKS + MA_RESIDENT_CALL_STACK_BYTES,
		.tgid = (uint32_t)session->view.process.ns_pid,
		.tid = session->victim_ns_tid,
	};
	uint64_t result = 0;
	int failed;

	/* Calls of the kernel alone: nobody's lock is in their way. */
	*on_thread = op != MA_BOOT_CALL && !ma_session_on_victim(session);
	if (*on_thread && !can_make_threads(boot)) {
		ma_error_set(error, MA_ERR_UNSAFE, 0, "entering process %d", session->pid);
		ma_error_answer(error, "it has several threads, but not libpthread");
		return MA_ERR_UNSAFE;
	}
	boot->op = op;
	boot->on_thread = *on_thread;
	boot->cancel = 0;
	boot->done = 0;
	boot->called = 0;
	boot->tid = 0;
	boot->detail = 0;
	failed = ma_memory_write(memory, ma_raddr(boot_address(base)), boot, sizeof(*boot), error);
	if (failed)
		return failed;
	failed = ma_remote_call(&session->remote, &site, base + MA_STUB_BYTES, data,
				ma_clock_ns() + 5 * MA_NS_PER_S, &result, error);
	if (!failed && *on_thread && result) {
		ma_error_set(error, MA_ERR_FAILED, (int)result, "making a thread in process %d",
			     session->pid);
		return MA_ERR_FAILED;
	}
	if (*on_thread && !failed)
		ma_session_release(session);
	return failed;
}

int ma_boot_await_calls(struct ma_session *session, uint64_t base, uint64_t deadline_ns,
			struct ma_error *error)
{
	uint64_t called = boot_address(base) + offsetof(struct ma_boot, called);
	uint32_t value = 0;
	int failed;

	for (;;) {
		failed = ma_memory_read_u32(&session->view.memory, ma_raddr(called), &value, error);
		if (failed || value)
			return failed;
		if (ma_clock_ns() >= deadline_ns)
			break;
		ma_session_settle(session);
		ma_clock_pause(10 * MA_NS_PER_US);
	}
	ma_error_set(error, MA_ERR_UNSAFE, 0, "waiting for a new thread in process %d",
		     session->pid);
	ma_error_answer(error, "it has not run yet");
	return MA_ERR_UNSAFE;
}

/* Is the thread with this id (in its own PID namespace) still there? */
static bool thread_exists(const struct ma_session *session, uint32_t ns_tid)
{
	pid_t *tids;
	size_t count;
	bool exists = false;

	if (ma_proc_tasks(session->pid, &tids, &count, NULL))
		return false;
	for (size_t i = 0; i < count && !exists; i++) {
		struct ma_proc_status status;

		if (session->view.status.ns_depth == 0)
			exists = (uint32_t)tids[i] == ns_tid;
		else
			exists = !ma_proc_status_read(session->pid, tids[i], &status, NULL) &&
				 (uint32_t)status.ns_pid == ns_tid;
	}
	free(tids);
	return exists;
}

int ma_boot_finish(struct ma_session *session, uint64_t base, bool on_thread, uint64_t deadline_ns,
		   struct ma_resident *resident, struct ma_error *error)
{
	const struct ma_target_memory *memory = &session->view.memory;
	uint64_t pause_ns = 20 * MA_NS_PER_US;

	for (;;) {
		int failed = ma_memory_read(memory, ma_raddr(base + MA_RESIDENT_DATA), resident,
					    sizeof(*resident), error);

		if (failed && ma_view_ended(&session->view)) {
			ma_error_set(error, MA_ERR_NO_PROCESS, 0,
				     "waiting for the loader in process %d", session->pid);
			ma_error_answer(error, "the process has just ended");
			return MA_ERR_NO_PROCESS;
		}
		if (failed)
			return failed;
		if (resident->boot.done &&
		    !(on_thread && thread_exists(session, resident->boot.tid)))
			return 0;
		if (ma_clock_ns() >= deadline_ns)
			break;
		/* Whoever stops only now must not stay so: the loader may be waiting for its lock.
		 */
		ma_session_settle(session);
		ma_clock_pause(pause_ns);
		if (pause_ns < MA_NS_PER_MS)
			pause_ns += pause_ns / 2;
	}
	ma_error_set(error, MA_ERR_UNSAFE, 0, "waiting for the loader in process %d", session->pid);
	ma_error_answer(error, "it has not come back; some thread holds the dynamic loader's lock");
	return MA_ERR_UNSAFE;
}

void ma_boot_cancel(struct ma_session *session, uint64_t base)
{
	const uint32_t yes = 1;

	ma_memory_write(&session->view.memory,
			ma_raddr(boot_address(base) + offsetof(struct ma_boot, cancel)), &yes,
			sizeof(yes), NULL);
}

int ma_boot_judge(const struct ma_resident *resident, pid_t pid, struct ma_error *error)
{
	const struct ma_hook_config *config = &resident->config;
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{MA_BOOT_NO_SYMBOL, "the hook lacks an entry point"},
		{MA_BOOT_CANCELLED, "it took too long and was called off"},
		{MA_BOOT_FD_REPLACED, "the program closed a file descriptor that was not its own"},
		{MA_BOOT_NOT_UNLOADED, "dlclose failed"},
		{MA_BOOT_NOT_CALLED, "a mapping of our memory failed"},
		{MA_BOOT_NOT_PATCHED, "some call slots could not be patched; all were put back"},
	};
	const char *text = NULL;

	if (config->status >= 0)
		return 0;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == config->status)
			text = texts[i].text;
	ma_error_set(error, MA_ERR_FAILED, 0, "running the loader in process %d", pid);
	if (config->status == MA_BOOT_NO_LIBRARY)
		ma_error_answer(error, "dlopen failed: %.*s", (int)sizeof(config->message) - 1,
				config->message);
	else if (text)
		ma_error_answer(error, "%s", text);
	else
		ma_error_answer(error, "step %u of the hook failed with %d", config->step,
				config->status);
	return MA_ERR_FAILED;
}

int ma_boot_read(const struct ma_target_memory *memory, uint64_t config_address,
		 struct ma_resident *resident, struct ma_error *error)
{
	uint64_t address = config_address - offsetof(struct ma_resident, config);
	int failed = ma_memory_read(memory, ma_raddr(address), resident, sizeof(*resident), error);

	if (failed)
		return failed;
	if (resident->magic == MA_RESIDENT_MAGIC && resident->abi == MA_HOOK_ABI &&
	    resident->base + MA_RESIDENT_DATA == address && resident->bytes == MA_RESIDENT_BYTES &&
	    resident->base % 4096 == 0)
		return 0;
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the loader's data in process %d",
		     memory->pid);
	ma_error_answer(error, "what is at 0x%llx was not written by this version",
			(unsigned long long)address);
	return MA_ERR_PROTOCOL;
}
