/* SPDX-License-Identifier: MIT */
/*
 * Passes over a made-up link map: which words are patched, which are left, what the page
 * protections are afterwards, and that a reloaded object is not taken for the one that was there
 * before.
 */
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/hook/object.h"
#include "inject/hook/pass.h"
#include "inject/hook/state.h"
#include "inject/hook/thunks.h"

enum {
	PAGE = 4096,
	HEADERS = 0, /* pages of an object */
	TEXT = 1,
	RELRO = 2,
	DATA = 3,
	PAGES = 4,
	SYMBOLS = 0x200, /* offsets in the first page */
	STRINGS = 0x500,
	GNU_HASH = 0x600,
	RELA = 0x700,
	JMPREL = 0xb00,
	NEXT = 0x7770000, /* made-up definitions, 16 bytes apart */
	ELSEWHERE = 0x6660000,
};

struct ma_hook ma_hook;

static struct ma_hook_config config;
static struct ma_counters *counters;
static struct r_debug loader;

/* One object under construction. */
struct object {
	struct link_map map;
	uint8_t *memory;
	uint32_t symbols; /* symbol 0 is the empty one */
	uint32_t strings;
	uint32_t relas;
	uint32_t jump_slots;
	uint32_t words[PAGES]; /* used in RELRO and DATA */
	Elf64_Dyn *dynamic;
};

static uint64_t next_of(enum ma_fn fn)
{
	return NEXT + 16 * (uint64_t)fn;
}

static void *at(const struct object *object, uint32_t offset)
{
	return object->memory + offset;
}

static uint32_t add_symbol(struct object *object, const char *name, uint16_t section)
{
	Elf64_Sym *symbols = at(object, SYMBOLS);
	uint32_t index = ++object->symbols;

	symbols[index] = (Elf64_Sym){.st_name = object->strings,
				     .st_shndx = section,
				     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC)};
	strcpy(at(object, STRINGS + object->strings), name);
	object->strings += (uint32_t)strlen(name) + 1;
	return index;
}

/* A relocated word in page RELRO or DATA that holds `value`. */
static uint64_t *add_word(struct object *object, uint32_t page, uint32_t type, uint32_t symbol,
			  int64_t addend, uint64_t value)
{
	uint32_t offset = page * PAGE + 8 * object->words[page]++;
	bool is_jump_slot = type == R_X86_64_JUMP_SLOT;
	Elf64_Rela *relas = at(object, is_jump_slot ? JMPREL : RELA);
	uint32_t index = is_jump_slot ? object->jump_slots++ : object->relas++;
	uint64_t *word = at(object, offset);

	relas[index] = (Elf64_Rela){offset, ELF64_R_INFO((uint64_t)symbol, type), addend};
	*word = value;
	return word;
}

static void begin(struct object *object)
{
	*object = (struct object){0};
	object->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(object->memory, MAP_FAILED);
	object->strings = 1;
	/* The dynamic section comes first in the data. */
	object->dynamic = at(object, DATA * PAGE);
	object->words[DATA] = 64;
}

static void write_headers(struct object *object)
{
	static const uint32_t flags[PAGES] = {PF_R, PF_R | PF_X, PF_R | PF_W, PF_R | PF_W};
	Elf64_Ehdr *header = at(object, 0);
	Elf64_Phdr *program = at(object, sizeof *header);

	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_phoff = sizeof *header;
	header->e_phentsize = sizeof *program;
	header->e_phnum = PAGES + 2;
	for (uint32_t page = 0; page < PAGES; page++)
		program[page] = (Elf64_Phdr){.p_type = PT_LOAD,
					     .p_flags = flags[page],
					     .p_vaddr = page * PAGE,
					     .p_memsz = PAGE};
	program[PAGES] = (Elf64_Phdr){.p_type = PT_DYNAMIC, .p_vaddr = DATA * PAGE};
	/* As the linker writes it: from the middle of something to the end of a page. */
	program[PAGES + 1] = (Elf64_Phdr){
		.p_type = PT_GNU_RELRO, .p_vaddr = RELRO * PAGE + 0x10, .p_memsz = PAGE - 0x10};
}

