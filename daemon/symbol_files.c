/* SPDX-License-Identifier: MIT */
/* See symbol_files.h. The places are those that gdb looks at ("Debugging Information in Separate
 * Files" in its manual). */
#include "daemon/symbol_files.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/modules.h"

enum { PATH_BYTES = 8192 };

#define DEBUG_FOLDER "/usr/lib/debug"
#define SHARED       "/.dwz/"

static bool by_build_id(const struct ma_symbol_want *want, const char *path, char *found)
{
	(void)path;
	int at = snprintf(found, PATH_BYTES, DEBUG_FOLDER "/.build-id/%02x/", want->build_id[0]);
	if (want->build_id_bytes < 2 || want->build_id_bytes > MA_BUILD_ID_BYTES)
		return false;
	for (uint32_t i = 1; i < want->build_id_bytes; i++)
		at += snprintf(found + at, PATH_BYTES - (size_t)at, "%02x", want->build_id[i]);
	snprintf(found + at, PATH_BYTES - (size_t)at, ".debug");
	return true;
}

/* A debug link is a name without folders: before + folder of the file + between + name. */
static bool by_link(const struct ma_symbol_want *want, const char *path, const char *before,
		    const char *between, char *found)
{
	const char *slash = strrchr(path, '/');
	if (want->alternate || !want->link[0] || strchr(want->link, '/') || !slash)
		return false;
	snprintf(found, PATH_BYTES, "%s%.*s/%s%s", before, (int)(slash - path), path, between,
		 want->link);
	/* Not the file itself. */
	return strcmp(found, path) != 0;
}

static bool beside(const struct ma_symbol_want *want, const char *path, char *found)
{
	return by_link(want, path, "", "", found);
}

static bool below(const struct ma_symbol_want *want, const char *path, char *found)
{
	return by_link(want, path, "", ".debug/", found);
}

static bool apart(const struct ma_symbol_want *want, const char *path, char *found)
{
	return by_link(want, path, DEBUG_FOLDER, "", found);
}

/* The file that several debug files share: its name is absolute, or relative to the debug file, of
 * which distributions have one kind of place. */
static bool shared(const struct ma_symbol_want *want, const char *path, char *found)
{
	(void)path;
	const char *folder = strstr(want->link, SHARED);
	if (!want->alternate || (want->link[0] != '/' && !folder))
		return false;
	snprintf(found, PATH_BYTES, "%s%s", want->link[0] == '/' ? "" : DEBUG_FOLDER,
		 want->link[0] == '/' ? want->link : folder);
	return true;
}

static bool (*const places[])(const struct ma_symbol_want *, const char *, char *) = {
	by_build_id, beside, below, apart, shared,
};

static bool same_folder(int a, int b)
{
	struct stat left, right;
	return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
	       left.st_ino == right.st_ino;
}

int ma_symbol_files_open(int root_fd, const char *path, const struct ma_symbol_want *want)
{
	char candidate[PATH_BYTES];
	int ours = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), found = -1;
	const int roots[] = {root_fd, ours};
	uint32_t number = 0;
	for (size_t i = 0; found < 0 && i < sizeof roots / sizeof roots[0]; i++) {
		if (roots[i] < 0 || (i > 0 && root_fd >= 0 && same_folder(root_fd, ours)))
			continue;
		for (size_t j = 0; found < 0 && j < sizeof places / sizeof places[0]; j++) {
			if (!places[j](want, path, candidate))
				continue;
			int fd = ma_modules_open_below(roots[i], candidate);
			if (fd >= 0 && number++ == want->attempt)
				found = fd;
			else if (fd >= 0)
				close(fd);
		}
	}
	if (ours >= 0)
		close(ours);
	return found;
}
