/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_order.h - the window within which records of different CPUs are put into the order of their time.
 *
 * A run is sent when it is over but counts from its beginning, so that records arrive nearly, not exactly, in order.
 * Slots are reused: nothing is allocated per record once the window is as large as it gets. Records of one time keep
 * the order of their arrival.
 */
#ifndef RT_ACC_ORDER_H
#define RT_ACC_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_ORDER_MAX (1u << 17) /* records waiting: 16 MiB */

struct rt_order_slot;

struct rt_order_item {
	uint64_t ts_ns;
	uint32_t seq;
	uint32_t slot;
};

/* All zero is an empty window. */
struct rt_order {
	struct rt_order_item *heap;
	size_t n, cap;
	struct rt_order_slot **chunk; /* of slots */
	uint32_t chunks;
	uint32_t free_head; /* slot + 1 */
	uint32_t taken;	    /* slot + 1 of what the last pop returned */
	uint32_t seq;
};

/* Copies a record into the window. Returns 0, -ENOSPC (full: pop first) or -ENOMEM. */
int rt_order_push(struct rt_order *order, uint64_t ts_ns, const void *record, size_t size);

/* The oldest record if it is not younger than `until_ns`, else NULL; aligned, valid until the next push or pop. */
const void *rt_order_pop(struct rt_order *order, uint64_t until_ns, size_t *size);

void rt_order_free(struct rt_order *order);

#endif
