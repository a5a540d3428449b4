/* SPDX-License-Identifier: MIT */
/* See ring_claims.h. */
#include "daemon/ring_claims.h"

#include <stdbool.h>

#include "daemon/threads.h"

enum { SEARCHES = 2 }; /* for a thread at one look: each reads files of all threads */

int ma_ring_claims_look(struct ma_ring_claims *claims, struct ma_ring rings[MA_RINGS], int proc_fd)
{
	int freed = 0, searches = 0;
	for (int i = 0; i < MA_RINGS; i++) {
		uint32_t claim = __atomic_load_n(&rings[i].claim, __ATOMIC_ACQUIRE);
		uint64_t head = __atomic_load_n(&rings[i].head, __ATOMIC_ACQUIRE);
		bool stuck = claim && claim == claims->claim[i] && head == claims->head[i];
		claims->claim[i] = claim;
		claims->head[i] = head;
		if (!stuck || searches++ >= SEARCHES)
			continue;
		if (!ma_threads_is_alive(proc_fd, claim) &&
		    __atomic_compare_exchange_n(&rings[i].claim, &claim, 0, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			freed++;
	}
	return freed;
}
