/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * entry.bpf.h - begin and end of calls, exactly: hardware watchpoints on the reference counts of code objects.
 *
 * A frame owns a reference to its code object, so the count goes up when a call begins and down when it ends, also where the interpreter inlines the call and no function of it
 * is entered (3.11+, Python/ceval.c). Other references move it as well (`f.__code__`, a new function object, a traceback). A call is told from them by the frame stack: at
 * both moments the call's frame lies at its top, outside of everything that is linked (CPython Include/internal/pycore_frame.h: _PyFrame_PushUnchecked, Python/frame.c:
 * _PyFrame_ClearExceptCode, Python/ceval.c: _PyEvalFrameClearAndPop).
 */
#ifndef RT_ENTRY_BPF_H
#define RT_ENTRY_BPF_H

#include "cost.bpf.h"
#include "look.bpf.h"

#ifndef RT_OLD_KERNEL

#define RT_CALL_BYTES_MAX (1u << 20)  /* bytes of a frame: a larger one is taken for garbage */
#define RT_OWNER_STEPS 64	 /* frames of generators and entry shims that may lie between the tip and one on the frame stack */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RT_MAX_WATCHES);
	__type(key, struct rt_watch_key);
	__type(value, struct rt_watch_value);
} watches SEC(".maps");

/* Bytes of a frame of this code object, 0: not credible. */
static __always_inline u64 rt_frame_size(u32 version, u64 code)
{
	u32 words = 0, more = 0;

	if (bpf_probe_read_user(&words, sizeof(words), (void *)(code + RT_CODE_FRAMESIZE(version))))
		return 0;
	if (version == 0x30b) {
		if (bpf_probe_read_user(&more, sizeof(more), (void *)(code + RT_CODE_STACKSIZE_311)))
			return 0;
		words += more + RT_FRAME_SPECIALS;
	}
	return words < RT_CALL_BYTES_MAX / 8 ? (u64)words * 8 : 0;
}

struct rt_owner_walk {
	const struct rt_pyoff *po;
	u64 frame;
	u32 found;
};

static long rt_owner_step(u32 i, struct rt_owner_walk *w)
{
	u8 owner = 0xff;

	if (!w->frame || bpf_probe_read_user(&owner, 1, (void *)(w->frame + w->po->frame_owner)))
		return 1;
	if (owner == 0) { /* FRAME_OWNED_BY_THREAD */
		w->found = 1;
		return 1;
	}
	w->frame = rt_user_u64(w->frame + w->po->frame_previous);
	return 0;
}

/* The frame at the top of the thread's frame stack, if it is one of the code object at `code` and not linked: a call of it begins or ends. Else 0. */
static __noinline u64 rt_frame_in_transit(struct rt_thread *t, const struct rt_pyoff *po, u64 tip, u64 code)
{
	struct rt_owner_walk w = {.po = po, .frame = tip};
	u64 chunk[3] = {}, size, at, top, below;
	u32 version;

	if (!t || !po)
		return 0;
	version = po->version;
	chunk[0] = rt_user_u64(t->tstate + RT_TSTATE_DATASTACK(version));
	top = rt_user_u64(t->tstate + RT_TSTATE_DATASTACK(version) + 8);
	at = chunk[0];
	size = rt_frame_size(version, code);
	/* struct _stack_chunk: previous, size (bytes), top (words), data */
	if (!size || !at || bpf_probe_read_user(chunk, sizeof(chunk), (void *)at) || top - at > chunk[1] || top - at < size)
		return 0;
	at = top - size;
	bpf_loop(RT_OWNER_STEPS, rt_owner_step, &w, 0);
	if (!w.frame)
		return at;
	if (!w.found)
		return 0;
	below = rt_frame_size(version, rt_user_u64(w.frame + po->frame_code) & ~(u64)po->code_tag);
	if (!below || (w.frame < top && w.frame + below > at))
		return 0;
	return at;
}

