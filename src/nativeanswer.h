/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativeanswer.h - what the child that read a file tells its parent through a pipe, and how much of it is believed.
 */
#ifndef RT_NATIVEANSWER_H
#define RT_NATIVEANSWER_H

#include "elffile.h"
#include "nativesym.h"

#define RT_NATIVE_MAGIC 0x72744e53u

/* Followed by n_sites times struct rt_native_site, then nothing. Both sides are one program. */
struct rt_native_answer {
	uint32_t magic;
	int32_t status; /* 0 or -errno; then there are no sites */
	uint32_t n_sites, symtab;
	uint64_t symbols, cpu_ns;
	char error[512];
	struct rt_native_rule_result rule[RT_NATIVE_RULES_MAX];
};

#define RT_NATIVE_ANSWER_MAX (sizeof(struct rt_native_answer) + RT_NATIVE_SITES_MAX * sizeof(struct rt_native_site))

/* Checks an answer about a file whose headers the parent has read itself, to the rules in `mask`. Returns 0 and *out (all but `debug`); the child's own error, with its message; -EBADMSG: it makes no sense;
 * -ENOMEM. */
int rt_native_answer_take(const void *buf, size_t len, const struct rt_elf *elf, uint64_t mask, struct rt_native_sites *out, char *err, size_t errlen);

#endif
