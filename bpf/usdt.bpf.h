/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * usdt.bpf.h - begin and end of calls, exactly: the static probes python:function__entry and function__return.
 *
 * Both are passed while the call's frame is the thread's innermost linked one (CPython 3.9 Python/ceval.c, _PyEval_EvalFrameDefault: `tstate->frame = f` comes before the
 * first, `tstate->frame = f->f_back` after the second; 3.15: dtrace_function_entry and dtrace_function_return get the current frame). So their arguments, C strings of file and
 * function, are not needed. A call that is left by an exception passes the second one, too.
 */
#ifndef RT_USDT_BPF_H
#define RT_USDT_BPF_H

#include "caller.bpf.h"
#include "cost.bpf.h"
#include "entry.bpf.h"

#ifndef RT_OLD_KERNEL

/* The call whose frame is the innermost one is over, although the frame stays linked for a moment: the caller's node and signature, and looks that still find the frame take them as well. */
static __noinline int rt_usdt_left(struct rt_thread *t, struct rt_space *s, struct rt_shadow *sh, struct rt_seen *seen, u64 frame)
{
	struct rt_shadow_frame *f;
	struct rt_shadow_entry *e;
	u32 depth, tip = 0;

	if (!t || !s || !sh || !seen)
		return -1;
	depth = sh->depth;
	tip = seen->node;
	f = rt_at(sh->f, RT_DEPTH, depth - 1);
	if (!depth || sh->gap || !f || f->addr != frame)
		return -1;
	seen->node = s->root;
	seen->sig = 0;
	if (depth > 1) {
		e = rt_at(sh->e, RT_DEPTH, depth - 2);
		if (!e)
			return -1;
		seen->node = e->node;
		seen->sig = e->sig;
	}
	t->from_node = tip;
	t->new_node = seen->node;
	t->new_sig = seen->sig;
	return 0;
}

/*
 * Has a look found this call already? The frame is linked before the first probe is passed: a thread that leaves its CPU or is sampled in between is in the call that is yet to be
 * told. Then the thread's last run is at this node, where a frame stands only before its first instruction, and it is not the run of a call that was told.
 */
static __always_inline bool rt_usdt_seen_early(struct rt_thread *t, u32 node, u64 frame)
{
	return t->run.node == node && t->begun != frame;
}

static __noinline int rt_usdt_charge(struct rt_thread *t, struct rt_space *s, struct rt_shadow *sh, u64 frame, u32 what)
{
	struct rt_seen seen = {};
	u32 id;

	if (!t || !s || !sh)
		return 0;
	id = sh->ref.id; /* a look uses sh->ref itself */
	t->new_node = 0;
	rt_look(t, s, RT_PROG_ENTRY, 0, &seen);
	if (seen.flags || (what == RT_RUN_EXIT && rt_usdt_left(t, s, sh, &seen, frame))) {
		rt_count(RT_C_WATCH_LOST);
		return 0;
	}
	if (what == RT_RUN_ENTRY && rt_usdt_seen_early(t, seen.node, frame))
		what = 0; /* one call, whose begin is known to the interval between two looks */
	t->begun = what == RT_RUN_EXIT ? 0 : frame;
	seen.flags = what;
	t->call = id;
	rt_charge(t, s, bpf_ktime_get_ns(), &seen);
	t->call = 0;
	return 0;
}

/* Calls of a code object whose count has a watchpoint are told by that: once is enough. */
static __always_inline bool rt_is_watched(const struct rt_thread *t, u64 code)
{
	struct rt_watch_key key = {.addr = code, .image = t->image};

	return bpf_map_lookup_elem(&watches, &key);
}

static __always_inline int rt_on_usdt(u32 what)
{
	struct rt_caller c = {};
	u64 frame, code;

	if (!rt_caller_find(&c))
		return 0;
	frame = rt_current_frame(c.t, c.s, c.po, rt_of(rt_current_task(), thread.fsbase));
	code = frame ? rt_user_u64(frame + c.po->frame_code) & ~(u64)c.po->code_tag : 0;
	if (!code || !rt_caller_shadow(&c, code))
		return 0;
	rt_code_get(c.t, c.sh, c.po, &c.sh->ref, RT_PROG_ENTRY);
	if (c.sh->ref.flags & RT_CODE_IS_FUNCTION && !rt_code_suspends(c.po, code) && !rt_is_watched(c.t, code))
		rt_usdt_charge(c.t, c.s, c.sh, frame, what);
	c.t->busy = 0;
	return 0;
}

SEC("uprobe")
int usdt_entry(struct pt_regs *ctx)
{
	return rt_program(usdt_entry, rt_on_usdt(RT_RUN_ENTRY));
}

SEC("uprobe")
int usdt_return(struct pt_regs *ctx)
{
	return rt_program(usdt_return, rt_on_usdt(RT_RUN_EXIT));
}

#endif

#endif
