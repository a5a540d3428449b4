/* SPDX-License-Identifier: MIT */
/*
 * The memory that the hook inside a target shares with the daemon: one memfd, made in the target at
 * attach, mapped by both sides. Data goes one way: the injector writes `ident` once, the daemon
 * writes `control` and the rings' tails, the hook writes everything else.
 *
 *   ident      what the injector found out; constant afterwards
 *   control    the daemon's orders: on or off, interval, heartbeat, coarse clock
 *   counters   what the hook counts about itself; drops above all
 *   threads    thread slots: slot 0 is "(other threads)", 1.. carry a thread id
 *   rings      single-producer single-reader event rings; a producer claims one for one event
 *   filter     "may this address be in the live set or the code map?", for the hook alone
 *   live       the live set of sampled mode: address -> size, site, interval, birth
 *   tables     interned code objects, stacks and sites, append-only
 *   exact      exact mode only: per-site counters, totals, peak and the shadow of the heap
 *
 * Everything the daemon reads here was written by a process that may be hostile or broken: copy a
 * record to local memory, check it (proto/area_check.h), then use it.
 *
 * This header is freestanding: the hook includes it too.
 */
#ifndef MA_PROTO_AREA_H
#define MA_PROTO_AREA_H

#include <stddef.h>
#include <stdint.h>

enum {
	MA_AREA_VERSION = 8,         /* raised by any change of a struct below */
	MA_PAGE_BYTES = 4096,        /* layout unit; the x86-64 page */
	MA_THREAD_SLOTS = 64,        /* slot 0 stands for every thread beyond the others */
	MA_RINGS = 16,               /* rings; more threads than rings share them event by event */
	MA_RING_EVENTS = 4096,       /* events a ring holds; a power of two */
	MA_MAX_FRAMES = 4096,        /* frames of one stack; deeper ones are cut and flagged */
	MA_MAX_PYTHON_FRAMES = 1024, /* of them Python's; the rest is for native ones */
	MA_SIZE_RATES = 8,           /* size classes, the last of them for all larger sizes */
	MA_FILTER_COUNT_BITS = 11,   /* so many counts, of a byte each, the filter has: 2 KiB */
	MA_FILTER_WORDS = 1 << 16,   /* and so many 64-bit words: 512 KiB */
	MA_LIVE_BUCKETS = 1 << 14,   /* buckets of the live set; a power of two */
	MA_LIVE_FRONT_BUCKETS = 1 << 6, /* those that are filled first; a power of two */
	MA_LIVE_CHOICES = 3,            /* buckets that an address may be in */
	MA_LIVE_WAYS = 8,               /* entries of a bucket: one cache line of addresses */
	MA_CODE_MAP = 1 << 16,          /* slots of the map code address -> code id */
	MA_CODE_INDEX = 1 << 16,        /* slots of the map content hash -> code id */
	MA_STACK_INDEX = 1 << 18,       /* slots of the map stack hash -> stack id */
	MA_SITE_INDEX = 1 << 18,        /* slots of the map site key -> site id */
	MA_SITES = 1 << 17,             /* sites, id 0 unused */
	MA_STACK_WORDS = 1 << 22,       /* 64-bit words of the stack log: 32 MiB, sparse */
	MA_CODE_WORDS = 1 << 22,        /* 64-bit words of the code log: 32 MiB, sparse */
};

#define MA_AREA_MAGIC UINT64_C(0x616572615f616d01) /* "\1ma_area" in memory order */

/* How allocations are chosen. */
enum ma_mode {
	MA_MODE_SAMPLED = 1, /* Poisson by bytes; events through the rings */
	MA_MODE_EXACT = 2,   /* every one; state kept in struct ma_exact, no events but mmap's */
	MA_MODE_CLASSES = 3, /* by size class, each with a chance of its own; events as sampled */
};

