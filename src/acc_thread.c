/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <stdlib.h>

#include "acc_proc.h"

struct rt_thread *rt_thread_find(const struct rt_procs *procs, uint32_t tid)
{
	return rt_map_get(&procs->threads, tid);
}

struct rt_thread *rt_thread_get(struct rt_procs *procs, uint32_t tid, struct rt_process *proc, uint64_t now_ns)
{
	struct rt_thread *thread = rt_thread_find(procs, tid);

	if (thread)
		return thread;
	thread = procs->threads.used < RT_THREADS_MAX ? calloc(1, sizeof(*thread)) : NULL;
	if (!thread)
		return NULL;
	*thread = (struct rt_thread){ .tid = tid, .refs = 1, .alive = true, .proc = proc, .born_ns = now_ns };
	if (rt_map_set(&procs->threads, tid, thread)) {
		free(thread);
		return NULL;
	}
	thread->next = proc->threads;
	if (proc->threads)
		proc->threads->prev = thread;
	proc->threads = thread;
	return thread;
}

/* Gives back a reference. A chain of creators that only the last thread kept goes with it. */
static void rt_thread_put(struct rt_thread *thread)
{
	while (thread && !--thread->refs) {
		struct rt_thread *creator = thread->creator;

		free(thread->span);
		free(thread);
		thread = creator;
	}
}

void rt_thread_set_creator(struct rt_thread *thread, struct rt_thread *creator)
{
	struct rt_thread *old = thread->creator;
	const struct rt_thread *up;

	/* No thread is among its own creators, whatever the records say; one that has created nobody cannot be. */
	for (up = thread->refs > 1 || creator == thread ? creator : NULL; up; up = up->creator) {
		if (up == thread)
			return;
	}
	if (creator)
		creator->refs++;
	thread->creator = creator;
	rt_thread_put(old);
}

struct rt_thread *rt_thread_creator(struct rt_thread *thread)
{
	/* Ended threads are stepped over for good, so that long chains of threads that start their successor stay
	 * short. */
	while (thread->creator && !thread->creator->alive) {
		struct rt_thread *ended = thread->creator;

		if (ended->creator)
			ended->creator->refs++;
		thread->creator = ended->creator;
		rt_thread_put(ended);
	}
	return thread->creator;
}

void rt_thread_end(struct rt_procs *procs, struct rt_thread *thread)
{
	struct rt_process *proc = thread->proc;

	rt_thread_creator(thread);
	rt_map_take(&procs->threads, thread->tid);
	*(thread->prev ? &thread->prev->next : &proc->threads) = thread->next;
	if (thread->next)
		thread->next->prev = thread->prev;
	free(thread->span);
	thread->span = NULL;
	thread->n_spans = thread->cap_spans = 0;
	thread->prev = thread->next = NULL;
	thread->alive = false;
	thread->proc = NULL;
	rt_thread_put(thread);
}
