/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "opts.h"

#include <argp.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "cmdline.h"
#include "taglog.h"
#include "units.h"

#define RT_NAME "ramtrack-bpf"

/* Options without a letter. */
enum rt_opt_key {
	RT_OPT_JSON_GROWTH = 0x100,
	RT_OPT_LANG,
	RT_OPT_TAG,
	RT_OPT_NO_FOLLOW,
	RT_OPT_SAMPLE_HZ,
	RT_OPT_PYTHON_ENTRY,
	RT_OPT_MM_SOURCE,
	RT_OPT_NO_MAPPINGS,
	RT_OPT_NATIVE_ALLOC,
	RT_OPT_STRICT,
	RT_OPT_COLOR,
	RT_OPT_USAGE,
	RT_OPT_WAIT,
	RT_OPT_FAIL_IF,
	RT_OPT_BUDGET,
	RT_OPT_JUNIT,
	RT_OPT_RECORD,
	RT_OPT_VALUE,
	RT_OPT_REPORT_FORMAT,
	RT_OPT_FORMAT, /* and what follows: + enum rt_format_id */
	RT_OPT_FORMAT_LAST = RT_OPT_FORMAT + RT_FORMATS - 1,
};

static const struct argp_option rt_options[] = {
	{NULL, 0, NULL, 0, "What to trace:", 1},
	{"pid", 'p', "PID", 0, "Attach to process PID and its descendants; may be given several times", 1},
	{"wait", RT_OPT_WAIT, "REGEX", 0,
	 "Wait for the first process to be started with a command line that matches REGEX (POSIX extended)", 1},
	{"no-follow", RT_OPT_NO_FOLLOW, NULL, 0, "Only the named processes, no descendants", 1},
	{"profile", 'P', "NAME|FILE", 0, "Phase profile: an installed one's name or a file (default: vllm)", 1},
	{"duration", 'd', "TIME", 0, "Stop after TIME: 30, 30s, 5m, 1h, 500ms", 1},
	{NULL, 0, NULL, 0, "Output:", 2},
	{"output", 'o', "FILE", 0, "The tagged log goes to FILE instead of standard output", 2},
	{"json", 'j', "FILE", 0, "Write NDJSON records to FILE, - for standard output", 2},
	{"json-growth", RT_OPT_JSON_GROWTH, NULL, 0, "NDJSON: also every change with its stack", 2},
	{"record", RT_OPT_RECORD, "FILE", 0, "Keep the ledger in FILE as well, for `" RT_NAME " report'", 2},
	{"html", RT_OPT_FORMAT + RT_FORMAT_HTML, "FILE", 0, "Write one page for a browser to FILE at the end: RSS over time, phases, stacks", 2},
	{"perfetto", RT_OPT_FORMAT + RT_FORMAT_PERFETTO, "FILE", 0, "Phases and RSS over time for ui.perfetto.dev to FILE", 2},
	{"folded", RT_OPT_FORMAT + RT_FORMAT_FOLDED, "FILE", 0, "Growth by stack for flamegraph.pl and speedscope to FILE", 2},
	{"prom", RT_OPT_FORMAT + RT_FORMAT_PROM, "FILE", 0, "The summary as metrics for Prometheus's textfile collector to FILE", 2},
	{"format", RT_OPT_REPORT_FORMAT, "text|json|html|perfetto|folded|prom", 0,
	 "report: what is made of the ledger, on standard output or -o FILE (default: text, the log and the summary)", 2},
	{"value", RT_OPT_VALUE, "gained|released|held", 0, "folded: which bytes (default: gained; held: gained less released)", 2},
	{"lang", RT_OPT_LANG, "zh|en", 0, "Language of the log and of the labels (default: zh)", 2},
	{"tag", RT_OPT_TAG, "TEXT", 0,
	 "Text of the tag that ends each line; empty: no tag (default: " RT_TAG_DEFAULT ")", 2},
	{"min-size", 'z', "SIZE", 0,
	 "No line for a change smaller than SIZE: 4096, 64K, 1M, 1.5G (default: 0, all)", 2},
	{"timestamps", 'T', NULL, 0, "Wall-clock time before each line", 2},
	{"color", RT_OPT_COLOR, "auto|always|never", 0, "Colour the log (default: auto; NO_COLOR, CLICOLOR_FORCE)", 2},
	{NULL, 0, NULL, 0, "How to look:", 3},
	{"sample-hz", RT_OPT_SAMPLE_HZ, "N", 0,
	 "How often a running thread's phase is looked at between changes (default: 100; 0: never)", 3},
	{"mm-source", RT_OPT_MM_SOURCE, "auto|rss_stat|fexit|kprobe|tracepoint", 0,
	 "Kernel hooks that tell of RSS changes (default: auto, the most exact that this kernel has)", 3},
	{"python-entry", RT_OPT_PYTHON_ENTRY, "auto|off|usdt|uprobe|watch", 0,
	 "Exact begin and end of calls; auto and watch: watchpoints for the phases that the profile marks; usdt: the interpreter's own probes, where it has them; usdt and "
	 "uprobe are dear (default: auto)", 3},
	{"no-mappings", RT_OPT_NO_MAPPINGS, NULL, 0,
	 "Do not tell growth apart by mapping (file, heap, stack, anonymous, shared)", 3},
	{"native-alloc", RT_OPT_NATIVE_ALLOC, NULL, 0,
	 "Also probe the native functions that the profile marks hot (c10::alloc_cpu): each of their calls costs about a microsecond", 3},
	{"strict", RT_OPT_STRICT, NULL, 0, "Exit status 6 when anything was lost or left unaccounted", 3},
	{NULL, 0, NULL, 0, "Budgets:", 4},
	{"fail-if", RT_OPT_FAIL_IF, "EXPR", 0,
	 "Exit status 7 when EXPR is true at the end: 'phase(\"load_weights\").peak > 40G', 'role(\"Worker*\").phase(\"runner_init\").anon > 2G', "
	 "'tree.peak > 60G or lost.records > 0'; may be given several times", 4},
	{"budget", RT_OPT_BUDGET, "FILE", 0, "The same for all budgets of a YAML file, a list of {name, expr, note}; may be given several times", 4},
	{"junit", RT_OPT_JUNIT, "FILE", 0, "Write the budgets' outcome as JUnit XML to FILE", 4},
	{NULL, 0, NULL, 0, "Messages:", 5},
	{"verbose", 'v', NULL, 0, "More messages on standard error", 5},
	{"quiet", 'q', NULL, 0, "Only errors on standard error", 5},
	{"version", 'V', NULL, 0, "Print the version", 5},
	{"help", 'h', NULL, 0, "Print this help", 5},
	{"usage", RT_OPT_USAGE, NULL, OPTION_HIDDEN, "Print a short usage message", 5},
	{NULL, 0, NULL, 0, NULL, 0},
};

