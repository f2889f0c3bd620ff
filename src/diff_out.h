/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * diff_out.h - a comparison of runs as text, as one JSON object (docs/schema/diff.schema.json), and as one self-contained page of tables.
 *
 * Each is made in memory first, then written and flushed. Names are the targets': escaped for the format. Text and page show what counts
 * (rt_diff_counts), JSON all figures. Returns 0 or the first error of writing as -errno, -ENOMEM.
 */
#ifndef RT_DIFF_OUT_H
#define RT_DIFF_OUT_H

#include <stdio.h>

#include "diff.h"

#define RT_DIFF_SCHEMA 1

int rt_diff_text(FILE *out, enum rt_lang lang, const struct rt_diff *diff);
int rt_diff_json(FILE *out, enum rt_lang lang, const struct rt_diff *diff);
int rt_diff_html(FILE *out, enum rt_lang lang, const struct rt_diff *diff);

/* Words that text and page have in common. */
enum rt_diff_word {
	RT_DW_TITLE, RT_DW_RULE, RT_DW_TOGETHER, RT_DW_WORD_PEAK, RT_DW_WORD_END, RT_DW_WORD_GROWTH, RT_DW_OLD, RT_DW_NOISE, RT_DW_NEW, RT_DW_DIFFERENCE,
	RT_DW_PHASE, RT_DW_OWN, RT_DW_ANON, RT_DW_FILE, RT_DW_SHMEM, RT_DW_OUTSIDE, RT_DW_STACKS, RT_DW_ONLY_NEW, RT_DW_ONLY_OLD, RT_DW_IS_NEW, RT_DW_IS_GONE,
	RT_DW_NATIVES, RT_DW_FUNCTION, RT_DW_CALLS, RT_DW_INSIDE, RT_DW_NATIVE_KIND, RT_DW_LIBRARY, RT_DW_FREE, RT_DW_INNER, RT_DW_FREE_INNER, RT_DW_RSS_END, RT_DW_MORE_FRAMES, RT_DW_MORE_STACKS, RT_DW_SAME, RT_DW_NOTHING, RT_DW_WITHIN, RT_DW_NO_BAND, RT_DW_MORE_PROCS, RT_DW_SPREAD,
	RT_DW_WORDS,
};

const char *rt_diff_word(enum rt_diff_word word, enum rt_lang lang);

/* A phase's label, or the word for what is outside of phases. */
const char *rt_diff_label(const struct rt_diff_phase *phase, enum rt_lang lang);

/* What is said behind the name of a native function: whether it gives back, and whether it was called inside of one alike. Or "". */
const char *rt_diff_remark(const struct rt_diff_native *native, enum rt_lang lang);

/* Its innermost phase's label, or "-". */
const char *rt_diff_native_phase(const struct rt_diff_native *native, enum rt_lang lang);

/* Is it named among those without a difference? Each name once. */
bool rt_diff_same_shown(const struct rt_diff *diff, size_t at);

/* Of the processes that have the same name and are only in the new or only in the old runs so many are shown. */
#define RT_DIFF_ALIKE 8u

/* Is there something to say of it, and are not too many alike shown already? */
bool rt_diff_proc_shown(const struct rt_diff *diff, size_t at);

#endif
