/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Growth by stack, compared. For one process at a time: a tree of all runs' frames below each phase, with the net charge of each run; from the outermost
 * frame inward wherever a difference counts. What counts at a frame, less what counts further in, is said there: so each difference is said once, as far in as
 * it can be, and what is said of a phase's stacks adds up to its own difference, but for parts that do not count.
 */
#include <stdlib.h>
#include <string.h>

#include "diff_core.h"

#define RT_DIFF_FRAMES 16384u /* of a stack: as the walker reads them */

struct rt_frame_node {
	struct rt_text *function, *file; /* NULL: a phase */
	int line;
	uint32_t parent, first_child, next; /* the parent has a smaller number */
};

struct rt_frames {
	struct rt_diff_make *make;
	struct rt_diff_proc *proc;
	size_t runs;
	struct rt_frame_node *node; /* the first ones are the phases */
	int64_t *sum;		    /* [(node * runs + run) * RT_KINDS + kind] */
	uint32_t n, cap;
	uint32_t *slot; /* number of a node, 0: empty; phases are found by their number */
	uint32_t slots;
	struct rt_diff_stack *stack;
	size_t n_stacks, cap_stacks;
};

static int64_t *rt_frames_sum(const struct rt_frames *f, uint32_t node, size_t run)
{
	return &f->sum[((size_t)node * f->runs + run) * RT_KINDS];
}

static uint32_t rt_frames_hash(uint32_t parent, const struct rt_text *function, const struct rt_text *file, int line)
{
	uint64_t h = parent;

	h = (h ^ (uintptr_t)function) * 0x9e3779b97f4a7c15ull;
	h = (h ^ (uintptr_t)file ^ h >> 29) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (uint32_t)line ^ h >> 32) * 0x94d049bb133111ebull;
	return (uint32_t)(h >> 32);
}

static bool rt_frames_grow(struct rt_frames *f)
{
	uint32_t cap = f->cap ? 2 * f->cap : 1024, slots = 2 * cap, *slot;
	struct rt_frame_node *node;
	int64_t *sum;

	if (f->n < f->cap)
		return true;
	node = reallocarray(f->node, cap, sizeof(*node));
	if (node)
		f->node = node;
	sum = node ? reallocarray(f->sum, (size_t)cap * f->runs, RT_KINDS * sizeof(*sum)) : NULL;
	if (sum)
		f->sum = sum;
	slot = sum ? calloc(slots, sizeof(*slot)) : NULL;
	if (!slot)
		return false;
	for (uint32_t i = 0; i < f->n; i++) {
		const struct rt_frame_node *at = &f->node[i];
		uint32_t s = rt_frames_hash(at->parent, at->function, at->file, at->line) & (slots - 1);

		if (!at->function)
			continue;
		while (slot[s])
			s = (s + 1) & (slots - 1);
		slot[s] = i;
	}
	free(f->slot);
	f->slot = slot;
	f->slots = slots;
	f->cap = cap;
	return true;
}

/* Adds a node without a look whether it is there. UINT32_MAX: no memory. */
static uint32_t rt_frames_add(struct rt_frames *f, const struct rt_frame_node *node)
{
	if (f->n >= UINT32_MAX / 4 || !rt_frames_grow(f)) {
		f->make->failed = true;
		return UINT32_MAX;
	}
	f->node[f->n] = *node;
	memset(rt_frames_sum(f, f->n, 0), 0, f->runs * RT_KINDS * sizeof(*f->sum));
	return f->n++;
}

static uint32_t rt_frames_child(struct rt_frames *f, uint32_t parent, struct rt_text *function, struct rt_text *file, int line)
{
	struct rt_frame_node node = {.function = function, .file = file, .line = line, .parent = parent};
	uint32_t s, at;

	for (s = rt_frames_hash(parent, function, file, line) & (f->slots - 1); f->slot[s]; s = (s + 1) & (f->slots - 1)) {
		const struct rt_frame_node *is = &f->node[f->slot[s]];

		if (is->parent == parent && is->function == function && is->file == file && is->line == line)
			return f->slot[s];
	}
	node.next = f->node[parent].first_child;
	at = rt_frames_add(f, &node);
	if (at == UINT32_MAX)
		return at;
	f->node[parent].first_child = at;
	s = rt_frames_hash(parent, function, file, line) & (f->slots - 1); /* there may be more slots now */
	while (f->slot[s] && f->slot[s] != at)
		s = (s + 1) & (f->slots - 1);
	f->slot[s] = at;
	return at;
}

