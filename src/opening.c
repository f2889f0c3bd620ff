/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "opening.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RT_LINE_MAX 4608 /* a path of PATH_MAX, four times as long where each newline is escaped, is cut */
#define RT_TMPFS_MAX 64
#define RT_SLOTS (2 * RT_OPENING_NAMES)
#define RT_KIB_MAX (1ull << 42) /* nonsense above it: sums must not overflow */

struct rt_holding {
	char *name; /* NULL: the slot is empty */
	enum rt_kind kind;
	uint64_t bytes;
};

struct rt_opening {
	struct rt_holding slot[RT_SLOTS]; /* open addressing, by name and kind */
	size_t used;
	uint64_t others[RT_KINDS];
	uint64_t tmpfs[RT_TMPFS_MAX]; /* major << 32 | minor */
	size_t n_tmpfs;
	/* the mapping that is being read */
	bool open, shmem;
	char name[RT_OPENING_NAME_MAX + 1];
	uint64_t rss, anon;
	char line[RT_LINE_MAX];
	size_t len;
};

struct rt_opening *rt_opening_new(void)
{
	return calloc(1, sizeof(struct rt_opening));
}

void rt_opening_free(struct rt_opening *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < RT_SLOTS; i++)
		free(o->slot[i].name);
	free(o);
}

/* ---- mounts ---- */

/* "36 35 0:26 / /dev/shm rw,nosuid shared:2 - tmpfs tmpfs rw" */
static void rt_opening_mount(struct rt_opening *o, const char *line)
{
	const char *type = strstr(line, " - ");
	unsigned int major, minor;

	if (!type || o->n_tmpfs == RT_TMPFS_MAX || sscanf(line, "%*u %*u %u:%u", &major, &minor) != 2)
		return;
	if (!strncmp(type + 3, "tmpfs ", 6) || !strncmp(type + 3, "devtmpfs ", 9))
		o->tmpfs[o->n_tmpfs++] = (uint64_t)major << 32 | minor;
}

void rt_opening_mounts(struct rt_opening *o, const char *text, size_t len)
{
	char line[512]; /* of a longer one device and type are not both in sight: a mount point of hundreds of bytes */

	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len, kept = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

		memcpy(line, text, kept);
		line[kept] = 0;
		rt_opening_mount(o, line);
		text += n + (end ? 1 : 0);
		len -= n + (end ? 1 : 0);
	}
}

/* ---- sums ---- */

static size_t rt_opening_hash(const char *name, enum rt_kind kind)
{
	uint64_t h = 0xcbf29ce484222325ull + kind;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3ull;
	return (size_t)(h ^ h >> 32) & (RT_SLOTS - 1);
}

static void rt_opening_add(struct rt_opening *o, const char *name, enum rt_kind kind, uint64_t bytes)
{
	size_t i = rt_opening_hash(name, kind);

	if (!bytes)
		return;
	for (; o->slot[i].name; i = (i + 1) & (RT_SLOTS - 1)) {
		if (o->slot[i].kind == kind && !strcmp(o->slot[i].name, name)) {
			o->slot[i].bytes += bytes;
			return;
		}
	}
	if (o->used < RT_OPENING_NAMES)
		o->slot[i].name = strdup(name);
	if (!o->slot[i].name) {
		o->others[kind] += bytes;
		return;
	}
	o->used++;
	o->slot[i].kind = kind;
	o->slot[i].bytes = bytes;
}

static void rt_opening_close(struct rt_opening *o)
{
	uint64_t anon = o->anon < o->rss ? o->anon : o->rss;

	if (o->open) {
		rt_opening_add(o, o->name, RT_ANON, anon);
		rt_opening_add(o, o->name, o->shmem ? RT_SHMEM : RT_FILE, o->rss - anon);
	}
	o->open = false;
}

/* ---- lines ---- */

static bool rt_begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* Memory of the kernel's own tmpfs, which is mounted nowhere, is known by its name. */
static bool rt_opening_is_shmem(const struct rt_opening *o, const char *path, unsigned int major, unsigned int minor)
{
	if (rt_begins(path, "/dev/shm/") || rt_begins(path, "/memfd:") || rt_begins(path, "/SYSV") ||
	    rt_begins(path, "[anon_shmem:") || !strcmp(path, "/dev/zero (deleted)"))
		return true;
	for (size_t i = 0; i < o->n_tmpfs; i++)
		if (o->tmpfs[i] == ((uint64_t)major << 32 | minor))
			return true;
	return false;
}

