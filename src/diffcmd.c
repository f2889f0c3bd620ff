/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "diffcmd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "diff_out.h"
#include "diffopts.h"
#include "log.h"
#include "precheck.h"
#include "probe.h" /* enum rt_status */
#include "replay.h"
#include "verdict.h"
#include "wholefile.h"

/* What runs must have in common to be compared. */
struct facts {
	char kernel[80], mm_source[24];
};

struct command {
	struct rt_diffopts opts;
	struct rt_profile *profile; /* -P */
	struct rt_replay *replay[RT_DIFF_RUNS];
	struct rt_diff_run run[RT_DIFF_RUNS];
	struct rt_verdict *verdict;
	struct facts facts[RT_DIFF_RUNS];
	size_t reading; /* the ledger that is replayed now */
	bool incomplete;
};

static void on_start(void *ctx, const struct rt_json_start *start)
{
	struct command *c = ctx;
	struct facts *facts = &c->facts[c->reading];

	snprintf(facts->kernel, sizeof(facts->kernel), "%s", start->kernel ? start->kernel : "");
	snprintf(facts->mm_source, sizeof(facts->mm_source), "%s", start->mm_source ? start->mm_source : "");
}

static int open_ledger(struct command *c, size_t i)
{
	struct rt_replay_config config = {
		.path = c->opts.ledger[i],
		.profile = c->profile,
		.want_stacks = true,
		.no_mappings = true, /* stacks are not compared by mapping */
		.on_start = on_start,
		.ctx = c,
	};
	char why[1024];

	if (!rt_replay_open(&config, &c->replay[i], why, sizeof(why)))
		return RT_OK;
	rt_log_error("%s", why);
	return RT_ERROR;
}

static int replay(struct command *c, size_t i)
{
	struct rt_replay_result result;
	const char *file = c->opts.ledger[i];
	char why[1024];

	c->reading = i;
	if (rt_replay_run(c->replay[i], &result, why, sizeof(why))) {
		rt_log_error("%s", why);
		return RT_ERROR;
	}
	c->run[i] = (struct rt_diff_run){.file = file, .summary = result.summary, .profile = result.profile, .partial = !result.ended || result.torn};
	if (result.torn)
		rt_log_notice("%s: read up to byte %llu only: %s; compared is what comes before it", file, (unsigned long long)result.torn_at, result.torn);
	else if (!result.ended)
		rt_log_notice("%s: the recording has no end: compared is what it has", file);
	if (c->run[i].partial || result.summary->lost_records || result.summary->lost_stacks || result.summary->unaccounted) {
		c->incomplete = true;
		if (!c->run[i].partial)
			rt_log_notice("%s: not complete: %llu records and %llu stacks lost, %lld bytes unaccounted", file, (unsigned long long)result.summary->lost_records,
				      (unsigned long long)result.summary->lost_stacks, (long long)result.summary->unaccounted);
	}
	return RT_OK;
}

/* Differences that are not the programs'. */
static void say_unlike(const struct command *c)
{
	size_t newest = c->opts.n_ledgers - 1;

	for (size_t i = 0; i < newest; i++) {
		const struct facts *old = &c->facts[i], *new = &c->facts[newest];

		if (strcmp(old->mm_source, new->mm_source))
			rt_log_notice("%s and %s saw changes by different sources (%s, %s): differences may be theirs", c->opts.ledger[i], c->opts.ledger[newest], old->mm_source,
				      new->mm_source);
		if (strcmp(old->kernel, new->kernel))
			rt_log_notice("%s and %s are of different kernels (%s, %s)", c->opts.ledger[i], c->opts.ledger[newest], old->kernel, new->kernel);
		if (strcmp(c->run[i].profile->name, c->run[newest].profile->name))
			rt_log_notice("%s and %s were recorded by different profiles (%s, %s): only phases with the same ids are compared; -P gives one to all", c->opts.ledger[i],
				      c->opts.ledger[newest], c->run[i].profile->name, c->run[newest].profile->name);
	}
}

