/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * verdict.h - the budgets of one run or comparison: read before anything is attached, judged at the end, said on standard error and as JUnit XML.
 *
 * Statuses are those of the tool (enum rt_status); errors are logged where they happen.
 */
#ifndef RT_VERDICT_H
#define RT_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "account.h"
#include "budgets.h"
#include "opts.h"

struct rt_verdict;

struct rt_verdict_config {
	const char *const *fail_if; /* expressions */
	size_t n_fail_if;
	const char *const *files; /* of budgets */
	size_t n_files;
	const char *junit; /* NULL: not wanted */
	const char *suite; /* of the JUnit report */
	bool strict;	   /* a budget that cannot be judged counts as incomplete */
	bool compares;	   /* diff. has a meaning */
};

/* Reads expressions and files, and looks whether `junit` can be written. Returns RT_OK with *out (free with rt_verdict_free; NULL: there are no budgets), RT_USAGE
 * for a mistake in them, RT_ERROR. */
int rt_verdict_open(const struct rt_verdict_config *config, struct rt_verdict **out);

/* The same of a command line's budgets. */
int rt_verdict_open_opts(const struct rt_opts *opts, struct rt_verdict **out);

/* Do they fit the profile? Returns RT_OK or RT_USAGE. NULL has no budgets, here and below. */
int rt_verdict_check(const struct rt_verdict *verdict, const struct rt_profile *profile);

/* Says of a peak that is over its budget so at once. The account must outlive the verdict, or its last record. Returns RT_OK or RT_ERROR. */
int rt_verdict_follow(struct rt_verdict *verdict, struct rt_account *account);

/*
 * The end: one line for each broken budget, a notice for each that could not be judged, the JUnit report. `status` is what the run would end with otherwise.
 * Returns what it ends with: an error (1) stays, a broken budget is 7 even where something was lost (6): what is lost could only add to it.
 */
int rt_verdict_end(struct rt_verdict *verdict, const struct rt_bworld *world, int status);

void rt_verdict_free(struct rt_verdict *verdict);

#endif
