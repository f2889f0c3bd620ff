/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_match.h - which phases a code object means: as a whole, and by the lines of statements in it.
 *
 * Statements are looked for in the target's source, which is read through the caller and split once for all code
 * objects of a file. Also keeps how far each phase came, which is what the summary says about phases that were never
 * hit.
 */
#ifndef RT_ACC_MATCH_H
#define RT_ACC_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acc_text.h"
#include "pysource.h"
#include "sink.h"

struct rt_match_part {
	uint16_t phase;
	struct rt_line_range lines;
};

/* Phases of one code object, in the order of the profile. */
struct rt_match {
	uint16_t *whole; /* phases that are the whole function */
	size_t n_whole;
	struct rt_match_part *part; /* statements in it */
	size_t n_part;
};

/* How far a phase came. */
struct rt_match_fate {
	bool hit;
	bool by_plain_name; /* on_plain_name was told */
	enum rt_not_hit why; /* if not hit */
	struct rt_text *file; /* the file that was looked at last, or NULL */
};

#define RT_SOURCES 16 /* split source files kept */

struct rt_source;

struct rt_matcher {
	const struct rt_profile *profile;
	struct rt_texts *texts;
	int (*read_source)(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);
	/* May be NULL. See struct rt_account_config. */
	void (*on_plain_name)(void *ctx, const struct rt_phase *phase, const char *name, const char *file);
	void *ctx;
	struct rt_match_fate *fate; /* one per phase */
	struct rt_source *source[RT_SOURCES];
	uint64_t clock;
};

/* What is known of a code object that phases are looked for. */
struct rt_match_of {
	uint32_t image, pid;
	const struct rt_text *qualname; /* the plain name if it has no other */
	struct rt_text *file;
	int firstlineno;
	bool plain; /* up to 3.10: class and nesting have to be taken from the source */
};

/* `matcher` has profile, texts, the callbacks and ctx set, the rest 0. Returns 0, or -ENOMEM, or -E2BIG (more than
 * 65,535 phases). */
int rt_matcher_init(struct rt_matcher *matcher);
void rt_matcher_free(struct rt_matcher *matcher);

/* Is the source needed to tell which phases this function is, because a statement phase looks into it, or it may be one and has just a plain name?
 * Then its line table is needed too. */
bool rt_matcher_wants_source(const struct rt_matcher *matcher, const char *qualname, const char *file, bool plain);

/* The phases of a code object. Returns 0 with *out NULL if there is none (caller frees with rt_match_free), or
 * -ENOMEM. */
int rt_matcher_find(struct rt_matcher *matcher, const struct rt_match_of *of, struct rt_match **out);
void rt_match_free(struct rt_match *match);

#endif
