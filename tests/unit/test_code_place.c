/* SPDX-License-Identifier: MIT */
/* Names and lines of code in C, C++ and Rust, as compilers of this machine make them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "code_sample.h"
#include "proto/code_place.h"
#include "proto/code_x86_64.h"

static const char *source_folder;

static int no_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
		   char **file_name, Elf **elf)
{
	(void)module, (void)userdata, (void)name, (void)base, (void)file_name, (void)elf;
	return -1;
}

static int no_debug_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			 const char *file, const char *link, GElf_Word checksum, char **found)
{
	(void)module, (void)userdata, (void)name, (void)base;
	(void)file, (void)link, (void)checksum, (void)found;
	return -1;
}

struct opened {
	struct ma_code_sample sample;
	Dwfl *dwfl;
	Dwfl_Module *module;
	struct ma_code_names *names;
	const struct ma_code_place *place;
};

static int setup(void **state)
{
	static struct opened opened;
	ma_code_sample_init(&opened.sample, source_folder);
	opened.dwfl = NULL;
	opened.names = NULL;
	*state = &opened;
	return 0;
}

static void close_library(struct opened *opened)
{
	ma_code_names_destroy(opened->names);
	if (opened->dwfl)
		dwfl_end(opened->dwfl);
	opened->names = NULL;
	opened->dwfl = NULL;
}

static int teardown(void **state)
{
	struct opened *opened = *state;
	close_library(opened);
	ma_code_sample_fini(&opened->sample);
	return 0;
}

static void open_library(struct opened *opened, const char *library)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = no_file,
						 .find_debuginfo = no_debug_file};
	char path[256];
	snprintf(path, sizeof path, "%s/%s", opened->sample.folder, library);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	opened->dwfl = dwfl_begin(&callbacks);
	dwfl_report_begin(opened->dwfl);
	opened->module = dwfl_report_elf(opened->dwfl, library, path, fd, 0, true);
	assert_non_null(opened->module);
	opened->names = ma_code_names_create(true);
	dwfl_report_end(opened->dwfl, NULL, NULL);
}

static void look(struct opened *opened, uint64_t address)
{
	opened->place = ma_code_names_find(opened->names, opened->module, address);
}

/* Looks for an address of a function where `inner`, at its line, is compiled into the one that
 * stands behind it. */
static bool find_inlined(struct opened *opened, const char *library, const char *symbol,
			 const char *inner, int inner_line, const char *outer, int outer_line)
{
	const struct ma_code_place *place;
	uint64_t start, end;
	assert_true(ma_code_sample_symbol(&opened->sample, library, symbol, &start, &end));
	for (uint64_t at = start; at < end; at++) {
		look(opened, at);
		place = opened->place;
		assert_true(place->count > 0);
		assert_string_equal(place->line[place->count - 1].function, outer);
		if (place->count == 2 && strcmp(place->line[0].function, inner) == 0 &&
		    place->line[0].line == inner_line && place->line[1].line == outer_line) {
			assert_non_null(strstr(place->line[0].file, "code_place_sample."));
			return true;
		}
	}
	return false;
}

static void test_c(void **state)
{
	struct opened *opened = *state;
	int inner = ma_code_sample_line(&opened->sample, "code_place_sample.c", "inner");
	int outer = ma_code_sample_line(&opened->sample, "code_place_sample.c", "outer");
	assert_true(ma_code_sample_run(&opened->sample,
				       "cc -g -O2 -fPIC -shared $S/code_place_sample.c -o c.so"));
	open_library(opened, "c.so");
	assert_true(
		find_inlined(opened, "c.so", "sample_outer", "grab", inner, "sample_outer", outer));
	assert_null(opened->place->line[0].linkage);
	assert_int_equal(opened->place->line[0].first_line, inner - 2);
	assert_int_equal(opened->place->line[1].first_line, outer - 2);
}

/* Where no symbol covers the code there is no name, not even that of the one next to it. */
static void test_no_neighbour(void **state)
{
	struct opened *opened = *state;
	uint64_t before, before_end, after, after_end;
	assert_true(ma_code_sample_run(
		&opened->sample, "cc -O2 -fPIC -shared -s $S/code_place_sample.c -o bare.so"));
	open_library(opened, "bare.so");
	assert_true(ma_code_sample_symbol(&opened->sample, "bare.so", "sample_before", &before,
					  &before_end));
	assert_true(ma_code_sample_symbol(&opened->sample, "bare.so", "sample_after", &after,
					  &after_end));
	assert_true(after - before_end >= 64);
	look(opened, before);
	assert_int_equal(opened->place->count, 1);
	assert_string_equal(opened->place->line[0].function, "sample_before");
	assert_null(opened->place->line[0].file);
	for (uint64_t at = before_end; at < after; at++) {
		look(opened, at);
		assert_int_equal(opened->place->count, 0);
	}
}

