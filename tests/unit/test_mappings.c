/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* A phase's change split by mapping: names as the kernel sends them, sums against arithmetic and a simple model. */
#include "account_kit.h"

#include "acc_split.h"
#include "mapname.h"

static const struct rt_account_config with = { .want_mappings = true };

/* The net of a mapping in a phase, INT64_MIN if it is not listed. */
static int64_t net_of(const struct rt_mapping_view *mappings, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(mappings[i].name, name))
			return mappings[i].net.total;
	}
	return INT64_MIN;
}

static int64_t net_sum(const struct rt_mapping_view *mappings, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(mappings[i].net.total, mappings[i].net.kind[RT_FILE] + mappings[i].net.kind[RT_ANON] +
								mappings[i].net.kind[RT_SHMEM]);
		sum += mappings[i].net.total;
	}
	return sum;
}

static void check_sums(const struct kit *k, const struct rt_summary *s)
{
	for (size_t i = 0; i < k->n_span; i++)
		assert_int_equal(net_sum(k->span[i].maps, k->span[i].n_maps), k->span[i].ph.gained - k->span[i].ph.released);
	for (size_t p = 0; p < s->n_procs; p++) {
		for (size_t i = 0; i < s->procs[p].n_phases; i++) {
			const struct rt_phase_view *ph = &s->procs[p].phases[i];

			assert_non_null(ph->mappings);
			assert_int_equal(net_sum(ph->mappings, ph->n_mappings), ph->gained - ph->released);
		}
	}
}

static void expect_name(const char *parts, size_t len, uint32_t flags, const char *meant)
{
	struct rt_texts texts = { 0 };
	struct rt_mappings mappings = { 0 };
	uint8_t buf[sizeof(struct rt_rec_map) + RT_MAP_NAME_MAX] = { 0 };
	struct rt_rec_map rec = { .h = { .type = RT_REC_MAP }, .id = 20, .kind = RT_MAP_FILE, .flags = flags, .len = (uint32_t)len };

	memcpy(buf, &rec, sizeof(rec));
	memcpy(buf + sizeof(rec), parts, len);
	assert_int_equal(rt_mappings_init(&mappings, &texts), 0);
	assert_int_equal(rt_mappings_add(&mappings, buf, sizeof(rec) + len), 0);
	assert_string_equal(rt_mappings_get(&mappings, 20)->name->s, meant);
	assert_string_equal(rt_mappings_get(&mappings, 21)->name->s, "<unknown>");
	assert_int_equal(rt_mappings_add(&mappings, buf, sizeof(rec) + len), -17); /* EEXIST */
	rt_mappings_free(&mappings);
	rt_texts_free(&texts);
}

#define EXPECT_NAME(parts, flags, meant) expect_name(parts, sizeof(parts) - 1, flags, meant)

static void test_names(void **state)
{
	(void)state;
	EXPECT_NAME("model.safetensors\0models\0srv\0", 0, "/srv/models/model.safetensors");
	EXPECT_NAME("memfd:a/b\0", 0, "/memfd:a/b");
	EXPECT_NAME("c\0b\0", RT_MAP_CUT, ".../b/c");
	EXPECT_NAME("no end\0a", 0, "/a/no end");
	EXPECT_NAME("x\xff\0\0\0y\0", 0, "/y/x\xef\xbf\xbd");
	EXPECT_NAME("", 0, "?");
	EXPECT_NAME("\0\0\0", 0, "?");
}

