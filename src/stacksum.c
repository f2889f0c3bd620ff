/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "stacksum.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"

#define RT_SUM_SPARE 65536u /* rows beyond RT_SUM_ROWS, for "<other stacks>" alone */

/* ---- frames ---- */

static uint32_t *rt_frame_slot(const struct rt_sum_frames *frames, const struct rt_sum_frame *like)
{
	uint64_t hash = rt_hash_mix(rt_hash_mix(like->parent, (uintptr_t)like->function), (uintptr_t)like->file);
	uint32_t i = (uint32_t)rt_hash_mix(hash, (uint32_t)like->line) & (frames->slots - 1);

	for (; frames->slot[i]; i = (i + 1) & (frames->slots - 1)) {
		const struct rt_sum_frame *f = &frames->frame[frames->slot[i]];

		if (f->parent == like->parent && f->function == like->function && f->file == like->file && f->line == like->line)
			break;
	}
	return &frames->slot[i];
}

static int rt_frames_grow(struct rt_sum_frames *frames)
{
	uint32_t cap = frames->cap ? frames->cap * 2 : 1024, *slot;
	struct rt_sum_frame *frame;

	if (frames->n < frames->cap)
		return 0;
	if (cap > RT_SUM_FRAMES)
		return -ENOSPC;
	slot = calloc(cap * 2, sizeof(*slot));
	frame = slot ? realloc(frames->frame, cap * sizeof(*frame)) : NULL;
	if (!frame) {
		free(slot);
		return -ENOMEM;
	}
	free(frames->slot);
	frames->frame = frame;
	frames->slot = slot;
	frames->cap = cap;
	frames->slots = cap * 2;
	for (uint32_t i = 1; i < frames->n; i++)
		*rt_frame_slot(frames, &frame[i]) = i;
	return 0;
}

int rt_sum_init(struct rt_sum_frames *frames, struct rt_texts *texts)
{
	static const char others[] = "<other stacks>";
	struct rt_text *word = rt_text_get(texts, others, sizeof(others) - 1);

	frames->texts = texts;
	if (!word)
		return -ENOMEM;
	if (rt_frames_grow(frames)) {
		rt_text_put(texts, word);
		return -ENOMEM;
	}
	frames->frame[RT_SUM_ROOT] = (struct rt_sum_frame){0};
	frames->frame[RT_SUM_OTHERS] = (struct rt_sum_frame){.function = word};
	frames->n = 2;
	*rt_frame_slot(frames, &frames->frame[RT_SUM_OTHERS]) = RT_SUM_OTHERS;
	return 0;
}

void rt_sum_free(struct rt_sum_frames *frames)
{
	for (uint32_t i = 1; i < frames->n; i++) {
		rt_text_put(frames->texts, frames->frame[i].function);
		rt_text_put(frames->texts, frames->frame[i].file);
	}
	free(frames->frame);
	free(frames->slot);
	*frames = (struct rt_sum_frames){0};
}

uint32_t rt_sum_frame(struct rt_sum_frames *frames, uint32_t parent, struct rt_text *function, struct rt_text *file, int line)
{
	struct rt_sum_frame like = {.function = function, .file = file, .parent = parent, .line = line};
	uint32_t *slot = rt_frame_slot(frames, &like);

	if (*slot)
		return *slot;
	if (parent == RT_SUM_OTHERS || rt_frames_grow(frames))
		return RT_SUM_OTHERS;
	slot = rt_frame_slot(frames, &like); /* growing moves them */
	*slot = frames->n;
	frames->frame[frames->n] = like;
	function->refs++;
	if (file)
		file->refs++;
	return frames->n++;
}

/* ---- rows ---- */

static uint32_t *rt_row_slot(const struct rt_stacksum *sum, const struct rt_sum_row *like)
{
	uint64_t hash = rt_hash_mix(rt_hash_mix(like->phase, like->frame), (uintptr_t)like->mapping);
	uint32_t i = (uint32_t)hash & (sum->slots - 1);

	for (; sum->slot[i]; i = (i + 1) & (sum->slots - 1)) {
		const struct rt_sum_row *row = &sum->row[sum->slot[i] - 1];

		if (row->frame == like->frame && row->phase == like->phase && row->mapping == like->mapping)
			break;
	}
	return &sum->slot[i];
}

/* Finds all rows anew. */
static void rt_rows_place(struct rt_stacksum *sum)
{
	for (uint32_t i = 0; i < sum->n; i++)
		*rt_row_slot(sum, &sum->row[i]) = i + 1;
}

static int rt_rows_grow(struct rt_stacksum *sum)
{
	uint32_t cap = sum->cap ? sum->cap * 2 : 16, *slot;
	struct rt_sum_row *row;

	if (sum->n < sum->cap)
		return 0;
	slot = calloc(cap * 2, sizeof(*slot));
	row = slot ? realloc(sum->row, cap * sizeof(*row)) : NULL;
	if (!row) {
		free(slot);
		return -ENOMEM;
	}
	free(sum->slot);
	sum->row = row;
	sum->slot = slot;
	sum->cap = cap;
	sum->slots = cap * 2;
	rt_rows_place(sum);
	return 0;
}

/* The row with this key, made if there may be one more. NULL: no room. */
static struct rt_sum_row *rt_row_get(struct rt_stacksum *sum, struct rt_sum_frames *frames, const struct rt_sum_row *like, size_t most)
{
	uint32_t *slot = sum->slots ? rt_row_slot(sum, like) : NULL;

	if (slot && *slot)
		return &sum->row[*slot - 1];
	if (frames->rows >= most || rt_rows_grow(sum))
		return NULL;
	slot = rt_row_slot(sum, like);
	sum->row[sum->n] = (struct rt_sum_row){.phase = like->phase, .frame = like->frame, .mapping = like->mapping};
	frames->rows++;
	*slot = ++sum->n;
	return &sum->row[sum->n - 1];
}

int rt_stacksum_charge(struct rt_stacksum *sum, struct rt_sum_frames *frames, const struct rt_sum_row *charge)
{
	struct rt_sum_row others = {.phase = charge->phase, .frame = RT_SUM_OTHERS}, *row;

	row = rt_row_get(sum, frames, charge, RT_SUM_ROWS);
	if (!row)
		row = rt_row_get(sum, frames, &others, RT_SUM_ROWS + RT_SUM_SPARE);
	others.phase = 0;
	if (!row)
		row = rt_row_get(sum, frames, &others, SIZE_MAX);
	if (!row)
		return -ENOMEM;
	for (int k = 0; k < RT_KINDS; k++) {
		row->gained[k] += charge->gained[k];
		row->released[k] += charge->released[k];
	}
	return 0;
}

void rt_stacksum_drop_outside(struct rt_stacksum *sum, struct rt_sum_frames *frames)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < sum->n; i++) {
		if (sum->row[i].phase)
			sum->row[kept++] = sum->row[i];
	}
	frames->rows -= sum->n - kept;
	sum->n = kept;
	if (sum->slots)
		memset(sum->slot, 0, sum->slots * sizeof(*sum->slot));
	rt_rows_place(sum);
}

void rt_stacksum_free(struct rt_stacksum *sum, struct rt_sum_frames *frames)
{
	frames->rows -= sum->n;
	free(sum->row);
	free(sum->slot);
	*sum = (struct rt_stacksum){0};
}
