/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "kfeat.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "procfs.h"

#include "featprobe.skel.h"

#define PAGES 256	     /* touched to provoke page faults */
#define SITE_CALLS 3	     /* of the function that carries the uprobe */
#define CLOCK_HZ 997
#define CLOCK_PATIENCE_NS 1000000000ull /* a clock that has not fired in this time does not fire */
#define MAX_CLOCKS 4096
#define CHILD_MARK "RAMTRACK_FEATURE_CHILD"

struct trial {
	enum rt_feat feat;
	struct featprobe *skel;
	struct bpf_program *prog;
	struct bpf_link *link;
};

/* ---- provoking ---- */

static void provoke_faults(struct trial *t)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = PAGES * page;
	volatile char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return;
	madvise((void *)at, len, MADV_NOHUGEPAGE); /* one fault a page; refused where there are no huge pages */
	for (size_t i = 0; i < len; i += page)
		at[i] = 1;
	munmap((void *)at, len);
}

static void provoke_switch(struct trial *t)
{
	struct timespec ts = {.tv_nsec = 2000000};

	nanosleep(&ts, NULL);
}

static void provoke_rename(struct trial *t)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	prctl(PR_SET_NAME, name);
}

/* The child is this program itself, which prints its version and ends. A mark in its environment keeps any other program that links this
 * file, and so would try everything again, from doing that without end. */
static void provoke_child(struct trial *t)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		setenv(CHILD_MARK, "1", 1);
		execl("/proc/self/exe", "ramtrack-bpf", "--version", NULL);
		_exit(127);
	}
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
}

__attribute__((noinline)) static int probed_site(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

static void provoke_site(struct trial *t)
{
	volatile int x = 0;

	for (int i = 0; i < SITE_CALLS; i++)
		x = probed_site(x);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void provoke_clock(struct trial *t)
{
	volatile unsigned long long *hits = &t->skel->bss->hits[RT_FEAT_CLOCK];
	uint64_t until = now_ns() + CLOCK_PATIENCE_NS;

	while (!*hits && now_ns() < until)
		;
}

static int on_ring(void *ctx, void *data, size_t size)
{
	struct trial *t = ctx;

	t->skel->bss->hits[RT_FEAT_RINGBUF] += size == sizeof(uint64_t) && *(uint64_t *)data == RT_FEAT_RINGBUF;
	return 0;
}

static void provoke_ring(struct trial *t)
{
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(t->skel->maps.probe_ring), on_ring, t, NULL);

	if (!ring)
		return;
	provoke_rename(t);
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
}

static void provoke_iter(struct trial *t)
{
	int fd = bpf_iter_create(bpf_link__fd(t->link));
	char sink[256];

	if (fd < 0)
		return;
	while (read(fd, sink, sizeof(sink)) > 0)
		;
	close(fd);
}

/* ---- attaching, where libbpf needs to be told how ---- */

struct site {
	uint64_t address, offset;
	bool found;
};

static int find_site(void *ctx, const struct rt_proc_map *map)
{
	struct site *site = ctx;

	if (site->address < map->start || site->address >= map->end)
		return 0;
	site->offset = site->address - map->start + map->offset;
	site->found = true;
	return 1;
}

static int attach_site(struct trial *t)
{
	struct site site = {.address = (uint64_t)(uintptr_t)&probed_site};
	int code = rt_proc_maps(getpid(), find_site, &site);

	if (code < 0 || !site.found)
		return code < 0 ? code : -ENOENT;
	/* In all processes, as the tool does it. */
	t->link = bpf_program__attach_uprobe(t->prog, false, -1, "/proc/self/exe", site.offset);
	return t->link ? 0 : -errno;
}

/* On every CPU that is online, since we may be moved; the links are this function's until the clock has fired. */
static int attach_clock(struct trial *t)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = CLOCK_HZ,
	};
	int cpus = libbpf_num_possible_cpus(), err = -ENODEV, n = 0;
	struct bpf_link **links;

	if (cpus < 1 || cpus > MAX_CLOCKS)
		return -E2BIG;
	links = calloc((size_t)cpus, sizeof(*links));
	if (!links)
		return -ENOMEM;
	for (int cpu = 0; cpu < cpus; cpu++) {
		int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

		if (fd < 0) {
			err = errno == ENODEV ? err : -errno; /* ENODEV: possible, but not online */
			continue;
		}
		links[n] = bpf_program__attach_perf_event(t->prog, fd);
		if (links[n]) {
			n++;
			continue;
		}
		err = -errno;
		close(fd);
	}
	if (n)
		provoke_clock(t);
	for (int i = 0; i < n; i++)
		bpf_link__destroy(links[i]);
	free(links);
	return n ? 0 : err;
}

