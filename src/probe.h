/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * probe.h - the kernel side, from user space: loads and attaches the BPF programs, hands over what they send. Parts: probe_in.h.
 *
 * Functions that can fail log the reason and return an exit status of the tool (enum rt_status), 0 for success.
 */
#ifndef RT_PROBE_H
#define RT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mmsource.h"
#include "report.h" /* struct rt_prog_cost */
#include "rt_abi.h"
#include "rt_bin.h"
#include "rt_pyoff.h"

enum rt_status { /* exit statuses of the tool */
	RT_OK = 0,
	RT_ERROR = 1,
	RT_USAGE = 2,
	RT_NO_TARGET = 3,
	RT_NO_PRIVILEGE = 4,
	RT_NO_FEATURE = 5,
	RT_INCOMPLETE = 6,
	RT_OVER_BUDGET = 7,
};

struct bpf_program;
struct rt_probe;

struct rt_probe_config {
	bool follow;		 /* descendants too */
	bool want_line_tables;	 /* of every code object */
	enum rt_mm_source mm_source; /* RT_MM_AUTO: the first that this kernel takes */
	bool mappings;		 /* tell pages apart by mapping */
	bool native;		 /* the programs for native functions as well, where the kernel takes them */
	bool every_move;	 /* a run at every look that finds another stack, for other profiles than this one's */
	bool usdt;		 /* the programs for static probes of the interpreter */
	bool usdt_may_lack;	 /* where the kernel does not take them, do without */
	bool push;		 /* the program for _PyEvalFramePushAndInit, where the kernel takes it */
	bool watch;		 /* the program for watchpoints as well, where the kernel takes it */
	bool force_old;		 /* the programs for kernels before 5.17 even where today's would do */
	bool force_raw;		 /* rss_stat as a raw tracepoint even where BTF would do */
	unsigned int sample_hz;	 /* 0: clock samples only flush */
};

/* Called for each record; must return quickly. The record lies in the ring buffer: valid during the call only. */
typedef void (*rt_record_fn)(void *ctx, const void *record, size_t size);

/* Loads everything, attaches nothing yet. *out is to be closed with rt_probe_close. */
int rt_probe_open(const struct rt_probe_config *config, rt_record_fn on_record, void *ctx, struct rt_probe **out);
void rt_probe_close(struct rt_probe *probe);

/* Are pages told apart by mapping? Asked for, and possible on this kernel with this source. */
bool rt_probe_mappings(const struct rt_probe *probe);

/* The source of RSS changes in use, and its hook: "tp_btf", "raw_tp", "fexit", ... */
enum rt_mm_source rt_probe_source(const struct rt_probe *probe);
const char *rt_probe_hook(const struct rt_probe *probe);

/* Names of the profile: `flags` is enum rt_name_flags; `file` may be NULL: any file. */
int rt_probe_add_name(struct rt_probe *probe, const char *function, const char *file, uint32_t flags);

/* An executable and, if there is Python in it, its layout. `bin->pyoff` is filled in here. */
int rt_probe_add_bin(struct rt_probe *probe, const struct rt_bin_key *key, struct rt_bin *bin, const struct rt_pyoff *off);

/* Attaches everything but the entry probes. */
int rt_probe_attach(struct rt_probe *probe);

/* Programs for sites in an interpreter (src/entryprobe.c). NULL: not loaded. Their runs so far, in all processes, and what they took, in nanoseconds. */
enum rt_entry_program { RT_ENTRY_PROGRAM_EVAL, RT_ENTRY_PROGRAM_PUSH, RT_ENTRY_PROGRAM_USDT_ENTRY, RT_ENTRY_PROGRAM_USDT_RETURN };
struct bpf_program *rt_probe_entry_program(const struct rt_probe *probe, enum rt_entry_program which);
void rt_probe_entry_cost(const struct rt_probe *probe, enum rt_entry_program which, uint64_t *runs, uint64_t *ns);
bool rt_probe_has_usdt(const struct rt_probe *probe);

/* Follow from its next exec on (a process that we are about to start), or adopt the processes named, which run already. */
int rt_probe_target_exec(struct rt_probe *probe, pid_t pid);
int rt_probe_adopt(struct rt_probe *probe, const pid_t *pids, size_t count);

/* Follow every exec, each with an ARGS record before its PROC record, until told otherwise. What is not wanted is to be dropped; slots of what was dropped are
 * free after rt_probe_drop_done, which may be called some milliseconds later and not in between. */
void rt_probe_wait_exec(struct rt_probe *probe, bool wait);
void rt_probe_drop(struct rt_probe *probe, uint32_t image);
void rt_probe_drop_done(struct rt_probe *probe);

/* Becomes readable when the ring fills up or a process was born or died. */
int rt_probe_fd(const struct rt_probe *probe);

/* Delivers everything that is in the ring. */
void rt_probe_consume(struct rt_probe *probe);

/* Detaches, and delivers what threads still hold and a SNAP record of each address space. */
void rt_probe_finish(struct rt_probe *probe);

/* Start new tries; everything numbered up to *node and *code is given up as soon as each thread has been looked at again. */
void rt_probe_new_generation(struct rt_probe *probe, uint32_t *node, uint32_t *code);

void rt_probe_counters(const struct rt_probe *probe, uint64_t out[RT_COUNTERS]);

/* The program for watchpoints and the map of what is watched (src/entrywatch.c); *prog is -1 where they are not loaded. */
void rt_probe_watch_fds(const struct rt_probe *probe, int *prog, int *map);

/* Are the programs for native functions loaded? */
bool rt_probe_has_native(const struct rt_probe *probe);

/* For src/probe_native.c, which attaches them. */
struct rt_skel;
struct rt_skel *rt_probe_skel(const struct rt_probe *probe);

#define RT_PROG_COSTS 48

struct rt_probe_cost {
	uint64_t runs, ns;
	uint64_t map_bytes; /* kernel memory of the maps; task storage comes on top, as threads appear */
	struct rt_prog_cost prog[RT_PROG_COSTS];
	size_t n_progs;
};

void rt_probe_cost(const struct rt_probe *probe, struct rt_probe_cost *out);

#endif
