/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Writes what html.c kept. The page is: head, style and the empty body; the first block of data (processes, timelines, phases); library and script; the second block
 * (stacks). So the first picture is drawn before the stacks, which are most of the page, have been read.
 *
 * In the data sizes are pages of "page" bytes where said, else bytes; times are nanoseconds, or microseconds where said, since "t0". Indices begin at 0; of "paths",
 * "phases", "maps" and "procs" the first entry stands for none, or for all that are not told apart. docs/html.md describes it for readers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "html_in.h"
#include "page.h"
#include "pagejson.h"

#define RT_PAGE_TEXT 4096u /* bytes of a name or a command line */

struct rt_page {
	struct rt_html *html;
	const struct rt_summary *summary;
	struct rt_pagejson json;
	int64_t page_size;
	uint64_t t0;
	uint32_t *proc_to; /* of html->proc: index on the page */
	int error;
};

static int64_t rt_since(const struct rt_page *p, uint64_t ts_ns)
{
	return (int64_t)(ts_ns - p->t0);
}

/* The same with the sizes' divisor: every size is a whole number of pages. */
static int64_t rt_pages(const struct rt_page *p, int64_t bytes)
{
	return bytes / p->page_size;
}

/* The largest power of two up to 2 MiB that divides all sizes of the run: the page size, or a multiple of it. */
static int64_t rt_page_unit(const struct rt_html *html)
{
	uint64_t bits = 1ull << 21;

	for (size_t i = 1; i < html->n_procs; i++) {
		const struct rt_rssline *line = &html->proc[i].line;

		for (size_t n = 0; n < line->n; n++) {
			for (int k = 0; k < RT_KINDS; k++)
				bits |= (uint64_t)line->point[n].last.kind[k] | (uint64_t)line->point[n].max.kind[k];
			bits |= (uint64_t)line->point[n].last.pinned | (uint64_t)line->point[n].max.pinned;
			bits |= (uint64_t)line->point[n].max.top | (uint64_t)line->point[n].last.top;
		}
		for (int k = 0; k < RT_KINDS; k++)
			bits |= (uint64_t)line->first.kind[k];
		bits |= (uint64_t)line->first.top;
	}
	for (size_t i = 0; i < html->n_spans; i++)
		bits |= (uint64_t)html->span[i].rss_start | (uint64_t)html->span[i].rss_end;
	for (size_t i = 0; i < html->tree.n_cells; i++)
		bits |= (uint64_t)html->tree.cell[i].gained | (uint64_t)html->tree.cell[i].released;
	return (int64_t)(bits & -bits);
}

static void rt_page_sizes(struct rt_page *p, const char *key, const struct rt_sizes *sizes)
{
	rt_pagejson_begin(&p->json, key, '[');
	rt_pagejson_int(&p->json, NULL, sizes->kind[RT_ANON]);
	rt_pagejson_int(&p->json, NULL, sizes->kind[RT_FILE]);
	rt_pagejson_int(&p->json, NULL, sizes->kind[RT_SHMEM]);
	rt_pagejson_end(&p->json, ']');
}

/* ---- timelines ---- */

/* Every moment of a timeline in turn: the first, of each point the highest (where it is not the last), and the last. */
static void rt_page_moments(struct rt_page *p, const struct rt_rssline *line, void (*each)(struct rt_page *, const struct rt_rssmoment *, int), int arg)
{
	each(p, &line->first, arg);
	for (size_t i = 0; i < line->n; i++) {
		const struct rt_rsspoint *point = &line->point[i];

		if (point->max.ts_ns != point->last.ts_ns || point->max.top != point->last.top)
			each(p, &point->max, arg);
		each(p, &point->last, arg);
	}
}

static void rt_page_time(struct rt_page *p, const struct rt_rssmoment *moment, int arg)
{
	(void)arg;
	rt_pagejson_int(&p->json, NULL, rt_since(p, moment->ts_ns) / 1000);
}

/* What of the shared memory is drawn as pinned: never more than there is, whatever calls were seen. */
static int64_t rt_pinned(const struct rt_rssmoment *moment)
{
	int64_t shmem = moment->kind[RT_SHMEM], pinned = moment->pinned < shmem ? moment->pinned : shmem;

	return pinned > 0 ? pinned : 0;
}

