/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The parts that the accounting core stands on, each against something simpler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acc_map.h"
#include "acc_nodes.h"
#include "acc_order.h"
#include "acc_outside.h"
#include "acc_rows.h"
#include "acc_text.h"
#include "phase.h"

static uint64_t seed = 1;

static uint32_t any(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

/* A map against an array, with keys that collide and come and go. */
static void test_map(void **state)
{
	static int value[500];
	bool there[500] = { false };
	struct rt_map map = { 0 };
	size_t used = 0;

	(void)state;
	assert_null(rt_map_get(&map, 7));
	for (int step = 0; step < 50000; step++) {
		uint32_t i = any(500), key = i * 64;

		if (any(2)) {
			assert_int_equal(rt_map_set(&map, key, &value[i]), 0);
			used += !there[i];
			there[i] = true;
		} else {
			assert_ptr_equal(rt_map_take(&map, key), there[i] ? &value[i] : NULL);
			used -= there[i];
			there[i] = false;
		}
		assert_int_equal(map.used, used);
		i = any(500);
		assert_ptr_equal(rt_map_get(&map, i * 64), there[i] ? &value[i] : NULL);
	}
	rt_map_free(&map);
}

/* What Python's str.encode() makes of the same characters. */
static void test_text_from_str(void **state)
{
	static const uint16_t ucs2[] = { 'a', 0xe9, 0x6539, 0xd800, 0 };
	static const uint32_t ucs4[] = { 0x1f600, 0x110000, 'b' };
	char out[64];

	(void)state;
	assert_int_equal(rt_text_from_str(out, sizeof(out), (const uint8_t *)"caf\xe9", 4, 1), 5);
	assert_string_equal(out, "caf\xc3\xa9");
	rt_text_from_str(out, sizeof(out), (const uint8_t *)ucs2, sizeof(ucs2), 2);
	assert_string_equal(out, "a\xc3\xa9\xe6\x94\xb9\\ud800\xef\xbf\xbd");
	assert_int_equal(rt_text_from_str(out, 8, (const uint8_t *)(ucs2 + 2), 4, 2), 3); /* no part of an escape */
	assert_string_equal(out, "\xe6\x94\xb9");
	rt_text_from_str(out, sizeof(out), (const uint8_t *)ucs4, sizeof(ucs4), 4);
	assert_string_equal(out, "\xf0\x9f\x98\x80\xef\xbf\xbd"
				 "b");
	/* half a character is none */
	assert_int_equal(rt_text_from_str(out, sizeof(out), (const uint8_t *)ucs4, 7, 4), 4);
	assert_int_equal(rt_text_from_str(out, sizeof(out), (const uint8_t *)"abc", 3, 3), 0);
	assert_int_equal(rt_text_from_str(out, 4, (const uint8_t *)"a\xe9\xe9", 3, 1), 3); /* cut between characters */
	assert_string_equal(out, "a\xc3\xa9");
}

static void test_text_to_path(void **state)
{
	static const struct {
		const char *in, *out;
		bool found;
	} cases[] = {
		{ "/a/b.py", "/a/b.py", false }, { "/\\udcff\\udc80.py", "/\xff\x80.py", true }, { "/\\udc7f", "/\\udc7f", false },
		{ "/\\ud800", "/\\ud800", false }, { "/\\udc8", "/\\udc8", false },	       { "\\udc", "\\udc", false },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s", cases[i].in);
		assert_int_equal(rt_text_to_path(text), cases[i].found);
		assert_string_equal(text, cases[i].out);
	}
}

static void test_text_from_bytes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "\xe6\x94\xb9", "\xe6\x94\xb9" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "a\xff", "a\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },				/* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },		/* surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* above U+10FFFF */
		{ "\xe6\x94", "\xef\xbf\xbd\xef\xbf\xbd" },				/* cut */
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rt_text_from_bytes(out, sizeof(out), (const uint8_t *)cases[i].in, strlen(cases[i].in));
		assert_string_equal(out, cases[i].out);
	}
	assert_int_equal(rt_text_from_bytes(out, sizeof(out), (const uint8_t *)"ab\0cd", 5), 2);
}

