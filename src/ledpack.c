/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "ledpack.h"

#include <string.h>

#include "ledformat.h"

/* The elements of each type's fixed part behind its header (include/rt_abi.h), in bytes. NULL: it does not pack. */
static const char *const rt_pack_layout[RT_PACK_TYPES] = {
	[RT_REC_PROC] = "444444888884444",
	[RT_REC_EXIT] = "44888888844",
	[RT_REC_THREAD] = "44",
	[RT_REC_THREAD_EXIT] = "44",
	[RT_REC_RENAME] = "4444",
	[RT_REC_CODE] = "444444",
	[RT_REC_NODE] = "4444",
	[RT_REC_RUN] = "88888844444444444444",
	[RT_REC_SNAP] = "8888888",
	[RT_REC_META] = "44",
	[RT_REC_MAP] = "448844",
	[RT_REC_OPENING] = "448",
	[RT_REC_NATIVE] = "88888888884444444444",
	[RT_REC_NATIVE_ENTER] = "88844",
	[RT_REC_SITE] = "4444",
	[RT_REC_OOM] = "44888",
};

/* Elements of a run. */
enum rt_pack_run {
	RT_PR_LAST,   /* since its beginning */
	RT_PR_PREV,   /* before its beginning */
	RT_PR_BEFORE, /* from what the image's last run left */
	RT_PR_MAX = RT_PR_BEFORE + RT_KINDS, /* above the total before */
	RT_PR_DELTA,
	RT_PR_GAINED = RT_PR_DELTA + RT_KINDS, /* above the change, if that is positive */
	RT_PR_REUSED = RT_PR_GAINED + RT_KINDS,
	RT_PR_MINFLT,
	RT_PR_MAJFLT,
	RT_PR_NODE, /* from here on: from the thread's last run */
};

uint8_t *rt_pack_put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

uint64_t rt_unpack_get(struct rt_unpack *from)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64 && from->at < from->end; shift += 7) {
		uint8_t byte = *from->at++;

		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return from->bad ? 0 : value;
	}
	from->bad = true;
	from->at = from->end;
	return 0;
}

uint64_t rt_unpack_upto(struct rt_unpack *from, uint64_t max)
{
	uint64_t value = rt_unpack_get(from);

	if (value <= max)
		return value;
	from->bad = true;
	return 0;
}

const uint8_t *rt_unpack_bytes(struct rt_unpack *from, uint64_t len)
{
	const uint8_t *at = from->at;

	if (from->bad || len > (uint64_t)(from->end - from->at)) {
		from->bad = true;
		return NULL;
	}
	from->at += len;
	return at;
}

static uint64_t rt_zigzag(uint64_t value)
{
	return value << 1 ^ (value >> 63 ? UINT64_MAX : 0);
}

static uint64_t rt_zagzig(uint64_t value)
{
	return value >> 1 ^ (value & 1 ? UINT64_MAX : 0);
}

/* A 32-bit difference as a 64-bit one with its sign. */
static uint64_t rt_signed32(uint32_t value)
{
	return (uint64_t)(int64_t)(int32_t)value;
}

/* ---- records ---- */

/* Length of the tail that the fixed part of a record tells of. */
static size_t rt_pack_tail_len(const uint8_t *record, uint16_t type)
{
	struct rt_rec_opening opening;
	struct rt_rec_code code;
	struct rt_rec_meta meta;
	struct rt_rec_site site;
	struct rt_rec_map map;

	switch (type) {
	case RT_REC_CODE:
		memcpy(&code, record, sizeof(code));
		return (size_t)code.qualname_len + code.file_len + code.table_len;
	case RT_REC_META:
		memcpy(&meta, record, sizeof(meta));
		return meta.len;
	case RT_REC_MAP:
		memcpy(&map, record, sizeof(map));
		return map.len;
	case RT_REC_OPENING:
		memcpy(&opening, record, sizeof(opening));
		return opening.len;
	case RT_REC_SITE:
		memcpy(&site, record, sizeof(site));
		return site.len;
	}
	return 0;
}