static int read_budgets(struct command *c)
{
	const struct rt_diffopts *o = &c->opts;
	struct rt_verdict_config config = {
		.fail_if = o->fail_if,
		.n_fail_if = o->n_fail_if,
		.files = o->budgets,
		.n_files = o->n_budgets,
		.junit = o->junit,
		.suite = "ramtrack-bpf diff",
		.strict = o->strict,
		.compares = true,
	};
	int status = rt_verdict_open(&config, &c->verdict);

	return status ? status : rt_verdict_check(c->verdict, rt_replay_profile(c->replay[o->n_ledgers - 1]));
}

static int write_out(const struct command *c, const struct rt_diff *diff)
{
	static int (*const write[])(FILE *out, enum rt_lang lang, const struct rt_diff *diff) = {
		[RT_DIFF_TEXT] = rt_diff_text, [RT_DIFF_JSON] = rt_diff_json, [RT_DIFF_HTML] = rt_diff_html,
	};
	const char *name = c->opts.output ? c->opts.output : "standard output";
	char *text = NULL;
	size_t len = 0;
	FILE *out = c->opts.output ? open_memstream(&text, &len) : stdout;
	int err = out ? write[c->opts.format](out, c->opts.lang, diff) : -ENOMEM;

	if (c->opts.output && out) {
		if (fclose(out) && !err)
			err = -ENOMEM;
		if (!err)
			err = rt_wholefile_write(c->opts.output, text, len);
		free(text);
	}
	if (!err)
		return RT_OK;
	rt_log_error("%s: writing failed: %s%s", name, strerror(-err), err == -ENOSPC ? "; free some space, or write to another disk" : err == -EPIPE ? "; its reader is gone" : "");
	return RT_ERROR;
}

static int compare(struct command *c)
{
	size_t n = c->opts.n_ledgers;
	struct rt_diff_config config = {.runs = c->run, .n_runs = n, .min_size = c->opts.min_size, .no_lines = c->opts.no_lines};
	struct rt_diff *diff = rt_diff_new(&config);
	const struct rt_summary *old[RT_DIFF_RUNS];
	struct rt_bworld world = {.profile = c->run[n - 1].profile, .summary = c->run[n - 1].summary, .old = old, .n_old = n - 1, .growth = rt_noise_growth};
	int status;

	if (!diff) {
		rt_log_error("out of memory for the comparison; compare fewer ledgers at a time");
		return RT_ERROR;
	}
	for (size_t i = 0; i < n; i++)
		old[i] = c->run[i].summary;
	world.pairs = diff->pairs;
	world.n_pairs = diff->n_procs;
	status = write_out(c, diff);
	if (!status && c->opts.strict && c->incomplete) {
		rt_log_error("--strict: incomplete: not all of every run is in its ledger (said above)");
		status = RT_INCOMPLETE;
	}
	status = rt_verdict_end(c->verdict, &world, status);
	rt_diff_free(diff);
	return status;
}

static int run(struct command *c)
{
	int status = RT_OK, err;

	if (c->opts.profile) {
		c->profile = rt_precheck_profile(c->opts.profile);
		if (!c->profile)
			return RT_ERROR;
	}
	for (size_t i = 0; !status && i < c->opts.n_ledgers; i++)
		status = open_ledger(c, i);
	if (!status)
		status = read_budgets(c);
	err = !status && c->opts.output ? rt_wholefile_check(c->opts.output) : 0;
	if (err) {
		rt_log_error("-o %s: cannot be written: %s; give a file in a directory that you may write to", c->opts.output, strerror(-err));
		return RT_ERROR;
	}
	for (size_t i = 0; !status && i < c->opts.n_ledgers; i++)
		status = replay(c, i);
	if (status)
		return status;
	say_unlike(c);
	return compare(c);
}

int rt_diffcmd_main(int argc, char **argv)
{
	struct command *c = calloc(1, sizeof(*c));
	int status;

	if (!c) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	status = rt_diffopts_parse(argc, argv, stdout, stderr, &c->opts);
	if (!status && !c->opts.shown) {
		signal(SIGPIPE, SIG_IGN);
		rt_log_set_level(c->opts.verbosity);
		status = run(c);
	}
	rt_verdict_free(c->verdict);
	for (size_t i = 0; i < RT_DIFF_RUNS; i++)
		rt_replay_free(c->replay[i]);
	rt_profile_free(c->profile);
	rt_diffopts_free(&c->opts);
	free(c);
	return status;
}
