/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_span.h"

#define RT_NO_PHASE UINT32_MAX

/* ---- sites ---- */

static void rt_site_free(struct rt_site *site, struct rt_texts *texts)
{
	if (!site)
		return;
	rt_text_put(texts, site->symbol);
	rt_text_put(texts, site->kind);
	rt_text_put(texts, site->library);
	for (int lang = 0; lang < RT_LANGS; lang++)
		rt_text_put(texts, site->label[lang]);
	free(site);
}

/* The next text of a SITE record, made valid. NULL: there is none, or no memory (*err). */
static struct rt_text *rt_site_text(struct rt_texts *texts, const uint8_t **at, size_t *left, int *err)
{
	const uint8_t *end = memchr(*at, 0, *left);
	char clean[1024];
	struct rt_text *text;
	size_t len;

	if (!end) {
		*err = -EINVAL;
		return NULL;
	}
	len = rt_text_from_bytes(clean, sizeof(clean), *at, (size_t)(end - *at));
	text = rt_text_get(texts, clean, len);
	if (!text)
		*err = -ENOMEM;
	*left -= (size_t)(end + 1 - *at);
	*at = end + 1;
	return text;
}

static int rt_site_read(struct rt_site *site, struct rt_texts *texts, const struct rt_rec_site *rec, const uint8_t *text)
{
	struct rt_text **field[] = { &site->symbol, &site->kind, &site->library, &site->label[RT_LANG_ZH], &site->label[RT_LANG_EN] };
	size_t left = rec->len;
	int err = 0;

	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]) && !err; i++)
		*field[i] = rt_site_text(texts, &text, &left, &err);
	if (err)
		return err;
	site->flags = rec->flags;
	site->phase.id = site->symbol->s;
	for (int lang = 0; lang < RT_LANGS; lang++) {
		site->phase.label.text[lang] = site->label[lang]->s;
		site->phase.exit.text[lang] = site->label[lang]->s; /* the line of its end is its name alone */
	}
	return 0;
}

static int rt_natives_room(struct rt_natives *natives, uint32_t number)
{
	uint32_t cap = natives->cap ? natives->cap : 64;
	struct rt_site **site;

	while (cap <= number)
		cap *= 2;
	if (cap == natives->cap)
		return 0;
	site = realloc(natives->site, cap * sizeof(struct rt_site *));
	if (!site)
		return -ENOMEM;
	memset(site + natives->cap, 0, (cap - natives->cap) * sizeof(struct rt_site *));
	natives->site = site;
	natives->cap = cap;
	return 0;
}

int rt_natives_add(struct rt_natives *natives, struct rt_texts *texts, const uint8_t *record, size_t size)
{
	struct rt_rec_site rec;
	struct rt_site *site;
	int err;

	memcpy(&rec, record, sizeof(rec));
	if (!rec.site || rec.site >= RT_SITES_MAX || rec.len > size - sizeof(rec))
		return -EINVAL;
	err = rt_natives_room(natives, rec.site);
	if (err)
		return err;
	if (natives->site[rec.site])
		return -EINVAL;
	site = calloc(1, sizeof(*site));
	if (!site)
		return -ENOMEM;
	err = rt_site_read(site, texts, &rec, record + sizeof(rec));
	if (err) {
		rt_site_free(site, texts);
		return err;
	}
	natives->site[rec.site] = site;
	return 0;
}

void rt_natives_free(struct rt_natives *natives, struct rt_texts *texts)
{
	for (uint32_t i = 0; i < natives->cap; i++)
		rt_site_free(natives->site[i], texts);
	free(natives->site);
	*natives = (struct rt_natives){ 0 };
}

static struct rt_site *rt_site_find(const struct rt_natives *natives, uint32_t number)
{
	return number < natives->cap ? natives->site[number] : NULL;
}

/* ---- rows ---- */

static bool rt_native_row_is(const struct rt_native_row *row, const struct rt_native_row *key)
{
	return row->symbol == key->symbol && row->kind == key->kind && row->library == key->library && row->is_free == key->is_free && row->inner == key->inner &&
	       row->phase == key->phase;
}

