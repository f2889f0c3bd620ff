/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <stdlib.h>
#include <string.h>

#include "diff_core.h"

/* Freed at once with the comparison. */
struct rt_diff_block {
	struct rt_diff_block *next;
	uint64_t data[];
};

void *rt_diff_alloc(struct rt_diff_make *make, size_t n, size_t size)
{
	struct rt_diff_block *block = NULL;

	if (!size || n <= (SIZE_MAX - sizeof(*block)) / size)
		block = calloc(1, sizeof(*block) + n * size);
	if (!block) {
		make->failed = true;
		return NULL;
	}
	block->next = make->blocks;
	make->blocks = block;
	return block->data;
}

void rt_diff_value(struct rt_diff_make *make, const int64_t *figures, struct rt_diff_value *value)
{
	size_t n_old = make->diff.n_old;
	int64_t *old = rt_diff_alloc(make, n_old, sizeof(*old));

	if (!old)
		return;
	memcpy(old, figures, n_old * sizeof(*old));
	value->old = old;
	value->now = figures[n_old];
	value->noise = rt_noise_of(old, n_old);
	value->difference = rt_noise_minus(value->now, value->noise.mean);
	value->within = rt_noise_holds(&value->noise, value->now);
}

bool rt_diff_counts(const struct rt_diff *diff, const struct rt_diff_value *value)
{
	return !value->within && rt_diff_is_large(diff, value);
}

bool rt_diff_phase_counts(const struct rt_diff *diff, const struct rt_diff_phase *phase)
{
	return rt_diff_counts(diff, &phase->value[RT_DM_DELTA]) || rt_diff_counts(diff, &phase->value[RT_DM_OWN]);
}

bool rt_diff_native_counts(const struct rt_diff *diff, const struct rt_diff_native *native)
{
	return rt_diff_counts(diff, &native->value[RT_DN_BYTES]) || rt_diff_counts(diff, &native->value[RT_DN_DELTA]);
}

static bool rt_diff_proc_counts(const struct rt_diff *diff, const struct rt_diff_proc *proc)
{
	if (rt_diff_counts(diff, &proc->value[RT_DP_END]) || rt_diff_counts(diff, &proc->value[RT_DP_PEAK]))
		return true;
	for (size_t i = 0; i < proc->n_phases; i++) {
		if (rt_diff_phase_counts(diff, &proc->phases[i]))
			return true;
	}
	for (size_t i = 0; i < proc->n_natives; i++) {
		if (rt_diff_native_counts(diff, &proc->natives[i]))
			return true;
	}
	return false;
}

/* ---- processes: the n-th of a name in each run ---- */

struct rt_diff_seat {
	const char *name;
	size_t run, index; /* index into the run's processes */
};

static int rt_seat_compare(const void *a, const void *b)
{
	const struct rt_diff_seat *x = a, *y = b;
	int by_name = strcmp(x->name, y->name);

	if (by_name)
		return by_name;
	if (x->run != y->run)
		return x->run < y->run ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static struct rt_diff_seat *rt_diff_seats(struct rt_diff_make *make, size_t *count)
{
	struct rt_diff_seat *seats;
	size_t n = 0;

	for (size_t run = 0; run < rt_diff_runs(make); run++)
		n += make->diff.runs[run].summary->n_procs;
	seats = rt_diff_alloc(make, n, sizeof(*seats));
	*count = 0;
	for (size_t run = 0; seats && run < rt_diff_runs(make); run++) {
		const struct rt_summary *summary = make->diff.runs[run].summary;

		for (size_t i = 0; i < summary->n_procs; i++)
			seats[(*count)++] = (struct rt_diff_seat){summary->procs[i].proc.name, run, i};
	}
	if (seats)
		qsort(seats, *count, sizeof(*seats), rt_seat_compare);
	return seats;
}

static void rt_diff_proc_value(struct rt_diff_make *make, struct rt_diff_proc *proc, enum rt_diff_proc_metric metric)
{
	int64_t figures[RT_DIFF_RUNS] = {0};

	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);
		const struct rt_proc_view *view = summary ? &summary->proc : NULL;

		if (!view)
			continue;
		if (metric == RT_DP_END)
			figures[run] = view->now.total;
		else if (metric == RT_DP_GROWTH)
			figures[run] = rt_noise_minus(view->now.total, view->start.total);
		else if (metric == RT_DP_PEAK)
			figures[run] = view->peak;
		else
			figures[run] = view->end_ns > view->start_ns ? (int64_t)(view->end_ns - view->start_ns) : 0;
	}
	rt_diff_value(make, figures, &proc->value[metric]);
}

/* One process: the seats [0, n) have its name, in the order of runs. */
static void rt_diff_group(struct rt_diff_make *make, const struct rt_diff_seat *seats, size_t n, struct rt_diff_proc *procs, size_t *n_procs)
{
	size_t first = *n_procs, most = 0;

	for (size_t i = 0, at = 0; i < n; i++, at++) {
		const struct rt_proc_summary *summary = &make->diff.runs[seats[i].run].summary->procs[seats[i].index];
		struct rt_diff_proc *proc;

		if (!i || seats[i].run != seats[i - 1].run)
			at = 0;
		proc = &procs[first + at];
		if (at == most) { /* no run before had that many */
			most++;
			proc->pair.name = summary->proc.name;
			proc->pair.old = rt_diff_alloc(make, make->diff.n_old, sizeof(*proc->pair.old));
			proc->number = (unsigned int)most;
		}
		if (!proc->pair.old)
			return;
		proc->depth = summary->proc.depth;
		if (seats[i].run == make->diff.n_old)
			proc->pair.now = summary;
		else
			proc->pair.old[seats[i].run] = summary;
	}
	for (size_t i = 0; i < most; i++)
		procs[first + i].of = (unsigned int)most;
	*n_procs = first + most;
}

