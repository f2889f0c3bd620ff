/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativewatch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "nativemaps.h"
#include "nativesym.h"
#include "probe_native.h"
#include "procfs.h"

#define MAX_FILES 1024
#define MAX_PIDS 8192
#define HOT_MIN 65536		   /* bytes: a hot function's smaller calls have no records of their own */
#define STEPPED_HZ 1000		   /* hits a second of a single-stepped probe: at ten microseconds each, one per cent of a core */
#define STEPPED_NS 1000000000ull

struct file {
	dev_t dev;
	ino_t ino;
	struct timespec changed; /* of the inode, when it was read */
	struct rt_native_job *job; /* being read */
	int fd;			   /* likewise; else -1 */
	uint64_t mapped_ns;	   /* when that was; 0: before we looked */
	uint32_t n_sites;
	char *path;
};

struct site {
	char *name; /* for messages */
	uint64_t hits, since_ns; /* STEPPED: at the begin of the time in which they are counted; hot: since when it is there */
	bool stepped, hot, on;
};

struct rt_nativewatch {
	struct rt_nativewatch_config config;
	struct rt_probe_native *natives;
	struct rt_nativemaps *maps; /* NULL: not to be had */
	int epoll_fd;
	struct file *files;
	size_t n_files;
	struct site *sites; /* by number; 0 is none */
	uint32_t n_sites;
	uint32_t *pids;
	size_t n_pids;
	uint64_t seen, found; /* rules: a library with such a name was read; it has the function */
	char *reason[RT_NATIVE_RULES_MAX];
	bool full_said, mapped_said;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

bool rt_nativewatch_wanted(const struct rt_profile *profile, bool hot)
{
	for (size_t i = 0; i < profile->n_natives; i++)
		if (hot || !profile->natives[i].hot)
			return true;
	return false;
}

int rt_nativewatch_new(const struct rt_nativewatch_config *config, struct rt_nativewatch **out)
{
	struct rt_nativewatch *w;
	int err;

	*out = NULL;
	if (!rt_nativewatch_wanted(config->profile, config->hot))
		return RT_OK;
	if (!rt_probe_has_native(config->probe)) {
		rt_log_notice("native functions (the section `native` of the profile) are not followed: that needs Linux 5.17 or newer, and BPF programs that this kernel takes; the phases of "
			      "Python are not concerned; run: ramtrack-bpf doctor");
		return RT_OK;
	}
	w = calloc(1, sizeof(*w));
	if (w) {
		w->config = *config;
		w->files = calloc(MAX_FILES, sizeof(*w->files));
		w->sites = calloc(RT_MAX_SITES, sizeof(*w->sites));
		w->pids = calloc(MAX_PIDS, sizeof(*w->pids));
		w->natives = rt_probe_native_new(config->probe);
		w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	}
	if (!w || !w->files || !w->sites || !w->pids || !w->natives || w->epoll_fd < 0) {
		rt_log_error("native functions: %s", w && w->epoll_fd < 0 ? "no descriptor is left: raise the limit of open files (ulimit -n)" : "out of memory");
		rt_nativewatch_free(w);
		return RT_ERROR;
	}
	err = rt_nativemaps_new(w->epoll_fd, &w->maps);
	if (err)
		rt_log_notice("native functions: perf_event_open of a dummy event: %s: libraries that are loaded from now on are not seen; run it as root, or with CAP_PERFMON", strerror(-err));
	*out = w;
	return RT_OK;
}

static void file_done(struct file *f)
{
	rt_native_free(f->job);
	f->job = NULL;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void rt_nativewatch_free(struct rt_nativewatch *w)
{
	if (!w)
		return;
	rt_probe_native_free(w->natives);
	rt_nativemaps_free(w->maps);
	for (size_t i = 0; w->files && i < w->n_files; i++) {
		file_done(&w->files[i]);
		free(w->files[i].path);
	}
	for (uint32_t i = 0; w->sites && i <= w->n_sites && i < RT_MAX_SITES; i++)
		free(w->sites[i].name);
	for (size_t i = 0; i < RT_NATIVE_RULES_MAX; i++)
		free(w->reason[i]);
	free(w->files);
	free(w->sites);
	free(w->pids);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w);
}

int rt_nativewatch_fd(const struct rt_nativewatch *w)
{
	return w ? w->epoll_fd : -1;
}

/* ---- sites ---- */

/* A name that was cut among its parameters: up to the first parenthesis that is not part of the name itself. */
static void cut_parameters(char *name)
{
	static const char anonymous[] = "(anonymous namespace)";
	size_t angles = 0;

	for (char *at = name; *at; at++) {
		angles += *at == '<';
		angles -= *at == '>' && angles;
		if (*at != '(' || angles)
			continue;
		if (!strncmp(at, anonymous, sizeof(anonymous) - 1)) {
			at += sizeof(anonymous) - 2;
		} else if (at - name >= 8 && !strncmp(at - 8, "operator", 8) && at[1] == ')') {
			at++;
		} else {
			if (at > name)
				*at = 0;
			return;
		}
	}
}

/* "ns::name(int, std::vector<int>)" -> "ns::name": without the list of parameters at its end. */
static void without_parameters(char *name)
{
	size_t len = strlen(name), depth = 0;
	char *close = strrchr(name, ')');

	if (len > 3 && !strcmp(name + len - 3, "...")) {
		cut_parameters(name);
		return;
	}
	if (!close || (close[1] && strcmp(close, ") const")))
		return;
	len = (size_t)(close - name);
	for (size_t i = len + 1; i-- > 0;) {
		depth += name[i] == ')';
		if (name[i] == '(' && !--depth) {
			if (i)
				name[i] = 0;
			return;
		}
	}
}

static const char *last_component(const char *name)
{
	const char *at = name;
	int angle = 0;

	for (const char *p = name; *p; p++) {
		angle += *p == '<';
		angle -= *p == '>';
		if (!angle && p[0] == ':' && p[1] == ':')
			at = p + 2;
	}
	return *at ? at : name;
}

/* The label of a rule without one of its own is its first function's name: then each function has its own. What stands in for it is called by it. */
static const char *site_label(const struct rt_native_rule *rule, enum rt_lang lang, const struct rt_native_site *site, const char *symbol)
{
	const char *label = rule->label.text[lang];
	bool own = strcmp(rule->label.text[RT_LANG_ZH], rule->label.text[RT_LANG_EN]) || !strstr(rule->symbols[0], label);

	return own || site->flags & RT_SITE_FALLBACK ? label : last_component(symbol);
}

static uint32_t site_flags(const struct rt_native_rule *rule, const struct rt_native_site *site)
{
	bool mapped = !rule->bytes.none && (!rule->bytes.arg[0].number || site->flags & (RT_SITE_NO_ARGS | RT_SITE_FALLBACK));
	size_t len = strlen(site->name);
	uint32_t flags = 0;

	if (rule->op == RT_NATIVE_FREE)
		flags |= RT_SITEK_FREE;
	if (mapped)
		flags |= RT_SITEK_MAPPED;
	if (rule->checkpoint)
		flags |= RT_SITEK_CHECKPOINT;
	if (rule->hot)
		flags |= RT_SITEK_HOT;
	if (site->flags & RT_SITE_STEPPED)
		flags |= RT_SITEK_STEPPED;
	/* What gives back gets an address first, unless its C++ name says that it gets nothing. */
	if (rule->op == RT_NATIVE_FREE && !(site->flags & (RT_SITE_NO_ARGS | RT_SITE_FALLBACK)) && (len < 2 || strcmp(site->name + len - 2, "()")) &&
	    rule->bytes.arg[0].number != 1)
		flags |= RT_SITEK_ADDR;
	return flags;
}

/* Tells the core what the number means. */
static int put_site(struct rt_nativewatch *w, uint32_t number, uint32_t flags, const struct rt_native_site *site, const char *path)
{
	const struct rt_native_rule *rule = &w->config.profile->natives[site->rule];
	struct {
		struct rt_rec_site s;
		char text[2048];
	} rec = {.s = {.h = {.type = RT_REC_SITE}, .site = number, .flags = flags, .rule = site->rule}};
	char symbol[RT_NATIVE_NAME_MAX];
	const char *base = strrchr(path, '/');
	const char *text[] = {symbol, rule->kind, base ? base + 1 : path, NULL, NULL};
	size_t len = 0;

	snprintf(symbol, sizeof(symbol), "%s", site->name);
	without_parameters(symbol);
	text[3] = site_label(rule, RT_LANG_ZH, site, symbol);
	text[4] = site_label(rule, RT_LANG_EN, site, symbol);
	for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++) {
		int n = snprintf(rec.text + len, 300, "%s", text[i]);

		len += (n < 300 ? (size_t)n : 299) + 1;
	}
	rec.s.len = (uint32_t)len;
	rec.s.h.size = (uint32_t)((sizeof(rec.s) + len + 7) & ~(size_t)7);
	return rt_account_record(w->config.account, &rec, rec.s.h.size);
}

