/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Logical lines and statements. What valid Python means is compared with CPython by compare_python.py; here stand the
 * promises of the header, text that is no Python, and limits. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pysource.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Splits a copy without a NUL behind it. */
static int split(const char *text, size_t len, struct rt_logical_lines *lines)
{
	char *copy = malloc(len + 1);
	int err;

	assert_non_null(copy);
	memcpy(copy + 1, text, len);
	err = rt_pysource_split(copy + 1, len, lines);
	free(copy);
	return err;
}

/* "first-last:column:text" of all lines, joined by "|"; caller frees. */
static char *split_text(const char *text, size_t len)
{
	struct rt_logical_lines lines = { 0 };
	char *all = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&all, &size);

	assert_non_null(out);
	assert_int_equal(split(text, len, &lines), 0);
	for (size_t i = 0; i < lines.count; i++)
		fprintf(out, "%s%d-%d:%d:%s", i ? "|" : "", lines.line[i].first, lines.line[i].last,
			lines.line[i].column, lines.line[i].text);
	fclose(out);
	rt_logical_lines_free(&lines);
	assert_null(lines.line);
	return all;
}

static void expect_split(const char *text, const char *expected)
{
	char *found = split_text(text, strlen(text));

	assert_string_equal(found, expected);
	free(found);
}

static void test_split(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "\n  \n# x\n\t# y\n \\\n\n", "" },
		{ "x = 1", "1-1:0:x = 1" },
		{ "\xef\xbb\xbfx = 1  # c\n", "1-1:0:x = 1" },
		{ "if x:\n\ty\n    \tz\n  \f a\n", "1-1:0:if x:|2-2:8:y|3-3:8:z|4-4:1:a" },
		{ "a = f(1,  # one\n\n      2)\nb\n", "1-3:0:a = f(1, 2)|4-4:0:b" },
		{ "kv = \\\n  self.x(1)\n", "1-2:0:kv = self.x(1)" },
		{ "  \\\n      x\n", "2-2:2:x" },
		{ "x = 1 \\\n\ny\n", "1-1:0:x = 1|3-3:0:y" },
		{ "a\r\nb = [\r\n 1]\rc", "1-1:0:a|2-3:0:b = [ 1]|4-4:0:c" },
		{ "s = '#' \"(\" r'\\'' b'''\n[''' # c\nx", "1-2:0:s = '#' \"(\" r'\\'' b''' ['''|3-3:0:x" },
		{ "s = 'a\\\n  b'\nx", "1-2:0:s = 'a b'|3-3:0:x" },
		{ "f'{x[\"(\"]}{{'\ny", "1-1:0:f'{x[\"(\"]}{{'|2-2:0:y" },
		{ "f'{a['b']:{w['#']}>3}'\ny", "1-1:0:f'{a['b']:{w['#']}>3}'|2-2:0:y" },
		{ "f'''{\n  x # '''\n }'''\ny", "1-3:0:f'''{ x }'''|4-4:0:y" },
		{ "rf'\\{x}\\''\ny", "1-1:0:rf'\\{x}\\''|2-2:0:y" },
		{ "rf'\\{d['#']}'\ny", "1-1:0:rf'\\{d['#']}'|2-2:0:y" },
		{ "f'\\N{DIGIT ONE}{x}'\ny", "1-1:0:f'\\N{DIGIT ONE}{x}'|2-2:0:y" },
		{ "a; b; c(\n)\n", "1-2:0:a; b; c( )" },
		{ "def f(): return x\n", "1-1:0:def f(): return x" },
		/* no valid Python */
		{ "a = (1,\nb = 2\n", "1-2:0:a = (1, b = 2" },
		{ "a = '''x\n# y\n\n", "1-2:0:a = '''x # y" },
		{ "a = 'x\nb = \"y\nc", "1-1:0:a = 'x|2-2:0:b = \"y|3-3:0:c" },
		{ "a)]}\nb", "1-1:0:a)]}|2-2:0:b" },
		{ "f'{x:{y:'\nz", "1-1:0:f'{x:{y:'|2-2:0:z" },
		{ "a = 1 \\ 2\nb \\", "1-1:0:a = 1 \\ 2|2-2:0:b \\" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_split(cases[i][0], cases[i][1]);
}

static void test_nul(void **state)
{
	const char text[] = "a\0b = 1\n'\0'\n\0\0\nc";
	char *found = split_text(text, sizeof(text) - 1);

	(void)state;
	assert_string_equal(found, "1-1:0:a b = 1|2-2:0:' '|4-4:0:c");
	free(found);
}

