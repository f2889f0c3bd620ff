/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativecall.bpf.h - the entry probe on native functions, and what a thread maps inside of them.
 *
 * At the probed instruction the stack pointer is where the return address lies, and the argument registers are the caller's (src/nativesym.h chooses it so). The probe's cookie is
 * its index in `native_sites`.
 *
 * What a thread maps: total_vm of its address space (include/linux/mm_types.h: pages mapped) is changed with the lock of the address space held, or, in a munmap, with what is left of it
 * (mmap_write_downgrade; mm/vma.c, vms_complete_munmap_vmas; before that mm/mmap.c). So between the tracepoints that tell of this lock's being taken and given back only the thread's
 * own system call moves it, whichever call it is, and one that fails moves nothing. Only system calls that map or unmap are asked (from the saved registers).
 */
#ifndef RT_NATIVECALL_BPF_H
#define RT_NATIVECALL_BPF_H

#include "cost.bpf.h"
#include "entry.bpf.h"
#include "look.bpf.h"
#include "vma.bpf.h"

#ifndef RT_OLD_KERNEL

#define RT_NATIVE_STALE_NS 1000000 /* a look is a microsecond: a thousandth of the time */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_MAX_SITES);
	__type(key, u32);
	__type(value, struct rt_site_conf);
} native_sites SEC(".maps");

/* Hits of each probe, by whomever: user space takes a dear one off that is hit too often. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RT_MAX_SITES);
	__type(key, u32);
	__type(value, u64);
} native_hits SEC(".maps");

static __always_inline u64 rt_native_arg(struct rt_native_thread *n, u32 number, u32 bits)
{
	u64 *v = rt_at(n->arg, 6, number - 1);

	return !v ? 0 : bits == 32 ? (u32)*v : *v;
}

static __always_inline u64 rt_native_bytes(const struct rt_site_conf *conf, struct rt_native_thread *n)
{
	u64 v;

	if (!conf->arg[0])
		return 0;
	v = rt_native_arg(n, conf->arg[0], conf->bits[0]);
	return conf->arg[1] ? v * rt_native_arg(n, conf->arg[1], conf->bits[1]) : v;
}

/* The thread's innermost Python frame as the look of just now left it. */
static __noinline int rt_native_frame(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, struct rt_native_call *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_shadow *sh = rt_shadow_of(task, t);
	const struct rt_pyoff *po;
	struct rt_shadow_frame *f;
	struct rt_shadow_entry *e;
	u64 size, left;
	u32 key = s->pyoff;

	po = bpf_map_lookup_elem(&pyoffs, &key);
	if (!sh || !po || sh->gap || !sh->depth)
		rt_return_nothing();
	f = rt_at(sh->f, RT_DEPTH, sh->depth - 1);
	e = rt_at(sh->e, RT_DEPTH, sh->depth - 1);
	if (!f || !e || f->addr != sh->st.tip)
		rt_return_nothing();
	c->frame = f->addr;
	c->instr = f->instr;
	if (!RT_ENTRY_KNOWN(po->version) || po->flags & RT_PYOFF_FREE_THREADED)
		rt_return_nothing();
	size = rt_frame_size(po->version, e->code);
	if (size <= po->frame_bytes)
		rt_return_nothing();
	c->values = c->frame + po->frame_bytes;
	size -= po->frame_bytes;
	left = 4096 - (c->values & 4095); /* the page behind may never have been touched */
	size = size < left ? size : left;
	c->bytes_compared = size < sizeof(n->words) ? size : sizeof(n->words);
	if (rt_native_mix(n, c, &c->mix))
		c->bytes_compared = 0;
	rt_return_nothing();
}

static __always_inline bool rt_native_own_record(struct rt_native_thread *n, u64 now)
{
	if (now - n->window_ns >= RT_NATIVE_WINDOW_NS) {
		n->window_ns = now;
		n->told = 0;
	}
	return n->told++ < RT_NATIVE_TOLD;
}

