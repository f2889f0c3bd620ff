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
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "rt_entryoff.h"
#include "rt_pyoff.h"

#define PER_PROCESS 4		 /* x86-64 has four debug registers, which each task has for itself */
#define MAX_FDS 4096		 /* watchpoints of one code object: threads that ran when it was put on */
#define TRIAL_HITS 100
#define BACKOFF_NS 1000000000ull /* the first pause of a dear one; doubled each time, up to */
#define BACKOFF_MAX_NS 64000000000ull
#define SHARE 100		 /* of a core: 1 / SHARE is what one may cost */
#define BURST_NS 20000000ull	 /* and so much at once */

struct watched {
	struct rt_watch_key key;
	uint32_t pid;
	uint32_t n_fds;
	int *fds;
	uint64_t hits, since_ns, again_ns, pause_ns;
};

struct rt_entrywatch {
	const struct rt_account *account;
	int prog, map;
	bool forced;
	uint64_t hit_ns; /* what one costs here, without what the program does at it */
	struct watched *list;
	size_t n;
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

int rt_entrywatch_new(struct rt_probe *probe, const struct rt_account *account, bool forced, struct rt_entrywatch **out)
{
	struct rt_entrywatch *w = calloc(1, sizeof(*w));
	int err;

	*out = NULL;
	if (!w) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	w->account = account;
	w->forced = forced;
	rt_probe_watch_fds(probe, &w->prog, &w->map);
	w->list = calloc(RT_MAX_WATCHES, sizeof(*w->list));
	err = !w->list ? -ENOMEM : w->prog < 0 ? -EOPNOTSUPP : trial(w);
	if (!err) {
		rt_log_detail("watchpoints: %llu ns a hit here", (unsigned long long)w->hit_ns);
		*out = w;
		return RT_OK;
	}
	rt_entrywatch_free(w);
	if (!forced) {
		rt_log_detail("watchpoints refused: %s: calls are not told exactly", strerror(-err));
		return RT_OK;
	}
	rt_log_error("--python-entry watch: %s: it needs Linux 5.17 or newer with hardware watchpoints (CONFIG_HAVE_HW_BREAKPOINT=y, a processor or virtual machine that has "
		     "them); use --python-entry auto; run: ramtrack-bpf doctor", strerror(-err));
	return RT_NO_FEATURE;
}

static void take_off(struct rt_entrywatch *w, struct watched *c)
{
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

/* All threads that run; those created later inherit it. Two rounds: one may have been created by one that was not watched yet. */
static int put_on(struct rt_entrywatch *w, struct watched *c)
{
	struct rt_watch_value value = {};
	pid_t *tids = calloc(MAX_FDS, sizeof(*tids));
	char path[64];
	int err = 0;

	c->fds = calloc(MAX_FDS, sizeof(*c->fds));
	snprintf(path, sizeof(path), "/proc/%u/task", c->pid);
	if (!tids || !c->fds)
		err = -ENOMEM;
	else if (bpf_map_update_elem(w->map, &c->key, &value, BPF_ANY))
		err = -errno;
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
	c->hits = 0;
	c->since_ns = now_ns();
	if (err || !c->n_fds)
		take_off(w, c);
	return err;
}

void rt_entrywatch_met(struct rt_entrywatch *w, const void *record, size_t size)
{
	struct rt_rec_watch r;
	struct watched *c = NULL;
	size_t same = 0;
	int err;

	if (!w || size < sizeof(r))
		return;
	memcpy(&r, record, sizeof(r));
	if (!rt_account_watched(w->account, r.code))
		return;
	for (size_t i = 0; i < w->n; i++) {
		same += w->list[i].key.image == r.h.image;
		if (w->list[i].key.image == r.h.image && w->list[i].key.addr == r.addr)
			return;
	}
	if (!RT_ENTRY_KNOWN(r.version) || r.layout & RT_PYOFF_FREE_THREADED) {
		rt_log_notice("process %u: a phase is marked `watch`, but the reference counts of CPython 3.%u%s do not tell of calls as those of 3.11 to 3.13 do: its calls "
			      "are not told exactly", r.pid, r.version & 0xff, r.layout & RT_PYOFF_FREE_THREADED ? " without a GIL" : "");
		return;
	}
	if (r.co_flags & RT_CODE_SUSPENDS || (RT_IMMORTAL(r.version) && r.count == RT_IMMORTAL(r.version))) {
		rt_log_notice("process %u: a phase marked `watch` is a %s: its calls are not told exactly", r.pid,
			      r.co_flags & RT_CODE_SUSPENDS ? "generator or coroutine" : "function whose references are not counted");
		return;
	}
	if (same >= PER_PROCESS || w->n == RT_MAX_WATCHES) {
		rt_log_notice("process %u: more than %d functions marked `watch`: further ones are not told exactly", r.pid, PER_PROCESS);
		return;
	}
	c = &w->list[w->n];
	*c = (struct watched){.key = {.addr = r.addr, .image = r.h.image}, .pid = r.pid, .pause_ns = BACKOFF_NS};
	err = put_on(w, c);
	if (err)
		rt_log_notice("process %u: watchpoint: %s%s", r.pid, strerror(-err), err == -ENOSPC ? ": a debugger has the debug registers" : "");
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

void rt_entrywatch_tick(struct rt_entrywatch *w, uint64_t now)
{
	for (size_t i = 0; w && !w->forced && i < w->n; i++) {
		struct watched *c = &w->list[i];
		struct rt_watch_value v;
		uint64_t spent;

		if (!c->n_fds) {
			if (now >= c->again_ns && (put_on(w, c) || !c->n_fds))
				c->again_ns = now + c->pause_ns;
			continue;
		}
		if (bpf_map_lookup_elem(w->map, &c->key, &v) || now <= c->since_ns)
			continue;
		spent = v.hits * w->hit_ns + v.ns;
		if (spent <= BURST_NS || spent <= (now - c->since_ns) / SHARE)
			continue;
		c->again_ns = now + c->pause_ns;
		rt_log_notice("process %u: a function marked `watch` is called too often (%llu hits in %llu ms): its calls are not told exactly for %llu s", c->pid,
			      (unsigned long long)v.hits, (unsigned long long)((now - c->since_ns) / 1000000), (unsigned long long)(c->pause_ns / 1000000000));
		c->pause_ns = c->pause_ns < BACKOFF_MAX_NS ? c->pause_ns * 2 : c->pause_ns;
		take_off(w, c);
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