/*
 * How an allocation was chosen, as events and live entries tell it: the mean interval R in bytes
 * that was in force at the draw; or, with bit MA_RATE_CHANCE set, the chance of its size class in
 * units of 1 / MA_RATE_ONE; or 0: it was certain to be recorded. Above an interval, in bits 27 to
 * 30, is the exponent k of the window in which the allocation was seen: allocations like it are
 * looked at in windows that are open with the chance 2^-k (MA_WINDOW), all of one window or none.
 * Where k is not 0, the time of the allocation is that of its window, and names it.
 */
#define MA_RATE_CHANCE         (UINT32_C(1) << 31)
#define MA_RATE_ONE            (UINT32_C(1) << 31)
#define MA_RATE_WINDOW_SHIFT   27
#define MA_RATE_WINDOW(rate)   ((rate) >> MA_RATE_WINDOW_SHIFT & 15)
#define MA_RATE_INTERVAL(rate) ((rate) & ((UINT32_C(1) << MA_RATE_WINDOW_SHIFT) - 1))

/*
 * A window of the words of Python's tables that allocate: when it began, in milliseconds since the
 * attach; the exponent k of the chance 2^-k with which it is open; and whether it is not. 0: there
 * are no windows, everything is looked at.
 */
#define MA_WINDOW(start_ms, exponent, closed)                                                      \
	((uint64_t)(start_ms) << 32 | (uint64_t)(exponent) << 8 | (closed))
#define MA_WINDOW_START_MS(window) ((uint32_t)((window) >> 32))
#define MA_WINDOW_EXPONENT(window) ((uint32_t)((window) >> 8) & 15)
#define MA_WINDOW_CLOSED           UINT64_C(1)

/* The layer that served an allocation. Values are on the wire (snapshot label `domain`). */
enum ma_domain {
	MA_DOMAIN_OBJECT = 1, /* PYMEM_DOMAIN_OBJ, requests of at most 512 bytes */
	MA_DOMAIN_MEM = 2,    /* PYMEM_DOMAIN_MEM, requests of at most 512 bytes */
	MA_DOMAIN_MALLOC = 3, /* the malloc family */
	MA_DOMAIN_MMAP = 4,   /* mmap regions made by the program, not by an allocator */
};

enum ma_event_kind {
	MA_EVENT_ALLOC = 1,         /* a sampled allocation entered the live set */
	MA_EVENT_FREE = 2,          /* a sampled allocation left the live set */
	MA_EVENT_FREE_IMPLICIT = 3, /* the same, because its address was handed out again */
	MA_EVENT_MAP = 4,           /* a region was mapped: address, size, site; interval 0 */
	MA_EVENT_UNMAP = 5,         /* a region was unmapped, whole or in part: address, size */
};

enum ma_stack_flag {
	MA_STACK_TRUNCATED = 1,   /* deeper than there is room: the outermost frames are missing */
	MA_STACK_BROKEN = 2,      /* the walk met something unreadable and ended early */
	MA_STACK_NO_PYTHON = 4,   /* the thread has no Python frame */
	MA_STACK_FINALIZING = 8,  /* the interpreter was shutting down: not walked */
	MA_STACK_FOREIGN = 16,    /* a sub-interpreter's state could not be told: not walked */
	MA_STACK_NATIVE_CUT = 32, /* outermost native frames are missing: see struct ma_counters */
	MA_STACK_NATIVE_GUESSED =
		64, /* a function without unwind tables was passed by frame pointer */
};

/*
 * A size class of mode MA_MODE_CLASSES: allocations of fewer than below_bytes, and of no class
 * before it. cost is -ln(1 - chance) in units of 2^-57: an exponential draw with mean 1 is below it
 * with that chance. UINT64_MAX: all of them.
 */
struct ma_size_rate {
	uint64_t below_bytes;
	uint64_t cost;
	uint32_t rate; /* what their events carry */
	uint32_t reserved;
};

