/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* diffopts.h - the command line of `ramtrack-bpf diff`. */
#ifndef RT_DIFFOPTS_H
#define RT_DIFFOPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "diff.h"
#include "profile.h"

enum rt_diff_format { RT_DIFF_TEXT, RT_DIFF_JSON, RT_DIFF_HTML };

struct rt_diffopts {
	bool shown; /* --help was asked for and printed */
	const char *ledger[RT_DIFF_RUNS]; /* the last one is the new one */
	size_t n_ledgers;
	const char *profile; /* NULL: each ledger's own */
	enum rt_diff_format format;
	const char *output; /* NULL: standard output */
	enum rt_lang lang;
	int64_t min_size;
	bool no_lines, strict;
	const char **fail_if, **budgets; /* owned */
	size_t n_fail_if, n_budgets;
	const char *junit;
	int verbosity;
};

/* argv[0] is "diff"; strings point into argv. What --help prints goes to `out`, messages to `err`. Returns 0 (free with rt_diffopts_free), or an exit status; then
 * *opts is untouched. */
int rt_diffopts_parse(int argc, char **argv, FILE *out, FILE *err, struct rt_diffopts *opts);
void rt_diffopts_free(struct rt_diffopts *opts);

#endif
