/* SPDX-License-Identifier: MIT */
/*
 * See unwind_image.h. The copy is a file with the program headers, and with those segments in their
 * places that hold .eh_frame_hdr (whose .eh_frame is beside it) and notes. Section headers are not
 * mapped, so it has none.
 */
#include "daemon/unwind_image.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	SEGMENTS_MAX = 64,
	IMAGE_BYTES_MAX = 64 << 20, /* copied, of one module */
	PIECE_BYTES = 64 << 10,
};

struct image {
	pid_t pid;
	int fd;
	uint64_t bias;
	uint64_t bytes; /* copied so far */
	Elf64_Ehdr head;
	Elf64_Phdr segments[SEGMENTS_MAX];
};

static bool read_memory(pid_t pid, uint64_t address, void *buffer, size_t bytes)
{
	struct iovec local = {buffer, bytes};
	struct iovec remote = {(void *)(uintptr_t)address, bytes};
	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

static bool read_headers(struct image *image, uint64_t head)
{
	const Elf64_Ehdr *ehdr = &image->head;
	if (!read_memory(image->pid, head, &image->head, sizeof image->head) ||
	    memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr->e_phnum == 0 || ehdr->e_phnum > SEGMENTS_MAX ||
	    ehdr->e_phentsize != sizeof(Elf64_Phdr) || ehdr->e_phoff > PIECE_BYTES)
		return false;
	if (!read_memory(image->pid, head + ehdr->e_phoff, image->segments,
			 ehdr->e_phnum * sizeof(Elf64_Phdr)))
		return false;
	for (int i = 0; i < ehdr->e_phnum; i++) {
		const Elf64_Phdr *segment = &image->segments[i];
		if (segment->p_type == PT_LOAD && segment->p_offset == 0) {
			image->bias = head - segment->p_vaddr;
			return true;
		}
	}
	return false;
}

/* Does a segment hold what says how to unwind, or which build this is? */
static bool is_wanted(const struct image *image, const Elf64_Phdr *load)
{
	for (int i = 0; i < image->head.e_phnum; i++) {
		const Elf64_Phdr *one = &image->segments[i];
		if ((one->p_type == PT_GNU_EH_FRAME || one->p_type == PT_NOTE) &&
		    one->p_vaddr >= load->p_vaddr && one->p_vaddr - load->p_vaddr < load->p_filesz)
			return true;
	}
	return false;
}

static bool copy_segment(struct image *image, const Elf64_Phdr *load)
{
	static const char nothing = 0;
	uint8_t piece[PIECE_BYTES];
	if (load->p_offset > INT32_MAX || load->p_filesz > IMAGE_BYTES_MAX - image->bytes ||
	    pwrite(image->fd, &nothing, 1, (off_t)(load->p_offset + load->p_filesz)) != 1)
		return false;
	image->bytes += load->p_filesz;
	for (uint64_t at = 0; at < load->p_filesz; at += PIECE_BYTES) {
		uint64_t part = load->p_filesz - at;
		part = part < PIECE_BYTES ? part : PIECE_BYTES;
		/* A piece that cannot be read is one of zeros: no unwind information there. */
		if (read_memory(image->pid, image->bias + load->p_vaddr + at, piece, part) &&
		    pwrite(image->fd, piece, part, (off_t)(load->p_offset + at)) != (ssize_t)part)
			return false;
	}
	return true;
}

static bool copy(struct image *image)
{
	size_t bytes = image->head.e_phnum * sizeof(Elf64_Phdr);
	for (int i = 0; i < image->head.e_phnum; i++) {
		const Elf64_Phdr *load = &image->segments[i];
		if (load->p_type == PT_LOAD && is_wanted(image, load) && !copy_segment(image, load))
			return false;
	}
	image->head.e_shoff = 0;
	image->head.e_shnum = image->head.e_shstrndx = 0;
	return pwrite(image->fd, image->segments, bytes, (off_t)image->head.e_phoff) ==
		       (ssize_t)bytes &&
	       pwrite(image->fd, &image->head, sizeof image->head, 0) == sizeof image->head;
}

int ma_unwind_image_copy(pid_t pid, uint64_t head)
{
	struct image image = {.pid = pid};
	if (!head || !read_headers(&image, head))
		return -1;
	image.fd = memfd_create("memattach-image", MFD_CLOEXEC);
	if (image.fd >= 0 && !copy(&image)) {
		close(image.fd);
		image.fd = -1;
	}
	return image.fd;
}
