/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * bexpr.h - the expressions of memory budgets: `phase("load_weights").peak > 40G or lost.records > 0`.
 *
 * A budget is broken when its expression is true. The grammar is in docs/budgets.md. Pure: text in, a tree of at most RT_BEXPR_NODES nodes out, and its truth
 * over a summary. Names in it come from the user; names that it is compared with come from the target and are hostile.
 */
#ifndef RT_BEXPR_H
#define RT_BEXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "profile.h"
#include "sink.h"

#define RT_BEXPR_TEXT 4096u /* bytes of an expression */
#define RT_BEXPR_NODES 128u /* comparisons, and, or, not */
#define RT_BEXPR_DEPTH 32   /* parentheses and nots within each other */
#define RT_BEXPR_NAME 128u  /* bytes of a name in quotes */

struct rt_bexpr;

struct rt_bexpr_error {
	size_t column; /* in characters, from 1; 0: no memory */
	char text[400];
};

/* Returns the expression (free with rt_bexpr_free), or NULL with *error set. `text` must outlive it. */
struct rt_bexpr *rt_bexpr_parse(const char *text, struct rt_bexpr_error *error);
void rt_bexpr_free(struct rt_bexpr *expr);

/* Are all phases that it names in the profile? Returns 0, or -ENOENT with *error set. */
int rt_bexpr_check(const struct rt_bexpr *expr, const struct rt_profile *profile, struct rt_bexpr_error *error);

/* Does it compare runs (`diff.`)? Then *error, if given, says so with its column. */
bool rt_bexpr_compares(const struct rt_bexpr *expr, struct rt_bexpr_error *error);

/* ---- its truth ---- */

enum rt_btruth {
	RT_BT_FALSE,
	RT_BT_TRUE,
	RT_BT_UNKNOWN, /* what it is about was not there: a phase that never ran, a process that never came */
};

/* One process of several runs, aligned. */
struct rt_bpair {
	const struct rt_proc_summary **old; /* n_old; NULL: it was not there */
	const struct rt_proc_summary *now;	  /* NULL: it is not there */
	const char *name;
};

/* What it is judged by. */
struct rt_bworld {
	const struct rt_profile *profile; /* of `summary` */
	const struct rt_summary *summary; /* the run; when runs are compared: the newest */
	/* Only for `diff.`: n_old = 0: there is nothing to compare with. */
	const struct rt_summary *const *old;
	size_t n_old;
	const struct rt_bpair *pairs;
	size_t n_pairs;
	/* What `now` is more (or less) than the old runs, 0 within their noise, and the base of a percentage. */
	int64_t (*growth)(const int64_t *old, size_t n_old, int64_t now, int64_t *base);
};

/* Judges it. Writes what decided to `detail` (may be NULL): one phrase a comparison, "phase("x").peak is 41.20 MiB in Worker (pid 12)"; names are escaped. */
enum rt_btruth rt_bexpr_judge(const struct rt_bexpr *expr, const struct rt_bworld *world, FILE *detail);

/*
 * Is it broken already, while the run goes on? Told only of a single comparison of a peak by > or >=, which no later change of memory makes untrue; the process
 * may still get another name, by which it is judged at the end. `phase` (NULL: none) has just ended in `proc`; `tree_peak` is the highest sum so far.
 */
bool rt_bexpr_exceeded(const struct rt_bexpr *expr, const struct rt_proc_view *proc, const struct rt_phase_view *phase, int64_t tree_peak);

/* Does `name` match the pattern (* any characters, ? one, all else itself)? Takes at most length x length steps. */
bool rt_bexpr_glob(const char *pattern, const char *name);

#endif
