/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* pytarget_in.h - inside of pytarget.h: a running process (pytarget.c), a program not yet started (pytarget_file.c). */
#ifndef RT_PYTARGET_IN_H
#define RT_PYTARGET_IN_H

#include "pytarget.h"

/* Takes over what a file says of its interpreter. */
void rt_pytarget_adopt(struct rt_pytarget *out, const struct rt_pybin *py);

/* Copies a path into `len` bytes, or leaves "" where it does not fit: a cut path would be another file's. */
void rt_pytarget_path(char *to, size_t len, const char *from);

#endif
