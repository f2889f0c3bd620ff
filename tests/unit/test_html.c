/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The page's parts: JSON that no name can break out of, the bounded timeline, the bounded trie of stacks; and the page as a whole, its data read back by jansson. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "formats.h"
#include "growthtree.h"
#include "pagejson.h"
#include "rssline.h"

#define MIB 1048576ll

/* ---- escaping ---- */

/* What rt_pagejson_text writes of `text`. The caller frees. */
static char *written(const char *text, size_t max)
{
	char *out = NULL;
	size_t len = 0;
	struct rt_pagejson json = {.out = open_memstream(&out, &len)};

	rt_pagejson_text(&json, NULL, text, max);
	fclose(json.out);
	return out;
}

static void expect_text(const char *text, size_t max, const char *want)
{
	char *out = written(text, max);
	json_t *value = json_loads(out, JSON_DECODE_ANY, NULL);

	if (!value)
		fail_msg("no JSON: %s", out);
	assert_string_equal(json_string_value(value), want);
	for (const char *at = out; *at; at++) {
		assert_false(strchr("<>&", *at));
		assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
	}
	assert_null(strstr(out, "\xe2\x80\xa8"));
	assert_null(strstr(out, "\xe2\x80\xa9"));
	json_decref(value);
	free(out);
}

static void test_escape(void **state)
{
	(void)state;
	expect_text("plain", 0, "plain");
	expect_text("</script><script>alert(1)</script>", 0, "</script><script>alert(1)</script>");
	expect_text("<!-- --> ]]> & \" ' \\ /", 0, "<!-- --> ]]> & \" ' \\ /");
	expect_text("\x01\x1f\x7f\n\r\t", 0, "\x01\x1f\x7f\n\r\t");
	expect_text("\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xae", 0, "\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xae");
	expect_text("\xe5\x8a\xa0\xf0\x9f\x98\x80", 0, "\xe5\x8a\xa0\xf0\x9f\x98\x80");
	/* not UTF-8: stray, overlong, surrogate, above U+10FFFF, cut off */
	expect_text("a\x80z", 0, "a\xef\xbf\xbdz");
	expect_text("\xc0\xaf", 0, "\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\xe0\x80\xaf", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\xed\xa0\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\xf4\x90\x80\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("x\xe5\x8a", 0, "x\xef\xbf\xbd\xef\xbf\xbd");
	/* cut between characters */
	expect_text("abc\xe5\x8a\xa0", 5, "abc\xe2\x80\xa6");
	expect_text("abc\xe5\x8a\xa0", 6, "abc\xe5\x8a\xa0");
}

static void test_escape_any(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		char text[64];
		json_t *value;
		char *out;
		size_t n = (size_t)(rand_r(&seed) % 63);

		for (size_t i = 0; i < n; i++)
			text[i] = (char)(1 + rand_r(&seed) % 255);
		text[n] = '\0';
		out = written(text, round % 40);
		value = json_loads(out, JSON_DECODE_ANY, NULL);
		if (!value)
			fail_msg("no JSON: %s", out);
		assert_null(strpbrk(out, "<>&"));
		json_decref(value);
		free(out);
	}
}

static void test_numbers(void **state)
{
	char *out = NULL;
	size_t len = 0;
	struct rt_pagejson json = {.out = open_memstream(&out, &len)};

	(void)state;
	rt_pagejson_begin(&json, NULL, '{');
	rt_pagejson_int(&json, "a", INT64_MAX);
	rt_pagejson_int(&json, "b", INT64_MIN);
	rt_pagejson_begin(&json, "c", '[');
	rt_pagejson_bool(&json, NULL, true);
	rt_pagejson_text(&json, NULL, NULL, 0);
	rt_pagejson_end(&json, ']');
	rt_pagejson_end(&json, '}');
	fclose(json.out);
	assert_string_equal(out, "{\"a\":9007199254740992,\"b\":-9007199254740992,\"c\":[true,null]}");
	free(out);
}

/* ---- the timeline ---- */

static struct rt_rssmoment moment(uint64_t ts, int64_t anon, int64_t file, int64_t top)
{
	return (struct rt_rssmoment){.ts_ns = ts, .kind = {[RT_ANON] = anon, [RT_FILE] = file}, .top = top};
}