/* Is the call whose frame lies at `at` known to be open? With `drop` it ends here, and so do those inside it. */
static __always_inline u32 rt_open_find(struct rt_thread *t, u64 at, u32 drop)
{
	u32 found = 0;

#pragma unroll
	for (u32 i = 0; i < RT_OPEN_CALLS; i++) {
		if (t->open[i] != at)
			continue;
		found = 1;
		if (drop)
			t->open[i] = 0;
	}
	return found;
}

static __always_inline void rt_open_add(struct rt_thread *t, u64 at)
{
	rt_open_find(t, at, 1);
	t->open_at = (t->open_at + 1) & (RT_OPEN_CALLS - 1);
	t->open[t->open_at & (RT_OPEN_CALLS - 1)] = at;
}

/* A call of the code object at sh->ref.addr begins: the node and signature that its frame will have. It is not put on the shadow; the next look walks it. */
static __noinline int rt_entry_node(struct rt_thread *t, struct rt_shadow *sh, const struct rt_pyoff *po, struct rt_seen *seen)
{
	u32 parent = seen->node;

	if (!t || !sh || !po || !seen)
		return -1;
	if (rt_code_get(t, sh, po, &sh->ref, RT_PROG_ENTRY) || !(sh->ref.flags & (RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT)))
		return -1;
	seen->node = rt_node_get(t->image, t->tid, parent, sh->ref.id, 0);
	seen->sig = (u32)(rt_mix(((u64)parent << 32) | (sh->ref.flags & RT_CODE_IS_STATEMENT ? 0 : 0xfffffff1), sh->ref.id) >> 7) | 1;
	t->call = sh->ref.id;
	t->from_node = parent;
	t->new_sig = seen->sig;
	t->new_node = seen->node;
	return 0;
}

/* Was the frame at `at`, a call of this code object, linked at the last look? Then its call began before anything was watched. */
static __always_inline u32 rt_shadow_has(struct rt_shadow *sh, u64 at, u64 code)
{
	u32 pos = sh->index[rt_index_hash(at)];
	struct rt_shadow_frame *f = rt_at(sh->f, RT_DEPTH, pos);
	struct rt_shadow_entry *e = rt_at(sh->e, RT_DEPTH, pos);

	return f && e && pos < sh->depth && f->addr == at && e->code == code;
}

enum rt_watch_what { RT_WATCH_NOTHING, RT_WATCH_ENTRY, RT_WATCH_EXIT };

/* What the count's move means: `up` or down. */
static __noinline u32 rt_watch_meaning(struct rt_thread *t, struct rt_space *s, struct rt_shadow *sh, u32 up, u64 code)
{
	struct task_struct *task = rt_current_task();
	const struct rt_pyoff *po;
	u32 key, was_open;
	u64 at, tip, held;

	if (!t || !s || !sh)
		return RT_WATCH_NOTHING;
	key = s->pyoff;
	po = bpf_map_lookup_elem(&pyoffs, &key);
	if (!po)
		return RT_WATCH_NOTHING;
	tip = rt_current_frame(t, s, po, rt_of(task, thread.fsbase));
	if (!t->tstate)
		return RT_WATCH_NOTHING;
	at = rt_frame_in_transit(t, po, tip, code);
	if (!at)
		return RT_WATCH_NOTHING;
	if (!up) {
		held = rt_user_u64(at + po->frame_code) & ~(u64)po->code_tag;
		was_open = rt_shadow_has(sh, at, code);
		was_open |= rt_open_find(t, at, 1);
		/* From 3.14 on a frame gives its reference up before the count moves (PyStackRef_CLEAR): one that holds none is known by its place. */
		return held == code || (!held && was_open && po->version >= 0x30e) ? RT_WATCH_EXIT : RT_WATCH_NOTHING;
	}
	/* From 3.12 on a frame that a traceback still needs is copied on its way out, with a reference of the copy's own: the call's end follows. */
	was_open = rt_open_find(t, at, 0) || rt_shadow_has(sh, at, code);
	if (was_open && po->version > 0x30b)
		return RT_WATCH_NOTHING;
	rt_open_add(t, at);
	return RT_WATCH_ENTRY;
}

