/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "html.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "html_in.h"

#define RT_MAP_NAME_BYTES 1024u

static void rt_html_fail(struct rt_html *html)
{
	if (!html->error)
		html->error = -ENOMEM;
}

/* Room for one element more. */
static bool rt_html_room(struct rt_html *html, void *array, size_t n, size_t *cap, size_t size)
{
	void **at = array, *more;
	size_t want = *cap ? *cap * 2 : 64;

	if (n < *cap)
		return true;
	more = realloc(*at, want * size);
	if (!more) {
		rt_html_fail(html);
		return false;
	}
	*at = more;
	*cap = want;
	return true;
}

/* ---- processes ---- */

static size_t rt_html_proc_at(const struct rt_html *html, uint32_t pid, uint64_t start_ns)
{
	uint64_t key[2] = {pid, start_ns};
	size_t at = rt_hash(0, key, sizeof(key)) & (html->proc_slots - 1);

	while (html->proc_slot[at]) {
		const struct rt_html_proc *proc = &html->proc[html->proc_slot[at] - 1];

		if (proc->pid == pid && proc->start_ns == start_ns)
			break;
		at = (at + 1) & (html->proc_slots - 1);
	}
	return at;
}

uint32_t rt_html_find(const struct rt_html *html, uint32_t pid, uint64_t start_ns)
{
	uint32_t found = html->proc_slot[rt_html_proc_at(html, pid, start_ns)];

	return found ? found - 1 : 0;
}

/* Its number, made if it is new. */
static uint32_t rt_html_proc(struct rt_html *html, const struct rt_proc_view *view)
{
	const struct rt_html_proc *last = &html->proc[html->last_proc];
	size_t at;

	if (html->last_proc && last->pid == view->pid && last->start_ns == view->start_ns)
		return html->last_proc;
	at = rt_html_proc_at(html, view->pid, view->start_ns);
	if (!html->proc_slot[at]) {
		if (html->n_procs >= RT_HTML_PROCS || !rt_html_room(html, &html->proc, html->n_procs, &html->cap_procs, sizeof(*html->proc)))
			return 0;
		html->proc[html->n_procs++] = (struct rt_html_proc){.pid = view->pid, .start_ns = view->start_ns, .peak = view->start.total};
		html->proc_slot[at] = (uint32_t)html->n_procs;
	}
	html->last_proc = html->proc_slot[at] - 1;
	return html->last_proc;
}

void rt_html_moment(struct rt_html *html, struct rt_html_proc *proc, const struct rt_proc_view *view, uint64_t ts_ns)
{
	struct rt_rssmoment moment = {.ts_ns = ts_ns, .pinned = proc->pinned, .top = view->now.total};
	int added;

	memcpy(moment.kind, view->now.kind, sizeof(moment.kind));
	if (view->peak > proc->peak && view->peak > moment.top) /* it was higher since the last moment */
		moment.top = view->peak;
	if (view->peak > proc->peak)
		proc->peak = view->peak;
	added = rt_rssline_add(&proc->line, &moment, html->max_points);
	if (added == -ENOMEM)
		return;
	html->points = (size_t)((int64_t)html->points + added);
	while (html->points > RT_HTML_POINTS && html->max_points > 16) {
		html->max_points /= 2;
		html->points = 0;
		for (size_t i = 1; i < html->n_procs; i++) {
			rt_rssline_trim(&html->proc[i].line, html->max_points);
			html->points += html->proc[i].line.n;
		}
	}
}

static void rt_html_on_rss(void *ctx, const struct rt_proc_view *view, uint64_t ts_ns)
{
	struct rt_html *html = ctx;
	uint32_t proc = rt_html_proc(html, view);

	if (proc)
		rt_html_moment(html, &html->proc[proc], view, ts_ns);
}

static void rt_html_on_process(void *ctx, const struct rt_proc_view *view, enum rt_proc_event event, uint64_t ts_ns)
{
	struct rt_html *html = ctx;
	uint32_t proc = rt_html_proc(html, view);

	if (proc && event == RT_EV_EXEC) { /* what the old image had pinned went with it */
		html->proc[proc].pinned = 0;
		html->proc[proc].image_ns = ts_ns;
	}
	rt_html_on_rss(ctx, view, ts_ns);
}

/* ---- pinned memory ---- */

/* A call inside of another one is part of that: CUDA's runtime calls the driver. */
static void rt_html_on_native(void *ctx, const struct rt_proc_view *view, const struct rt_native_view *native)
{
	struct rt_html *html = ctx;
	int64_t change = native->delta.kind[RT_SHMEM];
	struct rt_html_proc *proc;

	if (!change || native->inner || strcmp(native->kind, "pinned"))
		return;
	proc = &html->proc[rt_html_proc(html, view)];
	if (proc == html->proc || native->begin_ns < proc->image_ns || __builtin_add_overflow(proc->pinned, change, &proc->pinned))
		return;
	rt_html_moment(html, proc, view, native->ts_ns);
}

