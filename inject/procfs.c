/* SPDX-License-Identifier: MIT */
/*
 * Parsers and readers of /proc/PID files (proc(5) and the kernel's Documentation/filesystems/proc).
 * A comm may hold any byte but NUL, so stat is parsed from its last ')' and status by line starts.
 */
#include "inject/procfs.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FIRST_CHUNK_BYTES = 16384,
	SMALL_FILE_BYTES = 1 << 20,
	COMMAND_MAX_BYTES = 1 << 16,
};

static enum ma_err code_of_errno(int sys_errno)
{
	switch (sys_errno) {
	case ENOENT:
	case ESRCH:
		return MA_ERR_NO_PROCESS;
	case EACCES:
	case EPERM:
		return MA_ERR_PERMISSION;
	default:
		return MA_ERR_FAILED;
	}
}

int ma_proc_slurp(const char *path, size_t max_bytes, char **text, size_t *bytes,
		  struct ma_error *error)
{
	size_t room = FIRST_CHUNK_BYTES, used = 0;
	int sys_errno = 0;
	char *buffer = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		sys_errno = errno;
	while (fd >= 0) {
		char *grown = used + 1 < room && buffer ? buffer : realloc(buffer, room *= 2);
		if (!grown) {
			sys_errno = ENOMEM;
			break;
		}
		buffer = grown;
		ssize_t now = read(fd, buffer + used, room - 1 - used);
		if (now < 0 && errno == EINTR)
			continue;
		if (now < 0)
			sys_errno = errno;
		if (now <= 0)
			break;
		used += (size_t)now;
		if (used > max_bytes) {
			sys_errno = EFBIG;
			break;
		}
	}
	if (fd >= 0)
		close(fd);
	if (sys_errno) {
		free(buffer);
		return ma_error_set(error, code_of_errno(sys_errno), sys_errno, "reading %s", path);
	}
	buffer[used] = '\0';
	*text = buffer;
	*bytes = used;
	return 0;
}

int64_t ma_proc_number(const char *path, int64_t fallback)
{
	char *text;
	size_t bytes;
	if (ma_proc_slurp(path, SMALL_FILE_BYTES, &text, &bytes, NULL))
		return fallback;
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	bool good = end != text && !errno;
	free(text);
	return good ? value : fallback;
}

static int slurp_of(pid_t pid, pid_t tid, const char *name, char **text, size_t *bytes,
		    struct ma_error *error)
{
	char path[96];
	if (tid)
		snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	else
		snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return ma_proc_slurp(path, SMALL_FILE_BYTES, text, bytes, error);
}

/* The kernel escapes newlines and backslashes in status's Name as \n and \\ (ESCAPE_SPACE rules).
 */
static void unescape_name(const char *value, char *name, size_t room)
{
	size_t used = 0;
	while (*value && *value != '\n' && used + 1 < room) {
		if (value[0] == '\\' && (value[1] == 'n' || value[1] == '\\')) {
			name[used++] = value[1] == 'n' ? '\n' : '\\';
			value += 2;
		} else {
			name[used++] = *value++;
		}
	}
	name[used] = '\0';
}

enum field_kind {
	FIELD_INT,     /* decimal into int */
	FIELD_UINT,    /* decimal into uint32_t */
	FIELD_MASK,    /* hexadecimal into uint64_t */
	FIELD_KIB,     /* "n kB" into uint64_t bytes */
	FIELD_BOOL,    /* 0 or 1 */
	FIELD_IDS,     /* four decimals */
	FIELD_NS_TGID, /* a list, outermost namespace first */
	FIELD_NS_PID,
	FIELD_STATE,
	FIELD_NAME,
	FIELD_THREAD_FEATURES,
};

