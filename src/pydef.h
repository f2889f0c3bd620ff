/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pydef.h - where a function of a given qualified name is defined in source text, without running it.
 */
#ifndef RT_PYDEF_H
#define RT_PYDEF_H

#include "pysource.h"

#define RT_PYDEF_MAX 16 /* definitions of one name: in branches of an if, or one after the other */

/* The co_firstlineno that each definition of `qualname` ("f", "Class.method", "outer.<locals>.inner") would have; "<module>" is at line 0.
 * Returns how many. */
size_t rt_pydef_find(const struct rt_logical_lines *lines, const char *qualname, int firstline[RT_PYDEF_MAX]);

#endif
