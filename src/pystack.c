/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pystack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_text.h"
#include "pyline.h"

#define MAX_INTERPRETERS 64
#define MAX_STATES 65536    /* of one interpreter, walked */
#define TEXT_CHARS 1024	    /* of a name or a file */
#define TABLE_BYTES 65536   /* of a line table */
#define TRIES 20
/* Of a str's state, shifted by str_kind_shift. */
#define STR_KIND 7u
#define STR_COMPACT (1u << 3)
#define STR_ASCII (1u << 4)

static int get_u64(const struct rt_pymem *mem, uint64_t addr, uint64_t *v)
{
	return mem->read(mem->ctx, addr, v, sizeof(*v));
}

static int get_u32(const struct rt_pymem *mem, uint64_t addr, uint32_t *v)
{
	return mem->read(mem->ctx, addr, v, sizeof(*v));
}

int rt_pystack_threads(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t runtime,
		       uint64_t tstate[RT_PYSTACK_THREADS])
{
	uint64_t interp, state;
	size_t total = 0, first = 0;
	uint64_t ring[RT_PYSTACK_THREADS];
	int err = get_u64(mem, runtime + off->runtime_interp_head, &interp);

	/* New states go to the head of their list: the last ones are the oldest. Of the interpreters as well: the main one comes last. */
	for (size_t i = 0; !err && interp; i++) {
		if (i == MAX_INTERPRETERS)
			return -ELOOP;
		err = get_u64(mem, interp + off->interp_threads_head, &state);
		for (size_t n = 0; !err && state; n++) {
			if (n == MAX_STATES)
				return -ELOOP;
			ring[total++ % RT_PYSTACK_THREADS] = state;
			err = get_u64(mem, state + off->tstate_next, &state);
		}
		if (!err)
			err = get_u64(mem, interp + off->interp_next, &interp);
	}
	if (err)
		return err;
	first = total > RT_PYSTACK_THREADS ? total - RT_PYSTACK_THREADS : 0;
	for (size_t i = 0; i < total - first; i++)
		tstate[i] = ring[(total - 1 - i) % RT_PYSTACK_THREADS];
	return (int)(total - first);
}

/* ---- texts ---- */

/* A compact str object. Returns 0 with *out owned by the caller, or -errno. */
static int get_text(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t str, char **out)
{
	uint8_t raw[TEXT_CHARS * 4];
	uint32_t state, kind;
	uint64_t chars;
	char *text;
	int err = get_u64(mem, str + off->str_length, &chars);

	if (!err)
		err = get_u32(mem, str + off->str_state, &state);
	if (err)
		return err;
	state >>= off->str_kind_shift & 31;
	kind = state & STR_KIND;
	if (!(state & STR_COMPACT) || (kind != 1 && kind != 2 && kind != 4) || chars > INT32_MAX)
		return -EINVAL;
	if (chars > TEXT_CHARS)
		chars = TEXT_CHARS;
	err = chars ? mem->read(mem->ctx, str + (state & STR_ASCII ? off->str_ascii_data : off->str_compact_data), raw, chars * kind) : 0;
	if (err)
		return err;
	text = malloc(chars * RT_TEXT_CHAR + 1);
	if (!text)
		return -ENOMEM;
	rt_text_from_str(text, chars * RT_TEXT_CHAR + 1, raw, chars * kind, kind);
	*out = text;
	return 0;
}

/* ---- frames ---- */

struct raw_stack {
	struct rt_pystack_place frame[RT_PYSTACK_FRAMES];
	size_t n, depth;
};

/* Where in its code a frame is. */
static int get_instr(const struct rt_pymem *mem, const struct rt_pyoff *off, const struct rt_pystack_place *f, uint64_t *instr)
{
	uint64_t base = f->code + off->code_adaptive, copies = 0, n = 0;
	uint32_t index = 0;
	int err = get_u64(mem, f->frame + off->frame_instr, instr);

	if (err || (off->flags & RT_PYOFF_LASTI)) {
		*instr = (uint32_t)*instr << !!(off->flags & RT_PYOFF_LASTI_WORDS);
		return err;
	}
	if (off->frame_tlbc)
		err = get_u32(mem, f->frame + off->frame_tlbc, &index);
	/* A thread's own copy of the bytecode. */
	if (!err && index)
		err = get_u64(mem, f->code + off->code_tlbc, &copies);
	if (!err && index)
		err = get_u64(mem, copies, &n);
	if (!err && index)
		err = index < n ? get_u64(mem, copies + RT_TLBC_ENTRIES + (uint64_t)index * 8, &base) : -EINVAL;
	*instr -= base;
	return err;
}

