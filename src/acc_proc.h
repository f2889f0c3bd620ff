/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_proc.h - processes, their images (one exec each) and their threads.
 *
 * A process lasts from its fork, first exec or attach to its end; images follow each other inside it. All sizes are
 * pages here.
 */
#ifndef RT_ACC_PROC_H
#define RT_ACC_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acc_map.h"
#include "acc_native.h"
#include "acc_outside.h"
#include "acc_rows.h"
#include "acc_split.h"
#include "acc_text.h"
#include "rt_abi.h"
#include "sink.h"
#include "stacksum.h"

#define RT_ALIVE_MAX 4096u    /* processes at a time */
#define RT_ENDED_MAX 4096u    /* ended processes listed one by one; then they are added up by name */
#define RT_THREADS_MAX 65536u /* threads at a time */
#define RT_SPANS_MAX 1024u    /* open spans of a process */
#define RT_IMAGES_ENDED 256u  /* ended images still known, for records that come late */
#define RT_HOPS_MAX 64	      /* creators looked up */

struct rt_process;

struct rt_image {
	uint32_t id;
	struct rt_process *proc; /* NULL: its process is no longer listed by itself */
	int64_t base, sum;	 /* total at its birth, and all changes since */
	uint64_t busy_ns;	 /* all changes known are over by then */
	uint64_t applied_ns;	 /* newest record applied */
	uint64_t snap_ns;	 /* last SNAP, 0: none */
	bool shares_mm;		 /* runs on its parent's memory */
	bool replaced, ended;
};

struct rt_thread;

/* One call of a phase that has not ended. Belongs to its thread's stack of spans, and to its process's list. */
struct rt_span {
	struct rt_thread *thread;
	struct rt_span *prev, *next; /* of the process */
	uint32_t path;		     /* id of its path element */
	uint16_t phase;
	uint32_t call, row;
	int64_t start[RT_KINDS], tree_start;
	struct rt_tally tally; /* start_ns, start_min, peak, charges: the rest when it ends */
	struct rt_split split; /* charges, those of nested spans once they have ended */
	bool start_exact;
	bool fresh; /* begun at its call, when the caller's instruction was not yet the one that it stays at: see rt_span_same */
};

struct rt_thread {
	uint32_t tid;
	uint32_t refs; /* itself while alive, and each thread that it created */
	bool alive;
	struct rt_process *proc; /* NULL once it has ended */
	struct rt_thread *creator;
	struct rt_thread *prev, *next;		   /* of the process */
	struct rt_thread *prev_phase, *next_phase; /* of those with a span open */
	uint64_t born_ns, seen_ns;
	uint32_t node; /* its last stack, 0: none seen; it may have been forgotten */
	struct rt_span **span; /* outermost first */
	uint32_t n_spans, cap_spans;
};

/* What a process held when it was attached to: one name and kind. */
struct rt_held {
	struct rt_text *name;
	enum rt_kind kind;
	int64_t bytes;
};

#define RT_HELD_MAX 32u

/* When the OOM killer chose a process. */
struct rt_oom {
	uint64_t ts_ns; /* 0: it did not */
	uint32_t tid;
	uint32_t phase; /* index into the profile's, UINT32_MAX: in none */
	int64_t pages[RT_KINDS];
};

struct rt_process {
	struct rt_procs *procs; /* all of them: it counts in their sums */
	uint32_t pid, ppid;
	/* tree of followed processes, siblings in order of birth */
	struct rt_process *parent, *first_child, *last_child, *prev, *next;
	struct rt_process *older, *newer; /* all processes, by birth */
	uint32_t merged; /* > 0: stands for this many ended ones of one name */
	bool first, muted, ended, born_by_fork, execed, python_seen, has_phase;
	uint32_t wait_status;
	struct rt_image *image;
	struct rt_text *comm, *name, *exe, *cmdline, *python; /* NULL: not known */
	uint64_t start_ns, end_ns;
	int64_t start[RT_KINDS], peak;
	int64_t rss[RT_KINDS]; /* now; 0 once it has ended */
	int64_t end[RT_KINDS]; /* when it ended */
	int64_t checkpoint; /* total at the last checkpoint */
	int64_t tree;	    /* sum of the RSS of all descendants, up to a constant */
	struct rt_thread *threads, *phase_threads;
	struct rt_span *spans;
	uint32_t n_spans;
	uint32_t *calls; /* per phase of the profile; made with the first span */
	struct rt_rows rows;
	struct rt_outside outside;
	struct rt_native_rows natives;
	struct rt_stacksum stacks;
	int64_t ambiguous, by_creator, by_only, cause[RT_CAUSES];
	int64_t unaccounted;
	struct rt_held *held; /* RT_HELD_MAX; NULL: not known */
	uint32_t n_held;
	struct rt_oom oom;
	bool checked; /* unaccounted holds the comparison with an exact value */
};

