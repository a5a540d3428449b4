/* SPDX-License-Identifier: MIT */
/*
 * Reading an ELF module out of a target's memory (gABI, "Program Loading and Dynamic Linking").
 * Whatever is read is copied first and checked; whatever is followed is bounded. The caller gets an
 * error for a module that contradicts itself.
 */
#include "inject/elf_memory.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
	MAX_PROGRAM_HEADERS = 128,
	MAX_DYNAMIC_ENTRIES = 1024,
	DYNAMIC_CHUNK = 64,
	MAX_NOTE_BYTES = 4096,
	MAX_CHAIN = 1024, /* entries of one hash chain that we follow; real ones have a dozen */
	MAX_VERSIONS = 1024,
	CHAIN_CHUNK = 32,
	MAX_NAME_BYTES = 128,
	PAGE_MASK = 4095,
	WINDOW_BYTES = 2048,
};
#define MAX_SEGMENT_BYTES (UINT64_C(1) << 40)
#define VERSYM_HIDDEN     0x8000

static int nonsense(struct ma_error *error, const struct ma_module *module, const char *why)
{
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the ELF module at 0x%llx %s",
		     (unsigned long long)module->base.value, module->path);
	ma_error_answer(error, "%s", why);
	if (error)
		error->address = (unsigned long)module->base.value;
	return MA_ERR_PROTOCOL;
}

