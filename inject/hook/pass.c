/* SPDX-License-Identifier: MIT */
/*
 * Which words are ours to change. A relocation of one of the three kinds whose symbol names an
 * intercepted function is patched only if its slot holds the definition that the loader found
 * first, or the object's own lazy stub (which would resolve to that definition). Anything else is
 * somebody else's: the executable's canonical PLT entry, another allocator's function in a data
 * word.
 *
 * A stub that is being resolved by another thread right now overwrites our thunk; slots that held a
 * stub are looked at again at the end of the pass.
 */
#include "inject/hook/pass.h"

#include "inject/hook/object.h"
#include "inject/hook/state.h"
#include "inject/hook/syscall.h"
#include "inject/hook/tables.h"

enum {
	KNOWN = 1024, /* objects remembered; one that does not fit is looked at each time */
	KNOWN_PROBES = 8,
	MAX_OBJECTS = 1 << 16, /* of a link map that we believe in */
	MAX_STUBS = 64,
};

/* An object that was dealt with. It is still the same one if identity and slot say so. */
struct known {
	uint64_t map; /* its link_map; 0 = free */
	uint64_t identity;
	uint64_t slot; /* a slot that holds our thunk, 0 = it has none */
	uint32_t fn;
	uint32_t patched; /* slots that hold our thunks */
	uint32_t foreign; /* and that hold another tool's functions */
};

static struct known known_objects[KNOWN];
static struct ma_range executable; /* the program's, as far as it is known */

struct slot {
	uint64_t *word;
	enum ma_fn fn;
};

/* Which functions a sweep over the objects is for: none may allocate through us whose frees do not.
 */
enum sweep { SWEEP_FREES, SWEEP_OTHERS, SWEEP_ALL };

struct pass {
	enum ma_pass kind;
	enum sweep sweep;
	uint64_t changed;
	uint64_t foreign;
	uint64_t holding; /* slots that hold our thunks now, in all objects */
	uint32_t failed;
	uint32_t objects;
	uint32_t stub_count;
	struct slot stubs[MAX_STUBS];
};

/* The object at hand. */
struct visit {
	struct ma_object object;
	struct ma_wanted wanted;
	bool is_allocator; /* it holds the definition of malloc: its mappings are not the program's
			    */
	bool relro_open;
	uint32_t changed;
	uint32_t holding;
	uint32_t foreign;
	struct slot held; /* one of those that hold our thunks */
};

extern Elf64_Dyn _DYNAMIC[] MA_HIDDEN; /* ours */

static bool is_free_like(enum ma_fn fn)
{
	return fn == MA_FN_FREE || fn == MA_FN_MUNMAP;
}

static bool is_mapping(enum ma_fn fn)
{
	return fn >= MA_FN_MMAP && fn <= MA_FN_MREMAP;
}

static bool is_in_sweep(const struct pass *pass, enum ma_fn fn)
{
	return pass->sweep == SWEEP_ALL || (pass->sweep == SWEEP_FREES) == is_free_like(fn);
}

static struct known *find_known(uint64_t map)
{
	uint64_t home = ma_address_hash(map) >> 32;
	struct known *best = &known_objects[home % KNOWN];

	for (uint64_t probe = 0; probe < KNOWN_PROBES; probe++) {
		struct known *known = &known_objects[(home + probe) % KNOWN];

		if (known->map == map)
			return known;
		if (!known->map && best->map)
			best = known;
	}
	return best;
}

void ma_pass_forget(void)
{
	for (uint32_t i = 0; i < KNOWN; i++)
		known_objects[i] = (struct known){0};
	executable = (struct ma_range){0};
}

static bool is_unchanged(const struct known *known, const struct link_map *map, uint64_t identity)
{
	if (known->map != (uint64_t)(uintptr_t)map || known->identity != identity || known->foreign)
		return false;
	return !known->slot ||
	       *(const uint64_t *)known->slot == ma_thunk_address((enum ma_fn)known->fn);
}

static bool open_relro(struct pass *pass, struct visit *visit)
{
	struct ma_range relro = visit->object.relro;

	if (visit->relro_open)
		return true;
	visit->relro_open =
		!ma_sys_mprotect(relro.low, relro.high - relro.low, MA_PROT_READ | MA_PROT_WRITE);
	pass->failed += !visit->relro_open;
	return visit->relro_open;
}

static void close_relro(struct pass *pass, struct visit *visit)
{
	struct ma_range relro = visit->object.relro;

	if (visit->relro_open && ma_sys_mprotect(relro.low, relro.high - relro.low, MA_PROT_READ))
		pass->failed++;
	visit->relro_open = false;
}

