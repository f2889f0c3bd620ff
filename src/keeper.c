/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "acc_code.h" /* RT_CODES_MAX */
#include "acc_map.h"
#include "ledbuf.h"
#include "ledmap.h"
#include "ledpack.h"
#include "recorder.h" /* RT_KEEP_* */

#define RT_TEXTS_BYTES (1u << 20) /* texts of a block, before compression */
#define RT_NODES_SEEN (1u << 23)  /* node numbers told apart at a time: 8 MiB */
#define RT_IMAGES_SEEN (1u << 22) /* and images */
#define RT_KEPT 255		  /* in `grown`: its function's source has been asked for */
#define RT_BUILDS_MAX 16384u

/* Something for each number from a base on. */
struct rt_numbered {
	void *data;
	uint32_t base, n;
	size_t size; /* of one */
};

struct rt_keeper {
	struct rt_keeper_config config;
	struct rt_account *account;
	uint32_t keep_pages;
	struct rt_ledbuf texts, kept;
	struct rt_ledmap text; /* hash -> number */
	uint32_t n_texts;
	struct rt_ledmap file; /* hash of image and name -> 0 */
	struct rt_ledmap seen; /* hash of a name and version of ours -> number of the text */
	uint64_t kept_bytes;
	struct rt_numbered grown; /* uint8_t by node: pages, up to what is enough */
	struct rt_numbered image; /* uint32_t by code object: whose it is */
	struct rt_numbered ours;  /* bool by image: it sees files as we do */
	json_t *builds;
	struct rt_ledmap build; /* hash of path -> 0 */
};

struct rt_keeper *rt_keeper_new(const struct rt_keeper_config *config)
{
	struct rt_keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->config = *config;
	k->builds = json_array();
	k->grown.size = sizeof(uint8_t);
	k->image.size = sizeof(uint32_t);
	k->ours.size = sizeof(bool);
	return k;
}

void rt_keeper_free(struct rt_keeper *k)
{
	if (!k)
		return;
	rt_ledbuf_free(&k->texts);
	rt_ledbuf_free(&k->kept);
	rt_ledmap_free(&k->text);
	rt_ledmap_free(&k->file);
	rt_ledmap_free(&k->seen);
	rt_ledmap_free(&k->build);
	json_decref(k->builds);
	free(k->grown.data);
	free(k->image.data);
	free(k->ours.data);
	free(k);
}

void rt_keeper_follow(struct rt_keeper *k, struct rt_account *account, uint64_t page_size)
{
	k->account = account;
	k->keep_pages = (uint32_t)(RT_KEEP_BYTES / page_size);
	if (!k->keep_pages)
		k->keep_pages = 1;
	if (k->keep_pages >= RT_KEPT)
		k->keep_pages = RT_KEPT - 1;
}

/* ---- texts ---- */

static void rt_keeper_write(struct rt_keeper *k, enum rt_block_type type, struct rt_ledbuf *buf)
{
	if (buf->len)
		rt_ledwrite_block(k->config.out, type, buf->data, buf->len);
	buf->len = 0;
}

static void rt_keeper_write_builds(struct rt_keeper *k)
{
	char *text = json_array_size(k->builds) ? json_dumps(k->builds, JSON_COMPACT) : NULL;

	if (!text)
		return;
	rt_ledwrite_block(k->config.out, RT_BLOCK_BUILDS, text, strlen(text));
	free(text);
	json_array_clear(k->builds);
}

void rt_keeper_flush(struct rt_keeper *k)
{
	rt_keeper_write(k, RT_BLOCK_TEXTS, &k->texts);
	rt_keeper_write(k, RT_BLOCK_KEPT, &k->kept);
	rt_keeper_write_builds(k);
}

int64_t rt_keeper_text(struct rt_keeper *k, const char *text, size_t len)
{
	uint64_t key = rt_ledmap_hash(k->config.seed, text, len);
	int64_t number = rt_ledmap_get(&k->text, key);
	uint8_t *at;

	if (number >= 0)
		return number;
	if (k->n_texts >= RT_LEDGER_TEXTS_MAX || len + 16 > RT_LEDGER_RAW_MAX)
		return -1;
	if (k->texts.len && k->texts.len + len > RT_TEXTS_BYTES)
		rt_keeper_write(k, RT_BLOCK_TEXTS, &k->texts);
	at = rt_ledbuf_room(&k->texts, len + 16);
	if (!at || rt_ledmap_set(&k->text, key, k->n_texts))
		return -1;
	at = rt_pack_put(at, len);
	memcpy(at, text, len);
	k->texts.len = (size_t)(at + len - k->texts.data);
	return k->n_texts++;
}

static void rt_keeper_put_kept(struct rt_keeper *k, uint32_t image, uint32_t text, const char *file, size_t len)
{
	uint8_t *at = rt_ledbuf_room(&k->kept, len + 32);

	if (!at)
		return;
	at = rt_pack_put(at, image);
	at = rt_pack_put(at, text);
	at = rt_pack_put(at, len);
	memcpy(at, file, len);
	k->kept.len = (size_t)(at + len - k->kept.data);
	if (k->kept.len > RT_TEXTS_BYTES)
		rt_keeper_flush(k);
}

