/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * native.bpf.h - calls of native functions that are open, and the pages inside them.
 *
 * An entry probe notes where the return address lies (the stack pointer at a function's first instruction) and what it is. The call is open while the thread's stack
 * pointer is not above that place, the place holds the same return address, and the Python frame that called it (if there is one) stands at the same instruction, with the
 * same variables and operands (where its size is known: CPython 3.11 to 3.13; a frame that waits for a call's end does not change). That is
 * asked at each change of RSS of the thread, when it leaves its CPU, wakes another thread or is sampled, and at the entry of the next such function. Nothing is put on the
 * target's stack, so an exception or a longjmp leaves the function as ever, and the next question finds it gone. What passes unnoticed: one call instruction calls another
 * function through a pointer, from the same depth of the stack, within one call from Python (or without Python), and the thread was not looked at in between; that one's pages
 * are then the first one's.
 *
 * A thread on another stack (alternate signal stack, coroutine) is told by the mapping that its stack pointer is in: meanwhile the call stays open and gets no page.
 *
 * Pages, bytes and calls are added up here, exactly: a change belongs to the innermost open call, and to those around it when that one ends. A call is sent as a record of its own,
 * or (a small one of a hot function; more than RT_NATIVE_TOLD of them in RT_NATIVE_WINDOW_NS) added to a sum by function and phase, which is sent like a run: soon.
 */
#ifndef RT_NATIVE_BPF_H
#define RT_NATIVE_BPF_H

#include "emit.bpf.h"
#include "pywalk.bpf.h"

#ifndef RT_OLD_KERNEL /* cookies: 5.15, bpf_find_vma: 5.17 */

#define RT_NATIVE_DEPTH 16	      /* calls open at a time in a thread */
#define RT_NATIVE_SUMS 16	      /* sums at a time in a thread (a power of two) */
#define RT_NATIVE_NEAR 65536	      /* bytes: stack pointers that far apart are on one stack without further question */
#define RT_NATIVE_WINDOW_NS 100000000 /* in so much time */
#define RT_NATIVE_KIND_SHIFT 16	      /* flags of an open call: above them its kind (struct rt_site_conf) */
#define RT_NATIVE_KEPT (RT_NATIVE_NOT_FOLLOWED | RT_NATIVE_INNER) /* flags that sums are told apart by */
#define RT_NATIVE_TOLD 256	      /* so many calls of a thread have records of their own */
#define RT_NATIVE_WORDS 32	      /* of a Python frame's variables and operands that are compared */

struct rt_native_call {
	u64 sp, ret;	  /* where the return address lies, and what it is */
	u64 lo, hi;	  /* mapping that sp lies in, once it had to be known */
	u64 frame, instr; /* innermost Python frame at the entry, 0: none */
	u64 values, mix;  /* address of its variables and operands, and what they were */
	u64 begin_ns, last_ns;
	u64 bytes, addr;
	u64 mapped, unmapped;
	s64 delta[RT_KIND_SLOTS], own; /* pages; without the calls inside that are open still */
	u64 gained;
	u32 site, node, sig, flags;
	u32 bytes_compared; /* of the variables; 0: not to be compared */
	u32 pad;
};

struct rt_native_sum {
	u64 begin_ns, last_ns, open_ns;
	u64 bytes, mapped, unmapped;
	s64 delta[RT_KIND_SLOTS], own;
	u64 gained;
	u32 site, node, sig, calls;
	u32 flags, pad;
};

struct rt_native_thread {
	u32 depth;
	u32 sums;
	u64 window_ns; /* begin of the time in which records are counted */
	u32 told;
	u32 locked;   /* a lock of the address space is held in a system call that maps */
	u64 total_vm; /* pages mapped when it was taken */
	/* too much for the programs' stack */
	u64 words[RT_NATIVE_WORDS];
	struct rt_native_call next; /* while it begins */
	u64 arg[6];		    /* likewise */
	struct rt_native_call call[RT_NATIVE_DEPTH];
	struct rt_native_sum sum[RT_NATIVE_SUMS];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rt_native_thread);
} natives SEC(".maps");

/* In the thread's own state: is there anything to be done here at all? */
#define RT_NATIVE_OPEN_MASK 0xffff
static __always_inline void rt_native_mark(struct rt_thread *t, const struct rt_native_thread *n)
{
	t->natives = n->depth | n->sums << 16;
}

/* ---- out ---- */

static __always_inline u64 rt_positive(s64 n)
{
	return n > 0 ? n : 0;
}

/* Totals of the address space now; in a change of the current thread: before it. */
static __always_inline void rt_native_totals(const struct rt_thread *t, const struct rt_space *s, u64 before[RT_KINDS])
{
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++)
		before[k] = rt_positive(t->delta.pages ? t->delta.before[k] : s->sum[k]);
}

