/* SPDX-License-Identifier: MIT */
/* The thread that looks up names, with its confined child: files of every kind, and bad ones. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "code_sample.h"
#include "daemon/symbol_worker.h"

enum { PATIENCE_MS = 60000 };

static const char *source_folder;

struct fixture {
	struct ma_code_sample sample;
	struct ma_symbol_worker worker;
};

static int setup(void **state)
{
	static struct fixture fixture;
	ma_code_sample_init(&fixture.sample, source_folder);
	assert_int_equal(ma_symbol_worker_start(&fixture.worker, NULL), 0);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	ma_symbol_worker_stop(&fixture->worker);
	ma_code_sample_fini(&fixture->sample);
	return 0;
}

static struct ma_symbol_job *make_job(const struct fixture *fixture, const char *library,
				      uint32_t file)
{
	struct ma_symbol_job *job = calloc(1, sizeof *job);
	char path[256];
	assert_non_null(job);
	snprintf(path, sizeof path, "%s/%s", fixture->sample.folder, library);
	job->file = file;
	job->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(job->fd >= 0);
	/* The folder is the target's root, and the library lies in the top of it. */
	job->root_fd = open(fixture->sample.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof path, "/%s", library);
	job->path = strdup(path);
	return job;
}

static struct ma_symbol_job *do_job(struct fixture *fixture, struct ma_symbol_job *job)
{
	struct pollfd done = {.fd = fixture->worker.base.done_fd, .events = POLLIN};
	ma_symbol_worker_submit(&fixture->worker, job);
	for (;;) {
		assert_int_equal(poll(&done, 1, PATIENCE_MS), 1);
		struct ma_symbol_job *taken = ma_symbol_worker_take(&fixture->worker);
		if (taken) {
			assert_ptr_equal(taken, job);
			return taken;
		}
	}
}

static const char *text(const struct ma_symbol_place *place, uint32_t at)
{
	return at ? place->text + at : NULL;
}

static const struct ma_symbol_line *own_line(const struct ma_symbol_place *place)
{
	return place && place->count ? &place->line[place->count - 1] : NULL;
}

/* Addresses all through a function; is there one where `inner` is compiled into it? */
static bool finds_inlined(struct fixture *fixture, const char *library, const char *symbol,
			  const char *unstripped, uint32_t file, const char *inner)
{
	struct ma_symbol_job *job = make_job(fixture, library, file);
	uint64_t start, end;
	bool found = false;
	assert_true(ma_code_sample_symbol(&fixture->sample, unstripped, symbol, &start, &end));
	for (uint64_t at = start; at < end && job->count < MA_SYMBOL_BATCH; at++)
		job->address[job->count++] = at;
	job = do_job(fixture, job);
	for (uint32_t i = 0; i < job->count; i++) {
		const struct ma_symbol_place *place = job->place[i];
		assert_non_null(place);
		if (place->count > 1 && strcmp(text(place, place->line[0].function), inner) == 0) {
			assert_true(place->line[0].line > 0);
			assert_non_null(text(place, place->line[0].file));
			found = true;
		}
	}
	ma_symbol_job_destroy(job);
	return found;
}

/* The name of the first address of a function, as looked up in a library; "" = none. */
static void first_name(struct fixture *fixture, const char *library, const char *symbol,
		       const char *unstripped, uint32_t file, char name[64])
{
	struct ma_symbol_job *job = make_job(fixture, library, file);
	uint64_t end;
	assert_true(ma_code_sample_symbol(&fixture->sample, unstripped, symbol, &job->address[0],
					  &end));
	job->count = 1;
	job = do_job(fixture, job);
	const struct ma_symbol_line *line = own_line(job->place[0]);
	snprintf(name, 64, "%s", line ? text(job->place[0], line->function) : "");
	ma_symbol_job_destroy(job);
}

/* Stands for the servers: they have what is in the folder "server", under its build-id. */
struct servers {
	const struct fixture *fixture;
	int questions;
	bool broken;
	uint32_t silent_ms; /* before they answer */
};

static struct servers servers;

