/* SPDX-License-Identifier: MIT */
/* A library that takes 64 bytes of static thread-local storage; copies of it use that up. */
#include <stdint.h>

uint64_t *static_tls_word(void);

static __thread uint64_t words[8] __attribute__((tls_model("initial-exec"))) = {1};

uint64_t *static_tls_word(void)
{
	return words;
}
