/* SPDX-License-Identifier: MIT */
/*
 * Recognising CPython from outside. The object that defines PyMem_SetAllocator, or at least
 * Py_GetVersion, holds the interpreter. From 3.11 on its constant Py_Version says which one;
 * before, the text that Py_GetVersion built at start is looked for in its writable segments
 * ("3.8.18 (default, ..."), and failing that the literal among its constants. From 3.13 on
 * _PyRuntime opens with _Py_DebugOffsets (Include/internal/pycore_runtime.h,
 * pycore_debug_offsets.h), which must agree with our record.
 */
#include "inject/interpreter.h"

#include <ctype.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	VERSION_FIRST = 0x0308,         /* the oldest that we support */
	VERSION_DEBUG_OFFSETS = 0x030d, /* _Py_DebugOffsets exists from here on */
	SCAN_CHUNK_BYTES = 1 << 16,
	SCAN_OVERLAP_BYTES = 512,
	SCAN_MAX_BYTES = 1 << 25,
	MAX_MAJOR = 9,
	MAX_MINOR = 99,
	DEBUG_COOKIE_BYTES = 8,
};

/* Reads digits up to a limit; -1 when there are none or too many. */
static int take_digits(const char **text, int limit)
{
	int value = 0;
	const char *start = *text;
	while (isdigit((unsigned char)**text)) {
		value = value * 10 + (*(*text)++ - '0');
		if (value > limit)
			return -1;
	}
	return *text > start ? value : -1;
}

uint32_t ma_interpreter_version_hex(const char *text)
{
	static const struct {
		const char *mark;
		uint32_t level;
	} levels[] = {{"a", 0xa}, {"b", 0xb}, {"rc", 0xc}, {"c", 0xc}};
	uint32_t level = 0xf;
	int serial = 0;
	int major = take_digits(&text, MAX_MAJOR);
	if (major < 1 || *text++ != '.')
		return 0;
	int minor = take_digits(&text, MAX_MINOR);
	if (minor < 0 || *text++ != '.')
		return 0;
	int micro = take_digits(&text, 255);
	if (micro < 0)
		return 0;
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		size_t length = strlen(levels[i].mark);
		if (strncmp(text, levels[i].mark, length) != 0)
			continue;
		text += length;
		level = levels[i].level;
		serial = take_digits(&text, 15);
		if (serial < 0)
			return 0;
		break;
	}
	if (*text == '+') /* a build between two releases */
		text++;
	if (*text && *text != ' ')
		return 0;
	return (uint32_t)major << 24 | (uint32_t)minor << 16 | (uint32_t)micro << 8 | level << 4 |
	       (uint32_t)serial;
}

static void write_release(uint32_t version, char *text, size_t room)
{
	static const char *const marks[16] = {[0xa] = "a", [0xb] = "b", [0xc] = "rc"};
	const char *mark = marks[version >> 4 & 15];
	int used = snprintf(text, room, "%u.%u.%u", version >> 24, version >> 16 & 255,
			    version >> 8 & 255);
	if (mark && used > 0 && (size_t)used < room)
		snprintf(text + used, room - (size_t)used, "%s%u", mark, version & 15);
}

/*
 * Is there, at text (NUL-terminated), what Py_GetVersion builds: version, build info in
 * parentheses, compiler in brackets ("%.80s (%.80s) %.80s" of Python/getversion.c, 2.7 to 3.10)?
 */
static uint32_t built_version(const char *text)
{
	uint32_t version = ma_interpreter_version_hex(text);
	const char *build = version ? strstr(text, " (") : NULL;
	const char *compiler = build ? strstr(build, ") ") : NULL;
	return compiler && strchr(compiler, '[') ? version : 0;
}

/* The bare literal PY_VERSION; accepted only for a release of the minor version asked for. */
static uint32_t literal_version(const char *text)
{
	return strchr(text, ' ') ? 0 : ma_interpreter_version_hex(text);
}

struct scan {
	uint32_t (*judge)(const char *text);
	uint32_t wanted_minor; /* major << 8 | minor, 0 = any */
	uint32_t version;      /* found; 0 = none yet */
	bool ambiguous;
};