/* A call that is over, or (sum) several. */
__noinline int rt_native_tell(struct rt_thread *t, struct rt_space *s, struct rt_native_call *c)
{
	struct rt_rec_native *r;

	if (!t || !s || !c)
		return 0;
	r = rt_reserve(struct rt_rec_native, RT_C_LOST_NATIVE);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_NATIVE, sizeof(*r), bpf_ktime_get_ns(), s->image, t->tid);
	r->begin_ns = c->begin_ns;
	r->last_ns = c->last_ns;
	r->open_ns = c->last_ns - c->begin_ns;
	r->bytes = c->bytes;
	r->addr = c->addr;
	r->mapped = c->mapped;
	r->unmapped = c->unmapped;
	rt_native_totals(t, s, r->before);
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++)
		r->delta[k] = (s32)c->delta[k];
	r->own = (s32)c->own;
	r->gained = (u32)c->gained;
	r->site = c->site;
	r->node = c->node;
	r->calls = 1;
	r->flags = c->flags & ((1u << RT_NATIVE_KIND_SHIFT) - 1) & ~RT_NATIVE_SUM;
	r->pad = 0;
	bpf_ringbuf_submit(r, rt_wakeup());
	return 0;
}

__noinline int rt_native_tell_sum(struct rt_thread *t, struct rt_space *s, struct rt_native_sum *m)
{
	struct rt_rec_native *r;

	if (!t || !s || !m || !m->calls)
		return 0;
	r = rt_reserve(struct rt_rec_native, RT_C_LOST_NATIVE);
	if (r) {
		rt_header(&r->h, RT_REC_NATIVE, sizeof(*r), bpf_ktime_get_ns(), s->image, t->tid);
		r->begin_ns = m->begin_ns;
		r->last_ns = m->last_ns;
		r->open_ns = m->open_ns;
		r->bytes = m->bytes;
		r->addr = 0;
		r->mapped = m->mapped;
		r->unmapped = m->unmapped;
		rt_native_totals(t, s, r->before);
#pragma unroll
		for (int k = 0; k < RT_KINDS; k++)
			r->delta[k] = (s32)m->delta[k];
		r->own = (s32)m->own;
		r->gained = (u32)m->gained;
		r->site = m->site;
		r->node = m->node;
		r->calls = m->calls;
		r->flags = RT_NATIVE_SUM | m->flags;
		r->pad = 0;
		bpf_ringbuf_submit(r, rt_wakeup());
	}
	m->calls = 0;
	return 0;
}

/* Sends the sums that began `age` ago or earlier. */
__noinline int rt_native_flush(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, u64 age)
{
	u64 now = bpf_ktime_get_ns();
	u32 kept = 0;

	if (!t || !s || !n)
		return 0;
	for (u32 i = 0; i < RT_NATIVE_SUMS; i++) {
		struct rt_native_sum *m = &n->sum[i];

		if (!m->calls)
			continue;
		if (now - m->begin_ns >= age)
			rt_native_tell_sum(t, s, m);
		else
			kept++;
	}
	n->sums = kept;
	rt_native_mark(t, n);
	return 0;
}

/* Into its sum. A new one takes the place of what lies there, which is sent. */
static __noinline int rt_native_add(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, struct rt_native_call *c)
{
	u32 at = (u32)(rt_mix(c->site, c->sig) >> 16) & (RT_NATIVE_SUMS - 1), i;
	struct rt_native_sum *m = NULL;

	for (i = 0; i < 4; i++) {
		m = &n->sum[(at + i) & (RT_NATIVE_SUMS - 1)];
		if (!m->calls || (m->site == c->site && m->sig == c->sig && m->flags == (c->flags & RT_NATIVE_KEPT)))
			break;
	}
	if (i == 4) {
		m = &n->sum[at];
		rt_native_tell_sum(t, s, m);
		n->sums -= n->sums > 0;
	}
	if (!m->calls) {
		__builtin_memset(m, 0, sizeof(*m));
		m->site = c->site;
		m->node = c->node;
		m->sig = c->sig;
		m->flags = c->flags & RT_NATIVE_KEPT;
		m->begin_ns = c->begin_ns;
		n->sums++;
	}
	m->last_ns = c->last_ns;
	m->open_ns += c->last_ns - c->begin_ns;
	m->bytes += c->bytes;
	m->mapped += c->mapped;
	m->unmapped += c->unmapped;
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++)
		m->delta[k] += c->delta[k];
	m->own += c->own;
	m->gained += c->gained;
	m->calls++;
	rt_return_nothing();
}

