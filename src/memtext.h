/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * memtext.h - a text that is made in memory, then written in one go: errors of writing have one place and their errno, and of a text that could not be made
 * nothing is written.
 */
#ifndef RT_MEMTEXT_H
#define RT_MEMTEXT_H

#include <stddef.h>
#include <stdio.h>

/* Must stay at its address from rt_memtext_begin to rt_memtext_put: the stream keeps pointers into it. */
struct rt_memtext {
	FILE *out; /* to print to */
	char *text; /* the stream's */
	size_t len;
};

/* Begins an empty text. Returns 0, or -ENOMEM: then there is nothing to end. */
int rt_memtext_begin(struct rt_memtext *memory);

/*
 * Ends the text and frees it, whatever comes of it. If `err` is 0 (all of it was printed) it is written to `to`, which stays the caller's and open, and flushed. Returns
 * `err`; -ENOMEM if there was no memory for all of it: then nothing was written; or why writing failed as -errno, -EIO where the stream does not say.
 */
int rt_memtext_put(struct rt_memtext *memory, int err, FILE *to);

#endif
