/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_config.h - configuration of the BPF programs, frozen before they are loaded, and the sizes of their maps.
 *
 * Sizes are for 256 processes with 64 threads each; every overflow is a counter of rt_abi.h.
 */
#ifndef RT_CONFIG_H
#define RT_CONFIG_H

#include "rt_abi.h"

#define RT_MAX_SPACES 1024	  /* address spaces followed at a time */
#define RT_MAX_PYOFFS 16	  /* CPython layouts */
#define RT_MAX_BINS 1024	  /* known executables */
#define RT_MAX_NAMES 4096	  /* (function, file) names of a profile */
#define RT_MAX_MAPS 16384	  /* mapped files told apart */
#define RT_NODE_SETS (1u << 9)	  /* node cache of a CPU: sets of four, 16 bytes each: 32 KiB, what stays in the processor's own caches */
#define RT_CODE_SETS (1u << 15)	  /* code cache: sets of four, 32 bytes each: 4 MiB */
#define RT_POOL_SHADOWS 512	  /* where task storage is too small for shadows: threads that run Python; 32 MiB */
#define RT_OLD_THREADS 16384	  /* before 5.17: threads followed at a time */
#define RT_OLD_SHADOWS 512	  /* and those of them that run Python */
#define RT_MAX_WATCHES 1024	  /* code objects watched at a time */
#define RT_MAX_SITES 1024	  /* probes on native functions */
#define RT_RING_BYTES (8u << 20)

/* Which hooks tell that pages moved (option --mm-source). */
enum rt_mm_source {
	RT_MM_RSS_STAT,	  /* tracepoint rss_stat, at every change: Linux 6.2 and newer */
	RT_MM_FEXIT,	  /* exit of handle_mm_fault by a BPF trampoline */
	RT_MM_KPROBE,	  /* the same by a kretprobe */
	RT_MM_TRACEPOINT, /* tracepoints exceptions:page_fault_*: a page is seen at the thread's next fault */
	RT_MM_SOURCES,
};

struct rt_config {
	__rt_u32 cpus;		   /* possible CPUs */
	__rt_u32 mm_source;	   /* enum rt_mm_source */
	__rt_u32 shadow_pool;	   /* shadows lie in an array: task storage is too small for them here */
	__rt_u32 split;		   /* counters are one per mm and one per task (up to 6.1), not per CPU */
	__rt_u32 follow;	   /* descendants too */
	__rt_u32 want_line_tables; /* of every code object, not only of those that the profile names */
	__rt_u32 sample_looks;	   /* clock samples look at stacks (0: they only flush) */
	__rt_u32 mappings;	   /* tell pages apart by mapping */
	__rt_u32 preempted;	   /* programs of tracepoints can be preempted, unless they switch that off */
	__rt_u32 every_move;	   /* every look that finds another stack begins a run, so that phases can be found that the profile does not name */
	__rt_u32 batch;		   /* pages: a CPU's part of this size is folded (percpu_counter_batch, lib/percpu_counter.c) */
	__rt_u32 pad;
	__rt_u64 flush_age_ns;	   /* a run older than this is sent at its thread's next event */
	__rt_u64 change_max;	   /* pages: the kernel counts no more in one step, what one page table holds */
};

/* What a name of the profile means to the kernel side, the value in the map `names`. */
enum rt_name_flags {
	RT_NAME_FUNCTION = 1,	/* a phase is the whole function */
	RT_NAME_STATEMENT = 2,	/* a phase is a statement in it: the instruction matters */
	RT_NAME_WATCH = 8,	/* its calls are to be told exactly (4 is the kernel side's own) */
};

/* Map `watches`: which code objects' reference counts have watchpoints. */
struct rt_watch_key {
	__rt_u64 addr;
	__rt_u32 image;
	__rt_u32 pad;
};

struct rt_watch_value {
	__rt_u64 hits;
	__rt_u64 ns; /* that the program took at them */
	__rt_u32 last;	/* lower half of the count at the last hit */
	__rt_u32 known; /* there was one */
};

/* Map `native_sites`, by the probe's cookie. */
struct rt_site_conf {
	__rt_u32 flags; /* enum rt_site_kind; 0 in `set`: no such site */
	__rt_u32 set;
	/* integer arguments that are multiplied with each other, 1 the first; 0: none */
	__rt_u8 arg[2];
	__rt_u8 bits[2]; /* 64 or 32 */
	__rt_u32 kind;	 /* the same number for all of one kind and operation; 1 to 65535 */
	__rt_u64 min_bytes; /* a hot function's call with less than this has no record of its own */
};

/* Hash of names, the same on both sides: FNV-1a, 64 bits. A key is the hash of the qualname, mixed with the hash of the last or of the last two components of
 * the file. False positives only cost a line table sent in vain. */
#define RT_FNV_BASIS 0xcbf29ce484222325ull
#define RT_FNV_PRIME 0x100000001b3ull
#define RT_NAME_KEY0(q) (q)
#define RT_NAME_KEY1(q, f1) ((q) ^ ((f1) * 3 + 1))
#define RT_NAME_KEY2(q, f2) ((q) ^ ((f2) * 5 + 2))

/* Variables that both sides move, by atomic operations; user space sees them mapped. */
struct rt_globals {
	__rt_u64 next_image;
	__rt_u32 next_node;
	__rt_u32 next_code;
	__rt_u32 space_epoch; /* moves when the set of followed address spaces does */
	__rt_u32 bins_epoch;  /* moved by user space when it has added to `bins` */
	__rt_u32 generation;  /* moved by user space: start new tries */
	__rt_u32 waiting;     /* set by user space: every exec is followed until user space has seen its command line */
	__rt_u32 next_map;
};

#endif
