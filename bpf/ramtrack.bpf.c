/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ramtrack.bpf.c - entry points. What they do lies in the headers: rss (how many pages), look (whose), life (processes and threads).
 */
#include "kernel.bpf.h"

#include "cost.bpf.h"
#include "life.bpf.h"
#include "oom.bpf.h"

#include "entry.bpf.h"
#include "nativecall.bpf.h"
#include "eval.bpf.h"
#include "usdt.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The third argument of rss_stat, up to 6.1: what the mm's counter is now. One load from the context, as the verifier wants it. */
static __always_inline s64 rt_arg_count(void *ctx)
{
	s64 count;

	asm volatile("%0 = *(u64 *)(%1 + 16)" : "=r"(count) : "r"(ctx));
	return count;
}

/* Two pointers' difference: a number, also to the verifier, which lets no pointer be an argument of a global function that takes numbers. */
static __always_inline u64 rt_plain(u64 pointer, u64 other)
{
	asm volatile("%0 -= %1" : "+r"(pointer) : "r"(other));
	return pointer;
}

static __always_inline int rt_on_rss_stat(void *ctx, struct mm_struct *mm, int member)
{
	u32 kind = rt_kind_of(member), slot = 0;
	struct task_struct *task;
	struct rt_thread *t;
	struct rt_space *s;
	u64 percpu;
	s64 count;

	if (kind == RT_KINDS)
		return 0;
	s = rt_event_space((u64)mm, &slot);
	if (!s)
		return 0;
	task = rt_current_task();
	t = rt_own_thread(s, slot, (u64)mm, task);
	if (t)
		t->busy = 1;
	if (cfg.split) {
		count = rt_arg_count(ctx);
		percpu = 0;
	} else {
		rt_mm_counter(mm, member, count, percpu);
		percpu = rt_plain(percpu, (u64)mm) + s->mm;
	}
	return rt_rss_changed(s, slot, kind, count, percpu, task, t);
}

SEC("tp_btf/rss_stat")
int BPF_PROG(rss_stat_btf, struct mm_struct *mm, int member)
{
	return rt_program(rss_stat_btf, rt_on_rss_stat(ctx, mm, member));
}

static __always_inline int rt_on_rss_stat_raw(u64 *ctx)
{
	struct mm_struct *mm = (struct mm_struct *)ctx[0];
	u32 kind = rt_kind_of((int)ctx[1]), slot = 0;
	struct task_struct *task;
	struct rt_thread *t;
	struct rt_space *s;
	u64 percpu = 0;
	s64 count = 0;

	if (kind == RT_KINDS)
		return 0;
	s = rt_event_space((u64)mm, &slot);
	if (!s)
		return 0;
	if (cfg.split)
		count = rt_arg_count(ctx);
	else if (rt_mm_counter_read(mm, kind, &count, &percpu))
		return 0;
	task = rt_current_task();
	t = rt_own_thread(s, slot, (u64)mm, task);
	if (t)
		t->busy = 1;
	return rt_rss_changed(s, slot, kind, count, percpu, task, t);
}

SEC("raw_tp/rss_stat")
int rss_stat_raw(u64 *ctx)
{
	return rt_program(rss_stat_raw, rt_on_rss_stat_raw(ctx));
}

#ifndef RT_OLD_KERNEL

/* Where a page fault is: noted for the change of RSS that comes of it. */
SEC("tp_btf/page_fault_user")
int BPF_PROG(fault_user, unsigned long address, struct pt_regs *regs, unsigned long error_code)
{
	return rt_program(fault_user, rt_fault_note(address, regs->ip));
}

SEC("tp_btf/page_fault_kernel")
int BPF_PROG(fault_kernel, unsigned long address, struct pt_regs *regs, unsigned long error_code)
{
	return rt_program(fault_kernel, rt_fault_in_kernel(address));
}

/* The entry of a system call that can unmap (src/probe.c: which): what it is about to unmap can still be looked up. */
SEC("kprobe")
int unmap_call(void *ctx)
{
	return rt_program(unmap_call, rt_unmapping());
}

/* Where there are no kprobes: before the lock is taken. It comes with every lock of every address space, and up to 6.13 the kernel makes the name of a memory cgroup for each. */
SEC("tp_btf/mmap_lock_start_locking")
int BPF_PROG(mmap_locking, struct mm_struct *mm)
{
	return rt_program(mmap_locking, rt_unmapping());
}

#endif

/* handle_mm_fault, mm/memory.c: every fault of a user page, also those that the kernel makes for somebody (pinning, MAP_POPULATE). */
SEC("fexit/handle_mm_fault")
int mm_fault_fexit(void *ctx)
{
	return rt_program(mm_fault_fexit, rt_fault_done(false));
}

SEC("kretprobe/handle_mm_fault")
int mm_fault_kretprobe(void *ctx)
{
	return rt_program(mm_fault_kretprobe, rt_fault_done(false));
}