static __always_inline void rt_native_tell_enter(struct rt_thread *t, struct rt_space *s, struct task_struct *task, struct rt_native_call *c)
{
	struct rt_rec_native_enter *r;

	rt_native_cut(t, s, task);
	r = rt_reserve(struct rt_rec_native_enter, RT_C_LOST_NATIVE);
	if (!r)
		return;
	c->flags |= RT_NATIVE_CHECKPOINT;
	rt_header(&r->h, RT_REC_NATIVE_ENTER, sizeof(*r), bpf_ktime_get_ns(), s->image, t->tid);
	rt_native_totals(t, s, r->before);
	r->site = c->site;
	r->node = c->node;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* Is a call of this kind open already? */
static __always_inline bool rt_native_is_inner(const struct rt_native_thread *n, u32 kind)
{
	for (u32 i = 0; i < RT_NATIVE_DEPTH; i++) {
		if (i >= n->depth)
			break;
		if (n->call[i].flags >> RT_NATIVE_KIND_SHIFT == kind)
			return true;
	}
	return false;
}

/* The call begins. The thread is busy. */
static __noinline int rt_native_begin(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, const struct rt_site_conf *conf, struct rt_native_call *as)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_seen seen = {};
	bool small = conf->flags & RT_SITEK_HOT && as->bytes < conf->min_bytes;
	struct rt_native_call *c;
	u64 now;
	u32 depth;

	t->delta.pages = 0;
	rt_native_settle(t, s, n, as->sp + 1); /* what lies there or below is over, also where the same instruction has called it */
	now = bpf_ktime_get_ns();
	as->sig = t->sig;
	as->node = t->run.node;
	as->flags = RT_NATIVE_SUM | conf->kind << RT_NATIVE_KIND_SHIFT;
	if (rt_native_is_inner(n, conf->kind))
		as->flags |= RT_NATIVE_INNER;
	if (!small && rt_native_own_record(n, now))
		as->flags &= ~RT_NATIVE_SUM;
	/* Small ones belong where the thread was last seen, which is not long ago. */
	if (!small || now - t->seen_ns >= RT_NATIVE_STALE_NS) {
		rt_look(t, s, RT_PROG_ENTRY, 0, &seen);
		rt_charge(t, s, now, &seen);
		as->sig = seen.sig;
		as->node = seen.flags ? as->node : seen.node;
		if (!seen.flags)
			rt_native_frame(t, s, n, as);
	}
	as->begin_ns = as->last_ns = now;
	depth = n->depth;
	c = rt_at(n->call, RT_NATIVE_DEPTH, depth);
	if (!c) {
		rt_count(RT_C_NATIVE_DEEP);
		as->flags |= RT_NATIVE_SUM | RT_NATIVE_NOT_FOLLOWED;
		rt_native_add(t, s, n, as);
		rt_native_mark(t, n);
		rt_return_nothing();
	}
	*c = *as;
	n->depth = depth + 1;
	if (conf->flags & RT_SITEK_CHECKPOINT && !(c->flags & RT_NATIVE_SUM))
		rt_native_tell_enter(t, s, task, c);
	rt_native_mark(t, n);
	rt_return_nothing();
}

