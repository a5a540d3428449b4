/* SPDX-License-Identifier: MIT */
/* ELF modules in memory: one made by hand, the same with every byte wrong, and our own libraries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_memory.h"
#include "inject/elf_memory.h"

static uint8_t bytes[FAKE_MODULE_BYTES];
static struct fake_module parts;
static struct fake_memory fake;
static struct ma_target_memory memory;
static const uint64_t base = 0x7f1200000000;

static void fresh(enum fake_hash hash, int relocated)
{
	parts = fake_module_write(bytes, base, hash, relocated);
	fake = (struct fake_memory){.bytes = bytes, .size = sizeof bytes, .base = base};
	memory = fake_memory_open(&fake);
}

static void check_symbols(const struct ma_module *module)
{
	struct ma_symbol symbol;
	assert_int_equal(ma_module_symbol(&memory, module, "alpha", &symbol, NULL), 1);
	assert_int_equal(symbol.address.value, base + FAKE_ALPHA);
	assert_string_equal(symbol.version, "FAKE_2");
	assert_int_equal(symbol.type, STT_FUNC);
	assert_int_equal(symbol.size, 16);
	assert_int_equal(ma_module_symbol(&memory, module, "beta", &symbol, NULL), 1);
	assert_int_equal(symbol.address.value, base + FAKE_BETA);
	assert_string_equal(symbol.version, "");
	assert_int_equal(ma_module_symbol(&memory, module, "gamma", &symbol, NULL), 1);
	assert_int_equal(symbol.type, STT_GNU_IFUNC);
	/* A canonical PLT entry has a value and no section; a TLS symbol has no address. */
	assert_int_equal(ma_module_symbol(&memory, module, "delta", &symbol, NULL), 0);
	assert_int_equal(ma_module_symbol(&memory, module, "epsilon", &symbol, NULL), 0);
	assert_int_equal(ma_module_symbol(&memory, module, "alph", &symbol, NULL), 0);
	assert_int_equal(ma_module_symbol(&memory, module, "alphax", &symbol, NULL), 0);
	assert_int_equal(ma_module_symbol(&memory, module, "", &symbol, NULL), 0);
}