/* Where there is nothing else: at a fault the pages of the one before are seen. */
SEC("tp_btf/page_fault_user")
int mm_fault_user(void *ctx)
{
	return rt_program(mm_fault_user, rt_fault_done(true));
}

SEC("tp_btf/page_fault_kernel")
int mm_fault_kernel(void *ctx)
{
	return rt_program(mm_fault_kernel, rt_fault_done(true));
}

/* Pages go, and come without a fault, inside system calls. */
static __always_inline int rt_on_sys_exit(void)
{
	struct rt_thread *t = rt_thread_of(rt_current_task());
	struct rt_space *s = t ? rt_thread_space(t) : NULL;

	return s ? rt_poll(t, s, RT_PROG_RSS, RT_TAKE_SEVERAL) : 0;
}

SEC("tp_btf/sys_exit")
int mm_sys_exit(void *ctx)
{
	return rt_program(mm_sys_exit, rt_on_sys_exit());
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	return rt_program(process_fork, rt_on_fork(parent, child));
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	return rt_program(process_exec, rt_on_exec(task));
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	return rt_program(process_exit, rt_on_end(task));
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_renamed, struct task_struct *task, const char *comm)
{
	return rt_program(task_renamed, rt_on_rename(task, comm));
}

/* Raw: what its argument is differs from kernel to kernel. */
SEC("raw_tp/mark_victim")
int oom_victim(u64 *ctx)
{
	return rt_program(oom_victim, rt_on_oom(ctx[0]));
}

#ifndef RT_OLD_KERNEL

/*
 * Where these programs can be preempted, one may still be left out: between its beginning and its switching preemption off another thread may come to it. A change of
 * RSS that is left out is found later; a birth, a name or a death is not. So these have seconds, which do what the first has not done.
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork_again, struct task_struct *parent, struct task_struct *child)
{
	return rt_thread_of(child) ? 0 : rt_program(process_fork_again, rt_on_fork(parent, child));
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec_again, struct task_struct *task)
{
	return rt_exec_seen(task) ? 0 : rt_program(process_exec_again, rt_on_exec(task));
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit_again, struct task_struct *task)
{
	return rt_program(process_exit_again, rt_on_end(task));
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_renamed_again, struct task_struct *task, const char *comm)
{
	return rt_program(task_renamed_again, rt_on_rename(task, comm));
}

#endif

static __always_inline int rt_on_switch(struct task_struct *prev)
{
	struct rt_thread *t = rt_thread_of(prev);
	struct rt_space *s;

	if (!t || !rt_of(prev, mm))
		return 0;
	if (cfg.mappings)
		rt_fault_keep(t, (u64)prev);
	if (t->busy) {
		rt_count(RT_C_SHADOW_BUSY);
		return 0;
	}
	s = rt_thread_space(t);
	if (!s || s->mm != (u64)rt_of(prev, mm))
		return 0;
	/* Also of changes whose events were missed: their pages are this thread's, and what it leaves on this CPU may wait there for long. */
	rt_poll(t, s, RT_PROG_SWITCH, cfg.mm_source == RT_MM_RSS_STAT ? RT_TAKE_LEFT : RT_TAKE_SEVERAL);
	/* However young: the process may sleep now for longer than user space waits with what came after it. */
	if (s->remote_since)
		rt_remote_flush(s, ~0ull);
	/* Also a thread that is only preempted: while it is off its CPU another one may allocate on its behalf, in a phase that was not seen yet. */
	rt_count(RT_C_SWITCH_LOOKS);
	rt_glance(t, s, prev, RT_PROG_SWITCH);
	/* Nothing stays behind in a thread that does not run: live output would wait for it. */
	rt_native_rest(t, s, prev);
	if (t->run.active)
		rt_emit_run(t, &t->run, prev, s->image);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switched, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	return rt_program(sched_switched, rt_on_switch(prev));
}

/* A thread that wakes another one of its process may do so in a phase that was not seen yet, and the other one's pages belong to it. */
static __always_inline int rt_on_wake(struct task_struct *other)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);
	struct rt_space *s;

	if (!t || t->busy || rt_of(other, tgid) != rt_of(task, tgid))
		return 0;
	s = rt_thread_space(t);
	if (!s || s->mm != (u64)rt_of(task, mm) || (s->flags & RT_SPACE_ADOPTING))
		return 0;
	rt_count(RT_C_WAKE_LOOKS);
	rt_glance(t, s, task, RT_PROG_WAKE);
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(thread_wakes, struct task_struct *other)
{
	return rt_program(thread_wakes, rt_on_wake(other));
}

static __always_inline int rt_on_sample(void)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);
	struct rt_space *s;

	if (!t || !rt_of(task, mm))
		return 0;
	if (t->busy) {
		rt_count(RT_C_SHADOW_BUSY);
		return 0;
	}
	s = rt_thread_space(t);
	if (!s || s->mm != (u64)rt_of(task, mm))
		return 0;
	rt_count(RT_C_SAMPLES);
	if (cfg.sample_looks)
		rt_glance(t, s, task, RT_PROG_SAMPLE);
	if (s->remote_since)
		rt_remote_flush(s, bpf_ktime_get_ns());
	rt_flush_old(t, s, task, bpf_ktime_get_ns());
	return 0;
}

