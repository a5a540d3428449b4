/* SPDX-License-Identifier: MIT */
/* See modules.h. */
#include "daemon/modules.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FIRST_ROOM = 64, VDSO_BYTES_MAX = 64 << 10 };

void ma_modules_init(struct ma_modules *modules, pid_t pid, int proc_fd)
{
	*modules = (struct ma_modules){.pid = pid, .proc_fd = proc_fd};
}

void ma_modules_fini(struct ma_modules *modules)
{
	for (uint32_t i = 0; i < modules->count; i++)
		free((char *)modules->modules[i].path);
	free(modules->modules);
	*modules = (struct ma_modules){.proc_fd = -1};
}

uint32_t ma_modules_add(struct ma_modules *modules, const struct ma_native_module *module)
{
	if (modules->count == MA_MODULES)
		return 0;
	if (modules->count == modules->room) {
		uint32_t room = modules->room ? modules->room * 2 : FIRST_ROOM;
		void *larger = realloc(modules->modules, room * sizeof *modules->modules);
		if (!larger)
			return 0;
		modules->modules = larger;
		modules->room = room;
	}
	char *path = strdup(module->path);
	if (!path)
		return 0;
	modules->modules[modules->count] = *module;
	modules->modules[modules->count].path = path;
	return ++modules->count;
}

const struct ma_native_module *ma_modules_find(const struct ma_modules *modules, uint32_t id)
{
	return id > 0 && id <= modules->count ? &modules->modules[id - 1] : NULL;
}

int ma_modules_root(const struct ma_modules *modules)
{
	if (modules->proc_fd < 0)
		return -1;
	return openat(modules->proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool is_regular(int fd)
{
	struct stat found;
	return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

int ma_modules_open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	if (fd >= 0 && !is_regular(fd)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Device numbers may differ between maps and stat (btrfs, overlayfs); the inode does not. */
static bool is_the_file(int fd, const struct ma_native_module *module)
{
	struct stat found;
	return fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_ino == module->inode;
}

/* The descriptor if it is of the module's file; else -1, and it is closed. */
static int if_the_file(int fd, const struct ma_native_module *module)
{
	if (fd < 0 || is_the_file(fd, module))
		return fd;
	close(fd);
	return -1;
}

static int copy_vdso(const struct ma_modules *modules, const struct ma_native_module *module)
{
	uint64_t bytes = module->end - module->start;
	if (bytes > VDSO_BYTES_MAX)
		return -1;
	void *copy = malloc(bytes);
	int fd = copy ? memfd_create("memattach-vdso", MFD_CLOEXEC) : -1;
	struct iovec local = {copy, bytes};
	struct iovec remote = {(void *)(uintptr_t)module->start, bytes};
	if (fd >= 0 &&
	    (process_vm_readv(modules->pid, &local, 1, &remote, 1, 0) != (ssize_t)bytes ||
	     write(fd, copy, bytes) != (ssize_t)bytes)) {
		close(fd);
		fd = -1;
	}
	free(copy);
	return fd;
}

/* The module's file below a root, which may be -1 and is closed. -1: it is not there. */
static int open_from(int root, const struct ma_native_module *module)
{
	if (root < 0)
		return -1;
	int fd = if_the_file(ma_modules_open_below(root, module->path), module);
	close(root);
	return fd;
}

int ma_modules_open(const struct ma_modules *modules, const struct ma_native_module *module)
{
	char path[64];
	if (strcmp(module->path, MA_MODULE_VDSO) == 0)
		return copy_vdso(modules, module);
	int fd = open_from(ma_modules_root(modules), module);
	/* In a chroot of our own mount namespace the maps have names as we see them. */
	if (fd < 0)
		fd = open_from(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), module);
	if (fd >= 0 || modules->proc_fd < 0)
		return fd;
	snprintf(path, sizeof path, "map_files/%llx-%llx", (unsigned long long)module->start,
		 (unsigned long long)module->end);
	return if_the_file(
		openat(modules->proc_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
		module);
}
