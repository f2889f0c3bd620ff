/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pywalk.bpf.h - the Python stack of the current thread, incrementally and exactly.
 *
 * A thread keeps a shadow of its last stack, outermost frame first. A look (1) compares every shadow frame with the frame's memory, from the outermost in:
 * code, function, globals, instruction and link must be what they were; the first that differs ends the untouched part; (2) walks from the tip outward until
 * it meets a frame of the untouched part; (3) replaces what lies inside that. If frame j is met, the frames outside it are the ones that a
 * whole walk would read, because each link was compared: no shortcut is taken by the tip, and memory of popped frames cannot deceive.
 *
 * Code objects whose address may come back as another one (the volatile ones, pycode.bpf.h) are compared by content as well, and now and
 * then one of the others in rotation: it finds an address that comes back for the first time under an ordinary file name; from then on it is volatile.
 *
 * All reads of the target go through bpf_probe_read_user, so the file also compiles for the host (tests/host).
 */
#ifndef RT_PYWALK_BPF_H
#define RT_PYWALK_BPF_H

#include "pycode.bpf.h"

#define RT_ROTATE_EVERY 8    /* looks: then one code object is checked in rotation (a power of two) */
#define RT_VOLATILE_CHECKS 8 /* and volatile ones: all, if there are no more than that; else the innermost half of it and as many in rotation */

struct rt_look {
	struct rt_thread *t;
	struct rt_shadow *sh;
	const struct rt_pyoff *po;
};

#ifdef RT_OLD_KERNEL
/* A look in progress, from the number of its shadow: for a step of a loop over its frames. */
static __always_inline int rt_look_again(u32 shadow, struct rt_look *l)
{
	u32 thread, pyoff;

	l->sh = bpf_map_lookup_elem(&shadows, &shadow);
	if (!l->sh)
		return -1;
	thread = l->sh->thread;
	pyoff = l->sh->pyoff;
	l->t = bpf_map_lookup_elem(&threads, &thread);
	l->po = bpf_map_lookup_elem(&pyoffs, &pyoff);
	return l->t && l->po ? 0 : -1;
}
#endif

/* Makes the frame at `addr` readable in sh->window; returns the index of its first byte there, or -1. For the walk, from the tip outward: the frame's page up to
 * the tip, where the frames around it most likely lie. */
static __always_inline long rt_frame_fetch(struct rt_shadow *sh, const struct rt_pyoff *po, u64 addr, u64 tip)
{
	u64 off = addr - sh->lo, from = addr & ~4095ull, n = 4096, bytes = po->frame_bytes;

	if (off <= sh->room)
		return off;
	if (addr - from > 4096 - bytes) { /* across two pages */
		from = addr;
		n = bytes;
	} else if (tip - addr < from + 4096 - bytes - addr) { /* nothing of interest lies behind the innermost frame */
		n = tip - from + bytes;
	}
	asm volatile("" : "+r"(n));
	if (n > 4096)
		return -1;
	sh->lo = sh->room = 0;
	if (bpf_probe_read_user(sh->window, n, (void *)from))
		return -1;
	sh->lo = from;
	sh->room = n - bytes;
	return addr - from;
}

/* For the check, from the outermost frame in: frame `pos` of the shadow and all that lie behind it in its chunk, in one read. They have been there before; if one
 * of their pages is not any more, the frame's own page. */
static __noinline int rt_window_load(struct rt_shadow *sh, u32 pos, u64 addr, u32 bytes)
{
	u8 *chunk = rt_at(sh->chunk_of, RT_DEPTH, pos);
	u64 n;

	if (!chunk)
		return -1;
	n = sh->chunk_last[*chunk & (RT_CHUNKS - 1)] - addr;
	if (n > RT_WINDOW - RT_FRAME_MAX)
		n = 0;
	n += bytes;
	asm volatile("" : "+r"(n));
	if (n > RT_WINDOW)
		return -1;
	sh->lo = sh->room = 0;
	if (bpf_probe_read_user(sh->window, n, (void *)addr)) {
		n = 4096 - (addr & 4095);
		if (n < bytes)
			n = bytes;
		asm volatile("" : "+r"(n));
		if (n > RT_WINDOW || bpf_probe_read_user(sh->window, n, (void *)addr))
			return -1;
	}
	sh->lo = addr;
	sh->room = n - bytes;
	return 0;
}