static int attach_iter(struct trial *t)
{
	t->link = bpf_program__attach_iter(t->prog, NULL);
	return t->link ? 0 : -errno;
}

static int attach_run(struct trial *t)
{
	int cpu = sched_getcpu();
	LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = (uint32_t)(cpu < 0 ? 0 : cpu));

	return bpf_prog_test_run_opts(bpf_program__fd(t->prog), &opts) ? -errno : 0;
}

static int attach_plain(struct trial *t)
{
	t->link = bpf_program__attach(t->prog);
	return t->link ? 0 : -errno;
}

static const struct recipe {
	const char *prog; /* NULL: no program is needed */
	int (*attach)(struct trial *t);
	void (*provoke)(struct trial *t);
	uint64_t wanted;
} recipes[RT_FEATS] = {
	[RT_FEAT_RINGBUF] = {"feat_ringbuf", attach_plain, provoke_ring, 1},
	[RT_FEAT_RSS_BTF] = {"feat_rss_btf", attach_plain, provoke_faults, PAGES},
	[RT_FEAT_RSS_RAW] = {"feat_rss_raw", attach_plain, provoke_faults, PAGES},
	[RT_FEAT_FEXIT] = {"feat_fexit", attach_plain, provoke_faults, PAGES},
	[RT_FEAT_KPROBE] = {"feat_kprobe", attach_plain, provoke_faults, PAGES},
	[RT_FEAT_KRETPROBE] = {"feat_kretprobe", attach_plain, provoke_faults, PAGES},
	[RT_FEAT_PAGE_FAULT] = {"feat_page_fault", attach_plain, provoke_faults, PAGES},
	[RT_FEAT_SWITCH] = {"feat_switch", attach_plain, provoke_switch, 1},
	[RT_FEAT_FORK] = {"feat_fork", attach_plain, provoke_child, 1},
	[RT_FEAT_EXEC] = {"feat_exec", attach_plain, provoke_child, 1},
	[RT_FEAT_EXIT] = {"feat_exit", attach_plain, provoke_child, 1},
	[RT_FEAT_RENAME] = {"feat_rename", attach_plain, provoke_rename, 1},
	[RT_FEAT_ITER_TASK] = {"feat_iter_task", attach_iter, provoke_iter, 1},
	[RT_FEAT_TASK_STORAGE] = {"feat_task_storage", attach_plain, provoke_rename, 1},
	[RT_FEAT_LOOP] = {"feat_loop", attach_plain, provoke_rename, RT_FEAT_LOOPS},
	[RT_FEAT_RUN_ON_CPU] = {"feat_run_on_cpu", attach_run, NULL, 1},
	[RT_FEAT_CLOCK] = {"feat_clock", attach_clock, NULL, 1},
	[RT_FEAT_UPROBE] = {"feat_uprobe", attach_site, provoke_site, SITE_CALLS},
	[RT_FEAT_OOM] = {"feat_oom", attach_plain, NULL, 0},
};

/* ---- one trial ---- */

static int quiet_print(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_DEBUG && rt_log_level() > 1)
		vfprintf(stderr, format, args);
	return 0;
}

