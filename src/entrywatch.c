/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "entrywatch.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "budget.h"
#include "log.h"
#include "rt_entryoff.h"
#include "rt_pyoff.h"

#define PER_PROCESS 4		 /* x86-64 has four debug registers, which each task has for itself */
#define MAX_FDS 4096		 /* watchpoints of one code object: threads that ran when it was put on */
#define TRIAL_HITS 100
#define BURST_NS 20000000ull	 /* what one may cost at once */
#define PAUSE_NS 1000000000ull	 /* and how long it is off then; doubled each time */
#define QUIET_NS 500000000ull	 /* without a hit: by then the account knows of the calls that were told by the last ones (its window) */
#define SILENT_CALLS 2		 /* seen without a hit: the watchpoint does not fire */
#define REFUSED 64

struct watched {
	struct rt_watch_key key;
	uint32_t pid;
	uint32_t n_fds;
	int *fds;
	const struct rt_phase *phase;
	struct rt_budget budget;
	uint64_t hits;	   /* since it was put on */
	uint64_t quiet_ns; /* no hit since then */
	bool based;	   /* `calls` were seen by then */
	uint32_t calls;
	bool silent;	   /* it was said that it does not fire */
};

struct rt_entrywatch {
	struct rt_entrywatch_config config;
	int prog, map;
	uint64_t hit_ns; /* what one costs here, without what the program does at it */
	struct watched *list;
	size_t n;
	const struct rt_phase *refused[REFUSED]; /* phases of which a function is not watched: calls of it come without hits */
	size_t n_refused;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* A write to the four bytes at `addr` by thread `tid`, or by one that it creates, runs the program. Returns a descriptor or -errno. */
static int watch_thread(const struct rt_entrywatch *w, pid_t tid, uint64_t addr)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = addr,
		.bp_len = HW_BREAKPOINT_LEN_4,
		.sample_period = 1,
		.disabled = 1,
		.inherit = 1,
		.inherit_thread = 1,  /* Linux 5.13 */
		.remove_on_exec = 1,  /* the same */
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, PERF_EVENT_IOC_SET_BPF, w->prog) && !ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* On ourselves: does it work, and what does a hit cost? */
static int trial(struct rt_entrywatch *w)
{
	static volatile uint32_t word __attribute__((aligned(8)));
	int fd = watch_thread(w, 0, (uint64_t)&word);
	uint64_t begin, hits = 0;

	if (fd < 0)
		return fd;
	begin = now_ns();
	for (uint32_t i = 0; i < TRIAL_HITS; i++)
		word = i;
	w->hit_ns = (now_ns() - begin) / TRIAL_HITS;
	/* Some virtual machines take a watchpoint that never fires. */
	if (read(fd, &hits, sizeof(hits)) != sizeof(hits) || hits < TRIAL_HITS) {
		close(fd);
		return -EOPNOTSUPP;
	}
	close(fd);
	return 0;
}

int rt_entrywatch_new(const struct rt_entrywatch_config *config, struct rt_entrywatch **out)
{
	struct rt_entrywatch *w = calloc(1, sizeof(*w));
	int err;

	*out = NULL;
	if (!w) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	w->config = *config;
	rt_probe_watch_fds(config->probe, &w->prog, &w->map);
	w->list = calloc(RT_MAX_WATCHES, sizeof(*w->list));
	err = !w->list ? -ENOMEM : w->prog < 0 ? -EOPNOTSUPP : trial(w);
	if (!err) {
		rt_log_detail("watchpoints: %llu ns a hit here", (unsigned long long)w->hit_ns);
		*out = w;
		return RT_OK;
	}
	rt_entrywatch_free(w);
	if (!config->forced) {
		rt_log_detail("watchpoints refused: %s: calls are not told exactly", strerror(-err));
		return RT_OK;
	}
	rt_log_error("--python-entry watch: %s: it needs Linux 5.17 or newer with hardware watchpoints (CONFIG_HAVE_HW_BREAKPOINT=y, a processor or virtual machine that has "
		     "them); use --python-entry auto; run: ramtrack-bpf doctor", strerror(-err));
	return RT_NO_FEATURE;
}

static struct rt_entry_row *row_of(const struct rt_entrywatch *w, const struct rt_phase *phase)
{
	return rt_entrylog_row(w->config.log, "watch", phase->id);
}