/* Looks at every string "N.…" whose dot is in buffer[2, dots); a NUL follows the buffer. */
static void scan_buffer(struct scan *scan, const char *buffer, size_t dots)
{
	const char *end = buffer + dots, *dot = buffer + 2;
	while (dot < end && (dot = memchr(dot, '.', (size_t)(end - dot)))) {
		const char *text = dot++ - 1;
		if (text[-1] || !isdigit((unsigned char)text[0]))
			continue;
		uint32_t version = scan->judge(text);
		if (!version || (scan->wanted_minor && version >> 16 != scan->wanted_minor))
			continue;
		scan->ambiguous |= scan->version && scan->version != version;
		scan->version = version;
	}
}

static int scan_segments(const struct ma_target_memory *memory, const struct ma_module *module,
			 int protection, struct scan *scan)
{
	char *buffer = malloc(SCAN_CHUNK_BYTES + 1);
	if (!buffer)
		return MA_ERR_FAILED;
	for (int i = 0; i < module->segment_count; i++) {
		const struct ma_segment *segment = &module->segment[i];
		if (segment->protection != protection)
			continue;
		for (uint64_t at = segment->start;
		     at < segment->end && at - segment->start < SCAN_MAX_BYTES;) {
			uint64_t left = segment->end - at;
			size_t want = left < SCAN_CHUNK_BYTES ? (size_t)left : SCAN_CHUNK_BYTES;
			size_t got = ma_memory_read_some(memory, ma_raddr(at), buffer, want, NULL);
			buffer[got] = '\0';
			bool more = got == want && left > want;
			scan_buffer(scan, buffer, more ? got - SCAN_OVERLAP_BYTES / 2 : got);
			if (!more)
				break;
			at += got - SCAN_OVERLAP_BYTES;
		}
	}
	free(buffer);
	return 0;
}

/* The minor version in a name like "libpython3.8.so.1.0" or "python3.8"; 0 = none. */
static uint32_t version_in_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *at = strstr(slash ? slash : path, "python");
	if (!at)
		return 0;
	at += strlen("python");
	int major = take_digits(&at, MAX_MAJOR);
	if (major < 1 || *at++ != '.')
		return 0;
	int minor = take_digits(&at, MAX_MINOR);
	return minor < 0 ? 0 : (uint32_t)major << 8 | (uint32_t)minor;
}

/* Version of the interpreter in this module; 0 = not to be told. */
static uint32_t read_version(const struct ma_target_memory *memory, const struct ma_module *module)
{
	struct ma_symbol symbol;
	uint64_t constant = 0;
	if (ma_module_symbol(memory, module, "Py_Version", &symbol, NULL) == 1 &&
	    !ma_memory_read_u64(memory, symbol.address, &constant, NULL) && constant &&
	    constant >> 32 == 0)
		return (uint32_t)constant;

	struct scan scan = {.judge = built_version};
	scan_segments(memory, module, PROT_READ | PROT_WRITE, &scan);
	if (scan.version && !scan.ambiguous)
		return scan.version;

	/* Too early: nobody has asked for the version text yet. */
	scan = (struct scan){
		.judge = literal_version,
		.wanted_minor = version_in_name(module->soname[0] ? module->soname : module->path)};
	if (!scan.wanted_minor)
		return 0;
	scan_segments(memory, module, PROT_READ, &scan);
	scan_segments(memory, module, PROT_READ | PROT_EXEC, &scan);
	return scan.ambiguous ? 0 : scan.version;
}

/* Other things that run Python code, by a symbol or by the name of an object. */
static const struct {
	const char *release;
	const char *symbol; /* NULL = only the name counts */
	const char *in_name;
} others[] = {
	{"PyPy", "pypy_main_startup", "libpypy"},
	{"PyPy", "rpython_startup_code", "pypy"},
	{"GraalPy", NULL, "libpythonvm"},
	{"GraalPy", NULL, "graalpy"},
	{"Pyston", NULL, "pyston"},
	{"MicroPython", NULL, "micropython"},
};

static const char *other_by_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
		if (strstr(slash ? slash : path, others[k].in_name))
			return others[k].release;
	}
	return NULL;
}

static const char *other_python(const struct ma_target_memory *memory,
				const struct ma_link_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct ma_module *module = &map->object[i].module;
		const char *name = other_by_name(module->path);
		struct ma_symbol symbol;
		for (size_t k = 0; !name && k < sizeof others / sizeof *others; k++) {
			if (others[k].symbol && map->object[i].usable &&
			    ma_module_symbol(memory, module, others[k].symbol, &symbol, NULL) == 1)
				name = others[k].release;
		}
		if (name)
			return name;
	}
	return NULL;
}

