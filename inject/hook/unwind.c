/* SPDX-License-Identifier: MIT */
/*
 * The walk. Every step is a rule: where the frame ends (its CFA) and where the caller's rbp is. A
 * step that was looked up once is remembered as one word, so that the usual frame costs a probe of
 * the cache, an addition and one load from the stack.
 *
 * Nothing on the stack is believed: each frame must lie above the one before and within the stack,
 * which also bounds the walk. rbp is followed only where a rule needs it, so until then only the
 * address it was saved at is carried.
 */
#include "inject/hook/unwind.h"

#include "inject/hook/cpu.h"
#include "inject/hook/unwind_index.h"

enum {
	MAX_STEPS = 2 * MA_MAX_FRAMES, /* frames looked at, those left out included */
	MAX_SWITCHES = 4,              /* signal frames that lead to another stack */
	WORD = sizeof(uint64_t),
	/*
	 * What lies this near below the end of the stack that the kernel made is that stack: it
	 * keeps a gap of 128 MiB at least to everything else (arch/x86/mm/mmap.c).
	 */
	MAIN_STACK_BYTES = 64 << 20,

	/* Words of struct ucontext before its registers, and of these (glibc, sys/ucontext.h). */
	UCONTEXT_REGISTERS = 5,
	REGISTER_RBP = 10,
	REGISTER_RSP = 15,
	REGISTER_RIP = 16,
};

/*
 * A step as a word: enum ma_unwind_cfa (bits 0-3), whether the frame is the hook's own (4),
 * saved_rbp (5-16, signed), cfa_offset (17-40, signed), id of the module (48-63).
 */
typedef uint64_t step;

enum {
	STEP_OWN = 1 << 4,
	SAVED_SHIFT = 5,
	SAVED_BITS = 12,
	SAVED_LOST = -(1 << (SAVED_BITS - 1)),
	OFFSET_SHIFT = SAVED_SHIFT + SAVED_BITS,
	OFFSET_BITS = 24,
	MODULE_SHIFT = 48,
};

#define CFA_OF(step)   ((uint32_t)((step)&15))
#define SAVED_OF(step) ((int64_t)((step) << (64 - OFFSET_SHIFT)) >> (64 - SAVED_BITS))
#define OFFSET_OF(step)                                                                            \
	((int64_t)((step) << (64 - OFFSET_SHIFT - OFFSET_BITS)) >> (64 - OFFSET_BITS))
#define MODULE_OF(step) ((step) >> MODULE_SHIFT)

/* Where rbp was saved: an address on the stack, or one of these. */
enum { RBP_HELD = 0, RBP_LOST = 1 };

/* Why a walk ended. */
enum ending {
	WALKING,
	END_OUTERMOST, /* by a rule that says so */
	END_ZERO,      /* no return address: the way that some mark the start of a stack */
	END_NO_MODULE,
	END_NO_STACK,
	END_NO_RULE,
	END_BROKEN,
	END_DEEP,
};

struct walker {
	struct ma_index_view view;
	struct ma_unwinder *unwinder;
	struct ma_native_wants *wants;
	const struct ma_unwind_start *start;
	uint64_t pc;  /* to look up: within the call instruction, or interrupted */
	uint64_t rsp; /* of this frame */
	uint64_t low; /* the stack that may be read */
	uint64_t high;
	uint64_t rbp_at; /* where rbp was saved */
	uint64_t rbp;    /* RBP_HELD: its value */
	uint64_t hash;   /* of the frames so far */
	uint32_t count;  /* of all frames in the record */
	uint32_t switches;
	uint32_t guess_count; /* as they were when a frame pointer was first believed; 0 = never */
	uint64_t guess_hash;
	enum ending ending;
};

static inline uint64_t load(uint64_t address)
{
	return *(const uint64_t *)(uintptr_t)address;
}

static bool on_stack(const struct walker *walker, uint64_t address)
{
	return address >= walker->low && address <= walker->high - WORD && address % WORD == 0;
}

