/* SPDX-License-Identifier: MIT */
#include "inject/unwind_area.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
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

void ma_unwind_area_plan(struct ma_unwind_place *place, struct ma_boot_list *list,
			 unsigned int flags)
{
	place->made = ma_boot_list_memfd(list, MA_UNWIND_MEMFD, flags);
	place->mapped = ma_boot_list_map(list, NULL, place->made, MA_UNWIND_BYTES, PROT_READ,
					 MAP_SHARED | MAP_NORESERVE);
	/* A core file of the target need not hold our tables; if this fails it does. */
	ma_boot_list_advise(list, place->mapped, MA_UNWIND_BYTES, DONT_DUMP);
}

int ma_unwind_area_take(struct ma_unwind_place *place, const struct ma_boot_list *list,
			struct ma_session *session, struct ma_error *error)
{
	uint64_t address;

	place->refused = !ma_boot_list_made(list, place->mapped, &address);
	/* The daemon forbids further writable mappings when it has its own. */
	fcntl(place->file.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	if (pwrite(place->file.fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return ma_error_set(error, MA_ERR_FAILED, errno, "writing the unwind area");
	if (place->refused)
		return 0;
	place->address = address;
	return verify(place, session, error);
}
