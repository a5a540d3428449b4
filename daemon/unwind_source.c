/* SPDX-License-Identifier: MIT */
/*
 * See unwind_source.h. ELF-64 gABI; .eh_frame and .eh_frame_hdr as the Linux Standard Base has
 * them. Every number from the file is checked against the file's size before it is used.
 */
#include "daemon/unwind_source.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/unwind_table.h"

enum {
	SEGMENTS_MAX = 256,
	NAMES_BYTES_MAX = 1 << 20,
	NOTES_BYTES_MAX = 64 << 10,
	SECTION_BYTES_MAX = 128 << 20,
	EH_PE_OMIT = 0xff, /* of .eh_frame_hdr */
	EH_PE_PCREL_SDATA4 = 0x1b,
	PAGE = 4096,
};

struct file {
	int fd;
	uint64_t size;
	Elf64_Ehdr head;
	Elf64_Phdr segments[SEGMENTS_MAX];
	struct ma_error *error;
};

static int bad(struct file *file, const char *why)
{
	ma_error_set(file->error, MA_ERR_PROTOCOL, 0, "reading how to unwind a module");
	ma_error_answer(file->error, "%s", why);
	return MA_ERR_PROTOCOL;
}

static int fail(struct file *file, int sys_errno)
{
	return ma_error_set(file->error, MA_ERR_FAILED, sys_errno,
			    "reading how to unwind a module");
}

static int read_at(struct file *file, uint64_t offset, void *buffer, uint64_t bytes)
{
	uint8_t *at = buffer;
	if (offset > file->size || bytes > file->size - offset)
		return bad(file, "a part of it lies outside of the file");
	while (bytes) {
		ssize_t got = pread(file->fd, at, bytes, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail(file, got < 0 ? errno : EIO);
		at += got;
		offset += (uint64_t)got;
		bytes -= (uint64_t)got;
	}
	return 0;
}

static int read_head(struct file *file, bool *is_elf)
{
	struct stat status;
	if (fstat(file->fd, &status) < 0)
		return fail(file, errno);
	file->size = (uint64_t)status.st_size;
	int code = read_at(file, 0, &file->head, sizeof file->head);
	const Elf64_Ehdr *head = &file->head;
	if (code < 0)
		return code;
	if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 ||
	    head->e_ident[EI_DATA] != ELFDATA2LSB || head->e_machine != EM_X86_64)
		return bad(file, "it is no ELF file for x86-64");
	*is_elf = true;
	if (head->e_phnum == 0 || head->e_phnum > SEGMENTS_MAX ||
	    head->e_phentsize != sizeof(Elf64_Phdr))
		return bad(file, "its program headers make no sense");
	return read_at(file, head->e_phoff, file->segments, head->e_phnum * sizeof(Elf64_Phdr));
}

static int take_code(struct file *file, struct ma_unwind_source *source)
{
	uint64_t end = 0; /* of the last one */
	for (int i = 0; i < file->head.e_phnum; i++) {
		const Elf64_Phdr *segment = &file->segments[i];
		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) ||
		    segment->p_filesz == 0)
			continue;
		if (segment->p_filesz > INT64_MAX || segment->p_vaddr > INT64_MAX ||
		    segment->p_offset > INT64_MAX || segment->p_vaddr < end)
			return bad(file, "its segments make no sense");
		end = segment->p_vaddr + segment->p_filesz;
		if (source->code_count == MA_UNWIND_CODES)
			return bad(file, "it has too many executable segments");
		source->code[source->code_count++] = (struct ma_unwind_code){
			segment->p_vaddr, segment->p_offset, segment->p_filesz};
	}
	return 0;
}

/* A note has a header, a name padded to 4 bytes, and a description padded likewise. */
static void find_build_id(struct ma_unwind_source *source, const uint8_t *notes, uint64_t bytes)
{
	Elf64_Nhdr note;
	while (bytes >= sizeof note) {
		memcpy(&note, notes, sizeof note);
		uint64_t name = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
		uint64_t whole =
			sizeof note + name + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
		if (whole > bytes)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
		    memcmp(notes + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0 &&
		    note.n_descsz <= MA_BUILD_ID_BYTES) {
			source->build_id_bytes = note.n_descsz;
			memcpy(source->build_id, notes + sizeof note + name, note.n_descsz);
			return;
		}
		notes += whole;
		bytes -= whole;
	}
}