/* The thread's own stack around `rsp` (see the header): up to where it may be read. */
static bool enter_stack(struct walker *walker, uint64_t rsp)
{
	uint64_t block = walker->start->thread_pointer & ~(uint64_t)(WORD - 1);
	uint64_t main_end = walker->unwinder->main_stack_end;
	struct ma_unwind_stack stack;
	enum ma_index_answer answer = MA_INDEX_UNKNOWN;

	walker->high = 0;
	if (main_end - rsp < MAIN_STACK_BYTES)
		walker->high = main_end;
	else
		answer = ma_index_find_stack(&walker->view, rsp, &stack);
	if (answer == MA_INDEX_CHANGED) {
		walker->ending = END_BROKEN;
		return false;
	}
	if (answer == MA_INDEX_FOUND && rsp < block && block <= stack.end)
		walker->high = block;
	else if (answer == MA_INDEX_FOUND && rsp < main_end && main_end <= stack.end)
		walker->high = main_end;
	if (walker->high < rsp + WORD) {
		__atomic_store_n(&walker->wants->stack, rsp, __ATOMIC_RELAXED);
		walker->ending = END_NO_STACK;
		return false;
	}
	walker->low = walker->rsp = rsp;
	return true;
}

/* A rule as a step; one that has no room for its numbers is none. */
static step make_step(const struct ma_unwind_rule *rule, uint32_t module, bool own)
{
	int64_t saved = rule->saved_rbp == MA_UNWIND_RBP_LOST ? SAVED_LOST : rule->saved_rbp;
	step made = (uint64_t)module << MODULE_SHIFT | (own ? STEP_OWN : 0);

	if (saved < SAVED_LOST || saved >= -SAVED_LOST || rule->cfa > MA_CFA_UNSUPPORTED ||
	    rule->cfa_offset < -(1 << (OFFSET_BITS - 1)) ||
	    rule->cfa_offset >= 1 << (OFFSET_BITS - 1))
		return made | MA_CFA_UNSUPPORTED;
	return made | rule->cfa | ((uint64_t)saved & ((1 << SAVED_BITS) - 1)) << SAVED_SHIFT |
	       ((uint64_t)rule->cfa_offset & ((1 << OFFSET_BITS) - 1)) << OFFSET_SHIFT;
}

static inline struct ma_unwind_cached *cached(const struct walker *walker)
{
	uint64_t hash = walker->pc * UINT64_C(0x9E3779B97F4A7C15);

	return &walker->unwinder->cache[hash >> (64 - MA_UNWIND_CACHE_BITS)];
}

/* What stands in the cache beside a step that holds at this pc, as long as this index does. */
static inline uint64_t check_of(const struct walker *walker, step known)
{
	uint64_t key = walker->pc | (uint64_t)walker->view.generation << 47;

	return key ^ known * UINT64_C(0x9FB21C651E98DF25);
}

/* The step at walker->pc by the tables, and into the cache; 0 when the walk ends here. */
static __attribute__((noinline)) step look_up(struct walker *walker)
{
	const struct ma_unwinder *unwinder = walker->unwinder;
	struct ma_unwind_cached *slot = cached(walker);
	struct ma_unwind_rule rule;
	uint32_t module = 0;
	step found;

	switch (ma_index_find_rule(&walker->view, walker->pc, &rule, &module)) {
	case MA_INDEX_UNKNOWN:
		__atomic_store_n(&walker->wants->pc, walker->pc, __ATOMIC_RELAXED);
		walker->ending = END_NO_MODULE;
		return 0;
	case MA_INDEX_CHANGED:
		walker->ending = END_BROKEN;
		return 0;
	case MA_INDEX_FOUND:
		break;
	}
	found = make_step(&rule, module,
			  walker->pc - unwinder->own_start <
				  unwinder->own_end - unwinder->own_start);
	__atomic_store_n(&slot->step, found, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->check, check_of(walker, found), __ATOMIC_RELAXED);
	return found;
}

/* rbp as it is in this frame. */
static inline bool read_rbp(struct walker *walker, uint64_t *rbp)
{
	if (walker->rbp_at == RBP_HELD) {
		*rbp = walker->rbp;
		return true;
	}
	if (walker->rbp_at == RBP_LOST || !on_stack(walker, walker->rbp_at)) {
		walker->ending = walker->rbp_at == RBP_LOST ? END_NO_RULE : END_BROKEN;
		return false;
	}
	*rbp = load(walker->rbp_at);
	return true;
}