static __always_inline u64 rt_frame_field(struct rt_shadow *sh, long at, u32 offset)
{
	return *(u64 *)(sh->window + ((u32)at & (RT_WINDOW - 1)) + (offset & RT_FIELD_MASK));
}

/* 0 for a frame that is no Python frame (entry shims of 3.12+). */
static __always_inline u64 rt_frame_code(struct rt_shadow *sh, const struct rt_pyoff *po, long at)
{
	u64 code = rt_frame_field(sh, at, po->frame_code) & ~(u64)po->code_tag;

	if (po->owner_shim != 0xffff && (u8)(rt_frame_field(sh, at, po->frame_owner & ~7u) >> (po->frame_owner & 7) * 8) ==
					       po->owner_shim)
		return 0;
	return code;
}

/* What a frame is, apart from its instruction and where it stands. */
static __always_inline u64 rt_frame_ident(u64 func, u64 globals)
{
	return func ^ (globals << 1);
}

#define RT_CHECK_BATCH 16

/* The hot loop: hundreds of thousands of looks at stacks a hundred frames deep. An instruction lies in its code object, so that the same one means the same
 * code object; function and globals tell one that came to its address since. */
static long rt_check_frames(u32 round, struct rt_look *l)
{
	struct rt_shadow *sh = l->sh;
	const struct rt_pyoff *po = l->po;
	u32 o_prev = po->frame_previous & RT_FIELD_MASK, o_instr = po->frame_instr & RT_FIELD_MASK;
	u32 o_func = po->frame_func & RT_FIELD_MASK, o_globals = po->frame_globals & RT_FIELD_MASK;
	u32 first = round * RT_CHECK_BATCH, left = sh->depth - first, j;
	u64 prev = sh->st.prev, lo = sh->lo, room = sh->room;
	const struct rt_shadow_frame *was;
	long stop = 1;

	sh->st.k = first;
	was = rt_at(sh->f, RT_DEPTH - RT_CHECK_BATCH + 1, first);
	if (!was)
		return 1;
#pragma unroll
	for (j = 0; j < RT_CHECK_BATCH; j++, was++) {
		u64 addr, off;
		const u8 *f;

		if (j == left)
			goto out;
		addr = was->addr;
		off = addr - lo;
		if (off > room) {
			if (rt_window_load(sh, first + j, addr, po->frame_bytes))
				goto out;
			lo = sh->lo;
			room = sh->room;
			off = addr - lo;
		}
		f = rt_at(sh->window, RT_WINDOW, off);
		if (!f)
			goto out;
		if ((*(u64 *)(f + o_instr) ^ was->instr) | (*(u64 *)(f + o_prev) ^ prev) |
		    (rt_frame_ident(*(u64 *)(f + o_func), *(u64 *)(f + o_globals)) ^ was->ident))
			goto out;
		prev = addr;
	}
	stop = 0;
out:
	sh->st.k = first + j;
	sh->st.prev = prev;
	return stop;
}
RT_LOOK_STEPS(rt_check_frames, 1)

static __always_inline u32 rt_index_hash(u64 addr)
{
	return (u32)((addr >> 3) ^ (addr >> 13)) & 1023;
}

