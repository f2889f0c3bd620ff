/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "growthfold.h"

#include <stdlib.h>
#include <string.h>

#define RT_NAME_MAX SIZE_MAX / 2 /* names were cut when they came */

void rt_growthfold_roots(struct rt_growthtree *tree)
{
	/* Frames of their own kind, above any index, so that no two are one. */
	for (uint32_t i = 0; i < RT_GROWTH_ROOTS; i++)
		rt_growthtree_child(tree, RT_GROWTH_ROOT, RT_FRAME_FOLDED - RT_GROWTH_ROOTS + i);
}

void rt_growthfold_merge(struct rt_growthtree *tree)
{
	size_t n = tree->n_cells;

	memset(tree->cells.slot, 0, tree->cells.cap * sizeof(*tree->cells.slot));
	tree->n_cells = 0;
	for (size_t i = 0; i < n; i++) {
		struct rt_growth_cell cell = tree->cell[i];
		uint32_t *slot = rt_index_find(tree, &tree->cells, &cell.key, sizeof(cell.key));

		if (*slot) {
			tree->cell[*slot - 1].gained += cell.gained;
			tree->cell[*slot - 1].released += cell.released;
		} else {
			tree->cell[tree->n_cells++] = cell;
			*slot = (uint32_t)tree->n_cells;
		}
	}
}

/* What moved at each node and below it. */
static int64_t *rt_growthfold_moved(const struct rt_growthtree *tree)
{
	int64_t *moved = calloc(tree->n_nodes, sizeof(*moved));

	for (size_t i = 0; moved && i < tree->n_cells; i++)
		moved[tree->cell[i].key.node] += tree->cell[i].gained + tree->cell[i].released;
	for (size_t i = tree->n_nodes; moved && i-- > RT_GROWTH_ROOTS;)
		moved[tree->node[i].parent] += moved[i];
	return moved;
}

/* The nodes and frames that stay, in tables of their own. `to`: node -> what it is there. */
static void rt_growthfold_copy(const struct rt_growthtree *tree, struct rt_growthtree *out, const int64_t *moved, int64_t below, uint32_t *to, uint32_t *frame_to)
{
	rt_growthfold_roots(out);
	for (uint32_t i = 0; i < RT_GROWTH_ROOTS; i++)
		to[i] = i;
	for (size_t i = RT_GROWTH_ROOTS; i < tree->n_nodes; i++) {
		uint32_t up = to[tree->node[i].parent], frame = tree->node[i].frame;
		bool inside = up >= RT_GROWTH_ROOTS && out->node[up].frame == RT_FRAME_FOLDED;

		if (inside || !moved[i]) {
			to[i] = up;
			out->folded_nodes += inside && moved[i];
		} else if (frame == RT_FRAME_FOLDED || moved[i] < below) {
			to[i] = rt_growthtree_child(out, up, RT_FRAME_FOLDED);
			out->folded_nodes += frame != RT_FRAME_FOLDED;
		} else {
			if (frame_to[frame] == RT_FRAME_FOLDED) {
				const struct rt_growth_frame *f = &tree->frame[frame];

				out->frame[out->n_frames] = (struct rt_growth_frame){
					.function = rt_textset_put(&out->texts, tree->texts.text[f->function], RT_NAME_MAX),
					.file = rt_textset_put(&out->texts, tree->texts.text[f->file], RT_NAME_MAX),
					.line = f->line,
				};
				frame_to[frame] = (uint32_t)out->n_frames++;
			}
			to[i] = rt_growthtree_child(out, up, frame_to[frame]);
		}
	}
}

/* Tables as large as they can be needed, so that nothing fails half-way but texts and the index of nodes. */
static bool rt_growthfold_begin(const struct rt_growthtree *tree, struct rt_growthtree *out, uint32_t **to, uint32_t **frame_to)
{
	out->cap_nodes = 2 * tree->n_nodes + 1;
	out->node = calloc(out->cap_nodes, sizeof(*out->node));
	out->cap_frames = tree->n_frames + 1;
	out->frame = calloc(out->cap_frames, sizeof(*out->frame));
	*to = calloc(tree->n_nodes, sizeof(**to));
	*frame_to = malloc((tree->n_frames + 1) * sizeof(**frame_to));
	if (!out->node || !out->frame || !*to || !*frame_to || !rt_index_reserve(out, &out->nodes, 1) || !rt_index_reserve(out, &out->frames, 1))
		return false;
	memset(*frame_to, 0xff, (tree->n_frames + 1) * sizeof(**frame_to));
	return true;
}

static bool rt_growthfold_index_frames(struct rt_growthtree *tree)
{
	if (!rt_index_reserve(tree, &tree->frames, tree->n_frames + 1))
		return false;
	for (size_t i = 0; i < tree->n_frames; i++)
		*rt_index_find(tree, &tree->frames, &tree->frame[i], sizeof(tree->frame[i])) = (uint32_t)i + 1;
	for (size_t i = 0; i < tree->n_frames; i++) {
		if (tree->frame[i].function == UINT32_MAX || tree->frame[i].file == UINT32_MAX)
			return false;
	}
	return !tree->failed;
}

static void rt_growthfold_take(struct rt_growthtree *tree, struct rt_growthtree *out)
{
	rt_textset_free(&tree->texts);
	free(tree->frame);
	free(tree->node);
	free(tree->frames.slot);
	free(tree->nodes.slot);
	tree->texts = out->texts;
	tree->frame = out->frame;
	tree->node = out->node;
	tree->frames = out->frames;
	tree->nodes = out->nodes;
	tree->n_frames = out->n_frames;
	tree->cap_frames = out->cap_frames;
	tree->n_nodes = out->n_nodes;
	tree->cap_nodes = out->cap_nodes;
	tree->folded_nodes += out->folded_nodes;
}

bool rt_growthfold(struct rt_growthtree *tree, int64_t below)
{
	struct rt_growthtree out = {0};
	uint32_t *to = NULL, *frame_to = NULL;
	int64_t *moved = rt_growthfold_moved(tree);
	bool ok = moved && rt_growthfold_begin(tree, &out, &to, &frame_to);

	if (ok) {
		rt_growthfold_copy(tree, &out, moved, below, to, frame_to);
		ok = rt_growthfold_index_frames(&out);
	}
	if (ok) {
		for (size_t i = 0; i < tree->n_cells; i++)
			tree->cell[i].key.node = to[tree->cell[i].key.node];
		for (size_t i = 0; i < tree->cap_known; i++) {
			if (tree->known[i].id)
				tree->known[i].node = to[tree->known[i].node];
		}
		if (out.folded_nodes && below > tree->folded_below)
			tree->folded_below = below;
		rt_growthfold_take(tree, &out);
		rt_growthfold_merge(tree);
	} else {
		rt_growthtree_free(&out);
	}
	free(moved);
	free(to);
	free(frame_to);
	return ok;
}
