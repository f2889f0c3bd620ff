/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * report_in.h - inside of report.h: the whole (report.c), one process (report_proc.c), many children of one name (report_fold.c), and
 * how they all write, with the words for reasons and counters (report_put.c).
 *
 * What has no memory for a part of it sets `failed` and goes on. Sizes are bytes, written as MiB. Texts of the target are escaped and cut.
 */
#ifndef RT_REPORT_IN_H
#define RT_REPORT_IN_H

#include "report.h"
#include "table.h"
#include "units.h"

#define RT_NAME_CHARS 64
#define RT_PATH_CHARS 200

struct rt_report {
	FILE *out;
	enum rt_lang lang;
	bool failed; /* no memory for a part of it */
};

/* One of two texts, by the report's language. */
static inline const char *rt_pick(const struct rt_report *report, const char *zh, const char *en)
{
	return report->lang == RT_LANG_ZH ? zh : en;
}

/* A change in MiB, with its sign (0 has none); an amount, without a plus. */
static inline struct rt_value rt_signed(int64_t bytes)
{
	return rt_mib_format(bytes, bytes != 0);
}

static inline struct rt_value rt_plain(int64_t bytes)
{
	return rt_mib_format(bytes, false);
}

/* ---- report_put.c ---- */

/* A text that may be anything, at most `max_chars` columns of it. */
void rt_put_text(struct rt_report *report, const char *text, size_t max_chars);

void rt_put_blanks(FILE *out, size_t count);

/* The heads of a table's columns; then, with all cells added, the table, `indent` columns to the right: it is emptied. */
void rt_report_head(const struct rt_report *report, struct rt_table *table, const char *const (*names)[RT_LANGS]);
void rt_report_table(struct rt_report *report, struct rt_table *table, size_t indent);

/* ---- report_proc.c ---- */

/* All of one process: what it held, its phases, native functions, growth outside of phases, and what is no line's work. */
void rt_put_proc(struct rt_report *report, const struct rt_proc_summary *proc);

/* ---- report_fold.c: of children without a phase that bear one name, only the largest are listed ---- */

struct rt_fold {
	const struct rt_proc_summary **sorted;
	size_t count;
	bool *hidden; /* by index in the summary */
};

/* Which are listed. Returns 0 (free with rt_fold_free) or -ENOMEM. */
int rt_fold_make(const struct rt_summary *summary, struct rt_fold *fold);
void rt_fold_free(struct rt_fold *fold);

/* A line for the others of each name. */
void rt_put_folded(struct rt_report *report, const struct rt_summary *summary, const struct rt_fold *fold);

#endif
