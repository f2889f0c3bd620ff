/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "hostinfo.h"
#include "log.h"
#include "rt_config.h"
#include "rt_cost.h"

#include "skel.h"

#define FLUSH_AGE_NS 80000000ull /* a run older than this is sent at its thread's next event */
#define FLUSH_HZ 20		 /* clock samples that only flush, when none are asked for */
#define TARGET_ADOPT 1		 /* enum rt_target in bpf/life.bpf.h */
#define TARGET_EXEC 2
#define ASK_DOCTOR "; run: ramtrack-bpf doctor" /* how every refusal ends: it says what is missing, and why */

struct rt_probe {
	struct rt_skel *skel;
	struct ring_buffer *ring;
	rt_record_fn on_record;
	void *ctx;
	struct rt_probe_config config;
	int cpus;
	bool raw;   /* rss_stat as a raw tracepoint */
	bool split; /* the kernel's RSS counters are split per task */
	bool locks; /* the kernel tells of the locks of address spaces */
	bool mappings, unmaps; /* pages are told apart by mapping; also those that munmap takes */
	bool native_refused; /* the verifier takes the programs without those for native functions only */
	bool calls_refused; /* the verifier takes the programs without those that tell of calls only */
	bool mappings_refused; /* the verifier takes the programs without them only */
	bool oom_refused;   /* the verifier takes the programs without the one for OOM kills only */
	bool short_memlock; /* the limit on locked memory is low and could not be raised */
	bool old;   /* the BPF object for kernels before 5.17 */
	enum rt_mm_source source;
	struct bpf_link **samples; /* one per CPU */
	uint32_t n_pyoffs;
	struct rt_pyoff pyoffs[RT_MAX_PYOFFS];
	struct rt_probe_cost final_cost; /* kept when programs are detached */
};

/* libbpf's own words: kept for the error message, shown as they come with -v. */
static char libbpf_said[1024];

static int on_libbpf_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[1024];

	if (level == LIBBPF_DEBUG)
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

/* Which status and advice an errno of the bpf system call deserves. */
static int bpf_refused(const char *what, int err)
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

/* Is there BTF at all? And are the RSS counters per-CPU counters (6.2 and newer), or split per task (`split`)? */
static int check_kernel(bool *split)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *mm;
	bool percpu = false;
	int id;

	if (!btf) {
		rt_log_error("kernel: no BTF type information at /sys/kernel/btf/vmlinux: boot Linux 5.10 or newer built with "
			     "CONFIG_DEBUG_INFO_BTF=y (Debian's kernels are)" ASK_DOCTOR);
		return RT_NO_FEATURE;
	}
	id = btf__find_by_name_kind(btf, "trace_event_raw_rss_stat", BTF_KIND_STRUCT);
	if (id < 0) {
		btf__free(btf);
		rt_log_error("kernel: it has no tracepoint kmem:rss_stat: boot Linux 5.10 or newer with CONFIG_TRACEPOINTS=y" ASK_DOCTOR);
		return RT_NO_FEATURE;
	}
	id = btf__find_by_name_kind(btf, "percpu_counter", BTF_KIND_STRUCT);
	mm = btf__type_by_id(btf, (uint32_t)btf__find_by_name_kind(btf, "mm_struct", BTF_KIND_STRUCT));
	/* mm_struct wraps its members into an anonymous struct. */
	for (int depth = 0; mm && depth < 2 && !percpu; depth++) {
		const struct btf_member *m = btf_members(mm);
		const struct btf_type *inner = NULL;

		for (int i = 0; i < btf_vlen(mm); i++, m++) {
			const struct btf_type *t = btf__type_by_id(btf, m->type);
			const char *name = btf__name_by_offset(btf, m->name_off);

			if (!strcmp(name, "rss_stat"))
				percpu = btf_is_array(t) && id > 0 && (int)btf_array(t)->type == id;
			else if (!*name && i == 0 && btf_is_struct(t))
				inner = t;
		}
		mm = inner;
	}
	*split = !percpu && btf__find_by_name_kind(btf, "mm_rss_stat", BTF_KIND_STRUCT) > 0 &&
		 btf__find_by_name_kind(btf, "task_rss_stat", BTF_KIND_STRUCT) > 0;
	btf__free(btf);
	if (percpu || *split)
		return RT_OK;
	rt_log_error("kernel: its RSS counters (mm_struct.rss_stat) are neither per-CPU counters (6.2 and newer) nor split per task (5.10 to 6.1): boot one of "
		     "these kernels" ASK_DOCTOR);
	return RT_NO_FEATURE;
}