/* What is mapped inside of functions without a size in their arguments. */
static void want_mapped(struct rt_nativewatch *w)
{
	int err = rt_probe_native_mapped(w->natives);

	if (!err || w->mapped_said)
		return;
	w->mapped_said = true;
	rt_log_notice("native functions: %s: this kernel does not tell of what is mapped inside of them (tracepoints mmap_lock:*): sizes that their arguments do not have are 0, their RSS is exact",
		      strerror(-err));
}

/* A number for the rule's kind and operation: that of the first rule that has both, from 1 on. */
static uint32_t kind_number(const struct rt_profile *profile, uint32_t rule)
{
	uint32_t i = 0;

	while (strcmp(profile->natives[i].kind, profile->natives[rule].kind) || profile->natives[i].op != profile->natives[rule].op)
		i++;
	return i + 1;
}

static int add_site(struct rt_nativewatch *w, const struct file *f, const struct rt_native_site *site)
{
	const struct rt_native_rule *rule = &w->config.profile->natives[site->rule];
	struct rt_site_conf conf = {.flags = site_flags(rule, site), .set = 1, .min_bytes = rule->hot ? HOT_MIN : 0, .kind = kind_number(w->config.profile, site->rule)};
	uint32_t number = w->n_sites + 1;
	char path[64];
	int err;

	if (number >= RT_MAX_SITES)
		return -ENOSPC;
	for (int i = 0; i < 2 && !(conf.flags & RT_SITEK_MAPPED); i++) {
		conf.arg[i] = rule->bytes.arg[i].number;
		conf.bits[i] = rule->bytes.arg[i].bits;
	}
	err = put_site(w, number, conf.flags, site, f->path);
	if (err)
		return err;
	w->n_sites = number;
	w->sites[number] = (struct site){.name = strdup(site->name), .stepped = site->flags & RT_SITE_STEPPED, .hot = rule->hot, .since_ns = now_ns()};
	if (conf.flags & RT_SITEK_MAPPED)
		want_mapped(w);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	err = rt_probe_native_attach(w->natives, number, &conf, path, site->offset);
	w->sites[number].on = !err;
	return err;
}

