/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* strsignal */
/*
 * One run: check the targets, open outputs, load, attach, adopt or launch, one epoll loop, detach, summary.
 *
 * The order matters. Targets and outputs are checked before anything is loaded, so that a mistake costs nothing. Hooks on births and deaths are
 * attached before a target is adopted, so that no child is born unseen. The command after `--` is let go last.
 */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "precheck.h"
#include "session_in.h"

#define TICK_NS 50000000ull	 /* how often records are taken out of the ring at least */
#define EAGER_TICK_NS 2000000ull /* while an interpreter is being looked for */
#define NODES_KEPT 400000	 /* above it new tries are started */
#define HOLDINGS_TICK_NS 20000000ull /* for reading what targets hold, of large ones (first: src/session_begin.c) */
#define OPEN_NS 1000000000ull	 /* after the last record of what was not waited for, all records are of interest */
#define FORGET_NS 3000000000ull	 /* and after that time the old ones are given up */

static bool is_target(const struct rt_session *s, uint32_t pid)
{
	for (size_t i = 0; i < s->opts->n_pids; i++)
		if (s->opts->pids[i] == pid)
			return true;
	return s->opts->command ? (uint32_t)s->launch.pid == pid : s->waited_pid == pid;
}

/* ---- records ---- */

/* The process that was waited for has been started: `record` is its PROC record. */
static void on_match(struct rt_session *s, const void *record)
{
	struct rt_rec_proc proc;

	memcpy(&proc, record, sizeof(proc));
	rt_probe_wait_exec(s->probe, false);
	s->waited_pid = proc.pid;
	s->targets_alive = 1;
	rt_log_notice("process %u matches: traced from its exec on", (unsigned)proc.pid);
	rt_session_write_start(s, rt_session_now(CLOCK_MONOTONIC), rt_session_now(CLOCK_REALTIME));
}

void rt_session_on_record(void *ctx, const void *record, size_t size)
{
	struct rt_session *s = ctx;
	struct rt_rec_exit exited;
	struct rt_hdr h;

	if (s->wait) {
		enum rt_wait_verdict verdict = rt_wait_record(s->wait, record, size);

		if (verdict == RT_WAIT_OUT)
			return;
		if (verdict == RT_WAIT_MATCH)
			on_match(s, record);
	}
	if (size >= sizeof(h)) {
		memcpy(&h, record, sizeof(h));
		if (h.type == RT_REC_WATCH) {
			rt_entrywatch_met(s->entries, record, size, rt_watch_uses_usdt(s->watch, h.image));
			return;
		}
	}
	rt_account_record(s->account, record, size); /* malformed ones are counted there */
	if (size < sizeof(h))
		return;
	memcpy(&h, record, sizeof(h));
	if (h.type != RT_REC_PROC && h.type != RT_REC_EXIT && h.type != RT_REC_RENAME)
		return;
	rt_entrywatch_record(s->entries, record, size);
	rt_nativewatch_record(s->natives, record, size);
	rt_watch_record(s->watch, record, size);
	rt_holdings_record(s->holdings, record, size);
	s->procs_seen += h.type == RT_REC_PROC;
	if (size < sizeof(exited) || h.type != RT_REC_EXIT)
		return;
	memcpy(&exited, record, sizeof(exited));
	if (is_target(s, exited.pid) && s->targets_alive && !--s->targets_alive && s->state == RUNNING) {
		s->state = ENDING;
		s->why = "the last target ended";
	}
}

/* ---- the loop ---- */

static int open_loop(struct rt_session *s)
{
	struct epoll_event ev = {.events = EPOLLIN};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->signal_fd < 0 || s->timer_fd < 0 || s->epoll_fd < 0)
		goto failed;
	ev.data.fd = s->signal_fd;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev))
		goto failed;
	ev.data.fd = s->timer_fd;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev))
		goto failed;
	return RT_OK;
failed:
	rt_log_error("event loop: %s: raise the limit of open files (ulimit -n)", strerror(errno));
	return RT_ERROR;
}

static void set_tick(struct rt_session *s, uint64_t ns)
{
	struct itimerspec t = {
		.it_value = {.tv_nsec = (long)ns},
		.it_interval = {.tv_nsec = (long)ns},
	};

	if (s->tick_ns == ns)
		return;
	s->tick_ns = ns;
	timerfd_settime(s->timer_fd, 0, &t, NULL);
}

static void let_signals_kill(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

void rt_session_on_signals(struct rt_session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			int status;

			if (s->launch.pid > 0 && s->command_status < 0 && waitpid(s->launch.pid, &status, WNOHANG) == s->launch.pid)
				s->command_status = status;
			continue;
		}
		if (s->state == ENDING)
			continue;
		s->state = ENDING;
		s->why = strsignal((int)info.ssi_signo);
		let_signals_kill(); /* a second one ends us at once: the kernel detaches what we leave */
	}
}

/* Memory of old stacks is given back by starting over: threads that live on are sent again under new numbers. */
static void renew(struct rt_session *s, uint64_t now)
{
	size_t nodes, codes;

	if (s->forget_at_ns) {
		if (now < s->forget_at_ns)
			return;
		rt_account_forget(s->account, s->forget_node, s->forget_code);
		s->forget_at_ns = 0;
		return;
	}
	rt_account_kept(s->account, &nodes, &codes);
	if (nodes < NODES_KEPT)
		return;
	rt_probe_new_generation(s->probe, &s->forget_node, &s->forget_code);
	s->forget_at_ns = now + FORGET_NS;
}

