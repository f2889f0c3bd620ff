/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * docreport.h - what doctor found, and its two forms: a table for people, one JSON object for programs.
 *
 * Pure. Texts are copied; they may be any bytes (names of a target): escaped in the table, made valid UTF-8 in JSON.
 */
#ifndef RT_DOCREPORT_H
#define RT_DOCREPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pystack.h"

#define RT_DOC_SCHEMA 1

enum rt_doc_state { RT_DOC_YES, RT_DOC_NO, RT_DOC_INFO, RT_DOC_UNKNOWN };

struct rt_doc_row {
	const char *section, *id, *label; /* the caller's, for as long as the report lives */
	enum rt_doc_state state;
	bool needed; /* by a run with the source that auto takes */
	char *value, *reason; /* "": none */
};

struct rt_doc_phase {
	char *id;
	bool found;
	char *file;	/* where, or the file that was looked at last; NULL: none */
	char *reason;	/* if not found */
};

struct rt_doc_thread {
	struct rt_pystack stack;
	int error; /* -errno: not readable */
};

struct rt_doc_target {
	uint32_t pid;
	char *name, *python, *layout, *kind, *interpreter; /* NULL: not known */
	struct rt_doc_thread *threads; /* the main thread first */
	size_t n_threads;
	struct rt_doc_phase *phases;
	size_t n_phases;
	char *profile;
};

struct rt_doc {
	struct rt_doc_row *rows;
	size_t n_rows;
	const char *source; /* what auto takes */
	char *source_reason;
	struct rt_doc_target *target; /* NULL: none was asked for */
	int status;
	char *verdict;
	bool failed; /* something could not be kept for lack of memory */
};

/* Adds a row; value and reason may be NULL. */
void rt_doc_add(struct rt_doc *doc, const char *section, const char *id, const char *label, enum rt_doc_state state, bool needed,
		const char *value, const char *reason);

/* Replaces a text of the report by a copy. */
void rt_doc_set(struct rt_doc *doc, char **text, const char *value);

/* Both return 0, or -errno of the first failed write, or -ENOMEM. */
int rt_doc_table(const struct rt_doc *doc, FILE *out);
int rt_doc_json(const struct rt_doc *doc, FILE *out);

void rt_doc_free(struct rt_doc *doc);

#endif