static void test_limits(void **state)
{
	const size_t max = 16u << 20, lines_max = 2000000;
	struct rt_logical_lines lines = { .count = 7 };
	char *text = malloc(max + 1);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', max + 1);
	assert_int_equal(rt_pysource_split(text, max + 1, &lines), -E2BIG);
	assert_int_equal(lines.count, 7); /* untouched */
	assert_int_equal(rt_pysource_split(text, max, &lines), 0);
	assert_int_equal(lines.count, 1);
	assert_int_equal(strlen(lines.line[0].text), max);
	rt_logical_lines_free(&lines);

	for (size_t i = 0; i <= lines_max; i++)
		memcpy(text + 2 * i, "x\n", 2);
	assert_int_equal(rt_pysource_split(text, 2 * lines_max + 2, &lines), -E2BIG);
	assert_int_equal(rt_pysource_split(text, 2 * lines_max, &lines), 0);
	assert_int_equal(lines.count, lines_max);
	assert_int_equal(lines.line[lines_max - 1].first, lines_max);
	rt_logical_lines_free(&lines);

	/* f-strings in each other, deeper than anything that Python takes: the scan goes on. */
	for (size_t i = 0; i < 1000; i++)
		memcpy(text + 3 * i, "f'{", 3);
	memcpy(text + 3000, "\nx", 2);
	assert_int_equal(rt_pysource_split(text, 3002, &lines), 0);
	assert_true(lines.count >= 1);
	rt_logical_lines_free(&lines);
	free(text);
}

/* Any sequence of what the scanner looks at: lines in order, within the text, no blank at either end, no newline. */
static void test_any_text(void **state)
{
	static const char *const parts[] = { "'", "\"", "'''", "\"\"\"", "f'", "rf\"", "f'''", "{",  "}",  "{{", ":",
					     "(", ")",	"[",   "]",	 "\\", "\n",   "\r",   "\t", "\f", "#",	 "x",
					     " ", "N{", "def", "\xc3" };
	uint32_t random = 7;

	(void)state;
	for (int round = 0; round < 30000; round++) {
		struct rt_logical_lines lines = { 0 };
		char text[256] = "";
		int rows = 1, last = 0;

		for (int i = 0; i < 50; i++) {
			random = random * 1664525u + 1013904223u;
			strcat(text, parts[(random >> 16) % COUNT(parts)]);
		}
		for (const char *p = text; *p; p++)
			rows += *p == '\n' || *p == '\r';
		assert_int_equal(split(text, strlen(text), &lines), 0);
		for (size_t i = 0; i < lines.count; i++) {
			const struct rt_logical_line *line = &lines.line[i];
			size_t len = strlen(line->text);

			assert_true(line->first > last && line->last >= line->first && line->last <= rows);
			assert_true(len && !strchr(" \t\f", line->text[0]) && !strchr(" \t\f", line->text[len - 1]));
			assert_null(strpbrk(line->text, "\r\n"));
			last = line->last;
		}
		rt_logical_lines_free(&lines);
	}
}

/* ---- statements ---- */

static const char source[] = "import os\n"			       /* 1 */
			     "x = alloc(0)\n"			       /* 2 */
			     "class A(alloc(1)):\n"		       /* 3 */
			     "    y = alloc(2)\n"		       /* 4 */
			     "    def __init__(self, n=alloc(3)):\n"   /* 5 */
			     "        '''alloc('''\n"		       /* 6 */
			     "        if n: # alloc(\n"		       /* 7 */
			     "            a, b = \\\n"		       /* 8 */
			     "                self.alloc(\n"	       /* 9 */
			     "                    n)\n"		       /* 10 */
			     "        elif alloc(4):\n"		       /* 11 */
			     "            pass\n"		       /* 12 */
			     "        with alloc(5) as c, \\\n"	       /* 13 */
			     "             open(n):\n"	       /* 14 */
			     "            for i in c: alloc(6)\n"      /* 15 */
			     "        @alloc(7)\n"		       /* 16 */
			     "        def inner(z=alloc(8)):\n"	       /* 17 */
			     "            alloc(9)\n"		       /* 18 */
			     "            class B: alloc(10)\n"	       /* 19 */
			     "        def short(): return alloc(11)\n" /* 20 */
			     "        try: alloc(12)\n"		       /* 21 */
			     "        except E: pass\n"		       /* 22 */
			     "        alloc(13)\n"		       /* 23 */
			     "    @deco(\n"			       /* 24 */
			     "        1)\n"			       /* 25 */
			     "    @other\n"			       /* 26 */
			     "    async  def  go(self): return alloc(14)\n" /* 27 */
			     "    @(\n"				       /* 28 */
			     "      deco)\n"			       /* 29 */
			     "    def odd(self):\n"		       /* 30 */
			     "\treturn alloc(15)\n"		       /* 31 */
			     "z = lambda: alloc(16)\n";		       /* 32 */

