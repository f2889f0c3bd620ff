/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * diff.h - what changed between runs: processes aligned by role and order, phases by path, native functions by name, growth by stack.
 *
 * Pure: summaries in (account.h, with want_stacks), a comparison out. The last run is the new one, those before are the old ones, whose differences among
 * each other are the noise (noise.h). A difference is *said* if it is at least `min_size` and outside the noise. All sizes are bytes, times nanoseconds.
 *
 * Alignment. The n-th process of a role (in tree order) is the n-th of that role in every run. A phase is the same if all ids of its path are. A frame is the
 * same if function, file and line are, and its caller is the same; with `no_lines` without the line, for runs of different sources. A native function is the
 * same if symbol, library, operation and innermost phase are.
 */
#ifndef RT_DIFF_H
#define RT_DIFF_H

#include "bexpr.h"
#include "noise.h"
#include "sink.h"

#define RT_DIFF_RUNS (RT_NOISE_RUNS + 1)
#define RT_DIFF_STACKS 256u /* said of one process; further ones are counted */

struct rt_diff_run {
	const char *file;
	const struct rt_summary *summary; /* both outlive the comparison */
	const struct rt_profile *profile;
	bool partial; /* the ledger ends before the run did */
};

/* One figure of all runs. */
struct rt_diff_value {
	const int64_t *old; /* of each old run, 0 where what it is of was not there */
	int64_t now;
	struct rt_noise noise;
	int64_t difference; /* now - noise.mean */
	bool within;	    /* inside the noise; without a noise band: no difference */
};

enum rt_diff_state {
	RT_DIFF_BOTH,
	RT_DIFF_NEW,  /* in no old run */
	RT_DIFF_GONE, /* not in the new one */
};

enum rt_diff_metric {
	RT_DM_DELTA,	/* change of RSS, nested phases included */
	RT_DM_OWN,	/* charged here and not to a nested phase */
	RT_DM_OWN_KIND, /* + enum rt_kind: the same by kind */
	RT_DM_KIND = RT_DM_OWN_KIND + RT_KINDS, /* + enum rt_kind: of delta */
	RT_DM_GAINED = RT_DM_KIND + RT_KINDS,
	RT_DM_RELEASED,
	RT_DM_PEAK,
	RT_DM_TIME,
	RT_DM_CALLS,
	RT_DM_METRICS,
};

/* A phase of one process, or (phase NULL) what is outside any phase: there only the own part is known, and no more metrics than that and delta, the same. */
struct rt_diff_phase {
	const struct rt_phase *phase; /* of a run that has it */
	const struct rt_phase *const *path; /* outermost first */
	size_t path_len;
	enum rt_diff_state state;
	struct rt_diff_value value[RT_DM_METRICS];
};

struct rt_diff_frame {
	const char *function, *file; /* file "": none */
	int line;		     /* 0: not known */
};

/* A stack by which a phase's own part grew or shrank: the innermost frames at which the difference can be said, less what is said of stacks further in. */
struct rt_diff_stack {
	size_t phase; /* index into phases */
	const struct rt_diff_frame *frames; /* innermost first */
	size_t n_frames;
	enum rt_diff_state state;
	struct rt_diff_value total, kind[RT_KINDS];
};

enum rt_diff_native_metric {
	RT_DN_BYTES, /* asked for, or (is_free) given back */
	RT_DN_DELTA, /* RSS changed inside, nested calls included */
	RT_DN_KIND,  /* + enum rt_kind: the same by kind */
	RT_DN_OWN = RT_DN_KIND + RT_KINDS, /* without nested calls */
	RT_DN_GAINED,
	RT_DN_RELEASED,
	RT_DN_MAPPED, /* address space */
	RT_DN_UNMAPPED,
	RT_DN_TIME,
	RT_DN_CALLS,
	RT_DN_METRICS,
};

/* Calls of a native function in one phase of a process: a second view of changes that its phases have as well, and of what was asked for and never became resident. */
struct rt_diff_native {
	const char *symbol, *kind, *library; /* of the newest run that has it */
	bool is_free, inner; /* as in struct rt_native_view */
	const struct rt_phase *phase; /* innermost; NULL: in none */
	enum rt_diff_state state;
	struct rt_diff_value value[RT_DN_METRICS];
};

enum rt_diff_proc_metric {
	RT_DP_END, /* RSS at its end, or at the end of the run */
	RT_DP_GROWTH, /* less that at its baseline */
	RT_DP_PEAK,
	RT_DP_TIME,
	RT_DP_METRICS,
};

struct rt_diff_proc {
	struct rt_bpair pair; /* name and summaries by run */
	unsigned int number, of; /* the number-th of `of` with this name */
	enum rt_diff_state state;
	int depth;   /* in the tree of the newest run that has it */
	bool counts; /* there is something to say of it */
	struct rt_diff_value value[RT_DP_METRICS];
	const struct rt_diff_phase *phases; /* nesting order; the last one is what is outside of phases */
	size_t n_phases;
	const struct rt_diff_native *natives; /* largest difference of bytes or RSS first */
	size_t n_natives;
	const struct rt_diff_stack *stacks; /* largest first */
	size_t n_stacks, stacks_left_out;
};

enum rt_diff_whole { RT_DW_PEAK, RT_DW_END, RT_DW_GROWTH, RT_DW_TIME, RT_DW_METRICS };

struct rt_diff {
	const struct rt_diff_run *runs;
	size_t n_old; /* runs[n_old] is the new one */
	int64_t min_size;
	bool no_lines;
	struct rt_diff_value whole[RT_DW_METRICS]; /* all processes together: peak, at the end, growth added up, length of the run */
	const struct rt_diff_proc *procs;
	size_t n_procs;
	const struct rt_bpair *pairs; /* of procs, for budgets */
	/* Own parts of phases, and native functions: how many differ by min_size, and how many of these are within the noise. */
	size_t n_large, n_noise;
};

struct rt_diff_config {
	const struct rt_diff_run *runs;
	size_t n_runs; /* 2 to RT_DIFF_RUNS */
	int64_t min_size;
	bool no_lines;
};

/* Returns the comparison (free with rt_diff_free), or NULL without memory. */
struct rt_diff *rt_diff_new(const struct rt_diff_config *config);
void rt_diff_free(struct rt_diff *diff);

/* Is it to be said? */
bool rt_diff_counts(const struct rt_diff *diff, const struct rt_diff_value *value);

/* Is there something to say of this phase? */
bool rt_diff_phase_counts(const struct rt_diff *diff, const struct rt_diff_phase *phase);

/* Is there something to say of this function: of what it asked for or gave back, or of RSS inside? Calls and times alone are not. */
bool rt_diff_native_counts(const struct rt_diff *diff, const struct rt_diff_native *native);

#endif