static void reads_a_module(void **state)
{
	(void)state;
	for (int variant = 0; variant < 8; variant++) {
		struct ma_module module;
		fresh(variant & 1 ? FAKE_GNU_HASH : FAKE_SYSV_HASH, variant & 2);
		fake.largest_read = variant & 4 ? 7 : 0;
		assert_int_equal(ma_module_open(&memory, ma_raddr(base), &module, NULL), 0);
		assert_int_equal(module.bias, base);
		assert_int_equal(module.start, base);
		assert_int_equal(module.end, base + FAKE_MODULE_BYTES);
		assert_int_equal(module.segment_count, 3);
		assert_int_equal(module.segment[1].protection, PROT_READ | PROT_WRITE);
		assert_string_equal(module.soname, "libfake.so.1");
		assert_string_equal(module.build_id, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3");
		check_symbols(&module);
	}
}

static void takes_a_hidden_version_when_there_is_no_other(void **state)
{
	(void)state;
	struct ma_module module;
	struct ma_symbol symbol;
	fresh(FAKE_GNU_HASH, 1);
	uint16_t hidden = 3 | 0x8000;
	memcpy(bytes + parts.versions + 2 * 2, &hidden, 2);
	assert_int_equal(ma_module_open(&memory, ma_raddr(base), &module, NULL), 0);
	assert_int_equal(ma_module_symbol(&memory, &module, "alpha", &symbol, NULL), 1);
	assert_int_equal(symbol.address.value, base + FAKE_ALPHA_OLD);
	assert_string_equal(symbol.version, "FAKE_1");
}

/* Damage done to the module, and the words that the error must have. */
static void put32(size_t at, uint32_t value)
{
	memcpy(bytes + at, &value, sizeof value);
}

static void put64(size_t at, uint64_t value)
{
	memcpy(bytes + at, &value, sizeof value);
}

static void expect_broken_open(const char *why)
{
	struct ma_module module;
	struct ma_error error = {0};
	assert_int_equal(ma_module_open(&memory, ma_raddr(base), &module, &error), MA_ERR_PROTOCOL);
	assert_non_null(strstr(error.answer, why));
	assert_int_equal(error.address, base);
}

static void refuses_headers_that_make_no_sense(void **state)
{
	(void)state;
	fresh(FAKE_GNU_HASH, 1);
	bytes[0] = 0;
	expect_broken_open("no ELF header");
	fresh(FAKE_GNU_HASH, 1);
	bytes[EI_CLASS] = ELFCLASS32;
	expect_broken_open("64-bit");
	fresh(FAKE_GNU_HASH, 1);
	bytes[offsetof(Elf64_Ehdr, e_machine)] = EM_AARCH64;
	expect_broken_open("CPU");
	fresh(FAKE_GNU_HASH, 1);
	bytes[offsetof(Elf64_Ehdr, e_type)] = ET_CORE;
	expect_broken_open("neither");
	fresh(FAKE_GNU_HASH, 1);
	bytes[offsetof(Elf64_Ehdr, e_phnum)] = 200;
	expect_broken_open("program headers");
	fresh(FAKE_GNU_HASH, 1);
	put64(parts.programs + offsetof(Elf64_Phdr, p_memsz), UINT64_C(1) << 50);
	expect_broken_open("size");
	fresh(FAKE_GNU_HASH, 1);
	put64(parts.programs + offsetof(Elf64_Phdr, p_offset), 0x1000);
	expect_broken_open("ELF header");
	fresh(FAKE_GNU_HASH, 1);
	put64(parts.dynamic + 1 * 16 + 8, base + 0x10000); /* DT_SYMTAB */
	expect_broken_open("outside");
	fresh(FAKE_GNU_HASH, 1);
	put64(parts.dynamic + 3 * 16 + 8, UINT64_C(1) << 40); /* DT_STRSZ */
	expect_broken_open("string table");
	fresh(FAKE_GNU_HASH, 1);
	put64(parts.dynamic + 0 * 16 + 8, 0x1000); /* DT_SONAME */
	expect_broken_open("name lies outside");
	fresh(FAKE_GNU_HASH, 1);
	put32(parts.gnu_hash, 0);
	expect_broken_open("hash table");
	fresh(FAKE_GNU_HASH, 1);
	put32(parts.gnu_hash + 8, 0x10000000);
	expect_broken_open("hash table");
}

static void expect_broken_lookup(const char *name, const char *why)
{
	struct ma_module module;
	struct ma_symbol symbol;
	struct ma_error error = {0};
	assert_int_equal(ma_module_open(&memory, ma_raddr(base), &module, NULL), 0);
	assert_int_equal(ma_module_symbol(&memory, &module, name, &symbol, &error),
			 MA_ERR_PROTOCOL);
	assert_non_null(strstr(error.answer, why));
}

static void refuses_tables_that_lead_astray(void **state)
{
	(void)state;
	fresh(FAKE_GNU_HASH, 1); /* a chain without an end, through the whole segment */
	put64(parts.programs + offsetof(Elf64_Phdr, p_memsz), 0xff0);
	put64(parts.programs + offsetof(Elf64_Phdr, p_filesz), 0xff0);
	for (size_t at = parts.gnu_chain; at < 0x1000; at += 4)
		put32(at, 2);
	expect_broken_lookup("no_such_name", "hash chain");
	fresh(FAKE_GNU_HASH, 1);
	put32(parts.gnu_hash + 24, 0xfffffff0); /* the bucket */
	expect_broken_lookup("alpha", "hash chain");
	fresh(FAKE_GNU_HASH, 1);
	put32(parts.gnu_hash + 4, 100); /* the first hashed symbol lies above the bucket's */
	expect_broken_lookup("alpha", "bucket");
	fresh(FAKE_SYSV_HASH, 1); /* a chain that bites its tail */
	put32(parts.sysv_hash + 12 + 2 * 4, 2);
	expect_broken_lookup("no_such_name", "does not end");
	fresh(FAKE_SYSV_HASH, 1);
	put32(parts.sysv_hash + 8, 1000);
	expect_broken_lookup("alpha", "outside");
	fresh(FAKE_GNU_HASH, 1); /* alpha's definition is somewhere else */
	put64(parts.symbols + 2 * sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_value), 0x800000);
	put64(parts.symbols + 1 * sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_value), 0x800000);
	expect_broken_lookup("alpha", "outside");
}

