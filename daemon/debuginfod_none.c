/* SPDX-License-Identifier: MIT */
/* Of builds that load no libraries; see debuginfod.h. The command line refuses before it comes to
 * this. */
#include "daemon/debuginfod.h"

void ma_debuginfod_init(struct ma_debuginfod *debuginfod)
{
	*debuginfod = (struct ma_debuginfod){0};
}

void ma_debuginfod_fini(struct ma_debuginfod *debuginfod)
{
	*debuginfod = (struct ma_debuginfod){0};
}

int ma_debuginfod_open(struct ma_debuginfod *debuginfod, const struct ma_debuginfod_ask *ask,
		       int *fd, struct ma_error *error)
{
	(void)debuginfod, (void)ask;
	*fd = -1;
	ma_error_set(error, MA_ERR_FAILED, 0, "asking debuginfod servers");
	ma_error_answer(error, "the daemon is of the static build");
	return MA_ERR_FAILED;
}
