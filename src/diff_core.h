/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* diff_core.h - the comparison while it is made, shared by diff.c, diff_phases.c, diff_natives.c and diff_stacks.c. */
#ifndef RT_DIFF_CORE_H
#define RT_DIFF_CORE_H

#include "acc_text.h"
#include "diff.h"

struct rt_diff_block;

struct rt_diff_make {
	struct rt_diff diff; /* first: freed by its address */
	struct rt_diff_block *blocks;
	bool failed; /* no memory */
	/* By run: its frames' names, each text once for all runs. */
	struct rt_texts texts;
	struct {
		struct rt_text **function, **file; /* n_frames of the summary */
	} names[RT_DIFF_RUNS];
};

/* Memory that lasts as long as the comparison; zeroed. NULL (and make->failed) without memory. */
void *rt_diff_alloc(struct rt_diff_make *make, size_t n, size_t size);

/* A value from one figure of each run: figures[0..n_old), then the new one. */
void rt_diff_value(struct rt_diff_make *make, const int64_t *figures, struct rt_diff_value *value);

static inline size_t rt_diff_runs(const struct rt_diff_make *make)
{
	return make->diff.n_old + 1;
}

/* The summary of an aligned process in one run, or NULL. */
static inline const struct rt_proc_summary *rt_diff_of(const struct rt_diff_make *make, const struct rt_diff_proc *proc, size_t run)
{
	return run < make->diff.n_old ? proc->pair.old[run] : proc->pair.now;
}

static inline bool rt_diff_is_large(const struct rt_diff *diff, const struct rt_diff_value *value)
{
	return value->difference >= diff->min_size || value->difference <= -diff->min_size;
}

/* diff_phases.c: fills in a process's phases, and with them its stacks. */
void rt_diff_phases(struct rt_diff_make *make, struct rt_diff_proc *proc);

/* diff_natives.c: fills in a process's native functions. */
void rt_diff_natives(struct rt_diff_make *make, struct rt_diff_proc *proc);

/* diff_stacks.c. `row[run][i]` is the aligned phase of the run's i-th one; phases[n_phases - 1] is what is outside. Fills in the own parts by kind and the stacks. */
void rt_diff_stacks(struct rt_diff_make *make, struct rt_diff_proc *proc, struct rt_diff_phase *phases, size_t *const row[]);

#endif
