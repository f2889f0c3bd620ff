/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativemaps.h - told when any process of the machine maps a file with permission to execute.
 *
 * By PERF_RECORD_MMAP2 of a dummy software event on each CPU (uapi/linux/perf_event.h): there since Linux 3.16, needs no kprobe, and costs a few microseconds at each such mapping and nothing
 * at any other system call. Why not other hooks: tracepoints of system calls slow every call of every process; the tracepoints of mmap_lock are not in 5.10 and come with every lock;
 * the dynamic linker's own hooks (_dl_debug_state, its SDT probes) need a probe in each linker, and do not see what is mapped without it.
 */
#ifndef RT_NATIVEMAPS_H
#define RT_NATIVEMAPS_H

#include <stdint.h>

struct rt_nativemaps;

struct rt_mapped { /* valid during the call; hostile bytes */
	uint64_t ts_ns; /* CLOCK_MONOTONIC */
	uint64_t start, end;
	uint32_t pid;
	const char *path; /* as the process sees it; may be cut, may end in " (deleted)" */
};

typedef void (*rt_mapped_fn)(void *ctx, const struct rt_mapped *mapped);

/* Begins. `epoll_fd`: the descriptors are added to it, their events become readable at once. Returns 0 or -errno. */
int rt_nativemaps_new(int epoll_fd, struct rt_nativemaps **out);
void rt_nativemaps_free(struct rt_nativemaps *maps);

/* Delivers what has come. Returns how many records the kernel says that it dropped since the last call. */
uint64_t rt_nativemaps_read(struct rt_nativemaps *maps, rt_mapped_fn on_mapped, void *ctx);

#endif
