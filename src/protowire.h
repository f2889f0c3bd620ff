/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * protowire.h - protocol buffers written by hand: https://protobuf.dev/programming-guides/encoding/
 *
 * Enough of the wire format for messages whose fields are numbers, strings and messages. Nothing is read, so that nothing has to be checked; the messages
 * that are written have a dozen fields of some thousand, which is why no code is generated from their 20,000 lines of schema.
 */
#ifndef RT_PROTOWIRE_H
#define RT_PROTOWIRE_H

#include <stddef.h>
#include <stdint.h>

/* A message on its way. All zero is empty; free(data) in the end. */
struct rt_proto {
	uint8_t *data;
	size_t len, cap;
	int error; /* -ENOMEM: some of it is missing */
};

/* Empties it, and keeps the memory. */
void rt_proto_reset(struct rt_proto *proto);

/* int32, int64, uint32, uint64, bool, enum: a negative number takes ten bytes. */
void rt_proto_number(struct rt_proto *proto, uint32_t field, uint64_t value);

/* A string, which has to be valid UTF-8. */
void rt_proto_string(struct rt_proto *proto, uint32_t field, const char *text);

/* A message in it: what is written between begin and end. Returns what end is given. */
size_t rt_proto_begin(struct rt_proto *proto, uint32_t field);
void rt_proto_end(struct rt_proto *proto, size_t begin);

#endif
