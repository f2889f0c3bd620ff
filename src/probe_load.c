/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostinfo.h"
#include "log.h"
#include "probe_in.h"
#include "rt_config.h"

#define FLUSH_AGE_NS 80000000ull /* a run older than this is sent at its thread's next event */

/* libbpf's own words: kept for the error message, shown as they come with -v. */
static char libbpf_said[1024];

static bool hushed;

void rt_probe_hush(bool on)
{
	hushed = on;
}

static int on_libbpf_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[1024];

	if (level == LIBBPF_DEBUG || hushed)
		return 0;
	if (rt_log_level() > 0) { /* whole: a verifier's log has thousands of lines */
		va_list again;

		va_copy(again, args);
		vfprintf(stderr, format, again);
		va_end(again);
	}
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = 0;
	if (level == LIBBPF_WARN && !libbpf_said[0])
		snprintf(libbpf_said, sizeof(libbpf_said), "%s", text);
	return 0;
}

/* May this process load tracing programs at all? Then a refusal is the kernel's lack, not ours. */
static bool may_trace(void)
{
	struct rt_hostinfo host;

	rt_hostinfo_read(&host);
	return rt_khost_may_trace(&host.k);
}

int rt_probe_refused(const char *what, int err)
{
	if ((err == -EPERM || err == -EACCES) && !may_trace()) {
		rt_log_error("%s: %s: loading BPF programs needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH "
			     "(and no kernel lockdown in mode confidentiality); run it as: sudo ramtrack-bpf ...%s%s" ASK_DOCTOR,
			     what, strerror(-err), libbpf_said[0] ? "; libbpf: " : "", libbpf_said);
		return RT_NO_PRIVILEGE;
	}
	rt_log_error("%s: %s: this kernel refuses what ramtrack-bpf needs (Linux 5.10 or newer with CONFIG_DEBUG_INFO_BTF, CONFIG_BPF_SYSCALL "
		     "and CONFIG_BPF_EVENTS); run it with -v for libbpf's and the verifier's messages%s%s" ASK_DOCTOR,
		     what, strerror(-err), libbpf_said[0] ? "; libbpf: " : "", libbpf_said);
	return RT_NO_FEATURE;
}

static void say_mappings(const struct rt_probe *p)
{
	if (p->config.mappings && !p->mappings)
		rt_log_notice("growth is not told apart by mapping: that needs Linux 5.17 or newer with the tracepoints exceptions:page_fault_user and "
			      "page_fault_kernel, and another source of RSS changes than tracepoint; --no-mappings ends this notice");
}

static int on_ring(void *ctx, void *data, size_t size)
{
	struct rt_probe *p = ctx;

	p->on_record(p->ctx, data, size);
	return 0; /* a negative value would end the poll: malformed records are the accounting core's to count */
}

bool rt_probe_uses_rss_stat(const struct rt_probe *p)
{
	return p->split || p->source == RT_MM_RSS_STAT;
}

/* Loads only what this source needs: the rest may not even pass the verifier here. */
static void select_programs(struct rt_probe *p)
{
	struct rt_skel *s = p->skel;

	bpf_program__set_autoload(s->progs.rss_stat_btf, rt_probe_uses_rss_stat(p) && !p->raw);
	bpf_program__set_autoload(s->progs.rss_stat_raw, rt_probe_uses_rss_stat(p) && p->raw);
	bpf_program__set_autoload(s->progs.mm_fault_fexit, p->source == RT_MM_FEXIT);
	bpf_program__set_autoload(s->progs.mm_fault_kretprobe, p->source == RT_MM_KPROBE);
	bpf_program__set_autoload(s->progs.mm_fault_user, p->source == RT_MM_TRACEPOINT);
	bpf_program__set_autoload(s->progs.mm_fault_kernel, p->source == RT_MM_TRACEPOINT);
	bpf_program__set_autoload(s->progs.mm_sys_exit, p->source == RT_MM_TRACEPOINT || !rt_probe_uses_rss_stat(p));
	bpf_program__set_autoload(s->progs.announce_tasks, p->split);
	bpf_program__set_autoload(s->progs.compare_tasks, p->split);
}

