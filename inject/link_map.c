/* SPDX-License-Identifier: MIT */
/*
 * Walking struct r_debug and struct link_map (link.h; glibc elf/rtld.c, musl ldso/dynlink.c share
 * the layout of the public part) in a target that goes on running. l_prev is checked at every step,
 * which shows a list that changed under us as well as a loop made by a hostile target.
 */
#include "inject/link_map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_TRIES = 4, RT_CONSISTENT_STATE = 0, PAGE_BYTES = 4096 };

/* struct r_debug and the public head of struct link_map, as 64-bit targets have them. */
struct remote_r_debug {
	int32_t version;
	uint32_t pad;
	uint64_t map;
	uint64_t brk;
	uint32_t state;
	uint32_t pad2;
	uint64_t loader_base;
};

struct remote_link_map {
	uint64_t bias;
	uint64_t name;
	uint64_t dynamic;
	uint64_t next;
	uint64_t previous;
};

struct reader {
	const struct ma_target_memory *memory;
	const struct ma_proc_auxv *auxv;
	const struct ma_maps *maps;
	struct ma_link_map *map;
	size_t room;
	struct ma_error *error;
};

/* Does the module at base agree with what the link map says of it? */
static bool open_at(const struct reader *r, uint64_t base, const struct remote_link_map *entry,
		    struct ma_module *module)
{
	char path[sizeof module->path];
	memcpy(path, module->path, sizeof path);
	bool fits = base && !ma_module_open(r->memory, ma_raddr(base), module, NULL) &&
		    module->bias == entry->bias && module->dynamic.value == entry->dynamic;
	memcpy(module->path, path, sizeof path);
	return fits;
}

/*
 * Finds a module's ELF header: at its bias (nearly always), before its program headers as the
 * kernel told the executable, or at the start of the file mapping that holds its dynamic section.
 */
static bool open_module(const struct reader *r, const struct remote_link_map *entry,
			struct ma_module *module)
{
	uint64_t start, end;
	size_t first;
	if (open_at(r, entry->bias, entry, module) ||
	    open_at(r, r->auxv->phdr & ~(uint64_t)(PAGE_BYTES - 1), entry, module))
		return true;
	return !ma_maps_module(r->maps, entry->dynamic, &start, &end, &first) &&
	       open_at(r, start, entry, module);
}

/* The executable's path: l_name of the first entry is empty. */
static void name_executable(pid_t pid, char *path, size_t room)
{
	static const char deleted[] = " (deleted)";
	if (pid <= 0 || ma_proc_link(pid, "exe", path, room))
		return;
	size_t length = strlen(path);
	if (length >= sizeof deleted && strcmp(path + length - (sizeof deleted - 1), deleted) == 0)
		path[length - (sizeof deleted - 1)] = '\0';
}

static int broken(const struct reader *r, uint64_t address, const char *why)
{
	ma_error_set(r->error, MA_ERR_PROTOCOL, 0,
		     "reading the list of loaded objects of process %d", (int)r->memory->pid);
	ma_error_answer(r->error, "%s", why);
	if (r->error)
		r->error->address = (unsigned long)address;
	return MA_ERR_PROTOCOL;
}

static int append(struct reader *r, uint64_t address, const struct remote_link_map *entry)
{
	struct ma_link_map *map = r->map;
	if (map->count == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		struct ma_link_object *grown = reallocarray(map->object, r->room, sizeof *grown);
		if (!grown)
			return ma_error_set(r->error, MA_ERR_FAILED, ENOMEM,
					    "reading the list of loaded objects");
		map->object = grown;
	}
	struct ma_link_object *object = &map->object[map->count];
	*object = (struct ma_link_object){.entry = ma_raddr(address)};
	struct ma_module *module = &object->module;
	if (entry->name && ma_memory_read_string(r->memory, ma_raddr(entry->name), module->path,
						 sizeof module->path, NULL))
		module->path[0] = '\0';
	if (!module->path[0] && !map->count)
		name_executable(r->memory->pid, module->path, sizeof module->path);
	object->usable = open_module(r, entry, module);
	if (!object->usable) {
		/* Keep what the list says, for messages and for a later look. */
		module->base = ma_raddr(entry->bias);
		module->bias = entry->bias;
		module->dynamic = ma_raddr(entry->dynamic);
	}
	map->count++;
	return 0;
}

static int walk(struct reader *r, uint64_t head)
{
	uint64_t previous = 0;
	for (uint64_t at = head; at;) {
		struct remote_link_map entry;
		int code = ma_memory_read(r->memory, ma_raddr(at), &entry, sizeof entry, r->error);
		if (code)
			return code;
		if (entry.previous != previous)
			return broken(r, at, "an entry does not point back: the list is changing");
		if (r->map->count == MA_LINK_MAP_MAX)
			return broken(r, at, "it has no end");
		code = append(r, at, &entry);
		if (code)
			return code;
		previous = at;
		at = entry.next;
	}
	return 0;
}

