/* SPDX-License-Identifier: MIT */
/* The list of loaded objects: ours beside the loader's own view, and lists that a target made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "child_process.h"
#include "fake_memory.h"
#include "inject/link_map.h"
#include "inject/resolve.h"
#include "inject/thunk_page.h"

/* One process seen from outside, as far as these tests need it. */
struct seen {
	struct ma_target_memory memory;
	struct ma_maps maps;
	struct ma_proc_auxv auxv;
	struct ma_link_map map;
};

static int see(pid_t pid, struct seen *seen, struct ma_error *error)
{
	*seen = (struct seen){0};
	assert_int_equal(ma_memory_open(pid, &seen->memory, error), 0);
	assert_int_equal(ma_maps_read(pid, &seen->maps, error), 0);
	assert_int_equal(ma_proc_auxv_read(pid, &seen->auxv, error), 0);
	return ma_link_map_read(&seen->memory, &seen->auxv, &seen->maps, &seen->map, error);
}

static void forget(struct seen *seen)
{
	ma_link_map_fini(&seen->map);
	ma_maps_fini(&seen->maps);
	ma_memory_close(&seen->memory);
}

/* The loader's struct r_debug. The symbol _r_debug may be a copy in this program. */
static const struct r_debug *loaders_view(void)
{
	const ElfW(Dyn) *entry = _DYNAMIC;
	while (entry->d_tag != DT_DEBUG)
		entry++;
	return (const struct r_debug *)entry->d_un.d_ptr;
}

static void agrees_with_the_loader(void **state)
{
	(void)state;
	struct seen seen;
	struct ma_error error = {0};
	assert_int_equal(see(getpid(), &seen, &error), 0);
	size_t i = 0;
	assert_int_equal(seen.map.r_debug.value, (uintptr_t)loaders_view());
	for (struct link_map *entry = loaders_view()->r_map; entry; entry = entry->l_next, i++) {
		assert_true(i < seen.map.count);
		assert_int_equal(seen.map.object[i].entry.value, (uintptr_t)entry);
		assert_true(seen.map.object[i].usable);
		assert_int_equal(seen.map.object[i].module.bias, entry->l_addr);
		if (i)
			assert_string_equal(seen.map.object[i].module.path, entry->l_name);
	}
	assert_int_equal(i, seen.map.count);
	assert_non_null(strstr(seen.map.object[0].module.path, "test_look_link_map"));
	assert_true(seen.map.object[0].module.has_interpreter);
	assert_true(seen.map.consistent);
	assert_int_equal(seen.map.libc, MA_LIBC_GLIBC);
	assert_string_equal(seen.map.object[seen.map.libc_object].module.soname, "libc.so.6");
	assert_string_equal(seen.map.object[seen.map.loader].module.soname, "ld-linux-x86-64.so.2");
	const struct ma_link_object *us =
		ma_link_map_find(&seen.map, (uint64_t)(uintptr_t)ma_link_map_read);
	assert_ptr_equal(us, &seen.map.object[0]);
	assert_null(ma_link_map_find(&seen.map, 16));
	forget(&seen);
}

/* What the dynamic loader would bind a new reference to, interposers included. */
static void finds_what_the_loader_would_bind(void **state)
{
	(void)state;
	static const char *const names[MA_FN_SYMBOLS] = MA_FN_NAMES;
	struct seen seen;
	struct ma_resolved resolved;
	struct ma_error error = {0};
	assert_int_equal(see(getpid(), &seen, &error), 0);
	assert_int_equal(ma_resolve(&seen.memory, &seen.map, &resolved, &error), 0);
	for (size_t i = 0; i < MA_FN_SYMBOLS; i++) {
		void *bound = dlsym(RTLD_DEFAULT, names[i]);
		assert_int_equal(resolved.next[i].value, (uintptr_t)bound);
		if (!bound)
			assert_int_equal(resolved.next_object[i], SIZE_MAX);
		else
			assert_ptr_equal(&seen.map.object[resolved.next_object[i]],
					 ma_link_map_find(&seen.map, (uintptr_t)bound));
	}
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	for (enum ma_call call = 0; call < MA_CALL_COUNT; call++) {
		const struct ma_link_object *owner =
			ma_link_map_find(&seen.map, resolved.call[call].value);
		assert_non_null(owner);
		assert_int_equal(resolved.call[call].value,
				 (uintptr_t)dlsym(libc, ma_call_name(call)));
	}
	assert_false(resolved.internal_dlopen);
	dlclose(libc);
	forget(&seen);
}