/* ---- files ---- */

static void keep_reason(struct rt_nativewatch *w, uint32_t rule, const char *path, const char *reason)
{
	char *text = NULL;

	if (w->reason[rule] || asprintf(&text, "%s: %s", path, reason) < 0)
		return;
	w->reason[rule] = text;
}

static void on_sites(struct rt_nativewatch *w, struct file *f, const struct rt_native_sites *sites)
{
	int err = 0;

	for (uint32_t rule = 0; rule < w->config.profile->n_natives; rule++) {
		const struct rt_native_rule_result *r = &sites->rule[rule];

		if (r->found == RT_NATIVE_NOT_ASKED)
			continue;
		w->seen |= 1ull << rule;
		if (r->found == RT_NATIVE_NOT_FOUND)
			keep_reason(w, rule, f->path, r->reason);
		else
			w->found |= 1ull << rule;
		if (r->found == RT_NATIVE_STANDS_IN)
			rt_log_notice("%s: %s: %s", f->path, w->config.profile->natives[rule].symbols[0], r->reason);
	}
	for (size_t i = 0; i < sites->n && !err; i++) {
		err = add_site(w, f, &sites->site[i]);
		f->n_sites += !err;
	}
	if (err == -ENOSPC && !w->full_said) {
		w->full_said = true;
		rt_log_notice("%s: native functions have probes at %d places already: no further ones", f->path, RT_MAX_SITES - 1);
	} else if (err && err != -ENOSPC) {
		rt_log_notice("%s: %s: no probe on native functions there: uprobes need CAP_SYS_ADMIN (or root) and a kernel with CONFIG_UPROBE_EVENTS; run: ramtrack-bpf doctor", f->path, strerror(-err));
	}
	if (f->n_sites)
		rt_log_detail("%s: probes at %u places of native functions, %.1f ms after it was mapped", f->path, f->n_sites, (double)(now_ns() - f->mapped_ns) / 1e6);
}

