/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What may stay: a hundredth of a core in the long run, a burst at once, pauses that double; against sums by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "budget.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define BURST (20 * MS)

/* What costs just a hundredth of the time stays for ever. */
static void stays_within_share(void **state)
{
	struct rt_budget b;
	uint64_t now = 5 * SECOND, spent = 0;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	assert_true(rt_budget_due(&b, now));
	rt_budget_on(&b, now);
	assert_false(rt_budget_due(&b, now));
	for (int i = 0; i < 100000; i++) {
		now += 50 * MS;
		spent += 50 * MS / 100;
		assert_true(rt_budget_spend(&b, now, spent));
	}
}

/* A burst at once is within it, one nanosecond more is not. */
static void burst_to_the_nanosecond(void **state)
{
	struct rt_budget b;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	rt_budget_on(&b, 0);
	assert_true(rt_budget_spend(&b, 0, BURST));
	assert_false(rt_budget_spend(&b, 0, BURST + 1));
	rt_budget_init(&b, BURST, SECOND);
	rt_budget_on(&b, 0);
	assert_false(rt_budget_spend(&b, 0, BURST + 1));
}

/* Two per cent: the burst lasts for as long as the other per cent takes to eat it up. */
static void twice_the_share(void **state)
{
	struct rt_budget b;
	uint64_t now = 0, spent = 0;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	rt_budget_on(&b, now);
	do {
		now += 10 * MS;
		spent += 10 * MS / 50;
	} while (rt_budget_spend(&b, now, spent));
	/* 20 ms / 1 % = 2 s; all of it is spent then, and the next tick is too much */
	assert_in_range(now, 1990 * MS, 2030 * MS);
}

/* A quiet hour saves up no more than a burst: fast calls are too much at once then. */
static void nothing_is_saved_up(void **state)
{
	struct rt_budget b;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	rt_budget_on(&b, 0);
	assert_true(rt_budget_spend(&b, 3600 * SECOND, 0));
	assert_false(rt_budget_spend(&b, 3600 * SECOND + 50 * MS, 30 * MS));
}

/* Fast, slow, fast: taken off with pauses of 1, 2, 4, ... 64 s, and of 1 s again after it has held. */
static void pauses_double_and_start_again(void **state)
{
	struct rt_budget b;
	uint64_t now = 0, want = SECOND;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	for (int i = 0; i < 10; i++) {
		assert_true(rt_budget_due(&b, now));
		rt_budget_on(&b, now);
		now += 50 * MS;
		assert_false(rt_budget_spend(&b, now, 40 * MS));
		assert_int_equal(rt_budget_off(&b, now), want);
		assert_false(rt_budget_due(&b, now + want - 1));
		now += want;
		want = want < 64 * SECOND ? want * 2 : want;
	}
	assert_int_equal(want, 64 * SECOND);
	rt_budget_on(&b, now); /* slow calls now */
	for (int i = 0; i < 70; i++) {
		now += SECOND;
		assert_true(rt_budget_spend(&b, now, 0));
	}
	now += 50 * MS; /* and fast ones again */
	assert_false(rt_budget_spend(&b, now, SECOND));
	assert_int_equal(rt_budget_off(&b, now), SECOND);
}

/* What cannot be put on is no reason for ever longer pauses. */
static void failure_is_tried_again(void **state)
{
	struct rt_budget b;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	for (uint64_t now = 0; now < 10 * SECOND; now += SECOND) {
		assert_true(rt_budget_due(&b, now));
		rt_budget_failed(&b, now);
		assert_false(rt_budget_due(&b, now + SECOND - 1));
	}
}

/* Counters that went back, a clock that stood still, enormous values: no wrap makes something dear look cheap. */
static void odd_values(void **state)
{
	struct rt_budget b;

	(void)state;
	rt_budget_init(&b, BURST, SECOND);
	rt_budget_on(&b, 10 * SECOND);
	assert_true(rt_budget_spend(&b, 9 * SECOND, 5 * MS));
	assert_true(rt_budget_spend(&b, 10 * SECOND, 1 * MS));
	assert_true(rt_budget_spend(&b, 10 * SECOND, 20 * MS)); /* 20 in all: the burst, and not 1 + 20 */
	assert_false(rt_budget_spend(&b, 10 * SECOND, 20 * MS + 1));
	rt_budget_on(&b, 10 * SECOND);
	assert_false(rt_budget_spend(&b, UINT64_MAX, UINT64_MAX));
	assert_true(rt_budget_spend(&(struct rt_budget){.burst_ns = BURST}, SECOND, UINT64_MAX)); /* off: costs nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_within_share),
		cmocka_unit_test(burst_to_the_nanosecond),
		cmocka_unit_test(twice_the_share),
		cmocka_unit_test(nothing_is_saved_up),
		cmocka_unit_test(pauses_double_and_start_again),
		cmocka_unit_test(failure_is_tried_again),
		cmocka_unit_test(odd_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
