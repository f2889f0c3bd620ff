/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_span.h"

#include <stdlib.h>
#include <string.h>

static const struct rt_phase *rt_span_phase(const struct rt_account *account, const struct rt_span *span)
{
	return &account->config.profile->phases[span->phase];
}

static void rt_span_checkpoint(struct rt_account *account, const struct rt_span *span, enum rt_edge edge,
			       const struct rt_moment *moment)
{
	struct rt_process *proc = span->thread->proc;
	int64_t total = rt_pages_total(moment->pages);
	struct rt_checkpoint_view view = {
		.ts_ns = moment->ts_ns,
		.tid = span->thread->tid,
		.phase = rt_span_phase(account, span),
		.edge = edge,
		.delta = rt_account_bytes(account, total - proc->checkpoint),
		.total = rt_account_bytes(account, total - rt_pages_total(proc->start)),
		.rss = rt_account_sizes(account, moment->pages),
	};
	struct rt_proc_view proc_view;

	if (edge == RT_EXIT) {
		view.reused = rt_account_bytes(account, span->tally.reused);
		view.tree_delta = rt_account_bytes(account, span->tally.tree_delta);
	}
	proc->checkpoint = total;
	rt_proc_view(proc, account->config.page_size, &proc_view);
	rt_account_tell(account, on_checkpoint, &proc_view, &view);
}

void rt_span_view(const struct rt_account *account, const struct rt_tally *tally, struct rt_phase_view *view)
{
	*view = (struct rt_phase_view){
		.start_ns = tally->start_ns,
		.end_ns = tally->end_ns,
		.start_ns_min = tally->start_min,
		.end_ns_max = tally->end_max,
		.duration_ns = tally->duration_ns,
		.exact = tally->exact,
		.rss_start = rt_account_bytes(account, tally->rss_start),
		.rss_end = rt_account_bytes(account, tally->rss_end),
		.delta = rt_account_sizes(account, tally->delta),
		.own = rt_account_bytes(account, tally->own),
		.gained = rt_account_bytes(account, tally->gained),
		.released = rt_account_bytes(account, tally->released),
		.reused = rt_account_bytes(account, tally->reused),
		.helper = rt_account_bytes(account, tally->helper),
		.peak = rt_account_bytes(account, tally->peak),
		.tree_delta = rt_account_bytes(account, tally->tree_delta),
		.minor_faults = tally->minor_faults,
		.major_faults = tally->major_faults,
		.open = tally->open,
	};
}

static void rt_span_free(struct rt_span *span)
{
	rt_split_free(&span->split);
	free(span);
}

static void rt_span_tell(struct rt_account *account, const struct rt_span *span)
{
	const struct rt_phase *path[RT_PATH_DEPTH];
	uint32_t ids[RT_PATH_DEPTH];
	struct rt_mapping_view mappings[RT_MAPPING_ROWS + 1];
	struct rt_proc_view proc_view;
	struct rt_phase_view view;
	size_t n = rt_path_elements(&account->stacks.paths, span->path, ids);

	for (size_t i = 0; i < n; i++)
		path[i] = &account->config.profile->phases[account->stacks.paths.path[ids[i]].phase];
	rt_span_view(account, &span->tally, &view);
	view.phase = rt_span_phase(account, span);
	view.path = path;
	view.path_len = n;
	view.tid = span->thread->tid;
	view.call = span->call;
	if (account->config.want_mappings) {
		view.mappings = mappings;
		view.n_mappings = rt_split_view(&span->split, account->config.page_size, mappings);
	}
	rt_proc_view(span->thread->proc, account->config.page_size, &proc_view);
	rt_account_tell(account, on_phase, &proc_view, &view);
}

/* Takes a thread's innermost span off; it belongs to the caller then. */
static struct rt_span *rt_span_pop(struct rt_thread *thread)
{
	struct rt_process *proc = thread->proc;
	struct rt_span *span = thread->span[--thread->n_spans];

	*(span->prev ? &span->prev->next : &proc->spans) = span->next;
	if (span->next)
		span->next->prev = span->prev;
	proc->n_spans--;
	if (!thread->n_spans) {
		*(thread->prev_phase ? &thread->prev_phase->next_phase : &proc->phase_threads) = thread->next_phase;
		if (thread->next_phase)
			thread->next_phase->prev_phase = thread->prev_phase;
		thread->prev_phase = thread->next_phase = NULL;
	}
	return span;
}

