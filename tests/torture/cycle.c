/* SPDX-License-Identifier: MIT */
/*
 * Attaches to a process and detaches again, many times, and prints how long everything took and
 * whether anything is left: mappings of files with their protections, file descriptors, signal
 * masks.
 *
 *   cycle PID [--cycles N] [--exact] [--interval BYTES] [--vary] [--stay MS] [--gap MS] [--strict]
 *             [--quiet | --json]
 *
 * --vary goes through the modes: sampled at 64 KiB and at 1 KiB, in random windows of 0.2 ms, and
 * exact. --strict compares every
 * mapping, for a target that does nothing by itself. --json prints one line of JSON with the
 * figures instead, and leaves the comparison to others. Exit status 1 when an attach or a detach
 * failed or something was left.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "inject/attach.h"
#include "inject/clock.h"
#include "inject/hook/config.h"
#include "inject/maps.h"
#include "inject/procfs.h"
#include "proto/area.h"

enum { TEXT_BYTES = 1 << 20, WINDOW_NS = 200000 };

struct figures {
	const char *name;
	uint32_t *value;
	int count;
};

struct run {
	pid_t pid;
	int cycles;
	bool strict;
	bool quiet;
	bool vary;
	bool json;
	unsigned int stay_ms;
	unsigned int gap_ms;
	struct ma_attach_options options;
	struct figures running, attach_pause, detach_pause, attach_ms, detach_ms;
	uint64_t unsafe_points, proofs, lingering, took_over, samples, turns, tls_slots, prolonged;
	struct ma_error error; /* why the last cycle failed */
};

static void add(struct figures *figures, uint32_t value)
{
	figures->value[figures->count++] = value;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The value that a share of them, in percent, does not exceed. */
static uint32_t quantile(const struct figures *figures, int percent)
{
	int n = figures->count;

	if (!n)
		return 0;
	qsort(figures->value, (size_t)n, sizeof(figures->value[0]), by_value);
	return figures->value[(n - 1) * percent / 100];
}

static void print(const struct figures *figures)
{
	int n = figures->count;

	if (!n)
		return;
	qsort(figures->value, (size_t)n, sizeof(figures->value[0]), by_value);
	printf("%-16s min %6u  median %6u  p95 %6u  max %6u\n", figures->name, figures->value[0],
	       figures->value[n / 2], figures->value[n - 1 - n / 20], figures->value[n - 1]);
}

/* Appends a line to a text of TEXT_BYTES. */
__attribute__((format(printf, 2, 3))) static void line(char *text, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, TEXT_BYTES - used, format, args);
	va_end(args);
}

static void describe_maps(const struct run *run, char *text)
{
	struct ma_maps maps = {0};

	if (ma_maps_read(run->pid, &maps, NULL))
		line(text, "no maps\n");
	for (size_t i = 0; i < maps.count; i++) {
		const struct ma_map *map = &maps.map[i];

		/* What the program allocates by itself comes and goes. The thunk page stays. */
		if (strstr(map->name, MA_THUNK_MEMFD) || (!run->strict && map->name[0] != '/'))
			continue;
		line(text, "map %llx-%llx %c%c%c%c %llx %s\n", (unsigned long long)map->start,
		     (unsigned long long)map->end, map->protection & PROT_READ ? 'r' : '-',
		     map->protection & PROT_WRITE ? 'w' : '-',
		     map->protection & PROT_EXEC ? 'x' : '-', map->shared ? 's' : 'p',
		     (unsigned long long)map->offset_bytes, map->name);
	}
	ma_maps_fini(&maps);
}

static void describe_fds(const struct run *run, char *text)
{
	char path[300], link[300];
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", run->pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		ssize_t bytes;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", run->pid, entry->d_name);
		bytes = readlink(path, link, sizeof(link) - 1);
		link[bytes < 0 ? 0 : bytes] = '\0';
		/* Other files than ours come and go with the program. */
		if (run->strict || strstr(link, "memattach"))
			line(text, "fd %s %s\n", entry->d_name, link);
	}
	if (directory)
		closedir(directory);
}

static void describe_threads(const struct run *run, char *text)
{
	size_t count;
	pid_t *tids;

	if (ma_proc_tasks(run->pid, &tids, &count, NULL))
		return;
	for (size_t i = 0; i < count; i++) {
		struct ma_proc_status status;

		if (!ma_proc_status_read(run->pid, tids[i], &status, NULL) &&
		    (run->strict || tids[i] == run->pid))
			line(text, "thread %d blocked %llx tracer %d\n", tids[i],
			     (unsigned long long)status.signals_blocked, status.tracer);
	}
	free(tids);
}

