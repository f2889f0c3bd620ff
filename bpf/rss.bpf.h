/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rss.bpf.h - kernel RSS counters -> (address space, kind, signed pages), exact.
 *
 * From 6.2 on mm->rss_stat[] is an array of struct percpu_counter, and the tracepoint rss_stat fires after every change, on the CPU whose part
 * changed. So a change is the difference of that CPU's part to what it was at the last event there; when the part overflows it is folded into
 * `count` and begins at zero again (lib/percpu_counter.c, percpu_counter_add_batch), and the difference of `count` is part of the change.
 *
 * What has been seen of each part (and of `count`) is exchanged atomically, so every page is charged exactly once and the running sums
 * telescope: whatever slipped between a counter and its event (preemption between the two, a missed event) is charged to the next event.
 */
#ifndef RT_RSS_BPF_H
#define RT_RSS_BPF_H

#include "emit.bpf.h"

struct rt_scan {
	u64 counters;
	s64 sum;
	u32 base;
	u32 kind;
};

/* One CPU's part: take what moved since it was last seen. */
static long rt_scan_cpu(u32 cpu, struct rt_scan *s)
{
	u32 key = s->base + cpu, kind = s->kind;
	struct rt_parts *p = bpf_map_lookup_elem(&parts, &key);
	u64 *offset = bpf_map_lookup_elem(&cpu_offset, &cpu);
	s32 part;

	if (!p || !offset || !*offset || kind >= RT_KINDS)
		return 0;
	if (bpf_probe_read_kernel(&part, sizeof(part), (void *)(s->counters + *offset)))
		return 0;
	s->sum += (s64)part - rt_exchange(&p->last[rt_slot_of(kind)], (s64)part);
	return 0;
}

static RT_APART s64 rt_rescan(u32 slot, u64 counters, u32 kind)
{
	struct rt_scan s = {.counters = counters, .base = slot * cfg.cpus, .kind = kind};

	rt_loop(cfg.cpus, cfg.cpus, rt_scan_cpu, &s);
	return s.sum;
}

/* kind of a counter member, or RT_KINDS for one that is no part of RSS. */
static __always_inline u32 rt_kind_of(int member)
{
	switch (member) {
	case 0:
		return RT_FILE;
	case 1:
		return RT_ANON;
	case 3:
		return RT_SHMEM;
	}
	return RT_KINDS;
}

/* The counters of an mm: by direct loads where `mm` is a trusted pointer. */
#define rt_mm_counter(mm, member, count_, counters_)                             \
	do {                                                                     \
		switch (member) {                                                \
		case 0:                                                          \
			count_ = (mm)->rss_stat[0].count;                        \
			counters_ = (u64)(mm)->rss_stat[0].counters;             \
			break;                                                   \
		case 1:                                                          \
			count_ = (mm)->rss_stat[1].count;                        \
			counters_ = (u64)(mm)->rss_stat[1].counters;             \
			break;                                                   \
		default:                                                         \
			count_ = (mm)->rss_stat[3].count;                        \
			counters_ = (u64)(mm)->rss_stat[3].counters;             \
			break;                                                   \
		}                                                                \
	} while (0)

/* The same for an untrusted address. */
static RT_APART int rt_mm_counter_read(struct mm_struct *mm, u32 kind, s64 *count, u64 *percpu)
{
	s32 *c = NULL;
	int err;

	switch (kind) {
	case RT_FILE:
		err = bpf_core_read(count, sizeof(*count), &mm->rss_stat[0].count);
		err |= bpf_core_read(&c, sizeof(c), &mm->rss_stat[0].counters);
		break;
	case RT_ANON:
		err = bpf_core_read(count, sizeof(*count), &mm->rss_stat[1].count);
		err |= bpf_core_read(&c, sizeof(c), &mm->rss_stat[1].counters);
		break;
	default:
		err = bpf_core_read(count, sizeof(*count), &mm->rss_stat[3].count);
		err |= bpf_core_read(&c, sizeof(c), &mm->rss_stat[3].counters);
		break;
	}
	*percpu = (u64)c;
	return err;
}