static __always_inline int rt_on_native(struct pt_regs *ctx)
{
	u32 site = (u32)bpf_get_attach_cookie(ctx);
	const struct rt_site_conf *conf = bpf_map_lookup_elem(&native_sites, &site);
	u64 *hits = bpf_map_lookup_elem(&native_hits, &site);
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_thread *t = rt_thread_of(task);
	struct rt_native_thread *n;
	struct rt_native_call *c;
	struct rt_space *s;

	if (hits)
		*hits += 1;
	if (!t || !conf || !conf->set)
		return 0;
	s = rt_thread_space(t);
	if (!s || s->mm != (u64)task->mm || (s->flags & RT_SPACE_ADOPTING))
		return 0;
	n = rt_storage_make(&natives, task);
	if (t->busy || !n) {
		rt_count(RT_C_NATIVE_LOST);
		return 0;
	}
	c = &n->next;
	__builtin_memset(c, 0, sizeof(*c));
	c->sp = ctx->sp;
	c->site = site;
	if (bpf_probe_read_user(&c->ret, sizeof(c->ret), (void *)c->sp)) {
		rt_count(RT_C_NATIVE_LOST);
		return 0;
	}
	rt_count(RT_C_NATIVE_CALLS);
	n->arg[0] = ctx->di;
	n->arg[1] = ctx->si;
	n->arg[2] = ctx->dx;
	n->arg[3] = ctx->cx;
	n->arg[4] = ctx->r8;
	n->arg[5] = ctx->r9;
	c->bytes = rt_native_bytes(conf, n);
	c->addr = n->arg[0];
	t->busy = 1;
	rt_native_begin(t, s, n, conf, c);
	t->busy = 0;
	return 0;
}

SEC("uprobe")
int native_call(struct pt_regs *ctx)
{
	return rt_program(native_call, rt_on_native(ctx));
}

/* ---- what is mapped ---- */

static __always_inline bool rt_native_maps(u64 nr)
{
	return nr == RT_NR_MMAP || nr == RT_NR_MUNMAP || nr == RT_NR_BRK || nr == RT_NR_MREMAP || nr == RT_NR_SHMAT || nr == RT_NR_SHMDT;
}

/* The current thread's calls, if it is inside of one and in such a system call; else NULL. */
static __always_inline struct rt_native_thread *rt_native_mapping(struct task_struct *task, struct pt_regs *regs, struct rt_thread **t)
{
	if (!rt_native_maps(regs->orig_ax) || !task->mm)
		return NULL;
	*t = rt_thread_of(task);
	return *t && (*t)->natives & RT_NATIVE_OPEN_MASK && !(*t)->busy ? bpf_task_storage_get(&natives, task, NULL, 0) : NULL;
}

static __always_inline int rt_on_native_lock(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct rt_thread *t = NULL;
	struct rt_native_thread *n = rt_native_mapping(task, regs, &t);

	if (!n)
		return 0;
	n->total_vm = task->mm->total_vm;
	n->locked = 1;
	return 0;
}

SEC("tp_btf/mmap_lock_acquire_returned")
int native_lock(void *ctx)
{
	return rt_program(native_lock, rt_on_native_lock());
}

/* `pages` more are mapped. To the byte where the length was given so. */
static __noinline int rt_native_mapped(struct rt_thread *t, struct rt_space *s, struct rt_native_thread *n, s64 pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	u64 bytes = (u64)(pages < 0 ? -pages : pages) << 12, nr = regs->orig_ax, len = regs->si;
	struct rt_native_call *c;
	u32 where;

	t->busy = 1;
	t->delta.pages = 0;
	where = rt_native_settle(t, s, n, regs->sp);
	c = rt_at(n->call, RT_NATIVE_DEPTH, n->depth - 1);
	if (c && n->depth && where == RT_NATIVE_INSIDE) {
		if ((nr == RT_NR_MMAP || nr == RT_NR_MUNMAP) && ((len + 4095) & ~4095ull) == bytes)
			bytes = len;
		if (pages > 0)
			c->mapped += bytes;
		else
			c->unmapped += bytes;
	}
	t->busy = 0;
	rt_return_nothing();
}

static __always_inline int rt_on_native_unlock(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct rt_thread *t = NULL;
	struct rt_native_thread *n = rt_native_mapping(task, regs, &t);
	struct rt_space *s;
	s64 pages;

	if (!n || !n->locked)
		return 0;
	n->locked = 0;
	pages = (s64)(task->mm->total_vm - n->total_vm);
	s = pages ? rt_thread_space(t) : NULL;
	if (s)
		rt_native_mapped(t, s, n, pages);
	return 0;
}

SEC("tp_btf/mmap_lock_released")
int native_unlock(void *ctx)
{
	return rt_program(native_unlock, rt_on_native_unlock());
}

#endif

#endif
