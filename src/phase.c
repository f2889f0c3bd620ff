/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "phase.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"

static uint32_t rt_path_bucket(const struct rt_paths *paths, uint32_t parent, uint16_t phase, uint64_t anchor)
{
	return rt_hash_mix(rt_hash_mix(anchor, parent), phase) & (paths->buckets - 1);
}

static void rt_path_link(struct rt_paths *paths, uint32_t id)
{
	struct rt_path *path = &paths->path[id];
	uint32_t *head = &paths->bucket[rt_path_bucket(paths, path->parent, path->phase, path->anchor)];

	path->next = *head;
	*head = id;
}

static int rt_paths_grow(struct rt_paths *paths)
{
	uint32_t cap = paths->cap ? paths->cap * 2 : 256;
	struct rt_path *path = realloc(paths->path, cap * sizeof(*path));
	uint32_t *bucket;

	if (!path)
		return -ENOMEM;
	paths->path = path;
	bucket = calloc(cap, sizeof(*bucket));
	if (!bucket)
		return -ENOMEM;
	free(paths->bucket);
	paths->bucket = bucket;
	paths->buckets = cap;
	paths->cap = cap;
	if (!paths->n)
		paths->path[paths->n++] = (struct rt_path){ 0 };
	/* The free list is empty when the table grows: all slots are in use. */
	for (uint32_t id = 1; id < paths->n; id++)
		rt_path_link(paths, id);
	return 0;
}

static uint32_t rt_path_find(const struct rt_paths *paths, uint32_t parent, uint16_t phase, uint64_t anchor)
{
	uint32_t id;

	if (!paths->buckets)
		return 0;
	id = paths->bucket[rt_path_bucket(paths, parent, phase, anchor)];
	for (; id; id = paths->path[id].next) {
		const struct rt_path *path = &paths->path[id];

		if (path->parent == parent && path->phase == phase && path->anchor == anchor)
			return id;
	}
	return 0;
}

/* A slot that is in no chain. Returns 0 if there is none. */
static uint32_t rt_path_slot(struct rt_paths *paths)
{
	uint32_t id = paths->free_head;

	if (id) {
		paths->free_head = paths->path[id].next;
		return id;
	}
	if (paths->n >= RT_PATH_MAX || (paths->n >= paths->cap && rt_paths_grow(paths)))
		return 0;
	return paths->n++;
}

uint32_t rt_path_step(struct rt_paths *paths, uint32_t parent, uint16_t phase, uint64_t anchor)
{
	uint32_t id, up;

	for (up = parent; up; up = paths->path[up].parent) {
		if (paths->path[up].phase == phase)
			return parent;
	}
	id = rt_path_find(paths, parent, phase, anchor);
	if (id)
		return id;
	if (paths->live >= RT_PATH_ANCHORED) {
		anchor = 0;
		id = rt_path_find(paths, parent, phase, anchor);
		if (id)
			return id;
	}
	id = rt_path_depth(paths, parent) < RT_PATH_DEPTH ? rt_path_slot(paths) : 0;
	if (!id) {
		paths->refused++;
		return parent;
	}
	paths->path[id] = (struct rt_path){
		.anchor = anchor,
		.parent = parent,
		.phase = phase,
		.depth = (uint16_t)(rt_path_depth(paths, parent) + 1),
	};
	rt_path_link(paths, id);
	paths->live++;
	return id;
}

size_t rt_path_elements(const struct rt_paths *paths, uint32_t id, uint32_t ids[RT_PATH_DEPTH])
{
	size_t n = rt_path_depth(paths, id);

	for (size_t i = n; i; i--) {
		ids[i - 1] = id;
		id = paths->path[id].parent;
	}
	return n;
}

void rt_path_mark(struct rt_paths *paths, uint32_t id)
{
	for (; id && !paths->path[id].marked; id = paths->path[id].parent)
		paths->path[id].marked = 1;
}

void rt_paths_sweep(struct rt_paths *paths)
{
	if (!paths->n)
		return;
	memset(paths->bucket, 0, paths->buckets * sizeof(*paths->bucket));
	paths->free_head = 0;
	paths->live = 0;
	for (uint32_t id = paths->n - 1; id; id--) {
		struct rt_path *path = &paths->path[id];

		if (path->marked) {
			path->marked = 0;
			rt_path_link(paths, id);
			paths->live++;
		} else {
			*path = (struct rt_path){ .next = paths->free_head };
			paths->free_head = id;
		}
	}
}

void rt_paths_free(struct rt_paths *paths)
{
	free(paths->path);
	free(paths->bucket);
	*paths = (struct rt_paths){ 0 };
}
