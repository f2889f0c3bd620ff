/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "probe.h" /* enum rt_status */
#include "units.h"
#include "wholefile.h"

#define SAFE_CHARS 300

struct rt_verdict {
	struct rt_verdict_config config;
	struct rt_budgets budgets;
	struct rt_account *account;
};

static int no_memory(void)
{
	rt_log_error("out of memory");
	return RT_ERROR;
}

static int refuse(int err, char *error)
{
	int status = err == -ENOMEM || !error ? no_memory() : RT_USAGE;

	if (status == RT_USAGE)
		rt_log_error("%s", error);
	free(error);
	return status;
}

/* A budget's name and, if it is another text, its expression (caller frees; NULL without memory). */
static char *describe(const struct rt_budget *budget)
{
	char *name = rt_text_escape(budget->name, SAFE_CHARS), *text = rt_text_escape(budget->text, SAFE_CHARS), *both = NULL;

	if (name && text && asprintf(&both, "%s%s%s", name, strcmp(name, text) ? ": " : "", strcmp(name, text) ? text : "") < 0)
		both = NULL;
	free(name);
	free(text);
	return both;
}

int rt_verdict_open(const struct rt_verdict_config *config, struct rt_verdict **out)
{
	struct rt_verdict *verdict = NULL;
	char *error = NULL;
	int err = 0;

	*out = NULL;
	if (!config->n_fail_if && !config->n_files)
		return RT_OK;
	verdict = calloc(1, sizeof(*verdict));
	if (!verdict)
		return no_memory();
	verdict->config = *config;
	for (size_t i = 0; !err && i < config->n_fail_if; i++) {
		char *safe = rt_text_escape(config->fail_if[i], SAFE_CHARS), *origin = NULL;

		if (!safe || asprintf(&origin, "--fail-if '%s'", safe) < 0) {
			origin = NULL;
			err = -ENOMEM;
		}
		if (!err)
			err = rt_budgets_add(&verdict->budgets, config->fail_if[i], config->fail_if[i], NULL, origin, &error);
		free(origin);
		free(safe);
	}
	for (size_t i = 0; !err && i < config->n_files; i++)
		err = rt_budgets_read(&verdict->budgets, config->files[i], &error);
	if (err) {
		rt_verdict_free(verdict);
		return refuse(err, error);
	}
	err = config->junit ? rt_wholefile_check(config->junit) : 0;
	if (err) {
		rt_log_error("--junit %s: cannot be written: %s; give a file in a directory that you may write to", config->junit, strerror(-err));
		rt_verdict_free(verdict);
		return RT_ERROR;
	}
	*out = verdict;
	return RT_OK;
}

int rt_verdict_open_opts(const struct rt_opts *opts, struct rt_verdict **out)
{
	struct rt_verdict_config config = {
		.fail_if = opts->fail_if,
		.n_fail_if = opts->n_fail_if,
		.files = opts->budgets,
		.n_files = opts->n_budgets,
		.junit = opts->junit,
		.suite = "ramtrack-bpf",
		.strict = opts->strict,
	};

	return rt_verdict_open(&config, out);
}

int rt_verdict_check(const struct rt_verdict *verdict, const struct rt_profile *profile)
{
	char *error = NULL;
	int err = verdict ? rt_budgets_check(&verdict->budgets, profile, verdict->config.compares, &error) : 0;

	return err ? refuse(err, error) : RT_OK;
}

/* ---- while it runs ---- */

static void look(struct rt_verdict *verdict, const struct rt_proc_view *proc, const struct rt_phase_view *phase)
{
	int64_t tree_peak;

	rt_account_tree(verdict->account, NULL, &tree_peak);
	for (size_t i = 0; i < verdict->budgets.n; i++) {
		struct rt_budget *budget = &verdict->budgets.budget[i];
		char *what, *name;

		if (budget->told || !rt_bexpr_exceeded(budget->expr, proc, phase, tree_peak))
			continue;
		budget->told = true;
		what = describe(budget);
		name = rt_text_escape(proc->name, 64);
		rt_log_notice("over budget already, seen in %s (pid %u): %s", name ? name : "?", proc->pid, what ? what : "?");
		free(what);
		free(name);
	}
}