struct rt_procs {
	struct rt_texts *texts;
	struct rt_sum_frames *frames;
	struct rt_map images, threads;
	struct rt_process *oldest, *newest;
	struct rt_image *ended[RT_IMAGES_ENDED]; /* ring */
	uint32_t ended_at;
	uint32_t n_alive, n_ended, n_merged;
	bool any;
	int64_t total, total_peak; /* pages of all that live, together: now, and at most at one time */
};

static inline int64_t rt_pages_total(const int64_t pages[RT_KINDS])
{
	return pages[RT_FILE] + pages[RT_ANON] + pages[RT_SHMEM];
}

/* Wraps instead of overflowing: a ledger may say anything. */
static inline int64_t rt_bytes(int64_t pages, uint64_t page_size)
{
	return (int64_t)((uint64_t)pages * page_size);
}

/* A new process below `parent` (NULL: a root). Returns NULL: too many, or no memory. */
struct rt_process *rt_proc_new(struct rt_procs *procs, uint32_t pid, struct rt_process *parent);

/* A new image of a process, its current one from now on. Returns NULL: no memory, or the id is taken. */
struct rt_image *rt_image_new(struct rt_procs *procs, struct rt_process *proc, uint32_t id);
struct rt_image *rt_image_find(const struct rt_procs *procs, uint32_t id);
/* The image takes no more changes as a rule; it stays known for a while for late ones. */
void rt_image_retire(struct rt_procs *procs, struct rt_image *image);

/* Sets the RSS as known now; the ancestors' sums and that of all processes follow. `news` is false for memory that was there before and only
 * comes into sight. */
void rt_proc_set_rss(struct rt_process *proc, const int64_t pages[RT_KINDS], bool news);

/* The process has meanwhile been as large as `total`, the others being as they are known now. */
void rt_proc_reached(struct rt_process *proc, int64_t total);

/* The process that lives under this pid, or NULL. */
struct rt_process *rt_proc_alive(const struct rt_procs *procs, uint32_t pid);

/* The process is over (its threads and spans are gone already): counts it as ended. */
void rt_proc_retire(struct rt_procs *procs, struct rt_process *proc);

/* Strings of a process. `text` are bytes of the target. */
void rt_proc_set_text(struct rt_procs *procs, struct rt_text **field, const uint8_t *text, size_t len);
/* Works out the process's name: its role, or its comm. */
void rt_proc_set_name(struct rt_procs *procs, struct rt_process *proc);

void rt_proc_view(const struct rt_process *proc, uint64_t page_size, struct rt_proc_view *view);

/* The thread with this tid, made if it is not known; it belongs to `proc` if new. NULL: too many, or no memory. */
struct rt_thread *rt_thread_get(struct rt_procs *procs, uint32_t tid, struct rt_process *proc, uint64_t now_ns);
struct rt_thread *rt_thread_find(const struct rt_procs *procs, uint32_t tid);
void rt_thread_set_creator(struct rt_thread *thread, struct rt_thread *creator);
/* The living thread that created this one, or the nearest living creator above it; NULL: none, or not known. */
struct rt_thread *rt_thread_creator(struct rt_thread *thread);
/* Ends a thread without spans. */
void rt_thread_end(struct rt_procs *procs, struct rt_thread *thread);

void rt_procs_free(struct rt_procs *procs);

#endif
