/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* embed.c - a program with two libpythons, of which one lives. argv: library that is only loaded, library to run with, script, its arguments. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	int (*run)(int, char **);
	void *idle, *live;

	if (argc < 4)
		return 98;
	idle = dlopen(argv[1], RTLD_NOW);
	live = dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL);
	run = live ? (int (*)(int, char **))dlsym(live, "Py_BytesMain") : NULL;
	if (!idle || !run || idle == live) {
		fprintf(stderr, "%s\n", dlerror());
		return 97;
	}
	return run(argc - 2, argv + 2);
}
