/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <stdlib.h>
#include <string.h>

#include "acc_span.h"

#define RT_OUTSIDE_ROWS 20u

/* Memory of the summary: freed at once with the account. */
struct rt_block {
	struct rt_block *next;
	uint64_t data[];
};

static void *rt_summary_alloc(struct rt_account *account, size_t n, size_t size)
{
	struct rt_block *block;

	if (size && n > (SIZE_MAX - sizeof(*block)) / size)
		return NULL;
	block = calloc(1, sizeof(*block) + n * size);
	if (!block) {
		account->lost_records++;
		return NULL;
	}
	block->next = account->blocks;
	account->blocks = block;
	return block->data;
}

void rt_summary_free(struct rt_account *account)
{
	struct rt_block *block, *next;

	for (block = account->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	account->blocks = NULL;
}

static uint32_t rt_row_depth(const struct rt_rows *rows, uint32_t row)
{
	uint32_t depth = 0;

	for (; row; row = rows->row[row].parent)
		depth++;
	return depth;
}

/* A row's split by mapping. */
static void rt_summary_mappings(struct rt_account *account, const struct rt_split *split, struct rt_phase_view *view)
{
	struct rt_mapping_view rows[RT_MAPPING_ROWS + 1], *kept;
	size_t n = rt_split_view(split, account->config.page_size, rows);

	kept = rt_summary_alloc(account, n, sizeof(*kept));
	if (!kept)
		return;
	memcpy(kept, rows, n * sizeof(*kept));
	view->mappings = kept;
	view->n_mappings = n;
}

static void rt_summary_phases(struct rt_account *account, struct rt_process *proc, struct rt_proc_summary *out)
{
	const struct rt_rows *rows = &proc->rows;
	const struct rt_phase *phases = account->config.profile->phases;
	size_t elements = 0, n = 0;
	const struct rt_phase **path;
	struct rt_phase_view *view;

	for (uint32_t row = rt_rows_next(rows, 0); row; row = rt_rows_next(rows, row)) {
		n += rows->row[row].tally.calls != 0;
		elements += rt_row_depth(rows, row);
	}
	if (!n)
		return;
	view = rt_summary_alloc(account, n, sizeof(*view));
	path = rt_summary_alloc(account, elements, sizeof(*path));
	if (!view || !path)
		return;
	out->phases = view;
	for (uint32_t row = rt_rows_next(rows, 0); row; row = rt_rows_next(rows, row)) {
		const struct rt_row *at = &rows->row[row];
		uint32_t depth = rt_row_depth(rows, row), i = depth;

		if (!at->tally.calls)
			continue;
		rt_span_view(account, &at->tally, view);
		if (account->config.want_mappings)
			rt_summary_mappings(account, &at->split, view);
		for (uint32_t up = row; up; up = rows->row[up].parent)
			path[--i] = &phases[rows->row[up].phase];
		view->phase = &phases[at->phase];
		view->path = path;
		view->path_len = depth;
		view->call = at->tally.calls;
		view->tid = at->tally.tid;
		path += depth;
		view++;
		out->n_phases++;
	}
}

static uint64_t rt_magnitude(int64_t value)
{
	return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static int rt_bucket_compare(const void *a, const void *b)
{
	const struct rt_bucket *const *x = a, *const *y = b;
	uint64_t size_x = rt_magnitude(rt_pages_total((*x)->net)), size_y = rt_magnitude(rt_pages_total((*y)->net));

	if (size_x != size_y)
		return size_x < size_y ? 1 : -1;
	return strcmp((*x)->module->s, (*y)->module->s); /* the same report from the same records */
}

static void rt_summary_outside(struct rt_account *account, struct rt_process *proc, struct rt_proc_summary *out)
{
	const struct rt_outside *outside = &proc->outside;
	struct rt_bucket **sorted = calloc(outside->used + 1, sizeof(*sorted)), rest = outside->others;
	struct rt_outside_view *view = rt_summary_alloc(account, RT_OUTSIDE_ROWS + 1, sizeof(*view));
	size_t n = 0;

	if (!sorted || !view) {
		free(sorted);
		return;
	}
	for (size_t i = 0; i < outside->cap; i++) {
		if (outside->bucket[i].module)
			sorted[n++] = &outside->bucket[i];
	}
	qsort(sorted, n, sizeof(struct rt_bucket *), rt_bucket_compare);
	for (size_t i = 0; i < n; i++) {
		if (i < RT_OUTSIDE_ROWS) {
			view[i] = (struct rt_outside_view){
				.module = sorted[i]->module->s,
				.net = rt_account_sizes(account, sorted[i]->net),
				.gained = rt_account_bytes(account, sorted[i]->gained),
				.released = rt_account_bytes(account, sorted[i]->released),
			};
			continue;
		}
		for (int k = 0; k < RT_KINDS; k++)
			rest.net[k] += sorted[i]->net[k];
		rest.gained += sorted[i]->gained;
		rest.released += sorted[i]->released;
	}
	free(sorted);
	out->outside = view;
	out->n_outside = n < RT_OUTSIDE_ROWS ? n : RT_OUTSIDE_ROWS;
	if (rest.gained || rest.released || rt_pages_total(rest.net))
		view[out->n_outside++] = (struct rt_outside_view){
			.module = "<others>",
			.net = rt_account_sizes(account, rest.net),
			.gained = rt_account_bytes(account, rest.gained),
			.released = rt_account_bytes(account, rest.released),
		};
}

static void rt_summary_natives(struct rt_account *account, struct rt_process *proc, struct rt_proc_summary *out)
{
	struct rt_native_sum_view *view = proc->natives.n ? rt_summary_alloc(account, proc->natives.n, sizeof(*view)) : NULL;

	if (!view)
		return;
	out->natives = view;
	for (uint32_t i = 0; i < proc->natives.n; i++) {
		const struct rt_native_row *row = &proc->natives.row[i];

		view[out->n_natives++] = (struct rt_native_sum_view){
			.symbol = row->symbol ? row->symbol->s : "<others>",
			.kind = row->kind ? row->kind->s : "",
			.library = row->library ? row->library->s : "",
			.is_free = row->is_free,
			.inner = row->inner,
			.phase = row->phase < account->config.profile->n_phases ? &account->config.profile->phases[row->phase] : NULL,
			.calls = row->calls,
			.bytes = row->bytes,
			.duration_ns = row->open_ns,
			.mapped = row->mapped,
			.unmapped = row->unmapped,
			.delta = rt_account_sizes(account, row->delta),
			.own = rt_account_bytes(account, row->own),
			.gained = rt_account_bytes(account, row->gained),
			.released = rt_account_bytes(account, row->gained - rt_pages_total(row->delta)),
		};
	}
}

static void rt_summary_oom(struct rt_account *account, const struct rt_process *proc, struct rt_proc_summary *out)
{
	struct rt_oom_view *view = proc->oom.ts_ns ? rt_summary_alloc(account, 1, sizeof(*view)) : NULL;

	if (!view)
		return;
	*view = rt_oom_view(account, proc);
	out->oom = view;
}

/* The process ran while its mappings were read, after its baseline was: by how much they differ is said, by kind. */
static void rt_summary_opening(struct rt_account *account, struct rt_process *proc, struct rt_proc_summary *out)
{
	struct rt_opening_view *view;
	struct rt_sizes rest = rt_account_sizes(account, proc->start);

	view = proc->n_held ? rt_summary_alloc(account, proc->n_held + RT_KINDS, sizeof(*view)) : NULL;
	if (!view)
		return;
	out->opening = view;
	for (uint32_t i = 0; i < proc->n_held; i++) {
		const struct rt_held *held = &proc->held[i];

		view[out->n_opening++] = (struct rt_opening_view){ held->name->s, held->kind, held->bytes };
		rest.kind[held->kind] -= held->bytes;
	}
	for (int k = 0; k < RT_KINDS; k++) {
		if (rest.kind[k])
			view[out->n_opening++] =
				(struct rt_opening_view){ "<changed while reading>", (enum rt_kind)k, rest.kind[k] };
	}
}

/* Which of the summary's phases each row of the process's table is: index + 1, 0: none. Rows of calls that never ended are the one's that they are in. */
static uint32_t *rt_summary_row_index(const struct rt_process *proc, size_t n_phases)
{
	const struct rt_rows *rows = &proc->rows;
	uint32_t *index = calloc(rows->n + 1, sizeof(*index)), n = 0;

	for (uint32_t row = index && n_phases ? rt_rows_next(rows, 0) : 0; row; row = rt_rows_next(rows, row))
		index[row] = rows->row[row].tally.calls ? ++n : index[rows->row[row].parent];
	return index;
}

static void rt_summary_stacks(struct rt_account *account, const struct rt_process *proc, struct rt_proc_summary *out)
{
	const struct rt_stacksum *sum = &proc->stacks;
	struct rt_stack_row *view = sum->n ? rt_summary_alloc(account, sum->n, sizeof(*view)) : NULL;
	uint32_t *index = view ? rt_summary_row_index(proc, out->n_phases) : NULL;

	if (!index)
		return;
	for (uint32_t i = 0; i < sum->n; i++) {
		const struct rt_sum_row *row = &sum->row[i];

		view[i] = (struct rt_stack_row){
			.frame = row->frame,
			.phase = row->phase < proc->rows.n ? index[row->phase] : 0,
			.mapping = row->mapping ? row->mapping->name->s : NULL,
			.gained = rt_account_sizes(account, row->gained),
			.released = rt_account_sizes(account, row->released),
		};
	}
	free(index);
	out->stacks = view;
	out->n_stacks = sum->n;
}

static void rt_summary_frames(struct rt_account *account)
{
	const struct rt_sum_frames *frames = &account->frames;
	struct rt_stack_frame *view = frames->n ? rt_summary_alloc(account, frames->n, sizeof(*view)) : NULL;

	if (!view)
		return;
	for (uint32_t i = 0; i < frames->n; i++) {
		const struct rt_sum_frame *frame = &frames->frame[i];

		view[i] = (struct rt_stack_frame){
			.function = frame->function ? frame->function->s : "",
			.file = frame->file ? frame->file->s : "",
			.caller = frame->parent,
			.line = frame->line,
		};
	}
	account->summary.frames = view;
	account->summary.n_frames = frames->n;
}

static void rt_summary_proc(struct rt_account *account, struct rt_process *proc, struct rt_proc_summary *out)
{
	rt_proc_view(proc, account->config.page_size, &out->proc);
	rt_summary_opening(account, proc, out);
	if (proc->muted && !proc->has_phase)
		out->n_phases = 0;
	else
		rt_summary_phases(account, proc, out);
	rt_summary_outside(account, proc, out);
	rt_summary_natives(account, proc, out);
	rt_summary_oom(account, proc, out);
	rt_summary_stacks(account, proc, out);
	out->outside_net = rt_account_bytes(account, proc->outside.net);
	out->ambiguous_net = rt_account_bytes(account, proc->ambiguous);
	out->helper_by_creator = rt_account_bytes(account, proc->by_creator);
	out->helper_by_only = rt_account_bytes(account, proc->by_only);
	for (int c = 0; c < RT_CAUSES; c++)
		out->cause_net[c] = c == RT_CAUSE_SELF ? 0 : rt_account_bytes(account, proc->cause[c]);
	out->unaccounted = proc->checked || proc->merged ? rt_account_bytes(account, proc->unaccounted) : 0;
	account->summary.unaccounted += (int64_t)rt_magnitude(out->unaccounted);
}

/* The process after this one in tree order: a process follows its parent, roots in order of birth. */
static struct rt_process *rt_proc_follower(struct rt_process *proc)
{
	if (proc->first_child)
		return proc->first_child;
	while (!proc->next && proc->parent)
		proc = proc->parent;
	if (proc->parent)
		return proc->next;
	do
		proc = proc->newer;
	while (proc && proc->parent);
	return proc;
}

static void rt_summary_procs(struct rt_account *account)
{
	struct rt_process *proc = account->procs.oldest;
	struct rt_proc_summary *out;
	size_t n = 0, i = 0;

	for (; proc; proc = proc->newer)
		n++;
	out = rt_summary_alloc(account, n + 1, sizeof(*out));
	if (!out)
		return;
	for (proc = account->procs.oldest; proc && proc->parent; proc = proc->newer)
		;
	for (; proc && i < n; proc = rt_proc_follower(proc))
		rt_summary_proc(account, proc, &out[i++]);
	account->summary.procs = out;
	account->summary.n_procs = i;
}

static void rt_summary_not_hit(struct rt_account *account)
{
	const struct rt_profile *profile = account->config.profile;
	struct rt_not_hit_view *view = rt_summary_alloc(account, profile->n_phases + 1, sizeof(*view));
	size_t n = 0;

	for (size_t i = 0; view && i < profile->n_phases; i++) {
		const struct rt_match_fate *fate = &account->stacks.matcher.fate[i];

		if (fate->hit)
			continue;
		view[n++] = (struct rt_not_hit_view){
			.phase = &profile->phases[i],
			.why = fate->why,
			.detail = fate->file ? fate->file->s : "",
		};
	}
	account->summary.not_hit = view;
	account->summary.n_not_hit = n;
}

void rt_summary_build(struct rt_account *account, uint64_t now_ns, const uint64_t *counters)
{
	struct rt_summary *summary = &account->summary;

	rt_summary_procs(account);
	rt_summary_frames(account);
	rt_summary_not_hit(account);
	summary->tree_peak = rt_account_bytes(account, account->procs.total_peak);
	summary->tree_end = rt_account_bytes(account, account->procs.total);
	if (counters)
		memcpy(summary->counters, counters, sizeof(summary->counters));
	summary->duration_ns = account->begun ? now_ns - account->first_ns : 0;
	summary->late_records = account->late_records;
	summary->lost_records = account->lost_records + summary->counters[RT_C_LOST_RUN] +
				summary->counters[RT_C_LOST_LIFE] + summary->counters[RT_C_LOST_NATIVE] + summary->counters[RT_C_NATIVE_LOST] + summary->counters[RT_C_NO_SLOT];
	summary->lost_stacks = account->lost_stacks + account->stacks.lost + account->stacks.paths.refused +
			       summary->counters[RT_C_LOST_NODE] + summary->counters[RT_C_LOST_CODE] +
			       summary->counters[RT_C_STACK_UNREADABLE] + summary->counters[RT_C_SHADOW_NOMEM];
}
