/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativename.h - names of C and C++ functions as symbol tables have them: copies that compilers make, and what a demangled name consists of.
 */
#ifndef RT_NATIVENAME_H
#define RT_NATIVENAME_H

#include <stdbool.h>
#include <stddef.h>

enum rt_clone_flags {
	RT_CLONE_SAME = 1 << 0,	   /* .lto_priv, .localalias, .llvm, .__uniq: the whole function under another name */
	RT_CLONE_ALTERED = 1 << 1, /* .constprop, .isra: with other arguments */
	RT_CLONE_PART = 1 << 2,	   /* .part: without its beginning */
	RT_CLONE_COLD = 1 << 3,	   /* .cold: no function at all */
};

/* Length of `name` without the suffixes of copies; their kinds are added to *flags. Suffixes that are not known are part of the name, except that .cold is seen
 * behind them as well. */
size_t rt_native_clone(const char *name, unsigned int *flags);

/* Part of a pattern that stands, letter for letter, in the mangled name of every function that the pattern means: *at and the length, which is 0 if there is none
 * that is sure. */
size_t rt_native_needle(const char *pattern, const char **at);

#endif
