/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_span.h"
#include "ledpack.h" /* RT_RECORD_MAX */

/* Least size of each kind of record. */
static const size_t rt_record_size[] = {
	[RT_REC_PROC] = sizeof(struct rt_rec_proc),	    [RT_REC_EXIT] = sizeof(struct rt_rec_exit),
	[RT_REC_THREAD] = sizeof(struct rt_rec_thread),	    [RT_REC_THREAD_EXIT] = sizeof(struct rt_rec_thread),
	[RT_REC_RENAME] = sizeof(struct rt_rec_rename),	    [RT_REC_CODE] = sizeof(struct rt_rec_code),
	[RT_REC_NODE] = sizeof(struct rt_rec_node),	    [RT_REC_RUN] = sizeof(struct rt_rec_run),
	[RT_REC_SNAP] = sizeof(struct rt_rec_snap),	    [RT_REC_META] = sizeof(struct rt_rec_meta),
	[RT_REC_MAP] = sizeof(struct rt_rec_map),
	[RT_REC_OPENING] = sizeof(struct rt_rec_opening),
	[RT_REC_NATIVE] = sizeof(struct rt_rec_native),
	[RT_REC_NATIVE_ENTER] = sizeof(struct rt_rec_native_enter),
	[RT_REC_SITE] = sizeof(struct rt_rec_site),
	[RT_REC_OOM] = sizeof(struct rt_rec_oom),
};

static int rt_account_init(struct rt_account *account)
{
	static const char *const words[RT_WORDS] = {
		[RT_WORD_HELPER] = "<helper threads>",
		[RT_WORD_START] = "<interpreter start>",
		[RT_WORD_UNREADABLE] = "<stack unreadable>",
		[RT_WORD_NO_PYTHON] = "<no Python>",
	};
	int err;

	account->procs.texts = &account->texts;
	account->procs.frames = &account->frames;
	account->stacks.nodes.want_notes = account->config.want_stacks;
	err = rt_stacks_init(&account->stacks, &account->texts, account->config.profile,
			     account->config.want_growth || account->config.want_stacks);
	if (!err && account->config.want_stacks)
		err = rt_sum_init(&account->frames, &account->texts);
	if (!err)
		err = rt_mappings_init(&account->mappings, &account->texts);
	if (err)
		return err;
	account->stacks.matcher.read_source = account->config.read_source;
	account->stacks.matcher.on_plain_name = account->config.on_plain_name;
	account->stacks.matcher.ctx = account->config.ctx;
	for (int i = 0; i < RT_WORDS; i++) {
		account->word[i] = rt_text_get(&account->texts, words[i], strlen(words[i]));
		if (!account->word[i])
			return -ENOMEM;
	}
	return 0;
}

struct rt_account *rt_account_new(const struct rt_account_config *config)
{
	struct rt_account *account = calloc(1, sizeof(*account));

	if (!account)
		return NULL;
	account->config = *config;
	if (rt_account_init(account)) {
		rt_account_free(account);
		return NULL;
	}
	return account;
}

void rt_account_free(struct rt_account *account)
{
	if (!account)
		return;
	rt_summary_free(account);
	rt_procs_free(&account->procs);
	rt_stacks_free(&account->stacks);
	rt_sum_free(&account->frames);
	rt_order_free(&account->order);
	rt_mappings_free(&account->mappings);
	rt_natives_free(&account->natives, &account->texts);
	rt_map_free(&account->pids);
	rt_texts_free(&account->texts); /* last: all others give their texts back */
	free(account);
}

int rt_account_add_sink(struct rt_account *account, const struct rt_sink *sink)
{
	if (account->n_sinks >= RT_SINKS)
		return -ENOSPC;
	account->sink[account->n_sinks++] = *sink;
	return 0;
}

static void rt_account_apply(struct rt_account *account, const void *record)
{
	const struct rt_hdr *h = record;

	if (h->ts_ns && (!account->begun || h->ts_ns < account->first_ns)) {
		account->first_ns = h->ts_ns;
		account->begun = true;
	}
	if (h->ts_ns > account->applied_ns)
		account->applied_ns = h->ts_ns;
	if (h->ts_ns != account->born.ts_ns || (h->type != RT_REC_META && h->type != RT_REC_OPENING && h->type != RT_REC_THREAD))
		rt_life_born(account);
	switch (h->type) {
	case RT_REC_PROC:
		rt_life_proc(account, record);
		break;
	case RT_REC_EXIT:
		rt_life_exit(account, record);
		break;
	case RT_REC_THREAD:
		rt_life_thread(account, record);
		break;
	case RT_REC_THREAD_EXIT:
		rt_life_thread_exit(account, record);
		break;
	case RT_REC_RENAME:
		rt_life_rename(account, record);
		break;
	case RT_REC_RUN:
		rt_run_apply(account, record);
		break;
	case RT_REC_SNAP:
		rt_life_snap(account, record);
		break;
	case RT_REC_META:
		rt_life_meta(account, record);
		break;
	case RT_REC_OPENING:
		rt_life_opening(account, record);
		break;
	case RT_REC_NATIVE:
		rt_native_apply(account, record);
		break;
	case RT_REC_NATIVE_ENTER:
		rt_native_enter(account, record);
		break;
	case RT_REC_OOM:
		rt_oom_apply(account, record);
		break;
	}
}

