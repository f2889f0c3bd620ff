/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Growth by stack: by content whatever the nodes' numbers, in its phase and mapping, and complete: the sums of a process are its charges. */
#include "account_kit.h"
#include "stacksum.h"

static const struct rt_account_config with_stacks = { .want_stacks = true, .want_mappings = true };

/* "f<main.py module": functions innermost first. */
static void stack_text(const struct rt_summary *s, uint32_t frame, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (; frame && at < size; frame = s->frames[frame].caller) {
		assert_true(frame < s->n_frames && s->frames[frame].caller < frame);
		at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? "<" : "", s->frames[frame].function);
	}
}

/* The only row of this stack, phase (NULL: none) and mapping. */
static const struct rt_stack_row *row_of(const struct rt_summary *s, const struct rt_proc_summary *p, const char *stack, const char *phase, const char *mapping)
{
	const struct rt_stack_row *found = NULL;

	for (size_t i = 0; i < p->n_stacks; i++) {
		const struct rt_stack_row *row = &p->stacks[i];
		const char *of = row->phase ? p->phases[row->phase - 1].phase->id : NULL;
		char text[256];

		assert_true(row->phase <= p->n_phases);
		stack_text(s, row->frame, text, sizeof(text));
		if (strcmp(text, stack) || strcmp(of ? of : "", phase ? phase : "") || strcmp(row->mapping, mapping))
			continue;
		assert_null(found);
		found = row;
	}
	if (!found)
		fail_msg("no row %s %s %s", stack, phase ? phase : "-", mapping);
	return found;
}

static int64_t net_of(const struct rt_proc_summary *p)
{
	int64_t net = 0;

	for (size_t i = 0; i < p->n_stacks; i++) {
		const struct rt_stack_row *row = &p->stacks[i];

		for (int kind = 0; kind < RT_KINDS; kind++)
			assert_true(row->gained.kind[kind] >= 0 && row->released.kind[kind] >= 0);
		assert_int_equal(row->gained.total, row->gained.kind[0] + row->gained.kind[1] + row->gained.kind[2]);
		net += row->gained.total - row->released.total;
	}
	return net;
}

static void test_phase_and_mapping(void **state)
{
	struct kit *k = kit_new(&with_stacks);
	uint32_t base, outer, leaf, file;
	const struct rt_stack_row *row;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 1, 1, 100, 50);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 1), 2);
	leaf = kit_node(k, 1, outer, kit_code(k, 1, "fill", "app/fill.py", 1), 2);
	file = kit_map(k, 16, RT_MAP_FILE, "weights");
	kit_run(k, 10, 1, 100, .node = leaf, .delta = { [RT_ANON] = 10 }, .gained = { [RT_ANON] = 25 }, .map = RT_MAP_ID_HEAP);
	kit_run(k, 20, 1, 100, .node = leaf, .delta = { [RT_FILE] = 30 }, .map = file);
	kit_run(k, 30, 1, 100, .node = leaf, .delta = { [RT_ANON] = -4 }, .map = RT_MAP_ID_HEAP);
	kit_run(k, 40, 1, 101, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 7 }, .map = RT_MAP_ID_ANON);
	kit_run(k, 50, 1, 100, .node = base, .delta = { [RT_ANON] = 3 }, .map = RT_MAP_ID_HEAP);
	kit_run(k, 60, 1, 100, .node = base, .cause = RT_CAUSE_RECLAIM, .delta = { [RT_ANON] = -9 }, .map = RT_MAP_ID_ANON);
	s = rt_account_finish(k->account, 100, NULL);
	row = row_of(s, &s->procs[0], "fill<outer<<module>", "outer", "[heap]");
	assert_int_equal(row->gained.kind[RT_ANON], P(25));
	assert_int_equal(row->released.kind[RT_ANON], P(19));
	row = row_of(s, &s->procs[0], "fill<outer<<module>", "outer", "/weights");
	assert_int_equal(row->gained.kind[RT_FILE], P(30));
	row = row_of(s, &s->procs[0], "<helper threads>", "outer", "[anon]"); /* the only thread in a phase is whom it helps */
	assert_int_equal(row->gained.total, P(7));
	assert_int_equal(row_of(s, &s->procs[0], "<module>", NULL, "[heap]")->gained.total, P(3));
	assert_int_equal(row_of(s, &s->procs[0], "<reclaim>", NULL, "[anon]")->released.total, P(9));
	assert_int_equal(s->procs[0].n_stacks, 5);
	assert_int_equal(net_of(&s->procs[0]), kit_charged(&s->procs[0]));
	assert_int_equal(net_of(&s->procs[0]), s->procs[0].proc.now.total - s->procs[0].proc.start.total);
	kit_free(k);
}

/* The same stack under new numbers, after the old ones were forgotten, and of another process: one trie, one row a process. */
static void test_by_content(void **state)
{
	struct kit *k = kit_new(&with_stacks);
	const struct rt_summary *s;
	size_t frames = 0;

	(void)state;
	kit_attach(k, 1, 1, 100, 50);
	kit_fork(k, 2, 2, 200, 1, 50);
	for (uint64_t i = 0; i < 20; i++) {
		uint32_t image = 1 + (i & 1), base = kit_base(k, image);
		uint32_t node = kit_node(k, image, base, kit_code(k, image, "outer", "app/main.py", 1), 2);

		kit_grow(k, 10 + i, image, image * 100, node, 5);
		rt_account_forget(k->account, k->next_node, k->next_code);
	}
	s = rt_account_finish(k->account, 100, NULL);
	for (size_t p = 0; p < 2; p++) {
		assert_int_equal(s->procs[p].n_stacks, 1);
		assert_int_equal(row_of(s, &s->procs[p], "outer<<module>", "outer", "<unknown>")->gained.total, P(50));
	}
	for (size_t i = 2; i < s->n_frames; i++)
		frames++;
	assert_int_equal(frames, 2);
	kit_free(k);
}

