/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * look.bpf.h - from "something happened to this thread" to its run: find the interpreter, look at the stack, charge.
 */
#ifndef RT_LOOK_BPF_H
#define RT_LOOK_BPF_H

#include "native.bpf.h"
#include "pywalk.bpf.h"
#include "rss.bpf.h"

/* ---- the interpreter of an address space ---- */

/* What is known of the executable? Asked again when user space has added to `bins`. */
static __noinline int rt_bin_check(struct rt_space *s)
{
	struct rt_bin_key key = {.dev = s->exe_dev, .ino = s->exe_ino};
	struct rt_bin *bin;
	u32 epoch = READ_ONCE(globals.bins_epoch);

	if (s->bins_epoch == epoch + 1)
		rt_return_nothing();
	s->bins_epoch = epoch + 1;
	bin = bpf_map_lookup_elem(&bins, &key);
	if (!bin)
		rt_return_nothing();
	s->pyoff = bin->pyoff;
	s->py_state = bin->kind == RT_BIN_NONE ? RT_PY_NONE : RT_PY_PENDING;
	rt_return_nothing();
}

struct rt_linkmap {
	u64 at;
	u64 want; /* l_ld - l_addr of libpython */
	u64 head; /* from l_addr to its list of interpreters */
	u64 base;
};

#define RT_LINKMAPS 256

/* struct link_map, <link.h>: l_addr 0, l_name 8, l_ld 16, l_next 24. */
static long rt_linkmap_step(u32 i, struct rt_linkmap *m)
{
	u64 map[4] = {};

	if (!m->at || bpf_probe_read_user(map, sizeof(map), (void *)m->at))
		return 1;
	/* One that is loaded twice lives where it has an interpreter. */
	if (map[2] - map[0] == m->want && rt_user_u64(map[0] + m->head)) {
		m->base = map[0];
		return 1;
	}
	m->at = map[3];
	return 0;
}

/* Finds _PyRuntime in this address space. struct r_debug, <link.h>: r_version 0, r_map 8. */
RT_GLOBAL int rt_runtime_find(struct rt_space *s)
{
	struct rt_bin_key key = {};
	const struct rt_pyoff *po;
	struct rt_linkmap m = {};
	struct rt_bin *bin;
	u32 version = 0, index;
	u64 bias, where;

	if (!s)
		return 0;
	key.dev = s->exe_dev;
	key.ino = s->exe_ino;
	bin = bpf_map_lookup_elem(&bins, &key);
	if (!bin)
		return 0;
	index = bin->pyoff;
	po = bpf_map_lookup_elem(&pyoffs, &index);
	if (!po)
		return 0;
	bias = s->bias - bin->exec_vaddr;
	if (bin->kind == RT_BIN_STATIC) {
		s->runtime = bias + bin->runtime_vaddr;
		where = bias + bin->version_off;
	} else {
		m.at = rt_user_u64(bias + bin->debug_vaddr);
		if (!m.at)
			return 0;
		m.at = rt_user_u64(m.at + 8);
		m.want = bin->lib_dynamic_vaddr;
		m.head = bin->lib_runtime_off + po->runtime_interp_head;
		rt_loop(RT_LINKMAPS, RT_LINKMAPS, rt_linkmap_step, &m);
		if (!m.base)
			return 0;
		s->runtime = m.base + bin->lib_runtime_off;
		where = m.base + bin->version_off;
	}
	/* The version (which 3.10 and older do not say) is constant data: its page may not be in this address space (never touched, or not copied by a fork). Then a runtime that has an
	 * interpreter will do: the executable is the one that user space read. */
	if (!bin->version_off || bpf_probe_read_user(&version, sizeof(version), (void *)where)) {
		if (!rt_user_u64(s->runtime + po->runtime_interp_head))
			return 0;
	} else if (version != bin->version_hex) {
		return 0;
	}
	s->py_state = RT_PY_READY;
	return 0;
}

/* A new try: all nodes and code objects are sent again under new numbers. */
static __always_inline void rt_root_check(struct rt_space *s)
{
	u32 generation = READ_ONCE(globals.generation), root;

	if (s->root && s->generation == generation)
		return;
	/* Sent before others can hang a node on it. Two threads at once make two roots: both are good. */
	root = rt_fetch_add(&globals.next_node, 1) + 1;
	rt_emit_node(s->image, s->pid, root, 0, RT_CODE_ROOT, 0);
	s->generation = generation;
	barrier();
	WRITE_ONCE(s->root, root);
}

/* ---- a look ---- */