/* Hooks on faults are attached at once, to see whether they can be: nothing is followed yet. */
static int attach_faults(struct rt_probe *p)
{
	struct rt_skel *s = p->skel;

	switch (p->source) {
	case RT_MM_FEXIT:
		s->links.mm_fault_fexit = bpf_program__attach(s->progs.mm_fault_fexit);
		return s->links.mm_fault_fexit ? 0 : -errno;
	case RT_MM_KPROBE:
		s->links.mm_fault_kretprobe = bpf_program__attach(s->progs.mm_fault_kretprobe);
		return s->links.mm_fault_kretprobe ? 0 : -errno;
	case RT_MM_TRACEPOINT:
		s->links.mm_fault_user = bpf_program__attach(s->progs.mm_fault_user);
		if (!s->links.mm_fault_user)
			return -errno;
		s->links.mm_fault_kernel = bpf_program__attach(s->progs.mm_fault_kernel);
		return s->links.mm_fault_kernel ? 0 : -errno;
	default:
		return 0;
	}
}

bool rt_probe_loads_usdt(const struct rt_probe *p)
{
	return p->config.usdt && !(p->config.usdt_may_lack && p->calls_refused);
}

/* compute_batch_value, lib/percpu_counter.c. CPUs that come or go later make it wrong, which matters only where two CPUs' folds meet. */
static uint32_t fold_batch(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	return online > 16 ? (uint32_t)online * 2 : 32;
}

static int load(struct rt_probe *p)
{
	struct rt_skel *skel = rt_skel_open(p->old);
	uint32_t cpus = (uint32_t)p->cpus;
	bool preempted = rt_probe_preempted();
	int err;

	if (!skel)
		return -errno;
	p->skel = skel;
	skel->rodata->cfg.cpus = cpus;
	skel->rodata->cfg.batch = fold_batch();
	skel->rodata->cfg.change_max = (uint64_t)sysconf(_SC_PAGESIZE) / sizeof(uint64_t);
	skel->rodata->cfg.follow = p->config.follow;
	skel->rodata->cfg.want_line_tables = p->config.want_line_tables;
	skel->rodata->cfg.every_move = p->config.every_move;
	skel->rodata->cfg.sample_looks = p->config.sample_hz > 0;
	skel->rodata->cfg.flush_age_ns = FLUSH_AGE_NS;
	rt_probe_check_mappings(p);
	bpf_program__set_autoload(skel->progs.oom_victim, !p->oom_refused);
	if (!p->config.native) { /* no probe: no room for what they note */
		if (skel->maps.native_sites)
			bpf_map__set_max_entries(skel->maps.native_sites, 1);
		if (skel->maps.native_hits)
			bpf_map__set_max_entries(skel->maps.native_hits, 1);
	}
	skel->rodata->cfg.mappings = p->mappings;
	if (!p->mappings)
		bpf_map__set_max_entries(skel->maps.map_ids, 1);
	if (!p->old) {
		bool native = p->config.native && !p->native_refused;

		bpf_program__set_autoload(skel->progs.native_call, native);
		bpf_program__set_autoload(skel->progs.native_lock, native && p->locks);
		bpf_program__set_autoload(skel->progs.native_unlock, native && p->locks);
		bpf_program__set_autoload(skel->progs.watch_hit, p->config.watch && !p->calls_refused);
		bpf_program__set_autoload(skel->progs.push_entry, p->config.push && !p->calls_refused);
		bpf_program__set_autoload(skel->progs.usdt_entry, rt_probe_loads_usdt(p));
		bpf_program__set_autoload(skel->progs.usdt_return, rt_probe_loads_usdt(p));
		bpf_program__set_autoload(skel->progs.fault_user, p->mappings);
		bpf_program__set_autoload(skel->progs.fault_kernel, p->mappings);
		bpf_program__set_autoload(skel->progs.unmap_call, p->mappings);
		bpf_program__set_autoload(skel->progs.mmap_locking, p->locking);
		bpf_program__set_autoload(skel->progs.process_exit_again, preempted);
		bpf_program__set_autoload(skel->progs.process_exec_again, preempted);
		bpf_program__set_autoload(skel->progs.process_fork_again, preempted);
		bpf_program__set_autoload(skel->progs.task_renamed_again, preempted);
	}
	bpf_map__set_max_entries(skel->maps.parts, RT_MAX_SPACES * cpus);
	bpf_map__set_max_entries(skel->maps.cpu_offset, cpus);
	bpf_map__set_max_entries(skel->maps.node_cache, RT_NODE_SETS * cpus);
	bpf_map__set_max_entries(skel->maps.code_scratch, bpf_map__max_entries(skel->maps.code_scratch) * cpus);
	skel->rodata->cfg.mm_source = p->source;
	skel->rodata->cfg.split = p->split;
	skel->rodata->cfg.preempted = preempted;
	select_programs(p);
	err = rt_skel_load(skel);
	if (err) {
		rt_skel_destroy(skel);
		p->skel = NULL;
	}
	return err;
}

