/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "probe_in.h"
#include "rt_config.h"
#include "rt_cost.h"

#define FLUSH_HZ 20		 /* clock samples that only flush, when none are asked for */
#define TARGET_ADOPT 1		 /* enum rt_target in bpf/life.bpf.h */
#define TARGET_EXEC 2

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
	for (size_t i = 0; i < RT_UNMAP_CALLS; i++) {
		bpf_link__destroy(p->unmaps[i]);
		p->unmaps[i] = NULL;
	}
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
		return rt_probe_refused("clock samples", -ENOMEM);
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
	return online ? RT_OK : rt_probe_refused("perf_event_open of a software clock", err);
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

/* Kprobes on the entries of system calls that can unmap (arch/x86/include/asm/syscall_wrapper.h: their names; those of 32 bits are not asked, see rt_map_called). Are they hit?
 * Root can have switched all kprobes off (/sys/kernel/debug/kprobes/enabled). */
static bool attach_unmap_calls(struct rt_probe *p)
{
	static const char *const calls[RT_UNMAP_CALLS] = {"__x64_sys_munmap", "__x64_sys_mremap", "__x64_sys_shmdt", "__x64_sys_mmap"};
	size_t n = 0, page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t before, after = 0;
	void *memory;

	rt_probe_hush(true);
	while (n < RT_UNMAP_CALLS && (p->unmaps[n] = bpf_program__attach_kprobe(p->skel->progs.unmap_call, false, calls[n])))
		n++;
	rt_probe_hush(false);
	before = rt_probe_runs(p, RT_COST_unmap_call);
	memory = n == RT_UNMAP_CALLS ? mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
	if (memory != MAP_FAILED) {
		munmap(memory, page);
		after = rt_probe_runs(p, RT_COST_unmap_call);
	}
	if (after >= before + 2)
		return true;
	while (n)
		bpf_link__destroy(p->unmaps[--n]);
	memset(p->unmaps, 0, sizeof(p->unmaps));
	rt_log_detail("no kprobes on system calls: the locks of address spaces tell of what is unmapped");
	return false;
}

/* What tells of a system call that is about to unmap: its entry or, without kprobes, the locks of address spaces; without these as well pages that are unmapped may be under <unknown>. */
static int attach_unmaps(struct rt_probe *p)
{
	struct rt_skel *s = p->skel;

	if (!p->mappings || attach_unmap_calls(p))
		return RT_OK;
	if (!p->locking) {
		rt_log_detail("kernel: neither kprobes on system calls nor the tracepoint mmap_lock:mmap_lock_start_locking: pages that are unmapped may be under <unknown>");
		return RT_OK;
	}
	s->links.mmap_locking = bpf_program__attach(s->progs.mmap_locking);
	return s->links.mmap_locking ? RT_OK : rt_probe_refused("tracepoint mmap_lock_start_locking", -errno);
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
		{s->progs.mm_sys_exit, &s->links.mm_sys_exit, "tracepoint sys_exit"},
		{s->progs.rss_stat_btf, &s->links.rss_stat_btf, "tracepoint rss_stat"},
	};
	int status;

	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		if (!hooks[i].prog || !bpf_program__autoload(hooks[i].prog))
			continue;
		*hooks[i].link = bpf_program__attach(hooks[i].prog);
		if (!*hooks[i].link)
			return rt_probe_refused(hooks[i].what, -errno);
	}
	if (rt_probe_uses_rss_stat(p) && p->raw) {
		s->links.rss_stat_raw = bpf_program__attach_raw_tracepoint(s->progs.rss_stat_raw, "rss_stat");
		if (!s->links.rss_stat_raw)
			return rt_probe_refused("raw tracepoint rss_stat", -errno);
	}
	attach_oom(p);
	status = attach_unmaps(p);
	return status ? status : attach_samples(p);
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
	return rt_probe_loads_usdt(p) && !p->old;
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
		return rt_probe_refused(what, -errno);
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		err = -errno;
		bpf_link__destroy(link);
		return rt_probe_refused(what, err);
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
