/* SPDX-License-Identifier: MIT */
#include "inject/hook_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *const directories[] = {"/dev/shm", "/run", "/tmp", "/var/tmp", ""};

bool ma_hook_file_needed(pid_t pid)
{
	struct statfs found;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/root/proc", pid);
	return statfs(path, &found) || found.f_type != PROC_SUPER_MAGIC;
}

static int write_file(const char *path, const struct ma_proc_status *status, const void *bytes,
		      size_t count)
{
	const char *from = bytes;
	int sys_errno = 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

	if (fd < 0)
		return errno;
	while (count && !sys_errno) {
		ssize_t done = write(fd, from, count);

		if (done > 0) {
			from += done;
			count -= (size_t)done;
		} else if (errno != EINTR) {
			sys_errno = done ? errno : EIO;
		}
	}
	/* Ours already when we are the same user; else we may give it away. */
	if (!sys_errno && status->uid[3] != geteuid() && fchown(fd, status->uid[3], status->gid[3]))
		sys_errno = errno;
	close(fd);
	if (sys_errno)
		unlink(path);
	return sys_errno;
}

int ma_hook_file_create(struct ma_hook_file *file, pid_t pid, const struct ma_proc_status *status,
			const void *bytes, size_t count, struct ma_error *error)
{
	int sys_errno = ENOENT;
	uint64_t nonce = 0;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return ma_error_set(error, MA_ERR_FAILED, errno, "choosing a file name");
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		struct statvfs found;

		snprintf(file->inside, sizeof(file->inside), "%s" MA_HOOK_FILE_PREFIX "%llx",
			 directories[i], (unsigned long long)nonce);
		snprintf(file->outside, sizeof(file->outside), "/proc/%d/root%s/", pid,
			 directories[i]);
		if (statvfs(file->outside, &found) || (found.f_flag & (ST_NOEXEC | ST_RDONLY)))
			continue;
		snprintf(file->outside, sizeof(file->outside), "/proc/%d/root%s", pid,
			 file->inside);
		sys_errno = write_file(file->outside, status, bytes, count);
		if (!sys_errno)
			return 0;
	}
	*file = (struct ma_hook_file){0};
	ma_error_set(error, MA_ERR_UNSAFE, sys_errno, "leaving the hook's file to process %d", pid);
	ma_error_remedy(error, "It sees no /proc, and no directory that is writable and allows "
			       "execution: mount a proc or a tmpfs in its root.");
	return MA_ERR_UNSAFE;
}

void ma_hook_file_remove(struct ma_hook_file *file)
{
	if (file->outside[0])
		unlink(file->outside);
	*file = (struct ma_hook_file){0};
}