/* Page 0. Written by the injector before the hook sees the area; constant afterwards. */
struct ma_area_ident {
	uint64_t magic;          /* MA_AREA_MAGIC */
	uint32_t version;        /* MA_AREA_VERSION */
	uint32_t python_version; /* PY_VERSION_HEX of the target */
	uint64_t area_bytes;     /* size of the memfd and of the mapping */
	uint64_t area_address;   /* where the target has it mapped */
	uint32_t mode;           /* enum ma_mode */
	uint32_t tsc_khz;        /* time-stamp counter ticks per millisecond */
	uint64_t attach_realtime_ns;
	uint64_t attach_monotonic_ns;
	uint64_t attach_tsc;
	uint64_t thunk_code;       /* the thunk page that stays after detach, in the target */
	uint64_t thunk_data;       /* its data page: struct ma_thunk_data */
	uint64_t obj_table;        /* the target's PyMemAllocatorEx of domain OBJ, 0 = not hooked */
	uint64_t mem_table;        /* the same of domain MEM */
	uint64_t python_frees;     /* 1: the words of these tables that free lead to the hook too */
	uint64_t exact_heap_bytes; /* exact mode: bytes of struct ma_exact's arena */
	char python_path[256]; /* the object that holds the interpreter, as the target names it */
	uint64_t python_base;  /* its load address */
	char python_build_id[44]; /* hexadecimal, empty when it has none */
	uint32_t size_rate_count; /* mode MA_MODE_CLASSES: 1 .. MA_SIZE_RATES, else 0 */
	struct ma_size_rate size_rates[MA_SIZE_RATES]; /* ascending; the last takes every size */
};

/* Page 1. The daemon's orders. All fields are read and written as relaxed atomics. */
struct ma_control {
	uint32_t enabled;        /* 0: slow paths do nothing */
	uint32_t interval_bytes; /* mean R of the next draw, 4 KiB .. 64 MiB */
	uint32_t reserved;
	uint32_t clock_ms;  /* milliseconds since attach, stored at each poll */
	uint64_t lease_tsc; /* the hook stops by itself once the TSC passes this */
	uint64_t window;    /* MA_WINDOW: the hook turns to it when the process next frees */
};

/*
 * Page 2. What the hook counts about itself (relaxed atomic adds, slow paths only). The daemon
 * shows every one that is not zero.
 */
struct ma_counters {
	uint64_t samples;          /* allocations that were sampled (exact: recorded) */
	uint64_t sample_frees;     /* sampled allocations that were freed */
	uint64_t implicit_frees;   /* addresses handed out again without a free that we saw */
	uint64_t dropped_allocs;   /* not recorded: rings full or live set full */
	uint64_t dropped_frees;    /* event lost; the live set is still right */
	uint64_t dropped_maps;     /* map or unmap event lost */
	uint64_t reentered;        /* allocations met inside the hook or a signal handler in it */
	uint64_t stacks_truncated; /* samples with MA_STACK_TRUNCATED */
	uint64_t stacks_broken;    /* samples with MA_STACK_BROKEN, _FINALIZING or _FOREIGN */
	uint64_t frames_unknown;   /* frames whose code object could not be described */
	uint64_t tables_full;      /* samples without a site of their own: a table was full */
	uint64_t tables_busy;      /* samples without a stack: the tables' lock was not to be had */
	uint64_t slow_cycles;      /* TSC cycles spent in slow paths */
	uint64_t passes;           /* link-map passes */
	uint64_t slots_patched;    /* GOT slots and data words that hold a thunk now */
	uint64_t objects_seen;     /* objects that the last pass walked */
	uint64_t fault;            /* enum ma_fault, 0 = none: why the hook disabled itself */
	/* Native walks that ended early (MA_STACK_NATIVE_CUT), by what they met: */
	uint64_t native_no_module; /* code in no module of the index; see struct ma_native_wants */
	uint64_t native_no_stack;  /* a stack that the index does not list, or that is no thread's
				      own */
	uint64_t native_no_rule;   /* a module without a table, a function without a rule */
	uint64_t native_broken;    /* what cannot be a frame; or the index changed meanwhile */
	uint64_t native_deep;      /* deeper than there is room */
	uint64_t native_guessed;   /* native walks with MA_STACK_NATIVE_GUESSED */
	uint64_t window;           /* that of the control page which the hook has turned to */
};