/* Mappings need to know where a page fault is, and better also when something is about to be unmapped. The source of last resort tells of a fault's pages
 * only at the next one. */
static void check_mappings(struct rt_probe *p)
{
	bool wanted = p->config.mappings && !p->mappings_refused && p->source != RT_MM_TRACEPOINT;
	struct btf *btf = wanted || p->config.native ? btf__load_vmlinux_btf() : NULL;

	p->locks = btf && btf__find_by_name_kind(btf, "btf_trace_mmap_lock_acquire_returned", BTF_KIND_TYPEDEF) > 0 &&
		   btf__find_by_name_kind(btf, "btf_trace_mmap_lock_released", BTF_KIND_TYPEDEF) > 0;
	p->mappings = wanted && !p->old && btf && btf__find_by_name_kind(btf, "btf_trace_page_fault_user", BTF_KIND_TYPEDEF) > 0 &&
		      btf__find_by_name_kind(btf, "btf_trace_page_fault_kernel", BTF_KIND_TYPEDEF) > 0 &&
		      btf__find_by_name_kind(btf, "btf_bpf_find_vma", BTF_KIND_TYPEDEF) > 0;
	p->unmaps = p->mappings && btf__find_by_name_kind(btf, "btf_trace_mmap_lock_start_locking", BTF_KIND_TYPEDEF) > 0;
	btf__free(btf);
}

static void say_mappings(const struct rt_probe *p)
{
	if (p->config.mappings && !p->mappings)
		rt_log_notice("growth is not told apart by mapping: that needs Linux 5.17 or newer with the tracepoints exceptions:page_fault_user and "
			      "page_fault_kernel, and another source of RSS changes than tracepoint; --no-mappings ends this notice");
	else if (p->mappings && !p->unmaps)
		rt_log_detail("kernel: it has no tracepoint mmap_lock:mmap_lock_start_locking: pages that are unmapped may be under <unknown>");
}

static int on_ring(void *ctx, void *data, size_t size)
{
	struct rt_probe *p = ctx;

	p->on_record(p->ctx, data, size);
	return 0; /* a negative value would end the poll: malformed records are the accounting core's to count */
}

/* Can the programs of tracepoints be preempted? No BTF and no config says so. */
static bool tracepoints_preempted(void)
{
	struct utsname u;

	return !uname(&u) && strtoul(u.release, NULL, 10) >= 7;
}

static bool uses_rss_stat(const struct rt_probe *p)
{
	return p->split || p->source == RT_MM_RSS_STAT;
}

