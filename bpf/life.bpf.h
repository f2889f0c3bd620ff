/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * life.bpf.h - birth and death of address spaces, processes and threads.
 */
#ifndef RT_LIFE_BPF_H
#define RT_LIFE_BPF_H

#include "charge.bpf.h"
#include "wait.bpf.h"

enum rt_target { /* values of the map `targets` */
	RT_TARGET_ADOPT = 1, /* runs already */
	RT_TARGET_EXEC = 2,  /* follow from its next exec on */
};

/* The address of a task's mm as a number: a pointer would not pass as one to a global function. */
static __always_inline u64 rt_task_mm(struct task_struct *task)
{
	u64 mm = 0;

	bpf_core_read(&mm, sizeof(mm), &task->mm);
	return mm;
}

struct rt_alloc {
	u32 start;
	u32 slot;
	u32 dead_too;
};

/* Takes the slot if it is free: 1; 0 if it is not. */
RT_STEP int rt_slot_take(u32 slot, u32 dead_too)
{
	struct rt_space *s = rt_space_at(slot);
	u64 mm;

	if (!s)
		return 0;
	mm = READ_ONCE(s->mm);
	if (mm == 0 || (dead_too && mm != 1 && (s->flags & RT_SPACE_DEAD))) {
		if (rt_swapped(&s->mm, mm, 1)) {
			if (mm)
				rt_index_forget(mm, slot);
			return 1;
		}
	}
	return 0;
}

static long rt_slot_try(u32 i, struct rt_alloc *a)
{
	u32 slot = (a->start + i) & (RT_MAX_SPACES - 1);

	if (!rt_slot_take(slot, a->dead_too))
		return 0;
	a->slot = slot;
	return 1;
}

/* A slot for `mm`, its counters read: RT_SLOT_NONE if there is none left. The interpreter is taken over from another slot (fork) or found anew. */
__noinline u32 rt_space_new(u64 mm_addr, u32 image, u32 pid, u32 from_slot, u32 flags)
{
	struct mm_struct *mm = (struct mm_struct *)mm_addr;
	struct rt_alloc a = {.start = image, .slot = RT_SLOT_NONE};
	struct rt_space *s, *from;
	struct rt_pages pages = {};
	u64 key = mm_addr;
	u32 *old, slot;

	old = bpf_map_lookup_elem(&space_index, &key);
	if (old) { /* an mm that died unseen, its address back again */
		s = rt_space_at(*old);
		if (s && rt_swapped(&s->mm, key, 0))
			bpf_map_delete_elem(&space_index, &key);
	}
	rt_loop(RT_MAX_SPACES, RT_MAX_SPACES, rt_slot_try, &a);
	if (a.slot == RT_SLOT_NONE) {
		a.dead_too = 1;
		rt_loop(RT_MAX_SPACES, RT_MAX_SPACES, rt_slot_try, &a);
	}
	slot = a.slot;
	s = slot == RT_SLOT_NONE ? NULL : rt_space_at(slot);
	if (!s) {
		rt_count(RT_C_NO_SLOT);
		return RT_SLOT_NONE;
	}
	__builtin_memset((u8 *)s + 8, 0, sizeof(*s) - 8);
	s->image = image;
	s->pid = pid;
	s->users = 1;
	s->flags = flags;
	rt_space_number(s, slot);
	rt_rss_exact(mm_addr, s, slot, &pages);
	s->start[RT_FILE] = pages.kind[RT_FILE];
	s->start[RT_ANON] = pages.kind[RT_ANON];
	s->start[RT_SHMEM] = pages.kind[RT_SHMEM];
	s->peak = pages.kind[RT_FILE] + pages.kind[RT_ANON] + pages.kind[RT_SHMEM];
	s->exe_dev = BPF_CORE_READ(mm, exe_file, f_inode, i_sb, s_dev);
	s->exe_ino = BPF_CORE_READ(mm, exe_file, f_inode, i_ino);
	s->bias = BPF_CORE_READ(mm, start_code);
	from = from_slot == RT_SLOT_NONE ? NULL : rt_space_at(from_slot);
	if (from) {
		s->py_state = from->py_state;
		s->bins_epoch = from->bins_epoch;
		s->pyoff = from->pyoff;
		s->runtime = from->runtime;
		s->seen_frame = from->seen_frame;
		s->pool = from->pool;
	}
	s->mm = key;
	bpf_map_update_elem(&space_index, &key, &slot, BPF_ANY);
	rt_add(&globals.space_epoch, 1);
	return slot;
}

