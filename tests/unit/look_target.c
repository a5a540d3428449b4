/* SPDX-License-Identifier: MIT */
/* A program to be looked at: prints the address of malloc as it sees it, then waits for its input
 * to be closed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* In data, so that a fixed-address program needs a canonical PLT entry for it. */
extern void *(*const chosen_allocator)(size_t);
void *(*const chosen_allocator)(size_t) = malloc;

int main(void)
{
	char byte;
	printf("%lx\n", (unsigned long)chosen_allocator);
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}
