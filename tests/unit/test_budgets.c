/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Budget files: what is taken, and what is refused at which line; budgets judged; their JUnit report. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "budgets.h"

static struct rt_phase phases[] = {{.id = (char *)"load_weights"}};
static const struct rt_profile profile = {.name = (char *)"test", .path = (char *)"test.yaml", .phases = phases, .n_phases = 1};
static const struct rt_summary summary = {.duration_ns = 1500000000, .tree_peak = 5 << 20};
static const struct rt_bworld world = {.profile = &profile, .summary = &summary};

static int parse(struct rt_budgets *budgets, const char *text, char **error)
{
	*error = NULL;
	return rt_budgets_parse(budgets, "b.yaml", text, strlen(text), error);
}

static void test_file(void **state)
{
	struct rt_budgets budgets = {0};
	char *error;

	(void)state;
	assert_int_equal(parse(&budgets,
			       "# budgets of the server\n"
			       "- name: all of it\n"
			       "  expr: tree.peak > 4M\n"
			       "  note: machines have 8\n"
			       "- {expr: 'phase(\"load_weights\").peak > 1G'}\n"
			       "-\n"
			       "  expr: >\n"
			       "    tree.peak > 6M\n"
			       "    or lost.records > 0\n",
			       &error),
			 0);
	assert_int_equal(budgets.n, 3);
	assert_string_equal(budgets.budget[0].name, "all of it");
	assert_string_equal(budgets.budget[0].text, "tree.peak > 4M");
	assert_string_equal(budgets.budget[0].note, "machines have 8");
	assert_string_equal(budgets.budget[0].origin, "b.yaml:3");
	assert_string_equal(budgets.budget[1].name, "phase(\"load_weights\").peak > 1G");
	assert_null(budgets.budget[1].note);
	assert_string_equal(budgets.budget[2].origin, "b.yaml:7");
	assert_int_equal(rt_budgets_check(&budgets, &profile, false, &error), 0);
	assert_int_equal(rt_budgets_judge(&budgets, &world), 0);
	assert_int_equal(budgets.budget[0].truth, RT_BT_TRUE);
	assert_string_equal(budgets.budget[0].detail, "tree.peak is 5.00 MiB");
	assert_int_equal(budgets.budget[1].truth, RT_BT_UNKNOWN);
	assert_int_equal(budgets.budget[2].truth, RT_BT_FALSE);
	assert_int_equal(rt_budgets_count(&budgets, RT_BT_TRUE), 1);
	/* another file on top */
	assert_int_equal(parse(&budgets, "[{name: x, expr: tree.end > 1}]", &error), 0);
	assert_int_equal(budgets.n, 4);
	rt_budgets_free(&budgets);
	assert_int_equal(budgets.n, 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "b.yaml:1: a list of budgets is wanted: - {name: ..., expr: '...'}"},
		{"expr: tree.peak > 1\n", "b.yaml:1: a list of budgets is wanted"},
		{"[]\n", "b.yaml:1: no budgets; give at least one"},
		{"\n- tree.peak > 1\n", "b.yaml:2: a budget is a mapping with name, expr and note"},
		{"- name: a\n", "b.yaml:1: a budget without expr"},
		{"- name: a\n  expr: tree.peak > 1\n  limit: 5\n", "b.yaml:3: no such key; a budget has name, expr and note"},
		{"- name: a\n  name: b\n", "b.yaml:2: this key is there twice"},
		{"- name: a\n  expr: [tree.peak > 1]\n", "b.yaml:2: a text is wanted here"},
		{"- name: ''\n  expr: tree.peak > 1\n", "b.yaml:1: this text is empty; leave its key out"},
		{"- name: a\n  expr: tree.peak > 1\n- name: a\n  expr: tree.peak > 2\n", "b.yaml:4: a budget 'a' is there already (b.yaml:2); give each another name"},
		{"- expr: tree.peak > 1\n- expr: tree.peak >\n", "b.yaml:2: column 12 of the expression: expected a limit such as 40G, 30s or 0, found the end"},
		{"- expr: tree.peak > 1\n---\n- expr: tree.peak > 1\n", "b.yaml:2: a second document; a budget file is one list"},
		{"- expr: tree.peak > 1\n  bad\n :", "b.yaml:"},
		{"- &a {expr: tree.peak > 1}\n- *a\n", "b.yaml:2: aliases (*name) have no place in a budget file: write the value out"},
		{"- expr: tree.peak > 1\n- expr: \xff\n", "b.yaml:2: not valid YAML"},
		{"- expr: \"a\\0b\"\n", "b.yaml:1: a text with a NUL in it"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rt_budgets budgets = {0};
		char *error;

		if (parse(&budgets, cases[i].text, &error) != -EINVAL || !error || strncmp(error, cases[i].error, strlen(cases[i].error)))
			fail_msg("%s: %s", cases[i].text, error ? error : "taken");
		free(error);
		rt_budgets_free(&budgets);
	}
}