/* One process less on it. The slot goes when the teardown has brought the counters to zero. */
static __always_inline void rt_space_leave(struct rt_space *s, u32 slot)
{
	if (rt_fetch_add(&s->users, -1) > 1)
		return;
	rt_set(&s->flags, RT_SPACE_DEAD);
	/* Sources on faults see no teardown. */
	if ((s->sum[RT_FILE] == 0 && s->sum[RT_ANON] == 0 && s->sum[RT_SHMEM] == 0) || (!cfg.split && cfg.mm_source != RT_MM_RSS_STAT))
		rt_space_free(s, slot);
}

static __always_inline u32 rt_image_new(void)
{
	return (u32)(rt_fetch_add(&globals.next_image, 1) + 1);
}

static __always_inline void rt_emit_proc(struct rt_space *s, struct task_struct *task, u32 image, u32 birth, u32 flags,
					 u32 parent_image, u32 prev_image, u64 now, const struct rt_pages *base)
{
	struct rt_rec_proc *r = rt_reserve(struct rt_rec_proc, RT_C_LOST_LIFE);

	if (!r)
		return;
	rt_header(&r->h, RT_REC_PROC, sizeof(*r), now, image, rt_of(task, pid));
	r->birth = birth;
	r->flags = flags;
	r->pid = rt_of(task, tgid);
	r->ppid = BPF_CORE_READ(task, real_parent, tgid);
	r->parent_image = parent_image;
	r->prev_image = prev_image;
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++)
		r->pages[k] = flags & RT_PROC_SHARES_MM ? 0 : base ? base->kind[k] : s->sum[k] > 0 ? s->sum[k] : 0;
	r->exe_dev = s->exe_dev;
	r->exe_ino = s->exe_ino;
	bpf_probe_read_kernel(r->comm, sizeof(r->comm), task->comm);
	/* User space reads names, executables and environments while the process is young. */
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void rt_emit_thread(u32 type, u32 image, u32 tid, u32 creator, u64 now)
{
	struct rt_rec_thread *r = rt_reserve(struct rt_rec_thread, RT_C_LOST_LIFE);

	if (!r)
		return;
	rt_header(&r->h, type, sizeof(*r), now, image, tid);
	r->creator = creator;
	r->pad = 0;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* Of the thread or process that `parent` has made. Functions of their own, like rt_exit_tell: a look goes deep, and the programs' stack is short. */
static __noinline int rt_fork_child(struct rt_thread *pt, struct rt_space *ps, struct task_struct *parent, struct task_struct *child)
{
	u64 now = bpf_ktime_get_ns();
	struct rt_thread *ct;
	struct rt_space *cs;
	u32 slot, image, flags = 0, tgid;

	if (rt_of(child, tgid) == rt_of(parent, tgid)) {
		ct = rt_thread_new(child, pt->slot, pt->image, RT_BIRTH_FORK);
		if (ct && (ps->flags & RT_SPACE_ADOPTING))
			ct->told = 0;
		else if (ct)
			rt_emit_thread(RT_REC_THREAD, pt->image, rt_of(child, pid), rt_of(parent, pid), now);
		return 0;
	}
	if (!cfg.follow)
		return 0;
	image = rt_image_new();
	tgid = rt_of(child, tgid);
	if ((u64)rt_of(child, mm) == (u64)rt_of(parent, mm)) {
		slot = pt->slot;
		cs = ps;
		flags = RT_PROC_SHARES_MM;
		rt_add(&ps->users, 1);
	} else {
		slot = rt_space_new(rt_task_mm(child), image, tgid, pt->slot, 0);
		cs = slot == RT_SLOT_NONE ? NULL : rt_space_at(slot);
	}
	if (!cs)
		return 0;
	ct = rt_thread_new(child, slot, image, RT_BIRTH_FORK);
	if (!ct) {
		if (flags & RT_PROC_SHARES_MM)
			rt_add(&ps->users, -1);
		return 0;
	}
	if (flags & RT_PROC_SHARES_MM)
		ct->tid = pt->tid;
	rt_emit_proc(cs, child, image, RT_BIRTH_FORK, flags, pt->image, 0, now, NULL);
	return 0;
}

static __always_inline int rt_on_fork(struct task_struct *parent, struct task_struct *child)
{
	struct rt_thread *pt = rt_thread_of(parent);
	struct rt_space *ps;

	if (!pt)
		return 0;
	ps = rt_thread_space(pt);
	if (!ps)
		return 0;
	/* What the parent did up to now, and the phase it is in, come before its child, be it a thread or a process. */
	if (!pt->busy) {
		rt_poll_first(pt, ps, RT_PROG_LIFE);
		rt_glance(pt, ps, parent, RT_PROG_LIFE);
		rt_run_send(pt, ps, parent);
	}
	return rt_fork_child(pt, ps, parent, child);
}

/* Has the exec been seen already? It ends in an address space of the thread's own. */
static __always_inline bool rt_exec_seen(struct task_struct *task)
{
	struct rt_thread *t = rt_thread_of(task);
	struct rt_space *s = t ? rt_thread_space(t) : NULL;

	return s && s->mm == rt_task_mm(task);
}

static __always_inline int rt_on_exec(struct task_struct *task)
{
	struct rt_thread *t = rt_thread_of(task);
	struct rt_shadow *sh;
	struct rt_space *s;
	u64 now = bpf_ktime_get_ns();
	u32 slot, image, prev = 0, tgid = rt_of(task, tgid), waiting = READ_ONCE(globals.waiting), *target;

	s = t ? rt_thread_space(t) : NULL;
	if (s) {
		prev = t->image;
		rt_native_over(t, s, task);
		now = bpf_ktime_get_ns();
		rt_run_send(t, s, task);
		if (s->image == t->image) {
#pragma unroll
			for (u32 c = 1; c < RT_CAUSES; c++)
				rt_emit_remote(s, c);
		}
		rt_space_leave(s, t->slot);
		t->slot = RT_SLOT_NONE;
	} else if (!waiting) {
		target = bpf_map_lookup_elem(&targets, &tgid);
		if (!target || *target != RT_TARGET_EXEC)
			return 0;
	}
	image = rt_image_new();
	slot = rt_space_new(rt_task_mm(task), image, tgid, RT_SLOT_NONE, 0);
	s = slot == RT_SLOT_NONE ? NULL : rt_space_at(slot);
	if (!s)
		return 0;
	t = rt_thread_new(task, slot, image, RT_BIRTH_EXEC);
	if (!t)
		return 0;
	__builtin_memset(&t->run, 0, sizeof(t->run));
	t->sig = 0;
	t->tstate = 0;
	t->none_head = 0;
	t->busy = 0;
	if (cfg.split)
		rt_split_join(t, s, task);
	t->fault_ip = t->gone_addr = 0;
	__builtin_memset(t->vma, 0, sizeof(t->vma));
	sh = rt_shadow_of(task, t);
	if (sh)
		sh->depth = 0;
	rt_bin_check(s);
	if (waiting)
		rt_emit_args(s->mm, image, tgid, now);
	rt_emit_proc(s, task, image, RT_BIRTH_EXEC, 0, 0, prev, now, NULL);
	return 0;
}

static __noinline int rt_exit_tell(struct rt_thread *t, struct rt_space *s, struct task_struct *task)
{
	u64 now = bpf_ktime_get_ns();
	u64 mm;
	struct rt_pages exact = {};
	struct signal_struct *signal = rt_of(task, signal);
	struct rt_rec_exit *r;
	u32 shares;
	int have;

	rt_run_send(t, s, task);
	rt_emit_thread(RT_REC_THREAD_EXIT, t->image, rt_of(task, pid), 0, now);
	if (rt_of(signal, live.counter) > 0)
		return 0;
	/* `live` is counted down some way before this point: two threads that end at once can both find it at zero. */
	if (rt_exchange(&s->exit_image, t->image) == t->image)
		return 0;
	shares = s->image != t->image; /* after vfork, on the parent's address space */
	if (!shares) {
#pragma unroll
		for (u32 c = 1; c < RT_CAUSES; c++)
			rt_emit_remote(s, c);
	}
	/* From 6.16 on the tracepoint comes before the address space is given up, so the counters can be added up here. */
	mm = rt_task_mm(task);
	have = !cfg.split && !shares && mm && mm == s->mm && !rt_rss_exact(mm, s, RT_SLOT_NONE, &exact);
	r = rt_reserve(struct rt_rec_exit, RT_C_LOST_LIFE);
	if (r) {
		rt_header(&r->h, RT_REC_EXIT, sizeof(*r), now, t->image, rt_of(task, pid));
		r->pid = rt_of(task, tgid);
		r->wait_status = rt_of(signal, flags) & SIGNAL_GROUP_EXIT ? rt_of(signal, group_exit_code) :
								     BPF_CORE_READ(task, group_leader, exit_code);
		r->peak_pages = shares ? 0 : s->peak;
		r->have_exact = have;
		r->pad = 0;
#pragma unroll
		for (int k = 0; k < RT_KINDS; k++) {
			s64 n = s->exit_seen ? (s64)s->exit_pages[k] : s->sum[k];

			r->pages[k] = shares || n < 0 ? 0 : n;
			r->exact[k] = have ? exact.kind[k] : r->pages[k];
		}
		bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	}
	rt_space_leave(s, t->slot);
	return 0;
}

static __always_inline int rt_on_exit(struct task_struct *task)
{
	struct rt_thread *t = rt_thread_of(task);
	struct signal_struct *signal = rt_of(task, signal);
	struct rt_space *s;
	bool last;

	if (!t || rt_exchange(&t->ended, 1))
		return 0;
	s = rt_thread_space(t);
	if (!s)
		return 0;
	last = s->image == t->image && rt_of(signal, live.counter) <= 0;
	if (last)
		rt_set(&s->flags, RT_SPACE_ENDING);
	/* An event can be missed (on preemptible kernels a program is not run while it runs already on this CPU for a thread that was preempted), and the next one, which
	 * would take its pages, does not come when this was the last thread. */
	if (cfg.mm_source != RT_MM_RSS_STAT || last)
		rt_poll(t, s, RT_PROG_LIFE, RT_TAKE_ALL);
	rt_native_over(t, s, task);
	return rt_exit_tell(t, s, task);
}

static __always_inline int rt_on_end(struct task_struct *task)
{
	rt_on_exit(task);
	return rt_thread_drop(task, 1);
}

static __always_inline int rt_on_rename(struct task_struct *task, const char *comm)
{
	struct rt_thread *t = rt_thread_of(task);
	struct rt_rec_rename *r;
	char name[16] = {};
	bool same = true;

	if (!t || !rt_thread_space(t))
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), comm);
#pragma unroll
	for (u32 i = 0; i < sizeof(name); i++) {
		same &= name[i] == t->comm[i];
		t->comm[i] = name[i];
	}
	if (same)
		return 0;
	r = rt_reserve(struct rt_rec_rename, RT_C_LOST_LIFE);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_RENAME, sizeof(*r), bpf_ktime_get_ns(), t->image, rt_of(task, pid));
	__builtin_memcpy(r->comm, name, sizeof(r->comm));
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* Attach: one thread of a process that runs already. */
static __always_inline int rt_adopt(struct task_struct *task)
{
	u32 tgid = rt_of(task, tgid), slot, image, *known, *target = bpf_map_lookup_elem(&targets, &tgid);
	u64 mm = rt_task_mm(task), now = bpf_ktime_get_ns();
	struct rt_pages base = {};
	struct rt_space *s;

	if (!target || *target != RT_TARGET_ADOPT || !mm)
		return 0;
	if (rt_thread_of(task))
		return 0;
	known = bpf_map_lookup_elem(&space_index, &mm);
	if (known) {
		slot = *known;
		s = rt_space_at(slot);
		if (!s)
			return 0;
		image = s->image;
	} else {
		image = rt_image_new();
		slot = rt_space_new(rt_task_mm(task), image, tgid, RT_SLOT_NONE, 0);
		s = slot == RT_SLOT_NONE ? NULL : rt_space_at(slot);
		if (!s)
			return 0;
		for (int k = 0; k < RT_KINDS; k++)
			base.kind[k] = s->start[k];
		rt_rss_settle(s, slot, &base);
		rt_bin_check(s);
		rt_emit_proc(s, task, image, RT_BIRTH_ATTACH, 0, 0, 0, now, &base);
	}
	if (rt_thread_new(task, slot, image, RT_BIRTH_ATTACH))
		rt_emit_thread(RT_REC_THREAD, image, rt_of(task, pid), 0, now);
	/* The main thread may sleep and wake for long before it changes a page: it gets its shadow here, where memory can be had. */
	if (rt_of(task, pid) == rt_of(task, tgid) && s->py_state != RT_PY_NONE)
		rt_shadow_early(task);
	return 0;
}

