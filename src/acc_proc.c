/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_proc.h"

#include <stdlib.h>
#include <string.h>

#include "acc_role.h"

#define RT_TEXT_BYTES 8192u /* of a command line or path */
#define RT_MERGED_MAX 256u  /* names under which ended processes are added up */

static void rt_proc_adopt(struct rt_process *parent, struct rt_process *child)
{
	child->parent = parent;
	child->prev = child->next = NULL;
	if (!parent)
		return;
	child->prev = parent->last_child;
	if (parent->last_child)
		parent->last_child->next = child;
	else
		parent->first_child = child;
	parent->last_child = child;
}

static void rt_proc_orphan(struct rt_process *child)
{
	struct rt_process *parent = child->parent;

	if (!parent)
		return;
	*(child->prev ? &child->prev->next : &parent->first_child) = child->next;
	*(child->next ? &child->next->prev : &parent->last_child) = child->prev;
	child->parent = child->prev = child->next = NULL;
}

struct rt_process *rt_proc_new(struct rt_procs *procs, uint32_t pid, struct rt_process *parent)
{
	struct rt_process *proc = procs->n_alive < RT_ALIVE_MAX ? calloc(1, sizeof(*proc)) : NULL;

	if (!proc)
		return NULL;
	proc->procs = procs;
	proc->pid = pid;
	proc->first = !procs->any;
	procs->any = true;
	proc->older = procs->newest;
	*(procs->newest ? &procs->newest->newer : &procs->oldest) = proc;
	procs->newest = proc;
	procs->n_alive++;
	rt_proc_adopt(parent, proc);
	return proc;
}

struct rt_image *rt_image_new(struct rt_procs *procs, struct rt_process *proc, uint32_t id)
{
	struct rt_image *image;

	if (!id || rt_map_get(&procs->images, id))
		return NULL;
	image = calloc(1, sizeof(*image));
	if (!image)
		return NULL;
	image->id = id;
	image->proc = proc;
	if (rt_map_set(&procs->images, id, image)) {
		free(image);
		return NULL;
	}
	proc->image = image;
	return image;
}

struct rt_image *rt_image_find(const struct rt_procs *procs, uint32_t id)
{
	return rt_map_get(&procs->images, id);
}

void rt_image_retire(struct rt_procs *procs, struct rt_image *image)
{
	struct rt_image *oldest = procs->ended[procs->ended_at];

	if (oldest) {
		rt_map_take(&procs->images, oldest->id);
		if (oldest->proc && oldest->proc->image == oldest)
			oldest->proc->image = NULL;
		free(oldest);
	}
	procs->ended[procs->ended_at] = image;
	procs->ended_at = (procs->ended_at + 1) % RT_IMAGES_ENDED;
}

void rt_proc_set_rss(struct rt_process *proc, const int64_t pages[RT_KINDS], bool news)
{
	int64_t change = rt_pages_total(pages) - rt_pages_total(proc->rss);

	memcpy(proc->rss, pages, sizeof(proc->rss));
	if (!change)
		return;
	proc->procs->total += change;
	if (proc->procs->total > proc->procs->total_peak)
		proc->procs->total_peak = proc->procs->total;
	for (struct rt_process *up = proc->parent; up; up = up->parent) {
		up->tree += change;
		if (news)
			continue;
		for (struct rt_span *span = up->spans; span; span = span->next)
			span->tree_start += change;
	}
}

void rt_proc_reached(struct rt_process *proc, int64_t total)
{
	struct rt_procs *procs = proc->procs;
	int64_t together = procs->total - rt_pages_total(proc->rss) + total;

	if (together > procs->total_peak)
		procs->total_peak = together;
}

struct rt_process *rt_proc_alive(const struct rt_procs *procs, uint32_t pid)
{
	struct rt_process *proc;

	for (proc = procs->newest; proc; proc = proc->older) {
		if (proc->pid == pid && !proc->ended)
			return proc;
	}
	return NULL;
}

static void rt_proc_free(struct rt_procs *procs, struct rt_process *proc)
{
	*(proc->older ? &proc->older->newer : &procs->oldest) = proc->newer;
	*(proc->newer ? &proc->newer->older : &procs->newest) = proc->older;
	for (unsigned int i = 0; i < RT_IMAGES_ENDED; i++) {
		if (procs->ended[i] && procs->ended[i]->proc == proc)
			procs->ended[i]->proc = NULL;
	}
	rt_text_put(procs->texts, proc->comm);
	rt_text_put(procs->texts, proc->name);
	rt_text_put(procs->texts, proc->exe);
	rt_text_put(procs->texts, proc->cmdline);
	rt_text_put(procs->texts, proc->python);
	rt_outside_free(&proc->outside, procs->texts);
	rt_stacksum_free(&proc->stacks, procs->frames);
	rt_rows_free(&proc->rows);
	rt_native_rows_free(&proc->natives, procs->texts);
	for (uint32_t i = 0; i < proc->n_held; i++)
		rt_text_put(procs->texts, proc->held[i].name);
	free(proc->held);
	free(proc->calls);
	free(proc);
}

/* The entry that stands for ended processes of this name; made if there is none. */
static struct rt_process *rt_proc_merged(struct rt_procs *procs, struct rt_text *name)
{
	static const char others[] = "<others>";
	struct rt_process *into;

	for (into = procs->oldest; into; into = into->newer) {
		if (into->merged && (into->name == name || (procs->n_merged >= RT_MERGED_MAX && into->name &&
							     !strcmp(into->name->s, others))))
			return into;
	}
	into = calloc(1, sizeof(*into));
	if (!into)
		return NULL;
	if (++procs->n_merged >= RT_MERGED_MAX)
		into->name = rt_text_get(procs->texts, others, strlen(others));
	else if (name)
		(into->name = name)->refs++;
	into->merged = 1;
	into->ended = true;
	into->older = procs->newest;
	*(procs->newest ? &procs->newest->newer : &procs->oldest) = into;
	procs->newest = into;
	return into;
}