static long rt_walk_frame(u32 i, struct rt_look *l)
{
	struct rt_shadow *sh = l->sh;
	const struct rt_pyoff *po = l->po;
	struct rt_shadow_frame *f;
	struct rt_walk_entry *w;
	u64 cur = sh->st.cur;
	u32 pos, n = sh->st.n;
	long at;

	if (!cur) {
		sh->st.meet = -1;
		return 1;
	}
	pos = sh->index[rt_index_hash(cur)];
	f = rt_at(sh->f, RT_DEPTH, pos);
	if (f && pos < sh->st.k && f->addr == cur) {
		sh->st.meet = pos;
		return 1;
	}
	w = rt_at(sh->w, RT_DEPTH, n);
	if (!w) {
		sh->st.full = 1;
		return 1;
	}
	at = rt_frame_fetch(sh, po, cur, sh->st.tip);
	if (at < 0) {
		sh->st.bad = 1;
		return 1;
	}
	w->addr = cur;
	w->code = rt_frame_code(sh, po, at);
	w->ident = rt_frame_ident(rt_frame_field(sh, at, po->frame_func), rt_frame_field(sh, at, po->frame_globals));
	w->instr = rt_frame_field(sh, at, po->frame_instr);
	sh->st.n = n + 1;
	sh->st.cur = rt_frame_field(sh, at, po->frame_previous);
	if (sh->st.cur == cur) {
		sh->st.bad = 1;
		return 1;
	}
	return 0;
}
RT_LOOK_STEPS(rt_walk_frame, 8)

/* A stack deeper than RT_DEPTH: the innermost RT_DEEP_INNER frames go to the front of w, the outermost RT_DEEP_OUTER cycle behind them. */
static long rt_walk_deep(u32 i, struct rt_look *l)
{
	struct rt_shadow *sh = l->sh;
	const struct rt_pyoff *po = l->po;
	struct rt_walk_entry *w;
	u64 cur = sh->st.cur;
	u32 n;
	long at;

	if (!cur)
		return 1;
	at = rt_frame_fetch(sh, po, cur, sh->st.tip);
	if (at < 0) {
		sh->st.bad = 1;
		return 1;
	}
	n = i < RT_DEEP_INNER ? i : RT_DEEP_INNER + ((i - RT_DEEP_INNER) & (RT_DEEP_OUTER - 1));
	w = rt_at(sh->w, RT_DEPTH, n);
	if (!w)
		return 1;
	w->addr = cur;
	w->code = rt_frame_code(sh, po, at);
	w->ident = rt_frame_ident(rt_frame_field(sh, at, po->frame_func), rt_frame_field(sh, at, po->frame_globals));
	w->instr = rt_frame_field(sh, at, po->frame_instr);
	sh->st.total = i + 1;
	sh->st.cur = rt_frame_field(sh, at, po->frame_previous);
	return 0;
}
RT_LOOK_STEPS(rt_walk_deep, 16)

/* Which chunk of the frame stack the frame pushed at `pos` is in. */
static __always_inline void rt_chunk_note(struct rt_shadow *sh, u32 pos, u64 addr)
{
	u8 *chunk_of = rt_at(sh->chunk_of, RT_DEPTH, pos);
	u32 c = sh->st.chunk & (RT_CHUNKS - 1);

	if (!pos || addr - sh->chunk_first[c] > RT_WINDOW - RT_FRAME_MAX) {
		c = pos ? (c + 1) & (RT_CHUNKS - 1) : 0;
		sh->chunk_first[c] = addr;
		sh->st.chunk = c;
	}
	sh->chunk_last[c] = addr;
	if (chunk_of)
		*chunk_of = c;
}

/* The code object of the frame that goes to f and e: its number and flags into c. A frame that is still there, of the same function, and has only moved on has the
 * code object that it had; as long as that may be replaced at its address, it is asked for again. */
static __always_inline int rt_push_code(struct rt_look *l, const struct rt_shadow_frame *f, const struct rt_shadow_entry *e, const struct rt_walk_entry *w,
					u32 flags, struct rt_code_ref *c)
{
	struct rt_shadow *sh = l->sh;

	if (sh->st.pos < sh->depth && f->addr == w->addr && e->code == w->code && f->ident == w->ident && e->code_id && !(flags & RT_CODE_IS_VOLATILE)) {
		c->id = e->code_id;
		c->flags = flags;
		c->fp = e->fp;
		return 0;
	}
	return rt_code_get(l->t, sh, l->po, c, sh->st.prog);
}

