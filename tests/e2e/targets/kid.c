/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * kid.c - a child that lives for 30 ms, fills 2 MiB, writes down its own smaps_rollup and exits with its number.
 * argv: work directory, number. Everything it needs is static, so that its size at the reading is its peak but for a
 * page or two.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static char rollup[4096];
static char path[4096];

int main(int argc, char **argv)
{
	struct timespec rest = { .tv_nsec = 29 * 1000 * 1000 };
	int number, in, out;
	size_t size;
	char name[16];
	char *memory;
	ssize_t got;

	if (argc != 3)
		return 98;
	number = atoi(argv[2]);
	snprintf(name, sizeof(name), "kid%02d", number % 100);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	snprintf(path, sizeof(path), "%s/kid.%02d.%d", argv[1], number % 100, (int)getpid());
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	in = open("/proc/self/smaps_rollup", O_RDONLY);
	size = (512 + (size_t)number) * 4096;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (out < 0 || in < 0 || memory == MAP_FAILED)
		return 97;
	memset(rollup, 0, sizeof(rollup));
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
	got = read(in, rollup, sizeof(rollup) - 1);
	if (got <= 0 || write(out, rollup, (size_t)got) != got)
		return 96;
	nanosleep(&rest, NULL);
	return number;
}
