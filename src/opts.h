/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * opts.h - the command line.
 */
#ifndef RT_OPTS_H
#define RT_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "formats.h"
#include "mmsource.h"
#include "profile.h"

#ifndef RT_VERSION
#define RT_VERSION "0.1.0" /* the build says otherwise */
#endif

/* Exit status of a command line that is refused. */
#define RT_EXIT_USAGE 2

/* The largest PID that Linux gives (PID_MAX_LIMIT, include/linux/threads.h). */
#define RT_PID_MAX 4194304
#define RT_SAMPLE_HZ_MAX 10000

/* What the first word asks for. */
enum rt_command {
	RT_COMMAND_TRACE,  /* none: trace, and tell at once */
	RT_COMMAND_RECORD, /* trace into a ledger, tell later */
	RT_COMMAND_REPORT, /* tell of ledgers */
};

#define RT_LEDGER_DEFAULT "ramtrack.ledger"
#define RT_LEDGERS_MAX 64

enum rt_python_entry { RT_ENTRY_AUTO, RT_ENTRY_OFF, RT_ENTRY_USDT, RT_ENTRY_UPROBE, RT_ENTRY_WATCH };
enum rt_color { RT_COLOR_AUTO, RT_COLOR_ALWAYS, RT_COLOR_NEVER };

/* Strings and `command` point into argv. */
struct rt_opts {
	bool shown; /* --help or --version was asked for and printed: nothing else to do */

	enum rt_command what;
	const char *record; /* the ledger to write; NULL: none */
	const char *ledger[RT_LEDGERS_MAX]; /* RT_COMMAND_REPORT: those to read, at least one */
	size_t n_ledgers;
	bool no_log; /* neither the tagged log nor the summary as text */

	uint32_t *pids; /* in the order given, each once; owned */
	size_t n_pids;
	char **command; /* NULL, or what stands after --, ending in NULL */
	const char *wait; /* NULL, or a POSIX extended regex, checked */

	const char *profile; /* name or file; "vllm"; NULL: RT_COMMAND_REPORT, the one that is in the ledger */
	uint64_t duration_ns; /* 0: until the targets end */
	const char *output; /* of the tagged log; NULL: standard output */
	const char *json; /* NULL: none; "-": standard output */
	const char *format_file[RT_FORMATS]; /* NULL: not wanted */
	enum rt_folded_value folded_value;
	bool log_to_stderr; /* NDJSON takes standard output and no -o was given */
	bool json_growth;
	enum rt_lang lang;
	const char *tag; /* never NULL; "": none */
	int64_t min_size;
	bool timestamps;
	bool follow;
	unsigned int sample_hz;
	enum rt_mm_source mm_source; /* RT_MM_AUTO: the best that this kernel has */
	enum rt_python_entry python_entry;
	bool mappings; /* growth told apart by mapping */
	bool native_alloc; /* probe hot native functions too */
	bool strict;
	const char **fail_if; /* expressions, checked for form; owned, the texts are argv's */
	size_t n_fail_if;
	const char **budgets; /* files; the same */
	size_t n_budgets;
	const char *junit; /* NULL: not wanted */
	enum rt_color color;
	int verbosity; /* -1: quiet, 0, 1 and more: the number of -v */
};

/*
 * Reads the command line. What --help and --version print goes to `out`, messages to `err` (an unknown option's
 * first line comes from the C library and goes to standard error). Returns 0 (see `shown`; free with
 * rt_opts_free), or the exit status: RT_EXIT_USAGE, or 1 without memory. Then *opts is untouched.
 */
int rt_opts_parse(int argc, char **argv, FILE *out, FILE *err, struct rt_opts *opts);

void rt_opts_free(struct rt_opts *opts);

/* Colour or none? --color always and never decide; else NO_COLOR, then CLICOLOR_FORCE, then whether the log
 * goes to a terminal. The two variables as getenv gives them. */
bool rt_opts_use_color(enum rt_color color, const char *no_color, const char *clicolor_force, bool terminal);

#endif
