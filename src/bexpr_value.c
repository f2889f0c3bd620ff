/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What the terms of a budget's expression are worth in a summary. */
#include <string.h>

#include "bexpr_tree.h"

bool rt_bexpr_glob(const char *pattern, const char *name)
{
	const char *star = NULL, *back = NULL;

	/* The last * alone can be stretched: what an earlier one took more would leave less to all behind it. */
	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			back = name;
		} else if (*pattern && (*pattern == '?' || *pattern == *name)) {
			pattern++;
			do
				name++;
			while (pattern[-1] == '?' && ((unsigned char)*name & 0xc0) == 0x80);
		} else if (star) {
			pattern = star;
			name = ++back;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

bool rt_bmatch_proc(const struct rt_bterm *term, const struct rt_proc_view *proc, const char *name)
{
	const char *base;

	if (*term->role)
		return rt_bexpr_glob(term->role, name);
	if (term->pid)
		return proc && proc->pid == term->pid;
	if (!*term->process)
		return true;
	if (!proc)
		return rt_bexpr_glob(term->process, name);
	base = strrchr(proc->exe, '/');
	return rt_bexpr_glob(term->process, proc->comm) || (*proc->exe && rt_bexpr_glob(term->process, base ? base + 1 : proc->exe));
}

static int64_t rt_bclamp(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* Sums of what a target's records say wrap instead of overflowing. */
static int64_t rt_bsum(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t rt_bphase_value(const struct rt_phase_view *phase, enum rt_bfield field)
{
	switch (field) {
	case RT_BF_RSS:
	case RT_BF_DELTA:
		return phase->delta.total;
	case RT_BF_OWN:
		return phase->own;
	case RT_BF_ANON:
		return phase->delta.kind[RT_ANON];
	case RT_BF_FILE:
		return phase->delta.kind[RT_FILE];
	case RT_BF_SHMEM:
		return phase->delta.kind[RT_SHMEM];
	case RT_BF_GAINED:
		return phase->gained;
	case RT_BF_RELEASED:
		return phase->released;
	case RT_BF_REUSED:
		return phase->reused;
	case RT_BF_HELPERS:
		return phase->helper;
	case RT_BF_CHILDREN:
		return phase->tree_delta;
	case RT_BF_PEAK:
		return phase->peak;
	case RT_BF_TIME:
		return rt_bclamp(phase->duration_ns);
	case RT_BF_CALLS:
		return phase->call;
	case RT_BF_MINOR:
		return rt_bclamp(phase->minor_faults);
	default:
		return rt_bclamp(phase->major_faults);
	}
}

bool rt_bphase(const struct rt_proc_summary *proc, const char *id, enum rt_bfield field, int64_t *value)
{
	bool found = false;

	for (size_t i = 0; i < proc->n_phases; i++) {
		int64_t one;

		if (strcmp(proc->phases[i].phase->id, id))
			continue;
		one = rt_bphase_value(&proc->phases[i], field);
		if (!found)
			*value = one;
		else if (field != RT_BF_PEAK)
			*value = rt_bsum(*value, one);
		else if (one > *value)
			*value = one;
		found = true;
	}
	return found;
}

int64_t rt_bproc(const struct rt_proc_summary *summary, enum rt_bfield field)
{
	const struct rt_proc_view *proc = &summary->proc;

	switch (field) {
	case RT_BF_RSS:
		return proc->now.total;
	case RT_BF_ANON:
		return proc->now.kind[RT_ANON];
	case RT_BF_FILE:
		return proc->now.kind[RT_FILE];
	case RT_BF_SHMEM:
		return proc->now.kind[RT_SHMEM];
	case RT_BF_START:
		return proc->start.total;
	case RT_BF_PEAK:
		return proc->peak;
	case RT_BF_TIME:
		return proc->end_ns > proc->start_ns ? rt_bclamp(proc->end_ns - proc->start_ns) : 0;
	case RT_BF_OUTSIDE:
		return summary->outside_net;
	case RT_BF_UNACCOUNTED:
		return summary->unaccounted;
	default:
		return (int64_t)((uint64_t)proc->now.total - (uint64_t)proc->start.total);
	}
}

static int64_t rt_bnative_value(const struct rt_native_sum_view *row, enum rt_bfield field)
{
	switch (field) {
	case RT_BF_BYTES:
		return row->is_free ? 0 : rt_bclamp(row->bytes);
	case RT_BF_FREED:
		return row->is_free ? rt_bclamp(row->bytes) : 0;
	case RT_BF_CALLS:
		return rt_bclamp(row->calls);
	case RT_BF_TIME:
		return rt_bclamp(row->duration_ns);
	case RT_BF_OWN:
		return row->own;
	case RT_BF_ANON:
		return row->delta.kind[RT_ANON];
	case RT_BF_FILE:
		return row->delta.kind[RT_FILE];
	case RT_BF_SHMEM:
		return row->delta.kind[RT_SHMEM];
	case RT_BF_GAINED:
		return row->gained;
	case RT_BF_RELEASED:
		return row->released;
	default:
		return row->delta.total;
	}
}

bool rt_bnative(const struct rt_proc_summary *proc, const struct rt_bterm *term, int64_t *value)
{
	bool found = false;

	*value = 0;
	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_native_sum_view *row = &proc->natives[i];

		if (*term->phase && (!row->phase || !rt_bexpr_glob(term->phase, row->phase->id)))
			continue;
		if (!rt_bexpr_glob(term->native, row->symbol) && !rt_bexpr_glob(term->native, row->kind))
			continue;
		if (row->inner && term->field != RT_BF_OWN && strcmp(term->native, row->symbol))
			continue; /* its sizes are in those of the call around it, but for what is its own */
		*value = rt_bsum(*value, rt_bnative_value(row, term->field));
		found = true;
	}
	return found;
}

int64_t rt_bwhole(const struct rt_summary *summary, const struct rt_bterm *term)
{
	int64_t sum = 0;

	switch (term->what) {
	case RT_BW_TREE:
		return term->field == RT_BF_PEAK ? summary->tree_peak : summary->tree_end;
	case RT_BW_RUN:
		return rt_bclamp(summary->duration_ns);
	case RT_BW_LOST:
		return rt_bclamp(term->field == RT_BF_RECORDS ? summary->lost_records :
				 term->field == RT_BF_STACKS  ? summary->lost_stacks :
								summary->late_records);
	case RT_BW_UNACCOUNTED:
		return summary->unaccounted;
	default:
		for (size_t i = 0; i < summary->n_procs; i++)
			sum = rt_bsum(sum, term->what == RT_BW_OUTSIDE ? summary->procs[i].outside_net : rt_bproc(&summary->procs[i], RT_BF_DELTA));
		return sum;
	}
}
