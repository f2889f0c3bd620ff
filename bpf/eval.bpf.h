/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * eval.bpf.h - the beginning of calls that pass a function of the interpreter.
 *
 * A call from C passes both: _PyEval_Vector makes the frame by _PyEvalFramePushAndInit, then _PyEval_EvalFrameDefault runs it. One from Python passes the first alone, as long as
 * its CALL is not specialised (CPython 3.11+, Python/bytecodes.c: CALL, CALL_KW, CALL_FUNCTION_EX); once it is, or where the interpreter calls by itself (a property, an item of a class
 * with __getitem__), the frame is pushed in line (_PyFrame_PushUnchecked) and the call passes neither. No end passes anything.
 */
#ifndef RT_EVAL_BPF_H
#define RT_EVAL_BPF_H

#include "caller.bpf.h"
#include "cost.bpf.h"
#include "entry.bpf.h"

/* Was the call of this code object told when its frame was made? Once only: the frame that is made next, under the same caller, is another call's. */
static __always_inline bool rt_was_pushed(const struct rt_caller *c, u64 code)
{
#ifndef RT_OLD_KERNEL
	u64 pushed = c->t->pushed;

	if (pushed != code || c->t->pushed_tip != rt_current_frame(c->t, c->s, c->po, rt_of(rt_current_task(), thread.fsbase)))
		return false;
	c->t->pushed = 0;
	return true;
#else
	return false;
#endif
}

/* _PyEval_EvalFrameDefault(PyThreadState *tstate, _PyInterpreterFrame *frame, int throwflag): 3.9 and newer, Python/ceval.c. */
static __always_inline int rt_on_entry(struct pt_regs *ctx)
{
	struct rt_caller c = {};
	struct rt_seen seen = {};
	u64 frame = ctx->si, code;

	if ((u32)ctx->dx || !rt_caller_find(&c)) /* throwflag: a generator is thrown into, not entered */
		return 0;
	code = rt_user_u64(frame + c.po->frame_code) & ~(u64)c.po->code_tag;
	if (!rt_caller_shadow(&c, code))
		return 0;
	if (code)
		rt_code_find(c.t, c.sh, c.po);
	if (c.sh->ref.flags & (RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT) && !rt_was_pushed(&c, code)) {
		rt_look(c.t, c.s, RT_PROG_ENTRY, frame, &seen);
		if (!seen.flags) {
			seen.flags = RT_RUN_ENTRY;
			rt_charge(c.t, c.s, bpf_ktime_get_ns(), &seen);
		}
	}
	c.t->busy = 0;
	return 0;
}

SEC("uprobe")
int eval_entry(struct pt_regs *ctx)
{
	return rt_program(eval_entry, rt_on_entry(ctx));
}

#ifndef RT_OLD_KERNEL

/* _PyEvalFramePushAndInit(PyThreadState *tstate, PyFunctionObject *func, ...): 3.11 and newer, Python/ceval.c; from 3.14 on func is a tagged reference. */
static __always_inline int rt_on_push(struct pt_regs *ctx)
{
	struct rt_caller c = {};
	struct rt_seen seen = {};
	u64 func = ctx->si, code;

	if (!rt_caller_find(&c))
		return 0;
	code = rt_user_u64((func & ~(u64)c.po->code_tag) + RT_FUNC_CODE(c.po->flags & RT_PYOFF_FREE_THREADED));
	if (!code || !rt_caller_shadow(&c, code))
		return 0;
	rt_code_get(c.t, c.sh, c.po, &c.sh->ref, RT_PROG_ENTRY);
	if (c.sh->ref.flags & (RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT) && !rt_code_suspends(c.po, code)) {
		c.t->new_node = 0;
		rt_look(c.t, c.s, RT_PROG_ENTRY, 0, &seen);
		if (seen.flags & (RT_RUN_NO_PYTHON | RT_RUN_NOT_YET)) { /* a thread's first frame */
			seen.node = c.s->root;
			seen.sig = 0;
			seen.flags = 0;
		}
		c.sh->ref.addr = code; /* a look uses it itself */
		if (!seen.flags && !rt_entry_node(c.t, c.sh, c.po, &seen)) {
			seen.flags = RT_RUN_ENTRY;
			rt_charge(c.t, c.s, bpf_ktime_get_ns(), &seen);
			c.t->pushed = code;
			c.t->pushed_tip = c.sh->st.tip;
		}
		c.t->call = 0;
	}
	c.t->busy = 0;
	return 0;
}

SEC("uprobe")
int push_entry(struct pt_regs *ctx)
{
	return rt_program(push_entry, rt_on_push(ctx));
}

#endif

#endif
