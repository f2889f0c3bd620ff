/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * sourcedirs.h - folders in which a running Python's source files may lie, derived from paths that it has shown.
 *
 * sys.path itself is in the target's heap and not looked for. Pure: only texts are cut and joined. Bounded; paths are hostile bytes.
 */
#ifndef RT_SOURCEDIRS_H
#define RT_SOURCEDIRS_H

#include <stddef.h>

#define RT_SOURCEDIRS_MAX 96

struct rt_sourcedirs {
	char *dir[RT_SOURCEDIRS_MAX]; /* each once, without a slash at its end; the likeliest first */
	size_t n;
};

/* One folder, an absolute path. More than RT_SOURCEDIRS_MAX are left out. */
void rt_sourcedirs_add(struct rt_sourcedirs *dirs, const char *dir);

/* A list as in PYTHONPATH. */
void rt_sourcedirs_add_list(struct rt_sourcedirs *dirs, const char *list);

/* What a source file that runs tells: its folder and those around it. */
void rt_sourcedirs_add_file(struct rt_sourcedirs *dirs, const char *file);

/* What any file of an installation tells (a mapped library, a module): the site-packages or dist-packages that it lies in, or those of its
 * lib/python3.X. */
void rt_sourcedirs_add_installed(struct rt_sourcedirs *dirs, const char *file);

/* What a program in PREFIX/bin tells; `version` is "3.11.7". */
void rt_sourcedirs_add_program(struct rt_sourcedirs *dirs, const char *program, const char *version);

void rt_sourcedirs_free(struct rt_sourcedirs *dirs);

#endif
