/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pycheck.h - does a layout fit an interpreter? Real frames of the running process are walked, and what they lead to must be what it should be.
 *
 * Memory comes through a callback, as in pystack.h; everything read is hostile.
 */
#ifndef RT_PYCHECK_H
#define RT_PYCHECK_H

#include <stddef.h>
#include <stdint.h>

#include "pystack.h"

/* Walks the frames of the interpreter's threads: the chain ends, each frame leads to an object of the type `code`, that one to two of the type `str` whose text
 * can be read and one of the type `bytes`, its first line and the instruction are possible. Returns 0: they do; 1: there is no frame yet that could tell;
 * -EINVAL: they do not, and `err` says what is wrong (not whose and what to do: the caller's); other negative: memory could not be read. */
int rt_pycheck(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t runtime, char *err, size_t errlen);

#endif
