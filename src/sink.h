/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * sink.h - what the accounting core tells its outputs (tagged log, NDJSON), and the summary that it keeps.
 *
 * Everything here is computed, owned by the core and valid during the call only (the summary: until rt_account_free).
 * All sizes are bytes, all times CLOCK_MONOTONIC nanoseconds. Strings that come from the target are hostile bytes:
 * valid UTF-8 is guaranteed (others are replaced), control characters are not removed; each output escapes for its own
 * format.
 */
#ifndef RT_SINK_H
#define RT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile.h"
#include "rt_abi.h"

struct rt_sizes {
	int64_t total; /* = file + anon + shmem */
	int64_t kind[RT_KINDS];
};

/* One process from birth (fork, first exec, or the moment of attaching) to its end. */
struct rt_proc_view {
	uint32_t pid, ppid;
	const char *name;    /* role of the title ("EngineCore" of "VLLM::EngineCore"), else comm */
	const char *comm, *exe, *cmdline; /* "" if not known */
	const char *python;  /* "3.11.7" or NULL */
	bool muted;	     /* tracking switched off by its environment */
	bool first;	     /* the first target: its log lines carry no name */
	int depth;	     /* in the tree of followed processes, 0: a root */
	bool ended;
	uint32_t wait_status; /* if ended: as waitpid's */
	uint64_t start_ns, end_ns;
	struct rt_sizes start, now; /* RSS at the baseline; RSS now or at its end */
	int64_t peak;
};

enum rt_proc_event { RT_EV_ATTACH, RT_EV_EXEC, RT_EV_FORK, RT_EV_EXIT, RT_EV_TITLE };

enum rt_edge { RT_ENTER, RT_EXIT };

/* What a phase's pages belong to: a part of its net charge (gained - released). */
struct rt_mapping_view {
	const char *name; /* path of a file, "[heap]", "[stack]", "[anon]", "<unknown>", ... */
	enum rt_map_kind kind; /* RT_MAP_KINDS: "<others>", all that follow after the largest 20 */
	struct rt_sizes net;
};

/* A phase, over one call (on_phase) or added up over calls (summary). */
struct rt_phase_view {
	const struct rt_phase *phase;
	const struct rt_phase *const *path; /* outermost first, this phase last */
	size_t path_len;
	uint32_t tid;
	uint32_t call;	/* on_phase: 1, 2, ... per process and phase; summary: number of calls */
	uint64_t start_ns, end_ns;	   /* summary: first start, last end */
	uint64_t start_ns_min, end_ns_max; /* bounds: the edge lies in [start_ns_min, start_ns], [end_ns, end_ns_max] */
	uint64_t duration_ns;	/* summary: added up */
	bool exact;		/* both edges by an entry probe or known otherwise */
	int64_t rss_start, rss_end;
	struct rt_sizes delta;	/* change of the process's RSS between start and end: inclusive */
	/* charged to this phase and to no phase nested in it: its thread and its helper threads */
	int64_t own;
	int64_t gained, released, reused; /* charged here and in nested phases; >= 0 */
	int64_t helper;		/* of the net charge (own and nested): by threads without a phase of their own */
	int64_t peak;		/* highest RSS of the process while it was open */
	int64_t tree_delta;	/* change of the descendants' RSS */
	uint64_t minor_faults, major_faults;
	bool open;		/* summary: still open when the run ended */
	/* charged here and in nested phases, largest first; NULL: not told apart */
	const struct rt_mapping_view *mappings;
	size_t n_mappings;
};

struct rt_checkpoint_view {
	uint64_t ts_ns;
	uint32_t tid;
	const struct rt_phase *phase;
	enum rt_edge edge;
	int64_t delta;		/* since the process's previous checkpoint (or the baseline) */
	int64_t total;		/* rss - baseline */
	struct rt_sizes rss;
	int64_t reused;		/* exit: as in the phase; enter: 0 */
	int64_t tree_delta;	/* exit: as in the phase; enter: 0 */
	bool native;		/* a native function's: its call is told by on_native, not by on_phase */
};