/* A GNU hash table of one bucket with the symbols from `first` on; 0 = an empty one. */
static void write_gnu_hash(struct object *object, uint32_t first)
{
	uint32_t *hash = at(object, GNU_HASH);
	const Elf64_Sym *symbols = at(object, SYMBOLS);

	hash[0] = 1;
	hash[1] = first ? first : 1;
	hash[2] = 1;
	hash[6] = first;
	for (uint32_t i = first; first && i <= object->symbols; i++) {
		const char *name = at(object, STRINGS + symbols[i].st_name);
		uint32_t value = 5381;

		for (; *name; name++)
			value = value * 33 + (uint8_t)*name;
		hash[7 + i - first] = (value & ~1u) | (i == object->symbols);
	}
}

/* Ends the construction. relocated: pointers in the dynamic section, as glibc leaves them. */
static void finish(struct object *object, bool relocated, bool gnu_hash)
{
	uint64_t base = (uint64_t)(uintptr_t)object->memory, add = relocated ? base : 0;
	Elf64_Dyn entries[] = {
		{DT_STRTAB, {add + STRINGS}},
		{DT_STRSZ, {object->strings}},
		{DT_SYMTAB, {add + SYMBOLS}},
		{DT_PLTREL, {DT_RELA}},
		{DT_JMPREL, {add + JMPREL}},
		{DT_PLTRELSZ, {object->jump_slots * sizeof(Elf64_Rela)}},
		{DT_RELA, {add + RELA}},
		{DT_RELASZ, {object->relas * sizeof(Elf64_Rela)}},
		{DT_RELAENT, {sizeof(Elf64_Rela)}},
		{gnu_hash ? DT_GNU_HASH : DT_BIND_NOW, {add + GNU_HASH}},
		{DT_NULL, {0}},
	};

	write_headers(object);
	memcpy(object->dynamic, entries, sizeof entries);
	object->map = (struct link_map){.l_addr = base, .l_ld = object->dynamic};
	mprotect(at(object, RELRO * PAGE), PAGE, PROT_READ);
}

static void end(struct object *object)
{
	munmap(object->memory, PAGES * PAGE);
}

/* Protection of the page that this word is in, from /proc/self/maps. */
static int protection_of(const void *word)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], flags[5] = "";
	int found = -1;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		uint64_t low, high;

		if (sscanf(line, "%lx-%lx %4s", &low, &high, flags) == 3 &&
		    (uintptr_t)word >= low && (uintptr_t)word < high)
			found = (flags[0] == 'r' ? PROT_READ : 0) |
				(flags[1] == 'w' ? PROT_WRITE : 0);
	}
	fclose(maps);
	return found;
}

static int setup(void **state)
{
	static struct ma_area *area;

	(void)state;
	if (!area)
		area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -1;
	counters = &area->counters;
	*counters = (struct ma_counters){0};
	config = (struct ma_hook_config){.thunk_code = 0x5550000,
					 .r_debug = (uint64_t)(uintptr_t)&loader};
	ma_hook = (struct ma_hook){.area = area, .config = &config};
	for (uint32_t fn = 0; fn < MA_FN_SYMBOLS; fn++)
		ma_hook.next[fn] = next_of((enum ma_fn)fn);
	ma_hook.next[MA_FN_PVALLOC] = 0; /* a C library that has none */
	ma_pass_forget();
	return 0;
}

static void link_objects(struct object *first, struct object *second)
{
	loader.r_map = &first->map;
	first->map.l_next = second ? &second->map : NULL;
	if (second)
		second->map.l_prev = &first->map;
}

static uint64_t thunk(enum ma_fn fn)
{
	return ma_thunk_address(fn);
}