enum ma_fault {
	MA_FAULT_NONE = 0,
	MA_FAULT_LEASE = 1,   /* the daemon stopped renewing; cleared when it renews again */
	MA_FAULT_CORRUPT = 2, /* a structure of the hook does not hold what it must */
};

/* What the index of the unwind area (proto/unwind.h) did not know when it was last asked, 0 =
 * nothing yet: where to look. Hints, stored by any thread. */
struct ma_native_wants {
	uint64_t pc;    /* native_no_module */
	uint64_t stack; /* native_no_stack */
};

/* A thread slot. tid is the thread's id in the target's own PID namespace, 0 = slot not taken. */
struct ma_thread {
	uint32_t tid;
};

/* One event, 40 bytes. */
struct ma_event {
	uint64_t sequence;   /* process-wide, from 1, no gaps: the order of events */
	uint64_t address;    /* in the target */
	uint64_t size_bytes; /* as requested; 0 is recorded as 1 */
	uint32_t site;       /* site id; 0 = unknown (a table was full or busy) */
	uint32_t rate;       /* how it was chosen: see MA_RATE_CHANCE */
	uint32_t clock_ms;   /* free: birth time of the allocation; else: time of the event */
	uint16_t kind;       /* enum ma_event_kind */
	uint16_t domain;     /* enum ma_domain; the site has it too, but site may be 0 */
};

/*
 * A ring. A producer claims it (claim: 0 -> thread id), writes events[head % MA_RING_EVENTS],
 * stores head + 1 with release, and gives the claim back. The reader loads head with acquire and
 * stores tail with release. An event that was not published is never seen, and a thread that dies
 * while it holds the claim loses that ring until the daemon, seeing that the thread is gone, frees
 * the claim.
 */
struct ma_ring {
	uint32_t claim;
	uint8_t pad0[60];
	uint64_t head; /* events published since the start */
	uint8_t pad1[56];
	uint64_t tail; /* events consumed since the start */
	uint8_t pad2[56];
	uint64_t frames[MA_MAX_FRAMES]; /* scratch of the claim's holder */
	struct ma_event events[MA_RING_EVENTS];
};

/* Payload of a live-set entry. */
struct ma_live_entry {
	uint64_t size_bytes;
	uint32_t site;
	uint32_t rate; /* as in struct ma_event */
	uint32_t birth_ms;
	uint32_t domain; /* enum ma_domain */
};

/*
 * The live set: hashing into buckets of MA_LIVE_WAYS. An address goes into its bucket among the
 * first few, which stay in the caches, or if that is full, into the emptier of two others. A slot's
 * address is 0 when free, MA_LIVE_BUSY while its payload is being written, else the allocation's
 * address. Inserted after the real allocation, taken out before the real free.
 */
#define MA_LIVE_BUSY UINT64_C(1)
struct ma_live {
	uint64_t address[MA_LIVE_BUCKETS][MA_LIVE_WAYS];
	struct ma_live_entry entry[MA_LIVE_BUCKETS][MA_LIVE_WAYS];
};

/*
 * A frame of an interned stack: code id in the low 32 bits, byte offset of the instruction above,
 * and MA_FRAME_ENTRY where one call of the interpreter loop begins. Native frames, which follow the
 * Python ones, look different: proto/unwind.h.
 */
