/* SPDX-License-Identifier: MIT */
/*
 * The table compiler against libdw itself: on libraries of this machine at every row and at random
 * addresses, and on small files made by hand for what those do not have.
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/unwind_compile.h"
#include "daemon/unwind_source.h"
#include "daemon/unwind_table.h"
#include "unwind_elf.h"
#include "unwind_oracle.h"

enum { RANDOM_PCS = 20000 };

struct compiled {
	struct ma_unwind_source source;
	void *table;
	struct ma_unwind_table_view view;
};

static int compile(struct compiled *compiled, int fd)
{
	struct ma_error error;
	size_t bytes;
	memset(compiled, 0, sizeof *compiled);
	int code = ma_unwind_source_read(&compiled->source, fd, &error);
	if (code == 0)
		code = ma_unwind_compile(&compiled->source, &compiled->table, &bytes, &error);
	if (code == 0)
		assert_true(ma_unwind_table_open(&compiled->view, compiled->table, bytes));
	return code;
}

static void drop(struct compiled *compiled)
{
	ma_unwind_source_fini(&compiled->source);
	free(compiled->table);
}

static void assert_agrees(Dwarf_CFI *cfi, const struct ma_unwind_table_view *view, uint64_t pc,
			  uint64_t *unsayable)
{
	bool sayable;
	struct unwind_step theirs = unwind_step_by_libdw(cfi, pc, &sayable);
	const struct ma_unwind_rule *rule = ma_unwind_table_find(view, pc);
	struct unwind_step ours = unwind_step_by_rule(rule, pc);
	if (!sayable) {
		(*unsayable)++;
		if (!rule || rule->cfa != MA_CFA_UNSUPPORTED)
			fail_msg("at %#llx a rule was made up", (unsigned long long)pc);
		return;
	}
	if (!unwind_steps_are_equal(&theirs, &ours))
		fail_msg("at %#llx: libdw ends %d cfa %#llx rbp %d %#llx, we %d %#llx %d %#llx",
			 (unsigned long long)pc, theirs.ends, (unsigned long long)theirs.cfa,
			 theirs.rbp_known, (unsigned long long)theirs.rbp_at, ours.ends,
			 (unsigned long long)ours.cfa, ours.rbp_known,
			 (unsigned long long)ours.rbp_at);
}

/* Compares at every row, its last byte, and at random addresses around the table. */
static void compare_with_libdw(int fd, const char *name)
{
	struct compiled compiled;
	assert_int_equal(compile(&compiled, fd), 0);
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);
	assert_non_null(cfi);
	const struct ma_unwind_table_head *head = compiled.view.head;
	uint64_t unsayable = 0, span = head->pc_end - head->pc_first;
	for (uint32_t i = 0; i < head->row_count; i++) {
		uint64_t pc = head->pc_first + compiled.view.rows[i];
		assert_agrees(cfi, &compiled.view, pc, &unsayable);
		assert_agrees(cfi, &compiled.view, pc - 1, &unsayable);
	}
	srandom(1);
	for (int i = 0; i < RANDOM_PCS; i++) {
		uint64_t pc = head->pc_first - 100 + (uint64_t)random() % (span + 200);
		assert_agrees(cfi, &compiled.view, pc, &unsayable);
	}
	/* Hand-written assembly, and little of it. */
	assert_true(unsayable * 50 < 2 * (uint64_t)head->row_count + RANDOM_PCS);
	assert_int_equal(head->skipped, 0);
	print_message("%s: %u rows, %u rules, %u unsupported\n", name, head->row_count,
		      head->rule_count, head->unsupported);
	dwarf_cfi_end(cfi);
	elf_end(elf);
	drop(&compiled);
}

static bool compare_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	compare_with_libdw(fd, path);
	close(fd);
	return true;
}

static void test_libraries_that_are_loaded(void **state)
{
	(void)state;
	static const char *const symbols[] = {"malloc", "elf_begin", "_cmocka_run_group_tests"};
	for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
		Dl_info info;
		void *symbol = dlsym(RTLD_DEFAULT, symbols[i]);
		/* A static library has no symbol to look up. */
		if (symbol && dladdr(symbol, &info))
			assert_true(compare_file(info.dli_fname));
	}
}

