/* SPDX-License-Identifier: MIT */
/* See debuginfod.h. */
#include "cli/debuginfod.h"

#include <stdlib.h>

static int refuse(struct ma_error *error, const char *answer, const char *remedy)
{
	ma_error_set(error, MA_ERR_USAGE, 0, "--debuginfod");
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", remedy);
	return MA_ERR_USAGE;
}

int ma_debuginfod_check(const struct ma_options *options, bool dynamic, struct ma_error *error)
{
	const char *servers = getenv(MA_DEBUGINFOD_SERVERS);
	if (!options->debuginfod)
		return 0;
	if (!dynamic)
		return refuse(error, "this is the static build, which cannot load libdebuginfod",
			      "Build with -DMA_DYNAMIC=ON.");
	if (!servers || !servers[0])
		return refuse(error, MA_DEBUGINFOD_SERVERS " is not set, so there is nobody to ask",
			      "As in: export " MA_DEBUGINFOD_SERVERS
			      "=https://debuginfod.debian.net");
	return 0;
}