/* The first exec of a forked process is its baseline: what was before it, and in no phase, is not in its sums, as it is not in its charges. */
static void test_exec(void **state)
{
	struct kit *k = kit_new(&with_stacks);
	const struct rt_summary *s;
	uint32_t base;

	(void)state;
	kit_attach(k, 1, 1, 100, 50);
	kit_fork(k, 2, 2, 200, 1, 50);
	base = kit_base(k, 2);
	kit_grow(k, 10, 2, 200, base, 5);
	kit_exec(k, 20, 3, 200, 2, 10);
	base = kit_base(k, 3);
	kit_grow(k, 30, 3, 200, base, 6);
	kit_exit(k, 40, 3, 200, 0, 0);
	kit_run(k, 35, 3, 200, .node = base, .delta = { [RT_ANON] = 2 }); /* came after its end */
	s = rt_account_finish(k->account, 100, NULL);
	assert_int_equal(net_of(&s->procs[1]), P(8));
	assert_int_equal(net_of(&s->procs[1]), kit_charged(&s->procs[1]));
	kit_free(k);
}

/* More ended processes than are listed: they are added up by name, phases and stacks with them. */
static void test_merged(void **state)
{
	struct kit *k = kit_new(&with_stacks);
	const struct rt_summary *s;
	int64_t merged = 0;

	(void)state;
	k->mute_tape = true;
	kit_attach(k, 1, 1, 100, 50);
	for (uint32_t i = 0; i < 4200; i++) {
		uint32_t image = 2 + i, pid = 1000 + i, base, node;

		kit_fork(k, 10 + i * 10, image, pid, 1, 50);
		base = kit_base(k, image);
		node = kit_node(k, image, base, kit_code(k, image, i & 1 ? "outer" : "inner", "app/main.py", 1), 2);
		kit_grow(k, 11 + i * 10, image, pid, node, 3);
		kit_grow(k, 12 + i * 10, image, pid, base, 1);
		kit_exit(k, 13 + i * 10, image, pid, 0, 0);
	}
	s = rt_account_finish(k->account, 100000, NULL);
	for (size_t i = 0; i < s->n_procs; i++) {
		assert_int_equal(net_of(&s->procs[i]), kit_charged(&s->procs[i]));
		if (s->procs[i].n_stacks < 3)
			continue;
		merged++;
		assert_int_equal(row_of(s, &s->procs[i], "outer<<module>", "outer", "<unknown>")->gained.total % P(3), 0);
		assert_int_equal(row_of(s, &s->procs[i], "inner<<module>", "inner", "<unknown>")->gained.total % P(3), 0);
	}
	assert_int_equal(merged, 1);
	kit_free(k);
}

/* Tables that are full: sums stay whole. */
static void test_full(void **state)
{
	struct rt_sum_frames frames = { 0 };
	struct rt_stacksum sum = { 0 };
	struct rt_texts texts = { 0 };
	struct rt_text *name = rt_text_get(&texts, "f", 1);
	int64_t gained = 0, others = 0;
	uint32_t deep = RT_SUM_ROOT, n;

	(void)state;
	assert_int_equal(rt_sum_init(&frames, &texts), 0);
	for (n = 2; n < RT_SUM_FRAMES; n++) {
		assert_int_equal(rt_sum_frame(&frames, deep, name, NULL, 1), n);
		deep = n;
	}
	assert_int_equal(rt_sum_frame(&frames, deep, name, NULL, 1), RT_SUM_OTHERS);
	assert_int_equal(rt_sum_frame(&frames, RT_SUM_OTHERS, name, NULL, 1), RT_SUM_OTHERS);
	assert_int_equal(rt_sum_frame(&frames, RT_SUM_ROOT, name, NULL, 1), 2);
	for (uint32_t i = 0; i < RT_SUM_ROWS + 1000; i++) {
		struct rt_sum_row row = { .phase = 1 + i % 7, .frame = 2 + i, .gained = { 1, 0, 2 } };

		assert_int_equal(rt_stacksum_charge(&sum, &frames, &row), 0);
	}
	assert_int_equal(sum.n, RT_SUM_ROWS + 7);
	for (uint32_t i = 0; i < sum.n; i++) {
		gained += sum.row[i].gained[0] + sum.row[i].gained[2];
		others += sum.row[i].frame == RT_SUM_OTHERS ? sum.row[i].gained[0] : 0;
	}
	assert_int_equal(gained, 3 * (RT_SUM_ROWS + 1000));
	assert_int_equal(others, 1000);
	rt_stacksum_free(&sum, &frames);
	assert_int_equal(frames.rows, 0);
	rt_sum_free(&frames);
	rt_text_put(&texts, name);
	assert_int_equal(texts.used, 0);
	rt_texts_free(&texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phase_and_mapping), cmocka_unit_test(test_by_content), cmocka_unit_test(test_exec),
		cmocka_unit_test(test_merged),		  cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