static int refuse(struct ma_interpreter *interpreter, const struct ma_target_memory *memory,
		  const char *release, const char *answer, const char *remedy,
		  struct ma_error *error)
{
	if (release)
		snprintf(interpreter->release, sizeof interpreter->release, "%s", release);
	ma_error_set(error, MA_ERR_NOT_PYTHON, 0, "recognising the Python of process %d",
		     (int)memory->pid);
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", remedy);
	return MA_ERR_NOT_PYTHON;
}

static const char supported[] = "memattach supports CPython 3.8 to 3.15 with the GIL";

/* No object defines the interpreter: say what it is. */
static int refuse_other(struct ma_interpreter *interpreter, const struct ma_target_memory *memory,
			const struct ma_link_map *map, struct ma_error *error)
{
	char answer[200];
	const char *name = other_python(memory, map);
	if (name) {
		snprintf(answer, sizeof answer, "it is %s", name);
		return refuse(interpreter, memory, name, answer, supported, error);
	}
	snprintf(answer, sizeof answer, "it is not Python (%.150s)", map->object[0].module.path);
	return refuse(interpreter, memory, "not Python", answer,
		      "`memattach ps` lists the Python processes here", error);
}

/* Which object defines the interpreter? Returns its index, or SIZE_MAX; negative through *code. */
static size_t find_object(const struct ma_target_memory *memory, const struct ma_link_map *map,
			  int *code, struct ma_error *error)
{
	static const char *const marks[] = {"PyMem_SetAllocator", "Py_GetVersion"};
	*code = 0;
	for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
		for (size_t i = 0; i < map->count; i++) {
			struct ma_symbol symbol;
			if (!map->object[i].usable)
				continue;
			int found = ma_module_symbol(memory, &map->object[i].module, marks[k],
						     &symbol, error);
			if (found < 0)
				*code = found;
			if (found)
				return found < 0 ? SIZE_MAX : i;
		}
	}
	return SIZE_MAX;
}

/*
 * The addresses that the hook and the frame walk need. Functions are the interpreter's own; its
 * data is wherever the first definition is, because a program linked against libpython may hold the
 * one copy of it (R_X86_64_COPY).
 */
static int find_addresses(const struct ma_target_memory *memory, const struct ma_link_map *map,
			  struct ma_interpreter *interpreter, struct ma_error *error)
{
	const struct {
		const char *name;
		struct ma_raddr *address;
		bool data;
	} wanted[] = {
		{"_PyRuntime", &interpreter->runtime, true},
		{"PyMem_GetAllocator", &interpreter->get_allocator, false},
		{"PyMem_SetAllocator", &interpreter->set_allocator, false},
		{"PyObject_GetArenaAllocator", &interpreter->get_arena_allocator, false},
		{"PyObject_SetArenaAllocator", &interpreter->set_arena_allocator, false},
		{"PyGILState_GetThisThreadState", &interpreter->this_thread_state, false},
	};
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		struct ma_symbol symbol;
		size_t object = interpreter->object;
		int found = wanted[i].data ? ma_link_map_symbol(memory, map, wanted[i].name, 0,
								&symbol, &object, error)
					   : ma_module_symbol(memory, &map->object[object].module,
							      wanted[i].name, &symbol, error);
		if (found < 0)
			return found;
		const struct ma_segment *segment =
			found ? ma_module_segment(&map->object[object].module, symbol.address.value,
						  1)
			      : NULL;
		int need = wanted[i].data ? PROT_WRITE : PROT_EXEC;
		if (!segment || !(segment->protection & need) || symbol.type == STT_GNU_IFUNC) {
			char answer[200];
			snprintf(answer, sizeof answer, "its interpreter does not export %s",
				 wanted[i].name);
			return refuse(interpreter, memory, NULL, answer, supported, error);
		}
		*wanted[i].address = symbol.address;
	}
	return 0;
}