/* A program at a fixed address that takes malloc's address holds its canonical PLT entry in its own
 * symbol table: no definition, and calling it would be calling back. */
static void a_canonical_plt_entry_is_no_definition(void **state)
{
	(void)state;
	const char *const argv[] = {MA_CANONICAL_PLT_PROGRAM, NULL};
	struct child child;
	struct seen seen;
	struct ma_resolved resolved;
	struct ma_error error = {0};
	char line[64];
	assert_int_equal(child_start(&child, NULL, argv), 0);
	uint64_t plt = strtoull(child_line(&child, line, sizeof line), NULL, 16);
	assert_int_equal(see(child.pid, &seen, &error), 0);
	assert_ptr_equal(ma_link_map_find(&seen.map, plt), &seen.map.object[0]);
	assert_int_equal(seen.map.object[0].module.bias, 0);
	assert_int_equal(ma_resolve(&seen.memory, &seen.map, &resolved, &error), 0);
	assert_int_equal(resolved.next_object[MA_FN_MALLOC], seen.map.libc_object);
	assert_true(resolved.next[MA_FN_MALLOC].value != plt);
	forget(&seen);
	child_end(&child);
}

static void an_interposed_allocator_comes_first(void **state)
{
	(void)state;
	const char *const argv[] = {MA_CANONICAL_PLT_PROGRAM, NULL};
	struct child child;
	struct seen seen;
	struct ma_resolved resolved;
	struct ma_error error = {0};
	char line[64];
	assert_int_equal(setenv("LD_PRELOAD", MA_INTERPOSER, 1), 0);
	int started = child_start(&child, NULL, argv);
	unsetenv("LD_PRELOAD");
	assert_int_equal(started, 0);
	child_line(&child, line, sizeof line);
	assert_int_equal(see(child.pid, &seen, &error), 0);
	assert_int_equal(ma_resolve(&seen.memory, &seen.map, &resolved, &error), 0);
	size_t owner = resolved.next_object[MA_FN_MALLOC];
	assert_non_null(strstr(seen.map.object[owner].module.path, "interposer"));
	assert_int_equal(resolved.next_object[MA_FN_FREE], owner);
	assert_int_equal(resolved.next_object[MA_FN_CALLOC], seen.map.libc_object);
	/* A wrapper of dlopen is passed on to by the program's calls, and not used by ours. */
	assert_int_equal(resolved.next_object[MA_FN_DLOPEN], owner);
	assert_ptr_equal(ma_link_map_find(&seen.map, resolved.call[MA_CALL_DLOPEN].value),
			 &seen.map.object[seen.map.libc_object]);
	forget(&seen);
	child_end(&child);
}

static void a_static_program_is_named_as_such(void **state)
{
	(void)state;
	const char *const argv[] = {MA_STATIC_PROGRAM, NULL};
	struct child child;
	struct seen seen;
	struct ma_error error = {0};
	char line[64];
	assert_int_equal(child_start(&child, NULL, argv), 0);
	child_line(&child, line, sizeof line);
	assert_int_equal(see(child.pid, &seen, &error), MA_ERR_NOT_PYTHON);
	assert_non_null(strstr(error.answer, "static"));
	forget(&seen);
	child_end(&child);
}

/* A made-up target: a module at a page boundary whose DT_DEBUG leads to a list behind it. */
enum { LIST_AT = FAKE_MODULE_BYTES, LIST_BYTES = 0x3000, WORLD_BYTES = LIST_AT + LIST_BYTES };
static uint8_t world[WORLD_BYTES];
static const uint64_t base = 0x7f1200000000;

