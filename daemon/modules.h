/* SPDX-License-Identifier: MIT */
/*
 * The modules of a target: every executable mapping of a file that a native frame may lie in, by
 * the id that the unwind area and the frames know it by (proto/unwind.h). Whoever reads the maps
 * adds them; the table compiler and the symbols open them here. A module stays known when it is
 * unmapped, or the target gone, because stacks still name it.
 */
#ifndef MA_DAEMON_MODULES_H
#define MA_DAEMON_MODULES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	MA_MODULES = 0xffff, /* ids there are: MA_FRAME_NATIVE has 16 bits for them */
	MA_BUILD_ID_BYTES = 32,
};

#define MA_MODULE_VDSO "[vdso]"

/* What is known of a module. Addresses are the target's. */
struct ma_native_module {
	uint64_t start, end; /* of the executable mapping */
	uint64_t bias;       /* address in the target - address as the file counts them */
	uint64_t inode;      /* of the file; 0: none (the vDSO) */
	const char *path; /* as the target names it, without " (deleted)"; MA_MODULE_VDSO; owned */
	uint8_t build_id[MA_BUILD_ID_BYTES];
	uint32_t build_id_bytes; /* 0: it has none */
	bool interpreter;        /* the interpreter's loop is in it */
};

/* Zero-initialise, then ma_modules_init. */
struct ma_modules {
	int proc_fd; /* /proc/PID, a directory; borrowed; -1: the target is gone */
	pid_t pid;
	struct ma_native_module *modules; /* module id - 1 */
	uint32_t count, room;
};

void ma_modules_init(struct ma_modules *modules, pid_t pid, int proc_fd);
void ma_modules_fini(struct ma_modules *modules);

/* Adds a copy of a module. Returns its id, or 0 when there is no memory or no id left. Daemon loop,
 * as everything here. */
uint32_t ma_modules_add(struct ma_modules *modules, const struct ma_native_module *module);

/* The module of an id, NULL when there is none. Borrowed until the next add. */
const struct ma_native_module *ma_modules_find(const struct ma_modules *modules, uint32_t id);

/*
 * Opens the file of a module as the target sees it: by its path below the target's root if that is
 * still the same inode, or by its path here (a chroot, a target that is gone), else through
 * map_files (deleted, replaced; takes privilege); the vDSO is copied out of the target's memory.
 * Returns an fd (returned-owned) of a regular file or a memfd, or -1. What is in it is the target's
 * and may be anything.
 */
int ma_modules_open(const struct ma_modules *modules, const struct ma_native_module *module);

/* Opens a regular file below a root (O_PATH) without following links out of it. An fd
 * (returned-owned), or -1. Any thread. */
int ma_modules_open_below(int root, const char *path);

/* The target's root directory, O_PATH, returned-owned; -1: not to be had. */
int ma_modules_root(const struct ma_modules *modules);

#endif
