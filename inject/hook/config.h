/* SPDX-License-Identifier: MIT */
/*
 * What the injector tells the hook, and what stays in the target: the hook's configuration and the
 * thunk page. The injector fills struct ma_hook_config in the resident mapping (inject/loader/) of
 * the target; the boot code hands it to the hook's entry points.
 */
#ifndef MA_HOOK_CONFIG_H
#define MA_HOOK_CONFIG_H

#include <stdint.h>

#include "inject/hook/cpython/layout.h"

enum { MA_HOOK_ABI = 6 };

/* The functions that are intercepted. Order = thunk index; keep in step with ma_fn_names. */
enum ma_fn {
	MA_FN_MALLOC,
	MA_FN_CALLOC,
	MA_FN_REALLOC,
	MA_FN_FREE,
	MA_FN_POSIX_MEMALIGN,
	MA_FN_ALIGNED_ALLOC,
	MA_FN_MEMALIGN,
	MA_FN_VALLOC,
	MA_FN_PVALLOC,
	MA_FN_MMAP,
	MA_FN_MMAP64,
	MA_FN_MUNMAP,
	MA_FN_MREMAP,
	MA_FN_DLOPEN,
	MA_FN_DLSYM,
	MA_FN_SYMBOLS, /* above: reached through GOT slots, by symbol name */

	MA_FN_OBJ_MALLOC = MA_FN_SYMBOLS, /* below: reached through Python's allocator tables */
	MA_FN_OBJ_CALLOC,
	MA_FN_OBJ_REALLOC,
	MA_FN_OBJ_FREE,
	MA_FN_MEM_MALLOC,
	MA_FN_MEM_CALLOC,
	MA_FN_MEM_REALLOC,
	MA_FN_MEM_FREE,
	MA_FN_ARENA_ALLOC,
	MA_FN_ARENA_FREE,
	MA_FN_COUNT,
};

/* Symbol names in the order of enum ma_fn up to MA_FN_SYMBOLS; for the injector and the hook. */
#define MA_FN_NAMES                                                                                \
	{                                                                                          \
		"malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc",          \
			"memalign", "valloc", "pvalloc", "mmap", "mmap64", "munmap", "mremap",     \
			"dlopen", "dlsym",                                                         \
	}

/*
 * The thunk page: two pages from one memfd named "memattach-thunks". The first, r-x, holds
 * MA_FN_COUNT thunks of MA_THUNK_BYTES: endbr64; jmp *target[i](%rip). The second, private and
 * rw-, is struct ma_thunk_data. It stays after detach, with every target[i] = next[i], because
 * somebody may have copied a thunk's address; the next attach finds it in /proc/PID/maps and uses
 * it again.
 */
enum {
	MA_THUNK_BYTES = 16,
	MA_THUNK_PAGES = 2,
	MA_THUNK_FORK_WAIT = 2048, /* in the code page: what inject/loader/fork_wait.c makes */
};

/* The handlers there, MA_THUNK_BYTES each. */
enum ma_fork_handler { MA_FORK_PREPARE, MA_FORK_PARENT, MA_FORK_CHILD };
#define MA_THUNK_MEMFD "memattach-thunks"
#define MA_THUNK_MAGIC UINT64_C(0x6b6e7568745f616d) /* "ma_thunk" */

enum ma_thunk_state {
	MA_THUNKS_IDLE = 0,      /* no hook: nothing of ours but this page */
	MA_THUNKS_INSTALLED = 1, /* slots lead here; config says where the hook is */
	MA_THUNKS_LINGERING = 2, /* slots are restored, the hook is still mapped: unload unproven */
};

struct ma_thunk_data {
	uint64_t magic;   /* MA_THUNK_MAGIC */
	uint32_t abi;     /* MA_HOOK_ABI of the hook that wrote this */
	uint32_t state;   /* enum ma_thunk_state */
	char release[32]; /* memattach's version, NUL-terminated */
	uint64_t config;  /* address of struct ma_hook_config, 0 when idle */
	uint64_t
		escaped; /* bit d: domain d's table was foreign at the last stop, so that somebody's
			    allocator may still call our thunks (bit 3: the arenas' table) */
	uint64_t fork_until_tsc; /* forks wait until then (inject/loader/fork_wait.c); 0 = none */
	int32_t forks;           /* that are under way */
	uint32_t fork_handlers;  /* 1: they are registered, and stay so, as this page does */
	uint64_t reserved;
	uint64_t target[MA_FN_COUNT]; /* where thunk i jumps; one aligned store switches it */
	uint64_t next[MA_FN_COUNT];   /* the definition behind thunk i; 0 = thunk not in use */
};

