/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * charge.bpf.h - pages moved: whose work was it? The running line's, which is looked at and charged, or somebody else's.
 */
#ifndef RT_CHARGE_BPF_H
#define RT_CHARGE_BPF_H

#include "look.bpf.h"
#include "thread.bpf.h"
#include "vma.bpf.h"

/* Sends what has gathered of changes from outside once it is old, so that it comes within the window in which user space sorts. */
static __noinline int rt_remote_flush(struct rt_space *s, u64 now)
{
	u64 since = s->remote_since;

	/* One CPU sends what is there. */
	if (!since || now - since <= cfg.flush_age_ns || rt_exchange(&s->remote_since, 0) == 0)
		return 0;
#pragma unroll
	for (u32 c = 1; c < RT_CAUSES; c++)
		rt_emit_remote(s, c);
	return 0;
}

/* A change that the running line did not make. Added up per cause; sent when it is old, or when the process ends. */
static __noinline int rt_remote(struct rt_space *s, u32 cause, const struct rt_delta *d)
{
	u64 now = bpf_ktime_get_ns();
	struct rt_remote *m;
	u32 k = d->kind;

	if (cause >= RT_CAUSES || k >= RT_KINDS)
		return 0;
	m = &s->remote[cause];
	if (!m->events) {
		m->first_ns = now;
#pragma unroll
		for (int i = 0; i < RT_KINDS; i++)
			m->before[i] = d->before[i] > 0 ? d->before[i] : 0;
	}
	s->remote_since = s->remote_since ? s->remote_since : now;
	m->last_ns = now;
	rt_add(&m->delta[rt_slot_of(k)], (s32)d->pages);
	rt_add(&m->reused, d->reused);
	if (d->pages > 0)
		rt_add(&m->gained[rt_slot_of(k)], (u32)d->pages);
	rt_add(&m->events, 1);
	if (READ_ONCE(s->flags) & RT_SPACE_ENDING)
		rt_emit_remote(s, cause);
	return 0;
}

static __always_inline u32 rt_kthread_cause(struct task_struct *task)
{
	char comm[16];

	bpf_probe_read_kernel(comm, sizeof(comm), task->comm);
	if (comm[0] == 'k' && comm[1] == 's' && comm[2] == 'w' && comm[3] == 'a' && comm[4] == 'p' && comm[5] == 'd')
		return RT_CAUSE_RECLAIM;
	if (comm[0] == 'k' && comm[1] == 'h' && comm[2] == 'u' && comm[3] == 'g' && comm[4] == 'e')
		return RT_CAUSE_KHUGEPAGED;
	return RT_CAUSE_REMOTE;
}

/* The current thread changed its own address space, by t->delta. It is marked busy from before its change is counted: a clock sample in between would find
 * a phase's edge with the change on the wrong side of it. */
static __always_inline int rt_own(struct rt_thread *t, struct rt_space *s)
{
	struct task_struct *task = rt_current_task();
	const struct rt_delta *d = &t->delta;
	struct rt_seen seen = {};
	u64 now;

	rt_native_seen(t, s); /* what ends here ends before this change */
	now = bpf_ktime_get_ns();
	if (s->remote_since)
		rt_remote_flush(s, now);
	rt_look(t, s, d->prog, 0, &seen);
	rt_charge(t, s, now, &seen);
	rt_flush_old(t, s, task, now);
	return 0;
}

/* The thread whose own change this is (made known if it was not), or NULL: then somebody else changed the address space. */
static __always_inline struct rt_thread *rt_own_thread(struct rt_space *s, u32 slot, u64 mm, struct task_struct *task)
{
	struct rt_thread *t;

	if ((u64)rt_of(task, mm) != mm || (rt_of(task, flags) & PF_MEMALLOC) || (s->flags & RT_SPACE_DEAD))
		return NULL;
	t = rt_thread_of(task);
	if (!t && (u32)rt_of(task, tgid) == s->pid) /* else a process made by vfork that is not followed: it runs on this memory until it executes */
		t = rt_thread_new(task, slot, s->image, RT_BIRTH_FORK);
	if (t && t->busy) { /* cannot be: a look takes no fault */
		rt_count(RT_C_SHADOW_BUSY);
		return NULL;
	}
	return t;
}

