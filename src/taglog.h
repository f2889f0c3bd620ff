/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * taglog.h - the tagged log: one line a checkpoint, in the order in which the core tells them.
 *
 *	INFO: <label>之后 占用 5.12 M RAM内存 (累计: 125.57 M) [重用 1.00 M] [子进程 +3.00 M]（第二次改动）
 *	INFO: <label> after: +5.12 MiB RSS (total 125.57 MiB) [reused 1.00 MiB] [children +3.00 MiB] [第二次改动]
 *
 * Lines of a process other than the first target start with "(<name> pid=<PID>) ", and the wall-clock time, if
 * asked for, stands before everything. Between two printed lines of a process total(n) = total(n-1) + growth(n),
 * before rounding, also where a minimum size left lines out: their change is carried into the next line.
 *
 * A line is written whole and flushed at once. The caller ignores SIGPIPE; after the first write error nothing
 * more is written, so that no line stands torn in the middle of a log.
 */
#ifndef RT_TAGLOG_H
#define RT_TAGLOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sink.h"

/* The text inside the tag's parentheses unless --tag says otherwise. */
#define RT_TAG_DEFAULT "第二次改动"

struct rt_taglog_config {
	FILE *out; /* stays the caller's */
	enum rt_lang lang;
	const char *tag;	/* NULL or "": no tag; copied */
	int64_t min_size;	/* a smaller change since the process's last printed line gives no line; 0: all do */
	bool timestamps;
	int64_t wall_offset_ns; /* wall clock = CLOCK_MONOTONIC + this */
	bool color;
};

struct rt_taglog;

/* Returns the log (free with rt_taglog_free), or NULL without memory. */
struct rt_taglog *rt_taglog_new(const struct rt_taglog_config *config);
void rt_taglog_free(struct rt_taglog *log);

/* Valid as long as the log. */
struct rt_sink rt_taglog_sink(struct rt_taglog *log);

/* The first error of writing (-EPIPE, -ENOSPC, -ENOMEM, ...), 0 if there was none. It stays: the caller
 * reports it once. */
int rt_taglog_error(const struct rt_taglog *log);

#endif
