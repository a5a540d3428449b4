/* SPDX-License-Identifier: MIT */
/* A 32-bit program that waits for its input to be closed, without any library. */
void _start(void);

void _start(void)
{
	char byte;
	int result;
	/* write(1, "ready\n", 6), read(0, &byte, 1), exit(0) */
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(4), "b"(1), "c"("ready\n"), "d"(6));
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(3), "b"(0), "c"(&byte), "d"(1)
			 : "memory");
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(1), "b"(0));
}