/* Against all moments, kept here: the first, the last, the highest, and of each point the last and the highest of all moments in its slot. */
static void check_line(const struct rt_rssline *line, const struct rt_rssmoment *all, size_t n, size_t max_points)
{
	size_t used = 0;
	int64_t highest = 0, shown = 0;

	assert_true(line->n >= 1 && line->n <= max_points);
	assert_memory_equal(&line->first, &all[0], sizeof(all[0]));
	assert_memory_equal(&line->point[line->n - 1].last, &all[n - 1], sizeof(all[0]));
	for (size_t i = 0; i < line->n; i++) {
		const struct rt_rsspoint *point = &line->point[i];
		struct rt_rssmoment last = {0}, max = {.top = -1};

		for (; used < n && (all[used].ts_ns - all[0].ts_ns) / line->width_ns == point->slot; used++) {
			last = all[used];
			if (last.top > max.top)
				max = last;
		}
		assert_memory_equal(&point->last, &last, sizeof(last));
		assert_memory_equal(&point->max, &max, sizeof(max));
		shown = max.top > shown ? max.top : shown;
	}
	assert_int_equal(used, n);
	for (size_t i = 0; i < n; i++)
		highest = all[i].top > highest ? all[i].top : highest;
	assert_int_equal(shown, highest);
}

static void test_line(void **state)
{
	static struct rt_rssmoment all[20000];
	unsigned int seed = 7;

	(void)state;
	for (int round = 0; round < 12; round++) {
		struct rt_rssline line = {0};
		size_t max_points = (size_t[]){2, 3, 17, 256, 1024, 5000}[round % 6], n = round < 6 ? 20000 : 300;
		uint64_t ts = 5000000000ull;
		int64_t points = 0;

		for (size_t i = 0; i < n; i++) {
			int64_t anon = rand_r(&seed) % 100000 * 4096ll, file = rand_r(&seed) % 1000 * 4096ll;

			ts += (uint64_t)(rand_r(&seed) % 50 == 0 ? rand_r(&seed) % 800000000 : rand_r(&seed) % 90000);
			all[i] = moment(ts, anon, file, anon + file + (rand_r(&seed) % 100 == 0 ? MIB : 0));
			all[i].kind[RT_SHMEM] = rand_r(&seed) % 50 * 4096ll;
			all[i].pinned = (rand_r(&seed) % 100 - 20) * 4096ll; /* kept as told: below 0, above the kind */
			points += rt_rssline_add(&line, &all[i], max_points);
			if (i % 997 == 0 || i + 1 == n)
				check_line(&line, all, i + 1, max_points);
		}
		assert_int_equal(points, line.n);
		rt_rssline_trim(&line, 5);
		check_line(&line, all, n, 5);
		rt_rssline_free(&line);
	}
}

static void test_line_odd_times(void **state)
{
	struct rt_rssline line = {0};
	struct rt_rssmoment far[3] = {moment(0, 1, 0, 1), moment(UINT64_MAX - 1, 9, 0, 9), moment(UINT64_MAX, 2, 0, 2)}, late = moment(5, 3, 0, 3);

	(void)state;
	for (int i = 0; i < 3; i++)
		rt_rssline_add(&line, &far[i], 2);
	check_line(&line, far, 3, 2);
	rt_rssline_add(&line, &late, 2); /* taken for simultaneous with the last one */
	assert_int_equal(line.point[line.n - 1].last.ts_ns, UINT64_MAX);
	assert_int_equal(line.point[line.n - 1].last.kind[RT_ANON], 3);
	rt_rssline_free(&line);
}

/* A moment that differs in nothing but what is pinned is a moment; the highest one keeps its own figure. */
static void test_line_pinned(void **state)
{
	struct rt_rssline line = {0};
	struct rt_rssmoment now = moment(0, 0, 0, 8192);

	(void)state;
	now.kind[RT_SHMEM] = 8192;
	rt_rssline_add(&line, &now, 16);
	now.ts_ns = 5000000;
	now.top = 12288;
	now.pinned = 8192;
	assert_int_equal(rt_rssline_add(&line, &now, 16), 1);
	now.ts_ns = 5000001;
	now.pinned = 4096; /* as high as the one before it: the first of equals stays */
	assert_int_equal(rt_rssline_add(&line, &now, 16), 0);
	assert_int_equal(line.first.pinned, 0);
	assert_int_equal(line.point[1].max.pinned, 8192);
	assert_int_equal(line.point[1].last.pinned, 4096);
	now.ts_ns = 9000000;
	now.pinned = 0;
	rt_rssline_add(&line, &now, 2); /* joins the first two */
	assert_int_equal(line.n, 2);
	assert_int_equal(line.point[0].max.pinned, 8192);
	assert_int_equal(line.point[0].last.pinned, 4096);
	assert_int_equal(line.point[1].last.pinned, 0);
	rt_rssline_free(&line);
}

