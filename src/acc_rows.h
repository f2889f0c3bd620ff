/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_rows.h - phases of one process, added up over calls, call sites and threads: a trie by path of phases.
 */
#ifndef RT_ACC_ROWS_H
#define RT_ACC_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acc_split.h"
#include "sink.h"

#define RT_ROWS_MAX 1024u /* of one process */

/* A span's figures, in pages; also their sum over several. */
struct rt_tally {
	uint32_t calls, tid;
	uint64_t start_ns, end_ns, start_min, end_max, duration_ns;
	bool exact, open;
	int64_t rss_start, rss_end, peak;
	int64_t delta[RT_KINDS];
	int64_t own, gained, released, reused, helper, tree_delta;
	uint64_t minor_faults, major_faults;
};

struct rt_row {
	uint16_t phase;
	uint32_t parent, first_child, last_child, next; /* 0: none */
	struct rt_tally tally; /* calls 0: begun, not ended yet */
	struct rt_split split;
};

/* All zero is empty; row 0 stands for "no phase". */
struct rt_rows {
	struct rt_row *row;
	uint32_t n, cap;
};

/* The row of `phase` inside `parent`, made if it is not there (children stay in the order in which they first
 * began). 0: no room. */
uint32_t rt_rows_child(struct rt_rows *rows, uint32_t parent, uint16_t phase);

void rt_tally_add(struct rt_tally *sum, const struct rt_tally *tally);

/* Adds all rows of `from`. Returns 0, or -ENOSPC if some did not fit. */
int rt_rows_add(struct rt_rows *rows, const struct rt_rows *from);

/* The row of the same path in `rows`, or of as much of it as there is. `row` is one of `from`. */
uint32_t rt_rows_like(const struct rt_rows *rows, const struct rt_rows *from, uint32_t row);

/* The row after this one in nesting order (parents first), 0 at the end; begins after 0. */
uint32_t rt_rows_next(const struct rt_rows *rows, uint32_t row);

void rt_rows_free(struct rt_rows *rows);

#endif
