/* SPDX-License-Identifier: MIT */
/*
 * Hooks the slot of malloc in a lazily bound library the simple way, going on to what the slot held
 * before, and then to the definition.
 *
 *   simple_slot LIBRARY saved|definition
 *
 * Prints how many of 10 calls the hook saw. What the slot held is the library's own stub, which
 * looks malloc up and overwrites the slot, and with it the hook.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 10 };

static void *(*next)(size_t);
static int seen;

static void *hook(size_t bytes)
{
	seen++;
	return next(bytes);
}

static ElfW(Xword) entry_of(const struct link_map *map, ElfW(Sxword) tag)
{
	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
		if (entry->d_tag == tag)
			return entry->d_un.d_val;
	return 0;
}

static void **find_slot(const struct link_map *map, const char *name)
{
	const char *names = (const char *)entry_of(map, DT_STRTAB);
	const ElfW(Sym) *symbols = (const ElfW(Sym) *)entry_of(map, DT_SYMTAB);
	const ElfW(Rela) *relocations = (const ElfW(Rela) *)entry_of(map, DT_JMPREL);
	size_t count = entry_of(map, DT_PLTRELSZ) / sizeof(*relocations);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(names + symbols[ELF64_R_SYM(relocations[i].r_info)].st_name, name))
			return (void **)(map->l_addr + relocations[i].r_offset);
	return NULL;
}

int main(int argc, char **argv)
{
	void *library = argc == 3 ? dlopen(argv[1], RTLD_LAZY) : NULL;
	void *(*take)(size_t) = library ? (void *(*)(size_t))dlsym(library, "lazy_take") : NULL;
	struct link_map *map;
	void **slot;

	if (!take || dlinfo(library, RTLD_DI_LINKMAP, &map))
		return 2;
	slot = find_slot(map, "malloc");
	if (!slot)
		return 2;
	next = strcmp(argv[2], "saved") ? malloc : (void *(*)(size_t)) * slot;
	*slot = (void *)hook;
	for (int i = 0; i < CALLS; i++)
		free(take(100));
	printf("%d\n", seen);
	return 0;
}
