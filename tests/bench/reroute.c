/* SPDX-License-Identifier: MIT */
/*
 * Takes the hook out of an attached process's way, wholly or in part, so that one can measure what
 * is left. Words are stored from outside while the process runs, each by one aligned store.
 *
 *     ma_bench_reroute PID thunks FILE   every thunk leads to the definition behind it: the floor
 *     ma_bench_reroute PID frees FILE    what only allocates is reached without us; what frees or
 *                                        reallocates still passes the hook
 *     ma_bench_reroute PID back FILE     as it was, which FILE remembers; before detaching
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "inject/hook/config.h"
#include "proto/area.h"

/* The words of PyMemAllocatorEx: ctx, malloc, calloc, realloc, free (Include/cpython/pymem.h). */
enum { TABLE_MALLOC = 1 };

struct target {
	int pid;
	struct ma_thunk_data thunks;
	struct ma_area_ident ident;
};

static const enum ma_fn only_allocate[] = {
	MA_FN_MALLOC,   MA_FN_CALLOC, MA_FN_POSIX_MEMALIGN, MA_FN_ALIGNED_ALLOC,
	MA_FN_MEMALIGN, MA_FN_VALLOC, MA_FN_PVALLOC,
};

static int transfer(int pid, uint64_t address, void *bytes, size_t count, int write)
{
	struct iovec here = {bytes, count}, there = {(void *)(uintptr_t)address, count};
	ssize_t done = write ? process_vm_writev(pid, &here, 1, &there, 1, 0)
			     : process_vm_readv(pid, &here, 1, &there, 1, 0);

	if (done == (ssize_t)count)
		return 0;
	perror(write ? "writing to the process" : "reading from the process");
	return -1;
}

static int store(int pid, uint64_t address, uint64_t word)
{
	return transfer(pid, address, &word, sizeof word, 1);
}

/* Where the mapping of a memfd begins, 0 when there is none. */
static uint64_t mapping(int pid, const char *name)
{
	char path[64], line[512], wanted[64];
	uint64_t start = 0;
	FILE *maps;

	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	snprintf(wanted, sizeof wanted, "/memfd:%s ", name);
	maps = fopen(path, "r");
	while (maps && !start && fgets(line, sizeof line, maps))
		if (strstr(line, wanted))
			start = strtoull(line, NULL, 16);
	if (maps)
		fclose(maps);
	return start;
}

static int look(struct target *target, int pid)
{
	uint64_t area = mapping(pid, "memattach-area");

	target->pid = pid;
	if (!area) {
		fprintf(stderr, "%d is not attached\n", pid);
		return -1;
	}
	if (transfer(pid, area, &target->ident, sizeof target->ident, 0) < 0)
		return -1;
	return transfer(pid, target->ident.thunk_data, &target->thunks, sizeof target->thunks, 0);
}

static int set_target(const struct target *target, enum ma_fn fn, uint64_t word)
{
	uint64_t at = target->ident.thunk_data + offsetof(struct ma_thunk_data, target) + fn * 8;

	return word ? store(target->pid, at, word) : 0;
}

/* The words of a Python table that allocate: their thunks, or what is behind them. */
static int set_table(const struct target *target, uint64_t table, enum ma_fn first, int thunks)
{
	for (enum ma_fn fn = first; fn <= first + 1; fn++) {
		uint64_t word = thunks ? target->ident.thunk_code + fn * MA_THUNK_BYTES
				       : target->thunks.next[fn];
		uint64_t at = table + 8 * (TABLE_MALLOC + (fn - first));

		if (table && word && store(target->pid, at, word) < 0)
			return -1;
	}
	return 0;
}

static int set_tables(const struct target *target, int thunks)
{
	return set_table(target, target->ident.mem_table, MA_FN_MEM_MALLOC, thunks) < 0 ||
	       set_table(target, target->ident.obj_table, MA_FN_OBJ_MALLOC, thunks) < 0;
}

static int only_thunks(const struct target *target)
{
	int failed = 0;

	for (enum ma_fn fn = 0; fn < MA_FN_COUNT; fn++)
		failed |= set_target(target, fn, target->thunks.next[fn]);
	return failed;
}

static int only_frees(const struct target *target)
{
	int failed = set_tables(target, 0);

	for (size_t i = 0; i < sizeof only_allocate / sizeof only_allocate[0]; i++)
		failed |=
			set_target(target, only_allocate[i], target->thunks.next[only_allocate[i]]);
	return failed;
}

/* The entry points, as they were before the first change. */
static int remember(const struct target *target, const char *path)
{
	FILE *file = fopen(path, "w");
	int failed =
		!file || fwrite(target->thunks.target, sizeof target->thunks.target, 1, file) != 1;

	return file && fclose(file) ? 1 : failed;
}

static int go_back(struct target *target, const char *path)
{
	FILE *file = fopen(path, "r");
	uint64_t words[MA_FN_COUNT];
	int failed = !file || fread(words, sizeof words, 1, file) != 1;

	for (enum ma_fn fn = 0; fn < MA_FN_COUNT && !failed; fn++)
		failed |= set_target(target, fn, words[fn]);
	if (file)
		fclose(file);
	return failed ? failed : set_tables(target, 1);
}

int main(int count, char **arguments)
{
	struct target target;
	int failed = 1;

	if (count != 4) {
		fprintf(stderr, "usage: ma_bench_reroute PID thunks|frees|back FILE\n");
		return 2;
	}
	if (look(&target, atoi(arguments[1])) < 0)
		return 1;
	if (strcmp(arguments[2], "back") == 0)
		return go_back(&target, arguments[3]) != 0;
	if (remember(&target, arguments[3]))
		perror(arguments[3]);
	else if (strcmp(arguments[2], "thunks") == 0)
		failed = only_thunks(&target);
	else if (strcmp(arguments[2], "frees") == 0)
		failed = only_frees(&target);
	return failed != 0;
}
