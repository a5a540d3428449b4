/* SPDX-License-Identifier: MIT */
/*
 * See symbol_child.h. Each file is a Dwfl of its own, at the addresses that the file itself counts.
 * libdwfl asks for the separate debug file when it needs it, and for the one that this shares with
 * others; both questions go to the daemon, who can open files, and what comes is believed only when
 * its build-id or its checksum is the one that was asked for.
 */
#include "daemon/symbol_child.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "daemon/confine.h"
#include "daemon/symbol_packet.h"
#include "proto/cold_part.h"

#define LOOP "_PyEval_EvalFrameDefault"

enum { CHECKSUM_STEP = 1 << 16 };

/* A file that is open. */
struct slot {
	Dwfl *dwfl; /* NULL: none */
	Dwfl_Module *module;
	struct ma_code_names *names;
	uint32_t flags;
	struct ma_code_range cold_loop; /* of the interpreter; no symbol may cover it */
	bool searched;                  /* for that */
	/* Of the file that its debug file shares with others; 0 bytes: none. */
	uint8_t shared_id[MA_BUILD_ID_BYTES];
	uint32_t shared_id_bytes;
	bool debug_found;
};

struct child {
	int socket;
	struct slot slots[MA_SYMBOL_SLOTS];
	struct ma_symbol_ask ask;
	struct ma_symbol_place place;
};

/* libdwfl hands our callbacks one pointer for each module: it leads here. */
struct asking {
	struct child *child;
	struct slot *slot;
};

static bool has_build_id(int fd, const struct ma_symbol_want *want)
{
	const void *found;
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	bool same = false;
	if (elf) {
		ssize_t bytes = dwelf_elf_gnu_build_id(elf, &found);
		same = bytes == (ssize_t)want->build_id_bytes &&
		       memcmp(found, want->build_id, (size_t)bytes) == 0;
		elf_end(elf);
	}
	return same;
}

static bool has_checksum(int fd, GElf_Word checksum)
{
	static unsigned char buffer[CHECKSUM_STEP];
	uLong sum = crc32(0, NULL, 0);
	ssize_t got;
	for (off_t at = 0; (got = pread(fd, buffer, sizeof buffer, at)) > 0; at += got)
		sum = crc32(sum, buffer, (uInt)got);
	return got == 0 && (GElf_Word)sum == checksum;
}

/* Asks for a file until one is the right one. Returns its descriptor, or -1. */
static int ask_for(struct child *child, struct ma_symbol_want *want, GElf_Word checksum)
{
	for (want->attempt = 0;; want->attempt++) {
		struct ma_symbol_ask answer;
		int fd;
		if (ma_confined_send(child->socket, want, sizeof *want, -1, 0) < 0 ||
		    ma_confined_receive(child->socket, &answer, sizeof answer, &fd, 0) <= 0 ||
		    fd < 0)
			return -1;
		if (want->build_id_bytes ? has_build_id(fd, want) : has_checksum(fd, checksum))
			return fd;
		close(fd);
	}
}

/* Remembers what file a debug file refers to. */
static void note_shared(struct slot *slot, int fd)
{
	const char *name;
	const void *id;
	Dwarf *dwarf = dwarf_begin(fd, DWARF_C_READ);
	ssize_t bytes = dwarf ? dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id) : 0;
	if (bytes > 0 && bytes <= MA_BUILD_ID_BYTES) {
		memcpy(slot->shared_id, id, (size_t)bytes);
		slot->shared_id_bytes = (uint32_t)bytes;
	}
	if (dwarf)
		dwarf_end(dwarf);
}

static int find_debug_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			   const char *file, const char *link, GElf_Word checksum, char **found)
{
	(void)name, (void)base, (void)file, (void)found;
	const struct asking *asking = *userdata;
	struct slot *slot = asking->slot;
	struct ma_symbol_want want = {.kind = MA_SYMBOL_WANT, .alternate = slot->debug_found};
	const unsigned char *id;
	GElf_Addr address;
	int bytes = dwfl_module_build_id(module, &id, &address);
	if (slot->flags & MA_SYMBOL_NAMES_ONLY)
		return -1;
	if (slot->debug_found) {
		/* The second question is for the shared file. */
		want.build_id_bytes = slot->shared_id_bytes;
		memcpy(want.build_id, slot->shared_id, sizeof want.build_id);
	} else if (bytes > 0 && bytes <= MA_BUILD_ID_BYTES) {
		want.build_id_bytes = (uint32_t)bytes;
		memcpy(want.build_id, id, (size_t)bytes);
	}
	if (link)
		snprintf(want.link, sizeof want.link, "%s", link);
	if (!want.build_id_bytes && (!want.link[0] || want.alternate))
		return -1;
	int fd = ask_for(asking->child, &want, checksum);
	if (fd >= 0 && !slot->debug_found) {
		slot->debug_found = true;
		note_shared(slot, fd);
	}
	return fd;
}

static int find_no_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			char **file_name, Elf **elf)
{
	(void)module, (void)userdata, (void)name, (void)base, (void)file_name, (void)elf;
	return -1; /* it is given from the start */
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_no_file,
	.find_debuginfo = find_debug_file,
};

static void close_slot(struct slot *slot)
{
	ma_code_names_destroy(slot->names);
	if (slot->dwfl)
		dwfl_end(slot->dwfl);
	*slot = (struct slot){0};
}