static void store(struct pass *pass, struct visit *visit, struct slot slot, uint64_t value)
{
	uint64_t address = (uint64_t)(uintptr_t)slot.word;

	if (ma_range_holds(&visit->object.relro, 1, address) && !open_relro(pass, visit))
		return;
	__atomic_store_n(slot.word, value, __ATOMIC_RELEASE);
	visit->changed++;
}

/* Is this what the slot holds until its first call? */
static bool is_own_stub(const struct visit *visit, const Elf64_Rela *relocation, uint64_t value)
{
	const struct ma_object *object = &visit->object;
	uint64_t symbol = ELF64_R_SYM(relocation->r_info);

	return ELF64_R_TYPE(relocation->r_info) == R_X86_64_JUMP_SLOT &&
	       object->symbols[symbol].st_shndx == SHN_UNDEF &&
	       ma_range_holds(object->executable, object->executables, value);
}

/* Has another tool put a function of its own there, as memray does? The program's canonical PLT
 * entries are none, and words in data are the object's own business. */
static bool is_foreign(const struct visit *visit, const Elf64_Rela *relocation, struct slot slot)
{
	const struct ma_object *object = &visit->object;
	uint64_t value = __atomic_load_n(slot.word, __ATOMIC_RELAXED);

	if (ELF64_R_TYPE(relocation->r_info) == R_X86_64_64 || !value ||
	    value == ma_hook.next[slot.fn] || value == ma_thunk_address(slot.fn))
		return false;
	if (is_mapping(slot.fn) && visit->is_allocator)
		return false;
	return !ma_range_holds(object->executable, object->executables, value) &&
	       !ma_range_holds(&executable, 1, value);
}

static void patch(struct pass *pass, struct visit *visit, const Elf64_Rela *relocation,
		  struct slot slot)
{
	uint64_t value = __atomic_load_n(slot.word, __ATOMIC_RELAXED);
	bool stub;

	if (is_mapping(slot.fn) && visit->is_allocator)
		return;
	stub = value != ma_hook.next[slot.fn] && is_own_stub(visit, relocation, value);
	if (value != ma_hook.next[slot.fn] && !stub)
		return;
	store(pass, visit, slot, ma_thunk_address(slot.fn));
	if (stub && pass->stub_count < MAX_STUBS)
		pass->stubs[pass->stub_count++] = slot;
}

static void visit_slot(struct pass *pass, struct visit *visit, const Elf64_Rela *relocation,
		       struct slot slot)
{
	uint64_t thunk = ma_thunk_address(slot.fn);

	if (pass->kind == MA_PASS_RESTORE) {
		if (__atomic_load_n(slot.word, __ATOMIC_RELAXED) == thunk)
			store(pass, visit, slot, ma_hook.next[slot.fn]);
		visit->foreign += is_foreign(visit, relocation, slot);
		return;
	}
	if (is_in_sweep(pass, slot.fn) && __atomic_load_n(slot.word, __ATOMIC_RELAXED) != thunk)
		patch(pass, visit, relocation, slot);
	if (__atomic_load_n(slot.word, __ATOMIC_RELAXED) == thunk) {
		visit->holding++;
		visit->held = slot;
	} else {
		visit->foreign += is_foreign(visit, relocation, slot);
	}
}

static bool is_slot_kind(const Elf64_Rela *relocation)
{
	switch (ELF64_R_TYPE(relocation->r_info)) {
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_GLOB_DAT:
		return true;
	case R_X86_64_64:
		return !relocation->r_addend;
	default:
		return false;
	}
}

static void visit_relocations(struct pass *pass, struct visit *visit, const Elf64_Rela *relocations,
			      uint64_t count)
{
	const struct ma_object *object = &visit->object;

	for (uint64_t i = 0; i < count; i++) {
		const Elf64_Rela *relocation = &relocations[i];
		uint64_t address = object->base + relocation->r_offset;
		struct slot slot = {
			(uint64_t *)address,
			ma_wanted_fn(&visit->wanted, (uint32_t)ELF64_R_SYM(relocation->r_info))};

		if (slot.fn == MA_FN_COUNT || !ma_hook.next[slot.fn] || !is_slot_kind(relocation))
			continue;
		if (!(address & 7) && ma_range_holds(object->writable, object->writables, address))
			visit_slot(pass, visit, relocation, slot);
	}
}

static enum ma_object_read read_object(struct visit *visit, const struct link_map *map)
{
	const struct ma_hook_config *config = ma_hook.config;
	struct ma_object_headers from_elf = {0};
	struct ma_object_headers from_config = {(const Elf64_Phdr *)config->exe_phdr,
						config->exe_phnum};