/* The first instruction of the copy of the bytecode that a frame runs (free-threaded 3.14 and newer). Copy 0, the main thread's, is in the code object. */
static __always_inline u64 rt_bytecode_copy(const struct rt_pyoff *po, u64 frame, u64 code)
{
	u64 copies;
	u32 index = 0;

	if (bpf_probe_read_user(&index, sizeof(index), (void *)(frame + po->frame_tlbc)) || !index)
		return code + po->code_adaptive;
	copies = rt_user_u64(code + po->code_tlbc);
	return index < (u32)rt_user_u64(copies) ? rt_user_u64(copies + RT_TLBC_ENTRIES + (u64)index * 8) : 0;
}

/* Where in its code a frame is, in bytes from the start. */
static __noinline u32 rt_instr_of(const struct rt_pyoff *po, const struct rt_walk_entry *w)
{
	if (!po || !w)
		return 0;
	if (po->flags & RT_PYOFF_LASTI)
		return (u32)w->instr << !!(po->flags & RT_PYOFF_LASTI_WORDS);
	if (po->frame_tlbc)
		return w->instr - rt_bytecode_copy(po, w->addr, w->code);
	return w->instr - w->code - po->code_adaptive;
}

enum rt_push_parts { RT_PUSH_CODE = 1, RT_PUSH_NODE = 2 };

/* Puts w[n] on the shadow: its code object and node get their numbers here. `parts`, a constant: one after the other where the stack is too small for both. */
static __always_inline int rt_push_parts(struct rt_look *l, u32 n, u32 parts)
{
	struct rt_shadow *sh = l->sh;
	struct rt_thread *t = l->t;
	struct rt_code_ref *c = &sh->ref;
	struct rt_shadow_frame *f;
	struct rt_shadow_entry *e;
	struct rt_walk_entry *w;
	u32 pos = sh->st.pos, instr, parent = sh->st.node;
	u8 *flags;

	f = rt_at(sh->f, RT_DEPTH, pos);
	e = rt_at(sh->e, RT_DEPTH, pos);
	w = rt_at(sh->w, RT_DEPTH, n);
	flags = rt_at(sh->code_flags, RT_DEPTH, pos);
	if (!f || !e || !w || !flags)
		return 0;
	if (parts & RT_PUSH_CODE) {
		c->id = c->flags = 0;
		c->fp = 0;
	}
	if (w->code && (parts & RT_PUSH_CODE)) {
		c->addr = w->code;
		if (rt_push_code(l, f, e, w, *flags, c)) {
			c->id = RT_CODE_UNKNOWN;
			if (pos < sh->st.unknown) {
				rt_count(RT_C_FRAME_UNKNOWN);
				sh->st.unknown = pos; /* from here on the shadow is not kept: the next look reads it again */
			}
		}
	}
	if (!(parts & RT_PUSH_NODE))
		return 0;
	if (w->code) {
		instr = rt_instr_of(l->po, w);
		/* Not the outermost frame: it is the program of `python -c`, or of a thread, and stays as long as there is a stack. */
		if (pos && (c->flags & RT_CODE_IS_VOLATILE)) {
			u32 v = sh->n_volatile;

			u16 *at = rt_at(sh->volatile_at, RT_VOLATILE, v);

			if (at) { /* more are not remembered: rotation finds them late */
				*at = pos;
				sh->n_volatile = v + 1;
			}
		}
		sh->st.node = rt_node_get(t->image, t->tid, parent, c->id, instr);
		if (c->flags & RT_CODE_IS_STATEMENT)
			sh->st.sig = (u32)(rt_mix(((u64)parent << 32) | instr, c->id) >> 7) | 1;
		else if (c->flags & RT_CODE_IS_FUNCTION)
			sh->st.sig = (u32)(rt_mix(((u64)parent << 32) | 0xfffffff1, c->id) >> 7) | 1;
	}
	f->addr = w->addr;
	f->ident = w->ident;
	f->instr = w->instr;
	e->code = w->code;
	e->fp = (u32)c->fp;
	e->code_id = sh->st.unknown == pos ? 0 : c->id;
	*flags = c->flags;
	e->node = sh->st.node;
	e->sig = sh->st.sig;
	rt_chunk_note(sh, pos, w->addr);
	sh->index[rt_index_hash(w->addr)] = pos;
	sh->st.pos = pos + 1;
	return 0;
}

