/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <stdlib.h>
#include <string.h>

#include "acc_span.h"

static void rt_account_tell_process(struct rt_account *account, const struct rt_process *proc, enum rt_proc_event event,
				    uint64_t ts_ns)
{
	struct rt_proc_view view;

	rt_proc_view(proc, account->config.page_size, &view);
	rt_account_tell(account, on_process, &view, event, ts_ns);
}

void rt_life_born(struct rt_account *account)
{
	struct rt_process *proc = account->born.proc;

	account->born.proc = NULL;
	if (proc)
		rt_account_tell_process(account, proc, account->born.event, account->born.ts_ns);
}

static void rt_life_tell_soon(struct rt_account *account, struct rt_process *proc, enum rt_proc_event event, uint64_t ts_ns)
{
	rt_life_born(account);
	account->born.proc = proc;
	account->born.event = event;
	account->born.ts_ns = ts_ns;
}

void rt_life_drop_thread(struct rt_account *account, struct rt_thread *thread, uint64_t ts_ns)
{
	struct rt_moment moment = { .ts_ns = ts_ns, .seen_ns = thread->seen_ns };

	memcpy(moment.pages, thread->proc->rss, sizeof(moment.pages));
	rt_spans_close_thread(account, thread, &moment);
	rt_thread_end(&account->procs, thread);
}

static void rt_life_end_image(struct rt_account *account, struct rt_image *image)
{
	rt_map_take(&account->pids, image->id);
	rt_image_retire(&account->procs, image);
}

/* Everything that belongs to a process while it runs ends: `pages` is its RSS then. */
static void rt_life_end(struct rt_account *account, struct rt_process *proc, const int64_t pages[RT_KINDS],
			uint64_t ts_ns)
{
	static const int64_t nothing[RT_KINDS];
	struct rt_moment moment = { .ts_ns = ts_ns, .exact_end = true };

	memcpy(moment.pages, pages, sizeof(moment.pages));
	rt_proc_set_rss(proc, pages, true);
	rt_spans_peak(proc, rt_pages_total(pages));
	rt_spans_close_process(account, proc, &moment);
	while (proc->threads)
		rt_thread_end(&account->procs, proc->threads);
	memcpy(proc->end, pages, sizeof(proc->end));
	rt_proc_set_rss(proc, nothing, true);
	proc->ended = true;
	proc->end_ns = ts_ns;
	rt_account_tell_process(account, proc, RT_EV_EXIT, ts_ns);
	if (proc->image) {
		proc->image->ended = true;
		rt_life_end_image(account, proc->image);
	}
	rt_proc_retire(&account->procs, proc);
}

/* The process under this pid, whose end must have been lost, since the pid is another one's now. */
static void rt_life_end_stale(struct rt_account *account, uint32_t pid, uint64_t ts_ns)
{
	struct rt_process *stale = rt_proc_alive(&account->procs, pid);
	int64_t pages[RT_KINDS];

	if (!stale)
		return;
	account->lost_records++;
	memcpy(pages, stale->rss, sizeof(pages));
	rt_life_end(account, stale, pages, ts_ns);
}

/* RSS from here on counts from `pages`. */
static void rt_proc_baseline(struct rt_process *proc, const int64_t pages[RT_KINDS], uint64_t ts_ns)
{
	memcpy(proc->start, pages, sizeof(proc->start));
	proc->start_ns = ts_ns;
	proc->checkpoint = proc->peak = rt_pages_total(pages);
}

static struct rt_process *rt_life_parent(const struct rt_account *account, const struct rt_rec_proc *rec)
{
	const struct rt_image *image = rec->parent_image ? rt_image_find(&account->procs, rec->parent_image) : NULL;

	return image && image->proc ? image->proc : rec->ppid ? rt_proc_alive(&account->procs, rec->ppid) : NULL;
}