/* ---- stacks ---- */

/* The sums by what a page shows them by, of a tree or of what was put into it. */
struct sums {
	int64_t gained[4][4][4], released[4][4][4]; /* proc, path, map */
};

static void add_sum(struct sums *sums, const struct rt_growth_key *key, int64_t gained, int64_t released)
{
	sums->gained[key->proc][key->path][key->map] += gained;
	sums->released[key->proc][key->path][key->map] += released;
}

/* Fills a tree with `n` random stacks; the truth of the outermost frame's share goes along. */
static void fill(struct rt_growthtree *tree, size_t n, struct sums *sums, int64_t *first_frame)
{
	unsigned int seed = 3;
	uint32_t id = 1;

	for (size_t i = 0; i < n; i++) {
		uint32_t parent = 0;
		struct rt_growth_key key = {.proc = (uint32_t)rand_r(&seed) % 4, .path = (uint32_t)rand_r(&seed) % 4, .map = (uint32_t)rand_r(&seed) % 4,
					    .kind = (uint16_t)(rand_r(&seed) % RT_KINDS)};
		int64_t gained = (1 + rand_r(&seed) % (rand_r(&seed) % 64 ? 8 : 4096)) * 4096ll, released = rand_r(&seed) % 3 ? 0 : gained / 2;
		int depth = 1 + rand_r(&seed) % 12, which = rand_r(&seed) % 3;

		for (int d = 0; d < depth; d++) {
			char function[32];

			snprintf(function, sizeof(function), "f%d", d ? rand_r(&seed) % 40 : which);
			rt_growthtree_node(tree, id, parent, function, "/srv/file.py", d);
			parent = id++;
		}
		key.node = rt_growthtree_find(tree, parent);
		assert_int_not_equal(key.node, RT_GROWTH_NONE);
		rt_growthtree_add(tree, key, i * 3000000ull, gained, released);
		add_sum(sums, &key, gained, released);
		first_frame[which] += gained;
		if (i % 5000 == 4999)
			rt_growthtree_forget(tree, id - 100);
	}
}

static void check_tree(const struct rt_growthtree *tree, const struct sums *want, const int64_t *first_frame)
{
	struct sums got = {0};
	int64_t first[3] = {0};

	for (size_t i = 0; i < tree->n_nodes; i++)
		assert_true(i < RT_GROWTH_ROOTS || tree->node[i].parent < i);
	for (size_t i = 0; i < tree->n_cells; i++) {
		const struct rt_growth_cell *cell = &tree->cell[i];
		uint32_t node = cell->key.node;

		add_sum(&got, &cell->key, cell->gained, cell->released);
		assert_true(node < tree->n_nodes);
		assert_true(cell->key.slice < RT_SLICES);
		if (i)
			assert_true(tree->cell[i - 1].key.node <= node);
		while (tree->node[node].parent >= RT_GROWTH_ROOTS)
			node = tree->node[node].parent;
		assert_int_not_equal(tree->node[node].frame, RT_FRAME_FOLDED); /* large enough to stay */
		first[tree->texts.text[tree->frame[tree->node[node].frame].function][1] - '0'] += cell->gained;
	}
	assert_memory_equal(&got, want, sizeof(got));
	assert_memory_equal(first, first_frame, sizeof(first));
	assert_false(tree->failed);
	assert_int_equal(tree->no_room_gained, 0);
}

