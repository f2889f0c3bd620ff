/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * skel.h - the BPF object that this kernel can run, behind one form: build/ramtrack.bpf.o where there are bpf_loop and task storage (5.17 and newer),
 * build/ramtrack_old.bpf.o below (bpf/compat.bpf.h). Members have the names that skeletons give them. skel.c is the only includer of both skeletons.
 */
#ifndef RT_SKEL_H
#define RT_SKEL_H

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "rt_config.h"

/* A map or program that one of the two objects lacks is NULL. */
#define RT_SKEL_MAPS(X) X(bins) X(code_scratch) X(costs) X(counters) X(cpu_offset) X(node_cache) X(names) X(parts) X(pyoffs) X(ring) X(targets) X(turn) X(free_shadows) X(shadows) X(shadow_pool) X(map_ids) X(watches) X(native_sites) X(native_hits)
#define RT_SKEL_PROGS(X)                                                                                                          \
	X(adopt_tasks) X(announce_tasks) X(clock_sample) X(compare_tasks) X(drop_image) X(eval_entry) X(fault_kernel) X(fault_user) X(flush_tasks) X(mm_fault_fexit)          \
	X(mm_fault_kernel) X(mm_fault_kretprobe) X(mm_fault_user) X(mm_sys_exit) X(mmap_locking) X(unmap_call) X(process_exec) X(process_exit) X(process_fork) X(process_exec_again) X(process_exit_again) X(process_fork_again) X(task_renamed_again)  \
	X(rss_stat_btf) X(rss_stat_raw) X(sched_switched) X(setup_cpu) X(snapshot) X(task_renamed) X(thread_wakes) X(watch_hit) X(push_entry) X(usdt_entry) X(usdt_return) X(native_call) X(native_lock) X(native_unlock) X(oom_victim)

struct ramtrack;
struct ramtrack_old;

struct rt_skel {
#define MEMBER(name) struct bpf_map *name;
	struct {
		RT_SKEL_MAPS(MEMBER)
	} maps;
#undef MEMBER
#define MEMBER(name) struct bpf_program *name;
	struct {
		RT_SKEL_PROGS(MEMBER)
	} progs;
#undef MEMBER
	/* Filled in and destroyed by whoever attaches. */
#define MEMBER(name) struct bpf_link *name;
	struct {
		RT_SKEL_PROGS(MEMBER)
	} links;
#undef MEMBER
	struct rt_skel_rodata {
		struct rt_config cfg;
	} *rodata; /* to be set before rt_skel_load */
	struct rt_skel_bss {
		struct rt_globals globals;
	} *bss; /* there after rt_skel_load */
	struct bpf_object *obj;
	struct ramtrack *now; /* one of the two */
	struct ramtrack_old *old;
};

/* Which object does this kernel need? 0: today's; 1: the one for kernels before 5.17; -errno: it has no BPF ring buffer (before 5.8), so neither can run.
 * Found out by tiny loads, not by its version. Where nothing may be loaded at all, the answer is 0, and loading will say why. */
int rt_skel_probe(void);

/* NULL with errno set if there is no memory. */
struct rt_skel *rt_skel_open(bool old);

/* Returns 0 or -errno. */
int rt_skel_load(struct rt_skel *skel);

void rt_skel_destroy(struct rt_skel *skel);

/* Before 5.11 maps count against RLIMIT_MEMLOCK: as much of it as can be had. Returns false if what there is may be too little for `bytes`. */
bool rt_skel_raise_memlock(unsigned long long bytes);

#endif