/* A call of a native function that the profile names, or several small ones added up. */
struct rt_native_view {
	uint64_t ts_ns;	      /* when it was seen to be over; several: when they were sent */
	uint64_t begin_ns;    /* entry, of several the first one's */
	uint32_t tid;
	const char *symbol;   /* without parameters */
	const char *kind, *library;
	bool is_free;	      /* gives memory back */
	bool inner;	      /* made inside of a call of the same kind and operation, whose sizes contain its own */
	bool open;	      /* it had not returned when its thread, its image or the run ended */
	uint32_t calls;
	uint64_t bytes;	      /* asked for: by the arguments, or mapped (is_free: unmapped) inside */
	uint64_t addr;	      /* 0: not known */
	uint64_t duration_ns; /* to the last look that found the thread inside, added up over calls */
	struct rt_sizes delta; /* RSS that the thread changed inside, nested calls included */
	int64_t own;	      /* the same without nested calls */
	int64_t gained, released; /* nested calls included; >= 0 */
	uint64_t mapped, unmapped; /* bytes of address space, by the thread, inside */
	const struct rt_phase *phase; /* innermost at the entry, or NULL */
};

/* The kernel's OOM killer has chosen the process: it kills it, unless that is ending already. Once a process. */
struct rt_oom_view {
	uint64_t ts_ns;
	uint32_t tid;		      /* the thread that asked for memory, if it is one of the process, else one of it */
	const struct rt_phase *phase; /* innermost that this thread works for, or NULL */
	struct rt_sizes rss;	      /* at that moment */
};

struct rt_frame_view {
	const char *function, *file;
	int line; /* 0: not known */
};

struct rt_growth_view {
	uint64_t ts_ns;
	uint32_t tid;
	struct rt_sizes delta;
	uint32_t stack; /* 0: none */
	const char *instead; /* the work of a thread without a stack: "<helper threads>" and so on, as in rt_outside_view.module; else NULL */
	const struct rt_phase *phase; /* innermost, or NULL */
	struct rt_sizes gained;	/* sum of the positive changes, by kind; what was released is gained - delta. A run that gave back all that it gained is told too */
	const struct rt_phase *const *path; /* `phase` with those around it, outermost first */
	size_t path_len;
	enum rt_cause cause;
	const char *mapping; /* as in rt_mapping_view; NULL: not told apart */
	enum rt_map_kind mapping_kind;
};

struct rt_sink {
	void *ctx;
	void (*on_process)(void *ctx, const struct rt_proc_view *proc, enum rt_proc_event event, uint64_t ts_ns);
	void (*on_checkpoint)(void *ctx, const struct rt_proc_view *proc, const struct rt_checkpoint_view *cp);
	void (*on_phase)(void *ctx, const struct rt_proc_view *proc, const struct rt_phase_view *phase);
	void (*on_native)(void *ctx, const struct rt_proc_view *proc, const struct rt_native_view *native);
	void (*on_oom)(void *ctx, const struct rt_proc_view *proc, const struct rt_oom_view *oom);
	/* The RSS of a process has changed, or been learned anew: proc->now, at ts_ns. Also of muted ones; told after the edges that the same look found. */
	void (*on_rss)(void *ctx, const struct rt_proc_view *proc, uint64_t ts_ns);
	/* Only if rt_account_config.want_growth: */
	/* innermost first, once an id */
	void (*on_stack)(void *ctx, uint32_t id, const struct rt_frame_view *frames, size_t count);
	/* The same frame by frame, for outputs that keep a trie of their own: each node once, a caller before what it calls, before the first growth that
	 * names it. `parent` is the caller's node; one that was never told stands for no frame (an outermost frame's). */
	void (*on_node)(void *ctx, uint32_t node, uint32_t parent, const struct rt_frame_view *frame);
	void (*on_growth)(void *ctx, const struct rt_proc_view *proc, const struct rt_growth_view *growth);
	/* Numbers of stacks below this one are not named any more */
	void (*on_forget)(void *ctx, uint32_t stack);
};

/* ---- the summary ---- */

struct rt_outside_view { /* growth outside any phase */
	/* dotted module name or file, or "<helper threads>", "<interpreter start>", "<stack unreadable>", "<no
	 * Python>" */
	const char *module;
	struct rt_sizes net;
	int64_t gained, released;
};

struct rt_opening_view { /* held when attached to */
	const char *name; /* as in opening.h, or "<changed while reading>": bytes may be negative there */
	enum rt_kind kind;
	int64_t bytes;
};