static void put64(size_t at, uint64_t value)
{
	memcpy(world + at, &value, sizeof value);
}

/* Entry i of the list: bias, name, dynamic, next, previous. */
static size_t entry_at(size_t i)
{
	return LIST_AT + 0x100 + i * 0x40;
}

static void put_entry(size_t i, size_t count)
{
	size_t at = entry_at(i);
	put64(at, base);
	put64(at + 8, 0);
	put64(at + 16, base + 0x1100);
	put64(at + 24, i + 1 < count ? base + entry_at(i + 1) : 0);
	put64(at + 32, i ? base + entry_at(i - 1) : 0);
}

static int read_world(size_t size, struct ma_link_map *map, struct ma_error *error)
{
	struct fake_memory fake = {.bytes = world, .size = size, .base = base};
	struct ma_target_memory memory = fake_memory_open(&fake);
	struct ma_proc_auxv auxv = {.phdr = base + 0x40, .phdr_count = 5};
	struct ma_maps maps = {0};
	return ma_link_map_read(&memory, &auxv, &maps, map, error);
}

static void make_world(size_t count)
{
	memset(world, 0, sizeof world);
	struct fake_module parts = fake_module_write(world, base, FAKE_GNU_HASH, 1);
	put64(parts.dynamic + 9 * 16, DT_DEBUG);
	put64(parts.dynamic + 9 * 16 + 8, base + LIST_AT);
	put64(LIST_AT, 1); /* r_version */
	put64(LIST_AT + 8, base + entry_at(0));
	for (size_t i = 0; i < count; i++)
		put_entry(i, count);
}

static void reads_a_made_up_list(void **state)
{
	(void)state;
	struct ma_link_map map;
	make_world(20);
	assert_int_equal(read_world(sizeof world, &map, NULL), 0);
	assert_int_equal(map.count, 20);
	assert_true(map.consistent);
	assert_true(map.object[19].usable);
	assert_int_equal(map.libc, MA_LIBC_UNKNOWN);
	ma_link_map_fini(&map);
	make_world(20);
	put64(LIST_AT + 24, 1); /* r_state: an object is being added */
	assert_int_equal(read_world(sizeof world, &map, NULL), 0);
	assert_false(map.consistent);
	ma_link_map_fini(&map);
}

static void refuses_a_list_without_sense(void **state)
{
	(void)state;
	struct ma_link_map map;
	struct ma_error error = {0};
	make_world(5);
	put64(entry_at(4) + 24, base + entry_at(0)); /* a ring */
	assert_int_equal(read_world(sizeof world, &map, &error), MA_ERR_PROTOCOL);
	assert_non_null(strstr(error.answer, "point back"));
	ma_link_map_fini(&map);
	make_world(5);
	put64(entry_at(2) + 24, base + entry_at(2)); /* one that is its own successor */
	put64(entry_at(2) + 32, base + entry_at(2));
	assert_int_equal(read_world(sizeof world, &map, &error), MA_ERR_PROTOCOL);
	ma_link_map_fini(&map);
	make_world(1);
	put64(entry_at(0) + 24, base + entry_at(1)); /* endless, and consistent with itself */
	put64(entry_at(1) + 24, base + entry_at(1));
	put64(entry_at(1) + 32, base + entry_at(0));
	assert_int_equal(read_world(sizeof world, &map, &error), MA_ERR_PROTOCOL);
	ma_link_map_fini(&map);
	make_world(5);
	put64(entry_at(2) + 24, 0x1000); /* unreadable */
	assert_int_equal(read_world(sizeof world, &map, &error), MA_ERR_FAILED);
	assert_int_equal(error.address, 0x1000);
	ma_link_map_fini(&map);
	make_world(5);
	put64(LIST_AT, 0);
	assert_int_equal(read_world(sizeof world, &map, &error), MA_ERR_PROTOCOL);
	assert_non_null(strstr(error.answer, "not made it yet"));
	ma_link_map_fini(&map);
}