static void test_which_words(void **state)
{
	struct object object;
	uint64_t *words[16], own_stub;
	static const bool patched[] = {true,  true,  true,  true,  true,  false,
				       false, false, false, false, false, false};
	static const enum ma_fn fns[] = {MA_FN_MALLOC, MA_FN_FREE, MA_FN_CALLOC, MA_FN_MALLOC,
					 MA_FN_MMAP};
	uint32_t n = 0;

	(void)state;
	begin(&object);
	uint32_t sym_malloc = add_symbol(&object, "malloc", SHN_UNDEF);
	uint32_t sym_free = add_symbol(&object, "free", SHN_UNDEF);
	uint32_t sym_calloc = add_symbol(&object, "calloc", SHN_UNDEF);
	uint32_t sym_mmap = add_symbol(&object, "mmap", SHN_UNDEF);
	uint32_t sym_mall = add_symbol(&object, "mall", SHN_UNDEF);
	uint32_t sym_mallocx = add_symbol(&object, "mallocx", SHN_UNDEF);
	uint32_t sym_pvalloc = add_symbol(&object, "pvalloc", SHN_UNDEF);
	uint32_t sym_realloc = add_symbol(&object, "realloc", 7); /* the object's own */

	own_stub = (uint64_t)(uintptr_t)at(&object, TEXT * PAGE + 0x16);
	words[n++] = add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_malloc, 0, own_stub);
	words[n++] = add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_free, 0, next_of(MA_FN_FREE));
	words[n++] =
		add_word(&object, RELRO, R_X86_64_GLOB_DAT, sym_calloc, 0, next_of(MA_FN_CALLOC));
	words[n++] = add_word(&object, RELRO, R_X86_64_64, sym_malloc, 0, next_of(MA_FN_MALLOC));
	words[n++] = add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_mmap, 0, next_of(MA_FN_MMAP));
	/* A stub in a word that no call goes through; one of another object; another allocator's.
	 */
	words[n++] = add_word(&object, DATA, R_X86_64_GLOB_DAT, sym_malloc, 0, own_stub);
	words[n++] = add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_malloc, 0, ELSEWHERE);
	words[n++] = add_word(&object, DATA, R_X86_64_64, sym_free, 0, ELSEWHERE);
	/* malloc + 8 is not malloc. Neither are names that begin alike. */
	words[n++] = add_word(&object, DATA, R_X86_64_64, sym_malloc, 8, next_of(MA_FN_MALLOC));
	words[n++] =
		add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_mall, 0, next_of(MA_FN_MALLOC));
	words[n++] =
		add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_mallocx, 0, next_of(MA_FN_MALLOC));
	/* A function of its own through its own PLT: that is no lazy stub. */
	words[n++] = add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_realloc, 0, own_stub);
	add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_pvalloc, 0, 0);
	write_gnu_hash(&object, sym_realloc);
	finish(&object, true, true);
	link_objects(&object, NULL);

	uint64_t before[16];
	for (uint32_t i = 0; i < n; i++)
		before[i] = *words[i];
	ma_pass_run(MA_PASS_PATCH);
	for (uint32_t i = 0; i < n; i++)
		if (*words[i] != (patched[i] ? thunk(fns[i]) : before[i]))
			fail_msg("word %u holds %#lx", i, *words[i]);
	assert_int_equal(config.slots_patched, 5);
	assert_int_equal(counters->slots_patched, 5);
	assert_int_equal(counters->objects_seen, 1);
	assert_int_equal(config.passes_failed, 0);
	assert_int_equal(protection_of(words[2]), PROT_READ);
	assert_int_equal(protection_of(words[0]), PROT_READ | PROT_WRITE);

	ma_pass_run(MA_PASS_RESTORE);
	before[0] = next_of(MA_FN_MALLOC); /* a stub needs no resolving again */
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(*words[i], before[i]);
	assert_int_equal(config.slots_patched, 5);
	assert_int_equal(config.slots_foreign, 1);
	assert_int_equal(protection_of(words[2]), PROT_READ);
	end(&object);
}