static const struct {
	const char *key;
	enum field_kind kind;
	size_t offset;
} status_fields[] = {
	{"Name:", FIELD_NAME, 0},
	{"State:", FIELD_STATE, 0},
	{"Tgid:", FIELD_INT, offsetof(struct ma_proc_status, tgid)},
	{"PPid:", FIELD_INT, offsetof(struct ma_proc_status, ppid)},
	{"TracerPid:", FIELD_INT, offsetof(struct ma_proc_status, tracer)},
	{"Uid:", FIELD_IDS, offsetof(struct ma_proc_status, uid)},
	{"Gid:", FIELD_IDS, offsetof(struct ma_proc_status, gid)},
	{"NStgid:", FIELD_NS_TGID, 0},
	{"NSpid:", FIELD_NS_PID, 0},
	{"Kthread:", FIELD_BOOL, offsetof(struct ma_proc_status, kernel_thread)},
	{"VmSize:", FIELD_KIB, offsetof(struct ma_proc_status, virtual_bytes)},
	{"VmRSS:", FIELD_KIB, offsetof(struct ma_proc_status, rss_bytes)},
	{"Threads:", FIELD_UINT, offsetof(struct ma_proc_status, threads)},
	{"SigPnd:", FIELD_MASK, offsetof(struct ma_proc_status, signals_pending)},
	{"ShdPnd:", FIELD_MASK, offsetof(struct ma_proc_status, signals_shared)},
	{"SigBlk:", FIELD_MASK, offsetof(struct ma_proc_status, signals_blocked)},
	{"SigIgn:", FIELD_MASK, offsetof(struct ma_proc_status, signals_ignored)},
	{"SigCgt:", FIELD_MASK, offsetof(struct ma_proc_status, signals_caught)},
	{"CapPrm:", FIELD_MASK, offsetof(struct ma_proc_status, cap_permitted)},
	{"CapEff:", FIELD_MASK, offsetof(struct ma_proc_status, cap_effective)},
	{"NoNewPrivs:", FIELD_BOOL, offsetof(struct ma_proc_status, no_new_privs)},
	{"Seccomp:", FIELD_INT, offsetof(struct ma_proc_status, seccomp)},
	{"Seccomp_filters:", FIELD_INT, offsetof(struct ma_proc_status, seccomp_filters)},
	{"x86_Thread_features:", FIELD_THREAD_FEATURES, 0},
};

/* The last number of a blank-separated list, and how many there are. */
static int last_of_list(const char *value, int *count)
{
	int last = 0;
	*count = 0;
	for (;;) {
		char *end;
		while (*value == '\t' || *value == ' ')
			value++;
		if (*value < '0' || *value > '9')
			return last;
		last = (int)strtol(value, &end, 10);
		value = end;
		++*count;
	}
}

static void take_thread_features(const char *value, struct ma_proc_status *status)
{
	static const char shadow_stack[] = "shstk";
	status->shadow_stack =
		memmem(value, strcspn(value, "\n"), shadow_stack, sizeof shadow_stack - 1) != NULL;
}

static void take_ids(const char *value, uint32_t ids[4])
{
	for (int i = 0; i < 4; i++) {
		char *end;
		ids[i] = (uint32_t)strtoul(value, &end, 10);
		if (end == value)
			return;
		value = end;
	}
}

static void take_field(size_t index, const char *value, struct ma_proc_status *status)
{
	void *field = (char *)status + status_fields[index].offset;
	int depth;
	switch (status_fields[index].kind) {
	case FIELD_INT:
		*(int *)field = (int)strtol(value, NULL, 10);
		break;
	case FIELD_UINT:
		*(uint32_t *)field = (uint32_t)strtoul(value, NULL, 10);
		break;
	case FIELD_MASK:
		*(uint64_t *)field = strtoull(value, NULL, 16);
		break;
	case FIELD_KIB:
		*(uint64_t *)field = strtoull(value, NULL, 10) * 1024;
		break;
	case FIELD_BOOL:
		*(bool *)field = strtol(value, NULL, 10) != 0;
		break;
	case FIELD_IDS:
		take_ids(value, field);
		break;
	case FIELD_NS_TGID:
		status->ns_tgid = last_of_list(value, &depth);
		break;
	case FIELD_NS_PID:
		status->ns_pid = last_of_list(value, &depth);
		status->ns_depth = depth ? depth - 1 : 0;
		status->ns_known = depth > 0;
		break;
	case FIELD_STATE:
		status->state = value[strspn(value, "\t ")];
		break;
	case FIELD_NAME:
		unescape_name(value + (*value == '\t'), status->name, sizeof status->name);
		break;
	case FIELD_THREAD_FEATURES:
		take_thread_features(value, status);
		break;
	}
}