#define MA_FRAME(code_id, offset) ((uint64_t)(offset) << 32 | (uint32_t)(code_id))
#define MA_FRAME_CODE(frame)      ((uint32_t)(frame))
#define MA_FRAME_OFFSET(frame)    ((uint32_t)((frame) >> 32) & 0x3fffffff)

/*
 * A record of the stack log; its id is its word offset in the log (never 0). frame_count words
 * follow, innermost frame first. code id 0 in a frame: the code object could not be described.
 */
struct ma_stack {
	uint32_t frame_count;
	uint32_t flags; /* enum ma_stack_flag */
	uint64_t hash;
};

/*
 * A record of the code log; its id is its word offset in the log (never 0). After the struct come,
 * unpadded: name_bytes of the qualified name (bare before 3.11), filename_bytes of the file name,
 * linetable_bytes of the line table (co_lnotab before 3.10, co_linetable after). Strings are raw
 * PyUnicode data: 1, 2 or 4 bytes a code point (1 = Latin-1 or ASCII). A line table longer than
 * what is stored has linetable_total_bytes > linetable_bytes; the rest is read from the target's
 * memory and trusted only while the code object still holds the same table address.
 */
struct ma_code {
	uint64_t address; /* of the PyCodeObject when it was described */
	uint64_t hash;    /* of the content: equal code objects share one id */
	uint64_t linetable_address;
	uint32_t words; /* of the whole record, this struct included */
	int32_t first_line;
	uint32_t linetable_total_bytes;
	uint32_t linetable_bytes;
	uint16_t name_bytes;
	uint16_t filename_bytes;
	uint8_t name_kind;     /* bytes a code point: 1, 2 or 4 */
	uint8_t filename_kind; /* the same */
	uint8_t cut;           /* 1: name or file name was longer than its bound */
	uint8_t reserved;
};

/* A site: who allocated. Ids are dense from 1. */
struct ma_site {
	uint32_t stack; /* id in the stack log, 0 = no stack (see flags) */
	uint8_t domain; /* enum ma_domain */
	uint8_t thread; /* thread slot */
	uint16_t flags; /* enum ma_stack_flag, for sites without a stack */
};

/* A slot of the code map. address 0 = never used, 1 = removed. */
struct ma_code_slot {
	uint64_t address;
	uint64_t identity; /* id in the code log; high half: ma_code_check of that code object */
};

/*
 * Interned code objects, stacks and sites. Lookups take no lock; additions hold `lock` (0 -> thread
 * id; lock_tsc says since when, so that a dead holder's lock can be taken over). The logs' `used`
 * words and site_count are stored with release after the record is complete.
 */
struct ma_tables {
	uint32_t lock;
	uint32_t site_count; /* sites in use; ids 1 .. site_count */
	uint64_t lock_tsc;
	uint64_t stack_used; /* words of the stack log in use; starts at 1 */
	uint64_t code_used;  /* words of the code log in use; starts at 1 */
	uint8_t pad[32];
	struct ma_code_slot code_map[MA_CODE_MAP];
	uint32_t code_index[MA_CODE_INDEX];
	uint32_t stack_index[MA_STACK_INDEX];
	uint32_t site_index[MA_SITE_INDEX];
	struct ma_site sites[MA_SITES];
	uint64_t stack_log[MA_STACK_WORDS];
	uint64_t code_log[MA_CODE_WORDS];
};

/* Exact mode: what the hook keeps for one site, under the exact lock. 64 bytes. */
struct ma_exact_site {
	uint64_t allocated_bytes; /* since attach */
	uint64_t allocated_count;
	uint64_t live_bytes;
	uint64_t live_count;
	uint64_t peak_bytes; /* at the total's peak; valid when epoch is the state's, else live_* is
			      */
	uint64_t peak_count;
	uint64_t epoch; /* of the peak when this site was last touched */
	uint32_t first_ms;
	uint32_t last_ms; /* of the last allocation */
};