/* ---- phases ---- */

uint32_t rt_html_phase(struct rt_html *html, const struct rt_phase *phase)
{
	for (size_t i = 1; i < html->n_phases; i++) {
		if (html->phase[i] == phase)
			return (uint32_t)i;
	}
	if (!rt_html_room(html, &html->phase, html->n_phases, &html->cap_phases, sizeof(const struct rt_phase *)))
		return 0;
	html->phase[html->n_phases] = phase;
	return (uint32_t)html->n_phases++;
}

static uint32_t rt_html_path_child(struct rt_html *html, uint32_t parent, uint32_t phase)
{
	uint32_t at = html->path[parent].child, new;

	for (; at; at = html->path[at].next) {
		if (html->path[at].phase == phase)
			return at;
	}
	if (html->n_paths >= RT_HTML_PATHS || !rt_html_room(html, &html->path, html->n_paths, &html->cap_paths, sizeof(*html->path)))
		return parent; /* charged to what is around it */
	new = (uint32_t)html->n_paths++;
	html->path[new] = (struct rt_html_path){.parent = parent, .phase = phase, .next = html->path[parent].child};
	html->path[parent].child = new;
	return new;
}

uint32_t rt_html_path(struct rt_html *html, const struct rt_phase *const *path, size_t len)
{
	uint32_t at = 0;

	if (!len)
		return 0;
	if (len == html->last_path_len && !memcmp(path, html->last_path, len * sizeof(*path)))
		return html->last_path_id;
	for (size_t i = 0; i < len; i++)
		at = rt_html_path_child(html, at, rt_html_phase(html, path[i]));
	html->last_path_len = 0;
	if (len <= sizeof(html->last_path) / sizeof(html->last_path[0])) {
		memcpy(html->last_path, path, len * sizeof(*path));
		html->last_path_len = len;
		html->last_path_id = at;
	}
	return at;
}

/* What a call weighs: its time, or its change where that is more (1 byte as 1 ns: a MiB as a millisecond). */
static uint64_t rt_html_span_weight(const struct rt_html_span *span)
{
	int64_t change = span->rss_end - span->rss_start;
	uint64_t time = span->end_ns > span->start_ns ? span->end_ns - span->start_ns : 0, size = (uint64_t)(change < 0 ? -change : change);

	return time > size ? time : size;
}

static void rt_html_thin_spans(struct rt_html *html)
{
	if (!html->spans_below)
		html->spans_below = 1000;
	while (html->n_spans >= RT_HTML_SPANS) {
		size_t to = 0;

		html->spans_below *= 2;
		for (size_t i = 0; i < html->n_spans; i++) {
			if (rt_html_span_weight(&html->span[i]) >= html->spans_below)
				html->span[to++] = html->span[i];
			else
				html->proc[html->span[i].proc].spans_left_out++;
		}
		html->n_spans = to;
	}
}

static void rt_html_on_phase(void *ctx, const struct rt_proc_view *view, const struct rt_phase_view *phase)
{
	struct rt_html *html = ctx;
	struct rt_html_span span = {
		.proc = rt_html_proc(html, view),
		.path = rt_html_path(html, phase->path, phase->path_len),
		.tid = phase->tid,
		.call = phase->call,
		.start_ns = phase->start_ns,
		.end_ns = phase->end_ns,
		.rss_start = phase->rss_start,
		.rss_end = phase->rss_end,
		.exact = phase->exact,
		.open = phase->open,
	};

	if (html->spans_below && rt_html_span_weight(&span) < html->spans_below) {
		html->proc[span.proc].spans_left_out++;
		return;
	}
	if (html->n_spans >= RT_HTML_SPANS)
		rt_html_thin_spans(html);
	if (rt_html_room(html, &html->span, html->n_spans, &html->cap_spans, sizeof(*html->span)))
		html->span[html->n_spans++] = span;
}

/* ---- stacks ---- */

static void rt_html_on_node(void *ctx, uint32_t node, uint32_t parent, const struct rt_frame_view *frame)
{
	struct rt_html *html = ctx;

	rt_growthtree_node(&html->tree, node, parent, frame->function, frame->file, frame->line);
}

static void rt_html_on_forget(void *ctx, uint32_t stack)
{
	struct rt_html *html = ctx;

	rt_growthtree_forget(&html->tree, stack);
}

static uint32_t rt_html_map(struct rt_html *html, const char *name, enum rt_map_kind kind)
{
	char text[RT_MAP_NAME_BYTES + 2];
	uint32_t map;

	if (!name || html->maps.n >= RT_HTML_MAPS)
		return 0;
	text[0] = (char)('a' + kind);
	strncpy(text + 1, name, RT_MAP_NAME_BYTES);
	text[RT_MAP_NAME_BYTES + 1] = '\0';
	map = rt_textset_put(&html->maps, text, RT_MAP_NAME_BYTES);
	return map == UINT32_MAX ? 0 : map;
}