static void test_cxx(void **state)
{
	struct opened *opened = *state;
	if (!ma_code_sample_run(&opened->sample,
				"c++ -g -O2 -fPIC -shared $S/code_place_sample.cc -o cxx.so")) {
		print_message("no C++ compiler here: not tested\n");
		skip();
	}
	open_library(opened, "cxx.so");
	assert_true(find_inlined(
		opened, "cxx.so", "4fill", "sample::Table<double>::grow",
		ma_code_sample_line(&opened->sample, "code_place_sample.cc", "inner"),
		"sample::Table<double>::fill",
		ma_code_sample_line(&opened->sample, "code_place_sample.cc", "outer")));
	assert_string_equal(opened->place->line[1].linkage, "_ZN6sample5TableIdE4fillEm");
}

static void test_rust(void **state)
{
	struct opened *opened = *state;
	static const char *const manglings[] = {"legacy", "v0"};
	int inner = ma_code_sample_line(&opened->sample, "code_place_sample.rs", "inner");
	if (!ma_code_sample_run(&opened->sample, "rustc --version")) {
		print_message("no Rust compiler here: not tested\n");
		skip();
	}
	for (size_t i = 0; i < sizeof manglings / sizeof manglings[0]; i++) {
		uint64_t start, end;
		bool found = false;
		if (!ma_code_sample_run(&opened->sample,
					"rustc -g -O --crate-type cdylib -C "
					"symbol-mangling-version=%s $S/code_place_sample.rs -o "
					"rust%zu.so",
					manglings[i], i)) {
			print_message("this rustc does not know mangling %s\n", manglings[i]);
			continue;
		}
		char library[16];
		snprintf(library, sizeof library, "rust%zu.so", i);
		open_library(opened, library);
		assert_true(ma_code_sample_symbol(&opened->sample, library, "5shelf5stack", &start,
						  &end));
		for (uint64_t at = start; at < end && !found; at++) {
			look(opened, at);
			const struct ma_code_line *own =
				&opened->place->line[opened->place->count - 1];
			assert_true(opened->place->count > 0);
			assert_non_null(strstr(own->function, "shelf::stack"));
			assert_non_null(own->linkage);
			found = own->line == inner;
		}
		assert_true(found);
		close_library(opened);
	}
}

static void test_plt(void **state)
{
	struct opened *opened = *state;
	static const char *const styles[] = {"-fcf-protection=none -Wl,-z,lazy",
					     "-fcf-protection=full -Wl,-z,lazy", "-Wl,-z,now"};
	for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++) {
		char library[16];
		unsigned found = 0;
		snprintf(library, sizeof library, "plt%zu.so", i);
		assert_true(ma_code_sample_run(
			&opened->sample,
			"cc -O2 -fPIC -shared %s -s $S/code_place_sample.c -o %s && "
			"objdump -h %s | awk '$2 ~ /^\\.plt/ {print $4, $3}' >sections",
			styles[i], library, library));
		open_library(opened, library);
		char path[128];
		unsigned long start, bytes;
		snprintf(path, sizeof path, "%s/sections", opened->sample.folder);
		FILE *sections = fopen(path, "r");
		assert_non_null(sections);
		while (fscanf(sections, "%lx %lx", &start, &bytes) == 2)
			for (unsigned long at = start; at < start + bytes; at += 4) {
				look(opened, at);
				found += opened->place->count == 1 &&
					 strcmp(opened->place->line[0].function, "malloc@plt") == 0;
			}
		fclose(sections);
		/* Every fourth byte of an entry. */
		assert_true(found >= 4);
		close_library(opened);
	}
}

static void test_demangle(void **state)
{
	(void)state;
	static const struct {
		const char *mangled, *name;
	} cases[] = {
		{"_ZN3foo3barEi", "foo::bar"},
		{"_Znwm", "operator new"},
		{"_ZnamRKSt9nothrow_t", "operator new[]"},
		{"_ZNSt6vectorIiSaIiEE9push_backERKi",
		 "std::vector<int, std::allocator<int> >::push_back"},
		{"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"},
		{"_RNvC6_123foo3bar", "123foo::bar"},
	};
	char name[MA_CODE_NAME_BYTES];
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(ma_code_demangle(cases[i].mangled, name, sizeof name));
		assert_string_equal(name, cases[i].name);
	}
	assert_false(ma_code_demangle("malloc", name, sizeof name));
	assert_false(ma_code_demangle("_Z", name, sizeof name));
	assert_false(ma_code_demangle("", name, sizeof name));
	assert_true(ma_code_demangle("_ZN3foo3barEi", name, 6));
	assert_string_equal(name, "fo...");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_c, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_neighbour, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cxx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rust, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plt, setup, teardown),
		cmocka_unit_test(test_demangle),
	};
	source_folder = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
