/* SPDX-License-Identifier: MIT */
/*
 * What unwind tables cost: size, time to compile, time to find a table that was compiled before.
 *
 *     ma_bench_unwind_tables FILE...
 *
 * Times are of a processor, not of a clock on the wall, and medians of ROUNDS. "found" is what
 * every later attach pays: reading the file's unwind information, hashing it, reading the table
 * from the cache and checking it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/unwind_cache.h"
#include "daemon/unwind_child.h"
#include "daemon/unwind_compile.h"
#include "daemon/unwind_source.h"
#include "daemon/unwind_table.h"

enum { ROUNDS = 5 };

/* Milliseconds of each round. */
struct times {
	double compile[ROUNDS], child[ROUNDS], found[ROUNDS];
};

/* Processor time of this process and of the children that have ended. */
static double now_ms(void)
{
	struct rusage own, children;
	struct timeval total;
	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	timeradd(&own.ru_utime, &own.ru_stime, &total);
	timeradd(&total, &children.ru_utime, &total);
	timeradd(&total, &children.ru_stime, &total);
	return (double)total.tv_sec * 1e3 + (double)total.tv_usec / 1e3;
}

static int by_size(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return a < b ? -1 : a > b;
}

static double median(double *times)
{
	qsort(times, ROUNDS, sizeof *times, by_size);
	return times[ROUNDS / 2];
}

static int measure_round(int fd, struct ma_unwind_cache *cache, struct times *times, int round,
			 struct ma_error *error)
{
	static const bool stopping = false;
	struct ma_unwind_source source;
	void *table = NULL;
	size_t bytes;
	int code = ma_unwind_source_read(&source, fd, error);
	double start = now_ms();
	if (code == 0)
		code = ma_unwind_compile(&source, &table, &bytes, error);
	times->compile[round] = now_ms() - start;
	free(table);
	start = now_ms();
	if (code == 0)
		code = ma_unwind_child_compile(&source, &ma_unwind_limits, &stopping, &table,
					       &bytes, error);
	times->child[round] = now_ms() - start;
	if (code == 0) {
		ma_unwind_cache_store(cache, table, bytes);
		free(table);
		ma_unwind_source_fini(&source);
		start = now_ms();
		code = ma_unwind_source_read(&source, fd, error);
		table = ma_unwind_cache_load(cache, source.hash, &bytes);
		times->found[round] = now_ms() - start;
		free(table);
	}
	ma_unwind_source_fini(&source);
	return code;
}

static int measure(const char *path, struct ma_unwind_cache *cache)
{
	struct ma_unwind_source source;
	struct ma_unwind_table_view view;
	struct ma_error error;
	struct times times;
	size_t bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC), code = fd < 0 ? -1 : 0;
	for (int i = 0; i < ROUNDS && code == 0; i++)
		code = measure_round(fd, cache, &times, i, &error);
	if (code < 0) {
		fprintf(stderr, "%s: cannot be measured\n", path);
		return 1;
	}
	ma_unwind_source_read(&source, fd, &error);
	void *table = ma_unwind_cache_load(cache, source.hash, &bytes);
	if (table && ma_unwind_table_open(&view, table, bytes))
		printf("%-50.50s %7.2f MiB in  %7u functions %8u rows %5u rules %6.2f MiB out  "
		       "compiled %7.1f ms  in a child %7.1f ms  found %6.2f ms\n",
		       strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
		       (double)source.eh_frame.size / (1 << 20), view.head->functions,
		       view.head->row_count, view.head->rule_count, (double)bytes / (1 << 20),
		       median(times.compile), median(times.child), median(times.found));
	free(table);
	ma_unwind_source_fini(&source);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct ma_unwind_cache cache;
	int failed = 0;
	ma_unwind_cache_open(&cache);
	for (int i = 1; i < argc; i++)
		failed |= measure(argv[i], &cache);
	ma_unwind_cache_close(&cache);
	return failed;
}