/* v pages of `kind` moved: fills in *d and brings the running totals up to date. */
static RT_APART int rt_rss_note(struct rt_space *s, u32 kind, s64 v, struct rt_delta *d)
{
	s64 total;

	d->pages = v;
	d->kind = kind;
	d->reused = 0;
	d->prog = RT_PROG_RSS;
	if (!v || kind >= RT_KINDS)
		return 0;
	d->before[RT_FILE] = s->sum[RT_FILE];
	d->before[RT_ANON] = s->sum[RT_ANON];
	d->before[RT_SHMEM] = s->sum[RT_SHMEM];
	rt_add(&s->sum[rt_slot_of(kind)], v);
	if (v < 0) {
		rt_add(&s->pool, -v);
	} else {
		s64 pool = s->pool;

		if (pool > 0) {
			d->reused = pool < v ? pool : v;
			rt_add(&s->pool, -(s64)d->reused);
		}
		total = d->before[RT_FILE] + d->before[RT_ANON] + d->before[RT_SHMEM] + v;
		if (total > (s64)s->peak)
			s->peak = total;
	}
	return 0;
}

/* What is asked of rt_rss_take, in one argument. */
#define RT_TAKE(slot, kind, how) ((u64)(slot) | (u64)(kind) << 32 | (u64)(how) << 40)
#define RT_TAKE_ONE 0	 /* at most one change was made since the thread was last asked */
#define RT_TAKE_EVENT 1	 /* exactly one was: if it is not on this CPU, it is on another one */
#define RT_TAKE_SEVERAL 2 /* any number: after a fold of its own, the part may have moved again */
#define RT_TAKE_ALL 3	 /* whatever there is, on all CPUs */
#define RT_TAKE_LEFT 4	 /* what a missed event left in this CPU's part, or none */

struct rt_folds {
	u64 counters;
	s64 parts; /* of the others that folded: what had been seen of their parts before */
	s64 folds; /* and one change more of the usual size of each */
	u32 base;
	u32 kind;
	u32 cpu; /* ours */
	u32 n;
};

/* A CPU whose fold nobody has taken: its part is zero, and was not when it was last seen. */
static long rt_folds_cpu(u32 cpu, struct rt_folds *f)
{
	u32 key = f->base + cpu, kind = f->kind;
	struct rt_parts *p = bpf_map_lookup_elem(&parts, &key);
	u64 *offset = bpf_map_lookup_elem(&cpu_offset, &cpu);
	s32 part;
	s64 last;

	if (cpu == f->cpu || !p || !offset || !*offset || kind >= RT_KINDS)
		return 0;
	last = READ_ONCE(p->last[rt_slot_of(kind)]);
	if (!last || bpf_probe_read_kernel(&part, sizeof(part), (void *)(f->counters + *offset)) || part)
		return 0;
	f->parts += last;
	f->folds += last + p->usual[rt_slot_of(kind)];
	f->n++;
	return 0;
}

/* Would the kernel have folded this? */
static __always_inline bool rt_is_fold(s64 pages)
{
	return pages >= (s64)cfg.batch || pages <= -(s64)cfg.batch;
}

/* Can `count` have moved by `more` in two steps, this CPU's and others'? */
static __always_inline bool rt_are_folds(s64 own, s64 more)
{
	return rt_is_fold(own) && rt_is_fold(more - own);
}

