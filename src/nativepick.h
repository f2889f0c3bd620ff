/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativepick.h - from symbols that a profile means to probe sites: one a place, each of one rule, fallbacks only where they are needed.
 */
#ifndef RT_NATIVEPICK_H
#define RT_NATIVEPICK_H

#include "elffile.h"
#include "nativesym.h"

/* A symbol that some rules mean. */
struct rt_native_hit {
	uint64_t vaddr, size;
	uint64_t own, fallback; /* sets of rules */
	unsigned int clone;	/* enum rt_clone_flags, none of them cold */
	uint8_t bind;		/* STB_* */
	bool unsure;		/* the compiler may have changed its arguments without a word */
	char *base, *shown;	/* owned: name without suffix, and demangled */
};

struct rt_native_pick {
	struct rt_native_hit *hit;
	size_t n;
};

/* Adds a copy of *hit with these names. Returns 0, -ENOMEM, or -E2BIG: more than any profile means. */
int rt_native_pick_add(struct rt_native_pick *pick, const struct rt_native_hit *hit, const char *base, const char *shown);
void rt_native_pick_release(struct rt_native_pick *pick);

/* Chooses. `off`: rules that mean too many symbols. Sets site (owned), n and rule of *out. Returns 0 or -errno. */
int rt_native_pick_sites(struct rt_native_pick *pick, const struct rt_profile *profile, uint64_t mask, uint64_t off, bool symtab, struct rt_elf *elf,
			 struct rt_native_sites *out);

#endif
