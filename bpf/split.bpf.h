/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * split.bpf.h - RSS counters up to Linux 6.1: one per address space, mm->rss_stat.count[], and one per task, task->rss_stat.count[].
 *
 * A fault adds to the task's own part (include/linux/mm.h, SPLIT_RSS_COUNTING; mm/memory.c, add_mm_counter_fast) and fires nothing. The part is folded into the
 * mm's counter when it is 64 events old, at exit, and before anything else is done to the counter (sync_mm_rss): the tracepoint rss_stat comes with each
 * addition to the mm's counter, and says what it is now. So nothing escapes two hooks: the end of a fault, where the task's part is compared with what was last
 * seen of it, and the tracepoint.
 *
 *	sum = acc (what was seen of the mm's counter) + cache of all threads (what was seen of their parts)
 *
 * Each of them moves only together with a charge of the same pages, so charges telescope as those of per-CPU counters do.
 */
#ifndef RT_SPLIT_BPF_H
#define RT_SPLIT_BPF_H

#define RT_HUGE_PAGES 512 /* base pages of a huge one: HPAGE_PMD_NR on x86-64 */

/* MM_FILEPAGES 0, MM_ANONPAGES 1, MM_SHMEMPAGES 3 */
static __always_inline u32 rt_member_of(u32 kind)
{
	return kind == RT_SHMEM ? 3 : kind;
}

static __always_inline s64 rt_split_count(u64 mm, u32 kind)
{
	s64 count = 0;

	bpf_probe_read_kernel(&count, sizeof(count), (void *)(mm + bpf_core_field_offset(struct mm_struct___split, rss_stat) + rt_member_of(kind) * 8));
	return count;
}

/* The task's own part. */
static __always_inline s32 rt_split_part(struct task_struct *task, u32 kind)
{
	s32 part = 0;

	bpf_probe_read_kernel(&part, sizeof(part),
			      (void *)((u64)task + bpf_core_field_offset(struct task_struct___split, rss_stat.count) + rt_member_of(kind) * 4));
	return part;
}

/* A thread becomes known: what its part holds now is in the space's sum from here on. */
static __always_inline void rt_split_join(struct rt_thread *t, struct rt_space *s, struct task_struct *task)
{
	for (u32 k = 0; k < RT_KINDS; k++) {
		s32 part = rt_split_part(task, k);

		t->cache[rt_slot_of(k)] = part;
		if (part)
			rt_add(&s->sum[rt_slot_of(k)], (s64)part);
	}
}

/* How much of `kind` the thread's own part has moved. */
static __always_inline s64 rt_split_poll(struct rt_thread *t, struct task_struct *task, u32 kind)
{
	s32 part = rt_split_part(task, kind);
	s64 v = (s64)part - t->cache[rt_slot_of(kind)];

	t->cache[rt_slot_of(kind)] = part;
	return v;
}

/*
 * The mm's counter of `kind` is now `count`: how many pages moved? `t` is the current thread if the address space is its own.
 *
 * If it is folding, its part is still there: the kernel clears it after this (sync_mm_rss), and the part says how much it is, whatever other threads do meanwhile.
 * Everything else adds to the counter when the part is zero (add_mm_rss_vec folds first), but for a huge page, which is added as it is.
 *
 * For what is not folded the counter is read anew: of two threads that add at a time, the one whose event comes first takes both changes, and the other none, rather
 * than both and back. A fold that another thread is in the middle of is taken as well; its own event puts `acc` ahead by that, and the next one of this kind, or
 * the end of the run, takes it back.
 */
static __always_inline s64 rt_split_added(struct rt_space *s, struct rt_thread *t, struct task_struct *task, u32 kind, s64 count)
{
	s64 v = count - s->acc[rt_slot_of(kind)];

	if (t) {
		s64 part = rt_split_part(task, kind);

		if (part && (v == part || (v != RT_HUGE_PAGES && v != -RT_HUGE_PAGES))) {
			v = part - t->cache[rt_slot_of(kind)];
			t->cache[rt_slot_of(kind)] = 0;
			rt_add(&s->acc[rt_slot_of(kind)], part);
			return v;
		}
	}
	count = rt_split_count(s->mm, kind);
	return count - rt_exchange(&s->acc[rt_slot_of(kind)], count);
}

struct rt_pages;

static __always_inline int rt_split_exact(u64 mm, struct rt_space *s, bool store, struct rt_pages *out)
{
	for (u32 k = 0; k < RT_KINDS; k++) {
		s64 count = rt_split_count(mm, k);

		out->kind[rt_slot_of(k)] = count > 0 ? count : 0;
		if (store) {
			s->acc[rt_slot_of(k)] = count;
			s->sum[rt_slot_of(k)] = count;
		}
	}
	return 0;
}

#endif