static char *describe(const struct run *run)
{
	char *text = calloc(1, TEXT_BYTES);

	if (!text)
		exit(2);
	describe_maps(run, text);
	describe_fds(run, text);
	describe_threads(run, text);
	return text;
}

/* Prints the lines of a that b does not have. */
static int print_missing(const char *a, const char *b, char mark)
{
	int missing = 0;

	while (*a) {
		size_t length = strcspn(a, "\n") + 1;
		const char *found = memmem(b, strlen(b), a, length);

		if (!found) {
			printf("  %c %.*s", mark, (int)length, a);
			missing++;
		}
		a += length;
	}
	return missing;
}

static void print_error(struct run *run, const char *what, int cycle, const struct ma_error *error)
{
	run->error = *error;
	if (run->json)
		return;
	printf("cycle %d: %s: %s: %s%s%s %s\n", cycle, what, error->what, error->answer,
	       error->remedy[0] ? " / " : "", error->remedy,
	       error->sys_errno ? strerror(error->sys_errno) : "");
}

/* What a daemon does, fifty times as often: a window every 0.2 ms, with even chances. Ends in the
 * midst of one. */
static void turn_windows(struct run *run, struct ma_area *area)
{
	uint64_t end_ns = ma_clock_ns() + run->stay_ms * MA_NS_PER_MS;
	uint64_t seen = 0;

	for (uint32_t number = 1; ma_clock_ns() < end_ns; number++) {
		uint64_t window = MA_WINDOW(number, 1, random() & 1);
		uint64_t now = __atomic_load_n(&area->counters.window, __ATOMIC_RELAXED);

		run->turns += now != seen;
		seen = now;
		__atomic_store_n(&area->control.window, window, __ATOMIC_RELAXED);
		ma_clock_pause(WINDOW_NS);
	}
}

/* Lets the target run with the hook in it. */
static void stay(struct run *run, int area_fd)
{
	struct ma_area *area =
		mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, area_fd, 0);

	if (area == MAP_FAILED)
		return;
	if (run->vary && run->options.mode == MA_MODE_SAMPLED)
		turn_windows(run, area);
	else
		ma_clock_pause(run->stay_ms * MA_NS_PER_MS);
	run->samples += area->counters.samples;
	munmap(area, MA_AREA_SAMPLED_BYTES);
}

/* Every fourth time each allocation but the smallest, every eighth all of them. */
static void choose_mode(struct run *run, int number)
{
	if (!run->vary)
		return;
	run->options.mode = number % 8 == 7 ? MA_MODE_EXACT : MA_MODE_SAMPLED;
	run->options.interval_bytes = number % 4 == 2 ? 1024 : 65536;
}

static int cycle(struct run *run, int number)
{
	struct ma_attach_result attached;
	struct ma_detach_result detached;
	struct ma_error error = {0};
	uint64_t start = ma_clock_ns();

	choose_mode(run, number);
	if (ma_attach(run->pid, &run->options, &attached, &error)) {
		print_error(run, "attach", number, &error);
		return -1;
	}
	add(&run->attach_ms, (uint32_t)((ma_clock_ns() - start) / MA_NS_PER_US));
	add(&run->running, attached.hook_running_us);
	add(&run->attach_pause, attached.pause_us);
	run->unsafe_points += attached.unsafe_points;
	run->took_over += attached.took_over;
	run->tls_slots += attached.tls_slots;
	run->prolonged += strstr(attached.notice, "started over") != NULL;
	if (!run->quiet)
		printf("attached: running %u us, pause %u us, unsafe %u, slots %u, thread %d\n",
		       attached.hook_running_us, attached.pause_us, attached.unsafe_points,
		       attached.slots_patched, attached.boot_thread);
	stay(run, attached.area_fd);
	close(attached.area_fd);
	close(attached.pidfd);
	start = ma_clock_ns();
	if (ma_detach(run->pid, &detached, &error)) {
		print_error(run, "detach", number, &error);
		return -1;
	}
	add(&run->detach_ms, (uint32_t)((ma_clock_ns() - start) / MA_NS_PER_US));
	add(&run->detach_pause, detached.pause_us);
	run->proofs += detached.proofs;
	run->lingering += detached.lingering;
	run->prolonged += strstr(detached.notice, "started over") != NULL;
	if (!run->quiet)
		printf("detached: pause %u us, proofs %u, foreign slots %u, left %u, %s\n",
		       detached.pause_us, detached.proofs, detached.slots_foreign,
		       detached.bytes_left, detached.notice);
	return 0;
}