static int segment_protection(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

/* Fills bias, segments and the page range from the program headers. */
static int place_segments(struct ma_module *module, const Elf64_Phdr *header, size_t count,
			  struct ma_error *error)
{
	const Elf64_Phdr *first = NULL;
	for (size_t i = 0; i < count && !first; i++) {
		if (header[i].p_type == PT_LOAD && header[i].p_offset == 0)
			first = &header[i];
	}
	if (!first)
		return nonsense(error, module, "no segment holds the ELF header");
	module->bias = module->base.value - first->p_vaddr;
	if (module->elf_type == ET_EXEC && module->bias)
		return nonsense(error, module, "a fixed-address program is elsewhere");
	module->start = UINT64_MAX;
	for (size_t i = 0; i < count; i++) {
		const Elf64_Phdr *load = &header[i];
		if (load->p_type != PT_LOAD || !load->p_memsz)
			continue;
		struct ma_segment segment = {.start = module->bias + load->p_vaddr,
					     .protection = segment_protection(load->p_flags)};
		segment.end = segment.start + load->p_memsz;
		segment.file_end = segment.start + load->p_filesz;
		if (load->p_memsz > MAX_SEGMENT_BYTES || load->p_filesz > load->p_memsz ||
		    segment.end < segment.start || segment.end > UINT64_MAX - PAGE_MASK)
			return nonsense(error, module, "a segment's size is impossible");
		if (module->segment_count == MA_MODULE_SEGMENTS)
			return nonsense(error, module, "too many segments");
		module->segment[module->segment_count++] = segment;
		if (segment.start < module->start)
			module->start = segment.start & ~(uint64_t)PAGE_MASK;
		if (segment.end > module->end)
			module->end = (segment.end + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
	}
	if (!module->segment_count || module->start > module->base.value ||
	    module->end <= module->base.value)
		return nonsense(error, module, "its segments do not cover its header");
	return 0;
}

const struct ma_segment *ma_module_segment(const struct ma_module *module, uint64_t address,
					   uint64_t bytes)
{
	for (int i = 0; i < module->segment_count; i++) {
		const struct ma_segment *segment = &module->segment[i];
		if (address >= segment->start && address <= segment->end &&
		    bytes <= segment->end - address)
			return segment;
	}
	return NULL;
}

/* Bytes of the module read at once, because what is wanted next lies beside what is wanted now. */
struct window {
	uint64_t address;
	size_t bytes;
	uint8_t data[WINDOW_BYTES];
};

static void window_open(struct window *window, const struct ma_target_memory *memory,
			uint64_t address)
{
	window->address = address;
	window->bytes = ma_memory_read_some(memory, ma_raddr(address), window->data,
					    sizeof window->data, NULL);
}

/* Reads through the window, or past it. */
static int window_read(const struct window *window, const struct ma_target_memory *memory,
		       uint64_t address, void *buffer, size_t bytes, struct ma_error *error)
{
	uint64_t at = address - window->address;
	if (at > window->bytes || bytes > window->bytes - at)
		return ma_memory_read(memory, ma_raddr(address), buffer, bytes, error);
	memcpy(buffer, window->data + at, bytes);
	return 0;
}

/* Looks for NT_GNU_BUILD_ID in a note segment; one that does not parse is no build-id. */
static void read_build_id(const struct ma_target_memory *memory, const struct window *window,
			  const Elf64_Phdr *header, struct ma_module *module)
{
	uint8_t note[MAX_NOTE_BYTES];
	size_t bytes = header->p_memsz < sizeof note ? (size_t)header->p_memsz : sizeof note;
	size_t align = header->p_align == 8 ? 8 : 4;
	if (module->build_id[0] ||
	    window_read(window, memory, module->bias + header->p_vaddr, note, bytes, NULL))
		return;
	for (size_t at = 0; bytes - at >= sizeof(Elf64_Nhdr);) {
		Elf64_Nhdr entry;
		memcpy(&entry, note + at, sizeof entry);
		at += sizeof entry;
		if (entry.n_namesz > bytes || entry.n_descsz > bytes)
			return;
		size_t name = (entry.n_namesz + align - 1) & ~(align - 1);
		size_t description = (entry.n_descsz + align - 1) & ~(align - 1);
		if (name > bytes - at || entry.n_descsz > bytes - at - name)
			return;
		if (entry.n_type == NT_GNU_BUILD_ID && entry.n_namesz == 4 &&
		    memcmp(note + at, "GNU", 4) == 0) {
			size_t room = sizeof module->build_id / 2 - 1;
			size_t length = entry.n_descsz < room ? entry.n_descsz : room;
			for (size_t i = 0; i < length; i++)
				snprintf(module->build_id + 2 * i, 3, "%02x", note[at + name + i]);
			return;
		}
		if (description > bytes - at - name)
			return;
		at += name + description;
	}
}

/*
 * A pointer of the dynamic section as an address in the target. glibc adds the bias in place where
 * the section is writable (_dl_relocate_ld); musl and the vDSO leave it as the file has it.
 * 0 when neither reading lies inside the module.
 */
static uint64_t dynamic_address(const struct ma_module *module, uint64_t value)
{
	if (ma_module_segment(module, value, 1))
		return value;
	if (ma_module_segment(module, value + module->bias, 1))
		return value + module->bias;
	return 0;
}

static int take_dynamic(struct ma_module *module, const Elf64_Dyn *entry, uint64_t *soname,
			struct ma_error *error)
{
	const struct {
		int64_t tag;
		uint64_t *field;
	} pointers[] = {
		{DT_SYMTAB, &module->symbols},    {DT_STRTAB, &module->strings},
		{DT_GNU_HASH, &module->gnu_hash}, {DT_HASH, &module->sysv_hash},
		{DT_VERSYM, &module->versions},   {DT_VERDEF, &module->verdef},
	};
	for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
		if (entry->d_tag != pointers[i].tag)
			continue;
		*pointers[i].field = dynamic_address(module, entry->d_un.d_ptr);
		if (!*pointers[i].field)
			return nonsense(error, module, "a table of it lies outside");
	}
	switch (entry->d_tag) {
	case DT_STRSZ:
		module->strings_bytes = entry->d_un.d_val;
		break;
	case DT_SYMENT:
		if (entry->d_un.d_val != sizeof(Elf64_Sym))
			return nonsense(error, module, "its symbols have an unknown size");
		break;
	case DT_VERDEFNUM:
		module->verdef_count = (uint32_t)entry->d_un.d_val;
		break;
	case DT_SONAME:
		*soname = entry->d_un.d_val;
		break;
	case DT_DEBUG:
		module->debug = ma_raddr(entry->d_un.d_ptr);
		break;
	}
	return 0;
}

/* Reads a string of the module's string table; cut to room. */
static int read_name(const struct ma_target_memory *memory, const struct ma_module *module,
		     uint64_t offset, char *text, size_t room, struct ma_error *error)
{
	if (!module->strings || offset >= module->strings_bytes)
		return nonsense(error, module, "a name lies outside its string table");
	uint64_t left = module->strings_bytes - offset;
	return ma_memory_read_string(memory, ma_raddr(module->strings + offset), text,
				     left < room ? (size_t)left : room, error);
}

static int read_dynamic(const struct ma_target_memory *memory, struct ma_module *module,
			uint64_t bytes, struct ma_error *error)
{
	uint64_t soname = UINT64_MAX;
	size_t count = (size_t)(bytes / sizeof(Elf64_Dyn));
	if (count > MAX_DYNAMIC_ENTRIES)
		count = MAX_DYNAMIC_ENTRIES;
	bool ended = false;
	for (size_t at = 0; at < count && !ended;) {
		Elf64_Dyn chunk[DYNAMIC_CHUNK];
		size_t now = count - at < DYNAMIC_CHUNK ? count - at : DYNAMIC_CHUNK;
		int code = ma_memory_read(memory, ma_raddr_add(module->dynamic, at * sizeof *chunk),
					  chunk, now * sizeof *chunk, error);
		for (size_t i = 0; !code && !ended && i < now; i++) {
			ended = chunk[i].d_tag == DT_NULL;
			code = take_dynamic(module, &chunk[i], &soname, error);
		}
		if (code)
			return code;
		at += now;
	}
	if (module->strings && !ma_module_segment(module, module->strings, module->strings_bytes))
		return nonsense(error, module, "its string table is longer than itself");
	if (soname == UINT64_MAX)
		return 0;
	return read_name(memory, module, soname, module->soname, sizeof module->soname, error);
}

/* The four words before the bloom filter, checked so that look-ups need no further checks. */
static int read_gnu_header(const struct ma_target_memory *memory, struct ma_module *module,
			   struct ma_error *error)
{
	uint32_t word[4];
	if (!module->gnu_hash)
		return 0;
	int code = ma_memory_read(memory, ma_raddr(module->gnu_hash), word, sizeof word, error);
	if (code)
		return code;
	uint64_t table = sizeof word + (uint64_t)word[2] * 8 + (uint64_t)word[0] * 4;
	if (!word[0] || !word[2] || (word[2] & (word[2] - 1)) ||
	    !ma_module_segment(module, module->gnu_hash, table))
		return nonsense(error, module, "its hash table is damaged");
	module->gnu_buckets = word[0];
	module->gnu_first = word[1];
	module->gnu_bloom_words = word[2];
	module->gnu_bloom_shift = word[3] & 31;
	return 0;
}

static int check_header(const Elf64_Ehdr *header, struct ma_module *module, struct ma_error *error)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return nonsense(error, module, "no ELF header there");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
		return nonsense(error, module, "not a 64-bit little-endian module");
	if (header->e_machine != EM_X86_64)
		return nonsense(error, module, "made for another CPU");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return nonsense(error, module, "neither program nor library");
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum ||
	    header->e_phnum > MAX_PROGRAM_HEADERS || header->e_phoff > MAX_SEGMENT_BYTES)
		return nonsense(error, module, "its program headers are damaged");
	module->elf_type = header->e_type;
	return 0;
}