/* Attach with split counters: part of what the process has lies in each of its threads, so they are all gathered before the first of its changes is looked at, and
 * only then it is told of (rt_announce). */
static __always_inline int rt_gather(struct task_struct *task)
{
	u32 tgid = rt_of(task, tgid), slot, *known, *target = bpf_map_lookup_elem(&targets, &tgid);
	u64 mm = rt_task_mm(task);
	struct rt_thread *t;
	struct rt_space *s;

	if (!target || *target != RT_TARGET_ADOPT || !mm || rt_thread_of(task))
		return 0;
	known = bpf_map_lookup_elem(&space_index, &mm);
	slot = known ? *known : rt_space_new(mm, rt_image_new(), tgid, RT_SLOT_NONE, RT_SPACE_ADOPTING);
	s = slot == RT_SLOT_NONE ? NULL : rt_space_at(slot);
	if (!s)
		return 0;
	t = rt_thread_new(task, slot, s->image, RT_BIRTH_ATTACH);
	if (!t)
		return 0;
	t->told = 0;
	if (s->flags & RT_SPACE_ADOPTING) /* else its part is charged with its first change */
		rt_split_join(t, s, task);
	return 0;
}

static __always_inline int rt_announce(struct task_struct *task)
{
	struct rt_thread *t = rt_thread_of(task);
	u64 now = bpf_ktime_get_ns();
	struct rt_space *s;

	if (!t || t->told)
		return 0;
	s = rt_thread_space(t);
	if (!s)
		return 0;
	if (s->flags & RT_SPACE_ADOPTING) {
		s->peak = 0;
#pragma unroll
		for (int k = 0; k < RT_KINDS; k++) {
			s64 count = rt_split_count(s->mm, k); /* what moved while the threads were gathered was before the attach */

			rt_add(&s->sum[rt_slot_of(k)], count - s->acc[rt_slot_of(k)]);
			s->acc[rt_slot_of(k)] = count;
			s->start[k] = s->sum[k] > 0 ? s->sum[k] : 0;
			s->peak += s->start[k];
		}
		rt_bin_check(s);
		rt_emit_proc(s, task, s->image, RT_BIRTH_ATTACH, 0, 0, 0, now, NULL);
		rt_clear(&s->flags, RT_SPACE_ADOPTING);
	}
	t->told = 1;
	rt_emit_thread(RT_REC_THREAD, s->image, rt_of(task, pid), 0, now);
	if (rt_of(task, pid) == rt_of(task, tgid) && s->py_state != RT_PY_NONE)
		rt_shadow_early(task);
	return 0;
}

#endif
