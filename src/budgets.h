/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * budgets.h - memory budgets: named expressions (bexpr.h) from --fail-if and from budget files, judged by a summary, and their JUnit report.
 *
 * A budget file is YAML, a list of {name, expr, note}; `name` is the expression itself if left out. It is read as untrusted data: every mistake is refused with
 * file, line and reason. See docs/budgets.md.
 */
#ifndef RT_BUDGETS_H
#define RT_BUDGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bexpr.h"

#define RT_BUDGETS_MAX 1024u	   /* budgets of one run */
#define RT_BUDGET_FILE_MAX (1u << 20) /* bytes of a budget file */
#define RT_BUDGET_TEXT_MAX 1024u   /* of a name, a note */

struct rt_budget {
	char *name, *text; /* what it is called; its expression */
	char *note;	   /* NULL: none */
	char *origin;	   /* the option with its value, or FILE:LINE */
	struct rt_bexpr *expr;
	enum rt_btruth truth; /* once judged */
	char *detail;	      /* what decided; NULL: not judged yet */
	bool told;	      /* that it is broken for good was said while the run went on */
};

/* All zero is an empty list. */
struct rt_budgets {
	struct rt_budget *budget;
	size_t n;
};

/* Adds one. Returns 0, or -EINVAL or -ENOMEM with *error set (caller frees; NULL: no memory for that either). */
int rt_budgets_add(struct rt_budgets *budgets, const char *name, const char *text, const char *note, const char *origin, char **error);

/* Adds those of a file. The same. */
int rt_budgets_parse(struct rt_budgets *budgets, const char *path, const char *text, size_t len, char **error);
int rt_budgets_read(struct rt_budgets *budgets, const char *path, char **error);

void rt_budgets_free(struct rt_budgets *budgets);

/* What can be said before the run: phases that the profile does not have; `diff.` where there is nothing to compare. Returns 0, or -EINVAL with *error set. */
int rt_budgets_check(const struct rt_budgets *budgets, const struct rt_profile *profile, bool compares, char **error);

/* Judges all of them. Returns 0 or -ENOMEM. */
int rt_budgets_judge(struct rt_budgets *budgets, const struct rt_bworld *world);

/* How many are broken, or could not be judged. */
size_t rt_budgets_count(const struct rt_budgets *budgets, enum rt_btruth truth);

struct rt_junit {
	const char *suite;	 /* name of the test suite */
	int64_t wall_ns;	 /* when it was judged; 0: not said */
	uint64_t duration_ns;	 /* of the run that was judged */
	bool unknown_fails;	 /* --strict: what could not be judged is an error, else skipped */
};

/* Writes what was judged as JUnit XML: one test case a budget. Returns 0 or the first error of writing as -errno. */
int rt_junit_write(FILE *out, const struct rt_junit *junit, const struct rt_budgets *budgets);

#endif