/* Loads only what this source needs: the rest may not even pass the verifier here. */
static void select_programs(struct rt_probe *p)
{
	struct rt_skel *s = p->skel;

	bpf_program__set_autoload(s->progs.rss_stat_btf, uses_rss_stat(p) && !p->raw);
	bpf_program__set_autoload(s->progs.rss_stat_raw, uses_rss_stat(p) && p->raw);
	bpf_program__set_autoload(s->progs.mm_fault_fexit, p->source == RT_MM_FEXIT);
	bpf_program__set_autoload(s->progs.mm_fault_kretprobe, p->source == RT_MM_KPROBE);
	bpf_program__set_autoload(s->progs.mm_fault_user, p->source == RT_MM_TRACEPOINT);
	bpf_program__set_autoload(s->progs.mm_fault_kernel, p->source == RT_MM_TRACEPOINT);
	bpf_program__set_autoload(s->progs.mm_sys_exit, p->source == RT_MM_TRACEPOINT || !uses_rss_stat(p));
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

static bool loads_usdt(const struct rt_probe *p)
{
	return p->config.usdt && !(p->config.usdt_may_lack && p->calls_refused);
}

static int load(struct rt_probe *p)
{
	struct rt_skel *skel = rt_skel_open(p->old);
	uint32_t cpus = (uint32_t)p->cpus;
	bool preempted = tracepoints_preempted();
	int err;

	if (!skel)
		return -errno;
	p->skel = skel;
	skel->rodata->cfg.cpus = cpus;
	skel->rodata->cfg.follow = p->config.follow;
	skel->rodata->cfg.want_line_tables = p->config.want_line_tables;
	skel->rodata->cfg.every_move = p->config.every_move;
	skel->rodata->cfg.sample_looks = p->config.sample_hz > 0;
	skel->rodata->cfg.flush_age_ns = FLUSH_AGE_NS;
	check_mappings(p);
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
		bpf_program__set_autoload(skel->progs.usdt_entry, loads_usdt(p));
		bpf_program__set_autoload(skel->progs.usdt_return, loads_usdt(p));
		bpf_program__set_autoload(skel->progs.fault_user, p->mappings);
		bpf_program__set_autoload(skel->progs.fault_kernel, p->mappings);
		bpf_program__set_autoload(skel->progs.mmap_locking, p->unmaps);
		bpf_program__set_autoload(skel->progs.process_exit_again, preempted);
		bpf_program__set_autoload(skel->progs.process_exec_again, preempted);
		bpf_program__set_autoload(skel->progs.process_fork_again, preempted);
		bpf_program__set_autoload(skel->progs.task_renamed_again, preempted);
	}
	bpf_map__set_max_entries(skel->maps.parts, RT_MAX_SPACES * cpus);
	bpf_map__set_max_entries(skel->maps.cpu_offset, cpus);
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
	return done ? RT_OK : bpf_refused("running a BPF program on each CPU", err);
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
	if (err && err != -EPERM && !p->raw && uses_rss_stat(p)) {
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
		if (!err)
			return RT_OK;
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
	return bpf_refused("loading the BPF programs", first);
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
	status = check_kernel(&split);
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
		status = bpf_refused("mapping the ring buffer", -errno);
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

/* All links but those of births, execs and ends, or (`all`) those too. */
static void detach(struct rt_probe *p, bool all)
{
	struct rt_skel *s = p->skel;
#define MEMBER(name) &s->links.name,
	struct bpf_link **links[] = {RT_SKEL_PROGS(MEMBER)};
#undef MEMBER
	const struct bpf_program *life[] = {s->progs.process_fork, s->progs.process_fork_again, s->progs.process_exec, s->progs.process_exec_again,
					    s->progs.process_exit, s->progs.process_exit_again, s->progs.task_renamed, s->progs.task_renamed_again};
#define MEMBER(name) s->progs.name,
	const struct bpf_program *progs[] = {RT_SKEL_PROGS(MEMBER)};
#undef MEMBER

	for (int i = 0; p->samples && i < p->cpus; i++)
		bpf_link__destroy(p->samples[i]);
	free(p->samples);
	p->samples = NULL;
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		bool keep = false;

		for (size_t k = 0; !all && k < sizeof(life) / sizeof(*life); k++)
			keep |= life[k] && life[k] == progs[i];
		if (keep)
			continue;
		bpf_link__destroy(*links[i]);
		*links[i] = NULL;
	}
}

void rt_probe_close(struct rt_probe *p)
{
	if (!p)
		return;
	if (p->skel) {
		detach(p, true);
		ring_buffer__free(p->ring);
		rt_skel_destroy(p->skel);
	}
	free(p);
}

bool rt_probe_mappings(const struct rt_probe *p)
{
	return p->mappings;
}

enum rt_mm_source rt_probe_source(const struct rt_probe *p)
{
	return p->source;
}

const char *rt_probe_hook(const struct rt_probe *p)
{
	static const char *const hooks[RT_MM_SOURCES] = {
		[RT_MM_RSS_STAT] = "tp_btf", [RT_MM_FEXIT] = "fexit", [RT_MM_KPROBE] = "kretprobe", [RT_MM_TRACEPOINT] = "tp_btf",
	};

	return p->source == RT_MM_RSS_STAT && p->raw ? "raw_tp" : hooks[p->source];
}

static uint64_t fnv(const char *text, size_t len)
{
	uint64_t h = RT_FNV_BASIS;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * RT_FNV_PRIME;
	return h;
}

/* The key that the kernel side computes of a code object with this name and file (bpf/pycode.bpf.h). */
static uint64_t name_key(const char *function, const char *file)
{
	uint64_t q = fnv(function, strlen(function));
	const char *base, *two;

	if (!file || !*file)
		return RT_NAME_KEY0(q);
	base = strrchr(file, '/');
	if (!base)
		return RT_NAME_KEY1(q, fnv(file, strlen(file)));
	for (two = base; two > file && two[-1] != '/'; two--)
		;
	return RT_NAME_KEY2(q, fnv(two, strlen(two)));
}

int rt_probe_add_name(struct rt_probe *p, const char *function, const char *file, uint32_t flags)
{
	uint64_t key = name_key(function, file);
	uint32_t old = 0;
	int fd = bpf_map__fd(p->skel->maps.names);

	if (!bpf_map_lookup_elem(fd, &key, &old))
		flags |= old;
	if (bpf_map_update_elem(fd, &key, &flags, BPF_ANY)) {
		rt_log_error("profile: function %s in %s: %s: a profile can name at most %d functions", function, file ? file : "any file",
			     strerror(errno), RT_MAX_NAMES);
		return RT_ERROR;
	}
	return RT_OK;
}

static int pyoff_index(struct rt_probe *p, const struct rt_pyoff *off, uint32_t *index)
{
	uint32_t i;

	for (i = 0; i < p->n_pyoffs; i++)
		if (!memcmp(&p->pyoffs[i], off, sizeof(*off)))
			break;
	if (i == RT_MAX_PYOFFS) {
		rt_log_error("more than %d kinds of Python interpreters at a time: this one's processes are shown without phases", RT_MAX_PYOFFS);
		return RT_ERROR;
	}
	if (i == p->n_pyoffs) {
		if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.pyoffs), &i, off, BPF_ANY)) {
			rt_log_error("map pyoffs: %s", strerror(errno));
			return RT_ERROR;
		}
		p->pyoffs[p->n_pyoffs++] = *off;
	}
	*index = i;
	return RT_OK;
}