/* "first-last ..." of the statements that match, or the error as a number. */
static const char *find_all(const char *text, int firstlineno, const char *qualname, const char *const *regex, size_t n)
{
	static char answer[256];
	struct rt_logical_lines lines = { 0 };
	struct rt_pattern patterns[4];
	struct rt_line_range untouched, *range = &untouched;
	int found;

	answer[0] = '\0';
	assert_int_equal(split(text, strlen(text), &lines), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(regcomp(&patterns[i].compiled, regex[i], REG_EXTENDED | REG_NOSUB), 0);
	found = rt_pysource_find(&lines, firstlineno, qualname, patterns, n, &range);
	if (found <= 0) {
		assert_ptr_equal(range, &untouched);
		if (found)
			snprintf(answer, sizeof(answer), "%d", found);
	} else {
		for (int i = 0; i < found; i++)
			snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%s%d-%d", i ? " " : "",
				 range[i].first, range[i].last);
		free(range);
	}
	for (size_t i = 0; i < n; i++)
		regfree(&patterns[i].compiled);
	rt_logical_lines_free(&lines);
	return answer;
}

static const char *find(int firstlineno, const char *qualname, const char *regex)
{
	return find_all(source, firstlineno, qualname, &regex, 1);
}

static void test_find(void **state)
{
	const char *const two[] = { "^elif", "alloc\\(13" };

	(void)state;
	assert_string_equal(find(5, "A.__init__", "alloc\\("),
			    "6-6 8-10 11-11 13-14 15-15 16-16 17-17 21-21 23-23");
	assert_string_equal(find(5, "A.__init__", "^a, b = self\\.alloc\\( n\\)$"), "8-10");
	/* a comment, its own header, nested ones */
	assert_string_equal(find(5, "A.__init__", "# alloc|__init__|alloc\\((9|10|11)"), "");
	assert_string_equal(find(5, "A.__init__", "no such"), "");
	assert_string_equal(find_all(source, 5, "A.__init__", two, 2), "11-11 23-23");
	assert_string_equal(find_all(source, 5, "A.__init__", two, 0), "");
	assert_string_equal(find(16, "A.__init__.<locals>.inner", "alloc\\("), "18-18");
	assert_string_equal(find(19, "A.__init__.<locals>.inner.<locals>.B", "alloc\\("), "19-19");
	assert_string_equal(find(20, "A.__init__.<locals>.short", "alloc\\("), "20-20");
	assert_string_equal(find(3, "A", "alloc\\("), "4-4 5-5");
	assert_string_equal(find(24, "A.go", "alloc\\("), "27-27");
	assert_string_equal(find(29, "A.odd", "alloc\\("), "31-31");
	assert_string_equal(find(1, "<module>", "alloc\\("), "2-2 3-3 32-32");
	assert_string_equal(find(0, "anything", "^import"), "1-1");
}

static void test_find_none(void **state)
{
	char none[16];

	(void)state;
	snprintf(none, sizeof(none), "%d", -ENOENT);
	assert_string_equal(find(5, "A.__init", "alloc"), none);
	assert_string_equal(find(5, "A.__init__2", "alloc"), none);
	assert_string_equal(find(5, "A.", "alloc"), none);
	assert_string_equal(find(5, "", "alloc"), none);
	assert_string_equal(find(4, "A.__init__", "alloc"), none);
	assert_string_equal(find(6, "A.__init__", "alloc"), none);
	assert_string_equal(find(9, "A.alloc", "alloc"), none);
	assert_string_equal(find(17, "A.__init__.<locals>.inner", "alloc"), none); /* its decorator is its first line */
	assert_string_equal(find(26, "A.go", "alloc"), none);
	assert_string_equal(find(27, "A.go", "alloc"), none);
	assert_string_equal(find(32, "<lambda>", "alloc"), none);
	assert_string_equal(find(8, "A.__init__.<locals>.<listcomp>", "alloc"), none);
	assert_string_equal(find(INT_MAX, "A", "alloc"), none);
	assert_string_equal(find(-1, "A", "alloc"), none);
	assert_string_equal(find_all("@deco\n", 1, "f", NULL, 0), none);
	assert_string_equal(find_all("def f(a,\n      b): pass\n", 2, "f", NULL, 0), none);
	assert_string_equal(find_all("", 1, "f", NULL, 0), none);
	assert_string_equal(find_all("", 1, "<module>", NULL, 0), "");
}