int ma_proc_status_parse(const char *text, size_t bytes, struct ma_proc_status *status,
			 struct ma_error *error)
{
	*status = (struct ma_proc_status){.seccomp = -1, .seccomp_filters = -1, .state = '?'};
	const char *end = text + bytes;
	for (const char *line = text; line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		for (size_t i = 0; i < sizeof status_fields / sizeof *status_fields; i++) {
			size_t length = strlen(status_fields[i].key);
			if ((size_t)(end - line) > length &&
			    memcmp(line, status_fields[i].key, length) == 0)
				take_field(i, line + length, status);
		}
		if (!next)
			break;
		line = next + 1;
	}
	if (!status->tgid || status->state == '?') {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "parsing a process's status");
		ma_error_answer(error, "Tgid or State is missing");
		return MA_ERR_PROTOCOL;
	}
	if (!status->ns_known)
		status->ns_tgid = status->tgid;
	/* Kthread: is new in Linux 6.8; before that a live process without memory is one. */
	if (!status->virtual_bytes && (status->tgid == 2 || status->ppid == 2) &&
	    !strchr("ZX", status->state))
		status->kernel_thread = true;
	return 0;
}

int ma_proc_status_read(pid_t pid, pid_t tid, struct ma_proc_status *status, struct ma_error *error)
{
	char *text;
	size_t bytes;
	int code = slurp_of(pid, tid, "status", &text, &bytes, error);
	if (code)
		return code;
	code = ma_proc_status_parse(text, bytes, status, error);
	free(text);
	return code;
}

int ma_proc_stat_parse(const char *text, size_t bytes, struct ma_proc_stat *stat,
		       struct ma_error *error)
{
	*stat = (struct ma_proc_stat){.state = '?'};
	const char *open = memchr(text, '(', bytes), *close = memrchr(text, ')', bytes);
	long long ppid;
	unsigned long long start, size, rss;
	/* proc_pid_stat(5): fields 3 state, 4 ppid, 22 starttime, 23 vsize, 24 rss. */
	if (!open || !close || close < open ||
	    sscanf(close + 1,
		   " %c %lld %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%llu %llu %llu",
		   &stat->state, &ppid, &start, &size, &rss) != 5) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "parsing a process's stat");
		ma_error_answer(error, "fields are missing");
		return MA_ERR_PROTOCOL;
	}
	size_t length = (size_t)(close - open) - 1;
	if (length >= sizeof stat->comm)
		length = sizeof stat->comm - 1;
	memcpy(stat->comm, open + 1, length);
	stat->comm[length] = '\0';
	stat->ppid = (pid_t)ppid;
	stat->start_ticks = start;
	stat->virtual_bytes = size;
	stat->rss_pages = rss;
	return 0;
}

int ma_proc_stat_read(pid_t pid, pid_t tid, struct ma_proc_stat *stat, struct ma_error *error)
{
	char *text;
	size_t bytes;
	int code = slurp_of(pid, tid, "stat", &text, &bytes, error);
	if (code)
		return code;
	code = ma_proc_stat_parse(text, bytes, stat, error);
	free(text);
	return code;
}

int ma_proc_syscall_parse(const char *text, size_t bytes, struct ma_proc_syscall *call,
			  struct ma_error *error)
{
	*call = (struct ma_proc_syscall){.number = -1};
	if (bytes >= 7 && memcmp(text, "running", 7) == 0) {
		call->running = true;
		return 0;
	}
	long long number = 0;
	unsigned long long value[8] = {0};
	int got =
		sscanf(text, "%lld %llx %llx %llx %llx %llx %llx %llx %llx", &number, &value[0],
		       &value[1], &value[2], &value[3], &value[4], &value[5], &value[6], &value[7]);
	if (got == 3 && number == -1) { /* asleep outside a system call: "-1 sp pc" */
		call->sp = value[0];
		call->pc = value[1];
		return 0;
	}
	if (got != 9) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "parsing a thread's system call");
		return MA_ERR_PROTOCOL;
	}
	call->number = number;
	for (int i = 0; i < 6; i++)
		call->args[i] = value[i];
	call->sp = value[6];
	call->pc = value[7];
	return 0;
}