/* The kernel writes a newline in a path as \012; nothing else is escaped. */
static void rt_opening_name(struct rt_opening *o, const char *path)
{
	size_t len = strlen(path), n = 0;

	if (!len || rt_begins(path, "[anon:"))
		path = "[anon]";
	else if (len > RT_OPENING_NAME_MAX)
		path += len - RT_OPENING_NAME_MAX;
	while (*path && n < RT_OPENING_NAME_MAX) {
		bool newline = rt_begins(path, "\\012");

		o->name[n++] = newline ? '\n' : *path;
		path += newline ? 4 : 1;
	}
	o->name[n] = 0;
}

/* "7f1c00000000-7f1c00021000 rw-p 00000000 00:1a 1234    /dev/shm/x", or "Rss:     132 kB" */
static void rt_opening_line(struct rt_opening *o)
{
	unsigned int major, minor;
	unsigned long long kib;
	int path = 0;

	/* Most lines are neither: told by the first letter. */
	if (strchr("0123456789abcdef", o->line[0]) &&
	    sscanf(o->line, "%*12[0-9a-fA-F]%*[0-9a-fA-F-] %*4s %*16[0-9a-fA-F] %x:%x %*u%n", &major, &minor, &path) == 2 && path) {
		rt_opening_close(o);
		while (o->line[path] == ' ')
			path++;
		o->open = true;
		o->rss = o->anon = 0;
		o->shmem = rt_opening_is_shmem(o, o->line + path, major, minor);
		rt_opening_name(o, o->line + path);
		return;
	}
	if (o->line[0] == 'R' && sscanf(o->line, "Rss: %llu kB", &kib) == 1 && kib < RT_KIB_MAX)
		o->rss = kib * 1024;
	else if (o->line[0] == 'A' && sscanf(o->line, "Anonymous: %llu kB", &kib) == 1 && kib < RT_KIB_MAX)
		o->anon = kib * 1024;
}

static void rt_opening_end_line(struct rt_opening *o)
{
	o->line[o->len] = 0;
	rt_opening_line(o);
	o->len = 0;
}

void rt_opening_feed(struct rt_opening *o, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			rt_opening_end_line(o);
		else if (o->len < RT_LINE_MAX - 1)
			o->line[o->len++] = text[i] ? text[i] : ' ';
	}
}

/* ---- the end ---- */

static int rt_holding_compare(const void *a, const void *b)
{
	const struct rt_holding *const *x = a, *const *y = b;

	if ((*x)->bytes != (*y)->bytes)
		return (*x)->bytes < (*y)->bytes ? 1 : -1;
	return strcmp((*x)->name, (*y)->name); /* the same rows from the same text */
}

size_t rt_opening_finish(struct rt_opening *o, struct rt_opening_row rows[RT_OPENING_ROWS])
{
	const struct rt_holding *sorted[RT_OPENING_NAMES];
	size_t n = 0, listed = 0;

	if (o->len)
		rt_opening_end_line(o);
	rt_opening_close(o);
	for (size_t i = 0; i < RT_SLOTS && n < RT_OPENING_NAMES; i++)
		if (o->slot[i].name)
			sorted[n++] = &o->slot[i];
	qsort(sorted, n, sizeof(*sorted), rt_holding_compare);
	for (size_t i = 0; i < n; i++) {
		if (i < RT_OPENING_LISTED)
			rows[listed++] = (struct rt_opening_row){sorted[i]->name, sorted[i]->kind, sorted[i]->bytes};
		else
			o->others[sorted[i]->kind] += sorted[i]->bytes;
	}
	for (int k = 0; k < RT_KINDS; k++)
		if (o->others[k])
			rows[listed++] = (struct rt_opening_row){RT_OPENING_OTHERS, (enum rt_kind)k, o->others[k]};
	memset(o->others, 0, sizeof(o->others));
	return listed;
}
