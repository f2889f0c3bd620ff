/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Line tables: as CPython reads them, cut anywhere, and malformed. Tables lie in blocks of their own size, so that the
 * sanitizer sees each byte read beyond one. */
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

#include "data/line_tables.h"
#include "pyline.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct lines {
	int err, start, end;
};

static struct lines find_in(enum rt_line_format format, const uint8_t *table, size_t len, int firstlineno, uint32_t instr)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct lines lines = { .start = -1, .end = -1 };

	assert_non_null(copy);
	if (len)
		memcpy(copy, table, len);
	lines.err = rt_pyline_find(format, len ? copy : copy + 1, len, firstlineno, instr, &lines.start, &lines.end);
	free(copy);
	return lines;
}

static struct lines find(const uint8_t *table, size_t len, int firstlineno, uint32_t instr)
{
	return find_in(RT_LINES_LOCATIONS, table, len, firstlineno, instr);
}

static void expect(struct lines lines, int err, int start, int end)
{
	assert_int_equal(lines.err, err);
	assert_int_equal(lines.start, start);
	assert_int_equal(lines.end, end);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

static void test_as_cpython(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(line_tables); i++) {
		uint8_t table[1024];
		size_t len = from_hex(line_tables[i].table, table);
		const char *p = line_tables[i].lines;
		uint32_t instr = 0;
		int start, end, used;

		for (; sscanf(p, "%d-%d%n", &start, &end, &used) == 2; p += used, instr += 2) {
			expect(find(table, len, line_tables[i].firstlineno, instr), 0, start, end);
			expect(find(table, len, line_tables[i].firstlineno, instr + 1), 0, start, end);
		}
		assert_true(instr > 30);
		expect(find(table, len, line_tables[i].firstlineno, instr), 0, 0, 0);
		expect(find(table, len, line_tables[i].firstlineno, UINT32_MAX), 0, 0, 0);
	}
}

/* A table cut anywhere gives the lines of the entries that are whole, none for the rest, and no error. */
static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(line_tables); i++) {
		uint8_t table[1024];
		size_t len = from_hex(line_tables[i].table, table);

		for (size_t cut = 0; cut < len; cut++) {
			uint32_t known = 0, instr;

			/* A byte with bit 7 begins an entry, so one before it is whole. */
			for (size_t at = 0, next; at < cut; at = next) {
				for (next = at + 1; next < len && !(table[next] & 0x80);)
					next++;
				if (next <= cut)
					known += ((table[at] & 7u) + 1) * 2;
			}
			for (instr = 0; instr < known; instr += 2) {
				struct lines whole = find(table, len, 100, instr), part = find(table, cut, 100, instr);

				expect(part, 0, whole.start, whole.end);
			}
			expect(find(table, cut, 100, known), 0, 0, 0);
		}
	}
}

/* Entries that no small function has: no column (13), and a varint of six bytes. */
static void test_entries(void **state)
{
	const uint8_t no_column[] = { 0x80 | 13 << 3 | 1, 2 * 5, 0x80 | 13 << 3, 2 * 3 + 1 };
	const uint8_t far[] = { 0x80 | 14 << 3, 0x40, 0x40, 0x40, 0x40, 0x40, 2, 1, 0, 0 };

	(void)state;
	expect(find(no_column, sizeof(no_column), 10, 0), 0, 15, 15);
	expect(find(no_column, sizeof(no_column), 10, 2), 0, 15, 15);
	expect(find(no_column, sizeof(no_column), 10, 4), 0, 12, 12);
	expect(find(no_column, sizeof(no_column), 10, 6), 0, 0, 0);
	expect(find(far, sizeof(far), 1, 0), 0, 1 + (1 << 30), 2 + (1 << 30));
}

static void test_malformed(void **state)
{
	const uint8_t no_start[] = { 0x10, 0 };
	const uint8_t starts_inside[] = { 0x80 | 10 << 3, 0, 0x80 };
	const uint8_t endless[] = { 0x80 | 13 << 3, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0 };
	const uint8_t too_wide[] = { 0x80 | 13 << 3, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f };
	const uint8_t below_zero[] = { 0x80 | 13 << 3, 2 * 3 + 1 };
	const uint8_t back[] = { 0x80 | 13 << 3, 2 * 3 + 1, 0x80, 0 };
	const uint8_t long_span[] = { 0x80 | 14 << 3, 0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 3, 0, 0 };

	(void)state;
	expect(find(no_start, sizeof(no_start), 1, 0), -EINVAL, 0, 0);
	expect(find(starts_inside, sizeof(starts_inside), 1, 0), -EINVAL, 0, 0);
	expect(find(endless, sizeof(endless), 1, 0), -EINVAL, 0, 0);
	expect(find(too_wide, sizeof(too_wide), 1, 0), -EINVAL, 0, 0);
	expect(find(below_zero, sizeof(below_zero), 2, 0), -EINVAL, 0, 0);
	expect(find(below_zero, sizeof(below_zero), 3, 0), 0, 0, 0); /* line 0 is a line: a module's RESUME in 3.11 */
	expect(find(back, sizeof(back), 2, 2), -EINVAL, 0, 0);
	expect(find(long_span, sizeof(long_span), 1, 0), -EINVAL, 0, 0);
	expect(find(no_start, 0, 1, 0), 0, 0, 0);
	expect(find(below_zero, sizeof(below_zero), INT_MIN, 0), -EINVAL, 0, 0);
	expect(find((const uint8_t[]){ 0x80 | 11 << 3, 0, 0 }, 3, INT_MAX, 0), -EINVAL, 0, 0);
}

struct step {
	uint32_t end; /* of the bytes with this line */
	int line;
};

