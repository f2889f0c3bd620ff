/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_stack.h - what a stack says: its phase path, the module it works for, its frames.
 *
 * The path is computed once, when the node arrives: a start-up has as many nodes as runs, and most runs come back to
 * known ones.
 */
#ifndef RT_ACC_STACK_H
#define RT_ACC_STACK_H

#include "acc_code.h"
#include "acc_nodes.h"
#include "phase.h"
#include "stacksum.h"

#define RT_STACK_FRAMES 1024u /* told of one stack */

struct rt_stacks {
	struct rt_texts *texts;
	struct rt_matcher matcher;
	struct rt_codes codes;
	struct rt_nodes nodes;
	struct rt_paths paths;
	struct rt_text *gap, *unknown; /* frames without a code object */
	uint64_t lost; /* nodes whose code object never came */
	struct rt_frame_view *frame; /* scratch, RT_STACK_FRAMES of them */
};

/* `texts` must outlive the stacks. Returns 0 or -ENOMEM or -E2BIG. */
int rt_stacks_init(struct rt_stacks *stacks, struct rt_texts *texts, const struct rt_profile *profile, bool want_lines);
void rt_stacks_free(struct rt_stacks *stacks);

/* Takes a NODE record. Returns 0, -EINVAL, -ENOSPC or -ENOMEM. */
int rt_stacks_node(struct rt_stacks *stacks, const struct rt_rec_node *rec);

/* Phase path of a node, RT_PATH_UNKNOWN if it cannot be told. */
uint32_t rt_stacks_path(struct rt_stacks *stacks, uint32_t node);

/* Are two nodes the same stack by content? */
bool rt_stacks_same(struct rt_stacks *stacks, uint32_t a, uint32_t b);

/* How many elements of the node's path were there before its innermost frame was called. */
uint32_t rt_stacks_depth_outside(struct rt_stacks *stacks, uint32_t node);

/* A frame whose code object has statement phases. */
struct rt_stack_part {
	uint32_t parent;
	const struct rt_code *code;
	int line; /* 0: not known */
};

#define RT_STACK_PARTS 16u

/* Such frames of a stack, innermost first, at most RT_STACK_PARTS. *root: its root node, 0 if the stack is not whole. Returns how many. */
size_t rt_stacks_parts(struct rt_stacks *stacks, uint32_t node, struct rt_stack_part part[RT_STACK_PARTS], uint32_t *root);

/* The path that the frame would have in the statement code->match->part[index]; RT_PATH_UNKNOWN if it cannot be told. */
uint32_t rt_stacks_part_path(struct rt_stacks *stacks, const struct rt_stack_part *frame, size_t index);

/* The module (or file) that the stack works for: of the innermost frame whose file is not "<frozen ...>". NULL: no file
 * on it. The text lives as long as the node; take a reference to keep it. */
struct rt_text *rt_stacks_module(struct rt_stacks *stacks, uint32_t node);

/* Frames of a stack, innermost first, in scratch memory. Returns how many. */
size_t rt_stacks_frames(struct rt_stacks *stacks, uint32_t node, const struct rt_frame_view **frames);

/* The node and those around it that this function has not named before, innermost first: at most RT_STACK_FRAMES. Returns how many. */
size_t rt_stacks_untold(struct rt_stacks *stacks, uint32_t node, uint32_t ids[RT_STACK_FRAMES]);

/* A node's frame and its caller's node. False: there is no such node, or it is a root, which stands for no frame. */
bool rt_stacks_node_frame(struct rt_stacks *stacks, uint32_t node, uint32_t *parent, struct rt_frame_view *frame);

/* The same stack in the trie of sums (stacksum.h). Frames whose code object is not known are "<unknown>". */
uint32_t rt_stacks_sum_frame(struct rt_stacks *stacks, struct rt_sum_frames *frames, uint32_t node);

/* Frees nodes and code objects with smaller numbers. Paths in use besides those of nodes must be marked before. */
void rt_stacks_forget(struct rt_stacks *stacks, uint32_t node, uint32_t code);

#endif
