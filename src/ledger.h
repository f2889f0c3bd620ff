/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledger.h - a ledger file block by block, read within bounds.
 *
 * The file may be hostile, cut short, or still be written: it is read with pread into bounded buffers and never mapped; sizes are checked before memory
 * is asked for, checksums before anything is decompressed, and a block never decompresses to more than it says.
 */
#ifndef RT_LEDGER_H
#define RT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledformat.h"

struct rt_ledger;

/* Opens the file and checks its header. Returns 0 or -errno with a message in `err` (src/replay.h says which). */
int rt_ledger_open(const char *path, struct rt_ledger **out, char *err, size_t errlen);
void rt_ledger_close(struct rt_ledger *ledger);

struct rt_ledblock {
	enum rt_block_type type; /* or a number that is not known */
	uint64_t at;		 /* where its header lies */
	uint32_t stored, raw;
};

/* The next block's header. Returns 1, or 0 at the end or the tear. */
int rt_ledger_next(struct rt_ledger *ledger, struct rt_ledblock *block);

/* The payload of a block that rt_ledger_next gave, decompressed: `raw` bytes, valid until the next call for any block. NULL: it is damaged or there is no memory. A damaged block is a tear:
 * rt_ledger_next gives no more blocks after it. */
const uint8_t *rt_ledger_read(struct rt_ledger *ledger, const struct rt_ledblock *block);

/* From the first block again. */
void rt_ledger_rewind(struct rt_ledger *ledger);

/* Why reading ended before the end of the file, as a phrase, and at which byte; NULL: it has not. */
const char *rt_ledger_torn(const struct rt_ledger *ledger, uint64_t *at);

/* The reader of what blocks say found something wrong with this one: the tear is there. */
void rt_ledger_tear(struct rt_ledger *ledger, const struct rt_ledblock *block, const char *why);

#endif
