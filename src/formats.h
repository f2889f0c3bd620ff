/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * formats.h - the outputs besides the log and the NDJSON: one table for the options of a live run (--perfetto FILE) and for whoever writes the same from
 * records that were kept.
 *
 * A format is told by the core (its sink) and gets the summary at the end. It knows neither libbpf nor /proc, nor where its bytes go: a stream that is opened
 * and closed by outputs.c. To add one: a value of enum rt_format_id, a `const struct rt_format` in its own file, a row in formats.c, an option in opts.c.
 */
#ifndef RT_FORMATS_H
#define RT_FORMATS_H

#include <stdbool.h>
#include <stdio.h>

#include "json.h"
#include "report.h"
#include "sink.h"

enum rt_format_id {
	RT_FORMAT_JSON, /* the summary alone */
	RT_FORMAT_FOLDED,
	RT_FORMAT_PERFETTO,
	RT_FORMAT_PROM,
	RT_FORMAT_HTML,
	RT_FORMATS,
};

/* What the core has to be asked for. */
enum rt_format_need {
	RT_NEED_STACKS = 1, /* rt_account_config.want_stacks, and line tables */
	RT_NEED_GROWTH = 2, /* want_growth, and line tables */
};

/* --value: what a stack's number is, bytes. */
enum rt_folded_value { RT_FOLDED_GAINED, RT_FOLDED_RELEASED, RT_FOLDED_HELD /* gained - released */ };

struct rt_format_config {
	FILE *out; /* stays the caller's, and outlives the format */
	enum rt_lang lang;
	enum rt_folded_value value;
};

struct rt_format {
	const char *name;   /* "perfetto" */
	const char *option; /* of a live run, "--perfetto"; NULL: there is none */
	unsigned int needs; /* enum rt_format_need */
	/* The file comes into being whole, at the end, under its name: a reader never sees half of it. Then `out` is memory, so the output has to be small. */
	bool atomic;
	/* Returns the output (free with close), or NULL without memory. */
	void *(*open)(const struct rt_format_config *config);
	/* Valid until close. NULL: the summary is all that it needs. */
	struct rt_sink (*sink)(void *output);
	/* What a run is about, before anything else is told; may be NULL. */
	void (*start)(void *output, const struct rt_json_start *start);
	/* The end; `cost` may be NULL. */
	void (*finish)(void *output, const struct rt_summary *summary, const struct rt_self_cost *cost);
	/* What the user has to know of what was written, a line without its end; NULL: nothing, also as a function. */
	const char *(*note)(const void *output);
	/* The first error of writing as -errno (-EPIPE, -ENOSPC, -ENOMEM, ...), 0: none. It stays, and nothing more is written after it. */
	int (*error)(const void *output);
	void (*close)(void *output);
};

/* Never NULL for a value below RT_FORMATS. */
const struct rt_format *rt_format_get(enum rt_format_id id);

/* By its name. Returns its enum rt_format_id, or -1. */
int rt_format_find(const char *name);

extern const struct rt_format rt_format_json;	/* json.c */
extern const struct rt_format rt_format_folded; /* folded.c */
extern const struct rt_format rt_format_perfetto; /* perfetto.c */
extern const struct rt_format rt_format_prom;	/* prom.c */
extern const struct rt_format rt_format_html;	/* html.c */

#endif
