/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_nodes.h - the trie of stacks, by node number.
 *
 * A vLLM start-up has 430,000 nodes, so an entry is 16 bytes, found by index, in chunks that are freed when all of
 * their nodes are forgotten. Numbers go upwards and are never reused; a node's parent has a smaller one, which is also
 * why no sequence of records can make a cycle.
 */
#ifndef RT_ACC_NODES_H
#define RT_ACC_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_NODE_CHUNK 4096u   /* nodes a chunk: 64 KiB */
#define RT_NODE_CHUNKS 1024u  /* chunks at a time: 4,194,304 nodes, 64 MiB; a tool that forgets stays far below */
#define RT_NODE_ROOTS 65536u /* roots kept from forgotten chunks */

#define RT_PATH_UNKNOWN 0x3ffffffdu /* path of a node whose ancestors are not known (their records were lost) */

struct rt_node {
	uint32_t parent, code, instr;
	uint32_t tag; /* 0: no such node; else path + 1, with RT_NODE_MARKS */
};
_Static_assert(sizeof(struct rt_node) == 16, "a node must stay small");

#define RT_NODE_SENT 0x80000000u /* its stack has been told to the outputs */
#define RT_NODE_TOLD 0x40000000u /* it has been told by itself */
#define RT_NODE_MARKS (RT_NODE_SENT | RT_NODE_TOLD)

struct rt_node_chunk;

/* All zero is an empty table. */
struct rt_nodes {
	struct rt_node_chunk **top[1024]; /* [id >> 22][id >> 12 & 1023] */
	size_t chunks, count;
	bool want_notes; /* see rt_nodes_note */
	uint32_t *root; /* roots that outlived their chunk, ascending */
	size_t n_roots, cap_roots;
	struct rt_node root_node; /* what a lookup of one of them finds */
	uint32_t floor; /* nothing but roots below */
};

static inline uint32_t rt_node_path(const struct rt_node *node)
{
	return (node->tag & ~RT_NODE_MARKS) - 1;
}

/* The node, or NULL. Valid until the next call that adds or forgets. */
struct rt_node *rt_nodes_find(struct rt_nodes *nodes, uint32_t id);

/* A number that is kept with the node, 0 at first, for who wants to know one by its content; goes with the node. NULL: a root that outlived its chunk, no such
 * node, or no memory. Only where want_notes was set before the first node. */
uint32_t *rt_nodes_note(struct rt_nodes *nodes, uint32_t id);

/* Adds a node that is not there yet. Returns 0, -EINVAL (id 0, or not above its parent), -EEXIST, -ENOSPC or
 * -ENOMEM. */
int rt_nodes_add(struct rt_nodes *nodes, uint32_t id, uint32_t parent, uint32_t code, uint32_t instr, uint32_t path);

/* Frees all nodes below `id` except roots (parent 0, code 0). */
void rt_nodes_forget(struct rt_nodes *nodes, uint32_t id);

/* Calls `each` for every node kept. */
void rt_nodes_each(struct rt_nodes *nodes, void (*each)(void *ctx, const struct rt_node *node), void *ctx);

void rt_nodes_free(struct rt_nodes *nodes);

#endif
