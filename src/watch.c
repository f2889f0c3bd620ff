/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acc_text.h"
#include "log.h"
#include "procfs.h"
#include "pytarget.h"

#define MAX_BINS 1024	     /* executables whose version is remembered; the kernel side keeps as many (RT_MAX_BINS) */
#define MAX_IMAGES 8192	     /* images alive at a time */
#define PATIENCE_NS 3000000000ull /* how long a library that is to come is waited for */
#define TITLES_NS 500000000ull	  /* how often titles are read again */
#define TITLE_MAX 1024

/* An executable as it was read. */
struct bin {
	struct rt_bin_key key;
	char python[24]; /* "3.11.7"; "": no Python, or one that cannot be used */
	bool usdt;	 /* its calls are told by static probes */
};

struct image {
	uint32_t image, pid;
	struct rt_bin_key key;
	uint64_t wait_until_ns; /* its libpython is to come; 0: nothing is waited for */
	bool python;
	bool muted_said; /* that its tracking is switched off, of this or an earlier program of its process */
	char title[TITLE_MAX];
};

struct rt_watch {
	struct rt_watch_config config;
	struct bin *bins;
	size_t n_bins;
	struct image **images;
	size_t n_images;
	uint64_t titles_at_ns;
	bool waiting;
	int status; /* of the entry probes asked for */
	bool full_said;
};

struct rt_watch *rt_watch_new(const struct rt_watch_config *config)
{
	struct rt_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->config = *config;
	w->bins = calloc(MAX_BINS, sizeof(*w->bins));
	w->images = calloc(MAX_IMAGES, sizeof(*w->images));
	if (!w->bins || !w->images) {
		rt_watch_free(w);
		return NULL;
	}
	return w;
}

void rt_watch_free(struct rt_watch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_images; i++)
		free(w->images[i]);
	free(w->images);
	free(w->bins);
	free(w);
}

/* ---- META records ---- */

static void put_meta(struct rt_watch *w, uint64_t ts_ns, const struct image *im, enum rt_meta key, const char *text)
{
	struct {
		struct rt_rec_meta m;
		char text[TITLE_MAX + 4096 + 8];
	} rec;
	size_t len = strlen(text);

	if (len > sizeof(rec.text) - 8)
		len = sizeof(rec.text) - 8;
	memset(&rec.m, 0, sizeof(rec.m));
	memcpy(rec.text, text, len);
	memset(rec.text + len, 0, 8);
	rec.m.h.type = RT_REC_META;
	rec.m.h.size = (uint32_t)((sizeof(rec.m) + len + 7) & ~(size_t)7);
	rec.m.h.ts_ns = ts_ns;
	rec.m.h.image = im->image;
	rec.m.h.tid = im->pid;
	rec.m.key = key;
	rec.m.len = (uint32_t)len;
	rt_account_record(w->config.account, &rec, rec.m.h.size);
}

static void put_title(struct rt_watch *w, struct image *im, uint64_t ts_ns)
{
	char title[TITLE_MAX];

	if (rt_proc_cmdline((pid_t)im->pid, title, sizeof(title)) <= 0 || !strcmp(title, im->title))
		return;
	memcpy(im->title, title, sizeof(title));
	put_meta(w, ts_ns, im, RT_META_TITLE, title);
}

/* ---- interpreters ---- */

static struct bin *find_bin(struct rt_watch *w, const struct rt_bin_key *key)
{
	for (size_t i = w->n_bins; i-- > 0;) /* the newest is asked for most */
		if (w->bins[i].key.dev == key->dev && w->bins[i].key.ino == key->ino)
			return &w->bins[i];
	return NULL;
}

int rt_watch_status(const struct rt_watch *w)
{
	return w->status;
}

/* Tells the kernel side and remembers. `t` NULL: no Python that could be used. */
static struct bin *add_bin(struct rt_watch *w, const struct rt_bin_key *key, struct rt_pytarget *t)
{
	struct rt_bin none = {.kind = RT_BIN_NONE};
	struct bin *b;

