/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * report.h - the summary as text, after the run.
 *
 * Processes in tree order, each with its phases in nesting order; growth outside of phases; causes that are no
 * line's work; phases that were never hit; what was lost; what ramtrack-bpf itself cost. Sizes are MiB.
 */
#ifndef RT_REPORT_H
#define RT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "entrylog.h"
#include "sink.h"

struct rt_prog_cost {
	const char *name;
	uint64_t runs, ns;
	uint64_t missed; /* runs that the kernel left out because a program was running already */
};

/* What the tool itself cost. */
struct rt_self_cost {
	const char *mm_source, *mm_hook; /* where RSS changes came from; NULL: not said */
	bool mm_exact;
	uint64_t bpf_ns, bpf_runs; /* bpf_runs 0: the kernel did not measure */
	uint64_t user_ns, sys_ns;
	uint64_t rss_bytes; /* of ramtrack-bpf */
	uint64_t map_bytes; /* kernel memory of its maps */
	const struct rt_prog_cost *progs;
	size_t n_progs;
	const struct rt_entrylog *entries; /* what told of calls; NULL: nothing */
};

/* Why a phase was never hit, as a sentence in one language (the NDJSON output uses English ones). */
const char *rt_report_reason(enum rt_not_hit why, enum rt_lang lang);

/* Name of a loss or look counter, as in the NDJSON output: "lost_run". */
const char *rt_report_counter(enum rt_counter counter);

/* Writes and flushes the summary; `cost` may be NULL. Returns 0 or the first error of writing as -errno. */
int rt_report_print(FILE *out, enum rt_lang lang, const struct rt_summary *summary, const struct rt_self_cost *cost);

#endif