int ma_module_open(const struct ma_target_memory *memory, struct ma_raddr base,
		   struct ma_module *module, struct ma_error *error)
{
	Elf64_Ehdr header;
	Elf64_Phdr program[MAX_PROGRAM_HEADERS];
	const Elf64_Phdr *dynamic = NULL;
	struct window window;

	*module = (struct ma_module){.base = base};
	window_open(&window, memory, base.value);
	int code = window_read(&window, memory, base.value, &header, sizeof header, error);
	if (!code)
		code = check_header(&header, module, error);
	if (!code)
		code = window_read(&window, memory, base.value + header.e_phoff, program,
				   header.e_phnum * sizeof *program, error);
	if (!code)
		code = place_segments(module, program, header.e_phnum, error);
	for (size_t i = 0; !code && i < header.e_phnum; i++) {
		if (program[i].p_type == PT_NOTE)
			read_build_id(memory, &window, &program[i], module);
		else if (program[i].p_type == PT_DYNAMIC)
			dynamic = &program[i];
		else if (program[i].p_type == PT_INTERP)
			module->has_interpreter = true;
	}
	if (code || !dynamic)
		return code;
	module->dynamic = ma_raddr(module->bias + dynamic->p_vaddr);
	if (!ma_module_segment(module, module->dynamic.value, dynamic->p_memsz))
		return nonsense(error, module, "its dynamic section lies outside");
	code = read_dynamic(memory, module, dynamic->p_memsz, error);
	return code ? code : read_gnu_header(memory, module, error);
}