static int ask_servers(struct ma_debuginfod *debuginfod, const struct ma_debuginfod_ask *ask,
		       int *fd, struct ma_error *error)
{
	char path[256];
	(void)debuginfod;
	servers.questions++;
	assert_string_equal(ask->servers, "somewhere");
	poll(NULL, 0, (int)servers.silent_ms);
	int at = snprintf(path, sizeof path, "%s/server/", servers.fixture->sample.folder);
	for (uint32_t i = 0; i < ask->build_id_bytes; i++)
		at += snprintf(path + at, sizeof path - (size_t)at, "%02x", ask->build_id[i]);
	*fd = servers.broken ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!servers.broken)
		return 0;
	ma_error_set(error, MA_ERR_FAILED, 0, "asking");
	ma_error_answer(error, "they are out");
	return MA_ERR_FAILED;
}

/* As finds_inlined, of bare.so, for a job with servers; *fetched: what became of the questions. */
static bool finds_with_servers(struct fixture *fixture, uint32_t file,
			       struct ma_symbol_fetched *fetched)
{
	struct ma_symbol_job *job = make_job(fixture, "bare.so", file);
	uint64_t start, end;
	bool found = false;
	job->servers = strdup("somewhere");
	assert_true(ma_code_sample_symbol(&fixture->sample, "c.so", "sample_outer", &start, &end));
	for (uint64_t at = start; at < end && job->count < MA_SYMBOL_BATCH; at++)
		job->address[job->count++] = at;
	job = do_job(fixture, job);
	for (uint32_t i = 0; i < job->count; i++)
		found |= job->place[i] && job->place[i]->count > 1;
	*fetched = job->fetched;
	ma_symbol_job_destroy(job);
	return found;
}

#define BUILD "cc -g -O2 -fPIC -shared -Wl,--build-id=sha1 $S/code_place_sample.c -o c.so && "

static void test_own_information(void **state)
{
	struct fixture *fixture = *state;
	assert_true(ma_code_sample_run(&fixture->sample, BUILD "true"));
	assert_true(finds_inlined(fixture, "c.so", "sample_outer", "c.so", 1, "grab"));
}

static void test_by_build_id(void **state)
{
	struct fixture *fixture = *state;
	assert_true(ma_code_sample_run(
		&fixture->sample,
		BUILD "strip c.so -o bare.so && "
		      "id=$(readelf -n c.so | sed -n 's/.*Build ID: //p') && "
		      "d=usr/lib/debug/.build-id/$(echo $id | cut -c1-2) && mkdir -p $d && "
		      "objcopy --only-keep-debug c.so $d/$(echo $id | cut -c3-).debug"));
	assert_true(finds_inlined(fixture, "bare.so", "sample_outer", "c.so", 1, "grab"));
}

static void test_by_link(void **state)
{
	struct fixture *fixture = *state;
	static const char *const folders[] = {".", ".debug", "usr/lib/debug"};
	for (uint32_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		assert_true(ma_code_sample_run(
			&fixture->sample,
			"rm -rf ./* .debug && cc -g -O2 -fPIC -shared -Wl,--build-id=none "
			"$S/code_place_sample.c -o c.so && mkdir -p %s && "
			"objcopy --only-keep-debug c.so %s/c.debug && "
			"strip c.so -o bare.so && objcopy --add-gnu-debuglink=%s/c.debug bare.so",
			folders[i], folders[i], folders[i]));
		assert_true(finds_inlined(fixture, "bare.so", "sample_outer", "c.so", i, "grab"));
	}
}

