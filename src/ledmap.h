/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* ledmap.h - 64-bit hash -> number, for what a ledger has already. Nothing is ever taken out. */
#ifndef RT_LEDMAP_H
#define RT_LEDMAP_H

#include <stddef.h>
#include <stdint.h>

struct rt_ledmap_slot {
	uint64_t key;
	uint64_t value; /* number + 1; 0: empty */
};

/* All zero is an empty map. */
struct rt_ledmap {
	struct rt_ledmap_slot *slot;
	size_t cap, used; /* cap: 0 or a power of two */
};

/* The number under this key, or -1. */
int64_t rt_ledmap_get(const struct rt_ledmap *map, uint64_t key);

/* Sets or replaces. Returns 0 or -ENOMEM. */
int rt_ledmap_set(struct rt_ledmap *map, uint64_t key, uint32_t number);

void rt_ledmap_free(struct rt_ledmap *map);

/* A hash of bytes. With a random seed nobody who is traced can choose two contents of one hash. */
uint64_t rt_ledmap_hash(uint64_t seed, const void *bytes, size_t len);

#endif
