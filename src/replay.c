/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledbuf.h"
#include "ledfacts.h"
#include "ledger.h"
#include "ledpack.h"
#include "ledsource.h"
#include "units.h"

struct rt_content {
	uint8_t *bytes;
	uint32_t len;
};

struct rt_replay {
	struct rt_replay_config config;
	struct rt_ledger *ledger;
	struct rt_ledger_facts facts;
	struct rt_profile *recorded; /* NULL: there is none, or it is not wanted */
	const struct rt_profile *profile;
	struct rt_ledsource *sources;
	struct rt_account *account;
	struct rt_ledbuf block; /* the items at hand: the core's reading of sources goes through the ledger's own buffer */
	struct rt_pack pack;
	uint64_t advanced_ns;
	struct rt_content *content;
	uint32_t n_contents, cap_contents;
	uint64_t content_bytes;
	uint8_t *record; /* RT_RECORD_MAX bytes */
	uint64_t counters[RT_COUNTERS];
	uint64_t now_ns; /* last time told of */
	uint32_t n_forgets, forgotten; /* forgettings so far; nodes below are */
	bool started, ended;
	struct rt_ledger_end end;
	json_t *end_keep, *start_keep;
};

/* ---- opening ---- */

static int rt_replay_refuse(const struct rt_replay *r, char *err, size_t errlen, int error, const char *why)
{
	snprintf(err, errlen, "%s: %s", r->config.path, why);
	return error;
}

static int rt_replay_open_profile(struct rt_replay *r, const uint8_t *raw, size_t len, char *err, size_t errlen)
{
	struct rt_unpack from = {.at = raw, .end = raw + len};
	uint64_t path_len = rt_unpack_upto(&from, RT_LEDGER_NAME_MAX);
	const uint8_t *bytes = rt_unpack_bytes(&from, path_len);
	char *path = bytes ? strndup((const char *)bytes, path_len) : NULL, *shown = path ? rt_text_escape(path, 200) : NULL, *reason = NULL;

	if (shown && !r->recorded)
		r->recorded = rt_profile_parse(shown, (const char *)from.at, (size_t)(from.end - from.at), &reason);
	free(path);
	free(shown);
	if (r->recorded)
		return 0;
	snprintf(err, errlen, "%s: the profile in it is refused: %s; give one: -P NAME or FILE", r->config.path, reason ? reason : "out of memory, or damaged");
	free(reason);
	return -EINVAL;
}

/* One block of the first pass: what has to be known before the first record. */
static int rt_replay_open_block(struct rt_replay *r, const struct rt_ledblock *block, char *err, size_t errlen)
{
	const uint8_t *raw;
	int status = 0;

	switch (block->type) {
	case RT_BLOCK_FACTS:
		if (r->facts.page_size)
			return 0;
		raw = rt_ledger_read(r->ledger, block);
		if (!raw || rt_ledfacts_read(raw, block->raw, &r->facts))
			return rt_replay_refuse(r, err, errlen, -EINVAL, "damaged at its beginning: nothing of it can be read");
		return 0;
	case RT_BLOCK_PROFILE:
		if (r->config.profile)
			return 0;
		raw = rt_ledger_read(r->ledger, block);
		return raw ? rt_replay_open_profile(r, raw, block->raw, err, errlen) : 0;
	case RT_BLOCK_TEXTS:
	case RT_BLOCK_KEPT:
		status = rt_ledsource_index(r->sources, block);
		if (status == -EINVAL)
			rt_ledger_tear(r->ledger, block, "a block of sources is damaged");
		return status == -ENOMEM ? rt_replay_refuse(r, err, errlen, status, "out of memory") : 0;
	default:
		return 0;
	}
}

static int rt_replay_index(struct rt_replay *r, char *err, size_t errlen)
{
	struct rt_ledblock block;
	int status = 0;

	while (!status && rt_ledger_next(r->ledger, &block))
		status = rt_replay_open_block(r, &block, err, errlen);
	if (status)
		return status;
	r->profile = r->config.profile ? r->config.profile : r->recorded;
	if (!r->facts.page_size || !r->profile)
		return rt_replay_refuse(r, err, errlen, -ENODATA, "a ledger that ends before anything was recorded: the run that wrote it failed, or was killed at its start; record again");
	rt_ledger_rewind(r->ledger);
	return 0;
}

