/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativestr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (256u << 10)
#define OVERLAP 512u		/* a word may lie across two blocks */
#define RANGES_MAX (2u << 20)
#define WINDOW 1024u /* bytes read at once: a few names, which usually are in the order of their symbols */

static int add_range(struct rt_native_ranges *out, uint64_t from, uint64_t to)
{
	struct rt_native_range *last = out->n ? &out->range[out->n - 1] : NULL, *more;

	if (to > UINT32_MAX)
		return 0;
	if (last && last->from == from) { /* the same string */
		last->to = to > last->to ? (uint32_t)to : last->to;
		return 0;
	}
	if (out->n == RANGES_MAX)
		out->all = true;
	if (out->all)
		return 0;
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap * 2 : 256;

		more = realloc(out->range, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		out->range = more;
		out->cap = cap;
	}
	out->range[out->n++] = (struct rt_native_range){(uint32_t)from, (uint32_t)to};
	return 0;
}

/* All places of one word in a block at offset `at`; `begin` is where the string begins in which the block begins. */
static int scan_block(const char *block, size_t len, uint64_t at, uint64_t begin, const struct rt_native_word *word, struct rt_native_ranges *out)
{
	const char *from = block, *hit;

	while ((hit = memmem(from, len - (size_t)(from - block), word->at, word->len))) {
		const char *nul = memrchr(from, 0, (size_t)(hit - from));
		int code;

		if (nul)
			begin = at + (uint64_t)(nul - block) + 1;
		code = add_range(out, begin, at + (uint64_t)(hit - block));
		if (code)
			return code;
		from = hit + 1;
	}
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct rt_native_range *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static void join_ranges(struct rt_native_ranges *out)
{
	size_t n = 0;

	if (out->n)
		qsort(out->range, out->n, sizeof(*out->range), compare_ranges);
	for (size_t i = 0; i < out->n; i++) {
		if (n && out->range[i].from <= out->range[n - 1].to) {
			if (out->range[i].to > out->range[n - 1].to)
				out->range[n - 1].to = out->range[i].to;
		} else {
			out->range[n++] = out->range[i];
		}
	}
	out->n = n;
}

int rt_native_scan(struct rt_elf *elf, const struct rt_elf_table *table, const struct rt_native_word *words, size_t n, struct rt_native_ranges *out)
{
	char *block = malloc(BLOCK);
	uint64_t at = 0, begin = 0;
	int code = block ? 0 : -ENOMEM;

	*out = (struct rt_native_ranges){0};
	while (!code && n && !out->all && at < table->str_size) {
		uint64_t left = table->str_size - at;
		size_t len = left < BLOCK ? left : BLOCK, next = len < BLOCK ? len : len - OVERLAP;
		const char *nul;

		code = rt_elf_read(elf, table->str_off + at, block, len);
		for (size_t i = 0; !code && i < n; i++)
			code = scan_block(block, len, at, begin, &words[i], out);
		nul = code ? NULL : memrchr(block, 0, next);
		if (nul)
			begin = at + (uint64_t)(nul - block) + 1;
		at += next;
	}
	free(block);
	if (code) {
		free(out->range);
		*out = (struct rt_native_ranges){0};
	} else {
		join_ranges(out);
	}
	return code;
}

bool rt_native_in_ranges(const struct rt_native_ranges *ranges, uint32_t at)
{
	size_t low = 0, high = ranges->n;

	if (ranges->all)
		return true;
	while (low < high) { /* the first that begins behind `at` */
		size_t mid = low + (high - low) / 2;

		if (ranges->range[mid].from <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low && at <= ranges->range[low - 1].to;
}

/* Reads `want` bytes of the table at `at`, or what is left of it. */
static int read_window(struct rt_elf *elf, const struct rt_elf_table *table, struct rt_native_names *names, uint32_t at, size_t want)
{
	uint64_t left = table->str_size - at;
	size_t len = left < want ? left : want;
	int code;

	names->len = 0;
	code = rt_elf_read(elf, table->str_off + at, names->window, len);
	names->at = at;
	names->len = code ? 0 : len;
	return code;
}

int rt_native_name(struct rt_elf *elf, const struct rt_elf_table *table, struct rt_native_names *names, uint32_t at, const char **name)
{
	static const size_t sizes[] = {0, WINDOW, RT_NATIVE_SYMBOL_MAX}; /* what is there already, first */

	*name = NULL;
	if (at >= table->str_size)
		return 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int code = sizes[i] ? read_window(elf, table, names, at, sizes[i]) : 0;
		const char *text;

		if (code)
			return code;
		if (at < names->at || at - names->at >= names->len)
			continue;
		text = names->window + (at - names->at);
		if (memchr(text, 0, names->len - (at - names->at))) {
			*name = text;
			return 0;
		}
	}
	return 0;
}