	if (w->n_bins == MAX_BINS) {
		if (!w->full_said)
			rt_log_notice("more than %d different executables were run; further ones are shown without phases", MAX_BINS);
		w->full_said = true;
		return NULL;
	}
	if (rt_probe_add_bin(w->config.probe, key, t ? &t->bin : &none, t ? &t->off : NULL))
		return NULL;
	b = &w->bins[w->n_bins++];
	b->key = *key;
	snprintf(b->python, sizeof(b->python), "%s", t ? t->version : "");
	if (t) {
		int status = rt_entryprobe_python(w->config.entries, t);

		b->usdt = rt_entryprobe_uses_usdt(w->config.entries, t);
		w->status = w->status ? w->status : status;
	}
	return b;
}

/* A reason that begins with the process; many name a file only. */
static const char *named(pid_t pid, const char *why, char *text, size_t len)
{
	if (!strncmp(why, "process ", strlen("process ")))
		return why;
	snprintf(text, len, "process %d: %s", (int)pid, why);
	return text;
}

/* Reads the executable of a running process. Returns NULL if a library is to come first (*wait) or nothing could be done. */
static struct bin *read_bin(struct rt_watch *w, pid_t pid, const struct rt_bin_key *key, bool give_up, bool *wait)
{
	struct rt_pytarget t;
	char why[512], text[600];
	int err = rt_pytarget_read(pid, &t, why, sizeof(why));

	*wait = false;
	if (err == 1 && t.may_come && !give_up) {
		*wait = true;
		return NULL;
	}
	if (err < 0 && err != -ENOENT && err != -ESRCH && err != -EAGAIN)
		rt_log_notice("%s; its RSS is shown without Python phases; run: ramtrack-bpf doctor -p %d", named(pid, why, text, sizeof(text)), (int)pid);
	if (err == 1 && t.may_come && t.version[0])
		rt_log_notice("process %d: CPython %s is no release that this ramtrack-bpf knows, and it had no frame within %d s that its layout could be "
			      "checked on; its RSS is shown without Python phases", (int)pid, t.version, (int)(PATIENCE_NS / 1000000000));
	if (err == 0 && t.newer)
		rt_log_notice("process %d: CPython %s is no release that this ramtrack-bpf knows: its own debug offsets are used, which its frames agree with", (int)pid,
			      t.version);
	if (err == -ENOENT || err == -ESRCH || err == -EAGAIN)
		return NULL; /* it is gone: the next process with this executable tells */
	return add_bin(w, key, err == 0 ? &t : NULL);
}

void rt_watch_prepare(struct rt_watch *w, pid_t pid)
{
	struct rt_bin_key key;
	bool wait;

	if (!rt_proc_exe_key(pid, &key) && !find_bin(w, &key))
		read_bin(w, pid, &key, false, &wait);
}

void rt_watch_prepare_file(struct rt_watch *w, const char *command)
{
	struct rt_pytarget t;
	char why[512] = "no Python in it";

	if (rt_pytarget_from_file(command, NULL, &t, why, sizeof(why)) == 0) {
		if (!find_bin(w, &t.key))
			add_bin(w, &t.key, &t);
	} else {
		rt_log_detail("%s: read when it runs: %s", command, why);
	}
}

/* ---- images ---- */

static struct image *find_image(struct rt_watch *w, uint32_t image)
{
	for (size_t i = w->n_images; i-- > 0;)
		if (w->images[i]->image == image)
			return w->images[i];
	return NULL;
}

static void drop_image(struct rt_watch *w, uint32_t image)
{
	for (size_t i = 0; i < w->n_images; i++) {
		if (w->images[i]->image != image)
			continue;
		free(w->images[i]);
		w->images[i] = w->images[--w->n_images];
		return;
	}
}

static void settle(struct rt_watch *w, struct image *im, const struct bin *b, uint64_t ts_ns)
{
	im->wait_until_ns = 0;
	im->python = b && b->python[0];
	put_meta(w, ts_ns, im, RT_META_PYTHON, im->python ? b->python : "");
}

/* VLLM_ENABLE_RAM_TRACKING in the process's own environment. */
static void check_switch(struct rt_watch *w, struct image *im, uint64_t ts_ns)
{
	char value[16];
	bool off = w->config.own_switch == 0;

	if (w->config.own_switch < 0 && rt_proc_environ((pid_t)im->pid, "VLLM_ENABLE_RAM_TRACKING", value, sizeof(value)) > 0 &&
	    !strcmp(value, "0")) {
		off = true;
		if (!im->muted_said)
			rt_log_notice("process %u: VLLM_ENABLE_RAM_TRACKING=0 in its environment: its phases are not shown (set the variable to 1 for "
				      "ramtrack-bpf to overrule it)", im->pid);
		im->muted_said = true;
	}
	if (off)
		put_meta(w, ts_ns, im, RT_META_MUTED, "");
}