/* Whatever of these there is; which ones differs from machine to machine. */
static void test_libraries_of_this_machine(void **state)
{
	(void)state;
	static const char *const patterns[] = {
		"/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
		"/usr/lib64/libstdc++.so.6",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/usr/bin/python3.*[0-9]",
		"/root/.pyenv/versions/3.1[13]*/lib/libpython3.1?.so.1.0",
		"/usr/lib/python3/dist-packages/numpy/core/_multiarray_umath*.so",
		"/root/.pyenv/versions/*/lib/python3*/site-packages/numpy/*core/_multi*.so"};
	int compared = 0;
	for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
		glob_t found;
		if (glob(patterns[i], 0, NULL, &found) == 0) {
			for (size_t k = 0; k < found.gl_pathc; k++)
				compared += compare_file(found.gl_pathv[k]);
		}
		globfree(&found);
	}
	print_message("%d files compared\n", compared);
}

static void test_vdso(void **state)
{
	(void)state;
	const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	if (!vdso)
		skip();
	int fd = memfd_create("vdso", MFD_CLOEXEC);
	assert_true(write(fd, vdso, 4096) == 4096);
	/* As much as is mapped. */
	for (size_t at = 4096; at < 65536 && write(fd, vdso + at, 4096) == 4096; at += 4096)
		;
	compare_with_libdw(fd, "the vDSO");
	close(fd);
}

static void test_frames_made_by_hand(void **state)
{
	(void)state;
	struct unwind_elf elf;
	unwind_elf_begin(&elf, UNWIND_ELF_EH_FRAME);
	/* out of order, with a gap between; the second restores a remembered state */
	static const uint8_t late[] = {0x41, DW_CFA_def_cfa_offset, 16};
	static const uint8_t early[] = {0x41,
					DW_CFA_def_cfa_offset,
					16,
					0x86,
					2, /* rbp at CFA - 16 */
					0x43,
					DW_CFA_def_cfa_register,
					6,
					0x44,
					DW_CFA_remember_state,
					DW_CFA_def_cfa,
					7,
					8,
					0x41,
					DW_CFA_restore_state};
	unwind_elf_function(&elf, 0x80, 0x20, late, sizeof late);
	unwind_elf_function(&elf, 0x10, 0x40, early, sizeof early);
	int fd = unwind_elf_end(&elf);
	struct compiled compiled;
	assert_int_equal(compile(&compiled, fd), 0);
	compare_with_libdw(fd, "made by hand");
	uint64_t code = UNWIND_ELF_CODE;
	const struct ma_unwind_table_view *view = &compiled.view;
	assert_int_equal(view->head->pc_first, code + 0x10);
	assert_int_equal(view->head->pc_end, code + 0xa0);
	assert_int_equal(view->head->functions, 2);
	assert_null(ma_unwind_table_find(view, code + 0xf));
	assert_int_equal(ma_unwind_table_find(view, code + 0x10)->cfa_offset, 8);
	assert_int_equal(ma_unwind_table_find(view, code + 0x11)->cfa_offset, 16);
	assert_int_equal(ma_unwind_table_find(view, code + 0x11)->saved_rbp, -2);
	assert_int_equal(ma_unwind_table_find(view, code + 0x14)->cfa, MA_CFA_RBP);
	assert_int_equal(ma_unwind_table_find(view, code + 0x18)->cfa, MA_CFA_RSP);
	assert_int_equal(ma_unwind_table_find(view, code + 0x19)->cfa, MA_CFA_RBP);
	assert_int_equal(ma_unwind_table_find(view, code + 0x4f)->cfa, MA_CFA_RBP);
	assert_int_equal(ma_unwind_table_find(view, code + 0x50)->cfa, MA_CFA_NONE);
	assert_int_equal(ma_unwind_table_find(view, code + 0x80)->cfa, MA_CFA_RSP);
	drop(&compiled);
	close(fd);
}