static uint32_t rt_html_node(struct rt_html *html, const struct rt_growth_view *growth)
{
	if (growth->cause != RT_CAUSE_SELF)
		return RT_GROWTH_CAUSES + growth->cause;
	return growth->instead ? rt_growthtree_word(&html->tree, growth->instead) : rt_growthtree_find(&html->tree, growth->stack);
}

static void rt_html_on_growth(void *ctx, const struct rt_proc_view *view, const struct rt_growth_view *growth)
{
	struct rt_html *html = ctx;
	struct rt_growth_key key = {
		.proc = rt_html_proc(html, view),
		.path = rt_html_path(html, growth->path, growth->path_len),
		.map = rt_html_map(html, growth->mapping, growth->mapping_kind),
	};

	for (int k = 0; k < RT_KINDS; k++) {
		int64_t gained = growth->gained.kind[k], released = gained - growth->delta.kind[k];

		if (!gained && !released)
			continue;
		key.kind = (uint16_t)k;
		key.node = rt_html_node(html, growth); /* each time: adding may fold */
		rt_growthtree_add(&html->tree, key, growth->ts_ns, gained, released);
	}
}

/* ---- the format ---- */

static void rt_html_close(void *output)
{
	struct rt_html *html = output;

	for (size_t i = 0; i < html->n_procs; i++)
		rt_rssline_free(&html->proc[i].line);
	free(html->proc);
	free(html->proc_slot);
	free(html->phase);
	free(html->path);
	free(html->span);
	rt_textset_free(&html->maps);
	rt_growthtree_free(&html->tree);
	free(html->start.version);
	free(html->start.kernel);
	free(html->start.profile);
	free(html->start.mm_source);
	free(html->start.mm_hook);
	free(html->start.python_entry);
	free(html);
}

static void *rt_html_open(const struct rt_format_config *config)
{
	struct rt_html *html = calloc(1, sizeof(*html));

	if (!html)
		return NULL;
	html->out = config->out;
	html->lang = config->lang;
	html->max_points = RT_HTML_POINTS_PROC;
	html->proc_slots = 4 * RT_HTML_PROCS;
	html->proc_slot = calloc(html->proc_slots, sizeof(*html->proc_slot));
	/* The first of each stands for "none" or "all others". */
	if (!html->proc_slot || rt_growthtree_init(&html->tree, RT_HTML_NODES_LIVE, RT_HTML_CELLS_LIVE) ||
	    !rt_html_room(html, &html->proc, 0, &html->cap_procs, sizeof(*html->proc)) ||
	    !rt_html_room(html, &html->phase, 0, &html->cap_phases, sizeof(const struct rt_phase *)) ||
	    !rt_html_room(html, &html->path, 0, &html->cap_paths, sizeof(*html->path)) || rt_textset_put(&html->maps, "a", 1)) {
		rt_html_close(html);
		return NULL;
	}
	html->proc[html->n_procs++] = (struct rt_html_proc){.pid = 0};
	html->phase[html->n_phases++] = NULL;
	html->path[html->n_paths++] = (struct rt_html_path){.parent = 0};
	return html;
}

static struct rt_sink rt_html_sink(void *output)
{
	return (struct rt_sink){
		.ctx = output,
		.on_process = rt_html_on_process,
		.on_rss = rt_html_on_rss,
		.on_phase = rt_html_on_phase,
		.on_native = rt_html_on_native,
		.on_node = rt_html_on_node,
		.on_growth = rt_html_on_growth,
		.on_forget = rt_html_on_forget,
	};
}

static void rt_html_begin(void *output, const struct rt_json_start *start)
{
	struct rt_html *html = output;
	struct rt_html_start *to = &html->start;

	if (to->version) /* once */
		return;
	to->version = strdup(start->version);
	to->kernel = strdup(start->kernel);
	to->profile = strdup(start->profile);
	to->mm_source = strdup(start->mm_source);
	to->mm_hook = strdup(start->mm_hook);
	to->python_entry = strdup(start->python_entry);
	to->mm_exact = start->mm_exact;
	to->wall_ns = start->wall_ns;
	to->ts_ns = start->ts_ns;
	if (!to->version || !to->kernel || !to->profile || !to->mm_source || !to->mm_hook || !to->python_entry)
		rt_html_fail(html);
}

static void rt_html_finish(void *output, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_html *html = output;
	int err = html->error ? 0 : rt_html_write(html, summary, cost);

	if (err && !html->error)
		html->error = err;
}

static int rt_html_error(const void *output)
{
	return ((const struct rt_html *)output)->error;
}

const struct rt_format rt_format_html = {
	.name = "html",
	.option = "--html",
	.needs = RT_NEED_GROWTH,
	.open = rt_html_open,
	.sink = rt_html_sink,
	.start = rt_html_begin,
	.finish = rt_html_finish,
	.error = rt_html_error,
	.close = rt_html_close,
};