int rt_probe_add_bin(struct rt_probe *p, const struct rt_bin_key *key, struct rt_bin *bin, const struct rt_pyoff *off)
{
	if (bin->kind != RT_BIN_NONE && pyoff_index(p, off, &bin->pyoff))
		return RT_ERROR;
	if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.bins), key, bin, BPF_ANY)) {
		rt_log_error("map bins: %s: more than %d different executables were run; further ones are shown without phases", strerror(errno),
			     RT_MAX_BINS);
		return RT_ERROR;
	}
	__atomic_add_fetch(&p->skel->bss->globals.bins_epoch, 1, __ATOMIC_SEQ_CST);
	return RT_OK;
}

bool rt_probe_knows_bin(const struct rt_probe *p, const struct rt_bin_key *key)
{
	struct rt_bin bin;

	return !bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.bins), key, &bin);
}

static int attach_samples(struct rt_probe *p)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = p->config.sample_hz > FLUSH_HZ ? p->config.sample_hz : FLUSH_HZ,
	};
	int online = 0, err = 0;

	p->samples = calloc((size_t)p->cpus, sizeof(*p->samples));
	if (!p->samples)
		return bpf_refused("clock samples", -ENOMEM);
	for (int cpu = 0; cpu < p->cpus; cpu++) {
		int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

		if (fd < 0) {
			err = -errno;
			continue;
		}
		p->samples[cpu] = bpf_program__attach_perf_event(p->skel->progs.clock_sample, fd);
		if (!p->samples[cpu]) {
			err = -errno;
			close(fd);
			continue;
		}
		online++;
	}
	return online ? RT_OK : bpf_refused("perf_event_open of a software clock", err);
}

