/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * cmdline.h - what the command lines of all commands have in common: how a mistake is said, and values that several of them take.
 *
 * Texts are argv's: they are kept as pointers, and escaped where they are said. Functions that return int return 0, or what an argp parser returns to stop: then the message is
 * on `err` and `status` is set.
 */
#ifndef RT_CMDLINE_H
#define RT_CMDLINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "profile.h"

struct rt_cmdline {
	const char *name; /* of the command, for messages: "ramtrack-bpf diff" */
	FILE *err;
	int status; /* 0, or the exit status: RT_EXIT_USAGE once something was refused, 1 without memory */
};

/* Says what is wrong, and where help is. Never returns 0. */
__attribute__((format(printf, 2, 3))) int rt_cmdline_refuse(struct rt_cmdline *line, const char *format, ...);

/* The same of a text in quotes, with words before and behind it. */
int rt_cmdline_refuse_text(struct rt_cmdline *line, const char *before, const char *text, const char *after);

/* Says that there is no memory. Never returns 0. */
int rt_cmdline_no_memory(struct rt_cmdline *line);

/* "OPTION: 'VALUE' is not allowed; give ALLOWED". */
int rt_cmdline_refuse_value(struct rt_cmdline *line, const char *option, const char *value, const char *allowed);

/* Any text but an empty one. `allowed` says what it may be. */
int rt_cmdline_text(struct rt_cmdline *line, const char *option, const char *text, const char *allowed, const char **to);

/* Adds to a list, which is the caller's to free. */
int rt_cmdline_add(struct rt_cmdline *line, const char ***list, size_t *n, const char *text);

/* --fail-if: adds an expression whose form is good (bexpr.h). */
int rt_cmdline_fail_if(struct rt_cmdline *line, const char ***list, size_t *n, const char *text);

/* -z: bytes. */
int rt_cmdline_min_size(struct rt_cmdline *line, const char *text, int64_t *bytes);

/* --lang. */
int rt_cmdline_lang(struct rt_cmdline *line, const char *text, enum rt_lang *lang);

struct rt_cmdline_word {
	const char *name; /* NULL: the list ends */
	int value;
};

/* One of a few words. Returns its value, or -1. */
int rt_cmdline_word_find(const struct rt_cmdline_word *words, const char *text);

#endif
