/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_text.h - strings of the targets: made valid UTF-8, kept once, counted.
 *
 * The same few thousand names come from every process, so that a name is kept once for all of them. Equal texts are the
 * same pointer.
 */
#ifndef RT_ACC_TEXT_H
#define RT_ACC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rt_text {
	struct rt_text *next;	/* of the same hash bucket */
	struct rt_text *module; /* cache of rt_module_of(): what this text, as a file, is called; holds a reference */
	uint32_t hash;		/* of the content */
	uint32_t refs;
	uint32_t len;
	char s[]; /* terminated */
};

/* All zero is an empty set. */
struct rt_texts {
	struct rt_text **bucket;
	size_t cap, used;
};

/* The text with this content, one reference more. NULL: no memory. */
struct rt_text *rt_text_get(struct rt_texts *texts, const char *s, size_t len);
/* Gives one reference back; NULL is allowed. */
void rt_text_put(struct rt_texts *texts, struct rt_text *text);
void rt_texts_free(struct rt_texts *texts);

/* Both write valid UTF-8 without NULs (what is not valid becomes U+FFFD), terminated, cut at a character's border
 * if `cap` (> 0) is too small, and return its length. */

#define RT_TEXT_CHAR 6 /* bytes that one character becomes at most: a surrogate */

/* From the characters of a str object as they lie in memory, 1, 2 or 4 bytes each (PEP 393). A lone surrogate becomes \udc80 and the like, as with
 * Python's own `backslashreplace`: file names that are no UTF-8 have them (PEP 383). */
size_t rt_text_from_str(char *out, size_t cap, const uint8_t *in, size_t len, unsigned int width);
/* A file name as the system has it, in place: \udc80 to \udcff are bytes again (PEP 383). A name that has these six characters itself is not told
 * apart. Returns true if there were any. */
bool rt_text_to_path(char *text);
/* From bytes that should be UTF-8 already; ends at a NUL. */
size_t rt_text_from_bytes(char *out, size_t cap, const uint8_t *in, size_t len);

#endif
