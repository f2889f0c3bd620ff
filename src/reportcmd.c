/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "reportcmd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "outputs.h"
#include "precheck.h"
#include "probe.h" /* enum rt_status */
#include "replay.h"
#include "verdict.h"

struct report {
	const struct rt_opts *opts;
	struct rt_verdict *verdict; /* of the ledger at hand; NULL: no budgets */
	struct rt_outputs outputs;
};

static int on_begin(void *ctx, struct rt_account *account, int64_t wall_offset_ns)
{
	struct report *report = ctx;

	return rt_outputs_begin(&report->outputs, report->opts, account, wall_offset_ns);
}

static void on_start(void *ctx, const struct rt_json_start *start)
{
	struct report *report = ctx;

	rt_outputs_start(&report->outputs, start);
}

static void on_plain_name(void *ctx, const struct rt_phase *phase, const char *name, const char *file)
{
	(void)ctx;
	rt_log_notice("phase %s: Python up to 3.10 does not tell the class of %s in %s, and its source in the ledger does not either (not kept, or another version): "
		      "every function %s of that file counts as this phase", phase->id, name, file, name);
}

static void say_whole(const char *path, const struct rt_replay_result *result)
{
	if (result->torn)
		rt_log_notice("%s: read up to byte %llu only: %s; what comes after it is not shown", path, (unsigned long long)result->torn_at, result->torn);
	if (!result->ended)
		rt_log_notice("%s: the recording has no end (the tool was killed, its disk was full, or it still runs): what was open then is shown as still open, and what was "
			      "lost or unaccounted is known up to there", path);
}

/* The same test as after a live run; what is missing of a ledger is lost, too. */
static int check_strict(const char *path, const struct rt_replay_result *result)
{
	const struct rt_summary *summary = result->summary;

	if (!summary->lost_records && !summary->lost_stacks && !summary->unaccounted && result->ended && !result->torn)
		return RT_OK;
	rt_log_error("--strict: %s: incomplete: %llu records and %llu stacks lost, %lld bytes unaccounted%s", path, (unsigned long long)summary->lost_records,
		     (unsigned long long)summary->lost_stacks, (long long)summary->unaccounted, result->ended && !result->torn ? "" : ", and its end is missing");
	return RT_INCOMPLETE;
}

static int finish(struct report *report, const char *path, const struct rt_replay_result *result)
{
	struct rt_bworld world = {.profile = result->profile, .summary = result->summary};
	int status;

	say_whole(path, result);
	status = rt_outputs_finish(&report->outputs, result->summary, result->cost);
	if (!status && report->opts->strict)
		status = check_strict(path, result);
	return rt_verdict_end(report->verdict, &world, status);
}

/* Budgets are judged for each ledger by itself. */
static int read_budgets(struct report *report, const struct rt_profile *profile)
{
	int status = rt_verdict_open_opts(report->opts, &report->verdict);

	return status ? status : rt_verdict_check(report->verdict, profile);
}

/* enum rt_format_needs of the formats that are asked for. */
static unsigned int needs(const struct rt_opts *opts)
{
	unsigned int all = 0;

	for (int id = 0; id < RT_FORMATS; id++) {
		if (opts->format_file[id])
			all |= rt_format_get((enum rt_format_id)id)->needs;
	}
	return all;
}

static int run(struct report *report, const char *path, const struct rt_profile *profile)
{
	const char *own = getenv("VLLM_ENABLE_RAM_TRACKING");
	struct rt_replay_config config = {
		.path = path,
		.profile = profile,
		.want_growth = report->opts->json_growth || needs(report->opts) & RT_NEED_GROWTH,
		.want_stacks = needs(report->opts) & RT_NEED_STACKS,
		.no_mappings = !report->opts->mappings,
		.ignore_mute = own && *own && strcmp(own, "0"),
		.on_begin = on_begin,
		.on_start = on_start,
		.on_plain_name = on_plain_name,
		.ctx = report,
	};
	struct rt_replay_result result;
	struct rt_replay *replay;
	char why[1024];
	int status;

	if (rt_replay_open(&config, &replay, why, sizeof(why))) {
		rt_log_error("%s", why);
		return RT_ERROR;
	}
	status = read_budgets(report, rt_replay_profile(replay));
	if (!status)
		status = rt_outputs_open(&report->outputs, report->opts);
	if (!status) {
		status = rt_replay_run(replay, &result, why, sizeof(why));
		if (status < 0) {
			rt_log_error("%s", why);
			status = RT_ERROR;
		} else if (!status) {
			status = finish(report, path, &result);
		}
	}
	rt_outputs_close(&report->outputs);
	rt_verdict_free(report->verdict);
	report->verdict = NULL;
	rt_replay_free(replay);
	return status;
}

int rt_reportcmd_run(const struct rt_opts *opts)
{
	struct report report = {.opts = opts};
	struct rt_profile *profile = NULL;
	int status = RT_OK;

	signal(SIGPIPE, SIG_IGN);
	if (opts->profile) {
		profile = rt_precheck_profile(opts->profile);
		if (!profile)
			return RT_ERROR;
	}
	for (size_t i = 0; i < opts->n_ledgers; i++) {
		int one;

		if (opts->n_ledgers > 1) { /* as head(1) and tail(1) do */
			printf("%s==> %s <==\n", i ? "\n" : "", opts->ledger[i]);
			fflush(stdout);
		}
		one = run(&report, opts->ledger[i], profile);
		status = status ? status : one;
	}
	rt_profile_free(profile);
	return status;
}