struct rt_native_sum_view { /* calls of a native function in a phase, added up */
	const char *symbol, *kind, *library;
	bool is_free, inner; /* as in rt_native_view */
	const struct rt_phase *phase; /* NULL: in none */
	uint64_t calls, bytes, duration_ns;
	uint64_t mapped, unmapped;
	struct rt_sizes delta;
	int64_t own, gained, released;
};

struct rt_proc_summary {
	struct rt_proc_view proc;
	/* largest first, then "<others>", then "<changed while reading>": they add up to proc.start. None: not attached
	 * to while it ran, or not known */
	const struct rt_opening_view *opening;
	size_t n_opening;
	const struct rt_phase_view *phases; /* nesting order: a phase follows the one it is nested in */
	size_t n_phases;
	const struct rt_outside_view *outside; /* largest |net| first, at most 20, then "<others>" */
	size_t n_outside;
	int64_t outside_net;
	/* of outside_net: changed while several threads had a phase, by a thread with none and no creator in one */
	int64_t ambiguous_net;
	/* net charge decided by the creator's phase / the only thread with a phase */
	int64_t helper_by_creator, helper_by_only;
	int64_t cause_net[RT_CAUSES]; /* not the work of a line: reclaim, khugepaged, remote; [RT_CAUSE_SELF] is 0 */
	const struct rt_stack_row *stacks; /* only if rt_account_config.want_stacks; in no order */
	size_t n_stacks;
	int64_t unaccounted; /* exact RSS change minus the sum of all charges: 0 on a good run */
	const struct rt_oom_view *oom; /* NULL: the OOM killer did not choose it */
	const struct rt_native_sum_view *natives; /* in the order in which they were first called */
	size_t n_natives;
};

enum rt_not_hit {
	RT_NH_FUNCTION_NOT_SEEN,   /* no frame of such a function was on any stack looked at */
	RT_NH_SOURCE_NOT_KEPT,	   /* function seen; the ledger does not have its source */
	RT_NH_SOURCE_UNREADABLE,   /* function seen, its source could not be read */
	RT_NH_STATEMENT_NOT_FOUND, /* function and source seen, no statement matches */
	RT_NH_STATEMENT_NOT_SEEN,  /* statement found, but no look fell into it */
};

/* Growth added up by stack. Stacks are a trie of frames that all processes share: frame 0 is the root, a frame's caller has a smaller number. */
struct rt_stack_frame {
	const char *function; /* or a word in angle brackets for what has no stack: "<helper threads>", "<reclaim>", "<other stacks>", ... */
	const char *file;     /* "": none */
	uint32_t caller;
	int line; /* 0: not known */
};

/* What was gained and released at one stack, in one phase, of one mapping. All of a process together are its charges: those of its outermost phases, outside
 * of phases, and of causes that are no line's work. */
struct rt_stack_row {
	uint32_t frame; /* innermost */
	uint32_t phase; /* index into the process's phases + 1; 0: none */
	const char *mapping; /* as in rt_mapping_view, NULL: not told apart */
	struct rt_sizes gained, released; /* >= 0 */
};

struct rt_not_hit_view {
	const struct rt_phase *phase;
	enum rt_not_hit why;
	const char *detail; /* file that was looked at, or "" */
};

struct rt_summary {
	uint64_t duration_ns;
	const struct rt_proc_summary *procs; /* tree order: a process follows its parent */
	size_t n_procs;
	const struct rt_not_hit_view *not_hit;
	size_t n_not_hit;
	/* RSS of all followed processes together, a page that several share counted in each: at most at one time, and when the run ended. The order is that of
	 * the runs' begins: what two processes do within one run's length (80 ms as a rule, a second at most) may count in the wrong order. */
	int64_t tree_peak, tree_end;
	const struct rt_stack_frame *frames; /* only if rt_account_config.want_stacks */
	size_t n_frames;
	int64_t unaccounted; /* sum of absolute values */
	uint64_t lost_records, lost_stacks; /* from the kernel's counters and malformed or late records */
	/* came after the window within which records are sorted; their charge counts, its phase may be wrong */
	uint64_t late_records;
	uint64_t counters[RT_COUNTERS];
};

#endif