/* What the inner phase changed is in the outer one once it has ended; releases are charged to the same name. */
static void test_nested(void **state)
{
	struct kit *k = kit_new(&with);
	uint32_t base, outer, inner, model, model_again;
	const struct rt_phase_view *row;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	inner = kit_node(k, 1, outer, kit_code(k, 1, "inner", "app/main.py", 20), 4);
	model = kit_map(k, 30, RT_MAP_FILE, "model.bin");
	model_again = kit_map(k, 31, RT_MAP_FILE, "model.bin");
	kit_run(k, 20, 1, 100, .node = outer, .delta = { [RT_ANON] = 20 }, .map = RT_MAP_ID_HEAP);
	kit_run(k, 30, 1, 100, .node = inner, .delta = { [RT_FILE] = 100 }, .map = model);
	kit_run(k, 35, 1, 100, .node = inner, .delta = { [RT_ANON] = 7, [RT_FILE] = -3 }, .map = model_again);
	kit_run(k, 40, 1, 100, .node = inner, .delta = { [RT_ANON] = 5 }, .map = RT_MAP_ID_ANON);
	kit_run(k, 45, 1, 101, .node = 0, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_SHMEM] = 50 }, .map = RT_MAP_ID_SHARED);
	kit_run(k, 50, 1, 100, .node = outer, .delta = { [RT_FILE] = -97 }, .map = model);
	kit_run(k, 55, 1, 100, .node = outer, .delta = { [RT_ANON] = 1 }, .map = 999);
	kit_run(k, 60, 1, 100, .node = base, .delta = { [RT_ANON] = 1 }, .map = RT_MAP_ID_HEAP);
	kit_exit(k, 70, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 80, NULL);
	assert_int_equal(k->n_span, 2);
	assert_string_equal(k->span[0].path, "outer/inner");
	assert_int_equal(k->span[0].n_maps, 3);
	assert_string_equal(k->span[0].maps[0].name, "/model.bin"); /* the largest first */
	assert_int_equal(k->span[0].maps[0].kind, RT_MAP_FILE);
	assert_int_equal(k->span[0].maps[0].net.total, P(104));
	assert_int_equal(k->span[0].maps[0].net.kind[RT_FILE], P(97));
	assert_int_equal(k->span[0].maps[0].net.kind[RT_ANON], P(7));
	assert_int_equal(net_of(k->span[0].maps, 3, "/dev/zero (deleted)"), P(50));
	assert_int_equal(net_of(k->span[0].maps, 3, "[anon]"), P(5));
	row = kit_row(&s->procs[0], "outer");
	assert_int_equal(row->n_mappings, 5);
	assert_int_equal(net_of(row->mappings, 5, "[heap]"), P(20));
	assert_int_equal(net_of(row->mappings, 5, "/model.bin"), P(7));
	assert_int_equal(net_of(row->mappings, 5, "<unknown>"), P(1));
	assert_int_equal(s->lost_records + s->lost_stacks, 0);
	check_sums(k, s);
	kit_free(k);
}

/* More mappings than are shown, then more than are kept: the sum stays exact. */
static void test_many(void **state)
{
	struct kit *k = kit_new(&with);
	const struct rt_summary *s;
	uint32_t base, outer, n = RT_SHARES_MAX + 100;
	int64_t sum = 0, shown = 0;
	char name[16];

	(void)state;
	kit_attach(k, 10, 1, 100, 1000000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	for (uint32_t i = 0; i < n; i++) {
		int32_t pages = (i % 2 ? -1 : 1) * (int32_t)(i + 1);

		snprintf(name, sizeof(name), "f%u", i);
		kit_run(k, 20 + i, 1, 100, .node = outer, .delta = { [RT_FILE] = pages },
			.map = kit_map(k, 100 + i, RT_MAP_FILE, name));
		sum += pages;
		if (i < RT_SHARES_MAX && i >= RT_SHARES_MAX - RT_MAPPING_ROWS)
			shown += pages;
	}
	kit_exit(k, 10000, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 10001, NULL);
	assert_int_equal(k->span[0].n_maps, RT_MAPPING_ROWS + 1);
	assert_string_equal(k->span[0].maps[0].name, "/f511");
	assert_string_equal(k->span[0].maps[RT_MAPPING_ROWS].name, "<others>");
	assert_int_equal(k->span[0].maps[RT_MAPPING_ROWS].kind, RT_MAP_KINDS);
	assert_int_equal(k->span[0].maps[RT_MAPPING_ROWS].net.total, P(sum - shown));
	check_sums(k, s);
	kit_free(k);
}

/* Random changes in two nested phases of two threads, against sums by mapping that know nothing of spans. */
static void test_random(void **state)
{
	static const char *const names[] = { "<unknown>", "[heap]", "[stack]", "[anon]", "/dev/zero (deleted)" };
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct kit *k = kit_new(&with);
		const struct rt_phase_view *row;
		const struct rt_summary *s;
		int64_t sum[5] = { 0 };
		uint32_t node[3];

		k->mute_tape = true;
		kit_attach(k, 10, 1, 100, 100000);
		node[0] = kit_node(k, 1, kit_base(k, 1), kit_code(k, 1, "outer", "app/main.py", 10), 4);
		node[1] = kit_node(k, 1, node[0], kit_code(k, 1, "inner", "app/main.py", 20), 4);
		node[2] = kit_node(k, 1, node[1], kit_code(k, 1, "rec", "app/main.py", 30), 4);
		for (uint64_t i = 0; i < 300; i++) {
			uint32_t map, at, pages;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			map = (uint32_t)(seed >> 33) % 5;
			at = (uint32_t)(seed >> 43) % 3;
			pages = (uint32_t)(seed >> 48) % 9;
			kit_run(k, 20 + i, 1, seed >> 61 ? 100 : 101, .node = node[at], .map = map,
				.delta = { [RT_ANON] = (int32_t)pages - 4 });
			sum[map] += (int64_t)pages - 4;
		}
		s = rt_account_finish(k->account, 1000, NULL);
		check_sums(k, s);
		row = kit_row(&s->procs[0], "outer");
		for (int i = 0; i < 5; i++)
			assert_int_equal(net_of(row->mappings, row->n_mappings, names[i]), sum[i] ? P(sum[i]) : INT64_MIN);
		kit_free(k);
	}
}