static void test_texts(void **state)
{
	struct rt_texts texts = { 0 };
	struct rt_text *a = rt_text_get(&texts, "abc", 3), *b;

	(void)state;
	assert_ptr_equal(rt_text_get(&texts, "abcd", 3), a);
	for (int i = 0; i < 1000; i++) {
		char s[16];

		snprintf(s, sizeof(s), "t%d", i);
		b = rt_text_get(&texts, s, strlen(s));
		assert_ptr_not_equal(b, a);
		rt_text_put(&texts, b);
	}
	assert_int_equal(texts.used, 1);
	b = rt_text_get(&texts, "module", 6);
	a->module = b; /* goes with its text */
	rt_text_put(&texts, a);
	assert_int_equal(texts.used, 2);
	rt_text_put(&texts, a);
	assert_int_equal(texts.used, 0);
	rt_texts_free(&texts);
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return x[0] != y[0] ? (x[0] < y[0] ? -1 : 1) : x[1] < y[1] ? -1 : 1;
}

/* The window against qsort: equal times keep their order; long records, too. */
static void test_order(void **state)
{
	static uint64_t record[5000][30];
	struct rt_order order = { 0 };
	const uint64_t *got;
	size_t size;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 5000; i++) {
			record[i][0] = any(1000);
			record[i][1] = i;
			size = i % 10 ? 120 : sizeof(record[i]);
			assert_int_equal(rt_order_push(&order, record[i][0], record[i], size), 0);
		}
		qsort(record, 5000, sizeof(record[0]), by_time);
		for (size_t i = 0; i < 5000; i++) {
			got = rt_order_pop(&order, record[i][0], &size);
			assert_non_null(got);
			assert_int_equal(got[0], record[i][0]);
			assert_int_equal(got[1], record[i][1]);
			assert_int_equal(size, got[1] % 10 ? 120 : sizeof(record[i]));
			if (i + 1 < 5000 && record[i + 1][0] > record[i][0])
				assert_null(rt_order_pop(&order, record[i][0], &size));
		}
		assert_null(rt_order_pop(&order, UINT64_MAX, &size));
	}
	assert_int_equal(order.chunks, (5000 + 511) / 512); /* slots are reused */
	rt_order_push(&order, 1, record[0], sizeof(record[0])); /* freed with the window */
	rt_order_free(&order);
}

static void test_order_is_bounded(void **state)
{
	struct rt_order order = { 0 };
	uint64_t record = 0;
	size_t size;

	(void)state;
	for (uint32_t i = 0; i < RT_ORDER_MAX; i++)
		assert_int_equal(rt_order_push(&order, RT_ORDER_MAX - i, &record, sizeof(record)), 0);
	assert_int_equal(rt_order_push(&order, 5, &record, sizeof(record)), -28);
	assert_non_null(rt_order_pop(&order, 1, &size));
	assert_int_equal(rt_order_push(&order, 5, &record, sizeof(record)), 0);
	rt_order_free(&order);
}

static void count_node(void *ctx, const struct rt_node *node)
{
	(void)node;
	++*(size_t *)ctx;
}

static void test_nodes(void **state)
{
	struct rt_nodes *nodes = calloc(1, sizeof(*nodes));
	size_t seen = 0;

	(void)state;
	assert_non_null(nodes);
	assert_int_equal(rt_nodes_add(nodes, 0, 0, 0, 0, 0), -22);
	assert_int_equal(rt_nodes_add(nodes, 5, 5, 1, 0, 0), -22);
	for (uint32_t id = 1; id <= 20000; id++) {
		bool root = id % 1000 == 1;

		assert_int_equal(rt_nodes_add(nodes, id, root ? 0 : id - 1, root ? 0 : id, 7, id % 50), 0);
	}
	assert_int_equal(rt_nodes_add(nodes, 77, 1, 1, 1, 1), -17);
	assert_int_equal(nodes->chunks, 5);
	assert_int_equal(rt_node_path(rt_nodes_find(nodes, 1234)), 1234 % 50);
	rt_nodes_forget(nodes, 12000);
	assert_int_equal(nodes->count, 8001);
	assert_int_equal(nodes->chunks, 3);
	assert_null(rt_nodes_find(nodes, 11999));
	assert_int_equal(rt_nodes_find(nodes, 12000)->code, 12000);
	assert_int_equal(rt_nodes_find(nodes, 3001)->code, 0); /* a root */
	assert_null(rt_nodes_find(nodes, 3002));
	rt_nodes_each(nodes, count_node, &seen);
	assert_int_equal(seen, 8001);
	assert_int_equal(rt_nodes_add(nodes, UINT32_MAX, 3001, 9, 9, 9), 0);
	rt_nodes_forget(nodes, UINT32_MAX);
	assert_int_equal(nodes->count, 1);
	rt_nodes_free(nodes);
	free(nodes);
}

