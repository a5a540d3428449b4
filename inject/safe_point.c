/* SPDX-License-Identifier: MIT */
/* The whitelist, and what backs it where a stack cannot be walked by its unwind tables. */
#include "inject/safe_point.h"

#include <linux/futex.h>
#include <linux/rseq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "inject/memory_cache.h"
#include "inject/thread_stacks.h"

enum { SCAN_BYTES = 1 << 18 };

/* Names, separated by blanks. Wrappers of libc under which a thread waits and that never call an
 * allocator or the loader. */
static const char waiting_names[] =
	"read __read write __write pread64 pwrite64 readv writev poll __poll ppoll select "
	"__select pselect epoll_wait epoll_pwait epoll_pwait2 nanosleep __nanosleep "
	"clock_nanosleep usleep sleep pause sched_yield accept accept4 connect __connect "
	"recv recvfrom recvmsg recvmmsg send __send sendto sendmsg sendmmsg sendfile "
	"sendfile64 splice wait4 __wait waitpid __waitpid waitid wait sigwait sigwaitinfo "
	"sigtimedwait sigsuspend sigpause fsync fdatasync flock fcntl fcntl64 msgrcv "
	"msgsnd semop semtimedop sem_wait sem_timedwait sem_clockwait pthread_cond_wait "
	"pthread_join pthread_cond_timedwait pthread_cond_clockwait pthread_mutex_lock "
	"__pthread_mutex_lock pthread_mutex_timedlock pthread_mutex_clocklock "
	"pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_barrier_wait "
	"pthread_clockjoin_np pthread_timedjoin_np syscall clock_gettime gettimeofday "
	"time ";

/* Functions that may call malloc, but not while they wait for input. They hold locks of their own
 * that nobody on our way needs. */
static const char reading_names[] =
	"fgets fgets_unlocked fread fread_unlocked getc fgetc getline getdelim ";

static const char starting_names[] = "__libc_start_main clone __clone ";

static const char locking_names[] =
	"malloc free calloc realloc memalign posix_memalign aligned_alloc valloc pvalloc "
	"malloc_trim mallinfo2 malloc_info dlopen dlclose dlsym dlvsym dlmopen dladdr "
	"dladdr1 dlinfo dlerror dl_iterate_phdr fork _Fork vfork posix_spawn "
	"pthread_create pthread_exit pthread_atfork exit __libc_dlopen_mode __libc_dlsym "
	"__libc_dlclose __cxa_finalize ";

/* System calls that neither an allocator nor the loader makes, in which a thread waits. */
static const int64_t waiting_calls[] = {
	SYS_poll,  SYS_ppoll,  SYS_select,          SYS_pselect6, SYS_epoll_wait,   SYS_epoll_pwait,
	441,       SYS_accept, SYS_accept4,         SYS_recvfrom, SYS_recvmsg,      SYS_recvmmsg,
	SYS_wait4, SYS_waitid, SYS_rt_sigtimedwait, SYS_pause,    SYS_rt_sigsuspend};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Says why not. */
static bool unsafe(char *why, size_t room, const char *reason)
{
	snprintf(why, room, "%s", reason);
	return false;
}

static bool in_any(const struct ma_range *ranges, int count, uint64_t address)
{
	for (int i = 0; i < count; i++)
		if (ma_range_has(&ranges[i], address))
			return true;
	return false;
}

/* Adds the functions of the C library's objects that bear these names. */
static void add_functions(const struct ma_safe_rules *rules, const struct ma_target_memory *memory,
			  const char *names, struct ma_range *ranges, int *ranges_count)
{
	const struct ma_view *view = rules->view;
	char name[48];
	int length;

	for (; sscanf(names, "%47s%n", name, &length) == 1; names += length) {
		for (size_t o = 0; o < view->link_map.count; o++) {
			const struct ma_link_object *object = &view->link_map.object[o];
			struct ma_symbol symbol;

			if (!object->usable || *ranges_count == MA_SAFE_FUNCTIONS ||
			    !in_any(rules->libc, rules->libc_count, object->module.start) ||
			    ma_module_symbol(memory, &object->module, name, &symbol, NULL) != 1 ||
			    !symbol.size)
				continue;
			ranges[(*ranges_count)++] = (struct ma_range){
				symbol.address.value, symbol.address.value + symbol.size};
		}
	}
}

static void add_libc_objects(struct ma_safe_rules *rules)
{
	static const char *const sonames[] = {"libpthread.so.0", "libdl.so.2", "librt.so.1"};
	const struct ma_link_map *map = &rules->view->link_map;
	const struct ma_map *vdso = ma_maps_find_name(&rules->view->maps, "[vdso]", 0);

	for (size_t o = 0; o < map->count; o++) {
		const struct ma_module *module = &map->object[o].module;
		bool part = o == map->libc_object;

		for (int i = 0; i < COUNT(sonames) && map->object[o].usable; i++)
			part = part || !strcmp(module->soname, sonames[i]);
		if (part && rules->libc_count < MA_SAFE_OBJECTS - 1)
			rules->libc[rules->libc_count++] =
				(struct ma_range){module->start, module->end};
	}
	if (vdso)
		rules->libc[rules->libc_count++] = (struct ma_range){vdso->start, vdso->end};
}

