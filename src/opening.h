/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * opening.h - what a process holds already when we attach: text of /proc/PID/smaps -> sizes by mapping and kind.
 *
 * Pure: the text comes in pieces of any size and is hostile (paths are the target's). Mappings of one name are added up.
 */
#ifndef RT_OPENING_H
#define RT_OPENING_H

#include <stddef.h>
#include <stdint.h>

#include "rt_abi.h"

#define RT_OPENING_LISTED 20 /* by name, the largest; the rest is summed by kind under RT_OPENING_OTHERS */
#define RT_OPENING_ROWS (RT_OPENING_LISTED + RT_KINDS)
#define RT_OPENING_NAMES 4096 /* told apart while the text is read; further ones are others at once */
#define RT_OPENING_NAME_MAX 768 /* bytes: of a longer path the end is kept */
#define RT_OPENING_OTHERS "<others>"

/*
 * name: the path ("/dev/shm/x", "/dev/zero (deleted)"), "[heap]", "[stack]", another one of the kernel's ("[vdso]"), or
 * "[anon]" for all memory without a name, also where the program has given it one ("[anon:x]").
 * kind: RT_ANON, also for pages of a private file mapping that were written to; RT_SHMEM: tmpfs, memfd, SYSV and shared
 * anonymous memory; RT_FILE: all else. As in the kernel's own counters.
 */
struct rt_opening_row {
	const char *name; /* any bytes but NUL */
	enum rt_kind kind;
	uint64_t bytes;
};

struct rt_opening;

/* NULL: no memory. */
struct rt_opening *rt_opening_new(void);
void rt_opening_free(struct rt_opening *opening);

/* Text of /proc/PID/mountinfo, whole: which devices are tmpfs. Without it shared memory is known by its path only. */
void rt_opening_mounts(struct rt_opening *opening, const char *text, size_t len);

/* The next piece of /proc/PID/smaps. */
void rt_opening_feed(struct rt_opening *opening, const char *text, size_t len);

/* The end: rows by size, the largest first, others last. Returns how many. Names are valid until rt_opening_free. */
size_t rt_opening_finish(struct rt_opening *opening, struct rt_opening_row rows[RT_OPENING_ROWS]);

#endif