static void rt_account_release(struct rt_account *account, uint64_t until_ns)
{
	const void *record;
	size_t size;

	while ((record = rt_order_pop(&account->order, until_ns, &size)))
		rt_account_apply(account, record);
	rt_life_born(account);
}

/* The full window lets its oldest record go early, which may make a later one late: that is counted where it shows. */
static int rt_account_push(struct rt_account *account, uint64_t ts_ns, const void *record, size_t size)
{
	const void *oldest;
	size_t oldest_size;
	int err = rt_order_push(&account->order, ts_ns, record, size);

	if (err != -ENOSPC)
		return err;
	oldest = rt_order_pop(&account->order, UINT64_MAX, &oldest_size);
	if (oldest)
		rt_account_apply(account, oldest);
	return rt_order_push(&account->order, ts_ns, record, size);
}

/* Enum values that decide where something is counted; all else is looked up or compared. */
static bool rt_record_sane(const uint8_t *record, size_t size, uint16_t type)
{
	struct rt_rec_opening opening;
	struct rt_rec_native native;
	struct rt_rec_proc proc;
	struct rt_rec_meta meta;
	struct rt_rec_run run;
	struct rt_rec_map map;

	switch (type) {
	case RT_REC_PROC:
		memcpy(&proc, record, sizeof(proc));
		return proc.h.image && proc.pid && proc.birth >= RT_BIRTH_ATTACH && proc.birth <= RT_BIRTH_FORK;
	case RT_REC_META:
		memcpy(&meta, record, sizeof(meta));
		return meta.len <= size - sizeof(meta);
	case RT_REC_OPENING:
		memcpy(&opening, record, sizeof(opening));
		return opening.kind < RT_KINDS && opening.len <= size - sizeof(opening) &&
		       opening.bytes >> 12 < (uint64_t)RT_PAGES_MAX;
	case RT_REC_NATIVE:
		memcpy(&native, record, sizeof(native));
		return native.calls && native.site;
	case RT_REC_RUN:
		memcpy(&run, record, sizeof(run));
		return run.cause < RT_CAUSES;
	case RT_REC_MAP:
		memcpy(&map, record, sizeof(map));
		return map.len <= size - sizeof(map) && map.id >= RT_MAP_ID_FIRST &&
		       (map.kind == RT_MAP_FILE || map.kind == RT_MAP_SHMEM);
	}
	return true;
}

/* Mappings, nodes and code objects have no time: they count from where they stand in the sequence. */
static int rt_account_stack(struct rt_account *account, const struct rt_hdr *h, const uint8_t *record, size_t size)
{
	struct rt_rec_node node;
	int err;

	if (h->type == RT_REC_CODE) {
		uint32_t pid = (uint32_t)(uintptr_t)rt_map_get(&account->pids, h->image);

		err = rt_codes_add(&account->stacks.codes, record, size, pid);
	} else if (h->type == RT_REC_MAP) {
		err = rt_mappings_add(&account->mappings, record, size);
	} else {
		memcpy(&node, record, sizeof(node));
		err = rt_stacks_node(&account->stacks, &node);
	}
	if (err == -ENOSPC) {
		account->lost_stacks++;
		return 0;
	}
	return err == -EEXIST ? -EINVAL : err;
}

static int rt_account_take(struct rt_account *account, const uint8_t *record, size_t size)
{
	struct rt_rec_proc proc;
	struct rt_hdr h;
	int err;

	if (account->finished || size < sizeof(h) || size > RT_RECORD_MAX)
		return -EINVAL;
	memcpy(&h, record, sizeof(h));
	if (!h.type || h.type >= sizeof(rt_record_size) / sizeof(rt_record_size[0]) || !rt_record_size[h.type] ||
	    h.size > size ||
	    h.size < rt_record_size[h.type] || !rt_record_sane(record, h.size, h.type))
		return -EINVAL;
	size = h.size;
	if (h.type == RT_REC_SITE)
		return rt_natives_add(&account->natives, &account->texts, record, size);
	if (h.type == RT_REC_CODE || h.type == RT_REC_NODE || h.type == RT_REC_MAP)
		return rt_account_stack(account, &h, record, size);
	if (h.type == RT_REC_PROC && account->pids.used < 2 * RT_ALIVE_MAX) {
		memcpy(&proc, record, sizeof(proc));
		err = rt_map_set(&account->pids, h.image, (void *)(uintptr_t)proc.pid);
		if (err)
			return err;
	}
	if (h.type == RT_REC_META && !h.ts_ns) /* no earlier than the record that its image came with */
		h.ts_ns = account->newest_ns;
	if (h.ts_ns > account->newest_ns)
		account->newest_ns = h.ts_ns;
	err = rt_account_push(account, h.ts_ns, record, size);
	if (err)
		return err;
	/* What is older than anything applied cannot wait for its turn any longer: it is the oldest of the window,
	 * too. */
	if (!account->config.window_ns || h.ts_ns < account->applied_ns)
		rt_account_release(account, account->config.window_ns ? h.ts_ns : UINT64_MAX);
	return 0;
}