/* That a process was killed for lack of memory is worth knowing, and no run fails because it cannot be told of. */
static void attach_oom(struct rt_probe *p)
{
	struct rt_skel *s = p->skel;

	if (!p->oom_refused)
		s->links.oom_victim = bpf_program__attach_raw_tracepoint(s->progs.oom_victim, "mark_victim");
	if (!s->links.oom_victim)
		rt_log_detail("tracepoint oom:mark_victim: %s: processes that the kernel kills for lack of memory (OOM) end by SIGKILL, and nothing says why; "
			      "ramtrack-bpf doctor says what is missing", p->oom_refused ? "program refused" : strerror(errno));
}

int rt_probe_attach(struct rt_probe *p)
{
	struct rt_skel *s = p->skel;
	struct {
		struct bpf_program *prog;
		struct bpf_link **link;
		const char *what;
	} hooks[] = {
		/* births and deaths first: what is adopted later must not fork unseen */
		{s->progs.process_exit, &s->links.process_exit, "tracepoint sched_process_exit"},
		{s->progs.process_exec, &s->links.process_exec, "tracepoint sched_process_exec"},
		{s->progs.process_fork, &s->links.process_fork, "tracepoint sched_process_fork"},
		{s->progs.task_renamed, &s->links.task_renamed, "tracepoint task_rename"},
		{s->progs.process_exit_again, &s->links.process_exit_again, "tracepoint sched_process_exit, second program"},
		{s->progs.process_exec_again, &s->links.process_exec_again, "tracepoint sched_process_exec, second program"},
		{s->progs.process_fork_again, &s->links.process_fork_again, "tracepoint sched_process_fork, second program"},
		{s->progs.task_renamed_again, &s->links.task_renamed_again, "tracepoint task_rename, second program"},
		{s->progs.sched_switched, &s->links.sched_switched, "tracepoint sched_switch"},
		{s->progs.thread_wakes, &s->links.thread_wakes, "tracepoint sched_waking"},
		{s->progs.fault_user, &s->links.fault_user, "tracepoint page_fault_user"},
		{s->progs.fault_kernel, &s->links.fault_kernel, "tracepoint page_fault_kernel"},
		{s->progs.mmap_locking, &s->links.mmap_locking, "tracepoint mmap_lock_start_locking"},
		{s->progs.mm_sys_exit, &s->links.mm_sys_exit, "tracepoint sys_exit"},
		{s->progs.rss_stat_btf, &s->links.rss_stat_btf, "tracepoint rss_stat"},
	};

	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		if (!hooks[i].prog || !bpf_program__autoload(hooks[i].prog))
			continue;
		*hooks[i].link = bpf_program__attach(hooks[i].prog);
		if (!*hooks[i].link)
			return bpf_refused(hooks[i].what, -errno);
	}
	if (uses_rss_stat(p) && p->raw) {
		s->links.rss_stat_raw = bpf_program__attach_raw_tracepoint(s->progs.rss_stat_raw, "rss_stat");
		if (!s->links.rss_stat_raw)
			return bpf_refused("raw tracepoint rss_stat", -errno);
	}
	attach_oom(p);
	return attach_samples(p);
}

bool rt_probe_has_native(const struct rt_probe *p)
{
	return p->config.native && !p->native_refused && !p->old;
}

struct rt_skel *rt_probe_skel(const struct rt_probe *p)
{
	return p->skel;
}

bool rt_probe_has_usdt(const struct rt_probe *p)
{
	return loads_usdt(p) && !p->old;
}

struct bpf_program *rt_probe_entry_program(const struct rt_probe *p, enum rt_entry_program which)
{
	switch (which) {
	case RT_ENTRY_PROGRAM_EVAL:
		return p->skel->progs.eval_entry;
	case RT_ENTRY_PROGRAM_PUSH:
		return p->config.push && !p->calls_refused ? p->skel->progs.push_entry : NULL;
	case RT_ENTRY_PROGRAM_USDT_ENTRY:
		return rt_probe_has_usdt(p) ? p->skel->progs.usdt_entry : NULL;
	case RT_ENTRY_PROGRAM_USDT_RETURN:
		return rt_probe_has_usdt(p) ? p->skel->progs.usdt_return : NULL;
	}
	return NULL;
}

void rt_probe_watch_fds(const struct rt_probe *p, int *prog, int *map)
{
	*prog = p->skel->progs.watch_hit ? bpf_program__fd(p->skel->progs.watch_hit) : -1;
	*map = p->skel->maps.watches ? bpf_map__fd(p->skel->maps.watches) : -1;
}

