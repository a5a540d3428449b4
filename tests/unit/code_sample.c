/* SPDX-License-Identifier: MIT */
/* See code_sample.h. */
#include "code_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void ma_code_sample_init(struct ma_code_sample *sample, const char *source)
{
	*sample = (struct ma_code_sample){.folder = "/tmp/ma_code.XXXXXX", .source = source};
	assert_non_null(mkdtemp(sample->folder));
}

void ma_code_sample_fini(struct ma_code_sample *sample)
{
	ma_code_sample_run(sample, "rm -rf \"$PWD\"");
}

bool ma_code_sample_run(const struct ma_code_sample *sample, const char *format, ...)
{
	char rest[2048], command[4096];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(rest, sizeof rest, format, arguments);
	va_end(arguments);
	snprintf(command, sizeof command, "cd '%s' && export S='%s' && { %s; } >log 2>&1",
		 sample->folder, sample->source, rest);
	return system(command) == 0;
}

int ma_code_sample_line(const struct ma_code_sample *sample, const char *file, const char *mark)
{
	char path[512], line[512];
	int number = 0, found = 0;
	snprintf(path, sizeof path, "%s/%s", sample->source, file);
	FILE *source = fopen(path, "r");
	assert_non_null(source);
	while (!found && fgets(line, sizeof line, source)) {
		number++;
		if (strstr(line, "MARK ") && strstr(line, mark))
			found = number;
	}
	fclose(source);
	assert_int_not_equal(found, 0);
	return found;
}

bool ma_code_sample_symbol(const struct ma_code_sample *sample, const char *library,
			   const char *name, uint64_t *start, uint64_t *end)
{
	char command[1024], line[4096];
	bool found = false;
	snprintf(command, sizeof command, "{ nm -S '%s/%s'; nm -DS '%s/%s'; } 2>/dev/null",
		 sample->folder, library, sample->folder, library);
	FILE *names = popen(command, "r");
	assert_non_null(names);
	while (fgets(line, sizeof line, names)) {
		char symbol[3000];
		unsigned long long address, bytes;
		if (sscanf(line, "%llx %llx %*c %2999s", &address, &bytes, symbol) != 3 || found ||
		    !strstr(symbol, name))
			continue;
		*start = address;
		*end = address + bytes;
		found = true;
	}
	pclose(names);
	return found;
}
