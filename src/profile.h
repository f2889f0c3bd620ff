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
#include <stdint.h>

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

#define RT_NATIVE_RULES_MAX 64 /* of a profile: a set of them is a uint64_t, bit i for natives[i] */

enum rt_native_op { RT_NATIVE_ALLOC = 0, RT_NATIVE_FREE = 1 };

/* An integer argument as the x86-64 calling convention passes it: number 1 is %rdi, then %rsi, %rdx, %rcx, %r8, %r9. Those beyond are on the stack, and refused.
 * `bits` 64: the whole register; 32: its lower half (the upper is undefined where the C type is an int), unsigned. A member function's first argument is `this`; a function
 * that returns an object which is not trivial has its address first of all. */
struct rt_native_arg {
	uint8_t number; /* 1..6; 0: none */
	uint8_t bits;	/* 64 or 32 */
};

/* Where a native function's size stands. arg[0].number 0: `mapped`, what the thread maps inside the call (a free: unmaps), nowhere in the arguments. One argument: its value
 * in bytes; two: their product (calloc), which may overflow. */
struct rt_native_bytes {
	bool none; /* it has no size: neither arguments nor what is mapped are asked */
	struct rt_native_arg arg[2];
};

/* One entry of the section `native`: C or C++ functions of a library. src/nativesym.h finds their addresses. All lists are owned by the profile. */
struct rt_native_rule {
	char **symbols; /* names or globs, see rt_native_name_matches; any of them; at least one */
	size_t n_symbols;
	char **libraries; /* globs, see rt_native_library_matches; any of them; at least one */
	size_t n_libraries;
	char **fallbacks; /* like symbols: all of these together stand in, in a file that has no function of `symbols`. Their sizes are `mapped`. May be empty */
	size_t n_fallbacks;
	char *kind; /* shm, device, pinned, ...: a word of a-z, 0-9, _; at most 31 bytes */
	struct rt_native_bytes bytes;
	enum rt_native_op op;
	struct rt_label label; /* never NULL; not given: the first symbol's plain name (`*SHM::init_shm(int)`: init_shm) */
	bool checkpoint;       /* its end is a line of the tagged log */
	bool hot;	       /* only with --native-alloc */
};

struct rt_profile {
	char *name;
	char *path; /* where it was read, for messages */
	char *text; /* as it was read, text_len bytes */
	size_t text_len;
	struct rt_phase *phases;
	size_t n_phases;
	struct rt_native_rule *natives; /* in the order of the file; may be empty */
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
