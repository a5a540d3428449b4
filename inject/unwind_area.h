/* SPDX-License-Identifier: MIT */
/*
 * The unwind area's way into a target (proto/unwind.h): a memfd that is made there, mapped
 * read-only, and filled by the daemon from outside. It takes address space, no memory; a target
 * whose address space is limited may have none to spare, and does without native stacks then.
 */
#ifndef MA_INJECT_UNWIND_AREA_H
#define MA_INJECT_UNWIND_AREA_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/boot_list.h"
#include "inject/remote_memfd.h"
#include "inject/session.h"
#include "proto/error.h"

struct ma_unwind_place {
	struct ma_remote_memfd file;
	uint64_t address; /* in the target; 0 = not mapped */
	bool refused;     /* it was wanted, but there is no address space for it */
	uint8_t made;     /* the calls that make and map it */
	uint8_t mapped;
};

/* Is the address space that the target may still take ample for it? Before anything is stopped. */
bool ma_unwind_area_fits(const struct ma_session *session);

/* Adds the calls that make and map it, `flags` being those of memfd_create here. */
void ma_unwind_area_plan(struct ma_unwind_place *place, struct ma_boot_list *list,
			 unsigned int flags);

/*
 * After they were made and the file was opened: writes its head, no index yet. When the target's
 * kernel refused the mapping its address is 0 with place->refused. Tracer.
 */
int ma_unwind_area_take(struct ma_unwind_place *place, const struct ma_boot_list *list,
			struct ma_session *session, struct ma_error *error);

#endif
