/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* between.c - makes 400 pages resident, rests for 20 ms and executes its arguments. */
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec rest = { .tv_nsec = 20 * 1000 * 1000 };
	char *memory = mmap(NULL, 400 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (argc < 2 || memory == MAP_FAILED)
		return 98;
	for (int i = 0; i < 400; i++)
		memory[i * 4096] = 1;
	nanosleep(&rest, NULL);
	execv(argv[1], argv + 1);
	return 97;
}
