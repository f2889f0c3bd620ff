/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledpack.h - records in few bytes: what differs from the last one of its kind.
 *
 * A start-up of vLLM has 780,000 records of 77 MB, most of whose fields are those of the record before. So a record is its elements (the fields of
 * its fixed part, 4 or 8 bytes each) as differences from a prediction, a mask of those that are not 0, and its tail (names, text) as it is. A block of items
 * begins with empty predictions, so that each can be read by itself.
 *
 *	byte	RT_ITEM_RECORD and flags (enum rt_pack_flags)
 *	byte	type
 *	tid, image, time	signed differences from the last record's, each if its flag is set (time: from the last one of this type)
 *	mask	one bit an element, 8 a byte
 *	elements	signed differences
 *	tail	RT_PACK_TAIL: length, bytes; RT_PACK_CONTENT: number of the content
 *
 * Padding is not kept: it reads as zeros.
 */
#ifndef RT_LEDPACK_H
#define RT_LEDPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt_abi.h"

enum rt_pack_flags { /* in the upper bits of an item's first byte */
	RT_PACK_TID = 0x10,
	RT_PACK_IMAGE = 0x20,
	RT_PACK_TIME = 0x40,
	RT_PACK_CONTENT = 0x80, /* its tail is a content that is in the stream already; else, if its type has a tail, that follows */
};

#define RT_PACK_TYPES 20 /* a type is a byte in the file: at most 256 */
#define RT_PACK_SLOTS 64
#define RT_PACK_ELEMENTS 24
#define RT_RECORD_MAX (128u << 10) /* bytes of the longest record that the core takes */
#define RT_PACK_FIXED_MAX 160 /* bytes of the longest fixed part: of a call of a native function, 144 */
#define RT_PACK_MAX (16 + 10 * (RT_PACK_ELEMENTS + 4)) /* bytes of a packed record without its tail */

/* What was last. All zero at the beginning of a block. */
struct rt_pack {
	uint32_t tid, image;
	uint64_t ts_ns[RT_PACK_TYPES];
	uint64_t last[RT_PACK_TYPES][RT_PACK_SLOTS][RT_PACK_ELEMENTS];
	uint64_t pages[RT_PACK_SLOTS][RT_KINDS]; /* totals of an image's address space after its last run */
};

/* ---- numbers ---- */

/* Unsigned, at most 10 bytes. Returns the end. */
uint8_t *rt_pack_put(uint8_t *at, uint64_t value);

/* Where to read from: `at` moves; `bad` stays set once something went beyond `end` or was no number, and everything read then is 0. */
struct rt_unpack {
	const uint8_t *at, *end;
	bool bad;
};

uint64_t rt_unpack_get(struct rt_unpack *from);

/* The same, with `bad` set if it is more than max. */
uint64_t rt_unpack_upto(struct rt_unpack *from, uint64_t max);

/* `len` bytes; NULL: there are not so many. */
const uint8_t *rt_unpack_bytes(struct rt_unpack *from, uint64_t len);

/* ---- records ---- */

/* Can it be packed? Then *tail is where its tail begins and *tail_len how long that is (0: none). */
bool rt_pack_fits(const uint8_t *record, size_t size, const uint8_t **tail, size_t *tail_len);

/* Packs a record that fits, without its tail; `content`: the tail is to be a content's number. Returns the end, at most RT_PACK_MAX bytes on. */
uint8_t *rt_pack_record(struct rt_pack *pack, uint8_t *at, const uint8_t *record, bool content);

/* What a packed record is behind its first byte, which was `first`. Its fixed part goes to `record` (of at least RT_PACK_FIXED_MAX bytes), *has_tail: a length and so many
 * bytes follow, or, with RT_PACK_CONTENT in `first`, a number. Returns the size of the fixed part; 0: malformed. */
size_t rt_unpack_record(struct rt_pack *pack, struct rt_unpack *from, uint8_t first, uint8_t *record, bool *has_tail);

/* Do records of this type have a tail? */
bool rt_pack_has_tail(uint16_t type);

#endif
