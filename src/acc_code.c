/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"
#include "pyline.h"

/* Latin-1 doubles and a NUL trebles in UTF-8. */
#define RT_NAME_BYTES (3 * RT_FILENAME_MAX + 1)

struct rt_code *rt_codes_find(const struct rt_codes *codes, uint32_t id)
{
	return id >= codes->base && id - codes->base < codes->n ? codes->slot[id - codes->base] : NULL;
}

int rt_code_line(const struct rt_code *code, uint32_t instr)
{
	int start = 0, end = 0;

	if (!code->table || rt_pyline_find(rt_pyline_format(code->pyversion), code->table, code->table_len, code->firstlineno, instr, &start, &end))
		return 0;
	return start;
}

static void rt_code_put(struct rt_codes *codes, struct rt_code *code)
{
	struct rt_code **at;

	if (!code || --code->refs)
		return;
	for (at = &codes->bucket[code->hash & (codes->buckets - 1)]; *at != code; at = &(*at)->next)
		;
	*at = code->next;
	codes->contents--;
	rt_text_put(codes->texts, code->qualname);
	rt_text_put(codes->texts, code->file);
	rt_match_free(code->match);
	free(code->table);
	free(code);
}

static void rt_codes_rehash(struct rt_codes *codes)
{
	size_t cap = codes->buckets ? codes->buckets * 2 : 64;
	struct rt_code **bucket = calloc(cap, sizeof(*bucket));

	if (!bucket)
		return;
	for (size_t i = 0; i < codes->buckets; i++) {
		struct rt_code *code = codes->bucket[i], *next;

		for (; code; code = next) {
			next = code->next;
			code->next = bucket[code->hash & (cap - 1)];
			bucket[code->hash & (cap - 1)] = code;
		}
	}
	free(codes->bucket);
	codes->bucket = bucket;
	codes->buckets = cap;
}