/* ---- one run's stacks into the tree ---- */

/* Which node a run's frame was given, below the phase that is under way. */
struct rt_frame_memo {
	uint32_t phase, node; /* phase + 1; 0: none yet */
};

/* The node of a run's frame below a phase. `chain` has room for all frames. */
static uint32_t rt_frames_find(struct rt_frames *f, size_t run, uint32_t frame, uint32_t phase, struct rt_frame_memo *memo, uint32_t *chain)
{
	const struct rt_summary *summary = f->make->diff.runs[run].summary;
	uint32_t at = frame < summary->n_frames ? frame : 0, parent = phase;
	size_t n = 0;

	while (at && memo[at].phase != phase + 1) { /* outward to what is known */
		chain[n++] = at;
		at = summary->frames[at].caller < at ? summary->frames[at].caller : 0;
	}
	if (at)
		parent = memo[at].node;
	while (n-- > 0 && parent != UINT32_MAX) {
		at = chain[n];
		parent = rt_frames_child(f, parent, f->make->names[run].function[at], f->make->names[run].file[at],
					 f->make->diff.no_lines ? 0 : summary->frames[at].line);
		memo[at] = (struct rt_frame_memo){phase + 1, parent};
	}
	return parent;
}

struct rt_row_order {
	uint32_t phase, row;
};

