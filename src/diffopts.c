/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "diffopts.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmdline.h"
#include "opts.h"

#define NAME "ramtrack-bpf diff"
#define MIN_SIZE_DEFAULT (1 << 20)

enum { OPT_FORMAT = 0x100, OPT_LANG, OPT_NO_LINES, OPT_STRICT, OPT_FAIL_IF, OPT_BUDGET, OPT_JUNIT, OPT_USAGE };

static const struct argp_option options[] = {
	{"profile", 'P', "NAME|FILE", 0, "Tell phases by this profile, not by those in the ledgers", 1},
	{"min-size", 'z', "SIZE", 0, "Say no difference smaller than SIZE: 4096, 64K, 1.5G (default: 1M)", 1},
	{"no-lines", OPT_NO_LINES, NULL, 0, "Align stacks without line numbers, for runs of different sources", 1},
	{"format", OPT_FORMAT, "text|json|html", 0, "What is written (default: text)", 2},
	{"output", 'o', "FILE", 0, "Write to FILE instead of standard output", 2},
	{"lang", OPT_LANG, "zh|en", 0, "Language of text, page and labels (default: zh)", 2},
	{"fail-if", OPT_FAIL_IF, "EXPR", 0,
	 "Exit status 7 when EXPR is true: 'diff.growth > 5%', 'diff.phase(\"load_weights\").peak > 100M'; without diff. it is about the new run; may be given several times", 3},
	{"budget", OPT_BUDGET, "FILE", 0, "The same for all budgets of a YAML file; may be given several times", 3},
	{"junit", OPT_JUNIT, "FILE", 0, "Write the budgets' outcome as JUnit XML to FILE", 3},
	{"strict", OPT_STRICT, NULL, 0, "Exit status 6 when anything of a run was lost, or a budget could not be evaluated", 3},
	{"verbose", 'v', NULL, 0, "More messages on standard error", 4},
	{"quiet", 'q', NULL, 0, "Only errors on standard error", 4},
	{"help", 'h', NULL, 0, "Print this help", 4},
	{"usage", OPT_USAGE, NULL, OPTION_HIDDEN, "Print a short usage message", 4},
	{NULL, 0, NULL, 0, NULL, 0},
};

static const char doc[] =
	"What changed between runs, by process, phase and stack. The last ledger is the new run; those before are old runs of one kind, whose differences among each "
	"other are the noise: with three or more of them, what differs by less is not said."
	"\v"
	"Exit status: 0 good, whether runs differ or not; 1 error; 2 usage; 6 incomplete under --strict; 7 a budget is broken.";

struct state {
	struct rt_cmdline line;
	FILE *out;
	struct rt_diffopts opts;
};

static error_t add_ledger(struct state *s, const char *text)
{
	if (s->opts.n_ledgers >= RT_DIFF_RUNS)
		return rt_cmdline_refuse(&s->line, "more than %u ledgers; give fewer old ones", RT_DIFF_RUNS);
	if (!*text)
		return rt_cmdline_refuse_value(&s->line, "FILE", text, "the name of a ledger");
	s->opts.ledger[s->opts.n_ledgers++] = text;
	return 0;
}

static error_t check(struct state *s)
{
	if (s->opts.shown)
		return 0;
	if (s->opts.n_ledgers < 2)
		return rt_cmdline_refuse(&s->line, "%zu ledgers; give two or more, the new one last: " NAME " OLD [OLD...] NEW", s->opts.n_ledgers);
	if (s->opts.junit && !s->opts.n_fail_if && !s->opts.n_budgets)
		return rt_cmdline_refuse(&s->line, "--junit reports budgets; give --fail-if EXPR or --budget FILE");
	if (s->opts.junit && s->opts.output && !strcmp(s->opts.junit, s->opts.output))
		return rt_cmdline_refuse_text(&s->line, "--junit and -o/--output both write to ", s->opts.junit, "; give two different files");
	for (size_t i = 0; s->opts.output && i < s->opts.n_ledgers; i++) {
		if (!strcmp(s->opts.output, s->opts.ledger[i]))
			return rt_cmdline_refuse_text(&s->line, "-o/--output would overwrite the ledger ", s->opts.output, "; give another file");
	}
	return 0;
}

