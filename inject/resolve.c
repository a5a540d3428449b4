/* SPDX-License-Identifier: MIT */
/*
 * Two rules of look-up side by side: what a program's call would reach (first definition in
 * link-map order: an interposed allocator is simply the first one), and what belongs to the C
 * library itself (the loader must not call somebody's wrapper of dlopen).
 */
#include "inject/resolve.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Where a call is looked for: libc first, then the libraries that glibc before 2.34 had beside it.
 */
static const struct {
	const char *name;
	const char *soname;   /* the library of old */
	const char *internal; /* glibc's own entry for itself (libc's GLIBC_PRIVATE); last resort */
} calls[MA_CALL_COUNT] = {
	[MA_CALL_DLOPEN] = {"dlopen", "libdl.so.2", "__libc_dlopen_mode"},
	[MA_CALL_DLSYM] = {"dlsym", "libdl.so.2", "__libc_dlsym"},
	[MA_CALL_DLERROR] = {"dlerror", "libdl.so.2", NULL},
	[MA_CALL_DLCLOSE] = {"dlclose", "libdl.so.2", "__libc_dlclose"},
	[MA_CALL_PTHREAD_CREATE] = {"pthread_create", "libpthread.so.0", NULL},
	[MA_CALL_PTHREAD_ATTR_INIT] = {"pthread_attr_init", "libpthread.so.0", NULL},
	[MA_CALL_PTHREAD_ATTR_SETSTACK] = {"pthread_attr_setstack", "libpthread.so.0", NULL},
	[MA_CALL_PTHREAD_ATTR_SETDETACHSTATE] = {"pthread_attr_setdetachstate", "libpthread.so.0",
						 NULL},
	[MA_CALL_PTHREAD_ATTR_DESTROY] = {"pthread_attr_destroy", "libpthread.so.0", NULL},
	[MA_CALL_PTHREAD_SELF] = {"pthread_self", "libpthread.so.0", NULL},
	[MA_CALL_LIST_LOCK] = {"_IO_list_lock", "libc.so.6", NULL},
	[MA_CALL_LIST_UNLOCK] = {"_IO_list_unlock", "libc.so.6", NULL},
	[MA_CALL_REGISTER_ATFORK] = {"__register_atfork", "libc.so.6", NULL},
};

const char *ma_call_name(enum ma_call call)
{
	return calls[call].name;
}

static bool is_code(const struct ma_module *module, struct ma_raddr address)
{
	const struct ma_segment *segment = ma_module_segment(module, address.value, 1);
	return segment && (segment->protection & PROT_EXEC);
}

static int not_code(const char *name, struct ma_raddr address, struct ma_error *error)
{
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "resolving %s", name);
	ma_error_answer(error, "its definition is not in executable memory");
	if (error)
		error->address = (unsigned long)address.value;
	return MA_ERR_PROTOCOL;
}

static int find_next(const struct ma_target_memory *memory, const struct ma_link_map *map,
		     const char *name, struct ma_raddr *address, size_t *object,
		     struct ma_error *error)
{
	struct ma_symbol symbol;
	*address = ma_raddr(0);
	*object = SIZE_MAX;
	int found = ma_link_map_symbol(memory, map, name, 0, &symbol, object, error);
	if (found <= 0)
		return found;
	if (!is_code(&map->object[*object].module, symbol.address))
		return not_code(name, symbol.address, error);
	*address = symbol.address;
	return 0;
}

/* Looks `name` up in one object; stores its address. 1 found, 0 not, negative. */
static int find_in(const struct ma_target_memory *memory, const struct ma_link_object *object,
		   const char *name, struct ma_raddr *address, struct ma_error *error)
{
	struct ma_symbol symbol;
	if (!name || !object->usable)
		return 0;
	int found = ma_module_symbol(memory, &object->module, name, &symbol, error);
	if (found != 1)
		return found;
	if (!is_code(&object->module, symbol.address))
		return not_code(name, symbol.address, error);
	*address = symbol.address;
	return 1;
}

static int find_call(const struct ma_target_memory *memory, const struct ma_link_map *map,
		     size_t call, struct ma_raddr *address, struct ma_error *error)
{
	int found =
		find_in(memory, &map->object[map->libc_object], calls[call].name, address, error);
	for (size_t i = 0; !found && i < map->count; i++) {
		if (strcmp(map->object[i].module.soname, calls[call].soname) == 0)
			found = find_in(memory, &map->object[i], calls[call].name, address, error);
	}
	return found < 0 ? found : 0;
}

/*
 * Without libdl in the process, glibc before 2.34 has its own entries for the same. All three are
 * taken from one family: a handle of one means nothing to the other.
 */
static int find_internal(const struct ma_target_memory *memory, const struct ma_link_map *map,
			 struct ma_resolved *resolved, struct ma_error *error)
{
	static const enum ma_call family[] = {MA_CALL_DLOPEN, MA_CALL_DLSYM, MA_CALL_DLCLOSE};
	resolved->call[MA_CALL_DLERROR] = ma_raddr(0);
	for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
		resolved->call[family[i]] = ma_raddr(0);
		int found = find_in(memory, &map->object[map->libc_object],
				    calls[family[i]].internal, &resolved->call[family[i]], error);
		if (found < 0)
			return found;
	}
	resolved->internal_dlopen = true;
	return 0;
}

static int missing(const char *name, struct ma_error *error)
{
	ma_error_set(error, MA_ERR_NOT_PYTHON, 0, "resolving %s in the process", name);
	ma_error_answer(error, "no loaded object defines it");
	ma_error_remedy(error, "a dynamically linked CPython with glibc 2.31 or later, or musl, is "
			       "needed");
	return MA_ERR_NOT_PYTHON;
}

int ma_resolve(const struct ma_target_memory *memory, const struct ma_link_map *map,
	       struct ma_resolved *resolved, struct ma_error *error)
{
	static const char *const names[MA_FN_SYMBOLS] = MA_FN_NAMES;
	int code = 0;

	*resolved = (struct ma_resolved){0};
	if (map->libc_object >= map->count)
		return missing("the C library", error);
	for (size_t i = 0; !code && i < MA_FN_SYMBOLS; i++)
		code = find_next(memory, map, names[i], &resolved->next[i],
				 &resolved->next_object[i], error);
	for (size_t i = 0; !code && i < MA_CALL_COUNT; i++)
		code = find_call(memory, map, i, &resolved->call[i], error);
	if (!code &&
	    (!resolved->call[MA_CALL_DLOPEN].value || !resolved->call[MA_CALL_DLSYM].value))
		code = find_internal(memory, map, resolved, error);
	if (code)
		return code;
	if (!resolved->next[MA_FN_MALLOC].value || !resolved->next[MA_FN_FREE].value)
		return missing("malloc", error);
	for (enum ma_call call = MA_CALL_DLOPEN; call <= MA_CALL_DLSYM; call++) {
		if (!resolved->call[call].value)
			return missing(calls[call].name, error);
	}
	return 0;
}
