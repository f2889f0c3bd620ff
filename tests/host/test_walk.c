/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * The BPF walker, compiled for the host, over memory images of CPython 3.11 that the test lays out itself. The truth is the test's own
 * model of the stack: after every step the node that the walker gives is unfolded and compared with it, frame by frame.
 * Compiled twice: with RT_OLD_KERNEL as kernels before 5.17 run it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RT_HOST
#define __BPF__ /* kernel integer types come from bpf/kernel.bpf.h */
#include "../../bpf/kernel.bpf.h"
#include "../../bpf/pywalk.bpf.h"

/* ---- shim ---- */

#define ARENA_BASE 0x10000000ull
#define ARENA_SIZE (4u << 20)

static u8 arena[ARENA_SIZE];
static unsigned long reads;
unsigned long long shim_clock;
static struct task_struct current_task;

struct map_memory {
	void *map;
	u8 *values;
};

static struct map_memory maps_seen[32];
static struct rt_shadow *shadow;
static struct rt_thread thread;
static const struct rt_pyoff py311;

void *shim_map(void *map, const void *key, unsigned key_size, unsigned value_size, unsigned max_entries, int is_array)
{
	u32 index;

	(void)key_size;
#ifdef RT_OLD_KERNEL /* steps of loops find these again by number; there is one of each here */
	if (map == &threads)
		return &thread;
	if (map == &shadows)
		return shadow;
	if (map == &pyoffs)
		return (void *)&py311;
#endif
	if (!is_array)
		return NULL; /* hash maps are empty here */
	memcpy(&index, key, sizeof(index));
	for (size_t i = 0; i < 32; i++) {
		if (!maps_seen[i].map) {
			maps_seen[i].map = map;
			maps_seen[i].values = calloc(max_entries, value_size);
		}
		if (maps_seen[i].map == map)
			return index < max_entries ? maps_seen[i].values + (size_t)index * value_size : NULL;
	}
	return NULL;
}

long shim_read(void *dst, unsigned size, unsigned long long address)
{
	reads++;
	if (address < ARENA_BASE || address > ARENA_BASE + ARENA_SIZE || size > ARENA_BASE + ARENA_SIZE - address) {
		memset(dst, 0, size); /* as the kernel does */
		return -14;
	}
	memcpy(dst, arena + (address - ARENA_BASE), size);
	return 0;
}

unsigned shim_random(void)
{
	static unsigned state = 1;

	return state = state * 1664525u + 1013904223u;
}

void *shim_storage(void *map, unsigned value_size, int create)
{
	(void)map;
	(void)value_size;
	(void)create;
	return NULL; /* the test holds thread and shadow itself */
}

void *shim_current(void)
{
	return &current_task;
}

/* ---- what was sent ---- */

#define MAX_SENT 600000

struct sent_node {
	u32 parent, code, instr;
};

static struct sent_node *nodes;
static char (*names_sent)[64];
static u32 n_nodes, n_codes;

void *shim_reserve(unsigned long size)
{
	return malloc(size);
}

void shim_submit(void *record)
{
	const struct rt_hdr *h = record;

	if (h->type == RT_REC_NODE) {
		const struct rt_rec_node *n = record;

		assert_true(n->id > 0 && n->id < MAX_SENT);
		assert_true(n->parent < n->id); /* parents first */
		nodes[n->id] = (struct sent_node){n->parent, n->code, n->instr};
		n_nodes = n->id;
	} else if (h->type == RT_REC_CODE) {
		const struct rt_rec_code *c = record;
		const char *text = (const char *)(c + 1);

		assert_true(c->id > 0 && c->id < MAX_SENT);
		assert_int_equal(h->size, (sizeof(*c) + c->qualname_len + c->file_len + c->table_len + 7) & ~7u);
		snprintf(names_sent[c->id], 64, "%.*s@%.*s:%d", c->qualname_len, text, c->file_len, text + c->qualname_len,
			 c->firstlineno);
		n_codes = c->id;
	}
	free(record);
}

/* ---- a CPython 3.11 in the arena ---- */

static const struct rt_pyoff py311 = {
	.version = 0x30b, .flags = RT_PYOFF_CFRAME, .runtime_interp_head = 40, .interp_threads_head = 16, .tstate_next = 8,
	.tstate_thread_id = 152, .tstate_frame = 56, .cframe_frame = 8, .frame_bytes = 72, .frame_code = 32, .frame_previous = 48,
	.frame_instr = 56,
	.frame_owner = 69, .frame_func = 0, .frame_globals = 8, .owner_shim = 0xffff, .code_firstlineno = 72, .code_filename = 112,
	.code_name = 120, .code_qualname = 128, .code_linetable = 136, .code_adaptive = 184, .ob_type = 8, .bytes_size = 16,
	.bytes_data = 32, .str_length = 16, .str_hash = 24, .str_state = 32, .str_kind_shift = 2, .str_ascii_data = 48, .str_compact_data = 72,
};

