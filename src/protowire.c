/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "protowire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RT_VARINT_MAX 10 /* bytes of 64 bits, 7 in each */

enum rt_wire_type { RT_WIRE_VARINT = 0, RT_WIRE_LEN = 2 };

void rt_proto_reset(struct rt_proto *proto)
{
	proto->len = 0;
	proto->error = 0;
}

static uint8_t *rt_proto_room(struct rt_proto *proto, size_t n)
{
	size_t cap = proto->cap ? proto->cap : 256;
	uint8_t *data;

	if (proto->error)
		return NULL;
	while (cap - proto->len < n && cap < SIZE_MAX / 4)
		cap *= 2;
	if (cap - proto->len < n) {
		proto->error = -ENOMEM;
		return NULL;
	}
	if (cap != proto->cap) {
		data = realloc(proto->data, cap);
		if (!data) {
			proto->error = -ENOMEM;
			return NULL;
		}
		proto->data = data;
		proto->cap = cap;
	}
	return proto->data + proto->len;
}

static size_t rt_varint(uint8_t *to, uint64_t value)
{
	size_t n = 0;

	for (; value > 0x7f; value >>= 7)
		to[n++] = (uint8_t)(value | 0x80);
	to[n++] = (uint8_t)value;
	return n;
}

static void rt_proto_varint(struct rt_proto *proto, uint64_t value)
{
	uint8_t *to = rt_proto_room(proto, RT_VARINT_MAX);

	if (to)
		proto->len += rt_varint(to, value);
}

void rt_proto_number(struct rt_proto *proto, uint32_t field, uint64_t value)
{
	rt_proto_varint(proto, (uint64_t)field << 3 | RT_WIRE_VARINT);
	rt_proto_varint(proto, value);
}

void rt_proto_string(struct rt_proto *proto, uint32_t field, const char *text)
{
	size_t len = strlen(text);
	uint8_t *to;

	rt_proto_varint(proto, (uint64_t)field << 3 | RT_WIRE_LEN);
	rt_proto_varint(proto, len);
	to = rt_proto_room(proto, len);
	if (!to)
		return;
	memcpy(to, text, len);
	proto->len += len;
}

size_t rt_proto_begin(struct rt_proto *proto, uint32_t field)
{
	rt_proto_varint(proto, (uint64_t)field << 3 | RT_WIRE_LEN);
	return proto->len;
}

/* The length goes before what is there already. */
void rt_proto_end(struct rt_proto *proto, size_t begin)
{
	uint8_t length[RT_VARINT_MAX];
	size_t size = proto->len - begin, n = rt_varint(length, size);

	if (!rt_proto_room(proto, n) || begin > proto->len)
		return;
	memmove(proto->data + begin + n, proto->data + begin, size);
	memcpy(proto->data + begin, length, n);
	proto->len += n;
}
