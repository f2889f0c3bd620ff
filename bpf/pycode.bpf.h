/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pycode.bpf.h - identity of code objects and nodes: which were sent already, and sending new ones.
 *
 * The larger functions are global ones: the verifier then checks each once by itself, instead of at every call with every state of its caller.
 *
 * A code object's address says nothing by itself: it is freed and comes back as another one all the time (an import frees its module's code at once). So it
 * is known by address and fingerprint: the addresses of its name, file and line table, its first line, and its number co_version (3.12+) or, where
 * there is none, the cached hash of its qualname, because the strings' addresses come back as well.
 */
#ifndef RT_PYCODE_BPF_H
#define RT_PYCODE_BPF_H

#include "../include/rt_entryoff.h"
#include "emit.bpf.h"

#define RT_STR_MAX (1u << 20) /* a longer str is taken for garbage */

static __always_inline u64 rt_mix(u64 h, u64 v)
{
	h ^= v;
	h *= 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 29);
}

static __always_inline u64 rt_user_u64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

#define RT_CODE_BYTES 96 /* src/pyoff.h: RT_PYOFF_CODE_BYTES */

/* A field of the piece of the code object that was read into sh->code_bytes. */
static __always_inline u64 rt_code_field(struct rt_shadow *sh, u32 base, u32 offset)
{
	return *(u64 *)(sh->code_bytes + ((offset - base) & RT_FIELD_MASK));
}

static __always_inline int rt_code_piece(struct rt_shadow *sh, u64 addr, u32 base, u32 offset)
{
	return bpf_probe_read_user(sh->code_bytes + ((offset - base) & RT_FIELD_MASK), 8, (void *)(addr + offset)) ? -1 : 0;
}

/* The same bytes one field at a time: a code object that is part of the interpreter's data (frozen modules) can lie across two pages of which the
 * second, with the instructions, is the one that is just being faulted in. */
static RT_FOLDED int rt_code_pieces(struct rt_shadow *sh, const struct rt_pyoff *po, u64 addr)
{
	u32 base = po->code_firstlineno & ~15u;

	return rt_code_piece(sh, addr, base, po->code_firstlineno) | rt_code_piece(sh, addr, base, po->code_filename) |
	       rt_code_piece(sh, addr, base, po->code_qualname) | rt_code_piece(sh, addr, base, po->code_linetable) |
	       (po->code_version ? rt_code_piece(sh, addr, base, po->code_version) : 0);
}

/* Reads what identifies the code object at c->addr. Returns 0, or -1 if it cannot be read. */
RT_GLOBAL int rt_code_read(struct rt_shadow *sh, const struct rt_pyoff *po, struct rt_code_ref *c)
{
	u32 base;
	u64 h;

	if (!sh || !po || !c)
		return -1;
	base = po->code_firstlineno & ~15u;

	if (bpf_probe_read_user(sh->code_bytes, RT_CODE_BYTES, (void *)(c->addr + base)) && rt_code_pieces(sh, po, c->addr))
		return -1;
	c->firstlineno = (s32)rt_code_field(sh, base, po->code_firstlineno);
	c->filename = rt_code_field(sh, base, po->code_filename);
	c->qualname = rt_code_field(sh, base, po->code_qualname);
	c->linetable = rt_code_field(sh, base, po->code_linetable);
	h = rt_mix(c->filename, c->qualname);
	h = rt_mix(h, c->linetable ^ ((u64)(u32)c->firstlineno << 32));
	if (po->code_version)
		h = rt_mix(h, (u32)rt_code_field(sh, base, po->code_version));
	else
		h = rt_mix(h, rt_user_u64(c->qualname + po->str_hash));
	c->fp = h | 1;
	return 0;
}

/* ---- names ---- */

struct rt_hash {
	struct rt_code_scratch *scratch; /* the bytes are at its data[0] */
};

static long rt_hash_byte(u32 i, struct rt_hash *h)
{
	struct rt_code_scratch *sc = h->scratch;
	u64 c;

	if (i >= RT_QUALNAME_MAX + RT_FILENAME_MAX)
		return 1;
	c = sc->data[i];
	sc->all = (sc->all ^ c) * RT_FNV_PRIME;
	if (c == '/') {
		sc->last2 = (sc->last1 ^ c) * RT_FNV_PRIME;
		sc->last1 = RT_FNV_BASIS;
	} else {
		sc->last2 = (sc->last2 ^ c) * RT_FNV_PRIME;
		sc->last1 = (sc->last1 ^ c) * RT_FNV_PRIME;
	}
	return 0;
}