/* The name of version `index` from the module's definitions; "" when there is none. */
static int read_version(const struct ma_target_memory *memory, const struct ma_module *module,
			uint16_t index, char *text, size_t room, struct ma_error *error)
{
	struct window window;
	uint64_t at = module->verdef;
	text[0] = '\0';
	if (!at || index < 2) /* 0 local, 1 global without a version */
		return 0;
	window_open(&window, memory, at);
	for (uint32_t i = 0; i < module->verdef_count && i < MAX_VERSIONS; i++) {
		Elf64_Verdef definition;
		Elf64_Verdaux name;
		if (!ma_module_segment(module, at, sizeof definition))
			return nonsense(error, module, "a version lies outside");
		int code = window_read(&window, memory, at, &definition, sizeof definition, error);
		if (code)
			return code;
		if ((definition.vd_ndx & ~VERSYM_HIDDEN) == index) {
			code = window_read(&window, memory, at + definition.vd_aux, &name,
					   sizeof name, error);
			return code ? code
				    : read_name(memory, module, name.vda_name, text, room, error);
		}
		if (!definition.vd_next)
			break;
		at += definition.vd_next;
	}
	return 0;
}

static bool is_definition(const Elf64_Sym *symbol)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
	return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS && symbol->st_value &&
	       (type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC ||
		type == STT_COMMON || type == STT_GNU_IFUNC) &&
	       (binding == STB_GLOBAL || binding == STB_WEAK || binding == STB_GNU_UNIQUE);
}

/* A look-up under way: what is wanted, and the best match so far. */
struct lookup {
	const struct ma_target_memory *memory;
	const struct ma_module *module;
	const char *name;
	size_t name_bytes; /* with its NUL */
	struct ma_symbol *symbol;
	bool found;
	bool found_default; /* a default version: the search is over */
	struct ma_error *error;
};