/* A change that is not the current thread's own: whose is it? `was`: the space's flags before it was taken. */
static __always_inline int rt_others(struct rt_space *s, u32 slot, struct task_struct *task, const struct rt_delta *d, u32 was)
{
	u32 flags = rt_of(task, flags);
	struct rt_thread *t;

	if (was & RT_SPACE_DEAD) {
		if (s->sum[RT_FILE] == 0 && s->sum[RT_ANON] == 0 && s->sum[RT_SHMEM] == 0)
			rt_space_free(s, slot);
		return 0;
	}
	if (flags & PF_MEMALLOC)
		return rt_remote(s, RT_CAUSE_RECLAIM, d);
	if (flags & PF_KTHREAD)
		return rt_remote(s, rt_kthread_cause(task), d);
	/* A thread that has just given up this address space tears it down: its exit (no mm) or its exec (another one already). */
	t = rt_thread_of(task);
	if (t && t->slot == slot && s->image == t->image && (u64)rt_of(task, mm) != s->mm) {
		if (!s->exit_seen) {
			s->exit_seen = 1;
#pragma unroll
			for (int k = 0; k < RT_KINDS; k++)
				s->exit_pages[k] = d->before[k] > 0 ? d->before[k] : 0;
		}
		return 0;
	}
	return rt_remote(s, RT_CAUSE_REMOTE, d);
}

static __noinline int rt_others_changed(struct rt_space *s, u64 slot_was, u32 kind, s64 v)
{
	struct rt_delta d = {};

	rt_rss_note(s, kind, v, &d);
	return rt_others(s, (u32)slot_was, rt_current_task(), &d, slot_was >> 32);
}

/* The space of an event's mm, or NULL: most events of a machine are of processes that nobody follows. */
static __always_inline struct rt_space *rt_event_space(u64 mm, u32 *slot_out)
{
	u32 zero = 0, slot, epoch, *found;
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct rt_space *s;

	if (!cpu)
		return NULL;
	slot = READ_ONCE(cpu->last_slot);
	s = rt_space_at(slot);
	if (!s || s->mm != mm) {
		epoch = READ_ONCE(globals.space_epoch);
		if (READ_ONCE(cpu->other_mm) == mm && READ_ONCE(cpu->other_epoch) == epoch)
			return NULL;
		found = bpf_map_lookup_elem(&space_index, &mm);
		if (!found) {
			WRITE_ONCE(cpu->other_mm, mm); /* first: an epoch of before is harmless */
			barrier();
			WRITE_ONCE(cpu->other_epoch, epoch);
			return NULL;
		}
		slot = *found;
		WRITE_ONCE(cpu->last_slot, slot);
		s = rt_space_at(slot);
	}
	if (!s || s->mm != mm || (s->flags & RT_SPACE_ADOPTING))
		return NULL;
	*slot_out = slot;
	return s;
}

/* The counters of one kind have been read: what moved, and whose is it? `t` is the current thread if the address space is its own. */
static __always_inline int rt_rss_changed(struct rt_space *s, u32 slot, u32 kind, s64 count, u64 percpu,
					  struct task_struct *task, struct rt_thread *t)
{
	u32 was = READ_ONCE(s->flags);
	s64 v;

	/* The thread that ends takes what there is, counts, and says the end (rt_on_exit). What is not taken yet is left to it; what was taken before has its place in what
	 * it counts, and is told of below. */
	if (!t && (was & (RT_SPACE_ENDING | RT_SPACE_DEAD)) == RT_SPACE_ENDING)
		return 0;
	v = cfg.split ? rt_split_added(s, t, task, kind, count) : rt_rss_take(s, RT_TAKE(slot, kind, RT_TAKE_EVENT), count, percpu);