static void test_tree(void **state)
{
	static const struct { size_t nodes, cells, stacks, cells_end; bool folds; } rows[] = {
		{1000000, 400000, 100000, 250000, false}, {1000000, 400000, 500, 250000, true}, {20000, 8000, 100000, 250000, true},
		{2000, 3000, 100, 2500, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rt_growthtree tree;
		struct sums want = {0};
		int64_t first_frame[3] = {0};

		assert_int_equal(rt_growthtree_init(&tree, rows[i].nodes, rows[i].cells), 0);
		fill(&tree, 20000, &want, first_frame);
		assert_true(tree.n_cells <= rows[i].cells && tree.n_nodes <= rows[i].nodes + 12);
		rt_growthtree_finish(&tree, rows[i].stacks, rows[i].cells_end);
		assert_true(rt_growthtree_stacks(&tree) <= rows[i].stacks);
		assert_true(tree.n_cells <= rows[i].cells_end);
		assert_int_equal(tree.folded_below > 0, rows[i].folds);
		check_tree(&tree, &want, first_frame);
		rt_growthtree_free(&tree);
	}
}

/* One frame at two call sites of one line is one node; equal names elsewhere are not; the root takes what has no caller. */
static void test_tree_nodes(void **state)
{
	struct rt_growthtree tree;

	(void)state;
	assert_int_equal(rt_growthtree_init(&tree, 1024, 1024), 0);
	rt_growthtree_node(&tree, 11, 10, "main", "m.py", 3); /* 10 was never told */
	rt_growthtree_node(&tree, 12, 10, "main", "m.py", 3);
	rt_growthtree_node(&tree, 13, 11, "f", "m.py", 4);
	rt_growthtree_node(&tree, 14, 12, "f", "m.py", 4);
	rt_growthtree_node(&tree, 15, 12, "f", "m.py", 5);
	rt_growthtree_node(&tree, 16, 13, "f", "m.py", 4);
	assert_int_equal(rt_growthtree_find(&tree, 11), rt_growthtree_find(&tree, 12));
	assert_int_equal(rt_growthtree_find(&tree, 13), rt_growthtree_find(&tree, 14));
	assert_int_not_equal(rt_growthtree_find(&tree, 13), rt_growthtree_find(&tree, 15));
	assert_int_not_equal(rt_growthtree_find(&tree, 13), rt_growthtree_find(&tree, 16));
	assert_int_equal(tree.node[rt_growthtree_find(&tree, 11)].parent, RT_GROWTH_ROOT);
	assert_int_equal(rt_growthtree_find(&tree, 99), RT_GROWTH_NONE);
	assert_int_equal(rt_growthtree_word(&tree, "<helper threads>"), rt_growthtree_word(&tree, "<helper threads>"));
	assert_int_equal(tree.node[rt_growthtree_word(&tree, "<no Python>")].parent, RT_GROWTH_ROOT);
	rt_growthtree_forget(&tree, 13);
	assert_int_equal(rt_growthtree_find(&tree, 12), RT_GROWTH_NONE);
	assert_int_not_equal(rt_growthtree_find(&tree, 13), RT_GROWTH_NONE);
	rt_growthtree_free(&tree);
}

/* Names as long and as many as a target cares to make: memory stays bounded, sums whole. */
static void test_tree_names(void **state)
{
	struct rt_growthtree tree;
	char name[600];
	int64_t gained = 0;

	(void)state;
	assert_int_equal(rt_growthtree_init(&tree, 1000000, 400000), 0);
	memset(name, 'x', sizeof(name));
	for (uint32_t i = 1; i <= 120000; i++) { /* 60 MB */
		snprintf(name, sizeof(name), "%u", i);
		name[strlen(name)] = 'x';
		name[sizeof(name) - 1] = '\0';
		rt_growthtree_node(&tree, i, 0, name, "f.py", 1);
		rt_growthtree_add(&tree, (struct rt_growth_key){.node = rt_growthtree_find(&tree, i)}, i, 4096 * (i % 5 + 1), 0);
		gained += 4096 * (i % 5 + 1);
		assert_true(tree.texts.bytes < (49u << 20));
	}
	rt_growthtree_finish(&tree, 100000, 250000);
	assert_true(tree.folded_below > 0);
	for (size_t i = 0; i < tree.n_cells; i++)
		gained -= tree.cell[i].gained;
	assert_int_equal(gained, 0);
	for (size_t i = 0; i < tree.texts.n; i++)
		assert_true(strlen(tree.texts.text[i]) <= 512);
	rt_growthtree_free(&tree);
}

/* ---- the page ---- */

static json_t *block(const char *page, const char *id)
{
	char open[80];
	const char *at, *end;
	json_error_t error;
	json_t *value;

	snprintf(open, sizeof(open), "<script type=\"application/json\" id=\"%s\">", id);
	at = strstr(page, open);
	assert_non_null(at);
	at += strlen(open);
	end = strchr(at, '<'); /* the data has none */
	assert_non_null(end);
	assert_int_equal(strncmp(end, "</script>\n", 10), 0);
	value = json_loadb(at, (size_t)(end - at), 0, &error);
	if (!value)
		fail_msg("%s: %s", id, error.text);
	return value;
}

static void test_page(void **state)
{
	static const char evil[] = "</script><img src=x onerror=alert(1)>\xe2\x80\xae\x01\"'";
	struct rt_phase phase = {.id = (char *)evil, .label = {{(char *)evil, (char *)evil}}};
	const struct rt_phase *path[] = {&phase};
	struct rt_proc_view proc = {.pid = 7, .name = evil, .comm = evil, .exe = evil, .cmdline = evil, .python = "3.11.2", .start_ns = 1000,
				    .start = {4096, {4096}}, .now = {4096, {4096}}, .peak = 4096};
	struct rt_frame_view frame = {.function = evil, .file = evil, .line = 3};
	struct rt_growth_view growth = {.ts_ns = 2000, .delta = {8192, {0, 8192}}, .stack = 5, .phase = &phase, .gained = {12288, {0, 12288}}, .path = path, .path_len = 1,
					.mapping = evil, .mapping_kind = RT_MAP_ANON};
	struct rt_proc_summary summary_proc = {0};
	struct rt_summary summary = {.duration_ns = 5000, .procs = &summary_proc, .n_procs = 1};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct rt_format_config config = {.out = out, .lang = RT_LANG_EN};
	const struct rt_format *format = rt_format_get(RT_FORMAT_HTML);
	void *page = format->open(&config);
	struct rt_sink sink;
	json_t *data, *stacks, *cells;

	(void)state;
	assert_non_null(page);
	sink = format->sink(page);
	sink.on_process(sink.ctx, &proc, RT_EV_ATTACH, 1000);
	proc.now = (struct rt_sizes){12288, {4096, 8192}};
	proc.peak = 16384; /* between two looks */
	sink.on_rss(sink.ctx, &proc, 2000);
	sink.on_node(sink.ctx, 5, 1, &frame);
	sink.on_growth(sink.ctx, &proc, &growth);
	proc.end_ns = 6000;
	summary_proc.proc = proc;
	format->finish(page, &summary, NULL);
	assert_int_equal(format->error(page), 0);
	fflush(out);
	data = block(text, "data");
	stacks = block(text, "stacks");
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(data, "procs"), 1), "name")), evil);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(json_object_get(json_array_get(json_object_get(data, "procs"), 1), "rss"), "top"), 1)), 4);
	cells = json_object_get(stacks, "cells");
	assert_int_equal(json_array_size(json_object_get(cells, "gained")), 1);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(cells, "gained"), 0)), 3);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(cells, "released"), 0)), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(stacks, "texts"), 0)), evil);
	assert_null(strstr(text, "onerror=alert(1)>"));
	json_decref(data);
	json_decref(stacks);
	format->close(page);
	fclose(out);
	free(text);
}

