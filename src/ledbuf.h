/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* ledbuf.h - bytes that become a block. All zero is an empty buffer. */
#ifndef RT_LEDBUF_H
#define RT_LEDBUF_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct rt_ledbuf {
	uint8_t *data;
	size_t len, cap;
};

/* Room for `len` bytes behind what is there, which the caller counts in; NULL: no memory. */
static inline uint8_t *rt_ledbuf_room(struct rt_ledbuf *buf, size_t len)
{
	if (len > buf->cap - buf->len) {
		size_t cap = buf->cap ? buf->cap : 4096;
		uint8_t *data;

		while (len > cap - buf->len)
			cap *= 2;
		data = realloc(buf->data, cap);
		if (!data)
			return NULL;
		buf->data = data;
		buf->cap = cap;
	}
	return buf->data + buf->len;
}

static inline void rt_ledbuf_free(struct rt_ledbuf *buf)
{
	free(buf->data);
	*buf = (struct rt_ledbuf){0};
}

#endif
