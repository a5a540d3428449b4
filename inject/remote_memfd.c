/* SPDX-License-Identifier: MIT */
#include "inject/remote_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

static int make(struct ma_remote *remote, const char *name, struct ma_remote_memfd *memfd,
		struct ma_error *error)
{
	/* Newer kernels want to be told that no file of this kind is to be executed; mapping parts
	 * of it executable is something else. Older ones do not know the flag. */
	static const unsigned int flags[] = {MFD_CLOEXEC | MFD_NOEXEC_SEAL,
					     MFD_CLOEXEC | MFD_ALLOW_SEALING};
	uint64_t address;
	int64_t number = 0;
	int failed = ma_remote_put(remote, name, strlen(name) + 1, &address, error);

	for (size_t i = 0; !failed && i < sizeof(flags) / sizeof(flags[0]); i++) {
		uint64_t args[6] = {address, flags[i]};

		failed = ma_remote_syscall(remote, SYS_memfd_create, args, &number, error);
		if (failed)
			return failed;
		memfd->flags = flags[i];
		memfd->remote.number = number < 0 ? -1 : (int32_t)number;
		if (number != -EINVAL)
			break;
	}
	if (!failed && number < 0)
		failed = ma_error_set(error, MA_ERR_FAILED, (int)-number,
				      "making shared memory in process %d", remote->tracee->pid);
	return failed;
}

static int open_ours(const char *path, const char *name, struct ma_remote_memfd *memfd)
{
	char link[80] = "", expected[80];
	struct stat found;

	memfd->fd = open(path, O_RDWR | O_CLOEXEC);
	if (memfd->fd < 0 || readlink(path, link, sizeof(link) - 1) < 0 || fstat(memfd->fd, &found))
		return errno;
	snprintf(expected, sizeof(expected), "/memfd:%s (deleted)", name);
	if (strcmp(link, expected) || found.st_size || !S_ISREG(found.st_mode))
		return ESTALE;
	memfd->remote.device = found.st_dev;
	memfd->remote.inode = found.st_ino;
	return 0;
}

int ma_remote_memfd_open(struct ma_remote_memfd *memfd, pid_t pid, const char *name, uint64_t bytes,
			 struct ma_error *error)
{
	char path[64];
	int problem;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, memfd->remote.number);
	problem = open_ours(path, name, memfd);
	if (!problem && ftruncate(memfd->fd, (off_t)bytes))
		problem = errno;
	if (!problem)
		return 0;
	ma_remote_memfd_fini(memfd);
	return ma_error_set(error, MA_ERR_FAILED, problem, "opening %s", path);
}

int ma_remote_memfd_create(struct ma_remote *remote, const char *name, uint64_t bytes,
			   struct ma_remote_memfd *memfd, struct ma_error *error)
{
	int failed;

	*memfd = (struct ma_remote_memfd){.fd = -1, .remote = {.number = -1}};
	failed = make(remote, name, memfd, error);
	return failed ? failed
		      : ma_remote_memfd_open(memfd, remote->tracee->pid, name, bytes, error);
}

void ma_remote_memfd_seal(const struct ma_remote_memfd *memfd, bool writing)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	/* A help against accidents on either side; nothing depends on it. */
	fcntl(memfd->fd, F_ADD_SEALS, writing ? seals | F_SEAL_WRITE : seals);
}

void ma_remote_memfd_fini(struct ma_remote_memfd *memfd)
{
	if (memfd->fd >= 0)
		close(memfd->fd);
	memfd->fd = -1;
}