/* A process that was not followed before. */
static void rt_life_begin(struct rt_account *account, const struct rt_rec_proc *rec)
{
	struct rt_procs *procs = &account->procs;
	struct rt_thread *thread;
	struct rt_process *proc;
	struct rt_image *image;
	int64_t pages[RT_KINDS];

	if (rt_image_find(procs, rec->h.image)) {
		account->lost_records++;
		return;
	}
	rt_life_end_stale(account, rec->pid, rec->h.ts_ns);
	proc = rt_proc_new(procs, rec->pid, rt_life_parent(account, rec));
	image = proc ? rt_image_new(procs, proc, rec->h.image) : NULL;
	if (!image) {
		account->lost_records++;
		rt_map_take(&account->pids, rec->h.image);
		if (proc) { /* without an image it can have no change: it ends as it began */
			proc->ended = true;
			rt_proc_retire(procs, proc);
		}
		return;
	}
	rt_pages_read(pages, rec->pages);
	image->shares_mm = rec->flags & RT_PROC_SHARES_MM;
	if (image->shares_mm)
		memset(pages, 0, sizeof(pages));
	image->base = rt_pages_total(pages);
	image->busy_ns = rec->h.ts_ns;
	proc->ppid = rec->ppid;
	proc->born_by_fork = rec->birth == RT_BIRTH_FORK;
	proc->execed = rec->birth == RT_BIRTH_EXEC;
	rt_proc_set_text(procs, &proc->comm, (const uint8_t *)rec->comm, sizeof(rec->comm));
	rt_proc_set_name(procs, proc);
	rt_proc_baseline(proc, pages, rec->h.ts_ns);
	rt_proc_set_rss(proc, pages, rec->birth != RT_BIRTH_ATTACH);
	thread = rt_thread_find(procs, rec->pid);
	if (thread) /* its end was lost: the number is the new process's */
		rt_life_drop_thread(account, thread, rec->h.ts_ns);
	rt_thread_get(procs, rec->pid, proc, rec->h.ts_ns);
	rt_life_tell_soon(account, proc,
			  rec->birth == RT_BIRTH_ATTACH ? RT_EV_ATTACH :
			  rec->birth == RT_BIRTH_EXEC	? RT_EV_EXEC :
							  RT_EV_FORK,
			  rec->h.ts_ns);
}

/* An exec leaves nothing of the process but its main thread, whichever thread called it. */
static void rt_life_strip(struct rt_account *account, struct rt_process *proc, uint64_t ts_ns)
{
	struct rt_moment moment = { .ts_ns = ts_ns, .exact_end = true };
	struct rt_thread *thread, *next;

	memcpy(moment.pages, proc->rss, sizeof(moment.pages));
	rt_spans_close_process(account, proc, &moment);
	for (thread = proc->threads; thread; thread = next) {
		next = thread->next;
		if (thread->tid != proc->pid)
			rt_thread_end(&account->procs, thread);
	}
	rt_text_put(&account->texts, proc->cmdline);
	rt_text_put(&account->texts, proc->exe);
	rt_text_put(&account->texts, proc->python);
	proc->cmdline = proc->exe = proc->python = NULL;
	proc->muted = proc->python_seen = proc->checked = false;
	proc->unaccounted = 0;
}

/* The baseline moves to a forked process's first exec, and with it what happened since the baseline. */
static void rt_life_first_exec(struct rt_account *account, struct rt_process *proc, const int64_t pages[RT_KINDS],
			       uint64_t ts_ns)
{
	rt_proc_baseline(proc, pages, ts_ns);
	rt_outside_free(&proc->outside, &account->texts);
	rt_stacksum_drop_outside(&proc->stacks, &account->frames);
	memset(proc->cause, 0, sizeof(proc->cause));
	proc->ambiguous = proc->by_creator = proc->by_only = 0;
}

