/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rssline.h - the RSS of a process over time, in a bounded number of points.
 *
 * Time is cut into slots of one width. Of each slot in which anything was told its last moment is kept and the moment of its highest total, both as they were.
 * When there are too many slots, neighbours are joined and the width doubles. So however long it runs: the first moment, the last, and the highest are exact,
 * and so is the highest of each slot; what is left out are ups and downs within one.
 *
 * Pure. Sizes are bytes, times nanoseconds of one clock.
 */
#ifndef RT_RSSLINE_H
#define RT_RSSLINE_H

#include <stddef.h>
#include <stdint.h>

#include "rt_abi.h"

struct rt_rssmoment {
	uint64_t ts_ns;
	int64_t kind[RT_KINDS];
	int64_t pinned; /* page-locked, part of kind[RT_SHMEM]; as it was told: below 0 where more was given back than seen to come, above the kind where its pages went first */
	int64_t top; /* highest total known at this moment: above the sum of the kinds where it rose and fell between two looks */
};

struct rt_rsspoint {
	uint64_t slot;
	struct rt_rssmoment max, last; /* max: of the highest top, the first of equals; it is not after last */
};

/* All zero is empty. */
struct rt_rssline {
	struct rt_rssmoment first;
	struct rt_rsspoint *point; /* by time */
	size_t n, cap;
	uint64_t width_ns;
};

/* A moment earlier than the last one is taken for simultaneous with it. At most `max_points` (at least 2) are kept. Returns how many points were added less
 * those that were joined, or -ENOMEM: then only the last point follows what is told. */
int rt_rssline_add(struct rt_rssline *line, const struct rt_rssmoment *moment, size_t max_points);

/* Joins slots until there are at most `max_points`. */
void rt_rssline_trim(struct rt_rssline *line, size_t max_points);

void rt_rssline_free(struct rt_rssline *line);

#endif
