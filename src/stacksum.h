/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * stacksum.h - growth added up by stack: for each process, what was gained and released at (phase, stack, mapping). In pages.
 *
 * Numbers of the kernel side's nodes come and go (account.h, rt_account_forget), so stacks are kept here by content: a trie of frames that all processes
 * share, in which equal frames at the same place are one, whatever their nodes were. Memory is bounded, and sums are exact: what there is no room for goes to
 * "<other stacks>" of its phase, or of the process.
 */
#ifndef RT_STACKSUM_H
#define RT_STACKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "acc_mapping.h"
#include "acc_text.h"
#include "rt_abi.h"

#define RT_SUM_FRAMES (1u << 20) /* of the trie: 24 MiB and 8 for finding them. vLLM's start-up has 430,000 nodes */
#define RT_SUM_ROWS (1u << 19)	 /* of all processes: 32 MiB and 4 */

#define RT_SUM_ROOT 0u
#define RT_SUM_OTHERS 1u /* the frame "<other stacks>" */

struct rt_sum_frame {
	struct rt_text *function, *file; /* file NULL: none */
	uint32_t parent; /* below its own number; the root's is 0 */
	int32_t line;	 /* 0: not known */
};

/* Set `texts`, all else zero, then rt_sum_init. */
struct rt_sum_frames {
	struct rt_texts *texts;
	struct rt_sum_frame *frame; /* [0] is the root */
	uint32_t n, cap;
	uint32_t *slot; /* number of a frame, 0: empty */
	uint32_t slots;
	size_t rows; /* of all processes */
};

struct rt_sum_row {
	uint32_t phase; /* row of the process's table of phases (acc_rows.h), 0: none */
	uint32_t frame;
	const struct rt_mapping *mapping; /* NULL: not told apart */
	int64_t gained[RT_KINDS], released[RT_KINDS]; /* >= 0 */
};

/* One process's sums. All zero is empty. */
struct rt_stacksum {
	struct rt_sum_row *row;
	uint32_t n, cap;
	uint32_t *slot; /* index of a row + 1, 0: empty */
	uint32_t slots;
};

/* Returns 0 or -ENOMEM; rt_sum_free may follow in both cases. */
int rt_sum_init(struct rt_sum_frames *frames, struct rt_texts *texts);
void rt_sum_free(struct rt_sum_frames *frames);

/* The frame below `parent`, made if it is not there; takes references to the texts. RT_SUM_OTHERS without room. */
uint32_t rt_sum_frame(struct rt_sum_frames *frames, uint32_t parent, struct rt_text *function, struct rt_text *file, int line);

/* Adds pages. Returns 0, or -ENOMEM if there was not even room to say "<other stacks>": then they are in no sum. */
int rt_stacksum_charge(struct rt_stacksum *sum, struct rt_sum_frames *frames, const struct rt_sum_row *charge);

/* Forgets all that has no phase. */
void rt_stacksum_drop_outside(struct rt_stacksum *sum, struct rt_sum_frames *frames);

void rt_stacksum_free(struct rt_stacksum *sum, struct rt_sum_frames *frames);

#endif