#define STACK_AT 0x1000u    /* data stack: frames one behind the other */
#define CODES_AT 0x200000u  /* slots of 512 bytes: code object, name, file */
#define CODE_SLOTS 64
#define HEAP_AT 0x300000u   /* generator frames */
#define HEAP_SLOTS 64
#define FRAME_BYTES 104     /* of a frame with four locals: does not divide a page */
#define MAX_MODEL 3000

struct model_frame {
	u64 addr;
	u32 slot;
	u32 instr;
	char name[64]; /* of the code object when the frame began */
	int heap;      /* slot of a generator's frame, -1: on the data stack */
};

static struct model_frame model[MAX_MODEL];
static u32 model_depth;
static u32 serial; /* makes every code object another one */
static char slot_name[CODE_SLOTS][64];

static u64 at(u32 offset)
{
	return ARENA_BASE + offset;
}

static void put(u64 address, const void *data, size_t size)
{
	memcpy(arena + (address - ARENA_BASE), data, size);
}

static void put64(u64 address, u64 value)
{
	put(address, &value, 8);
}

static void put_str(u64 address, const char *text)
{
	u32 state = 1 << 2 | 1 << 5 | 1 << 6;
	u64 hash = 1469598103934665603ull;

	for (const char *c = text; *c; c++)
		hash = (hash ^ (u8)*c) * 1099511628211ull;
	put64(address + 16, strlen(text));
	put64(address + 24, hash);
	put(address + 32, &state, 4);
	put(address + 48, text, strlen(text));
}

/* A new code object in the slot; everything lies where that of the slot's last one lay. */
static void new_code(u32 slot, const char *file)
{
	u64 c = at(CODES_AT + slot * 512);
	char name[32];
	int line = 1 + (int)(serial % 7);

	snprintf(name, sizeof(name), "f%u", serial++);
	put(c + 72, &line, 4);
	put64(c + 112, c + 400);
	put64(c + 120, c + 304);
	put64(c + 128, c + 304);
	put64(c + 136, c + 480);
	put_str(c + 304, name);
	put_str(c + 400, file);
	snprintf(slot_name[slot], sizeof(slot_name[slot]), "%s@%s:%d", name, file, line);
}

static int slot_in_use(u32 slot)
{
	for (u32 i = 0; i < model_depth; i++)
		if (model[i].slot == slot)
			return 1;
	return 0;
}

static int volatile_frames(void)
{
	int n = 0;

	for (u32 i = 0; i < model_depth; i++)
		n += strchr(model[i].name, '<') != NULL;
	return n;
}

static int heap_in_use(int heap)
{
	for (u32 i = 0; i < model_depth; i++)
		if (model[i].heap == heap)
			return 1;
	return 0;
}

static u64 stack_top(void)
{
	for (u32 i = model_depth; i-- > 0;)
		if (model[i].heap < 0)
			return model[i].addr + FRAME_BYTES;
	return at(STACK_AT);
}

static void write_frame(struct model_frame *f)
{
	u64 code = at(CODES_AT + f->slot * 512);

	/* Functions made by exec or eval come and go at one address; others have one of their own. Globals are the same for all. */
	put64(f->addr + 0, strchr(f->name, '<') ? 0x5000 : 0x5000 + 16 * strtoull(f->name + 1, NULL, 10));
	put64(f->addr + 8, 0x6000);
	put64(f->addr + 32, code);
	put64(f->addr + 48, f == model ? 0 : f[-1].addr);
	put64(f->addr + 56, code + 184 + f->instr);
}

static void set_current(void)
{
	put64(at(0x100 + 8), model_depth ? model[model_depth - 1].addr : 0);
}

static void push(u32 slot, u32 instr, int heap)
{
	struct model_frame *f = &model[model_depth];

	f->addr = heap >= 0 ? at(HEAP_AT + (u32)heap * 256) : stack_top();
	f->slot = slot;
	f->instr = instr;
	f->heap = heap;
	memcpy(f->name, slot_name[slot], sizeof(f->name));
	write_frame(f);
	model_depth++;
	set_current();
}

static void pop(void)
{
	model_depth--;
	set_current();
}

/* ---- looking ---- */

static struct rt_space space;

