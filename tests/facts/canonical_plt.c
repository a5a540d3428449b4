/* SPDX-License-Identifier: MIT */
/*
 * An executable at a fixed address that takes malloc's address: its PLT entry becomes "the" address
 * of malloc for everybody. Hooks its own slot and goes on to what another pointer to malloc says,
 * the simple way: that is the PLT entry, which leads through the slot to the hook again.
 *
 *   canonical_plt simple|definition
 *
 * Prints "recursion" or "works".
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DEEP = 100 };

static void *(*next)(size_t);
static int depth;

static void *hook(size_t bytes)
{
	static const char words[] = "recursion\n";
	void *block;

	if (++depth > DEEP) {
		(void)!write(STDOUT_FILENO, words, sizeof(words) - 1);
		_exit(0);
	}
	block = next(bytes);
	depth--;
	return block;
}

static void **find_slot(const char *name)
{
	const ElfW(Rela) *relocations = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *names = NULL;
	size_t count = 0;

	for (const ElfW(Dyn) *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_JMPREL)
			relocations = (const ElfW(Rela) *)entry->d_un.d_ptr;
		if (entry->d_tag == DT_PLTRELSZ)
			count = entry->d_un.d_val / sizeof(*relocations);
		if (entry->d_tag == DT_SYMTAB)
			symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
		if (entry->d_tag == DT_STRTAB)
			names = (const char *)entry->d_un.d_ptr;
	}
	for (size_t i = 0; relocations && symbols && names && i < count; i++)
		if (!strcmp(names + symbols[ELF64_R_SYM(relocations[i].r_info)].st_name, name))
			return (void **)relocations[i].r_offset;
	return NULL;
}

/* As code at a fixed address does it (R_X86_64_32): the linker gives it the PLT entry. */
static void *address_of_malloc(void)
{
	unsigned long address;

	__asm__("movl $malloc, %k0" : "=r"(address));
	return (void *)address;
}

int main(int argc, char **argv)
{
	void **slot = find_slot("malloc");
	void *page = (void *)((unsigned long)slot & ~4095UL);
	void *volatile block;

	if (argc != 2 || !slot || mprotect(page, 4096, PROT_READ | PROT_WRITE))
		return 2;
	if (!strcmp(argv[1], "simple"))
		next = (void *(*)(size_t))address_of_malloc();
	else
		next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	*slot = (void *)hook;
	block = malloc(100);
	free(block);
	puts("works");
	return 0;
}