static void on_born(struct rt_watch *w, const struct rt_rec_proc *r)
{
	struct image *im = r->prev_image ? find_image(w, r->prev_image) : NULL;
	struct bin *b;
	char exe[4096];
	bool wait = false, muted_said = im && im->muted_said;

	if (r->prev_image)
		drop_image(w, r->prev_image);
	if (w->n_images == MAX_IMAGES)
		return;
	im = calloc(1, sizeof(*im));
	if (!im)
		return;
	w->images[w->n_images++] = im;
	im->image = r->h.image;
	im->pid = r->pid;
	im->muted_said = muted_said;
	im->key = (struct rt_bin_key){.dev = r->exe_dev, .ino = r->exe_ino};
	/* The interpreter first: the process runs on meanwhile. */
	b = find_bin(w, &im->key);
	if (!b && !(r->flags & RT_PROC_SHARES_MM))
		b = read_bin(w, (pid_t)im->pid, &im->key, false, &wait);
	check_switch(w, im, r->h.ts_ns);
	if (rt_proc_exe((pid_t)im->pid, exe, sizeof(exe)) > 0)
		put_meta(w, r->h.ts_ns, im, RT_META_EXE, exe);
	put_title(w, im, r->h.ts_ns);
	if (wait) {
		im->wait_until_ns = r->h.ts_ns + PATIENCE_NS;
		w->waiting = true;
	} else {
		settle(w, im, b, r->h.ts_ns);
	}
}

void rt_watch_record(struct rt_watch *w, const void *record, size_t size)
{
	struct rt_rec_proc proc;
	struct image *im;
	struct rt_hdr h;

	memcpy(&h, record, sizeof(h));
	switch (h.type) {
	case RT_REC_PROC:
		if (size < sizeof(proc))
			return;
		memcpy(&proc, record, sizeof(proc));
		on_born(w, &proc);
		return;
	case RT_REC_EXIT:
		drop_image(w, h.image);
		return;
	case RT_REC_RENAME:
		im = find_image(w, h.image);
		if (im && im->pid == h.tid)
			put_title(w, im, h.ts_ns);
		return;
	}
}

bool rt_watch_tick(struct rt_watch *w, uint64_t now)
{
	if (w->waiting) {
		w->waiting = false;
		for (size_t i = 0; i < w->n_images; i++) {
			struct image *im = w->images[i];
			struct bin *b;
			bool wait = false;

			if (!im->wait_until_ns)
				continue;
			b = find_bin(w, &im->key);
			if (!b)
				b = read_bin(w, (pid_t)im->pid, &im->key, now > im->wait_until_ns, &wait);
			if (wait)
				w->waiting = true;
			else
				settle(w, im, b, now);
		}
	}
	if (now - w->titles_at_ns > TITLES_NS) {
		w->titles_at_ns = now;
		for (size_t i = 0; i < w->n_images; i++)
			if (w->images[i]->python)
				put_title(w, w->images[i], now);
	}
	return w->waiting;
}

bool rt_watch_uses_usdt(struct rt_watch *w, uint32_t image)
{
	struct image *im = find_image(w, image);
	struct bin *b = im ? find_bin(w, &im->key) : NULL;

	return b && b->usdt;
}

void rt_watch_inexact(struct rt_watch *w, uint32_t image, const char *phase, uint64_t ts_ns)
{
	for (size_t i = 0; i < w->n_images; i++)
		if (!image || w->images[i]->image == image)
			put_meta(w, ts_ns, w->images[i], RT_META_INEXACT, phase ? phase : "");
}

int rt_watch_read_source(struct rt_watch *w, uint32_t pid, const char *file, char **text, size_t *len)
{
	char *path;
	int err = rt_proc_read_file((pid_t)pid, file, text, len);

	if (err != -ENOENT)
		return err;
	path = strdup(file);
	if (!path)
		return -ENOMEM;
	if (rt_text_to_path(path))
		err = rt_proc_read_file((pid_t)pid, path, text, len);
	free(path);
	return err;
}