/* A debug file is believed only when it is the right one. */
static void test_wrong_debug_file(void **state)
{
	struct fixture *fixture = *state;
	assert_true(ma_code_sample_run(
		&fixture->sample, BUILD
		"strip c.so -o bare.so && "
		"id=$(readelf -n c.so | sed -n 's/.*Build ID: //p') && "
		"d=usr/lib/debug/.build-id/$(echo $id | cut -c1-2) && mkdir -p $d && "
		"cc -g -O0 -fPIC -shared -Wl,--build-id=sha1 $S/code_place_sample.c -o o.so && "
		"cp o.so $d/$(echo $id | cut -c3-).debug"));
	assert_false(finds_inlined(fixture, "bare.so", "sample_outer", "c.so", 1, "grab"));
	assert_true(ma_code_sample_run(
		&fixture->sample,
		"rm -rf ./* && cc -g -O2 -fPIC -shared -Wl,--build-id=none "
		"$S/code_place_sample.c -o c.so && objcopy --only-keep-debug c.so c.debug && "
		"strip c.so -o bare.so && objcopy --add-gnu-debuglink=c.debug bare.so && "
		"printf x >>c.debug"));
	assert_false(finds_inlined(fixture, "bare.so", "sample_outer", "c.so", 2, "grab"));
}

#define SERVED                                                                                     \
	BUILD "strip c.so -o bare.so && mkdir server && id=$(readelf -n c.so | "                   \
	      "sed -n 's/.*Build ID: //p') && objcopy --only-keep-debug c.so server/$id"

/* Servers are asked where there is no file here, once, and only for those who want it. */
static void test_from_servers(void **state)
{
	struct fixture *fixture = *state;
	struct ma_symbol_fetched fetched;
	servers = (struct servers){.fixture = fixture};
	fixture->worker.fetch.open = ask_servers;
	assert_true(ma_code_sample_run(&fixture->sample, SERVED));
	assert_false(finds_inlined(fixture, "bare.so", "sample_outer", "c.so", 1, "grab"));
	assert_int_equal(servers.questions, 0);
	/* Longer than a batch may take: the child does not pay for it. */
	fixture->worker.timeout_ms = 2000;
	servers.silent_ms = 2500;
	assert_true(finds_with_servers(fixture, 2, &fetched));
	assert_int_equal(servers.questions, 1);
	assert_int_equal(fetched.asked, 1);
	assert_int_equal(fetched.failed, 0);
	/* What is not the right file is not believed, and not asked for again. */
	servers.silent_ms = 0;
	assert_true(ma_code_sample_run(&fixture->sample,
				       "for file in server/*; do cp bare.so $file; done && "
				       "strip -R .note.gnu.build-id server/*"));
	assert_false(finds_with_servers(fixture, 3, &fetched));
	assert_int_equal(servers.questions, 2);
	assert_true(ma_code_sample_run(&fixture->sample, "rm server/*"));
	assert_false(finds_with_servers(fixture, 4, &fetched));
	assert_int_equal(servers.questions, 3);
	assert_int_equal(fetched.failed, 0);
}

/* Servers that fail are counted, and left in peace for a while. */
static void test_broken_servers(void **state)
{
	struct fixture *fixture = *state;
	struct ma_symbol_fetched fetched;
	servers = (struct servers){.fixture = fixture, .broken = true};
	fixture->worker.fetch.open = ask_servers;
	assert_true(ma_code_sample_run(&fixture->sample, SERVED));
	for (uint32_t file = 1; file < 4; file++) {
		assert_false(finds_with_servers(fixture, file, &fetched));
		assert_int_equal(servers.questions, 1);
		assert_int_equal(fetched.asked, 1);
		assert_int_equal(fetched.failed, 1);
		assert_string_equal(fetched.answer, "they are out");
	}
	servers.broken = false;
	fixture->worker.fetch.quiet_until_ms = 0;
	assert_true(finds_with_servers(fixture, 4, &fetched));
	assert_int_equal(servers.questions, 2);
	assert_int_equal(fetched.failed, 0);
}

/* Static functions of a stripped library, from .gnu_debugdata. */
static void test_minisymbols(void **state)
{
	struct fixture *fixture = *state;
	char name[64];
	assert_true(ma_code_sample_run(
		&fixture->sample,
		"echo 'static __attribute__((noinline)) int hidden_one(int a) { __asm__(\"\"); "
		"return a; } int shown(int a) { return hidden_one(a) + 1; }' >m.c && "
		"cc -O1 -fPIC -shared m.c -o m.so && nm m.so | sed -n 's/.* t //p' >keep && "
		"objcopy --strip-all --keep-symbols=keep m.so mini.o && xz -k mini.o && "
		"strip m.so -o bare.so && cp bare.so with.so && "
		"objcopy --add-section .gnu_debugdata=mini.o.xz with.so"));
	first_name(fixture, "bare.so", "hidden_one", "m.so", 1, name);
	assert_string_equal(name, "");
	first_name(fixture, "with.so", "hidden_one", "m.so", 2, name);
	assert_string_equal(name, "hidden_one");
}