static void on_checkpoint(void *ctx, const struct rt_proc_view *proc, const struct rt_checkpoint_view *cp)
{
	look(ctx, proc, NULL);
}

static void on_phase(void *ctx, const struct rt_proc_view *proc, const struct rt_phase_view *phase)
{
	look(ctx, proc, phase);
}

static void on_process(void *ctx, const struct rt_proc_view *proc, enum rt_proc_event event, uint64_t ts_ns)
{
	if (event == RT_EV_EXIT)
		look(ctx, proc, NULL);
}

int rt_verdict_follow(struct rt_verdict *verdict, struct rt_account *account)
{
	struct rt_sink sink = {.ctx = verdict, .on_process = on_process, .on_checkpoint = on_checkpoint, .on_phase = on_phase};

	if (!verdict)
		return RT_OK;
	verdict->account = account;
	return rt_account_add_sink(account, &sink) ? no_memory() : RT_OK;
}

/* ---- the end ---- */

static int write_junit(const struct rt_verdict *verdict, const struct rt_bworld *world)
{
	struct timespec now;
	struct rt_junit junit = {.suite = verdict->config.suite, .duration_ns = world->summary->duration_ns, .unknown_fails = verdict->config.strict};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err = out ? 0 : -ENOMEM;

	clock_gettime(CLOCK_REALTIME, &now);
	junit.wall_ns = (int64_t)now.tv_sec * 1000000000;
	if (out)
		err = rt_junit_write(out, &junit, &verdict->budgets);
	if (out && fclose(out) && !err)
		err = -ENOMEM;
	if (!err)
		err = rt_wholefile_write(verdict->config.junit, text, len);
	free(text);
	if (!err)
		return RT_OK;
	rt_log_error("--junit %s: writing failed: %s%s", verdict->config.junit, strerror(-err), err == -ENOSPC ? "; free some space, or write to another disk" : "");
	return RT_ERROR;
}

static void say(const struct rt_budget *budget)
{
	const char *detail = budget->detail && *budget->detail ? budget->detail : "out of memory";
	char *what = budget->truth == RT_BT_FALSE ? NULL : describe(budget), *note;

	if (budget->truth == RT_BT_UNKNOWN)
		rt_log_notice("budget not evaluated: %s: %s", what ? what : "?", detail);
	if (budget->truth == RT_BT_TRUE) {
		note = budget->note ? rt_text_escape(budget->note, SAFE_CHARS) : NULL;
		rt_log_error("budget broken: %s: %s%s%s%s", what ? what : "?", detail, note ? " (" : "", note ? note : "", note ? ")" : "");
		free(note);
	}
	free(what);
}

int rt_verdict_end(struct rt_verdict *verdict, const struct rt_bworld *world, int status)
{
	size_t broken, unknown;

	if (!verdict)
		return status;
	if (rt_budgets_judge(&verdict->budgets, world))
		return no_memory();
	for (size_t i = 0; i < verdict->budgets.n; i++)
		say(&verdict->budgets.budget[i]);
	if (verdict->config.junit && write_junit(verdict, world))
		return RT_ERROR;
	broken = rt_budgets_count(&verdict->budgets, RT_BT_TRUE);
	unknown = rt_budgets_count(&verdict->budgets, RT_BT_UNKNOWN);
	if (status != RT_OK && status != RT_INCOMPLETE)
		return status;
	if (broken)
		return RT_OVER_BUDGET;
	if (status || !unknown || !verdict->config.strict)
		return status;
	rt_log_error("--strict: incomplete: %zu of %zu budgets could not be evaluated", unknown, verdict->budgets.n);
	return RT_INCOMPLETE;
}

void rt_verdict_free(struct rt_verdict *verdict)
{
	if (!verdict)
		return;
	rt_budgets_free(&verdict->budgets);
	free(verdict);
}
