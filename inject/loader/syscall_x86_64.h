/* SPDX-License-Identifier: MIT */
/* x86-64: raw system calls and the time-stamp counter for the boot code, which has no libc. */
#ifndef MA_LOADER_SYSCALL_H
#define MA_LOADER_SYSCALL_H

#include <stdint.h>

enum {
	MA_SYS_CLOSE = 3,
	MA_SYS_FSTAT = 5,
	MA_SYS_MMAP = 9,
	MA_SYS_SIGPROCMASK = 14,
	MA_SYS_GETTID = 186,
	MA_SYS_FUTEX = 202,
	MA_FUTEX_WAIT = 128, /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */
	MA_FUTEX_WAKE = 129,
};

/* struct stat of the kernel: 144 bytes, device and inode first. */
struct ma_kernel_stat {
	uint64_t device;
	uint64_t inode;
	uint64_t rest[16];
};

static inline int64_t ma_raw_syscall6(int64_t number, const uint64_t args[6])
{
	register uint64_t r10 __asm__("r10") = args[3];
	register uint64_t r8 __asm__("r8") = args[4];
	register uint64_t r9 __asm__("r9") = args[5];
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static inline int64_t ma_raw_syscall(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t args[6] = {a, b, c, d, 0, 0};

	return ma_raw_syscall6(number, args);
}

static inline uint64_t ma_raw_timestamp(void)
{
	return __builtin_ia32_rdtsc();
}

#endif