/* Files that are none, or break off, or lie about themselves: no names, no harm, and the next one
 * is read as ever. */
static void test_bad_files(void **state)
{
	struct fixture *fixture = *state;
	static const char *const spoilings[] = {
		": >bad.so",
		"head -c 100 /dev/zero >bad.so",
		"head -c 64 c.so >bad.so",
		"head -c 3000 c.so >bad.so",
		"{ head -c 40 c.so; head -c 24 /dev/zero; tail -c +65 c.so; } >bad.so",
		"{ head -c 2000 c.so; tail -c +2001 c.so | tr '\\0-\\40' '\\377'; } >bad.so",
	};
	assert_true(ma_code_sample_run(&fixture->sample, BUILD "true"));
	for (uint32_t i = 0; i < sizeof spoilings / sizeof spoilings[0]; i++) {
		assert_true(ma_code_sample_run(&fixture->sample, "%s", spoilings[i]));
		struct ma_symbol_job *job = make_job(fixture, "bad.so", 10 + i);
		for (job->count = 0; job->count < MA_SYMBOL_BATCH; job->count++)
			job->address[job->count] = job->count * UINT64_C(97);
		ma_symbol_job_destroy(do_job(fixture, job));
	}
	assert_true(finds_inlined(fixture, "c.so", "sample_outer", "c.so", 1, "grab"));
}

/* A child that ends in the middle is replaced; one that takes too long is too. */
static void test_child_trouble(void **state)
{
	struct fixture *fixture = *state;
	char name[64];
	assert_true(ma_code_sample_run(&fixture->sample, BUILD "true"));
	first_name(fixture, "c.so", "sample_outer", "c.so", 1, name);
	assert_string_equal(name, "sample_outer");
	assert_int_not_equal(fixture->worker.child.pid, 0);
	kill(fixture->worker.child.pid, SIGKILL);
	first_name(fixture, "c.so", "sample_before", "c.so", 1, name);
	assert_string_equal(name, "sample_before");
	kill(fixture->worker.child.pid, SIGSTOP);
	fixture->worker.timeout_ms = 1000;
	first_name(fixture, "c.so", "sample_after", "c.so", 1, name);
	assert_string_equal(name, "sample_after");
}

/* A file that is always too much has no names, one whose debug information is has no lines; both
 * are said. */
static void test_what_is_lost(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end;
	assert_true(ma_code_sample_run(&fixture->sample, BUILD "true"));
	for (uint32_t file = 1; file < 4; file++) {
		struct ma_symbol_job *job = make_job(fixture, "c.so", file);
		assert_true(ma_code_sample_symbol(&fixture->sample, "c.so", "sample_outer",
						  &job->address[0], &end));
		job->count = 1;
		fixture->worker.timeout_ms = file == 1 ? 0 : PATIENCE_MS;
		if (file == 2)
			fixture->worker.troubles[fixture->worker.trouble_count++] =
				(struct ma_symbol_trouble){.file = file, .times = 2};
		job = do_job(fixture, job);
		const struct ma_symbol_line *line = own_line(job->place[0]);
		static const enum ma_symbol_lost lost[] = {
			MA_SYMBOL_LOST_NAMES, MA_SYMBOL_LOST_LINES, MA_SYMBOL_LOST_NOTHING};
		assert_int_equal(job->lost, lost[file - 1]);
		assert_int_equal(line != NULL, file > 1);
		assert_int_equal(line && line->line > 0, file > 2);
		ma_symbol_job_destroy(job);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own_information, setup, teardown),
		cmocka_unit_test_setup_teardown(test_by_build_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_by_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_debug_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_minisymbols, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_lost, setup, teardown),
	};
	source_folder = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