/* Reads _Py_DebugOffsets and compares it with the record of this version. */
static int check_debug_offsets(const struct ma_target_memory *memory,
			       struct ma_interpreter *interpreter, struct ma_error *error)
{
	enum { FREE_THREADED_AT = 16 };
	size_t count, last = FREE_THREADED_AT;
	const struct ma_py_debug_word *words =
		ma_py_layout_debug_words(interpreter->layout.version, &count);
	uint64_t raw[512];
	char answer[200];

	for (size_t i = 0; i < count; i++)
		last = words[i].at > last ? words[i].at : last;
	if (!count || last + sizeof *raw > sizeof raw)
		return refuse(interpreter, memory, NULL, "its struct layouts are not known to us",
			      supported, error);
	int code = ma_memory_read(memory, interpreter->runtime, raw, last + sizeof *raw, error);
	if (code)
		return code;
	if (memcmp(raw, MA_PY_DEBUG_COOKIE, DEBUG_COOKIE_BYTES) != 0)
		return refuse(interpreter, memory, NULL,
			      "its _PyRuntime does not begin with _Py_DebugOffsets", supported,
			      error);
	if (raw[FREE_THREADED_AT / sizeof *raw] == 1) {
		char release[sizeof interpreter->release];
		snprintf(release, sizeof release, "%s", interpreter->release);
		interpreter->free_threaded = true;
		snprintf(answer, sizeof answer, "it is a free-threaded build of Python %s",
			 release);
		return refuse(interpreter, memory, NULL, answer, supported, error);
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t value;
		memcpy(&value, (char *)raw + words[i].at, sizeof value);
		if (value >> words[i].shift == words[i].value)
			continue;
		snprintf(answer, sizeof answer,
			 "its structs are laid out otherwise than in the Python %s that we know "
			 "(_Py_DebugOffsets, byte %u: %llu)",
			 interpreter->release, words[i].at, (unsigned long long)value);
		return refuse(interpreter, memory, NULL, answer, supported, error);
	}
	interpreter->debug_offsets = true;
	return 0;
}

static int check_version(const struct ma_target_memory *memory, const struct ma_module *module,
			 struct ma_interpreter *interpreter, struct ma_error *error)
{
	char answer[200], release[sizeof interpreter->release];
	interpreter->version = read_version(memory, module);
	if (!interpreter->version) {
		snprintf(answer, sizeof answer, "%.150s holds a Python of an unknown version",
			 module->path);
		return refuse(interpreter, memory, "Python ?", answer, supported, error);
	}
	write_release(interpreter->version, interpreter->release, sizeof interpreter->release);
	uint32_t minor = interpreter->version >> 16;
	const struct ma_py_layout *layout = ma_py_layout_find(minor);
	if (minor < VERSION_FIRST || !layout) {
		snprintf(release, sizeof release, "Python %u.%u", minor >> 8, minor & 255);
		snprintf(answer, sizeof answer, "it is Python %s: %s", interpreter->release,
			 minor < VERSION_FIRST ? "too old" : "newer than this memattach");
		return refuse(interpreter, memory, release, answer, supported, error);
	}
	interpreter->layout = *layout;
	return 0;
}

int ma_interpreter_find(const struct ma_target_memory *memory, const struct ma_link_map *map,
			struct ma_interpreter *interpreter, struct ma_error *error)
{
	int code;
	*interpreter = (struct ma_interpreter){.object = SIZE_MAX};
	if (!map->count)
		return refuse(interpreter, memory, NULL, "it has no loaded objects", supported,
			      error);
	interpreter->object = find_object(memory, map, &code, error);
	if (code)
		return code;
	if (interpreter->object == SIZE_MAX)
		return refuse_other(interpreter, memory, map, error);
	const struct ma_module *module = &map->object[interpreter->object].module;
	if (other_by_name(module->path))
		return refuse_other(interpreter, memory, map, error);
	code = check_version(memory, module, interpreter, error);
	if (!code)
		code = find_addresses(memory, map, interpreter, error);
	if (!code && interpreter->layout.version >= VERSION_DEBUG_OFFSETS)
		code = check_debug_offsets(memory, interpreter, error);
	return code;
}

bool ma_interpreter_named(const char *path)
{
	static const char *const beginnings[] = {"python", "libpython", "pypy", "libpypy",
						 "graalpy"};
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
		if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	}
	/* Extension modules, which a program that embeds Python loads. */
	return strstr(name, ".cpython-3") || strstr(path, "/lib-dynload/");
}
