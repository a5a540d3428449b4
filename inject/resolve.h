/* SPDX-License-Identifier: MIT */
/*
 * The functions of the target that an attach needs by address: the definitions that the
 * interceptors pass on to, and what the loader calls to get the hook in and out.
 */
#ifndef MA_INJECT_RESOLVE_H
#define MA_INJECT_RESOLVE_H

#include "inject/hook/config.h"
#include "inject/link_map.h"
#include "inject/remote_memory.h"
#include "proto/error.h"

/* Functions of the C library that the loader calls. Keep in step with resolve.c's table. */
enum ma_call {
	MA_CALL_DLOPEN, /* of libc (glibc 2.34 on) or libdl, else __libc_dlopen_mode */
	MA_CALL_DLSYM,
	MA_CALL_DLERROR, /* 0 with __libc_dlopen_mode */
	MA_CALL_DLCLOSE,
	MA_CALL_PTHREAD_CREATE, /* 0 when libpthread (glibc before 2.34) is not loaded */
	MA_CALL_PTHREAD_ATTR_INIT,
	MA_CALL_PTHREAD_ATTR_SETSTACK,
	MA_CALL_PTHREAD_ATTR_SETDETACHSTATE,
	MA_CALL_PTHREAD_ATTR_DESTROY,
	MA_CALL_PTHREAD_SELF,
	MA_CALL_LIST_LOCK, /* of the list of open files, which fork() takes; 0 = no such lock */
	MA_CALL_LIST_UNLOCK,
	MA_CALL_REGISTER_ATFORK, /* what pthread_atfork calls; 0 = not glibc */
	MA_CALL_COUNT,
};

struct ma_resolved {
	struct ma_raddr next[MA_FN_SYMBOLS]; /* first definition in link-map order; 0 = none */
	size_t next_object[MA_FN_SYMBOLS];   /* its object; SIZE_MAX = none */
	struct ma_raddr call[MA_CALL_COUNT]; /* always the C library's own, never interposed */
	bool internal_dlopen; /* dlopen and dlsym are glibc's __libc_dlopen_mode, __libc_dlsym */
};

/* Errors: MA_ERR_NOT_PYTHON when malloc, free or dlopen cannot be found, naming it. */
int ma_resolve(const struct ma_target_memory *memory, const struct ma_link_map *map,
	       struct ma_resolved *resolved, struct ma_error *error);

/* The symbol name of a ma_call, for messages. */
const char *ma_call_name(enum ma_call call);

#endif
