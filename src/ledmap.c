/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "ledmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"

static struct rt_ledmap_slot *rt_ledmap_find(const struct rt_ledmap *map, uint64_t key)
{
	size_t i;

	if (!map->cap)
		return NULL;
	for (i = rt_hash_mix(0, key) & (map->cap - 1); map->slot[i].value && map->slot[i].key != key;)
		i = (i + 1) & (map->cap - 1);
	return &map->slot[i];
}

int64_t rt_ledmap_get(const struct rt_ledmap *map, uint64_t key)
{
	const struct rt_ledmap_slot *slot = rt_ledmap_find(map, key);

	return slot ? (int64_t)slot->value - 1 : -1;
}

static int rt_ledmap_grow(struct rt_ledmap *map)
{
	struct rt_ledmap bigger = {.cap = map->cap ? map->cap * 2 : 64, .used = map->used};

	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < map->cap; i++)
		if (map->slot[i].value)
			*rt_ledmap_find(&bigger, map->slot[i].key) = map->slot[i];
	free(map->slot);
	*map = bigger;
	return 0;
}

int rt_ledmap_set(struct rt_ledmap *map, uint64_t key, uint32_t number)
{
	struct rt_ledmap_slot *slot;

	if ((map->used + 1) * 4 > map->cap * 3 && rt_ledmap_grow(map))
		return -ENOMEM;
	slot = rt_ledmap_find(map, key);
	map->used += !slot->value;
	*slot = (struct rt_ledmap_slot){key, (uint64_t)number + 1};
	return 0;
}

void rt_ledmap_free(struct rt_ledmap *map)
{
	free(map->slot);
	*map = (struct rt_ledmap){0};
}

uint64_t rt_ledmap_hash(uint64_t seed, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t hash = rt_hash_mix(seed, len), word;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = rt_hash_mix(hash, word);
	}
	word = 0;
	memcpy(&word, at, len);
	return rt_hash_mix(hash ^ seed, word);
}