#ifndef RT_OLD_KERNEL

static __always_inline void rt_hash(struct rt_code_scratch *sc, u32 key, u32 bytes)
{
	struct rt_hash h = {.scratch = sc};

	sc->all = sc->last1 = sc->last2 = RT_FNV_BASIS;
	bpf_loop(bytes, rt_hash_byte, &h, 0);
}

#else

__noinline int rt_hash_at(u32 key, u32 bytes)
{
	struct rt_hash h = {.scratch = bpf_map_lookup_elem(&code_scratch, &key)};
	struct rt_code_scratch *sc = h.scratch;

	if (!sc)
		return 0;
	sc->all = sc->last1 = sc->last2 = RT_FNV_BASIS;
	rt_loop(bytes, RT_FILENAME_MAX, rt_hash_byte, &h);
	return 0;
}

#define rt_hash(sc, key, bytes) rt_hash_at(key, bytes)

#endif

static __always_inline u32 rt_name_lookup(u64 key)
{
	u32 *flags = bpf_map_lookup_elem(&names, &key);

	return flags ? *flags : 0;
}

static __always_inline void rt_str_read(const struct rt_pyoff *po, u64 addr, struct rt_str *s)
{
	u64 len = 0;
	u32 state = 0;

	s->width = 0;
	s->bytes = 0;
	s->ascii = 0;
	if (!addr || bpf_probe_read_user(&len, sizeof(len), (void *)(addr + po->str_length)) ||
	    bpf_probe_read_user(&state, sizeof(state), (void *)(addr + po->str_state)))
		return;
	state >>= po->str_kind_shift & 31;
	if (len > RT_STR_MAX || !(state & (1 << 3))) /* compact */
		return;
	s->width = state & 7;
	if (s->width != 1 && s->width != 2 && s->width != 4) {
		s->width = 0;
		return;
	}
	s->ascii = (state >> 4) & 1;
	s->data = addr + (s->ascii ? po->str_ascii_data : po->str_compact_data);
	s->bytes = len * s->width;
}

/* n, or max if it is more: the register that was compared is the one that is used, which is what verifiers follow. */
#define rt_upto(n, max)                         \
	({                                      \
		u64 n_ = (n);                   \
		asm volatile("" : "+r"(n_));    \
		if (n_ > (max))                 \
			n_ = (max);             \
		asm volatile("" : "+r"(n_));    \
		n_;                             \
	})

/* Scratch space of this CPU for a kind of program. Where another one of that kind was preempted in the middle of its use, one that no kind has. */
static __always_inline u32 rt_code_scratch_take(u32 prog)
{
	u32 base = bpf_get_smp_processor_id() * RT_PROG_KINDS, key = base + (prog & (RT_PROG_KINDS - 1));
	struct rt_code_scratch *sc = bpf_map_lookup_elem(&code_scratch, &key);

	if (sc && !rt_exchange(&sc->busy, 1))
		return key;
#pragma unroll
	for (u32 i = RT_PROG_WAKE + 1; i < RT_PROG_KINDS; i++) {
		key = base + i;
		sc = bpf_map_lookup_elem(&code_scratch, &key);
		if (sc && !rt_exchange(&sc->busy, 1))
			return key;
	}
	return RT_SLOT_NONE;
}

