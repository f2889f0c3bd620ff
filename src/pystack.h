/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pystack.h - the Python stacks of another process, read from its memory while it runs on.
 *
 * Memory comes through a callback, so that this is pure. Everything read is hostile: pointers are only ever passed to the callback, loops and
 * texts are bounded. A stack that moves while it is read is read again.
 */
#ifndef RT_PYSTACK_H
#define RT_PYSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt_pyoff.h"

#define RT_PYSTACK_THREADS 64	/* threads looked for, oldest first */
#define RT_PYSTACK_FRAMES 64	/* innermost frames kept of each */
#define RT_PYSTACK_DEPTH 16384	/* and counted */

struct rt_pymem {
	int (*read)(void *ctx, uint64_t addr, void *buf, size_t len); /* all or nothing: 0 or -errno */
	void *ctx;
};

struct rt_pystack_frame {
	char *function, *file; /* valid UTF-8; owned */
	int line; /* 0: none */
};

struct rt_pystack {
	struct rt_pystack_frame frame[RT_PYSTACK_FRAMES]; /* innermost first */
	size_t n;
	size_t depth; /* all Python frames */
	bool moved;   /* it changed at each try: may be of two moments */
};

/* The interpreter's threads, the oldest (the main thread) first. Returns how many there are in `tstate` (at most RT_PYSTACK_THREADS), or -errno:
 * -EFAULT and others of the callback, -ELOOP for a list without end. */
int rt_pystack_threads(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t runtime,
		       uint64_t tstate[RT_PYSTACK_THREADS]);

/* Where a frame is. */
struct rt_pystack_place {
	uint64_t frame, code;
	uint64_t instr; /* bytes from the start of the code */
};

/* The innermost frames of one thread as addresses only. Returns how many, or -errno; -ELOOP: a chain without end. */
int rt_pystack_chain(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t tstate, struct rt_pystack_place place[RT_PYSTACK_FRAMES]);

/* The stack of one thread. Returns 0 (free with rt_pystack_free; n 0: no Python frame), or -errno with *out empty. */
int rt_pystack_read(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t tstate, struct rt_pystack *out);
void rt_pystack_free(struct rt_pystack *stack);

#endif