static void take_build_id(struct file *file, struct ma_unwind_source *source)
{
	for (int i = 0; i < file->head.e_phnum && !source->build_id_bytes; i++) {
		const Elf64_Phdr *segment = &file->segments[i];
		if (segment->p_type != PT_NOTE || segment->p_filesz > NOTES_BYTES_MAX)
			continue;
		uint8_t *notes = malloc(segment->p_filesz + 1);
		/* A build-id that cannot be read is one that is not there. */
		if (notes && read_at(file, segment->p_offset, notes, segment->p_filesz) == 0)
			find_build_id(source, notes, segment->p_filesz);
		free(notes);
	}
}

/* What a compressed section claims to become. */
static bool is_bounded(const struct ma_unwind_section *section)
{
	Elf64_Chdr head;
	if (section->size < sizeof head)
		return false;
	memcpy(&head, section->bytes, sizeof head);
	return head.ch_size <= SECTION_BYTES_MAX;
}

static int take_section(struct file *file, struct ma_unwind_section *section, uint64_t address,
			uint64_t offset, uint64_t size, uint64_t flags)
{
	if (section->bytes || size == 0)
		return 0;
	if (size > SECTION_BYTES_MAX)
		return bad(file, "its unwind information is too large");
	section->bytes = malloc(size);
	if (!section->bytes)
		return fail(file, ENOMEM);
	section->address = address;
	section->size = size;
	section->flags = flags & SHF_COMPRESSED;
	int code = read_at(file, offset, section->bytes, size);
	if (code == 0 && section->flags && !is_bounded(section))
		code = bad(file, "its unwind information is too large");
	return code;
}

static int take_named(struct file *file, struct ma_unwind_source *source, const Elf64_Shdr *section,
		      const char *name)
{
	const struct {
		const char *name;
		struct ma_unwind_section *section;
	} wanted[] = {{".eh_frame", &source->eh_frame}, {".debug_frame", &source->debug_frame}};
	if (section->sh_type == SHT_NOBITS)
		return 0;
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		if (strcmp(name, wanted[i].name) == 0)
			return take_section(file, wanted[i].section, section->sh_addr,
					    section->sh_offset, section->sh_size,
					    section->sh_flags);
	}
	return 0;
}

static int take_sections(struct file *file, struct ma_unwind_source *source)
{
	const Elf64_Ehdr *head = &file->head;
	uint64_t bytes = (uint64_t)head->e_shnum * sizeof(Elf64_Shdr);
	if (head->e_shnum == 0 || head->e_shoff == 0)
		return 0; /* stripped of them */
	if (head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shstrndx >= head->e_shnum)
		return bad(file, "its section headers make no sense");
	Elf64_Shdr *sections = malloc(bytes);
	char *names = NULL;
	int code = sections ? read_at(file, head->e_shoff, sections, bytes) : fail(file, ENOMEM);
	uint64_t names_bytes = code == 0 ? sections[head->e_shstrndx].sh_size : 0;
	if (code == 0 && names_bytes > NAMES_BYTES_MAX)
		code = bad(file, "its section names make no sense");
	if (code == 0) {
		names = calloc(1, names_bytes + 1);
		code = names ? read_at(file, sections[head->e_shstrndx].sh_offset, names,
				       names_bytes)
			     : fail(file, ENOMEM);
	}
	for (int i = 0; code == 0 && i < head->e_shnum; i++) {
		if (sections[i].sh_name < names_bytes)
			code = take_named(file, source, &sections[i], names + sections[i].sh_name);
	}
	free(names);
	free(sections);
	return code;
}

static const Elf64_Phdr *segment_of(const struct file *file, uint64_t address)
{
	for (int i = 0; i < file->head.e_phnum; i++) {
		const Elf64_Phdr *segment = &file->segments[i];
		if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
		    address - segment->p_vaddr < segment->p_filesz)
			return segment;
	}
	return NULL;
}