/* Copies names (and the line table, if it is wanted) of a new code object and sends them. Sets c->flags. */
RT_GLOBAL int rt_code_send(struct rt_thread *t, const struct rt_pyoff *po, struct rt_code_ref *c, u32 prog)
{
	u32 key = rt_code_scratch_take(prog);
	struct rt_code_scratch *sc = bpf_map_lookup_elem(&code_scratch, &key);
	struct rt_rec_code *r;
	struct rt_str *q, *f;
	u32 ql, fl, tl = 0, flags = 0, size;
	u64 hq, n;

	if (!t || !po || !c)
		return 0;
	if (!sc) {
		rt_count(RT_C_LOST_CODE);
		return 0;
	}
	r = &sc->rec;
	q = &sc->q;
	f = &sc->f;
	rt_str_read(po, c->qualname, q);
	rt_str_read(po, c->filename, f);
	if (!q->width || !f->width)
		flags |= RT_CODE_UNREADABLE;
	ql = q->width ? q->bytes : 0;
	if (ql > RT_QUALNAME_MAX) {
		ql = RT_QUALNAME_MAX;
		flags |= RT_CODE_NAME_CUT;
	}
	fl = f->width ? f->bytes : 0;
	if (fl > RT_FILENAME_MAX) {
		f->data += fl - RT_FILENAME_MAX;
		fl = RT_FILENAME_MAX;
		flags |= RT_CODE_FILE_CUT;
	}
	if (ql && bpf_probe_read_user(sc->data, rt_upto(ql, RT_QUALNAME_MAX), (void *)q->data))
		flags |= RT_CODE_UNREADABLE;
	rt_hash(sc, key, ql);
	hq = sc->all;
	/* The file is hashed at the start of the buffer, then copied behind the name for good. */
	if (fl && bpf_probe_read_user(sc->data, rt_upto(fl, RT_FILENAME_MAX), (void *)f->data))
		flags |= RT_CODE_UNREADABLE;
	if (fl && sc->data[0] == '<' && sc->data[1] != 'f')
		c->flags |= RT_CODE_IS_VOLATILE; /* "<string>", "<stdin>", ...; not "<frozen ...>" */
	rt_hash(sc, key, fl);
	if (q->ascii && f->ascii)
		c->flags |= rt_name_lookup(RT_NAME_KEY0(hq)) | rt_name_lookup(RT_NAME_KEY1(hq, sc->last1)) |
			    rt_name_lookup(RT_NAME_KEY2(hq, sc->last2));
	else /* not compared here: user space decides */
		c->flags |= RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT;
	if (c->flags & (RT_CODE_IS_FUNCTION | RT_CODE_IS_STATEMENT))
		flags |= RT_CODE_NAMED;
	if (ql)
		bpf_probe_read_user(sc->data, rt_upto(ql, RT_QUALNAME_MAX), (void *)q->data);
	barrier();
	if (fl)
		bpf_probe_read_user(sc->data + rt_upto(ql, RT_QUALNAME_MAX), rt_upto(fl, RT_FILENAME_MAX), (void *)f->data);
	flags |= RT_CODE_TABLE_ABSENT;
	if (cfg.want_line_tables || (c->flags & RT_CODE_IS_STATEMENT)) {
		/* An empty one is one too: an lnotab has nothing to say of a function on one line. One that cannot be read is none. */
		n = 0;
		if (!bpf_probe_read_user(&n, sizeof(n), (void *)(c->linetable + po->bytes_size)) && !n)
			flags &= ~RT_CODE_TABLE_ABSENT;
		tl = n > RT_LINETABLE_MAX ? RT_LINETABLE_MAX : n;
		if (n && !bpf_probe_read_user(sc->data + rt_upto(ql, RT_QUALNAME_MAX) + rt_upto(fl, RT_FILENAME_MAX), rt_upto(tl, RT_LINETABLE_MAX),
					      (void *)(c->linetable + po->bytes_data))) {
			flags &= ~RT_CODE_TABLE_ABSENT;
			if (n > RT_LINETABLE_MAX)
				flags |= RT_CODE_TABLE_CUT;
		} else {
			tl = 0;
		}
	}
	size = (sizeof(*r) + ql + fl + tl + 7) & ~7u;
	rt_header(&r->h, RT_REC_CODE, size, 0, t->image, t->tid);
	r->id = c->id;
	r->firstlineno = c->firstlineno;
	r->flags = flags;
	r->qualname_len = ql;
	r->file_len = fl;
	r->table_len = tl;
	r->qualname_width = q->width ? q->width : 1;
	r->file_width = f->width ? f->width : 1;
	r->pyversion = po->version;
	r->pad = 0;
	if (size <= sizeof(*r) + RT_CODE_DATA + 8 && bpf_ringbuf_output(&ring, r, size, c->flags & RT_CODE_IS_STATEMENT ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		rt_count(RT_C_LOST_CODE);
	sc->busy = 0;
	return 0;
}

#ifndef RT_OLD_KERNEL

/* User space puts a watchpoint on its count, soon: this is the first that is seen of it. */
static __noinline int rt_watch_tell(struct rt_thread *t, const struct rt_pyoff *po, struct rt_code_ref *c)
{
	struct rt_rec_watch *r;

	if (!t || !po || !c)
		return 0;
	r = rt_reserve(struct rt_rec_watch, RT_C_WATCH_LOST);
	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_WATCH, sizeof(*r), bpf_ktime_get_ns(), t->image, t->tid);
	r->addr = c->addr;
	r->code = c->id;
	r->pid = rt_current_task()->tgid;
	r->count = (u32)rt_user_u64(c->addr);
	r->co_flags = (u32)rt_user_u64(c->addr + RT_CODE_FLAGS(po->version, po->flags & RT_PYOFF_FREE_THREADED));
	r->version = po->version;
	r->layout = po->flags;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	return 0;
}

#else

#define rt_watch_tell(t, po, c) ((void)0)

#endif

/* Gives the code object at c->addr its id, new if need be. Returns 0, or -1 if it cannot be read (id is then RT_CODE_UNKNOWN). */
RT_INNER int rt_code_get(struct rt_thread *t, struct rt_shadow *sh, const struct rt_pyoff *po, struct rt_code_ref *c,
			   u32 prog)
{
	u32 image, generation = globals.generation, set, victim = 4, known = 0;
	struct rt_code_set *cs;
	struct rt_code_entry *e;

	if (!t || !sh || !po || !c)
		return -1;
	image = t->image;
	c->id = RT_CODE_UNKNOWN;
	c->flags = 0;
	c->fp = 0;
	if (rt_code_read(sh, po, c))
		return -1;
	set = (u32)(rt_mix(c->addr >> 4, image) >> 13) & (RT_CODE_SETS - 1);
	cs = bpf_map_lookup_elem(&code_cache, &set);
	if (!cs)
		return -1;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		e = &cs->e[i];
		if (victim == 4 && !e->id)
			victim = i;
		if (e->addr != c->addr || e->image != image || e->generation != generation)
			continue;
		if (e->fp == c->fp) {
			c->id = e->id;
			c->flags = e->flags;
			return 0;
		}
		victim = i;
		known = 1;
		break;
	}
	if (victim == 4)
		victim = bpf_get_prandom_u32();
	victim &= 3;
	c->id = rt_fetch_add(&globals.next_code, 1) + 1;
	if (known) {
		rt_count(RT_C_CODE_REUSED);
		c->flags = RT_CODE_IS_VOLATILE;
	}
	rt_code_send(t, po, c, prog);
	if (c->flags & RT_CODE_IS_WATCH)
		rt_watch_tell(t, po, c);
	/* Written by one CPU at a time in all but the rarest cases (one GIL, one image a set entry): the fingerprint goes in last and keeps a torn
	 * entry from being believed. */
	e = &cs->e[victim];
	e->fp = 0;
	barrier();
	e->addr = c->addr;
	e->image = image;
	e->id = c->id;
	e->flags = c->flags;
	e->generation = generation;
	barrier();
	e->fp = c->fp;
	return 0;
}

