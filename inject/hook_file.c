/* SPDX-License-Identifier: MIT */
#include "inject/hook_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *const directories[] = {"/dev/shm", "/run", "/tmp", "/var/tmp", ""};

enum { DIRECTORIES = sizeof(directories) / sizeof(directories[0]) };

/* Opens a directory below the target's root. What it is made of is the target's choice: a symbolic
 * link would be followed from our root, not from its own. */
static int open_directory(pid_t pid, const char *path)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/root", pid);
	fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && *path) {
		size_t length = strcspn(++path, "/");
		int next;

		snprintf(name, sizeof(name), "%.*s", (int)length, path);
		next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
		path += length;
	}
	return fd;
}

/* Does that instance of /proc show the process under this number? Ours and it agree on when it
 * started. */
static bool shows(int proc, pid_t number, uint64_t start_ticks)
{
	char path[40], text[1024];
	struct ma_proc_stat found;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "%d/stat", number);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return !ma_proc_stat_parse(text, (size_t)length, &found, NULL) &&
	       found.start_ticks == start_ticks;
}

bool ma_hook_file_needed(pid_t pid)
{
	struct ma_proc_status status;
	struct ma_proc_stat own;
	struct statfs found;
	bool sees = false;
	int proc = open_directory(pid, "/proc");

	if (proc < 0)
		return true;
	/* It may be another PID namespace's, without /proc/self for this process. */
	if (!fstatfs(proc, &found) && found.f_type == PROC_SUPER_MAGIC)
		sees = ma_proc_stat_read(pid, 0, &own, NULL) ||
		       ma_proc_status_read(pid, 0, &status, NULL) ||
		       shows(proc, pid, own.start_ticks) ||
		       (status.ns_known && shows(proc, status.ns_tgid, own.start_ticks));
	close(proc);
	return !sees;
}

static bool allows_execution(int directory)
{
	struct statvfs found;

	return !fstatvfs(directory, &found) && !(found.f_flag & (ST_NOEXEC | ST_RDONLY));
}

static int create(int directory, const char *name)
{
	return openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
}

/* A new file that belongs to the target's user. */
static int create_for(int directory, const char *name, const struct ma_proc_status *status)
{
	int fd = create(directory, name);

	if (fd >= 0 && (status->uid[3] == geteuid() || !fchown(fd, status->uid[3], status->gid[3])))
		return fd;
	if (fd >= 0) {
		close(fd);
		unlinkat(directory, name, 0);
	}
	/* A file system of a user namespace knows only the users of that namespace, of whom we are
	 * none: create it as one of them. */
	setfsgid(status->gid[3]);
	setfsuid(status->uid[3]);
	fd = create(directory, name);
	setfsuid(geteuid());
	setfsgid(getegid());
	return fd;
}

static bool fill(int fd, const void *bytes, size_t count)
{
	const char *from = bytes;

	while (count) {
		ssize_t done = write(fd, from, count);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		from += done;
		count -= (size_t)done;
	}
	return true;
}

/* The lock goes with whoever made the file, however that ends. A sweeper that came in between has
 * removed it already. */
static bool take(int fd)
{
	struct stat found;

	return !flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &found) && found.st_nlink;
}

static bool leave(struct ma_hook_file *file, pid_t pid, const char *path,
		  const struct ma_proc_status *status, const void *bytes, size_t count)
{
	int fd = -1;

	file->directory = open_directory(pid, path);
	if (file->directory < 0)
		return false;
	if (allows_execution(file->directory))
		fd = create_for(file->directory, file->name, status);
	if (fd >= 0 && take(fd) && fill(fd, bytes, count)) {
		file->locked = fd;
		return true;
	}
	if (fd >= 0) {
		unlinkat(file->directory, file->name, 0);
		close(fd);
	}
	close(file->directory);
	return false;
}

static int nowhere(pid_t pid, struct ma_error *error)
{
	ma_error_set(error, MA_ERR_UNSAFE, 0, "leaving the hook's file to process %d", pid);
	ma_error_answer(error,
			"it sees no /proc with itself in it, and none of /dev/shm, /run, /tmp, "
			"/var/tmp and / in its root is writable and allows execution");
	ma_error_remedy(error,
			"Mount one of them:  sudo nsenter --target %d --mount mount -t proc proc "
			"/proc   (or  -t tmpfs tmpfs /tmp)",
			pid);
	return MA_ERR_UNSAFE;
}

int ma_hook_file_create(struct ma_hook_file *file, pid_t pid, const struct ma_proc_status *status,
			const void *bytes, size_t count, struct ma_error *error)
{
	uint64_t nonce = 0;

	*file = (struct ma_hook_file){0};
	ma_hook_file_sweep(pid);
	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return ma_error_set(error, MA_ERR_FAILED, errno, "choosing a file name");
	snprintf(file->name, sizeof(file->name), MA_HOOK_FILE_PREFIX "%llx",
		 (unsigned long long)nonce);
	for (int i = 0; i < DIRECTORIES; i++) {
		if (!leave(file, pid, directories[i], status, bytes, count))
			continue;
		snprintf(file->inside, sizeof(file->inside), "%s/%s", directories[i], file->name);
		return 0;
	}
	*file = (struct ma_hook_file){0};
	return nowhere(pid, error);
}

const char *ma_hook_file_place(pid_t pid)
{
	for (int i = 0; i < DIRECTORIES; i++) {
		int directory = open_directory(pid, directories[i]);
		bool fit = directory >= 0 && allows_execution(directory);

		if (directory >= 0)
			close(directory);
		if (fit)
			return *directories[i] ? directories[i] : "/";
	}
	return NULL;
}

void ma_hook_file_remove(struct ma_hook_file *file)
{
	if (file->inside[0]) {
		unlinkat(file->directory, file->name, 0);
		close(file->directory);
		close(file->locked);
	}
	*file = (struct ma_hook_file){0};
}

/* A regular file whose lock nobody holds is nobody's any more. */
static void sweep_file(int directory, const char *name)
{
	struct stat found;
	int fd;

	if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) || !S_ISREG(found.st_mode))
		return;
	fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		unlinkat(directory, name, 0);
	close(fd);
}

static void sweep_directory(int directory)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!list && fd >= 0)
		close(fd);
	while (list && (entry = readdir(list)))
		if (!strncmp(entry->d_name, MA_HOOK_FILE_PREFIX, strlen(MA_HOOK_FILE_PREFIX)))
			sweep_file(directory, entry->d_name);
	if (list)
		closedir(list);
}

void ma_hook_file_sweep(pid_t pid)
{
	for (int i = 0; i < DIRECTORIES; i++) {
		int directory = open_directory(pid, directories[i]);

		if (directory < 0)
			continue;
		sweep_directory(directory);
		close(directory);
	}
}
