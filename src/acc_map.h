/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_map.h - number -> pointer, for ids that come from outside (images, threads).
 *
 * Open addressing without tombstones: a map in which entries come and go for hours stays as fast as it was.
 */
#ifndef RT_ACC_MAP_H
#define RT_ACC_MAP_H

#include <stddef.h>
#include <stdint.h>

struct rt_map_slot {
	uint32_t key;
	void *value; /* NULL: the slot is empty */
};

/* All zero is an empty map. */
struct rt_map {
	struct rt_map_slot *slot;
	size_t cap, used; /* cap: 0 or a power of two */
};

/* The value, or NULL. */
void *rt_map_get(const struct rt_map *map, uint32_t key);

/* Sets or replaces; `value` must not be NULL. Returns 0 or -ENOMEM (then nothing has changed). */
int rt_map_set(struct rt_map *map, uint32_t key, void *value);

/* Takes the entry out. Returns its value, or NULL if there was none. */
void *rt_map_take(struct rt_map *map, uint32_t key);

/* Frees the map, not the values. */
void rt_map_free(struct rt_map *map);

/* Mixes a value into a 64-bit hash; all hashes of the accounting core are made of it. */
static inline uint64_t rt_hash_mix(uint64_t hash, uint64_t value)
{
	hash ^= value + 0x9e3779b97f4a7c15ull + (hash << 6) + (hash >> 2);
	hash *= 0xff51afd7ed558ccdull;
	return hash ^ (hash >> 32);
}

#endif