static void test_before_the_run(void **state)
{
	struct rt_budgets budgets = {0};
	char *error;

	(void)state;
	assert_int_equal(parse(&budgets, "- expr: phase('load_weight').peak > 1\n", &error), 0);
	assert_int_equal(rt_budgets_check(&budgets, &profile, false, &error), -EINVAL);
	assert_string_equal(error, "b.yaml:1: column 7 of the expression: profile test has no phase 'load_weight': the ids are in test.yaml");
	free(error);
	rt_budgets_free(&budgets);
	assert_int_equal(parse(&budgets, "- expr: diff.growth > 5%\n", &error), 0);
	assert_int_equal(rt_budgets_check(&budgets, &profile, true, &error), 0);
	assert_int_equal(rt_budgets_check(&budgets, &profile, false, &error), -EINVAL);
	assert_string_equal(error, "b.yaml:1: column 1 of the expression: diff. compares runs: only ramtrack-bpf diff has several");
	free(error);
	rt_budgets_free(&budgets);
	assert_int_equal(rt_budgets_read(&budgets, "/nowhere/b.yaml", &error), -EINVAL);
	assert_non_null(strstr(error, "/nowhere/b.yaml: cannot be read: No such file"));
	free(error);
	assert_int_equal(rt_budgets_read(&budgets, "/", &error), -EINVAL);
	free(error);
	assert_int_equal(rt_budgets_read(&budgets, "/dev/zero", &error), -EINVAL);
	assert_string_equal(error, "/dev/zero: larger than 1 MiB: not a budget file");
	free(error);
	rt_budgets_free(&budgets);
}

/* What must be in the report, byte by byte; that XML parsers take it is for the end-to-end tests. */
static void test_junit(void **state)
{
	struct rt_budgets budgets = {0};
	struct rt_junit junit = {.suite = "s<1>", .wall_ns = 1700000000000000000, .duration_ns = summary.duration_ns};
	char *error = NULL, *text = NULL;
	size_t len;
	FILE *out;

	(void)state;
	assert_int_equal(rt_budgets_add(&budgets, "a<b>&\"'\x01\xef\xbf\xbf", "tree.peak > 1M", "n & m", "--fail-if", &error), 0);
	assert_int_equal(rt_budgets_add(&budgets, "good", "tree.peak > 1G", NULL, "--fail-if", &error), 0);
	assert_int_equal(rt_budgets_add(&budgets, "none", "role('x').rss > 1", NULL, "--fail-if", &error), 0);
	assert_int_equal(rt_budgets_judge(&budgets, &world), 0);
	out = open_memstream(&text, &len);
	assert_int_equal(rt_junit_write(out, &junit, &budgets), 0);
	fclose(out);
	assert_string_equal(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
				  "<testsuites>\n"
				  "  <testsuite name=\"s&lt;1&gt;\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"1.500\" timestamp=\"2023-11-14T22:13:20\">\n"
				  "    <testcase name=\"a&lt;b&gt;&amp;&quot;'\\x01\xef\xbf\xbd\" classname=\"s&lt;1&gt;\" time=\"0\">\n"
				  "      <failure message=\"tree.peak is 5.00 MiB\" type=\"budget broken\">tree.peak &gt; 1M\nn &amp; m\ntree.peak is 5.00 MiB\n</failure>\n"
				  "    </testcase>\n"
				  "    <testcase name=\"good\" classname=\"s&lt;1&gt;\" time=\"0\">\n"
				  "      <system-out>tree.peak &gt; 1G\ntree.peak is 5.00 MiB\n</system-out>\n"
				  "    </testcase>\n"
				  "    <testcase name=\"none\" classname=\"s&lt;1&gt;\" time=\"0\">\n"
				  "      <skipped message=\"role('x').rss: no such process\">role('x').rss &gt; 1\nrole('x').rss: no such process\n</skipped>\n"
				  "    </testcase>\n"
				  "  </testsuite>\n"
				  "</testsuites>\n");
	free(text);
	junit.unknown_fails = true;
	out = open_memstream(&text, &len);
	assert_int_equal(rt_junit_write(out, &junit, &budgets), 0);
	fclose(out);
	assert_non_null(strstr(text, "errors=\"1\" skipped=\"0\""));
	assert_non_null(strstr(text, "<error message=\"role('x').rss: no such process\" type=\"budget not evaluated\">"));
	free(text);
	out = fopen("/dev/full", "w");
	assert_int_equal(rt_junit_write(out, &junit, &budgets), -ENOSPC);
	fclose(out);
	rt_budgets_free(&budgets);
}

/* Bytes of a good file changed, cut and doubled: taken or refused with a line, never more. */
static void test_fuzz(void **state)
{
	static const char good[] = "- name: all\n  expr: tree.peak > 4M\n  note: 'a b'\n- {expr: \"phase('load_weights').peak > 1G or not (tree.end<5)\"}\n- expr: |\n   lost.records>0\n";
	unsigned int seed = 99;
	size_t taken = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct rt_budgets budgets = {0};
		size_t len = sizeof(good) - 1;
		char text[2 * sizeof(good)], *error = NULL;

		memcpy(text, good, len);
		if (rand_r(&seed) % 3 == 0)
			len = (size_t)rand_r(&seed) % len;
		for (int k = rand_r(&seed) % 4; k && len; k--)
			text[(size_t)rand_r(&seed) % len] = rand_r(&seed) % 2 ? (char)rand_r(&seed) : good[(size_t)rand_r(&seed) % (sizeof(good) - 1)];
		if (rt_budgets_parse(&budgets, "f", text, len, &error)) {
			assert_non_null(error);
			assert_int_equal(strncmp(error, "f:", 2), 0);
			free(error);
		} else {
			taken++;
			assert_int_equal(rt_budgets_judge(&budgets, &world), 0);
		}
		rt_budgets_free(&budgets);
	}
	assert_in_range(taken, 2000, 18000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),  cmocka_unit_test(test_refused), cmocka_unit_test(test_before_the_run),
		cmocka_unit_test(test_junit), cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
