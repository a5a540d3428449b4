/* SPDX-License-Identifier: MIT */
/* See symbol_fetch.h. */
#include "daemon/symbol_fetch.h"

#include <stdio.h>

#include "daemon/clock.h"

enum { LIMIT_MS = 60000, PAUSE_MS = 60000 };

static uint64_t now_ms(void)
{
	return ma_clock_monotonic_ns() / 1000000;
}

void ma_symbol_fetch_init(struct ma_symbol_fetch *fetch)
{
	*fetch = (struct ma_symbol_fetch){
		.open = ma_debuginfod_open, .limit_ms = LIMIT_MS, .pause_ms = PAUSE_MS};
	ma_debuginfod_init(&fetch->debuginfod);
}

void ma_symbol_fetch_fini(struct ma_symbol_fetch *fetch)
{
	ma_debuginfod_fini(&fetch->debuginfod);
}

void ma_symbol_fetch_begin(struct ma_symbol_fetch *fetch)
{
	fetch->asked[0] = fetch->asked[1] = false;
}

int ma_symbol_fetch_open(struct ma_symbol_fetch *fetch, const char *servers,
			 const struct ma_symbol_want *want, const bool *is_stopping,
			 struct ma_symbol_fetched *fetched)
{
	bool *asked = &fetch->asked[want->alternate ? 1 : 0];
	int fd = -1, code = MA_ERR_FAILED;
	/* The child that wants it may be somebody else's by now: once is enough. */
	if (!servers || *asked || want->build_id_bytes < 2 ||
	    want->build_id_bytes > MA_BUILD_ID_BYTES)
		return -1;
	const struct ma_debuginfod_ask ask = {
		.servers = servers,
		.build_id = want->build_id,
		.build_id_bytes = want->build_id_bytes,
		.limit_ms = fetch->limit_ms,
		.is_stopping = is_stopping,
	};
	*asked = true;
	fetched->asked++;
	if (now_ms() >= fetch->quiet_until_ms) {
		code = fetch->open(&fetch->debuginfod, &ask, &fd, &fetch->error);
		if (code)
			fetch->quiet_until_ms = now_ms() + fetch->pause_ms;
	}
	if (code) {
		fetched->failed++;
		snprintf(fetched->answer, sizeof fetched->answer, "%s", fetch->error.answer);
	}
	return fd;
}