static void test_ends_and_what_rules_cannot_say(void **state)
{
	(void)state;
	struct unwind_elf elf;
	unwind_elf_begin(&elf, UNWIND_ELF_EH_FRAME);
	static const uint8_t outermost[] = {DW_CFA_undefined, 16};
	static const uint8_t in_rax[] = {DW_CFA_def_cfa_register, 0};
	static const uint8_t realigned[] = {
		DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78,        DW_OP_deref,
		DW_CFA_expression,         6, 2,           DW_OP_breg6, 0};
	static const uint8_t rbp_in_rdx[] = {DW_CFA_register, 6, 1};
	unwind_elf_function(&elf, 0, 0x10, outermost, sizeof outermost);
	unwind_elf_function(&elf, 0x10, 0x10, in_rax, sizeof in_rax);
	unwind_elf_function(&elf, 0x20, 0x10, realigned, sizeof realigned);
	unwind_elf_function(&elf, 0x30, 0x10, rbp_in_rdx, sizeof rbp_in_rdx);
	/* outside of the code: not believed */
	unwind_elf_function(&elf, UNWIND_ELF_CODE_BYTES, 0x10, NULL, 0);
	int fd = unwind_elf_end(&elf);
	struct compiled compiled;
	assert_int_equal(compile(&compiled, fd), 0);
	const struct ma_unwind_table_view *view = &compiled.view;
	uint64_t code = UNWIND_ELF_CODE;
	assert_int_equal(ma_unwind_table_find(view, code)->cfa, MA_CFA_END);
	assert_int_equal(ma_unwind_table_find(view, code + 0x10)->cfa, MA_CFA_UNSUPPORTED);
	assert_int_equal(ma_unwind_table_find(view, code + 0x20)->cfa, MA_CFA_RBP_DEREF);
	assert_int_equal(ma_unwind_table_find(view, code + 0x20)->cfa_offset, -8);
	assert_int_equal(ma_unwind_table_find(view, code + 0x20)->saved_rbp, -2);
	assert_int_equal(ma_unwind_table_find(view, code + 0x30)->saved_rbp, MA_UNWIND_RBP_LOST);
	assert_int_equal(view->head->unsupported, 1);
	assert_int_equal(view->head->skipped, 1);
	assert_null(ma_unwind_table_find(view, code + UNWIND_ELF_CODE_BYTES));
	drop(&compiled);
	close(fd);
}

static void test_debug_frame_alone(void **state)
{
	(void)state;
	struct unwind_elf elf;
	struct compiled compiled;
	static const uint8_t pushed[] = {0x41, DW_CFA_def_cfa_offset, 16};
	unwind_elf_begin(&elf, UNWIND_ELF_DEBUG_FRAME);
	unwind_elf_function(&elf, 0x10, 0x20, pushed, sizeof pushed);
	int fd = unwind_elf_end(&elf);
	assert_int_equal(compile(&compiled, fd), 0);
	assert_int_equal(compiled.view.head->functions, 1);
	assert_int_equal(ma_unwind_table_find(&compiled.view, UNWIND_ELF_CODE + 0x11)->cfa_offset,
			 16);
	drop(&compiled);
	close(fd);
}

static void test_files_that_say_nothing(void **state)
{
	(void)state;
	struct compiled compiled;
	struct unwind_elf elf;
	unwind_elf_begin(&elf, UNWIND_ELF_EH_FRAME);
	int fd = unwind_elf_end(&elf);
	assert_int_equal(compile(&compiled, fd), MA_ERR_PROTOCOL);
	drop(&compiled);
	/* cut short, at every place */
	off_t size = lseek(fd, 0, SEEK_END);
	for (off_t at = size - 1; at >= 0; at--) {
		assert_int_equal(ftruncate(fd, at), 0);
		assert_int_not_equal(compile(&compiled, fd), 0);
		drop(&compiled);
	}
	close(fd);
}

