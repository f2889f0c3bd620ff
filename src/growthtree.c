/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "growthtree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "growthfold.h"

#define RT_FIRST_SLICE_NS 1000000ull
#define RT_NAME_BYTES 512u
#define RT_KNOWN_MAX (4u << 20) /* numbers of the core remembered: it forgets long before */
#define RT_TEXT_MAX (48u << 20) /* bytes of names; vLLM has 3 million */
#define RT_LEAST_FOLD 4096	/* bytes: the first step of folding */

/* ---- tables ---- */

/* Room for one element more in an array that doubles. */
static bool rt_room(void *array, size_t n, size_t *cap, size_t size)
{
	void **at = array, *more;
	size_t want = *cap ? *cap * 2 : 256;

	if (n < *cap)
		return true;
	more = realloc(*at, want * size);
	if (!more)
		return false;
	*at = more;
	*cap = want;
	return true;
}

static uint64_t rt_hash_of(const struct rt_growthtree *tree, const struct rt_index *index, size_t i)
{
	if (index == &tree->frames)
		return rt_hash(0, &tree->frame[i], sizeof(tree->frame[i]));
	if (index == &tree->nodes)
		return rt_hash(0, &tree->node[i], sizeof(tree->node[i]));
	return rt_hash(0, &tree->cell[i].key, sizeof(tree->cell[i].key));
}

static bool rt_equal(const struct rt_growthtree *tree, const struct rt_index *index, size_t i, const void *key)
{
	if (index == &tree->frames)
		return !memcmp(&tree->frame[i], key, sizeof(tree->frame[i]));
	if (index == &tree->nodes)
		return !memcmp(&tree->node[i], key, sizeof(tree->node[i]));
	return !memcmp(&tree->cell[i].key, key, sizeof(tree->cell[i].key));
}

bool rt_index_reserve(struct rt_growthtree *tree, struct rt_index *index, size_t count)
{
	size_t cap = index->cap ? index->cap : 1024;
	uint32_t *slot, *old = index->slot;

	while (cap < count * 2)
		cap *= 2;
	if (cap == index->cap)
		return true;
	slot = calloc(cap, sizeof(*slot));
	if (!slot)
		return false;
	for (size_t i = 0; i < index->cap; i++) {
		size_t at;

		if (!old[i])
			continue;
		at = rt_hash_of(tree, index, old[i] - 1) & (cap - 1);
		while (slot[at])
			at = (at + 1) & (cap - 1);
		slot[at] = old[i];
	}
	free(old);
	index->slot = slot;
	index->cap = cap;
	return true;
}

uint32_t *rt_index_find(const struct rt_growthtree *tree, const struct rt_index *index, const void *key, size_t size)
{
	size_t at = rt_hash(0, key, size) & (index->cap - 1);

	while (index->slot[at] && !rt_equal(tree, index, index->slot[at] - 1, key))
		at = (at + 1) & (index->cap - 1);
	return &index->slot[at];
}

/* ---- frames and nodes ---- */

static uint32_t rt_frame_put(struct rt_growthtree *tree, const char *function, const char *file, int line)
{
	struct rt_growth_frame frame = {
		.function = rt_textset_put(&tree->texts, function, RT_NAME_BYTES),
		.file = rt_textset_put(&tree->texts, file, RT_NAME_BYTES),
		.line = line,
	};
	uint32_t *slot;

	if (frame.function == UINT32_MAX || frame.file == UINT32_MAX || !rt_index_reserve(tree, &tree->frames, tree->n_frames + 1) ||
	    !rt_room(&tree->frame, tree->n_frames, &tree->cap_frames, sizeof(frame)))
		return RT_FRAME_FOLDED;
	slot = rt_index_find(tree, &tree->frames, &frame, sizeof(frame));
	if (!*slot) {
		tree->frame[tree->n_frames++] = frame;
		*slot = (uint32_t)tree->n_frames;
	}
	return *slot - 1;
}

uint32_t rt_growthtree_child(struct rt_growthtree *tree, uint32_t parent, uint32_t frame)
{
	struct rt_growth_node node = {.parent = parent, .frame = frame};
	uint32_t *slot;

	if (!rt_index_reserve(tree, &tree->nodes, tree->n_nodes + 1) || !rt_room(&tree->node, tree->n_nodes, &tree->cap_nodes, sizeof(node))) {
		tree->failed = true;
		return parent;
	}
	slot = rt_index_find(tree, &tree->nodes, &node, sizeof(node));
	if (!*slot) {
		tree->node[tree->n_nodes++] = node;
		*slot = (uint32_t)tree->n_nodes;
	}
	return *slot - 1;
}

