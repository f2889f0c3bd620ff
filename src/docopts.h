/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * docopts.h - the command line of `ramtrack-bpf doctor`.
 */
#ifndef RT_DOCOPTS_H
#define RT_DOCOPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct rt_docopts {
	bool shown;   /* --help was printed: nothing else to do */
	uint32_t pid; /* 0: none */
	bool json;
	const char *profile; /* name or file; "vllm" */
	int verbosity;
};

/* argv[0] is the word doctor. Returns 0, or the exit status (RT_EXIT_USAGE) with the message on `err`; then *opts is untouched. */
int rt_docopts_parse(int argc, char **argv, FILE *out, FILE *err, struct rt_docopts *opts);

#endif
