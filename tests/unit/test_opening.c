/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* /proc/PID/smaps as text -> sizes by mapping: texts as the kernel writes them (fs/proc/task_mmu.c), own ones of this
 * process, and hostile ones, in pieces of every size. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "opening.h"

#define KIB 1024ull

static const char sample[] =
	"55d0c8a00000-55d0c8b00000 r-xp 00000000 08:01 131 /usr/bin/python3.11\n"
	"Size:               1024 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
	"Rss:                 800 kB\nPss:                 400 kB\nAnonymous:             0 kB\n"
	"VmFlags: rd ex mr mw me sd\n"
	"55d0c8b00000-55d0c8b10000 rw-p 00100000 08:01 131                        /usr/bin/python3.11\n"
	"Rss:                  64 kB\nAnonymous:            60 kB\n"
	"55d0c9000000-55d0c9800000 rw-p 00000000 00:00 0                          [heap]\n"
	"Rss:                5000 kB\nAnonymous:          5000 kB\n"
	"7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n"
	"Rss:                1000 kB\nAnonymous:          1000 kB\nAnonHugePages:     2048 kB\n"
	"7f0000200000-7f0000300000 rw-p 00000000 00:00 0                          [anon:cuda pool]\n"
	"Rss:                 200 kB\nAnonymous:           200 kB\n"
	"7f0000400000-7f0000500000 rw-s 00000000 00:01 42                         /dev/zero (deleted)\n"
	"Rss:                 300 kB\nAnonymous:             0 kB\n"
	"7f0000600000-7f0000700000 rw-s 00000000 00:1a 7                          /dev/shm/psm_1\n"
	"Rss:                 100 kB\nAnonymous:             0 kB\n"
	"7f0000800000-7f0000900000 rw-s 00000000 00:01 8                          /memfd:x (deleted)\n"
	"Rss:                  40 kB\nAnonymous:             0 kB\n"
	"7f0000a00000-7f0000b00000 rw-s 00000000 00:01 9                          /SYSV00000000 (deleted)\n"
	"Rss:                  20 kB\nAnonymous:             0 kB\n"
	"7f0000c00000-7f0000d00000 rw-p 00000000 00:2b 10                         /run/state\n"
	"Rss:                  16 kB\nAnonymous:             4 kB\n"
	"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n"
	"Rss:                 132 kB\nAnonymous:           132 kB\n"
	"7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]\n"
	"Rss:                   8 kB\nAnonymous:             0 kB\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
	"Rss:                   0 kB\nAnonymous:             0 kB\n";

static const char mounts[] =
	"22 27 0:20 / /sys rw,nosuid - sysfs sysfs rw\n"
	"26 27 0:43 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=1k\n"
	"27 1 8:1 / / rw - ext4 /dev/sda1 rw\nnonsense\n - tmpfs \n1 2 x:y - tmpfs \n9 9 7:7 / /m rw - tmpfs"; /* cut */

static const struct rt_opening_row wanted[] = {
	{"[heap]", RT_ANON, 5000 * KIB}, {"[anon]", RT_ANON, 1200 * KIB}, {"/usr/bin/python3.11", RT_FILE, 804 * KIB},
	{"/dev/zero (deleted)", RT_SHMEM, 300 * KIB}, {"[stack]", RT_ANON, 132 * KIB}, {"/dev/shm/psm_1", RT_SHMEM, 100 * KIB},
	{"/usr/bin/python3.11", RT_ANON, 60 * KIB}, {"/memfd:x (deleted)", RT_SHMEM, 40 * KIB},
	{"/SYSV00000000 (deleted)", RT_SHMEM, 20 * KIB}, {"/run/state", RT_SHMEM, 12 * KIB}, {"[vdso]", RT_FILE, 8 * KIB},
	{"/run/state", RT_ANON, 4 * KIB},
};

static size_t read_in_pieces(struct rt_opening *o, const char *text, size_t len, size_t piece, struct rt_opening_row *rows)
{
	for (size_t at = 0; at < len; at += piece)
		rt_opening_feed(o, text + at, len - at < piece ? len - at : piece);
	return rt_opening_finish(o, rows);
}

static void test_every_kind(void **state)
{
	struct rt_opening_row rows[RT_OPENING_ROWS];

	(void)state;
	for (size_t piece = 1; piece < sizeof(sample); piece += 37) {
		struct rt_opening *o = rt_opening_new();
		size_t n;

		rt_opening_mounts(o, mounts, sizeof(mounts) - 1);
		n = read_in_pieces(o, sample, sizeof(sample) - 1, piece, rows);
		assert_int_equal(n, sizeof(wanted) / sizeof(*wanted));
		for (size_t i = 0; i < n; i++) {
			assert_string_equal(rows[i].name, wanted[i].name);
			assert_int_equal(rows[i].kind, wanted[i].kind);
			assert_int_equal(rows[i].bytes, wanted[i].bytes);
		}
		rt_opening_free(o);
	}
}