/* A line of the log stands between what was before and what comes: the runs of all threads are cut here. */
static __always_inline void rt_native_cut(struct rt_thread *t, struct rt_space *s, struct task_struct *task)
{
	if (t->run.active)
		rt_emit_run(t, &t->run, task, s->image);
	rt_add(&s->epoch, 1);
}

/* The innermost open call is over. `how`: RT_NATIVE_OPEN if it has not returned. */
__noinline int rt_native_pop(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, u32 how)
{
	struct rt_native_call *c, *outer;
	u32 depth;

	if (!t || !s || !n || !n->depth)
		return 0;
	depth = n->depth - 1;
	n->depth = depth;
	c = rt_at(n->call, RT_NATIVE_DEPTH, depth);
	if (!c)
		return 0;
	outer = depth ? rt_at(n->call, RT_NATIVE_DEPTH, depth - 1) : NULL;
	if (outer) {
#pragma unroll
		for (int k = 0; k < RT_KINDS; k++)
			outer->delta[k] += c->delta[k];
		outer->gained += c->gained;
		outer->mapped += c->mapped;
		outer->unmapped += c->unmapped;
		if (outer->last_ns < c->last_ns)
			outer->last_ns = c->last_ns;
	}
	c->flags |= how;
	if (c->flags & RT_NATIVE_CHECKPOINT && !(how & RT_NATIVE_OPEN))
		rt_native_cut(t, s, bpf_get_current_task_btf());
	if (c->flags & RT_NATIVE_SUM) {
		rt_native_add(t, s, n, c);
	} else {
		rt_native_tell(t, s, c);
	}
	rt_native_mark(t, n);
	return 0;
}

/* ---- open or over? ---- */

enum rt_native_where { RT_NATIVE_INSIDE, RT_NATIVE_OVER, RT_NATIVE_AWAY };

struct rt_native_bounds {
	u64 lo, hi;
};

static long rt_native_see(struct task_struct *task, struct vm_area_struct *vma, struct rt_native_bounds *b)
{
	b->lo = vma->vm_start;
	b->hi = vma->vm_end;
	return 0;
}

/* Is `sp` on the stack of the call? Asked of distant ones only. A stack may have grown since: its mapping is asked for anew before the answer is no. */
static __noinline bool rt_native_same_stack(struct rt_native_call *c, u64 sp)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_native_bounds b = {};

	if (sp - c->lo < c->hi - c->lo)
		return true;
	if (bpf_find_vma(task, c->sp, rt_native_see, &b, 0))
		return true; /* someone changes the address space: taken for the usual case */
	c->lo = b.lo;
	c->hi = b.hi;
	return sp - b.lo < b.hi - b.lo;
}

/* A mix of the frame's variables and operands as they are now. Returns 0, or -1: they cannot be read. */
__noinline int rt_native_mix(struct rt_native_thread *n, struct rt_native_call *c, u64 *out)
{
	u64 bytes, mix = 0;

	if (!n || !c || !out)
		return -1;
	bytes = c->bytes_compared;
	asm volatile("" : "+r"(bytes));
	if (bytes > sizeof(n->words))
		return -1;
	__builtin_memset(n->words, 0, sizeof(n->words));
	if (bpf_probe_read_user(n->words, bytes, (void *)c->values))
		return -1;
	for (u32 i = 0; i < RT_NATIVE_WORDS; i++)
		mix = rt_mix(mix, n->words[i]);
	*out = mix;
	return 0;
}

/* Where the thread is, with the stack pointer `sp`, as the innermost open call `c` sees it. */
__noinline u32 rt_native_where(struct rt_space *s, struct rt_native_thread *n, struct rt_native_call *c, u64 sp)
{
	const struct rt_pyoff *po;
	u64 word = 0;
	u32 key;

	if (!s || !n || !c)
		return RT_NATIVE_OVER;
	if (sp > c->sp)
		return sp - c->sp <= RT_NATIVE_NEAR || rt_native_same_stack(c, sp) ? RT_NATIVE_OVER : RT_NATIVE_AWAY;
	if (!bpf_probe_read_user(&word, sizeof(word), (void *)c->sp) && word != c->ret)
		return RT_NATIVE_OVER;
	if (c->frame) {
		key = s->pyoff;
		po = bpf_map_lookup_elem(&pyoffs, &key);
		if (po && !bpf_probe_read_user(&word, sizeof(word), (void *)(c->frame + po->frame_instr)) && word != c->instr)
			return RT_NATIVE_OVER;
		if (c->bytes_compared && !rt_native_mix(n, c, &word) && word != c->mix)
			return RT_NATIVE_OVER;
	}
	return c->sp - sp <= RT_NATIVE_NEAR || rt_native_same_stack(c, sp) ? RT_NATIVE_INSIDE : RT_NATIVE_AWAY;
}