static int get_chain(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t tstate, struct raw_stack *out)
{
	uint64_t at;
	int err = get_u64(mem, tstate + off->tstate_frame, &at);

	memset(out, 0, sizeof(*out));
	if (!err && off->flags & RT_PYOFF_CFRAME)
		err = get_u64(mem, at + off->cframe_frame, &at);
	for (size_t steps = 0; !err && at; steps++) {
		struct rt_pystack_place f = {.frame = at};
		uint8_t owner = 0;
		bool shim;

		if (steps == RT_PYSTACK_DEPTH)
			return -ELOOP;
		err = get_u64(mem, at + off->frame_code, &f.code);
		f.code &= ~(uint64_t)off->code_tag;
		if (!err && off->owner_shim != 0xffff)
			err = mem->read(mem->ctx, at + off->frame_owner, &owner, 1);
		shim = off->owner_shim != 0xffff && owner == off->owner_shim;
		if (!err && !shim)
			err = get_instr(mem, off, &f, &f.instr);
		if (!err)
			err = get_u64(mem, at + off->frame_previous, &at);
		if (err || shim)
			continue; /* an entry shim is no Python frame */
		if (out->n < RT_PYSTACK_FRAMES)
			out->frame[out->n++] = f;
		out->depth++;
	}
	return err;
}

int rt_pystack_chain(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t tstate, struct rt_pystack_place place[RT_PYSTACK_FRAMES])
{
	struct raw_stack raw;
	int err = get_chain(mem, off, tstate, &raw);

	memcpy(place, raw.frame, sizeof(raw.frame));
	return err ? err : (int)raw.n;
}

static int get_line(const struct rt_pymem *mem, const struct rt_pyoff *off, const struct rt_pystack_place *raw, int firstline)
{
	uint64_t table, size;
	int start = 0, end = 0;
	uint8_t *bytes;

	if (raw->instr > UINT32_MAX || get_u64(mem, raw->code + off->code_linetable, &table) ||
	    get_u64(mem, table + off->bytes_size, &size) || size > TABLE_BYTES)
		return 0;
	if (!size) /* an empty table up to 3.9: all is on the first line */
		return off->line_format == RT_LINES_LNOTAB ? firstline : 0;
	bytes = malloc(size);
	if (!bytes)
		return 0;
	if (mem->read(mem->ctx, table + off->bytes_data, bytes, size) ||
	    rt_pyline_find((enum rt_line_format)off->line_format, bytes, size, firstline, (uint32_t)raw->instr, &start, &end))
		start = 0;
	free(bytes);
	return start;
}

static int get_frame(const struct rt_pymem *mem, const struct rt_pyoff *off, const struct rt_pystack_place *raw, struct rt_pystack_frame *out)
{
	uint64_t name, file;
	uint32_t first;
	int err = get_u64(mem, raw->code + off->code_qualname, &name);

	if (!err)
		err = get_u64(mem, raw->code + off->code_filename, &file);
	if (!err)
		err = get_u32(mem, raw->code + off->code_firstlineno, &first);
	if (!err)
		err = get_text(mem, off, name, &out->function);
	if (!err)
		err = get_text(mem, off, file, &out->file);
	if (err)
		return err;
	out->line = get_line(mem, off, raw, (int)first);
	return 0;
}

void rt_pystack_free(struct rt_pystack *stack)
{
	for (size_t i = 0; i < stack->n; i++) {
		free(stack->frame[i].function);
		free(stack->frame[i].file);
	}
	memset(stack, 0, sizeof(*stack));
}

/* The chain, the names of its frames, and the chain again: only what is the same before and after was one stack. */
static int read_once(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t tstate, struct rt_pystack *out)
{
	struct raw_stack before, after;
	int err = get_chain(mem, off, tstate, &before);

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; !err && i < before.n; i++) {
		out->n = i + 1; /* also what is half read is freed */
		err = get_frame(mem, off, &before.frame[i], &out->frame[i]);
	}
	out->depth = before.depth;
	if (!err)
		err = get_chain(mem, off, tstate, &after);
	if (err)
		rt_pystack_free(out);
	else
		out->moved = memcmp(&before, &after, sizeof(before)) != 0;
	return err;
}

int rt_pystack_read(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t tstate, struct rt_pystack *out)
{
	int err = 0;

	for (int i = 0; i < TRIES; i++) {
		err = read_once(mem, off, tstate, out);
		if (!err && !out->moved)
			return 0;
		if (!err && i < TRIES - 1)
			rt_pystack_free(out);
	}
	return err;
}