static size_t column(const json_t *table, const char *key)
{
	return json_array_size(json_object_get(table, key));
}

/* What a made-up process tells of its native functions and of its shared memory, and when. */
struct told {
	uint64_t ts_ns;
	enum { RSS, CALL, EXEC } what;
	int64_t shmem;	   /* RSS, EXEC: what it is now; CALL: its change inside, in pages */
	uint64_t begin_ns; /* CALL */
	const char *kind;
	bool inner;
	int64_t drawn; /* pages of "pinned" from then on */
};

#define MS 1000000ull

static const struct told pins[] = {
	{.ts_ns = 10 * MS, .what = RSS, .shmem = 100, .drawn = 0},
	{.ts_ns = 20 * MS, .what = CALL, .shmem = 60, .begin_ns = 9 * MS, .kind = "pinned", .drawn = 60}, /* the RSS is as it was */
	{.ts_ns = 30 * MS, .what = CALL, .shmem = 30, .begin_ns = 21 * MS, .kind = "pinned", .inner = true, .drawn = 60},
	{.ts_ns = 40 * MS, .what = CALL, .shmem = 30, .begin_ns = 31 * MS, .kind = "shm", .drawn = 60},
	{.ts_ns = 50 * MS, .what = RSS, .shmem = 45, .drawn = 45}, /* its pages went, the call that gives them back is not over yet */
	{.ts_ns = 60 * MS, .what = CALL, .shmem = -55, .begin_ns = 49 * MS, .kind = "pinned", .drawn = 5},
	{.ts_ns = 70 * MS, .what = CALL, .shmem = -9, .begin_ns = 61 * MS, .kind = "pinned", .drawn = 0}, /* of before it was attached to: 4 below nothing */
	{.ts_ns = 80 * MS, .what = CALL, .shmem = 10, .begin_ns = 71 * MS, .kind = "pinned", .drawn = 6},
	{.ts_ns = 90 * MS, .what = EXEC, .shmem = 33, .drawn = 0},
	{.ts_ns = 100 * MS, .what = CALL, .shmem = 20, .begin_ns = 85 * MS, .kind = "pinned", .drawn = 0}, /* the old image's, told late */
	{.ts_ns = 110 * MS, .what = CALL, .shmem = 7, .begin_ns = 91 * MS, .kind = "pinned", .drawn = 7},
};

