/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * oom.bpf.h - the kernel's OOM killer has chosen a process: which, and how large it was.
 *
 * The tracepoint oom:mark_victim (mm/oom_kill.c, mark_oom_victim; both of memory cgroups and of the whole machine) is run by whoever asked for the memory, once for each
 * thread that is marked: the victim itself, and threads of it that ask for more while they die. The core takes the first one of a process.
 */
#ifndef RT_OOM_BPF_H
#define RT_OOM_BPF_H

#include "life.bpf.h"

struct rt_victim {
	u64 mm; /* 0: not known */
	u32 pid, tid;
};

/* Its argument is the task (6.9 and newer, and stable releases before that took the change over), before that the number of one of its threads: a kernel address is no
 * number of a thread (PID_MAX_LIMIT is 2^22). Of a number, the task is known if it is the current one's. */
static __always_inline void rt_oom_victim(u64 argument, u64 self, struct rt_victim *v)
{
	struct task_struct *victim = (struct task_struct *)argument;

	if (argument >> 32) {
		v->mm = (u64)BPF_CORE_READ(victim, mm);
		v->pid = BPF_CORE_READ(victim, tgid);
		v->tid = BPF_CORE_READ(victim, pid);
		return;
	}
	v->tid = (u32)argument;
	if (v->tid == (u32)self || v->tid == (u32)(self >> 32)) {
		v->mm = rt_task_mm(rt_current_task());
		v->pid = (u32)(self >> 32);
	}
}

/* The current thread asked for the memory, in a phase that may not have been seen yet. */
static __always_inline int rt_oom_look(struct rt_space *s)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);

	if (!t || t->busy || rt_thread_space(t) != s || (u64)rt_of(task, mm) != s->mm)
		return 0;
	rt_poll_first(t, s, RT_PROG_LIFE);
	rt_glance(t, s, task, RT_PROG_LIFE);
	rt_run_send(t, s, task);
	return 0;
}

static __always_inline int rt_on_oom(u64 argument)
{
	u64 self = bpf_get_current_pid_tgid();
	struct rt_victim v = {};
	struct rt_space *s = NULL;
	struct rt_rec_oom *r;
	u32 *found;
	bool own;

	rt_oom_victim(argument, self, &v);
	if (v.mm) {
		found = bpf_map_lookup_elem(&space_index, &v.mm);
		s = found ? rt_space_at(*found) : NULL;
		if (!s || s->mm != v.mm)
			return 0; /* nobody follows it */
	}
	own = v.pid && v.pid == (u32)(self >> 32);
	if (s && own)
		rt_oom_look(s);
	r = rt_reserve(struct rt_rec_oom, RT_C_LOST_LIFE);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_OOM, sizeof(*r), bpf_ktime_get_ns(), s ? s->image : 0, own ? (u32)self : v.tid);
	r->pid = v.pid;
	r->flags = s ? RT_OOM_PAGES : 0;
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++) {
		s64 n = s ? s->sum[k] : 0;

		r->pages[k] = n > 0 ? n : 0;
	}
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	return 0;
}

#endif