static void an_unreadable_object_stops_the_search(void **state)
{
	(void)state;
	struct ma_link_map map;
	struct ma_error error = {0};
	struct ma_symbol symbol;
	struct fake_memory fake = {.bytes = world, .size = sizeof world, .base = base};
	struct ma_target_memory memory = fake_memory_open(&fake);
	make_world(3);
	put64(entry_at(0), 0x5000); /* its bias leads nowhere */
	assert_int_equal(read_world(sizeof world, &map, NULL), 0);
	assert_false(map.object[0].usable);
	assert_int_equal(ma_link_map_symbol(&memory, &map, "alpha", 0, &symbol, NULL, &error),
			 MA_ERR_FAILED);
	size_t index = 99;
	assert_int_equal(ma_link_map_symbol(&memory, &map, "alpha", 1, &symbol, &index, &error), 1);
	assert_int_equal(index, 1);
	/* An IFUNC's value is its resolver: nobody may call it instead of the function. */
	assert_int_equal(ma_link_map_symbol(&memory, &map, "gamma", 1, &symbol, NULL, &error), 0);
	ma_link_map_fini(&map);
}

static void survives_a_world_that_ends_anywhere(void **state)
{
	(void)state;
	make_world(8);
	for (size_t size = 0; size <= WORLD_BYTES; size += 8) {
		struct ma_link_map map;
		int code = read_world(size, &map, NULL);
		assert_true(code <= 0 && code != MA_ERR_NO_PROCESS);
		ma_link_map_fini(&map);
	}
}

/* The thunk page: found by name, believed only with its magic. */
static void finds_the_thunk_page(void **state)
{
	(void)state;
	struct ma_target_memory self;
	struct ma_maps maps;
	struct ma_thunk_page page;
	struct ma_error error = {0};
	assert_int_equal(ma_memory_open(getpid(), &self, NULL), 0);
	assert_int_equal(ma_maps_read(getpid(), &maps, NULL), 0);
	assert_int_equal(ma_thunk_page_find(&self, &maps, &page, &error), 0);
	assert_false(page.found);
	ma_maps_fini(&maps);

	int fd = memfd_create(MA_THUNK_MEMFD, MFD_CLOEXEC);
	assert_true(fd >= 0 && ftruncate(fd, 8192) == 0);
	uint8_t *code = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	assert_true(code != MAP_FAILED);
	struct ma_thunk_data *data =
		mmap(code + 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 4096);
	assert_true(data != MAP_FAILED);
	assert_int_equal(ma_maps_read(getpid(), &maps, NULL), 0);
	assert_int_equal(ma_thunk_page_find(&self, &maps, &page, &error), MA_ERR_PROTOCOL);
	data->magic = MA_THUNK_MAGIC;
	data->state = MA_THUNKS_LINGERING;
	memset(data->release, 'x', sizeof data->release);
	assert_int_equal(ma_thunk_page_find(&self, &maps, &page, &error), 0);
	assert_true(page.found);
	assert_int_equal(page.code.value, (uintptr_t)code);
	assert_int_equal(page.data.value, (uintptr_t)data);
	assert_int_equal(page.content.state, MA_THUNKS_LINGERING);
	assert_int_equal(strlen(page.content.release), sizeof page.content.release - 1);
	munmap(data, 4096);
	ma_maps_fini(&maps);
	assert_int_equal(ma_maps_read(getpid(), &maps, NULL), 0);
	assert_int_equal(ma_thunk_page_find(&self, &maps, &page, &error), MA_ERR_PROTOCOL);
	munmap(code, 4096);
	close(fd);
	ma_maps_fini(&maps);
	ma_memory_close(&self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_loader),
		cmocka_unit_test(finds_what_the_loader_would_bind),
		cmocka_unit_test(a_canonical_plt_entry_is_no_definition),
		cmocka_unit_test(an_interposed_allocator_comes_first),
		cmocka_unit_test(a_static_program_is_named_as_such),
		cmocka_unit_test(reads_a_made_up_list),
		cmocka_unit_test(refuses_a_list_without_sense),
		cmocka_unit_test(an_unreadable_object_stops_the_search),
		cmocka_unit_test(survives_a_world_that_ends_anywhere),
		cmocka_unit_test(finds_the_thunk_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