static const char rt_opts_args[] = "-p PID [-p PID...]\n-- COMMAND [ARG...]\n--wait REGEX\nrecord [-o FILE] -p PID | -- COMMAND [ARG...] | --wait REGEX\nreport [--format F] [FILE...]\ndiff OLD [OLD...] NEW\ndoctor [-p PID] [--json]";

static const char rt_opts_doc[] =
	"Charges every change of RSS of a starting Python program (vLLM by default) to the phase that caused it: "
	"a log line at the beginning and end of each phase, then a summary."
	"\v"
	"Exit status: 0 good; 1 error; 2 usage; 3 no such target, or not one that can be traced; 4 privilege missing; "
	"5 kernel feature missing; 6 incomplete under --strict; 7 a budget is broken; with -- COMMAND the command's own status (128+N for "
	"signal N) once it ran.\n\n"
	"'" RT_NAME " record' keeps what it sees in a ledger (-o FILE; default: " RT_LEDGER_DEFAULT "), from which '" RT_NAME " report' makes the same log, summary and NDJSON, "
	"with -P also by another profile.\n\n"
	"'" RT_NAME " diff OLD [OLD...] NEW' compares the runs of ledgers.\n\n"
	"'" RT_NAME " doctor' says what this kernel, these privileges and a process allow.\n\n"
	"Example: sudo " RT_NAME " -p \"$(pgrep -of 'vllm serve')\"";