SEC("perf_event")
int clock_sample(void *ctx)
{
	return rt_program(clock_sample, rt_on_sample());
}

SEC("iter/task")
int adopt_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	return cfg.split ? rt_gather(task) : rt_adopt(task);
}

/* Split counters: after all threads have been gathered. */
SEC("iter/task")
int announce_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	return rt_announce(task);
}

#define RT_FAR (1ll << 62)

static __always_inline s64 rt_nearer(s64 a, s64 b)
{
	return (a < 0 ? -a : a) <= (b < 0 ? -b : b) ? a : b;
}

/* Split counters, at the end: what is in the task's part and in no charge. */
SEC("iter/task")
int compare_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct rt_thread *t;
	struct rt_space *s;

	if (!task)
		return 0;
	t = rt_thread_of(task);
	if (!t || t->tid != (u32)rt_of(task, pid)) /* after vfork: another thread's memory */
		return 0;
	s = rt_thread_space(t);
	if (!s)
		return 0;
	for (u32 k = 0; k < RT_KINDS; k++) {
		s64 off = RT_FAR;

		for (u32 i = 0; i < 3; i++)
			off = rt_nearer(off, (s64)rt_split_part(task, k) - READ_ONCE(t->cache[rt_slot_of(k)]));
		rt_add(&s->drift[rt_slot_of(k)], off);
	}
	return 0;
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
	t = rt_thread_of(task);
	if (!t)
		return 0;
	s = rt_thread_space(t);
	if (!s)
		return 0;
	rt_native_over(t, s, task);
	if (t->run.active)
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

/* Sources on faults: what nobody's fault or system call has told of was done from outside. Split counters: two threads' additions were mistaken for one another
 * (rt_split_added), and the last of them is put right here. */
static __always_inline void rt_settle_remote(struct rt_space *s, u32 slot)
{
	for (u32 k = 0; k < RT_KINDS; k++) {
		struct rt_delta d = {};
		u64 percpu = 0;
		s64 count = 0, v;

		if (cfg.split) {
			count = rt_split_count(s->mm, k);
			v = 0;
		} else if (!rt_mm_counter_read((struct mm_struct *)s->mm, k, &count, &percpu)) {
			v = rt_rescan(slot, percpu, k);
		} else {
			continue;
		}
		v += count - rt_exchange(&s->acc[rt_slot_of(k)], count);
		if (v)
			rt_count(RT_C_RSS_ZERO);
		rt_rss_note(s, k, v, &d);
		if (d.pages)
			rt_remote(s, RT_CAUSE_REMOTE, &d);
	}
	rt_emit_remote(s, RT_CAUSE_REMOTE);
}

/* While a process is waited for: gives up the address space of image ctx[0], whose command line does not match. 0: frees the slots of those given up before. */
SEC("raw_tp/drop_image")
int drop_image(u64 *ctx)
{
	u64 image = ctx[0];

	rt_number_loop(RT_MAX_SPACES, rt_drop_one, image);
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
		if (cfg.split || cfg.mm_source != RT_MM_RSS_STAT)
			rt_settle_remote(s, slot);
		if (cfg.split) { /* compare_tasks adds the tasks' parts */
			for (u32 k = 0; k < RT_KINDS; k++)
				s->drift[rt_slot_of(k)] = 0;
			return 0;
		}
		/* Against a target that runs: a page whose event is under way looks like a difference, but not three times. */
		for (u32 i = 0; i < 3; i++) {
			if (rt_rss_exact(s->mm, s, RT_SLOT_NONE, &exact))
				break;
#pragma unroll
			for (int k = 0; k < RT_KINDS; k++)
				s->drift[k] = rt_nearer(i ? s->drift[k] : RT_FAR, (s64)exact.kind[k] - s->sum[k]);
		}
		return 0;
	}
	r = rt_reserve(struct rt_rec_snap, RT_C_LOST_LIFE);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_SNAP, sizeof(*r), bpf_ktime_get_ns(), s->image, s->pid);
	/* A process in the middle of its teardown: it is shown as it was before. Its end takes the same figures. */
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++) {
		r->pages[k] = s->exit_seen ? s->exit_pages[k] : s->sum[k];
		r->exact[k] = r->pages[k] + s->drift[k];
	}
	r->peak_pages = s->peak;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}
RT_NUMBER_STEPS(rt_snapshot_one)

/* ctx[0] 0: compare the counters with the running sums (everything is still attached); 1: send a SNAP of each space. */
SEC("raw_tp/snapshot")
int snapshot(u64 *ctx)
{
	u64 final = ctx[0];

	rt_number_loop(RT_MAX_SPACES, rt_snapshot_one, final);
	return 0;
}
