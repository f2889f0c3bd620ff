/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * faults.c - a program whose page faults are known by arithmetic. Linked statically.
 *
 *	faults THREADS PAGES ROUNDS
 *
 * Prints "ready", waits for a byte (or the end) of its input, works, prints one line of figures, waits again, ends. Each thread maps PAGES, touches
 * all, gives half back with MADV_DONTNEED, touches a quarter again and unmaps the last quarter; all but the last round unmap the rest as well. So
 * each thread ends with PAGES/2 more than before and has taken ROUNDS * (PAGES + PAGES/4) faults. While it waits, all threads stand still: what is
 * read of it from outside must then be what it has read of itself. Exit status 3: it is not what it says.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define PAGE 4096UL

static unsigned long pages, rounds;
static unsigned int n_threads;
static pthread_barrier_t step;
static int rollup_fd;
static long long spent_ns; /* of the first thread, in the touching of a whole mapping: the fastest of the rounds, since others use the processor too */
static char text[4096];

static void die(const char *what)
{
	perror(what);
	_exit(3);
}

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void touch(char *memory, unsigned long first, unsigned long count)
{
	unsigned long i;

	for (i = first; i < first + count; i++)
		((volatile char *)memory)[i * PAGE] = 1;
}

static long long one_round(int keep)
{
	unsigned long quarter = pages / 4;
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long long start, ns;

	if (memory == MAP_FAILED)
		die("faults: mmap");
	/* A kernel without huge pages refuses; there is nothing to switch off then. */
	(void)madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
	start = now_ns();
	touch(memory, 0, pages);
	ns = now_ns() - start;
	if (madvise(memory, 2 * quarter * PAGE, MADV_DONTNEED))
		die("faults: madvise");
	touch(memory, 0, quarter);
	if (munmap(memory + 3 * quarter * PAGE, quarter * PAGE) || (!keep && munmap(memory, 3 * quarter * PAGE)))
		die("faults: munmap");
	return ns;
}

static void *worker(void *arg)
{
	unsigned long i;
	long long ns, fastest = 0;

	one_round(0); /* its stack and page tables */
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	for (i = 0; i < rounds; i++) {
		ns = one_round(i + 1 == rounds);
		if (!i || ns < fastest)
			fastest = ns;
	}
	if (arg)
		spent_ns = fastest;
	pthread_barrier_wait(&step);
	for (;;)
		pause();
	return NULL;
}

/* Pages of RSS by the kernel's walk of the page tables. */
static unsigned long rss(void)
{
	ssize_t size = pread(rollup_fd, text, sizeof(text) - 1, 0);
	char *line;

	if (size <= 0)
		die("faults: /proc/self/smaps_rollup");
	text[size] = 0;
	line = strstr(text, "\nRss:");
	if (!line)
		die("faults: no Rss in /proc/self/smaps_rollup");
	return strtoul(line + 5, NULL, 10) * 1024 / PAGE;
}

static unsigned long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (unsigned long)(usage.ru_minflt + usage.ru_majflt);
}

/* The program's own words, and the same way to stdout and nowhere, so that the first use is no change of RSS. */
static void say(int fd, unsigned long total, unsigned long held, unsigned long taken)
{
	static char line[512];
	int size = snprintf(line, sizeof(line), "{\"rss_pages\": %lu, \"held_pages\": %lu, \"faults\": %lu, \"ns_per_fault\": %.1f}\n", total, held,
			    taken, (double)spent_ns / (double)pages);

	if (write(fd, line, (size_t)size) != size)
		die("faults: write");
}

static void wait_for_word(void)
{
	char c;

	if (read(0, &c, 1) < 0)
		die("faults: standard input");
}

static void arguments(char **argv)
{
	n_threads = (unsigned int)strtoul(argv[1], NULL, 10);
	pages = strtoul(argv[2], NULL, 10);
	rounds = strtoul(argv[3], NULL, 10);
	if (!n_threads || n_threads > MAX_THREADS || !pages || pages % 4 || pages > 1UL << 20 || !rounds || rounds > 1UL << 20) {
		fprintf(stderr, "faults: 1 to %d threads, pages divisible by 4, at least one round\n", MAX_THREADS);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned long before, after, taken, held;
	unsigned int i;
	pthread_t thread;
	int nowhere = open("/dev/null", O_WRONLY);

	if (argc != 4 || nowhere < 0) {
		fprintf(stderr, "usage: faults THREADS PAGES ROUNDS\n");
		return 2;
	}
	arguments(argv);
	rollup_fd = open("/proc/self/smaps_rollup", O_RDONLY);
	pthread_barrier_init(&step, NULL, n_threads + 1);
	for (i = 0; i < n_threads; i++)
		if (pthread_create(&thread, NULL, worker, i ? NULL : &spent_ns))
			die("faults: pthread_create");
	pthread_barrier_wait(&step); /* all have warmed up */
	spent_ns = 12345678901LL;
	for (i = 0; i < 2; i++)
		say(nowhere, rss(), rss(), faults());
	if (write(1, "ready\n", 6) != 6)
		die("faults: write");
	wait_for_word();
	before = rss();
	taken = faults();
	pthread_barrier_wait(&step); /* go */
	pthread_barrier_wait(&step); /* all have done their work */
	taken = faults() - taken;
	after = rss();
	held = n_threads * (pages / 2);
	say(1, after, held, taken);
	if (after != rss() || after - before != held || taken != n_threads * rounds * (pages + pages / 4)) {
		fprintf(stderr, "faults: not what it says: %lu pages, then %lu, now %lu; meant %lu more; %lu faults, meant %lu\n", before, after, rss(), held,
			taken, n_threads * rounds * (pages + pages / 4));
		_exit(3);
	}
	wait_for_word();
	_exit(0);
}
