/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "rssline.h"

#include <errno.h>
#include <stdlib.h>

#define RT_FIRST_WIDTH_NS 1000000ull

static void rt_rsspoint_take(struct rt_rsspoint *point, const struct rt_rssmoment *moment)
{
	if (moment->top > point->max.top)
		point->max = *moment;
	point->last = *moment;
}

static void rt_rssline_halve(struct rt_rssline *line)
{
	size_t to = 0;

	line->width_ns *= 2;
	for (size_t i = 0; i < line->n; i++) {
		struct rt_rsspoint *from = &line->point[i];

		from->slot /= 2;
		if (to && line->point[to - 1].slot == from->slot) {
			if (from->max.top > line->point[to - 1].max.top)
				line->point[to - 1].max = from->max;
			line->point[to - 1].last = from->last;
		} else {
			line->point[to++] = *from;
		}
	}
	line->n = to;
}

void rt_rssline_trim(struct rt_rssline *line, size_t max_points)
{
	if (max_points < 2)
		max_points = 2; /* slots 0 and 1 of one width are joined by the next */
	while (line->n > max_points)
		rt_rssline_halve(line);
}

static int rt_rssline_room(struct rt_rssline *line)
{
	size_t cap = line->cap ? line->cap * 2 : 16;
	struct rt_rsspoint *point;

	if (line->n < line->cap)
		return 0;
	point = realloc(line->point, cap * sizeof(*point));
	if (!point)
		return -ENOMEM;
	line->point = point;
	line->cap = cap;
	return 0;
}

int rt_rssline_add(struct rt_rssline *line, const struct rt_rssmoment *moment, size_t max_points)
{
	struct rt_rssmoment now = *moment;
	struct rt_rsspoint *last = line->n ? &line->point[line->n - 1] : NULL;
	size_t before = line->n;
	uint64_t slot;

	if (!last) {
		line->first = now;
		line->width_ns = RT_FIRST_WIDTH_NS;
	} else if (now.ts_ns < last->last.ts_ns) {
		now.ts_ns = last->last.ts_ns;
	}
	slot = (now.ts_ns - line->first.ts_ns) / line->width_ns;
	if (last && last->slot == slot) {
		rt_rsspoint_take(last, &now);
		return 0;
	}
	if (rt_rssline_room(line)) {
		if (last)
			rt_rsspoint_take(last, &now);
		return -ENOMEM;
	}
	line->point[line->n++] = (struct rt_rsspoint){.slot = slot, .max = now, .last = now};
	rt_rssline_trim(line, max_points);
	return (int)line->n - (int)before;
}

void rt_rssline_free(struct rt_rssline *line)
{
	free(line->point);
	*line = (struct rt_rssline){0};
}