int rt_replay_open(const struct rt_replay_config *config, struct rt_replay **out, char *err, size_t errlen)
{
	struct rt_replay *r = calloc(1, sizeof(*r));
	int status;

	if (!r) {
		snprintf(err, errlen, "%s: out of memory", config->path);
		return -ENOMEM;
	}
	r->config = *config;
	status = rt_ledger_open(config->path, &r->ledger, err, errlen);
	if (!status) {
		r->sources = rt_ledsource_new(r->ledger);
		r->record = malloc(RT_RECORD_MAX);
		status = r->sources && r->record ? rt_replay_index(r, err, errlen) : rt_replay_refuse(r, err, errlen, -ENOMEM, "out of memory");
	}
	if (status) {
		rt_replay_free(r);
		return status;
	}
	*out = r;
	return 0;
}

const struct rt_profile *rt_replay_profile(const struct rt_replay *r)
{
	return r->profile;
}

void rt_replay_free(struct rt_replay *r)
{
	if (!r)
		return;
	rt_account_free(r->account);
	rt_profile_free(r->recorded);
	rt_ledsource_free(r->sources);
	rt_ledger_close(r->ledger);
	rt_ledbuf_free(&r->block);
	for (uint32_t i = 0; i < r->n_contents; i++)
		free(r->content[i].bytes);
	free(r->content);
	free(r->record);
	json_decref(r->end_keep);
	json_decref(r->start_keep);
	free(r);
}

/* ---- items ---- */

/* With another profile than the live run's, any move of a stack may be an edge of a phase: the core looks which. */
static void rt_replay_edge(struct rt_replay *r)
{
	struct rt_rec_run run;

	memcpy(&run, r->record, sizeof(run));
	if (run.h.type != RT_REC_RUN || !r->config.profile || !(run.flags & RT_RUN_MOVED))
		return;
	run.flags |= RT_RUN_EDGE;
	memcpy(r->record, &run, sizeof(run));
}

static bool rt_replay_tail(struct rt_replay *r, struct rt_unpack *from, uint8_t first, size_t fixed, size_t *size)
{
	const uint8_t *bytes;
	uint64_t len;

	if (first & RT_PACK_CONTENT) {
		uint64_t number = rt_unpack_get(from);

		if (from->bad || number >= r->n_contents)
			return false;
		bytes = r->content[number].bytes;
		len = r->content[number].len;
	} else {
		len = rt_unpack_upto(from, RT_RECORD_MAX);
		bytes = rt_unpack_bytes(from, len);
	}
	if (!bytes || len > RT_RECORD_MAX - fixed - 8)
		return false;
	memcpy(r->record + fixed, bytes, len);
	*size = (fixed + len + 7) & ~(size_t)7;
	memset(r->record + fixed + len, 0, *size - fixed - len);
	return true;
}

static bool rt_replay_record(struct rt_replay *r, struct rt_unpack *from, uint8_t first)
{
	bool has_tail = false;
	size_t fixed = rt_unpack_record(&r->pack, from, first, r->record, &has_tail), size = fixed;
	struct rt_hdr h;

	if (!fixed || (first & RT_PACK_CONTENT && !has_tail) || (has_tail && !rt_replay_tail(r, from, first, fixed, &size)))
		return false;
	memcpy(&h, r->record, sizeof(h));
	h.size = (uint32_t)size;
	memcpy(r->record, &h, sizeof(h));
	rt_replay_edge(r);
	rt_account_record(r->account, r->record, size);
	return true;
}

static bool rt_replay_raw(struct rt_replay *r, struct rt_unpack *from)
{
	uint64_t len = rt_unpack_upto(from, RT_RECORD_MAX);
	const uint8_t *bytes = rt_unpack_bytes(from, len);

	if (bytes)
		rt_account_record(r->account, bytes, len);
	return bytes;
}

