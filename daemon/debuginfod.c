/* SPDX-License-Identifier: MIT */
/*
 * Of the dynamic build; see debuginfod.h. The few functions of libdebuginfod (debuginfod.h of
 * elfutils, versions ELFUTILS_0.178 to 0.180) are declared here, so that neither its header nor, as
 * long as nobody asks, the library itself and what it brings along is needed.
 */
#include "daemon/debuginfod.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"

#define LIBRARY "libdebuginfod.so.1"
#define SERVERS "DEBUGINFOD_URLS"

typedef int progress_function(void *client, long done, long all);

/* In the order of `names`. */
struct functions {
	void *(*begin)(void);
	void (*end)(void *client);
	int (*find_debuginfo)(void *client, const unsigned char *build_id, int bytes, char **path);
	void (*set_progressfn)(void *client, progress_function *function);
	void (*set_user_data)(void *client, void *data);
	void *(*get_user_data)(void *client);
};

static const char *const names[] = {
	"debuginfod_begin",          "debuginfod_end",           "debuginfod_find_debuginfo",
	"debuginfod_set_progressfn", "debuginfod_set_user_data", "debuginfod_get_user_data",
};

_Static_assert(sizeof(struct functions) == sizeof names, "a name for each function");

/* Of the one library that this process has, all or none; filled by the first question. */
static struct functions library;

static int fail(struct ma_error *error, const char *answer)
{
	ma_error_set(error, MA_ERR_FAILED, 0, "asking debuginfod servers");
	ma_error_answer(error, "%s", answer);
	return MA_ERR_FAILED;
}

static int load(struct ma_error *error)
{
	void *found[sizeof names / sizeof names[0]];
	if (library.begin)
		return 0;
	/* It stays: what it brings along may have threads and handlers of its own. */
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return fail(error, LIBRARY " cannot be loaded; install it, as in apt-get install "
					   "libdebuginfod1");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		found[i] = dlsym(handle, names[i]);
		if (!found[i])
			return fail(error, LIBRARY " is older than elfutils 0.180");
	}
	memcpy(&library, found, sizeof found);
	return 0;
}

void ma_debuginfod_init(struct ma_debuginfod *debuginfod)
{
	*debuginfod = (struct ma_debuginfod){0};
	/* The library reads its servers from the environment. With a place in it, setting them
	 * later moves nothing that another thread may be looking at. */
	setenv(SERVERS, "", 0);
}

void ma_debuginfod_fini(struct ma_debuginfod *debuginfod)
{
	if (debuginfod->client)
		library.end(debuginfod->client);
	*debuginfod = (struct ma_debuginfod){0};
}

/* The library calls it about once a second; anything but 0 makes it give up. */
static int look_at_clock(void *client, long done, long all)
{
	struct ma_debuginfod *debuginfod = library.get_user_data(client);
	(void)done, (void)all;
	debuginfod->over = ma_clock_monotonic_ns() / 1000000 >= debuginfod->deadline_ms;
	return debuginfod->over || __atomic_load_n(debuginfod->ask->is_stopping, __ATOMIC_RELAXED);
}

int ma_debuginfod_open(struct ma_debuginfod *debuginfod, const struct ma_debuginfod_ask *ask,
		       int *fd, struct ma_error *error)
{
	*fd = -1;
	int code = load(error);
	if (code)
		return code;
	if (!debuginfod->client)
		debuginfod->client = library.begin();
	if (!debuginfod->client)
		return fail(error, "libdebuginfod cannot begin");
	setenv(SERVERS, ask->servers, 1);
	debuginfod->ask = ask;
	debuginfod->over = false;
	debuginfod->deadline_ms = ma_clock_monotonic_ns() / 1000000 + ask->limit_ms;
	library.set_user_data(debuginfod->client, debuginfod);
	library.set_progressfn(debuginfod->client, look_at_clock);
	int found = library.find_debuginfo(debuginfod->client, ask->build_id,
					   (int)ask->build_id_bytes, NULL);
	if (found >= 0)
		*fd = found;
	if (found >= 0 || (found == -ENOENT && !debuginfod->over))
		return 0;
	return fail(error, debuginfod->over ? "no answer in time" : strerror(-found));
}
