/* SPDX-License-Identifier: MIT */
/*
 * The first screen as it looks: golden texts at 60 and 200 columns, and what must hold at any
 * width. With an argument the program prints the screen at that width instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <time.h>

#include "cli/display.h"
#include "cli/summary_json.h"
#include "cli/summary_view.h"
#include "cli_profile.h"
#include "proto/area.h"

#define MIB 1048576.0

static const struct cli_sample usual[] = {
	{.frames = {"Cache.put|/srv/app/cache.py|88", "handle|/srv/app/views.py|41",
		    "Flask.__call__|/usr/lib/python3/dist-packages/flask/app.py|2088"},
	 .held = 28.1 * MIB,
	 .live = 28.4 * MIB,
	 .peak = 20 * MIB,
	 .allocated = 30 * MIB,
	 .count = 412000,
	 .variance = 1.8e12},
	{.frames = {"Cache.put|/srv/app/cache.py|88", "warm|/srv/app/warm.py|12"},
	 .held = 1 * MIB,
	 .live = 1.1 * MIB,
	 .peak = 0.2 * MIB,
	 .allocated = 2 * MIB,
	 .count = 4120,
	 .variance = 7e10},
	{.frames = {"JSONDecoder.raw_decode|/usr/lib/python3.11/json/decoder.py|353",
		    "JSONDecoder.decode|/usr/lib/python3.11/json/decoder.py|337",
		    "loads|/usr/lib/python3.11/json/__init__.py|346",
		    "load_orders|/srv/app/orders.py|7"},
	 .held = 0.5 * MIB,
	 .live = 3 * MIB,
	 .peak = 9 * MIB,
	 .allocated = 40 * MIB,
	 .count = 9000,
	 .variance = 2e11},
	{.frames = {NULL},
	 .live = 300000,
	 .peak = 65536,
	 .allocated = 65536,
	 .count = 1,
	 .variance = 4.2e10,
	 .flags = MA_STACK_NO_PYTHON},
	{.frames = {"<module>|<string>|1"}, .allocated = 65536, .count = 1},
};

/* A screen with what is around it. */
struct screen {
	Memattach__Profile *profile;
	Memattach__Session session;
	struct ma_summary summary;
	struct ma_text text;
};

static void setup(struct screen *screen, unsigned width)
{
	memset(screen, 0, sizeof *screen);
	screen->profile = cli_profile_make(usual, sizeof usual / sizeof usual[0]);
	memattach__session__init(&screen->session);
	screen->session.pid = 4242;
	screen->session.state = MEMATTACH__SESSION__STATE__TRACKING;
	screen->session.budget_ratio = 0.02;
	screen->session.hook_running_us = 6000;
	screen->summary = (struct ma_summary){
		.profile = screen->profile, .session = &screen->session, .top = 10, .width = width};
}

static const char *draw(struct screen *screen)
{
	ma_text_fini(&screen->text);
	ma_summary_view_write(&screen->text, &screen->summary);
	return ma_text_string(&screen->text);
}

static void teardown(struct screen *screen)
{
	memattach__profile__free_unpacked(screen->profile, NULL);
	ma_text_fini(&screen->text);
}

static const char golden_60[] =
#include "cli_summary_60.inc"
	;
static const char golden_200[] =
#include "cli_summary_200.inc"
	;

static void test_golden(void **state)
{
	(void)state;
	static const struct {
		unsigned width;
		const char *text;
	} cases[] = {{60, golden_60}, {200, golden_200}};
	for (size_t i = 0; i < 2; i++) {
		struct screen screen;
		setup(&screen, cases[i].width);
		assert_string_equal(draw(&screen), cases[i].text);
		teardown(&screen);
	}
}

/* No line is wider than the terminal, whatever its width and whatever the process is called. */
static void test_every_width(void **state)
{
	(void)state;
	for (unsigned width = 60; width <= 300; width++) {
		struct screen screen;
		setup(&screen, width);
		cli_profile_set(
			&screen.profile->heap->process->command,
			"python3 -m \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e a very long command "
			"line that goes on and on, with \033[31mcolours\033[0m\n and breaks");
		const char *line = draw(&screen);
		assert_null(strchr(line, '\033'));
		while (*line) {
			char copy[2048];
			size_t length = strcspn(line, "\n");
			snprintf(copy, sizeof copy, "%.*s", (int)length, line);
			if (ma_display_columns(copy) > width)
				fail_msg("%u columns at %u: %s", ma_display_columns(copy), width,
					 copy);
			assert_false(length && copy[length - 1] == ' ');
			line += length + (line[length] == '\n');
		}
		teardown(&screen);
	}
}

