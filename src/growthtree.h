/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * growthtree.h - what every stack gained and released, by process, phase, time and mapping: a trie of frames, and cells at its nodes.
 *
 * Bounded, and nothing is lost silently: where there are too many cells, nodes below which the least has moved are folded, with all below them, into one node
 * "smaller stacks" at their caller, which keeps the sums by process, phase, time and mapping exact; where that is not enough, time is cut into longer slices.
 *
 * Pure. Sizes are bytes, times nanoseconds of one clock. Strings are copied.
 */
#ifndef RT_GROWTHTREE_H
#define RT_GROWTHTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt_abi.h"
#include "textset.h"

#define RT_SLICES 256u /* of time, at most */

/* Numbers of nodes that stand for something else than a frame of Python. */
enum rt_growth_root {
	RT_GROWTH_ROOT,	  /* all */
	RT_GROWTH_NONE,	  /* by stacks whose frames are not known here */
	RT_GROWTH_CAUSES, /* + enum rt_cause: not the work of a line; the first one is not used */
	RT_GROWTH_ROOTS = RT_GROWTH_CAUSES + RT_CAUSES,
};

#define RT_FRAME_FOLDED UINT32_MAX /* smaller stacks, folded */

struct rt_growth_frame {
	uint32_t function, file; /* in texts */
	int line;		 /* 0: not known */
};

struct rt_growth_node {
	uint32_t parent; /* smaller than the node's own number; the root's is itself */
	uint32_t frame;	 /* index, or RT_FRAME_FOLDED; of the first RT_GROWTH_ROOTS nodes: nothing */
};

struct rt_growth_key {
	uint32_t node, proc, path, map; /* path, map: the caller's numbers; 0: none */
	uint16_t slice;
	uint16_t kind; /* enum rt_kind */
};

struct rt_growth_cell {
	struct rt_growth_key key;
	int64_t gained, released;
};

struct rt_index { /* open addressing: number + 1, 0: free */
	uint32_t *slot;
	size_t cap;
};

struct rt_growthtree {
	size_t max_nodes, max_cells;
	struct rt_textset texts;
	struct rt_growth_frame *frame;
	struct rt_growth_node *node;
	struct rt_growth_cell *cell;
	size_t n_frames, cap_frames, n_nodes, cap_nodes, n_cells, cap_cells;
	struct rt_index frames, nodes, cells; /* by content; by parent and frame; by key */
	struct { uint32_t id, node; } *known; /* the core's numbers, hashed; id 0: free */
	size_t n_known, cap_known;
	uint64_t first_ns, slice_ns;
	int64_t moved; /* all that was added, gained and released */
	int64_t folded_below;		/* what less than this moved in was folded; 0: nothing was */
	uint64_t folded_nodes;
	int64_t no_room_gained, no_room_released; /* what there was no memory for */
	bool failed;
};

/* At least 1024 each. Returns 0 or -ENOMEM (free it in both cases). */
int rt_growthtree_init(struct rt_growthtree *tree, size_t max_nodes, size_t max_cells);
void rt_growthtree_free(struct rt_growthtree *tree);

/* A frame of the core's trie (struct rt_sink, on_node). */
void rt_growthtree_node(struct rt_growthtree *tree, uint32_t id, uint32_t parent, const char *function, const char *file, int line);
/* The node of what stands in the place of a stack: "<helper threads>". */
uint32_t rt_growthtree_word(struct rt_growthtree *tree, const char *word);
/* Numbers below `id` come no more. */
void rt_growthtree_forget(struct rt_growthtree *tree, uint32_t id);
/* The node with the core's number `id`; RT_GROWTH_NONE if it is not known. */
uint32_t rt_growthtree_find(const struct rt_growthtree *tree, uint32_t id);

/* Adds to the cell of `key`, whose slice is told by the time. */
void rt_growthtree_add(struct rt_growthtree *tree, struct rt_growth_key key, uint64_t ts_ns, int64_t gained, int64_t released);

/* Folds until at most `max_stacks` nodes have cells and there are at most `max_cells` of them; then sorts the cells by node and key, and leaves out nodes that nothing
 * is charged to or below. The core's numbers are forgotten: the end. */
void rt_growthtree_finish(struct rt_growthtree *tree, size_t max_stacks, size_t max_cells);

/* How many nodes have cells. */
size_t rt_growthtree_stacks(const struct rt_growthtree *tree);

#endif
