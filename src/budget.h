/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * budget.h - how long something that costs by the hit may stay: one part in RT_BUDGET_SHARE of a core in the long run, and a burst at once; then it is taken off, and tried
 * again after a pause that doubles. Pure: the caller does what is decided here, and says the time. Times are CLOCK_MONOTONIC nanoseconds that do not go back.
 */
#ifndef RT_BUDGET_H
#define RT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define RT_BUDGET_SHARE 100		     /* 1 % of a core */
#define RT_BUDGET_PAUSE_MAX_NS 64000000000ull /* pauses are doubled up to */

struct rt_budget {
	uint64_t burst_ns;  /* what may be spent at once, and at most be saved up */
	bool on;
	int64_t left_ns;    /* what may still be spent */
	uint64_t spent_ns;  /* since it was put on, as last told */
	uint64_t at_ns;     /* when that was */
	uint64_t since_ns;  /* put on, or taken off, then */
	uint64_t again_ns;  /* off: not to be tried before */
	uint64_t first_pause_ns, pause_ns; /* the shortest pause, the next one */
};

/* Off, and due at once. The first pause should be so long that what a failed try costs is a small part of it. */
void rt_budget_init(struct rt_budget *b, uint64_t burst_ns, uint64_t first_pause_ns);

/* Is it off, and time to put it on? */
bool rt_budget_due(const struct rt_budget *b, uint64_t now_ns);

/* It was put on. */
void rt_budget_on(struct rt_budget *b, uint64_t now_ns);

/* It is on and has cost `spent_ns` since it was put on. False: that is too much, it is to be taken off. */
bool rt_budget_spend(struct rt_budget *b, uint64_t now_ns, uint64_t spent_ns);

/* It was taken off because it cost too much. Returns for how long, in nanoseconds. One that had stayed longer than the pause that would be due starts again with the shortest. */
uint64_t rt_budget_off(struct rt_budget *b, uint64_t now_ns);

/* It could not be put on: tried again after a pause. */
void rt_budget_failed(struct rt_budget *b, uint64_t now_ns);

#endif