static bool rt_line_has_pinned(const struct rt_rssline *line)
{
	bool any = rt_pinned(&line->first) > 0;

	for (size_t i = 0; i < line->n && !any; i++)
		any = rt_pinned(&line->point[i].last) || rt_pinned(&line->point[i].max);
	return any;
}

enum { RT_COLUMN_TOP = RT_KINDS, RT_COLUMN_PINNED }; /* beside the kinds */

static void rt_page_moment_size(struct rt_page *p, const struct rt_rssmoment *moment, int column)
{
	rt_pagejson_int(&p->json, NULL, rt_pages(p, column == RT_COLUMN_TOP ? moment->top : column == RT_COLUMN_PINNED ? rt_pinned(moment) : moment->kind[column]));
}

/* Times in microseconds, sizes in pages. "pinned" is a part of "shmem", and is there only where something is. */
static void rt_page_line(struct rt_page *p, const struct rt_html_proc *proc)
{
	static const struct {
		const char *key;
		int column;
	} columns[] = {{"anon", RT_ANON}, {"file", RT_FILE}, {"shmem", RT_SHMEM}, {"top", RT_COLUMN_TOP}, {"pinned", RT_COLUMN_PINNED}};

	rt_pagejson_begin(&p->json, "rss", '{');
	rt_pagejson_begin(&p->json, "t", '[');
	if (proc->line.n)
		rt_page_moments(p, &proc->line, rt_page_time, 0);
	rt_pagejson_end(&p->json, ']');
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		if (columns[i].column == RT_COLUMN_PINNED && !rt_line_has_pinned(&proc->line))
			continue;
		rt_pagejson_begin(&p->json, columns[i].key, '[');
		if (proc->line.n)
			rt_page_moments(p, &proc->line, rt_page_moment_size, columns[i].column);
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_int(&p->json, "slot_us", proc->line.n ? (int64_t)(proc->line.width_ns / 1000) : 0);
	rt_pagejson_end(&p->json, '}');
}

/* ---- processes ---- */

static void rt_page_phase(struct rt_page *p, const struct rt_phase_view *row)
{
	struct rt_pagejson *json = &p->json;

	rt_pagejson_begin(json, NULL, '{');
	rt_pagejson_int(json, "path", rt_html_path(p->html, row->path, row->path_len));
	rt_pagejson_int(json, "calls", row->call);
	rt_pagejson_bool(json, "open", row->open);
	rt_pagejson_int(json, "start", rt_since(p, row->start_ns));
	rt_pagejson_int(json, "end", rt_since(p, row->end_ns));
	rt_pagejson_int(json, "time", (int64_t)row->duration_ns);
	rt_pagejson_int(json, "delta", row->delta.total);
	rt_page_sizes(p, "kinds", &row->delta);
	rt_pagejson_int(json, "own", row->own);
	rt_pagejson_int(json, "gained", row->gained);
	rt_pagejson_int(json, "released", row->released);
	rt_pagejson_int(json, "reused", row->reused);
	rt_pagejson_int(json, "helper", row->helper);
	rt_pagejson_int(json, "peak", row->peak);
	rt_pagejson_int(json, "minor", (int64_t)row->minor_faults);
	rt_pagejson_int(json, "major", (int64_t)row->major_faults);
	rt_pagejson_int(json, "tree", row->tree_delta);
	rt_pagejson_begin(json, "maps", '[');
	for (size_t i = 0; i < row->n_mappings; i++) {
		rt_pagejson_begin(json, NULL, '[');
		rt_pagejson_text(json, NULL, row->mappings[i].name, RT_PAGE_TEXT);
		rt_pagejson_int(json, NULL, row->mappings[i].kind);
		rt_pagejson_int(json, NULL, row->mappings[i].net.total);
		rt_pagejson_end(json, ']');
	}
	rt_pagejson_end(json, ']');
	rt_pagejson_end(json, '}');
}