#ifndef RT_OLD_KERNEL

#define rt_push(l, n) rt_push_parts(l, n, RT_PUSH_CODE | RT_PUSH_NODE)

#else

static long rt_push_code_part(u32 n, struct rt_look *l)
{
	return rt_push_parts(l, n, RT_PUSH_CODE);
}
RT_LOOK_STEPS(rt_push_code_part, 1)

static long rt_push_node_part(u32 n, struct rt_look *l)
{
	return rt_push_parts(l, n, RT_PUSH_NODE);
}
RT_LOOK_STEPS(rt_push_node_part, 1)

static __always_inline int rt_push(struct rt_look *l, u32 n)
{
	u32 shadow = l->sh->self;

	rt_push_code_part_steps(shadow, n);
	return rt_push_node_part_steps(shadow, n);
}

#endif

static long rt_push_new(u32 i, struct rt_look *l)
{
	u32 n = l->sh->st.n;

	if (i >= n)
		return 1;
	rt_push(l, n - 1 - i);
	return 0;
}

static long rt_push_outer(u32 i, struct rt_look *l)
{
	u32 outer = l->sh->st.total - RT_DEEP_INNER; /* frames outside the inner part */

	/* The outermost min(outer, RT_DEEP_OUTER) ones, the bottom first: walked last. */
	if (i >= outer || i >= RT_DEEP_OUTER)
		return 1;
	rt_push(l, RT_DEEP_INNER + ((outer - 1 - i) & (RT_DEEP_OUTER - 1)));
	return 0;
}

static long rt_push_inner(u32 i, struct rt_look *l)
{
	if (i >= RT_DEEP_INNER)
		return 1;
	rt_push(l, RT_DEEP_INNER - 1 - i);
	return 0;
}

RT_INNER int rt_walk_all(struct rt_thread *t, struct rt_space *s, struct rt_shadow *sh, const struct rt_pyoff *po)
{
	struct rt_look look = {.t = t, .sh = sh, .po = po}, *l = &look;

	if (!t || !s || !sh || !po)
		return -1;
	rt_count(RT_C_STACK_DEEP);
	sh->st.cur = sh->st.tip;
	sh->st.total = 0;
	sh->st.pos = 0;
	sh->st.node = s->root;
	sh->st.sig = 0;
	sh->n_volatile = 0;
	rt_look_loop(RT_DEEP_MAX, rt_walk_deep, 16, l);
	if (sh->st.total > RT_DEEP_INNER) {
		if (!sh->st.cur) /* the bottom was reached */
			rt_loop(RT_DEEP_OUTER, RT_DEEP_OUTER, rt_push_outer, l);
		sh->st.node = rt_node_get(t->image, t->tid, sh->st.node, RT_CODE_GAP, 0);
		rt_loop(RT_DEEP_INNER, RT_DEEP_INNER, rt_push_inner, l);
	}
	sh->gap = 1;
	sh->depth = 0; /* what lies between cannot be checked: the next look walks again */
	return 0;
}

/* Does the code object of shadow frame i still have the fingerprint that it had? If not, it and all inside it are new. */
static __noinline int rt_recheck(struct rt_look *l, u32 i)
{
	struct rt_shadow *sh = l->sh;
	struct rt_code_ref *c = &sh->ref;
	struct rt_shadow_entry *e;

	if (i >= sh->st.k)
		return 0;
	e = rt_at(sh->e, RT_DEPTH, i);
	if (!e || !e->code)
		return 0;
	c->addr = e->code;
	if (rt_code_read(sh, l->po, c))
		return 0;
	if ((u32)c->fp == e->fp)
		return 0;
	e->code_id = 0;
	sh->st.k = i;
	return 0;
}

