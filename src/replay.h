/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * replay.h - a ledger file into an accounting core: the very calls that the live run made, in their order.
 *
 * Pure: reads the one file and nothing else, neither the target nor its sources. The file may be hostile: whatever it says is bounded and checked
 * (src/ledger.h), and what a record says is checked once more by the core, as live.
 *
 *	rt_replay_open   the file's header, facts and sources are read; the profile is chosen
 *	rt_replay_run    a core is made, `on_begin` adds sinks to it, everything is replayed, the summary is there
 *	rt_replay_free   summary and all that the sinks were told of are gone
 */
#ifndef RT_REPLAY_H
#define RT_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "json.h"   /* struct rt_json_start */
#include "report.h" /* struct rt_self_cost */

struct rt_replay;

struct rt_replay_config {
	const char *path;		  /* of the ledger */
	const struct rt_profile *profile; /* must outlive the replay; NULL: the one that it was recorded with */
	bool want_growth;		  /* on_stack and on_growth of the sinks are called */
	bool want_stacks;		  /* growth by stack is in the summary */
	bool no_mappings;		  /* not told apart by mapping, even where the ledger could */
	bool ignore_mute;		  /* processes that switched tracking off are shown as well */
	/* Before the first record: add sinks to `account` here. `wall_offset_ns`: wall clock = CLOCK_MONOTONIC + this. Returns an exit status; anything but 0
	 * ends the replay. May be NULL. */
	int (*on_begin)(void *ctx, struct rt_account *account, int64_t wall_offset_ns);
	/* The run's own start, before anything is told to a sink; valid during the call. May be NULL. */
	void (*on_start)(void *ctx, const struct rt_json_start *start);
	/* See rt_account_config. May be NULL. */
	void (*on_plain_name)(void *ctx, const struct rt_phase *phase, const char *name, const char *file);
	void *ctx;
};

/* Valid until rt_replay_free. */
struct rt_replay_result {
	const struct rt_summary *summary;
	const struct rt_self_cost *cost;    /* of the live run; NULL: the recording was not ended */
	const struct rt_profile *profile;   /* the one that was used */
	bool ended;			    /* its end is in the file; else the tool was killed, or the disk was full */
	const char *torn;		    /* NULL, or why the file is read up to a place only, as a phrase */
	uint64_t torn_at;		    /* byte from which on it could not be read, if torn */
};

/* Returns 0 with *out (free with rt_replay_free), or -errno with a message in `err` that names the file, what is wrong, and what to do: -ENOENT, -EACCES, ... from
 * opening it; -ENOEXEC no ledger; -EPROTO a ledger of another version; -ENODATA nothing but a header; -ENOMEM. */
int rt_replay_open(const struct rt_replay_config *config, struct rt_replay **out, char *err, size_t errlen);

/* The one that phases are told by; valid until rt_replay_free. */
const struct rt_profile *rt_replay_profile(const struct rt_replay *replay);

/* Once. Returns 0 (a torn file is no failure: see the result), a positive status of on_begin, or -errno with a message in `err`. */
int rt_replay_run(struct rt_replay *replay, struct rt_replay_result *result, char *err, size_t errlen);

void rt_replay_free(struct rt_replay *replay);

#endif
