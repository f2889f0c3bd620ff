/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * json.h - NDJSON output: one object a line, each valid UTF-8, written whole and flushed at once.
 *
 * Sizes are bytes, times CLOCK_MONOTONIC nanoseconds; the start object maps them to wall time. Keys are never
 * renamed; new ones come after the present ones. What is not known is null (a frame's line, the exit code of a
 * process that a signal ended).
 *
 * The caller ignores SIGPIPE; after the first error nothing more is written.
 */
#ifndef RT_JSON_H
#define RT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report.h"
#include "sink.h"

#define RT_JSON_SCHEMA 1

struct rt_json;

struct rt_json_start {
	const char *version; /* of ramtrack-bpf */
	const char *kernel;  /* release */
	const char *profile; /* its name */
	const char *mm_source, *mm_hook, *python_entry; /* what is in use, not what was asked for */
	bool mm_exact; /* a page is charged to the stack that moved it, not to that of the thread's next fault */
	uint64_t wall_ns, ts_ns; /* the same moment on both clocks */
	const uint32_t *targets;
	size_t n_targets;
};

/* `out` stays the caller's. Labels are written in `lang`. Returns the output (free with rt_json_free), or
 * NULL without memory. */
struct rt_json *rt_json_new(FILE *out, enum rt_lang lang);
void rt_json_free(struct rt_json *json);

/* The first line. */
void rt_json_start(struct rt_json *json, const struct rt_json_start *start);

/* Valid as long as the output. Growth and stacks are written if the core tells them. */
struct rt_sink rt_json_sink(struct rt_json *json);

/* The last line; `cost` may be NULL. */
void rt_json_summary(struct rt_json *json, const struct rt_summary *summary, const struct rt_self_cost *cost);

/* The first error of writing as -errno (-EPIPE, -ENOSPC, -ENOMEM, ...), 0 if there was none. It stays: the
 * caller reports it once. */
int rt_json_error(const struct rt_json *json);

#endif