/* Every byte of the headers and tables, set to a few values, in a module that lies at the very end
 * of readable memory: nothing may crash, hang, or read without bound. */
static void survives_any_single_byte(void **state)
{
	(void)state;
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	static const char *const names[] = {"alpha", "beta", "gamma", "delta", "nothing"};
	for (enum fake_hash hash = FAKE_GNU_HASH; hash <= FAKE_SYSV_HASH; hash++) {
		for (size_t at = 0; at < 0x1200; at++) {
			if (at == 0x640)
				at = 0x1100; /* from the tables to the dynamic section */
			for (size_t v = 0; v < sizeof values; v++) {
				struct ma_module module;
				struct ma_symbol symbol;
				fresh(hash, 1);
				bytes[at] = values[v];
				int code = ma_module_open(&memory, ma_raddr(base), &module, NULL);
				for (size_t n = 0; !code && n < sizeof names / sizeof *names; n++)
					ma_module_symbol(&memory, &module, names[n], &symbol, NULL);
				assert_true(fake.reads < 20000);
			}
		}
	}
}

static void survives_a_module_that_ends_anywhere(void **state)
{
	(void)state;
	for (size_t size = 0; size < FAKE_MODULE_BYTES; size += 3) {
		struct ma_module module;
		struct ma_symbol symbol;
		fresh(FAKE_GNU_HASH, 1);
		fake.size = size;
		if (!ma_module_open(&memory, ma_raddr(base), &module, NULL))
			ma_module_symbol(&memory, &module, "alpha", &symbol, NULL);
	}
}

/* Against the dynamic loader's own answers, in this process. */
static void agrees_with_dlsym(void **state)
{
	(void)state;
	static const char *const names[] = {"malloc", "free",    "mmap",          "munmap",
					    "dlopen", "dlsym",   "getpid",        "open",
					    "printf", "environ", "pthread_create"};
	struct ma_target_memory self;
	Dl_info info;
	assert_int_equal(ma_memory_open(getpid(), &self, NULL), 0);
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	assert_non_null(libc);
	assert_true(dladdr(dlsym(libc, "getpid"), &info));
	struct ma_module module;
	uint64_t libc_base = (uint64_t)(uintptr_t)info.dli_fbase;
	assert_int_equal(ma_module_open(&self, ma_raddr(libc_base), &module, NULL), 0);
	assert_string_equal(module.soname, "libc.so.6");
	assert_int_equal(strlen(module.build_id), 40);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct ma_symbol symbol;
		void *address = dlsym(libc, names[i]);
		int found = ma_module_symbol(&self, &module, names[i], &symbol, NULL);
		if (!address || !dladdr(address, &info) ||
		    (uint64_t)(uintptr_t)info.dli_fbase != libc_base)
			continue; /* a sanitizer's, or not in this libc */
		assert_int_equal(found, 1);
		assert_int_equal(symbol.address.value, (uintptr_t)address);
		assert_non_null(strstr(symbol.version, "GLIBC_"));
	}
	dlclose(libc);
	ma_memory_close(&self);
}

static void reports_ifuncs_of_the_real_libc(void **state)
{
	(void)state;
	struct ma_target_memory self;
	struct ma_module module;
	struct ma_symbol symbol;
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	struct link_map *map = libc;
	assert_int_equal(ma_memory_open(getpid(), &self, NULL), 0);
	assert_int_equal(ma_module_open(&self, ma_raddr(map->l_addr), &module, NULL), 0);
	assert_int_equal(ma_module_symbol(&self, &module, "memcpy", &symbol, NULL), 1);
	assert_int_equal(symbol.type, STT_GNU_IFUNC);
	assert_string_equal(symbol.version, "GLIBC_2.14");
	dlclose(libc);
	ma_memory_close(&self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_module),
		cmocka_unit_test(takes_a_hidden_version_when_there_is_no_other),
		cmocka_unit_test(refuses_headers_that_make_no_sense),
		cmocka_unit_test(refuses_tables_that_lead_astray),
		cmocka_unit_test(survives_any_single_byte),
		cmocka_unit_test(survives_a_module_that_ends_anywhere),
		cmocka_unit_test(agrees_with_dlsym),
		cmocka_unit_test(reports_ifuncs_of_the_real_libc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