static void assert_has(struct screen *screen, const char *words)
{
	if (!strstr(draw(screen), words))
		fail_msg("no '%s' in:\n%s", words, screen->text.data);
}

static void assert_has_not(struct screen *screen, const char *words)
{
	if (strstr(draw(screen), words))
		fail_msg("'%s' in:\n%s", words, screen->text.data);
}

static void test_exact_mode_has_no_intervals(void **state)
{
	(void)state;
	struct screen screen;
	setup(&screen, 120);
	Memattach__Heap *heap = screen.profile->heap;
	heap->sampler->mode = MEMATTACH__SAMPLER__MODE__EXACT;
	heap->sampler->interval_bytes = heap->sampler->interval_max_bytes = 0;
	heap->totals->live_bytes_variance = heap->totals->peak_bytes_variance = 0;
	for (size_t i = 0; i < heap->n_site; i++)
		heap->site[i]->live_bytes_variance = heap->site[i]->peak_bytes_variance = 0;
	assert_has(&screen, "watched 10 s, every allocation");
	assert_has_not(&screen, "\u00b1");
	assert_has_not(&screen, "may be missing");
	teardown(&screen);
}

static void test_end_is_said(void **state)
{
	(void)state;
	struct screen screen;
	setup(&screen, 120);
	Memattach__Process *process = screen.profile->heap->process;
	process->end = malloc(sizeof *process->end);
	memattach__end__init(process->end);
	process->end->how = MEMATTACH__END__HOW__SIGNALED;
	process->end->signal = 9;
	process->end->oom_killed = 1;
	process->end->time_nanos = CLI_ATTACH_NS + UINT64_C(9000000000);
	cli_profile_set(&process->end->sentence, "killed by SIGKILL");
	screen.session.state = MEMATTACH__SESSION__STATE__ENDED;
	screen.session.expires_time_nanos = CLI_SNAPSHOT_NS + UINT64_C(3600000000000);
	assert_has(&screen, "ENDED   14:03:11: killed by SIGKILL, out of memory (OOM kill)");
	assert_has(&screen, "watched 9 s");
	assert_has(&screen, "The last state is kept until 15:03:12");
	assert_has_not(&screen, "memattach detach");
	teardown(&screen);
}

static void test_what_is_not_known_is_said(void **state)
{
	(void)state;
	struct screen screen;
	setup(&screen, 300);
	Memattach__Heap *heap = screen.profile->heap;
	heap->loss->dropped_allocs = 1234;
	heap->loss->frames_unknown = 7;
	heap->loss->stacks_broken = 600;
	heap->loss->native_cut = 1200;
	heap->sampler->interval_bytes = 1 << 20;
	heap->sampler->interval_max_bytes = 4 << 20;
	assert_has(&screen, "sites under 3 MiB (3 intervals) may be missing");
	assert_has(&screen, "under 12 MiB while the interval was longest");
	assert_has(&screen, "1.2k allocations dropped");
	assert_has(&screen, "7 frames unknown");
	assert_has(&screen, "broken stacks 1 %");
	assert_has(&screen, "native stacks cut 2 %");
	assert_has_not(&screen, "drops 0");
	assert_has(&screen, "1.80 GiB was there before we came");
	teardown(&screen);
}

static void test_windows_are_said(void **state)
{
	(void)state;
	struct screen screen;
	struct ma_json json = {0};
	setup(&screen, 120);
	assert_has_not(&screen, "WINDOWS");
	Memattach__Sampler *sampler = screen.profile->heap->sampler;
	sampler->window_exponent_max = 3;
	sampler->unseen_bytes = 1000000;
	assert_has(&screen, "WINDOWS   small Python objects were looked at for 1/8 of the time at "
			    "least, in random windows; the intervals");
	assert_has(&screen, "sites under 2.86 MiB may be missing");
	ma_summary_json_write(&json, &screen.summary);
	assert_non_null(strstr(json.text.data, "\"windows_open_ratio\": 0.125"));
	ma_text_fini(&json.text);
	teardown(&screen);
}

static void test_limit(void **state)
{
	(void)state;
	struct screen screen;
	setup(&screen, 120);
	Memattach__Memory *memory = screen.profile->heap->memory;
	assert_has(&screen, "1.90 of 2.00 GiB (cgroup)   [###################-] 95 %   +3.10 "
			    "MiB/s, about 33 s to the limit");
	memory->growth_bytes_per_second = -4096;
	assert_has(&screen, "-4.00 KiB/s\n");
	memory->cgroup_limit_bytes = 0;
	assert_has(&screen, "LIMIT   none   the cgroup uses 1.90 GiB");
	memory->cgroup_bytes = UINT64_MAX;
	memory->growth_bytes_per_second = 0;
	assert_has(&screen, "16.0 EiB\n");
	teardown(&screen);
}