enum rt_count_move { RT_COUNT_SAME, RT_COUNT_UP, RT_COUNT_DOWN, RT_COUNT_UNKNOWN };

/* How the count moved since the last hit. Unknown at the first one: what it was before nobody saw. The same: a thread that has two watchpoints, its own and an inherited one. */
static __always_inline u32 rt_count_moved(struct rt_watch_value *v, u64 addr)
{
	u32 count = 0, was = v->last, known = v->known;

	if (bpf_probe_read_user(&count, sizeof(count), (void *)addr)) {
		v->known = 0;
		return RT_COUNT_UNKNOWN;
	}
	v->last = count;
	v->known = 1;
	if (!known)
		return RT_COUNT_UNKNOWN;
	return count == was ? RT_COUNT_SAME : count - was < 0x80000000u ? RT_COUNT_UP : RT_COUNT_DOWN;
}

/* A count moved that is watched. */
static __always_inline int rt_on_count(struct rt_watch_value *v, u64 addr, struct rt_thread *t, struct rt_space *s)
{
	struct task_struct *task = rt_current_task();
	u32 moved = rt_count_moved(v, addr), key, what;
	const struct rt_pyoff *po;
	struct rt_seen seen = {};
	struct rt_shadow *sh;

	if (moved == RT_COUNT_SAME)
		return 0;
	key = s->pyoff;
	po = bpf_map_lookup_elem(&pyoffs, &key);
	sh = po && moved != RT_COUNT_UNKNOWN && !t->busy ? rt_shadow_make(task, t, s) : NULL;
	if (!po || !sh) {
		rt_count(RT_C_WATCH_LOST);
		return 0;
	}
	t->busy = 1;
	what = rt_watch_meaning(t, s, sh, moved == RT_COUNT_UP, addr);
	if (what == RT_WATCH_NOTHING) {
		t->busy = 0;
		return 0;
	}
	t->delta.pages = 0;
	t->new_node = 0;
	rt_look(t, s, RT_PROG_ENTRY, 0, &seen);
	if (seen.flags & (RT_RUN_NO_PYTHON | RT_RUN_NOT_YET)) { /* a thread's first frame */
		rt_root_check(s);
		seen.node = s->root;
		seen.sig = 0;
		seen.flags = 0;
	}
	sh->ref.addr = addr;
	if (seen.flags) {
		rt_count(RT_C_WATCH_LOST);
	} else if (what == RT_WATCH_ENTRY) {
		if (!rt_entry_node(t, sh, po, &seen)) {
			seen.flags = RT_RUN_ENTRY;
			rt_charge(t, s, bpf_ktime_get_ns(), &seen);
		}
	} else if (!rt_code_get(t, sh, po, &sh->ref, RT_PROG_ENTRY)) {
		seen.flags = RT_RUN_EXIT;
		t->call = sh->ref.id;
		rt_charge(t, s, bpf_ktime_get_ns(), &seen);
	}
	t->call = 0;
	t->busy = 0;
	return 0;
}

static __always_inline int rt_on_watch(u64 addr)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);
	struct rt_watch_key wk = {.addr = addr};
	struct rt_watch_value *v;
	struct rt_space *s;
	u64 begin;

	if (!t || !rt_of(task, mm))
		return 0;
	wk.image = t->image;
	v = bpf_map_lookup_elem(&watches, &wk);
	s = rt_thread_space(t);
	if (!v || !s || s->py_state != RT_PY_READY || s->mm != (u64)rt_of(task, mm))
		return 0;
	begin = bpf_ktime_get_ns();
	rt_count(RT_C_WATCH_HITS);
	rt_on_count(v, addr, t, s);
	rt_add(&v->hits, 1);
	rt_add(&v->ns, bpf_ktime_get_ns() - begin);
	return 0;
}

SEC("perf_event")
int watch_hit(struct bpf_perf_event_data *ctx)
{
	return rt_program(watch_hit, rt_on_watch(ctx->addr));
}

#endif

#endif
