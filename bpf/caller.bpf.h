/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * caller.bpf.h - who came to a probe in the interpreter, and is there anything to look at?
 */
#ifndef RT_CALLER_BPF_H
#define RT_CALLER_BPF_H

#include "look.bpf.h"

struct rt_caller {
	struct rt_thread *t;
	struct rt_space *s;
	const struct rt_pyoff *po;
	struct rt_shadow *sh; /* of rt_caller_shadow */
};

/* A followed thread whose interpreter is known and whose stack nobody looks at. Counts the hit. */
static __always_inline bool rt_caller_find(struct rt_caller *c)
{
	struct task_struct *task = rt_current_task();
	u32 key;

	c->t = rt_thread_of(task);
	if (!c->t || c->t->busy)
		return false;
	c->s = rt_thread_space(c->t);
	if (!c->s || c->s->py_state != RT_PY_READY || c->s->mm != (u64)rt_of(task, mm))
		return false;
	key = c->s->pyoff;
	c->po = bpf_map_lookup_elem(&pyoffs, &key);
	if (!c->po)
		return false;
	rt_count(RT_C_ENTRY_HITS);
	return true;
}

/* Its shadow, with this code object to be looked up next. The thread is busy from here on: the caller ends that. */
static __always_inline bool rt_caller_shadow(struct rt_caller *c, u64 code)
{
	c->sh = rt_shadow_make(rt_current_task(), c->t, c->s);
	if (!c->sh)
		return false;
	c->t->busy = 1;
	c->t->delta.pages = 0;
	rt_root_check(c->s);
	c->sh->ref.addr = code;
	c->sh->ref.flags = 0;
	return true;
}

#ifndef RT_OLD_KERNEL

/* Generators and coroutines are entered and left at every step: their spans are told by looks alone. */
static __always_inline bool rt_code_suspends(const struct rt_pyoff *po, u64 code)
{
	u32 flags = 0, free_threaded = po->flags & RT_PYOFF_FREE_THREADED;

	return bpf_probe_read_user(&flags, sizeof(flags), (void *)(code + RT_CODE_FLAGS(po->version, free_threaded))) || flags & RT_CODE_SUSPENDS;
}

#endif

#endif