static bool same_root(pid_t pid)
{
	struct stat ours, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/root/.", pid);
	return !stat("/.", &ours) && !stat(path, &theirs) && ours.st_dev == theirs.st_dev &&
	       ours.st_ino == theirs.st_ino;
}

void ma_safe_rules_init(struct ma_safe_rules *rules, const struct ma_view *view)
{
	const struct ma_link_map *map = &view->link_map;
	size_t allocator = view->resolved.next_object[MA_FN_MALLOC];
	struct ma_memory_cache *cache;
	const struct ma_target_memory *memory = ma_memory_cache_create(&view->memory, &cache);

	*rules = (struct ma_safe_rules){.view = view, .same_root = same_root(view->pid)};
	add_libc_objects(rules);
	if (map->loader < map->count) {
		const struct ma_module *loader = &map->object[map->loader].module;

		rules->loader = (struct ma_range){loader->start, loader->end};
	}
	if (allocator < map->count && allocator != map->libc_object) {
		const struct ma_module *module = &map->object[allocator].module;

		if (allocator == 0 || allocator == view->interpreter.object)
			rules->allocator_inside = true;
		else
			rules->allocator = (struct ma_range){module->start, module->end};
	}
	add_functions(rules, memory, waiting_names, rules->waiting, &rules->waiting_count);
	add_functions(rules, memory, reading_names, rules->reading, &rules->reading_count);
	add_functions(rules, memory, starting_names, rules->starting, &rules->starting_count);
	add_functions(rules, memory, locking_names, rules->locking, &rules->locking_count);
	ma_memory_cache_destroy(cache);
}

void ma_safe_rules_own(struct ma_safe_rules *rules, uint64_t start, uint64_t end)
{
	if (start && end > start && rules->own_count < MA_SAFE_OWN)
		rules->own[rules->own_count++] = (struct ma_range){start, end};
}

enum ma_waiting ma_safe_waiting(const struct ma_regs *regs)
{
	int64_t number = ma_arch.syscall_number(regs);

	if (number == SYS_read)
		return MA_WAITING_INPUT;
	if (number == SYS_nanosleep || number == SYS_clock_nanosleep)
		return MA_WAITING_TIME;
	/* Semaphores, conditions and joins wait with an absolute limit (or none) in this form; the
	 * locks of malloc and of the loader use plain FUTEX_WAIT. */
	if (number == SYS_futex &&
	    ((int)ma_arch.syscall_arg(regs, 1) & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET)
		return MA_WAITING_EVENT;
	for (int i = 0; i < COUNT(waiting_calls); i++)
		if (waiting_calls[i] == number)
			return MA_WAITING_EVENT;
	return MA_WAITING_UNKNOWN;
}

static bool is_libc(const struct ma_safe_rules *rules, uint64_t pc)
{
	return in_any(rules->libc, rules->libc_count, pc);
}

/* Judges the run of libc frames first..last, of count frames in all. */
static bool libc_run(const struct ma_safe_rules *rules, const uint64_t *pc, int first, int last,
		     int count, enum ma_waiting waiting)
{
	uint64_t outermost = pc[last];

	if (first > 0)
		return last == count - 1 ||
		       (last >= count - 3 &&
			in_any(rules->starting, rules->starting_count, outermost));
	if (last == count - 1)
		return false; /* nothing but libc: a thread that begins or ends */
	if (waiting == MA_WAITING_EVENT || in_any(rules->waiting, rules->waiting_count, outermost))
		return true;
	return waiting == MA_WAITING_INPUT &&
	       in_any(rules->reading, rules->reading_count, outermost);
}

bool ma_safe_stack(const struct ma_safe_rules *rules, const uint64_t *pc, int count,
		   enum ma_waiting waiting, char *why, size_t room)
{
	const struct ma_link_map *map = &rules->view->link_map;
	int i = 0;

