/* SPDX-License-Identifier: MIT */
#include "inject/unwind_area.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/unwind.h"

enum {
	SPARE = 4,      /* at most one part in so many of what is left of a limited address space */
	DONT_DUMP = 16, /* MADV_DONTDUMP */
};

bool ma_unwind_area_fits(const struct ma_session *session)
{
	const struct ma_maps *maps = &session->view.maps;
	uint64_t limit = ma_proc_limit(session->pid, "Max address space");
	uint64_t used = 0;

	if (limit == UINT64_MAX)
		return true;
	for (size_t i = 0; i < maps->count; i++)
		used += maps->map[i].end - maps->map[i].start;
	return limit > used && (limit - used) / SPARE >= MA_UNWIND_BYTES;
}

/* The head that hook and daemon check; `current` 0: no index yet. Its page is touched by us, and
 * charged to us. */
struct head {
	uint64_t magic;
	uint32_t version;
	uint32_t current;
	uint64_t bytes;
};

_Static_assert(offsetof(struct ma_unwind_area, version) == offsetof(struct head, version) &&
		       offsetof(struct ma_unwind_area, bytes) == offsetof(struct head, bytes),
	       "the first fields of the area");

static const struct head head = {
	.magic = MA_UNWIND_MAGIC,
	.version = MA_UNWIND_VERSION,
	.bytes = MA_UNWIND_BYTES,
};

/* The number was the target's to close and use again: does the mapping show our file? */
static int verify(const struct ma_unwind_place *place, struct ma_session *session,
		  struct ma_error *error)
{
	struct head found;
	int failed = ma_memory_read(&session->view.memory, ma_raddr(place->address), &found,
				    sizeof(found), error);

	if (failed || !memcmp(&found, &head, sizeof(found)))
		return failed;
	ma_error_set(error, MA_ERR_UNSAFE, 0, "mapping the unwind area in process %d",
		     session->pid);
	ma_error_answer(error, "the program closed a file descriptor that was not its own");
	ma_error_remedy(error, "Try again.");
	return MA_ERR_UNSAFE;
}

static int map(struct ma_unwind_place *place, struct ma_session *session, struct ma_error *error)
{
	const uint64_t args[6] = {
		0,
		MA_UNWIND_BYTES,
		PROT_READ,
		MAP_SHARED | MAP_NORESERVE,
		(uint64_t)place->file.remote.number,
		0,
	};
	uint64_t dump[6] = {0, MA_UNWIND_BYTES, DONT_DUMP};
	int64_t result;
	int failed = ma_remote_syscall(&session->remote, SYS_mmap, args, &result, error);

	if (failed)
		return failed;
	if (result < 0 && result > -4096) {
		place->refused = true;
		return 0;
	}
	place->address = dump[0] = (uint64_t)result;
	ma_session_push_undo(session, SYS_munmap, place->address, MA_UNWIND_BYTES);
	/* A core file of the target need not hold our tables; if this fails it does. */
	return ma_remote_syscall(&session->remote, SYS_madvise, dump, &result, error);
}

int ma_unwind_area_install(struct ma_unwind_place *place, struct ma_session *session,
			   struct ma_error *error)
{
	int failed = ma_remote_memfd_create(&session->remote, MA_UNWIND_MEMFD, MA_UNWIND_BYTES,
					    &place->file, error);

	if (place->file.remote.number >= 0)
		ma_session_push_close(session, &place->file.remote);
	if (failed)
		return failed;
	/* The daemon forbids further writable mappings when it has its own. */
	fcntl(place->file.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	if (pwrite(place->file.fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return ma_error_set(error, MA_ERR_FAILED, errno, "writing the unwind area");
	failed = map(place, session, error);
	if (!failed && place->address)
		failed = verify(place, session, error);
	return failed;
}
