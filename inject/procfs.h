/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of a process and its threads, apart from maps (maps.h). Each file has a pure
 * parser of its text where its content is partly chosen by the target.
 */
#ifndef MA_INJECT_PROCFS_H
#define MA_INJECT_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

/* /proc/PID/status, the fields we use. proc_pid_status(5). */
struct ma_proc_status {
	char name[64]; /* comm, unescaped */
	char state;    /* R S D T t Z X I */
	pid_t tgid;
	pid_t ppid;
	pid_t tracer; /* 0 = none, or one that our PID namespace does not show */
	uid_t uid[4]; /* real, effective, saved, file system */
	gid_t gid[4];
	pid_t ns_tgid; /* NStgid: process id in the target's own PID namespace */
	pid_t ns_pid;  /* NSpid: thread id there */
	int ns_depth;  /* PID namespaces between ours and its own; 0 = the same */
	bool ns_known; /* the kernel printed NSpid */
	uint32_t threads;
	uint64_t signals_pending; /* SigPnd: bit n - 1 is signal n */
	uint64_t signals_shared;  /* ShdPnd */
	uint64_t signals_blocked;
	uint64_t signals_ignored;
	uint64_t signals_caught;
	uint64_t cap_permitted;
	uint64_t cap_effective;
	bool no_new_privs;
	int seccomp;         /* 0 off, 1 strict, 2 filters; -1 = the kernel does not say */
	int seccomp_filters; /* how many; -1 = the kernel does not say (before 5.9) */
	bool shadow_stack;   /* x86_Thread_features: shstk */
	bool kernel_thread;  /* Kthread: 1, or no memory figures */
	uint64_t rss_bytes;
	uint64_t virtual_bytes;
};

int ma_proc_status_parse(const char *text, size_t bytes, struct ma_proc_status *status,
			 struct ma_error *error);

/* tid 0: the process (its leader). MA_ERR_NO_PROCESS, MA_ERR_PERMISSION, MA_ERR_PROTOCOL. */
int ma_proc_status_read(pid_t pid, pid_t tid, struct ma_proc_status *status,
			struct ma_error *error);

/* /proc/PID/stat: what status does not have. */
struct ma_proc_stat {
	char comm[64];
	char state;
	pid_t ppid;
	uint64_t start_ticks; /* since boot, in clock ticks: with the pid, the process's identity */
	uint64_t virtual_bytes;
	uint64_t rss_pages;
};
int ma_proc_stat_parse(const char *text, size_t bytes, struct ma_proc_stat *stat,
		       struct ma_error *error);
int ma_proc_stat_read(pid_t pid, pid_t tid, struct ma_proc_stat *stat, struct ma_error *error);

/* /proc/PID/task/TID/syscall. */
struct ma_proc_syscall {
	bool running;   /* on a CPU or ready: nothing else is known */
	int64_t number; /* of the system call that it waits in; -1 = asleep outside one */
	uint64_t args[6];
	uint64_t sp;
	uint64_t pc;
};
int ma_proc_syscall_parse(const char *text, size_t bytes, struct ma_proc_syscall *call,
			  struct ma_error *error);
int ma_proc_syscall_read(pid_t pid, pid_t tid, struct ma_proc_syscall *call,
			 struct ma_error *error);

/* Thread ids, ascending. *tids is returned-owned (free it). MA_ERR_NO_PROCESS and others. */
int ma_proc_tasks(pid_t pid, pid_t **tids, size_t *count, struct ma_error *error);

/* Every process that /proc shows, ascending. *pids is returned-owned. */
int ma_proc_pids(pid_t **pids, size_t *count, struct ma_error *error);

/* comm of a process, "?" when it cannot be read. Always fills. */
void ma_proc_comm(pid_t pid, char *comm, size_t room);

/* cmdline with spaces for NULs, cut to room; "[comm]" for a process without one. */
void ma_proc_command(pid_t pid, char *command, size_t room);

/* Target of a symbolic link below /proc/PID ("exe", "ns/user", "root"); " (deleted)" stays. Returns
 * 0 or a negative errno; text is "" then. */
int ma_proc_link(pid_t pid, const char *name, char *text, size_t room);

/*
 * Reads a whole file into a returned-owned buffer with a NUL after it. Up to max_bytes; a longer
 * file is MA_ERR_FAILED. errno is mapped: ENOENT and ESRCH are MA_ERR_NO_PROCESS, EACCES and EPERM
 * MA_ERR_PERMISSION.
 */
int ma_proc_slurp(const char *path, size_t max_bytes, char **text, size_t *bytes,
		  struct ma_error *error);

/* The same for a file with one number; `fallback` when it cannot be read or is none. */
int64_t ma_proc_number(const char *path, int64_t fallback);

/* A value of /proc/PID/auxv (AT_PHDR, AT_BASE, AT_SYSINFO_EHDR ...), 0 when absent. 64-bit targets.
 */
struct ma_proc_auxv {
	uint64_t phdr;
	uint64_t phdr_count;
	uint64_t entry;
	uint64_t interpreter_base; /* AT_BASE: ld.so; 0 = static */
	uint64_t vdso;
};
int ma_proc_auxv_read(pid_t pid, struct ma_proc_auxv *auxv, struct ma_error *error);

/* A soft limit of /proc/PID/limits by its name there ("Max address space"); UINT64_MAX = unlimited
 * or unknown. */
uint64_t ma_proc_limit(pid_t pid, const char *name);

/* EI_CLASS of the executable (ELFCLASS32, ELFCLASS64) through /proc/PID/exe; 0 = unreadable. */
int ma_proc_elf_class(pid_t pid);

#endif