static long rt_recheck_volatile(u32 i, struct rt_look *l)
{
	struct rt_shadow *sh = l->sh;
	u32 n = sh->n_volatile, which;
	u16 *at;

	if (i >= n)
		return 1;
	which = n - 1 - i; /* the innermost first */
	if (i >= RT_VOLATILE_CHECKS / 2 && n > RT_VOLATILE_CHECKS) {
		which = sh->rotate_volatile + 1;
		if (which >= n)
			which = 0;
		sh->rotate_volatile = which;
	}
	at = rt_at(sh->volatile_at, RT_VOLATILE, which);
	if (at)
		rt_recheck(l, *at);
	return 0;
}
RT_LOOK_STEPS(rt_recheck_volatile, 1)

static __always_inline int rt_recheck_some(struct rt_look *l)
{
	struct rt_shadow *sh = l->sh;

	if (sh->n_volatile)
		rt_look_loop(RT_VOLATILE_CHECKS, rt_recheck_volatile, 1, l);
	if ((++sh->looks & (RT_ROTATE_EVERY - 1)) == 0) {
		u32 at = sh->rotate + 1;

		if (at >= sh->st.k)
			at = 0;
		sh->rotate = at;
		rt_recheck(l, at);
	}
	return 0;
}

/* Positions go up: those at `depth` and above are the last ones. */
static long rt_forget_volatile(u32 i, struct rt_look *l)
{
	struct rt_shadow *sh = l->sh;
	u32 n = sh->n_volatile;
	u16 *at = n ? rt_at(sh->volatile_at, RT_VOLATILE, n - 1) : NULL;

	if (!n || (at && *at < sh->st.pos))
		return 1;
	sh->n_volatile = n - 1;
	return 0;
}

#define RT_WALK_DEEP 1
#define RT_WALK_IS_DEEP -2

/* Steps 1 and 2: how many frames of the shadow stay; the others are in w. Or -1 if the stack could not be read, or RT_WALK_IS_DEEP. */
static __always_inline int rt_walk_meet(struct rt_look *l, u32 root)
{
	struct rt_shadow *sh = l->sh;
	struct rt_shadow_frame *f;
	u32 keep;

	sh->lo = sh->room = 0;
	if (sh->root != root || sh->gap) {
		sh->root = root;
		sh->depth = 0;
		sh->gap = 0;
		sh->n_volatile = 0;
	}
	sh->st.k = 0;
	sh->st.prev = 0;
	if (sh->depth) {
		rt_look_loop(RT_DEPTH / RT_CHECK_BATCH, rt_check_frames, 1, l);
		rt_recheck_some(l);
	}
	sh->st.cur = sh->st.tip;
	sh->st.n = 0;
	sh->st.bad = 0;
	sh->st.full = 0;
	sh->st.meet = -2;
	rt_look_loop(RT_DEPTH + 1, rt_walk_frame, 8, l);
	if (sh->st.bad && !sh->st.n && sh->depth > 1) {
		/* The innermost frame itself is not there. CPython 3.11 gives a chunk of its frame stack back (munmap: an RSS change) while the popped frame, the
		 * first one of the chunk, is still the current one: the change is its caller's, which was the innermost one before. */
		u32 i = sh->depth - 1;

		f = rt_at(sh->f, RT_DEPTH, i);
		if (f && f->addr == sh->st.tip)
			f = rt_at(sh->f, RT_DEPTH, i - 1);
		if (f) {
			rt_count(RT_C_FRAME_UNKNOWN);
			sh->st.tip = f->addr;
			sh->st.cur = f->addr;
			sh->st.bad = 0;
			rt_look_loop(RT_DEPTH + 1, rt_walk_frame, 8, l);
		}
	}
	if (sh->st.bad || (!sh->st.full && sh->st.meet == -2)) {
		sh->depth = 0;
		return -1;
	}
	keep = sh->st.meet + 1; /* frames of the shadow that stay */
	if (sh->st.full || keep + sh->st.n > RT_DEPTH)
		return RT_WALK_IS_DEEP;
	return keep;
}
RT_LOOK_NUMBER(rt_walk_meet)