/* The place of this number; NULL: it was forgotten, is too far on, or there is no memory. */
static void *rt_numbered_at(struct rt_numbered *of, uint32_t id, uint32_t max)
{
	uint32_t need, cap;
	uint8_t *grown;

	if (id < of->base || id - of->base >= max)
		return NULL;
	need = id - of->base + 1;
	if (need > of->n) {
		for (cap = of->n ? of->n : 4096; cap < need;)
			cap *= 2;
		grown = realloc(of->data, cap * of->size);
		if (!grown)
			return NULL;
		memset(grown + of->n * of->size, 0, (cap - of->n) * of->size);
		of->data = grown;
		of->n = cap;
	}
	return (uint8_t *)of->data + (need - 1) * of->size;
}

/* Is a file of that name what we see under it as well? */
static bool rt_keeper_is_ours(struct rt_keeper *k, uint32_t image, const char *file)
{
	const bool *ours = file[0] == '/' ? rt_numbered_at(&k->ours, image, RT_IMAGES_SEEN) : NULL;

	return ours && *ours;
}

/* A process may be gone by the time that its records are read. Where it saw the files that we see, ours will do. */
static int rt_keeper_read(struct rt_keeper *k, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	int err = k->config.read_source(k->config.ctx, image, pid, file, text, len);

	return err && rt_keeper_is_ours(k, image, file) ? k->config.read_source(k->config.ctx, image, k->config.own_pid, file, text, len) : err;
}

/* The source of a function, once an image and file. */
static void rt_keeper_keep(struct rt_keeper *k, uint32_t image, const char *file)
{
	size_t len = strlen(file), text_len = 0;
	uint64_t name = rt_ledmap_hash(k->config.seed, file, len), key = rt_hash_mix(name, image), seen;
	uint32_t pid = rt_account_pid(k->account, image);
	char *text = NULL;
	int64_t number;

	/* "<string>", "<frozen importlib._bootstrap>" */
	if (!len || file[0] == '<' || len > RT_LEDGER_NAME_MAX || !pid || k->kept_bytes > RT_KEEP_TOTAL || k->file.used >= RT_LEDGER_KEPT_MAX)
		return;
	if (rt_ledmap_get(&k->file, key) >= 0 || rt_ledmap_set(&k->file, key, 0))
		return;
	/* The processes of a tree import the same modules: what one has been seen to see need not be read again for the next. */
	seen = rt_keeper_is_ours(k, image, file) && k->config.file_key ? k->config.file_key(k->config.ctx, file) : 0;
	seen = seen ? rt_hash_mix(name, seen) : 0;
	number = seen ? rt_ledmap_get(&k->seen, seen) : -1;
	if (number >= 0) {
		rt_keeper_put_kept(k, image, (uint32_t)number, file, len);
		return;
	}
	if (rt_keeper_read(k, image, pid, file, &text, &text_len) || !text)
		return;
	if (text_len <= RT_KEEP_SOURCE_MAX) {
		uint32_t before = k->n_texts;

		number = rt_keeper_text(k, text, text_len);
		if (k->n_texts != before)
			k->kept_bytes += text_len;
		if (number >= 0)
			rt_keeper_put_kept(k, image, (uint32_t)number, file, len);
		if (number >= 0 && seen)
			rt_ledmap_set(&k->seen, seen, (uint32_t)number);
	}
	free(text);
}

/* ---- growth ---- */

struct rt_keeper_growth {
	struct rt_keeper *k;
	uint32_t pages;
};

/* A frame of a stack that grew. Where it is enough for a frame, it has been enough for all outside it. */
static bool rt_keeper_frame(void *ctx, uint32_t node, uint32_t code, const char *file)
{
	struct rt_keeper_growth *g = ctx;
	struct rt_keeper *k = g->k;
	uint8_t *grown = rt_numbered_at(&k->grown, node, RT_NODES_SEEN);
	const uint32_t *image;

	if (!grown || *grown == RT_KEPT)
		return false;
	if (*grown + g->pages < k->keep_pages) {
		*grown = (uint8_t)(*grown + g->pages);
		return true;
	}
	*grown = RT_KEPT;
	image = file ? rt_numbered_at(&k->image, code, RT_CODES_MAX) : NULL;
	if (image)
		rt_keeper_keep(k, *image, file);
	return true;
}

static void rt_keeper_run(struct rt_keeper *k, const struct rt_rec_run *run)
{
	uint64_t pages = (uint64_t)run->gained[0] + run->gained[1] + run->gained[2];
	struct rt_keeper_growth growth = {.k = k, .pages = pages < k->keep_pages ? (uint32_t)pages : k->keep_pages};

	if (run->node && pages)
		rt_account_walk(k->account, run->node, rt_keeper_frame, &growth);
}

/* ---- build ids ---- */

