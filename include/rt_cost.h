/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_cost.h - how often each program ran and how long it took, as the programs themselves count it (map `costs`).
 *
 * The kernel's own statistics (BPF_STATS_RUN_TIME) read the clock twice in every run of every BPF program of the machine: half of what a small program takes. Here every run is
 * counted, but only the first ones and then one of RT_COST_EACH are timed.
 */
#ifndef RT_COST_H
#define RT_COST_H

#include "rt_abi.h"

/* Programs that are attached; by their names in the object. */
#define RT_COSTS(X)                                                                                                                           \
	X(rss_stat_btf) X(rss_stat_raw) X(fault_user) X(fault_kernel) X(mmap_locking) X(unmap_call) X(mm_fault_fexit) X(mm_fault_kretprobe) X(mm_fault_user) \
	X(mm_fault_kernel) X(mm_sys_exit) X(process_fork) X(process_exec) X(process_exit) X(task_renamed) X(process_fork_again)               \
	X(process_exec_again) X(process_exit_again) X(task_renamed_again) X(sched_switched) X(thread_wakes) X(clock_sample) X(eval_entry) X(push_entry) X(watch_hit)               \
	X(usdt_entry) X(usdt_return) X(native_call) X(native_lock) X(native_unlock) X(oom_victim)

enum rt_cost_id {
#define RT_COST_ID(name) RT_COST_##name,
	RT_COSTS(RT_COST_ID)
#undef RT_COST_ID
	RT_COST_IDS,
};

#define RT_COST_FIRST 64 /* runs that are all timed */
#define RT_COST_EACH 64	 /* then one of so many: a power of two */

/* One program on one CPU; times in nanoseconds. */
struct rt_cost {
	__rt_u64 runs;
	__rt_u64 first_ns; /* that the first RT_COST_FIRST took */
	__rt_u64 timed;	   /* of the others */
	__rt_u64 ns;	   /* that these took */
	__rt_u64 since;	   /* the run in progress is timed since then; 0: it is not */
};

#endif
