/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The noise band against figures worked out with R: mean(x) + c(-1, 1) * qt(.995, n - 1) * sd(x) * sqrt(1 + 1/n), and against its promise: how often it holds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "noise.h"

static void test_bands(void **state)
{
	static const struct {
		int64_t old[5];
		size_t n;
		int64_t mean, lo, hi, off; /* off: of lo and hi, from the quantile's three decimals */
	} cases[] = {
		{{100}, 1, 100, 100, 100, 0},
		{{7, 7, 7}, 3, 7, 7, 7, 0},
		{{1000, 2000}, 2, 1500, -53629, 56629, 1},	  /* s 707.107, t 63.657, sqrt 1.5 */
		{{1000, 2000, 3000}, 3, 2000, -9460, 13460, 1},	  /* s 1000, t 9.925, sqrt(4/3) */
		{{-3000, -2000, -1000}, 3, -2000, -13460, 9460, 1},
		{{10, 20, 40, 30, 50}, 5, 30, -50, 110, 1},	  /* s 15.811, t 4.604, sqrt 1.2: 79.74 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rt_noise noise = rt_noise_of(cases[i].old, cases[i].n);

		assert_int_equal(noise.mean, cases[i].mean);
		if (llabs(noise.lo - cases[i].lo) > cases[i].off || llabs(noise.hi - cases[i].hi) > cases[i].off)
			fail_msg("case %zu: %lld..%lld", i, (long long)noise.lo, (long long)noise.hi);
	}
}

static double uniform(unsigned int *seed)
{
	return ((double)rand_r(seed) + 0.5) / ((double)RAND_MAX + 1);
}

static double normal(unsigned int *seed)
{
	return sqrt(-2 * log(uniform(seed))) * cos(6.283185307179586 * uniform(seed));
}

/* Of runs that are all alike, one more lies inside with 99 %. */
static void test_promise(void **state)
{
	unsigned int seed = 4711;

	(void)state;
	for (size_t n = 2; n <= 12; n += 2) {
		int inside = 0, all = 40000;

		for (int i = 0; i < all; i++) {
			int64_t old[12], now = 1000000000 + (int64_t)(1e6 * normal(&seed));
			struct rt_noise noise;

			for (size_t k = 0; k < n; k++)
				old[k] = 1000000000 + (int64_t)(1e6 * normal(&seed));
			noise = rt_noise_of(old, n);
			inside += rt_noise_holds(&noise, now);
		}
		/* Widening to the extremes lets a little more in. 40,000 trials: the standard error is 0.05 %. */
		assert_true(inside > 0.988 * all);
		assert_true(inside < 0.995 * all);
	}
}

static void test_growth(void **state)
{
	static const int64_t old[] = {1000, 2000, 3000}, one[] = {50};
	int64_t base;

	(void)state;
	assert_int_equal(rt_noise_growth(old, 3, 13400, &base), 0);
	assert_int_equal(base, 2000);
	assert_int_equal(rt_noise_growth(old, 3, 14000, &base), 12000);
	assert_int_equal(rt_noise_growth(old, 3, -10000, NULL), -12000);
	assert_int_equal(rt_noise_growth(one, 1, 51, NULL), 1);
	assert_int_equal(rt_noise_growth(one, 1, 50, NULL), 0);
}

/* What a file says may be anything. */
static void test_extremes(void **state)
{
	static const int64_t far[] = {INT64_MIN, INT64_MAX, 0};
	struct rt_noise noise = rt_noise_of(far, 3);
	int64_t many[RT_NOISE_RUNS];

	(void)state;
	assert_int_equal(noise.lo, INT64_MIN);
	assert_int_equal(noise.hi, INT64_MAX);
	assert_int_equal(rt_noise_minus(INT64_MIN, 1), INT64_MIN);
	assert_int_equal(rt_noise_minus(INT64_MAX, -1), INT64_MAX);
	assert_int_equal(rt_noise_minus(0, INT64_MIN), INT64_MAX);
	for (size_t i = 0; i < RT_NOISE_RUNS; i++)
		many[i] = (int64_t)i;
	noise = rt_noise_of(many, RT_NOISE_RUNS);
	assert_int_equal(noise.mean, 15);
	assert_true(noise.lo < 0 && noise.hi > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bands), cmocka_unit_test(test_promise), cmocka_unit_test(test_growth), cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
