/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RT_SLOTS 512u
#define RT_SLOT_BYTES 120u /* a run; only a META record can be longer */

struct rt_order_slot {
	union {
		uint64_t align;
		uint8_t bytes[RT_SLOT_BYTES];
		void *large; /* size > RT_SLOT_BYTES: on the heap */
	};
	uint32_t size;
	uint32_t next; /* free list: slot + 1 */
};

static struct rt_order_slot *rt_order_slot(const struct rt_order *order, uint32_t slot)
{
	return &order->chunk[slot / RT_SLOTS][slot % RT_SLOTS];
}

static bool rt_order_before(const struct rt_order_item *a, const struct rt_order_item *b)
{
	/* seq wraps around; the window never holds half of its range */
	return a->ts_ns != b->ts_ns ? a->ts_ns < b->ts_ns : (int32_t)(a->seq - b->seq) < 0;
}

static void rt_order_release(struct rt_order *order)
{
	struct rt_order_slot *slot;

	if (!order->taken)
		return;
	slot = rt_order_slot(order, order->taken - 1);
	if (slot->size > RT_SLOT_BYTES)
		free(slot->large);
	slot->size = 0;
	slot->next = order->free_head;
	order->free_head = order->taken;
	order->taken = 0;
}

static int rt_order_more_slots(struct rt_order *order)
{
	struct rt_order_slot **chunk, *slots;
	uint32_t first = order->chunks * RT_SLOTS;

	chunk = realloc(order->chunk, (order->chunks + 1) * sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	order->chunk = chunk;
	slots = calloc(RT_SLOTS, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	chunk[order->chunks++] = slots;
	for (uint32_t i = 0; i < RT_SLOTS; i++) {
		slots[i].next = order->free_head;
		order->free_head = first + i + 1;
	}
	return 0;
}

static int rt_order_fill(struct rt_order_slot *slot, const void *record, size_t size)
{
	if (size > RT_SLOT_BYTES) {
		void *large = malloc(size);

		if (!large)
			return -ENOMEM;
		memcpy(large, record, size);
		slot->large = large;
	} else {
		memcpy(slot->bytes, record, size);
	}
	slot->size = (uint32_t)size;
	return 0;
}

static void rt_order_sift_up(struct rt_order *order, size_t i, struct rt_order_item item)
{
	while (i) {
		size_t up = (i - 1) / 2;

		if (!rt_order_before(&item, &order->heap[up]))
			break;
		order->heap[i] = order->heap[up];
		i = up;
	}
	order->heap[i] = item;
}

int rt_order_push(struct rt_order *order, uint64_t ts_ns, const void *record, size_t size)
{
	struct rt_order_item item = { .ts_ns = ts_ns };
	struct rt_order_slot *slot;
	int err;

	rt_order_release(order);
	if (order->n >= RT_ORDER_MAX || size > UINT32_MAX)
		return -ENOSPC;
	if (order->n == order->cap) {
		size_t cap = order->cap ? order->cap * 2 : 256;
		struct rt_order_item *heap = realloc(order->heap, cap * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		order->heap = heap;
		order->cap = cap;
	}
	if (!order->free_head) {
		err = rt_order_more_slots(order);
		if (err)
			return err;
	}
	item.slot = order->free_head - 1;
	slot = rt_order_slot(order, item.slot);
	err = rt_order_fill(slot, record, size);
	if (err)
		return err;
	order->free_head = slot->next;
	item.seq = order->seq++;
	rt_order_sift_up(order, order->n++, item);
	return 0;
}

static void rt_order_sift_down(struct rt_order *order, struct rt_order_item item)
{
	size_t i = 0;

	for (;;) {
		size_t down = 2 * i + 1;

		if (down >= order->n)
			break;
		if (down + 1 < order->n && rt_order_before(&order->heap[down + 1], &order->heap[down]))
			down++;
		if (!rt_order_before(&order->heap[down], &item))
			break;
		order->heap[i] = order->heap[down];
		i = down;
	}
	order->heap[i] = item;
}

const void *rt_order_pop(struct rt_order *order, uint64_t until_ns, size_t *size)
{
	struct rt_order_slot *slot;

	rt_order_release(order);
	if (!order->n || order->heap[0].ts_ns > until_ns)
		return NULL;
	order->taken = order->heap[0].slot + 1;
	if (--order->n)
		rt_order_sift_down(order, order->heap[order->n]);
	slot = rt_order_slot(order, order->taken - 1);
	*size = slot->size;
	return slot->size > RT_SLOT_BYTES ? slot->large : slot->bytes;
}

void rt_order_free(struct rt_order *order)
{
	for (uint32_t i = 0; i < order->chunks * RT_SLOTS; i++) {
		struct rt_order_slot *slot = rt_order_slot(order, i);

		if (slot->size > RT_SLOT_BYTES)
			free(slot->large);
	}
	for (uint32_t i = 0; i < order->chunks; i++)
		free(order->chunk[i]);
	free(order->chunk);
	free(order->heap);
	*order = (struct rt_order){ 0 };
}
