/* SPDX-License-Identifier: MIT */
/*
 * The one system call that the hook makes, in passes over the link map only: never in an allocator
 * call, never through libc, which would set errno. x86-64 Linux.
 */
#ifndef MA_HOOK_SYSCALL_H
#define MA_HOOK_SYSCALL_H

#include <stdint.h>

enum { MA_SYS_MPROTECT = 10, MA_PROT_READ = 1, MA_PROT_WRITE = 2 };

/* mprotect(2); 0 or a negative errno. */
static inline int64_t ma_sys_mprotect(uint64_t address, uint64_t bytes, uint64_t protection)
{
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(MA_SYS_MPROTECT), "D"(address), "S"(bytes), "d"(protection)
			 : "rcx", "r11", "memory");
	return result;
}

#endif
