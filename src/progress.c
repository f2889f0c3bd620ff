/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"
#include "units.h"

#define RT_OPEN_MAX 4096u /* open phases that are remembered: the newest of what is left when some are not is shown */
#define RT_ROLE_CHARS 40
#define RT_LABEL_CHARS 80

struct rt_progress_proc {
	int64_t rss;
	char *name; /* escaped; NULL: not known */
};

struct rt_progress_open {
	uint32_t pid, tid;
	const struct rt_phase *phase;
};

struct rt_progress {
	enum rt_lang lang;
	void (*before)(void *ctx);
	void *ctx;
	bool all;
	struct rt_map procs; /* pid -> struct rt_progress_proc */
	int64_t rss;	     /* of all */
	struct rt_progress_open open[RT_OPEN_MAX]; /* oldest first */
	size_t n_open;
};

struct rt_progress *rt_progress_new(enum rt_lang lang, void (*before)(void *ctx), void *ctx, bool all)
{
	struct rt_progress *progress = calloc(1, sizeof(*progress));

	if (!progress)
		return NULL;
	progress->lang = lang;
	progress->before = before;
	progress->ctx = ctx;
	progress->all = all;
	return progress;
}

static void rt_progress_drop(struct rt_progress *progress, uint32_t pid)
{
	struct rt_progress_proc *proc = rt_map_take(&progress->procs, pid);
	size_t kept = 0;

	for (size_t i = 0; i < progress->n_open; i++) {
		if (progress->open[i].pid != pid)
			progress->open[kept++] = progress->open[i];
	}
	progress->n_open = kept;
	if (!proc)
		return;
	progress->rss -= proc->rss;
	free(proc->name);
	free(proc);
}

void rt_progress_free(struct rt_progress *progress)
{
	if (!progress)
		return;
	for (size_t i = 0; i < progress->procs.cap; i++) {
		struct rt_progress_proc *proc = progress->procs.slot[i].value;

		free(proc ? proc->name : NULL);
		free(proc);
	}
	rt_map_free(&progress->procs);
	free(progress);
}

static void rt_progress_clear(struct rt_progress *progress, bool writes)
{
	if (progress->before && (writes || progress->all))
		progress->before(progress->ctx);
}

/* A process that there is no memory for is left out. */
static struct rt_progress_proc *rt_progress_proc_of(struct rt_progress *progress, uint32_t pid)
{
	struct rt_progress_proc *proc = rt_map_get(&progress->procs, pid);

	if (proc)
		return proc;
	proc = calloc(1, sizeof(*proc));
	if (proc && rt_map_set(&progress->procs, pid, proc)) {
		free(proc);
		proc = NULL;
	}
	return proc;
}

static void rt_progress_set(struct rt_progress *progress, struct rt_progress_proc *proc, const struct rt_proc_view *view)
{
	progress->rss += view->now.total - proc->rss;
	proc->rss = view->now.total;
}

static void rt_progress_process(void *ctx, const struct rt_proc_view *view, enum rt_proc_event event, uint64_t ts_ns)
{
	struct rt_progress *progress = ctx;
	struct rt_progress_proc *proc;

	(void)ts_ns;
	rt_progress_clear(progress, false);
	if (event == RT_EV_EXIT || event == RT_EV_FORK || event == RT_EV_ATTACH)
		rt_progress_drop(progress, view->pid);
	if (event == RT_EV_EXIT)
		return;
	proc = rt_progress_proc_of(progress, view->pid);
	if (!proc)
		return;
	rt_progress_set(progress, proc, view);
	free(proc->name);
	proc->name = rt_text_escape(view->name, RT_ROLE_CHARS);
}

static void rt_progress_rss(void *ctx, const struct rt_proc_view *view, uint64_t ts_ns)
{
	struct rt_progress *progress = ctx;
	struct rt_progress_proc *proc = rt_map_get(&progress->procs, view->pid);

	(void)ts_ns;
	rt_progress_clear(progress, false);
	if (proc)
		rt_progress_set(progress, proc, view);
}

static void rt_progress_checkpoint(void *ctx, const struct rt_proc_view *view, const struct rt_checkpoint_view *cp)
{
	struct rt_progress *progress = ctx;
	size_t i = progress->n_open;

	rt_progress_clear(progress, true);
	if (cp->edge == RT_ENTER) {
		if (progress->n_open < RT_OPEN_MAX)
			progress->open[progress->n_open++] = (struct rt_progress_open){view->pid, cp->tid, cp->phase};
		return;
	}
	while (i && (progress->open[i - 1].pid != view->pid || progress->open[i - 1].tid != cp->tid || progress->open[i - 1].phase != cp->phase))
		i--;
	if (!i)
		return;
	memmove(&progress->open[i - 1], &progress->open[i], (progress->n_open - i) * sizeof(progress->open[0]));
	progress->n_open--;
}

static void rt_progress_phase(void *ctx, const struct rt_proc_view *view, const struct rt_phase_view *phase)
{
	(void)view;
	(void)phase;
	rt_progress_clear(ctx, false);
}

static void rt_progress_native(void *ctx, const struct rt_proc_view *view, const struct rt_native_view *native)
{
	(void)view;
	(void)native;
	rt_progress_clear(ctx, false);
}

static void rt_progress_oom(void *ctx, const struct rt_proc_view *view, const struct rt_oom_view *oom)
{
	(void)view;
	(void)oom;
	rt_progress_clear(ctx, true);
}

static void rt_progress_stack(void *ctx, uint32_t id, const struct rt_frame_view *frames, size_t count)
{
	(void)id;
	(void)frames;
	(void)count;
	rt_progress_clear(ctx, false);
}

struct rt_sink rt_progress_sink(struct rt_progress *progress)
{
	return (struct rt_sink){
		.ctx = progress,
		.on_process = rt_progress_process,
		.on_checkpoint = rt_progress_checkpoint,
		.on_phase = rt_progress_phase,
		.on_rss = rt_progress_rss,
		.on_native = rt_progress_native,
		.on_oom = rt_progress_oom,
		.on_stack = rt_progress_stack, /* before a growth of its own: on_rss came right before that */
	};
}

static void rt_progress_print_phase(FILE *out, const struct rt_progress *progress)
{
	const struct rt_progress_open *open = progress->n_open ? &progress->open[progress->n_open - 1] : NULL;
	const struct rt_progress_proc *proc = open ? rt_map_get(&progress->procs, open->pid) : NULL;
	char *label = open ? rt_text_escape(open->phase->label.text[progress->lang], RT_LABEL_CHARS) : NULL;

	if (label && proc && proc->name)
		fprintf(out, ", %s: %s", proc->name, label);
	free(label);
}

char *rt_progress_text(const struct rt_progress *progress, uint64_t elapsed_ns, size_t cells)
{
	unsigned long long s = elapsed_ns / 1000000000ull;
	size_t n = progress->procs.used, len;
	char *text = NULL, *fit;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, s < 3600 ? "[%llu:%02llu] " : "[%llu:%02llu:%02llu] ", s < 3600 ? s / 60 : s / 3600, s < 3600 ? s % 60 : s / 60 % 60, s % 60);
	if (progress->lang == RT_LANG_ZH)
		fprintf(out, "%zu 个进程, RSS %s M", n, rt_mib_format(progress->rss, false).text);
	else
		fprintf(out, "%zu process%s, %s MiB RSS", n, n == 1 ? "" : "es", rt_mib_format(progress->rss, false).text);
	rt_progress_print_phase(out, progress);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	fit = rt_text_fit(text, cells);
	free(text);
	return fit;
}