/* Lets go of what was followed only until its command line was known. */
static void drop_others(struct rt_session *s, uint64_t now)
{
	uint32_t image;

	if (!s->wait)
		return;
	if (s->dropping)
		rt_probe_drop_done(s->probe);
	s->dropping = false;
	while ((image = rt_wait_next_drop(s->wait))) {
		rt_probe_drop(s->probe, image);
		s->dropping = true;
	}
	if (!rt_wait_matched(s->wait))
		return;
	if (s->dropping || !s->open_at_ns)
		s->open_at_ns = now + OPEN_NS;
	if (now < s->open_at_ns)
		return;
	rt_wait_free(s->wait);
	s->wait = NULL;
}

/* What the kernel side lost before the records that are read next was lost of others, unless the match is among them. */
static void consume(struct rt_session *s)
{
	uint64_t lost[RT_COUNTERS];
	bool waiting = s->wait && !rt_wait_matched(s->wait);

	if (waiting)
		rt_probe_counters(s->probe, lost);
	rt_probe_consume(s->probe);
	if (waiting && !rt_wait_matched(s->wait))
		memcpy(s->lost_before, lost, sizeof(lost));
}

void rt_session_counters(struct rt_session *s, uint64_t counters[RT_COUNTERS])
{
	rt_probe_counters(s->probe, counters);
	for (int i = 0; i < RT_COUNTERS; i++)
		counters[i] -= s->lost_before[i];
}

static void keep_recording(struct rt_session *s, uint64_t now)
{
	uint64_t counters[RT_COUNTERS];

	if (!rt_recording_due(s->recording, now))
		return;
	rt_session_counters(s, counters);
	rt_recording_tick(s->recording, now, counters);
}

static void on_tick(struct rt_session *s)
{
	uint64_t now = rt_session_now(CLOCK_MONOTONIC), expired;
	bool eager;

	if (read(s->timer_fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		rt_log_detail("timer: %s", strerror(errno));
	consume(s);
	drop_others(s, now);
	rt_entrywatch_tick(s->entries, now);
	eager = rt_entryprobe_tick(s->probes, now);
	rt_nativewatch_tick(s->natives, now);
	rt_holdings_step(s->holdings, HOLDINGS_TICK_NS);
	rt_account_advance(s->account, now);
	keep_recording(s, now);
	set_tick(s, rt_watch_tick(s->watch, now) || eager ? EAGER_TICK_NS : TICK_NS);
	renew(s, now);
	if (s->deadline_ns && now >= s->deadline_ns && s->state == RUNNING) {
		s->state = ENDING;
		s->why = "the time of --duration is over";
	}
	if (s->state == RUNNING)
		rt_outputs_show(&s->outputs, now);
	if (rt_outputs_error(&s->outputs) && s->state == RUNNING) {
		s->state = ENDING;
		s->why = "an output cannot be written";
	}
}

static void loop(struct rt_session *s)
{
	struct epoll_event events[8];

	set_tick(s, TICK_NS);
	while (s->state == RUNNING) {
		int n = epoll_wait(s->epoll_fd, events, 8, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s->signal_fd)
				rt_session_on_signals(s);
			else if (events[i].data.fd == s->timer_fd)
				on_tick(s);
			else if (events[i].data.fd == rt_nativewatch_fd(s->natives))
				rt_nativewatch_step(s->natives);
			else
				rt_probe_consume(s->probe);
		}
	}
}

/* ---- the whole ---- */

static int check_targets(const struct rt_opts *opts)
{
	for (size_t i = 0; i < opts->n_pids; i++) {
		int status = rt_precheck_target((pid_t)opts->pids[i]);

		if (status)
			return status;
	}
	return RT_OK;
}

/* Budgets are read, and fit the profile, before anything is attached. */
static int read_budgets(struct rt_session *s)
{
	int status = rt_verdict_open_opts(s->opts, &s->verdict);

	return status ? status : rt_verdict_check(s->verdict, s->profile);
}

int rt_session_run(const struct rt_opts *opts)
{
	struct rt_session s = {
		.opts = opts,
		.epoll_fd = -1,
		.signal_fd = -1,
		.timer_fd = -1,
		.command_status = -1,
		.launch = {.go = -1, .failed = -1},
	};
	int status = check_targets(opts);

	if (status)
		return status;
	status = rt_precheck_namespace();
	if (status)
		return status;
	s.profile = rt_precheck_profile(opts->profile);
	if (!s.profile)
		return RT_ERROR;
	status = read_budgets(&s);
	if (status) {
		rt_session_close(&s);
		return status;
	}
	if (rt_session_own_switch() == 0)
		rt_log_notice("VLLM_ENABLE_RAM_TRACKING=0 in ramtrack-bpf's own environment: no phase of any process is shown");
	status = opts->record ? rt_recording_check(opts->record) : RT_OK;
	if (!status)
		status = rt_outputs_open(&s.outputs, opts);
	if (!status)
		status = open_loop(&s);
	if (!status)
		status = rt_session_load(&s);
	if (!status)
		status = rt_session_watch_ring(&s);
	if (!status)
		status = rt_session_begin(&s);
	if (!status)
		status = rt_watch_status(s.watch);
	if (!status) {
		loop(&s);
		status = s.wait && !rt_wait_matched(s.wait) ? rt_session_give_up(&s) : rt_session_finish(&s);
		if (!status && opts->command)
			status = rt_session_command_status(&s);
	}
	rt_session_close(&s);
	return status;
}