int ma_proc_syscall_read(pid_t pid, pid_t tid, struct ma_proc_syscall *call, struct ma_error *error)
{
	char *text;
	size_t bytes;
	int code = slurp_of(pid, tid, "syscall", &text, &bytes, error);
	if (code)
		return code;
	code = ma_proc_syscall_parse(text, bytes, call, error);
	free(text);
	return code;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

/* The all-digit names of a directory, ascending. */
static int list_numbers(const char *path, pid_t **list, size_t *count, struct ma_error *error)
{
	size_t room = 0, used = 0;
	pid_t *ids = NULL;
	int sys_errno = 0;
	DIR *directory = opendir(path);
	if (!directory)
		return ma_error_set(error, code_of_errno(errno), errno, "listing %s", path);
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(directory);
		if (!entry) {
			sys_errno = errno;
			break;
		}
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (used == room) {
			room = room ? room * 2 : 64;
			pid_t *grown = reallocarray(ids, room, sizeof *ids);
			if (!grown) {
				sys_errno = ENOMEM;
				break;
			}
			ids = grown;
		}
		ids[used++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(directory);
	if (sys_errno || !used) {
		free(ids);
		return ma_error_set(error, code_of_errno(sys_errno ? sys_errno : ESRCH),
				    sys_errno ? sys_errno : ESRCH, "listing %s", path);
	}
	qsort(ids, used, sizeof *ids, by_pid);
	*list = ids;
	*count = used;
	return 0;
}

int ma_proc_tasks(pid_t pid, pid_t **tids, size_t *count, struct ma_error *error)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	return list_numbers(path, tids, count, error);
}

int ma_proc_pids(pid_t **pids, size_t *count, struct ma_error *error)
{
	return list_numbers("/proc", pids, count, error);
}

void ma_proc_comm(pid_t pid, char *comm, size_t room)
{
	char *text;
	size_t bytes;
	snprintf(comm, room, "?");
	if (slurp_of(pid, 0, "comm", &text, &bytes, NULL))
		return;
	if (bytes && text[bytes - 1] == '\n')
		text[bytes - 1] = '\0';
	snprintf(comm, room, "%s", text);
	free(text);
}

void ma_proc_command(pid_t pid, char *command, size_t room)
{
	char *text = NULL;
	size_t bytes = 0;
	if (slurp_of(pid, 0, "cmdline", &text, &bytes, NULL) || !bytes) {
		char comm[64];
		ma_proc_comm(pid, comm, sizeof comm);
		snprintf(command, room, "[%s]", comm);
		free(text);
		return;
	}
	while (bytes && (text[bytes - 1] == '\0' || text[bytes - 1] == ' '))
		bytes--; /* setproctitle pads with NULs or blanks */
	if (bytes >= room)
		bytes = room - 1;
	for (size_t i = 0; i < bytes; i++)
		command[i] = text[i] ? text[i] : ' ';
	command[bytes] = '\0';
	free(text);
}

int ma_proc_link(pid_t pid, const char *name, char *text, size_t room)
{
	char path[96];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	ssize_t length = readlink(path, text, room - 1);
	int sys_errno = errno;
	text[length > 0 ? length : 0] = '\0';
	return length < 0 ? -sys_errno : 0;
}

int ma_proc_auxv_read(pid_t pid, struct ma_proc_auxv *auxv, struct ma_error *error)
{
	char *text;
	size_t bytes;
	*auxv = (struct ma_proc_auxv){0};
	int code = slurp_of(pid, 0, "auxv", &text, &bytes, error);
	if (code)
		return code;
	for (size_t at = 0; at + 16 <= bytes; at += 16) {
		uint64_t pair[2];
		memcpy(pair, text + at, sizeof pair);
		switch (pair[0]) {
		case AT_PHDR:
			auxv->phdr = pair[1];
			break;
		case AT_PHNUM:
			auxv->phdr_count = pair[1];
			break;
		case AT_ENTRY:
			auxv->entry = pair[1];
			break;
		case AT_BASE:
			auxv->interpreter_base = pair[1];
			break;
		case AT_SYSINFO_EHDR:
			auxv->vdso = pair[1];
			break;
		}
	}
	free(text);
	return 0;
}

uint64_t ma_proc_limit(pid_t pid, const char *name)
{
	char *text;
	size_t bytes;
	uint64_t value = UINT64_MAX;
	if (slurp_of(pid, 0, "limits", &text, &bytes, NULL))
		return value;
	const char *line = strstr(text, name);
	if (line) {
		char *end;
		const char *at = line + strlen(name);
		unsigned long long number = strtoull(at, &end, 10);
		if (end != at)
			value = number; /* "unlimited" does not parse and stays UINT64_MAX */
	}
	free(text);
	return value;
}

int ma_proc_elf_class(pid_t pid)
{
	char path[64];
	unsigned char ident[EI_NIDENT];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, ident, sizeof ident);
	close(fd);
	if (got != (ssize_t)sizeof ident || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return 0;
	return ident[EI_CLASS];
}
