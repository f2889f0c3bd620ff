/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativestr.h - string tables of ELF files: where names with certain words in them are, without reading every name.
 */
#ifndef RT_NATIVESTR_H
#define RT_NATIVESTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elffile.h"

#define RT_NATIVE_SYMBOL_MAX 4096 /* bytes of a name in a symbol table with its NUL; longer ones are never meant */

/* A name that begins at one of these offsets has a word in it: strings share their ends, so a name may begin in the middle of another. */
struct rt_native_range {
	uint32_t from, to;
};

struct rt_native_ranges {
	struct rt_native_range *range; /* sorted, apart */
	size_t n, cap;
	bool all; /* too many to be kept: any name may have one */
};

struct rt_native_word {
	const char *at; /* at most 512 bytes, no NUL */
	size_t len;
};

/* Finds all words in the strings of a table. *out is to be released with free(out->range). Returns 0 or -errno. */
int rt_native_scan(struct rt_elf *elf, const struct rt_elf_table *table, const struct rt_native_word *words, size_t n, struct rt_native_ranges *out);

bool rt_native_in_ranges(const struct rt_native_ranges *ranges, uint32_t at);

/* Names of one table, read a window at a time. Zero it first. */
struct rt_native_names {
	uint64_t at;
	size_t len;
	char window[RT_NATIVE_SYMBOL_MAX];
};

/* The name at an offset of the table, in the window: valid until the next call. *name is NULL if there is none: not in the table, too long. Returns 0 or -errno. */
int rt_native_name(struct rt_elf *elf, const struct rt_elf_table *table, struct rt_native_names *names, uint32_t at, const char **name);

#endif
