/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * cost.bpf.h - around each program: its runs are counted and some of them timed, and preemption is off where a tracepoint's programs could be preempted.
 */
#ifndef RT_COST_BPF_H
#define RT_COST_BPF_H

#include "state.bpf.h"

#include "../include/rt_cost.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RT_COST_IDS);
	__type(key, u32);
	__type(value, struct rt_cost);
} costs SEC(".maps");

/* A program runs once at a time on a CPU, so that what it notes there is its own; only one on a uprobe can be preempted by another thread's, and a run be told wrong. */
static __always_inline void rt_cost_begin(u32 id)
{
	struct rt_cost *c = bpf_map_lookup_elem(&costs, &id);

	if (!c)
		return;
	c->runs++;
	c->since = c->runs <= RT_COST_FIRST || !(c->runs & (RT_COST_EACH - 1)) ? bpf_ktime_get_ns() : 0;
}

static __always_inline void rt_cost_end(u32 id)
{
	struct rt_cost *c = bpf_map_lookup_elem(&costs, &id);

	if (!c || !c->since)
		return;
	if (c->runs <= RT_COST_FIRST) {
		c->first_ns += bpf_ktime_get_ns() - c->since;
	} else {
		c->timed++;
		c->ns += bpf_ktime_get_ns() - c->since;
	}
}

#ifdef RT_OLD_KERNEL
#define rt_preemption_off() ((void)0)
#define rt_preemption_on() ((void)0)
#else
/*
 * From 7.0 on the programs of tracepoints can be preempted (include/linux/tracepoint.h: SRCU-fast, no longer with preemption off), and the kernel leaves one out for
 * whoever comes to it on a CPU where it is under way for a thread that was preempted. So these switch preemption off (kfuncs of 6.10).
 */
extern void bpf_preempt_disable(void) __attribute__((section(".ksyms"), weak));
extern void bpf_preempt_enable(void) __attribute__((section(".ksyms"), weak));

#define rt_preemption_off()                     \
	do {                                    \
		if (cfg.preempted)              \
			bpf_preempt_disable();  \
	} while (0)
#define rt_preemption_on()                      \
	do {                                    \
		if (cfg.preempted)              \
			bpf_preempt_enable();   \
	} while (0)
#endif

/* The work of the program `name`, and its result. */
#define rt_program(name, work)               \
	({                                   \
		int result_;                 \
                                             \
		rt_preemption_off();         \
		rt_cost_begin(RT_COST_##name); \
		result_ = (work);            \
		rt_cost_end(RT_COST_##name); \
		rt_preemption_on();          \
		result_;                     \
	})

#endif
