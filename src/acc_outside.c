/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_outside.h"

#include <errno.h>
#include <stdlib.h>

#include "acc_map.h"

static struct rt_bucket *rt_outside_slot(struct rt_outside *outside, const struct rt_text *module)
{
	size_t i = rt_hash_mix(0, (uintptr_t)module) & (outside->cap - 1);

	while (outside->bucket[i].module && outside->bucket[i].module != module)
		i = (i + 1) & (outside->cap - 1);
	return &outside->bucket[i];
}

static int rt_outside_grow(struct rt_outside *outside)
{
	struct rt_outside bigger = { .cap = outside->cap ? outside->cap * 2 : 8 };

	bigger.bucket = calloc(bigger.cap, sizeof(*bigger.bucket));
	if (!bigger.bucket)
		return -ENOMEM;
	for (size_t i = 0; i < outside->cap; i++) {
		if (outside->bucket[i].module)
			*rt_outside_slot(&bigger, outside->bucket[i].module) = outside->bucket[i];
	}
	free(outside->bucket);
	outside->bucket = bigger.bucket;
	outside->cap = bigger.cap;
	return 0;
}

static struct rt_bucket *rt_outside_bucket(struct rt_outside *outside, struct rt_text *module)
{
	struct rt_bucket *bucket;

	if (!module)
		return &outside->others;
	bucket = outside->cap ? rt_outside_slot(outside, module) : NULL;
	if (bucket && bucket->module)
		return bucket;
	if (outside->used >= RT_OUTSIDE_MAX || (outside->used + 1 > outside->cap / 2 && rt_outside_grow(outside)))
		return &outside->others;
	bucket = rt_outside_slot(outside, module);
	bucket->module = module;
	module->refs++;
	outside->used++;
	return bucket;
}

void rt_outside_charge(struct rt_outside *outside, struct rt_text *module, const int64_t net[RT_KINDS], int64_t gained,
		       int64_t released)
{
	struct rt_bucket *bucket = rt_outside_bucket(outside, module);

	for (int k = 0; k < RT_KINDS; k++) {
		bucket->net[k] += net[k];
		outside->net += net[k];
	}
	bucket->gained += gained;
	bucket->released += released;
}

void rt_outside_add(struct rt_outside *outside, const struct rt_outside *from)
{
	const struct rt_bucket *bucket;

	for (size_t i = 0; i < from->cap; i++) {
		bucket = &from->bucket[i];
		if (bucket->module)
			rt_outside_charge(outside, bucket->module, bucket->net, bucket->gained, bucket->released);
	}
	bucket = &from->others;
	rt_outside_charge(outside, NULL, bucket->net, bucket->gained, bucket->released);
}

void rt_outside_free(struct rt_outside *outside, struct rt_texts *texts)
{
	for (size_t i = 0; i < outside->cap; i++)
		rt_text_put(texts, outside->bucket[i].module);
	free(outside->bucket);
	*outside = (struct rt_outside){ 0 };
}
