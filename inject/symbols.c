/* SPDX-License-Identifier: MIT */
/*
 * dwfl_module_addrinfo answers from .symtab, .gnu_debugdata or .dynsym, whatever there is, and
 * falls back to the nearest symbol: its size says whether that one really holds the address.
 * Separate debug files are found by build-id below the target's /usr/lib/debug, then ours.
 */
#include "inject/symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/unwinder.h"

enum { FIRST_SLOTS = 1024 };

/* A place, and the name that it has to itself, if any. */
struct entry_place {
	struct ma_symbol_place place;
	char *name;
	struct ma_symbol_inline *inlined;
};

struct entry {
	uint64_t pc; /* 0 = free */
	struct entry_place *found;
};

struct ma_symbols {
	const struct ma_view *view;
	Dwfl *dwfl;
	struct entry *slot;
	size_t slots; /* a power of two */
	size_t count;
	struct ma_symbol_place nowhere; /* when memory is out */
};

static int find_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
		    char **file_name, Elf **elf)
{
	const struct ma_view *view = *userdata;
	char path[4200];
	char in_memory[32];

	if (name[0] != '[') {
		int fd = ma_unwinder_open_file(view, base, path, sizeof(path));

		if (fd >= 0) {
			*file_name = strdup(path);
			return fd;
		}
	}
	snprintf(in_memory, sizeof(in_memory), "[vdso: %d]", view->pid);
	return dwfl_linux_proc_find_elf(module, userdata, in_memory, base, file_name, elf);
}

/* Opens a file below a root without following its links out of there. */
static int open_below(const char *root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;

	if (folder >= 0) {
		fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
		close(folder);
	}
	return fd;
}

/* Is it an ELF file with that build-id? What lies in a target's root may be anything. */
static bool has_build_id(int fd, const unsigned char *id, int bytes)
{
	struct stat status;
	const void *found;
	Elf *elf = NULL;
	bool same = false;

	elf_version(EV_CURRENT);
	if (!fstat(fd, &status) && S_ISREG(status.st_mode))
		elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf) {
		same = dwelf_elf_gnu_build_id(elf, &found) == bytes &&
		       !memcmp(found, id, (size_t)bytes);
		elf_end(elf);
	}
	return same;
}

static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			  const char *file, const char *link, GElf_Word checksum, char **found)
{
	const struct ma_view *view = *userdata;
	const unsigned char *id;
	GElf_Addr address;
	char digits[65], path[256], roots[2][32] = {"", "/"};
	int bytes = dwfl_module_build_id(module, &id, &address);

	(void)name, (void)base, (void)file, (void)link, (void)checksum;
	if (bytes < 2 || bytes > 32)
		return -1;
	for (int i = 0; i < bytes; i++)
		snprintf(digits + 2 * i, 3, "%02x", id[i]);
	snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%.2s/%s.debug", digits, digits + 2);
	snprintf(roots[0], sizeof(roots[0]), "/proc/%d/root", view->pid);
	for (int i = 0; i < 2; i++) {
		int fd = open_below(roots[i], path);

		if (fd >= 0 && has_build_id(fd, id, bytes)) {
			*found = strdup(path);
			return fd;
		}
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = find_debuginfo,
};

static void report(struct ma_symbols *symbols, const char *name, uint64_t start, uint64_t end)
{
	Dwfl_Module *module = dwfl_report_module(symbols->dwfl, name, start, end);
	void **userdata;

	if (!module)
		return;
	dwfl_module_info(module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = (void *)(uintptr_t)symbols->view;
}

struct ma_symbols *ma_symbols_create(const struct ma_view *view)
{
	struct ma_symbols *symbols = calloc(1, sizeof(*symbols));
	const struct ma_map *vdso = ma_maps_find_name(&view->maps, "[vdso]", 0);

	if (!symbols)
		return NULL;
	symbols->view = view;
	symbols->nowhere.build_id = "";
	symbols->slots = FIRST_SLOTS;
	symbols->slot = calloc(symbols->slots, sizeof(*symbols->slot));
	symbols->dwfl = dwfl_begin(&callbacks);
	if (!symbols->slot || !symbols->dwfl) {
		ma_symbols_destroy(symbols);
		return NULL;
	}
	dwfl_report_begin(symbols->dwfl);
	for (size_t i = 0; i < view->link_map.count; i++) {
		const struct ma_link_object *object = &view->link_map.object[i];

		if (object->usable && !(vdso && object->module.start == vdso->start))
			report(symbols, object->module.path[0] ? object->module.path : "main",
			       object->module.start, object->module.end);
	}
	if (vdso)
		report(symbols, "[vdso]", vdso->start, vdso->end);
	dwfl_report_end(symbols->dwfl, NULL, NULL);
	return symbols;
}

void ma_symbols_destroy(struct ma_symbols *symbols)
{
	if (!symbols)
		return;
	for (size_t i = 0; symbols->slot && i < symbols->slots; i++) {
		if (symbols->slot[i].found) {
			free(symbols->slot[i].found->name);
			free(symbols->slot[i].found->inlined);
		}
		free(symbols->slot[i].found);
	}
	free(symbols->slot);
	if (symbols->dwfl)
		dwfl_end(symbols->dwfl);
	free(symbols);
}

/* Without the version that a dynamic symbol carries ("read@@GLIBC_2.2.5"). */
static const char *keep_name(struct entry_place *kept, const char *name)
{
	size_t length = strcspn(name, "@");

	if (!name[length])
		return name;
	kept->name = strndup(name, length);
	return kept->name ? kept->name : name;
}

/* Where a DIE says that it was called from; unit is the one it is in. */
static void call_site(Dwarf_Die *unit, Dwarf_Die *die, const char **file, int *line)
{
	Dwarf_Attribute attribute;
	Dwarf_Files *files;
	Dwarf_Word value;
	size_t count;

	*file = NULL;
	*line = 0;
	if (!dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attribute), &value) &&
	    value <= INT32_MAX)
		*line = (int)value;
	if (!dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attribute), &value) &&
	    !dwarf_getsrcfiles(unit, &files, &count) && value < count)
		*file = dwarf_filesrc(files, (size_t)value, NULL, NULL);
}