static void tell(const struct rt_sink *sink, struct rt_proc_view *proc, const struct told *told)
{
	struct rt_native_view call = {.ts_ns = told->ts_ns, .begin_ns = told->begin_ns, .tid = proc->pid, .symbol = "f", .library = "l.so", .kind = told->kind, .inner = told->inner,
				      .calls = 1, .delta = {told->shmem * 4096, {[RT_SHMEM] = told->shmem * 4096}}};

	if (told->what == CALL) {
		sink->on_native(sink->ctx, proc, &call);
		return;
	}
	proc->now = (struct rt_sizes){told->shmem * 4096, {[RT_SHMEM] = told->shmem * 4096}};
	proc->peak = proc->now.total > proc->peak ? proc->now.total : proc->peak;
	if (told->what == EXEC)
		sink->on_process(sink->ctx, proc, RT_EV_EXEC, told->ts_ns);
	else
		sink->on_rss(sink->ctx, proc, told->ts_ns);
}

/* Pinned memory is what calls of that kind made of the shared memory, in this image, and never more of it than there is. Who has none has no such column. */
static void test_page_pinned(void **state)
{
	struct rt_proc_summary procs[2] = {{.proc = {.pid = 7, .name = "pins", .comm = "", .exe = "", .cmdline = "", .start_ns = 1000, .end_ns = 120 * MS}},
					   {.proc = {.pid = 8, .name = "does not", .comm = "", .exe = "", .cmdline = "", .start_ns = 1000, .end_ns = 120 * MS}}};
	struct rt_summary summary = {.duration_ns = 5000, .procs = procs, .n_procs = 2};
	char *text = NULL;
	size_t len = 0, at = 0, moments;
	struct rt_format_config config = {.out = open_memstream(&text, &len), .lang = RT_LANG_EN};
	const struct rt_format *format = rt_format_get(RT_FORMAT_HTML);
	void *page = format->open(&config);
	struct rt_sink sink = format->sink(page);
	json_t *data, *rss;
	json_int_t unit;

	(void)state;
	for (int i = 0; i < 2; i++)
		sink.on_process(sink.ctx, &procs[i].proc, RT_EV_ATTACH, 1000);
	for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++) {
		tell(&sink, &procs[0].proc, &pins[i]);
		if (pins[i].what == RSS)
			tell(&sink, &procs[1].proc, &pins[i]);
	}
	format->finish(page, &summary, NULL);
	assert_int_equal(format->error(page), 0);
	fflush(config.out);
	data = block(text, "data");
	unit = json_integer_value(json_object_get(data, "page"));
	rss = json_object_get(json_array_get(json_object_get(data, "procs"), 1), "rss");
	moments = column(rss, "t");
	assert_true(column(rss, "pinned") == moments && column(rss, "shmem") == moments);
	for (size_t i = 0; i < moments; i++) { /* the last that was told by then */
		json_int_t ns = json_integer_value(json_array_get(json_object_get(rss, "t"), i)) * 1000 + 1000;

		while (at < sizeof(pins) / sizeof(pins[0]) && (json_int_t)pins[at].ts_ns <= ns)
			at++;
		assert_int_equal(json_integer_value(json_array_get(json_object_get(rss, "pinned"), i)) * unit, at ? pins[at - 1].drawn * 4096 : 0);
		assert_true(json_integer_value(json_array_get(json_object_get(rss, "shmem"), i)) >= json_integer_value(json_array_get(json_object_get(rss, "pinned"), i)));
	}
	assert_int_equal(at, sizeof(pins) / sizeof(pins[0]));
	assert_null(json_object_get(json_object_get(json_array_get(json_object_get(data, "procs"), 2), "rss"), "pinned"));
	json_decref(data);
	format->close(page);
	fclose(config.out);
	free(text);
}