bool rt_pack_has_tail(uint16_t type)
{
	return type == RT_REC_CODE || type == RT_REC_META || type == RT_REC_MAP || type == RT_REC_OPENING || type == RT_REC_SITE;
}

static size_t rt_pack_fixed(const char *layout)
{
	size_t size = sizeof(struct rt_hdr);

	for (; *layout; layout++)
		size += (size_t)(*layout - '0');
	return size;
}

bool rt_pack_fits(const uint8_t *record, size_t size, const uint8_t **tail, size_t *tail_len)
{
	size_t fixed, len;
	struct rt_hdr h;

	if (size < sizeof(h) || size > RT_RECORD_MAX)
		return false;
	memcpy(&h, record, sizeof(h));
	if (h.type >= RT_PACK_TYPES || !rt_pack_layout[h.type] || h.pad || h.size != size)
		return false;
	fixed = rt_pack_fixed(rt_pack_layout[h.type]);
	if (size < fixed)
		return false;
	len = rt_pack_tail_len(record, h.type);
	if (len > RT_RECORD_MAX || ((fixed + len + 7) & ~(size_t)7) != size)
		return false;
	*tail = record + fixed;
	*tail_len = len;
	return true;
}

static size_t rt_pack_read(const char *layout, const uint8_t *record, uint64_t *element)
{
	const uint8_t *at = record + sizeof(struct rt_hdr);
	uint32_t word;
	size_t n = 0;

	for (; *layout; layout++, n++) {
		if (*layout == '8') {
			memcpy(&element[n], at, 8);
			at += 8;
		} else {
			memcpy(&word, at, 4);
			element[n] = word;
			at += 4;
		}
	}
	return n;
}

static void rt_pack_write(const char *layout, uint8_t *record, const uint64_t *element)
{
	uint8_t *at = record + sizeof(struct rt_hdr);

	for (; *layout; layout++, element++) {
		size_t size = (size_t)(*layout - '0'); /* little endian: the lower bytes come first */

		memcpy(at, element, size);
		at += size;
	}
}

/* Of a run, most can be told from the rest of it and from the image's last run. `from` and `to` may be the same; `back`: what pack did, undone. */
static void rt_pack_run(struct rt_pack *pack, const struct rt_hdr *h, uint64_t *e, bool back)
{
	uint64_t *pages = pack->pages[h->image % RT_PACK_SLOTS], total = 0, before[RT_KINDS];
	uint32_t sign = back ? 1 : UINT32_MAX; /* 1 or -1 */
	uint64_t wide = back ? 1 : UINT64_MAX;

	e[RT_PR_LAST] = back ? e[RT_PR_LAST] + h->ts_ns : e[RT_PR_LAST] - h->ts_ns;
	e[RT_PR_PREV] = h->ts_ns - e[RT_PR_PREV]; /* its own inverse */
	for (int k = 0; k < RT_KINDS; k++) {
		before[k] = back ? e[RT_PR_BEFORE + k] + pages[k] : e[RT_PR_BEFORE + k];
		e[RT_PR_BEFORE + k] += wide * pages[k];
		total += before[k];
	}
	e[RT_PR_MAX] += wide * total;
	for (int k = 0; k < RT_KINDS; k++) {
		int32_t delta = (int32_t)(uint32_t)e[RT_PR_DELTA + k];

		if (delta > 0)
			e[RT_PR_GAINED + k] = (uint32_t)((uint32_t)e[RT_PR_GAINED + k] + sign * (uint32_t)delta);
		pages[k] = before[k] + rt_signed32((uint32_t)delta);
	}
}

/* What an element is predicted as. */
static uint64_t rt_pack_guess(const struct rt_pack *pack, const struct rt_hdr *h, size_t i)
{
	return h->type == RT_REC_RUN && i < RT_PR_NODE ? 0 : pack->last[h->type][h->tid % RT_PACK_SLOTS][i];
}