/* What the parser works on. */
struct rt_opts_state {
	struct rt_cmdline line;
	FILE *out;
	struct rt_opts opts;
	bool separator; /* a -- was seen */
	bool value_given;
	int format; /* enum rt_format_id of --format, -1: text */
	bool format_given;
};

/* ---- values ---- */

static error_t rt_opts_pid(struct rt_opts_state *state, const char *text)
{
	struct rt_opts *opts = &state->opts;
	uint64_t pid;
	uint32_t *more;
	size_t i;

	if (rt_number_parse(text, 1, RT_PID_MAX, &pid))
		return rt_cmdline_refuse_value(&state->line, "-p/--pid", text, "a process id from 1 to 4194304 (-p may be repeated)");
	for (i = 0; i < opts->n_pids; i++) {
		if (opts->pids[i] == pid)
			return 0;
	}
	more = reallocarray(opts->pids, opts->n_pids + 1, sizeof(*more));
	if (!more)
		return rt_cmdline_no_memory(&state->line);
	opts->pids = more;
	more[opts->n_pids++] = (uint32_t)pid;
	return 0;
}

static error_t rt_opts_duration(struct rt_opts_state *state, const char *text)
{
	uint64_t ns;

	if (rt_time_parse(text, &ns) || !ns)
		return rt_cmdline_refuse_value(&state->line, "-d/--duration", text, "a time above 0 such as 30, 30s, 5m, 1h or 500ms");
	state->opts.duration_ns = ns;
	return 0;
}

static error_t rt_opts_sample_hz(struct rt_opts_state *state, const char *text)
{
	uint64_t hz;

	if (rt_number_parse(text, 0, RT_SAMPLE_HZ_MAX, &hz))
		return rt_cmdline_refuse_value(&state->line, "--sample-hz", text, "a number from 0 to 10000");
	state->opts.sample_hz = (unsigned int)hz;
	return 0;
}

static error_t rt_opts_wait(struct rt_opts_state *state, const char *text)
{
	char reason[128], *safe;
	regex_t regex;
	error_t err;
	int bad;

	if (!*text)
		return rt_cmdline_refuse_value(&state->line, "--wait", text, "a regular expression for the command line, such as 'vllm serve'");
	bad = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
	if (!bad) {
		regfree(&regex);
		state->opts.wait = text;
		return 0;
	}
	regerror(bad, NULL, reason, sizeof(reason));
	safe = rt_text_escape(text, 100);
	err = rt_cmdline_refuse(&state->line, "--wait: '%s' is no POSIX extended regular expression: %s", safe ? safe : "?", reason);
	free(safe);
	return err;
}

static error_t rt_opts_color(struct rt_opts_state *state, const char *text)
{
	static const struct rt_cmdline_word words[] = {
		{"auto", RT_COLOR_AUTO}, {"always", RT_COLOR_ALWAYS}, {"never", RT_COLOR_NEVER}, {NULL, 0},
	};
	int color = rt_cmdline_word_find(words, text);

	if (color < 0)
		return rt_cmdline_refuse_value(&state->line, "--color", text, "auto, always or never");
	state->opts.color = (enum rt_color)color;
	return 0;
}

static error_t rt_opts_value(struct rt_opts_state *state, const char *text)
{
	static const struct rt_cmdline_word words[] = {
		{"gained", RT_FOLDED_GAINED}, {"released", RT_FOLDED_RELEASED}, {"held", RT_FOLDED_HELD}, {NULL, 0},
	};
	int value = rt_cmdline_word_find(words, text);

	if (value < 0)
		return rt_cmdline_refuse_value(&state->line, "--value", text, "gained, released or held");
	state->opts.folded_value = (enum rt_folded_value)value;
	state->value_given = true;
	return 0;
}

static error_t rt_opts_mm_source(struct rt_opts_state *state, const char *text)
{
	for (int source = 0; source <= RT_MM_AUTO; source++) {
		if (strcmp(text, rt_mm_name((enum rt_mm_source)source)))
			continue;
		state->opts.mm_source = (enum rt_mm_source)source;
		return 0;
	}
	return rt_cmdline_refuse_value(&state->line, "--mm-source", text, "auto, rss_stat, fexit, kprobe or tracepoint");
}

