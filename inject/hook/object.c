/* SPDX-License-Identifier: MIT */
/*
 * Reading the dynamic section and the program headers (ELF gABI, chapter 5; glibc elf/dl-load.c and
 * elf/dl-reloc.c). glibc relocates the pointers of the dynamic section in place, musl and the vDSO
 * do not: a value below the load address is an offset.
 */
#include "inject/hook/object.h"

enum {
	MAX_DYNAMIC = 512, /* entries of a dynamic section that we read */
	MAX_HEADERS = 64,
	/* Tables of an object begin this close to its ELF header, if the header is at l_addr. */
	MAX_HEADER_DISTANCE = 4 << 20,
};

#define PAGE_MASK UINT64_C(4095)

/* Values of the dynamic section, by tag, as far as we use them. */
struct dynamic {
	uint64_t strtab, symtab, strsz, hash, gnu_hash;
	uint64_t jmprel, pltrelsz, pltrel, rela, relasz, relaent, relacount;
};

static uint64_t *dynamic_value(struct dynamic *dynamic, int64_t tag)
{
	switch (tag) {
	case DT_STRTAB:
		return &dynamic->strtab;
	case DT_SYMTAB:
		return &dynamic->symtab;
	case DT_STRSZ:
		return &dynamic->strsz;
	case DT_HASH:
		return &dynamic->hash;
	case DT_GNU_HASH:
		return &dynamic->gnu_hash;
	case DT_JMPREL:
		return &dynamic->jmprel;
	case DT_PLTRELSZ:
		return &dynamic->pltrelsz;
	case DT_PLTREL:
		return &dynamic->pltrel;
	case DT_RELA:
		return &dynamic->rela;
	case DT_RELASZ:
		return &dynamic->relasz;
	case DT_RELAENT:
		return &dynamic->relaent;
	case DT_RELACOUNT:
		return &dynamic->relacount;
	default:
		return NULL;
	}
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9FB21C651E98DF25);
	return hash ^ hash >> 32;
}

uint64_t ma_object_identity(const struct link_map *map)
{
	uint64_t hash = mix((uint64_t)map->l_addr, (uint64_t)(uintptr_t)map->l_ld);

	if (!map->l_ld)
		return 0;
	for (int i = 0; i < MAX_DYNAMIC && map->l_ld[i].d_tag != DT_NULL; i++) {
		/* DT_DEBUG is the debugger's; all else is constant once the object is loaded. */
		if (map->l_ld[i].d_tag == DT_DEBUG)
			continue;
		hash = mix(hash, (uint64_t)map->l_ld[i].d_tag);
		hash = mix(hash, map->l_ld[i].d_un.d_val);
	}
	return hash | 1;
}

static struct dynamic read_dynamic(const Elf64_Dyn *entries)
{
	struct dynamic dynamic = {0};

	for (int i = 0; i < MAX_DYNAMIC && entries[i].d_tag != DT_NULL; i++) {
		uint64_t *value = dynamic_value(&dynamic, entries[i].d_tag);

		if (value)
			*value = entries[i].d_un.d_val;
	}
	return dynamic;
}

/*
 * Program headers by way of the ELF header at l_addr. That there is memory at l_addr follows from
 * tables that lie close above it: the first segment holds both.
 */
static struct ma_object_headers find_headers(uint64_t base, const struct dynamic *dynamic)
{
	const struct ma_object_headers none = {0};
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)base;
	uint64_t tables[] = {dynamic->gnu_hash, dynamic->hash, dynamic->symtab,
			     dynamic->strtab,   dynamic->rela, dynamic->jmprel};
	uint64_t nearest = UINT64_MAX;

	for (uint32_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		uint64_t distance = tables[i] < base ? tables[i] : tables[i] - base;

		if (tables[i] && distance < nearest)
			nearest = distance;
	}
	if (!base || base & PAGE_MASK || nearest >= MAX_HEADER_DISTANCE)
		return none;
	for (int i = 0; i < SELFMAG; i++)
		if (header->e_ident[i] != (uint8_t)ELFMAG[i])
			return none;
	if (header->e_phentsize != sizeof(Elf64_Phdr) ||
	    header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr) > PAGE_MASK + 1)
		return none;
	return (struct ma_object_headers){(const Elf64_Phdr *)(base + header->e_phoff),
					  header->e_phnum};
}