static void poll_jobs(struct rt_nativewatch *w)
{
	for (size_t i = 0; i < w->n_files; i++) {
		struct rt_native_sites sites = {0};
		char why[512];
		int err;

		if (!w->files[i].job)
			continue;
		err = rt_native_poll(w->files[i].job, &sites, why, sizeof(why));
		if (err == -EAGAIN)
			continue;
		if (err)
			rt_log_notice("%s: %s", w->files[i].path, why);
		else
			on_sites(w, &w->files[i], &sites);
		rt_native_sites_release(&sites);
		file_done(&w->files[i]);
	}
}

/* The place of this file among those known; NULL: it needs nothing, or there is no room. */
static struct file *file_place(struct rt_nativewatch *w, const struct stat *st)
{
	for (size_t i = 0; i < w->n_files; i++) {
		struct file *f = &w->files[i];

		if (f->dev != st->st_dev || f->ino != st->st_ino)
			continue;
		/* Probes keep their inode; the number of one without may have come back. */
		if (f->job || f->n_sites || (f->changed.tv_sec == st->st_ctim.tv_sec && f->changed.tv_nsec == st->st_ctim.tv_nsec))
			return NULL;
		return f;
	}
	if (w->n_files < MAX_FILES)
		return &w->files[w->n_files];
	if (!w->full_said)
		rt_log_notice("native functions: more than %d libraries have such names: further ones are not read", MAX_FILES);
	w->full_said = true;
	return NULL;
}

/* Takes `fd` over. */
static void read_file(struct rt_nativewatch *w, uint32_t pid, int fd, const char *path, uint64_t mask, uint64_t mapped_ns)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct rt_native_request request = {.profile = w->config.profile, .mask = mask, .fd = fd, .root_fd = -1, .path = path};
	struct rt_native_job *job = NULL;
	char root[64], why[512];
	struct file *f;
	struct stat st;
	int err;

	f = fstat(fd, &st) || !S_ISREG(st.st_mode) ? NULL : file_place(w, &st);
	if (!f) {
		close(fd);
		return;
	}
	snprintf(root, sizeof(root), "/proc/%u/root", pid);
	request.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = rt_native_start(&request, &job, why, sizeof(why));
	if (request.root_fd >= 0)
		close(request.root_fd);
	w->n_files += f == &w->files[w->n_files];
	free(f->path);
	*f = (struct file){.dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim, .job = job, .fd = fd, .mapped_ns = mapped_ns, .path = strdup(path)};
	if (!f->path)
		err = err ? err : (snprintf(why, sizeof(why), "out of memory"), -ENOMEM);
	if (err) {
		rt_log_notice("%s: %s", path, why);
		file_done(f);
		return;
	}
	ev.data.fd = rt_native_fd(job);
	if (ev.data.fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev))
		rt_log_detail("%s: %s: asked for at each tick", path, strerror(errno));
}