static void rt_life_exec(struct rt_account *account, const struct rt_rec_proc *rec, struct rt_image *old)
{
	struct rt_process *proc = old->proc;
	struct rt_image *image;
	int64_t pages[RT_KINDS];

	if (rt_image_find(&account->procs, rec->h.image)) {
		account->lost_records++;
		return;
	}
	rt_pages_read(pages, rec->pages);
	rt_life_strip(account, proc, rec->h.ts_ns);
	old->replaced = true;
	rt_life_end_image(account, old);
	proc->image = NULL;
	image = rt_image_new(&account->procs, proc, rec->h.image);
	if (image) {
		image->base = rt_pages_total(pages);
		image->busy_ns = rec->h.ts_ns;
	} else {
		account->lost_records++;
	}
	proc->ppid = rec->ppid ? rec->ppid : proc->ppid;
	rt_proc_set_text(&account->procs, &proc->comm, (const uint8_t *)rec->comm, sizeof(rec->comm));
	rt_proc_set_name(&account->procs, proc);
	rt_proc_set_rss(proc, pages, true);
	if (proc->born_by_fork && !proc->execed)
		rt_life_first_exec(account, proc, pages, rec->h.ts_ns);
	rt_spans_peak(proc, rt_pages_total(pages));
	proc->execed = true;
	rt_life_tell_soon(account, proc, RT_EV_EXEC, rec->h.ts_ns);
}

void rt_life_proc(struct rt_account *account, const struct rt_rec_proc *rec)
{
	struct rt_image *old = rec->prev_image ? rt_image_find(&account->procs, rec->prev_image) : NULL;

	if (rec->birth == RT_BIRTH_EXEC && old && old->proc && !old->ended && !old->replaced)
		rt_life_exec(account, rec, old);
	else
		rt_life_begin(account, rec);
}

/* The living image that a record names. NULL: there is none, and that is counted. */
static struct rt_image *rt_life_image(struct rt_account *account, const struct rt_hdr *h)
{
	struct rt_image *image = rt_image_find(&account->procs, h->image);

	if (image && image->proc && !image->ended && !image->replaced)
		return image;
	account->lost_records++;
	return NULL;
}

void rt_life_exit(struct rt_account *account, const struct rt_rec_exit *rec)
{
	struct rt_image *image = rt_life_image(account, &rec->h);
	struct rt_process *proc;
	int64_t pages[RT_KINDS] = { 0 }, exact[RT_KINDS];

	if (!image)
		return;
	proc = image->proc;
	if (rec->h.ts_ns < image->applied_ns)
		account->late_records++;
	if (!image->shares_mm) {
		rt_pages_read(pages, rec->pages);
		rt_pages_read(exact, rec->have_exact ? rec->exact : rec->pages);
		proc->unaccounted = rt_pages_total(exact) - image->base - image->sum;
		proc->checked = true;
		if (rec->peak_pages < (uint64_t)RT_PAGES_MAX && (int64_t)rec->peak_pages > proc->peak)
			proc->peak = (int64_t)rec->peak_pages;
	}
	proc->wait_status = rec->wait_status;
	image->snap_ns = 0; /* the end is the better comparison */
	rt_life_end(account, proc, pages, rec->h.ts_ns);
}

void rt_life_thread(struct rt_account *account, const struct rt_rec_thread *rec)
{
	struct rt_image *image = rt_life_image(account, &rec->h);
	struct rt_thread *thread, *creator = NULL;

	if (!image)
		return;
	thread = rt_thread_find(&account->procs, rec->h.tid);
	if (thread && thread->proc != image->proc) {
		account->lost_records++;
		rt_life_drop_thread(account, thread, rec->h.ts_ns);
	}
	thread = rt_thread_get(&account->procs, rec->h.tid, image->proc, rec->h.ts_ns);
	if (rec->creator && rec->creator != rec->h.tid)
		creator = rt_thread_get(&account->procs, rec->creator, image->proc, image->proc->start_ns);
	if (!thread || (rec->creator && !creator && rec->creator != rec->h.tid))
		account->lost_stacks++;
	if (thread && creator)
		rt_thread_set_creator(thread, creator);
}

void rt_life_thread_exit(struct rt_account *account, const struct rt_rec_thread *rec)
{
	struct rt_image *image = rt_image_find(&account->procs, rec->h.image);
	struct rt_thread *thread = rt_thread_find(&account->procs, rec->h.tid);
	struct rt_moment moment = { .ts_ns = rec->h.ts_ns, .exact_end = true };

	/* The threads that an exec or exit ended are gone already. */
	if (!image || !thread || thread->proc != image->proc)
		return;
	if (rec->h.ts_ns < image->applied_ns)
		account->late_records++;
	memcpy(moment.pages, thread->proc->rss, sizeof(moment.pages));
	rt_spans_close_thread(account, thread, &moment);
	rt_thread_end(&account->procs, thread);
}

