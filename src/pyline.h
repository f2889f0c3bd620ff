/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pyline.h - line of an instruction, from a code object's line table copied out of an untrusted target.
 *
 * Three formats, as CPython's Objects/codeobject.c reads them:
 * 3.11+: co_linetable is the location table of PEP 626/657 (Objects/locations.md, InternalDocs/code_objects.md).
 * 3.10: co_linetable is pairs of bytes (Objects/lnotab_notes.txt): how many bytes of code the entry covers, and how far its line is
 * from that of the entry before, signed, -128: no line.
 * 3.8, 3.9: co_lnotab is pairs of bytes: how far the address moves on, then how far the line does, signed. The last line goes on to
 * the end of the code, which the table does not tell.
 */
#ifndef RT_PYLINE_H
#define RT_PYLINE_H

#include <stddef.h>
#include <stdint.h>

#include "rt_pyoff.h"

/* The format that a version (major << 8 | minor) has. */
enum rt_line_format rt_pyline_format(uint16_t pyversion);

/* Lines of the instruction at `instr`, in bytes from the start of the code. start = end = 0: it has no line (None in CPython), lies beyond
 * the table, or is a negative number (a frame whose first instruction is still to come). Before 3.11 tables have first lines only: end = start. A table of pairs with half a pair at its end is one that was cut: in an lnotab,
 * what lies beyond the last whole pair is then not known.
 * Returns 0, or -EINVAL for a malformed table or an unknown format (then start = end = 0 too). Never reads beyond `len`. */
int rt_pyline_find(enum rt_line_format format, const uint8_t *table, size_t len, int firstlineno, uint32_t instr, int *start, int *end);

#endif
