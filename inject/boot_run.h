/* SPDX-License-Identifier: MIT */
/*
 * Running an op of the boot code (loader/resident.h) in a target that has the resident mapping: on
 * the held thread when it is the only one or the whole target is stopped, else on a thread of its
 * own, which the held thread makes and does not wait for. MA_BOOT_CALL runs on the held thread.
 */
#ifndef MA_INJECT_BOOT_RUN_H
#define MA_INJECT_BOOT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/loader/resident.h"
#include "inject/session.h"

/*
 * Starts an op. `boot` has everything but the orders, which are filled in; it is written to the
 * resident mapping at `base`. The session holds a thread; afterwards it still does when the op ran
 * on it (and is through), and does not when a thread was made. *on_thread says which. Errors: those
 * of ma_remote_call; MA_ERR_FAILED when the thread could not be made. Tracer.
 */
int ma_boot_start(struct ma_session *session, uint64_t base, struct ma_boot *boot,
		  enum ma_boot_op op, bool *on_thread, struct ma_error *error);

/* Waits until the op has made its list of calls. MA_ERR_UNSAFE at the deadline. */
int ma_boot_await_calls(struct ma_session *session, uint64_t base, uint64_t deadline_ns,
			struct ma_error *error);

/*
 * Waits until the op is through and its thread has ended. MA_ERR_UNSAFE at the deadline;
 * MA_ERR_NO_PROCESS. Reads the answers into *resident.
 */
int ma_boot_finish(struct ma_session *session, uint64_t base, bool on_thread, uint64_t deadline_ns,
		   struct ma_resident *resident, struct ma_error *error);

/* Orders an op under way not to switch the hook on any more. */
void ma_boot_cancel(struct ma_session *session, uint64_t base);

/* Fills the functions of the C library that the boot code calls, from what the session found. */
void ma_boot_fill(struct ma_boot *boot, const struct ma_session *session, uint64_t base);

/* Turns config.status of a finished op into an error (0 stays 0). */
int ma_boot_judge(const struct ma_resident *resident, pid_t pid, struct ma_error *error);

/* Reads a resident mapping that is there already, from the address of its configuration. Checks
 * magic, ABI and extent. MA_ERR_PROTOCOL when it is not one of ours. */
int ma_boot_read(const struct ma_target_memory *memory, uint64_t config_address,
		 struct ma_resident *resident, struct ma_error *error);

#endif
