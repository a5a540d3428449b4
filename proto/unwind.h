/* SPDX-License-Identifier: MIT */
/*
 * The unwind area: what the hook needs to walk native stacks without a system call. A second memfd
 * of its own, made in the target at attach, mapped read-only there and writable by the daemon
 * alone (which seals it against further writable maps). Sparse: only what is written takes memory.
 *
 *   head     where the current index is: one word, stored with release
 *   index    which module lies where, and where stacks are; MA_UNWIND_INDEXES buffers in turns
 *   tables   per module: pc -> rule, compiled by the daemon from .eh_frame; append-only
 *
 * The hook believes nothing here blindly: offsets are checked against the mapping, and an index is
 * used only while its `sequence` is even and the same as before (the writer makes it odd, writes,
 * and makes it even again; a buffer is written anew only two publications later).
 *
 * This header is freestanding: the hook includes it too.
 */
#ifndef MA_PROTO_UNWIND_H
#define MA_PROTO_UNWIND_H

#include <stddef.h>
#include <stdint.h>

enum {
	MA_UNWIND_VERSION = 1,       /* raised by any change of a struct below */
	MA_UNWIND_BYTES = 256 << 20, /* of the memfd and of its mapping; sparse */
	MA_UNWIND_INDEXES = 3,
	MA_UNWIND_MODULES = 4096,
	MA_UNWIND_STACKS = 8192,
	MA_UNWIND_BLOCK_BITS = 8, /* a table's blocks: 256 bytes of code each */
};

#define MA_UNWIND_MEMFD "memattach-unwind"
#define MA_UNWIND_MAGIC UINT64_C(0x646e69776e75616d) /* "maunwind" in memory order */

/*
 * How the canonical frame address (CFA) of a row is found. Measured on libc, libstdc++, CPython,
 * numpy, libgfortran and a Rust module: at return addresses compilers know no other ways than
 * these, so a walk carries rip, rsp and rbp and nothing else. The other registers occur in
 * prologues (a realigned stack's r10 or r13) and in hand-written assembly that calls only itself.
 */
enum ma_unwind_cfa {
	MA_CFA_NONE = 0,   /* no table says: the walk ends here, flagged */
	MA_CFA_RSP,        /* rsp + cfa_offset */
	MA_CFA_RBP,        /* rbp + cfa_offset */
	MA_CFA_RBP_DEREF,  /* *(rbp + cfa_offset): realigned stacks */
	MA_CFA_PLT,        /* rsp + 8, and 8 more from byte cfa_offset of each 16 on */
	MA_CFA_SIGNAL,     /* a signal frame: struct ucontext at rsp + cfa_offset */
	MA_CFA_END,        /* the outermost function: the return address is undefined */
	MA_CFA_UNSUPPORTED /* something that rules cannot say: ends the walk, counted apart */
};

/*
 * A rule. The return address is at CFA - 8, the caller's rsp is the CFA. saved_rbp * 8 is the
 * offset from the CFA at which the caller's rbp was stored (MA_CFA_RBP_DEREF: from rbp + 16, as if
 * the frame were an ordinary one), 0: it is still in rbp, MA_UNWIND_RBP_LOST: nobody knows.
 */
#define MA_UNWIND_RBP_LOST INT16_MIN

struct ma_unwind_rule {
	int32_t cfa_offset;
	int16_t saved_rbp;
	uint8_t cfa; /* enum ma_unwind_cfa */
	uint8_t reserved;
};

/*
 * A table. Behind it, each part 8-byte aligned, at byte offsets from the start of the area:
 *   blocks  uint32_t[block_count + 1]  the row in force where block i starts; the last row
 *   rows    uint32_t[row_count]        pc - pc_first, ascending, the first 0
 *   rules   uint16_t[row_count]        index of the rule that holds from there on
 *   rule    struct ma_unwind_rule[rule_count]
 * pc here is an address as the module's file counts them. The row in force at pc is the last one
 * that does not begin behind it; for a pc in block i it is among blocks[i] .. blocks[i + 1].
 * Addresses between functions have a row of their own, with MA_CFA_NONE.
 */
struct ma_unwind_table {
	uint64_t pc_first, pc_end;
	uint64_t blocks, rows, rules, rule;
	uint32_t block_count, row_count, rule_count;
	uint32_t reserved;
};

/* An executable segment of a module. Ids are never used again within an attach, 0 = none. */
struct ma_unwind_module {
	uint64_t start, end; /* in the target */
	uint64_t bias;       /* address in the target - address in the file */
	uint64_t table;      /* struct ma_unwind_table; 0 = not compiled yet, or none to be had */
	uint32_t id;
	uint32_t reserved;
};

struct ma_unwind_stack {
	uint64_t start, end; /* readable memory, in the target */
};

struct ma_unwind_index {
	uint32_t sequence; /* odd: being written */
	uint32_t module_count, stack_count;
	uint32_t reserved;
	struct ma_unwind_module modules[MA_UNWIND_MODULES]; /* ascending by start */
	struct ma_unwind_stack stacks[MA_UNWIND_STACKS];    /* ascending by start */
};

struct ma_unwind_area {
	uint64_t magic;
	uint32_t version;
	uint32_t current; /* 1 + which of the indexes is in force; 0 = none yet: no native stacks */
	uint64_t bytes;
	uint64_t used; /* the daemon's: end of what was appended */
	struct ma_unwind_index index[MA_UNWIND_INDEXES] __attribute__((aligned(4096)));
	/* tables follow, from the next page on */
};

_Static_assert(sizeof(struct ma_unwind_rule) == 8, "a rule is 8 bytes");
_Static_assert(sizeof(struct ma_unwind_module) == 40, "a module is 40 bytes");

/*
 * A native frame in the stack log (struct ma_stack): bit 63 set, the id of its module, and the
 * return address less 1 (the pc itself for the frame that a signal interrupted). Python frames
 * (MA_FRAME) come first in the record, then the native ones, both innermost first. Bit 62 of a
 * Python frame says that it is the outermost of its call of the interpreter loop, so that the
 * daemon can merge the two.
 */
#define MA_FRAME_NATIVE(module, pc)                                                                \
	(UINT64_C(1) << 63 | (uint64_t)((module)&0xffff) << 47 | ((pc) & ((UINT64_C(1) << 47) - 1)))
#define MA_FRAME_IS_NATIVE(frame)     ((frame) >> 63)
#define MA_FRAME_NATIVE_MODULE(frame) ((uint32_t)((frame) >> 47) & 0xffff)
#define MA_FRAME_NATIVE_PC(frame)     ((frame) & ((UINT64_C(1) << 47) - 1))
#define MA_FRAME_ENTRY                (UINT64_C(1) << 62)

#endif
