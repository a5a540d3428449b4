/* SPDX-License-Identifier: MIT */
/* Size classes: what is understood, what is refused and with which words, and the way back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/size_classes.h"
#include "proto/size_rates.h"

static void assert_near(double value, double wanted, double tolerance)
{
	if (!(fabs(value - wanted) <= tolerance * fabs(wanted)))
		fail_msg("%.17g is not within %g of %.17g", value, tolerance, wanted);
}

static void test_understood(void **state)
{
	(void)state;
	static const char *const strings[] = {
		"{128: 1e-4, 8192: 0.1}",
		"{8192:.1,128:0.0001}",
		"{ 8KiB : 10% , 128 : 0.01 % , }",
		"{128B: 1E-4, 8k: 0.1} ",
	};
	for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
		struct ma_size_rate rates[MA_SIZE_RATES];
		struct ma_error error;
		uint32_t count;
		assert_int_equal(ma_size_classes_parse(strings[i], rates, &count, &error), 0);
		assert_int_equal(count, 3);
		assert_int_equal(rates[0].below_bytes, 128);
		assert_int_equal(rates[1].below_bytes, 8192);
		assert_int_equal(rates[2].below_bytes, UINT64_MAX);
		assert_near(ma_size_rate_chance(rates[0].rate), 1e-4, 1e-5);
		assert_near(ma_size_rate_chance(rates[1].rate), 0.1, 1e-8);
		assert_int_equal(rates[2].rate, 0);
		assert_true(rates[2].cost == UINT64_MAX);
	}
}

/* An exponential draw with mean 1 is below the cost with the chance that records carry. */
static void test_cost(void **state)
{
	(void)state;
	for (double chance = MA_SIZE_RATE_LEAST; chance < 1; chance *= 1.37) {
		struct ma_size_rate class = ma_size_rate_make(100, chance);
		assert_near(ma_size_rate_chance(class.rate), chance, 3e-4);
		assert_near(-expm1(-ldexp((double)class.cost, -57)),
			    ma_size_rate_chance(class.rate), 1e-9);
	}
	assert_true(ma_size_rate_make(100, 1).cost == UINT64_MAX);
	assert_int_equal(ma_size_rate_make(100, 1).rate, 0);
	/* Next to 1 there is still something to miss. */
	assert_int_equal(ma_size_rate_make(100, 1 - ldexp(1, -31)).rate, UINT32_MAX);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *string, *answer;
	} cases[] = {
		{"{", "in braces"},
		{"{}", "in braces"},
		{"{ }", "in braces"},
		{"{,}", "in braces"},
		{"{128}", "in braces"},
		{"{128:}", "in braces"},
		{"{: 0.1}", "in braces"},
		{"{128: 0.1", "in braces"},
		{"{128: 0.1} x", "in braces"},
		{"{128: 0.1,,256: 1}", "in braces"},
		{"{128: 0.1: 3}", "'0.1: 3' is no chance"},
		{"{128: 0}", "from 1e-6 to 1"},
		{"{128: 1.5}", "'1.5' is no chance"},
		{"{128: -1}", "is no chance"},
		{"{128: nan}", "is no chance"},
		{"{128: 0x1p-3}", "is no chance"},
		{"{128: 1e-7}", "from 1e-6 to 1"},
		{"{128: 200%}", "is no chance"},
		{"{0: 0.1}", "'0' is no size"},
		{"{many: 0.1}", "'many' is no size"},
		{"{128: 0.1, 128: 0.2}", "128 is there twice"},
		{"{1KiB: 0.1, 1024: 0.2}", "1024 is there twice"},
		{"{1:1,2:1,3:1,4:1,5:1,6:1,7:1,8:1}", "at most seven"},
		{"{1111111111111111111111111111111111111111111111111111: 1}", "in braces"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct ma_size_rate rates[MA_SIZE_RATES];
		struct ma_error error = {0};
		uint32_t count;
		int code = ma_size_classes_parse(cases[i].string, rates, &count, &error);
		if (code != MA_ERR_USAGE || !strstr(error.answer, cases[i].answer))
			fail_msg("%s: %d, %s", cases[i].string, code, error.answer);
	}
}

static void test_seven_fit(void **state)
{
	(void)state;
	struct ma_size_rate rates[MA_SIZE_RATES];
	struct ma_error error;
	uint32_t count;
	assert_int_equal(ma_size_classes_parse("{7:.7,6:.6,5:.5,4:.4,3:.3,2:.2,1:.1}", rates,
					       &count, &error),
			 0);
	assert_int_equal(count, MA_SIZE_RATES);
	for (uint32_t i = 0; i < 7; i++) {
		assert_int_equal(rates[i].below_bytes, i + 1);
		assert_near(ma_size_rate_chance(rates[i].rate), 0.1 * (i + 1), 1e-8);
	}
}

static void test_written(void **state)
{
	(void)state;
	Memattach__SizeRate small = MEMATTACH__SIZE_RATE__INIT, large = MEMATTACH__SIZE_RATE__INIT;
	Memattach__SizeRate *rates[] = {&small, &large};
	struct ma_text text = {0};
	small.below_bytes = 128;
	small.chance = ma_size_rate_chance(ma_size_rate_make(128, 1e-4).rate);
	large.below_bytes = 8192;
	large.chance = ma_size_rate_chance(ma_size_rate_make(8192, 0.1).rate);
	ma_size_classes_write(&text, rates, 2);
	assert_string_equal(ma_text_string(&text), "{128: 0.0001, 8192: 0.1}");
	ma_text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_understood), cmocka_unit_test(test_cost),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_seven_fit),
		cmocka_unit_test(test_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
