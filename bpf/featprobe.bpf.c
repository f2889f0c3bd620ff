/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * featprobe.bpf.c - one small program per kernel feature; each counts its hits, so that a hook which attaches and never fires is found out.
 *
 * User space (src/kfeat.c) loads one program at a time: what the running kernel lacks then fails alone. Hooks that every process of the machine passes
 * count only the process that asks, which is known by its number in its own PID namespace.
 */
#include "kernel.bpf.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "../include/rt_feat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct bpf_pidns_info { /* include/uapi/linux/bpf.h */
	u32 pid;
	u32 tgid;
};

/* Plain C types: the skeleton shows these to user space. */
const volatile unsigned long long self_dev = 0, self_ino = 0; /* of our PID namespace */
const volatile unsigned int self_tgid = 0;			       /* our number in it */

unsigned long long hits[RT_FEATS];

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} probe_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} probe_storage SEC(".maps");

static __always_inline int rt_hit(enum rt_feat feat)
{
	__sync_fetch_and_add(&hits[feat], 1);
	return 0;
}

static __always_inline bool rt_is_self(void)
{
	struct bpf_pidns_info info = {};

	return !bpf_get_ns_current_pid_tgid(self_dev, self_ino, (void *)&info, sizeof(info)) && info.tgid == self_tgid;
}

static __always_inline int rt_hit_self(enum rt_feat feat)
{
	return rt_is_self() ? rt_hit(feat) : 0;
}

SEC("tp_btf/rss_stat")
int feat_rss_btf(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_RSS_BTF);
}

SEC("raw_tp/rss_stat")
int feat_rss_raw(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_RSS_RAW);
}

SEC("fexit/handle_mm_fault")
int feat_fexit(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_FEXIT);
}

SEC("kprobe/handle_mm_fault")
int feat_kprobe(void *ctx)
{
	return rt_hit_self(RT_FEAT_KPROBE);
}

SEC("kretprobe/handle_mm_fault")
int feat_kretprobe(void *ctx)
{
	return rt_hit_self(RT_FEAT_KRETPROBE);
}

SEC("raw_tp/page_fault_user")
int feat_page_fault(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_PAGE_FAULT);
}

SEC("tp_btf/sched_switch")
int feat_switch(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_SWITCH);
}

SEC("tp_btf/sched_process_fork")
int feat_fork(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_FORK);
}

/* Exec and exit come from a child that we start: whoever else does so meanwhile proves the same. */
SEC("tp_btf/sched_process_exec")
int feat_exec(u64 *ctx)
{
	return rt_hit(RT_FEAT_EXEC);
}

SEC("tp_btf/sched_process_exit")
int feat_exit(u64 *ctx)
{
	return rt_hit(RT_FEAT_EXIT);
}

SEC("tp_btf/task_rename")
int feat_rename(u64 *ctx)
{
	return rt_hit_self(RT_FEAT_RENAME);
}

SEC("iter/task")
int feat_iter_task(struct bpf_iter__task *ctx)
{
	return ctx->task ? rt_hit(RT_FEAT_ITER_TASK) : 0;
}

/* What was stored with a task is there again. */
SEC("tp_btf/task_rename")
int feat_task_storage(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 *value;

	if (!rt_is_self())
		return 0;
	value = bpf_task_storage_get(&probe_storage, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!value)
		return 0;
	*value = 1;
	value = bpf_task_storage_get(&probe_storage, task, NULL, 0);
	return value && *value == 1 ? rt_hit(RT_FEAT_TASK_STORAGE) : 0;
}

static long rt_loop_once(u32 round, void *ctx)
{
	rt_hit(RT_FEAT_LOOP);
	return 0;
}

SEC("raw_tp/task_rename")
int feat_loop(u64 *ctx)
{
	if (rt_is_self())
		bpf_loop(RT_FEAT_LOOPS, rt_loop_once, NULL, 0);
	return 0;
}

SEC("raw_tp/task_rename")
int feat_ringbuf(u64 *ctx)
{
	u64 *record;

	if (!rt_is_self())
		return 0;
	record = bpf_ringbuf_reserve(&probe_ring, sizeof(*record), 0);
	if (!record)
		return 0;
	*record = RT_FEAT_RINGBUF;
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("raw_tp/run_on_cpu")
int feat_run_on_cpu(u64 *ctx)
{
	return rt_hit(RT_FEAT_RUN_ON_CPU);
}

SEC("perf_event")
int feat_clock(void *ctx)
{
	return rt_hit_self(RT_FEAT_CLOCK);
}

SEC("raw_tp/mark_victim")
int feat_oom(u64 *ctx)
{
	return rt_hit(RT_FEAT_OOM);
}

SEC("uprobe")
int feat_uprobe(void *ctx)
{
	return rt_hit_self(RT_FEAT_UPROBE);
}
