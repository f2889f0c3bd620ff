/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * emit.bpf.h - records into the ring buffer. What does not fit is counted by cause, never silently dropped.
 *
 * User space wakes up by its own timer; the ring wakes it only when it fills up, so that a busy target does not pay for wake-ups.
 */
#ifndef RT_EMIT_BPF_H
#define RT_EMIT_BPF_H

#include "state.bpf.h"

static __always_inline u64 rt_wakeup(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > RT_RING_BYTES / 8 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void rt_header(struct rt_hdr *h, u32 type, u32 size, u64 ts, u32 image, u32 tid)
{
	h->type = type;
	h->pad = 0;
	h->size = size;
	h->ts_ns = ts;
	h->image = image;
	h->tid = tid;
}

#define rt_reserve(rectype, lost)                                              \
	({                                                                     \
		rectype *rec_ = bpf_ringbuf_reserve(&ring, sizeof(rectype), 0); \
		if (!rec_)                                                     \
			rt_count(lost);                                        \
		rec_;                                                          \
	})

static __always_inline void rt_emit_node(u32 image, u32 tid, u32 id, u32 parent, u32 code, u32 instr)
{
	struct rt_rec_node *r = rt_reserve(struct rt_rec_node, RT_C_LOST_NODE);

	if (!r)
		return;
	rt_header(&r->h, RT_REC_NODE, sizeof(*r), 0, image, tid);
	r->id = id;
	r->parent = parent;
	r->code = code;
	r->instr = instr;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* Sends what has gathered in a thread's run and leaves the run empty; its key (node, epoch) stays to be continued.
 * `task` is the thread itself. */
static __always_inline void rt_emit_run(struct rt_thread *t, struct rt_run *run, struct task_struct *task, u32 image)
{
	struct rt_rec_run *r;

	run->active = 0;
	if (!run->dirty)
		return;
	run->dirty = 0;
	r = rt_reserve(struct rt_rec_run, RT_C_LOST_RUN);
	if (!r)
		return;
	rt_header(&r->h, RT_REC_RUN, sizeof(*r), run->first_ns, image, t->tid);
	r->last_ns = run->last_ns;
	r->prev_seen_ns = run->prev_seen_ns;
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++) {
		r->before[k] = run->before[k];
		r->delta[k] = run->delta[k];
		r->gained[k] = run->gained[k];
	}
	r->max_pages = run->max_pages;
	r->reused = run->reused;
	r->minflt = rt_of(task, min_flt) - t->min_now - run->min_flt;
	r->majflt = rt_of(task, maj_flt) - t->maj_now - run->maj_flt;
	r->node = run->node;
	r->cause = RT_CAUSE_SELF;
	r->flags = run->flags;
	r->events = run->events;
	r->map = run->map;
	r->code = run->code;
	bpf_ringbuf_submit(r, rt_wakeup());
}

static __always_inline void rt_emit_remote(struct rt_space *s, u32 cause)
{
	struct rt_remote *m;
	struct rt_rec_run *r;

	if (cause >= RT_CAUSES)
		return;
	m = &s->remote[cause];
	if (!m->events)
		return;
	r = rt_reserve(struct rt_rec_run, RT_C_LOST_RUN);
	if (r) {
		rt_header(&r->h, RT_REC_RUN, sizeof(*r), m->first_ns, s->image, s->pid);
		r->last_ns = m->last_ns;
		r->prev_seen_ns = 0;
		r->max_pages = 0;
#pragma unroll
		for (int k = 0; k < RT_KINDS; k++) {
			r->before[k] = m->before[k];
			r->max_pages += m->before[k];
			/* Taken field by field: what another CPU adds meanwhile is in the next one. */
			r->delta[k] = rt_exchange(&m->delta[k], 0);
			r->gained[k] = rt_exchange(&m->gained[k], 0);
		}
		r->reused = rt_exchange(&m->reused, 0);
		r->minflt = r->majflt = 0;
		r->node = 0;
		r->cause = cause;
		r->flags = 0;
		r->events = rt_exchange(&m->events, 0);
		r->map = RT_MAP_ID_UNKNOWN;
		r->code = 0;
		bpf_ringbuf_submit(r, rt_wakeup());
	}
}

#endif