static struct rt_text *rt_text_again(struct rt_texts *texts, const struct rt_text *text)
{
	return text ? rt_text_get(texts, text->s, text->len) : NULL;
}

/* The row like `key`, made if it is not there. NULL: no memory; the last one that there is room for takes all others. */
static struct rt_native_row *rt_native_row_get(struct rt_native_rows *rows, struct rt_texts *texts, const struct rt_native_row *key)
{
	struct rt_native_row *row, others = { .phase = RT_NO_PHASE };

	for (uint32_t i = 0; i < rows->n; i++) {
		if (rt_native_row_is(&rows->row[i], key))
			return &rows->row[i];
	}
	if (rows->n == RT_NATIVE_ROWS_MAX)
		return &rows->row[rows->n - 1];
	if (rows->n == rows->cap) {
		uint32_t cap = rows->cap ? rows->cap * 2 : 8;

		row = realloc(rows->row, cap * sizeof(*row));
		if (!row)
			return NULL;
		rows->row = row;
		rows->cap = cap;
	}
	if (rows->n == RT_NATIVE_ROWS_MAX - 1)
		key = &others;
	row = &rows->row[rows->n++];
	*row = (struct rt_native_row){
		.symbol = rt_text_again(texts, key->symbol),
		.kind = rt_text_again(texts, key->kind),
		.library = rt_text_again(texts, key->library),
		.is_free = key->is_free,
		.inner = key->inner,
		.phase = key->phase,
	};
	return row;
}

static void rt_native_row_sum(struct rt_native_row *row, const struct rt_native_row *more)
{
	row->calls += more->calls;
	row->bytes += more->bytes;
	row->open_ns += more->open_ns;
	row->mapped += more->mapped;
	row->unmapped += more->unmapped;
	for (int k = 0; k < RT_KINDS; k++)
		row->delta[k] += more->delta[k];
	row->own += more->own;
	row->gained += more->gained;
}

int rt_native_rows_add(struct rt_native_rows *rows, struct rt_texts *texts, const struct rt_native_rows *from)
{
	for (uint32_t i = 0; i < from->n; i++) {
		struct rt_native_row *row = rt_native_row_get(rows, texts, &from->row[i]);

		if (!row)
			return -ENOMEM;
		rt_native_row_sum(row, &from->row[i]);
	}
	return 0;
}

void rt_native_rows_free(struct rt_native_rows *rows, struct rt_texts *texts)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		rt_text_put(texts, rows->row[i].symbol);
		rt_text_put(texts, rows->row[i].kind);
		rt_text_put(texts, rows->row[i].library);
	}
	free(rows->row);
	*rows = (struct rt_native_rows){ 0 };
}

/* ---- calls ---- */

/* The innermost phase of the stack; without one, the phase that the thread works for. */
static uint32_t rt_native_phase(struct rt_account *account, struct rt_process *proc, uint32_t node, uint32_t tid)
{
	uint32_t path = node && rt_nodes_find(&account->stacks.nodes, node) ? rt_stacks_path(&account->stacks, node) : RT_PATH_UNKNOWN;
	struct rt_thread *thread = rt_thread_find(&account->procs, tid);
	uint32_t elements[RT_PATH_DEPTH];
	const struct rt_span *span;
	size_t n = path == RT_PATH_UNKNOWN ? 0 : rt_path_elements(&account->stacks.paths, path, elements);

	if (n)
		return account->stacks.paths.path[elements[n - 1]].phase;
	span = rt_run_owner(proc, thread && thread->proc == proc ? thread : NULL);
	return span ? span->phase : RT_NO_PHASE;
}

static void rt_native_checkpoint(struct rt_account *account, struct rt_process *proc, const struct rt_site *site, const struct rt_hdr *h,
				 const uint64_t before[RT_KINDS], enum rt_edge edge)
{
	struct rt_checkpoint_view view = { .ts_ns = h->ts_ns, .tid = h->tid, .phase = &site->phase, .edge = edge, .native = true };
	struct rt_proc_view proc_view;
	int64_t pages[RT_KINDS], total;

	rt_pages_read(pages, before);
	total = rt_pages_total(pages);
	view.delta = rt_account_bytes(account, total - proc->checkpoint);
	view.total = rt_account_bytes(account, total - rt_pages_total(proc->start));
	view.rss = rt_account_sizes(account, pages);
	proc->checkpoint = total;
	rt_proc_view(proc, account->config.page_size, &proc_view);
	rt_account_tell(account, on_checkpoint, &proc_view, &view);
}

