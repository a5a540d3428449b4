/* SPDX-License-Identifier: MIT */
/*
 * What the daemon and the child that reads symbols say to each other, one packet a message
 * (daemon/confine.h). The daemon asks about addresses of a file; before the child answers it may
 * ask for a separate debug file, as often as there are places to look for one.
 */
#ifndef MA_DAEMON_SYMBOL_PACKET_H
#define MA_DAEMON_SYMBOL_PACKET_H

#include <stdint.h>

#include "daemon/modules.h"
#include "proto/code_place.h"

enum {
	MA_SYMBOL_BATCH = 128, /* addresses of one question */
	MA_SYMBOL_SLOTS = 16,  /* files that the child has open */
	MA_SYMBOL_LINK_BYTES = 512,
	MA_SYMBOL_TEXT_BYTES = 64 << 10,
};

enum ma_symbol_kind {
	MA_SYMBOL_OPEN = 1, /* daemon: a file, with its descriptor, for a slot */
	MA_SYMBOL_LOOK,     /* daemon: addresses in the file of a slot */
	MA_SYMBOL_FILE,  /* daemon: a candidate, with its descriptor; without: there are no more */
	MA_SYMBOL_PLACE, /* child: what is at one of the addresses */
	MA_SYMBOL_WANT,  /* child: which debug file it would like */
};

enum ma_symbol_open {
	MA_SYMBOL_INTERPRETER = 1, /* it holds the interpreter's loop */
	MA_SYMBOL_NAMES_ONLY = 2,  /* no debug information: that was too much before */
};

struct ma_symbol_ask {
	uint32_t kind;
	uint32_t slot;
	uint32_t flags; /* of OPEN: enum ma_symbol_open */
	uint32_t count;
	uint64_t address[MA_SYMBOL_BATCH]; /* as the file counts them */
};

/* Offsets are into the text, of strings that end with a NUL; 0 = none. */
struct ma_symbol_line {
	uint32_t function, linkage, file;
	int32_t line, first_line;
};

struct ma_symbol_place {
	uint32_t kind;
	uint32_t index; /* of the address in the question */
	uint32_t count; /* of lines, innermost first */
	uint32_t text_bytes;
	struct ma_symbol_line line[MA_CODE_LINES];
	char text[MA_SYMBOL_TEXT_BYTES]; /* text_bytes of it are sent; the first is NUL */
};

struct ma_symbol_want {
	uint32_t kind;
	uint32_t attempt;   /* 0 = the first candidate */
	uint32_t alternate; /* 1: the file that a debug file shares with others (dwz) */
	uint32_t build_id_bytes;
	uint8_t build_id[MA_BUILD_ID_BYTES];
	char link[MA_SYMBOL_LINK_BYTES]; /* .gnu_debuglink or .gnu_debugaltlink, "" = none */
};

#endif
