/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Code objects that have just a name (up to 3.10): which phases they are. */
#include "account_kit.h"

static const char two_classes[] = "class Other:\n"				/* 1 */
				  "    def __init__(self):\n"			/* 2 */
				  "        executor_class()\n"			/* 3 */
				  "class EngineCore:\n"				/* 4 */
				  "    def __init__(self):\n"			/* 5 */
				  "        x = executor_class(\n"		/* 6 */
				  "            1)\n"				/* 7 */
				  "        y = 2\n";				/* 8 */
/* Instructions 0 and 2 are on the function's second line, 4 on its third, 6 on its fourth. */
static const uint8_t pairs[] = { 4, 1, 2, 1, 2, 1 };
static const uint8_t lnotab[] = { 0, 1, 4, 1, 2, 1 };

static struct kit *old_kit(uint16_t pyversion, const char *source)
{
	struct kit *k = kit_new(NULL);

	k->pyversion = pyversion;
	k->source = source;
	kit_attach(k, 10, 1, 100, 0);
	return k;
}

static uint32_t init_at(struct kit *k, int line, const uint8_t *table, size_t len)
{
	return kit_code_table(k, 1, "__init__", "/w/v1/core.py", line, table, len);
}

/* A page at instruction 4 of this function, then none of it. Returns the path of the last span, "" if there is none. */
static const char *path_of(struct kit *k, uint32_t base, uint32_t code)
{
	size_t before = k->n_span;
	uint64_t ts = 100 + 10 * k->next_node;

	kit_grow(k, ts, 1, 100, kit_node(k, 1, base, code, 4), 3);
	kit_grow(k, ts + 5, 1, 100, base, 1);
	return k->n_span > before ? k->span[before].path : "";
}

static void one_version(uint16_t pyversion, const uint8_t *table, size_t len)
{
	struct kit *k = old_kit(pyversion, two_classes);
	uint32_t base = kit_base(k, 1);

	assert_string_equal(path_of(k, base, init_at(k, 5, table, len)), "engine/executor");
	assert_string_equal(path_of(k, base, init_at(k, 2, table, len)), "");
	assert_int_equal(k->reads, 1);
	assert_string_equal(k->plain, "");
	kit_free(k);
}

static void test_class_from_the_source(void **state)
{
	(void)state;
	one_version(0x308, lnotab, sizeof(lnotab));
	one_version(0x309, lnotab, sizeof(lnotab));
	one_version(0x30a, pairs, sizeof(pairs));
}

/* 3.11 and newer have the whole name: the plain one is another function, and nothing is read. */
static void test_whole_names_are_not_touched(void **state)
{
	struct kit *k = old_kit(0x30b, two_classes);
	uint32_t base = kit_base(k, 1);

	(void)state;
	assert_string_equal(path_of(k, base, init_at(k, 5, pairs, sizeof(pairs))), "");
	assert_int_equal(k->reads, 0);
	kit_free(k);
}

/* Without the source, or with another version's, the last part of the name decides, and that is said once a phase. */
static void without_source(const char *source)
{
	struct kit *k = old_kit(0x309, source);
	uint32_t base = kit_base(k, 1);

	assert_string_equal(path_of(k, base, init_at(k, 5, lnotab, sizeof(lnotab))), "engine");
	assert_string_equal(path_of(k, base, init_at(k, 2, lnotab, sizeof(lnotab))), "engine");
	assert_string_equal(path_of(k, base, kit_code(k, 1, "other", "/w/v1/core.py", 2)), "");
	assert_string_equal(path_of(k, base, kit_code(k, 1, "__init__", "/w/v1/other.py", 2)), "");
	assert_string_equal(k->plain, "engine __init__ /w/v1/core.py;executor __init__ /w/v1/core.py;"
				      "scheduler __init__ /w/v1/core.py;nosuch __init__ /w/v1/core.py;");
	kit_free(k);
}

static void test_last_part(void **state)
{
	(void)state;
	without_source(NULL);
	without_source("# nothing\n");
}

/* A module's body is what it is; a phase that is no method may be taken for one, which is said as well. */
static void test_module(void **state)
{
	struct kit *k = old_kit(0x308, NULL);
	uint32_t base = kit_base(k, 1);

	(void)state;
	assert_string_equal(path_of(k, base, kit_code(k, 1, "<module>", "/w/torch/__init__.py", 1)), "import_torch");
	assert_string_equal(k->plain, "");
	assert_string_equal(path_of(k, base, kit_code(k, 1, "outer", "app/main.py", 9)), "outer");
	assert_string_equal(k->plain, "outer outer app/main.py;");
	kit_free(k);
}

/* A function on one line has an empty lnotab, which is a table all the same. */
static void test_empty_lnotab(void **state)
{
	struct kit *k = old_kit(0x309, "class EngineCore:\n    def __init__(self): executor_class()\n");
	uint32_t base = kit_base(k, 1);

	(void)state;
	assert_string_equal(path_of(k, base, init_at(k, 2, NULL, 0)), "engine/executor");
	kit_free(k);
}

/* A line table of the largest size was cut: what lies beyond it is in no statement. */
static void test_cut_lnotab(void **state)
{
	struct kit *k = old_kit(0x308, two_classes);
	uint8_t buf[9000] = { 0 };
	struct rt_rec_code rec = {
		.id = k->next_code + 1, .firstlineno = 5, .flags = RT_CODE_TABLE_CUT, .qualname_len = 8, .file_len = 13,
		.table_len = RT_LINETABLE_MAX, .qualname_width = 1, .file_width = 1, .pyversion = 0x308,
	};
	uint8_t *tail = buf + sizeof(rec);
	uint32_t base = kit_base(k, 1);

	(void)state;
	memcpy(buf, &rec, sizeof(rec));
	memcpy(tail, "__init__/w/v1/core.py", 21);
	tail[21 + 1] = 1; /* line 6 from the beginning on; the pairs behind move neither */
	tail[21 + RT_LINETABLE_MAX - 2] = 4; /* the last pair: from byte 4 on something else */
	assert_int_equal(kit_give(k, buf, (sizeof(rec) + 21 + RT_LINETABLE_MAX + 7) & ~7ul, RT_REC_CODE, 0, 1, 0), 0);
	k->next_code = rec.id + 1;
	assert_string_equal(path_of(k, base, rec.id), "engine"); /* not: executor */
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_class_from_the_source),
		cmocka_unit_test(test_whole_names_are_not_touched),
		cmocka_unit_test(test_last_part),
		cmocka_unit_test(test_module),
		cmocka_unit_test(test_empty_lnotab),
		cmocka_unit_test(test_cut_lnotab),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