	if (v)
		rt_count(RT_C_RSS_EVENTS);
	if (!t)
		return v ? rt_others_changed(s, slot | (u64)was << 32, kind, v) : 0;
	if (v) {
		rt_rss_note(s, kind, v, &t->delta);
		if (cfg.mappings) /* before the look, which may run into faults of its own */
			t->delta.map = rt_map_changed(t, task, kind, v);
		rt_own(t, s);
	}
	t->busy = 0;
	return 0;
}

/* ---- sources that tell of faults, not of changes ---- */

static __noinline s64 rt_poll_kind(struct rt_space *s, u64 what)
{
	u64 percpu = 0;
	s64 count = 0;

	return rt_mm_counter_read((struct mm_struct *)s->mm, (what >> 32) & 0xff, &count, &percpu) ? 0 : rt_rss_take(s, what, count, percpu);
}

/* The thread that runs may have changed its address space, of any kind and by any number of pages: what moved since it was last asked? `how`: RT_TAKE_*.
 * A thread comes to another CPU only through sched_switch, where it is asked as well, so that nothing of it stays behind. */
static __noinline int rt_poll(struct rt_thread *t, struct rt_space *s, u32 prog, u32 how)
{
	struct task_struct *task = rt_current_task();

	if (t->busy || (rt_of(task, flags) & PF_MEMALLOC) || (s->flags & (RT_SPACE_DEAD | RT_SPACE_ADOPTING)) || (u64)rt_of(task, mm) != s->mm)
		return 0;
	t->busy = 1;
	for (u32 k = 0; k < RT_KINDS; k++) {
		s64 v = cfg.split ? rt_split_poll(t, task, k) : rt_poll_kind(s, RT_TAKE(t->slot, k, how));

		if (!v)
			continue;
		rt_rss_note(s, k, v, &t->delta);
		t->delta.prog = prog;
		rt_count(RT_C_RSS_EVENTS);
		if (cfg.mappings)
			t->delta.map = rt_map_changed(t, task, k, v);
		rt_own(t, s);
	}
	t->busy = 0;
	return 0;
}

/* Before anything else is made of what a thread does: with such a source, pages may have moved that nobody has told of. */
static __always_inline void rt_poll_first(struct rt_thread *t, struct rt_space *s, u32 prog)
{
	if (cfg.mm_source != RT_MM_RSS_STAT)
		rt_poll(t, s, prog, RT_TAKE_SEVERAL);
}

/* A thread of a followed process that is not known yet: there was no memory for its state when it was born. */
static __noinline struct rt_thread *rt_fault_newcomer(void)
{
	struct task_struct *task = rt_current_task();
	u64 mm = (u64)rt_of(task, mm);
	struct rt_space *s;
	u32 slot = 0;

	s = mm ? rt_event_space(mm, &slot) : NULL;
	if (!s || (s->flags & RT_SPACE_DEAD) || (u32)rt_of(task, tgid) != s->pid)
		return NULL;
	return rt_thread_new(task, slot, s->image, RT_BIRTH_FORK);
}

/* A fault of the current thread is over; `before`: the next one begins (tracepoints), and the last one's pages are seen. */
static __always_inline int rt_fault_done(bool before)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);
	struct rt_space *s;
	u64 min, maj;

	if (!t)
		t = rt_fault_newcomer();
	s = t ? rt_thread_space(t) : NULL;
	if (!t || !s)
		return 0;
	min = rt_of(task, min_flt) - t->min_flt;
	maj = rt_of(task, maj_flt) - t->maj_flt;
	if (min + maj) { /* else the first half of a major one */
		rt_count(RT_C_FAULTS);
		if (min + maj > 1)
			rt_count_add(RT_C_FAULTS_MISSED, min + maj - 1);
	}
	t->min_flt += min;
	t->maj_flt += maj;
	if (!before) {
		t->min_now = min;
		t->maj_now = maj;
	}
	rt_poll(t, s, RT_PROG_RSS, RT_TAKE_ONE);
	t->min_now = t->maj_now = 0;
	return 0;
}

#endif
