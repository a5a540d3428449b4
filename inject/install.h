/* SPDX-License-Identifier: MIT */
/*
 * Everything that an attach puts into a target's address space: the hook's file and the resident
 * mapping with the boot code, by remote system calls on the held thread; the shared area, the gate,
 * the thunk page and the unwind area, by the boot code's list of calls. Each with its undo.
 */
#ifndef MA_INJECT_INSTALL_H
#define MA_INJECT_INSTALL_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/attach.h"
#include "inject/boot_list.h"
#include "inject/hook_file.h"
#include "inject/loader/resident.h"
#include "inject/remote_memfd.h"
#include "inject/session.h"
#include "inject/unwind_area.h"
#include "proto/area.h"

struct ma_install {
	bool tls_slots;      /* which build of the hook */
	bool made_thunks;    /* the thunk page is new; else one from before is used again */
	uint64_t area_bytes; /* of the memfd and its mapping */
	uint64_t small_limit;
	uint64_t start_tsc; /* the moment of the command, on two clocks */
	uint64_t start_ns;
	struct ma_hook_file file; /* where the target cannot open the memfd by name */
	struct ma_remote_memfd hook;
	struct ma_remote_memfd area_file;
	struct ma_remote_memfd thunks;
	struct ma_unwind_place unwind;
	struct ma_area *area; /* our mapping of it, owned */
	uint64_t resident;    /* the target's addresses from here on */
	uint64_t area_address;
	uint64_t thunk_code;
	uint64_t thunk_data;
	struct ma_resident *content; /* what was written there, owned */
	struct ma_boot_list list;    /* of calls, and those of it that make and map a file */
	uint8_t area_made, area_mapped;
	uint8_t thunks_made, thunks_mapped;
	uint32_t tid_offset;
};

/* Empty: nothing made yet, nothing to be released. tls_slots: which build of the hook. */
void ma_install_init(struct ma_install *install, bool tls_slots, uint64_t start_tsc,
		     uint64_t start_ns);

/*
 * Decides what an attach will take, before anything is stopped, and leaves the hook's file to a
 * target without /proc. Errors: those of ma_hook_file_create.
 */
int ma_install_plan(struct ma_install *install, const struct ma_session *session,
		    const struct ma_attach_options *options, struct ma_error *error);

/*
 * Puts the loader in place; the session holds a thread. On success the boot code can be run: LOAD
 * on a thread of its own, or CALL on the held one. On failure session's undo list takes everything
 * back. Tracer.
 */
int ma_install(struct ma_install *install, struct ma_session *session,
	       const struct ma_attach_options *options, struct ma_error *error);

/*
 * Fills what the boot code's calls have made, and lets a LOAD under way go on. Does not need a
 * thread to be held. Errors: those of ma_boot_list_read; MA_ERR_UNSAFE when the program closed a
 * file descriptor of ours; MA_ERR_FAILED. The undo list has what there is then. Tracer.
 */
int ma_install_fill(struct ma_install *install, struct ma_session *session,
		    const struct ma_attach_options *options, uint64_t deadline_ns,
		    struct ma_error *error);

/* Touches the pages of the area that the hook writes most, so that they are charged to us and not
 * to the target. */
void ma_install_touch(const struct ma_install *install);

/* Releases our ends: fds (area_file's and unwind's may have been taken: -1) and mappings. */
void ma_install_fini(struct ma_install *install);

#endif
