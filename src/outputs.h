/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* outputs.h - where the log, the NDJSON and the summary go: files opened before anything else, errors of writing reported once. */
#ifndef RT_OUTPUTS_H
#define RT_OUTPUTS_H

#include <stdio.h>

#include "account.h"
#include "formats.h"
#include "json.h"
#include "opts.h"
#include "progress.h"
#include "taglog.h"
#include "terminal.h"

/* One of the formats (formats.h) on its way to a file. */
struct rt_output_format {
	const struct rt_format *format; /* NULL: not wanted */
	const char *path;
	FILE *file;	 /* the file, or what is written to it at the end */
	char *whole;	 /* of an atomic one: all that was written */
	size_t whole_len;
	void *output;
};

struct rt_outputs {
	FILE *log_file;	 /* -o, or standard output or error; NULL: no log, and no summary as text */
	FILE *json_file; /* -j, or NULL */
	const char *log_name, *json_name;
	FILE *summary_file;
	enum rt_lang lang;
	struct rt_taglog *log;
	struct rt_json *json;
	struct rt_output_format format[RT_FORMATS];
	struct rt_terminal terminal;
	struct rt_progress *progress; /* NULL: standard error is no terminal, or -q */
	uint64_t begun_ns, shown_ns; /* CLOCK_MONOTONIC */
	int reported; /* an error of writing was said */
};

/* Opens the files. Returns an exit status (enum rt_status), errors logged. */
int rt_outputs_open(struct rt_outputs *outputs, const struct rt_opts *opts);

/* What the account is asked for on behalf of the formats (enum rt_format_need). */
unsigned int rt_outputs_needs(const struct rt_outputs *outputs);

/* Creates the log, the NDJSON output and the formats, and adds them to the account. */
int rt_outputs_begin(struct rt_outputs *outputs, const struct rt_opts *opts, struct rt_account *account,
		     int64_t wall_offset_ns);

void rt_outputs_start(struct rt_outputs *outputs, const struct rt_json_start *start);

/* Shows how far the run is, on the terminal, several times a second at most. */
void rt_outputs_show(struct rt_outputs *outputs, uint64_t now_ns);

/* First error of writing of any output as -errno, logged the first time; 0: none. A reader that closed its pipe is one, too. */
int rt_outputs_error(struct rt_outputs *outputs);

/* Writes the summaries. Returns an exit status. */
int rt_outputs_finish(struct rt_outputs *outputs, const struct rt_summary *summary, const struct rt_self_cost *cost);

void rt_outputs_close(struct rt_outputs *outputs);

#endif
