/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The native functions of one process in all runs, aligned by name, library, operation and phase. */
#include <stdlib.h>
#include <string.h>

#include "diff_core.h"

/* A run's row, under what it is aligned by. */
struct rt_diff_call {
	const struct rt_native_sum_view *row;
	const char *phase; /* id; "": in none */
	size_t run, index; /* index into the run's rows */
};

static int rt_call_key_compare(const struct rt_diff_call *x, const struct rt_diff_call *y)
{
	int by = strcmp(x->row->symbol, y->row->symbol);

	by = by ? by : strcmp(x->row->library, y->row->library);
	by = by ? by : strcmp(x->phase, y->phase);
	by = by ? by : x->row->is_free - y->row->is_free;
	return by ? by : x->row->inner - y->row->inner;
}

/* Of those that are aligned the newest run's first. */
static int rt_call_compare(const void *a, const void *b)
{
	const struct rt_diff_call *x = a, *y = b;
	int by = rt_call_key_compare(x, y);

	if (by)
		return by;
	if (x->run != y->run)
		return x->run < y->run ? 1 : -1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int64_t rt_call_clamp(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t rt_call_figure(const struct rt_native_sum_view *row, int metric)
{
	if (metric >= RT_DN_KIND && metric < RT_DN_KIND + RT_KINDS)
		return row->delta.kind[metric - RT_DN_KIND];
	switch (metric) {
	case RT_DN_BYTES:
		return rt_call_clamp(row->bytes);
	case RT_DN_DELTA:
		return row->delta.total;
	case RT_DN_OWN:
		return row->own;
	case RT_DN_GAINED:
		return row->gained;
	case RT_DN_RELEASED:
		return row->released;
	case RT_DN_MAPPED:
		return rt_call_clamp(row->mapped);
	case RT_DN_UNMAPPED:
		return rt_call_clamp(row->unmapped);
	case RT_DN_TIME:
		return rt_call_clamp(row->duration_ns);
	default:
		return rt_call_clamp(row->calls);
	}
}

/* One function: calls[0, n) are aligned, of as many runs or less. A run has several of them where its profile knew the function by several kinds. */
static void rt_diff_native(struct rt_diff_make *make, const struct rt_diff_call *calls, size_t n, struct rt_diff_native *native)
{
	const struct rt_native_sum_view *row = calls[0].row;
	bool now = false, before = false;

	*native = (struct rt_diff_native){.symbol = row->symbol, .kind = row->kind, .library = row->library, .is_free = row->is_free, .inner = row->inner, .phase = row->phase};
	for (size_t i = 0; i < n; i++) {
		now |= calls[i].run == make->diff.n_old;
		before |= calls[i].run < make->diff.n_old;
	}
	native->state = !now ? RT_DIFF_GONE : before ? RT_DIFF_BOTH : RT_DIFF_NEW;
	for (int m = 0; m < RT_DN_METRICS; m++) {
		int64_t figures[RT_DIFF_RUNS] = {0};

		for (size_t i = 0; i < n; i++)
			figures[calls[i].run] = rt_noise_minus(figures[calls[i].run], rt_noise_minus(0, rt_call_figure(calls[i].row, m)));
		rt_diff_value(make, figures, &native->value[m]);
	}
}

static uint64_t rt_native_size(const struct rt_diff_native *native)
{
	uint64_t largest = 0;

	for (int m = RT_DN_BYTES; m <= RT_DN_DELTA; m++) {
		int64_t difference = native->value[m].difference;
		uint64_t size = difference < 0 ? 0 - (uint64_t)difference : (uint64_t)difference;

		largest = size > largest ? size : largest;
	}
	return largest;
}

/* Largest difference first; those of one size as they were, by name. */
static int rt_native_compare(const void *a, const void *b)
{
	const struct rt_diff_native *const *x = a, *const *y = b;
	uint64_t size_x = rt_native_size(*x), size_y = rt_native_size(*y);

	if (size_x != size_y)
		return size_x < size_y ? 1 : -1;
	return *x < *y ? -1 : *x > *y; /* of one array */
}

static struct rt_diff_call *rt_diff_calls(struct rt_diff_make *make, const struct rt_diff_proc *proc, size_t *count)
{
	struct rt_diff_call *calls;
	size_t n = 0;

	for (size_t run = 0; run < rt_diff_runs(make); run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		n += summary ? summary->n_natives : 0;
	}
	*count = 0;
	calls = n ? calloc(n, sizeof(*calls)) : NULL;
	make->failed |= n && !calls;
	for (size_t run = 0; calls && run < rt_diff_runs(make); run++) {
		const struct rt_proc_summary *summary = rt_diff_of(make, proc, run);

		for (size_t i = 0; summary && i < summary->n_natives; i++) {
			const struct rt_native_sum_view *row = &summary->natives[i];

			calls[(*count)++] = (struct rt_diff_call){row, row->phase ? row->phase->id : "", run, i};
		}
	}
	if (calls)
		qsort(calls, *count, sizeof(*calls), rt_call_compare);
	return calls;
}

static void rt_diff_native_sort(struct rt_diff_make *make, struct rt_diff_proc *proc, const struct rt_diff_native *natives, size_t n)
{
	const struct rt_diff_native **order = calloc(n + 1, sizeof(*order));
	struct rt_diff_native *sorted = rt_diff_alloc(make, n, sizeof(*sorted));

	make->failed |= !order;
	for (size_t i = 0; order && i < n; i++)
		order[i] = &natives[i];
	if (order)
		qsort(order, n, sizeof(*order), rt_native_compare);
	for (size_t i = 0; order && sorted && i < n; i++)
		sorted[i] = *order[i];
	free(order);
	if (make->failed)
		return;
	proc->natives = sorted;
	proc->n_natives = n;
}

void rt_diff_natives(struct rt_diff_make *make, struct rt_diff_proc *proc)
{
	size_t count, n = 0;
	struct rt_diff_call *calls = rt_diff_calls(make, proc, &count);
	struct rt_diff_native *natives = calls ? calloc(count, sizeof(*natives)) : NULL;

	make->failed |= calls && !natives;
	for (size_t i = 0, end; natives && i < count; i = end) {
		for (end = i; end < count && !rt_call_key_compare(&calls[end], &calls[i]); end++)
			;
		rt_diff_native(make, &calls[i], end - i, &natives[n++]);
	}
	if (!make->failed && n)
		rt_diff_native_sort(make, proc, natives, n);
	free(calls);
	free(natives);
	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_diff_native *native = &proc->natives[i];
		bool large = rt_diff_is_large(&make->diff, &native->value[RT_DN_BYTES]) || rt_diff_is_large(&make->diff, &native->value[RT_DN_DELTA]);

		make->diff.n_large += large;
		make->diff.n_noise += large && !rt_diff_native_counts(&make->diff, native);
	}
}
