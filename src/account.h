/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * account.h - the pure accounting core: a sequence of records in, checkpoints, phases and a summary out.
 *
 * Knows neither libbpf nor /proc: what it needs from outside (source text) comes by a callback. Records may come from
 * the ring buffer or from a file. Memory is bounded by the limits below, not by the length of the run.
 *
 * Order: records arrive in the order in which they were reserved in the ring: a node follows its parent and its code.
 * Runs (and EXIT, THREAD_EXIT, PROC, RENAME, META) are put into the order of their time within a window:
 * rt_account_advance(now) releases what is older than `now - window_ns`. What arrives later than that is applied at
 * once and counted.
 */
#ifndef RT_ACCOUNT_H
#define RT_ACCOUNT_H

#include "sink.h"

struct rt_account;

struct rt_account_config {
	const struct rt_profile *profile; /* must outlive the account */
	uint64_t page_size;
	uint64_t window_ns; /* 0: records are in the order of their time already */
	bool want_growth;
	bool want_stacks;   /* add up growth by stack: rt_proc_summary.stacks */
	bool want_mappings; /* tell each phase's change apart by mapping */
	bool ignore_mute; /* ramtrack-bpf's own VLLM_ENABLE_RAM_TRACKING=1 overrules the targets' */
	/* Reads a source file of the target as that image sees it. Returns 0 and *text (malloc'ed, core frees), or
	 * -errno; -ENODATA: it was not kept (src/replay.h). May be NULL. */
	int (*read_source)(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);
	/* Code objects up to 3.10 have just a name, and the source does not say in which class or function this one is (it cannot be read, or is another
	 * version): it is taken for the phase because of the name's last part. Told once a phase. May be NULL. */
	void (*on_plain_name)(void *ctx, const struct rt_phase *phase, const char *name, const char *file);
	void *ctx;
};

struct rt_account *rt_account_new(const struct rt_account_config *config);
void rt_account_free(struct rt_account *account);

/* Outputs are told in the order in which they were added. The sink is copied. At most 16. Returns 0 or -ENOSPC. */
int rt_account_add_sink(struct rt_account *account, const struct rt_sink *sink);

/* Sees what the account is told, in that order, each once it has been done: given to another account, the same comes out. */
struct rt_account_tap {
	void *ctx;
	void (*on_record)(void *ctx, const void *record, size_t size); /* malformed ones too */
	void (*on_advance)(void *ctx, uint64_t now_ns);
	void (*on_forget)(void *ctx, uint32_t node, uint32_t code);
};

/* At most one; the tap is copied, NULL takes it off. All members must be set. */
void rt_account_set_tap(struct rt_account *account, const struct rt_account_tap *tap);

/* Calls `each` for the frames of a stack, innermost first, until it returns false or an ancestor is not known. `file` is NULL where the code object is not known. */
void rt_account_walk(struct rt_account *account, uint32_t node, bool (*each)(void *ctx, uint32_t node, uint32_t code, const char *file), void *ctx);

/* The pid of an image that has not ended; 0: there is none. */
uint32_t rt_account_pid(const struct rt_account *account, uint32_t image);

/* One record of `size` bytes (need not be aligned). Returns 0, or -EINVAL for a malformed one, -ENOMEM: both are
 * also counted as lost. */
int rt_account_record(struct rt_account *account, const void *record, size_t size);

/* Time has come to `now_ns` and everything reserved before it has been delivered: release what is older than the
 * window. */
void rt_account_advance(struct rt_account *account, uint64_t now_ns);

/* The run ends: release everything, close what is open (at `now_ns`), compute the summary. `counters` may be NULL.
 * Returns the summary, owned by the account. No record may follow. */
const struct rt_summary *rt_account_finish(struct rt_account *account, uint64_t now_ns,
					   const uint64_t counters[RT_COUNTERS]);

/* Stacks of which the kernel side has promised to send no more (it numbers nodes and code objects upwards and starts
 * new tries from time to time, so that memory stays bounded): free every node with an id below `node`, every code
 * object below `code`, except roots. A run that still names one is charged to its thread's current phase and counted in
 * lost_stacks. */
void rt_account_forget(struct rt_account *account, uint32_t node, uint32_t code);

/* The phase that the profile marks `watch` and that is the whole function of this code object; NULL: there is none. */
const struct rt_phase *rt_account_watched(const struct rt_account *account, uint32_t code);

/* How many calls of the phase have been seen to begin in the image's process, up to the window; 0 if it is not known any more. */
uint32_t rt_account_calls(const struct rt_account *account, uint32_t image, const struct rt_phase *phase);

/* How many nodes and code objects are kept now. */
void rt_account_kept(const struct rt_account *account, size_t *nodes, size_t *codes);

/* RSS of all of them together in bytes, so far: now, and at most at one time (see struct rt_summary). Either pointer may be NULL. */
void rt_account_tree(const struct rt_account *account, int64_t *now, int64_t *peak);

#endif