/* ---- nodes ---- */

#define RT_NODE_BUSY 0xffffffff
#define RT_NODE_GROUP 8u /* sets */

__noinline u32 rt_node_get(u32 image, u32 tid, u32 parent, u32 code, u32 instr)
{
	/* Nodes of one call lie together: a function that runs on stays in the processor's caches. */
	u32 set = (((u32)(rt_mix((u64)parent << 32, code) >> 15) & ~(RT_NODE_GROUP - 1)) | ((instr >> 1) & (RT_NODE_GROUP - 1))) & (RT_NODE_SETS - 1);
	u32 key = bpf_get_smp_processor_id() * RT_NODE_SETS + set;
	struct rt_node_set *ns = bpf_map_lookup_elem(&node_cache, &key);
	struct rt_node_entry *e;
	u32 id, victim = 4, old;

	if (!ns)
		return 0;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		e = &ns->e[i];
		old = READ_ONCE(e->id);
		if (!old) {
			if (victim == 4)
				victim = i;
			continue;
		}
		if (e->parent == parent && e->code == code && e->instr == instr && READ_ONCE(e->id) == old &&
		    old != RT_NODE_BUSY)
			return old;
	}
	id = rt_fetch_add(&globals.next_node, 1) + 1;
	rt_emit_node(image, tid, id, parent, code, instr);
	if (victim == 4) {
		victim = bpf_get_prandom_u32();
		rt_count(RT_C_NODE_EVICTED);
	}
	e = &ns->e[victim & 3];
	old = READ_ONCE(e->id);
	if (old != RT_NODE_BUSY && rt_swapped(&e->id, old, RT_NODE_BUSY)) {
		e->parent = parent;
		e->code = code;
		e->instr = instr;
		barrier();
		WRITE_ONCE(e->id, id);
	}
	return id;
}

#endif
