/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pysearch.h - _PyRuntime of a CPython without symbols and without debug offsets (3.8 to 3.12), searched for in the memory of a running process.
 *
 * Memory comes through a callback, as in pystack.h; everything read is hostile, all loops are bounded.
 */
#ifndef RT_PYSEARCH_H
#define RT_PYSEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "pystack.h"

#define RT_PYSEARCH_MAX (32u << 20) /* bytes that are searched at most */

/* Data of one program or library as they lie in memory. */
struct rt_pysearch_area {
	uint64_t start, size;
};

/* The version is the one that the interpreter's own data say ("3.9.2 (default, ...", the text of sys.version: Python/getversion.c). The runtime is where both its list of
 * interpreters and its main interpreter lead to one interpreter whose first thread leads back to it, and whose frames fit the layout (pycheck.h).
 * Returns 0 with all three set; 1: there is none, or it is not alive yet; or -errno of the callback. *hex: with micro version and release level. */
int rt_pysearch(const struct rt_pymem *mem, const struct rt_pysearch_area *area, size_t n, uint64_t *runtime, uint32_t *hex, struct rt_pyoff *off);

#endif