/* More calls, and more processes with more moments, than are kept one by one: what is left out is counted, ends and peaks are exact, the longest calls are there. */
static void test_page_bounds(void **state)
{
	enum { PROCS = 300, CALLS = 200, MOMENTS = 700 };
	static struct rt_proc_summary procs[PROCS];
	struct rt_phase phase = {.id = (char *)"p", .label = {{(char *)"p", (char *)"p"}}};
	const struct rt_phase *path[] = {&phase};
	struct rt_summary summary = {.procs = procs, .n_procs = PROCS};
	char *text = NULL;
	size_t len = 0, left_out = 0, moments = 0, longest = 0;
	struct rt_format_config config = {.out = open_memstream(&text, &len), .lang = RT_LANG_ZH};
	const struct rt_format *format = rt_format_get(RT_FORMAT_HTML);
	void *page = format->open(&config);
	struct rt_sink sink = format->sink(page);
	unsigned int seed = 9;
	json_t *data, *calls;

	(void)state;
	for (int i = 0; i < PROCS; i++) {
		struct rt_proc_view *v = &procs[i].proc;

		*v = (struct rt_proc_view){.pid = 1 + (uint32_t)i, .name = "x", .comm = "x", .exe = "", .cmdline = "", .start_ns = 5, .end_ns = 1ull << 40};
		sink.on_process(sink.ctx, v, RT_EV_FORK, 5);
		for (int m = 0; m < MOMENTS; m++) {
			v->now.kind[RT_ANON] = v->now.total = (1 + rand_r(&seed) % 100000) * 4096ll;
			v->peak = v->now.total > v->peak ? v->now.total : v->peak;
			sink.on_rss(sink.ctx, v, 5 + (uint64_t)m * 1500000000ull);
		}
		for (int c = 0; c < CALLS; c++) {
			struct rt_phase_view call = {.phase = &phase, .path = path, .path_len = 1, .tid = 1, .call = 1 + (uint32_t)c, .start_ns = 10, .end_ns = 10 + (uint64_t)(rand_r(&seed) % 5000000)};

			if (c == 17)
				call.end_ns = 10 + 7777777;
			sink.on_phase(sink.ctx, v, &call);
		}
	}
	format->finish(page, &summary, NULL);
	assert_int_equal(format->error(page), 0);
	fflush(config.out);
	data = block(text, "data");
	for (int i = 0; i < PROCS; i++) {
		const json_t *proc = json_array_get(json_object_get(data, "procs"), (size_t)i + 1), *rss = json_object_get(proc, "rss");
		size_t n = column(rss, "t");
		json_int_t top = 0;

		assert_true(n == column(rss, "anon") && n == column(rss, "top"));
		for (size_t m = 0; m < n; m++) {
			json_int_t one = json_integer_value(json_array_get(json_object_get(rss, "top"), m));

			top = one > top ? one : top;
		}
		assert_int_equal(top * 4096, procs[i].proc.peak);
		assert_int_equal(json_integer_value(json_array_get(json_object_get(rss, "anon"), n - 1)) * 4096, procs[i].proc.now.total);
		moments += n;
		left_out += (size_t)json_integer_value(json_object_get(proc, "calls_left_out"));
	}
	assert_true(moments <= 2 * 131072 + 2 * PROCS && moments > 65536); /* two of a point at most */
	calls = json_object_get(data, "calls");
	assert_true(column(calls, "start") <= 40000 && column(calls, "start") > 10000);
	assert_int_equal(column(calls, "start") + left_out, PROCS * CALLS);
	for (size_t i = 0; i < column(calls, "time"); i++)
		longest += json_integer_value(json_array_get(json_object_get(calls, "time"), i)) == 7777777;
	assert_int_equal(longest, PROCS);
	json_decref(data);
	format->close(page);
	fclose(config.out);
	free(text);
}

