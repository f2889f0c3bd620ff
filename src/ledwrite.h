/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledwrite.h - blocks of a ledger into an open file, each whole: compressed, with its checksums, appended by one write.
 *
 * After the first error of writing nothing more is written, and what stands of the last block is cut off.
 */
#ifndef RT_LEDWRITE_H
#define RT_LEDWRITE_H

#include <stddef.h>
#include <stdint.h>

#include "ledformat.h"

struct rt_ledwrite;

/* Writes the file's header to `fd`, which stays the caller's and has to be an empty file. NULL: no memory. */
struct rt_ledwrite *rt_ledwrite_new(int fd);
void rt_ledwrite_free(struct rt_ledwrite *ledger);

/* Appends a block of `len` bytes, at most RT_LEDGER_RAW_MAX. Returns 0 or the first error as -errno. */
int rt_ledwrite_block(struct rt_ledwrite *ledger, enum rt_block_type type, const void *payload, size_t len);

/* The first error, 0 if there was none. */
int rt_ledwrite_error(const struct rt_ledwrite *ledger);

/* Bytes written so far. */
uint64_t rt_ledwrite_size(const struct rt_ledwrite *ledger);

#endif
