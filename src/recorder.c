/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "ledbuf.h"
#include "ledmap.h"
#include "ledpack.h"
#include "ledwrite.h"

#define RT_STREAM_BYTES (256u << 10) /* items of a block, before compression */
#define RT_CONTENT_BYTES_MAX (96u << 20) /* of code objects told apart; what comes later is written as it is */

struct rt_recorder {
	struct rt_recorder_config config;
	struct rt_ledwrite *out;
	struct rt_account *account;
	struct rt_ledbuf stream;
	struct rt_pack pack;
	struct rt_ledmap contents; /* hash -> number */
	uint64_t content_bytes;
	uint32_t n_contents;
	struct rt_keeper *keeper;
	uint64_t advanced_ns; /* last time in this block */
	uint64_t flushed_ns;
	int error; /* of memory */
	bool any;  /* a process was recorded */
};

static void rt_recorder_flush(struct rt_recorder *r)
{
	/* Sources first: items name them. */
	rt_keeper_flush(r->keeper);
	if (r->stream.len)
		rt_ledwrite_block(r->out, RT_BLOCK_STREAM, r->stream.data, r->stream.len);
	r->stream.len = 0;
	r->advanced_ns = 0;
	memset(&r->pack, 0, sizeof(r->pack));
}

/* Room for an item of `len` bytes in this block or the next. NULL: nothing is written any more. */
static uint8_t *rt_recorder_room(struct rt_recorder *r, size_t len)
{
	uint8_t *at;

	if (rt_recorder_error(r))
		return NULL;
	if (r->stream.len && r->stream.len + len > RT_STREAM_BYTES)
		rt_recorder_flush(r);
	at = rt_ledbuf_room(&r->stream, len);
	if (!at)
		r->error = -ENOMEM;
	return at;
}

static void rt_recorder_put(struct rt_recorder *r, const uint8_t *end)
{
	r->stream.len = (size_t)(end - r->stream.data);
}

static uint8_t *rt_put_bytes(uint8_t *at, const void *bytes, size_t len)
{
	at = rt_pack_put(at, len);
	memcpy(at, bytes, len);
	return at + len;
}

/* ---- records ---- */

/* Names and tables of code objects come again in every process. Returns the number, or -1: the tail is to be written. */
static int64_t rt_recorder_content(struct rt_recorder *r, const uint8_t *tail, size_t len)
{
	uint64_t key = rt_ledmap_hash(r->config.seed, tail, len);
	int64_t number = rt_ledmap_get(&r->contents, key);
	uint8_t *at;

	if (number >= 0)
		return number;
	if (r->n_contents >= RT_LEDGER_CONTENTS_MAX || r->content_bytes + len > RT_CONTENT_BYTES_MAX)
		return -1;
	at = rt_recorder_room(r, len + 16);
	if (!at || rt_ledmap_set(&r->contents, key, r->n_contents))
		return -1;
	*at++ = RT_ITEM_CONTENT;
	rt_recorder_put(r, rt_put_bytes(at, tail, len));
	r->content_bytes += len;
	return r->n_contents++;
}

static void rt_recorder_raw(struct rt_recorder *r, const uint8_t *record, size_t size)
{
	uint8_t *at = rt_recorder_room(r, size + 16);

	if (!at)
		return;
	*at++ = RT_ITEM_RAW;
	rt_recorder_put(r, rt_put_bytes(at, record, size));
}

static void rt_recorder_packed(struct rt_recorder *r, const uint8_t *record, const uint8_t *tail, size_t tail_len)
{
	int64_t content = -1;
	bool has_tail;
	struct rt_hdr h;
	uint8_t *at;

	memcpy(&h, record, sizeof(h));
	r->any |= h.type == RT_REC_PROC;
	has_tail = rt_pack_has_tail(h.type);
	if (h.type == RT_REC_CODE && tail_len)
		content = rt_recorder_content(r, tail, tail_len);
	at = rt_recorder_room(r, RT_PACK_MAX + tail_len + 16);
	if (!at)
		return;
	at = rt_pack_record(&r->pack, at, record, content >= 0);
	if (content >= 0)
		at = rt_pack_put(at, (uint64_t)content);
	else if (has_tail)
		at = rt_put_bytes(at, tail, tail_len);
	rt_recorder_put(r, at);
}

static void rt_recorder_record(void *ctx, const void *record, size_t size)
{
	struct rt_recorder *r = ctx;
	const uint8_t *tail;
	size_t tail_len;

	if (rt_recorder_error(r) || size > RT_RECORD_MAX)
		return;
	if (rt_pack_fits(record, size, &tail, &tail_len))
		rt_recorder_packed(r, record, tail, tail_len);
	else
		rt_recorder_raw(r, record, size);
	rt_keeper_record(r->keeper, record, size);
}

static void rt_recorder_advance(void *ctx, uint64_t now_ns)
{
	struct rt_recorder *r = ctx;
	uint8_t *at = rt_recorder_room(r, 16);

	if (!at)
		return;
	*at++ = RT_ITEM_ADVANCE;
	at = rt_pack_put(at, now_ns - r->advanced_ns);
	r->advanced_ns = now_ns;
	rt_recorder_put(r, at);
}

static void rt_recorder_forget(void *ctx, uint32_t node, uint32_t code)
{
	struct rt_recorder *r = ctx;
	uint8_t *at = rt_recorder_room(r, 16);

	rt_keeper_forget(r->keeper, node, code);
	if (!at)
		return;
	*at++ = RT_ITEM_FORGET;
	at = rt_pack_put(at, node);
	rt_recorder_put(r, rt_pack_put(at, code));
}