/* Where each CPU's part of a per-CPU allocation lies: only a program that runs there can tell. */
static int setup_cpus(struct rt_probe *p)
{
	int fd = bpf_program__fd(p->skel->progs.setup_cpu), err = 0, done = 0;

	for (int cpu = 0; cpu < p->cpus; cpu++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = (uint32_t)cpu);

		err = bpf_prog_test_run_opts(fd, &opts);
		if (!err && opts.retval) {
			rt_log_error("CPU %d: the program that finds its per-CPU area failed (%u): report this with your kernel's version" ASK_DOCTOR, cpu,
				     opts.retval);
			return RT_NO_FEATURE;
		}
		done += !err; /* ENXIO: possible, but not online */
	}
	return done ? RT_OK : rt_probe_refused("running a BPF program on each CPU", err);
}

/* How much the verifier had to follow, which is what the wait before the first attachment is made of. Linux 5.16 and newer tell it. */
static void say_verified(const struct rt_probe *p)
{
	unsigned long long followed = 0;
	struct bpf_program *prog;
	unsigned int n = 0;

	bpf_object__for_each_program(prog, p->skel->obj) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		int fd = bpf_program__fd(prog);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
			continue;
		n++;
		followed += info.verified_insns;
	}
	rt_log_detail("BPF programs: %u loaded; the verifier followed %llu instructions", n, followed);
}

/* Loads with native functions, mappings and what tells of calls or, where some of them are refused, without. */
static int load_either(struct rt_probe *p)
{
	int err = 0;

	for (unsigned int without = 0; without < 8; without++) {
		bool native = p->config.native && !p->old, mappings = p->mappings || p->mappings_refused;
		bool calls = (p->config.watch || p->config.push || p->config.usdt_may_lack) && !p->old;

		/* What was not asked for, or is not there, cannot be left out. */
		if (without && (((without & 1) && !native) || ((without & 2) && !calls) || ((without & 4) && !mappings)))
			continue;
		p->native_refused = without & 1;
		p->calls_refused = without & 2;
		p->mappings_refused = without & 4;
		err = load(p);
		if (err && !p->oom_refused && strstr(libbpf_said, "'oom_victim'")) {
			p->oom_refused = true;
			libbpf_said[0] = 0;
			err = load(p);
		}
		if (!err || err == -EPERM)
			return err;
		rt_log_detail("programs%s%s%s refused: %s", native && !p->native_refused ? ", those for native functions among them," : "",
			      calls && !p->calls_refused ? ", those that tell of calls among them," : "",
			      p->mappings ? " that tell mappings apart" : "", strerror(-err));
	}
	return err;
}

/* One source: loaded and, if it is one on faults, attached. Returns 0 or -errno. */
static int try_source(struct rt_probe *p, enum rt_mm_source source)
{
	int err;

	p->source = source;
	p->raw = p->config.force_raw;
	libbpf_said[0] = 0;
	err = load_either(p);
	if (err && err != -EPERM && !p->raw && rt_probe_uses_rss_stat(p)) {
		rt_log_detail("rss_stat with BTF refused (%s): trying the raw tracepoint", strerror(-err));
		p->raw = true;
		err = load_either(p);
	}
	if (!err)
		err = attach_faults(p);
	if (err && p->skel) {
		rt_skel_destroy(p->skel);
		p->skel = NULL;
	}
	return err;
}

