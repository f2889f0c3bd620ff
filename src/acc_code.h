/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_code.h - code objects by number, their content kept once.
 *
 * Every process of a tree imports the same modules, so that 70,000 code objects of a start-up are 24,000 contents.
 */
#ifndef RT_ACC_CODE_H
#define RT_ACC_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acc_match.h"
#include "acc_text.h"
#include "rt_abi.h"

#define RT_CODES_MAX (1u << 20) /* numbers kept at a time: 8 MiB */

struct rt_code {
	struct rt_code *next; /* of the same hash bucket */
	struct rt_text *qualname, *file;
	struct rt_match *match; /* NULL: no phase names it */
	uint8_t *table;		/* line table, NULL: not kept */
	uint64_t hash;
	uint32_t table_len;
	uint32_t refs;
	int32_t firstlineno;
	/* only of one whose phases depend on the source that its image sees (statements, a name without its class); else 0 */
	uint32_t image;
	/* hash of what does not depend on the image: the same code in the next generation of the trie */
	uint32_t id;
	uint16_t pyversion;
};

/* All zero, but for the first three, is an empty table. */
struct rt_codes {
	struct rt_texts *texts;
	struct rt_matcher *matcher;
	bool want_tables; /* of every code object */
	struct rt_code **slot; /* [id - base] */
	uint32_t base, n, cap;
	size_t count; /* numbers with a code object */
	struct rt_code **bucket;
	size_t buckets, contents;
};

/* The code object with this number, or NULL. */
struct rt_code *rt_codes_find(const struct rt_codes *codes, uint32_t id);

/* Takes a CODE record (`record` points to all its `size` bytes, not aligned); `pid` is its process's, for reading the
 * source. Returns 0, -EINVAL (malformed), -EEXIST, -ENOSPC or -ENOMEM. */
int rt_codes_add(struct rt_codes *codes, const uint8_t *record, size_t size, uint32_t pid);

/* The same function, maybe of two images. */
static inline bool rt_code_same(const struct rt_code *a, const struct rt_code *b)
{
	return a == b || (a->qualname == b->qualname && a->file == b->file && a->firstlineno == b->firstlineno);
}

/* Line of the instruction at `instr`, 0 if not known. */
int rt_code_line(const struct rt_code *code, uint32_t instr);

/* Frees all code objects with a number below `id`. */
void rt_codes_forget(struct rt_codes *codes, uint32_t id);

void rt_codes_free(struct rt_codes *codes);

#endif