/* ---- the rest ---- */

struct rt_recorder *rt_recorder_new(const struct rt_recorder_config *config)
{
	struct rt_recorder *r = calloc(1, sizeof(*r));
	struct rt_keeper_config keeper = {.read_source = config->read_source, .build_id = config->build_id, .same_root = config->same_root, .file_key = config->file_key,
					  .own_pid = config->own_pid, .ctx = config->ctx, .seed = config->seed};

	if (!r)
		return NULL;
	r->config = *config;
	r->out = rt_ledwrite_new(config->fd);
	keeper.out = r->out;
	r->keeper = r->out ? rt_keeper_new(&keeper) : NULL;
	if (r->keeper)
		return r;
	rt_recorder_free(r);
	return NULL;
}

void rt_recorder_free(struct rt_recorder *r)
{
	if (!r)
		return;
	if (r->account)
		rt_account_set_tap(r->account, NULL);
	rt_keeper_free(r->keeper);
	rt_ledwrite_free(r->out);
	rt_ledmap_free(&r->contents);
	rt_ledbuf_free(&r->stream);
	free(r);
}

/* A JSON block; takes over the text. */
static void rt_recorder_json(struct rt_recorder *r, enum rt_block_type type, char *text)
{
	if (text)
		rt_ledwrite_block(r->out, type, text, strlen(text));
	else if (!r->error)
		r->error = -ENOMEM;
	free(text);
}

void rt_recorder_begin(struct rt_recorder *r, const struct rt_ledger_facts *facts, const struct rt_profile *profile)
{
	size_t path_len = strlen(profile->path);
	uint8_t *text, *at;

	rt_recorder_json(r, RT_BLOCK_FACTS, rt_ledfacts_write(facts));
	if (path_len > RT_LEDGER_NAME_MAX)
		path_len = RT_LEDGER_NAME_MAX;
	text = malloc(path_len + profile->text_len + 16);
	if (!text) {
		r->error = -ENOMEM;
		return;
	}
	at = rt_put_bytes(text, profile->path, path_len);
	memcpy(at, profile->text, profile->text_len);
	at += profile->text_len;
	rt_ledwrite_block(r->out, RT_BLOCK_PROFILE, text, (size_t)(at - text));
	free(text);
}

void rt_recorder_follow(struct rt_recorder *r, struct rt_account *account, uint64_t page_size)
{
	const struct rt_account_tap tap = {r, rt_recorder_record, rt_recorder_advance, rt_recorder_forget};

	r->account = account;
	rt_keeper_follow(r->keeper, account, page_size);
	rt_account_set_tap(account, &tap);
}

void rt_recorder_start(struct rt_recorder *r, const struct rt_json_start *start)
{
	rt_recorder_flush(r);
	rt_recorder_json(r, RT_BLOCK_START, rt_ledfacts_write_start(start));
}

int rt_recorder_read_source(struct rt_recorder *r, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	int err = r->config.read_source(r->config.ctx, image, pid, file, text, len);
	size_t name_len = strlen(file);
	int64_t number = err || !*text ? -1 : rt_keeper_text(r->keeper, *text, *len);
	uint8_t *at = rt_recorder_room(r, name_len + 32);

	if (!at)
		return err;
	*at++ = RT_ITEM_SOURCE;
	at = rt_pack_put(at, image);
	at = rt_pack_put(at, (uint64_t)(number + 1));
	rt_recorder_put(r, rt_put_bytes(at, file, name_len));
	return err;
}

bool rt_recorder_due(const struct rt_recorder *r, uint64_t now_ns)
{
	return now_ns - r->flushed_ns >= RT_FLUSH_NS;
}

static void rt_recorder_counters(struct rt_recorder *r, const uint64_t *counters)
{
	uint8_t *at = rt_recorder_room(r, 16 + 10 * RT_COUNTERS);

	if (!at)
		return;
	*at++ = RT_ITEM_COUNTERS;
	at = rt_pack_put(at, RT_COUNTERS);
	for (int i = 0; i < RT_COUNTERS; i++)
		at = rt_pack_put(at, counters[i]);
	rt_recorder_put(r, at);
}

void rt_recorder_tick(struct rt_recorder *r, uint64_t now_ns, const uint64_t *counters)
{
	if (!rt_recorder_due(r, now_ns))
		return;
	if (counters)
		rt_recorder_counters(r, counters);
	rt_recorder_flush(r);
	r->flushed_ns = now_ns;
}

void rt_recorder_end(struct rt_recorder *r, uint64_t now_ns, const uint64_t counters[RT_COUNTERS], const struct rt_self_cost *cost)
{
	struct rt_ledger_end end = {.now_ns = now_ns, .cost = *cost};

	memcpy(end.counters, counters, sizeof(end.counters));
	rt_recorder_flush(r);
	rt_recorder_json(r, RT_BLOCK_END, rt_ledfacts_write_end(&end));
}

int rt_recorder_error(const struct rt_recorder *r)
{
	int err = rt_ledwrite_error(r->out);

	return err ? err : r->error;
}

bool rt_recorder_is_empty(const struct rt_recorder *r)
{
	return !r->any;
}

uint64_t rt_recorder_size(const struct rt_recorder *r)
{
	return rt_ledwrite_size(r->out);
}
