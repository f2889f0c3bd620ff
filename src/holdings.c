/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "holdings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "opening.h"

#define MAX_WAITING 4096	  /* processes adopted at most */
#define MAX_TEXT (64u << 20)	  /* of smaps: about 90,000 mappings */
#define MAX_MOUNTS (256u << 10)	  /* of mountinfo */
#define PIECE 65536

struct waiting {
	uint32_t image, pid;
};

struct rt_holdings {
	struct rt_account *account;
	struct waiting *queue;
	size_t first, n;
	struct rt_opening *reading; /* of the first in the queue; NULL: not begun */
	int fd;
	size_t taken;
	char piece[PIECE];
};

struct rt_holdings *rt_holdings_new(struct rt_account *account)
{
	struct rt_holdings *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->account = account;
	h->fd = -1;
	return h;
}

/* The first in the queue is done with. */
static void next(struct rt_holdings *h)
{
	rt_opening_free(h->reading);
	h->reading = NULL;
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	h->taken = 0;
	h->first++;
}

void rt_holdings_free(struct rt_holdings *h)
{
	if (!h)
		return;
	next(h);
	free(h->queue);
	free(h);
}

/* An image that ends, or that an exec replaces, holds nothing any longer. */
static void forget(struct rt_holdings *h, uint32_t image)
{
	for (size_t i = h->first; image && i < h->n; i++) {
		if (h->queue[i].image != image)
			continue;
		if (i == h->first)
			next(h);
		else
			h->queue[i].image = 0;
	}
}

void rt_holdings_record(struct rt_holdings *h, const void *record, size_t size)
{
	struct rt_rec_proc proc;
	struct waiting *grown;
	struct rt_hdr head;

	memcpy(&head, record, sizeof(head));
	if (head.type == RT_REC_EXIT)
		forget(h, head.image);
	if (head.type != RT_REC_PROC || size < sizeof(proc))
		return;
	memcpy(&proc, record, sizeof(proc));
	if (proc.birth == RT_BIRTH_EXEC)
		forget(h, proc.prev_image);
	if (proc.birth != RT_BIRTH_ATTACH || proc.flags & RT_PROC_SHARES_MM || h->n == MAX_WAITING)
		return;
	grown = realloc(h->queue, (h->n + 1) * sizeof(*grown));
	if (!grown)
		return;
	h->queue = grown;
	h->queue[h->n++] = (struct waiting){proc.h.image, proc.pid};
}

static int open_of(uint32_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void read_mounts(struct rt_holdings *h, uint32_t pid)
{
	char *text = malloc(MAX_MOUNTS);
	int fd = text ? open_of(pid, "mountinfo") : -1;
	size_t len = 0;
	ssize_t n;

	while (fd >= 0 && len < MAX_MOUNTS && (n = read(fd, text + len, MAX_MOUNTS - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		close(fd);
	rt_opening_mounts(h->reading, text, len);
	free(text);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void put(struct rt_holdings *h, const struct waiting *w)
{
	struct rt_opening_row rows[RT_OPENING_ROWS];
	size_t n = rt_opening_finish(h->reading, rows);
	uint64_t now = now_ns();
	struct {
		struct rt_rec_opening o;
		char name[RT_OPENING_NAME_MAX + 8];
	} rec;

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(rows[i].name);

		memset(&rec, 0, sizeof(rec));
		memcpy(rec.name, rows[i].name, len);
		rec.o.h.type = RT_REC_OPENING;
		rec.o.h.size = (uint32_t)((sizeof(rec.o) + len + 7) & ~(size_t)7);
		rec.o.h.ts_ns = now;
		rec.o.h.image = w->image;
		rec.o.h.tid = w->pid;
		rec.o.kind = rows[i].kind;
		rec.o.len = (uint32_t)len;
		rec.o.bytes = rows[i].bytes;
		rt_account_record(h->account, &rec, rec.o.h.size);
	}
}

/* One piece of the first in the queue. */
static void read_on(struct rt_holdings *h)
{
	struct waiting *w = &h->queue[h->first];
	ssize_t n;

	if (!h->reading) {
		h->fd = w->image ? open_of(w->pid, "smaps") : -1;
		h->reading = h->fd >= 0 ? rt_opening_new() : NULL;
		if (!h->reading) {
			if (w->image && errno != ENOENT && errno != ESRCH)
				rt_log_notice("process %u: /proc/%u/smaps: %s; what it held before is not told", w->pid, w->pid,
					      strerror(errno));
			next(h);
			return;
		}
		read_mounts(h, w->pid);
	}
	n = read(h->fd, h->piece, sizeof(h->piece));
	if (n > 0) {
		rt_opening_feed(h->reading, h->piece, (size_t)n);
		h->taken += (size_t)n;
		if (h->taken < MAX_TEXT)
			return;
		rt_log_notice("process %u: it has too many mappings: those at its highest addresses are shown as changed while reading", w->pid);
	}
	if (n >= 0)
		put(h, w);
	next(h);
}

void rt_holdings_step(struct rt_holdings *h, uint64_t budget_ns)
{
	uint64_t until = now_ns() + budget_ns;

	while (h->first < h->n && now_ns() < until)
		read_on(h);
	if (h->n && h->first == h->n)
		h->first = h->n = 0;
}