void rt_life_rename(struct rt_account *account, const struct rt_rec_rename *rec)
{
	struct rt_image *image = rt_life_image(account, &rec->h);

	if (!image || rec->h.tid != image->proc->pid)
		return;
	rt_proc_set_text(&account->procs, &image->proc->comm, (const uint8_t *)rec->comm, sizeof(rec->comm));
	rt_proc_set_name(&account->procs, image->proc);
}

void rt_life_snap(struct rt_account *account, const struct rt_rec_snap *rec)
{
	struct rt_image *image = rt_image_find(&account->procs, rec->h.image);
	struct rt_process *proc = image ? image->proc : NULL;
	int64_t exact[RT_KINDS];

	/* It is an answer to a question, and its process may have ended in between. */
	if (!proc || image->ended || image->replaced || image->shares_mm)
		return;
	rt_pages_read(exact, rec->exact);
	proc->unaccounted = rt_pages_total(exact) - image->base - image->sum;
	proc->checked = true;
	image->snap_ns = rec->h.ts_ns;
	if (rec->h.ts_ns >= image->busy_ns)
		rt_proc_set_rss(proc, exact, true);
	if (rec->peak_pages < (uint64_t)RT_PAGES_MAX && (int64_t)rec->peak_pages > proc->peak)
		proc->peak = (int64_t)rec->peak_pages;
}

static void rt_life_title(struct rt_account *account, struct rt_process *proc, const uint8_t *text, size_t len,
			  uint64_t ts_ns)
{
	const struct rt_text *cmdline = proc->cmdline, *name = proc->name;

	while (len && text[len - 1] == ' ')
		len--;
	rt_proc_set_text(&account->procs, &proc->cmdline, text, len);
	rt_proc_set_name(&account->procs, proc);
	if (account->born.proc != proc && (cmdline != proc->cmdline || name != proc->name))
		rt_account_tell_process(account, proc, RT_EV_TITLE, ts_ns ? ts_ns : account->applied_ns);
}

void rt_life_meta(struct rt_account *account, const struct rt_rec_meta *rec)
{
	struct rt_image *image = rt_image_find(&account->procs, rec->h.image);
	const uint8_t *text = (const uint8_t *)(rec + 1);
	struct rt_process *proc = image ? image->proc : NULL;

	/* User space learns these from a process that may be gone by now: no loss. */
	if (!proc || image->replaced)
		return;
	switch (rec->key) {
	case RT_META_TITLE:
		rt_life_title(account, proc, text, rec->len, rec->h.ts_ns);
		break;
	case RT_META_EXE:
		rt_proc_set_text(&account->procs, &proc->exe, text, rec->len);
		break;
	case RT_META_PYTHON:
		rt_proc_set_text(&account->procs, &proc->python, text, rec->len);
		break;
	case RT_META_INEXACT:
		rt_spans_inexact(account, proc, (const char *)text, rec->len);
		break;
	case RT_META_MUTED:
		proc->muted = !account->config.ignore_mute;
		if (proc->muted)
			rt_spans_drop(proc);
		break;
	}
}

void rt_life_opening(struct rt_account *account, const struct rt_rec_opening *rec)
{
	struct rt_image *image = rt_image_find(&account->procs, rec->h.image);
	struct rt_process *proc = image ? image->proc : NULL;
	struct rt_text *name = NULL;

	/* It may have ended, or be another program, by the time it was read: no loss. */
	if (!proc || image->replaced)
		return;
	if (!proc->held)
		proc->held = calloc(RT_HELD_MAX, sizeof(*proc->held));
	if (proc->held && proc->n_held < RT_HELD_MAX)
		rt_proc_set_text(&account->procs, &name, (const uint8_t *)(rec + 1), rec->len);
	if (!name) {
		account->lost_records++;
		return;
	}
	proc->held[proc->n_held++] = (struct rt_held){ name, (enum rt_kind)rec->kind, (int64_t)rec->bytes };
}
