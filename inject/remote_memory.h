/* SPDX-License-Identifier: MIT */
/*
 * The memory of a process that is not ours: reading and writing it by address. Reads use
 * process_vm_readv and fall back to /proc/PID/mem; writes use /proc/PID/mem, which goes through
 * page protections as ptrace does. Nothing here stops the target. Tests and the fuzzers put their
 * own memory behind the same interface by `ops`.
 */
#ifndef MA_INJECT_REMOTE_MEMORY_H
#define MA_INJECT_REMOTE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

/* An address in the target. A struct of its own, so that nobody dereferences it here. */
struct ma_raddr {
	uint64_t value;
};

static inline struct ma_raddr ma_raddr(uint64_t value)
{
	return (struct ma_raddr){value};
}

static inline struct ma_raddr ma_raddr_add(struct ma_raddr address, uint64_t bytes)
{
	return (struct ma_raddr){address.value + bytes};
}

struct ma_target_memory;

/* Where reads and writes go instead of a process. Both return the bytes done (short at the first
 * byte that cannot be reached), or -1 with errno when not even the first can. */
struct ma_memory_ops {
	ssize_t (*read)(const struct ma_target_memory *memory, uint64_t address, void *buffer,
			size_t bytes);
	ssize_t (*write)(const struct ma_target_memory *memory, uint64_t address,
			 const void *buffer, size_t bytes);
};

struct ma_target_memory {
	pid_t pid;
	int fd;                          /* of /proc/PID/mem, owned; -1 = could not be opened */
	bool writable;                   /* fd was opened for writing */
	const struct ma_memory_ops *ops; /* the real process unless a test says otherwise */
	void *context;                   /* of ops; borrowed */
};

/*
 * Opens the memory of pid. Succeeds also when /proc/PID/mem cannot be opened, as long as
 * process_vm_readv works (then nothing can be written). The memory belongs to the program that runs
 * now: after an exec, writes fail. Errors: MA_ERR_NO_PROCESS; MA_ERR_PERMISSION with errno only
 * (ma_permission_explain says why).
 */
int ma_memory_open(pid_t pid, struct ma_target_memory *memory, struct ma_error *error);
void ma_memory_close(struct ma_target_memory *memory);

/* Reads as much of the range as can be read from its start; returns the bytes, 0 = none, errno kept
 * in *sys_errno (NULL allowed). */
size_t ma_memory_read_some(const struct ma_target_memory *memory, struct ma_raddr address,
			   void *buffer, size_t bytes, int *sys_errno);

/* Reads exactly `bytes`; 0, or MA_ERR_FAILED / MA_ERR_NO_PROCESS / MA_ERR_PERMISSION with the
 * address in the error. The buffer's content is undefined after a failure. */
int ma_memory_read(const struct ma_target_memory *memory, struct ma_raddr address, void *buffer,
		   size_t bytes, struct ma_error *error);
int ma_memory_read_u64(const struct ma_target_memory *memory, struct ma_raddr address,
		       uint64_t *value, struct ma_error *error);
int ma_memory_read_u32(const struct ma_target_memory *memory, struct ma_raddr address,
		       uint32_t *value, struct ma_error *error);

/* Reads a NUL-terminated string into text of `room` bytes; the result always ends with NUL. A
 * string that is longer is cut (not an error); one that runs into unreadable memory is
 * MA_ERR_FAILED. */
int ma_memory_read_string(const struct ma_target_memory *memory, struct ma_raddr address,
			  char *text, size_t room, struct ma_error *error);

/* Writes exactly `bytes`, whatever the protection of the pages. Same errors as reading. */
int ma_memory_write(const struct ma_target_memory *memory, struct ma_raddr address,
		    const void *buffer, size_t bytes, struct ma_error *error);
int ma_memory_write_u64(const struct ma_target_memory *memory, struct ma_raddr address,
			uint64_t value, struct ma_error *error);

#endif
