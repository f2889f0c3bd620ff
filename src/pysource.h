/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pysource.h - logical lines of a function in untrusted Python source text.
 *
 * Python's own tokenizer is the truth (tests compare with `tokenize`): brackets, single and triple-quoted strings with their
 * prefixes, f-strings, comments, backslash continuations, form feeds, CR LF, tabs, nested functions and classes.
 */
#ifndef RT_PYSOURCE_H
#define RT_PYSOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "profile.h"

/* A logical line: physical lines first..last, 1-based and inclusive, at most a compound statement's header. */
struct rt_logical_line {
	int first, last;
	int column;    /* indentation, tabs as Python counts them (to multiples of 8) */
	char *text;    /* comments cut, physical lines joined by one blank, indentation gone */
};

struct rt_logical_lines {
	struct rt_logical_line *line;
	size_t count;
};

/* Splits source text (bytes, `len` of them, any content) into logical lines. Blank and comment lines give none.
 * Never fails on bad Python: a bracket or string that never closes ends at the end of the text.
 * Returns 0, or -ENOMEM, or -E2BIG (more than 16 MiB of text or 2,000,000 logical lines). */
int rt_pysource_split(const char *text, size_t len, struct rt_logical_lines *out);
void rt_logical_lines_free(struct rt_logical_lines *lines);

/* The index of the def or class statement whose code object starts at line `firstlineno` (CPython's co_firstlineno: the first decorator's line if
 * there is one), or lines->count. */
size_t rt_pysource_def_at(const struct rt_logical_lines *lines, int firstlineno);

/* The index of the logical line that contains physical line `row`, or lines->count. */
size_t rt_pysource_line_at(const struct rt_logical_lines *lines, int row);

/* A range of physical lines. */
struct rt_line_range {
	int first, last;
	/* a simple statement of the body itself, in no block: a call that gets to a later line has run it. Never set in generators and coroutines: one
	 * that is resumed behind it ran it when another one may have been on the stack, or long ago */
	bool always;
};

/* Finds the statements of one function that match any of the patterns.
 *
 * The function is the `def` (or `async def`, `class`, decorators before it) that starts at line `firstlineno` (CPython's
 * co_firstlineno: the first decorator's line if there is one); firstlineno 0 or qualname "<module>" means the whole file. Statements of functions
 * and classes nested in it do not count; those of if, for, while, with, try, match blocks do. The range of a simple statement is its
 * logical line; the range of a compound statement's header (`with x(`, `for ...:`) is the header alone.
 * One pattern may match several statements: all are ranges.
 *
 * Returns the number of ranges (*out allocated, caller frees; untouched if 0), -ENOENT if no function starts there, or -ENOMEM. */
int rt_pysource_find(const struct rt_logical_lines *lines, int firstlineno, const char *qualname,
		     const struct rt_pattern *patterns, size_t n_patterns, struct rt_line_range **out);

#endif