static bool rt_replay_content(struct rt_replay *r, struct rt_unpack *from)
{
	uint64_t len = rt_unpack_upto(from, RT_RECORD_MAX);
	const uint8_t *bytes = rt_unpack_bytes(from, len);
	struct rt_content *content;

	if (!bytes || r->n_contents >= RT_LEDGER_CONTENTS_MAX || r->content_bytes + len > RT_LEDGER_CONTENT_BYTES)
		return false;
	if (r->n_contents == r->cap_contents) {
		uint32_t cap = r->cap_contents ? r->cap_contents * 2 : 1024;

		content = realloc(r->content, cap * sizeof(*content));
		if (!content)
			return false;
		r->content = content;
		r->cap_contents = cap;
	}
	content = &r->content[r->n_contents];
	content->bytes = malloc(len + 1);
	if (!content->bytes)
		return false;
	memcpy(content->bytes, bytes, len);
	content->len = (uint32_t)len;
	r->content_bytes += len;
	r->n_contents++;
	return true;
}

static bool rt_replay_source(struct rt_replay *r, struct rt_unpack *from)
{
	uint32_t image = (uint32_t)rt_unpack_upto(from, UINT32_MAX);
	uint64_t text = rt_unpack_upto(from, RT_LEDGER_TEXTS_MAX);
	uint64_t len = rt_unpack_upto(from, RT_LEDGER_NAME_MAX);
	const uint8_t *file = rt_unpack_bytes(from, len);

	return file && !rt_ledsource_said(r->sources, image, (const char *)file, len, text);
}

static bool rt_replay_counters(struct rt_replay *r, struct rt_unpack *from)
{
	uint64_t n = rt_unpack_upto(from, 4096);

	for (uint64_t i = 0; i < n && !from->bad; i++) {
		uint64_t value = rt_unpack_get(from);

		if (i < RT_COUNTERS) /* a newer writer may have more */
			r->counters[i] = value;
	}
	return !from->bad;
}

static bool rt_replay_item(struct rt_replay *r, struct rt_unpack *from)
{
	uint8_t first = *from->at++;
	uint32_t node, code;

	switch (first & 0xf) {
	case RT_ITEM_RECORD:
		return rt_replay_record(r, from, first);
	case RT_ITEM_RAW:
		return rt_replay_raw(r, from);
	case RT_ITEM_CONTENT:
		return rt_replay_content(r, from);
	case RT_ITEM_ADVANCE:
		r->advanced_ns += rt_unpack_get(from);
		if (from->bad)
			return false;
		r->now_ns = r->advanced_ns;
		rt_account_advance(r->account, r->now_ns);
		return true;
	case RT_ITEM_FORGET:
		node = (uint32_t)rt_unpack_upto(from, UINT32_MAX);
		code = (uint32_t)rt_unpack_upto(from, UINT32_MAX);
		if (from->bad || node < r->forgotten || ++r->n_forgets > RT_LEDGER_FORGETS_MAX)
			return false;
		r->forgotten = node;
		rt_account_forget(r->account, node, code);
		return true;
	case RT_ITEM_SOURCE:
		return rt_replay_source(r, from);
	case RT_ITEM_COUNTERS:
		return rt_replay_counters(r, from);
	default:
		return false;
	}
}

/* ---- blocks ---- */

static void rt_replay_stream(struct rt_replay *r, const struct rt_ledblock *block, const uint8_t *raw)
{
	struct rt_unpack from;
	uint8_t *items;

	r->block.len = 0;
	items = rt_ledbuf_room(&r->block, block->raw);
	if (!items) {
		rt_ledger_tear(r->ledger, block, "out of memory");
		return;
	}
	memcpy(items, raw, block->raw);
	from = (struct rt_unpack){.at = items, .end = items + block->raw};
	memset(&r->pack, 0, sizeof(r->pack));
	r->advanced_ns = 0;
	while (from.at < from.end) {
		if (rt_replay_item(r, &from))
			continue;
		rt_ledger_tear(r->ledger, block, "what a block says is malformed, or more than can be held");
		return;
	}
}

