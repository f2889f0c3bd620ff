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

/* The other way round: the qualified name of the code object that starts at line `firstlineno` and has the plain name `name` (CPython up to 3.10
 * keeps no other). Of a lambda or comprehension ("<lambda>") the functions and classes around it are told, not the lambdas and comprehensions.
 * Writes it to `out` (`size` > 0 bytes, terminated) and returns its length; -ENOENT: nothing of this name starts there, or, of a lambda, the line
 * can be inside as well as outside of the function that it defines; -ENAMETOOLONG: more than `size`, or too deep. */
int rt_pydef_qualname(const struct rt_logical_lines *lines, int firstlineno, const char *name, char *out, size_t size);

#endif