/* Goes to the caller of a frame that ends at `cfa`. saved: where rbp is, in words from `base`. */
static inline __attribute__((always_inline)) void leave_frame(struct walker *walker, uint64_t cfa,
							      uint64_t base, int64_t saved)
{
	uint64_t caller;

	if (cfa < walker->rsp + WORD || cfa > walker->high || cfa % WORD) {
		walker->ending = END_BROKEN;
		return;
	}
	caller = load(cfa - WORD);
	if (saved)
		walker->rbp_at = saved == SAVED_LOST ? RBP_LOST : base + (uint64_t)saved * WORD;
	walker->rsp = cfa;
	walker->pc = caller - 1;
	if (!caller || caller >> 47)
		walker->ending = caller ? END_BROKEN : END_ZERO;
}

/* Goes to what a signal interrupted, which may have been on another stack. */
static void leave_signal(struct walker *walker, int64_t offset)
{
	uint64_t registers = walker->rsp + (uint64_t)offset + UCONTEXT_REGISTERS * WORD;
	uint64_t rsp;

	if (!on_stack(walker, registers) || !on_stack(walker, registers + REGISTER_RIP * WORD)) {
		walker->ending = END_BROKEN;
		return;
	}
	rsp = load(registers + REGISTER_RSP * WORD);
	walker->pc = load(registers + REGISTER_RIP * WORD);
	walker->rbp = load(registers + REGISTER_RBP * WORD);
	walker->rbp_at = RBP_HELD;
	if (walker->pc >> 47)
		walker->ending = END_BROKEN;
	else if (rsp > walker->rsp && rsp < walker->high)
		walker->rsp = rsp;
	else if (++walker->switches > MAX_SWITCHES)
		walker->ending = END_BROKEN;
	else
		enter_stack(walker, rsp);
}

/*
 * A function without a rule. If it keeps a frame pointer, its caller is known from that; if it does
 * not, rbp is one of its callers', and some are missed. No code is read to tell (it may be gone);
 * what was found counts only if the walk goes on by rules to the outermost function, and is flagged
 * even then.
 */
static void leave_by_frame_pointer(struct walker *walker)
{
	uint64_t rbp;

	if (!read_rbp(walker, &rbp) || !on_stack(walker, rbp) || rbp < walker->rsp) {
		walker->ending = END_NO_RULE;
		return;
	}
	if (!walker->guess_count) {
		walker->guess_count = walker->count;
		walker->guess_hash = walker->hash;
	}
	leave_frame(walker, rbp + 2 * WORD, rbp + 2 * WORD, -2);
}

/* A frame whose rule is not one of the two usual ones, or whose rbp is not on the stack. */
static __attribute__((noinline)) void leave_unusual(struct walker *walker, step here)
{
	uint64_t rbp, at;

	switch (CFA_OF(here)) {
	case MA_CFA_RBP:
		if (!read_rbp(walker, &rbp))
			return;
		at = rbp + (uint64_t)OFFSET_OF(here);
		leave_frame(walker, at, at, SAVED_OF(here));
		return;
	case MA_CFA_RBP_DEREF:
		if (!read_rbp(walker, &rbp))
			return;
		at = rbp + (uint64_t)OFFSET_OF(here);
		if (on_stack(walker, at))
			leave_frame(walker, load(at), rbp + 2 * WORD, SAVED_OF(here));
		else
			walker->ending = END_BROKEN;
		return;
	case MA_CFA_PLT:
		at = walker->rsp + WORD;
		if ((int64_t)(walker->pc & 15) >= OFFSET_OF(here))
			at += WORD;
		leave_frame(walker, at, at, SAVED_OF(here));
		return;
	case MA_CFA_SIGNAL:
		leave_signal(walker, OFFSET_OF(here));
		return;
	case MA_CFA_END:
		walker->ending = END_OUTERMOST;
		return;
	default:
		leave_by_frame_pointer(walker);
		return;
	}
}

