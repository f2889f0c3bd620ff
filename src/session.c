/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
/*
 * One run: check the targets, open outputs, load, attach, adopt or launch, one epoll loop, detach, summary.
 *
 * The order matters. Targets and outputs are checked before anything is loaded, so that a mistake costs nothing. Hooks on births and deaths are
 * attached before a target is adopted, so that no child is born unseen. The command after `--` is let go last.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "account.h"
#include "entryprobe.h"
#include "entrywatch.h"
#include "holdings.h"
#include "json.h"
#include "launch.h"
#include "log.h"
#include "nativewatch.h"
#include "outputs.h"
#include "precheck.h"
#include "probe.h"
#include "procfs.h"
#include "recording.h"
#include "rt_config.h"
#include "verdict.h"
#include "wait.h"
#include "watch.h"

#define TICK_NS 50000000ull	 /* how often records are taken out of the ring at least */
#define EAGER_TICK_NS 2000000ull /* while an interpreter is being looked for */
#define WINDOW_NS 200000000ull	 /* records are sorted within: above the age at which a run is sent, see src/probe_load.c */
#define NODES_KEPT 400000	 /* above it new tries are started */
#define HOLDINGS_FIRST_NS 100000000ull /* for reading what targets hold, at once when they are adopted, */
#define HOLDINGS_TICK_NS 20000000ull   /* and at each tick, for large ones */
#define OPEN_NS 1000000000ull	 /* after the last record of what was not waited for, all records are of interest */
#define FORGET_NS 3000000000ull	 /* and after that time the old ones are given up */

enum state { RUNNING, ENDING };

struct session {
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
	enum state state;
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

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static bool is_target(const struct session *s, uint32_t pid)
{
	for (size_t i = 0; i < s->opts->n_pids; i++)
		if (s->opts->pids[i] == pid)
			return true;
	return s->opts->command ? (uint32_t)s->launch.pid == pid : s->waited_pid == pid;
}

/* ---- records ---- */

static void write_start(struct session *s, uint64_t mono, uint64_t wall);

/* The process that was waited for has been started: `record` is its PROC record. */
static void on_match(struct session *s, const void *record)
{
	struct rt_rec_proc proc;

	memcpy(&proc, record, sizeof(proc));
	rt_probe_wait_exec(s->probe, false);
	s->waited_pid = proc.pid;
	s->targets_alive = 1;
	rt_log_notice("process %u matches: traced from its exec on", (unsigned)proc.pid);
	write_start(s, now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_REALTIME));
}