static void rt_replay_start(struct rt_replay *r, const struct rt_ledblock *block, const uint8_t *raw)
{
	struct rt_json_start start;
	uint32_t *target;

	if (r->started)
		return;
	target = calloc(RT_LEDGER_TARGETS, sizeof(*target));
	if (!target || rt_ledfacts_read_start(raw, block->raw, &start, target, &r->start_keep)) {
		rt_ledger_tear(r->ledger, block, "its start is damaged");
	} else {
		r->started = true;
		if (r->config.profile)
			start.profile = r->config.profile->name;
		if (r->config.on_start)
			r->config.on_start(r->config.ctx, &start);
	}
	free(target);
}

static void rt_replay_block(struct rt_replay *r, const struct rt_ledblock *block)
{
	const uint8_t *raw = NULL;

	if (block->type == RT_BLOCK_STREAM || block->type == RT_BLOCK_START || block->type == RT_BLOCK_END) {
		raw = rt_ledger_read(r->ledger, block);
		if (!raw)
			return;
	}
	if (block->type == RT_BLOCK_STREAM)
		rt_replay_stream(r, block, raw);
	else if (block->type == RT_BLOCK_START)
		rt_replay_start(r, block, raw);
	else if (block->type != RT_BLOCK_END)
		return;
	else if (rt_ledfacts_read_end(raw, block->raw, &r->end, &r->end_keep))
		rt_ledger_tear(r->ledger, block, "its end is damaged");
	else
		r->ended = true;
}

static int rt_replay_read_source(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	struct rt_replay *r = ctx;

	(void)pid;
	return rt_ledsource_read(r->sources, image, file, text, len);
}

static void rt_replay_plain_name(void *ctx, const struct rt_phase *phase, const char *name, const char *file)
{
	struct rt_replay *r = ctx;

	if (r->config.on_plain_name)
		r->config.on_plain_name(r->config.ctx, phase, name, file);
}

static int rt_replay_account(struct rt_replay *r)
{
	struct rt_account_config config = {
		.profile = r->profile,
		.page_size = r->facts.page_size,
		.window_ns = r->facts.window_ns,
		.want_growth = r->config.want_growth,
		.want_stacks = r->config.want_stacks,
		.want_mappings = r->facts.mappings && !r->config.no_mappings,
		.ignore_mute = r->facts.ignore_mute || r->config.ignore_mute,
		.read_source = rt_replay_read_source,
		.on_plain_name = rt_replay_plain_name,
		.ctx = r,
	};

	r->account = rt_account_new(&config);
	return r->account ? 0 : -ENOMEM;
}

int rt_replay_run(struct rt_replay *r, struct rt_replay_result *result, char *err, size_t errlen)
{
	const uint64_t *counters = r->counters;
	struct rt_ledblock block;
	int status;

	*result = (struct rt_replay_result){.profile = r->profile};
	if (r->account || rt_replay_account(r))
		return rt_replay_refuse(r, err, errlen, -ENOMEM, "out of memory");
	status = r->config.on_begin ? r->config.on_begin(r->config.ctx, r->account, r->facts.wall_offset_ns) : 0;
	if (status)
		return status;
	while (!r->ended && rt_ledger_next(r->ledger, &block))
		rt_replay_block(r, &block);
	if (!r->started)
		return rt_replay_refuse(r, err, errlen, -ENODATA, "a ledger that ends before anything was recorded: the run that wrote it failed, or was killed at its start; record again");
	if (r->ended) {
		r->now_ns = r->end.now_ns;
		counters = r->end.counters;
		result->cost = &r->end.cost;
	}
	result->ended = r->ended;
	result->torn = rt_ledger_torn(r->ledger, &result->torn_at);
	result->summary = rt_account_finish(r->account, r->now_ns, counters);
	return result->summary ? 0 : rt_replay_refuse(r, err, errlen, -ENOMEM, "out of memory");
}