static void test_hostile_names(void **state)
{
	(void)state;
	static const struct cli_sample hostile[] = {
		{.frames = {"ev\033]0;pwned\007il|/srv/\033[2J/x.py|1", "\r\n|/a\xe2\x80\xae"
									"b.py|2"},
		 .held = MIB,
		 .live = MIB,
		 .count = 1},
	};
	struct screen screen;
	setup(&screen, 160);
	memattach__profile__free_unpacked(screen.profile, NULL);
	screen.profile = cli_profile_make(hostile, 1);
	screen.summary.profile = screen.profile;
	assert_has_not(&screen, "\033");
	assert_has_not(&screen, "\007");
	assert_has_not(&screen, "\r");
	assert_has_not(&screen, "\xe2\x80\xae");
	assert_has(&screen, "ev\\x1b]0;pwned\\x07il");
	teardown(&screen);
}

static void test_top_adds_up_the_rest(void **state)
{
	(void)state;
	struct screen screen;
	setup(&screen, 120);
	screen.summary.top = 1;
	assert_has(&screen, "2 other lines\n");
	assert_has(&screen, "   512 KiB  3.29 MiB");
	teardown(&screen);
}

static void test_nothing_live(void **state)
{
	(void)state;
	struct screen screen;
	setup(&screen, 80);
	memattach__profile__free_unpacked(screen.profile, NULL);
	screen.profile = cli_profile_make(NULL, 0);
	screen.summary.profile = screen.profile;
	assert_has(&screen, "No allocation was sampled since the attach.\n");
	teardown(&screen);
}

/* Where the way through native code is too long, the end of it, whose module is named, stays. */
static void test_native_leaf_stays(void **state)
{
	(void)state;
	static const struct cli_sample native[] = {
		{.frames = {"!PyUnicode_Substring", "!_json.cpython-311-x86_64-linux-gnu.so+0x4df2",
			    "raw_decode|/usr/lib/python3.11/json/decoder.py|353"},
		 .held = 3 * MIB,
		 .live = 3 * MIB,
		 .count = 9},
	};
	struct screen screen;
	setup(&screen, 90);
	memattach__profile__free_unpacked(screen.profile, NULL);
	screen.summary.profile = screen.profile = cli_profile_make(native, 1);
	assert_has(&screen, "> _json.c");
	assert_has(&screen, "... > PyUnicode_Substring  (?)\n");
	screen.summary.width = 200;
	assert_has(&screen, "> _json.cpython-311-x86_64-linux-gnu.so+0x4df2 > PyUnicode_Substring");
	teardown(&screen);
}

static void test_json_holds_the_same(void **state)
{
	(void)state;
	struct screen screen;
	struct ma_json json = {0};
	setup(&screen, 100);
	ma_summary_json_write(&json, &screen.summary);
	static const char *const wanted[] = {
		"\"pid\": 4242",
		"\"interval_bytes\": 65536",
		"\"resolution_bytes\": 196608",
		"\"function\": \"Cache.put\"",
		"\"file\": \"/srv/app/cache.py\"",
		"\"line\": 88",
		"\"ended\": null",
		"\"attached\": \"2024-05-01T14:03:02.000Z\"",
		"\"stacks_truncated\": 12",
		"\"rss_at_attach_bytes\"",
	};
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		if (!strstr(json.text.data, wanted[i]))
			fail_msg("no %s in:\n%s", wanted[i], json.text.data);
	ma_text_fini(&json.text);
	teardown(&screen);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_every_width),
		cmocka_unit_test(test_exact_mode_has_no_intervals),
		cmocka_unit_test(test_end_is_said),
		cmocka_unit_test(test_what_is_not_known_is_said),
		cmocka_unit_test(test_windows_are_said),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_top_adds_up_the_rest),
		cmocka_unit_test(test_nothing_live),
		cmocka_unit_test(test_native_leaf_stays),
		cmocka_unit_test(test_json_holds_the_same),
	};
	setenv("TZ", "UTC", 1);
	tzset();
	if (argc > 1) {
		struct screen screen;
		setup(&screen, (unsigned)atoi(argv[1]));
		screen.summary.color = argc > 2;
		fputs(draw(&screen), stdout);
		teardown(&screen);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