static error_t rt_opts_python_entry(struct rt_opts_state *state, const char *text)
{
	static const struct rt_cmdline_word words[] = {
		{"auto", RT_ENTRY_AUTO}, {"off", RT_ENTRY_OFF}, {"usdt", RT_ENTRY_USDT}, {"uprobe", RT_ENTRY_UPROBE}, {"watch", RT_ENTRY_WATCH}, {NULL, 0},
	};
	int entry = rt_cmdline_word_find(words, text);

	if (entry < 0)
		return rt_cmdline_refuse_value(&state->line, "--python-entry", text, "auto, off, usdt, uprobe or watch");
	state->opts.python_entry = (enum rt_python_entry)entry;
	return 0;
}

/* --fail-if, --budget, --junit. */
static error_t rt_opts_budget(struct rt_opts_state *state, int key, const char *text)
{
	const char *file = NULL;
	error_t err;

	if (key == RT_OPT_FAIL_IF)
		return rt_cmdline_fail_if(&state->line, &state->opts.fail_if, &state->opts.n_fail_if, text);
	if (key == RT_OPT_JUNIT) {
		if (!strcmp(text, "-"))
			return rt_cmdline_refuse_value(&state->line, "--junit", text, "the name of a file; standard output has the log");
		return rt_cmdline_text(&state->line, "--junit", text, "the name of a file", &state->opts.junit);
	}
	err = rt_cmdline_text(&state->line, "--budget", text, "the name of a YAML file", &file);
	return err ? err : rt_cmdline_add(&state->line, &state->opts.budgets, &state->opts.n_budgets, file);
}

/* ---- commands ---- */

static const struct rt_cmdline_word rt_commands[] = {{"record", RT_COMMAND_RECORD}, {"report", RT_COMMAND_REPORT}, {NULL, 0}};

static error_t rt_opts_report_format(struct rt_opts_state *state, const char *text)
{
	state->format = rt_format_find(text);
	if (state->format < 0 && strcmp(text, "text"))
		return rt_cmdline_refuse_value(&state->line, "--format", text, "text, json, html, perfetto, folded or prom");
	state->format_given = true;
	return 0;
}

/* One format is all that is written then, where the log would go. */
static error_t rt_opts_apply_format(struct rt_opts_state *state)
{
	struct rt_opts *opts = &state->opts;

	if (state->format < 0)
		return 0;
	if (opts->n_ledgers > 1)
		return rt_cmdline_refuse(&state->line, "--format %s takes one ledger at a time, and there are %zu; give each its own " RT_NAME " report", rt_format_get((enum rt_format_id)state->format)->name, opts->n_ledgers);
	if (opts->format_file[state->format])
		return rt_cmdline_refuse(&state->line, "--format %s and --%s FILE are the same; give one of the two", rt_format_get((enum rt_format_id)state->format)->name,
				      rt_format_get((enum rt_format_id)state->format)->name);
	opts->format_file[state->format] = opts->output ? opts->output : "-";
	opts->output = NULL;
	opts->no_log = true;
	return 0;
}

/* The target is in the ledger, and how it was looked at too. */
static bool rt_opts_is_live(int key)
{
	static const int live[] = {'p', 'd', RT_OPT_WAIT, RT_OPT_NO_FOLLOW, RT_OPT_SAMPLE_HZ, RT_OPT_PYTHON_ENTRY, RT_OPT_MM_SOURCE, RT_OPT_RECORD};

	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
		if (live[i] == key)
			return true;
	}
	return false;
}

static error_t rt_opts_refuse_live(struct rt_opts_state *state, int key)
{
	const struct argp_option *option = rt_options;

	while (option->key != key)
		option++;
	return rt_cmdline_refuse(&state->line, "--%s is for a live run; report reads ledgers: " RT_NAME " report [OPTIONS] FILE...", option->name);
}

