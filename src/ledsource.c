/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "ledsource.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"
#include "ledmap.h"
#include "ledpack.h"

/* Where a text lies. */
struct rt_ledtext {
	struct rt_ledblock block;
	uint32_t at, len; /* in the block, decompressed */
};

/* A name that an image knows a text by. */
struct rt_ledname {
	uint32_t next; /* with the same hash: index + 1 */
	uint32_t image, text;
	uint32_t len;
	bool unreadable;
	char *file;
};

/* Names of one kind, by hash of image and name. */
struct rt_lednames {
	struct rt_ledname *name;
	uint32_t n, cap;
	struct rt_ledmap first; /* hash -> index */
	size_t bytes;
};

struct rt_ledsource {
	struct rt_ledger *ledger;
	struct rt_ledtext *text;
	uint32_t n_texts, cap_texts;
	struct rt_lednames said, kept;
	uint64_t read; /* bytes */
};

struct rt_ledsource *rt_ledsource_new(struct rt_ledger *ledger)
{
	struct rt_ledsource *s = calloc(1, sizeof(*s));

	if (s)
		s->ledger = ledger;
	return s;
}

static void rt_lednames_free(struct rt_lednames *names)
{
	for (uint32_t i = 0; i < names->n; i++)
		free(names->name[i].file);
	free(names->name);
	rt_ledmap_free(&names->first);
}

void rt_ledsource_free(struct rt_ledsource *s)
{
	if (!s)
		return;
	rt_lednames_free(&s->said);
	rt_lednames_free(&s->kept);
	free(s->text);
	free(s);
}

/* ---- names ---- */

static uint64_t rt_lednames_hash(uint32_t image, const char *file, size_t len)
{
	return rt_hash_mix(rt_ledmap_hash(0, file, len), image);
}

/* The file is hostile, and so are hashes: names are compared, and a chain of more than this is not gone through. */
#define RT_LEDNAMES_CHAIN 64

static struct rt_ledname *rt_lednames_find(const struct rt_lednames *names, uint32_t image, const char *file, size_t len)
{
	int64_t first = rt_ledmap_get(&names->first, rt_lednames_hash(image, file, len));
	uint32_t at = (uint32_t)(first + 1);

	for (int hops = 0; at && hops < RT_LEDNAMES_CHAIN; hops++) {
		struct rt_ledname *name = &names->name[at - 1];

		if (name->image == image && name->len == len && !memcmp(name->file, file, len))
			return name;
		at = name->next;
	}
	return NULL;
}

/* A new name. Returns 0, -E2BIG (what comes is not kept) or -ENOMEM. */
static int rt_lednames_add(struct rt_lednames *names, const struct rt_ledname *like)
{
	uint64_t key = rt_lednames_hash(like->image, like->file, like->len);
	struct rt_ledname *name;

	if (names->n >= RT_LEDGER_KEPT_MAX || names->bytes + like->len > RT_LEDGER_NAMES_MAX)
		return -E2BIG;
	if (names->n == names->cap) {
		uint32_t cap = names->cap ? names->cap * 2 : 256;

		name = realloc(names->name, cap * sizeof(*name));
		if (!name)
			return -ENOMEM;
		names->name = name;
		names->cap = cap;
	}
	name = &names->name[names->n];
	*name = *like;
	name->next = (uint32_t)(rt_ledmap_get(&names->first, key) + 1);
	name->file = malloc(like->len + 1);
	if (!name->file || rt_ledmap_set(&names->first, key, names->n)) {
		free(name->file);
		return -ENOMEM;
	}
	memcpy(name->file, like->file, like->len);
	name->file[like->len] = '\0';
	names->bytes += like->len;
	names->n++;
	return 0;
}

/* ---- the index ---- */

