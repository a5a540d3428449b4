/* SPDX-License-Identifier: MIT */
/* The doctor's checks of our own side; see checks.h. */
#include "cli/checks.h"

#include <stdio.h>
#include <string.h>

#include "cli/daemon_client.h"
#include "cli/orphan.h"
#include "proto/channel.h"

const char *ma_checks_state_name(enum ma_check_state state)
{
	static const char *const names[] = {
		[MA_CHECK_OK] = "ok",
		[MA_CHECK_WARN] = "warn",
		[MA_CHECK_FAIL] = "fail",
		[MA_CHECK_SKIPPED] = "skipped",
	};
	return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

const struct ma_check *ma_checks_first_failed(const struct ma_check *checks, int count)
{
	for (int i = 0; i < count; i++)
		if (checks[i].state == MA_CHECK_FAIL)
			return &checks[i];
	return NULL;
}

static void fill(struct ma_check *check, enum ma_check_state state, const char *name,
		 const char *found, const char *remedy)
{
	memset(check, 0, sizeof *check);
	check->state = state;
	snprintf(check->name, sizeof check->name, "%s", name);
	snprintf(check->found, sizeof check->found, "%s", found);
	snprintf(check->remedy, sizeof check->remedy, "%s", remedy);
}

static void fill_error(struct ma_check *check, const char *name, const struct ma_error *error)
{
	char found[sizeof check->found];
	snprintf(found, sizeof found, "%.90s%s%.105s", error->what, error->answer[0] ? ": " : "",
		 error->answer);
	fill(check, MA_CHECK_FAIL, name, found, error->remedy);
}

static void check_socket(struct ma_check *check)
{
	char path[108];
	int abstract = 0;
	struct ma_error error = {0};
	if (ma_channel_path(path, &abstract, &error))
		fill_error(check, "socket directory", &error);
	else
		fill(check, MA_CHECK_OK, "socket directory", path, "");
}

static void check_daemon(struct ma_check *check)
{
	struct ma_client client = {.fd = -1};
	struct ma_error error = {0};
	char found[96];
	int code = ma_client_connect(&client, &error);
	if (code == MA_ERR_NO_PROCESS) {
		fill(check, MA_CHECK_OK, "daemon", "none runs; it is started on demand", "");
	} else if (code) {
		fill_error(check, "daemon", &error);
	} else if (strcmp(client.release, MA_RELEASE) != 0) {
		snprintf(found, sizeof found, "it is memattach %s, this is " MA_RELEASE,
			 client.release);
		fill(check, MA_CHECK_WARN, "daemon", found,
		     "memattach daemon --stop   (attached processes go on, their tracking is "
		     "lost)");
	} else {
		fill(check, MA_CHECK_OK, "daemon", "runs, of this release", "");
	}
	ma_client_close(&client);
}

static void check_orphans(struct ma_check *check)
{
	char why[160];
	if (ma_orphan_allowed(NULL, 0, why, sizeof why))
		fill(check, MA_CHECK_OK, "background daemon", "an init adopts it", "");
	else
		fill(check, MA_CHECK_WARN, "background daemon", why,
		     "Tracking ends with each command. To keep tracking, run `memattach daemon` in "
		     "another terminal, or the container with --init.");
}

int ma_checks_own(struct ma_check *checks, int max)
{
	static void (*const all[])(struct ma_check *) = {check_socket, check_daemon, check_orphans};
	int count = 0;
	for (size_t i = 0; i < sizeof all / sizeof all[0] && count < max; i++)
		all[i](&checks[count++]);
	return count;
}
