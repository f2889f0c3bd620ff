/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * profile.h - phase profiles: which functions and statements of a Python program are a phase, and what to call them.
 *
 * A profile is YAML (docs: README "Write a profile"). It is read as untrusted data: every mistake is refused with file, line
 * and reason, and nothing of a refused profile is kept.
 */
#ifndef RT_PROFILE_H
#define RT_PROFILE_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

enum rt_lang { RT_LANG_ZH = 0, RT_LANG_EN = 1, RT_LANGS = 2 };

/* A text in each language; a profile that gives a plain string has it for both. NULL: not given. */
struct rt_label {
	char *text[RT_LANGS];
};

/* One POSIX extended regex, kept with its source for messages. */
struct rt_pattern {
	char *source;
	regex_t compiled;
};

struct rt_phase {
	char *id;
	char **functions; /* co_qualname; any of them; at least one */
	size_t n_functions;
	char **files; /* suffix of co_filename, matched at a path component's border; empty: any file */
	size_t n_files;
	struct rt_pattern *statements; /* any of them, on one logical line; empty: the phase is the function's whole body */
	size_t n_statements;
	struct rt_label label; /* text[RT_LANG_ZH] and [RT_LANG_EN] are never NULL */
	struct rt_label enter; /* line when entered; NULL: label + 之前 / before */
	struct rt_label exit;  /* line when left; NULL: label + 之后 / after */
	bool watch;	       /* its calls are to be told exactly, by a watchpoint (src/entrywatch.h) */
	int line;	       /* in the YAML file */
};

/* Kept for the native section of a profile: checked for form, used by native tracing. */
struct rt_native {
	char *symbol, *library, *kind, *bytes;
	bool checkpoint;
	int line;
};

struct rt_profile {
	char *name;
	char *path; /* where it was read, for messages */
	char *text; /* as it was read, text_len bytes */
	size_t text_len;
	struct rt_phase *phases;
	size_t n_phases;
	struct rt_native *natives;
	size_t n_natives;
};

/* Reads a profile from `text` (`path` is for messages only).
 * Returns the profile (free with rt_profile_free), or NULL with *error set to "PATH:LINE: REASON" (caller frees). */
struct rt_profile *rt_profile_parse(const char *path, const char *text, size_t len, char **error);

/* The same from a file (at most 1 MiB). */
struct rt_profile *rt_profile_read(const char *path, char **error);

void rt_profile_free(struct rt_profile *profile);

/* Does `file` (a co_filename) end in `suffix` at the border of a path component? */
bool rt_profile_file_matches(const char *file, const char *suffix);

/* Is (qualname, file) named by this phase? */
bool rt_phase_names(const struct rt_phase *phase, const char *qualname, const char *file);

/* Does it name a function of this file with `name` as the last part of its qualified name? All that can be said of a code object without one. */
bool rt_phase_names_last(const struct rt_phase *phase, const char *name, const char *file);

/* The last part of a qualified name: a pointer into it. */
const char *rt_qualname_last(const char *qualname);

#endif