int rt_account_record(struct rt_account *account, const void *record, size_t size)
{
	int err = rt_account_take(account, record, size);

	if (err)
		account->lost_records++;
	if (account->tap.on_record)
		account->tap.on_record(account->tap.ctx, record, size);
	return err;
}

void rt_account_set_tap(struct rt_account *account, const struct rt_account_tap *tap)
{
	account->tap = tap ? *tap : (struct rt_account_tap){ 0 };
}

void rt_account_walk(struct rt_account *account, uint32_t node, bool (*each)(void *ctx, uint32_t node, uint32_t code, const char *file), void *ctx)
{
	while (node) { /* a parent's number is smaller: it ends */
		const struct rt_node *at = rt_nodes_find(&account->stacks.nodes, node);
		const struct rt_code *code = at ? rt_codes_find(&account->stacks.codes, at->code) : NULL;

		if (!at || !each(ctx, node, at->code, code ? code->file->s : NULL))
			return;
		node = at->parent;
	}
}

uint32_t rt_account_pid(const struct rt_account *account, uint32_t image)
{
	return (uint32_t)(uintptr_t)rt_map_get(&account->pids, image);
}

void rt_account_advance(struct rt_account *account, uint64_t now_ns)
{
	if (now_ns >= account->config.window_ns)
		rt_account_release(account, now_ns - account->config.window_ns);
	if (account->tap.on_advance)
		account->tap.on_advance(account->tap.ctx, now_ns);
}

const struct rt_summary *rt_account_finish(struct rt_account *account, uint64_t now_ns,
					   const uint64_t counters[RT_COUNTERS])
{
	struct rt_process *proc;

	if (account->finished)
		return &account->summary;
	rt_account_release(account, UINT64_MAX);
	account->finished = true;
	if (now_ns < account->applied_ns)
		now_ns = account->applied_ns;
	for (proc = account->procs.oldest; proc; proc = proc->newer) {
		struct rt_moment moment = { .ts_ns = now_ns, .still_open = true };

		memcpy(moment.pages, proc->rss, sizeof(moment.pages));
		rt_spans_close_process(account, proc, &moment);
		if (!proc->ended)
			proc->end_ns = now_ns;
	}
	rt_summary_build(account, now_ns, counters);
	return &account->summary;
}

void rt_account_forget(struct rt_account *account, uint32_t node, uint32_t code)
{
	struct rt_process *proc;
	struct rt_span *span;

	for (proc = account->procs.oldest; proc; proc = proc->newer) {
		for (span = proc->spans; span; span = span->next)
			rt_path_mark(&account->stacks.paths, span->path);
	}
	rt_stacks_forget(&account->stacks, node, code);
	if (account->tap.on_forget)
		account->tap.on_forget(account->tap.ctx, node, code);
	rt_account_tell(account, on_forget, node);
}

void rt_account_kept(const struct rt_account *account, size_t *nodes, size_t *codes)
{
	if (nodes)
		*nodes = account->stacks.nodes.count;
	if (codes)
		*codes = account->stacks.codes.count;
}

void rt_account_tree(const struct rt_account *account, int64_t *now, int64_t *peak)
{
	if (now)
		*now = rt_account_bytes(account, account->procs.total);
	if (peak)
		*peak = rt_account_bytes(account, account->procs.total_peak);
}

const struct rt_phase *rt_account_watched(const struct rt_account *account, uint32_t code)
{
	const struct rt_code *c = rt_codes_find(&account->stacks.codes, code);

	for (size_t i = 0; c && c->match && i < c->match->n_whole; i++) {
		const struct rt_phase *phase = &account->config.profile->phases[c->match->whole[i]];

		if (phase->watch)
			return phase;
	}
	return NULL;
}

uint32_t rt_account_calls(const struct rt_account *account, uint32_t image, const struct rt_phase *phase)
{
	const struct rt_image *im = rt_image_find(&account->procs, image);

	return im && im->proc && im->proc->calls ? im->proc->calls[phase - account->config.profile->phases] : 0;
}
