/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * thread.bpf.h - a thread becomes known; an address space is given up.
 */
#ifndef RT_THREAD_BPF_H
#define RT_THREAD_BPF_H

#include "rss.bpf.h"

static __always_inline void rt_space_free(struct rt_space *s)
{
	u64 mm = s->mm;

	bpf_map_delete_elem(&space_index, &mm);
	s->mm = 0;
	__sync_fetch_and_add(&globals.space_epoch, 1);
}

static __always_inline struct rt_thread *rt_thread_new(struct task_struct *task, u32 slot, u32 image, u32 birth)
{
	struct rt_thread *t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t) /* the kernel's reserve was empty; the failed request has had it refilled */
		t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		/* A thread that is being adopted gets another chance: user space adopts twice. */
		rt_count(birth == RT_BIRTH_ATTACH ? RT_C_GLANCE_FAILED : RT_C_SHADOW_NOMEM);
		return NULL;
	}
	t->slot = slot;
	t->image = image;
	t->tid = task->pid;
	t->told = 1;
	return t;
}

#endif