static void rt_keeper_build(struct rt_keeper *k, uint32_t pid, const char *path)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t key = rt_ledmap_hash(k->config.seed, path, strlen(path));
	uint8_t id[64];
	char hex[2 * sizeof(id) + 1];
	size_t len;

	if (!pid || !k->config.build_id || path[0] != '/' || k->build.used >= RT_BUILDS_MAX || rt_ledmap_get(&k->build, key) >= 0 || rt_ledmap_set(&k->build, key, 0))
		return;
	len = k->config.build_id(k->config.ctx, pid, path, id);
	if (!len || len > sizeof(id))
		return;
	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[id[i] >> 4];
		hex[2 * i + 1] = digits[id[i] & 15];
	}
	hex[2 * len] = '\0';
	/* A path that is no UTF-8 is left out: there is no library of that name to look for elsewhere. */
	json_array_append_new(k->builds, json_pack("{s:s, s:s}", "path", path, "build_id", hex));
}

/* Components come innermost first, each with a NUL behind it. */
static void rt_keeper_map(struct rt_keeper *k, const uint8_t *record, size_t size)
{
	char path[RT_MAP_NAME_MAX + 2];
	size_t at = sizeof(path) - 1;
	const char *part;
	struct rt_rec_map rec;

	if (size < sizeof(rec))
		return;
	memcpy(&rec, record, sizeof(rec));
	if (rec.kind != RT_MAP_FILE || rec.flags & RT_MAP_CUT || rec.len > RT_MAP_NAME_MAX || rec.len > size - sizeof(rec))
		return;
	path[at] = '\0';
	part = (const char *)record + sizeof(rec);
	for (size_t left = rec.len; left;) {
		size_t len = strnlen(part, left);

		if (len + 1 > at)
			return;
		at -= len;
		memcpy(path + at, part, len);
		path[--at] = '/';
		left -= len < left ? len + 1 : len;
		part += len + 1;
	}
	rt_keeper_build(k, rt_account_pid(k->account, rec.h.image), path + at);
}

static void rt_keeper_exe(struct rt_keeper *k, const uint8_t *record, size_t size)
{
	struct rt_rec_meta rec;
	char path[4096];

	if (size < sizeof(rec))
		return;
	memcpy(&rec, record, sizeof(rec));
	if (rec.key != RT_META_EXE || rec.len >= sizeof(path) || rec.len > size - sizeof(rec))
		return;
	memcpy(path, record + sizeof(rec), rec.len);
	path[rec.len] = '\0';
	rt_keeper_build(k, rt_account_pid(k->account, rec.h.image), path);
}

/* ---- records ---- */

/* One that is gone already is as its parent, or as the program that it was before. */
static void rt_keeper_proc(struct rt_keeper *k, const struct rt_rec_proc *rec)
{
	const bool *before = rt_numbered_at(&k->ours, rec->prev_image ? rec->prev_image : rec->parent_image, RT_IMAGES_SEEN);
	bool was = before && *before, *ours = rt_numbered_at(&k->ours, rec->h.image, RT_IMAGES_SEEN);
	int same = ours && k->config.same_root ? k->config.same_root(k->config.ctx, rec->pid) : 0;

	if (ours)
		*ours = same < 0 ? was : same;
}

static void rt_keeper_code(struct rt_keeper *k, const uint8_t *record, size_t size)
{
	struct rt_rec_code rec;
	uint32_t *image;

	if (size < sizeof(rec))
		return;
	memcpy(&rec, record, sizeof(rec));
	image = rt_numbered_at(&k->image, rec.id, RT_CODES_MAX);
	if (image)
		*image = rec.h.image;
}

void rt_keeper_record(struct rt_keeper *k, const void *record, size_t size)
{
	struct rt_rec_proc proc;
	struct rt_rec_run run;
	struct rt_hdr h;

	if (!k->account || size < sizeof(h))
		return;
	memcpy(&h, record, sizeof(h));
	switch (h.type) {
	case RT_REC_PROC:
		if (size >= sizeof(proc)) {
			memcpy(&proc, record, sizeof(proc));
			rt_keeper_proc(k, &proc);
		}
		break;
	case RT_REC_CODE:
		rt_keeper_code(k, record, size);
		break;
	case RT_REC_RUN:
		if (size >= sizeof(run)) {
			memcpy(&run, record, sizeof(run));
			rt_keeper_run(k, &run);
		}
		break;
	case RT_REC_MAP:
		rt_keeper_map(k, record, size);
		break;
	case RT_REC_META:
		rt_keeper_exe(k, record, size);
		break;
	}
}

static void rt_numbered_forget(struct rt_numbered *of, uint32_t id)
{
	uint32_t drop = id > of->base ? id - of->base : 0;
	uint8_t *data = of->data;

	if (!drop)
		return;
	of->base = id;
	if (drop > of->n)
		drop = of->n;
	if (!drop)
		return;
	memmove(data, data + drop * of->size, (of->n - drop) * of->size);
	memset(data + (of->n - drop) * of->size, 0, drop * of->size);
}

void rt_keeper_forget(struct rt_keeper *k, uint32_t node, uint32_t code)
{
	rt_numbered_forget(&k->grown, node);
	rt_numbered_forget(&k->image, code);
}
