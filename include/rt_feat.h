/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_feat.h - what is asked of a kernel, one number each: shared by bpf/featprobe.bpf.c, which counts there how often a hook fired,
 * and src/kfeat.c, which tries them.
 */
#ifndef RT_FEAT_H
#define RT_FEAT_H

enum rt_feat {
	RT_FEAT_BTF,	      /* type information of the kernel */
	RT_FEAT_RINGBUF,      /* ring buffer, and a record that comes through it */
	RT_FEAT_RSS_BTF,      /* tracepoint rss_stat, typed */
	RT_FEAT_RSS_RAW,      /* the same, raw */
	RT_FEAT_FEXIT,	      /* fexit of handle_mm_fault */
	RT_FEAT_KPROBE,	      /* kprobe on handle_mm_fault */
	RT_FEAT_KRETPROBE,    /* kretprobe on it */
	RT_FEAT_PAGE_FAULT,   /* tracepoint exceptions:page_fault_user */
	RT_FEAT_SWITCH,	      /* tracepoint sched_switch */
	RT_FEAT_FORK,	      /* tracepoint sched_process_fork */
	RT_FEAT_EXEC,	      /* tracepoint sched_process_exec */
	RT_FEAT_EXIT,	      /* tracepoint sched_process_exit */
	RT_FEAT_RENAME,	      /* tracepoint task_rename */
	RT_FEAT_ITER_TASK,    /* iterator over tasks */
	RT_FEAT_TASK_STORAGE, /* task storage, and the current task as a typed pointer */
	RT_FEAT_LOOP,	      /* bpf_loop */
	RT_FEAT_RUN_ON_CPU,   /* a program run on a CPU of our choice */
	RT_FEAT_CLOCK,	      /* perf's software clock with a BPF program */
	RT_FEAT_UPROBE,	      /* entry probe on a user function */
	RT_FEAT_OOM,	      /* tracepoint oom:mark_victim: attached only, nobody provokes it */
	RT_FEATS,
};

#define RT_FEAT_LOOPS 8 /* rounds of the loop that RT_FEAT_LOOP counts */

#endif
