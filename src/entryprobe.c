/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "entryprobe.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "budget.h"
#include "log.h"

#define MAX_FILES 64			/* interpreters that get probes */
#define MAX_SITES (2 * RT_USDT_SITES)	/* of one */
#define BURST_NS 5000000ull		/* every call pays: imports have used this up within two looks */
#define FIRST_NS 1000000000ull		/* programs begin with imports: not tried before */
#define PAUSE_NS 4000000000ull		/* a try that fails costs some 40 ms (see `close_site`): 1 % of this time */
#define FRESH_NS 100000000ull		/* put on so lately: looked at often */
#define TRIAL_HITS 1000
#define PYTHON_NS 200			/* a hit's share of what the interpreter does for the probe's arguments (docs/design.md) */

struct site {
	enum rt_entry_program program;
	uint64_t offset;    /* in the file */
	uint64_t semaphore; /* file offset of its counter, which the kernel holds up in all processes while the probe is there; 0: it has none */
	struct bpf_link *link;
	pthread_t closer; /* destroys `link` */
	bool closing;
	uint32_t *left;	  /* sites that are being closed */
};

/* A file with an interpreter. The descriptor keeps it reachable when the process that it was read from is gone. */
struct file {
	dev_t dev;
	ino_t ino;
	int fd;
	bool refused; /* auto: the kernel does not take its probes */
	struct site site[MAX_SITES];
	size_t n_sites;
};

struct rt_entryprobe {
	struct rt_entryprobe_config config;
	const char *name;
	struct file *files;
	size_t n_files;
	struct rt_budget budget;
	uint64_t hit_ns;   /* auto: what one costs here, without what the program does at it; 0: not tried yet */
	uint64_t runs, ns; /* of the programs when the probes were put on */
	uint32_t closing;  /* sites whose probes are on their way out */
	bool going;	   /* `closing` is not seen to have become 0 yet */
	bool said;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static bool is_auto(const struct rt_entryprobe *e)
{
	return e->config.way == RT_ENTRY_AUTO;
}

static bool is_usdt(const struct rt_entryprobe *e)
{
	return e->config.way != RT_ENTRY_UPROBE;
}

static struct rt_entry_row *row_of(const struct rt_entryprobe *e)
{
	return rt_entrylog_row(e->config.log, e->name, NULL);
}

struct rt_entryprobe *rt_entryprobe_new(const struct rt_entryprobe_config *config)
{
	struct rt_entryprobe *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->config = *config;
	e->name = is_usdt(e) ? "usdt" : "uprobe";
	e->files = calloc(MAX_FILES, sizeof(*e->files));
	if (!e->files) {
		free(e);
		return NULL;
	}
	rt_budget_init(&e->budget, BURST_NS, PAUSE_NS);
	e->budget.again_ns = now_ns() + FIRST_NS;
	return e;
}

/* ---- what a hit costs ---- */

/* A place of our own that is like those: a nop. */
__asm__(".text\n.type rt_entryprobe_trial, @function\nrt_entryprobe_trial:\n\tnop\n\tret\n.size rt_entryprobe_trial, . - rt_entryprobe_trial\n");
void rt_entryprobe_trial(void) __attribute__((visibility("hidden")));

/* File offset of an address in our own executable; 0: not found. */
static uint64_t own_offset(uint64_t addr)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t start, end, offset, found = 0;
	char line[512];

	while (maps && !found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &offset) == 3 && addr >= start && addr < end)
			found = addr - start + offset;
	if (maps)
		fclose(maps);
	return found;
}

static int trial(struct rt_entryprobe *e)
{
	struct bpf_program *prog = rt_probe_entry_program(e->config.probe, RT_ENTRY_PROGRAM_USDT_ENTRY);
	uint64_t offset = own_offset((uint64_t)&rt_entryprobe_trial), begin;
	struct bpf_link *link = offset ? bpf_program__attach_uprobe(prog, false, getpid(), "/proc/self/exe", offset) : NULL;

	if (!link)
		return offset ? -errno : -ENOENT;
	begin = now_ns();
	for (int i = 0; i < TRIAL_HITS; i++)
		rt_entryprobe_trial();
	e->hit_ns = (now_ns() - begin) / TRIAL_HITS + PYTHON_NS;
	bpf_link__destroy(link);
	rt_log_detail("static probes: %llu ns a hit here", (unsigned long long)e->hit_ns);
	return 0;
}