/* ---- the core's numbers ---- */

static size_t rt_known_at(const struct rt_growthtree *tree, uint32_t id)
{
	size_t at = (id * 0x9e3779b1u) & (tree->cap_known - 1);

	while (tree->known[at].id && tree->known[at].id != id)
		at = (at + 1) & (tree->cap_known - 1);
	return at;
}

/* Anew with `cap` places, without those below `floor`. */
static bool rt_known_rebuild(struct rt_growthtree *tree, size_t cap, uint32_t floor)
{
	__typeof__(tree->known) old = tree->known;
	size_t n = tree->cap_known;

	tree->known = calloc(cap, sizeof(*tree->known));
	if (!tree->known) {
		tree->known = old;
		return false;
	}
	tree->cap_known = cap;
	tree->n_known = 0;
	for (size_t i = 0; i < n; i++) {
		if (old[i].id && old[i].id >= floor) {
			tree->known[rt_known_at(tree, old[i].id)] = old[i];
			tree->n_known++;
		}
	}
	free(old);
	return true;
}

static void rt_known_put(struct rt_growthtree *tree, uint32_t id, uint32_t node)
{
	size_t at;

	if ((tree->n_known + 1) * 2 > tree->cap_known && (tree->n_known >= RT_KNOWN_MAX || !rt_known_rebuild(tree, tree->cap_known * 2, 0))) {
		tree->failed = true;
		return;
	}
	at = rt_known_at(tree, id);
	tree->n_known += !tree->known[at].id;
	tree->known[at].id = id;
	tree->known[at].node = node;
}

uint32_t rt_growthtree_find(const struct rt_growthtree *tree, uint32_t id)
{
	size_t at = rt_known_at(tree, id);

	return id && tree->known[at].id ? tree->known[at].node : RT_GROWTH_NONE;
}

void rt_growthtree_forget(struct rt_growthtree *tree, uint32_t id)
{
	rt_known_rebuild(tree, tree->cap_known, id);
}

void rt_growthtree_node(struct rt_growthtree *tree, uint32_t id, uint32_t parent, const char *function, const char *file, int line)
{
	uint32_t up = rt_growthtree_find(tree, parent), frame;

	if (up == RT_GROWTH_NONE) /* an outermost frame: its caller was never told */
		up = RT_GROWTH_ROOT;
	if (up >= RT_GROWTH_ROOTS && tree->node[up].frame == RT_FRAME_FOLDED) {
		rt_known_put(tree, id, up);
		return;
	}
	frame = rt_frame_put(tree, function, file, line > 0 ? line : 0);
	if (frame == RT_FRAME_FOLDED)
		tree->failed = true;
	rt_known_put(tree, id, rt_growthtree_child(tree, up, frame));
}

uint32_t rt_growthtree_word(struct rt_growthtree *tree, const char *word)
{
	uint32_t frame = rt_frame_put(tree, word, "", 0);

	return frame == RT_FRAME_FOLDED ? RT_GROWTH_NONE : rt_growthtree_child(tree, RT_GROWTH_ROOT, frame);
}

/* ---- cells ---- */

static void rt_growthtree_coarsen(struct rt_growthtree *tree)
{
	tree->slice_ns *= 2;
	for (size_t i = 0; i < tree->n_cells; i++)
		tree->cell[i].key.slice /= 2;
	rt_growthfold_merge(tree);
}

/* Until the limits are kept. Each round folds twice as much. What is more than 1/512 of all is not folded before time is cut into longer slices, nor what is more than an
 * eighth before mappings are given up. */
static void rt_growthtree_shrink(struct rt_growthtree *tree, size_t max_stacks, size_t max_nodes, size_t max_cells)
{
	int64_t below = tree->folded_below ? tree->folded_below : RT_LEAST_FOLD;

	for (int round = 0; round < 62; round++) {
		if (tree->n_cells <= max_cells && tree->n_nodes <= max_nodes && rt_growthtree_stacks(tree) <= max_stacks && tree->texts.bytes <= RT_TEXT_MAX / 4 * 3)
			return;
		while (tree->n_cells > max_cells && below > tree->moved / 512 && tree->slice_ns < 1ull << 62)
			rt_growthtree_coarsen(tree);
		if (tree->n_cells > max_cells && below > tree->moved / 8) {
			for (size_t i = 0; i < tree->n_cells; i++)
				tree->cell[i].key.map = 0;
		}
		if (!rt_growthfold(tree, below)) {
			tree->failed = true;
			return;
		}
		if (below < INT64_MAX / 2)
			below *= 2;
	}
}