/* Looks at the current thread's stack. `entry`: a frame that is about to begin (entry probe), or 0. */
static RT_FOLDED int rt_look_python(struct rt_thread *t, struct rt_space *s, u32 prog, u64 entry, struct rt_seen *seen)
{
	struct task_struct *task = rt_current_task();
	const struct rt_pyoff *po;
	struct rt_shadow *sh;
	u32 key = s->pyoff;
	u64 tip;
	int err = -1;

	seen->node = 0;
	seen->sig = 0;
	seen->flags = RT_RUN_NO_PYTHON;
	po = bpf_map_lookup_elem(&pyoffs, &key);
	if (!po)
		rt_return_nothing();
	tip = rt_current_frame(t, s, po, rt_of(task, thread.fsbase));
	if (!tip && !entry) {
		if (!s->seen_frame)
			seen->flags = RT_RUN_NOT_YET;
		rt_return_nothing();
	}
	rt_root_check(s);
	/* With a run queue's lock held, or in an interrupt, no memory is asked for: what gets it might want the same lock. */
	if (rt_shadow_allocates() && (prog == RT_PROG_SWITCH || prog == RT_PROG_WAKE || prog == RT_PROG_SAMPLE))
		sh = rt_shadow_of(task, t);
	else
		sh = rt_shadow_make(task, t, s);
	if (!sh) {
		/* A first look with interrupts off (a sample, a switch) cannot have so much memory: the thread's next RSS change does it. */
		rt_count(prog == RT_PROG_RSS ? RT_C_SHADOW_NOMEM : RT_C_GLANCE_FAILED);
		seen->flags = RT_RUN_UNREADABLE;
		seen->sig = t->sig;
		rt_return_nothing();
	}
	s->seen_frame = 1;
	sh->st.tip = tip;
	sh->st.prog = prog;
	rt_count(RT_C_LOOKS);
	if (tip)
		err = rt_walk(t, s, sh, po);
	if (err == RT_WALK_DEEP)
		err = rt_walk_all(t, s, sh, po);
	if (err) {
		rt_count(prog == RT_PROG_RSS ? RT_C_STACK_UNREADABLE : RT_C_GLANCE_FAILED);
		seen->flags = RT_RUN_UNREADABLE;
		seen->sig = t->sig;
		rt_return_nothing();
	}
	if (entry && sh->depth < RT_DEPTH && !sh->gap) {
		/* The frame is not linked yet: its caller is the tip. It goes on the shadow as it will be. */
		long at = rt_frame_fetch(sh, po, entry, entry);
		struct rt_look l = {.t = t, .sh = sh, .po = po};
		struct rt_walk_entry *w = &sh->w[0];

		if (at >= 0) {
			w->addr = entry;
			w->code = rt_frame_code(sh, po, at);
			w->ident = rt_frame_ident(rt_frame_field(sh, at, po->frame_func), rt_frame_field(sh, at, po->frame_globals));
			w->instr = rt_frame_field(sh, at, po->frame_instr);
			sh->st.pos = sh->depth;
			rt_push(&l, 0);
			sh->depth = sh->st.pos;
		}
	}
	seen->node = sh->st.node;
	seen->sig = sh->st.sig;
	seen->flags = 0;
#ifndef RT_OLD_KERNEL
	if (t->new_node && t->from_node == seen->node) {
		seen->node = t->new_node;
		seen->sig = t->new_sig;
	} else {
		t->new_node = 0;
	}
#endif
	rt_return_nothing();
}

static __always_inline int rt_look_here(struct rt_thread *t, struct rt_space *s, u32 prog, u64 entry, struct rt_seen *seen)
{
	if (s->py_state == RT_PY_UNKNOWN)
		rt_bin_check(s);
	if (s->py_state == RT_PY_PENDING)
		rt_runtime_find(s);
	if (s->py_state == RT_PY_READY)
		return rt_look_python(t, s, prog, entry, seen);
	seen->node = 0;
	seen->sig = 0;
	seen->flags = s->py_state == RT_PY_NONE ? RT_RUN_NO_PYTHON : RT_RUN_NOT_YET;
	return 0;
}

#ifndef RT_OLD_KERNEL

#define rt_look rt_look_here
#define rt_code_find(t, sh, po) rt_code_get(t, sh, po, &(sh)->ref, RT_PROG_ENTRY)

#else /* functions of numbers, each checked once a program */

__noinline int rt_look_at(u32 thread, u32 slot, u32 prog, u64 entry)
{
	struct rt_thread *t = bpf_map_lookup_elem(&threads, &thread);
	struct rt_space *s = rt_space_at(slot);

	return t && s ? rt_look_here(t, s, prog, entry, &t->seen) : 0;
}

static __always_inline int rt_look(struct rt_thread *t, struct rt_space *s, u32 prog, u64 entry, struct rt_seen *seen)
{
	rt_look_at(t->key, s->slot, prog, entry);
	*seen = t->seen;
	return 0;
}

__noinline int rt_code_find_at(u32 shadow)
{
	struct rt_look l = {};

	return rt_look_again(shadow, &l) ? -1 : rt_code_get(l.t, l.sh, l.po, &l.sh->ref, RT_PROG_ENTRY);
}
#define rt_code_find(t, sh, po) rt_code_find_at((sh)->self)

#endif

/* ---- runs ---- */

static __always_inline u64 rt_total(const struct rt_space *s)
{
	s64 n = s->sum[RT_FILE] + s->sum[RT_ANON] + s->sum[RT_SHMEM];

	return n > 0 ? n : 0;
}

/* Is the stack another one than that of the thread's last run? Asked only while a ledger is kept. */
static __always_inline bool rt_run_moved(const struct rt_run *run, const struct rt_seen *seen)
{
	return cfg.every_move && run->node != seen->node && !(seen->flags & (RT_RUN_UNREADABLE | RT_RUN_BUSY));
}