/* More names than are listed, more than are told apart: nothing is lost of the sums. */
static void test_many_names(void **state)
{
	struct rt_opening *o = rt_opening_new();
	struct rt_opening_row rows[RT_OPENING_ROWS];
	uint64_t sum[RT_KINDS] = {0}, given[RT_KINDS] = {0};
	char text[256];
	size_t n;

	(void)state;
	for (unsigned int i = 1; i <= 3 * RT_OPENING_NAMES; i++) {
		int len = snprintf(text, sizeof(text), "7f00-7f01 r--p 0 08:01 %u /lib/%u\nRss: %u kB\nAnonymous: 4 kB\n", i, i, 4 + i);

		rt_opening_feed(o, text, (size_t)len);
		given[RT_FILE] += i * KIB;
		given[RT_ANON] += 4 * KIB;
	}
	n = rt_opening_finish(o, rows);
	assert_int_equal(n, RT_OPENING_LISTED + 2);
	for (size_t i = 0; i < n; i++) {
		sum[rows[i].kind] += rows[i].bytes;
		assert_true(i == 0 || i >= RT_OPENING_LISTED || rows[i].bytes <= rows[i - 1].bytes);
		assert_int_equal(i >= RT_OPENING_LISTED, !strcmp(rows[i].name, RT_OPENING_OTHERS));
	}
	for (int k = 0; k < RT_KINDS; k++)
		assert_int_equal(sum[k], given[k]);
	rt_opening_free(o);
}

static void test_hostile(void **state)
{
	static const char *const odd[] = {
		"", "\n\n\n", "Rss: 5 kB\nAnonymous: 5 kB\n", "7f00-7f01\n", "7f00-7f01 rw-p 0 08:01\nRss: 9 kB\n", "-\n", "a\n", "Rss:\n",
		"7f00-7f01 rw-p 0 zz:01 1 /x\nRss: 9 kB\n",
	};
	struct rt_opening_row rows[RT_OPENING_ROWS];
	char *text = malloc(100000);
	struct rt_opening *o;
	int len;

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		o = rt_opening_new();
		assert_int_equal(read_in_pieces(o, odd[i], strlen(odd[i]), 3, rows), 0);
		rt_opening_free(o);
	}
	/* a path with a newline and control characters in it, as the kernel writes it; more anonymous than resident; sizes that
	 * would overflow; a text that ends in the middle of a line */
	o = rt_opening_new();
	len = sprintf(text, "7f00-7f01 rw-p 0 08:01 1   /a\\012Rss: 77 kB\\012\x1b[31m\xff (deleted)\nRss: 8 kB\nAnonymous: 99 kB\n"
			    "7f01-7f02 rw-p 0 08:01 2 /b\nRss: 18446744073709551615 kB\nRss: 99999999999999999999999 kB\n"
			    "7f02-7f03 rw-p 0 08:01 3 /c\nAnonymous: 0 kB\nRss: 4 kB");
	assert_int_equal(read_in_pieces(o, text, (size_t)len, 5, rows), 2);
	assert_string_equal(rows[0].name, "/a\nRss: 77 kB\n\x1b[31m\xff (deleted)");
	assert_int_equal(rows[0].kind, RT_ANON);
	assert_int_equal(rows[0].bytes, 8 * KIB);
	assert_string_equal(rows[1].name, "/c");
	assert_int_equal(rows[1].bytes, 4 * KIB);
	rt_opening_free(o);
	/* a line longer than any path, NULs, bytes that mean nothing */
	o = rt_opening_new();
	len = sprintf(text, "7f00-7f01 rw-p 0 08:01 1   /");
	memset(text + len, 'n', 60000);
	len += 60000;
	len += sprintf(text + len, "\nRss: 8 kB\n");
	memset(text + len, 0, 5000);
	for (int i = len + 5000; i < 100000; i++)
		text[i] = (char)(i * 7919 >> 3);
	assert_true(read_in_pieces(o, text, 100000, 999, rows) >= 1);
	assert_int_equal(strlen(rows[0].name), RT_OPENING_NAME_MAX);
	rt_opening_free(o);
	o = rt_opening_new();
	rt_opening_mounts(o, text, 100000);
	rt_opening_mounts(o, NULL, 0);
	rt_opening_free(o);
	rt_opening_free(NULL);
	free(text);
}

/* A process that stands still, of which the kernel's own sum is known: smaps_rollup. */
static void test_against_the_kernels_sum(void **state)
{
	struct rt_opening *o = rt_opening_new();
	struct rt_opening_row rows[RT_OPENING_ROWS];
	unsigned long long rollup = 0, anon = 0, sum[2] = {0};
	char path[64], piece[4096];
	pid_t pid = fork();
	size_t n;
	FILE *f;

	(void)state;
	if (!pid)
		for (;;)
			pause();
	assert_true(pid > 0);
	usleep(100000); /* what a fork leaves to be done by the child is done */
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		rt_opening_feed(o, piece, n);
	fclose(f);
	n = rt_opening_finish(o, rows);
	for (size_t i = 0; i < n; i++) {
		sum[0] += rows[i].bytes;
		sum[1] += rows[i].kind == RT_ANON ? rows[i].bytes : 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(piece, sizeof(piece), f))
		if (sscanf(piece, "Rss: %llu kB", &rollup) != 1)
			(void)sscanf(piece, "Anonymous: %llu kB", &anon);
	if (f)
		fclose(f);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	rt_opening_free(o);
	if (!f) {
		print_message("no smaps_rollup to compare with\n");
		skip();
	}
	assert_int_equal(sum[0], rollup * KIB);
	assert_int_equal(sum[1], anon * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_against_the_kernels_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
