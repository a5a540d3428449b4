/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over the files of its corpus, once each, without libFuzzer: what was found
 * once stays tested in every build. An empty or missing corpus is a failure.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz.h"

static int run_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "rb");
	/* Of just that size, so that a sanitizer sees any read beyond it. */
	uint8_t *data = malloc(bytes ? bytes : 1);
	int failed = !file || !data || fread(data, 1, bytes, file) != bytes;
	if (!failed)
		LLVMFuzzerTestOneInput(data, bytes);
	free(data);
	if (file)
		fclose(file);
	return failed;
}

int main(int count, char **arguments)
{
	int files = 0, failed = 0;
	DIR *directory = count == 2 ? opendir(arguments[1]) : NULL;
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		char path[4096];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
		if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		failed += run_file(path, (size_t)st.st_size);
		files++;
	}
	if (directory)
		closedir(directory);
	printf("%d files, %d unreadable\n", files, failed);
	return files == 0 || failed;
}