/* The stack whose innermost frame is `tip`. Sets sh->st.node and sh->st.sig. Returns 0, -1 if it could not be read, or RT_WALK_DEEP if the stack has more frames than
 * a shadow holds (rt_walk_all is for those). */
RT_INNER int rt_walk(struct rt_thread *t, struct rt_space *s, struct rt_shadow *sh, const struct rt_pyoff *po)
{
	struct rt_look look = {.t = t, .sh = sh, .po = po}, *l = &look;
	struct rt_shadow_entry *e;
	u32 keep;
	int met;

	if (!t || !s || !sh || !po)
		return -1;
	met = rt_look_number(rt_walk_meet, l, s->root);
	if (met < 0)
		return met == RT_WALK_IS_DEEP ? RT_WALK_DEEP : -1;
	keep = met;
	sh->st.node = sh->root;
	sh->st.sig = 0;
	sh->st.pos = keep;
	sh->st.unknown = RT_DEPTH;
	if (keep < sh->depth && sh->n_volatile)
		rt_loop(RT_DEPTH, RT_VOLATILE + 1, rt_forget_volatile, l);
	e = keep ? rt_at(sh->e, RT_DEPTH, keep - 1) : NULL;
	if (e) {
		u8 *chunk = rt_at(sh->chunk_of, RT_DEPTH, keep - 1);

		sh->st.node = e->node;
		sh->st.sig = e->sig;
		sh->st.chunk = chunk ? *chunk : 0;
	}
	if (sh->st.n) {
		rt_count_add(RT_C_LOOK_FRAMES, sh->st.n);
		rt_loop(RT_DEPTH, RT_DEPTH, rt_push_new, l);
	}
	sh->depth = sh->st.pos < sh->st.unknown ? sh->st.pos : sh->st.unknown;
	return 0;
}

/* ---- the thread's own PyThreadState ---- */

struct rt_find {
	const struct rt_pyoff *po;
	u64 interp, tstate, fsbase;
	u64 found; /* the best one so far */
};

/* The innermost frame of a thread state, 0: none. */
static __always_inline u64 rt_frame_of(const struct rt_pyoff *po, u64 tstate)
{
	u64 frame = rt_user_u64(tstate + po->tstate_frame);

	if (frame && (po->flags & RT_PYOFF_CFRAME))
		frame = rt_user_u64(frame + po->cframe_frame);
	/* From 3.15 on a thread state that runs nothing has a frame all the same, which is part of it. */
	return po->version >= 0x30f && frame - tstate < 65536 ? 0 : frame;
}

static long rt_find_step(u32 i, struct rt_find *f)
{
	const struct rt_pyoff *po = f->po;

	if (!f->tstate) {
		f->interp = rt_user_u64(f->interp + po->interp_next);
		if (!f->interp)
			return 1;
		f->tstate = rt_user_u64(f->interp + po->interp_threads_head);
		return 0;
	}
	/* A thread that runs code of a subinterpreter has a state in each interpreter; those with frames run, or wait for one of a newer interpreter, which
	 * comes first in the list. */
	if (rt_user_u64(f->tstate + po->tstate_thread_id) == f->fsbase) {
		u32 runs = rt_frame_of(po, f->tstate) != 0;

		if (runs || !f->found)
			f->found = f->tstate;
		if (runs)
			return 1;
	}
	f->tstate = rt_user_u64(f->tstate + po->tstate_next);
	return 0;
}

#define RT_FIND_STEPS 1024

#ifndef RT_OLD_KERNEL

#define rt_find_loop(t, s, f) bpf_loop(RT_FIND_STEPS, rt_find_step, f, 0)

#else

#define RT_FIND_BATCH 16