/* Reads code by the file's own addresses: a ma_code_source's. */
static int read_code(void *context, uint64_t address, void *buffer, size_t bytes)
{
	Elf *elf = context;
	size_t count, size;
	const char *file = elf_rawfile(elf, &size);
	if (!file || elf_getphdrnum(elf, &count) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;
		if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD ||
		    address < header.p_vaddr || address - header.p_vaddr >= header.p_filesz ||
		    bytes > header.p_filesz - (address - header.p_vaddr))
			continue;
		uint64_t offset = header.p_offset + (address - header.p_vaddr);
		if (offset > size || bytes > size - offset)
			return -1;
		memcpy(buffer, file + offset, bytes);
		return 0;
	}
	return -1;
}

static uint64_t find_unwind_header(Elf *elf)
{
	size_t count;
	if (elf_getphdrnum(elf, &count) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;
		if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_GNU_EH_FRAME)
			return header.p_vaddr;
	}
	return 0;
}

/* The part of the interpreter's loop that lies apart, where symbols do not say. Only between a
 * question and its answers: libdwfl may ask for the debug file. */
static void find_cold_loop(struct slot *slot)
{
	GElf_Addr bias;
	if (slot->searched || !(slot->flags & MA_SYMBOL_INTERPRETER))
		return;
	slot->searched = true;
	Elf *elf = dwfl_module_getelf(slot->module, &bias);
	int symbols = elf ? dwfl_module_getsymtab(slot->module) : 0;
	for (int i = 1; i < symbols; i++) {
		GElf_Sym symbol;
		GElf_Addr address;
		const char *name = dwfl_module_getsym_info(slot->module, i, &symbol, &address, NULL,
							   NULL, NULL);
		if (!name || strcmp(name, LOOP) != 0 || !symbol.st_size)
			continue;
		const struct ma_code_range loop = {address - bias, address - bias + symbol.st_size};
		const struct ma_code_source source = {
			.read = read_code,
			.context = elf,
			.unwind_header = find_unwind_header(elf),
		};
		if (!ma_cold_part_find(&source, &loop, &slot->cold_loop))
			slot->cold_loop = (struct ma_code_range){0};
		return;
	}
}

static void open_slot(struct child *child, struct slot *slot, uint32_t flags, int fd)
{
	static struct asking asking[MA_SYMBOL_SLOTS];
	struct asking *ours = &asking[slot - child->slots];
	void **userdata;
	close_slot(slot);
	*ours = (struct asking){child, slot};
	slot->flags = flags;
	slot->dwfl = dwfl_begin(&callbacks);
	slot->names = ma_code_names_create(!(flags & MA_SYMBOL_NAMES_ONLY));
	if (slot->dwfl && slot->names) {
		dwfl_report_begin(slot->dwfl);
		/* From here on the descriptor is libdwfl's. */
		slot->module = dwfl_report_elf(slot->dwfl, "file", "file", fd, 0, true);
		if (slot->module)
			fd = -1;
		dwfl_report_end(slot->dwfl, NULL, NULL);
	}
	if (fd >= 0)
		close(fd);
	if (!slot->module)
		return;
	dwfl_module_info(slot->module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = ours;
}

/* The offset of a copy of a text in the answer; 0: there is none, or no room. */
static uint32_t add_text(struct ma_symbol_place *place, const char *text)
{
	size_t length = text ? strnlen(text, MA_CODE_NAME_BYTES) : 0;
	uint32_t at = place->text_bytes;
	if (!length || length + 1 > sizeof place->text - at)
		return 0;
	memcpy(place->text + at, text, length);
	place->text[at + length] = 0;
	place->text_bytes += (uint32_t)length + 1;
	return at;
}

static void look(const struct slot *slot, uint64_t address, struct ma_symbol_place *place)
{
	const struct ma_code_place *found = ma_code_names_find(slot->names, slot->module, address);
	for (int i = 0; i < found->count; i++) {
		const struct ma_code_line *from = &found->line[i];
		place->line[place->count++] = (struct ma_symbol_line){
			.function = add_text(place, from->function),
			.linkage = add_text(place, from->linkage),
			.file = add_text(place, from->file),
			.line = from->line,
			.first_line = from->first_line,
		};
	}
	if (!found->count && address >= slot->cold_loop.start && address < slot->cold_loop.end)
		place->line[place->count++] =
			(struct ma_symbol_line){.function = add_text(place, LOOP ".cold")};
}

static bool answer(struct child *child, struct slot *slot)
{
	struct ma_symbol_place *place = &child->place;
	if (slot->module)
		find_cold_loop(slot);
	for (uint32_t i = 0; i < child->ask.count && i < MA_SYMBOL_BATCH; i++) {
		*place = (struct ma_symbol_place){
			.kind = MA_SYMBOL_PLACE, .index = i, .text_bytes = 1};
		if (slot->module)
			look(slot, child->ask.address[i], place);
		if (ma_confined_send(child->socket, place,
				     offsetof(struct ma_symbol_place, text) + place->text_bytes, -1,
				     0) < 0)
			return false;
	}
	return true;
}

void ma_symbol_child(int socket)
{
	struct child *child = calloc(1, sizeof *child);
	bool open = child != NULL;
	int fd;
	elf_version(EV_CURRENT);
	if (child)
		child->socket = socket;
	while (open && ma_confined_receive(socket, &child->ask, sizeof child->ask, &fd, 0) > 0) {
		struct slot *slot = &child->slots[child->ask.slot % MA_SYMBOL_SLOTS];
		if (child->ask.kind == MA_SYMBOL_OPEN && fd >= 0)
			open_slot(child, slot, child->ask.flags, fd);
		else if (fd >= 0)
			close(fd);
		if (child->ask.kind == MA_SYMBOL_LOOK)
			open = answer(child, slot);
	}
	free(child);
}
