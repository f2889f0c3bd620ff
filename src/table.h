/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * table.h - a table of text for a terminal: the first column to the left, all others to the right, as wide as their widest cell (CJK characters are two wide).
 *
 * Cells are added row after row; a row's empty cells at its end leave no blanks.
 */
#ifndef RT_TABLE_H
#define RT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "units.h"

#define RT_COLUMNS_MAX 16
#define RT_TABLE_CHARS 200 /* of a text from outside */

/* Set `columns` (1 to RT_COLUMNS_MAX), all else zero. */
struct rt_table {
	size_t columns;
	char **cells; /* row after row */
	size_t count, cap;
	bool failed; /* no memory for a cell */
};

__attribute__((format(printf, 2, 3))) void rt_table_add(struct rt_table *table, const char *format, ...);
void rt_table_size(struct rt_table *table, struct rt_value value);

/* A text from outside, made safe, with `after` behind it. */
void rt_table_text(struct rt_table *table, int indent, const char *text, const char *after);

/* Prints and empties the table. Returns whether all of it was there. */
bool rt_table_put(FILE *out, struct rt_table *table, size_t indent);

#endif
