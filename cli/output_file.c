/* SPDX-License-Identifier: MIT */
/* Writing a file whole or not at all; see output_file.h. */
#include "cli/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/alloc.h"
#include "cli/interrupt.h"
#include "cli/output.h"

static int open_as_it_is(struct ma_output_file *file, struct ma_error *error)
{
	file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (file->fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "opening %.120s", file->path);
	if (!isatty(file->fd))
		return 0;
	ma_error_set(error, MA_ERR_USAGE, 0, "writing to %.120s", file->path);
	ma_error_answer(error, "it is a terminal, and a snapshot is binary");
	return MA_ERR_USAGE;
}

/* Opens a file beside the one that is asked for. mode: of the file that will be replaced, or what a
 * new one gets. */
static int open_beside(struct ma_output_file *file, mode_t mode, struct ma_error *error)
{
	char *copy = ma_alloc_string(file->path);
	const char *directory = dirname(copy);
	size_t room = strlen(directory) + sizeof "/.memattach.XXXXXX";
	file->temporary = ma_alloc(room, 1);
	snprintf(file->temporary, room, "%s/.memattach.XXXXXX", directory);
	free(copy);
	file->fd = mkostemp(file->temporary, O_CLOEXEC);
	if (file->fd < 0) {
		ma_error_set(error, MA_ERR_FAILED, errno, "writing %.120s", file->path);
		free(file->temporary);
		file->temporary = NULL;
		return MA_ERR_FAILED;
	}
	ma_interrupt_remove_on_exit(file->temporary);
	if (fchmod(file->fd, mode) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "setting the mode of %.120s",
				    file->path);
	return 0;
}

int ma_output_file_begin(struct ma_output_file *file, const char *path, struct ma_error *error)
{
	struct stat st;
	int code;
	mode_t mask = umask(0);
	umask(mask);
	*file = (struct ma_output_file){.fd = -1};
	/* Through a link, the file that it leads to is the one to replace. */
	file->path = realpath(path, NULL);
	if (!file->path)
		file->path = ma_alloc_string(path);
	if (stat(file->path, &st) < 0) {
		code = errno == ENOENT ? open_beside(file, 0666 & ~mask, error)
				       : ma_error_set(error, MA_ERR_FAILED, errno, "writing %.120s",
						      file->path);
	} else if (S_ISDIR(st.st_mode)) {
		code = ma_error_set(error, MA_ERR_USAGE, EISDIR, "writing %.120s", file->path);
		ma_error_remedy(error, "Name a file in it: -o %.120s/snapshot.bin", path);
	} else if (!S_ISREG(st.st_mode)) {
		code = open_as_it_is(file, error);
	} else if (access(file->path, W_OK) < 0) {
		code = ma_error_set(error, MA_ERR_FAILED, errno, "writing %.120s", file->path);
	} else {
		code = open_beside(file, st.st_mode & 07777, error);
	}
	if (code)
		ma_output_file_abandon(file);
	return code;
}

/* The name is on disk only when its directory is. Not every file system can do that: best effort.
 */
static void sync_directory(const char *path)
{
	char *copy = ma_alloc_string(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

static int publish(struct ma_output_file *file, struct ma_error *error)
{
	int synced = fsync(file->fd);
	int sync_errno = errno;
	int closed = close(file->fd);
	int close_errno = errno;
	file->fd = -1;
	/* EINVAL: a file system that cannot sync; then there is nothing more to be had. */
	if (synced < 0 && sync_errno != EINVAL)
		return ma_error_set(error, MA_ERR_FAILED, sync_errno, "writing %.120s", file->path);
	if (closed < 0)
		return ma_error_set(error, MA_ERR_FAILED, close_errno, "writing %.120s",
				    file->path);
	if (rename(file->temporary, file->path) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "renaming %.60s to %.80s",
				    file->temporary, file->path);
	ma_interrupt_remove_on_exit(NULL);
	free(file->temporary);
	file->temporary = NULL;
	sync_directory(file->path);
	return 0;
}

int ma_output_file_finish(struct ma_output_file *file, const void *bytes, size_t count,
			  struct ma_error *error)
{
	char name[128];
	snprintf(name, sizeof name, "%.120s", file->path);
	int code = ma_output_write_all(file->fd, bytes, count, name, error);
	if (code && error->sys_errno == EPIPE && !file->temporary)
		code = 0;
	if (!code && file->temporary)
		code = publish(file, error);
	ma_output_file_abandon(file);
	return code;
}

void ma_output_file_abandon(struct ma_output_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->temporary) {
		unlink(file->temporary);
		ma_interrupt_remove_on_exit(NULL);
		free(file->temporary);
	}
	free(file->path);
	*file = (struct ma_output_file){.fd = -1};
}
