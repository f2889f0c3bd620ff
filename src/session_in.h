/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * session_in.h - inside of session.h: the loop (session.c), how a run begins (session_begin.c) and ends (session_end.c).
 *
 * Functions that return an int give an exit status of the tool with the reason logged. All times are nanoseconds, CLOCK_MONOTONIC unless said otherwise.
 */
#ifndef RT_SESSION_IN_H
#define RT_SESSION_IN_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "account.h"
#include "entryprobe.h"
#include "entrywatch.h"
#include "holdings.h"
#include "launch.h"
#include "log.h"
#include "nativewatch.h"
#include "opts.h"
#include "outputs.h"
#include "probe.h"
#include "recording.h"
#include "verdict.h"
#include "wait.h"
#include "watch.h"

enum rt_session_state { RUNNING, ENDING };

/* Owned: all but opts, which has to stay. Of all zero (descriptors -1) nothing is open. */
struct rt_session {
	const struct rt_opts *opts;
	struct rt_profile *profile;
	struct rt_probe *probe;
	struct rt_account *account;
	struct rt_watch *watch;
	struct rt_entrywatch *entries; /* NULL: calls are not watched */
	struct rt_nativewatch *natives; /* NULL: no native functions */
	struct rt_entryprobe *probes;  /* NULL: none in the interpreter */
	struct rt_entrylog entrylog;
	struct rt_holdings *holdings;
	struct rt_outputs outputs;
	struct rt_verdict *verdict; /* NULL: no budgets */
	struct rt_recording *recording; /* NULL: no ledger is kept */
	struct rt_launch launch;
	struct rt_wait *wait;	   /* NULL: nothing is waited for, or what came before the match is over */
	uint32_t waited_pid;	   /* 0: it has not come yet */
	bool dropping;		   /* slots are to be freed */
	uint64_t open_at_ns;
	uint64_t lost_before[RT_COUNTERS]; /* what was lost of others while we waited */
	enum rt_session_state state;
	const char *why; /* it ends, for the log */
	int epoll_fd, signal_fd, timer_fd;
	uint64_t tick_ns;
	uint64_t deadline_ns;	   /* 0: none */
	size_t targets_alive;
	size_t procs_seen;
	uint64_t forget_at_ns;	   /* 0: no generation is on its way out */
	uint32_t forget_node, forget_code;
	int command_status;	   /* wait status of the command, -1: it has not ended */
};

static inline uint64_t rt_session_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- session.c ---- */

/* Takes a record from the ring (rt_record_fn); `ctx` is the session. */
void rt_session_on_record(void *ctx, const void *record, size_t size);

/* Signals that have come: the first that ends a run sets ENDING, a child's end is noted. */
void rt_session_on_signals(struct rt_session *s);

/* What the kernel side counted since the run began. */
void rt_session_counters(struct rt_session *s, uint64_t counters[RT_COUNTERS]);

/* ---- session_begin.c ---- */

/* VLLM_ENABLE_RAM_TRACKING in our own environment: -1 not set, 0 or 1. */
int rt_session_own_switch(void);

/* Loads the BPF programs and makes everything that a record comes to; nothing is attached yet. */
int rt_session_load(struct rt_session *s);

/* The loop waits for the ring too. */
int rt_session_watch_ring(struct rt_session *s);

/* Attaches, and adopts the targets, starts the command or begins to wait. */
int rt_session_begin(struct rt_session *s);

/* Tells outputs and the ledger of the begin: at `mono`, which is `wall` by CLOCK_REALTIME. */
void rt_session_write_start(struct rt_session *s, uint64_t mono, uint64_t wall);

/* ---- session_end.c ---- */

/* Detaches, adds up, writes the summaries. The exit status of a run that has seen its target. */
int rt_session_finish(struct rt_session *s);

/* The wait is over, and nothing has come. */
int rt_session_give_up(struct rt_session *s);

/* The command's own status, if it has one by now; 0: it runs on. */
int rt_session_command_status(struct rt_session *s);

/* Closes and frees whatever is there; a command that has not been let go is ended. */
void rt_session_close(struct rt_session *s);

#endif