static int load_source(struct rt_probe *p)
{
	enum rt_mm_source candidates[RT_MM_SOURCES], forced = p->config.mm_source;
	size_t n = rt_mm_candidates(p->split, candidates);
	int err = 0, first = 0;

	if (forced == RT_MM_RSS_STAT && p->split) {
		rt_log_error("--mm-source rss_stat: on this kernel the tracepoint comes once in 64 changes, it needs %s; use --mm-source auto, fexit or kprobe" ASK_DOCTOR,
			     rt_mm_needs(forced));
		return RT_NO_FEATURE;
	}
	for (size_t i = 0; i < n; i++) {
		if (forced != RT_MM_AUTO && candidates[i] != forced)
			continue;
		err = try_source(p, candidates[i]);
		if (!err) {
			say_verified(p);
			return RT_OK;
		}
		rt_log_detail("source %s refused: %s", rt_mm_name(candidates[i]), strerror(-err));
		first = first ? first : err; /* what the best one lacks says most */
	}
	if (forced != RT_MM_AUTO && may_trace()) {
		rt_log_error("--mm-source %s: %s: this kernel does not have it; it needs %s; use --mm-source auto%s%s" ASK_DOCTOR, rt_mm_name(forced), strerror(-first),
			     rt_mm_needs(forced), libbpf_said[0] ? "; libbpf: " : "", libbpf_said);
		return RT_NO_FEATURE;
	}
	if (first == -EPERM && p->short_memlock && may_trace()) {
		rt_log_error("loading the BPF programs: %s: kernels before 5.11 count BPF maps against the limit on locked memory, which is too low; run it as root, "
			     "or after: ulimit -l unlimited" ASK_DOCTOR, strerror(-first));
		return RT_NO_PRIVILEGE;
	}
	return rt_probe_refused("loading the BPF programs", first);
}

/* Kernels before 5.11 count maps against RLIMIT_MEMLOCK: what the larger ones take, for the message only. */
#define MEMLOCK_BYTES (128ull << 20)

static int choose_object(struct rt_probe *p)
{
	int which = rt_skel_probe();

	if (which < 0) {
		rt_log_error("kernel: it has no BPF ring buffer (BPF_MAP_TYPE_RINGBUF): boot Linux 5.10 or newer with CONFIG_BPF_SYSCALL=y" ASK_DOCTOR);
		return RT_NO_FEATURE;
	}
	p->old = which || p->config.force_old;
	p->short_memlock = !rt_skel_raise_memlock(MEMLOCK_BYTES);
	if (p->old)
		rt_log_detail("no bpf_loop or no task storage for tracing (Linux before 5.17): programs with bounded loops, threads in hash maps");
	return RT_OK;
}

int rt_probe_open(const struct rt_probe_config *config, rt_record_fn on_record, void *ctx, struct rt_probe **out)
{
	struct rt_probe *p;
	bool split = false;
	int status;

	libbpf_set_print(on_libbpf_print);
	status = rt_probe_check_kernel(&split);
	if (status)
		return status;
	p = calloc(1, sizeof(*p));
	if (!p) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	p->config = *config;
	p->on_record = on_record;
	p->ctx = ctx;
	p->cpus = libbpf_num_possible_cpus();
	p->split = split;
	status = choose_object(p);
	if (!status)
		status = load_source(p);
	if (status) {
		rt_probe_close(p);
		return status;
	}
	say_mappings(p);
	p->ring = ring_buffer__new(bpf_map__fd(p->skel->maps.ring), on_ring, p, NULL);
	if (!p->ring) {
		status = rt_probe_refused("mapping the ring buffer", -errno);
		rt_probe_close(p);
		return status;
	}
	status = setup_cpus(p);
	if (status) {
		rt_probe_close(p);
		return status;
	}
	*out = p;
	return RT_OK;
}
