/* SPDX-License-Identifier: MIT */
/*
 * A program that is no Python: says that it is there and waits until its standard input ends.
 */
#include <unistd.h>

int main(void)
{
	static const char ready[] = "ready\n";
	char byte;

	if (write(1, ready, sizeof(ready) - 1) < 0)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