	/* The first of the link map is the executable, which may have no header where we look. */
	if (!map->l_prev && config->exe_phdr) {
		enum ma_object_read read = ma_object_read(&visit->object, map, from_config);

		if (read != MA_OBJECT_UNREADABLE)
			return read;
	}
	return ma_object_read(&visit->object, map, from_elf);
}

static void visit_object(struct pass *pass, struct visit *visit, const struct link_map *map)
{
	const struct ma_object *object = &visit->object;
	enum ma_object_read read = read_object(visit, map);

	if (read == MA_OBJECT_NO_SLOTS)
		return;
	if (read == MA_OBJECT_UNREADABLE || !ma_object_find_wanted(object, &visit->wanted)) {
		pass->failed++;
		return;
	}
	if (!map->l_prev)
		executable = object->whole;
	visit->is_allocator = ma_range_holds(&object->whole, 1, ma_hook.next[MA_FN_MALLOC]);
	visit_relocations(pass, visit, object->jump_slots, object->jump_slot_count);
	visit_relocations(pass, visit, object->relocations, object->relocation_count);
	close_relro(pass, visit);
	pass->changed += visit->changed;
}

/*
 * The loader knows us by the path that we were loaded from, a number below /proc/self/fd. gdb, when
 * it attaches to the target, opens that path, which is a file of its own, and waits for ever if
 * that is a pipe. The loader does not use the name again, so it becomes one that is no path.
 */
static void rename_ourselves(const struct link_map *map)
{
	static const char name[] = "[memattach]";
	uint32_t length = 0;

	while (map->l_name[length])
		length++;
	if (length >= sizeof name)
		for (uint32_t i = 0; i < sizeof name; i++)
			map->l_name[i] = name[i];
}

static void handle(struct pass *pass, const struct link_map *map)
{
	uint64_t identity = ma_object_identity(map);
	struct known *known = find_known((uint64_t)(uintptr_t)map);
	bool unchanged = is_unchanged(known, map, identity);
	bool is_last_sweep = pass->sweep != SWEEP_FREES;
	struct visit visit = {0};

	if (map->l_ld == _DYNAMIC) {
		rename_ourselves(map);
		return;
	}
	pass->objects += is_last_sweep;
	if (unchanged && pass->kind == MA_PASS_PATCH) {
		pass->holding += is_last_sweep ? known->patched : 0;
		return;
	}
	visit_object(pass, &visit, map);
	pass->foreign += is_last_sweep ? visit.foreign : 0;
	if (pass->kind == MA_PASS_RESTORE || !is_last_sweep)
		return;
	pass->holding += visit.holding;
	*known = (struct known){
		.map = (uint64_t)(uintptr_t)map,
		.identity = identity,
		.slot = (uint64_t)(uintptr_t)visit.held.word,
		.fn = (uint32_t)visit.held.fn,
		.patched = visit.holding,
		.foreign = visit.foreign,
	};
}

static void run_sweep(struct pass *pass, enum sweep which)
{
	const struct r_debug *loader = (const struct r_debug *)ma_hook.config->r_debug;
	const struct link_map *map = loader->r_map;

	pass->sweep = which;
	for (uint32_t i = 0; map && i < MAX_OBJECTS; i++, map = map->l_next)
		handle(pass, map);
}

static void look_again_at_stubs(struct pass *pass)
{
	for (uint32_t i = 0; i < pass->stub_count; i++) {
		struct slot slot = pass->stubs[i];
		uint64_t resolved = ma_hook.next[slot.fn];

		__atomic_compare_exchange_n(slot.word, &resolved, ma_thunk_address(slot.fn), false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	}
}

void ma_pass_run(enum ma_pass kind)
{
	struct ma_hook_config *config = ma_hook.config;
	struct ma_counters *counters = &ma_hook.area->counters;
	struct pass pass = {.kind = kind};

	if (kind == MA_PASS_PATCH) {
		run_sweep(&pass, SWEEP_FREES);
		run_sweep(&pass, SWEEP_OTHERS);
		look_again_at_stubs(&pass);
	} else {
		run_sweep(&pass, SWEEP_ALL);
		ma_pass_forget();
	}
	config->slots_foreign = pass.foreign;
	config->slots_patched = pass.changed;
	config->passes_failed += pass.failed;
	ma_counter_add(&counters->passes, 1);
	__atomic_store_n(&counters->slots_patched, pass.holding, __ATOMIC_RELAXED);
	__atomic_store_n(&counters->objects_seen, pass.objects, __ATOMIC_RELAXED);
}
