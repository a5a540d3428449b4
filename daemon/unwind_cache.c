/* SPDX-License-Identifier: MIT */
/* See unwind_cache.h. */
#include "daemon/unwind_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/unwind_table.h"

enum {
	NAME_CHARS = 2 * MA_SHA256_BYTES,
	ENTRIES = 4096,     /* looked at in one go; what is beyond waits for the next */
	LEFTOVER_S = 3600,  /* a temporary file this old is of somebody who died */
	ROOM_TENTHS = 8,    /* what is left when the oldest have gone */
	ONLY_OURS = 077,    /* mode bits that nobody else may have */
	NOT_WRITABLE = 022, /* the same for the directory around it */
};

static const char temporary[] = "new.";

/* Ours, and not anybody else's to change. */
static bool is_ours(int fd, mode_t forbidden)
{
	struct stat status;
	return fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
	       (status.st_mode & forbidden) == 0;
}

/* Opens a directory below another one, made if it is not there; -1: not to be had. */
static int open_below(int above, const char *name, mode_t mode, mode_t forbidden)
{
	int fd;
	mkdirat(above, name, mode);
	fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && !is_ours(fd, forbidden)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* The directory in which `unwind` is; -1: none. */
static int open_around(void)
{
	const char *set = getenv("MEMATTACH_CACHE_DIR"), *base = NULL;
	char path[PATH_MAX];
	if (set)
		return *set ? open_below(AT_FDCWD, set, 0700, NOT_WRITABLE) : -1;
	if (geteuid() == 0)
		snprintf(path, sizeof path, "/var/cache");
	else if ((base = getenv("XDG_CACHE_HOME")) && *base == '/')
		snprintf(path, sizeof path, "%s", base);
	else if ((base = getenv("HOME")) && *base == '/')
		snprintf(path, sizeof path, "%s/.cache", base);
	else
		return -1;
	mkdir(path, 0700);
	int above = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (above < 0)
		return -1;
	int fd = open_below(above, "memattach", 0755, NOT_WRITABLE);
	close(above);
	return fd;
}

void ma_unwind_cache_open(struct ma_unwind_cache *cache)
{
	*cache = (struct ma_unwind_cache){.fd = -1, .limit_bytes = MA_UNWIND_CACHE_BYTES};
	int around = open_around();
	if (around < 0)
		return;
	cache->fd = open_below(around, "unwind", 0700, ONLY_OURS);
	close(around);
}

void ma_unwind_cache_close(struct ma_unwind_cache *cache)
{
	if (cache->fd >= 0)
		close(cache->fd);
	cache->fd = -1;
}

static void name_of(const uint8_t *hash, char name[NAME_CHARS + 1])
{
	for (int i = 0; i < MA_SHA256_BYTES; i++)
		snprintf(name + 2 * i, 3, "%02x", hash[i]);
}

static void *read_all(int fd, size_t *bytes)
{
	struct stat status;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size <= 0 ||
	    status.st_size > MA_UNWIND_TABLE_BYTES)
		return NULL;
	*bytes = (size_t)status.st_size;
	uint8_t *table = malloc(*bytes);
	for (size_t at = 0; table && at < *bytes;) {
		ssize_t got = pread(fd, table + at, *bytes - at, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			free(table);
			return NULL;
		}
		at += (size_t)got;
	}
	return table;
}

void *ma_unwind_cache_load(struct ma_unwind_cache *cache, const uint8_t hash[MA_SHA256_BYTES],
			   size_t *bytes)
{
	struct ma_unwind_table_view view;
	char name[NAME_CHARS + 1];
	name_of(hash, name);
	int fd = cache->fd < 0
			 ? -1
			 : openat(cache->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	void *table = read_all(fd, bytes);
	if (table && ma_unwind_table_open(&view, table, *bytes) &&
	    memcmp(view.head->hash, hash, MA_SHA256_BYTES) == 0) {
		futimens(fd, NULL); /* it was used just now */
		close(fd);
		return table;
	}
	/* Of another version, or damaged. */
	unlinkat(cache->fd, name, 0);
	free(table);
	close(fd);
	return NULL;
}

struct entry {
	char name[NAME_CHARS + 1];
	time_t used;
	uint64_t bytes;
};

static int by_age(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	return a->used < b->used ? -1 : a->used > b->used;
}

static size_t list(struct ma_unwind_cache *cache, struct entry *entries)
{
	size_t count = 0;
	int fd = openat(cache->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *found;
	if (!directory && fd >= 0)
		close(fd);
	while (directory && count < ENTRIES && (found = readdir(directory))) {
		struct stat status;
		if (strlen(found->d_name) > NAME_CHARS ||
		    fstatat(cache->fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(status.st_mode))
			continue;
		if (strncmp(found->d_name, temporary, sizeof temporary - 1) == 0) {
			if (time(NULL) - status.st_mtime > LEFTOVER_S)
				unlinkat(cache->fd, found->d_name, 0);
			continue;
		}
		struct entry *entry = &entries[count++];
		memcpy(entry->name, found->d_name, strlen(found->d_name) + 1);
		entry->used = status.st_mtime;
		entry->bytes = (uint64_t)status.st_size;
	}
	if (directory)
		closedir(directory);
	return count;
}

/* Counts what is there, and lets the least recently used go until there is room again. */
static void make_room(struct ma_unwind_cache *cache, uint64_t bytes)
{
	struct entry *entries = calloc(ENTRIES, sizeof *entries);
	size_t count = entries ? list(cache, entries) : 0;
	uint64_t used = 0, wanted = cache->limit_bytes / 10 * ROOM_TENTHS;
	for (size_t i = 0; i < count; i++)
		used += entries[i].bytes;
	if (used + bytes > cache->limit_bytes || count == ENTRIES) {
		qsort(entries, count, sizeof *entries, by_age);
		for (size_t i = 0; i < count && (used + bytes > wanted || count - i > ENTRIES / 2);
		     i++) {
			if (unlinkat(cache->fd, entries[i].name, 0) == 0)
				used -= entries[i].bytes;
		}
	}
	cache->used_bytes = used;
	cache->looked = true;
	free(entries);
}

static bool write_all(int fd, const uint8_t *bytes, size_t count)
{
	while (count) {
		ssize_t done = write(fd, bytes, count);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		bytes += done;
		count -= (size_t)done;
	}
	return true;
}

void ma_unwind_cache_store(struct ma_unwind_cache *cache, const void *table, size_t bytes)
{
	const struct ma_unwind_table_head *head = table;
	char name[NAME_CHARS + 1], new_name[NAME_CHARS + 1];
	if (cache->fd < 0 || bytes > cache->limit_bytes)
		return;
	if (!cache->looked || cache->used_bytes + bytes > cache->limit_bytes)
		make_room(cache, bytes);
	name_of(head->hash, name);
	snprintf(new_name, sizeof new_name, "%s%d.%u", temporary, (int)getpid(), cache->stored++);
	int fd = openat(cache->fd, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (fd < 0)
		return;
	bool written = write_all(fd, table, bytes);
	written = close(fd) == 0 && written;
	if (written && renameat(cache->fd, new_name, cache->fd, name) == 0)
		cache->used_bytes += bytes;
	else
		unlinkat(cache->fd, new_name, 0);
}
