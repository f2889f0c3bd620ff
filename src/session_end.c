/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs.h"
#include "session_in.h"

static uint64_t own_rss(void)
{
	struct rt_proc_memory memory;

	return rt_proc_memory(getpid(), &memory) ? 0 : memory.rss;
}

int rt_session_finish(struct rt_session *s)
{
	struct rt_probe_cost cost;
	struct rt_self_cost self;
	uint64_t counters[RT_COUNTERS], now;
	const struct rt_summary *summary;
	struct rt_bworld world = {.profile = s->profile};
	struct rusage usage;
	int status, recorded;

	rt_log_detail("ending: %s", s->why);
	rt_entrywatch_free(s->entries);
	s->entries = NULL;
	rt_nativewatch_stop(s->natives);
	rt_entryprobe_free(s->probes);
	s->probes = NULL;
	rt_probe_finish(s->probe);
	rt_session_on_signals(s);
	rt_session_counters(s, counters);
	rt_probe_cost(s->probe, &cost);
	now = rt_session_now(CLOCK_MONOTONIC);
	summary = rt_account_finish(s->account, now, counters);
	getrusage(RUSAGE_SELF, &usage);
	self = (struct rt_self_cost){
		.mm_source = rt_mm_name(rt_probe_source(s->probe)),
		.mm_hook = rt_probe_hook(s->probe),
		.mm_exact = rt_mm_exact(rt_probe_source(s->probe)),
		.bpf_ns = cost.ns,
		.bpf_runs = cost.runs,
		.user_ns = (uint64_t)usage.ru_utime.tv_sec * 1000000000ull + (uint64_t)usage.ru_utime.tv_usec * 1000ull,
		.sys_ns = (uint64_t)usage.ru_stime.tv_sec * 1000000000ull + (uint64_t)usage.ru_stime.tv_usec * 1000ull,
		.rss_bytes = own_rss(),
		.map_bytes = cost.map_bytes,
		.progs = cost.prog,
		.n_progs = cost.n_progs,
		.entries = &s->entrylog,
	};
	if (!summary) {
		rt_log_error("out of memory for the summary");
		return RT_ERROR;
	}
	recorded = rt_recording_end(s->recording, now, counters, &self);
	status = rt_outputs_finish(&s->outputs, summary, &self);
	world.summary = summary;
	if (!status)
		status = recorded;
	if (!status && s->opts->strict && (summary->lost_records || summary->lost_stacks || summary->unaccounted)) {
		rt_log_error("--strict: incomplete: %llu records and %llu stacks lost, %lld bytes unaccounted",
			     (unsigned long long)summary->lost_records, (unsigned long long)summary->lost_stacks,
			     (long long)summary->unaccounted);
		status = RT_INCOMPLETE;
	}
	return rt_verdict_end(s->verdict, &world, status);
}

int rt_session_give_up(struct rt_session *s)
{
	uint64_t seen, unread;

	rt_wait_counts(s->wait, &seen, &unread);
	rt_log_error("--wait: nothing was traced (%s): none of the %llu programs that were started meanwhile has a command line that matches '%s'; "
		     "try the regular expression on a process that runs: pgrep -af '%s'", s->why, (unsigned long long)seen, s->opts->wait,
		     s->opts->wait);
	if (unread)
		rt_log_error("--wait: %llu of them could not be looked at", (unsigned long long)unread);
	return RT_NO_TARGET;
}

int rt_session_command_status(struct rt_session *s)
{
	int status = s->command_status;

	if (status < 0 && s->targets_alive == 0) /* its exit was seen: it can be waited for */
		while (waitpid(s->launch.pid, &status, 0) < 0 && errno == EINTR)
			;
	if (status < 0)
		return RT_OK; /* it runs on */
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void rt_session_close(struct rt_session *s)
{
	if (s->launch.go >= 0 && s->launch.pid > 0)
		rt_launch_cancel(&s->launch);
	rt_nativewatch_free(s->natives);
	rt_entrywatch_free(s->entries);
	rt_entryprobe_free(s->probes);
	rt_probe_close(s->probe);
	rt_wait_free(s->wait);
	rt_recording_close(s->recording);
	rt_watch_free(s->watch);
	rt_holdings_free(s->holdings);
	rt_account_free(s->account);
	rt_outputs_close(&s->outputs);
	rt_verdict_free(s->verdict);
	rt_profile_free(s->profile);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
}
