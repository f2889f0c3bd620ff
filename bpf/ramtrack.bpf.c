/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ramtrack.bpf.c - entry points. What they do lies in the headers: rss (how many pages), look (whose), life (processes and threads).
 */
#include "kernel.bpf.h"

#include "life.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Sends what has gathered of changes from outside once it is old, so that it comes within the window in which user space sorts. */
static __noinline int rt_remote_flush(struct rt_space *s, u64 now)
{
	if (now - s->remote_since <= cfg.flush_age_ns)
		return 0;
	s->remote_since = 0;
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
	m->events++;
	m->delta[rt_slot_of(k)] += (s32)d->pages;
	m->reused += d->reused;
	if (d->pages > 0)
		m->gained[rt_slot_of(k)] += (u32)d->pages;
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

/* The current thread changed its own address space. It is marked busy from before its change is counted: a clock sample in between would find
 * a phase's edge with the change on the wrong side of it. */
static __always_inline int rt_own(struct rt_thread *t, struct rt_space *s, u32 slot, struct task_struct *task,
				  const struct rt_delta *d)
{
	struct rt_seen seen = {};
	u64 now = bpf_ktime_get_ns();

	if (s->remote_since)
		rt_remote_flush(s, now);
	rt_look(t, s, RT_PROG_RSS, 0, &seen);
	rt_charge(t, s, slot, task, now, &seen, d);
	rt_flush_old(t, s, task, now);
	return 0;
}

/* The thread whose own change this is (made known if it was not), or NULL: then somebody else changed the address space. */
static __always_inline struct rt_thread *rt_own_thread(struct rt_space *s, u32 slot, u64 mm, struct task_struct *task)
{
	struct rt_thread *t;

	if ((u64)task->mm != mm || (task->flags & PF_MEMALLOC) || (s->flags & RT_SPACE_DEAD))
		return NULL;
	t = bpf_task_storage_get(&threads, task, NULL, 0);
	if (!t)
		t = rt_thread_new(task, slot, s->image, RT_BIRTH_FORK);
	if (t && t->busy) { /* cannot be: a look takes no fault */
		rt_count(RT_C_SHADOW_BUSY);
		return NULL;
	}
	return t;
}

/* A change that is not the current thread's own: whose is it? */
static __always_inline int rt_others(struct rt_space *s, u32 slot, struct task_struct *task, const struct rt_delta *d)
{
	u32 flags = task->flags;
	struct rt_thread *t;

	if (s->flags & RT_SPACE_DEAD) {
		if (s->sum[RT_FILE] == 0 && s->sum[RT_ANON] == 0 && s->sum[RT_SHMEM] == 0)
			rt_space_free(s);
		return 0;
	}
	if (flags & PF_MEMALLOC)
		return rt_remote(s, RT_CAUSE_RECLAIM, d);
	if (flags & PF_KTHREAD)
		return rt_remote(s, rt_kthread_cause(task), d);
	/* A thread that has just given up this address space tears it down: its exit (no mm) or its exec (another one already). */
	t = bpf_task_storage_get(&threads, task, NULL, 0);
	if (t && t->slot == slot && s->image == t->image && (u64)task->mm != s->mm) {
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

/* The space of an event's mm, or NULL: most events of a machine are of processes that nobody follows. */
static __always_inline struct rt_space *rt_event_space(u64 mm, struct rt_cpu **cpu_out, u32 *slot_out)
{
	u32 zero = 0, slot, epoch = READ_ONCE(globals.space_epoch);
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct rt_space *s;

	if (!cpu)
		return NULL;
	if (cpu->last_mm == mm && cpu->last_epoch == epoch) {
		slot = cpu->last_slot;
	} else {
		u32 *found = bpf_map_lookup_elem(&space_index, &mm);

		slot = found ? *found : RT_SLOT_NONE;
		cpu->last_mm = mm;
		cpu->last_slot = slot;
		cpu->last_epoch = epoch;
	}
	if (slot == RT_SLOT_NONE)
		return NULL;
	s = rt_space_at(slot);
	if (!s || s->mm != mm)
		return NULL;
	*cpu_out = cpu;
	*slot_out = slot;
	return s;
}

/* The counters of one kind have been read: what moved, and whose is it? `t` is the current thread if the address space is its own. */
static __always_inline int rt_rss_changed(struct rt_space *s, u32 slot, struct rt_cpu *cpu, u32 kind, s64 count, u64 percpu,
					  struct task_struct *task, struct rt_thread *t)
{
	struct rt_delta d = {};

	rt_rss_delta(s, slot, cpu, kind, count, percpu, &d);
	if (d.pages) {
		rt_count(RT_C_RSS_EVENTS);
		if (t) {
			/* before the look, which may run into faults of its own */
			if (cfg.mappings)
				d.map = rt_map_changed(t, cpu, task, kind, d.pages);
			rt_own(t, s, slot, task, &d);
		} else {
			rt_others(s, slot, task, &d);
		}
	}
	if (t)
		t->busy = 0;
	return 0;
}

SEC("tp_btf/rss_stat")
int BPF_PROG(rss_stat_btf, struct mm_struct *mm, int member)
{
	u32 kind = rt_kind_of(member), slot = 0;
	struct rt_cpu *cpu = NULL;
	struct task_struct *task;
	struct rt_thread *t;
	struct rt_space *s;
	u64 percpu;
	s64 count;

	if (kind == RT_KINDS)
		return 0;
	s = rt_event_space((u64)mm, &cpu, &slot);
	if (!s)
		return 0;
	task = bpf_get_current_task_btf();
	t = rt_own_thread(s, slot, (u64)mm, task);
	if (t)
		t->busy = 1;
	rt_mm_counter(mm, member, count, percpu);
	return rt_rss_changed(s, slot, cpu, kind, count, percpu, task, t);
}

SEC("raw_tp/rss_stat")
int rss_stat_raw(u64 *ctx)
{
	struct mm_struct *mm = (struct mm_struct *)ctx[0];
	u32 kind = rt_kind_of((int)ctx[1]), slot = 0;
	struct rt_cpu *cpu = NULL;
	struct task_struct *task;
	struct rt_thread *t;
	struct rt_space *s;
	u64 percpu = 0;
	s64 count = 0;

	if (kind == RT_KINDS)
		return 0;
	s = rt_event_space((u64)mm, &cpu, &slot);
	if (!s || rt_mm_counter_read(mm, kind, &count, &percpu))
		return 0;
	task = bpf_get_current_task_btf();
	t = rt_own_thread(s, slot, (u64)mm, task);
	if (t)
		t->busy = 1;
	return rt_rss_changed(s, slot, cpu, kind, count, percpu, task, t);
}

/* Where a page fault is: noted for the change of RSS that comes of it. */
SEC("tp_btf/page_fault_user")
int BPF_PROG(fault_user, unsigned long address, struct pt_regs *regs, unsigned long error_code)
{
	return rt_fault_note(address, regs->ip);
}

SEC("tp_btf/page_fault_kernel")
int BPF_PROG(fault_kernel, unsigned long address, struct pt_regs *regs, unsigned long error_code)
{
	return rt_fault_in_kernel(address);
}

/* Comes before the lock is taken, when what a system call is about to unmap can still be looked up. */
SEC("tp_btf/mmap_lock_start_locking")
int BPF_PROG(mmap_locking, struct mm_struct *mm)
{
	return rt_unmapping();
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	return rt_on_fork(parent, child);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	return rt_on_exec(task);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	return rt_on_exit(task);
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_renamed, struct task_struct *task, const char *comm)
{
	struct rt_thread *t = bpf_task_storage_get(&threads, task, NULL, 0);
	struct rt_rec_rename *r;

	if (!t)
		return 0;
	r = rt_reserve(struct rt_rec_rename, RT_C_LOST_LIFE);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_RENAME, sizeof(*r), bpf_ktime_get_ns(), t->image, task->pid);
	bpf_probe_read_kernel_str(r->comm, sizeof(r->comm), comm);
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switched, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	struct rt_thread *t = bpf_task_storage_get(&threads, prev, NULL, 0);
	struct rt_space *s;

	if (!t || !prev->mm)
		return 0;
	if (cfg.mappings)
		rt_fault_keep(t, (u64)prev);
	if (t->busy) {
		rt_count(RT_C_SHADOW_BUSY);
		return 0;
	}
	s = rt_space_at(t->slot);
	if (!s || s->mm != (u64)prev->mm)
		return 0;
	if (s->remote_since)
		rt_remote_flush(s, bpf_ktime_get_ns());
	/* Also a thread that is only preempted: while it is off its CPU another one may allocate on its behalf, in a phase that was not seen yet. */
	rt_count(RT_C_SWITCH_LOOKS);
	rt_glance(t, s, prev, RT_PROG_SWITCH);
	/* Nothing stays behind in a thread that does not run: live output would wait for it. */
	if (t->run.active)
		rt_emit_run(t, &t->run, prev, s->image);
	return 0;
}

SEC("perf_event")
int clock_sample(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_thread *t = bpf_task_storage_get(&threads, task, NULL, 0);
	struct rt_space *s;

	if (!t || !task->mm)
		return 0;
	if (t->busy) {
		rt_count(RT_C_SHADOW_BUSY);
		return 0;
	}
	s = rt_space_at(t->slot);
	if (!s || s->mm != (u64)task->mm)
		return 0;
	rt_count(RT_C_SAMPLES);
	if (cfg.sample_looks)
		rt_glance(t, s, task, RT_PROG_SAMPLE);
	if (s->remote_since)
		rt_remote_flush(s, bpf_ktime_get_ns());
	rt_flush_old(t, s, task, bpf_ktime_get_ns());
	return 0;
}

/* _PyEval_EvalFrameDefault(PyThreadState *tstate, _PyInterpreterFrame *frame, int throwflag): 3.11 to 3.13, Python/ceval.c. */
SEC("uprobe")
int eval_entry(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_thread *t = bpf_task_storage_get(&threads, task, NULL, 0);
	u64 frame = ctx->si;
	struct rt_code_ref c = {};
	struct rt_seen seen = {};
	struct rt_delta d = {};
	const struct rt_pyoff *po;
	struct rt_shadow *sh;
	struct rt_space *s;
	u32 key;

	if (!t || t->busy || (u32)ctx->dx) /* throwflag: a generator is thrown into, not entered */
		return 0;
	s = rt_space_at(t->slot);
	if (!s || s->py_state != RT_PY_READY || s->mm != (u64)task->mm)
		return 0;
	key = s->pyoff;
	po = bpf_map_lookup_elem(&pyoffs, &key);
	if (!po)
		return 0;
	rt_count(RT_C_ENTRY_HITS);
	sh = bpf_task_storage_get(&shadows, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	c.addr = rt_user_u64(frame + po->frame_code);
	if (!sh || !c.addr)
		return 0;
	t->busy = 1;
	rt_root_check(s);
	rt_code_get(t, sh, po, &c, RT_PROG_ENTRY);
	if (c.flags & (RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT)) {
		rt_look(t, s, RT_PROG_ENTRY, frame, &seen);
		if (!seen.flags) {
			seen.flags = RT_RUN_ENTRY;
			rt_charge(t, s, t->slot, task, bpf_ktime_get_ns(), &seen, &d);
		}
	}
	t->busy = 0;
	return 0;
}

SEC("iter/task")
int adopt_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	return rt_adopt(task);
}

/* After everything is detached: what the threads still hold. */
SEC("iter/task")
int flush_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct rt_thread *t;
	struct rt_space *s;

	if (!task)
		return 0;
	t = bpf_task_storage_get(&threads, task, NULL, 0);
	if (!t)
		return 0;
	s = rt_space_at(t->slot);
	if (s && t->run.active)
		rt_emit_run(t, &t->run, task, s->image);
	return 0;
}

/* Run on each CPU once, before anything is attached: where that CPU's part of a per-CPU allocation lies. The address of this CPU's element of a per-CPU array
 * minus the array's own per-CPU pointer; both become numbers by way of map memory. */
SEC("raw_tp/setup_cpu")
int setup_cpu(void *ctx)
{
	u32 zero = 0, id = bpf_get_smp_processor_id();
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	u64 element, map, base = 0, offset;

	if (!cpu)
		return 1;
	*(void *volatile *)&cpu->tmp = cpu;
	element = *(volatile u64 *)&cpu->tmp;
	*(void *volatile *)&cpu->tmp = &cpus;
	map = *(volatile u64 *)&cpu->tmp;
	if (bpf_probe_read_kernel(&base, sizeof(base), (void *)(map + bpf_core_field_offset(struct bpf_array, pptrs))))
		return 2;
	offset = element - base;
	cpu->offset = offset;
	bpf_map_update_elem(&cpu_offset, &id, &offset, BPF_ANY);
	return 0;
}

static long rt_snapshot_one(u32 slot, u64 *final)
{
	struct rt_space *s = rt_space_at(slot);
	struct rt_pages exact = {};
	struct rt_rec_snap *r;

	if (!s)
		return 1;
	if (s->mm < 2 || (s->flags & RT_SPACE_DEAD))
		return 0;
#pragma unroll
	for (u32 c = 1; c < RT_CAUSES; c++)
		rt_emit_remote(s, c);
	if (!*final) {
		/* While events still come in: how far are the running sums from the counters? */
		if (!rt_rss_exact(s->mm, s, RT_SLOT_NONE, &exact)) {
#pragma unroll
			for (int k = 0; k < RT_KINDS; k++)
				s->drift[k] = (s64)exact.kind[k] - s->sum[k];
		}
		return 0;
	}
	r = rt_reserve(struct rt_rec_snap, RT_C_LOST_LIFE);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_SNAP, sizeof(*r), bpf_ktime_get_ns(), s->image, s->pid);
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++) {
		r->pages[k] = s->sum[k];
		r->exact[k] = s->sum[k] + s->drift[k];
	}
	r->peak_pages = s->peak;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* ctx[0] 0: compare the counters with the running sums (everything is still attached); 1: send a SNAP of each space. */
SEC("raw_tp/snapshot")
int snapshot(u64 *ctx)
{
	u64 final = ctx[0];

	bpf_loop(RT_MAX_SPACES, rt_snapshot_one, &final, 0);
	return 0;
}