static void rt_page_opening(struct rt_page *p, const struct rt_proc_summary *proc)
{
	rt_pagejson_begin(&p->json, "opening", '[');
	for (size_t i = 0; i < proc->n_opening; i++) {
		rt_pagejson_begin(&p->json, NULL, '[');
		rt_pagejson_text(&p->json, NULL, proc->opening[i].name, RT_PAGE_TEXT);
		rt_pagejson_int(&p->json, NULL, proc->opening[i].kind);
		rt_pagejson_int(&p->json, NULL, proc->opening[i].bytes);
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_end(&p->json, ']');
}

static void rt_page_outside(struct rt_page *p, const struct rt_proc_summary *proc)
{
	rt_pagejson_begin(&p->json, "outside", '[');
	for (size_t i = 0; i < proc->n_outside; i++) {
		const struct rt_outside_view *row = &proc->outside[i];

		rt_pagejson_begin(&p->json, NULL, '{');
		rt_pagejson_text(&p->json, "module", row->module, RT_PAGE_TEXT);
		rt_pagejson_int(&p->json, "net", row->net.total);
		rt_page_sizes(p, "kinds", &row->net);
		rt_pagejson_int(&p->json, "gained", row->gained);
		rt_pagejson_int(&p->json, "released", row->released);
		rt_pagejson_end(&p->json, '}');
	}
	rt_pagejson_end(&p->json, ']');
}

static void rt_page_ending(struct rt_page *p, const struct rt_proc_view *view)
{
	int status = (int)view->wait_status;

	rt_pagejson_bool(&p->json, "ended", view->ended);
	if (view->ended && WIFSIGNALED(status))
		rt_pagejson_int(&p->json, "signal", WTERMSIG(status));
	else if (view->ended)
		rt_pagejson_int(&p->json, "exit", WEXITSTATUS(status));
}

static void rt_page_proc(struct rt_page *p, const struct rt_proc_summary *proc)
{
	const struct rt_proc_view *view = &proc->proc;
	uint32_t at = rt_html_find(p->html, view->pid, view->start_ns);
	struct rt_pagejson *json = &p->json;

	rt_pagejson_begin(json, NULL, '{');
	rt_pagejson_int(json, "pid", view->pid);
	rt_pagejson_int(json, "ppid", view->ppid);
	rt_pagejson_int(json, "depth", view->depth);
	rt_pagejson_text(json, "name", view->name ? view->name : "", RT_PAGE_TEXT);
	rt_pagejson_text(json, "exe", view->exe, RT_PAGE_TEXT);
	rt_pagejson_text(json, "cmdline", view->cmdline, RT_PAGE_TEXT);
	rt_pagejson_text(json, "python", view->python, RT_PAGE_TEXT);
	rt_pagejson_bool(json, "muted", view->muted);
	rt_page_ending(p, view);
	rt_pagejson_int(json, "start", rt_since(p, view->start_ns));
	rt_pagejson_int(json, "end", rt_since(p, view->end_ns));
	rt_page_sizes(p, "rss_start", &view->start);
	rt_page_sizes(p, "rss_end", &view->now);
	rt_pagejson_int(json, "peak", view->peak);
	rt_pagejson_int(json, "outside_net", proc->outside_net);
	rt_pagejson_int(json, "ambiguous", proc->ambiguous_net);
	rt_pagejson_int(json, "unaccounted", proc->unaccounted);
	rt_pagejson_begin(json, "causes", '[');
	for (int c = 1; c < RT_CAUSES; c++)
		rt_pagejson_int(json, NULL, proc->cause_net[c]);
	rt_pagejson_end(json, ']');
	rt_page_opening(p, proc);
	rt_page_outside(p, proc);
	rt_pagejson_begin(json, "phases", '[');
	for (size_t i = 0; i < proc->n_phases; i++)
		rt_page_phase(p, &proc->phases[i]);
	rt_pagejson_end(json, ']');
	rt_page_line(p, at ? &p->html->proc[at] : &(struct rt_html_proc){0});
	rt_pagejson_int(json, "calls_left_out", at ? (int64_t)p->html->proc[at].spans_left_out : 0);
	rt_pagejson_end(json, '}');
}

/* ---- calls of phases ---- */

static int64_t rt_span_column(const struct rt_page *p, const struct rt_html_span *span, int column)
{
	switch (column) {
	case 0: return p->proc_to[span->proc];
	case 1: return span->path;
	case 2: return span->tid;
	case 3: return span->call;
	case 4: return rt_since(p, span->start_ns);
	case 5: return (int64_t)(span->end_ns - span->start_ns);
	case 6: return rt_pages(p, span->rss_start);
	case 7: return rt_pages(p, span->rss_end);
	default: return span->exact | span->open << 1;
	}
}

static void rt_page_spans(struct rt_page *p)
{
	static const char *const columns[] = {"proc", "path", "tid", "call", "start", "time", "rss_start", "rss_end", "flags"};

	rt_pagejson_begin(&p->json, "calls", '{');
	for (int c = 0; c < (int)(sizeof(columns) / sizeof(columns[0])); c++) {
		rt_pagejson_begin(&p->json, columns[c], '[');
		for (size_t i = 0; i < p->html->n_spans; i++)
			rt_pagejson_int(&p->json, NULL, rt_span_column(p, &p->html->span[i], c));
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_int(&p->json, "below_ns", (int64_t)p->html->spans_below);
	rt_pagejson_end(&p->json, '}');
}

/* ---- the first block ---- */

static void rt_page_head(struct rt_page *p, const struct rt_self_cost *cost)
{
	const struct rt_html_start *start = &p->html->start;
	struct rt_pagejson *json = &p->json;

	rt_pagejson_int(json, "format", 1);
	rt_pagejson_text(json, "lang", p->html->lang == RT_LANG_ZH ? "zh" : "en", 0);
	rt_pagejson_text(json, "version", start->version ? start->version : "", 0);
	rt_pagejson_text(json, "kernel", start->kernel ? start->kernel : "", RT_PAGE_TEXT);
	rt_pagejson_text(json, "profile", start->profile ? start->profile : "", RT_PAGE_TEXT);
	rt_pagejson_text(json, "mm_source", start->mm_source ? start->mm_source : "", 0);
	rt_pagejson_text(json, "mm_hook", start->mm_hook ? start->mm_hook : "", 0);
	rt_pagejson_text(json, "python_entry", start->python_entry ? start->python_entry : "", 0);
	rt_pagejson_bool(json, "mm_exact", start->mm_exact);
	/* JavaScript cannot count wall-clock nanoseconds */
	rt_pagejson_int(json, "wall_ms", (int64_t)(start->wall_ns + p->t0 - start->ts_ns) / 1000000);
	rt_pagejson_int(json, "t0_us", (int64_t)(p->t0 / 1000));
	rt_pagejson_int(json, "page", p->page_size);
	rt_pagejson_int(json, "duration", (int64_t)p->summary->duration_ns);
	rt_pagejson_int(json, "unaccounted", p->summary->unaccounted);
	rt_pagejson_int(json, "lost_records", (int64_t)p->summary->lost_records);
	rt_pagejson_int(json, "lost_stacks", (int64_t)p->summary->lost_stacks);
	rt_pagejson_int(json, "late_records", (int64_t)p->summary->late_records);
	rt_pagejson_int(json, "bpf_ns", cost ? (int64_t)cost->bpf_ns : 0);
	rt_pagejson_int(json, "cpu_ns", cost ? (int64_t)(cost->user_ns + cost->sys_ns) : 0);
}

static void rt_page_phases(struct rt_page *p)
{
	const struct rt_html *html = p->html;

	rt_pagejson_begin(&p->json, "phases", '[');
	for (size_t i = 0; i < html->n_phases; i++) {
		const struct rt_phase *phase = html->phase[i];

		rt_pagejson_begin(&p->json, NULL, '[');
		rt_pagejson_text(&p->json, NULL, phase ? phase->id : "", RT_PAGE_TEXT);
		rt_pagejson_text(&p->json, NULL, phase ? phase->label.text[RT_LANG_ZH] : "", RT_PAGE_TEXT);
		rt_pagejson_text(&p->json, NULL, phase ? phase->label.text[RT_LANG_EN] : "", RT_PAGE_TEXT);
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_end(&p->json, ']');
	rt_pagejson_begin(&p->json, "paths", '[');
	for (size_t i = 0; i < html->n_paths; i++) {
		rt_pagejson_begin(&p->json, NULL, '[');
		rt_pagejson_int(&p->json, NULL, html->path[i].parent);
		rt_pagejson_int(&p->json, NULL, html->path[i].phase);
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_end(&p->json, ']');
	rt_pagejson_begin(&p->json, "not_hit", '[');
	for (size_t i = 0; i < p->summary->n_not_hit; i++) {
		const struct rt_not_hit_view *view = &p->summary->not_hit[i];

		rt_pagejson_begin(&p->json, NULL, '[');
		rt_pagejson_text(&p->json, NULL, view->phase->id, RT_PAGE_TEXT);
		rt_pagejson_text(&p->json, NULL, view->phase->label.text[RT_LANG_ZH], RT_PAGE_TEXT);
		rt_pagejson_text(&p->json, NULL, view->phase->label.text[RT_LANG_EN], RT_PAGE_TEXT);
		rt_pagejson_text(&p->json, NULL, rt_report_reason(view->why, RT_LANG_ZH), 0);
		rt_pagejson_text(&p->json, NULL, rt_report_reason(view->why, RT_LANG_EN), 0);
		rt_pagejson_text(&p->json, NULL, view->detail, RT_PAGE_TEXT);
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_end(&p->json, ']');
}

static void rt_page_first(struct rt_page *p, const struct rt_self_cost *cost)
{
	rt_pagejson_begin(&p->json, NULL, '{');
	rt_page_head(p, cost);
	rt_pagejson_begin(&p->json, "procs", '[');
	rt_pagejson_int(&p->json, NULL, 0); /* none */
	for (size_t i = 0; i < p->summary->n_procs; i++)
		rt_page_proc(p, &p->summary->procs[i]);
	rt_pagejson_end(&p->json, ']');
	rt_page_spans(p);
	p->error = rt_html_natives(p->html, p->summary, &p->json);
	rt_page_phases(p); /* after all that may name a phase */
	rt_pagejson_end(&p->json, '}');
}

/* ---- the second block ---- */

static int64_t rt_cell_column(const struct rt_page *p, const struct rt_growth_cell *cell, uint32_t before, int column)
{
	switch (column) {
	case 0: return cell->key.node - before;
	case 1: return p->proc_to[cell->key.proc];
	case 2: return cell->key.path;
	case 3: return cell->key.map;
	case 4: return cell->key.slice;
	case 5: return cell->key.kind;
	case 6: return rt_pages(p, cell->gained);
	default: return rt_pages(p, cell->released);
	}
}

static void rt_page_cells(struct rt_page *p)
{
	static const char *const columns[] = {"node", "proc", "path", "map", "slice", "kind", "gained", "released"};
	const struct rt_growthtree *tree = &p->html->tree;

	rt_pagejson_begin(&p->json, "cells", '{');
	for (int c = 0; c < (int)(sizeof(columns) / sizeof(columns[0])); c++) {
		uint32_t before = 0;

		rt_pagejson_begin(&p->json, columns[c], '[');
		for (size_t i = 0; i < tree->n_cells; i++) {
			rt_pagejson_int(&p->json, NULL, rt_cell_column(p, &tree->cell[i], before, c));
			before = tree->cell[i].key.node;
		}
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_end(&p->json, '}');
}

/* Columns of the trie: a node's caller, as how many nodes before it, and its frame, -1 for folded ones; of the first few, which are no frames, 0. */
static void rt_page_nodes(struct rt_page *p)
{
	const struct rt_growthtree *tree = &p->html->tree;

	rt_pagejson_begin(&p->json, "up", '[');
	for (size_t i = 0; i < tree->n_nodes; i++)
		rt_pagejson_int(&p->json, NULL, (int64_t)(i - tree->node[i].parent));
	rt_pagejson_end(&p->json, ']');
	rt_pagejson_begin(&p->json, "frame", '[');
	for (size_t i = 0; i < tree->n_nodes; i++)
		rt_pagejson_int(&p->json, NULL, i < RT_GROWTH_ROOTS ? 0 : tree->node[i].frame == RT_FRAME_FOLDED ? -1 : (int64_t)tree->node[i].frame);
	rt_pagejson_end(&p->json, ']');
}

static void rt_page_frames(struct rt_page *p)
{
	const struct rt_growthtree *tree = &p->html->tree;
	static const char *const columns[] = {"function", "file", "line"};

	rt_pagejson_begin(&p->json, "texts", '[');
	for (size_t i = 0; i < tree->texts.n; i++)
		rt_pagejson_text(&p->json, NULL, tree->texts.text[i], 0);
	rt_pagejson_end(&p->json, ']');
	for (int c = 0; c < 3; c++) {
		rt_pagejson_begin(&p->json, columns[c], '[');
		for (size_t i = 0; i < tree->n_frames; i++) {
			const struct rt_growth_frame *frame = &tree->frame[i];

			rt_pagejson_int(&p->json, NULL, c == 0 ? (int64_t)frame->function : c == 1 ? (int64_t)frame->file : frame->line);
		}
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_begin(&p->json, "maps", '[');
	for (size_t i = 0; i < p->html->maps.n; i++) {
		rt_pagejson_begin(&p->json, NULL, '[');
		rt_pagejson_text(&p->json, NULL, p->html->maps.text[i] + 1, 0);
		rt_pagejson_int(&p->json, NULL, p->html->maps.text[i][0] - 'a');
		rt_pagejson_end(&p->json, ']');
	}
	rt_pagejson_end(&p->json, ']');
}

static void rt_page_second(struct rt_page *p)
{
	const struct rt_growthtree *tree = &p->html->tree;

	rt_pagejson_begin(&p->json, NULL, '{');
	rt_pagejson_int(&p->json, "first_us", tree->n_cells ? rt_since(p, tree->first_ns) / 1000 : 0);
	rt_pagejson_int(&p->json, "slice_us", (int64_t)(tree->slice_ns / 1000));
	rt_pagejson_int(&p->json, "roots", RT_GROWTH_ROOTS);
	rt_pagejson_int(&p->json, "folded_below", tree->folded_below);
	rt_pagejson_int(&p->json, "folded", (int64_t)tree->folded_nodes);
	rt_pagejson_int(&p->json, "no_room_gained", tree->no_room_gained);
	rt_pagejson_int(&p->json, "no_room_released", tree->no_room_released);
	rt_pagejson_bool(&p->json, "failed", tree->failed);
	rt_page_frames(p);
	rt_page_nodes(p);
	rt_page_cells(p);
	rt_pagejson_end(&p->json, '}');
}

/* ---- the page ---- */

/* The last moment of each process as the summary has it, the first time of all, and who is who. */
static void rt_page_settle(struct rt_page *p)
{
	struct rt_html *html = p->html;

	p->t0 = UINT64_MAX;
	for (size_t i = 0; i < p->summary->n_procs; i++) {
		const struct rt_proc_view *view = &p->summary->procs[i].proc;
		uint32_t at = rt_html_find(html, view->pid, view->start_ns);

		if (!at)
			continue;
		p->proc_to[at] = (uint32_t)i + 1;
		rt_html_moment(html, &html->proc[at], view, view->end_ns);
		if (html->proc[at].line.n && html->proc[at].line.first.ts_ns < p->t0)
			p->t0 = html->proc[at].line.first.ts_ns;
	}
	if (p->t0 == UINT64_MAX)
		p->t0 = html->start.ts_ns;
}

int rt_html_write(struct rt_html *html, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_page p = {.html = html, .summary = summary, .json = {.out = html->out}};

	p.proc_to = calloc(html->n_procs, sizeof(*p.proc_to));
	if (!p.proc_to)
		return -ENOMEM;
	rt_page_settle(&p);
	rt_growthtree_finish(&html->tree, RT_HTML_STACKS, RT_HTML_CELLS);
	p.page_size = rt_page_unit(html);
	errno = 0;
	fwrite(rt_page_top, 1, sizeof(rt_page_top), html->out);
	rt_page_first(&p, cost);
	fwrite(rt_page_middle, 1, sizeof(rt_page_middle), html->out);
	p.json.more[0] = false;
	rt_page_second(&p);
	fwrite(rt_page_bottom, 1, sizeof(rt_page_bottom), html->out);
	free(p.proc_to);
	if (fflush(html->out) || ferror(html->out))
		return errno ? -errno : -EIO;
	return p.error;
}