/* ---- what is mapped ---- */

static int open_mapped(uint32_t pid, uint64_t start, uint64_t end)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", pid, (unsigned long long)start, (unsigned long long)end);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

struct scan {
	struct rt_nativewatch *w;
	uint32_t pid;
	const char *path; /* this one only; NULL: all */
	uint64_t mapped_ns;
};

/* By the mapping itself, so that a file that was deleted or replaced is the one that runs; where that is not allowed, by its name, if that is still the same file. */
static int on_map(void *ctx, const struct rt_proc_map *map)
{
	struct scan *scan = ctx;
	struct rt_bin_key key;
	uint64_t mask;
	int fd;

	if (!map->x || !map->file.ino || map->path[0] != '/' || (scan->path && strcmp(scan->path, map->path)))
		return 0;
	mask = rt_native_rules_for(scan->w->config.profile, map->path, scan->w->config.hot);
	if (!mask)
		return 0;
	fd = open_mapped(scan->pid, map->start, map->end);
	if (fd < 0 && !map->deleted) {
		fd = rt_proc_open((pid_t)scan->pid, map->path);
		if (fd >= 0 && (rt_proc_file_key((pid_t)scan->pid, fd, &key) || key.dev != map->file.dev || key.ino != map->file.ino)) {
			close(fd);
			fd = -ESTALE;
		}
	}
	if (fd >= 0)
		read_file(scan->w, scan->pid, fd, map->path, mask, scan->mapped_ns);
	else if (fd != -ENOENT && fd != -ESRCH)
		rt_log_notice("process %u: %s: %s: its native functions have no probes; run it as root, or with CAP_CHECKPOINT_RESTORE", scan->pid, map->path, strerror(-fd));
	return 0;
}

static void scan_maps(struct rt_nativewatch *w, uint32_t pid, const char *path, uint64_t mapped_ns)
{
	struct scan scan = {.w = w, .pid = pid, .path = path, .mapped_ns = mapped_ns};

	rt_proc_maps((pid_t)pid, on_map, &scan);
}

static bool is_followed(const struct rt_nativewatch *w, uint32_t pid)
{
	for (size_t i = 0; i < w->n_pids; i++)
		if (w->pids[i] == pid)
			return true;
	return false;
}

static void on_mapped(void *ctx, const struct rt_mapped *mapped)
{
	static const char gone[] = " (deleted)";
	struct rt_nativewatch *w = ctx;
	size_t len = strlen(mapped->path);
	uint64_t mask = rt_native_rules_for(w->config.profile, mapped->path, w->config.hot);
	char *path;
	int fd;

	if (!mask)
		return;
	if (!is_followed(w, mapped->pid))
		rt_probe_consume(w->config.probe); /* it may have been born just now */
	path = is_followed(w, mapped->pid) ? strdup(mapped->path) : NULL;
	if (!path)
		return;
	if (len >= sizeof(gone) && !strcmp(path + len - sizeof(gone) + 1, gone))
		path[len - sizeof(gone) + 1] = 0;
	fd = open_mapped(mapped->pid, mapped->start, mapped->end);
	if (fd >= 0)
		read_file(w, mapped->pid, fd, path, mask, mapped->ts_ns);
	else
		scan_maps(w, mapped->pid, path, mapped->ts_ns); /* it was split or moved meanwhile */
	free(path);
}

