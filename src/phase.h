/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * phase.h - phase paths: which phases a stack is in, outermost first.
 *
 * A path is a chain of elements (phase, anchor). The anchor tells calls from different places apart: it is a hash of
 * the stack that the phase's frame was called from, so that it is the same whatever numbers the kernel side gave the
 * nodes. Equal paths have equal ids (interned); path 0 is empty. A phase is at most once in a path: recursion is one
 * span.
 */
#ifndef RT_PHASE_H
#define RT_PHASE_H

#include <stddef.h>
#include <stdint.h>

#define RT_PATH_MAX 65536u	   /* paths kept */
#define RT_PATH_ANCHORED 61440u /* beyond: new paths are made without their anchor, so that the rest serves many */
#define RT_PATH_DEPTH 64u

struct rt_path {
	uint64_t anchor;
	uint32_t parent;
	uint32_t next; /* of the same hash bucket, or of the free list: id, 0: none */
	uint16_t phase; /* index into the profile */
	uint16_t depth; /* elements; 0: the slot is free */
	uint8_t marked;
};

/* All zero is an empty table. */
struct rt_paths {
	struct rt_path *path; /* [0] is not used */
	uint32_t n, cap, free_head, live;
	uint32_t *bucket;
	uint32_t buckets;
	uint64_t refused; /* elements left out because the table was full or the path too deep */
};

static inline uint32_t rt_path_depth(const struct rt_paths *paths, uint32_t id)
{
	return id ? paths->path[id].depth : 0;
}

/* The path of `parent` with one more element: `parent` itself if the phase is in it already, or if there is no room. */
uint32_t rt_path_step(struct rt_paths *paths, uint32_t parent, uint16_t phase, uint64_t anchor);

/* Writes the ids of all elements, outermost first (the last is `id`). Returns how many: at most RT_PATH_DEPTH. */
size_t rt_path_elements(const struct rt_paths *paths, uint32_t id, uint32_t ids[RT_PATH_DEPTH]);

/* What nobody refers to any longer goes: mark what is in use (with all it hangs on), then sweep, which also clears
 * the marks. */
void rt_path_mark(struct rt_paths *paths, uint32_t id);
void rt_paths_sweep(struct rt_paths *paths);

void rt_paths_free(struct rt_paths *paths);

#endif
