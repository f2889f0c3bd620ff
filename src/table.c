/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void rt_table_add(struct rt_table *table, const char *format, ...)
{
	char **more, *cell = NULL;
	va_list args;
	size_t cap;

	if (table->count == table->cap) {
		cap = table->cap ? 2 * table->cap : 64;
		more = realloc(table->cells, cap * sizeof(*more));
		if (!more) {
			table->failed = true;
			return;
		}
		table->cells = more;
		table->cap = cap;
	}
	va_start(args, format);
	if (vasprintf(&cell, format, args) < 0) {
		cell = NULL;
		table->failed = true;
	}
	va_end(args);
	if (cell)
		table->cells[table->count++] = cell;
}

void rt_table_size(struct rt_table *table, struct rt_value value)
{
	rt_table_add(table, "%s", value.text);
}

void rt_table_text(struct rt_table *table, int indent, const char *text, const char *after)
{
	char *safe = rt_text_escape(text, RT_TABLE_CHARS);

	rt_table_add(table, "%*s%s%s", indent, "", safe ? safe : "?", after);
	free(safe);
}

static void rt_put_blanks(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

/* Where a row ends: no blanks behind its last cell that says something. */
static size_t rt_row_end(const struct rt_table *table, size_t begin)
{
	size_t end = begin + table->columns < table->count ? begin + table->columns : table->count;

	while (end > begin + 1 && !*table->cells[end - 1])
		end--;
	return end;
}

bool rt_table_put(FILE *out, struct rt_table *table, size_t indent)
{
	size_t width[RT_COLUMNS_MAX] = {0}, cells, i, column, end = 0;
	bool good;

	for (i = 0; i < table->count; i++) {
		cells = rt_text_cells(table->cells[i]);
		if (cells > width[i % table->columns])
			width[i % table->columns] = cells;
	}
	for (i = 0; i < table->count; i++) {
		column = i % table->columns;
		if (!column)
			end = rt_row_end(table, i);
		cells = width[column] - rt_text_cells(table->cells[i]);
		if (i < end) {
			rt_put_blanks(out, column ? 2 : indent);
			if (column)
				rt_put_blanks(out, cells);
			fputs(table->cells[i], out);
			if (!column)
				rt_put_blanks(out, cells);
		}
		if (column + 1 == table->columns)
			fputc('\n', out);
	}
	for (i = 0; i < table->count; i++)
		free(table->cells[i]);
	good = !table->failed;
	free(table->cells);
	*table = (struct rt_table){.columns = table->columns};
	return good;
}