/*
 * Exact mode: the shadow of one 16-byte granule of the heap. Site in the lowest bits, 0 = nothing
 * tracked there; then the size, and the birth in the upper half. A size that has no room there is
 * MA_SHADOW_LARGE, and the upper half then the number of a struct ma_exact_large that has both.
 */
struct ma_shadow {
	uint64_t word;
};

/* Exact mode: what a shadow has no room for. */
struct ma_exact_large {
	uint64_t size_bytes;
	uint32_t birth_ms;
	uint32_t next; /* in the list of free ones */
};

enum {
	MA_SHADOW_SITE_BITS = 17,
	MA_SHADOW_SIZE_BITS = 15,
	MA_SHADOW_LARGE = (1 << MA_SHADOW_SIZE_BITS) - 1,
	MA_SHADOW_GRANULE_BITS = 4, /* every allocator here aligns to 16 bytes */
	MA_SHADOW_PAGE_BITS = 13,
	MA_SHADOW_SLOTS = 1 << (MA_SHADOW_PAGE_BITS - MA_SHADOW_GRANULE_BITS),
	MA_SHADOW_REGION_BITS = 30, /* one directory: 1 GiB */
	MA_SHADOW_REGIONS = 1 << (47 - MA_SHADOW_REGION_BITS),
	MA_SHADOW_PAGES = 1 << (MA_SHADOW_REGION_BITS - MA_SHADOW_PAGE_BITS),
	MA_LARGES_A_PAGE = MA_PAGE_BYTES / sizeof(struct ma_exact_large),
	MA_LARGE_PAGES = 1 << 12,
	MA_LARGES = MA_LARGE_PAGES * MA_LARGES_A_PAGE,
};

#define MA_EXACT_SIZE_LIMIT (UINT64_C(1) << 48) /* of a block: larger ones are not entered */

static inline uint32_t ma_shadow_site(uint64_t word)
{
	return word & ((1u << MA_SHADOW_SITE_BITS) - 1);
}

static inline uint32_t ma_shadow_size(uint64_t word)
{
	return (uint32_t)word >> MA_SHADOW_SITE_BITS;
}

/* size_bytes at most MA_SHADOW_LARGE; upper: birth, or a number. */
static inline uint64_t ma_shadow_word(uint32_t site, uint64_t size_bytes, uint32_t upper)
{
	return site | size_bytes << MA_SHADOW_SITE_BITS | (uint64_t)upper << 32;
}

/*
 * Exact mode's heap state, kept by the hook because no daemon can take 20 million events a second.
 * `lock` serialises every change. The arena that follows the struct holds, in pages of 4 KiB taken
 * one after the other (page n of the arena, from 1, lies (n - 1) * 4096 bytes into it; 0 = none),
 * directories of MA_SHADOW_PAGES uint32_t arena pages (128 pages each), shadow pages of
 * MA_SHADOW_SLOTS struct ma_shadow, and pages of struct ma_exact_large.
 * regions[address >> 30] is the arena page of a directory, directory[(address >> 13) & 0x1ffff] the
 * arena page of a shadow page, larges[(n - 1) / 256] that of large number n, which counts from 1.
 * All of it is sparse: only what was touched takes memory.
 * The reader may see a site between two stores; totals are exact once the target is still.
 */
struct ma_exact {
	uint32_t lock; /* 0 -> thread id; waiters take it over from a holder that never ends */
	uint32_t reserved;
	uint64_t reserved1;
	uint64_t allocated_bytes;
	uint64_t allocated_count;
	uint64_t live_bytes;
	uint64_t live_count;
	uint64_t peak_bytes;
	uint64_t peak_count; /* live_count at that moment */
	uint64_t epoch;      /* raised at each new peak_bytes */
	uint32_t peak_ms;
	uint32_t arena_pages;      /* pages of the arena */
	uint32_t arena_pages_used; /* pages handed out */
	uint32_t larges_used;      /* numbers handed out */
	uint32_t large_free;       /* first of the list of free ones; 0 = none */
	uint8_t pad[36];           /* a site is a line of the cache */
	struct ma_exact_site sites[MA_SITES];
	uint32_t regions[MA_SHADOW_REGIONS];
	uint32_t larges[MA_LARGE_PAGES];
};

