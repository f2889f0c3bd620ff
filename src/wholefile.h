/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * wholefile.h - a file that comes into being whole: written under another name in the same directory, then renamed.
 *
 * What is no regular file (a terminal, a FIFO, /dev/null) is written to as it is, and a symbolic link keeps pointing where it does: only what it names is
 * replaced. The other name is FILE.XXXXXX, so that a collector that takes *.prom passes it over.
 */
#ifndef RT_WHOLEFILE_H
#define RT_WHOLEFILE_H

#include <stddef.h>

/* Can `path` be written that way? Leaves nothing behind. Returns 0 or -errno. */
int rt_wholefile_check(const char *path);

/* Writes `len` bytes and puts them in the place of `path`. A file that was there keeps its mode and owner, a new one gets 0666 less the umask. Returns 0 or -errno: then
 * what was there before is still there. */
int rt_wholefile_write(const char *path, const void *data, size_t len);

#endif