static void add_segment(struct ma_object *object, const Elf64_Phdr *header)
{
	struct ma_range range = {object->base + header->p_vaddr,
				 object->base + header->p_vaddr + header->p_memsz};

	if (!object->whole.high || range.low < object->whole.low)
		object->whole.low = range.low;
	if (range.high > object->whole.high)
		object->whole.high = range.high;
	if (header->p_flags & PF_X && object->executables < MA_OBJECT_RANGES)
		object->executable[object->executables++] = range;
	if (header->p_flags & PF_W && object->writables < MA_OBJECT_RANGES)
		object->writable[object->writables++] = range;
}

/* False when the headers are not those of the object with this dynamic section. */
static bool read_segments(struct ma_object *object, struct ma_object_headers headers,
			  const Elf64_Dyn *dynamic)
{
	bool is_its = false;

	if (!headers.count || headers.count > MAX_HEADERS)
		return false;
	for (uint64_t i = 0; i < headers.count; i++) {
		const Elf64_Phdr *header = &headers.headers[i];
		uint64_t low = object->base + header->p_vaddr;

		if (header->p_type == PT_LOAD)
			add_segment(object, header);
		if (header->p_type == PT_DYNAMIC)
			is_its = low == (uint64_t)(uintptr_t)dynamic;
		/* As glibc protects it: whole pages only, rounded down at both ends. */
		if (header->p_type == PT_GNU_RELRO)
			object->relro = (struct ma_range){low & ~PAGE_MASK,
							  (low + header->p_memsz) & ~PAGE_MASK};
	}
	return is_its;
}

/* The address of a table of `bytes` bytes, or 0 when it is not inside the object. */
static uint64_t table_at(const struct ma_object *object, uint64_t value, uint64_t bytes)
{
	uint64_t address = value < object->base ? value + object->base : value;

	if (!value || address < object->whole.low || address >= object->whole.high ||
	    bytes > object->whole.high - address)
		return 0;
	return address;
}

static void read_relocations(struct ma_object *object, const struct dynamic *dynamic)
{
	uint64_t slots = table_at(object, dynamic->jmprel, dynamic->pltrelsz);
	uint64_t others = table_at(object, dynamic->rela, dynamic->relasz);

	if (slots && dynamic->pltrel == DT_RELA) {
		object->jump_slots = (const Elf64_Rela *)slots;
		object->jump_slot_count = dynamic->pltrelsz / sizeof(Elf64_Rela);
	}
	if (others && dynamic->relaent == sizeof(Elf64_Rela)) {
		uint64_t count = dynamic->relasz / sizeof(Elf64_Rela);
		uint64_t relative = dynamic->relacount < count ? dynamic->relacount : count;

		object->relocations = (const Elf64_Rela *)others + relative;
		object->relocation_count = count - relative;
	}
}

enum ma_object_read ma_object_read(struct ma_object *object, const struct link_map *map,
				   struct ma_object_headers headers)
{
	struct dynamic dynamic;

	*object = (struct ma_object){.base = map->l_addr, .identity = ma_object_identity(map)};
	if (!map->l_ld)
		return MA_OBJECT_NO_SLOTS;
	dynamic = read_dynamic(map->l_ld);
	if (!dynamic.symtab || !dynamic.strtab || (!dynamic.pltrelsz && !dynamic.relasz))
		return MA_OBJECT_NO_SLOTS;
	if (!headers.count)
		headers = find_headers(object->base, &dynamic);
	if (!read_segments(object, headers, map->l_ld))
		return MA_OBJECT_UNREADABLE;
	read_relocations(object, &dynamic);
	object->symbols = (const Elf64_Sym *)table_at(object, dynamic.symtab, sizeof(Elf64_Sym));
	object->strings = (const char *)table_at(object, dynamic.strtab, dynamic.strsz);
	object->strings_bytes = dynamic.strsz;
	object->gnu_hash = (const uint32_t *)table_at(object, dynamic.gnu_hash, 16);
	if (!object->jump_slot_count && !object->relocation_count)
		return MA_OBJECT_NO_SLOTS;
	return object->symbols && object->strings ? MA_OBJECT_OK : MA_OBJECT_UNREADABLE;
}