/* The programs' runs so far, in all processes, and what they took. */
static void count(const struct rt_entryprobe *e, uint64_t *runs, uint64_t *ns)
{
	enum rt_entry_program first = is_usdt(e) ? RT_ENTRY_PROGRAM_USDT_ENTRY : RT_ENTRY_PROGRAM_EVAL;
	uint64_t r, n;

	*runs = *ns = 0;
	for (int i = 0; i < 2; i++) {
		rt_probe_entry_cost(e->config.probe, first + (enum rt_entry_program)i, &r, &n);
		*runs += r;
		*ns += n;
	}
}

/* ---- on and off ---- */

/*
 * The kernel takes the program off first and waits until none of its kind runs anywhere (kernel/trace/bpf_trace.c, perf_event_detach_bpf_prog: a grace period of
 * tasks-trace RCU), 100 ms and more; then the breakpoint goes. A thread for each, so that all of them are hit no longer at once, and nothing else waits.
 */
static void *close_site(void *arg)
{
	struct site *s = arg;

	bpf_link__destroy(s->link);
	__atomic_sub_fetch(s->left, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Begins to take the probes of a file off. */
static void file_off(struct rt_entryprobe *e, struct file *f)
{
	for (size_t i = 0; i < f->n_sites; i++) {
		struct site *s = &f->site[i];

		if (!s->link || s->closing)
			continue;
		s->left = &e->closing;
		__atomic_add_fetch(&e->closing, 1, __ATOMIC_SEQ_CST);
		s->closing = !pthread_create(&s->closer, NULL, close_site, s);
		if (!s->closing) {
			close_site(s);
			s->link = NULL;
		}
	}
	e->going = true;
}

/* Waits until all that is on its way out is gone. */
static void join(struct rt_entryprobe *e)
{
	for (size_t i = 0; i < e->n_files; i++) {
		for (size_t k = 0; k < e->files[i].n_sites; k++) {
			struct site *s = &e->files[i].site[k];

			if (!s->closing)
				continue;
			pthread_join(s->closer, NULL);
			s->closing = false;
			s->link = NULL;
		}
	}
	e->going = false;
}

/* Returns 0 or -errno: then none of its sites has a probe. */
static int file_on(struct rt_entryprobe *e, struct file *f)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	for (size_t i = 0; i < f->n_sites; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = f->site[i].semaphore);
		struct bpf_program *prog = rt_probe_entry_program(e->config.probe, f->site[i].program);
		int err;

		f->site[i].link = prog ? bpf_program__attach_uprobe_opts(prog, -1, path, f->site[i].offset, &opts) : (errno = EOPNOTSUPP, NULL);
		if (f->site[i].link)
			continue;
		err = errno ? -errno : -EIO;
		file_off(e, f);
		join(e);
		return err;
	}
	row_of(e)->attached++;
	return 0;
}

static void all_off(struct rt_entryprobe *e)
{
	for (size_t i = 0; i < e->n_files; i++)
		file_off(e, &e->files[i]);
}

/* All are gone. */
static void note_hits(struct rt_entryprobe *e)
{
	uint64_t runs, ns;

	join(e);
	count(e, &runs, &ns);
	if (runs != e->runs)
		row_of(e)->hits += runs - e->runs;
	e->runs = runs;
}