void rt_growthtree_add(struct rt_growthtree *tree, struct rt_growth_key key, uint64_t ts_ns, int64_t gained, int64_t released)
{
	uint64_t slice;
	uint32_t *slot;

	if (!tree->n_cells)
		tree->first_ns = ts_ns;
	while ((slice = ts_ns > tree->first_ns ? (ts_ns - tree->first_ns) / tree->slice_ns : 0) >= RT_SLICES)
		rt_growthtree_coarsen(tree);
	key.slice = (uint16_t)slice;
	if (!rt_index_reserve(tree, &tree->cells, tree->n_cells + 1) || !rt_room(&tree->cell, tree->n_cells, &tree->cap_cells, sizeof(*tree->cell))) {
		tree->no_room_gained += gained;
		tree->no_room_released += released;
		return;
	}
	tree->moved += gained + released;
	slot = rt_index_find(tree, &tree->cells, &key, sizeof(key));
	if (!*slot) {
		tree->cell[tree->n_cells++] = (struct rt_growth_cell){.key = key};
		*slot = (uint32_t)tree->n_cells;
	}
	tree->cell[*slot - 1].gained += gained;
	tree->cell[*slot - 1].released += released;
	if (tree->n_cells > tree->max_cells || tree->n_nodes > tree->max_nodes || tree->texts.bytes > RT_TEXT_MAX)
		rt_growthtree_shrink(tree, SIZE_MAX, tree->max_nodes / 4 * 3, tree->max_cells / 4 * 3);
}

size_t rt_growthtree_stacks(const struct rt_growthtree *tree)
{
	unsigned char *seen = calloc(tree->n_nodes / 8 + 1, 1);
	size_t n = 0;

	for (size_t i = 0; seen && i < tree->n_cells; i++) {
		uint32_t node = tree->cell[i].key.node;

		n += !(seen[node / 8] >> node % 8 & 1);
		seen[node / 8] |= (unsigned char)(1 << node % 8);
	}
	free(seen);
	return n;
}

/* ---- beginning and end ---- */

int rt_growthtree_init(struct rt_growthtree *tree, size_t max_nodes, size_t max_cells)
{
	*tree = (struct rt_growthtree){.max_nodes = max_nodes, .max_cells = max_cells, .slice_ns = RT_FIRST_SLICE_NS, .cap_known = 1024};
	tree->known = calloc(tree->cap_known, sizeof(*tree->known));
	if (!tree->known || !rt_index_reserve(tree, &tree->nodes, 1) || !rt_index_reserve(tree, &tree->frames, 1) || !rt_index_reserve(tree, &tree->cells, 1) ||
	    !rt_room(&tree->node, 0, &tree->cap_nodes, sizeof(*tree->node)))
		return -ENOMEM;
	rt_growthfold_roots(tree);
	return 0;
}

void rt_growthtree_free(struct rt_growthtree *tree)
{
	rt_textset_free(&tree->texts);
	free(tree->frame);
	free(tree->node);
	free(tree->cell);
	free(tree->frames.slot);
	free(tree->nodes.slot);
	free(tree->cells.slot);
	free(tree->known);
	*tree = (struct rt_growthtree){0};
}

static int rt_cell_order(const void *a, const void *b)
{
	const struct rt_growth_key *l = &((const struct rt_growth_cell *)a)->key, *r = &((const struct rt_growth_cell *)b)->key;

	if (l->node != r->node)
		return l->node < r->node ? -1 : 1;
	if (l->proc != r->proc)
		return l->proc < r->proc ? -1 : 1;
	if (l->path != r->path)
		return l->path < r->path ? -1 : 1;
	if (l->map != r->map)
		return l->map < r->map ? -1 : 1;
	return l->slice != r->slice ? l->slice - r->slice : l->kind - r->kind;
}

void rt_growthtree_finish(struct rt_growthtree *tree, size_t max_stacks, size_t max_cells)
{
	memset(tree->known, 0, tree->cap_known * sizeof(*tree->known));
	tree->n_known = 0;
	rt_growthtree_shrink(tree, max_stacks, SIZE_MAX, max_cells);
	if (!rt_growthfold(tree, 1)) /* what nothing is charged to goes */
		tree->failed = true;
	if (tree->n_cells)
		qsort(tree->cell, tree->n_cells, sizeof(*tree->cell), rt_cell_order);
}
