/* SPDX-License-Identifier: MIT */
/*
 * Keeps a target's unwind area up to date: which modules are mapped where, their tables, and where
 * stacks are. It looks at the maps when tracking begins, when the hook walked over new objects, and
 * when a walk met code or a stack that the index does not list; what tables there are not yet come
 * from the worker, later.
 */
#ifndef MA_DAEMON_UNWIND_KEEPER_H
#define MA_DAEMON_UNWIND_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/modules.h"
#include "daemon/notes.h"
#include "daemon/unwind_area.h"
#include "daemon/unwind_maps.h"
#include "daemon/unwind_worker.h"
#include "proto/area.h"
#include "proto/error.h"

/* What a target has mapped, as of the last look. */
struct ma_unwind_known {
	struct ma_unwind_module
		module; /* id 0: its file is still being looked at, or is no module */
	uint64_t offset, inode;
	bool waiting; /* for the worker */
};

/* What the hook said when it was last asked. */
struct ma_unwind_asked {
	uint64_t passes, no_module, no_stack;
};

/* Zero-initialise. */
struct ma_unwind_keeper {
	struct ma_unwind_worker *worker; /* borrowed; NULL: not in use */
	uint64_t id;                     /* the owner of its jobs */
	pid_t pid;
	int proc_fd;                /* borrowed */
	struct ma_modules *modules; /* borrowed: where new modules are made known */
	struct ma_notes *notes;     /* borrowed */
	uint64_t interpreter_base;
	struct ma_unwind_area_map map;
	struct ma_unwind_maps maps;
	struct ma_unwind_known *known; /* ascending by module.start */
	uint32_t known_count;
	uint32_t waiting;  /* of them */
	bool changed;      /* since the last publication */
	bool published;    /* at least once */
	bool full_noted;   /* that the area is full */
	uint64_t begun_ms; /* when the first look was */
	struct ma_unwind_asked asked;
	uint64_t next_look_ms;
	uint32_t pause_ms; /* between two looks that find nothing */
};

struct ma_unwind_keeper_options {
	struct ma_unwind_worker *worker;
	pid_t pid;
	int proc_fd;
	struct ma_modules *modules;
	struct ma_notes *notes;
	const struct ma_area_ident *ident; /* borrowed for the call */
};

/* Begins; unwind_fd is borrowed. Errors: as ma_unwind_area_open. Daemon loop, as everything here.
 */
int ma_unwind_keeper_init(struct ma_unwind_keeper *keeper,
			  const struct ma_unwind_keeper_options *options, int unwind_fd,
			  struct ma_error *error);

/* Zeroed ones are accepted, and a second call. */
void ma_unwind_keeper_fini(struct ma_unwind_keeper *keeper);

/* Looks at the maps if there is a reason to, and publishes what changed. */
void ma_unwind_keeper_poll(struct ma_unwind_keeper *keeper, const struct ma_area *area,
			   uint64_t now_ms);

/* Takes what came of a job that is this keeper's; the job stays the caller's. false: it is not. */
bool ma_unwind_keeper_take(struct ma_unwind_keeper *keeper, const struct ma_unwind_job *job);

#endif