static void compare(void)
{
	u32 id, depth = model_depth;

	shadow->st.tip = depth ? model[depth - 1].addr : 0;
	assert_int_equal(rt_walk(&thread, &space, shadow, &py311), 0);
	id = shadow->st.node;
	assert_int_equal(shadow->depth, depth);
	while (depth) {
		struct model_frame *f = &model[depth - 1];

		assert_true(id > 0 && id <= n_nodes);
		assert_string_equal(names_sent[nodes[id].code], f->name);
		assert_int_equal(nodes[id].instr, f->instr);
		id = nodes[id].parent;
		depth--;
	}
	assert_int_equal(id, space.root);
}

static int setup(void **state)
{
	(void)state;
	free(shadow);
	shadow = calloc(1, sizeof(*shadow));
	if (!nodes)
		nodes = calloc(MAX_SENT, sizeof(*nodes));
	if (!names_sent)
		names_sent = calloc(MAX_SENT, sizeof(*names_sent));
	memset(arena, 0, sizeof(arena));
	memset(&thread, 0, sizeof(thread));
	memset(&space, 0, sizeof(space));
	thread.image = (u32)(uintptr_t)++globals.next_image;
	space.root = ++globals.next_node;
	n_nodes = space.root;
	model_depth = 0;
	for (u32 i = 0; i < CODE_SLOTS; i++)
		new_code(i, i % 16 ? "/srv/app/mod.py" : "<string>");
	return 0;
}

/* ---- tests ---- */

static void random_walks(void **state)
{
	(void)state;
	srand(7);
	for (int step = 0; step < 150000; step++) {
		int what = rand() % 10;

		if (what < 4 && model_depth < 120) {
			u32 slot = (u32)rand() % CODE_SLOTS;
			int heap = rand() % 6 == 0 ? rand() % HEAP_SLOTS : -1;

			if (heap >= 0 && heap_in_use(heap))
				heap = -1;
			/* A code object that no frame holds may have been replaced meanwhile. */
			if (rand() % 4 == 0 && !slot_in_use(slot))
				new_code(slot, slot % 16 ? "/srv/app/mod.py" : "<string>");
			/* Up to eight frames of a stack may be of code that comes and goes: so many are checked at every look. */
			if (slot % 16 == 0 && volatile_frames() >= 8)
				continue;
			push(slot, (u32)(rand() % 3) * 2, heap);
		} else if (what < 7 && model_depth) {
			for (int n = 1 + rand() % 3; n && model_depth; n--)
				pop();
		} else if (model_depth) {
			struct model_frame *f = &model[model_depth - 1]; /* only the innermost can move on */

			f->instr = (u32)(rand() % 4) * 2;
			write_frame(f);
		}
		if (rand() % 3 == 0)
			compare();
	}
	compare();
}

/* Two functions in turn, frames of one size, each through the same chain to the place that touches memory: all frames inside look the same. */
static void adversary_of_shortcuts(void **state)
{
	(void)state;
	push(0, 0, -1);
	for (int round = 0; round < 200; round++) {
		push(round % 2 ? 1 : 2, 4, -1);
		for (u32 i = 3; i < 33; i++)
			push(i, 2, -1);
		compare();
		compare();
		while (model_depth > 1)
			pop();
	}
}

/* The same through one helper from two statements of one function. */
static void two_statements_one_helper(void **state)
{
	(void)state;
	push(0, 0, -1);
	push(1, 0, -1);
	for (int round = 0; round < 200; round++) {
		model[1].instr = round % 2 ? 10 : 20;
		write_frame(&model[1]);
		for (u32 i = 3; i < 33; i++)
			push(i, 2, -1);
		compare();
		while (model_depth > 2)
			pop();
	}
}

/* A code object dropped and another one at its address, with its name at the old name's address, 3,000 times, deep in the same stack. */
static void code_comes_back(void **state)
{
	(void)state;
	for (u32 i = 0; i < 4; i++)
		push(i, 0, -1);
	for (int round = 0; round < 3000; round++) {
		new_code(10, round % 2 ? "<string>" : "<eval>");
		push(10, 0, -1);
		push(11, 0, -1);
		compare();
		pop();
		pop();
	}
}