/* Dynamic sections as musl and the vDSO have them, and tables of symbols of every kind. */
static void test_layouts(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct object object;

		setup(NULL);
		begin(&object);
		uint32_t sym_other = add_symbol(&object, "printf", SHN_UNDEF);
		uint32_t sym_free = add_symbol(&object, "free", SHN_UNDEF);
		uint32_t sym_malloc = add_symbol(&object, "malloc", SHN_UNDEF);
		uint64_t *one = add_word(&object, RELRO, R_X86_64_GLOB_DAT, sym_malloc, 0,
					 next_of(MA_FN_MALLOC));
		uint64_t *two = add_word(&object, DATA, R_X86_64_JUMP_SLOT, sym_free, 0,
					 next_of(MA_FN_FREE));

		/* In the hash table from malloc on; all of them; none; no table at all. */
		write_gnu_hash(&object, kind == 0 ? sym_malloc : kind == 1 ? sym_other : 0);
		finish(&object, kind % 2, kind != 3);
		link_objects(&object, NULL);
		ma_pass_run(MA_PASS_PATCH);
		assert_int_equal(*one, thunk(MA_FN_MALLOC));
		assert_int_equal(*two, thunk(MA_FN_FREE));
		end(&object);
	}
}

static struct object *small_object(struct object *object, uint64_t **word)
{
	begin(object);
	*word = add_word(object, RELRO, R_X86_64_GLOB_DAT, add_symbol(object, "malloc", SHN_UNDEF),
			 0, next_of(MA_FN_MALLOC));
	write_gnu_hash(object, 0);
	finish(object, true, true);
	return object;
}

static void put(uint64_t *word, uint64_t value)
{
	void *page = (void *)((uintptr_t)word & ~(uintptr_t)(PAGE - 1));

	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	*word = value;
	mprotect(page, PAGE, PROT_READ);
}

static void test_later_passes(void **state)
{
	struct object first, second;
	uint64_t *one, *two;

	(void)state;
	link_objects(small_object(&first, &one), NULL);
	ma_pass_run(MA_PASS_PATCH);
	link_objects(&first, small_object(&second, &two));
	ma_pass_run(MA_PASS_PATCH);
	assert_int_equal(*two, thunk(MA_FN_MALLOC));
	assert_int_equal(config.slots_patched, 1);
	assert_int_equal(counters->slots_patched, 2);
	assert_int_equal(counters->objects_seen, 2);
	assert_int_equal(counters->passes, 2);
	/* The same object at the same place, loaded again. */
	put(two, next_of(MA_FN_MALLOC));
	ma_pass_run(MA_PASS_PATCH);
	assert_int_equal(*two, thunk(MA_FN_MALLOC));
	assert_int_equal(config.slots_patched, 1);
	ma_pass_run(MA_PASS_PATCH);
	assert_int_equal(config.slots_patched, 0);
	assert_int_equal(counters->slots_patched, 2);
	/* Somebody else's function by now: left, and told. */
	put(one, ELSEWHERE);
	ma_pass_run(MA_PASS_RESTORE);
	assert_int_equal(*one, ELSEWHERE);
	assert_int_equal(*two, next_of(MA_FN_MALLOC));
	assert_int_equal(config.slots_patched, 1);
	end(&first);
	end(&second);
}