static struct figures figures(const char *name, int cycles)
{
	return (struct figures){name, calloc((size_t)cycles, sizeof(uint32_t)), 0};
}

static void print_json(struct run *run, int done)
{
	const struct {
		const char *name;
		struct figures *figures;
	} all[] = {{"running_us", &run->running},
		   {"attach_pause_us", &run->attach_pause},
		   {"proof_pause_us", &run->detach_pause},
		   {"attach_us", &run->attach_ms},
		   {"detach_us", &run->detach_ms}};

	printf("{\"cycles\": %d, \"unsafe_points\": %llu, \"proofs\": %llu, \"lingering\": %llu, "
	       "\"took_over\": %llu, \"samples\": %llu, \"turns\": %llu, \"prolonged\": %llu, "
	       "\"tls_slots\": %llu",
	       done, (unsigned long long)run->unsafe_points, (unsigned long long)run->proofs,
	       (unsigned long long)run->lingering, (unsigned long long)run->took_over,
	       (unsigned long long)run->samples, (unsigned long long)run->turns,
	       (unsigned long long)run->prolonged, (unsigned long long)run->tls_slots);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		printf(", \"%s\": {\"median\": %u, \"p95\": %u, \"max\": %u}", all[i].name,
		       quantile(all[i].figures, 50), quantile(all[i].figures, 95),
		       quantile(all[i].figures, 100));
	for (char *c = run->error.answer; *c; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = '\'';
	printf(", \"failed\": \"%s%s%s\"}\n", run->error.what, run->error.answer[0] ? ": " : "",
	       run->error.answer);
}

static int run_all(struct run *run)
{
	char *before, *after;
	int failed = 0;
	int done = 0;
	int left;

	run->running = figures("hook running us", run->cycles);
	run->attach_pause = figures("attach pause us", run->cycles);
	run->detach_pause = figures("proof pause us", run->cycles);
	run->attach_ms = figures("attach us", run->cycles);
	run->detach_ms = figures("detach us", run->cycles);
	before = run->json ? NULL : describe(run);
	for (; done < run->cycles && !failed; done++) {
		failed = cycle(run, done);
		ma_clock_pause(run->gap_ms * MA_NS_PER_MS);
	}
	if (run->json) {
		print_json(run, done - !!failed);
		return failed;
	}
	after = describe(run);
	printf("cycles %d of %d, unsafe points %llu, proofs %llu, lingering %llu, taken over %llu, "
	       "tp builds %llu, samples %llu\n",
	       done - !!failed, run->cycles, (unsigned long long)run->unsafe_points,
	       (unsigned long long)run->proofs, (unsigned long long)run->lingering,
	       (unsigned long long)run->took_over, (unsigned long long)run->tls_slots,
	       (unsigned long long)run->samples);
	print(&run->running);
	print(&run->attach_pause);
	print(&run->detach_pause);
	print(&run->attach_ms);
	print(&run->detach_ms);
	left = print_missing(before, after, '-') + print_missing(after, before, '+');
	printf("differences: %d\n", left);
	free(before);
	free(after);
	return failed || left || run->lingering;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"cycles", required_argument, NULL, 'c'},   {"exact", no_argument, NULL, 'e'},
		{"interval", required_argument, NULL, 'i'}, {"stay", required_argument, NULL, 's'},
		{"gap", required_argument, NULL, 'g'},      {"strict", no_argument, NULL, 'S'},
		{"quiet", no_argument, NULL, 'q'},          {"json", no_argument, NULL, 'j'},
		{"vary", no_argument, NULL, 'v'},           {NULL, 0, NULL, 0},
	};
	struct run run = {
		.cycles = 1,
		.stay_ms = 2,
		.options = {.mode = MA_MODE_SAMPLED, .interval_bytes = 65536},
	};
	int option;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			run.cycles = atoi(optarg);
			break;
		case 'e':
			run.options.mode = MA_MODE_EXACT;
			break;
		case 'i':
			run.options.interval_bytes = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 's':
			run.stay_ms = (unsigned int)atoi(optarg);
			break;
		case 'g':
			run.gap_ms = (unsigned int)atoi(optarg);
			break;
		case 'S':
			run.strict = true;
			break;
		case 'q':
			run.quiet = true;
			break;
		case 'j':
			run.quiet = run.json = true;
			break;
		case 'v':
			run.vary = true;
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: cycle PID [--cycles N] ...\n");
		return 2;
	}
	run.pid = atoi(argv[optind]);
	return run_all(&run) ? 1 : 0;
}
