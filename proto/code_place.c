/* SPDX-License-Identifier: MIT */
/*
 * dwfl_module_addrinfo answers from .symtab, .gnu_debugdata or .dynsym, whatever there is, and
 * falls back to the nearest symbol: its size says whether that one really holds the address.
 */
#include "proto/code_place.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <libiberty/demangle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/code_x86_64.h"

enum { PLT_ENTRY_BYTES = 16, SCOPES = 64, UNITS_MAX = 1 << 20 };

/* Addresses that a compilation unit holds, as the debug information counts them. */
struct unit {
	Dwarf_Addr start, end;
	Dwarf_Die *die;
};

struct units {
	Dwfl_Module *module;
	struct units *next;
	Dwarf_Addr bias;
	struct unit *unit; /* ascending; owned */
	size_t count, room;
};

struct ma_code_names {
	struct units *units; /* of modules whose debug information has no index of its own */
	struct ma_code_place place;
	bool lines;
};

/* A name that is being put together. */
struct writing {
	char *name;
	size_t room;
	size_t used;
};

static void write_part(const char *part, size_t bytes, void *context)
{
	struct writing *writing = context;
	size_t left = writing->room - writing->used;

	if (bytes > left)
		bytes = left;
	memcpy(writing->name + writing->used, part, bytes);
	writing->used += bytes;
}

bool ma_code_demangle(const char *mangled, char *name, size_t room)
{
	static const char dots[] = "...";
	struct writing writing = {.name = name, .room = room - 1};

	/* Old Rust names are C++ names too, with a hash at the end. */
	if (!rust_demangle_callback(mangled, DMGL_NO_OPTS, write_part, &writing)) {
		writing.used = 0;
		if (!cplus_demangle_v3_callback(mangled, DMGL_NO_OPTS, write_part, &writing))
			return false;
	}
	name[writing.used] = '\0';
	if (writing.used == writing.room && room > sizeof(dots))
		memcpy(name + writing.used - (sizeof(dots) - 1), dots, sizeof(dots));
	return writing.used > 0;
}

/* A copy of a text in the place, cut to the longest name. NULL: no room. */
static const char *keep(struct ma_code_place *place, const char *text, size_t length)
{
	char *copy = place->text + place->used;
	size_t left = sizeof(place->text) - place->used;

	if (length >= MA_CODE_NAME_BYTES)
		length = MA_CODE_NAME_BYTES - 1;
	if (length >= left)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	place->used += length + 1;
	return copy;
}

/* Names a line by a symbol: demangled, and without the version that a dynamic one carries
 * ("read@@GLIBC_2.2.5"). */
static bool name_line(struct ma_code_place *place, struct ma_code_line *line, const char *symbol)
{
	char name[MA_CODE_NAME_BYTES];
	const char *linkage = keep(place, symbol, strcspn(symbol, "@"));

	line->function = linkage;
	if (!linkage || !ma_code_demangle(linkage, name, sizeof(name)))
		return linkage != NULL;
	line->linkage = linkage;
	line->function = keep(place, name, strlen(name));
	return line->function != NULL;
}

/* The name that a debug entry has for the linker, else for the reader. */
static const char *entry_name(Dwarf_Die *die)
{
	static const unsigned int names[] = {DW_AT_linkage_name, DW_AT_MIPS_linkage_name};
	Dwarf_Attribute attribute;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (dwarf_attr_integrate(die, names[i], &attribute))
			return dwarf_formstring(&attribute);
	return dwarf_diename(die);
}

static int first_line_of(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (dwarf_formudata(dwarf_attr_integrate(die, DW_AT_decl_line, &attribute), &value) ||
	    value > INT32_MAX)
		return 0;
	return (int)value;
}

/* Where a debug entry says that it was called from; unit is the one it is in. */
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

/* The debug entries of a function and of what is compiled into it, outermost first. */
struct scopes {
	Dwarf_Die entry[SCOPES];
	int count;
};

/* Goes into what a function's code was made of, as far as it holds the address. */
static void enter_code(Dwarf_Die *function, Dwarf_Addr address, struct scopes *scopes)
{
	Dwarf_Die child;
	int left = dwarf_child(function, &child);

	while (!left && scopes->count < SCOPES) {
		if (dwarf_haspc(&child, address) > 0 && dwarf_tag(&child) != DW_TAG_subprogram) {
			scopes->entry[scopes->count] = child;
			left = dwarf_child(&scopes->entry[scopes->count++], &child);
		} else {
			left = dwarf_siblingof(&child, &child);
		}
	}
}