static const struct rt_proc_summary *rt_diff_newest(const struct rt_diff_proc *proc, size_t n_old, size_t *age)
{
	const struct rt_proc_summary *found = proc->pair.now;

	*age = 0;
	for (size_t i = n_old; !found && i-- > 0; ++*age)
		found = proc->pair.old[i];
	return found;
}

struct rt_diff_order {
	struct rt_diff_proc proc;
	size_t age; /* of the newest run that has it */
	const struct rt_proc_summary *at; /* there */
};

static int rt_order_compare(const void *a, const void *b)
{
	const struct rt_diff_order *x = a, *y = b;

	if (x->age != y->age)
		return x->age < y->age ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at; /* of one array */
}

/* In the order of the new run; then those that are gone. */
static void rt_diff_sort(struct rt_diff_make *make, struct rt_diff_proc *procs, size_t n)
{
	struct rt_diff_order *order = rt_diff_alloc(make, n, sizeof(*order));

	for (size_t i = 0; order && i < n; i++) {
		order[i].proc = procs[i];
		order[i].at = rt_diff_newest(&procs[i], make->diff.n_old, &order[i].age);
	}
	if (!order)
		return;
	qsort(order, n, sizeof(*order), rt_order_compare);
	for (size_t i = 0; i < n; i++)
		procs[i] = order[i].proc;
}

/* ---- all ---- */

static void rt_diff_procs(struct rt_diff_make *make)
{
	size_t count = 0, n = 0;
	struct rt_diff_seat *seats = rt_diff_seats(make, &count);
	struct rt_diff_proc *procs = rt_diff_alloc(make, count, sizeof(*procs));
	struct rt_bpair *pairs = rt_diff_alloc(make, count, sizeof(*pairs));

	for (size_t i = 0, end; seats && procs && i < count; i = end) {
		for (end = i; end < count && !strcmp(seats[end].name, seats[i].name); end++)
			;
		rt_diff_group(make, &seats[i], end - i, procs, &n);
	}
	if (make->failed)
		return;
	rt_diff_sort(make, procs, n);
	for (size_t i = 0; i < n && !make->failed; i++) {
		struct rt_diff_proc *proc = &procs[i];
		bool before = false;

		for (size_t old = 0; old < make->diff.n_old; old++)
			before |= proc->pair.old[old] != NULL;
		proc->state = proc->pair.now ? before ? RT_DIFF_BOTH : RT_DIFF_NEW : RT_DIFF_GONE;
		for (int m = 0; m < RT_DP_METRICS; m++)
			rt_diff_proc_value(make, proc, (enum rt_diff_proc_metric)m);
		rt_diff_phases(make, proc);
		rt_diff_natives(make, proc);
		proc->counts = rt_diff_proc_counts(&make->diff, proc);
		pairs[i] = proc->pair;
	}
	make->diff.procs = procs;
	make->diff.n_procs = n;
	make->diff.pairs = pairs;
}

static void rt_diff_whole(struct rt_diff_make *make)
{
	int64_t figures[RT_DW_METRICS][RT_DIFF_RUNS] = {{0}};

	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_summary *summary = make->diff.runs[run].summary;

		figures[RT_DW_PEAK][run] = summary->tree_peak;
		figures[RT_DW_END][run] = summary->tree_end;
		figures[RT_DW_TIME][run] = summary->duration_ns > INT64_MAX ? INT64_MAX : (int64_t)summary->duration_ns;
		for (size_t i = 0; i < summary->n_procs; i++) {
			const struct rt_proc_view *proc = &summary->procs[i].proc;

			figures[RT_DW_GROWTH][run] = rt_noise_minus(figures[RT_DW_GROWTH][run], rt_noise_minus(proc->start.total, proc->now.total));
		}
	}
	for (int m = 0; m < RT_DW_METRICS; m++)
		rt_diff_value(make, figures[m], &make->diff.whole[m]);
}

/* The names of all frames, each text once, so that they can be compared by address. */
static void rt_diff_names(struct rt_diff_make *make)
{
	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_summary *summary = make->diff.runs[run].summary;

		make->names[run].function = rt_diff_alloc(make, summary->n_frames, sizeof(struct rt_text *));
		make->names[run].file = rt_diff_alloc(make, summary->n_frames, sizeof(struct rt_text *));
		for (size_t i = 0; !make->failed && i < summary->n_frames; i++) {
			const char *function = summary->frames[i].function, *file = summary->frames[i].file;

			make->names[run].function[i] = rt_text_get(&make->texts, function ? function : "", function ? strlen(function) : 0);
			make->names[run].file[i] = rt_text_get(&make->texts, file ? file : "", file ? strlen(file) : 0);
			if (!make->names[run].function[i] || !make->names[run].file[i])
				make->failed = true;
		}
	}
}

struct rt_diff *rt_diff_new(const struct rt_diff_config *config)
{
	struct rt_diff_make *make = calloc(1, sizeof(*make));

	if (!make)
		return NULL;
	make->diff = (struct rt_diff){.runs = config->runs, .n_old = config->n_runs - 1, .min_size = config->min_size, .no_lines = config->no_lines};
	rt_diff_names(make);
	rt_diff_whole(make);
	if (!make->failed)
		rt_diff_procs(make);
	if (!make->failed)
		return &make->diff;
	rt_diff_free(&make->diff);
	return NULL;
}

void rt_diff_free(struct rt_diff *diff)
{
	struct rt_diff_make *make = (struct rt_diff_make *)diff;
	struct rt_diff_block *block, *next;

	if (!diff)
		return;
	rt_texts_free(&make->texts);
	for (block = make->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	free(make);
}
