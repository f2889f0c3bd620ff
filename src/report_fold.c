/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report_in.h"

/* Of children without a phase that bear one name, so many are listed (a compiler run starts hundreds of ptxas). */
#define RT_LISTED_CHILDREN 20

static bool rt_proc_foldable(const struct rt_proc_summary *proc)
{
	return !proc->n_phases && !proc->n_natives && !proc->proc.first && proc->proc.depth > 0;
}

static const char *rt_proc_name(const struct rt_proc_summary *proc)
{
	return proc->proc.name ? proc->proc.name : "";
}

/* By name, then the largest peak first, then as they came. */
static int rt_fold_compare(const void *left, const void *right)
{
	const struct rt_proc_summary *a = *(const struct rt_proc_summary *const *)left;
	const struct rt_proc_summary *b = *(const struct rt_proc_summary *const *)right;
	int order = strcmp(rt_proc_name(a), rt_proc_name(b));

	if (order)
		return order;
	if (a->proc.peak != b->proc.peak)
		return a->proc.peak > b->proc.peak ? -1 : 1;
	return a < b ? -1 : a > b;
}

void rt_fold_free(struct rt_fold *fold)
{
	free(fold->sorted);
	free(fold->hidden);
}

int rt_fold_make(const struct rt_summary *summary, struct rt_fold *fold)
{
	size_t i, nth = 0;

	*fold = (struct rt_fold){0};
	fold->sorted = calloc(summary->n_procs + 1, sizeof(const struct rt_proc_summary *));
	fold->hidden = calloc(summary->n_procs + 1, sizeof(bool));
	if (!fold->sorted || !fold->hidden) {
		rt_fold_free(fold);
		return -ENOMEM;
	}
	for (i = 0; i < summary->n_procs; i++) {
		if (rt_proc_foldable(&summary->procs[i]))
			fold->sorted[fold->count++] = &summary->procs[i];
	}
	qsort(fold->sorted, fold->count, sizeof(const struct rt_proc_summary *), rt_fold_compare);
	for (i = 0; i < fold->count; i++) {
		nth = i && !strcmp(rt_proc_name(fold->sorted[i - 1]), rt_proc_name(fold->sorted[i])) ? nth + 1 : 0;
		if (nth >= RT_LISTED_CHILDREN)
			fold->hidden[fold->sorted[i] - summary->procs] = true;
	}
	return 0;
}

void rt_put_folded(struct rt_report *report, const struct rt_summary *summary, const struct rt_fold *fold)
{
	const struct rt_proc_summary *proc;
	int64_t peak = 0, net = 0;
	size_t i, count = 0;

	for (i = 0; i < fold->count; i++) {
		proc = fold->sorted[i];
		if (!fold->hidden[proc - summary->procs])
			continue;
		if (!count++)
			peak = proc->proc.peak;
		net += proc->proc.now.total - proc->proc.start.total;
		if (i + 1 < fold->count && !strcmp(rt_proc_name(proc), rt_proc_name(fold->sorted[i + 1])))
			continue;
		fputs(rt_pick(report, "另有 ", "and "), report->out);
		fprintf(report->out, rt_pick(report, "%zu 个 ", "%zu more "), count);
		rt_put_text(report, rt_proc_name(proc), RT_NAME_CHARS);
		fprintf(report->out, rt_pick(report, ": RSS变化合计 %s, 峰值均不超过 %s\n",
					     ": RSS change %s in all, none peaked above %s\n"),
			rt_signed(net).text, rt_plain(peak).text);
		count = 0;
		net = 0;
	}
}