static void expect_steps(enum rt_line_format format, const uint8_t *table, size_t len, int firstlineno, const struct step *step, size_t n)
{
	uint32_t instr = 0;

	for (size_t i = 0; i < n; i++) {
		for (; instr < step[i].end; instr++)
			expect(find_in(format, table, len, firstlineno, instr), 0, step[i].line, step[i].line);
	}
}

/* The examples of CPython's Objects/lnotab_notes.txt: gaps of more than a byte holds, 0: no line. */
static void test_pairs_310(void **state)
{
	static const uint8_t table[] = { 6, 0, 44, 1, 254, 5, 46, 0, 10, 0x80, 16, 1, 0, 127, 4, 73 };
	static const struct step steps[] = { { 6, 1 }, { 50, 2 }, { 350, 7 }, { 360, 0 }, { 376, 8 }, { 380, 208 }, { 500, 0 } };
	static const uint8_t back[] = { 2, 10, 2, 0xf6 };
	static const struct step back_steps[] = { { 2, 15 }, { 4, 5 } };

	(void)state;
	expect_steps(RT_LINES_PAIRS_310, table, sizeof(table), 1, steps, COUNT(steps));
	expect_steps(RT_LINES_PAIRS_310, table, sizeof(table) - 1, 1, steps, COUNT(steps) - 2);
	expect(find_in(RT_LINES_PAIRS_310, table, sizeof(table) - 1, 1, 376), 0, 0, 0);
	expect_steps(RT_LINES_PAIRS_310, back, sizeof(back), 5, back_steps, COUNT(back_steps));
	expect(find_in(RT_LINES_PAIRS_310, back, sizeof(back), -1, 2), -EINVAL, 0, 0);
	expect(find_in(RT_LINES_PAIRS_310, back, sizeof(back), INT_MAX, 0), -EINVAL, 0, 0);
	expect(find_in(RT_LINES_PAIRS_310, back, 0, 1, 0), 0, 0, 0);
}

static void test_lnotab(void **state)
{
	static const uint8_t table[] = { 6, 1, 44, 5, 255, 0, 45, 127, 0, 73, 11, 1 };
	static const struct step steps[] = { { 6, 1 }, { 50, 2 }, { 350, 7 }, { 361, 207 }, { 1000, 208 } };
	static const uint8_t back[] = { 0, 10, 2, 0xf6, 4, 0x80 };
	static const struct step back_steps[] = { { 2, 310 }, { 6, 300 }, { 50, 172 } };

	(void)state;
	expect_steps(RT_LINES_LNOTAB, table, sizeof(table), 1, steps, COUNT(steps));
	expect(find_in(RT_LINES_LNOTAB, table, sizeof(table), 1, INT32_MAX), 0, 208, 208);
	expect(find_in(RT_LINES_LNOTAB, table, sizeof(table), 1, (uint32_t)-1), 0, 0, 0); /* a frame that has not begun */
	expect_steps(RT_LINES_LNOTAB, back, sizeof(back), 300, back_steps, COUNT(back_steps));
	/* No entry at all: one line. */
	expect(find_in(RT_LINES_LNOTAB, table, 0, 9, 4), 0, 9, 9);
	/* Cut within a pair: what lies beyond the last whole one is not known. */
	expect_steps(RT_LINES_LNOTAB, table, sizeof(table) - 1, 1, steps, COUNT(steps) - 2);
	expect(find_in(RT_LINES_LNOTAB, table, sizeof(table) - 1, 1, 361), 0, 0, 0);
	expect(find_in(RT_LINES_LNOTAB, back, sizeof(back), 3, 6), -EINVAL, 0, 0);
	expect(find_in(RT_LINES_LNOTAB, back, sizeof(back), INT_MAX, 0), -EINVAL, 0, 0);
	expect(find_in((enum rt_line_format)9, back, sizeof(back), 3, 6), -EINVAL, 0, 0);
}

static void test_format_of_a_version(void **state)
{
	(void)state;
	assert_int_equal(rt_pyline_format(0x308), RT_LINES_LNOTAB);
	assert_int_equal(rt_pyline_format(0x309), RT_LINES_LNOTAB);
	assert_int_equal(rt_pyline_format(0x30a), RT_LINES_PAIRS_310);
	assert_int_equal(rt_pyline_format(0x30b), RT_LINES_LOCATIONS);
	assert_int_equal(rt_pyline_format(0x30f), RT_LINES_LOCATIONS);
}

/* Any bytes: within the table (the sanitizer's word) and a range that is one. */
static void test_any_bytes(void **state)
{
	uint32_t random = 1;
	size_t errors = 0, found = 0;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		uint8_t table[24];
		size_t len = (size_t)round % (sizeof(table) + 1);
		struct lines lines;

		for (size_t i = 0; i < len; i++) {
			random = random * 1664525u + 1013904223u;
			table[i] = (uint8_t)(random >> 24);
		}
		if (len)
			table[0] |= 0x80;
		lines = find_in((enum rt_line_format)(round % 2 ? round / 2 % 3 : 0), table, len, (int)(random >> 16), random >> 28 & ~1u);
		assert_true(lines.start >= 0 && lines.start <= lines.end);
		assert_true(lines.err == 0 || (lines.err == -EINVAL && !lines.start && !lines.end));
		errors += lines.err != 0;
		found += lines.start > 0;
	}
	assert_true(errors > 1000 && found > 1000); /* both happened */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_cpython), cmocka_unit_test(test_cut),	     cmocka_unit_test(test_entries),
		cmocka_unit_test(test_malformed),  cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_pairs_310),
		cmocka_unit_test(test_lnotab),	   cmocka_unit_test(test_format_of_a_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