static error_t on_format(struct state *s, const char *arg)
{
	static const struct rt_cmdline_word words[] = {{"text", RT_DIFF_TEXT}, {"json", RT_DIFF_JSON}, {"html", RT_DIFF_HTML}, {NULL, 0}};
	int format = rt_cmdline_word_find(words, arg);

	if (format < 0)
		return rt_cmdline_refuse_value(&s->line, "--format", arg, "text, json or html");
	s->opts.format = (enum rt_diff_format)format;
	return 0;
}

/* What is written to has a name: standard output is where the comparison goes without one. */
static error_t on_file(struct state *s, const char *option, const char *arg, const char **to)
{
	return rt_cmdline_text(&s->line, option, strcmp(arg, "-") ? arg : "", "a name", to);
}

static error_t on_key(int key, char *arg, struct argp_state *argp)
{
	struct state *s = argp->input;

	switch (key) {
	case ARGP_KEY_INIT:
		argp->out_stream = s->out;
		argp->err_stream = s->line.err;
		return 0;
	case 'P':
		return rt_cmdline_text(&s->line, "-P/--profile", arg, "a name", &s->opts.profile);
	case 'z':
		return rt_cmdline_min_size(&s->line, arg, &s->opts.min_size);
	case 'o':
		return on_file(s, "-o/--output", arg, &s->opts.output);
	case OPT_JUNIT:
		return on_file(s, "--junit", arg, &s->opts.junit);
	case OPT_FORMAT:
		return on_format(s, arg);
	case OPT_LANG:
		return rt_cmdline_lang(&s->line, arg, &s->opts.lang);
	case OPT_NO_LINES:
		s->opts.no_lines = true;
		return 0;
	case OPT_STRICT:
		s->opts.strict = true;
		return 0;
	case OPT_FAIL_IF:
		return rt_cmdline_fail_if(&s->line, &s->opts.fail_if, &s->opts.n_fail_if, arg);
	case OPT_BUDGET:
		return *arg ? rt_cmdline_add(&s->line, &s->opts.budgets, &s->opts.n_budgets, arg) : rt_cmdline_refuse_value(&s->line, "--budget", arg, "the name of a YAML file");
	case 'v':
		s->opts.verbosity++;
		return 0;
	case 'q':
		s->opts.verbosity = -1;
		return 0;
	case 'h':
	case OPT_USAGE:
		argp_state_help(argp, s->out, key == 'h' ? ARGP_HELP_STD_HELP : ARGP_HELP_USAGE);
		s->opts.shown = true;
		argp->next = argp->argc;
		return 0;
	case ARGP_KEY_ARG:
		return add_ledger(s, arg);
	case ARGP_KEY_END:
		return check(s);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int rt_diffopts_parse(int argc, char **argv, FILE *out, FILE *err, struct rt_diffopts *opts)
{
	static const struct argp argp = {options, on_key, "OLD [OLD...] NEW", doc, NULL, NULL, NULL};
	static char name[] = NAME;
	struct state s = {.line = {.name = NAME, .err = err}, .out = out, .opts = {.min_size = MIN_SIZE_DEFAULT}};

	argv[0] = name;
	argp_err_exit_status = RT_EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP, NULL, &s)) {
		rt_diffopts_free(&s.opts);
		return s.line.status ? s.line.status : RT_EXIT_USAGE;
	}
	*opts = s.opts;
	return 0;
}

void rt_diffopts_free(struct rt_diffopts *opts)
{
	free(opts->fail_if);
	free(opts->budgets);
	*opts = (struct rt_diffopts){0};
}