/* Auto: those that may. */
static void all_on(struct rt_entryprobe *e, uint64_t now)
{
	bool any = false;

	if (!e->hit_ns && trial(e)) {
		rt_entrylog_reason(row_of(e), "the kernel refuses uprobes");
		rt_log_detail("static probes refused: calls are not told exactly");
		e->budget.again_ns = UINT64_MAX;
		return;
	}
	count(e, &e->runs, &e->ns);
	for (size_t i = 0; i < e->n_files; i++) {
		struct file *f = &e->files[i];
		int err = f->refused ? -EOPNOTSUPP : file_on(e, f);

		if (err && !f->refused)
			rt_entrylog_reason(row_of(e), "%s", strerror(-err));
		f->refused = err;
		any |= !err;
	}
	if (any)
		rt_budget_on(&e->budget, now);
	else
		rt_budget_failed(&e->budget, now);
}

/* They cost too much. */
static void suspend(struct rt_entryprobe *e, uint64_t hits, uint64_t now)
{
	unsigned long long ms = (now - e->budget.since_ns) / 1000000, pause;

	all_off(e);
	pause = rt_budget_off(&e->budget, now) / 1000000000;
	row_of(e)->detached++;
	rt_entrylog_reason(row_of(e), "too many calls for 1 %% of a core: %llu hits in %llu ms", (unsigned long long)hits, ms);
	if (e->said)
		rt_log_detail("static probes are taken off for %llu s: %s", pause, row_of(e)->reason);
	else
		rt_log_notice("the interpreter's static probes are taken off for %llu s, and again whenever they cost more than 1 %% of a core (%llu hits in %llu ms): calls are not told "
			      "exactly meanwhile; --python-entry usdt keeps them, off never puts them on", pause, (unsigned long long)hits, ms);
	e->said = true;
}

bool rt_entryprobe_tick(struct rt_entryprobe *e, uint64_t now)
{
	uint64_t runs, ns;

	if (!e || !is_auto(e) || !e->n_files)
		return false;
	if (e->going) {
		if (__atomic_load_n(&e->closing, __ATOMIC_SEQ_CST))
			return false;
		note_hits(e);
		e->config.on_off(e->config.ctx, 0, NULL);
	}
	if (!e->budget.on) {
		if (rt_budget_due(&e->budget, now))
			all_on(e, now);
		return e->budget.on;
	}
	count(e, &runs, &ns);
	if (rt_budget_spend(&e->budget, now, (runs - e->runs) * e->hit_ns + (ns > e->ns ? ns - e->ns : 0)))
		return now - e->budget.since_ns < FRESH_NS;
	suspend(e, runs - e->runs, now);
	return false;
}

/* ---- interpreters ---- */

/* Opens it and makes room. Returns NULL with *status set: RT_OK if it has its probes already (several executables share one libpython). */
static struct file *file_new(struct rt_entryprobe *e, const struct rt_pytarget *t, int *status)
{
	int fd = open(t->open_path, O_PATH | O_CLOEXEC), err = fd < 0 ? errno : 0;
	struct stat st;

	*status = RT_OK;
	if (!err && fstat(fd, &st))
		err = errno;
	for (size_t i = 0; !err && i < e->n_files; i++) {
		if (e->files[i].dev != st.st_dev || e->files[i].ino != st.st_ino)
			continue;
		close(fd);
		return NULL;
	}
	if (!err && e->n_files == MAX_FILES)
		err = E2BIG;
	if (!err) {
		e->files[e->n_files] = (struct file){.dev = st.st_dev, .ino = st.st_ino, .fd = fd};
		return &e->files[e->n_files++];
	}
	if (fd >= 0)
		close(fd);
	rt_log_error("%s: entry probes: %s; this interpreter gets none (at most %d do)", t->path, strerror(err), MAX_FILES);
	*status = is_auto(e) ? RT_OK : RT_ERROR;
	return NULL;
}

static void add_site(struct file *f, enum rt_entry_program program, uint64_t offset, uint64_t semaphore)
{
	if (f->n_sites < MAX_SITES)
		f->site[f->n_sites++] = (struct site){.program = program, .offset = offset, .semaphore = semaphore};
}

