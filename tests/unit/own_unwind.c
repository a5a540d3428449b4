/* SPDX-License-Identifier: MIT */
#include "own_unwind.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/unwind_area.h"
#include "daemon/unwind_compile.h"
#include "daemon/unwind_maps.h"
#include "daemon/unwind_source.h"

enum { MAPS_BYTES = 4 << 20 };

static struct ma_unwind_area_map map;

void own_give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static char *read_maps(void)
{
	char *text = malloc(MAPS_BYTES);
	size_t used = 0;
	ssize_t got;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	while (text && (got = read(fd, text + used, MAPS_BYTES - 1 - used)) > 0)
		used += (size_t)got;
	if (!text || !used)
		own_give_up("no maps");
	close(fd);
	text[used] = '\0';
	return text;
}

/* The table of one mapping, placed; 0: there is none to be had. */
static uint64_t place(const struct ma_unwind_mapped *mapped, uint64_t *bias)
{
	struct ma_unwind_source source = {0};
	struct ma_unwind_table_view view;
	uint64_t at = 0;
	size_t bytes;
	void *table;
	int fd;

	if (strcmp(mapped->path, "[vdso]") == 0) {
		fd = memfd_create("vdso", MFD_CLOEXEC);
		if (write(fd, (const void *)(uintptr_t)mapped->start, mapped->end - mapped->start) <
		    0)
			own_give_up("the vDSO cannot be copied");
	} else {
		fd = open(mapped->path, O_RDONLY | O_CLOEXEC);
	}
	if (fd >= 0 && !ma_unwind_source_read(&source, fd, NULL) &&
	    ma_unwind_source_bias(&source, mapped->start, mapped->offset, bias) &&
	    !ma_unwind_compile(&source, &table, &bytes, NULL)) {
		if (ma_unwind_table_open(&view, table, bytes))
			at = ma_unwind_area_place(&map, &view);
		free(table);
	}
	ma_unwind_source_fini(&source);
	if (fd >= 0)
		close(fd);
	return at;
}

void own_unwind_publish(uint64_t wanted_stack)
{
	static struct ma_unwind_module modules[MA_UNWIND_MODULES], known[MA_UNWIND_MODULES];
	static uint32_t count;
	const struct ma_unwind_maps_hints hints = {.stack = wanted_stack};
	struct ma_unwind_maps maps = {0};
	char *text = read_maps();

	if (!ma_unwind_maps_parse(&maps, text, &hints))
		own_give_up("the maps do not parse");
	memcpy(known, modules, count * sizeof *modules);
	for (uint32_t i = 0; i < maps.mapped_count; i++) {
		const struct ma_unwind_mapped *mapped = &maps.mapped[i];
		struct ma_unwind_module module = {
			.start = mapped->start, .end = mapped->end, .id = i + 1};
		uint32_t before = 0;

		while (before < count && known[before].start != mapped->start)
			before++;
		if (before < count) {
			module.bias = known[before].bias;
			module.table = known[before].table;
		} else {
			module.table = place(mapped, &module.bias);
		}
		modules[i] = module;
	}
	count = maps.mapped_count;
	ma_unwind_area_publish(&map, modules, count, maps.stacks, maps.stack_count);
	ma_unwind_maps_fini(&maps);
	free(text);
}

void own_unwind_prepare(struct ma_hook_config *config)
{
	int fd = memfd_create(MA_UNWIND_MEMFD, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *maps = read_maps(), *stack = strstr(maps, "[stack]");
	uint64_t start;
	void *hook;

	if (fd < 0 || ftruncate(fd, MA_UNWIND_BYTES))
		own_give_up("no memfd");
	hook = mmap(NULL, MA_UNWIND_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (hook == MAP_FAILED || ma_unwind_area_open(&map, fd, NULL))
		own_give_up("no unwind area");
	close(fd);
	while (stack && stack > maps && stack[-1] != '\n')
		stack--;
	if (!stack || sscanf(stack, "%lx-%lx", &start, &config->main_stack_end) != 2)
		own_give_up("no [stack]");
	config->unwind = (uint64_t)(uintptr_t)hook;
	config->unwind_bytes = MA_UNWIND_BYTES;
	own_unwind_publish(0);
	free(maps);
}

void own_unwind_forget(void)
{
	map.area->index[map.area->current - 1].sequence += 2;
}
