/* SPDX-License-Identifier: MIT */
/*
 * Finding a cgroup's directory. What the target's own mount namespace says is data from a stranger:
 * its paths are opened one component at a time, without following symbolic links.
 */
#include "daemon/cgroup_find.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proc_text.h"

enum { PATH_ROOM = 4096, FIRST_ROOM = 64 << 10, MOST_ROOM = 16 << 20 };

/* Is `word` one of the comma-separated words of list (of that length)? */
static bool has_word(const char *list, size_t length, const char *word)
{
	size_t word_length = strlen(word);
	const char *end = list + length;
	while (list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list));
		size_t here = (size_t)((comma ? comma : end) - list);
		if (here == word_length && memcmp(list, word, here) == 0)
			return true;
		if (!comma)
			break;
		list = comma + 1;
	}
	return false;
}

int ma_cgroup_parse(const char *text, char *path, size_t room)
{
	int version = 0;
	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		size_t length = end ? (size_t)(end - line) : strlen(line);
		const char *first = memchr(line, ':', length);
		const char *second =
			first ? memchr(first + 1, ':', length - (size_t)(first + 1 - line)) : NULL;
		if (second) {
			size_t controllers = (size_t)(second - first - 1);
			bool unified = controllers == 0 && line[0] == '0';
			/* Where version 1 has the memory controller, version 2 has not. */
			if (has_word(first + 1, controllers, "memory"))
				version = 1;
			if (version == 1 ? has_word(first + 1, controllers, "memory") : unified) {
				version = version == 1 ? 1 : 2;
				snprintf(path, room, "%.*s",
					 (int)(length - (size_t)(second + 1 - line)), second + 1);
			}
		}
		line = end ? end + 1 : NULL;
	}
	return version;
}

/* Opens the next component of a path; consumes it. -1 when it is not a directory of its own. */
static int open_component(int at, const char **path)
{
	char name[256];
	*path += strspn(*path, "/");
	size_t length = strcspn(*path, "/");
	if (length >= sizeof name)
		return -1;
	memcpy(name, *path, length);
	name[length] = '\0';
	*path += length;
	if (strcmp(name, "..") == 0)
		return -1;
	return openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool at_end(const char *path)
{
	return path[strspn(path, "/")] == '\0';
}

/* Opens a directory below base_fd (borrowed). -1 on failure. */
static int walk(int base_fd, const char *path)
{
	int fd = fcntl(base_fd, F_DUPFD_CLOEXEC, 0);
	while (fd >= 0 && !at_end(path)) {
		int next = open_component(fd, &path);
		close(fd);
		fd = next;
	}
	return fd;
}

static void close_all(int *fds, int count)
{
	while (count)
		close(fds[--count]);
}

/* Opens every directory from mount_fd (taken) along path. Returns how many, 0 on failure. */
static int walk_levels(int mount_fd, const char *path, int fds[MA_CGROUP_DEPTH])
{
	int count = 0;
	fds[count++] = mount_fd;
	while (!at_end(path)) {
		int next = count < MA_CGROUP_DEPTH ? open_component(fds[count - 1], &path) : -1;
		if (next < 0) {
			close_all(fds, count);
			return 0;
		}
		fds[count++] = next;
	}
	return count;
}

/* Undoes mountinfo's octal escapes (\040 for a blank), in place. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from;) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
		    from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

/* A line of mountinfo: root within the file system, mount point, type and options. */
struct mount {
	char root[PATH_ROOM];
	char point[PATH_ROOM];
	bool fits; /* mounts the hierarchy that is looked for */
};

static void parse_mount(const char *line, int version, struct mount *mount)
{
	char type[32], options[1024];
	mount->fits = false;
	/* proc(5): id, parent, device, root, mount point, options, optional fields, "-", ... */
	if (sscanf(line, "%*s %*s %*s %4095s %4095s", mount->root, mount->point) != 2)
		return;
	const char *dash = strstr(line, " - ");
	const char *end = strchr(line, '\n');
	if (!dash || (end && dash > end) || sscanf(dash, " - %31s %*s %1023s", type, options) != 2)
		return;
	unescape(mount->root);
	unescape(mount->point);
	mount->fits = version == 2 ? strcmp(type, "cgroup2") == 0
				   : strcmp(type, "cgroup") == 0 &&
					     has_word(options, strlen(options), "memory");
}

/* What of the cgroup's path lies below the mount's root; NULL when it is not below it. */
static const char *below(const char *path, const char *root)
{
	size_t length = strlen(root);
	if (strcmp(root, "/") == 0)
		return path;
	if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path + length;
}

/* Tries every mount of the hierarchy; the one that shows most of it wins. */
static int find_in(const char *mountinfo, int base_fd, int version, const char *path,
		   int fds[MA_CGROUP_DEPTH])
{
	struct mount *mount = malloc(sizeof *mount);
	int found = 0;
	for (const char *line = mountinfo; mount && line && *line;) {
		parse_mount(line, version, mount);
		const char *rest = mount->fits ? below(path, mount->root) : NULL;
		int mount_fd = rest ? walk(base_fd, mount->point) : -1;
		if (mount_fd >= 0) {
			int other[MA_CGROUP_DEPTH];
			int count = walk_levels(mount_fd, rest, other);
			if (count > found) {
				close_all(fds, found);
				memcpy(fds, other, (size_t)count * sizeof other[0]);
				found = count;
			} else {
				close_all(other, count);
			}
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	free(mount);
	return found;
}

/* The whole text of a mountinfo file, returned-owned; NULL when it cannot be read. */
static char *read_mountinfo(int directory_fd, const char *name)
{
	for (size_t room = FIRST_ROOM; room <= MOST_ROOM; room *= 4) {
		char *text = malloc(room);
		if (!text)
			return NULL;
		int length = ma_proc_text_read_at(directory_fd, name, text, room);
		if (length > 0 && (size_t)length + 1 < room)
			return text;
		free(text);
		if (length <= 0)
			return NULL;
	}
	return NULL;
}

static int find_with(int mountinfo_directory_fd, int base_fd, int version, const char *path,
		     int fds[MA_CGROUP_DEPTH])
{
	char *mountinfo = read_mountinfo(mountinfo_directory_fd, "mountinfo");
	int count = mountinfo ? find_in(mountinfo, base_fd, version, path, fds) : 0;
	free(mountinfo);
	return count;
}

int ma_cgroup_find(int proc_fd, const char *root, int version, const char *path,
		   int fds[MA_CGROUP_DEPTH])
{
	char self[128];
	snprintf(self, sizeof self, "%s/proc/self", root);
	int base_fd = open(root[0] ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int self_fd = open(self, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = 0;
	if (base_fd >= 0 && self_fd >= 0)
		count = find_with(self_fd, base_fd, version, path, fds);
	if (base_fd >= 0)
		close(base_fd);
	if (self_fd >= 0)
		close(self_fd);
	if (count)
		return count;
	/* Our mounts do not show it, as in another container: the target's may. */
	base_fd = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (base_fd < 0)
		return 0;
	count = find_with(proc_fd, base_fd, version, path, fds);
	close(base_fd);
	return count;
}
