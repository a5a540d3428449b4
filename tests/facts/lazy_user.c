/* SPDX-License-Identifier: MIT */
/* A library bound lazily, whose slot of malloc holds its own stub until the first call. */
#include <stdlib.h>

void *lazy_take(size_t bytes);
void *lazy_address(void);

void *lazy_take(size_t bytes)
{
	return malloc(bytes);
}

/* Makes the library hold the address of calloc as data, too. */
void *lazy_address(void)
{
	return (void *)calloc;
}