static void on_record(void *ctx, const void *record, size_t size)
{
	struct session *s = ctx;
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

static int read_source(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	struct session *s = ctx;

	(void)image;
	return rt_watch_read_source(s->watch, pid, file, text, len);
}

/* The same for the core, which a ledger has to know of. */
static int read_source_for_core(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	struct session *s = ctx;

	return s->recording ? rt_recording_read_source(s->recording, image, pid, file, text, len) : read_source(s, image, pid, file, text, len);
}

static void on_entries_off(void *ctx, uint32_t image, const char *phase)
{
	struct session *s = ctx;

	rt_watch_inexact(s->watch, image, phase, now_ns(CLOCK_MONOTONIC));
}

static void on_plain_name(void *ctx, const struct rt_phase *phase, const char *name, const char *file)
{
	(void)ctx;
	rt_log_notice("phase %s: Python up to 3.10 does not tell the class of %s in %s, and its source there does not either (not readable, or another "
		      "version): every function %s of that file counts as this phase",
		      phase->id, name, file, name);
}

/* ---- before anything is loaded ---- */

static bool is_alive(pid_t pid)
{
	struct rt_proc_stat stat;

	return !rt_proc_stat(pid, &stat) && !stat.zombie;
}

static uint64_t own_rss(void)
{
	struct rt_proc_memory memory;

	return rt_proc_memory(getpid(), &memory) ? 0 : memory.rss;
}

static int check_targets(const struct rt_opts *opts)
{
	for (size_t i = 0; i < opts->n_pids; i++) {
		int status = rt_precheck_target((pid_t)opts->pids[i]);

		if (status)
			return status;
	}
	return RT_OK;
}

/* ---- setting up ---- */

/* Also by its last part alone, which is all that code objects up to 3.10 have. */
static int add_name(struct session *s, const char *function, const char *file, uint32_t flags)
{
	const char *last = rt_qualname_last(function);
	int status = rt_probe_add_name(s->probe, function, file, flags);

	return status || last == function ? status : rt_probe_add_name(s->probe, last, file, flags);
}

static int add_names(struct session *s)
{
	for (size_t i = 0; i < s->profile->n_phases; i++) {
		const struct rt_phase *ph = &s->profile->phases[i];
		uint32_t flags = ph->n_statements ? RT_NAME_STATEMENT : RT_NAME_FUNCTION;

		if (ph->watch && s->entries && !ph->n_statements)
			flags |= RT_NAME_WATCH;

		for (size_t f = 0; f < ph->n_functions; f++) {
			int status = ph->n_files ? RT_OK : add_name(s, ph->functions[f], NULL, flags);

			for (size_t k = 0; k < ph->n_files && !status; k++)
				status = add_name(s, ph->functions[f], ph->files[k], flags);
			if (status)
				return status;
		}
	}
	return RT_OK;
}

static int own_switch(void)
{
	const char *text = getenv("VLLM_ENABLE_RAM_TRACKING");

	if (!text || !*text)
		return -1;
	return strcmp(text, "0") ? 1 : 0;
}

static bool has_watched(const struct rt_profile *profile)
{
	for (size_t i = 0; i < profile->n_phases; i++)
		if (profile->phases[i].watch)
			return true;
	return false;
}

static int open_kernel_side(struct session *s)
{
	const struct rt_opts *o = s->opts;
	unsigned int needs = rt_outputs_needs(&s->outputs);
	const char *raw = getenv("RAMTRACK_RSS_STAT"), *object = getenv("RAMTRACK_BPF_OBJECT");
	struct rt_probe_config pc = {
		.follow = o->follow,
		.want_line_tables = o->json_growth || o->record || needs & (RT_NEED_STACKS | RT_NEED_GROWTH),
		.every_move = o->record,
		.mappings = o->mappings,
		.native = rt_nativewatch_wanted(s->profile, o->native_alloc),
		.usdt = o->python_entry == RT_ENTRY_USDT || o->python_entry == RT_ENTRY_AUTO,
		.usdt_may_lack = o->python_entry == RT_ENTRY_AUTO,
		.push = o->python_entry == RT_ENTRY_UPROBE,
		.watch = o->python_entry == RT_ENTRY_WATCH || (o->python_entry == RT_ENTRY_AUTO && has_watched(s->profile)),
		.mm_source = o->mm_source,
		.force_old = object && !strcmp(object, "old"),
		.force_raw = raw && !strcmp(raw, "raw"),
		.sample_hz = o->sample_hz,
	};
	struct rt_account_config ac = {
		.profile = s->profile,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.window_ns = WINDOW_NS,
		.want_growth = o->json_growth || needs & RT_NEED_GROWTH,
		.want_stacks = needs & RT_NEED_STACKS,
		.ignore_mute = own_switch() == 1,
		.read_source = read_source_for_core,
		.on_plain_name = on_plain_name,
		.ctx = s,
	};
	struct rt_entrywatch_config nc = {.forced = o->python_entry == RT_ENTRY_WATCH, .log = &s->entrylog, .on_off = on_entries_off, .ctx = s};
	struct rt_entryprobe_config ec = {.way = o->python_entry, .log = &s->entrylog, .on_off = on_entries_off, .ctx = s};
	struct rt_watch_config wc = {.own_switch = own_switch()};
	int status = rt_probe_open(&pc, on_record, s, &s->probe);

	if (status)
		return status;
	if (o->python_entry == RT_ENTRY_USDT && !rt_probe_has_usdt(s->probe)) {
		rt_log_error("--python-entry usdt: this kernel needs the programs for Linux before 5.17, which cannot use the interpreter's static probes: boot Linux 5.17 or newer, "
			     "or use --python-entry auto; run: ramtrack-bpf doctor");
		return RT_NO_FEATURE;
	}
	ac.want_mappings = rt_probe_mappings(s->probe);
	s->account = rt_account_new(&ac);
	if (!s->account) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	ec.probe = wc.probe = s->probe;
	if (rt_probe_has_usdt(s->probe) || o->python_entry == RT_ENTRY_UPROBE) {
		s->probes = wc.entries = rt_entryprobe_new(&ec);
		if (!s->probes) {
			rt_log_error("out of memory");
			return RT_ERROR;
		}
	}
	wc.account = s->account;
	s->watch = rt_watch_new(&wc);
	s->holdings = rt_holdings_new(s->account);
	if (!s->watch || !s->holdings) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	status = rt_nativewatch_new(&(struct rt_nativewatch_config){.probe = s->probe, .account = s->account, .profile = s->profile, .hot = o->native_alloc}, &s->natives);
	nc.probe = s->probe;
	nc.account = s->account;
	if (!status && pc.watch)
		status = rt_entrywatch_new(&nc, &s->entries);
	return status ? status : add_names(s);
}

static int open_loop(struct session *s)
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

static int watch_ring(struct session *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = rt_probe_fd(s->probe)};

	struct epoll_event native = {.events = EPOLLIN, .data.fd = rt_nativewatch_fd(s->natives)};

	if (!epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev) && (native.data.fd < 0 || !epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, native.data.fd, &native)))
		return RT_OK;
	rt_log_error("event loop: the ring buffer cannot be waited for: %s", strerror(errno));
	return RT_ERROR;
}