/* dwarf_getscopes does not look into namespaces, in which Rust has its functions. */
static bool find_scopes(Dwarf_Die *parent, Dwarf_Addr address, int depth, struct scopes *scopes)
{
	Dwarf_Die child;

	if (depth == SCOPES || dwarf_child(parent, &child))
		return false;
	do {
		switch (dwarf_tag(&child)) {
		case DW_TAG_subprogram:
			if (dwarf_haspc(&child, address) <= 0)
				break;
			scopes->entry[0] = child;
			scopes->count = 1;
			enter_code(&child, address, scopes);
			return true;
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_enumeration_type:
			if (find_scopes(&child, address, depth + 1, scopes))
				return true;
			break;
		default:
			break;
		}
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

/* Puts the functions that are inlined there before the one that holds the code. `own` has the line
 * of the innermost of them. */
static void find_inlined(Dwarf_Die *unit, uint64_t address, struct ma_code_place *place,
			 struct ma_code_line *own)
{
	struct scopes scopes = {.count = 0};

	if (!find_scopes(unit, address, 0, &scopes))
		return;
	own->first_line = first_line_of(&scopes.entry[0]);
	for (int i = scopes.count - 1; i > 0; i--) {
		struct ma_code_line inlined = {.file = own->file, .line = own->line};
		const char *name;

		if (dwarf_tag(&scopes.entry[i]) != DW_TAG_inlined_subroutine)
			continue;
		name = entry_name(&scopes.entry[i]);
		if (!name || place->count == MA_CODE_LINES - 1 || !name_line(place, &inlined, name))
			continue;
		inlined.first_line = first_line_of(&scopes.entry[i]);
		place->line[place->count++] = inlined;
		call_site(unit, &scopes.entry[i], &own->file, &own->line);
	}
}

/* Adds what a compilation unit holds. */
static bool add_unit(struct units *units, Dwarf_Die *unit)
{
	Dwarf_Addr base, start, end;

	for (ptrdiff_t at = 0; (at = dwarf_ranges(unit, at, &base, &start, &end)) > 0;) {
		if (units->count == units->room) {
			size_t room = units->room ? units->room * 2 : 256;
			struct unit *larger = realloc(units->unit, room * sizeof(*larger));

			if (!larger)
				return false;
			units->unit = larger;
			units->room = room;
		}
		units->unit[units->count++] = (struct unit){start, end, unit};
	}
	return units->count < UNITS_MAX;
}

static int by_start(const void *a, const void *b)
{
	const struct unit *left = a, *right = b;

	return (left->start > right->start) - (left->start < right->start);
}

/* Where the units of a module are: clang writes no .debug_aranges, by which libdw would know. */
static const struct units *units_of(struct ma_code_names *names, Dwfl_Module *module)
{
	struct units *units = names->units;
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;

	while (units && units->module != module)
		units = units->next;
	if (units)
		return units;
	units = calloc(1, sizeof(*units));
	if (!units)
		return NULL;
	*units = (struct units){.module = module, .next = names->units};
	names->units = units;
	while ((unit = dwfl_module_nextcu(module, unit, &bias)) && add_unit(units, unit))
		units->bias = bias;
	qsort(units->unit, units->count, sizeof(units->unit[0]), by_start);
	return units;
}

/* The compilation unit that holds an address, by its debug information; bias: to be subtracted from
 * an address. */
static Dwarf_Die *find_unit(struct ma_code_names *names, Dwfl_Module *module, uint64_t address,
			    Dwarf_Addr *bias)
{
	Dwarf_Die *found = dwfl_module_addrdie(module, address, bias);
	const struct units *units = found ? NULL : units_of(names, module);
	size_t low = 0, high = units ? units->count : 0;

	if (found || !units)
		return found;
	*bias = units->bias;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (units->unit[middle].start <= address - *bias)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address - *bias < units->unit[low - 1].end ? units->unit[low - 1].die : NULL;
}

/* Adds file and line, and what is inlined there. */
static void find_lines(struct ma_code_names *names, Dwfl_Module *module, uint64_t address,
		       struct ma_code_place *place, struct ma_code_line *own)
{
	Dwarf_Addr bias;
	Dwarf_Die *unit = find_unit(names, module, address, &bias);
	Dwarf_Line *line = unit ? dwarf_getsrc_die(unit, address - bias) : NULL;

	if (!line)
		return;
	own->file = dwarf_linesrc(line, NULL, NULL);
	if (dwarf_lineno(line, &own->line))
		own->line = 0;
	find_inlined(unit, address - bias, place, own);
}

/* The section of a procedure linkage table that holds an address; NULL: none does. */
static Elf_Scn *find_plt(Elf *elf, uint64_t address, GElf_Shdr *header)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		const char *name;

		if (!gelf_getshdr(section, header) || header->sh_type != SHT_PROGBITS ||
		    address < header->sh_addr || address - header->sh_addr >= header->sh_size)
			continue;
		name = elf_strptr(elf, names, header->sh_name);
		return name && !strncmp(name, ".plt", 4) ? section : NULL;
	}
	return NULL;
}

