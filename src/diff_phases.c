/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The phases of one process in all runs: a trie by path. */
#include <stdlib.h>
#include <string.h>

#include "diff_core.h"

struct rt_diff_node {
	const struct rt_phase *phase;
	uint32_t parent, first_child, last_child, next, depth; /* 0: none; node 0 is the process */
	uint32_t index; /* into the phases, if `there` */
	bool there;	/* some run has figures of it, not only of what is nested in it */
};

struct rt_diff_trie {
	struct rt_diff_node *node;
	uint32_t n;
};

static uint32_t rt_diff_child(struct rt_diff_trie *trie, uint32_t parent, const struct rt_phase *phase)
{
	struct rt_diff_node *up = &trie->node[parent];
	uint32_t at = up->first_child;

	while (at && strcmp(trie->node[at].phase->id, phase->id))
		at = trie->node[at].next;
	if (at)
		return at;
	at = trie->n++;
	trie->node[at] = (struct rt_diff_node){.phase = phase, .parent = parent, .depth = up->depth + 1};
	if (up->last_child)
		trie->node[up->last_child].next = at;
	else
		up->first_child = at;
	up->last_child = at;
	return at;
}

/* The next one in nesting order; begins after 0, 0 at the end. */
static uint32_t rt_diff_follower(const struct rt_diff_trie *trie, uint32_t at)
{
	if (trie->node[at].first_child)
		return trie->node[at].first_child;
	while (at && !trie->node[at].next)
		at = trie->node[at].parent;
	return at ? trie->node[at].next : 0;
}

/* Numbers the phases of all runs; row[run][i] becomes the node of a run's i-th phase. The new run comes first: its order counts. */
static bool rt_diff_trie_make(struct rt_diff_make *make, const struct rt_diff_proc *proc, struct rt_diff_trie *trie, size_t **row)
{
	size_t elements = 1;

	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		for (size_t i = 0; summary && i < summary->n_phases; i++)
			elements += summary->phases[i].path_len;
	}
	trie->node = rt_diff_alloc(make, elements, sizeof(*trie->node));
	trie->n = 1;
	for (size_t k = 0; trie->node && k < rt_diff_runs(make); k++) {
		size_t run = rt_diff_runs(make) - 1 - k;
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		row[run] = rt_diff_alloc(make, summary ? summary->n_phases : 0, sizeof(**row));
		for (size_t i = 0; row[run] && summary && i < summary->n_phases; i++) {
			const struct rt_phase_view *view = &summary->phases[i];
			uint32_t at = 0;

			for (size_t p = 0; p < view->path_len; p++)
				at = rt_diff_child(trie, at, view->path[p]);
			trie->node[at].there = true;
			row[run][i] = at;
		}
	}
	return !make->failed;
}

static int64_t rt_diff_metric(const struct rt_phase_view *view, int metric)
{
	if (metric >= RT_DM_KIND && metric < RT_DM_KIND + RT_KINDS)
		return view->delta.kind[metric - RT_DM_KIND];
	switch (metric) {
	case RT_DM_DELTA:
		return view->delta.total;
	case RT_DM_OWN:
		return view->own;
	case RT_DM_GAINED:
		return view->gained;
	case RT_DM_RELEASED:
		return view->released;
	case RT_DM_PEAK:
		return view->peak;
	case RT_DM_TIME:
		return view->duration_ns > INT64_MAX ? INT64_MAX : (int64_t)view->duration_ns;
	default:
		return view->call;
	}
}

