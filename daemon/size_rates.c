/* SPDX-License-Identifier: MIT */
/* See size_rates.h. */
#include "daemon/size_rates.h"

#include "proto/size_rates.h"

Memattach__SizeRate **ma_size_rates(const struct ma_area_ident *ident, struct ma_pool *pool,
				    size_t *count)
{
	*count = 0;
	if (ident->mode != MA_MODE_CLASSES)
		return NULL;
	uint32_t classes = ident->size_rate_count - 1;
	Memattach__SizeRate **rates = ma_pool_alloc(pool, MA_SIZE_RATES, sizeof *rates);
	Memattach__SizeRate *all = ma_pool_alloc(pool, MA_SIZE_RATES, sizeof *all);
	if (!rates || !all)
		return NULL;
	for (uint32_t i = 0; i < classes; i++) {
		memattach__size_rate__init(&all[i]);
		all[i].below_bytes = ident->size_rates[i].below_bytes;
		all[i].chance = ma_size_rate_chance(ident->size_rates[i].rate);
		rates[i] = &all[i];
	}
	*count = classes;
	return rates;
}