	while (i < count) {
		int last = i;

		if (ma_range_has(&rules->loader, pc[i]))
			return unsafe(why, room, "it is in the dynamic loader");
		if (ma_range_has(&rules->allocator, pc[i]) ||
		    in_any(rules->locking, rules->locking_count, pc[i]))
			return unsafe(why, room, "it is in the allocator or in fork");
		if (in_any(rules->own, rules->own_count, pc[i]))
			return unsafe(why, room, "it is in memattach's hook");
		if (!is_libc(rules, pc[i])) {
			if (!ma_link_map_find(map, pc[i]))
				return unsafe(why, room, "it runs code of no known file");
			i++;
			continue;
		}
		while (last + 1 < count && is_libc(rules, pc[last + 1]) &&
		       !in_any(rules->locking, rules->locking_count, pc[last + 1]))
			last++;
		if (!libc_run(rules, pc, i, last, count, waiting)) {
			snprintf(why, room, "it is inside libc (0x%llx)",
				 (unsigned long long)pc[last]);
			return false;
		}
		i = last + 1;
	}
	if (rules->allocator_inside && waiting != MA_WAITING_EVENT)
		return unsafe(why, room, "the allocator is part of the program and may be running");
	snprintf(why, room, "safe, %d frames", count);
	return true;
}

/* No word of the whole stack points into loader, allocator or us: holds also where frames were
 * guessed or cannot be told at all. */
static bool stack_is_clean(const struct ma_safe_rules *rules, const struct ma_regs *regs)
{
	struct ma_range stacks[MA_THREAD_STACKS];
	uint64_t sp = ma_arch.sp(regs) & ~UINT64_C(7);
	int found = ma_thread_stacks_find(&rules->view->maps, sp, ma_arch.thread_pointer(regs),
					  false, stacks);
	size_t bytes = found ? (size_t)(stacks[0].end - sp) : 0;
	uint64_t *words;
	bool clean = false;

	if (!bytes || bytes > SCAN_BYTES)
		return false;
	words = malloc(bytes);
	if (words &&
	    ma_memory_read_some(&rules->view->memory, ma_raddr(sp), words, bytes, NULL) == bytes) {
		clean = true;
		for (size_t i = 0; i < bytes / sizeof(*words) && clean; i++)
			clean = !ma_range_has(&rules->loader, words[i]) &&
				!ma_range_has(&rules->allocator, words[i]) &&
				!in_any(rules->locking, rules->locking_count, words[i]) &&
				!in_any(rules->own, rules->own_count, words[i]);
	}
	free(words);
	return clean;
}

/* Another pc in the middle of a restartable sequence would cost the thread its restart. */
static bool in_rseq(const struct ma_safe_rules *rules, const struct ma_tracee *tracee)
{
	struct __ptrace_rseq_configuration configuration = {0};
	struct rseq_cs section;
	uint64_t pointer;
	uint64_t pc = ma_arch.pc(&tracee->context.regs);

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tracee->tid, sizeof(configuration),
		   &configuration) < 0 ||
	    !configuration.rseq_abi_pointer)
		return false;
	if (ma_memory_read_u64(
		    &rules->view->memory,
		    ma_raddr(configuration.rseq_abi_pointer + offsetof(struct rseq, rseq_cs)),
		    &pointer, NULL) ||
	    !pointer)
		return false;
	if (ma_memory_read(&rules->view->memory, ma_raddr(pointer), &section, sizeof(section),
			   NULL))
		return true;
	return pc - section.start_ip < section.post_commit_offset;
}

/* Below the red zone of this stack there must be room for a signal frame, now. */
static bool has_room(const struct ma_safe_rules *rules, const struct ma_regs *regs,
		     size_t frame_bytes)
{
	uint64_t sp = ma_arch.sp(regs);
	uint64_t bottom = sp - ma_arch.red_zone_bytes - frame_bytes;
	const struct ma_map *map = ma_maps_find(&rules->view->maps, sp);
	struct ma_maps fresh = {0};
	bool room;

	if (!map && !ma_maps_read(rules->view->pid, &fresh, NULL))
		map = ma_maps_find(&fresh, sp);
	/* The main thread's stack grows by itself. */
	room = map && (map->protection & PROT_WRITE) &&
	       (bottom >= map->start || !strcmp(map->name, "[stack]"));
	ma_maps_fini(&fresh);
	return room;
}

bool ma_safe_point(const struct ma_safe_rules *rules, struct ma_unwinder *unwinder,
		   const struct ma_tracee *tracee, enum ma_need need, size_t frame_bytes, char *why,
		   size_t room)
{
	const struct ma_regs *regs = &tracee->context.regs;
	enum ma_waiting waiting = ma_safe_waiting(regs);
	struct ma_stack_walk *walk;
	bool safe = false;

	if (in_rseq(rules, tracee))
		return unsafe(why, room, "it is in a restartable sequence");
	if (!has_room(rules, regs, frame_bytes))
		return unsafe(why, room, "its stack has too little room");
	if (need == MA_NEED_SYSCALLS) {
		snprintf(why, room, "safe for system calls");
		return true;
	}
	walk = malloc(sizeof(*walk));
	if (!walk)
		return unsafe(why, room, "no memory to walk its stack");
	ma_unwinder_walk(unwinder, tracee->tid, regs, walk);
	if (walk->complete) {
		safe = ma_safe_stack(rules, walk->pc, walk->count, waiting, why, room);
	} else if (!stack_is_clean(rules, regs)) {
		snprintf(why, room, "its stack could not be walked and points into libc's locks");
	} else if (waiting == MA_WAITING_EVENT ||
		   (waiting == MA_WAITING_TIME && !rules->allocator_inside)) {
		snprintf(why, room, "safe, it waits");
		safe = true;
	} else {
		snprintf(why, room, "its stack could not be walked");
		if (rules->same_root)
			ma_unwinder_walk_ptrace(tracee->tid, walk);
		if (walk->complete)
			safe = ma_safe_stack(rules, walk->pc, walk->count, waiting, why, room);
	}
	free(walk);
	return safe;
}