/* Considers symbol `index`. 0 or negative. */
static int consider(struct lookup *l, uint64_t index)
{
	const struct ma_module *module = l->module;
	char name[MAX_NAME_BYTES];
	Elf64_Sym symbol;
	uint16_t version = 1;
	uint64_t at = module->symbols + index * sizeof symbol;

	if (!module->symbols || !ma_module_segment(module, at, sizeof symbol))
		return nonsense(l->error, module, "a symbol lies outside");
	int code = ma_memory_read(l->memory, ma_raddr(at), &symbol, sizeof symbol, l->error);
	if (code)
		return code;
	if (symbol.st_name >= module->strings_bytes ||
	    module->strings_bytes - symbol.st_name < l->name_bytes)
		return 0;
	code = ma_memory_read(l->memory, ma_raddr(module->strings + symbol.st_name), name,
			      l->name_bytes, l->error);
	if (code || memcmp(name, l->name, l->name_bytes) != 0 || !is_definition(&symbol))
		return code;
	if (module->versions)
		code = ma_memory_read(l->memory, ma_raddr(module->versions + index * 2), &version,
				      sizeof version, l->error);
	if (code)
		return code;
	bool hidden = version & VERSYM_HIDDEN;
	if (l->found && hidden)
		return 0;
	if (!ma_module_segment(module, module->bias + symbol.st_value, 0))
		return nonsense(l->error, module, "a definition lies outside");
	*l->symbol = (struct ma_symbol){.address = ma_raddr(module->bias + symbol.st_value),
					.size = symbol.st_size,
					.type = ELF64_ST_TYPE(symbol.st_info),
					.binding = ELF64_ST_BIND(symbol.st_info)};
	l->found = true;
	l->found_default = !hidden;
	return read_version(l->memory, module, version & (uint16_t)~VERSYM_HIDDEN,
			    l->symbol->version, sizeof l->symbol->version, l->error);
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;
	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

static int lookup_gnu(struct lookup *l)
{
	const struct ma_module *module = l->module;
	uint32_t hash = gnu_hash(l->name), bucket;
	uint64_t bloom = module->gnu_hash + 16, word;
	uint64_t buckets = bloom + (uint64_t)module->gnu_bloom_words * 8;
	uint64_t chain = buckets + (uint64_t)module->gnu_buckets * 4;

	uint64_t slot = (hash / 64) & (module->gnu_bloom_words - 1);
	int code = ma_memory_read_u64(l->memory, ma_raddr(bloom + slot * 8), &word, l->error);
	if (code)
		return code;
	uint64_t need = UINT64_C(1) << (hash % 64) |
			UINT64_C(1) << ((hash >> module->gnu_bloom_shift) % 64);
	if ((word & need) != need)
		return 0;
	code = ma_memory_read_u32(l->memory,
				  ma_raddr(buckets + (uint64_t)(hash % module->gnu_buckets) * 4),
				  &bucket, l->error);
	if (code || !bucket)
		return code;
	if (bucket < module->gnu_first)
		return nonsense(l->error, module, "a hash bucket points outside");
	for (uint64_t index = bucket, steps = 0; steps < MAX_CHAIN;) {
		uint32_t entry[CHAIN_CHUNK];
		uint64_t at = chain + (index - module->gnu_first) * 4;
		const struct ma_segment *segment = ma_module_segment(module, at, 4);
		if (!segment)
			return nonsense(l->error, module, "a hash chain leaves the module");
		uint64_t room = (segment->end - at) / 4;
		size_t now = room < CHAIN_CHUNK ? (size_t)room : CHAIN_CHUNK;
		code = ma_memory_read(l->memory, ma_raddr(at), entry, now * 4, l->error);
		for (size_t i = 0; !code && i < now; i++, index++, steps++) {
			if ((entry[i] | 1) == (hash | 1))
				code = consider(l, index);
			if (l->found_default || (entry[i] & 1))
				return code;
		}
		if (code)
			return code;
	}
	return nonsense(l->error, module, "a hash chain does not end");
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t hash = 0;
	for (; *name; name++) {
		hash = (hash << 4) + (unsigned char)*name;
		uint32_t high = hash & 0xf0000000;
		hash = (hash ^ high >> 24) & ~high;
	}
	return hash;
}

static int lookup_sysv(struct lookup *l)
{
	const struct ma_module *module = l->module;
	uint32_t head[2], index;
	int code =
		ma_memory_read(l->memory, ma_raddr(module->sysv_hash), head, sizeof head, l->error);
	if (code)
		return code;
	if (!head[0] ||
	    !ma_module_segment(module, module->sysv_hash, 8 + ((uint64_t)head[0] + head[1]) * 4))
		return nonsense(l->error, module, "its hash table is damaged");
	uint64_t buckets = module->sysv_hash + 8, chain = buckets + (uint64_t)head[0] * 4;
	uint64_t at = buckets + (uint64_t)(sysv_hash(l->name) % head[0]) * 4;
	for (uint32_t steps = 0; steps < MAX_CHAIN && steps <= head[1]; steps++) {
		code = ma_memory_read_u32(l->memory, ma_raddr(at), &index, l->error);
		if (code || index == STN_UNDEF)
			return code;
		if (index >= head[1])
			return nonsense(l->error, module, "a hash chain points outside");
		code = consider(l, index);
		if (code || l->found_default)
			return code;
		at = chain + (uint64_t)index * 4;
	}
	return nonsense(l->error, module, "a hash chain does not end");
}

int ma_module_symbol(const struct ma_target_memory *memory, const struct ma_module *module,
		     const char *name, struct ma_symbol *symbol, struct ma_error *error)
{
	struct lookup l = {.memory = memory,
			   .module = module,
			   .name = name,
			   .name_bytes = strlen(name) + 1,
			   .symbol = symbol,
			   .error = error};
	int code = 0;
	if (l.name_bytes > MAX_NAME_BYTES)
		return ma_error_set(error, MA_ERR_USAGE, 0, "looking up a name that is too long");
	if (module->gnu_hash)
		code = lookup_gnu(&l);
	else if (module->sysv_hash)
		code = lookup_sysv(&l);
	return code ? code : l.found;
}