static error_t rt_opts_check_report(struct rt_opts_state *state)
{
	struct rt_opts *opts = &state->opts;

	if (!opts->n_ledgers)
		opts->ledger[opts->n_ledgers++] = RT_LEDGER_DEFAULT;
	if (opts->n_ledgers > 1 && (opts->output || opts->json || opts->junit))
		return rt_cmdline_refuse(&state->line, "%s takes one ledger at a time, and there are %zu; give each its own " RT_NAME " report", opts->output ? "-o/--output" : opts->json ? "-j/--json" : "--junit", opts->n_ledgers);
	return rt_opts_apply_format(state);
}

static error_t rt_opts_check_record(struct rt_opts_state *state)
{
	struct rt_opts *opts = &state->opts;

	if (opts->what == RT_COMMAND_RECORD) {
		if (opts->record)
			return rt_cmdline_refuse(&state->line, "record writes one ledger; give its name with -o, not with --record");
		opts->record = opts->output ? opts->output : RT_LEDGER_DEFAULT;
		opts->output = NULL;
		opts->no_log = true;
	}
	if (!opts->record)
		return 0;
	if (!strcmp(opts->record, "-"))
		return rt_cmdline_refuse(&state->line, "a ledger cannot go to standard output; give a file");
	if ((opts->output && !strcmp(opts->record, opts->output)) || (opts->json && !strcmp(opts->record, opts->json)))
		return rt_cmdline_refuse_text(&state->line, "the ledger and another output both write to ", opts->record, "; give two different files");
	return 0;
}

/* ---- the whole ---- */

/* Writes a file of its own: standard output is the log's. */
static error_t rt_opts_format(struct rt_opts_state *state, enum rt_format_id id, const char *text)
{
	const struct rt_format *format = rt_format_get(id);

	if (!strcmp(text, "-"))
		return rt_cmdline_refuse_value(&state->line, format->option, text, "the name of a file; standard output has the log");
	return rt_cmdline_text(&state->line, format->option, text, "the name of a file", &state->opts.format_file[id]);
}

/* Of all files that are written, no two are one. */
static error_t rt_opts_check_files(struct rt_opts_state *state)
{
	enum { OWN = 3 };
	const char *file[RT_FORMATS + OWN] = {state->opts.output, state->opts.json, state->opts.junit};
	const char *option[RT_FORMATS + OWN] = {"-o/--output", "-j/--json", "--junit"};
	char before[64];

	for (int id = 0; id < RT_FORMATS; id++) {
		file[OWN + id] = state->opts.format_file[id];
		option[OWN + id] = id == state->format ? "--format" : rt_format_get((enum rt_format_id)id)->option;
	}
	for (size_t i = 0; i < RT_FORMATS + OWN; i++) {
		for (size_t k = 0; file[i] && k < i; k++) {
			if (file[k] && !strcmp(file[i], file[k])) {
				snprintf(before, sizeof(before), "%s and %s both write to ", option[k], option[i]);
				return rt_cmdline_refuse_text(&state->line, before, file[i], "; give two different files");
			}
		}
	}
	return 0;
}