static int set_target(struct rt_probe *p, pid_t pid, uint32_t how)
{
	uint32_t key = (uint32_t)pid;

	if (!bpf_map_update_elem(bpf_map__fd(p->skel->maps.targets), &key, &how, BPF_ANY))
		return RT_OK;
	rt_log_error("process %d: cannot be put on the list of targets: %s", (int)pid, strerror(errno));
	return RT_ERROR;
}

int rt_probe_target_exec(struct rt_probe *p, pid_t pid)
{
	return set_target(p, pid, TARGET_EXEC);
}

void rt_probe_wait_exec(struct rt_probe *p, bool wait)
{
	__atomic_store_n(&p->skel->bss->globals.waiting, (uint32_t)wait, __ATOMIC_SEQ_CST);
}

void rt_probe_drop(struct rt_probe *p, uint32_t image)
{
	uint64_t args[1] = {image};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	if (bpf_prog_test_run_opts(bpf_program__fd(p->skel->progs.drop_image), &opts))
		rt_log_detail("giving up an address space: %s", strerror(errno));
}

void rt_probe_drop_done(struct rt_probe *p)
{
	rt_probe_drop(p, 0);
}

/* Runs an iterator over all tasks once. */
static int iterate(struct bpf_program *prog, const char *what)
{
	struct bpf_link *link = bpf_program__attach_iter(prog, NULL);
	char sink[256];
	int fd, err = 0;

	if (!link)
		return bpf_refused(what, -errno);
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		err = -errno;
		bpf_link__destroy(link);
		return bpf_refused(what, err);
	}
	while (read(fd, sink, sizeof(sink)) > 0)
		;
	close(fd);
	bpf_link__destroy(link);
	return RT_OK;
}

int rt_probe_adopt(struct rt_probe *p, const pid_t *pids, size_t count)
{
	int status;

	for (size_t i = 0; i < count; i++) {
		status = set_target(p, pids[i], TARGET_ADOPT);

		if (status)
			return status;
	}
	status = iterate(p->skel->progs.adopt_tasks, "iterating over tasks");
	if (!status && p->split)
		status = iterate(p->skel->progs.announce_tasks, "iterating over tasks");
	return status;
}

int rt_probe_fd(const struct rt_probe *p)
{
	return ring_buffer__epoll_fd(p->ring);
}

void rt_probe_consume(struct rt_probe *p)
{
	ring_buffer__consume(p->ring);
}

static void snapshot(struct rt_probe *p, uint64_t final)
{
	uint64_t args[1] = {final};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	if (bpf_prog_test_run_opts(bpf_program__fd(p->skel->progs.snapshot), &opts))
		rt_log_error("reading the final counters: %s: unaccounted bytes are not known", strerror(errno));
}

void rt_probe_finish(struct rt_probe *p)
{
	rt_probe_consume(p);
	snapshot(p, 0); /* while changes still come in: are the running sums those of the kernel? */
	if (p->split)
		iterate(p->skel->progs.compare_tasks, "comparing the tasks' counters");
	rt_probe_cost(p, &p->final_cost);
	/* What a thread holds is sent while ends are still told: one that ends takes what it holds with it, and its last changes are found there without their events. */
	detach(p, false);
	usleep(20000); /* a program that was running when its link went has ended */
	iterate(p->skel->progs.flush_tasks, "collecting what threads still hold");
	detach(p, true);
	usleep(20000);
	snapshot(p, 1);
	rt_probe_consume(p);
}

void rt_probe_new_generation(struct rt_probe *p, uint32_t *node, uint32_t *code)
{
	struct rt_globals *g = &p->skel->bss->globals;

	__atomic_add_fetch(&g->generation, 1, __ATOMIC_SEQ_CST);
	*node = __atomic_load_n(&g->next_node, __ATOMIC_SEQ_CST);
	*code = __atomic_load_n(&g->next_code, __ATOMIC_SEQ_CST);
}