static void take_off(struct rt_entrywatch *w, struct watched *c)
{
	struct rt_watch_value v;

	if (c->n_fds && !bpf_map_lookup_elem(w->map, &c->key, &v))
		row_of(w, c->phase)->hits += v.hits;
	for (uint32_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	free(c->fds);
	c->fds = NULL;
	c->n_fds = 0;
	bpf_map_delete_elem(w->map, &c->key);
}

static bool has_thread(const pid_t *tids, uint32_t n, pid_t tid)
{
	for (uint32_t i = 0; i < n; i++)
		if (tids[i] == tid)
			return true;
	return false;
}

/* The count as it is now. */
static bool read_count(const struct watched *c, uint32_t *count)
{
	struct iovec to = {count, sizeof(*count)}, from = {(void *)c->key.addr, sizeof(*count)};

	return process_vm_readv((pid_t)c->pid, &to, 1, &from, 1, 0) == (ssize_t)sizeof(*count);
}

/*
 * All watchpoints are there: from here on hits are told. The program needs to know what the count was before a hit, or the first one tells nothing. It may move between being read
 * and being in the map: then it is read once more, and if it never stands still the first hit has to tell the program. (A hit that comes in between has told it already: then
 * both counts differ as well, and what it wrote is written over by what it was a moment later.)
 */
static int begin(struct rt_entrywatch *w, struct watched *c)
{
	struct rt_watch_value value = {};
	uint32_t now;

	for (int tries = 0; tries < 3; tries++) {
		value.known = read_count(c, &value.last);
		if (bpf_map_update_elem(w->map, &c->key, &value, BPF_ANY))
			return -errno;
		if (!value.known || (read_count(c, &now) && now == value.last))
			return 0;
	}
	value.known = 0;
	return bpf_map_update_elem(w->map, &c->key, &value, BPF_ANY) ? -errno : 0;
}

/* All threads that run; those created later inherit it. Two rounds: one may have been created by one that was not watched yet. */
static int put_on(struct rt_entrywatch *w, struct watched *c)
{
	pid_t *tids = calloc(MAX_FDS, sizeof(*tids));
	char path[64];
	int err = 0;

	c->fds = calloc(MAX_FDS, sizeof(*c->fds));
	snprintf(path, sizeof(path), "/proc/%u/task", c->pid);
	if (!tids || !c->fds)
		err = -ENOMEM;
	for (int round = 0; round < 2 && !err; round++) {
		DIR *dir = opendir(path);
		struct dirent *e;

		if (!dir && errno != ENOENT)
			err = -errno;
		while (dir && !err && (e = readdir(dir))) {
			pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
			int fd;

			if (tid <= 0 || has_thread(tids, c->n_fds, tid))
				continue;
			if (c->n_fds == MAX_FDS) {
				err = -E2BIG;
				break;
			}
			fd = watch_thread(w, tid, c->key.addr);
			if (fd >= 0) {
				tids[c->n_fds] = tid;
				c->fds[c->n_fds++] = fd;
			} else if (fd != -ESRCH) {
				err = fd;
			}
		}
		if (dir)
			closedir(dir);
	}
	free(tids);
	if (!err && c->n_fds)
		err = begin(w, c);
	if (err || !c->n_fds) {
		take_off(w, c);
		return err;
	}
	c->hits = 0;
	c->quiet_ns = now_ns();
	c->based = false;
	rt_budget_on(&c->budget, c->quiet_ns);
	row_of(w, c->phase)->attached++;
	return 0;
}

/* Why the calls of a code object cannot be told by its count; NULL: they can. */
static const char *cannot(const struct rt_rec_watch *r)
{
	if (r->layout & RT_PYOFF_FREE_THREADED)
		return "free-threaded CPython does not count the references of frames to their code objects (PEP 703)";
	if (r->version <= 0x30a)
		return "up to CPython 3.10 a frame is an object that is not to be found yet when the count of its code object moves; --python-entry usdt tells of calls where the interpreter "
		       "was built with --with-dtrace";
	if (!RT_ENTRY_KNOWN(r->version))
		return "how this version of CPython makes frames is not known; look for a newer ramtrack-bpf";
	if (r->co_flags & RT_CODE_SUSPENDS)
		return "it is a generator or coroutine, whose frame lives on between its steps";
	if (RT_IMMORTAL(r->version, r->count))
		return "its references are not counted (it is immortal, PEP 683)";
	return NULL;
}

static void refuse(struct rt_entrywatch *w, const struct rt_phase *phase, uint32_t pid, const char *why)
{
	rt_log_notice("process %u: phase %s is marked `watch`: a function of it is not told exactly: %s", pid, phase->id, why);
	rt_entrylog_reason(row_of(w, phase), "%s", why);
	if (w->n_refused < REFUSED)
		w->refused[w->n_refused++] = phase;
}

void rt_entrywatch_met(struct rt_entrywatch *w, const void *record, size_t size, bool otherwise)
{
	const struct rt_phase *phase;
	struct watched *c = NULL;
	struct rt_rec_watch r;
	const char *why;
	size_t same = 0;
	int err;

	if (!w || size < sizeof(r))
		return;
	memcpy(&r, record, sizeof(r));
	phase = rt_account_watched(w->config.account, r.code);
	if (!phase)
		return;
	for (size_t i = 0; i < w->n; i++) {
		same += w->list[i].key.image == r.h.image;
		if (w->list[i].key.image == r.h.image && w->list[i].key.addr == r.addr)
			return;
	}
	why = cannot(&r);
	if (!why && (same >= PER_PROCESS || w->n == RT_MAX_WATCHES))
		why = "a processor has four watchpoints, and four functions of this process have them";
	if (why && otherwise)
		return;
	if (why) {
		refuse(w, phase, r.pid, why);
		return;
	}
	c = &w->list[w->n];
	*c = (struct watched){.key = {.addr = r.addr, .image = r.h.image}, .pid = r.pid, .phase = phase};
	rt_budget_init(&c->budget, BURST_NS, PAUSE_NS);
	err = put_on(w, c);
	if (err)
		refuse(w, phase, r.pid, err == -ENOSPC ? "a debugger has the debug registers" : strerror(-err));
	else if (c->n_fds)
		w->n++;
}

void rt_entrywatch_record(struct rt_entrywatch *w, const void *record, size_t size)
{
	struct rt_rec_proc proc;
	struct rt_hdr h;
	uint32_t over;

	if (!w || size < sizeof(h))
		return;
	memcpy(&h, record, sizeof(h));
	over = h.type == RT_REC_EXIT ? h.image : 0;
	if (h.type == RT_REC_PROC && size >= sizeof(proc)) {
		memcpy(&proc, record, sizeof(proc));
		over = proc.prev_image;
	}
	for (size_t i = 0; over && i < w->n;) {
		if (w->list[i].key.image != over) {
			i++;
			continue;
		}
		take_off(w, &w->list[i]);
		w->list[i] = w->list[--w->n];
	}
}

/* It costs too much. */
static void suspend(struct rt_entrywatch *w, struct watched *c, uint64_t hits, uint64_t now)
{
	struct rt_entry_row *row = row_of(w, c->phase);
	uint64_t ms = (now - c->budget.since_ns) / 1000000, pause;

	take_off(w, c);
	pause = rt_budget_off(&c->budget, now);
	w->config.on_off(w->config.ctx, c->key.image, c->phase->id);
	row->detached++;
	rt_entrylog_reason(row, "too many calls for 1 %% of a core: %llu hits in %llu ms", (unsigned long long)hits, (unsigned long long)ms);
	rt_log_notice("process %u: phase %s, marked `watch`, is called too often (%llu hits in %llu ms): its calls are not told exactly for %llu s", c->pid, c->phase->id,
		      (unsigned long long)hits, (unsigned long long)ms, (unsigned long long)(pause / 1000000000));
}

static bool is_refused(const struct rt_entrywatch *w, const struct rt_phase *phase)
{
	for (size_t i = 0; i < w->n_refused; i++)
		if (w->refused[i] == phase)
			return true;
	return w->n_refused == REFUSED;
}

/* Calls of its phase are seen, but it does not fire: a virtual machine that emulates some of them only, or an interpreter that does not count (any more). */
static void listen(struct rt_entrywatch *w, struct watched *c, uint64_t hits, uint64_t now)
{
	uint32_t calls;

	if (hits != c->hits) {
		c->hits = hits;
		/* A phase may have several functions: the calls may be this one's as well as another's. */
		for (size_t i = 0; i < w->n; i++) {
			if (w->list[i].key.image != c->key.image || w->list[i].phase != c->phase)
				continue;
			w->list[i].quiet_ns = now;
			w->list[i].based = false;
		}
	}
	if (c->silent || now < c->quiet_ns || now - c->quiet_ns < QUIET_NS || is_refused(w, c->phase))
		return;
	calls = rt_account_calls(w->config.account, c->key.image, c->phase);
	if (!c->based) {
		c->based = true;
		c->calls = calls;
	}
	if (calls - c->calls < SILENT_CALLS)
		return;
	c->silent = true;
	rt_entrylog_reason(row_of(w, c->phase), "%u calls were seen, and the watchpoint did not fire", calls - c->calls);
	rt_log_notice("process %u: phase %s, marked `watch`: %s: its calls are not told exactly", c->pid, c->phase->id, row_of(w, c->phase)->reason);
}

void rt_entrywatch_tick(struct rt_entrywatch *w, uint64_t now)
{
	for (size_t i = 0; w && i < w->n; i++) {
		struct watched *c = &w->list[i];
		struct rt_watch_value v;

		if (!c->n_fds) {
			if (rt_budget_due(&c->budget, now) && (put_on(w, c) || !c->n_fds))
				rt_budget_failed(&c->budget, now);
			continue;
		}
		if (bpf_map_lookup_elem(w->map, &c->key, &v))
			continue;
		if (!w->config.forced && !rt_budget_spend(&c->budget, now, v.hits * w->hit_ns + v.ns))
			suspend(w, c, v.hits, now);
		else
			listen(w, c, v.hits, now);
	}
}

void rt_entrywatch_free(struct rt_entrywatch *w)
{
	if (!w)
		return;
	for (size_t i = 0; w->list && i < w->n; i++)
		take_off(w, &w->list[i]);
	free(w->list);
	free(w);
}
