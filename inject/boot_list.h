/* SPDX-License-Identifier: MIT */
/*
 * System calls that the boot code makes before anything else (loader/resident.h): on a thread of
 * its own, if it has one, while all others run. A remote system call, by contrast, stops a thread
 * twice. A call may take results of earlier ones as its arguments; calls are named by their place
 * in the list, from 1 on.
 */
#ifndef MA_INJECT_BOOT_LIST_H
#define MA_INJECT_BOOT_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/remote_memfd.h"
#include "inject/session.h"
#include "proto/error.h"

struct ma_boot_list {
	struct ma_resident *resident; /* ours, with the list; borrowed */
	uint64_t base;                /* of the resident mapping */
	const char *what[MA_BOOT_CALLS];
};

/* what: what the call is for, in words, kept; NULL: it may fail. Lists that are too long are a
 * mistake of ours: the boot code has room for MA_BOOT_CALLS. */
uint8_t ma_boot_list_add(struct ma_boot_list *list, const char *what, uint32_t number,
			 const uint64_t args[6]);

/* memfd_create, with the flags with which another one was made. */
uint8_t ma_boot_list_memfd(struct ma_boot_list *list, const char *name, unsigned int flags);

/* mmap of a memfd that the list makes, anywhere, from its start. */
uint8_t ma_boot_list_map(struct ma_boot_list *list, const char *what, uint8_t memfd, uint64_t bytes,
			 int protection, int flags);

/* madvise of the start of a mapping that the list makes; it may fail. */
void ma_boot_list_advise(struct ma_boot_list *list, uint8_t mapping, uint64_t bytes, int advice);

/*
 * Reads the results of an op that was started, as soon as they are there. The session's undo list
 * takes the mappings back. Also after an error there may be results. Errors: those of
 * ma_boot_await_calls; MA_ERR_FAILED when one that must not fail did.
 */
int ma_boot_list_read(struct ma_boot_list *list, struct ma_session *session, uint64_t deadline_ns,
		      struct ma_error *error);

/* Was it made, and with success? */
bool ma_boot_list_made(const struct ma_boot_list *list, uint8_t call, uint64_t *result);

/* Opens the memfd that a call has made, and notes to close it in the target. None made: nothing. */
int ma_boot_list_open(const struct ma_boot_list *list, uint8_t call, struct ma_session *session,
		      uint64_t bytes, struct ma_remote_memfd *memfd, struct ma_error *error);

#endif