static __always_inline void rt_run_begin(struct rt_thread *t, struct rt_space *s, u32 slot, struct task_struct *task,
					 u64 now, const struct rt_seen *seen, const struct rt_delta *d, bool edge)
{
	struct rt_run *run = &t->run;
	u32 how = edge ? RT_RUN_EDGE : run->node == seen->node ? RT_RUN_CUT : 0;

	if (rt_run_moved(run, seen))
		how |= RT_RUN_MOVED;
	run->first_ns = now;
	run->prev_seen_ns = t->seen_ns;
#pragma unroll
	for (int k = 0; k < RT_KINDS; k++) {
		s64 n = d->pages ? d->before[k] : s->sum[k];

		run->before[k] = n > 0 ? n : 0;
		run->delta[k] = 0;
		run->gained[k] = 0;
	}
	run->max_pages = run->before[RT_FILE] + run->before[RT_ANON] + run->before[RT_SHMEM];
	run->reused = 0;
	run->node = seen->node;
	run->map = d->map;
	run->code = t->call;
	run->epoch = s->epoch;
	run->flags = seen->flags | how;
	run->active = 1;
	run->dirty = edge || how & RT_RUN_MOVED;
	run->events = 0;
	run->slot = slot;
	run->min_flt = rt_of(task, min_flt) - t->min_now;
	run->maj_flt = rt_of(task, maj_flt) - t->maj_now;
}

/* Charges t->delta (or just notes the look, if it moved no page) to what was seen. */
static RT_FOLDED int rt_charge_here(struct rt_thread *t, struct rt_space *s, u64 now, const struct rt_seen *seen)
{
	struct task_struct *task = rt_current_task();
	const struct rt_delta *d = &t->delta;
	struct rt_run *run = &t->run;
	bool edge = seen->sig != t->sig || (seen->flags & RT_RUN_ENTRY), moved = rt_run_moved(run, seen);
	u32 k = d->kind, slot = t->slot;

	if (!d->pages && !edge && !moved) {
		t->seen_ns = now;
		if (run->active)
			run->last_ns = now;
		return 0;
	}
	t->sig = seen->sig;
	if (!run->active || edge || run->node != seen->node || run->epoch != s->epoch || run->slot != slot ||
	    (run->flags & ~(RT_RUN_CUT | RT_RUN_EDGE | RT_RUN_MOVED)) != seen->flags || (run->events && run->map != d->map)) {
		if (run->active)
			rt_emit_run(t, run, task, s->image);
		if (edge || moved)
			rt_add(&s->epoch, 1);
		rt_run_begin(t, s, slot, task, now, seen, d, edge);
	}
	run->last_ns = now;
	t->seen_ns = now;
	if (d->pages && k < RT_KINDS) {
		u64 total = rt_total(s);

		run->dirty = 1;
		run->map = d->map;
		run->events++;
		run->delta[rt_slot_of(k)] += (s32)d->pages;
		run->reused += d->reused;
		if (d->pages > 0)
			run->gained[rt_slot_of(k)] += (u32)d->pages;
		if (total > run->max_pages)
			run->max_pages = total;
	}
	rt_return_nothing();
}

#ifndef RT_OLD_KERNEL

#define rt_charge rt_charge_here

#else

__noinline int rt_charge_at(u32 thread, u32 slot, u64 now)
{
	struct rt_thread *t = bpf_map_lookup_elem(&threads, &thread);
	struct rt_space *s = rt_space_at(slot);

	return t && s ? rt_charge_here(t, s, now, &t->seen) : 0;
}

static __always_inline int rt_charge(struct rt_thread *t, struct rt_space *s, u64 now, const struct rt_seen *seen)
{
	t->seen = *seen;
	return rt_charge_at(t->key, s->slot, now);
}

#endif

/* A look without an RSS change. */
static __always_inline int rt_glance(struct rt_thread *t, struct rt_space *s, struct task_struct *task, u32 prog)
{
	struct rt_seen seen = {};

	t->busy = 1;
	t->delta.pages = 0;
	rt_native_seen(t, s);
	rt_look(t, s, prog, 0, &seen);
	rt_charge(t, s, bpf_ktime_get_ns(), &seen);
	t->busy = 0;
	return 0;
}

/* Outside of a change or a look. The thread is busy meanwhile: on kernels where these programs can be preempted, the program at its switch would put what it
 * finds into the run that is just being copied. */
static __always_inline void rt_run_send(struct rt_thread *t, struct rt_space *s, struct task_struct *task)
{
	u32 busy = t->busy;

	WRITE_ONCE(t->busy, 1);
	barrier();
	rt_emit_run(t, &t->run, task, s->image);
	barrier();
	WRITE_ONCE(t->busy, busy);
}

static __always_inline void rt_flush_old(struct rt_thread *t, struct rt_space *s, struct task_struct *task, u64 now)
{
	if (t->run.active && now - t->run.first_ns > cfg.flush_age_ns)
		rt_emit_run(t, &t->run, task, s->image);
}

#endif