static void test_off(void **state)
{
	struct kit *k = kit_new(NULL);
	const struct rt_summary *s;
	uint32_t outer;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	outer = kit_node(k, 1, kit_base(k, 1), kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_run(k, 20, 1, 100, .node = outer, .delta = { [RT_ANON] = 20 }, .map = RT_MAP_ID_HEAP);
	kit_exit(k, 70, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 80, NULL);
	assert_null(k->span[0].ph.mappings);
	assert_null(s->procs[0].phases[0].mappings);
	kit_free(k);
}

/* Impossible values and lengths are refused and counted. */
static void test_refused(void **state)
{
	struct kit *k = kit_new(&with);
	uint8_t buf[sizeof(struct rt_rec_map) + 8] = { 0 };
	struct rt_rec_map rec = { .id = 20, .kind = RT_MAP_FILE, .len = 8 };

	(void)state;
#define GIVE(change)                                                                                \
	({                                                                                          \
		struct rt_rec_map bad = rec;                                                        \
		change;                                                                             \
		memcpy(buf, &bad, sizeof(bad));                                                     \
		kit_give(k, buf, sizeof(buf), RT_REC_MAP, 0, 1, 0);                                 \
	})
	assert_int_equal(GIVE(bad.len = 9), -22);
	assert_int_equal(GIVE(bad.len = UINT32_MAX), -22);
	assert_int_equal(GIVE(bad.id = RT_MAP_ID_HEAP), -22);
	assert_int_equal(GIVE(bad.kind = RT_MAP_STACK), -22);
	assert_int_equal(GIVE(bad.kind = 77), -22);
	assert_int_equal(GIVE((void)bad), 0);
	assert_int_equal(GIVE((void)bad), -22); /* its number is taken */
	assert_int_equal(rt_account_finish(k->account, 80, NULL)->lost_records, 6);
	kit_free(k);
}

static void expect_label(const char *name, enum rt_map_kind kind, enum rt_lang lang, const char *meant)
{
	struct rt_mapping_view mapping = { .name = name, .kind = kind };
	char *label = rt_mapname_label(&mapping, lang);

	assert_string_equal(label, meant);
	free(label);
}

static void test_labels(void **state)
{
	(void)state;
	expect_label("/srv/models/m.safetensors", RT_MAP_FILE, RT_LANG_EN, "m.safetensors (file)");
	expect_label("/srv/models/m.safetensors", RT_MAP_FILE, RT_LANG_ZH, "m.safetensors (文件)");
	expect_label("/dev/zero (deleted)", RT_MAP_SHMEM, RT_LANG_EN, "/dev/zero (deleted) (pinned/shared memory)");
	expect_label("/srv/odd/", RT_MAP_FILE, RT_LANG_EN, "/srv/odd/ (file)");
	expect_label("/a/b\x1b[31m", RT_MAP_FILE, RT_LANG_EN, "b\\x1b[31m (file)");
	expect_label("[heap]", RT_MAP_HEAP, RT_LANG_EN, "[heap] (brk)");
	assert_string_equal(rt_mapname_kind(RT_MAP_SHMEM), "shmem");
	assert_string_equal(rt_mapname_kind(RT_MAP_KINDS), "others");
	assert_string_equal(rt_mapname_kind((enum rt_map_kind)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_nested),  cmocka_unit_test(test_many),   cmocka_unit_test(test_random),
		cmocka_unit_test(test_off),   cmocka_unit_test(test_refused), cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
