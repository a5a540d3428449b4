/* SPDX-License-Identifier: MIT */
/* The other texts of /proc/PID that hold what a target chose, and version texts out of its memory.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "inject/interpreter.h"
#include "inject/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ma_proc_status status;
	struct ma_proc_stat stat;
	struct ma_proc_syscall call;
	char *text = malloc(size + 1);
	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (ma_proc_status_parse(text, size, &status, NULL) == 0)
		MUST(status.tgid && strlen(status.name) < sizeof status.name);
	if (ma_proc_stat_parse(text, size, &stat, NULL) == 0)
		MUST(strlen(stat.comm) < sizeof stat.comm);
	if (ma_proc_syscall_parse(text, size, &call, NULL) == 0)
		MUST(!call.running || call.number == -1);
	uint32_t version = ma_interpreter_version_hex(text);
	MUST(version == 0 || (version >> 24 >= 1 && version >> 24 <= 9));
	ma_interpreter_named(text);
	free(text);
	return 0;
}