static void rt_span_finish(const struct rt_span *span, struct rt_tally *tally, const struct rt_moment *moment)
{
	const struct rt_thread *thread = span->thread;
	uint64_t seen = thread->seen_ns > moment->seen_ns ? thread->seen_ns : moment->seen_ns;
	uint64_t ts = moment->ts_ns > tally->start_ns ? moment->ts_ns : tally->start_ns;

	if (moment->exact_end || moment->still_open || seen > ts)
		seen = ts;
	if (seen < tally->start_ns)
		seen = tally->start_ns;
	tally->calls = 1;
	tally->tid = thread->tid;
	tally->end_ns = seen;
	tally->end_max = ts;
	tally->duration_ns = tally->end_ns - tally->start_ns;
	tally->exact = span->start_exact && moment->exact_end;
	tally->open = moment->still_open;
	tally->rss_start = rt_pages_total(span->start);
	tally->rss_end = rt_pages_total(moment->pages);
	if (tally->rss_end > tally->peak)
		tally->peak = tally->rss_end;
	for (int k = 0; k < RT_KINDS; k++)
		tally->delta[k] = moment->pages[k] - span->start[k];
	tally->tree_delta = thread->proc->tree - span->tree_start;
}

static void rt_span_close(struct rt_account *account, struct rt_thread *thread, const struct rt_moment *moment)
{
	struct rt_process *proc = thread->proc;
	struct rt_span *span = thread->span[thread->n_spans - 1];

	rt_span_finish(span, &span->tally, moment);
	if (!moment->still_open)
		rt_span_checkpoint(account, span, RT_EXIT, moment);
	rt_span_tell(account, span);
	if (span->row) {
		rt_tally_add(&proc->rows.row[span->row].tally, &span->tally);
		rt_split_add(&proc->rows.row[span->row].split, &span->split);
	}
	if (thread->n_spans > 1)
		rt_split_add(&thread->span[thread->n_spans - 2]->split, &span->split);
	rt_span_free(rt_span_pop(thread));
}

static bool rt_thread_has_room(struct rt_thread *thread)
{
	uint32_t cap = thread->cap_spans ? thread->cap_spans * 2 : 8;
	struct rt_span **span;

	if (thread->n_spans < thread->cap_spans)
		return true;
	span = realloc(thread->span, cap * sizeof(*span));
	if (!span)
		return false;
	thread->span = span;
	thread->cap_spans = cap;
	return true;
}

static struct rt_span *rt_span_new(struct rt_account *account, struct rt_thread *thread)
{
	struct rt_process *proc = thread->proc;
	struct rt_span *span;

	if (!proc->calls)
		proc->calls = calloc(account->config.profile->n_phases, sizeof(*proc->calls));
	if (!proc->calls || proc->n_spans >= RT_SPANS_MAX || !rt_thread_has_room(thread))
		return NULL;
	span = calloc(1, sizeof(*span));
	if (!span)
		return NULL;
	span->thread = thread;
	span->next = proc->spans;
	if (proc->spans)
		proc->spans->prev = span;
	proc->spans = span;
	proc->n_spans++;
	if (!thread->n_spans) {
		thread->next_phase = proc->phase_threads;
		if (proc->phase_threads)
			proc->phase_threads->prev_phase = thread;
		proc->phase_threads = thread;
	}
	thread->span[thread->n_spans++] = span;
	return span;
}

static bool rt_span_open(struct rt_account *account, struct rt_thread *thread, uint32_t path, bool exact,
			 const struct rt_moment *moment)
{
	struct rt_process *proc = thread->proc;
	uint32_t outer = thread->n_spans ? thread->span[thread->n_spans - 1]->row : 0;
	bool outer_kept = outer || !thread->n_spans;
	struct rt_span *span = rt_span_new(account, thread);

	if (!span)
		return false;
	span->path = path;
	span->phase = account->stacks.paths.path[path].phase;
	span->call = ++proc->calls[span->phase];
	span->row = outer_kept ? rt_rows_child(&proc->rows, outer, span->phase) : 0;
	if (!span->row)
		account->lost_stacks++;
	memcpy(span->start, moment->pages, sizeof(span->start));
	span->tree_start = proc->tree;
	span->start_exact = span->fresh = exact;
	span->tally.start_ns = moment->ts_ns;
	span->tally.start_min = exact || moment->seen_ns > moment->ts_ns ? moment->ts_ns : moment->seen_ns;
	span->tally.peak = rt_pages_total(moment->pages);
	proc->has_phase = true;
	account->stacks.matcher.fate[span->phase].hit = true;
	rt_span_checkpoint(account, span, RT_ENTER, moment);
	return true;
}