/* What no single option can tell. */
static error_t rt_opts_check(struct rt_opts_state *state)
{
	struct rt_opts *opts = &state->opts;

	if (state->separator && !opts->command && opts->what != RT_COMMAND_REPORT)
		return rt_cmdline_refuse(&state->line, "nothing stands after --; give -- COMMAND [ARG...], or -p PID for a running process");
	if (state->format_given && opts->what != RT_COMMAND_REPORT)
		return rt_cmdline_refuse(&state->line, "--format is for '" RT_NAME " report'; a live run takes --html, --perfetto, --folded or --prom FILE, and -j FILE");
	if (opts->what == RT_COMMAND_REPORT ? rt_opts_check_report(state) : rt_opts_check_record(state))
		return EINVAL;
	if (opts->what != RT_COMMAND_REPORT && !opts->n_pids && !opts->command && !opts->wait)
		return rt_cmdline_refuse(&state->line, "no target; give -p PID for a running process, -- COMMAND [ARG...] to start one, or --wait REGEX for one to come");
	if (opts->wait && (opts->n_pids || opts->command))
		return rt_cmdline_refuse(&state->line, "--wait and %s cannot be traced in one run; give one of the two", opts->n_pids ? "-p" : "-- COMMAND");
	if (opts->n_pids && opts->command) {
		char before[32];

		snprintf(before, sizeof(before), "-p %u and -- ", opts->pids[0]);
		return rt_cmdline_refuse_text(&state->line, before, opts->command[0], " cannot be traced in one run; give one of the two");
	}
	if (rt_opts_check_files(state))
		return EINVAL;
	if (opts->output && !strcmp(opts->output, "-"))
		opts->output = NULL;
	else if (!opts->output && opts->json && !strcmp(opts->json, "-"))
		opts->log_to_stderr = true;
	if (opts->junit && !opts->n_fail_if && !opts->n_budgets)
		return rt_cmdline_refuse(&state->line, "--junit reports budgets; give --fail-if EXPR or --budget FILE");
	if (state->value_given && !opts->format_file[RT_FORMAT_FOLDED])
		return rt_cmdline_refuse(&state->line, "--value needs --folded FILE, or report --format folded");
	if (opts->json_growth && !opts->json)
		return rt_cmdline_refuse(&state->line, "--json-growth needs -j/--json; give -j FILE, or -j - for standard output");
	return 0;
}

static error_t rt_opts_argument(struct rt_opts_state *state, struct argp_state *argp, char *arg)
{
	if (state->opts.what == RT_COMMAND_REPORT) {
		if (state->opts.n_ledgers == RT_LEDGERS_MAX)
			return rt_cmdline_refuse(&state->line, "more than %d ledgers; give fewer at a time", RT_LEDGERS_MAX);
		if (!*arg)
			return rt_cmdline_refuse_value(&state->line, "report", arg, "the name of a ledger");
		state->opts.ledger[state->opts.n_ledgers++] = arg;
		return 0;
	}
	if (argp->quoted && argp->next > argp->quoted) {
		/* All the rest is the command's, whatever it looks like. */
		state->opts.command = &argp->argv[argp->next - 1];
		argp->next = argp->argc;
		return 0;
	}
	return rt_cmdline_refuse_text(&state->line, "", arg, " is not an option; give -- before a command to start, -p before a process id");
}

/* --help, --version, --usage: print, and read no further. */
static error_t rt_opts_show(struct rt_opts_state *state, struct argp_state *argp, int key)
{
	if (key == 'V')
		fprintf(state->out, RT_NAME " %s\n", RT_VERSION);
	else
		argp_state_help(argp, state->out, key == 'h' ? ARGP_HELP_STD_HELP : ARGP_HELP_USAGE);
	state->opts.shown = true;
	argp->next = argp->argc;
	return 0;
}