/* Ids far apart take a chunk each: the table says no before it eats all memory. */
static void test_nodes_are_bounded(void **state)
{
	struct rt_nodes *nodes = calloc(1, sizeof(*nodes));
	int err = 0;
	uint32_t n = 0;

	(void)state;
	assert_non_null(nodes);
	while (!err && n < 2000)
		err = rt_nodes_add(nodes, ++n * 2000000u, 0, 0, 0, 0);
	assert_int_equal(err, -28);
	assert_int_equal(n, RT_NODE_CHUNKS + 1);
	rt_nodes_free(nodes);
	free(nodes);
}

static void test_paths(void **state)
{
	struct rt_paths paths = { 0 };
	uint32_t a, ab, ids[RT_PATH_DEPTH], deep = 0;

	(void)state;
	a = rt_path_step(&paths, 0, 3, 100);
	ab = rt_path_step(&paths, a, 4, 200);
	assert_int_equal(rt_path_step(&paths, 0, 3, 100), a);
	assert_int_not_equal(rt_path_step(&paths, 0, 3, 101), a);
	assert_int_equal(rt_path_step(&paths, ab, 3, 999), ab); /* recursion */
	assert_int_equal(rt_path_elements(&paths, ab, ids), 2);
	assert_int_equal(ids[0], a);
	assert_int_equal(ids[1], ab);
	for (uint16_t phase = 0; phase < 100; phase++)
		deep = rt_path_step(&paths, deep, phase, 1);
	assert_int_equal(rt_path_elements(&paths, deep, ids), RT_PATH_DEPTH);
	assert_int_equal(paths.refused, 100 - RT_PATH_DEPTH);
	for (uint64_t anchor = 0; anchor < 100000; anchor++)
		rt_path_step(&paths, 0, 9, anchor + 5000);
	assert_int_equal(paths.live, RT_PATH_ANCHORED + 1); /* the rest share one without an anchor */
	rt_path_mark(&paths, ab);
	rt_paths_sweep(&paths);
	assert_int_equal(paths.live, 2);
	assert_int_equal(rt_path_step(&paths, 0, 3, 100), a);
	assert_int_equal(rt_path_step(&paths, a, 4, 200), ab);
	for (uint16_t phase = 0; phase < 300; phase++) {
		for (uint64_t anchor = 0; anchor < 300; anchor++)
			rt_path_step(&paths, 0, phase, anchor + 5000);
	}
	assert_true(paths.live <= RT_PATH_MAX);
	assert_int_equal(rt_path_elements(&paths, ab, ids), 2);
	rt_paths_free(&paths);
}

static void test_rows(void **state)
{
	const struct rt_tally first = { .calls = 1, .own = 5, .start_ns = 9, .end_ns = 12, .exact = true };
	const struct rt_tally second = { .calls = 1, .own = -2, .start_ns = 3, .end_ns = 4, .rss_start = 7 };
	struct rt_rows rows = { 0 }, sum = { 0 };
	uint32_t a, ab, b, order[8], n = 0;

	(void)state;
	assert_int_equal(rt_rows_next(&rows, 0), 0);
	a = rt_rows_child(&rows, 0, 1);
	b = rt_rows_child(&rows, 0, 2);
	ab = rt_rows_child(&rows, a, 2);
	assert_int_equal(rt_rows_child(&rows, a, 2), ab);
	rt_tally_add(&rows.row[ab].tally, &first);
	rt_tally_add(&rows.row[ab].tally, &second);
	rt_rows_add(&sum, &rows);
	rt_rows_add(&sum, &rows);
	for (uint32_t row = rt_rows_next(&sum, 0); row; row = rt_rows_next(&sum, row))
		order[n++] = sum.row[row].phase;
	assert_int_equal(n, 3);
	assert_int_equal(order[0] * 100 + order[1] * 10 + order[2], 122);
	assert_int_equal(sum.row[rt_rows_child(&sum, rt_rows_child(&sum, 0, 1), 2)].tally.own, 6);
	assert_int_equal(rows.row[ab].tally.calls, 2);
	assert_int_equal(rows.row[ab].tally.start_ns, 3);
	assert_int_equal(rows.row[ab].tally.rss_start, 7);
	assert_int_equal(rows.row[ab].tally.end_ns, 12);
	assert_false(rows.row[ab].tally.exact);
	for (uint16_t phase = 0; phase < 3000; phase++)
		rt_rows_child(&rows, b, phase);
	assert_int_equal(rows.n, RT_ROWS_MAX);
	rt_rows_free(&rows);
	rt_rows_free(&sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_text_from_str),
		cmocka_unit_test(test_text_to_path),
		cmocka_unit_test(test_text_from_bytes),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_is_bounded),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_nodes_are_bounded),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
