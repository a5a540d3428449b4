/* SPDX-License-Identifier: MIT */
/*
 * The resident mapping: what stays in the target as long as the hook does, so that it can be taken
 * out again by anybody who finds the thunk page. From its start:
 *
 *   code           r-x  the stub, then the boot code (boot.c), from the loader memfd
 *   call stack     rw-  for the thread that is borrowed
 *   thread stack   rw-  for the boot thread
 *   struct ma_resident  what boot code and injector say to each other, the hook's configuration
 *   signal frame   from which the borrowed thread restores itself
 *   gate           a page of its own, MADV_WIPEONFORK
 *
 * Everything but the code is private anonymous memory. An overflow of the stacks runs into code,
 * which cannot be written. Freestanding: the boot code includes it.
 */
#ifndef MA_LOADER_RESIDENT_H
#define MA_LOADER_RESIDENT_H

#include <stddef.h>
#include <stdint.h>

#include "inject/hook/config.h"

enum {
	MA_RESIDENT_CODE_BYTES = 2 * 4096,
	MA_RESIDENT_CALL_STACK_BYTES = 256 * 1024,
	MA_RESIDENT_THREAD_STACK_BYTES = 512 * 1024,
	MA_RESIDENT_FRAME_BYTES = 20 * 1024, /* a signal frame with extended state */
	MA_RESIDENT_ENTRY = 64,              /* of the boot code, behind the stub */
	MA_BOOT_FDS = 4,
	MA_BOOT_CALLS = 12,
};

#define MA_RESIDENT_MAGIC UINT64_C(0x7365725f616d0a01)

/* The last bytes of the code: they say what the whole mapping is before its data is written. */
struct ma_resident_mark {
	uint64_t magic;
	uint32_t abi;
	uint32_t bytes; /* of the whole mapping */
};
enum { MA_RESIDENT_MARK = MA_RESIDENT_CODE_BYTES - (int)sizeof(struct ma_resident_mark) };

enum ma_boot_op {
	MA_BOOT_LOAD = 1,   /* make the list of calls, await `go`, get the hook in, switch it on */
	MA_BOOT_STOP = 2,   /* switch it off and restore what it patched; it stays mapped */
	MA_BOOT_UNLOAD = 3, /* dlclose: only after the proof that nobody is inside */
	MA_BOOT_CALL = 4,   /* make the list of calls only */
};

/* Steps of the ops, in their order: config.step says which one was begun last. */
enum ma_boot_step {
	MA_STEP_NONE,
	MA_STEP_DLOPEN,
	MA_STEP_SYMBOLS,
	MA_STEP_PREPARE,
	MA_STEP_PATCH,
	MA_STEP_START,
	MA_STEP_RUNNING, /* LOAD is through */
	MA_STEP_STOP,
	MA_STEP_RESTORE,
	MA_STEP_STOPPED, /* STOP is through */
	MA_STEP_DLCLOSE,
	MA_STEP_UNLOADED,
};

/* Values of config.status that the boot code sets; the hook's own are passed on as they are. */
enum ma_boot_status {
	MA_BOOT_OK = 0,
	MA_BOOT_NO_LIBRARY = -1001,   /* dlopen failed; config.message has dlerror's text */
	MA_BOOT_NO_SYMBOL = -1002,    /* the hook lacks an entry point */
	MA_BOOT_CANCELLED = -1003,    /* the injector gave up waiting */
	MA_BOOT_NO_THREAD = -1004,    /* pthread_create failed; boot.detail has its error number */
	MA_BOOT_FD_REPLACED = -1005,  /* the program closed our fd and uses its number */
	MA_BOOT_NOT_UNLOADED = -1006, /* dlclose failed */
	MA_BOOT_NOT_PATCHED = -1007,  /* some slots could not be patched: undone */
	MA_BOOT_NOT_CALLED = -1008,   /* a system call failed */
};

/* One system call of the list. */
struct ma_boot_call {
	uint32_t number;
	uint32_t may_fail; /* 1: the list goes on, without those that depend on it */
	uint8_t from[8];   /* argument i is the result of the from[i]th call; 0 = as given */
	uint64_t args[6];
	int64_t result; /* MA_BOOT_NO_RESULT until it was made */
	char text[24];  /* for an argument that points to it */
};
enum { MA_BOOT_NO_RESULT = -4095 }; /* an errno that no kernel has */

/* A file descriptor of ours in the target, closed only if it still is that file. */
struct ma_boot_fd {
	int32_t number; /* -1 = none */
	uint32_t reserved;
	uint64_t device;
	uint64_t inode;
};

/* Orders to the boot code, and its answers. Addresses are the target's. */
struct ma_boot {
	uint32_t op;        /* enum ma_boot_op */
	uint32_t on_thread; /* 1: make a thread for it; 0: do it on this one */
	uint32_t cancel;    /* 1: do not switch the hook on any more */
	uint32_t done;      /* stored last, by the thread that did it */
	uint32_t called;    /* 1: the list of calls is through; its status is in config.status */
	uint32_t go;        /* 1: what was made is filled, and all else is written here */
	uint32_t tid;       /* of that thread, in its own PID namespace */
	int32_t detail;
	uint64_t finished_tsc; /* when the op was through */
	uint64_t dlopen;
	uint64_t dlsym;
	uint64_t dlerror; /* may be 0 */
	uint64_t dlclose;
	uint64_t list_lock; /* may be 0, with list_unlock */
	uint64_t list_unlock;
	uint64_t register_atfork; /* may be 0 */
	uint64_t pthread_create;
	uint64_t pthread_attr_init;
	uint64_t pthread_attr_setstack;
	uint64_t pthread_attr_setdetachstate;
	uint64_t pthread_attr_destroy;
	uint64_t stack;
	uint64_t stack_bytes;
	struct ma_boot_fd fd[MA_BOOT_FDS]; /* [0] is the hook's file */
	char path[128];                    /* for dlopen */
};

struct ma_resident {
	uint64_t magic;
	uint32_t abi;   /* MA_HOOK_ABI */
	uint32_t bytes; /* of the whole mapping */
	uint64_t base;
	uint64_t stub;
	uint64_t boot_entry;
	uint64_t call_stack_top;
	uint64_t area_bytes;
	uint64_t reserved;
	uint64_t control[8]; /* struct ma_stub_control */
	struct ma_boot boot;
	struct ma_hook_config config;
	struct ma_boot_call call[MA_BOOT_CALLS];
	uint64_t calls;
};

enum {
	MA_RESIDENT_STACKS = MA_RESIDENT_CODE_BYTES,
	MA_RESIDENT_DATA =
		MA_RESIDENT_STACKS + MA_RESIDENT_CALL_STACK_BYTES + MA_RESIDENT_THREAD_STACK_BYTES,
	MA_RESIDENT_FRAME = MA_RESIDENT_DATA + (((int)sizeof(struct ma_resident) + 63) & ~63),
	MA_RESIDENT_GATE = (MA_RESIDENT_FRAME + MA_RESIDENT_FRAME_BYTES + 4095) & ~4095,
	MA_RESIDENT_BYTES = MA_RESIDENT_GATE + 4096,
};

#endif
