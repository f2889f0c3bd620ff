/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * probe_in.h - inside of probe.h: the kernel side while a run lasts (probe.c), how it comes to be (probe_kernel.c, probe_load.c), what it has counted and cost (probe_cost.c).
 *
 * Functions that return an int give an exit status (enum rt_status) with the reason logged, unless said otherwise.
 */
#ifndef RT_PROBE_IN_H
#define RT_PROBE_IN_H

#include <bpf/libbpf.h>

#include "probe.h"
#include "rt_config.h" /* RT_MAX_PYOFFS */
#include "skel.h"

#define ASK_DOCTOR "; run: ramtrack-bpf doctor" /* how every refusal ends: it says what is missing, and why */

#define RT_UNMAP_CALLS 4 /* system calls that can unmap: munmap, mremap, shmdt, mmap */

struct rt_probe {
	struct rt_skel *skel;
	struct ring_buffer *ring;
	rt_record_fn on_record;
	void *ctx;
	struct rt_probe_config config;
	int cpus;
	bool raw;   /* rss_stat as a raw tracepoint */
	bool split; /* the kernel's RSS counters are split per task */
	bool locks; /* the kernel tells of the locks of address spaces */
	bool mappings; /* pages are told apart by mapping */
	bool locking;  /* the kernel tells when the lock of an address space is asked for: the second choice for pages that munmap takes */
	bool native_refused; /* the verifier takes the programs without those for native functions only */
	bool calls_refused; /* the verifier takes the programs without those that tell of calls only */
	bool mappings_refused; /* the verifier takes the programs without them only */
	bool oom_refused;   /* the verifier takes the programs without the one for OOM kills only */
	bool short_memlock; /* the limit on locked memory is low and could not be raised */
	bool old;   /* the BPF object for kernels before 5.17 */
	enum rt_mm_source source;
	struct bpf_link **samples; /* one per CPU */
	struct bpf_link *unmaps[RT_UNMAP_CALLS]; /* all or none */
	uint32_t n_pyoffs;
	struct rt_pyoff pyoffs[RT_MAX_PYOFFS];
	struct rt_probe_cost final_cost; /* kept when programs are detached */
};

/* ---- probe_kernel.c: what the running kernel has, by its BTF ---- */

/* Is there BTF at all? And are the RSS counters per-CPU counters (6.2 and newer), or split per task (`split`)? */
int rt_probe_check_kernel(bool *split);

/* Sets probe->mappings, locking and locks, by the configuration, the source and the kernel. Mappings need to know where a page fault is, and better also when something is about
 * to be unmapped. The source of last resort tells of a fault's pages only at the next one. */
void rt_probe_check_mappings(struct rt_probe *probe);

/* Can the programs of tracepoints be preempted? No BTF and no config says so: from Linux 7.0 on. */
bool rt_probe_preempted(void);

/* ---- probe_cost.c ---- */

/* How often a program (enum rt_cost_id) has run; 0 also if that cannot be read. */
uint64_t rt_probe_runs(const struct rt_probe *probe, uint32_t id);

/* ---- probe_load.c ---- */

/* What libbpf says meanwhile is shown to nobody, and no part of an error to come: something is tried that need not be there. */
void rt_probe_hush(bool on);

/* Does this source come with the tracepoint rss_stat? */
bool rt_probe_uses_rss_stat(const struct rt_probe *probe);

/* Are the programs for static probes of the interpreter to be loaded, or were they? */
bool rt_probe_loads_usdt(const struct rt_probe *probe);

/* The kernel refused `what` with `err` (-errno): says so with libbpf's own words and what to do. Returns the exit status that it deserves. */
int rt_probe_refused(const char *what, int err);

#endif
