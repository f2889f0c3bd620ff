/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pyline.h - line of an instruction, from a code object's line table copied out of an untrusted target.
 *
 * CPython 3.11+: co_linetable is the location table of PEP 626/657 (Objects/locations.md in CPython's tree).
 */
#ifndef RT_PYLINE_H
#define RT_PYLINE_H

#include <stddef.h>
#include <stdint.h>

/* Lines of the instruction at byte offset `instr`. start = end = 0: the instruction has no line (-1 in CPython) or lies beyond the table.
 * Returns 0, or -EINVAL for a malformed table (then start = end = 0 too). Never reads beyond `len`. */
int rt_pyline_find(const uint8_t *table, size_t len, int firstlineno, uint32_t instr, int *start, int *end);

#endif
