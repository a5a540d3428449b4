/* SPDX-License-Identifier: MIT */
/*
 * Reads go through process_vm_readv(2), one system call without a file position; /proc/PID/mem
 * (proc(5)) is the fallback where a container's filter forbids that call, and the only way to write
 * to pages that are not writable.
 */
#include "inject/remote_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, STRING_CHUNK_BYTES = 256 };

static ssize_t vm_read(pid_t pid, uint64_t address, void *buffer, size_t bytes)
{
	struct iovec local = {.iov_base = buffer, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

static ssize_t process_read(const struct ma_target_memory *memory, uint64_t address, void *buffer,
			    size_t bytes)
{
	ssize_t done = vm_read(memory->pid, address, buffer, bytes);
	if (done >= 0 || errno == ESRCH)
		return done;
	if (errno == EFAULT) {
		/* process_vm_readv(2) may refuse a range as a whole: ask for its first page. */
		size_t in_page = PAGE_BYTES - (size_t)(address % PAGE_BYTES);
		if (bytes > in_page)
			return vm_read(memory->pid, address, buffer, in_page);
		return done;
	}
	if (memory->fd < 0)
		return done;
	int refused = errno;
	done = pread(memory->fd, buffer, bytes, (off_t)address);
	if (done < 0)
		errno = errno == EIO ? EFAULT : refused;
	else if (done == 0 && bytes)
		errno = ESRCH; /* the memory that was opened is gone */
	return done;
}

static ssize_t process_write(const struct ma_target_memory *memory, uint64_t address,
			     const void *buffer, size_t bytes)
{
	if (memory->fd < 0 || !memory->writable) {
		errno = EPERM;
		return -1;
	}
	ssize_t done = pwrite(memory->fd, buffer, bytes, (off_t)address);
	if (done < 0 && errno == EIO)
		errno = EFAULT;
	return done;
}

static const struct ma_memory_ops process_ops = {.read = process_read, .write = process_write};

static enum ma_err code_of_errno(int sys_errno)
{
	switch (sys_errno) {
	case ESRCH:
	case ENOENT:
		return MA_ERR_NO_PROCESS;
	case EPERM:
	case EACCES:
		return MA_ERR_PERMISSION;
	default:
		return MA_ERR_FAILED;
	}
}

int ma_memory_open(pid_t pid, struct ma_target_memory *memory, struct ma_error *error)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	*memory = (struct ma_target_memory){.pid = pid, .fd = -1, .ops = &process_ops};
	memory->fd = open(path, O_RDWR | O_CLOEXEC);
	memory->writable = memory->fd >= 0;
	if (memory->fd < 0)
		memory->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (memory->fd >= 0)
		return 0;
	int open_errno = errno;
	/* Address 0 is never mapped: EFAULT means that we were let through to find that out. */
	char byte;
	if (vm_read(pid, 0, &byte, 1) >= 0 || errno == EFAULT)
		return 0;
	return ma_error_set(error, code_of_errno(open_errno), open_errno,
			    "opening the memory of process %d", (int)pid);
}

void ma_memory_close(struct ma_target_memory *memory)
{
	if (memory->ops == &process_ops && memory->fd >= 0)
		close(memory->fd);
	memory->fd = -1;
	memory->ops = NULL;
}

size_t ma_memory_read_some(const struct ma_target_memory *memory, struct ma_raddr address,
			   void *buffer, size_t bytes, int *sys_errno)
{
	size_t done = 0;
	int failure = 0;
	if (address.value + bytes < address.value)
		bytes = (size_t)(UINT64_MAX - address.value);
	while (done < bytes) {
		errno = 0;
		ssize_t now = memory->ops->read(memory, address.value + done, (char *)buffer + done,
						bytes - done);
		if (now < 0 && errno == EINTR)
			continue;
		if (now <= 0) {
			failure = errno ? errno : EFAULT;
			break;
		}
		done += (size_t)now;
	}
	if (sys_errno)
		*sys_errno = failure;
	return done;
}

static int access_failed(const struct ma_target_memory *memory, uint64_t address, size_t bytes,
			 int sys_errno, const char *verb, struct ma_error *error)
{
	enum ma_err code = code_of_errno(sys_errno);
	ma_error_set(error, code, sys_errno, "%s %zu bytes at 0x%llx in process %d", verb, bytes,
		     (unsigned long long)address, (int)memory->pid);
	if (error)
		error->address = (unsigned long)address;
	return code;
}

int ma_memory_read(const struct ma_target_memory *memory, struct ma_raddr address, void *buffer,
		   size_t bytes, struct ma_error *error)
{
	int sys_errno = EFAULT;
	if (ma_memory_read_some(memory, address, buffer, bytes, &sys_errno) == bytes)
		return 0;
	return access_failed(memory, address.value, bytes, sys_errno ? sys_errno : EFAULT,
			     "reading", error);
}

int ma_memory_read_u64(const struct ma_target_memory *memory, struct ma_raddr address,
		       uint64_t *value, struct ma_error *error)
{
	return ma_memory_read(memory, address, value, sizeof *value, error);
}

int ma_memory_read_u32(const struct ma_target_memory *memory, struct ma_raddr address,
		       uint32_t *value, struct ma_error *error)
{
	return ma_memory_read(memory, address, value, sizeof *value, error);
}

int ma_memory_read_string(const struct ma_target_memory *memory, struct ma_raddr address,
			  char *text, size_t room, struct ma_error *error)
{
	size_t length = 0;
	text[0] = '\0';
	while (length + 1 < room) {
		/* Never across a page in one go: the string may end just before a hole. */
		uint64_t from = address.value + length;
		size_t bytes = STRING_CHUNK_BYTES - (size_t)(from % STRING_CHUNK_BYTES);
		if (bytes > room - 1 - length)
			bytes = room - 1 - length;
		int code = ma_memory_read(memory, ma_raddr(from), text + length, bytes, error);
		text[length + (code ? 0 : bytes)] = '\0';
		if (code)
			return code;
		size_t got = strnlen(text + length, bytes);
		length += got;
		if (got < bytes)
			break;
	}
	return 0;
}

int ma_memory_write(const struct ma_target_memory *memory, struct ma_raddr address,
		    const void *buffer, size_t bytes, struct ma_error *error)
{
	size_t done = 0;
	while (done < bytes) {
		errno = 0;
		ssize_t now = memory->ops->write(memory, address.value + done,
						 (const char *)buffer + done, bytes - done);
		if (now < 0 && errno == EINTR)
			continue;
		if (now < 0)
			return access_failed(memory, address.value + done, bytes - done, errno,
					     "writing", error);
		if (now == 0) /* the memory that was opened is gone: an exec or the end */
			return access_failed(memory, address.value + done, bytes - done, ESRCH,
					     "writing", error);
		done += (size_t)now;
	}
	return 0;
}

int ma_memory_write_u64(const struct ma_target_memory *memory, struct ma_raddr address,
			uint64_t value, struct ma_error *error)
{
	return ma_memory_write(memory, address, &value, sizeof value, error);
}
