/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativemaps.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_PAGES 16 /* a power of two: 64 KiB a CPU, some five hundred records */
#define RECORD_MAX 65536

struct ring {
	int fd;
	struct perf_event_mmap_page *page; /* followed by the data */
};

struct rt_nativemaps {
	struct ring *rings;
	int n;
	size_t page_size;
	uint8_t record[RECORD_MAX];
};

static int ring_open(struct rt_nativemaps *m, int cpu, int epoll_fd, struct ring *r)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.sample_id_all = 1,
		.sample_type = PERF_SAMPLE_TIME,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	struct epoll_event ev = {.events = EPOLLIN};
	int err;

	r->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	r->page = mmap(NULL, (RING_PAGES + 1) * m->page_size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (r->page == MAP_FAILED) {
		err = -errno;
		r->page = NULL;
		close(r->fd);
		return err;
	}
	ev.data.fd = r->fd;
	if (!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, r->fd, &ev))
		return 0;
	err = -errno;
	munmap(r->page, (RING_PAGES + 1) * m->page_size);
	close(r->fd);
	return err;
}

int rt_nativemaps_new(int epoll_fd, struct rt_nativemaps **out)
{
	struct rt_nativemaps *m = calloc(1, sizeof(*m));
	int cpus = (int)sysconf(_SC_NPROCESSORS_CONF), err = 0;

	if (!m)
		return -ENOMEM;
	m->page_size = (size_t)sysconf(_SC_PAGESIZE);
	m->rings = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*m->rings));
	for (int cpu = 0; m->rings && cpu < cpus; cpu++) {
		int code = ring_open(m, cpu, epoll_fd, &m->rings[m->n]);

		if (!code)
			m->n++;
		else if (code != -ENODEV) /* a CPU that is not online */
			err = code;
	}
	if (m->n && !err) {
		*out = m;
		return 0;
	}
	err = !m->rings ? -ENOMEM : err ? err : -ENODEV;
	rt_nativemaps_free(m);
	return err;
}

void rt_nativemaps_free(struct rt_nativemaps *m)
{
	if (!m)
		return;
	for (int i = 0; i < m->n; i++) {
		munmap(m->rings[i].page, (RING_PAGES + 1) * m->page_size);
		close(m->rings[i].fd);
	}
	free(m->rings);
	free(m);
}

/* PERF_RECORD_MMAP2, then its time (sample_id_all with PERF_SAMPLE_TIME: the last eight bytes). */
static void tell(const uint8_t *record, size_t size, rt_mapped_fn on_mapped, void *ctx)
{
	struct {
		struct perf_event_header h;
		uint32_t pid, tid;
		uint64_t addr, len, pgoff;
		uint8_t file[24]; /* device and inode, or build id */
		uint32_t prot, flags;
	} r;
	struct rt_mapped mapped;
	size_t text;

	_Static_assert(sizeof(r) == 72, "PERF_RECORD_MMAP2");
	if (size < sizeof(r) + 8)
		return;
	memcpy(&r, record, sizeof(r));
	text = size - sizeof(r) - 8;
	memcpy(&mapped.ts_ns, record + size - 8, 8);
	if (!memchr(record + sizeof(r), 0, text) || !(r.prot & PROT_EXEC) || r.addr + r.len < r.addr)
		return;
	mapped.start = r.addr;
	mapped.end = r.addr + r.len;
	mapped.pid = r.pid;
	mapped.path = (const char *)record + sizeof(r);
	on_mapped(ctx, &mapped);
}

static uint64_t ring_read(struct rt_nativemaps *m, struct ring *r, rt_mapped_fn on_mapped, void *ctx)
{
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE), tail = r->page->data_tail, lost = 0;
	const uint8_t *data = (const uint8_t *)r->page + m->page_size;
	size_t room = RING_PAGES * m->page_size;

	while (tail < head) {
		struct perf_event_header h;
		size_t at = tail % room, first;

		memcpy(&h, data + at, sizeof(h)); /* records begin at multiples of eight: a header is never torn */
		if (h.size < sizeof(h) || h.size > head - tail)
			break; /* cannot be */
		first = h.size < room - at ? h.size : room - at;
		memcpy(m->record, data + at, first);
		memcpy(m->record + first, data, h.size - first);
		tail += h.size;
		if (h.type == PERF_RECORD_MMAP2) {
			tell(m->record, h.size, on_mapped, ctx);
		} else if (h.type == PERF_RECORD_LOST && h.size >= 24) {
			uint64_t n;

			memcpy(&n, m->record + 16, 8); /* id, lost */
			lost += n;
		}
	}
	__atomic_store_n(&r->page->data_tail, head, __ATOMIC_RELEASE);
	return lost;
}

uint64_t rt_nativemaps_read(struct rt_nativemaps *m, rt_mapped_fn on_mapped, void *ctx)
{
	uint64_t lost = 0;

	for (int i = 0; i < m->n; i++)
		lost += ring_read(m, &m->rings[i], on_mapped, ctx);
	return lost;
}