/* Walks on until something ends it. `walker` is copied, for the registers. */
static void run(struct walker *original, uint64_t *frames)
{
	struct walker walker = *original;

	for (uint32_t steps = 0; !walker.ending; steps++) {
		const struct ma_unwind_cached *slot = cached(&walker);
		step here = __atomic_load_n(&slot->step, __ATOMIC_RELAXED);
		uint64_t cfa, word;

		if (__atomic_load_n(&slot->check, __ATOMIC_RELAXED) != check_of(&walker, here)) {
			*original = walker;
			here = look_up(original);
			walker.ending = original->ending;
			if (!here)
				break;
		}
		if (walker.count == MA_MAX_FRAMES || steps == MAX_STEPS) {
			walker.ending = END_DEEP;
			break;
		}
		if (!(here & STEP_OWN)) {
			word = MA_FRAME_NATIVE(MODULE_OF(here), walker.pc);
			walker.hash = ma_walk_mix(walker.hash, word);
			frames[walker.count++] = word;
		}
		cfa = (uint64_t)OFFSET_OF(here);
		if (CFA_OF(here) == MA_CFA_RSP) {
			cfa += walker.rsp;
		} else if (CFA_OF(here) == MA_CFA_RBP && on_stack(&walker, walker.rbp_at)) {
			cfa += load(walker.rbp_at);
		} else {
			*original = walker;
			leave_unusual(original, here);
			walker = *original;
			continue;
		}
		leave_frame(&walker, cfa, cfa, SAVED_OF(here));
	}
	*original = walker;
}

static void count_ending(struct ma_counters *counters, enum ending ending)
{
	switch (ending) {
	case END_NO_MODULE:
		ma_counter_add(&counters->native_no_module, 1);
		break;
	case END_NO_STACK:
		ma_counter_add(&counters->native_no_stack, 1);
		break;
	case END_NO_RULE:
		ma_counter_add(&counters->native_no_rule, 1);
		break;
	case END_DEEP:
		ma_counter_add(&counters->native_deep, 1);
		break;
	default:
		ma_counter_add(&counters->native_broken, 1);
		break;
	}
}

/* What of the walk is to be believed, and into the record with it. */
static void settle(struct walker *walker, struct ma_counters *counters, struct ma_walk *walk)
{
	bool whole = walker->ending == END_OUTERMOST || walker->ending == END_ZERO;

	if (!ma_index_view_holds(&walker->view)) {
		/* Whole publications went by meanwhile: remembered steps may be of either. */
		walk->flags |= MA_STACK_NATIVE_CUT;
		ma_counter_add(&counters->native_broken, 1);
		return;
	}
	if (walker->guess_count && walker->ending != END_OUTERMOST) {
		walker->count = walker->guess_count;
		walker->hash = walker->guess_hash;
		walker->ending = END_NO_RULE;
		whole = false;
	} else if (walker->guess_count) {
		walk->flags |= MA_STACK_NATIVE_GUESSED;
		ma_counter_add(&counters->native_guessed, 1);
	}
	if (!whole) {
		walk->flags |= MA_STACK_NATIVE_CUT;
		count_ending(counters, walker->ending);
	}
	walk->count = walker->count;
	walk->hash = walker->hash;
}

void ma_unwind_init(struct ma_unwinder *unwinder, const struct ma_hook_config *config)
{
	const struct ma_unwind_area *area =
		(const struct ma_unwind_area *)(uintptr_t)config->unwind;

	*unwinder = (struct ma_unwinder){
		.bytes = config->unwind_bytes,
		.own_start = config->hook_base,
		.own_end = config->hook_end,
		.main_stack_end = config->main_stack_end,
	};
	if (area && config->unwind_bytes >= sizeof *area && area->magic == MA_UNWIND_MAGIC &&
	    area->version == MA_UNWIND_VERSION)
		unwinder->area = area;
}

void ma_unwind_walk_from(struct ma_unwinder *unwinder, struct ma_area *area, struct ma_walk *walk,
			 const struct ma_unwind_start *start)
{
	struct walker walker = {
		.unwinder = unwinder,
		.wants = &area->wants,
		.start = start,
		.pc = start->pc,
		.rbp = start->rbp,
		.hash = walk->hash,
		.count = walk->count,
	};

	if (!unwinder->area || !ma_index_view_take(unwinder->area, unwinder->bytes, &walker.view))
		return;
	if (enter_stack(&walker, start->rsp))
		run(&walker, walk->frames);
	settle(&walker, &area->counters, walk);
}

__attribute__((noinline)) void ma_unwind_walk(struct ma_unwinder *unwinder, struct ma_area *area,
					      struct ma_walk *walk)
{
	struct ma_unwind_start start = {.thread_pointer = ma_cpu_thread_pointer()};

	/* From here: this function's frame stays as it is while the walk is on. */
	__asm__ volatile("lea 0(%%rip), %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"
			 : "=&r"(start.pc), "=&r"(start.rsp), "=&r"(start.rbp));
	ma_unwind_walk_from(unwinder, area, walk, &start);
}