static uint8_t *rt_pack_head(struct rt_pack *pack, uint8_t *at, const struct rt_hdr *h, bool content)
{
	uint8_t *first = at;
	uint64_t ts = h->ts_ns - pack->ts_ns[h->type];

	*at++ = RT_ITEM_RECORD | (content ? RT_PACK_CONTENT : 0);
	*at++ = (uint8_t)h->type;
	if (h->tid != pack->tid) {
		*first |= RT_PACK_TID;
		at = rt_pack_put(at, rt_zigzag(rt_signed32(h->tid - pack->tid)));
	}
	if (h->image != pack->image) {
		*first |= RT_PACK_IMAGE;
		at = rt_pack_put(at, rt_zigzag(rt_signed32(h->image - pack->image)));
	}
	if (ts) {
		*first |= RT_PACK_TIME;
		at = rt_pack_put(at, rt_zigzag(ts));
	}
	pack->tid = h->tid;
	pack->image = h->image;
	pack->ts_ns[h->type] = h->ts_ns;
	return at;
}

uint8_t *rt_pack_record(struct rt_pack *pack, uint8_t *at, const uint8_t *record, bool content)
{
	uint64_t element[RT_PACK_ELEMENTS], *last;
	const char *layout;
	struct rt_hdr h;
	uint8_t *mask;
	size_t n;

	memcpy(&h, record, sizeof(h));
	layout = rt_pack_layout[h.type];
	at = rt_pack_head(pack, at, &h, content);
	n = rt_pack_read(layout, record, element);
	if (h.type == RT_REC_RUN)
		rt_pack_run(pack, &h, element, false);
	last = pack->last[h.type][h.tid % RT_PACK_SLOTS];
	mask = at;
	memset(mask, 0, (n + 7) / 8);
	at += (n + 7) / 8;
	for (size_t i = 0; i < n; i++) {
		uint64_t difference = element[i] - rt_pack_guess(pack, &h, i);

		if (layout[i] == '4')
			difference = rt_signed32((uint32_t)difference);
		last[i] = element[i];
		if (!difference)
			continue;
		mask[i / 8] |= (uint8_t)(1u << i % 8);
		at = rt_pack_put(at, rt_zigzag(difference));
	}
	return at;
}

size_t rt_unpack_record(struct rt_pack *pack, struct rt_unpack *from, uint8_t first, uint8_t *record, bool *has_tail)
{
	const uint8_t *type = rt_unpack_bytes(from, 1), *mask;
	uint64_t element[RT_PACK_ELEMENTS], *last;
	struct rt_hdr h = {0};
	const char *layout = type && *type < RT_PACK_TYPES ? rt_pack_layout[*type] : NULL;
	size_t n = layout ? strlen(layout) : 0;

	if (!layout)
		return 0;
	h.type = *type;
	h.tid = pack->tid + (first & RT_PACK_TID ? (uint32_t)rt_zagzig(rt_unpack_get(from)) : 0);
	h.image = pack->image + (first & RT_PACK_IMAGE ? (uint32_t)rt_zagzig(rt_unpack_get(from)) : 0);
	h.ts_ns = pack->ts_ns[h.type] + (first & RT_PACK_TIME ? rt_zagzig(rt_unpack_get(from)) : 0);
	mask = rt_unpack_bytes(from, (n + 7) / 8);
	if (!mask)
		return 0;
	last = pack->last[h.type][h.tid % RT_PACK_SLOTS];
	for (size_t i = 0; i < n; i++) {
		element[i] = rt_pack_guess(pack, &h, i);
		if (mask[i / 8] >> i % 8 & 1)
			element[i] += rt_zagzig(rt_unpack_get(from));
		if (layout[i] == '4')
			element[i] = (uint32_t)element[i];
		last[i] = element[i];
	}
	if (from->bad)
		return 0;
	pack->tid = h.tid;
	pack->image = h.image;
	pack->ts_ns[h.type] = h.ts_ns;
	if (h.type == RT_REC_RUN)
		rt_pack_run(pack, &h, element, true);
	rt_pack_write(layout, record, element);
	h.size = (uint32_t)rt_pack_fixed(layout);
	memcpy(record, &h, sizeof(h));
	*has_tail = rt_pack_has_tail(h.type);
	return h.size;
}
