/* SPDX-License-Identifier: MIT */
/*
 * Answers questions about line tables, for linetable_live.py: a line "version first_line table
 * size" on stdin (table: hexadecimal, or "-") gives the lines of the code units 0, 2, .. size - 2,
 * blanks between, on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/linetable.h"

static int answer(char *question)
{
	unsigned version, size;
	int first_line, table_at = 0, table_end = 0;
	if (sscanf(question, "%x %d %n%*s%n %u", &version, &first_line, &table_at, &table_end,
		   &size) != 3)
		return 1;
	size_t bytes = (size_t)(table_end - table_at) / 2;
	uint8_t *table = malloc(bytes + 1);
	if (!table)
		return 1;
	for (size_t i = 0; i < bytes; i++) {
		char byte[3] = {question[table_at + 2 * (int)i],
				question[table_at + 2 * (int)i + 1], 0};
		table[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	for (unsigned offset = 0; offset < size; offset += 2)
		printf("%d ", ma_linetable_line(version, first_line, table, bytes, offset));
	putchar('\n');
	free(table);
	return 0;
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	int failed = 0;
	while (!failed && getline(&line, &room, stdin) > 0)
		failed = answer(line);
	free(line);
	return failed || fflush(stdout) != 0;
}
