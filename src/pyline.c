/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pyline.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>

/* An entry begins with a byte that has bit 7 set: code in bits 3..6, number of 2-byte code units - 1 in bits 0..2.
 * The bytes that follow have bit 7 clear. */
#define RT_ENTRY_START 0x80
#define RT_ENTRY_CODE(byte) (((byte) >> 3) & 15)
#define RT_ENTRY_BYTES(byte) ((((byte) & 7u) + 1) * 2)

#define RT_PAIR_NO_LINE (-128) /* 3.10 */

enum rt_entry_code {
	RT_ENTRY_SHORT_LAST = 9, /* 0..9: the line of the entry before, columns in one byte */
	RT_ENTRY_ONE_LINE = 10,  /* 10..12: the line moves on by 0..2, columns in two bytes */
	RT_ENTRY_NO_COLUMNS = 13,
	RT_ENTRY_LONG = 14,
	RT_ENTRY_NONE = 15,
};

struct rt_table {
	const uint8_t *p, *end;
	bool cut; /* an entry goes on beyond the end */
};

static int rt_table_byte(struct rt_table *table, uint8_t *out)
{
	if (table->p == table->end) {
		table->cut = true;
		return -ENODATA;
	}
	if (*table->p & RT_ENTRY_START)
		return -EINVAL;
	*out = *table->p++;
	return 0;
}

/* Six bits a byte, lowest first; bit 6: another byte follows. CPython's values fit into 32 bits. */
static int rt_table_varint(struct rt_table *table, uint32_t *out)
{
	uint64_t value = 0;
	uint8_t byte = 0;

	for (unsigned int shift = 0; shift <= 30; shift += 6) {
		int err = rt_table_byte(table, &byte);

		if (err)
			return err;
		value |= (uint64_t)(byte & 63) << shift;
		if (byte & 64)
			continue;
		if (value > UINT32_MAX)
			return -EINVAL;
		*out = (uint32_t)value;
		return 0;
	}
	return -EINVAL;
}

/* The sign is the lowest bit. */
static int rt_table_svarint(struct rt_table *table, int64_t *out)
{
	uint32_t value = 0;
	int err = rt_table_varint(table, &value);

	if (!err)
		*out = value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
	return err;
}

/* What follows an entry's first byte: how far the line moves on from the entry before, and how many lines it spans. */
static int rt_table_lines(struct rt_table *table, unsigned int code, int64_t *delta, uint32_t *span)
{
	unsigned int columns = code <= RT_ENTRY_SHORT_LAST ? 1 : 2;
	uint32_t column;
	uint8_t byte;
	int err = 0;

	*delta = 0;
	*span = 0;
	switch (code) {
	case RT_ENTRY_NONE:
		return 0;
	case RT_ENTRY_NO_COLUMNS:
		return rt_table_svarint(table, delta);
	case RT_ENTRY_LONG:
		err = rt_table_svarint(table, delta);
		if (!err)
			err = rt_table_varint(table, span);
		for (unsigned int i = 0; !err && i < columns; i++)
			err = rt_table_varint(table, &column);
		return err;
	default:
		if (code >= RT_ENTRY_ONE_LINE)
			*delta = code - RT_ENTRY_ONE_LINE;
		for (unsigned int i = 0; !err && i < columns; i++)
			err = rt_table_byte(table, &byte);
		return err;
	}
}

static int rt_locations_find(const uint8_t *table, size_t len, int firstlineno, uint32_t instr, int *start, int *end)
{
	struct rt_table t = { .p = table, .end = table + len };
	int64_t line = firstlineno;
	uint64_t covered = 0;

	while (t.p < t.end) {
		uint8_t head = *t.p++;
		unsigned int code = RT_ENTRY_CODE(head);
		uint32_t span = 0;
		int64_t delta = 0;
		int err;

		if (!(head & RT_ENTRY_START))
			return -EINVAL;
		err = rt_table_lines(&t, code, &delta, &span);
		if (t.cut)
			return 0; /* the copy ends within this entry: what it covers lies beyond the table */
		if (err)
			return -EINVAL;
		line += delta;
		covered += RT_ENTRY_BYTES(head);
		if (line < 0 || line > INT_MAX || line + span > INT_MAX)
			return -EINVAL; /* also keeps the sum from overflowing */
		if (instr >= covered)
			continue;
		if (code == RT_ENTRY_NONE)
			return 0;
		*start = (int)line;
		*end = (int)(line + span);
		return 0;
	}
	return 0;
}

/* 3.10. */
static int rt_pairs_find(const uint8_t *table, size_t len, int firstlineno, uint32_t instr, int *start, int *end)
{
	int64_t line = firstlineno;
	uint64_t covered = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		int delta = (int8_t)table[i + 1];

		covered += table[i];
		if (delta != RT_PAIR_NO_LINE)
			line += delta;
		if (line < 0 || line > INT_MAX)
			return -EINVAL;
		if (instr >= covered)
			continue;
		if (delta != RT_PAIR_NO_LINE)
			*start = *end = (int)line;
		return 0;
	}
	return 0;
}

/* 3.8, 3.9. */
static int rt_lnotab_find(const uint8_t *table, size_t len, int firstlineno, uint32_t instr, int *start, int *end)
{
	int64_t line = firstlineno;
	uint64_t address = 0;
	size_t i;

	for (i = 0; i + 1 < len; i += 2) {
		address += table[i];
		if (address > instr)
			break;
		line += (int8_t)table[i + 1];
		if (line < -(int64_t)INT_MAX || line > INT_MAX)
			return -EINVAL;
	}
	if (i + 1 == len)
		return 0; /* the copy ends before this instruction's entry */
	if (line < 0)
		return -EINVAL;
	*start = *end = (int)line;
	return 0;
}

enum rt_line_format rt_pyline_format(uint16_t pyversion)
{
	if (pyversion < 0x030a)
		return RT_LINES_LNOTAB;
	return pyversion == 0x030a ? RT_LINES_PAIRS_310 : RT_LINES_LOCATIONS;
}

int rt_pyline_find(enum rt_line_format format, const uint8_t *table, size_t len, int firstlineno, uint32_t instr, int *start, int *end)
{
	*start = *end = 0;
	if (instr > INT32_MAX) /* f_lasti -1, up to 3.10 */
		return 0;
	switch (format) {
	case RT_LINES_LOCATIONS:
		return rt_locations_find(table, len, firstlineno, instr, start, end);
	case RT_LINES_PAIRS_310:
		return rt_pairs_find(table, len, firstlineno, instr, start, end);
	case RT_LINES_LNOTAB:
		return rt_lnotab_find(table, len, firstlineno, instr, start, end);
	}
	return -EINVAL;
}
