/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* growthfold.h - inside of growthtree.h: its tables, and making it smaller. */
#ifndef RT_GROWTHFOLD_H
#define RT_GROWTHFOLD_H

#include "growthtree.h"

/* Room for `count` entries; what it indexes must be as it was when they were put. */
bool rt_index_reserve(struct rt_growthtree *tree, struct rt_index *index, size_t count);
/* Where the entry of this content is, or would be. */
uint32_t *rt_index_find(const struct rt_growthtree *tree, const struct rt_index *index, const void *key, size_t size);

/* The node of `frame` called by `parent`, made if there is none; without memory `parent` itself, and tree->failed. */
uint32_t rt_growthtree_child(struct rt_growthtree *tree, uint32_t parent, uint32_t frame);

/* The first RT_GROWTH_ROOTS nodes, in a tree that has none, with room for one. */
void rt_growthfold_roots(struct rt_growthtree *tree);

/* Cells that have become equal are added up. */
void rt_growthfold_merge(struct rt_growthtree *tree);

/* Folds the nodes with less than `below` bytes (gained and released) at and below them into "smaller stacks" of their callers; nodes without anything go; numbers
 * of nodes and frames change. False: no memory, nothing is changed. */
bool rt_growthfold(struct rt_growthtree *tree, int64_t below);

#endif