static void set_tick(struct session *s, uint64_t ns)
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

/* Processes that run already: the targets and, unless they alone were asked for, what descends from them. */
static int adopt(struct session *s)
{
	const struct rt_opts *o = s->opts;
	int status = RT_OK;

	/* Twice: a child may be born between listing and adopting its parent. */
	for (int round = 0; round < 2 && !status; round++) {
		pid_t *all = NULL;
		size_t n = 0;

		for (size_t i = 0; i < o->n_pids; i++) {
			pid_t *below = NULL, *grown;
			int n_below = o->follow ? rt_proc_descendants((pid_t)o->pids[i], &below) : 0;

			if (n_below < 0)
				n_below = 0; /* it ended: said below */
			grown = realloc(all, (n + (size_t)n_below + 1) * sizeof(*all));
			if (!grown) {
				free(below);
				free(all);
				rt_log_error("out of memory");
				return RT_ERROR;
			}
			all = grown;
			all[n++] = (pid_t)o->pids[i];
			for (int k = 0; k < n_below; k++)
				all[n++] = below[k];
			free(below);
		}
		for (size_t i = 0; i < n; i++)
			rt_watch_prepare(s->watch, all[i]);
		status = rt_probe_adopt(s->probe, all, n);
		free(all);
	}
	rt_probe_consume(s->probe);
	if (status)
		return status;
	rt_holdings_step(s->holdings, HOLDINGS_FIRST_NS);
	for (size_t i = 0; i < o->n_pids; i++)
		if (is_alive((pid_t)o->pids[i]))
			return RT_OK;
	if (s->procs_seen)
		return RT_OK; /* it was adopted, and ended then: there is something to tell */
	rt_log_error("process %u: it ended while ramtrack-bpf attached; start the server by ramtrack-bpf instead: ramtrack-bpf -- COMMAND",
		     (unsigned)o->pids[0]);
	return RT_NO_TARGET;
}

/* What may tell of calls. */
static const char *entry_name(const struct session *s)
{
	switch (s->opts->python_entry) {
	case RT_ENTRY_USDT:
		return "usdt";
	case RT_ENTRY_UPROBE:
		return "uprobe";
	case RT_ENTRY_WATCH:
		return "watch";
	default:
		return s->entries || s->probes ? "auto" : "off";
	}
}

static void write_start(struct session *s, uint64_t mono, uint64_t wall)
{
	struct utsname u;
	uint32_t started = s->opts->command ? (uint32_t)s->launch.pid : s->waited_pid;
	struct rt_json_start start = {
		.version = RT_VERSION,
		.profile = s->profile->name,
		.mm_source = rt_mm_name(rt_probe_source(s->probe)),
		.mm_hook = rt_probe_hook(s->probe),
		.mm_exact = rt_mm_exact(rt_probe_source(s->probe)),
		.python_entry = entry_name(s),
		.wall_ns = wall,
		.ts_ns = mono,
		.targets = started ? &started : s->opts->pids,
		.n_targets = started ? 1 : s->opts->n_pids,
	};

	start.kernel = uname(&u) ? "" : u.release;
	rt_recording_start(s->recording, &start);
	rt_outputs_start(&s->outputs, &start);
}

/* Everything is attached: what is executed from here on is followed until its command line has been looked at. */
static int start_waiting(struct session *s)
{
	s->wait = rt_wait_new(s->opts->wait, program_invocation_short_name);
	if (!s->wait) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	rt_watch_prepare_file(s->watch, "python3"); /* a guess: any other interpreter is read when it runs */
	rt_probe_wait_exec(s->probe, true);
	rt_log_notice("waiting for a process whose command line matches '%s'", s->opts->wait);
	return RT_OK;
}

/* The file is made when all else has gone well; nothing has come from the kernel yet. */
static int begin_recording(struct session *s, int64_t wall_offset_ns)
{
	struct rt_recording_config rc = {.path = s->opts->record, .said = s->opts->what == RT_COMMAND_RECORD, .read_source = read_source, .ctx = s};
	struct rt_ledger_facts facts = {
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.window_ns = WINDOW_NS,
		.wall_offset_ns = wall_offset_ns,
		.mappings = rt_probe_mappings(s->probe),
		.ignore_mute = own_switch() == 1,
	};
	int status = s->opts->record ? rt_recording_open(&rc, &s->recording) : RT_OK;

	if (!status)
		rt_recording_begin(s->recording, &facts, s->profile, s->account);
	return status;
}

