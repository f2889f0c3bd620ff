/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_map.h"

#include <errno.h>
#include <stdlib.h>

static size_t rt_map_home(const struct rt_map *map, uint32_t key)
{
	return rt_hash_mix(0, key) & (map->cap - 1);
}

static struct rt_map_slot *rt_map_find(const struct rt_map *map, uint32_t key)
{
	size_t i;

	if (!map->cap)
		return NULL;
	for (i = rt_map_home(map, key); map->slot[i].value && map->slot[i].key != key;)
		i = (i + 1) & (map->cap - 1);
	return &map->slot[i];
}

void *rt_map_get(const struct rt_map *map, uint32_t key)
{
	const struct rt_map_slot *slot = rt_map_find(map, key);

	return slot ? slot->value : NULL;
}

static int rt_map_grow(struct rt_map *map)
{
	struct rt_map bigger = { .cap = map->cap ? map->cap * 2 : 16, .used = map->used };

	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < map->cap; i++) {
		if (map->slot[i].value)
			*rt_map_find(&bigger, map->slot[i].key) = map->slot[i];
	}
	free(map->slot);
	*map = bigger;
	return 0;
}

int rt_map_set(struct rt_map *map, uint32_t key, void *value)
{
	struct rt_map_slot *slot = rt_map_find(map, key);

	if (slot && slot->value) {
		slot->value = value;
		return 0;
	}
	if (map->used + 1 > map->cap / 2) {
		int err = rt_map_grow(map);

		if (err)
			return err;
	}
	slot = rt_map_find(map, key);
	slot->key = key;
	slot->value = value;
	map->used++;
	return 0;
}

void *rt_map_take(struct rt_map *map, uint32_t key)
{
	struct rt_map_slot *slot = rt_map_find(map, key);
	size_t mask = map->cap - 1, hole, i;
	void *value;

	if (!slot || !slot->value)
		return NULL;
	value = slot->value;
	hole = (size_t)(slot - map->slot);
	/* Close the gap: what was pushed beyond it by a collision moves up. */
	for (i = (hole + 1) & mask; map->slot[i].value; i = (i + 1) & mask) {
		size_t home = rt_map_home(map, map->slot[i].key);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->slot[hole] = map->slot[i];
			hole = i;
		}
	}
	map->slot[hole].value = NULL;
	map->used--;
	return value;
}

void rt_map_free(struct rt_map *map)
{
	free(map->slot);
	*map = (struct rt_map){ 0 };
}