void rt_probe_counters(const struct rt_probe *p, uint64_t out[RT_COUNTERS])
{
	size_t row = RT_COUNTERS * sizeof(uint64_t);
	uint64_t *values = calloc((size_t)p->cpus, row);
	uint32_t zero = 0;

	memset(out, 0, row);
	if (values && !bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.counters), &zero, values))
		for (int cpu = 0; cpu < p->cpus; cpu++)
			for (int i = 0; i < RT_COUNTERS; i++)
				out[i] += values[(size_t)cpu * RT_COUNTERS + (size_t)i];
	free(values);
}

/* What the kernel says a map takes: /proc/self/fdinfo, line "memlock:". */
static uint64_t map_bytes(int fd)
{
	char path[64], line[256];
	unsigned long long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &n) == 1)
			break;
	fclose(f);
	return n;
}

/* A program's runs on all CPUs, and from those that were timed how long all took. */
static struct rt_prog_cost program_cost(const struct rt_probe *p, uint32_t id, const char *name, struct rt_cost *parts)
{
	struct rt_prog_cost cost = {.name = name};
	uint64_t runs, timed, each;

	if (bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.costs), &id, parts))
		return cost;
	for (int cpu = 0; cpu < p->cpus; cpu++) {
		cost.runs += parts[cpu].runs;
		cost.ns += parts[cpu].first_ns;
		if (parts[cpu].runs <= RT_COST_FIRST)
			continue;
		/* The first runs are slow ones: they do not count for the others, unless none of these was timed yet. */
		runs = parts[cpu].runs - RT_COST_FIRST;
		timed = parts[cpu].timed ? parts[cpu].timed : RT_COST_FIRST;
		each = (parts[cpu].timed ? parts[cpu].ns : parts[cpu].first_ns) / timed;
		cost.ns += runs * each;
	}
	return cost;
}

/* How often the kernel left a program out. */
static uint64_t program_missed(const struct rt_probe *p, const struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int fd = bpf_program__fd(prog);

	/* mmap_locking: its own look-up takes the lock that it is called for */
	if (prog == p->skel->progs.mmap_locking || fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return 0;
	return info.recursion_misses;
}

void rt_probe_entry_cost(const struct rt_probe *p, enum rt_entry_program which, uint64_t *runs, uint64_t *ns)
{
	static const uint32_t ids[] = {
		[RT_ENTRY_PROGRAM_EVAL] = RT_COST_eval_entry, [RT_ENTRY_PROGRAM_PUSH] = RT_COST_push_entry,
		[RT_ENTRY_PROGRAM_USDT_ENTRY] = RT_COST_usdt_entry, [RT_ENTRY_PROGRAM_USDT_RETURN] = RT_COST_usdt_return,
	};
	struct rt_cost *parts = calloc((size_t)p->cpus, sizeof(*parts));
	struct rt_prog_cost cost = parts ? program_cost(p, ids[which], NULL, parts) : (struct rt_prog_cost){0};

	*runs = cost.runs;
	*ns = cost.ns;
	free(parts);
}

void rt_probe_cost(const struct rt_probe *p, struct rt_probe_cost *out)
{
	static const char *const names[] = {
#define NAME(name) #name,
		RT_COSTS(NAME)
#undef NAME
	};
	struct rt_cost *parts = calloc((size_t)p->cpus, sizeof(*parts));
	struct bpf_program *prog;
	struct bpf_map *map;

	if (p->final_cost.n_progs) {
		*out = p->final_cost;
		free(parts);
		return;
	}
	memset(out, 0, sizeof(*out));
	for (uint32_t id = 0; parts && id < RT_COST_IDS; id++) {
		struct rt_prog_cost cost = program_cost(p, id, names[id], parts);

		prog = bpf_object__find_program_by_name(p->skel->obj, names[id]);
		if (!prog)
			continue;
		cost.missed = program_missed(p, prog);
		if (!cost.runs && !cost.missed)
			continue;
		out->runs += cost.runs;
		out->ns += cost.ns;
		out->missed += cost.missed;
		if (out->n_progs < RT_PROG_COSTS)
			out->prog[out->n_progs++] = cost;
	}
	free(parts);
	bpf_object__for_each_map(map, p->skel->obj)
		out->map_bytes += map_bytes(bpf_map__fd(map));
}