/* After the rows of phases: they have other numbers there. */
static void rt_proc_merge_stacks(struct rt_procs *procs, struct rt_process *into, const struct rt_process *from)
{
	for (uint32_t i = 0; i < from->stacks.n; i++) {
		struct rt_sum_row row = from->stacks.row[i];

		row.phase = rt_rows_like(&into->rows, &from->rows, row.phase);
		rt_stacksum_charge(&into->stacks, procs->frames, &row);
	}
}

static void rt_proc_merge(struct rt_procs *procs, struct rt_process *proc)
{
	struct rt_process *into = rt_proc_merged(procs, proc->name), *child;

	if (!into)
		return;
	if (into->merged == 1 || proc->start_ns < into->start_ns)
		into->start_ns = proc->start_ns;
	into->merged++;
	into->end_ns = proc->end_ns > into->end_ns ? proc->end_ns : into->end_ns;
	into->peak = proc->peak > into->peak ? proc->peak : into->peak;
	for (int k = 0; k < RT_KINDS; k++) {
		into->start[k] += proc->start[k];
		into->end[k] += proc->end[k];
	}
	for (int c = 0; c < RT_CAUSES; c++)
		into->cause[c] += proc->cause[c];
	into->ambiguous += proc->ambiguous;
	into->by_creator += proc->by_creator;
	into->by_only += proc->by_only;
	into->unaccounted += proc->unaccounted;
	into->has_phase |= proc->has_phase;
	rt_rows_add(&into->rows, &proc->rows);
	rt_native_rows_add(&into->natives, procs->texts, &proc->natives);
	rt_outside_add(&into->outside, &proc->outside);
	rt_proc_merge_stacks(procs, into, proc);
	while ((child = proc->first_child)) {
		rt_proc_orphan(child);
		rt_proc_adopt(proc->parent, child);
	}
	rt_proc_orphan(proc);
	rt_proc_free(procs, proc);
	procs->n_ended--;
}

void rt_proc_retire(struct rt_procs *procs, struct rt_process *proc)
{
	struct rt_process *least = proc;

	procs->n_alive--;
	if (++procs->n_ended <= RT_ENDED_MAX)
		return;
	if (proc->has_phase || proc->oom.ts_ns) { /* one without phases says less */
		for (least = procs->oldest; least && (!least->ended || least->merged || least->has_phase || least->oom.ts_ns); )
			least = least->newer;
	}
	rt_proc_merge(procs, least ? least : proc);
}

void rt_proc_set_text(struct rt_procs *procs, struct rt_text **field, const uint8_t *text, size_t len)
{
	char buf[RT_TEXT_BYTES];
	struct rt_text *new;

	new = len ? rt_text_get(procs->texts, buf, rt_text_from_bytes(buf, sizeof(buf), text, len)) : NULL;
	rt_text_put(procs->texts, *field);
	*field = new;
}

void rt_proc_set_name(struct rt_procs *procs, struct rt_process *proc)
{
	const char *role;
	size_t len = proc->cmdline ? rt_role_find(proc->cmdline->s, &role) : 0;
	struct rt_text *name = len ? rt_text_get(procs->texts, role, len) : NULL;

	if (!name && proc->comm) {
		name = proc->comm;
		name->refs++;
	}
	rt_text_put(procs->texts, proc->name);
	proc->name = name;
}

static struct rt_sizes rt_proc_sizes(const int64_t pages[RT_KINDS], uint64_t page_size)
{
	struct rt_sizes sizes = { .total = rt_bytes(rt_pages_total(pages), page_size) };

	for (int k = 0; k < RT_KINDS; k++)
		sizes.kind[k] = rt_bytes(pages[k], page_size);
	return sizes;
}

static const char *rt_proc_string(const struct rt_text *text)
{
	return text ? text->s : "";
}

void rt_proc_view(const struct rt_process *proc, uint64_t page_size, struct rt_proc_view *view)
{
	*view = (struct rt_proc_view){
		.pid = proc->pid,
		.ppid = proc->ppid,
		.name = rt_proc_string(proc->name),
		.comm = rt_proc_string(proc->comm),
		.exe = rt_proc_string(proc->exe),
		.cmdline = rt_proc_string(proc->cmdline),
		.python = proc->python && proc->python->len ? proc->python->s : NULL,
		.muted = proc->muted,
		.first = proc->first,
		.ended = proc->ended,
		.wait_status = proc->wait_status,
		.start_ns = proc->start_ns,
		.end_ns = proc->end_ns,
		.start = rt_proc_sizes(proc->start, page_size),
		.now = rt_proc_sizes(proc->ended ? proc->end : proc->rss, page_size),
		.peak = rt_bytes(proc->peak, page_size),
	};
	for (const struct rt_process *up = proc->parent; up; up = up->parent)
		view->depth++;
}

void rt_procs_free(struct rt_procs *procs)
{
	struct rt_process *proc, *newer;

	for (size_t i = 0; i < procs->images.cap; i++) /* the ring's are in the map too */
		free(procs->images.slot[i].value);
	memset(procs->ended, 0, sizeof(procs->ended));
	for (proc = procs->oldest; proc; proc = newer) {
		newer = proc->newer;
		for (struct rt_span *span = proc->spans, *next; span; span = next) {
			next = span->next;
			rt_split_free(&span->split);
			free(span);
		}
		while (proc->threads)
			rt_thread_end(procs, proc->threads);
		rt_proc_free(procs, proc);
	}
	rt_map_free(&procs->images);
	rt_map_free(&procs->threads);
}
