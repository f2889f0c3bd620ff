/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Qualified names from a position in the source; tests/unit/line_truth.py compares those of whole libraries. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pydef.h"

static const char source[] = "import x\n"			    /* 1 */
			     "def f(a, b=lambda: 0):\n"		    /* 2 */
			     "    if a:\n"			    /* 3 */
			     "        class A(B):\n"		    /* 4 */
			     "            @deco\n"		    /* 5 */
			     "            @deco(lambda: 1)\n"	    /* 6 */
			     "            async def g(self): pass\n" /* 7 */
			     "            x = [\n"		    /* 8 */
			     "                i for i in b]\n"	    /* 9 */
			     "            global A2, made\n"	    /* 10 */
			     "            class A2:\n"		    /* 11 */
			     "                def h(self): pass\n"   /* 12 */
			     "    else:\n"			    /* 13 */
			     "        def made(): pass\n"	    /* 14 */
			     "    return lambda: a\n"		    /* 15 */
			     "class T(Generic): y = lambda: 2\n"	    /* 16 */
			     "def f_long(): pass\n"		    /* 17 */
			     "if x:\n"				    /* 18 */
			     "    def f(): pass\n";		    /* 19 */

static struct rt_logical_lines lines;

static int set_up(void **state)
{
	(void)state;
	return rt_pysource_split(source, strlen(source), &lines);
}

static int tear_down(void **state)
{
	(void)state;
	rt_logical_lines_free(&lines);
	return 0;
}

static void expect(int line, const char *name, const char *qualname)
{
	char out[64] = "untouched";
	int len = rt_pydef_qualname(&lines, line, name, out, sizeof(out));

	if (!qualname) {
		assert_int_equal(len, -ENOENT);
		return;
	}
	assert_string_equal(out, qualname);
	assert_int_equal(len, strlen(qualname));
}

static void test_definitions(void **state)
{
	(void)state;
	expect(2, "f", "f");
	expect(4, "A", "f.<locals>.A");
	expect(5, "g", "f.<locals>.A.g");
	expect(7, "g", NULL); /* begins at its first decorator */
	expect(14, "made", "f.<locals>.made");
	expect(17, "f_long", "f_long");
	expect(17, "f", NULL);
	expect(19, "f", "f");
	expect(3, "f", NULL);
	expect(0, "f", NULL);
	expect(-1, "f", NULL);
	expect(1000, "f", NULL);
	expect(2, "", NULL);
}

/* A name that is global in the block around is called after nothing, and so is what is in it. */
static void test_global(void **state)
{
	(void)state;
	expect(11, "A2", "A2");
	expect(12, "h", "A2.h");
}

/* Of what has no name, the functions and classes around it, where the line tells. */
static void test_nameless(void **state)
{
	(void)state;
	expect(6, "<lambda>", "f.<locals>.A.<lambda>");
	expect(8, "<listcomp>", "f.<locals>.A.<listcomp>");
	expect(9, "<listcomp>", "f.<locals>.A.<listcomp>");
	expect(15, "<lambda>", "f.<locals>.<lambda>");
	expect(1, "<lambda>", "<lambda>");
	expect(2, "<lambda>", NULL);  /* a default, outside of f, or in its body */
	expect(16, "<lambda>", NULL);
	expect(7, "<genexpr>", NULL);
}

static void test_room(void **state)
{
	size_t whole = strlen("f.<locals>.A.g");
	char out[64];

	(void)state;
	for (size_t size = 1; size <= whole; size++) {
		char *small = malloc(size);

		assert_int_equal(rt_pydef_qualname(&lines, 5, "g", small, size), -ENAMETOOLONG);
		free(small);
	}
	assert_int_equal(rt_pydef_qualname(&lines, 5, "g", out, whole + 1), whole);
}

/* Deeper than CPython's compiler goes. */
static void test_depth(void **state)
{
	struct rt_logical_lines deep;
	char text[16384], out[4096];
	size_t used = 0;
	int n = 100;

	(void)state;
	for (int i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%*sclass C:\n", i, "");
	assert_int_equal(rt_pysource_split(text, used, &deep), 0);
	assert_int_equal(rt_pydef_qualname(&deep, 60, "C", out, sizeof(out)), 59 * 2 + 1);
	assert_int_equal(rt_pydef_qualname(&deep, n, "C", out, sizeof(out)), -ENAMETOOLONG);
	rt_logical_lines_free(&deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definitions), cmocka_unit_test(test_global), cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_room),	    cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
