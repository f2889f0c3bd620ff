/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Calls told exactly: what makes a span exact, and what ends that. */
#include "account_kit.h"

/* A call of "rec" that was told when it began and when it ended. What told of it may have been taken off in between: then another call may be in it. */
static const struct rt_phase_view *told(struct kit *k, uint64_t at, uint32_t caller, uint32_t node, uint32_t code, const char *off)
{
	kit_run(k, at, 1, 100, .node = node, .delta = { [RT_ANON] = 1 }, .flags = RT_RUN_ENTRY);
	if (off)
		kit_meta(k, at + 2, 1, RT_META_INEXACT, off);
	kit_run(k, at + 5, 1, 100, .node = caller, .flags = RT_RUN_EXIT | RT_RUN_EDGE, .code = code);
	return &k->span[k->n_span - 1].ph;
}

static void exact_unless_taken_off(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, code, node;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	code = kit_code(k, 1, "rec", "app/main.py", 10);
	node = kit_node(k, 1, base, code, 4);
	kit_grow(k, 20, 1, 100, base, 1);
	assert_true(told(k, 30, base, node, code, NULL)->exact);
	assert_false(told(k, 40, base, node, code, "rec")->exact);
	assert_false(told(k, 50, base, node, code, "")->exact); /* all phases */
	assert_true(told(k, 60, base, node, code, "torch")->exact); /* another one's */
	assert_true(told(k, 70, base, node, code, "re")->exact); /* nor the beginning of an id, */
	assert_true(told(k, 80, base, node, code, "rec2")->exact); /* nor more than it */
	assert_true(told(k, 90, base, node, code, NULL)->exact); /* later calls are not concerned */
	assert_int_equal(k->n_span, 7);
	/* Its times are what was told all the same. */
	assert_int_equal(k->span[1].ph.start_ns, 40);
	assert_int_equal(k->span[1].ph.start_ns_min, 40);
	assert_int_equal(k->span[1].ph.end_ns, 45);
	kit_meta(k, 95, 7, RT_META_INEXACT, ""); /* an image that nobody knows */
	assert_true(told(k, 100, base, node, code, NULL)->exact);
	kit_free(k);
}

/* A begin alone does not make it exact. */
static void both_edges_are_needed(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, code, node;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	code = kit_code(k, 1, "rec", "app/main.py", 10);
	node = kit_node(k, 1, base, code, 4);
	kit_grow(k, 20, 1, 100, base, 1);
	kit_run(k, 30, 1, 100, .node = node, .delta = { [RT_ANON] = 1 }, .flags = RT_RUN_ENTRY);
	kit_grow(k, 40, 1, 100, base, 1);
	assert_false(k->span[0].ph.exact);
	assert_int_equal(k->span[0].ph.start_ns_min, 30);
	kit_grow(k, 50, 1, 100, node, 1);
	kit_run(k, 60, 1, 100, .node = base, .flags = RT_RUN_EXIT | RT_RUN_EDGE, .code = code);
	assert_false(k->span[1].ph.exact);
	assert_int_equal(k->span[1].ph.end_ns_max, 60);
	kit_free(k);
}

static void calls_are_counted(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, code, node;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	code = kit_code(k, 1, "rec", "app/main.py", 10);
	node = kit_node(k, 1, base, code, 4);
	assert_int_equal(rt_account_calls(k->account, 1, &k->profile.phases[KIT_REC]), 0);
	for (uint32_t i = 1; i <= 5; i++) {
		told(k, 10 + 10 * i, base, node, code, NULL);
		assert_int_equal(rt_account_calls(k->account, 1, &k->profile.phases[KIT_REC]), i);
	}
	assert_int_equal(rt_account_calls(k->account, 1, &k->profile.phases[KIT_TORCH]), 0);
	assert_int_equal(rt_account_calls(k->account, 2, &k->profile.phases[KIT_REC]), 0);
	kit_exit(k, 100, 1, 100, 0, 0);
	rt_account_calls(k->account, 1, &k->profile.phases[KIT_REC]); /* whatever it is: nothing that is gone is read */
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_unless_taken_off),
		cmocka_unit_test(both_edges_are_needed),
		cmocka_unit_test(calls_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
