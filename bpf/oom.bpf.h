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

/* The look's chain of calls takes nearly all of the stack that there is: what comes before and after it are functions of their own. */

/* The victim's thread (low half) and process (0: not known). The tracepoint's argument is the task (6.9 and newer, and stable releases before that took the change over),
 * before that the number of one of its threads: a kernel address is no number of a thread (PID_MAX_LIMIT is 2^22). Of a number, the task is known if it is the current one's. */
static __noinline u64 rt_oom_victim(u64 argument)
{
	struct task_struct *victim = (struct task_struct *)argument;
	u64 self = bpf_get_current_pid_tgid();

	if (argument >> 32)
		return (u64)BPF_CORE_READ(victim, tgid) << 32 | (u32)BPF_CORE_READ(victim, pid);
	if ((u32)argument == (u32)self || (u32)argument == (u32)(self >> 32))
		return (self >> 32) << 32 | (u32)argument;
	return (u32)argument;
}

/* Its address space: the slot, RT_SLOT_NONE if it is not followed, or RT_OOM_ANY if it cannot be known. */
#define RT_OOM_ANY (RT_SLOT_NONE - 1)

static __noinline u32 rt_oom_slot(u64 argument, u64 victim)
{
	struct rt_space *s;
	u32 *found;
	u64 mm = 0;

	if (argument >> 32)
		mm = (u64)BPF_CORE_READ((struct task_struct *)argument, mm);
	else if (victim >> 32)
		mm = rt_task_mm(rt_current_task());
	if (!mm)
		return RT_OOM_ANY;
	found = bpf_map_lookup_elem(&space_index, &mm);
	s = found ? rt_space_at(*found) : NULL;
	return s && s->mm == mm ? *found : RT_SLOT_NONE;
}

static __noinline int rt_oom_emit(u32 slot, u64 victim)
{
	struct rt_space *s = slot < RT_OOM_ANY ? rt_space_at(slot) : NULL;
	u64 self = bpf_get_current_pid_tgid();
	struct rt_rec_oom *r = rt_reserve(struct rt_rec_oom, RT_C_LOST_LIFE);
	u32 pid = victim >> 32;

	if (!r)
		rt_return_nothing();
	rt_header(&r->h, RT_REC_OOM, sizeof(*r), bpf_ktime_get_ns(), s ? s->image : 0, pid && pid == (u32)(self >> 32) ? (u32)self : (u32)victim);
	r->pid = pid;
	r->flags = s ? RT_OOM_PAGES : 0;
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++) {
		s64 n = s ? s->sum[k] : 0;

		r->pages[k] = n > 0 ? n : 0;
	}
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	rt_return_nothing();
}

/* The current thread asked for the memory, in a phase that may not have been seen yet. */
static __always_inline int rt_oom_look(void)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);
	struct rt_space *s = t && !t->busy ? rt_thread_space(t) : NULL;

	if (!t || !s || (u64)rt_of(task, mm) != s->mm)
		return 0;
	rt_poll_first(t, s, RT_PROG_LIFE);
	rt_glance(t, s, task, RT_PROG_LIFE);
	rt_run_send(t, s, task);
	return 0;
}

static __always_inline int rt_on_oom(u64 argument)
{
	u64 victim = rt_oom_victim(argument);
	u32 slot = rt_oom_slot(argument, victim);

	if (slot == RT_SLOT_NONE)
		return 0; /* nobody follows it */
	if (slot != RT_OOM_ANY && victim >> 32 == bpf_get_current_pid_tgid() >> 32)
		rt_oom_look();
	rt_oom_emit(slot, victim);
	return 0;
}

#endif