/* A nested def is seen up to its colon, wherever that stands. */
static void test_find_header(void **state)
{
	const char *alloc = "alloc", *name = "^def", *whole = "x: 1:$";
	static const char *const headers[] = {
		"def f():\n def g(a: int = {1: 2}, b=':', c=lambda: 1): alloc()\n",
		"def f():\n def g() -> 'a:b': alloc()\n",
		"def f():\n def g() -> '''a\n:\\'':b''': alloc()\n",
		"def f():\n def g() -> (lambda x: 1) or d[1:2]: alloc()\n",
		"def f():\n def g() -> lambda: lambda x: 1: alloc()\n",
		"def f():\n class g(a[1:2]): alloc()\n def g(): alloc()\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++)
		assert_string_equal(find_all(headers[i], 1, "f", &alloc, 1), "");
	assert_string_equal(find_all(headers[2], 1, "f", &name, 1), "2-3");
	assert_string_equal(find_all(headers[4], 1, "f", &whole, 1), "2-2");
	assert_string_equal(find_all("def f(a=alloc()):\n  pass\n", 1, "f", &alloc, 1), "");
	assert_string_equal(find_all("async\tdef f(a): alloc(a)\n", 1, "f", &alloc, 1), "1-1");
	assert_string_equal(find_all("async def f():\n async with alloc(): pass\n", 1, "f", &alloc, 1), "2-2");
	assert_string_equal(find_all("def f():\n define = alloc()\n classes = alloc()\n", 1, "f", &alloc, 1),
			    "2-2 3-3");
}

/* Only the beginning of a very long statement is matched, so that text cannot make matching endless. */
static void test_find_long(void **state)
{
	const size_t size = 1u << 20;
	const char *begin = "^x = call", *end = "needle", *slow = "(x.*)+y";
	char *text = malloc(size + 32);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', size);
	memcpy(text, "x = call(", 9);
	strcpy(text + size, "needle)\n");
	assert_string_equal(find_all(text, 0, "", &begin, 1), "1-1");
	assert_string_equal(find_all(text, 0, "", &end, 1), "");
	assert_string_equal(find_all(text, 0, "", &slow, 1), "");
	memcpy(text + 1000, "needle", 6);
	assert_string_equal(find_all(text, 0, "", &end, 1), "1-1");
	free(text);
}

/* Which statements a call that gets further must have run: of the lines that match "k", those. */
static const char *always(const char *text)
{
	static char answer[256];
	struct rt_logical_lines lines = { 0 };
	struct rt_pattern pattern;
	struct rt_line_range *range = NULL;
	int found;

	answer[0] = '\0';
	assert_int_equal(split(text, strlen(text), &lines), 0);
	assert_int_equal(regcomp(&pattern.compiled, "k", REG_EXTENDED | REG_NOSUB), 0);
	found = rt_pysource_find(&lines, 1, "f", &pattern, 1, &range);
	assert_true(found > 0);
	for (int i = 0; i < found; i++) {
		if (range[i].always)
			snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%d ", range[i].first);
	}
	free(range);
	regfree(&pattern.compiled);
	rt_logical_lines_free(&lines);
	return answer;
}

static void test_always(void **state)
{
	(void)state;
	assert_string_equal(always("def f():\n  k = 1\n  if k:\n    k = 2\n  k(\n   3)\n"), "2 5 ");
	/* headers with nothing but a colon or a bracket behind them, and their block on the same line */
	assert_string_equal(always("def f():\n  if(k): k()\n  else: k()\n  try: k()\n  except: k()\n  finally: k()\n  while(k): k()\n  k\n"), "8 ");
	assert_string_equal(always("def f():\n  match k:\n    case 1: k()\n  match(k):\n    case[k]: pass\n  match = k\n  case(k)\n  match[k:1] = k\n"),
			    "6 7 8 ");
	assert_string_equal(always("def f():\n  ifk = 1\n  withk()\n  elsek\n"), "2 3 4 ");
	/* generators and coroutines come back in the middle */
	assert_string_equal(always("def f():\n  k = 1\n  yield\n  k\n"), "");
	assert_string_equal(always("def f():\n  k = 1\n  if k: g((yield))\n  k\n"), "");
	assert_string_equal(always("async def f():\n  k = 1\n  k\n"), "");
	/* not for the word in a string, a longer word, or a nested function */
	assert_string_equal(always("def f():\n  \"\"\"k yield k\"\"\"\n  k = 'a' \"yield\"\n  k_yield = yields\n  def g():\n    yield k\n  k\n"), "2 3 4 7 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),	  cmocka_unit_test(test_nul),
		cmocka_unit_test(test_limits),	  cmocka_unit_test(test_any_text),
		cmocka_unit_test(test_find),	  cmocka_unit_test(test_find_none),
		cmocka_unit_test(test_find_header), cmocka_unit_test(test_find_long),
		cmocka_unit_test(test_always),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