/* Deeper than a shadow holds: innermost and outermost frames are there, a gap between. */
static void deep_stack(void **state)
{
	u32 id, inner = 0, outer = 0, gap = 0;

	(void)state;
	for (u32 i = 0; i < 2500; i++)
		push(i % CODE_SLOTS, (i % 5) * 2, -1);
	shadow->st.tip = model[model_depth - 1].addr;
	assert_int_equal(rt_walk(&thread, &space, shadow, &py311), RT_WALK_DEEP);
	assert_int_equal(rt_walk_all(&thread, &space, shadow, &py311), 0);
	id = shadow->st.node;
	for (u32 i = model_depth; id != space.root; id = nodes[id].parent) {
		if (nodes[id].code == RT_CODE_GAP) {
			gap++;
			i = RT_DEEP_OUTER;
			continue;
		}
		i--;
		assert_string_equal(names_sent[nodes[id].code], model[i].name);
		assert_int_equal(nodes[id].instr, model[i].instr);
		inner += !gap;
		outer += gap;
	}
	assert_int_equal(gap, 1);
	assert_int_equal(inner, RT_DEEP_INNER);
	assert_int_equal(outer, RT_DEEP_OUTER);
	/* And back to a stack that fits. */
	while (model_depth > 600)
		pop();
	compare();
	while (model_depth > 5)
		pop();
	compare();
}

/* All of the target's memory is hostile: whatever it holds, the walk ends and reads within bounds. */
static void garbage(void **state)
{
	(void)state;
	srand(11);
	for (int round = 0; round < 3000; round++) {
		for (int i = 0; i < 200; i++) {
			u64 where = at((u32)rand() % (ARENA_SIZE - 8) & ~7u);

			put64(where, rand() % 2 ? at((u32)rand() % ARENA_SIZE) : (u64)rand() << 32 | (u64)rand());
		}
		for (int i = 0; i < 50; i++) { /* frames that link to each other, in circles too */
			u64 f = at(STACK_AT + (u32)(rand() % 4096) * 8);

			put64(f + 48, at(STACK_AT + (u32)(rand() % 4096) * 8));
			put64(f + 32, at(CODES_AT + (u32)(rand() % 60000)));
		}
		shadow->st.tip = at(STACK_AT + (u32)(rand() % 4096) * 8);
		reads = 0;
		if (rt_walk(&thread, &space, shadow, &py311) == RT_WALK_DEEP)
			rt_walk_all(&thread, &space, shadow, &py311);
		assert_true(reads < 200000);
		if (globals.next_node > MAX_SENT - 50000 || globals.next_code > MAX_SENT - 50000)
			break;
	}
}

static void own_tstate_is_found(void **state)
{
	u64 runtime = at(0x8000), interp = at(0x9000);

	(void)state;
	space.runtime = runtime;
	assert_int_equal(rt_tstate_find(&thread, &space, &py311, 0x7777), 0); /* no interpreter yet */
	put64(runtime + 40, interp);
	for (u32 i = 0; i < 20; i++) {
		put64(at(0xa000 + i * 0x200) + 8, i < 19 ? at(0xa000 + (i + 1) * 0x200) : 0);
		put64(at(0xa000 + i * 0x200) + 152, 0x1000 + i);
	}
	put64(interp + 16, at(0xa000));
	put64(at(0xa000 + 7 * 0x200) + 56, at(0x100));
	put64(at(0x100) + 8, 0x4242);
	assert_int_equal(rt_current_frame(&thread, &space, &py311, 0x1000 + 7), 0x4242);
	assert_int_equal(thread.tstate, at(0xa000 + 7 * 0x200));
	reads = 0;
	assert_int_equal(rt_current_frame(&thread, &space, &py311, 0x1000 + 7), 0x4242);
	assert_int_equal(reads, 2); /* remembered: the thread state, and its _PyCFrame */
	put64(at(0xa000 + 7 * 0x200) + 152, 0x9999); /* given back and used by another thread */
	assert_int_equal(rt_tstate_find(&thread, &space, &py311, 0x1000 + 7), 0);
	reads = 0;
	assert_int_equal(rt_tstate_find(&thread, &space, &py311, 0x1000 + 7), 0);
	assert_true(reads <= 4); /* "none" is remembered as well */
	put64(at(0x7000) + 8, at(0xa000)); /* until a thread state is added at the head */
	put64(at(0x7000) + 152, 0x1000 + 7);
	put64(interp + 16, at(0x7000));
	assert_int_equal(rt_tstate_find(&thread, &space, &py311, 0x1000 + 7), at(0x7000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_walks, setup),
		cmocka_unit_test_setup(adversary_of_shortcuts, setup),
		cmocka_unit_test_setup(two_statements_one_helper, setup),
		cmocka_unit_test_setup(code_comes_back, setup),
		cmocka_unit_test_setup(deep_stack, setup),
		cmocka_unit_test_setup(own_tstate_is_found, setup),
		cmocka_unit_test_setup(garbage, setup),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
