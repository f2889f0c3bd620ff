/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_outside.h - growth of one process outside any phase, by Python module.
 */
#ifndef RT_ACC_OUTSIDE_H
#define RT_ACC_OUTSIDE_H

#include <stddef.h>
#include <stdint.h>

#include "acc_text.h"
#include "rt_abi.h"

#define RT_OUTSIDE_MAX 4096u /* modules of one process; what comes after them goes into "<others>" */

struct rt_bucket {
	struct rt_text *module; /* NULL: the slot is empty */
	int64_t net[RT_KINDS];
	int64_t gained, released;
};

/* All zero is empty. */
struct rt_outside {
	struct rt_bucket *bucket; /* open addressing by pointer: equal texts are the same one */
	size_t cap, used;
	struct rt_bucket others;
	int64_t net; /* of all, pages */
};

/* Charges pages to a module (a reference is taken; NULL: "<others>"). */
void rt_outside_charge(struct rt_outside *outside, struct rt_text *module, const int64_t net[RT_KINDS], int64_t gained,
		       int64_t released);

/* Adds all of `from`. */
void rt_outside_add(struct rt_outside *outside, const struct rt_outside *from);

void rt_outside_free(struct rt_outside *outside, struct rt_texts *texts);

#endif