/* Loads the one program, with the maps that it alone needs. */
static int load_one(struct trial *t, const char *name)
{
	struct bpf_program *prog;
	struct stat ns;

	t->skel = featprobe__open();
	if (!t->skel)
		return -errno;
	if (stat("/proc/self/ns/pid", &ns))
		return -errno;
	t->skel->rodata->self_dev = (uint64_t)major(ns.st_dev) << 20 | minor(ns.st_dev); /* as the kernel writes it */
	t->skel->rodata->self_ino = ns.st_ino;
	t->skel->rodata->self_tgid = (uint32_t)getpid();
	bpf_map__set_autocreate(t->skel->maps.probe_ring, t->feat == RT_FEAT_RINGBUF);
	bpf_map__set_autocreate(t->skel->maps.probe_storage, t->feat == RT_FEAT_TASK_STORAGE);
	bpf_map__set_max_entries(t->skel->maps.probe_ring, (uint32_t)sysconf(_SC_PAGESIZE));
	bpf_object__for_each_program(prog, t->skel->obj) {
		bool wanted = !strcmp(bpf_program__name(prog), name);

		bpf_program__set_autoload(prog, wanted);
		if (wanted)
			t->prog = prog;
	}
	return t->prog ? featprobe__load(t->skel) : -ENOENT;
}

static void try_one(enum rt_feat feat, struct rt_feat_result *result)
{
	const struct recipe *r = &recipes[feat];
	struct trial t = {.feat = feat};
	int err = load_one(&t, r->prog);

	result->wanted = r->wanted;
	result->state = RT_TRY_REFUSED;
	if (!err) {
		result->state = RT_TRY_UNATTACHED;
		err = r->attach(&t);
	}
	if (!err) {
		if (r->provoke)
			r->provoke(&t);
		bpf_link__destroy(t.link);
		result->hits = __atomic_load_n(&t.skel->bss->hits[feat], __ATOMIC_SEQ_CST);
		result->state = result->hits >= result->wanted ? RT_TRY_WORKS : RT_TRY_SILENT;
	}
	result->err = err;
	featprobe__destroy(t.skel);
}

/* ---- types ---- */

/* Is the member `name` of a struct an array of `element`? Members of anonymous structs count as its own, `depth` deep. */
static bool member_is_array_of(const struct btf *btf, const struct btf_type *type, const char *name, int element, int depth)
{
	const struct btf_member *m = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++, m++) {
		const struct btf_type *t = btf__type_by_id(btf, m->type);
		const char *is = btf__name_by_offset(btf, m->name_off);

		if (!t || !is)
			continue;
		if (!strcmp(is, name))
			return btf_is_array(t) && (int)btf_array(t)->type == element;
		if (!*is && depth && btf_is_composite(t) && member_is_array_of(btf, t, name, element, depth - 1))
			return true;
	}
	return false;
}

static void try_types(struct rt_kfeat *out)
{
	struct rt_feat_result *result = &out->feat[RT_FEAT_BTF];
	struct btf *btf = btf__load_vmlinux_btf();
	int counter, mm;

	result->wanted = 1;
	if (!btf) {
		result->state = RT_TRY_REFUSED;
		result->err = -errno;
		return;
	}
	result->state = RT_TRY_WORKS;
	result->hits = 1;
	counter = btf__find_by_name_kind(btf, "percpu_counter", BTF_KIND_STRUCT);
	mm = btf__find_by_name_kind(btf, "mm_struct", BTF_KIND_STRUCT);
	out->percpu_rss = counter > 0 && mm > 0 &&
			  member_is_array_of(btf, btf__type_by_id(btf, (uint32_t)mm), "rss_stat", counter, 2);
	btf__free(btf);
}

void rt_kfeat_try(uint32_t mask, struct rt_kfeat *out)
{
	libbpf_print_fn_t before;

	memset(out, 0, sizeof(*out));
	if (getenv(CHILD_MARK))
		return;
	before = libbpf_set_print(quiet_print);
	if (mask & RT_FEAT_BIT(RT_FEAT_BTF))
		try_types(out);
	for (int i = 0; i < RT_FEATS; i++)
		if ((mask >> i & 1) && recipes[i].prog)
			try_one((enum rt_feat)i, &out->feat[i]);
	libbpf_set_print(before);
}
