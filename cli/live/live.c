/* SPDX-License-Identifier: MIT */
/*
 * The loop of the full screen: keys, signals and the daemon's answers as they come, a question at
 * every interval or when something else is to be shown, and a new picture when there is one.
 */
#include "cli/live/live.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/alloc.h"
#include "cli/format.h"
#include "cli/live/frame.h"
#include "cli/live/input.h"
#include "cli/live/guard.h"
#include "cli/live/link.h"
#include "cli/live/screen.h"
#include "cli/output_file.h"

enum {
	ENDED_INTERVAL_MS = 2000, /* what ended changes no more */
	DRAW_WAIT_MS = 50,        /* for an answer, before the picture is drawn without it */
	KEY_WAIT_MS = 500,        /* for the rows that a key may be about, before it is taken */
	LEAST_INTERVAL_MS = 50,
};

struct live {
	struct ma_tracking *tracking;
	struct ma_model model;
	struct ma_screen screen;
	struct ma_link link;
	struct ma_source source;
	Memattach__LiveQuery query; /* under way; its pointers are stale */
	uint64_t interval_ms;
	uint64_t ask_ms;  /* when to ask again */
	uint64_t draw_ms; /* when to draw, UINT64_MAX: there is nothing new */
	uint64_t end_ms;  /* of --duration; UINT64_MAX: none */
	uint64_t keys_ms; /* keys wait for an answer until then; 0: they do not */
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void draw(struct live *live, uint64_t now_ms)
{
	struct ma_frame frame = {
		.model = &live->model,
		.source = &live->source,
		.rows = live->screen.rows,
		.columns = live->screen.columns,
		.utf8 = live->screen.utf8,
		.now_ms = now_ms,
		.now_ns = ma_format_now_ns(),
	};
	ma_frame_draw(&frame);
	live->draw_ms = UINT64_MAX;
}

static void draw_by(struct live *live, uint64_t when_ms)
{
	if (when_ms < live->draw_ms)
		live->draw_ms = when_ms;
}

/* Says why there is no answer. */
static void note_failure(struct live *live, const struct ma_error *error, uint64_t now_ms)
{
	char reason[MA_NOTICE_BYTES];
	int pid = (int)live->model.pid;
	if (error->code == MA_ERR_NO_PROCESS && live->link.fd >= 0)
		snprintf(reason, sizeof reason, "the daemon knows nothing of %d any more", pid);
	else if (error->code == MA_ERR_NO_PROCESS)
		snprintf(reason, sizeof reason,
			 "the daemon is gone; %d is unharmed: q, then attach anew", pid);
	else
		snprintf(reason, sizeof reason, "%.90s: %.120s", error->what, error->answer);
	if (strcmp(reason, live->model.gone) != 0)
		draw_by(live, now_ms);
	ma_model_gone(&live->model, reason);
}

static void ask(struct live *live, uint64_t now_ms)
{
	struct ma_error error = {0};
	if (live->link.asked)
		return;
	ma_model_ask(&live->model, &live->query);
	uint64_t interval_ms =
		ma_model_has_ended(&live->model) && live->interval_ms < ENDED_INTERVAL_MS
			? ENDED_INTERVAL_MS
			: live->interval_ms;
	live->ask_ms = now_ms + interval_ms;
	if (ma_link_ask(&live->link, &live->query, now_ms, &error)) {
		/* What was wanted is wanted still. */
		live->model.asks = false;
		note_failure(live, &error, now_ms);
	}
}

static void receive(struct live *live, uint64_t now_ms)
{
	struct ma_error error = {0};
	Memattach__Reply *reply = NULL;
	if (ma_link_receive(&live->link, &reply, now_ms, &error)) {
		note_failure(live, &error, now_ms);
		return;
	}
	ma_model_answer(&live->model, reply, &live->query, now_ms);
	draw_by(live, now_ms);
}

/* The connection for everything but frames; it may have been lost meanwhile. */
static int connect_again(struct live *live, struct ma_error *error)
{
	struct ma_client *client = &live->tracking->client;
	return ma_client_is_gone(client) ? ma_client_connect(client, error) : 0;
}

static void dump(struct live *live, uint64_t now_ms)
{
	struct ma_output_file file;
	struct ma_error error = {0};
	Memattach__Reply *reply = NULL;
	const char *path = live->model.edit.text;
	ma_model_notice(&live->model, now_ms, "writing %s", path);
	draw(live, now_ms);
	int code = ma_output_file_begin(&file, path, &error);
	if (!code) {
		code = connect_again(live, &error);
		if (!code)
			code = ma_client_snapshot(&live->tracking->client, live->model.pid,
						  !live->tracking->options->no_native, &reply,
						  &error);
		if (!code)
			code = ma_output_file_finish(&file, reply->snapshot.data,
						     reply->snapshot.len, &error);
		else
			ma_output_file_abandon(&file);
	}
	now_ms = monotonic_ms();
	if (code)
		ma_model_notice(&live->model, now_ms, "%.100s: %.120s", error.what,
				error.answer[0] ? error.answer : strerror(error.sys_errno));
	else
		ma_model_notice(&live->model, now_ms, "wrote %s to %.180s",
				ma_format_size((double)reply->snapshot.len).text, path);
	ma_client_free_reply(reply);
	draw_by(live, now_ms);
}

/* Must further keys wait? What was typed ahead is meant for rows that are still to come. */
static bool keys_wait(struct live *live, uint64_t now_ms)
{
	if (ma_model_is_settled(&live->model) || live->model.gone[0])
		live->keys_ms = 0;
	else if (!live->keys_ms)
		live->keys_ms = now_ms + KEY_WAIT_MS;
	return live->keys_ms && now_ms < live->keys_ms;
}

/* Takes the keys that are there. Returns whether to go on. */
static bool take_keys(struct live *live, bool closed, enum ma_live_end *end)
{
	struct ma_key key;
	bool any = false;
	uint64_t now_ms = monotonic_ms();
	while (!keys_wait(live, now_ms) && ma_input_read(&key)) {
		any = true;
		switch (ma_model_key(&live->model, &key, now_ms)) {
		case MA_WISH_LEAVE:
			return false;
		case MA_WISH_DETACH:
			*end = MA_LIVE_DETACH;
			return false;
		case MA_WISH_DUMP:
			dump(live, now_ms);
			break;
		case MA_WISH_REDRAW:
			ma_screen_repaint(&live->screen);
			break;
		case MA_WISH_NOTHING:
			break;
		}
	}
	if (any)
		draw_by(live, now_ms + (live->model.asks ? DRAW_WAIT_MS : 0));
	/* Readable, and nothing to read: the terminal is gone. */
	return any || live->keys_ms || !closed;
}

static bool take_signals(struct live *live)
{
	struct ma_guard_signals signals = ma_guard_take();
	if (signals.leave)
		return false;
	if (signals.suspend)
		ma_screen_suspend(&live->screen);
	if (signals.resized)
		ma_screen_resize(&live->screen);
	draw(live, monotonic_ms());
	return true;
}

static int wait_ms(const struct live *live, uint64_t now_ms)
{
	uint64_t until_ms = live->link.asked ? now_ms + MA_LINK_SILENT_MS : live->ask_ms;
	if (live->draw_ms < until_ms)
		until_ms = live->draw_ms;
	if (live->end_ms < until_ms)
		until_ms = live->end_ms;
	if (live->keys_ms && live->keys_ms < until_ms)
		until_ms = live->keys_ms;
	if (now_ms < live->model.notice_until_ms && live->model.notice_until_ms < until_ms)
		until_ms = live->model.notice_until_ms;
	return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}

static void watch(struct live *live, enum ma_live_end *end)
{
	for (;;) {
		uint64_t now_ms = monotonic_ms();
		if (now_ms >= live->end_ms)
			return;
		if (live->model.asks || now_ms >= live->ask_ms)
			ask(live, now_ms);
		if (ma_link_is_silent(&live->link, now_ms) && !live->model.gone[0]) {
			ma_model_gone(&live->model, "the daemon does not answer");
			draw_by(live, now_ms);
		}
		if (live->model.notice_until_ms && now_ms >= live->model.notice_until_ms) {
			live->model.notice_until_ms = 0;
			draw_by(live, now_ms);
		}
		if (now_ms >= live->draw_ms)
			draw(live, now_ms);
		bool waits = keys_wait(live, now_ms);
		struct pollfd fds[] = {
			{.fd = waits ? -1 : live->screen.key_fd, .events = POLLIN},
			{.fd = live->screen.signal_fd, .events = POLLIN},
			{.fd = live->link.fd, .events = POLLIN},
		};
		if (poll(fds, 3, wait_ms(live, now_ms)) < 0)
			continue;
		if (fds[1].revents && !take_signals(live))
			return;
		if (fds[2].revents)
			receive(live, monotonic_ms());
		/* ncurses may hold keys that were typed ahead, which no poll tells of. */
		bool closed = (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
		if ((fds[0].revents || waits) && !take_keys(live, closed, end))
			return;
	}
}

int ma_live_run(struct ma_tracking *tracking, enum ma_live_end *end, struct ma_error *error)
{
	struct live *live = ma_alloc(1, sizeof *live);
	const struct ma_options *options = tracking->options;
	uint64_t now_ms = monotonic_ms();
	*live = (struct live){
		.tracking = tracking,
		.interval_ms = options->interval_ms < LEAST_INTERVAL_MS ? LEAST_INTERVAL_MS
									: options->interval_ms,
		.draw_ms = UINT64_MAX,
		.end_ms = options->duration_ms ? now_ms + options->duration_ms : UINT64_MAX,
	};
	*end = MA_LIVE_LEFT;
	int code = ma_screen_open(&live->screen, options->color, error);
	if (!code) {
		ma_input_begin();
		ma_model_init(&live->model, tracking->targets.list[0].pid,
			      !tracking->options->no_native);
		ma_link_init(&live->link);
		draw(live, now_ms);
		watch(live, end);
		ma_screen_close(&live->screen);
		ma_link_close(&live->link);
		ma_model_fini(&live->model);
		ma_source_fini(&live->source);
	}
	free(live);
	return code;
}
