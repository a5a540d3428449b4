/* SPDX-License-Identifier: MIT */
/* See hook_fake_site.h. */
#include "hook_fake_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "inject/hook/site.h"

void (*fake_during_site)(void);
uint64_t fake_code_freed;

uint32_t ma_hook_site(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	scratch[0] = domain;
	assert_true(thread_slot < MA_THREAD_SLOTS);
	if (fake_during_site)
		fake_during_site();
	return FAKE_SITE;
}

uint32_t ma_hook_site_known(uint8_t domain, uint8_t thread_slot)
{
	(void)domain;
	(void)thread_slot;
	return 0;
}

uint32_t ma_hook_site_learn(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	return ma_hook_site(scratch, domain, thread_slot);
}

void ma_hook_code_freed(uint64_t address)
{
	fake_code_freed = address;
}