/* The DIEs around an address, innermost first: of the code as it was generated, so that those of an
 * inlined function go on with the function that it is in. Returns how many; *scopes is owned. */
static int find_scopes(Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die **scopes)
{
	Dwarf_Die *first;
	int count = dwarf_getscopes(unit, address, &first), found = -1;

	*scopes = NULL;
	for (int i = 0; i < count && found < 0; i++)
		if (dwarf_tag(&first[i]) == DW_TAG_inlined_subroutine ||
		    dwarf_tag(&first[i]) == DW_TAG_subprogram)
			found = dwarf_getscopes_die(&first[i], scopes);
	if (count > 0)
		free(first);
	return found;
}

/* Takes the line apart: it is that of the innermost function that was inlined there. */
static void look_up_inlined(struct entry_place *found, Dwfl_Module *module, uint64_t pc)
{
	struct ma_symbol_place *place = &found->place;
	Dwarf_Addr bias;
	Dwarf_Die *unit = dwfl_module_addrdie(module, pc, &bias), *scopes;
	int count = unit ? find_scopes(unit, pc - bias, &scopes) : -1;

	if (count <= 0)
		return;
	found->inlined = calloc(MA_SYMBOL_INLINES, sizeof(found->inlined[0]));
	for (int i = 0; found->inlined && i < count && place->inlined_count < MA_SYMBOL_INLINES &&
			dwarf_tag(&scopes[i]) != DW_TAG_subprogram;
	     i++) {
		const char *name = dwarf_diename(&scopes[i]);

		if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine || !name)
			continue;
		found->inlined[place->inlined_count++] =
			(struct ma_symbol_inline){name, place->file, place->line};
		call_site(unit, &scopes[i], &place->file, &place->line);
	}
	place->inlined = found->inlined;
	free(scopes);
}

static void look_up(struct ma_symbols *symbols, uint64_t pc, struct entry_place *found)
{
	struct ma_symbol_place *place = &found->place;
	const struct ma_view *view = symbols->view;
	const struct ma_link_object *object = ma_link_map_find(&view->link_map, pc);
	Dwfl_Module *module = dwfl_addrmodule(symbols->dwfl, pc);
	Dwfl_Line *line;
	GElf_Off offset = 0;
	GElf_Sym symbol;
	const char *name;

	place->build_id = "";
	if (object) {
		place->module = object->module.path;
		place->build_id = object->module.build_id;
		place->offset = pc - object->module.bias;
		place->interpreter = object == &view->link_map.object[view->interpreter.object];
	}
	if (!module)
		return;
	if (!object) {
		Dwarf_Addr start;

		place->module =
			dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
		place->offset = pc - start;
	}
	name = dwfl_module_addrinfo(module, pc, &offset, &symbol, NULL, NULL, NULL);
	if (name && name[0] && offset < symbol.st_size)
		place->function = keep_name(found, name);
	line = dwfl_module_getsrc(module, pc);
	if (line)
		place->file = dwfl_lineinfo(line, NULL, &place->line, NULL, NULL, NULL);
	if (line && place->function)
		look_up_inlined(found, module, pc);
}

static struct entry *find_slot(struct entry *slot, size_t slots, uint64_t pc)
{
	size_t at = (size_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slots - 1);

	while (slot[at].pc && slot[at].pc != pc)
		at = (at + 1) & (slots - 1);
	return &slot[at];
}

static bool grow(struct ma_symbols *symbols)
{
	size_t slots = symbols->slots * 2;
	struct entry *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return false;
	for (size_t i = 0; i < symbols->slots; i++)
		if (symbols->slot[i].pc)
			*find_slot(slot, slots, symbols->slot[i].pc) = symbols->slot[i];
	free(symbols->slot);
	symbols->slot = slot;
	symbols->slots = slots;
	return true;
}

const struct ma_symbol_place *ma_symbols_find(struct ma_symbols *symbols, uint64_t pc)
{
	struct entry *entry;

	if (!pc || (symbols->count * 2 >= symbols->slots && !grow(symbols)))
		return &symbols->nowhere;
	entry = find_slot(symbols->slot, symbols->slots, pc);
	if (!entry->pc) {
		struct entry_place *found = calloc(1, sizeof(*found));

		if (!found)
			return &symbols->nowhere;
		look_up(symbols, pc, found);
		*entry = (struct entry){pc, found};
		symbols->count++;
	}
	return &entry->found->place;
}