void rt_nativewatch_step(struct rt_nativewatch *w)
{
	uint64_t lost;

	if (!w)
		return;
	lost = w->maps ? rt_nativemaps_read(w->maps, on_mapped, w) : 0;
	if (lost) { /* then all are asked */
		rt_log_detail("%llu mappings were not told of: all followed processes are looked at", (unsigned long long)lost);
		for (size_t i = 0; i < w->n_pids; i++)
			scan_maps(w, w->pids[i], NULL, now_ns());
	}
	poll_jobs(w);
}

void rt_nativewatch_record(struct rt_nativewatch *w, const void *record, size_t size)
{
	struct rt_rec_proc proc;
	struct rt_rec_exit gone;
	struct rt_hdr h;

	if (!w || size < sizeof(h))
		return;
	memcpy(&h, record, sizeof(h));
	if (h.type == RT_REC_EXIT && size >= sizeof(gone)) {
		memcpy(&gone, record, sizeof(gone));
		for (size_t i = 0; i < w->n_pids; i++)
			if (w->pids[i] == gone.pid)
				w->pids[i--] = w->pids[--w->n_pids];
	}
	if (h.type != RT_REC_PROC || size < sizeof(proc))
		return;
	memcpy(&proc, record, sizeof(proc));
	if (!is_followed(w, proc.pid) && w->n_pids < MAX_PIDS)
		w->pids[w->n_pids++] = proc.pid;
	/* What runs already has its libraries mapped; so has a fork, but there they are its parent's. */
	if (proc.birth == RT_BIRTH_ATTACH || !w->maps)
		scan_maps(w, proc.pid, NULL, now_ns());
}

void rt_nativewatch_tick(struct rt_nativewatch *w, uint64_t now)
{
	if (!w)
		return;
	rt_nativewatch_step(w);
	for (uint32_t i = 1; i <= w->n_sites; i++) {
		struct site *s = &w->sites[i];
		uint64_t hits;

		if (!s->stepped || !s->on)
			continue;
		hits = rt_probe_native_hits(w->natives, i);
		if (hits - s->hits > STEPPED_HZ) {
			rt_probe_native_detach(w->natives, i);
			s->on = false;
			rt_log_notice("native function %s: its first instructions can only be single-stepped by the kernel, and it was called %llu times in %llu ms (all processes of the machine): its probe was "
				      "taken off, further calls are not seen", s->name ? s->name : "?", (unsigned long long)(hits - s->hits),
				      (unsigned long long)((now - s->since_ns) / 1000000));
		} else if (now - s->since_ns >= STEPPED_NS) {
			s->hits = hits;
			s->since_ns = now;
		}
	}
}

/* What --native-alloc has cost. */
static void say_hot(const struct rt_nativewatch *w, uint32_t number)
{
	const struct site *s = &w->sites[number];
	uint64_t hits = rt_probe_native_hits(w->natives, number);
	double seconds = (double)(now_ns() - s->since_ns) / 1e9;

	if (hits && seconds > 0)
		rt_log_notice("native function %s: %llu calls in %.1f s by all processes of the machine (%.0f a second): at about a microsecond each %.2f %% of a core", s->name ? s->name : "?",
			      (unsigned long long)hits, seconds, (double)hits / seconds, (double)hits / seconds / 1e4);
}

void rt_nativewatch_stop(struct rt_nativewatch *w)
{
	if (!w)
		return;
	for (uint32_t i = 1; i <= w->n_sites; i++) {
		if (w->sites[i].hot && !w->sites[i].stepped)
			say_hot(w, i);
		rt_probe_native_detach(w->natives, i);
	}
	for (uint32_t rule = 0; rule < w->config.profile->n_natives; rule++)
		if (w->seen & ~w->found & 1ull << rule)
			rt_log_notice("native function %s was not found: %s", w->config.profile->natives[rule].symbols[0], w->reason[rule] ? w->reason[rule] : "no such function");
}
