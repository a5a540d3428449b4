/* SPDX-License-Identifier: MIT */
/*
 * A target whose whole memory is the input: its executable's ELF header is at the first byte. The
 * module, the list of loaded objects that it leads to, the interpreter and the functions that an
 * attach needs are looked for in it. Nothing may crash, and nothing may read without bound.
 */
#include <string.h>

#include "fake_memory.h"
#include "fuzz.h"
#include "inject/interpreter.h"
#include "inject/link_map.h"
#include "inject/resolve.h"

enum { BASE = 0x12340000, MOST_READS = 4000000 };

static void look_up(const struct ma_target_memory *memory, const struct ma_module *module)
{
	static const char *const names[] = {"alpha", "beta", "gamma", "malloc", "_r_debug", ""};
	MUST(module->segment_count > 0 && module->segment_count <= MA_MODULE_SEGMENTS);
	MUST(module->start <= module->base.value && module->base.value < module->end);
	MUST(strlen(module->build_id) < sizeof module->build_id);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct ma_symbol symbol;
		if (ma_module_symbol(memory, module, names[i], &symbol, NULL) != 1)
			continue;
		MUST(ma_module_segment(module, symbol.address.value, 0));
		MUST(strlen(symbol.version) < sizeof symbol.version);
	}
}

static void look_at_process(const struct ma_target_memory *memory)
{
	struct ma_proc_auxv auxv = {.phdr = BASE + 64, .phdr_count = 1, .interpreter_base = BASE};
	struct ma_maps maps = {0};
	struct ma_link_map map;
	struct ma_interpreter interpreter;
	struct ma_resolved resolved;
	struct ma_error error;
	int code = ma_link_map_read(memory, &auxv, &maps, &map, &error);
	MUST(code == 0 || error.code == code);
	MUST(map.count <= MA_LINK_MAP_MAX);
	/* A long list of one module takes long to search, which is no news. */
	if (code == 0 && map.count && map.count < 8) {
		if (ma_interpreter_find(memory, &map, &interpreter, &error) == 0)
			MUST(interpreter.layout.version == interpreter.version >> 16);
		ma_resolve(memory, &map, &resolved, &error);
	}
	ma_link_map_fini(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake_memory fake = {.bytes = (uint8_t *)(uintptr_t)data, .size = size, .base = BASE};
	struct ma_target_memory memory = fake_memory_open(&fake);
	struct ma_module module;
	struct ma_error error = {0};
	int code = ma_module_open(&memory, ma_raddr(BASE), &module, &error);
	MUST(code == 0 || error.code == code);
	if (code == 0)
		look_up(&memory, &module);
	look_at_process(&memory);
	MUST(fake.reads < MOST_READS);
	return 0;
}