static int rt_ledsource_add_text(struct rt_ledsource *s, const struct rt_ledblock *block, uint32_t at, uint32_t len)
{
	if (s->n_texts >= RT_LEDGER_TEXTS_MAX)
		return -EINVAL;
	if (s->n_texts == s->cap_texts) {
		uint32_t cap = s->cap_texts ? s->cap_texts * 2 : 256;
		struct rt_ledtext *text = realloc(s->text, cap * sizeof(*text));

		if (!text)
			return -ENOMEM;
		s->text = text;
		s->cap_texts = cap;
	}
	s->text[s->n_texts++] = (struct rt_ledtext){*block, at, len};
	return 0;
}

static int rt_ledsource_index_texts(struct rt_ledsource *s, const struct rt_ledblock *block, const uint8_t *raw)
{
	struct rt_unpack from = {.at = raw, .end = raw + block->raw};

	while (from.at < from.end) {
		uint64_t len = rt_unpack_upto(&from, block->raw);
		const uint8_t *text = rt_unpack_bytes(&from, len);
		int err = text ? rt_ledsource_add_text(s, block, (uint32_t)(text - raw), (uint32_t)len) : -EINVAL;

		if (err)
			return err;
	}
	return 0;
}

static int rt_ledsource_index_kept(struct rt_ledsource *s, const struct rt_ledblock *block, const uint8_t *raw)
{
	struct rt_unpack from = {.at = raw, .end = raw + block->raw};

	while (from.at < from.end) {
		struct rt_ledname name = {0};
		const uint8_t *file;
		int err;

		name.image = (uint32_t)rt_unpack_upto(&from, UINT32_MAX);
		name.text = (uint32_t)rt_unpack_upto(&from, RT_LEDGER_TEXTS_MAX);
		name.len = (uint32_t)rt_unpack_upto(&from, RT_LEDGER_NAME_MAX);
		file = rt_unpack_bytes(&from, name.len);
		if (!file || name.text >= s->n_texts)
			return -EINVAL;
		name.file = (char *)(uintptr_t)file;
		err = rt_lednames_find(&s->kept, name.image, name.file, name.len) ? 0 : rt_lednames_add(&s->kept, &name);
		if (err == -ENOMEM)
			return err;
	}
	return 0;
}

int rt_ledsource_index(struct rt_ledsource *s, const struct rt_ledblock *block)
{
	const uint8_t *raw = rt_ledger_read(s->ledger, block);

	if (!raw)
		return -EINVAL;
	return block->type == RT_BLOCK_TEXTS ? rt_ledsource_index_texts(s, block, raw) : rt_ledsource_index_kept(s, block, raw);
}

int rt_ledsource_said(struct rt_ledsource *s, uint32_t image, const char *file, size_t len, uint64_t text)
{
	struct rt_ledname *known = rt_lednames_find(&s->said, image, file, len);
	struct rt_ledname name = {
		.image = image, .text = (uint32_t)(text - 1), .len = (uint32_t)len, .unreadable = !text || text > s->n_texts, .file = (char *)(uintptr_t)file};

	if (!known)
		return rt_lednames_add(&s->said, &name) == -ENOMEM ? -ENOMEM : 0;
	known->text = name.text;
	known->unreadable = name.unreadable;
	return 0;
}

int rt_ledsource_read(struct rt_ledsource *s, uint32_t image, const char *file, char **text, size_t *len)
{
	size_t name_len = strlen(file);
	const struct rt_ledname *name = rt_lednames_find(&s->said, image, file, name_len);
	const struct rt_ledtext *of;
	const uint8_t *raw;
	char *copy;

	if (name && name->unreadable)
		return -ENOENT;
	if (!name)
		name = rt_lednames_find(&s->kept, image, file, name_len);
	if (!name || name->text >= s->n_texts)
		return -ENODATA;
	of = &s->text[name->text];
	if (of->len > RT_LEDGER_READ_MAX - s->read)
		return -ENODATA;
	s->read += of->len;
	raw = rt_ledger_read(s->ledger, &of->block);
	if (!raw)
		return -EIO;
	copy = malloc((size_t)of->len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, raw + of->at, of->len);
	copy[of->len] = '\0';
	*text = copy;
	*len = of->len;
	return 0;
}