/* Records follow each other up to one of length 0; what comes behind is something else. */
static uint64_t records_bytes(const uint8_t *bytes, uint64_t size)
{
	uint64_t at = 0;
	while (size - at >= 4) {
		uint32_t length;
		memcpy(&length, bytes + at, sizeof length);
		if (length == 0 || length == UINT32_MAX || length > size - at - 4)
			break;
		at += 4 + (uint64_t)length;
	}
	return at;
}

/* Without section headers .eh_frame_hdr says where .eh_frame begins, nobody where it ends. */
static int take_by_header(struct file *file, struct ma_unwind_source *source)
{
	struct {
		uint8_t version, pointer_encoding, rest[2];
		int32_t pointer;
	} header;
	const Elf64_Phdr *where = NULL;
	for (int i = 0; i < file->head.e_phnum; i++) {
		if (file->segments[i].p_type == PT_GNU_EH_FRAME)
			where = &file->segments[i];
	}
	if (!where || where->p_filesz < sizeof header)
		return 0;
	int code = read_at(file, where->p_offset, &header, sizeof header);
	if (code < 0)
		return code;
	if (header.version != 1 || header.pointer_encoding != EH_PE_PCREL_SDATA4)
		return 0;
	uint64_t address = where->p_vaddr + offsetof(typeof(header), pointer) +
			   (uint64_t)(int64_t)header.pointer;
	const Elf64_Phdr *segment = segment_of(file, address);
	if (!segment)
		return 0;
	uint64_t inside = address - segment->p_vaddr;
	code = take_section(file, &source->eh_frame, address, segment->p_offset + inside,
			    segment->p_filesz - inside, 0);
	if (code == 0)
		source->eh_frame.size =
			records_bytes(source->eh_frame.bytes, source->eh_frame.size);
	return code;
}

static void hash_section(struct ma_sha256 *sha, const struct ma_unwind_section *section)
{
	const uint64_t head[] = {section->address, section->flags, section->size};
	ma_sha256_add(sha, head, sizeof head);
	ma_sha256_add(sha, section->bytes, section->bytes ? section->size : 0);
}

static void hash_all(struct ma_unwind_source *source)
{
	struct ma_sha256 sha;
	const uint32_t head[] = {MA_UNWIND_COMPILER_VERSION, source->code_count};
	ma_sha256_init(&sha);
	ma_sha256_add(&sha, head, sizeof head);
	ma_sha256_add(&sha, source->code, source->code_count * sizeof source->code[0]);
	hash_section(&sha, &source->eh_frame);
	hash_section(&sha, &source->debug_frame);
	ma_sha256_finish(&sha, source->hash);
}

int ma_unwind_source_read(struct ma_unwind_source *source, int fd, struct ma_error *error)
{
	struct file file = {.fd = fd, .error = error};
	*source = (struct ma_unwind_source){0};
	int code = read_head(&file, &source->is_elf);
	if (code == 0)
		code = take_code(&file, source);
	if (code == 0)
		code = take_sections(&file, source);
	if (code == 0 && !source->eh_frame.bytes)
		code = take_by_header(&file, source);
	if (code == 0) {
		take_build_id(&file, source);
		hash_all(source);
	}
	return code;
}

void ma_unwind_source_fini(struct ma_unwind_source *source)
{
	free(source->eh_frame.bytes);
	free(source->debug_frame.bytes);
	*source = (struct ma_unwind_source){0};
}

bool ma_unwind_source_has_any(const struct ma_unwind_source *source)
{
	return source->eh_frame.size > sizeof(uint32_t) || source->debug_frame.size > 0;
}

bool ma_unwind_source_bias(const struct ma_unwind_source *source, uint64_t start, uint64_t offset,
			   uint64_t *bias)
{
	for (uint32_t i = 0; i < source->code_count; i++) {
		const struct ma_unwind_code *code = &source->code[i];
		uint64_t first = code->offset & ~(uint64_t)(PAGE - 1);
		if (offset < first || offset >= code->offset + code->bytes)
			continue;
		*bias = start - offset + code->offset - code->address;
		return true;
	}
	return false;
}