/* Rows of native functions: the summary's figures; of more than there is room for the largest, the rest counted. What a call asked for may be any number. */
static void test_page_natives(void **state)
{
	enum { PROCS = 80, ROWS = 500 };
	static struct rt_native_sum_view rows[PROCS][ROWS];
	static struct rt_proc_summary procs[PROCS];
	struct rt_phase phase = {.id = (char *)"p", .label = {{(char *)"p", (char *)"p"}}};
	struct rt_summary summary = {.procs = procs, .n_procs = PROCS};
	char *text = NULL;
	size_t len = 0, n, small = 0;
	struct rt_format_config config = {.out = open_memstream(&text, &len), .lang = RT_LANG_ZH};
	const struct rt_format *format = rt_format_get(RT_FORMAT_HTML);
	void *page = format->open(&config);
	json_t *data, *natives, *texts;

	(void)state;
	for (int i = 0; i < PROCS; i++) {
		procs[i] = (struct rt_proc_summary){.proc = {.pid = 1 + (uint32_t)i, .name = "x", .comm = "", .exe = "", .cmdline = "", .start_ns = 5}, .natives = rows[i], .n_natives = ROWS};
		for (int k = 0; k < ROWS; k++) {
			rows[i][k] = (struct rt_native_sum_view){.symbol = k % 2 ? "alloc" : "free", .library = "l.so", .kind = "pinned", .is_free = !(k % 2), .inner = k % 5 == 0, .phase = k % 3 ? &phase : NULL,
								 .calls = 1 + (uint64_t)k, .bytes = k % 4 ? 8192 : 100, .duration_ns = 7, .delta = {-4096, {[RT_SHMEM] = -4096}}, .own = 4096, .gained = 4096};
			small += !(k % 4); /* weighs 4096, by its gain */
		}
	}
	rows[PROCS - 1][1].bytes = UINT64_MAX;
	rows[PROCS - 1][4].released = 1 << 20;
	format->finish(page, &summary, NULL);
	assert_int_equal(format->error(page), 0);
	fflush(config.out);
	data = block(text, "data");
	natives = json_object_get(data, "natives");
	n = column(natives, "proc");
	assert_int_equal(n, PROCS * ROWS - small + 1);
	assert_true(n <= 32768);
	assert_int_equal(json_integer_value(json_object_get(natives, "left_out")), small - 1);
	texts = json_object_get(natives, "texts");
	assert_int_equal(json_array_size(texts), 4);
	for (size_t c = 0; c < n; c += 37) { /* rows 1, 2, 3, 5, 6, 7, ... of each process */
		size_t i = c / (ROWS * 3 / 4), k = c % (ROWS * 3 / 4) / 3 * 4 + c % (ROWS * 3 / 4) % 3 + 1;
		const struct rt_native_sum_view *row = &rows[i][k];
		const struct { const char *key; json_int_t want; } figures[] = {
			{"proc", (json_int_t)i + 1}, {"flags", row->is_free | row->inner << 1}, {"phase", row->phase ? 1 : 0}, {"calls", (json_int_t)row->calls}, {"time", 7}, {"bytes", 8192},
			{"delta", -4096}, {"own", 4096}, {"shmem", -4096}, {"released", 0},
		};

		if (i == PROCS - 1)
			break;
		for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++)
			assert_int_equal(json_integer_value(json_array_get(json_object_get(natives, figures[f].key), c)), figures[f].want);
		assert_string_equal(json_string_value(json_array_get(texts, (size_t)json_integer_value(json_array_get(json_object_get(natives, "symbol"), c)))), row->symbol);
		assert_string_equal(json_string_value(json_array_get(texts, (size_t)json_integer_value(json_array_get(json_object_get(natives, "library"), c)))), "l.so");
		assert_string_equal(json_string_value(json_array_get(texts, (size_t)json_integer_value(json_array_get(json_object_get(natives, "kind"), c)))), "pinned");
	}
	assert_int_equal(json_integer_value(json_array_get(json_object_get(natives, "bytes"), (PROCS - 1) * ROWS * 3 / 4)), 1ll << 53); /* the largest that JavaScript counts to */
	assert_int_equal(json_integer_value(json_array_get(json_object_get(natives, "released"), (PROCS - 1) * ROWS * 3 / 4 + 3)), 1 << 20); /* row 4 stays */
	assert_int_equal(json_array_size(json_object_get(data, "phases")), 2);
	json_decref(data);
	format->close(page);
	fclose(config.out);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),		cmocka_unit_test(test_escape_any), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_line),		cmocka_unit_test(test_line_odd_times), cmocka_unit_test(test_line_pinned), cmocka_unit_test(test_tree),
		cmocka_unit_test(test_tree_names),	cmocka_unit_test(test_tree_nodes),	cmocka_unit_test(test_page),	cmocka_unit_test(test_page_bounds),
		cmocka_unit_test(test_page_pinned),	cmocka_unit_test(test_page_natives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
