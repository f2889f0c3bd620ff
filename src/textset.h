/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* textset.h - texts numbered from 0 in the order in which they come, each kept once. Pure. */
#ifndef RT_TEXTSET_H
#define RT_TEXTSET_H

#include <stddef.h>
#include <stdint.h>

/* All zero is empty. */
struct rt_textset {
	char **text;
	size_t n, cap, bytes; /* bytes: of all texts */
	uint32_t *slot; /* open addressing: number + 1, 0: free */
	size_t slots;
};

/* Copies `text`, cut at `max_bytes` (at a character's border; the reader of it has to say that it is cut). Returns its number, UINT32_MAX without memory. */
uint32_t rt_textset_put(struct rt_textset *set, const char *text, size_t max_bytes);
void rt_textset_free(struct rt_textset *set);

/* FNV-1a, 64 bits; begin with 0. */
uint64_t rt_hash(uint64_t hash, const void *data, size_t len);

#endif