/* Does the running thread serve a fault of user space? Those gain pages: one may be lost, when a file's page is copied. */
static __always_inline bool rt_in_fault(void)
{
#ifdef RT_OLD_KERNEL
	return false;
#else
	struct task_struct *task = bpf_get_current_task_btf();

	return !(task->flags & PF_KTHREAD) && (s64)((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax == -1; /* else the number of a system call */
#endif
}

static __always_inline s64 rt_share(s64 pages, u32 n)
{
	u64 share = (u64)(pages < 0 ? -pages : pages) / n;

	return pages < 0 ? -(s64)share : (s64)share;
}

/* `count` moved by `more` since it was last taken, and our part, of which `last` had been seen, is zero: how much of `more` did this CPU fold? All of it, unless
 * another one has folded meanwhile, whose event is still to come. Each folded what had been seen of its part and one change more. Only the sum of these changes is
 * known, but changes come in streams of the same size: ours is taken to be as large as the last one here, else the others' as large as their last ones, else all as
 * large as one another. Global for the verifier's sake, like rt_rss_take. */
__noinline s64 rt_fold_own(u64 what, u64 counters, s64 last, s64 usual, s64 more)
{
	u32 kind = (what >> 32) & 0xff;
	struct rt_folds f = {.counters = counters, .kind = kind, .base = (u32)what * cfg.cpus, .cpu = bpf_get_smp_processor_id()};
	s64 change = more - last, own = last + usual;

	/* Other sources ask after any number of changes: then neither their sum nor another CPU's part says anything of one. */
	if (cfg.mm_source != RT_MM_RSS_STAT || change == usual)
		return more;
	rt_loop(cfg.cpus, cfg.cpus, rt_folds_cpu, &f);
	if (!f.n && change <= (s64)cfg.change_max && change >= (rt_in_fault() ? -1 : -(s64)cfg.change_max))
		return more;
	/* Own may be nothing: the part fell to zero without a fold. */
	if (own ? !rt_are_folds(own, more) : !rt_is_fold(more)) {
		own = more - f.folds;
		if (!f.n || !rt_are_folds(own, more))
			own = last + rt_share(change - f.parts, (f.n ? f.n : 1) + 1);
		if (!rt_are_folds(own, more))
			return more;
	}
	rt_count(RT_C_RSS_MET);
	return own;
}

/* Our part is zero: takes what this CPU folded into `count`. */
static RT_APART s64 rt_fold_take(struct rt_space *s, u64 what, u64 counters, s64 last, s64 usual)
{
	u32 kind = (what >> 32) & 0xff;

	for (int i = 0; i < 4; i++) {
		s64 seen = READ_ONCE(s->acc[rt_slot_of(kind)]), count, own;
		u64 unused;

		/* As it is now, not as it was when the event began: another CPU may have taken what is younger since. */
		if (rt_mm_counter_read((struct mm_struct *)s->mm, kind, &count, &unused) || count == seen)
			return 0;
		if (!last && cfg.mm_source == RT_MM_RSS_STAT && !rt_is_fold(count - seen))
			return 0;
		own = rt_fold_own(what, counters, last, usual, count - seen);
		if (rt_swapped(&s->acc[rt_slot_of(kind)], seen, seen + own))
			return own;
	}
	return 0; /* others fold all the time; the next event here takes it */
}

/* Per-CPU counters: how many pages of a kind moved on this CPU and in `count`. A function of its own: what it needs of the stack is not there any more when the
 * thread is looked at. A global one: checked once, not on each path to it, which took three quarters of the time of loading all programs. */
RT_GLOBAL s64 rt_rss_take(struct rt_space *s, u64 what, s64 count, u64 percpu)
{
	u32 id = bpf_get_smp_processor_id(), slot = (u32)what, kind = (what >> 32) & 0xff, key = slot * cfg.cpus + id, zero = 0;
	struct rt_parts *p = bpf_map_lookup_elem(&parts, &key);
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	u32 how = what >> 40;
	s32 part = 0;
	s64 v, last, folded = 0;

	if (cfg.split || !s || !p || !cpu || kind >= RT_KINDS)
		return 0;
	if (!cpu->offset) {
		u64 *offset = bpf_map_lookup_elem(&cpu_offset, &id);

		if (offset)
			cpu->offset = *offset;
	}
	if (bpf_probe_read_kernel(&part, sizeof(part), (void *)(percpu + cpu->offset)))
		return 0;
	last = p->last[rt_slot_of(kind)];
	v = (s64)part - last;
	/* Our own fold leaves a part of zero. If `count` moved and our part is not zero, another CPU folded and its own event takes it. First `count`, then the part: as
	 * long as that is not taken, others see that there is a fold. */
	if (part == 0 && how != RT_TAKE_ALL && (v || how != RT_TAKE_LEFT))
		folded = rt_fold_take(s, what, percpu, last, p->usual[rt_slot_of(kind)]);
	if (v)
		v = (s64)part - rt_exchange(&p->last[rt_slot_of(kind)], (s64)part);
	/* Nothing here: the thread has come to another CPU since it changed the counter. What it left there is a part, or a fold of it and a part of zero: both are
	 * taken, or the fold's pages would be this thread's and what the part lost the next one's. */
	if (v == 0 && folded == 0 && how == RT_TAKE_EVENT) {
		rt_count(RT_C_RSS_ZERO);
		v = rt_rescan(slot, percpu, kind);
		how = RT_TAKE_ALL;
	} else if (how == RT_TAKE_ALL) {
		v += rt_rescan(slot, percpu, kind);
	}
	v += folded;
	if ((how == RT_TAKE_ALL || (how == RT_TAKE_SEVERAL && v && part)) && !rt_mm_counter_read((struct mm_struct *)s->mm, kind, &count, &percpu) &&
	    count != s->acc[rt_slot_of(kind)])
		v += count - rt_exchange(&s->acc[rt_slot_of(kind)], count);
	if (v && v != p->usual[rt_slot_of(kind)])
		p->usual[rt_slot_of(kind)] = v == (s16)v ? v : 0;
	return v;
}

struct rt_pages {
	u64 kind[RT_KIND_SLOTS];
};

struct rt_exact {
	u64 counters;
	s64 sum;
	u32 base;
	u32 kind;
	u32 store; /* remember the parts as seen */
};

static long rt_exact_cpu(u32 cpu, struct rt_exact *x)
{
	u64 *offset = bpf_map_lookup_elem(&cpu_offset, &cpu);
	u32 key = x->base + cpu, kind = x->kind;
	s32 part;

	if (!offset || !*offset || bpf_probe_read_kernel(&part, sizeof(part), (void *)(x->counters + *offset)))
		part = 0;
	x->sum += part;
	if (x->store) {
		struct rt_parts *p = bpf_map_lookup_elem(&parts, &key);

		if (p && kind < RT_KINDS)
			p->last[rt_slot_of(kind)] = part;
	}
	return 0;
}

#include "split.bpf.h"

/* The counters added up over all CPUs (split counters: without the tasks' parts). With `slot` other than RT_SLOT_NONE they become the space's starting point: not atomic against a
 * running target, but what moves meanwhile shows in the next event of that CPU. */
RT_GLOBAL int rt_rss_exact(u64 mm_addr, struct rt_space *s, u32 slot, struct rt_pages *out)
{
	struct mm_struct *mm = (struct mm_struct *)mm_addr;

	if (!s || !out)
		return -1;
	if (cfg.split)
		return rt_split_exact(mm_addr, s, slot != RT_SLOT_NONE, out);
	for (u32 kind = 0; kind < RT_KINDS; kind++) {
		s64 count = 0, again = 0;
		struct rt_exact x = {.kind = kind, .base = slot * cfg.cpus, .store = slot != RT_SLOT_NONE};

		for (int i = 0; i < 4; i++) {
			if (rt_mm_counter_read(mm, kind, &count, &x.counters))
				return -1;
			x.sum = count;
			rt_loop(cfg.cpus, cfg.cpus, rt_exact_cpu, &x);
			if (rt_mm_counter_read(mm, kind, &again, &x.counters))
				return -1;
			if (again == count)
				break; /* no fold in between */
		}
		out->kind[rt_slot_of(kind)] = x.sum > 0 ? x.sum : 0;
		if (slot != RT_SLOT_NONE) {
			s->acc[rt_slot_of(kind)] = count;
			s->sum[rt_slot_of(kind)] = x.sum;
		}
	}
	return 0;
}

/* After a space has become visible: what moved between the reading of its counters and that moment, which no event has claimed. It belongs to the starting
 * point, like everything before. */
RT_GLOBAL int rt_rss_settle(struct rt_space *s, u32 slot, struct rt_pages *base)
{
	if (!s || !base || cfg.split)
		return 0;
	for (u32 kind = 0; kind < RT_KINDS; kind++) {
		u64 percpu = 0;
		s64 count = 0, moved;

		if (rt_mm_counter_read((struct mm_struct *)s->mm, kind, &count, &percpu))
			continue;
		moved = rt_rescan(slot, percpu, kind);
		moved += count - rt_exchange(&s->acc[rt_slot_of(kind)], count);
		if (moved)
			rt_add(&s->sum[rt_slot_of(kind)], moved);
		base->kind[rt_slot_of(kind)] += moved;
	}
	return 0;
}

#endif
