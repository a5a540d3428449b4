/* SPDX-License-Identifier: MIT */
/*
 * The lock that additions to the tables take. A thread of the target can die or be stopped
 * anywhere, also while it holds this lock, and no other thread may wait for it for long: so waiting
 * is bounded, a lock held for more than a second is taken over, and a record is published by
 * compare-and-swap, so that a holder who wakes up after that cannot publish over somebody else's
 * record. What such a late holder may still write is the room behind the old `used`: the one who
 * takes over leaves that room unused.
 */
#include "inject/hook/cpu.h"
#include "inject/hook/tables.h"

enum {
	LOCK_SPINS = 400, /* 5 to 15 microseconds */
	PATIENT_ROUNDS =
		1 << 18, /* of them: longer than it takes until the lock can be taken over */
};

static bool try_lock(struct ma_tables *tables, uint32_t owner)
{
	uint32_t free = 0;

	if (__atomic_load_n(&tables->lock, __ATOMIC_RELAXED))
		return false;
	if (!__atomic_compare_exchange_n(&tables->lock, &free, owner, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&tables->lock_tsc, ma_cpu_ticks(), __ATOMIC_RELAXED);
	return true;
}

static void leave_room(uint64_t *used, uint64_t record_words, uint64_t log_words)
{
	uint64_t start = __atomic_load_n(used, __ATOMIC_ACQUIRE);
	uint64_t end = start + record_words;

	if (start > log_words || end > log_words)
		end = log_words;
	__atomic_compare_exchange_n(used, &start, end, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static bool take_over(struct ma_tables *tables, uint32_t owner, uint64_t second_ticks)
{
	uint32_t holder = __atomic_load_n(&tables->lock, __ATOMIC_ACQUIRE);
	uint64_t since = __atomic_load_n(&tables->lock_tsc, __ATOMIC_RELAXED);
	uint64_t now = ma_cpu_ticks();

	if (!holder)
		return false;
	if (!since) {
		/* The holder has not set its clock yet, and may never: start it. */
		__atomic_compare_exchange_n(&tables->lock_tsc, &since, now, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
		return false;
	}
	if (now < since || now - since < second_ticks)
		return false;
	if (!__atomic_compare_exchange_n(&tables->lock, &holder, owner, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&tables->lock_tsc, now, __ATOMIC_RELAXED);
	leave_room(&tables->stack_used, MA_STACK_RECORD_WORDS, MA_STACK_WORDS);
	leave_room(&tables->code_used, MA_CODE_RECORD_WORDS, MA_CODE_WORDS);
	return true;
}

bool ma_tables_lock(struct ma_tables *tables, const struct ma_writer *writer)
{
	uint32_t rounds = writer->patient ? PATIENT_ROUNDS : 1;

	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t spin = 0; spin < LOCK_SPINS; spin++) {
			if (try_lock(tables, writer->owner))
				return true;
			ma_cpu_pause();
		}
		if (take_over(tables, writer->owner, writer->second_ticks))
			return true;
	}
	return false;
}

void ma_tables_unlock(struct ma_tables *tables, uint32_t owner)
{
	if (__atomic_load_n(&tables->lock, __ATOMIC_RELAXED) != owner)
		return;
	__atomic_store_n(&tables->lock_tsc, 0, __ATOMIC_RELAXED);
	__atomic_compare_exchange_n(&tables->lock, &owner, 0, false, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

bool ma_tables_publish(uint64_t *used, uint64_t start, uint64_t words)
{
	return __atomic_compare_exchange_n(used, &start, start + words, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}
