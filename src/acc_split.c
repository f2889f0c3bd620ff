/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_split.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "acc_proc.h"

static bool rt_net_empty(const int64_t net[RT_KINDS])
{
	return !net[RT_FILE] && !net[RT_ANON] && !net[RT_SHMEM];
}

static int64_t *rt_split_share(struct rt_split *split, const struct rt_mapping *mapping)
{
	uint32_t i = split->last, cap;
	struct rt_share *share;

	if (i < split->n && split->share[i].mapping == mapping)
		return split->share[i].net;
	for (i = 0; i < split->n && split->share[i].mapping != mapping; )
		i++;
	if (i == split->n) {
		if (split->n >= RT_SHARES_MAX)
			return split->rest;
		if (split->n == split->cap) {
			cap = split->cap ? split->cap * 2 : 4;
			share = realloc(split->share, cap * sizeof(*share));
			if (!share)
				return split->rest;
			split->share = share;
			split->cap = cap;
		}
		split->share[split->n++] = (struct rt_share){ .mapping = mapping };
	}
	split->last = i;
	return split->share[i].net;
}

void rt_split_charge(struct rt_split *split, const struct rt_mapping *mapping, const int64_t net[RT_KINDS])
{
	int64_t *sum;

	if (rt_net_empty(net))
		return;
	sum = rt_split_share(split, mapping);
	for (int k = 0; k < RT_KINDS; k++)
		sum[k] += net[k];
}

void rt_split_add(struct rt_split *split, const struct rt_split *from)
{
	for (uint32_t i = 0; i < from->n; i++)
		rt_split_charge(split, from->share[i].mapping, from->share[i].net);
	for (int k = 0; k < RT_KINDS; k++)
		split->rest[k] += from->rest[k];
}

static int rt_share_compare(const void *a, const void *b)
{
	const struct rt_share *const *x = a, *const *y = b;
	int64_t net_x = rt_pages_total((*x)->net), net_y = rt_pages_total((*y)->net);
	uint64_t size_x = net_x < 0 ? 0 - (uint64_t)net_x : (uint64_t)net_x;
	uint64_t size_y = net_y < 0 ? 0 - (uint64_t)net_y : (uint64_t)net_y;

	if (size_x != size_y)
		return size_x < size_y ? 1 : -1;
	return strcmp((*x)->mapping->name->s, (*y)->mapping->name->s); /* the same report from the same records */
}

static struct rt_mapping_view rt_share_view(const char *name, enum rt_map_kind kind, const int64_t net[RT_KINDS],
					    uint64_t page_size)
{
	struct rt_mapping_view view = { .name = name, .kind = kind, .net.total = rt_bytes(rt_pages_total(net), page_size) };

	for (int k = 0; k < RT_KINDS; k++)
		view.net.kind[k] = rt_bytes(net[k], page_size);
	return view;
}

size_t rt_split_view(const struct rt_split *split, uint64_t page_size, struct rt_mapping_view view[RT_MAPPING_ROWS + 1])
{
	const struct rt_share *sorted[RT_SHARES_MAX];
	int64_t rest[RT_KINDS];
	size_t n = 0, rows = 0;

	for (uint32_t i = 0; i < split->n; i++) {
		if (!rt_net_empty(split->share[i].net))
			sorted[n++] = &split->share[i];
	}
	qsort(sorted, n, sizeof(struct rt_share *), rt_share_compare);
	memcpy(rest, split->rest, sizeof(rest));
	for (size_t i = 0; i < n; i++) {
		if (i < RT_MAPPING_ROWS) {
			view[rows++] = rt_share_view(sorted[i]->mapping->name->s, sorted[i]->mapping->kind, sorted[i]->net, page_size);
			continue;
		}
		for (int k = 0; k < RT_KINDS; k++)
			rest[k] += sorted[i]->net[k];
	}
	if (!rt_net_empty(rest))
		view[rows++] = rt_share_view("<others>", RT_MAP_KINDS, rest, page_size);
	return rows;
}

void rt_split_free(struct rt_split *split)
{
	free(split->share);
	*split = (struct rt_split){ 0 };
}