/* Is it the span of this path? The interpreter moves the caller's instruction on only after it has made the callee's frame (CPython 3.11 to 3.13, Python/ceval.c), so a call
 * whose begin was told has another call site then than at all later looks: at the first of them it takes that. */
static bool rt_span_same(struct rt_account *account, struct rt_span *span, uint32_t want)
{
	const struct rt_path *was = &account->stacks.paths.path[span->path], *is = &account->stacks.paths.path[want];

	if (span->path != want && !(span->fresh && was->phase == is->phase))
		return false;
	span->path = want;
	span->fresh = false;
	return true;
}

static bool rt_match_whole(const struct rt_match *match, uint16_t phase)
{
	for (size_t i = 0; i < match->n_whole; i++) {
		if (match->whole[i] == phase)
			return true;
	}
	return false;
}

void rt_spans_follow(struct rt_account *account, struct rt_thread *thread, const uint32_t *want, size_t n, size_t keep,
		     const struct rt_moment *moment)
{
	size_t common = 0;

	while (common < thread->n_spans && common < n && common < keep &&
	       rt_span_same(account, thread->span[common], want[common]))
		common++;
	if (thread->n_spans > common || n > common)
		rt_spans_peak(thread->proc, rt_pages_total(moment->pages));
	while (thread->n_spans > common) {
		struct rt_moment end = *moment;

		/* All that is wanted stays: the outermost of what closes belongs to the call that ended, and what lies inside it ended before. */
		if (moment->left && common == n && thread->n_spans - 1 - common < moment->left->n_whole &&
		    rt_match_whole(moment->left, thread->span[thread->n_spans - 1]->phase))
			end.exact_end = true;
		rt_span_close(account, thread, &end);
	}
	for (size_t i = common; i < n; i++) {
		if (!rt_span_open(account, thread, want[i], i >= keep, moment)) {
			account->lost_stacks++;
			break;
		}
	}
}

void rt_spans_close_thread(struct rt_account *account, struct rt_thread *thread, const struct rt_moment *moment)
{
	while (thread->n_spans)
		rt_span_close(account, thread, moment);
}

void rt_spans_close_process(struct rt_account *account, struct rt_process *proc, const struct rt_moment *moment)
{
	while (proc->phase_threads)
		rt_spans_close_thread(account, proc->phase_threads, moment);
}

void rt_spans_inexact(const struct rt_account *account, struct rt_process *proc, const char *phase, size_t len)
{
	for (struct rt_span *span = proc->spans; span; span = span->next) {
		const char *id = rt_span_phase(account, span)->id;

		if (!len || (strlen(id) == len && !memcmp(id, phase, len)))
			span->start_exact = false;
	}
}

void rt_spans_drop(struct rt_process *proc)
{
	while (proc->phase_threads)
		rt_span_free(rt_span_pop(proc->phase_threads));
}

void rt_spans_peak(struct rt_process *proc, int64_t total)
{
	if (total > proc->peak)
		proc->peak = total;
	for (struct rt_span *span = proc->spans; span; span = span->next) {
		if (total > span->tally.peak)
			span->tally.peak = total;
	}
}

void rt_spans_charge(struct rt_thread *thread, size_t depth, const struct rt_charge *charge, bool helper)
{
	int64_t net = rt_pages_total(charge->delta);

	thread->span[depth - 1]->tally.own += net;
	if (charge->mapping)
		rt_split_charge(&thread->span[depth - 1]->split, charge->mapping, charge->delta);
	for (size_t i = 0; i < depth; i++) {
		struct rt_tally *tally = &thread->span[i]->tally;

		tally->gained += charge->gained;
		tally->released += charge->released;
		tally->reused += charge->reused;
		tally->helper += helper ? net : 0;
		tally->minor_faults += charge->minor_faults;
		tally->major_faults += charge->major_faults;
	}
}