static void test_hash_is_of_the_content(void **state)
{
	(void)state;
	struct compiled compiled[3];
	static const uint8_t pushed[] = {0x41, DW_CFA_def_cfa_offset, 16};
	for (int i = 0; i < 3; i++) {
		struct unwind_elf elf;
		unwind_elf_begin(&elf, UNWIND_ELF_EH_FRAME);
		unwind_elf_function(&elf, i == 2 ? 0x20 : 0x10, 0x20, pushed, sizeof pushed);
		int fd = unwind_elf_end(&elf);
		assert_int_equal(compile(&compiled[i], fd), 0);
		close(fd);
	}
	const uint8_t *first = compiled[0].source.hash;
	assert_memory_equal(first, compiled[1].source.hash, MA_SHA256_BYTES);
	assert_memory_not_equal(first, compiled[2].source.hash, MA_SHA256_BYTES);
	assert_memory_equal(first, compiled[0].view.head->hash, MA_SHA256_BYTES);
	for (int i = 0; i < 3; i++)
		drop(&compiled[i]);
}

static void test_sha256(void **state)
{
	(void)state;
	/* FIPS 180-2, appendix B.2 */
	static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static const uint8_t expected[] = {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8,
					   0xe5, 0xc0, 0x26, 0x93, 0x0c, 0x3e, 0x60, 0x39,
					   0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff, 0x21, 0x67,
					   0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1};
	uint8_t digest[MA_SHA256_BYTES];
	for (size_t part = 1; part < sizeof text; part++) {
		struct ma_sha256 sha;
		ma_sha256_init(&sha);
		for (size_t at = 0; at < sizeof text - 1; at += part)
			ma_sha256_add(&sha, text + at,
				      at + part < sizeof text - 1 ? part : sizeof text - 1 - at);
		ma_sha256_finish(&sha, digest);
		assert_memory_equal(digest, expected, sizeof digest);
	}
}

static void test_bias(void **state)
{
	(void)state;
	struct ma_unwind_source source = {
		.code_count = 1, .code = {{.address = 0x2340, .offset = 0x1340, .bytes = 0x5000}}};
	uint64_t bias;
	assert_true(ma_unwind_source_bias(&source, 0x700001000, 0x1000, &bias));
	assert_int_equal(bias, 0x700001000 - 0x2000);
	assert_true(ma_unwind_source_bias(&source, 0x700003000, 0x3000, &bias));
	assert_int_equal(bias, 0x700001000 - 0x2000);
	assert_false(ma_unwind_source_bias(&source, 0x700000000, 0, &bias));
	assert_false(ma_unwind_source_bias(&source, 0x700000000, 0x7000, &bias));
}

/* Every byte of a table that is changed is noticed, and so is every length. */
static void test_changed_tables(void **state)
{
	(void)state;
	struct unwind_elf elf;
	struct compiled compiled;
	struct ma_unwind_table_view view;
	static const uint8_t pushed[] = {0x41, DW_CFA_def_cfa_offset, 16};
	unwind_elf_begin(&elf, UNWIND_ELF_EH_FRAME);
	unwind_elf_function(&elf, 0x10, 0x420, pushed, sizeof pushed);
	int fd = unwind_elf_end(&elf);
	assert_int_equal(compile(&compiled, fd), 0);
	close(fd);
	uint8_t *table = compiled.table;
	size_t bytes = compiled.view.head->bytes;
	for (size_t i = 0; i < bytes; i++) {
		table[i] ^= 1;
		assert_false(ma_unwind_table_open(&view, table, bytes));
		table[i] ^= 1;
		assert_false(ma_unwind_table_open(&view, table, i));
	}
	assert_true(ma_unwind_table_open(&view, table, bytes));
	drop(&compiled);
}

/* With arguments: compares those files and nothing else. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_bias),
		cmocka_unit_test(test_frames_made_by_hand),
		cmocka_unit_test(test_ends_and_what_rules_cannot_say),
		cmocka_unit_test(test_debug_frame_alone),
		cmocka_unit_test(test_files_that_say_nothing),
		cmocka_unit_test(test_hash_is_of_the_content),
		cmocka_unit_test(test_changed_tables),
		cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_libraries_that_are_loaded),
		cmocka_unit_test(test_libraries_of_this_machine),
	};
	for (int i = 1; i < argc; i++) {
		if (!compare_file(argv[i]))
			return 1;
	}
	return argc > 1 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
