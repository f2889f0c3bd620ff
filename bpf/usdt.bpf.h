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

#include "cost.bpf.h"
#include "look.bpf.h"

#ifndef RT_OLD_KERNEL

/* Generators and coroutines pass both at every step: their spans are told as ever. */
static __always_inline bool rt_usdt_suspends(const struct rt_pyoff *po, u64 code)
{
	u32 flags = 0;

	return bpf_probe_read_user(&flags, sizeof(flags), (void *)(code + (po->version <= 0x30a ? RT_CODE_FLAGS_310 : RT_CODE_FLAGS))) ||
	       flags & RT_CODE_SUSPENDS;
}

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
	seen.flags = what;
	t->call = id;
	rt_charge(t, s, bpf_ktime_get_ns(), &seen);
	t->call = 0;
	return 0;
}

static __always_inline int rt_on_usdt(u32 what)
{
	struct task_struct *task = rt_current_task();
	struct rt_thread *t = rt_thread_of(task);
	const struct rt_pyoff *po;
	struct rt_shadow *sh;
	struct rt_space *s;
	u64 frame, code;
	u32 key;

	if (!t || t->busy)
		return 0;
	s = rt_thread_space(t);
	if (!s || s->py_state != RT_PY_READY || s->mm != (u64)rt_of(task, mm))
		return 0;
	key = s->pyoff;
	po = bpf_map_lookup_elem(&pyoffs, &key);
	if (!po)
		return 0;
	rt_count(RT_C_ENTRY_HITS);
	frame = rt_current_frame(t, s, po, rt_of(task, thread.fsbase));
	code = frame ? rt_user_u64(frame + po->frame_code) & ~(u64)po->code_tag : 0;
	sh = code ? rt_shadow_make(task, t, s) : NULL;
	if (!sh)
		return 0;
	t->busy = 1;
	t->delta.pages = 0;
	rt_root_check(s);
	sh->ref.addr = code;
	sh->ref.flags = 0;
	rt_code_get(t, sh, po, &sh->ref, RT_PROG_ENTRY);
	/* Functions in which statements are to be told begin with none of them: left to the other looks. */
	if ((sh->ref.flags & (RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT)) == RT_CODE_IS_FUNCTION && !rt_usdt_suspends(po, code))
		rt_usdt_charge(t, s, sh, frame, what);
	t->busy = 0;
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