static error_t rt_opts_flag(struct rt_opts *opts, int key)
{
	switch (key) {
	case RT_OPT_JSON_GROWTH:
		opts->json_growth = true;
		return 0;
	case 'T':
		opts->timestamps = true;
		return 0;
	case RT_OPT_NO_FOLLOW:
		opts->follow = false;
		return 0;
	case RT_OPT_NO_MAPPINGS:
		opts->mappings = false;
		return 0;
	case RT_OPT_NATIVE_ALLOC:
		opts->native_alloc = true;
		return 0;
	case RT_OPT_STRICT:
		opts->strict = true;
		return 0;
	case 'v':
		opts->verbosity = opts->verbosity < 0 ? 1 : opts->verbosity + 1;
		return 0;
	case 'q':
		opts->verbosity = -1;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t rt_opts_key(int key, char *arg, struct argp_state *argp)
{
	static const char file[] = "the name of a file, or - for standard output";
	struct rt_opts_state *state = argp->input;

	if (state->opts.what == RT_COMMAND_REPORT && rt_opts_is_live(key))
		return rt_opts_refuse_live(state, key);
	switch (key) {
	case ARGP_KEY_INIT:
		argp->out_stream = state->out;
		argp->err_stream = state->line.err;
		return 0;
	case 'p':
		return rt_opts_pid(state, arg);
	case RT_OPT_WAIT:
		return rt_opts_wait(state, arg);
	case 'P':
		return rt_cmdline_text(&state->line, "-P/--profile", arg, "the name of an installed profile, or a file", &state->opts.profile);
	case 'd':
		return rt_opts_duration(state, arg);
	case 'o':
		return rt_cmdline_text(&state->line, "-o/--output", arg, file, &state->opts.output);
	case 'j':
		return rt_cmdline_text(&state->line, "-j/--json", arg, file, &state->opts.json);
	case RT_OPT_RECORD:
		return rt_cmdline_text(&state->line, "--record", arg, "the name of a file", &state->opts.record);
	case RT_OPT_LANG:
		return rt_cmdline_lang(&state->line, arg, &state->opts.lang);
	case RT_OPT_TAG:
		state->opts.tag = arg;
		return 0;
	case 'z':
		return rt_cmdline_min_size(&state->line, arg, &state->opts.min_size);
	case RT_OPT_SAMPLE_HZ:
		return rt_opts_sample_hz(state, arg);
	case RT_OPT_PYTHON_ENTRY:
		return rt_opts_python_entry(state, arg);
	case RT_OPT_VALUE:
		return rt_opts_value(state, arg);
	case RT_OPT_REPORT_FORMAT:
		return rt_opts_report_format(state, arg);
	case RT_OPT_MM_SOURCE:
		return rt_opts_mm_source(state, arg);
	case RT_OPT_COLOR:
		return rt_opts_color(state, arg);
	case 'V':
	case 'h':
	case RT_OPT_USAGE:
		return rt_opts_show(state, argp, key);
	case ARGP_KEY_ARG:
		return rt_opts_argument(state, argp, arg);
	case ARGP_KEY_END:
		state->separator = argp->quoted;
		return state->opts.shown ? 0 : rt_opts_check(state);
	case RT_OPT_FAIL_IF:
	case RT_OPT_BUDGET:
	case RT_OPT_JUNIT:
		return rt_opts_budget(state, key, arg);
	case RT_OPT_FORMAT ... RT_OPT_FORMAT_LAST:
		return rt_opts_format(state, (enum rt_format_id)(key - RT_OPT_FORMAT), arg);
	default:
		return rt_opts_flag(&state->opts, key);
	}
}

int rt_opts_parse(int argc, char **argv, FILE *out, FILE *err, struct rt_opts *opts)
{
	static const struct argp argp = {rt_options, rt_opts_key, rt_opts_args, rt_opts_doc, NULL, NULL, NULL};
	struct rt_opts_state state = {
		.line = {.name = RT_NAME, .err = err},
		.out = out,
		.format = -1,
		.opts = {.tag = RT_TAG_DEFAULT, .follow = true, .mappings = true, .sample_hz = 100, .mm_source = RT_MM_AUTO},
	};
	int what = argc > 1 ? rt_cmdline_word_find(rt_commands, argv[1]) : -1;
	static char name[] = RT_NAME; /* what getopt's messages begin with, as all others do */
	error_t failed;

	if (argc > 0)
		argv[0] = name;
	if (what >= 0) { /* the rest is as if the word were not there */
		state.opts.what = (enum rt_command)what;
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	argp_err_exit_status = RT_EXIT_USAGE;
	/* IN_ORDER: a stray word ends the options there, so that its message names it and not something behind it. */
	failed = argp_parse(&argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &state);
	if (failed) {
		rt_opts_free(&state.opts);
		return state.line.status ? state.line.status : RT_EXIT_USAGE;
	}
	if (!state.opts.profile && state.opts.what != RT_COMMAND_REPORT)
		state.opts.profile = "vllm";
	*opts = state.opts;
	return 0;
}

void rt_opts_free(struct rt_opts *opts)
{
	free(opts->pids);
	free(opts->fail_if);
	free(opts->budgets);
	*opts = (struct rt_opts){0};
}

bool rt_opts_use_color(enum rt_color color, const char *no_color, const char *clicolor_force, bool terminal)
{
	if (color != RT_COLOR_AUTO)
		return color == RT_COLOR_ALWAYS;
	if (no_color && *no_color)
		return false;
	if (clicolor_force && *clicolor_force && strcmp(clicolor_force, "0"))
		return true;
	return terminal;
}
