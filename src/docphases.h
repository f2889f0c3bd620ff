/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * docphases.h - which phases of a profile are in a program's source files.
 *
 * Pure: files come through a callback. A phase is found if one of its functions is defined in one of its files and, for a statement, one of its
 * statements is in it. That says nothing about whether it will run.
 */
#ifndef RT_DOCPHASES_H
#define RT_DOCPHASES_H

#include "docreport.h"
#include "profile.h"
#include "sourcedirs.h"

/* The text of a file by its path: 0 (*text: the callee's to free) or -errno. */
typedef int (*rt_docphases_read)(void *ctx, const char *path, char **text, size_t *len);

/* Looks for every phase. `seen`: paths of source files that run. Fills target->phases; false without memory. */
bool rt_docphases_find(struct rt_doc *doc, const struct rt_profile *profile, const struct rt_sourcedirs *dirs, char *const *seen,
		       size_t n_seen, rt_docphases_read read, void *ctx);

#endif
