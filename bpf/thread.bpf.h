/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * thread.bpf.h - a thread becomes known; an address space is given up.
 */
#ifndef RT_THREAD_BPF_H
#define RT_THREAD_BPF_H

#include "rss.bpf.h"

/* The mm's address may have come back, and be in the index for another slot. */
static __always_inline void rt_index_forget(u64 mm, u32 slot)
{
	u32 *found = bpf_map_lookup_elem(&space_index, &mm);

	if (found && *found == slot)
		bpf_map_delete_elem(&space_index, &mm);
}

/* Gives up a dead space. Between any two steps of it the slot may be taken by somebody else (a new process with the same mm, on another CPU). */
static __always_inline void rt_space_free(struct rt_space *s, u32 slot)
{
	u64 mm = READ_ONCE(s->mm);

	if (mm < 2 || !(s->flags & RT_SPACE_DEAD) || !rt_swapped(&s->mm, mm, 1))
		return;
	rt_index_forget(mm, slot);
	WRITE_ONCE(s->mm, 0);
	rt_add(&globals.space_epoch, 1);
}

static __always_inline struct rt_thread *rt_thread_new(struct task_struct *task, u32 slot, u32 image, u32 birth)
{
	struct rt_thread *t = rt_thread_make(task);
	struct rt_space *s;

	if (!t) {
		/* A thread that is being adopted gets another chance: user space adopts twice. */
		rt_count(birth == RT_BIRTH_ATTACH ? RT_C_GLANCE_FAILED : RT_C_SHADOW_NOMEM);
		return NULL;
	}
	s = rt_space_at(slot);
	t->slot = slot;
	t->image = image;
	t->space_image = s ? s->image : image;
	t->tid = rt_of(task, pid);
	t->told = 1;
	t->min_flt = rt_of(task, min_flt);
	t->maj_flt = rt_of(task, maj_flt);
	return t;
}

/* The address space of a thread that was seen before, or NULL: it was given up (rt_drop_image), and its slot may be another one's. */
static __always_inline struct rt_space *rt_thread_space(const struct rt_thread *t)
{
	struct rt_space *s = rt_space_at(t->slot);

	return s && s->image == t->space_image ? s : NULL;
}

#endif