static int begin(struct session *s)
{
	uint64_t mono = now_ns(CLOCK_MONOTONIC), wall = now_ns(CLOCK_REALTIME);
	struct rt_launch *l = &s->launch;
	int status;

	if (s->opts->command && rt_launch_prepare(s->opts->command, l))
		return RT_ERROR;
	status = rt_outputs_begin(&s->outputs, s->opts, s->account, (int64_t)(wall - mono));
	if (!status)
		status = rt_verdict_follow(s->verdict, s->account);
	if (!status)
		status = begin_recording(s, (int64_t)(wall - mono));
	if (!status)
		status = rt_probe_attach(s->probe);
	if (status)
		return status;
	if (s->opts->duration_ns)
		s->deadline_ns = mono + s->opts->duration_ns;
	if (s->opts->wait)
		return start_waiting(s);
	write_start(s, mono, wall);
	if (!s->opts->command) {
		s->targets_alive = s->opts->n_pids;
		return adopt(s);
	}
	s->targets_alive = 1;
	rt_watch_prepare_file(s->watch, s->opts->command[0]);
	status = rt_probe_target_exec(s->probe, l->pid);
	return status ? status : rt_launch_go(l, s->opts->command);
}

/* ---- the loop ---- */

static void let_signals_kill(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

static void on_signals(struct session *s)
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
static void renew(struct session *s, uint64_t now)
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
static void drop_others(struct session *s, uint64_t now)
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
static void consume(struct session *s)
{
	uint64_t lost[RT_COUNTERS];
	bool waiting = s->wait && !rt_wait_matched(s->wait);

	if (waiting)
		rt_probe_counters(s->probe, lost);
	rt_probe_consume(s->probe);
	if (waiting && !rt_wait_matched(s->wait))
		memcpy(s->lost_before, lost, sizeof(lost));
}

/* What the kernel side counted since the run began. */
static void read_counters(struct session *s, uint64_t counters[RT_COUNTERS])
{
	rt_probe_counters(s->probe, counters);
	for (int i = 0; i < RT_COUNTERS; i++)
		counters[i] -= s->lost_before[i];
}

static void keep_recording(struct session *s, uint64_t now)
{
	uint64_t counters[RT_COUNTERS];

	if (!rt_recording_due(s->recording, now))
		return;
	read_counters(s, counters);
	rt_recording_tick(s->recording, now, counters);
}

static void on_tick(struct session *s)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC), expired;
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

static void loop(struct session *s)
{
	struct epoll_event events[8];

	set_tick(s, TICK_NS);
	while (s->state == RUNNING) {
		int n = epoll_wait(s->epoll_fd, events, 8, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s->signal_fd)
				on_signals(s);
			else if (events[i].data.fd == s->timer_fd)
				on_tick(s);
			else if (events[i].data.fd == rt_nativewatch_fd(s->natives))
				rt_nativewatch_step(s->natives);
			else
				rt_probe_consume(s->probe);
		}
	}
}

/* ---- the end ---- */

static int finish(struct session *s)
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
	on_signals(s);
	read_counters(s, counters);
	rt_probe_cost(s->probe, &cost);
	now = now_ns(CLOCK_MONOTONIC);
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

/* The wait is over, and nothing has come. */
static int give_up_waiting(struct session *s)
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

/* The command's own status, if it has one by now. */
static int command_status(struct session *s)
{
	int status = s->command_status;

	if (status < 0 && s->targets_alive == 0) /* its exit was seen: it can be waited for */
		while (waitpid(s->launch.pid, &status, 0) < 0 && errno == EINTR)
			;
	if (status < 0)
		return RT_OK; /* it runs on */
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void tear_down(struct session *s)
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

/* Budgets are read, and fit the profile, before anything is attached. */
static int read_budgets(struct session *s)
{
	int status = rt_verdict_open_opts(s->opts, &s->verdict);

	return status ? status : rt_verdict_check(s->verdict, s->profile);
}

int rt_session_run(const struct rt_opts *opts)
{
	struct session s = {
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
		tear_down(&s);
		return status;
	}
	if (own_switch() == 0)
		rt_log_notice("VLLM_ENABLE_RAM_TRACKING=0 in ramtrack-bpf's own environment: no phase of any process is shown");
	status = opts->record ? rt_recording_check(opts->record) : RT_OK;
	if (!status)
		status = rt_outputs_open(&s.outputs, opts);
	if (!status)
		status = open_loop(&s);
	if (!status)
		status = open_kernel_side(&s);
	if (!status)
		status = watch_ring(&s);
	if (!status)
		status = begin(&s);
	if (!status)
		status = rt_watch_status(s.watch);
	if (!status) {
		loop(&s);
		status = s.wait && !rt_wait_matched(s.wait) ? give_up_waiting(&s) : finish(&s);
		if (!status && opts->command)
			status = command_status(&s);
	}
	tear_down(&s);
	return status;
}
