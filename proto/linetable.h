/* SPDX-License-Identifier: MIT */
/*
 * From a position in Python bytecode to a source line, by the table that the code object carries.
 * Three formats exist; which one is meant follows from the version:
 *
 *   3.8, 3.9  co_lnotab: pairs (byte delta, signed line delta); Objects/lnotab_notes.txt
 *   3.10      co_linetable: pairs (byte delta, signed line delta of the range), -128 = no line
 *   3.11 on   co_linetable: location entries of PEP 657; Objects/locations.md
 *
 * The table comes from another process and may be hostile or cut short: nothing is read beyond it.
 */
#ifndef MA_PROTO_LINETABLE_H
#define MA_PROTO_LINETABLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The source line of the instruction at offset_bytes in the bytecode (inline caches count), or 0
 * when the table gives it no line, ends before it or does not parse that far. python_version is
 * PY_VERSION_HEX; first_line is co_firstlineno; table is borrowed. Pure function, any thread.
 * Before 3.10 a table does not say where the code ends: give it whole, or the last line that is in
 * it stands for the rest.
 */
int ma_linetable_line(uint32_t python_version, int32_t first_line, const uint8_t *table,
		      size_t bytes, uint32_t offset_bytes);

#endif