/* All figures of all phases, each of all runs: figures[(phase * RT_DM_METRICS + metric) * runs + run]. `row` has indices of phases. */
static void rt_diff_phase_values(struct rt_diff_make *make, const struct rt_diff_proc *proc, struct rt_diff_phase *phases, size_t n, size_t *const row[])
{
	size_t runs = rt_diff_runs(make);
	int64_t *figures = calloc(n * RT_DM_METRICS * runs + 1, sizeof(*figures));

	make->failed |= !figures;
	for (size_t run = 0; figures && run < runs; run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		for (size_t i = 0; summary && i < summary->n_phases; i++) {
			int64_t *of = &figures[row[run][i] * RT_DM_METRICS * runs];

			for (size_t m = 0; m < RT_DM_METRICS; m++)
				of[m * runs + run] = rt_diff_metric(&summary->phases[i], (int)m);
		}
	}
	for (size_t i = 0; figures && i < n; i++) {
		const int64_t *calls = &figures[(i * RT_DM_METRICS + RT_DM_CALLS) * runs]; /* 0: it was not there */
		bool before = false;

		for (size_t run = 0; run + 1 < runs; run++)
			before |= calls[run] != 0;
		phases[i].state = !calls[runs - 1] ? RT_DIFF_GONE : before ? RT_DIFF_BOTH : RT_DIFF_NEW;
		for (size_t m = 0; m < RT_DM_METRICS; m++) {
			if (m < RT_DM_OWN_KIND || m >= RT_DM_OWN_KIND + RT_KINDS) /* these come from the stacks */
				rt_diff_value(make, &figures[(i * RT_DM_METRICS + m) * runs], &phases[i].value[m]);
		}
	}
	free(figures);
}

/* What no phase is charged for: the work of no line included. */
static void rt_diff_outside(struct rt_diff_make *make, const struct rt_diff_proc *proc, struct rt_diff_phase *phase)
{
	int64_t figures[RT_DIFF_RUNS] = {0}, none[RT_DIFF_RUNS] = {0};

	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		figures[run] = summary ? summary->outside_net : 0;
		for (int c = 0; summary && c < RT_CAUSES; c++)
			figures[run] = rt_noise_minus(figures[run], rt_noise_minus(0, summary->cause_net[c]));
	}
	for (int m = 0; m < RT_DM_METRICS; m++)
		rt_diff_value(make, m == RT_DM_DELTA || m == RT_DM_OWN ? figures : none, &phase->value[m]);
}

static void rt_diff_path(struct rt_diff_make *make, const struct rt_diff_trie *trie, uint32_t node, struct rt_diff_phase *phase)
{
	uint32_t depth = trie->node[node].depth;
	const struct rt_phase **path = rt_diff_alloc(make, depth, sizeof(*path));

	phase->phase = trie->node[node].phase;
	for (uint32_t at = node; path && at; at = trie->node[at].parent)
		path[trie->node[at].depth - 1] = trie->node[at].phase;
	phase->path = path;
	phase->path_len = path ? depth : 0;
}

void rt_diff_phases(struct rt_diff_make *make, struct rt_diff_proc *proc)
{
	size_t *row[RT_DIFF_RUNS] = {NULL}, n = 0;
	struct rt_diff_trie trie = {NULL, 0};
	struct rt_diff_phase *phases;

	if (!rt_diff_trie_make(make, proc, &trie, row))
		return;
	phases = rt_diff_alloc(make, trie.n, sizeof(*phases));
	for (uint32_t at = rt_diff_follower(&trie, 0); phases && at; at = rt_diff_follower(&trie, at)) {
		if (!trie.node[at].there)
			continue;
		rt_diff_path(make, &trie, at, &phases[n]);
		trie.node[at].index = (uint32_t)n++;
	}
	if (!phases)
		return;
	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		for (size_t i = 0; summary && i < summary->n_phases; i++)
			row[run][i] = trie.node[row[run][i]].index;
	}
	rt_diff_phase_values(make, proc, phases, n, row);
	rt_diff_outside(make, proc, &phases[n++]);
	proc->phases = phases;
	proc->n_phases = n;
	rt_diff_stacks(make, proc, phases, row);
	for (size_t i = 0; i < n; i++) {
		make->diff.n_large += rt_diff_is_large(&make->diff, &phases[i].value[RT_DM_OWN]);
		make->diff.n_noise += rt_diff_is_large(&make->diff, &phases[i].value[RT_DM_OWN]) && phases[i].value[RT_DM_OWN].within;
	}
}
