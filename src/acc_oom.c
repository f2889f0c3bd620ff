/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <string.h>

#include "acc_core.h"

#define RT_NO_PHASE UINT32_MAX

/* Kernels before 6.9 tell a thread's number only: of processes that nobody follows, too. */
static struct rt_process *rt_oom_process(const struct rt_account *account, const struct rt_rec_oom *rec)
{
	const struct rt_image *image = rec->h.image ? rt_image_find(&account->procs, rec->h.image) : NULL;
	const struct rt_thread *thread;
	struct rt_process *proc;

	/* By its number first: after vfork a child runs on the memory, hence the image, of its parent. */
	proc = rec->pid ? rt_proc_alive(&account->procs, rec->pid) : NULL;
	if (proc)
		return proc;
	if (image && image->proc && !image->ended && !image->replaced)
		return image->proc;
	thread = rec->pid ? NULL : rt_thread_find(&account->procs, rec->h.tid);
	return thread && thread->proc ? thread->proc : rec->pid ? NULL : rt_proc_alive(&account->procs, rec->h.tid);
}

struct rt_oom_view rt_oom_view(const struct rt_account *account, const struct rt_process *proc)
{
	const struct rt_profile *profile = account->config.profile;

	return (struct rt_oom_view){
		.ts_ns = proc->oom.ts_ns,
		.tid = proc->oom.tid,
		.phase = proc->oom.phase < profile->n_phases ? &profile->phases[proc->oom.phase] : NULL,
		.rss = rt_account_sizes(account, proc->oom.pages),
	};
}

void rt_oom_apply(struct rt_account *account, const struct rt_rec_oom *rec)
{
	struct rt_process *proc = rt_oom_process(account, rec);
	struct rt_thread *thread = rt_thread_find(&account->procs, rec->h.tid);
	const struct rt_span *span;
	struct rt_proc_view proc_view;
	struct rt_oom_view view;

	if (!proc || proc->ended || proc->oom.ts_ns)
		return; /* not followed, or said already: a thread that asks for more while it dies is marked as well */
	span = rt_run_owner(proc, thread && thread->proc == proc ? thread : NULL);
	proc->oom.ts_ns = rec->h.ts_ns ? rec->h.ts_ns : 1;
	proc->oom.tid = rec->h.tid;
	proc->oom.phase = span ? span->phase : RT_NO_PHASE;
	if (rec->flags & RT_OOM_PAGES)
		rt_pages_read(proc->oom.pages, rec->pages);
	else
		memcpy(proc->oom.pages, proc->rss, sizeof(proc->oom.pages));
	view = rt_oom_view(account, proc);
	rt_proc_view(proc, account->config.page_size, &proc_view);
	rt_account_tell(account, on_oom, &proc_view, &view);
}
