/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* nativejail.h - a process that reads hostile input gives up everything but that. */
#ifndef RT_NATIVEJAIL_H
#define RT_NATIVEJAIL_H

#include <stddef.h>

#define RT_JAIL_SECONDS 10	   /* of processor time */
#define RT_JAIL_MEMORY (512ull << 20) /* bytes of address space above what the process has already */

/* In a child just after fork: dies with its parent, closes all files but the `n` in `keep` (-1: none), drops groups, user, capabilities; nothing can be gained back by an exec; no core;
 * limits on memory and processor time; from here on only reading and writing of open files, memory and the end are allowed by the kernel (seccomp), anything else kills. Returns 0, or -errno: then the
 * child has to end. */
int rt_jail_enter(const int *keep, size_t n);

#endif