/* The name of the symbol that the relocation of a slot is for; NULL: none. */
static const char *name_of_slot(Elf *elf, uint64_t slot)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header, symbols;

	while ((section = elf_nextscn(elf, section))) {
		Elf_Data *data, *table;

		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_RELA ||
		    !header.sh_entsize)
			continue;
		data = elf_getdata(section, NULL);
		for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; i++) {
			GElf_Rela relocation;
			GElf_Sym symbol;
			Elf_Scn *of;

			if (!gelf_getrela(data, (int)i, &relocation))
				break;
			if (relocation.r_offset != slot || !GELF_R_SYM(relocation.r_info))
				continue;
			of = elf_getscn(elf, header.sh_link);
			table = of && gelf_getshdr(of, &symbols) ? elf_getdata(of, NULL) : NULL;
			if (!table ||
			    !gelf_getsym(table, (int)GELF_R_SYM(relocation.r_info), &symbol))
				return NULL;
			return elf_strptr(elf, symbols.sh_link, symbol.st_name);
		}
	}
	return NULL;
}

/* "malloc@plt": linkers make no symbols for these. */
static bool name_plt(Dwfl_Module *module, uint64_t address, struct ma_code_place *place)
{
	GElf_Addr bias;
	GElf_Shdr header;
	Elf *elf = dwfl_module_getelf(module, &bias);
	Elf_Scn *section = elf ? find_plt(elf, address - bias, &header) : NULL;
	Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
	char name[MA_CODE_NAME_BYTES];
	const char *symbol;
	uint64_t at, slot;

	if (!data || !data->d_buf)
		return false;
	at = (address - bias - header.sh_addr) / PLT_ENTRY_BYTES * PLT_ENTRY_BYTES;
	if (at >= data->d_size || !ma_code_plt_slot((const uint8_t *)data->d_buf + at,
						    data->d_size - at, header.sh_addr + at, &slot))
		return false;
	symbol = name_of_slot(elf, slot);
	if (!symbol)
		return false;
	snprintf(name, sizeof(name), "%s@plt", symbol);
	place->line[0] = (struct ma_code_line){.function = keep(place, name, strlen(name))};
	place->count = place->line[0].function ? 1 : 0;
	return true;
}

struct ma_code_names *ma_code_names_create(bool lines)
{
	struct ma_code_names *names = calloc(1, sizeof(*names));

	if (names)
		names->lines = lines;
	return names;
}

void ma_code_names_destroy(struct ma_code_names *names)
{
	if (!names)
		return;
	while (names->units) {
		struct units *units = names->units;

		names->units = units->next;
		free(units->unit);
		free(units);
	}
	free(names);
}

const struct ma_code_place *ma_code_names_find(struct ma_code_names *names, Dwfl_Module *module,
					       uint64_t address)
{
	struct ma_code_place *place = &names->place;
	struct ma_code_line own = {0};
	GElf_Off offset = 0;
	GElf_Sym symbol;
	const char *name;

	place->count = 0;
	place->used = 0;
	name = dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL);
	if (!name || !name[0] || offset >= symbol.st_size || !name_line(place, &own, name)) {
		name_plt(module, address, place);
		return place;
	}
	if (names->lines)
		find_lines(names, module, address, place, &own);
	place->line[place->count++] = own;
	return place;
}
