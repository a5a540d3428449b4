/* SPDX-License-Identifier: MIT */
/*
 * A table of what proto/code_place.c finds, in files as the target sees them. Separate debug files
 * are found by build-id below the target's /usr/lib/debug, then ours.
 */
#include "inject/symbols.h"

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
#include "proto/code_place.h"

enum { FIRST_SLOTS = 1024 };

/* A place, and what it has to itself. */
struct entry_place {
	struct ma_symbol_place place;
	char *text;
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
	struct ma_code_names *names;
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
	symbols->names = ma_code_names_create(true);
	if (!symbols->slot || !symbols->dwfl || !symbols->names) {
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
			free(symbols->slot[i].found->text);
			free(symbols->slot[i].found->inlined);
		}
		free(symbols->slot[i].found);
	}
	free(symbols->slot);
	ma_code_names_destroy(symbols->names);
	if (symbols->dwfl)
		dwfl_end(symbols->dwfl);
	free(symbols);
}

/* Keeps what was found: texts that are the place's in a copy, those of the files as they are. */
static void keep(struct entry_place *found, const struct ma_code_place *named)
{
	struct ma_symbol_place *place = &found->place;
	const struct ma_code_line *own = &named->line[named->count - 1];

	found->text = malloc(named->used + 1);
	found->inlined = calloc((size_t)named->count, sizeof(found->inlined[0]));
	if (!found->text || !found->inlined)
		return;
	memcpy(found->text, named->text, named->used);
	for (int i = 0; i + 1 < named->count; i++)
		found->inlined[i] = (struct ma_symbol_inline){
			.function = found->text + (named->line[i].function - named->text),
			.file = named->line[i].file,
			.line = named->line[i].line,
		};
	place->function = found->text + (own->function - named->text);
	place->file = own->file;
	place->line = own->line;
	place->inlined = found->inlined;
	place->inlined_count = named->count - 1;
}

static void look_up(struct ma_symbols *symbols, uint64_t pc, struct entry_place *found)
{
	struct ma_symbol_place *place = &found->place;
	const struct ma_view *view = symbols->view;
	const struct ma_link_object *object = ma_link_map_find(&view->link_map, pc);
	Dwfl_Module *module = dwfl_addrmodule(symbols->dwfl, pc);
	const struct ma_code_place *named;

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
	named = ma_code_names_find(symbols->names, module, pc);
	if (named->count)
		keep(found, named);
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
