/* SPDX-License-Identifier: MIT */
#include "inject/boot_list.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/boot_run.h"

uint8_t ma_boot_list_add(struct ma_boot_list *list, const char *what, uint32_t number,
			 const uint64_t args[6])
{
	struct ma_boot_call *call = &list->resident->call[list->resident->calls];

	*call = (struct ma_boot_call){
		.number = number, .may_fail = !what, .result = MA_BOOT_NO_RESULT};
	memcpy(call->args, args, sizeof(call->args));
	list->what[list->resident->calls] = what;
	return (uint8_t)++list->resident->calls;
}

static struct ma_boot_call *call_at(const struct ma_boot_list *list, uint8_t call)
{
	return &list->resident->call[call - 1];
}

static uint64_t address_of(const struct ma_boot_list *list, uint64_t call)
{
	return list->base + MA_RESIDENT_DATA + offsetof(struct ma_resident, call) +
	       call * sizeof(struct ma_boot_call);
}

uint8_t ma_boot_list_memfd(struct ma_boot_list *list, const char *name, unsigned int flags)
{
	const uint64_t args[6] = {address_of(list, list->resident->calls) +
					  offsetof(struct ma_boot_call, text),
				  flags};
	uint8_t call = ma_boot_list_add(list, "making shared memory", SYS_memfd_create, args);

	snprintf(call_at(list, call)->text, sizeof(call_at(list, call)->text), "%s", name);
	return call;
}

uint8_t ma_boot_list_map(struct ma_boot_list *list, const char *what, uint8_t memfd, uint64_t bytes,
			 int protection, int flags)
{
	const uint64_t args[6] = {0, bytes, (uint64_t)protection, (uint64_t)flags};
	uint8_t call = ma_boot_list_add(list, what, SYS_mmap, args);

	call_at(list, call)->from[4] = memfd;
	return call;
}

void ma_boot_list_advise(struct ma_boot_list *list, uint8_t mapping, uint64_t bytes, int advice)
{
	const uint64_t args[6] = {0, bytes, (uint64_t)advice};
	uint8_t call = ma_boot_list_add(list, NULL, SYS_madvise, args);

	call_at(list, call)->from[0] = mapping;
}

bool ma_boot_list_made(const struct ma_boot_list *list, uint8_t call, uint64_t *result)
{
	int64_t value = call_at(list, call)->result;

	*result = (uint64_t)value;
	return value >= 0 || value < MA_BOOT_NO_RESULT;
}

static int judge(const struct ma_boot_list *list, pid_t pid, struct ma_error *error)
{
	uint64_t result;

	for (uint8_t i = 1; i <= list->resident->calls; i++)
		if (!call_at(list, i)->may_fail && !ma_boot_list_made(list, i, &result))
			return ma_error_set(error, MA_ERR_FAILED, (int)-call_at(list, i)->result,
					    "%s in process %d", list->what[i - 1], pid);
	return 0;
}

int ma_boot_list_read(struct ma_boot_list *list, struct ma_session *session, uint64_t deadline_ns,
		      struct ma_error *error)
{
	struct ma_resident *resident = list->resident;
	int failed = ma_boot_await_calls(session, list->base, deadline_ns, error);

	if (!failed)
		failed = ma_memory_read(&session->view.memory, ma_raddr(address_of(list, 0)),
					resident->call, sizeof(resident->call), error);
	if (failed)
		return failed;
	for (uint8_t i = 1; i <= resident->calls; i++) {
		uint64_t address;

		if (call_at(list, i)->number == SYS_mmap && ma_boot_list_made(list, i, &address))
			ma_session_push_undo(session, SYS_munmap, address,
					     call_at(list, i)->args[1]);
	}
	return judge(list, session->pid, error);
}

int ma_boot_list_open(const struct ma_boot_list *list, uint8_t call, struct ma_session *session,
		      uint64_t bytes, struct ma_remote_memfd *memfd, struct ma_error *error)
{
	uint64_t number;
	int failed;

	if (!call || !ma_boot_list_made(list, call, &number))
		return 0;
	memfd->remote.number = (int32_t)number;
	failed = ma_remote_memfd_open(memfd, session->pid, call_at(list, call)->text, bytes, error);
	ma_session_push_close(session, &memfd->remote);
	return failed;
}