/* Forced: at once. */
static int force(struct rt_entryprobe *e, struct file *f, const struct rt_pytarget *t)
{
	int err = file_on(e, f);

	if (!err)
		return RT_OK;
	rt_entrylog_reason(row_of(e), "%s", strerror(-err));
	rt_log_error("--python-entry %s: %s: %s: uprobes need CAP_SYS_ADMIN (or root) and a kernel with CONFIG_UPROBE_EVENTS; leave the option out: phases are then found "
		     "without entry probes; run: ramtrack-bpf doctor", e->name, t->path, strerror(-err));
	return err == -EPERM || err == -EACCES ? RT_NO_PRIVILEGE : RT_NO_FEATURE;
}

bool rt_entryprobe_uses_usdt(const struct rt_entryprobe *e, const struct rt_pytarget *t)
{
	return e && is_usdt(e) && t->usdt_entry.n && rt_probe_has_usdt(e->config.probe);
}

static int add_usdt(struct rt_entryprobe *e, const struct rt_pytarget *t)
{
	struct file *f;
	int status;

	if (!t->usdt_entry.n) {
		if (!is_auto(e))
			rt_log_notice("%s: CPython %s has no live probes python:function__entry and function__return (builds of 3.8 to 3.10 and 3.15 with --with-dtrace have them): its calls are "
				      "not told exactly (--python-entry usdt); use --python-entry watch for 3.11 and newer", t->path, t->version);
		return RT_OK;
	}
	f = file_new(e, t, &status);
	if (!f)
		return status;
	/* Ends first: a begin whose end is not seen would be worse than the other way round. */
	for (size_t i = 0; i < t->usdt_return.n; i++)
		add_site(f, RT_ENTRY_PROGRAM_USDT_RETURN, t->usdt_return.site[i].offset, t->usdt_return.site[i].semaphore);
	for (size_t i = 0; i < t->usdt_entry.n; i++)
		add_site(f, RT_ENTRY_PROGRAM_USDT_ENTRY, t->usdt_entry.site[i].offset, t->usdt_entry.site[i].semaphore);
	if (!is_auto(e))
		return force(e, f, t);
	if (e->budget.on)
		f->refused = file_on(e, f);
	return RT_OK;
}

/* There, a probe need not be single-stepped. */
static uint64_t behind_endbr(const struct rt_pybin_begin *begin)
{
	return begin->offset + (begin->endbr ? 4 : 0);
}

static int add_eval(struct rt_entryprobe *e, const struct rt_pytarget *t)
{
	struct file *f;
	int status;

	if (t->off.version < 0x309) {
		rt_log_notice("%s: CPython %s: entry probes (--python-entry uprobe) are for 3.9 and newer: its phases are found without", t->path, t->version);
		return RT_OK;
	}
	if (t->eval.refused) {
		rt_log_error("%s: its symbol _PyEval_EvalFrameDefault is not at an instruction that functions begin with (the file is damaged or was patched): no entry probe "
			     "(--python-entry uprobe) there; install it again, or leave the option out", t->path);
		return RT_OK;
	}
	if (!t->eval.offset) {
		rt_log_error("%s: it has no symbol _PyEval_EvalFrameDefault: no entry probe (--python-entry uprobe) there", t->path);
		return RT_OK;
	}
	f = file_new(e, t, &status);
	if (!f)
		return status;
	add_site(f, RT_ENTRY_PROGRAM_EVAL, behind_endbr(&t->eval), 0);
	if (t->push.offset && rt_probe_entry_program(e->config.probe, RT_ENTRY_PROGRAM_PUSH))
		add_site(f, RT_ENTRY_PROGRAM_PUSH, behind_endbr(&t->push), 0);
	return force(e, f, t);
}

int rt_entryprobe_python(struct rt_entryprobe *e, const struct rt_pytarget *t)
{
	if (!e)
		return RT_OK;
	return is_usdt(e) ? add_usdt(e, t) : add_eval(e, t);
}

void rt_entryprobe_free(struct rt_entryprobe *e)
{
	if (!e)
		return;
	all_off(e);
	note_hits(e);
	for (size_t i = 0; i < e->n_files; i++)
		close(e->files[i].fd);
	free(e->files);
	free(e);
}