/*
 * The filter: two tables of the same addresses (inject/hook/filter.h). Every free looks into the
 * first, and a program whose blocks are many and large has next to nothing else of ours in its
 * caches by then: so that one is small.
 */
struct ma_filter {
	uint8_t counts[1 << MA_FILTER_COUNT_BITS];
	uint64_t words[MA_FILTER_WORDS];
};

#define MA_PAGE_ALIGNED __attribute__((aligned(4096)))

struct ma_area {
	struct ma_area_ident ident MA_PAGE_ALIGNED;
	struct ma_control control MA_PAGE_ALIGNED;
	struct ma_counters counters MA_PAGE_ALIGNED;
	uint64_t sequence MA_PAGE_ALIGNED; /* of the last event; taken by atomic add */
	struct ma_thread threads[MA_THREAD_SLOTS];
	struct ma_native_wants wants;
	struct ma_ring rings[MA_RINGS] MA_PAGE_ALIGNED;
	struct ma_filter filter MA_PAGE_ALIGNED;
	struct ma_live live MA_PAGE_ALIGNED;
	struct ma_tables tables MA_PAGE_ALIGNED;
	struct ma_exact exact MA_PAGE_ALIGNED; /* mapped in exact mode only */
};

/* Bytes of the memfd in sampled mode: everything before the exact state. */
#define MA_AREA_SAMPLED_BYTES offsetof(struct ma_area, exact)
/* Bytes in exact mode: arena_pages pages follow the struct. */
#define MA_AREA_EXACT_BYTES(arena_pages)                                                           \
	(sizeof(struct ma_area) + (uint64_t)(arena_pages)*MA_PAGE_BYTES)

_Static_assert(sizeof(struct ma_event) == 40, "an event is 40 bytes");
_Static_assert(sizeof(struct ma_size_rate) == 24, "a size class is 24 bytes");
_Static_assert(sizeof(struct ma_live_entry) == 24, "a live entry is 24 bytes");
_Static_assert(sizeof(struct ma_stack) == 16 && sizeof(struct ma_site) == 8, "table records");
_Static_assert(sizeof(struct ma_code) == 48, "a code record starts with 48 bytes");
_Static_assert(sizeof(struct ma_exact_site) == 64 && sizeof(struct ma_shadow) == 8, "exact");
_Static_assert(sizeof(struct ma_exact_large) == 16, "a large one is 16 bytes");
_Static_assert(1 << MA_SHADOW_SITE_BITS == MA_SITES &&
		       MA_SHADOW_SITE_BITS + MA_SHADOW_SIZE_BITS == 32,
	       "a site and a size in half a shadow");
_Static_assert(sizeof(struct ma_area) % MA_PAGE_BYTES == 0, "the arena starts on a page");

/* The hash that filter, live set and code map share: multiplicative, high bits are good. */
static inline uint64_t ma_address_hash(uint64_t address)
{
	return (address >> 4) * UINT64_C(0x9E3779B97F4A7C15);
}

/* The buckets of the live set that an address may be in, in the order in which to look. */
static inline uint32_t ma_live_bucket(uint64_t hash, int choice)
{
	uint32_t beyond = MA_LIVE_BUCKETS - MA_LIVE_FRONT_BUCKETS;
	uint64_t part = hash >> (choice == 1 ? 44 : 20) & 0xfffff; /* of 2^20 */

	if (choice == 0)
		return (uint32_t)(hash >> 58) & (MA_LIVE_FRONT_BUCKETS - 1);
	return MA_LIVE_FRONT_BUCKETS + (uint32_t)(part * beyond >> 20);
}

#endif
