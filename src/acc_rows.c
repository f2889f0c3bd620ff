/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_rows.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t rt_rows_new(struct rt_rows *rows)
{
	if (rows->n >= RT_ROWS_MAX)
		return 0;
	if (rows->n == rows->cap) {
		uint32_t cap = rows->cap ? rows->cap * 2 : 8;
		struct rt_row *row = realloc(rows->row, cap * sizeof(*row));

		if (!row)
			return 0;
		rows->row = row;
		rows->cap = cap;
	}
	rows->row[rows->n] = (struct rt_row){ 0 };
	return rows->n++;
}

uint32_t rt_rows_child(struct rt_rows *rows, uint32_t parent, uint16_t phase)
{
	uint32_t id;

	if (!rows->n) {
		rt_rows_new(rows);
		if (!rows->n)
			return 0;
	}
	if (parent >= rows->n)
		return 0;
	for (id = rows->row[parent].first_child; id; id = rows->row[id].next) {
		if (rows->row[id].phase == phase)
			return id;
	}
	id = rt_rows_new(rows);
	if (!id)
		return 0;
	rows->row[id].phase = phase;
	rows->row[id].parent = parent;
	if (rows->row[parent].last_child)
		rows->row[rows->row[parent].last_child].next = id;
	else
		rows->row[parent].first_child = id;
	rows->row[parent].last_child = id;
	return id;
}

void rt_tally_add(struct rt_tally *sum, const struct rt_tally *tally)
{
	if (!tally->calls)
		return;
	if (!sum->calls) {
		*sum = *tally;
		return;
	}
	sum->calls += tally->calls;
	if (tally->start_ns < sum->start_ns) {
		sum->start_ns = tally->start_ns;
		sum->start_min = tally->start_min;
		sum->rss_start = tally->rss_start;
		sum->tid = tally->tid;
	}
	if (tally->end_ns >= sum->end_ns) {
		sum->end_ns = tally->end_ns;
		sum->end_max = tally->end_max;
		sum->rss_end = tally->rss_end;
	}
	sum->duration_ns += tally->duration_ns;
	sum->exact &= tally->exact;
	sum->open |= tally->open;
	if (tally->peak > sum->peak)
		sum->peak = tally->peak;
	for (int k = 0; k < RT_KINDS; k++)
		sum->delta[k] += tally->delta[k];
	sum->own += tally->own;
	sum->gained += tally->gained;
	sum->released += tally->released;
	sum->reused += tally->reused;
	sum->helper += tally->helper;
	sum->tree_delta += tally->tree_delta;
	sum->minor_faults += tally->minor_faults;
	sum->major_faults += tally->major_faults;
}

int rt_rows_add(struct rt_rows *rows, const struct rt_rows *from)
{
	uint32_t *to;
	int err = 0;

	if (!from->n)
		return 0;
	to = calloc(from->n, sizeof(*to));
	if (!to)
		return -ENOMEM;
	/* A row has a higher number than the one it is nested in. */
	for (uint32_t id = 1; id < from->n; id++) {
		const struct rt_row *row = &from->row[id];

		if (row->parent && !to[row->parent])
			continue;
		to[id] = rt_rows_child(rows, to[row->parent], row->phase);
		if (!to[id]) {
			err = -ENOSPC;
			continue;
		}
		rt_tally_add(&rows->row[to[id]].tally, &row->tally);
		rt_split_add(&rows->row[to[id]].split, &row->split);
	}
	free(to);
	return err;
}

static uint32_t rt_rows_find(const struct rt_rows *rows, uint32_t parent, uint16_t phase)
{
	uint32_t id = parent < rows->n ? rows->row[parent].first_child : 0;

	while (id && rows->row[id].phase != phase)
		id = rows->row[id].next;
	return id;
}

uint32_t rt_rows_like(const struct rt_rows *rows, const struct rt_rows *from, uint32_t row)
{
	uint16_t path[RT_ROWS_MAX];
	uint32_t depth = 0, at = 0, next;

	for (; row && depth < RT_ROWS_MAX; row = from->row[row].parent)
		path[depth++] = from->row[row].phase;
	while (depth && (next = rt_rows_find(rows, at, path[--depth])))
		at = next;
	return at;
}

uint32_t rt_rows_next(const struct rt_rows *rows, uint32_t row)
{
	if (row >= rows->n)
		return 0;
	if (rows->row[row].first_child)
		return rows->row[row].first_child;
	for (; row; row = rows->row[row].parent) {
		if (rows->row[row].next)
			return rows->row[row].next;
	}
	return 0;
}

void rt_rows_free(struct rt_rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++)
		rt_split_free(&rows->row[i].split);
	free(rows->row);
	*rows = (struct rt_rows){ 0 };
}
