/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* program_invocation_short_name */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "json.h"
#include "procfs.h"
#include "rt_config.h"
#include "session_in.h"

#define WINDOW_NS 200000000ull	 /* records are sorted within: above the age at which a run is sent, see src/probe_load.c */
#define HOLDINGS_FIRST_NS 100000000ull /* for reading what targets hold, at once when they are adopted */

/* ---- what the core and the watchers ask of us ---- */

static int read_source(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	struct rt_session *s = ctx;

	(void)image;
	return rt_watch_read_source(s->watch, pid, file, text, len);
}

/* The same for the core, which a ledger has to know of. */
static int read_source_for_core(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	struct rt_session *s = ctx;

	return s->recording ? rt_recording_read_source(s->recording, image, pid, file, text, len) : read_source(s, image, pid, file, text, len);
}

static void on_entries_off(void *ctx, uint32_t image, const char *phase)
{
	struct rt_session *s = ctx;

	rt_watch_inexact(s->watch, image, phase, rt_session_now(CLOCK_MONOTONIC));
}

static void on_plain_name(void *ctx, const struct rt_phase *phase, const char *name, const char *file)
{
	(void)ctx;
	rt_log_notice("phase %s: Python up to 3.10 does not tell the class of %s in %s, and its source there does not either (not readable, or another "
		      "version): every function %s of that file counts as this phase",
		      phase->id, name, file, name);
}

/* ---- loading ---- */

int rt_session_own_switch(void)
{
	const char *text = getenv("VLLM_ENABLE_RAM_TRACKING");

	if (!text || !*text)
		return -1;
	return strcmp(text, "0") ? 1 : 0;
}

static bool is_alive(pid_t pid)
{
	struct rt_proc_stat stat;

	return !rt_proc_stat(pid, &stat) && !stat.zombie;
}

/* Also by its last part alone, which is all that code objects up to 3.10 have. */
static int add_name(struct rt_session *s, const char *function, const char *file, uint32_t flags)
{
	const char *last = rt_qualname_last(function);
	int status = rt_probe_add_name(s->probe, function, file, flags);

	return status || last == function ? status : rt_probe_add_name(s->probe, last, file, flags);
}

static int add_names(struct rt_session *s)
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

static bool has_watched(const struct rt_profile *profile)
{
	for (size_t i = 0; i < profile->n_phases; i++)
		if (profile->phases[i].watch)
			return true;
	return false;
}

static bool wants_watchpoints(const struct rt_session *s)
{
	return s->opts->python_entry == RT_ENTRY_WATCH || (s->opts->python_entry == RT_ENTRY_AUTO && has_watched(s->profile));
}

static int load_programs(struct rt_session *s)
{
	const struct rt_opts *o = s->opts;
	const char *raw = getenv("RAMTRACK_RSS_STAT"), *object = getenv("RAMTRACK_BPF_OBJECT");
	struct rt_probe_config pc = {
		.follow = o->follow,
		.want_line_tables = o->json_growth || o->record || rt_outputs_needs(&s->outputs) & (RT_NEED_STACKS | RT_NEED_GROWTH),
		.every_move = o->record,
		.mappings = o->mappings,
		.native = rt_nativewatch_wanted(s->profile, o->native_alloc),
		.usdt = o->python_entry == RT_ENTRY_USDT || o->python_entry == RT_ENTRY_AUTO,
		.usdt_may_lack = o->python_entry == RT_ENTRY_AUTO,
		.push = o->python_entry == RT_ENTRY_UPROBE,
		.watch = wants_watchpoints(s),
		.mm_source = o->mm_source,
		.force_old = object && !strcmp(object, "old"),
		.force_raw = raw && !strcmp(raw, "raw"),
		.sample_hz = o->sample_hz,
	};
	int status = rt_probe_open(&pc, rt_session_on_record, s, &s->probe);

	if (status || o->python_entry != RT_ENTRY_USDT || rt_probe_has_usdt(s->probe))
		return status;
	rt_log_error("--python-entry usdt: this kernel needs the programs for Linux before 5.17, which cannot use the interpreter's static probes: boot Linux 5.17 or newer, "
		     "or use --python-entry auto; run: ramtrack-bpf doctor");
	return RT_NO_FEATURE;
}

static int out_of_memory(void)
{
	rt_log_error("out of memory");
	return RT_ERROR;
}

