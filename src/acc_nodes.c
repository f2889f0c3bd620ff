/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RT_NODE_MIDDLE 1024u

struct rt_node_chunk {
	uint32_t used;
	uint32_t *note; /* RT_NODE_CHUNK of them; NULL: none wanted so far */
	struct rt_node node[RT_NODE_CHUNK];
};

static struct rt_node_chunk **rt_nodes_place(struct rt_nodes *nodes, uint32_t id)
{
	struct rt_node_chunk **middle = nodes->top[id / RT_NODE_CHUNK / RT_NODE_MIDDLE];

	return middle ? &middle[id / RT_NODE_CHUNK % RT_NODE_MIDDLE] : NULL;
}

static bool rt_nodes_is_old_root(const struct rt_nodes *nodes, uint32_t id)
{
	size_t lo = 0, hi = nodes->n_roots;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (nodes->root[mid] == id)
			return true;
		if (nodes->root[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

struct rt_node *rt_nodes_find(struct rt_nodes *nodes, uint32_t id)
{
	struct rt_node_chunk **place = rt_nodes_place(nodes, id);
	struct rt_node *node;

	if (place && *place) {
		node = &(*place)->node[id % RT_NODE_CHUNK];
		if (node->tag)
			return node;
	}
	if (id >= nodes->floor || !rt_nodes_is_old_root(nodes, id))
		return NULL;
	nodes->root_node = (struct rt_node){ .tag = 1 };
	return &nodes->root_node;
}

uint32_t *rt_nodes_note(struct rt_nodes *nodes, uint32_t id)
{
	struct rt_node_chunk **place = rt_nodes_place(nodes, id), *chunk = place ? *place : NULL;

	if (!nodes->want_notes || !chunk || !chunk->node[id % RT_NODE_CHUNK].tag)
		return NULL;
	if (!chunk->note)
		chunk->note = calloc(RT_NODE_CHUNK, sizeof(*chunk->note));
	return chunk->note ? &chunk->note[id % RT_NODE_CHUNK] : NULL;
}

static void rt_nodes_free_chunk(struct rt_node_chunk *chunk)
{
	if (!chunk)
		return;
	free(chunk->note);
	free(chunk);
}

int rt_nodes_add(struct rt_nodes *nodes, uint32_t id, uint32_t parent, uint32_t code, uint32_t instr, uint32_t path)
{
	uint32_t top = id / RT_NODE_CHUNK / RT_NODE_MIDDLE;
	struct rt_node_chunk **place;
	struct rt_node *node;

	if (!id || parent >= id)
		return -EINVAL;
	if (rt_nodes_find(nodes, id))
		return -EEXIST;
	if (!nodes->top[top]) {
		nodes->top[top] = calloc(RT_NODE_MIDDLE, sizeof(*nodes->top[top]));
		if (!nodes->top[top])
			return -ENOMEM;
	}
	place = rt_nodes_place(nodes, id);
	if (!*place) {
		if (nodes->chunks >= RT_NODE_CHUNKS)
			return -ENOSPC;
		*place = calloc(1, sizeof(**place));
		if (!*place)
			return -ENOMEM;
		nodes->chunks++;
	}
	node = &(*place)->node[id % RT_NODE_CHUNK];
	*node = (struct rt_node){ .parent = parent, .code = code, .instr = instr, .tag = path + 1 };
	(*place)->used++;
	nodes->count++;
	return 0;
}

/* Chunks are gone through upwards and forgotten ids never come back, so appending keeps the order. */
static void rt_nodes_keep_root(struct rt_nodes *nodes, uint32_t id)
{
	if (nodes->n_roots && nodes->root[nodes->n_roots - 1] >= id)
		return;
	if (nodes->n_roots == nodes->cap_roots) {
		size_t cap = nodes->cap_roots ? nodes->cap_roots * 2 : 64;
		uint32_t *root = cap <= RT_NODE_ROOTS ? realloc(nodes->root, cap * sizeof(*root)) : NULL;

		if (root) {
			nodes->root = root;
			nodes->cap_roots = cap;
		} else if (nodes->n_roots) { /* the oldest belong to images that ended long ago */
			size_t drop = (nodes->n_roots + 1) / 2;

			memmove(nodes->root, nodes->root + drop, (nodes->n_roots - drop) * sizeof(*root));
			nodes->n_roots -= drop;
		} else {
			return;
		}
	}
	nodes->root[nodes->n_roots++] = id;
}

static void rt_nodes_forget_chunk(struct rt_nodes *nodes, struct rt_node_chunk **place, uint32_t first, uint32_t below)
{
	struct rt_node_chunk *chunk = *place;

	for (uint32_t i = 0; i < RT_NODE_CHUNK && first + i < below; i++) {
		struct rt_node *node = &chunk->node[i];

		if (!node->tag)
			continue;
		if (!node->parent && !node->code)
			rt_nodes_keep_root(nodes, first + i);
		node->tag = 0;
		chunk->used--;
		nodes->count--;
	}
	if (!chunk->used) {
		rt_nodes_free_chunk(chunk);
		*place = NULL;
		nodes->chunks--;
	}
}

void rt_nodes_forget(struct rt_nodes *nodes, uint32_t id)
{
	if (id > nodes->floor)
		nodes->floor = id;
	for (uint32_t top = 0; top < 1024; top++) {
		struct rt_node_chunk **middle = nodes->top[top];
		bool any = false;

		for (uint32_t i = 0; middle && i < RT_NODE_MIDDLE; i++) {
			uint32_t first = (top * RT_NODE_MIDDLE + i) * RT_NODE_CHUNK;

			if (middle[i] && first < id)
				rt_nodes_forget_chunk(nodes, &middle[i], first, id);
			any |= middle[i] != NULL;
		}
		if (middle && !any) {
			free(middle);
			nodes->top[top] = NULL;
		}
	}
}

void rt_nodes_each(struct rt_nodes *nodes, void (*each)(void *ctx, const struct rt_node *node), void *ctx)
{
	for (uint32_t top = 0; top < 1024; top++) {
		struct rt_node_chunk **middle = nodes->top[top];

		for (uint32_t i = 0; middle && i < RT_NODE_MIDDLE; i++) {
			for (uint32_t n = 0; middle[i] && n < RT_NODE_CHUNK; n++) {
				if (middle[i]->node[n].tag)
					each(ctx, &middle[i]->node[n]);
			}
		}
	}
}

void rt_nodes_free(struct rt_nodes *nodes)
{
	for (uint32_t top = 0; top < 1024; top++) {
		struct rt_node_chunk **middle = nodes->top[top];

		for (uint32_t i = 0; middle && i < RT_NODE_MIDDLE; i++)
			rt_nodes_free_chunk(middle[i]);
		free(middle);
	}
	free(nodes->root);
	memset(nodes, 0, sizeof(*nodes));
}
