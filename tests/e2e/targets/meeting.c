/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * meeting.c - two threads on two CPUs fault pages of one address space at the same time, without a stop between the pages: what the kernel counts on both meets in
 * the shared counters all the time. Prints of each thread: its id and how many pages of its memory are there (/proc/self/pagemap). argv: what both threads do, and
 * for `file` one file for each.
 *
 *   anon   a page at a time
 *   file   mapped files, 16 pages at a time
 *   huge   huge pages
 *   churn  the first as with `anon`; the second maps, touches and unmaps 600 pages again and again, so that none is left
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 16384, HUGE = 512, AROUND = 16, CHURN = 600, ROUNDS = 30 };

struct part {
	char *memory;
	long step, pages;
	int cpu, churns, tid;
};

static int ready;

static char *private_memory(long pages, int advice)
{
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED || madvise(memory, pages * PAGE, advice) ? NULL : memory;
}

static void touch(volatile char *memory, long pages, long step, int write)
{
	for (long i = 0; i < pages; i += step) {
		if (write)
			memory[i * PAGE] = 1;
		else
			(void)memory[i * PAGE];
	}
}

static void *work(void *arg)
{
	struct part *part = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(part->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	part->tid = (int)syscall(SYS_gettid);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < 2)
		;
	if (!part->churns)
		touch(part->memory, part->pages, part->step, part->step != AROUND);
	for (int i = 0; i < part->churns; i++) {
		char *memory = private_memory(CHURN, MADV_NOHUGEPAGE);

		if (!memory)
			return arg;
		touch(memory, CHURN, 1, 1);
		munmap(memory, CHURN * PAGE);
	}
	return NULL;
}

static int prepare(struct part *part, const char *what, const char *path)
{
	part->step = 1;
	part->pages = PAGES;
	if (strcmp(what, "file") == 0) {
		int fd = open(path, O_RDONLY);

		part->step = AROUND;
		part->memory = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		return fd < 0 || part->memory == MAP_FAILED;
	}
	if (strcmp(what, "huge") == 0) {
		part->memory = private_memory(PAGES + HUGE, MADV_HUGEPAGE);
		if (!part->memory)
			return 1;
		part->memory = (char *)(((uintptr_t)part->memory + HUGE * PAGE - 1) & ~((uintptr_t)HUGE * PAGE - 1));
		part->step = HUGE;
		return 0;
	}
	part->memory = private_memory(PAGES, MADV_NOHUGEPAGE);
	return !part->memory;
}

static long present(int pagemap, const struct part *part)
{
	static uint64_t entry[PAGES];
	long n = 0;

	if (pread(pagemap, entry, sizeof(entry), (off_t)((uintptr_t)part->memory / PAGE * sizeof(entry[0]))) != sizeof(entry))
		return -1;
	for (long i = 0; i < part->pages; i++)
		n += entry[i] >> 63;
	return n;
}

int main(int argc, char **argv)
{
	struct part part[2] = { { .cpu = 0 }, { .cpu = 1 } };
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	pthread_t thread[2];
	void *failed = NULL, *result;

	/* All code is there before: none of it is then a thread's. */
	if (argc < 2 || pagemap < 0 || mlockall(MCL_CURRENT))
		return 98;
	for (int i = 0; i < 2; i++) {
		if (prepare(&part[i], argv[1], argc > 2 + i ? argv[2 + i] : ""))
			return 97;
	}
	if (strcmp(argv[1], "churn") == 0)
		part[1].churns = ROUNDS;
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&thread[i], NULL, work, &part[i]))
			return 96;
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], &result);
		failed = result ? result : failed;
	}
	for (int i = 0; i < 2; i++)
		printf("%d %ld\n", part[i].tid, present(pagemap, &part[i]));
	return failed ? 95 : 0;
}