/* What a pass under the loader's lock is to do. */
enum ma_pass {
	MA_PASS_NONE = 0,    /* while the hook runs, as PATCH: the target has loaded something */
	MA_PASS_PATCH = 1,   /* patch slots of every object, free-like functions first */
	MA_PASS_RESTORE = 2, /* put back every slot that still holds our thunk */
};

/*
 * Lives in the resident mapping of the target for as long as the hook does. Filled by the injector
 * before the hook is loaded, except the part below "results". All pointers are target addresses.
 */
struct ma_hook_config {
	uint32_t abi;  /* MA_HOOK_ABI; the hook refuses another */
	uint32_t mode; /* enum ma_mode */
	uint64_t area; /* struct ma_area, mapped shared */
	uint64_t area_bytes;
	uint64_t unwind; /* struct ma_unwind_area, mapped read-only; 0 = no native stacks */
	uint64_t unwind_bytes;
	uint64_t main_stack_end; /* of the stack that the process was started on; 0 = unknown */
	uint64_t gate;       /* private anonymous page, MADV_WIPEONFORK; its first word: 1 = on */
	uint64_t thunk_code; /* the thunk page, code */
	uint64_t thunk_data; /* struct ma_thunk_data */
	uint64_t r_debug;    /* struct r_debug of the dynamic loader: the link map's head */
	uint64_t dl_handle;  /* of the hook, stored by the boot code after dlopen */
	uint64_t dlsym;      /* libc's; running a pass = dlsym(dl_handle, "ma_hook_pass") */
	uint64_t exe_phdr;   /* the executable's program headers: AT_PHDR of its auxiliary vector */
	uint64_t exe_phnum;  /* AT_PHNUM; 0 = unknown, then its slots are left alone */
	uint64_t next[MA_FN_SYMBOLS]; /* first definition in link-map order; 0 = none in this
					 process */
	uint64_t py_get_allocator;    /* PyMem_GetAllocator(int domain, PyMemAllocatorEx *) */
	uint64_t py_set_allocator;
	uint64_t py_get_arena_allocator; /* PyObject_GetArenaAllocator(PyObjectArenaAllocator *) */
	uint64_t py_set_arena_allocator;
	uint64_t py_thread_state; /* PyGILState_GetThisThreadState() */
	uint64_t py_runtime;      /* &_PyRuntime */
	struct ma_py_layout layout;
	uint32_t tid_offset;  /* of the thread id in the thread control block (from %fs:0); 0 = none
			       */
	uint32_t small_limit; /* requests up to this many bytes are counted at OBJ/MEM: 512, less
				 what the debug allocators add; 0 = pymalloc not in use, tables
				 untouched */
	uint32_t pass;        /* enum ma_pass: what the next ma_hook_pass does */
	uint32_t tls_slots;   /* 1: this is the build that keys its slots by the thread pointer */

	/* results, written by hook and boot code */
	int32_t status;     /* 0, or a negative errno-like value of the step that failed */
	uint32_t step;      /* enum ma_boot_step: the last one that was begun */
	uint64_t hook_base; /* load address and end of the hook's mapping, for the proof */
	uint64_t hook_end;
	uint64_t slots_patched;  /* by the last pass */
	uint64_t slots_foreign;  /* left alone by the last pass: another tool's functions */
	uint32_t tables_foreign; /* bit d: domain d's table no longer held our thunks; left alone */
	uint32_t passes_failed;  /* mprotect refused, unreadable dynamic section */
	uint32_t promotes;       /* sampled small blocks are promoted to malloc's; see promote.h */
	uint32_t reserved;
	char message[256]; /* dlerror's text, when dlopen failed */
};

/*
 * The hook's exported symbols, found by dlsym:
 *   int ma_hook_prepare(struct ma_hook_config *)  checks the config, sets the hook's globals; no
 *                                                 effect on the target yet. 0 or negative.
 *   ma_hook_pass                                  an IFUNC: its resolver runs config->pass under
 * the dynamic loader's lock, inside dlsym. int ma_hook_start(struct ma_hook_config *)    thunk
 * targets -> hook, Python tables -> thunks, gate on. Called after the patch pass. int
 * ma_hook_stop(struct ma_hook_config *)     gate off, thunk targets -> next, Python tables restored
 * where they still hold our thunks. Called before the restore pass. All are called on a thread that
 * holds no lock of ours, without the GIL.
 */

#endif
