/* SPDX-License-Identifier: MIT */
/* Texts of /proc: a process chooses its name and its cgroup, and with them part of these. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cgroup_find.h"
#include "daemon/process_stat.h"
#include "daemon/proc_text.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), path[64];
	struct ma_process_stat stat;
	uint64_t number;
	MUST(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (ma_process_stat_parse(text, &stat) == 0)
		MUST(stat.state != '\0');
	if (ma_cgroup_parse(text, path, sizeof path))
		MUST(memchr(path, 0, sizeof path) != NULL);
	ma_proc_text_number(text, "VmRSS:", &number);
	free(text);
	return 0;
}
