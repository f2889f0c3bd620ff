/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pyoff.h - the layout of a CPython, from its version or from what its runtime says about itself.
 *
 * 3.11 and 3.12 carry no description of themselves: their layouts are tables, checked against the headers by
 * tests/unit/check_pyoff.py. 3.13 starts its runtime with struct _Py_DebugOffsets; the few fields a walk needs beyond
 * it are constants of that minor version. Anything else is refused, because an older table read over a newer
 * interpreter gives wrong names without a sign of it.
 */
#ifndef RT_PYOFF_C_H
#define RT_PYOFF_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt_pyoff.h"

/* Bytes of the runtime that rt_pyoff_from_debug reads: struct _Py_DebugOffsets of 3.13. */
#define RT_PYOFF_DEBUG_LEN 584

/* A version that has a table of its own. Returns 0, or -ENOTSUP: no table (3.13 and newer: use rt_pyoff_from_debug). */
int rt_pyoff_by_version(unsigned int major, unsigned int minor, struct rt_pyoff *out);

/* From the first bytes of _PyRuntime, at least RT_PYOFF_DEBUG_LEN of them; every offset is checked to lie in its
 * struct. Returns 0; -EINVAL: these are no debug offsets or they make no sense; -ENOTSUP: an interpreter that is not
 * supported, `err` says which and what to do. */
int rt_pyoff_from_debug(const uint8_t *runtime, size_t len, struct rt_pyoff *out, char *err, size_t errlen);

/* Is the interpreter with this PY_VERSION_HEX supported? Returns 0, or -ENOTSUP with the reason and what to do in
 * `err`. *from_debug: whether its layout comes from its debug offsets. */
int rt_pyoff_supported(uint32_t version_hex, bool *from_debug, char *err, size_t errlen);

/* "3.11.7", "3.13.0rc2" of a PY_VERSION_HEX; at least 24 bytes. */
void rt_pyoff_version_text(uint32_t version_hex, char *buf, size_t len);

#endif
