/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * wait.h - which process is the one that --wait waits for, and which records are about it.
 *
 * Pure: neither libbpf nor /proc. While it waits, the kernel side follows every exec and sends its command line (ARGS) right before its PROC record. So the
 * decision falls while records are read in order, before any other record about the process: nothing has to be kept for later, and what does not match is
 * left out at once. Once one has matched, it and its descendants pass; what else was followed for a while is left out until the kernel side has let go of it.
 */
#ifndef RT_WAIT_H
#define RT_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt_abi.h"

struct rt_wait;

enum rt_wait_verdict {
	RT_WAIT_OUT,	/* about somebody else, or an ARGS record: not for the account */
	RT_WAIT_PASS,	/* of a process that is traced */
	RT_WAIT_MATCH,	/* PROC record of the process that was waited for: the first one that passes */
};

/* `regex` is POSIX extended. A command line that runs `own_name` (a word of it is that name, or a path that ends in it) is not meant: it has the regex among
 * its arguments. NULL: no memory, or the regex is bad. */
struct rt_wait *rt_wait_new(const char *regex, const char *own_name);
void rt_wait_free(struct rt_wait *wait);

enum rt_wait_verdict rt_wait_record(struct rt_wait *wait, const void *record, size_t size);

bool rt_wait_matched(const struct rt_wait *wait);

/* The next image that the kernel side is to let go of, 0: none. */
uint32_t rt_wait_next_drop(struct rt_wait *wait);

/* How many execs were looked at, and how many of them could not be, because their command line was lost or unreadable. */
void rt_wait_counts(const struct rt_wait *wait, uint64_t *seen, uint64_t *unread);

#endif