/* Makes room for this number. */
static int rt_codes_reach(struct rt_codes *codes, uint32_t id)
{
	uint32_t need, cap = codes->cap ? codes->cap : 256;
	struct rt_code **slot;

	if (id < codes->base)
		return -EINVAL;
	if (id - codes->base >= RT_CODES_MAX)
		return -ENOSPC;
	need = id - codes->base + 1;
	while (cap < need)
		cap *= 2;
	if (cap > codes->cap) {
		slot = realloc(codes->slot, cap * sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		codes->slot = slot;
		codes->cap = cap;
	}
	for (; codes->n < need; codes->n++)
		codes->slot[codes->n] = NULL;
	return 0;
}

/* What a record says, before it is known whether it is new. `like` borrows its table from the record. */
struct rt_code_key {
	struct rt_code like;
	const uint8_t *table;
	bool source; /* its phases depend on the source */
};

/* Code objects have a qualified name from 3.11 on. */
static bool rt_code_is_plain(const struct rt_code *code)
{
	return code->pyversion < 0x030b;
}

/* Of a table of pairs that was cut the last one is halved, which is how rt_pyline_find is told. */
static uint32_t rt_code_table_len(const struct rt_rec_code *rec)
{
	bool cut = rec->flags & RT_CODE_TABLE_CUT && rt_pyline_format(rec->pyversion) != RT_LINES_LOCATIONS;

	return rec->table_len - (cut && rec->table_len && rec->table_len % 2 == 0);
}

/* A table up to 3.9 can be empty, which says that all is on the first line, as does a pair of zeros. */
static void rt_code_table(const struct rt_rec_code *rec, struct rt_code_key *key)
{
	static const uint8_t nothing[2];

	key->like.table_len = rt_code_table_len(rec);
	if (rec->table_len || rec->flags & RT_CODE_TABLE_ABSENT || rt_pyline_format(rec->pyversion) != RT_LINES_LNOTAB)
		return;
	key->table = nothing;
	key->like.table_len = sizeof(nothing);
}

static void rt_code_hash(struct rt_code_key *key)
{
	struct rt_code *like = &key->like;
	uint64_t hash = rt_hash_mix(rt_hash_mix(like->qualname->hash, like->file->hash), (uint32_t)like->firstlineno);

	like->id = (uint32_t)hash;
	hash = rt_hash_mix(hash, like->image);
	for (uint32_t i = 0; i < like->table_len; i++)
		hash = rt_hash_mix(hash, key->table[i]);
	like->hash = hash;
}

static struct rt_code *rt_code_known(const struct rt_codes *codes, const struct rt_code_key *key)
{
	const struct rt_code *like = &key->like;
	struct rt_code *code = codes->buckets ? codes->bucket[like->hash & (codes->buckets - 1)] : NULL;

	for (; code; code = code->next) {
		if (code->hash == like->hash && code->qualname == like->qualname && code->file == like->file &&
		    code->firstlineno == like->firstlineno && code->image == like->image &&
		    code->pyversion == like->pyversion && code->table_len == like->table_len &&
		    (!like->table_len || !memcmp(code->table, key->table, like->table_len)))
			return code;
	}
	return NULL;
}

static struct rt_code *rt_code_new(struct rt_codes *codes, const struct rt_code_key *key, uint32_t image, uint32_t pid)
{
	struct rt_match_of of;
	struct rt_code *code;

	if (codes->contents >= codes->buckets)
		rt_codes_rehash(codes);
	code = codes->buckets ? malloc(sizeof(*code)) : NULL;
	if (!code)
		return NULL;
	*code = key->like;
	if (code->table_len) {
		code->table = malloc(code->table_len);
		if (!code->table) {
			free(code);
			return NULL;
		}
		memcpy(code->table, key->table, code->table_len);
	}
	of = (struct rt_match_of){
		.image = image,
		.pid = pid,
		.qualname = code->qualname,
		.file = code->file,
		.firstlineno = code->firstlineno,
		.plain = rt_code_is_plain(code),
	};
	if (rt_matcher_find(codes->matcher, &of, &code->match)) {
		free(code->table);
		free(code);
		return NULL;
	}
	code->qualname->refs++;
	code->file->refs++;
	code->next = codes->bucket[code->hash & (codes->buckets - 1)];
	codes->bucket[code->hash & (codes->buckets - 1)] = code;
	codes->contents++;
	return code;
}

static struct rt_text *rt_code_text(struct rt_codes *codes, const uint8_t *at, size_t len, unsigned int width)
{
	char text[RT_NAME_BYTES];

	return rt_text_get(codes->texts, text, rt_text_from_str(text, sizeof(text), at, len, width));
}

/* The content with this key, one reference more. */
static struct rt_code *rt_code_get(struct rt_codes *codes, const struct rt_rec_code *rec, const uint8_t *tail,
				   uint32_t pid)
{
	struct rt_code_key key = { .table = tail + rec->qualname_len + rec->file_len };
	struct rt_code *code = NULL, *like = &key.like;

	like->firstlineno = rec->firstlineno;
	like->pyversion = rec->pyversion;
	like->qualname = rt_code_text(codes, tail, rec->qualname_len, rec->qualname_width);
	like->file = rt_code_text(codes, tail + rec->qualname_len, rec->file_len, rec->file_width);
	if (like->qualname && like->file) {
		key.source = rt_matcher_wants_source(codes->matcher, like->qualname->s, like->file->s, rt_code_is_plain(like));
		if (key.source)
			like->image = rec->h.image;
		if (key.source || codes->want_tables)
			rt_code_table(rec, &key);
		rt_code_hash(&key);
		code = rt_code_known(codes, &key);
		if (!code)
			code = rt_code_new(codes, &key, rec->h.image, pid);
	}
	if (code)
		code->refs++;
	rt_text_put(codes->texts, like->qualname);
	rt_text_put(codes->texts, like->file);
	return code;
}

int rt_codes_add(struct rt_codes *codes, const uint8_t *record, size_t size, uint32_t pid)
{
	struct rt_rec_code rec;
	struct rt_code *code;
	size_t tail_len;
	int err;

	if (size < sizeof(rec))
		return -EINVAL;
	memcpy(&rec, record, sizeof(rec));
	tail_len = (size_t)rec.qualname_len + rec.file_len + rec.table_len;
	if (!rec.id || rec.id >= RT_CODE_UNKNOWN || rec.qualname_len > RT_QUALNAME_MAX ||
	    rec.file_len > RT_FILENAME_MAX || rec.table_len > RT_LINETABLE_MAX || tail_len > size - sizeof(rec))
		return -EINVAL;
	if (rt_codes_find(codes, rec.id))
		return -EEXIST;
	err = rt_codes_reach(codes, rec.id);
	if (err)
		return err;
	code = rt_code_get(codes, &rec, record + sizeof(rec), pid);
	if (!code)
		return -ENOMEM;
	codes->slot[rec.id - codes->base] = code;
	codes->count++;
	return 0;
}

void rt_codes_forget(struct rt_codes *codes, uint32_t id)
{
	uint32_t drop;

	if (id <= codes->base)
		return;
	drop = id - codes->base < codes->n ? id - codes->base : codes->n;
	for (uint32_t i = 0; i < drop; i++) {
		codes->count -= codes->slot[i] != NULL;
		rt_code_put(codes, codes->slot[i]);
	}
	if (codes->n > drop)
		memmove(codes->slot, codes->slot + drop, (codes->n - drop) * sizeof(*codes->slot));
	codes->n -= drop;
	codes->base = id;
}

void rt_codes_free(struct rt_codes *codes)
{
	for (uint32_t i = 0; i < codes->n; i++)
		rt_code_put(codes, codes->slot[i]);
	free(codes->slot);
	free(codes->bucket);
	codes->slot = NULL;
	codes->bucket = NULL;
	codes->n = codes->cap = 0;
}