/* A piece of the search, whose state is in the thread. */
__noinline int rt_find_steps(u32 thread, u32 pyoff)
{
	struct rt_thread *t = bpf_map_lookup_elem(&threads, &thread);
	struct rt_find f = {.po = bpf_map_lookup_elem(&pyoffs, &pyoff)};
	long stop = 0;

	if (!t || !f.po)
		return 1;
	f.interp = t->find_interp;
	f.tstate = t->find_tstate;
	f.fsbase = t->find_fsbase;
	f.found = t->find_found;
	for (u32 i = 0; i < RT_FIND_BATCH && !stop; i++)
		stop = rt_find_step(i, &f);
	t->find_interp = f.interp;
	t->find_tstate = f.tstate;
	t->find_found = f.found;
	return stop != 0;
}

static __always_inline void rt_find_loop(struct rt_thread *t, struct rt_space *s, struct rt_find *f)
{
	u32 thread = t->key, pyoff = s->pyoff;

	t->find_interp = f->interp;
	t->find_tstate = f->tstate;
	t->find_fsbase = f->fsbase;
	t->find_found = 0;
	for (u32 i = 0; i < RT_FIND_STEPS / RT_FIND_BATCH; i++)
		if (rt_find_steps(thread, pyoff))
			break;
	f->found = t->find_found;
}

#endif

/* Address of the thread state whose thread_id is the thread pointer, or 0. What was found (or not) is remembered with the thread. */
RT_GLOBAL u64 rt_tstate_find(struct rt_thread *t, struct rt_space *s, const struct rt_pyoff *po, u64 fsbase)
{
	struct rt_find f = {.po = po, .fsbase = fsbase};
	u64 head;

	if (!t || !s || !po)
		return 0;
	t->tstate = 0;
	f.interp = rt_user_u64(s->runtime + po->runtime_interp_head);
	if (!f.interp)
		return 0;
	t->interp_head = f.interp;
	t->many = rt_user_u64(f.interp + po->interp_next) != 0;
	head = rt_user_u64(f.interp + po->interp_threads_head);
	if (!head && !t->many)
		return 0;
	/* New thread states go to the head of the list: as long as that is the same one, there is none for this thread. A subinterpreter that runs nothing may have
	 * none at all. */
	if (!t->many && head == t->none_head && rt_user_u64(head + po->tstate_thread_id) == t->none_head_thread)
		return 0;
	f.tstate = head;
	rt_find_loop(t, s, &f);
	if (f.found) {
		t->tstate = f.found;
		return f.found;
	}
	t->none_head = head;
	t->none_head_thread = rt_user_u64(head + po->tstate_thread_id);
	return 0;
}

/* The current frame of the thread, and its thread state: by the one found last time if it is still this thread's (one read for both fields). */
static RT_APART u64 rt_current_frame(struct rt_thread *t, struct rt_space *s, const struct rt_pyoff *po, u64 fsbase)
{
	u64 *bytes = t->tstate_bytes, at = 0;
	u32 o_frame = po->tstate_frame, o_id = po->tstate_thread_id, base = o_frame & ~7u;

	/* Of several interpreters any can have the running frame now. Whether another one has come is asked now and then: making one takes hundreds of changes. */
	if (t->many || (!(++t->looks & 7) && t->tstate && rt_user_u64(s->runtime + po->runtime_interp_head) != t->interp_head))
		t->tstate = 0;
	if (t->tstate && (o_id < base || o_id - base > RT_TSTATE_BYTES - 8)) { /* up to 3.10 */
		if (rt_user_u64(t->tstate + o_id) == fsbase || rt_tstate_find(t, s, po, fsbase))
			return rt_user_u64(t->tstate + o_frame);
		return 0;
	}
	if (!t->tstate || bpf_probe_read_user(bytes, RT_TSTATE_BYTES, (void *)(t->tstate + base)) ||
	    bytes[((o_id - base) / 8) & (RT_TSTATE_BYTES / 8 - 1)] != fsbase) {
		if (!rt_tstate_find(t, s, po, fsbase))
			return 0;
		at = rt_user_u64(t->tstate + o_frame);
	} else {
		at = bytes[0];
	}
	if (po->flags & RT_PYOFF_CFRAME)
		return at ? rt_user_u64(at + po->cframe_frame) : 0;
	return at;
}

#endif