static int make_core(struct rt_session *s)
{
	unsigned int needs = rt_outputs_needs(&s->outputs);
	struct rt_account_config ac = {
		.profile = s->profile,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.window_ns = WINDOW_NS,
		.want_growth = s->opts->json_growth || needs & RT_NEED_GROWTH,
		.want_stacks = needs & RT_NEED_STACKS,
		.want_mappings = rt_probe_mappings(s->probe),
		.ignore_mute = rt_session_own_switch() == 1,
		.read_source = read_source_for_core,
		.on_plain_name = on_plain_name,
		.ctx = s,
	};

	s->account = rt_account_new(&ac);
	return s->account ? RT_OK : out_of_memory();
}

/* What looks at processes while they run: their interpreters, their calls, what they hold, their libraries. */
static int make_watchers(struct rt_session *s)
{
	const struct rt_opts *o = s->opts;
	struct rt_entryprobe_config ec = {.probe = s->probe, .way = o->python_entry, .log = &s->entrylog, .on_off = on_entries_off, .ctx = s};
	struct rt_entrywatch_config nc = {
		.probe = s->probe, .account = s->account, .forced = o->python_entry == RT_ENTRY_WATCH, .log = &s->entrylog, .on_off = on_entries_off, .ctx = s,
	};
	struct rt_nativewatch_config fc = {.probe = s->probe, .account = s->account, .profile = s->profile, .hot = o->native_alloc};
	struct rt_watch_config wc = {.probe = s->probe, .account = s->account, .own_switch = rt_session_own_switch()};
	int status;

	if (rt_probe_has_usdt(s->probe) || o->python_entry == RT_ENTRY_UPROBE) {
		s->probes = wc.entries = rt_entryprobe_new(&ec);
		if (!s->probes)
			return out_of_memory();
	}
	s->watch = rt_watch_new(&wc);
	s->holdings = rt_holdings_new(s->account);
	if (!s->watch || !s->holdings)
		return out_of_memory();
	status = rt_nativewatch_new(&fc, &s->natives);
	return status || !wants_watchpoints(s) ? status : rt_entrywatch_new(&nc, &s->entries);
}

int rt_session_load(struct rt_session *s)
{
	int status = load_programs(s);

	if (!status)
		status = make_core(s);
	if (!status)
		status = make_watchers(s);
	return status ? status : add_names(s);
}

int rt_session_watch_ring(struct rt_session *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = rt_probe_fd(s->probe)};

	struct epoll_event native = {.events = EPOLLIN, .data.fd = rt_nativewatch_fd(s->natives)};

	if (!epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev) && (native.data.fd < 0 || !epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, native.data.fd, &native)))
		return RT_OK;
	rt_log_error("event loop: the ring buffer cannot be waited for: %s", strerror(errno));
	return RT_ERROR;
}

/* Processes that run already: the targets and, unless they alone were asked for, what descends from them. */
static int adopt(struct rt_session *s)
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
				return out_of_memory();
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
static const char *entry_name(const struct rt_session *s)
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

void rt_session_write_start(struct rt_session *s, uint64_t mono, uint64_t wall)
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
static int start_waiting(struct rt_session *s)
{
	s->wait = rt_wait_new(s->opts->wait, program_invocation_short_name);
	if (!s->wait)
		return out_of_memory();
	rt_watch_prepare_file(s->watch, "python3"); /* a guess: any other interpreter is read when it runs */
	rt_probe_wait_exec(s->probe, true);
	rt_log_notice("waiting for a process whose command line matches '%s'", s->opts->wait);
	return RT_OK;
}

/* The file is made when all else has gone well; nothing has come from the kernel yet. */
static int begin_recording(struct rt_session *s, int64_t wall_offset_ns)
{
	struct rt_recording_config rc = {.path = s->opts->record, .said = s->opts->what == RT_COMMAND_RECORD, .read_source = read_source, .ctx = s};
	struct rt_ledger_facts facts = {
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.window_ns = WINDOW_NS,
		.wall_offset_ns = wall_offset_ns,
		.mappings = rt_probe_mappings(s->probe),
		.ignore_mute = rt_session_own_switch() == 1,
	};
	int status = s->opts->record ? rt_recording_open(&rc, &s->recording) : RT_OK;

	if (!status)
		rt_recording_begin(s->recording, &facts, s->profile, s->account);
	return status;
}

int rt_session_begin(struct rt_session *s)
{
	uint64_t mono = rt_session_now(CLOCK_MONOTONIC), wall = rt_session_now(CLOCK_REALTIME);
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
	rt_session_write_start(s, mono, wall);
	if (!s->opts->command) {
		s->targets_alive = s->opts->n_pids;
		return adopt(s);
	}
	s->targets_alive = 1;
	rt_watch_prepare_file(s->watch, s->opts->command[0]);
	status = rt_probe_target_exec(s->probe, l->pid);
	return status ? status : rt_launch_go(l, s->opts->command);
}