static void test_foreign(void **state)
{
	struct object object;
	uint64_t *one, *two;

	(void)state;
	begin(&object);
	one = add_word(&object, DATA, R_X86_64_GLOB_DAT, add_symbol(&object, "malloc", SHN_UNDEF),
		       0, next_of(MA_FN_MALLOC));
	two = add_word(&object, DATA, R_X86_64_GLOB_DAT, add_symbol(&object, "free", SHN_UNDEF), 0,
		       next_of(MA_FN_FREE));
	write_gnu_hash(&object, 0);
	finish(&object, true, true);
	link_objects(&object, NULL);
	ma_pass_run(MA_PASS_PATCH);
	*one = ELSEWHERE;
	ma_pass_run(MA_PASS_RESTORE);
	assert_int_equal(config.slots_foreign, 1);
	assert_int_equal(*one, ELSEWHERE);
	assert_int_equal(*two, next_of(MA_FN_FREE));
	end(&object);
}

static void test_allocator(void **state)
{
	struct object object;
	uint64_t *word;

	(void)state;
	begin(&object);
	word = add_word(&object, DATA, R_X86_64_GLOB_DAT, add_symbol(&object, "mmap", SHN_UNDEF), 0,
			next_of(MA_FN_MMAP));
	write_gnu_hash(&object, 0);
	finish(&object, true, true);
	link_objects(&object, NULL);
	/* The mappings of whoever defines malloc are not the program's. */
	ma_hook.next[MA_FN_MALLOC] = (uint64_t)(uintptr_t)at(&object, TEXT * PAGE);
	ma_pass_run(MA_PASS_PATCH);
	assert_int_equal(*word, next_of(MA_FN_MMAP));
	end(&object);
}

static void test_executable(void **state)
{
	struct object object;
	uint64_t *word;
	Elf64_Phdr headers[PAGES + 2];

	(void)state;
	small_object(&object, &word);
	memcpy(headers, at(&object, sizeof(Elf64_Ehdr)), sizeof headers);
	memset(at(&object, 0), 0, SELFMAG);
	link_objects(&object, NULL);
	/* No header where we look, and nobody told where it is. */
	ma_pass_run(MA_PASS_PATCH);
	assert_int_equal(*word, next_of(MA_FN_MALLOC));
	assert_true(config.passes_failed > 0);
	config.passes_failed = 0;
	config.exe_phdr = (uint64_t)(uintptr_t)headers;
	config.exe_phnum = PAGES + 2;
	ma_pass_forget();
	ma_pass_run(MA_PASS_PATCH);
	assert_int_equal(*word, thunk(MA_FN_MALLOC));
	assert_int_equal(config.passes_failed, 0);
	assert_int_equal(protection_of(word), PROT_READ);
	end(&object);
}

/* Our own objects, as the loader has them here: nothing in them is at a made-up definition. */
static void test_real_link_map(void **state)
{
	(void)state;
	config.r_debug = (uint64_t)(uintptr_t)&_r_debug;
	ma_pass_run(MA_PASS_PATCH);
	assert_true(counters->objects_seen > 1);
	ma_pass_run(MA_PASS_RESTORE);
}

static void test_thunks(void **state)
{
	uint8_t *page =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ma_thunk_data *data = (struct ma_thunk_data *)(page + PAGE);

	(void)state;
	ma_thunk_code_fill(page);
	assert_int_equal(mprotect(page, PAGE, PROT_READ | PROT_EXEC), 0);
	for (int fn = 0; fn < MA_FN_COUNT; fn++) {
		int (*call)(int);
		uint64_t address = (uint64_t)(uintptr_t)page + (uint64_t)fn * MA_THUNK_BYTES;

		memset(data, 0, sizeof *data);
		data->target[fn] = (uint64_t)(uintptr_t)abs;
		memcpy(&call, &address, sizeof call);
		assert_int_equal(call(-fn - 1), fn + 1);
	}
	munmap(page, 2 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_which_words, setup),
		cmocka_unit_test_setup(test_layouts, setup),
		cmocka_unit_test_setup(test_later_passes, setup),
		cmocka_unit_test_setup(test_foreign, setup),
		cmocka_unit_test_setup(test_allocator, setup),
		cmocka_unit_test_setup(test_executable, setup),
		cmocka_unit_test_setup(test_real_link_map, setup),
		cmocka_unit_test(test_thunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