/* The process of a record, if it is to be told of, and its site. What cannot be is counted. */
static struct rt_process *rt_native_of(struct rt_account *account, const struct rt_hdr *h, uint32_t number, struct rt_site **site, bool *lives)
{
	struct rt_image *image = rt_image_find(&account->procs, h->image);

	*site = rt_site_find(&account->natives, number);
	if (!image || !image->proc || !*site) {
		account->lost_records++;
		return NULL;
	}
	*lives = !image->ended && !image->replaced && !image->shares_mm;
	return image->proc->muted ? NULL : image->proc;
}

void rt_native_enter(struct rt_account *account, const struct rt_rec_native_enter *rec)
{
	struct rt_site *site;
	bool lives;
	struct rt_process *proc = rt_native_of(account, &rec->h, rec->site, &site, &lives);

	if (proc && lives)
		rt_native_checkpoint(account, proc, site, &rec->h, rec->before, RT_ENTER);
}

static void rt_native_tell(struct rt_account *account, struct rt_process *proc, const struct rt_site *site, const struct rt_rec_native *rec,
			   const struct rt_native_row *row)
{
	struct rt_native_view view = {
		.ts_ns = rec->h.ts_ns,
		.begin_ns = rec->begin_ns,
		.tid = rec->h.tid,
		.symbol = site->symbol->s,
		.kind = site->kind->s,
		.library = site->library->s,
		.is_free = row->is_free,
		.inner = row->inner,
		.open = rec->flags & RT_NATIVE_OPEN,
		.calls = rec->calls,
		.bytes = row->bytes,
		.addr = site->flags & RT_SITEK_ADDR ? rec->addr : 0,
		.duration_ns = rec->open_ns,
		.delta = rt_account_sizes(account, row->delta),
		.own = rt_account_bytes(account, row->own),
		.gained = rt_account_bytes(account, row->gained),
		.released = rt_account_bytes(account, row->gained - rt_pages_total(row->delta)),
		.mapped = rec->mapped,
		.unmapped = rec->unmapped,
		.phase = row->phase == RT_NO_PHASE ? NULL : &account->config.profile->phases[row->phase],
	};
	struct rt_proc_view proc_view;

	rt_proc_view(proc, account->config.page_size, &proc_view);
	rt_account_tell(account, on_native, &proc_view, &view);
}

void rt_native_apply(struct rt_account *account, const struct rt_rec_native *rec)
{
	struct rt_site *site;
	bool lives;
	struct rt_process *proc = rt_native_of(account, &rec->h, rec->site, &site, &lives);
	struct rt_native_row call, *row;

	if (!proc)
		return;
	call = (struct rt_native_row){
		.symbol = site->symbol,
		.kind = site->kind,
		.library = site->library,
		.is_free = site->flags & RT_SITEK_FREE,
		.inner = rec->flags & RT_NATIVE_INNER,
		.phase = rt_native_phase(account, proc, rec->node, rec->h.tid),
		.calls = rec->calls,
		.bytes = !(site->flags & RT_SITEK_MAPPED) ? rec->bytes : site->flags & RT_SITEK_FREE ? rec->unmapped : rec->mapped,
		.open_ns = rec->open_ns,
		.mapped = rec->mapped,
		.unmapped = rec->unmapped,
		.own = rec->own,
		.gained = rec->gained,
	};
	for (int k = 0; k < RT_KINDS; k++)
		call.delta[k] = rec->delta[k];
	row = rt_native_row_get(&proc->natives, &account->texts, &call);
	if (row)
		rt_native_row_sum(row, &call);
	else
		account->lost_records++;
	if (lives && rec->flags & RT_NATIVE_CHECKPOINT && !(rec->flags & RT_NATIVE_OPEN))
		rt_native_checkpoint(account, proc, site, &rec->h, rec->before, RT_EXIT);
	rt_native_tell(account, proc, site, rec, &call);
}