static int rt_row_compare(const void *a, const void *b)
{
	const struct rt_row_order *x = a, *y = b;

	if (x->phase != y->phase)
		return x->phase < y->phase ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Phase by phase, since a frame's node is remembered for one phase at a time. */
static void rt_frames_take(struct rt_frames *f, size_t run, const size_t *aligned)
{
	const struct rt_proc_summary *proc = rt_diff_of(f->make, f->proc, run);
	const struct rt_summary *summary = f->make->diff.runs[run].summary;
	struct rt_row_order *order;
	struct rt_frame_memo *memo;
	uint32_t *chain;

	if (!proc || !proc->n_stacks)
		return;
	order = calloc(proc->n_stacks, sizeof(*order));
	memo = calloc(summary->n_frames + 1, sizeof(*memo));
	chain = calloc(summary->n_frames + 1, sizeof(*chain));
	f->make->failed |= !order || !memo || !chain;
	for (size_t i = 0; order && i < proc->n_stacks; i++) {
		uint32_t phase = proc->stacks[i].phase;

		order[i].row = (uint32_t)i;
		order[i].phase = (uint32_t)(phase && phase <= proc->n_phases ? aligned[phase - 1] : f->proc->n_phases - 1);
	}
	if (order)
		qsort(order, proc->n_stacks, sizeof(*order), rt_row_compare);
	for (size_t i = 0; !f->make->failed && i < proc->n_stacks; i++) {
		const struct rt_stack_row *row = &proc->stacks[order[i].row];
		uint32_t at = rt_frames_find(f, run, row->frame, order[i].phase, memo, chain);

		for (int k = 0; at != UINT32_MAX && k < RT_KINDS; k++) {
			int64_t *sum = &rt_frames_sum(f, at, run)[k];

			*sum = rt_noise_minus(*sum, rt_noise_minus(row->released.kind[k], row->gained.kind[k]));
		}
	}
	free(order);
	free(memo);
	free(chain);
}

/* ---- what is to be said ---- */

static void rt_frames_values(struct rt_frames *f, const int64_t *sums, struct rt_diff_value *total, struct rt_diff_value kind[RT_KINDS])
{
	int64_t figures[RT_DIFF_RUNS], all[RT_DIFF_RUNS] = {0};

	for (int k = 0; k < RT_KINDS; k++) {
		for (size_t run = 0; run < f->runs; run++) {
			figures[run] = sums[run * RT_KINDS + (size_t)k];
			all[run] = rt_noise_minus(all[run], rt_noise_minus(0, figures[run]));
		}
		rt_diff_value(f->make, figures, &kind[k]);
	}
	rt_diff_value(f->make, all, total);
}

/* Does this sum of all runs count? Without keeping anything. */
static bool rt_frames_count(const struct rt_frames *f, const int64_t *sums)
{
	int64_t all[RT_DIFF_RUNS], growth;

	for (size_t run = 0; run < f->runs; run++) {
		const int64_t *kind = &sums[run * RT_KINDS];

		all[run] = rt_noise_minus(kind[0], rt_noise_minus(rt_noise_minus(0, kind[1]), kind[2]));
	}
	growth = rt_noise_growth(all, f->make->diff.n_old, all[f->make->diff.n_old], NULL);
	return growth && (growth >= f->make->diff.min_size || growth <= -f->make->diff.min_size);
}

static void rt_frames_say(struct rt_frames *f, uint32_t phase, uint32_t at, const int64_t *sums)
{
	struct rt_diff_make *make = f->make;
	struct rt_diff_frame *frames;
	struct rt_diff_stack *stack;
	bool before = false;
	size_t n = 0;

	if (f->n_stacks == f->cap_stacks) {
		size_t cap = f->cap_stacks ? 2 * f->cap_stacks : 16;
		struct rt_diff_stack *more = reallocarray(f->stack, cap, sizeof(*more));

		if (!more) {
			make->failed = true;
			return;
		}
		f->stack = more;
		f->cap_stacks = cap;
	}
	for (uint32_t up = at; up != phase && n < RT_DIFF_FRAMES; up = f->node[up].parent)
		n++;
	frames = rt_diff_alloc(make, n, sizeof(*frames));
	if (!frames)
		return;
	stack = &f->stack[f->n_stacks++];
	*stack = (struct rt_diff_stack){.phase = phase, .frames = frames, .n_frames = n};
	for (size_t i = 0; i < n; i++, at = f->node[at].parent)
		frames[i] = (struct rt_diff_frame){f->node[at].function->s, f->node[at].file->s, f->node[at].line};
	rt_frames_values(f, sums, &stack->total, stack->kind);
	for (size_t run = 0; run < make->diff.n_old; run++)
		before |= stack->total.old && stack->total.old[run];
	stack->state = !before ? RT_DIFF_NEW : stack->total.now ? RT_DIFF_BOTH : RT_DIFF_GONE;
}

/* The frames to go through, each after its callees: 0 on the way in, then on the way out. */
struct rt_frame_visit {
	uint32_t node, next; /* child to look at next, 0: none left */
	int64_t *rest;	     /* its sums, less what is said further in */
};

/* Not by recursion: a stack has up to 16,384 frames. */
static void rt_frames_explain(struct rt_frames *f, uint32_t phase, struct rt_frame_visit *visit, int64_t *rests)
{
	size_t width = f->runs * RT_KINDS, depth = 1;

	visit[0] = (struct rt_frame_visit){phase, f->node[phase].first_child, rests};
	memcpy(rests, rt_frames_sum(f, phase, 0), width * sizeof(*rests));
	while (depth && !f->make->failed) {
		struct rt_frame_visit *top = &visit[depth - 1];

		if (top->next) {
			uint32_t child = top->next;
			const int64_t *sums = rt_frames_sum(f, child, 0);

			top->next = f->node[child].next;
			if (depth > RT_DIFF_FRAMES || !rt_frames_count(f, sums))
				continue;
			for (size_t i = 0; i < width; i++) /* the child says it, or those inside it */
				top->rest[i] = rt_noise_minus(top->rest[i], sums[i]);
			visit[depth] = (struct rt_frame_visit){child, f->node[child].first_child, rests + depth * width};
			memcpy(visit[depth].rest, sums, width * sizeof(*rests));
			depth++;
			continue;
		}
		if (rt_frames_count(f, top->rest))
			rt_frames_say(f, phase, top->node, top->rest);
		depth--;
	}
}

static int64_t rt_magnitude(int64_t value)
{
	return value < 0 ? rt_noise_minus(0, value) : value;
}

static int rt_stack_compare(const void *a, const void *b)
{
	const struct rt_diff_stack *x = a, *y = b;
	int64_t size_x = rt_magnitude(x->total.difference), size_y = rt_magnitude(y->total.difference);

	if (size_x != size_y)
		return size_x < size_y ? 1 : -1;
	return x->phase < y->phase ? -1 : x->phase > y->phase;
}

static uint32_t rt_frames_depth(const struct rt_frames *f)
{
	uint32_t *depth = calloc(f->n + 1, sizeof(*depth)), most = 1;

	for (uint32_t i = 0; depth && i < f->n; i++) {
		depth[i] = f->node[i].function ? depth[f->node[i].parent] + 1 : 1;
		most = depth[i] > most ? depth[i] : most;
	}
	f->make->failed |= !depth;
	free(depth);
	return most < RT_DIFF_FRAMES ? most : RT_DIFF_FRAMES;
}

static void rt_frames_compare(struct rt_frames *f, struct rt_diff_phase *phases)
{
	uint32_t most = rt_frames_depth(f);
	struct rt_frame_visit *visit = calloc(most + 2, sizeof(*visit));
	int64_t *rests = calloc((size_t)(most + 2) * f->runs, RT_KINDS * sizeof(*rests));
	struct rt_diff_value total;

	f->make->failed |= !visit || !rests;
	for (size_t i = 0; !f->make->failed && i < f->proc->n_phases; i++) {
		rt_frames_values(f, rt_frames_sum(f, (uint32_t)i, 0), &total, &phases[i].value[RT_DM_OWN_KIND]);
		if (rt_frames_count(f, rt_frames_sum(f, (uint32_t)i, 0)))
			rt_frames_explain(f, (uint32_t)i, visit, rests);
	}
	free(visit);
	free(rests);
}

static void rt_frames_keep(struct rt_frames *f)
{
	struct rt_diff_stack *kept;

	if (f->n_stacks)
		qsort(f->stack, f->n_stacks, sizeof(*f->stack), rt_stack_compare);
	f->proc->n_stacks = f->n_stacks < RT_DIFF_STACKS ? f->n_stacks : RT_DIFF_STACKS;
	f->proc->stacks_left_out = f->n_stacks - f->proc->n_stacks;
	kept = rt_diff_alloc(f->make, f->proc->n_stacks, sizeof(*kept));
	if (kept && f->proc->n_stacks)
		memcpy(kept, f->stack, f->proc->n_stacks * sizeof(*kept));
	f->proc->stacks = kept;
	if (!kept)
		f->proc->n_stacks = 0;
}

void rt_diff_stacks(struct rt_diff_make *make, struct rt_diff_proc *proc, struct rt_diff_phase *phases, size_t *const row[])
{
	struct rt_frames f = {.make = make, .proc = proc, .runs = rt_diff_runs(make)};
	const struct rt_frame_node phase = {.function = NULL};

	for (size_t i = 0; i < proc->n_phases; i++)
		rt_frames_add(&f, &phase);
	for (size_t run = 0; !make->failed && run < f.runs; run++)
		rt_frames_take(&f, run, row[run]);
	for (uint32_t i = f.n; !make->failed && i-- > 0;) { /* callees first */
		if (!f.node[i].function)
			continue;
		for (size_t k = 0; k < f.runs * RT_KINDS; k++) {
			int64_t *up = &rt_frames_sum(&f, f.node[i].parent, 0)[k];

			*up = rt_noise_minus(*up, rt_noise_minus(0, rt_frames_sum(&f, i, 0)[k]));
		}
	}
	if (!make->failed)
		rt_frames_compare(&f, phases);
	if (!make->failed)
		rt_frames_keep(&f);
	free(f.stack);
	free(f.slot);
	free(f.sum);
	free(f.node);
}