struct rt_native_settling {
	struct rt_thread *t;
	struct rt_space *s;
	struct rt_native_thread *n;
	u64 sp;
	u32 where;
};

static long rt_native_settle_step(u32 i, struct rt_native_settling *x)
{
	struct rt_native_thread *n = x->n;
	struct rt_native_call *c = rt_at(n->call, RT_NATIVE_DEPTH, n->depth - 1);

	x->where = RT_NATIVE_OVER;
	if (!n->depth || !c)
		return 1;
	x->where = rt_native_where(x->s, n, c, x->sp);
	if (x->where != RT_NATIVE_OVER) {
		c->last_ns = bpf_ktime_get_ns();
		return 1;
	}
	rt_native_pop(x->t, x->s, n, 0);
	return 0;
}

/* Ends what is over. Returns where the thread is as seen by the innermost call that stays; RT_NATIVE_OVER: none is open. The thread is busy. */
__noinline u32 rt_native_settle(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, u64 sp)
{
	struct rt_native_settling x = {.t = t, .s = s, .n = n, .sp = sp, .where = RT_NATIVE_OVER};

	if (!t || !s || !n)
		return RT_NATIVE_OVER;
	bpf_loop(RT_NATIVE_DEPTH, rt_native_settle_step, &x, 0);
	return x.where;
}

/* The thread is looked at: what is over ends, and t->delta is charged to what is open. */
__noinline int rt_native_look(struct rt_thread *t, struct rt_space *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct rt_native_thread *n = bpf_task_storage_get(&natives, task, NULL, 0);
	u32 where, k;
	s64 pages;

	if (!t || !s || !n)
		return 0;
	where = rt_native_settle(t, s, n, regs->sp);
	pages = t->delta.pages;
	k = t->delta.kind;
	if (pages && k < RT_KINDS && where == RT_NATIVE_INSIDE) {
		struct rt_native_call *c = rt_at(n->call, RT_NATIVE_DEPTH, n->depth - 1);

		if (c) {
			c->own += pages;
			c->delta[rt_slot_of(k)] += pages;
			if (pages > 0)
				c->gained += pages;
		}
	} else if (pages && where == RT_NATIVE_AWAY) {
		rt_count(RT_C_NATIVE_ELSEWHERE);
	}
	if (n->sums)
		rt_native_flush(t, s, n, cfg.flush_age_ns);
	return 0;
}

static long rt_native_end_step(u32 i, struct rt_native_settling *x)
{
	if (!x->n->depth)
		return 1;
	rt_native_pop(x->t, x->s, x->n, RT_NATIVE_OPEN);
	return 0;
}

/* Whatever is open in a thread that ends, or executes another program, or at the end of the run; `task` is the thread. */
static __noinline int rt_native_end(struct rt_thread *t, struct rt_space *s, struct task_struct *task)
{
	struct rt_native_thread *n = bpf_task_storage_get(&natives, task, NULL, 0);
	struct rt_native_settling x = {.t = t, .s = s, .n = n};

	if (!n || !t || !s)
		rt_return_nothing();
	t->delta.pages = 0;
	bpf_loop(RT_NATIVE_DEPTH, rt_native_end_step, &x, 0);
	rt_native_flush(t, s, n, 0);
	rt_return_nothing();
}

/* Nothing of a thread that leaves its CPU waits in its sums. */
static __always_inline void rt_native_rest(struct rt_thread *t, struct rt_space *s, struct task_struct *task)
{
	struct rt_native_thread *n = t->natives > RT_NATIVE_OPEN_MASK ? bpf_task_storage_get(&natives, task, NULL, 0) : NULL;

	if (n)
		rt_native_flush(t, s, n, 0);
}

#define rt_native_seen(t, s)                    \
	do {                                    \
		if ((t)->natives)               \
			rt_native_look(t, s);   \
	} while (0)
#define rt_native_over(t, s, task)                      \
	do {                                            \
		if ((t)->natives)                       \
			rt_native_end(t, s, task);      \
	} while (0)

#else

#define rt_native_seen(t, s) ((void)0)
#define rt_native_over(t, s, task) ((void)0)
#define rt_native_rest(t, s, task) ((void)0)

#endif

#endif
