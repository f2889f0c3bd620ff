/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_split.h - a phase's net change, split by mapping. In pages.
 *
 * Bounded, and exact in its sum: what there is no room for is added up in `rest`.
 */
#ifndef RT_ACC_SPLIT_H
#define RT_ACC_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "acc_mapping.h"
#include "sink.h"

#define RT_SHARES_MAX 512u  /* mappings kept of one phase */
#define RT_MAPPING_ROWS 20u /* shown: the largest, then one line for all others */

struct rt_share {
	const struct rt_mapping *mapping;
	int64_t net[RT_KINDS];
};

/* All zero is empty. */
struct rt_split {
	struct rt_share *share;
	uint32_t n, cap;
	uint32_t last; /* where the last charge went: the next one mostly goes there too */
	int64_t rest[RT_KINDS];
};

void rt_split_charge(struct rt_split *split, const struct rt_mapping *mapping, const int64_t net[RT_KINDS]);

/* Adds all of `from`. */
void rt_split_add(struct rt_split *split, const struct rt_split *from);

/* The largest shares as the outputs see them, then "<others>". Returns how many. The names are the mappings'. */
size_t rt_split_view(const struct rt_split *split, uint64_t page_size, struct rt_mapping_view view[RT_MAPPING_ROWS + 1]);

void rt_split_free(struct rt_split *split);

#endif
