/* SPDX-License-Identifier: MIT */
/*
 * What is put into a target, embedded in our own executable: the hook in two builds (ELF shared
 * libraries) and the boot code (flat), and a piece of
 * flat code that stays in the thunk page.
 */
#ifndef MA_LOADER_PAYLOAD_H
#define MA_LOADER_PAYLOAD_H

#include <stdint.h>

extern const uint8_t ma_payload_hook_ie[], ma_payload_hook_ie_end[]; /* initial-exec TLS */
extern const uint8_t ma_payload_hook_tp[], ma_payload_hook_tp_end[]; /* keyed by thread pointer */
extern const uint8_t ma_payload_boot[], ma_payload_boot_end[];
extern const uint8_t ma_payload_fork_wait[], ma_payload_fork_wait_end[]; /* for the thunk page */

#endif