/* The struct r_debug: through the executable's DT_DEBUG, else by its symbol in the loader. */
static int find_r_debug(struct reader *r)
{
	struct ma_module module;
	struct ma_symbol symbol;
	uint64_t base = r->auxv->phdr & ~(uint64_t)(PAGE_BYTES - 1);
	uint64_t start, end;
	size_t first;

	if (!ma_maps_module(r->maps, r->auxv->phdr, &start, &end, &first))
		base = start;
	int code = ma_module_open(r->memory, ma_raddr(base), &module, r->error);
	if (code)
		return code;
	r->map->r_debug = module.debug;
	if (r->map->r_debug.value)
		return 0;
	/* Started as `ld.so program`, the process's executable is the loader itself. */
	if (r->auxv->interpreter_base)
		code = ma_module_open(r->memory, ma_raddr(r->auxv->interpreter_base), &module,
				      r->error);
	if (!code)
		code = ma_module_symbol(r->memory, &module, "_r_debug", &symbol, r->error);
	if (code < 0)
		return code;
	if (code == 1) {
		r->map->r_debug = symbol.address;
		return 0;
	}
	ma_error_set(r->error, MA_ERR_NOT_PYTHON, 0, "finding the dynamic loader of process %d",
		     (int)r->memory->pid);
	ma_error_answer(r->error, "it is a static program: nothing can be loaded into it");
	ma_error_remedy(r->error, "a Python that is linked dynamically is needed");
	return MA_ERR_NOT_PYTHON;
}

/* Tells which C library it is, and where. */
static void classify(struct ma_link_map *map, uint64_t interpreter_base)
{
	map->libc = MA_LIBC_UNKNOWN;
	map->loader = map->libc_object = SIZE_MAX;
	for (size_t i = 0; i < map->count; i++) {
		const struct ma_module *module = &map->object[i].module;
		if (!map->object[i].usable)
			continue;
		if (strcmp(module->soname, "libc.so.6") == 0) {
			map->libc = MA_LIBC_GLIBC;
			map->libc_object = i;
		} else if (strncmp(module->soname, "libc.musl-", 10) == 0 ||
			   strstr(module->path, "/ld-musl-")) {
			map->libc = MA_LIBC_MUSL;
			map->libc_object = map->loader = i;
		}
		if (module->base.value == interpreter_base ||
		    strncmp(module->soname, "ld-linux-", 9) == 0)
			map->loader = i;
	}
}

static int read_once(struct reader *r)
{
	struct remote_r_debug before, after;
	struct ma_raddr at = r->map->r_debug;

	r->map->count = 0;
	int code = ma_memory_read(r->memory, at, &before, sizeof before, r->error);
	if (code)
		return code;
	if (before.version < 1 || !before.map)
		return broken(r, at.value, "the loader has not made it yet");
	code = walk(r, before.map);
	if (!code)
		code = ma_memory_read(r->memory, at, &after, sizeof after, r->error);
	if (code)
		return code;
	r->map->consistent = before.state == RT_CONSISTENT_STATE &&
			     after.state == RT_CONSISTENT_STATE && after.map == before.map;
	return 0;
}

int ma_link_map_read(const struct ma_target_memory *memory, const struct ma_proc_auxv *auxv,
		     const struct ma_maps *maps, struct ma_link_map *map, struct ma_error *error)
{
	struct reader r = {
		.memory = memory, .auxv = auxv, .maps = maps, .map = map, .error = error};
	*map = (struct ma_link_map){.loader = SIZE_MAX, .libc_object = SIZE_MAX};
	int code = find_r_debug(&r);
	if (code)
		return code;
	for (int i = 0; i < READ_TRIES; i++) {
		code = read_once(&r);
		if (code == MA_ERR_NO_PROCESS || code == MA_ERR_PERMISSION ||
		    (!code && map->consistent))
			break;
	}
	if (!code)
		classify(map, auxv->interpreter_base);
	return code;
}

void ma_link_map_fini(struct ma_link_map *map)
{
	free(map->object);
	*map = (struct ma_link_map){.loader = SIZE_MAX, .libc_object = SIZE_MAX};
}

int ma_link_map_symbol(const struct ma_target_memory *memory, const struct ma_link_map *map,
		       const char *name, size_t from, struct ma_symbol *symbol, size_t *index,
		       struct ma_error *error)
{
	enum { TYPE_IFUNC = 10 /* STT_GNU_IFUNC: the value is a resolver, not the function */ };
	for (size_t i = from; i < map->count; i++) {
		const struct ma_link_object *object = &map->object[i];
		if (!object->usable) {
			/* What it defines is unknown, so nothing behind it can be called first. */
			ma_error_set(error, MA_ERR_FAILED, 0, "looking for %s in %s", name,
				     object->module.path);
			ma_error_answer(error,
					"that object's ELF headers cannot be read in memory");
			return MA_ERR_FAILED;
		}
		int found = ma_module_symbol(memory, &object->module, name, symbol, error);
		if (found < 0)
			return found;
		if (!found || symbol->type == TYPE_IFUNC)
			continue;
		if (index)
			*index = i;
		return 1;
	}
	return 0;
}

const struct ma_link_object *ma_link_map_find(const struct ma_link_map *map, uint64_t address)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct ma_module *module = &map->object[i].module;
		if (map->object[i].usable && address >= module->start && address < module->end)
			return &map->object[i];
	}
	return NULL;
}
