/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "docopts.h"

#include <argp.h>

#include "cmdline.h"
#include "opts.h"
#include "units.h"

#define NAME "ramtrack-bpf doctor"

enum { OPT_JSON = 0x100, OPT_USAGE };

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "Also look at process PID: its Python, its stack, the phases found in its source", 1},
	{"profile", 'P', "NAME|FILE", 0, "The profile whose phases are looked for (default: vllm)", 1},
	{"json", OPT_JSON, NULL, 0, "One JSON object instead of the table", 2},
	{"verbose", 'v', NULL, 0, "More messages on standard error; twice: libbpf's as well", 2},
	{"help", 'h', NULL, 0, "Print this help", 2},
	{"usage", OPT_USAGE, NULL, OPTION_HIDDEN, "Print a short usage message", 2},
	{NULL, 0, NULL, 0, NULL, 0},
};

static const char doc[] =
	"Says what this kernel, these privileges and, with -p, that process allow, by trying it, and which source of RSS changes "
	"a run would use. Nothing is traced. It runs without root as well, and then says what is missing."
	"\v"
	"Exit status: 0 a run can begin here; 1 error; 2 usage; 3 no such target, or not one that can be traced; 4 privilege missing; "
	"5 kernel feature missing.";

struct state {
	struct rt_cmdline line;
	FILE *out;
	struct rt_docopts opts;
};

static error_t on_key(int key, char *arg, struct argp_state *argp)
{
	struct state *s = argp->input;
	uint64_t pid;

	switch (key) {
	case ARGP_KEY_INIT:
		argp->out_stream = s->out;
		argp->err_stream = s->line.err;
		return 0;
	case 'p':
		if (rt_number_parse(arg, 1, RT_PID_MAX, &pid))
			return rt_cmdline_refuse_value(&s->line, "-p/--pid", arg, "a process id from 1 to 4194304");
		if (s->opts.pid && s->opts.pid != pid)
			return rt_cmdline_refuse_text(&s->line, "-p/--pid: ", arg, " is a second process; doctor looks at one at a time");
		s->opts.pid = (uint32_t)pid;
		return 0;
	case 'P':
		return rt_cmdline_text(&s->line, "-P/--profile", arg, "the name of an installed profile, or a file", &s->opts.profile);
	case OPT_JSON:
		s->opts.json = true;
		return 0;
	case 'v':
		s->opts.verbosity++;
		return 0;
	case 'h':
	case OPT_USAGE:
		argp_state_help(argp, s->out, key == 'h' ? ARGP_HELP_STD_HELP : ARGP_HELP_USAGE);
		s->opts.shown = true;
		argp->next = argp->argc;
		return 0;
	case ARGP_KEY_ARG:
		return rt_cmdline_refuse_text(&s->line, "", arg, " is not an option; give -p before a process id");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int rt_docopts_parse(int argc, char **argv, FILE *out, FILE *err, struct rt_docopts *opts)
{
	static const struct argp argp = {options, on_key, NULL, doc, NULL, NULL, NULL};
	static char name[] = NAME;
	struct state s = {.line = {.name = NAME, .err = err}, .out = out, .opts = {.profile = "vllm"}};

	argv[0] = name;
	argp_err_exit_status = RT_EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &s))
		return RT_EXIT_USAGE;
	*opts = s.opts;
	return 0;
}
