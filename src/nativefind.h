/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativefind.h - the search itself: symbol tables of an open ELF file against the rules of a profile. Runs in a child without privileges (nativesym.c), and in tests as it is.
 */
#ifndef RT_NATIVEFIND_H
#define RT_NATIVEFIND_H

#include "elffile.h"
#include "nativesym.h"

#define RT_NATIVE_BUDGET (2048ull << 20) /* bytes that are read of a file, and of its debug file */

/* `elf` and elf->debug (NULL: none) are open; their budgets are the caller's. Sets site (owned), n, rule, symtab and symbols of *out; the rest is left alone.
 * Returns 0, or -errno with a message. */
int rt_native_find(const struct rt_profile *profile, uint64_t mask, struct rt_elf *elf, struct rt_native_sites *out, char *err, size_t errlen);

#endif
