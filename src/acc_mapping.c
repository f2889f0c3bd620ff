/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_mapping.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RT_PATH_BYTES 4096u

static const struct rt_mapping_fixed {
	uint32_t id;
	enum rt_map_kind kind;
	const char *name;
} rt_mapping_fixed[] = {
	{ RT_MAP_ID_UNKNOWN, RT_MAP_UNKNOWN, "<unknown>" },
	{ RT_MAP_ID_HEAP, RT_MAP_HEAP, "[heap]" },
	{ RT_MAP_ID_STACK, RT_MAP_STACK, "[stack]" },
	{ RT_MAP_ID_ANON, RT_MAP_ANON, "[anon]" },
	{ RT_MAP_ID_SHARED, RT_MAP_SHMEM, "/dev/zero (deleted)" },
	{ RT_MAP_ID_FILES, RT_MAP_FILE, "<other files>" },
	{ RT_MAP_ID_SHMEMS, RT_MAP_SHMEM, "<other shared files>" },
};

/* The mapping of this name and kind, made if there is none. The reference to `name` is taken over, also on failure. */
static struct rt_mapping *rt_mapping_intern(struct rt_mappings *mappings, struct rt_text *name, enum rt_map_kind kind)
{
	uint32_t hash = name ? (uint32_t)rt_hash_mix(name->hash, kind) : 0;
	struct rt_mapping *first = name ? rt_map_get(&mappings->hashes, hash) : NULL, *mapping;

	for (mapping = first; mapping; mapping = mapping->next) {
		if (mapping->name == name && mapping->kind == kind) {
			rt_text_put(mappings->texts, name);
			return mapping;
		}
	}
	mapping = name ? malloc(sizeof(*mapping)) : NULL;
	if (mapping) {
		*mapping = (struct rt_mapping){ .next = first, .name = name, .kind = kind };
		if (!rt_map_set(&mappings->hashes, hash, mapping))
			return mapping;
	}
	free(mapping);
	rt_text_put(mappings->texts, name);
	return NULL;
}

int rt_mappings_init(struct rt_mappings *mappings, struct rt_texts *texts)
{
	mappings->texts = texts;
	for (size_t i = 0; i < sizeof(rt_mapping_fixed) / sizeof(rt_mapping_fixed[0]); i++) {
		const struct rt_mapping_fixed *fixed = &rt_mapping_fixed[i];
		struct rt_text *name = rt_text_get(texts, fixed->name, strlen(fixed->name));

		mappings->fixed[fixed->id] = rt_mapping_intern(mappings, name, fixed->kind);
		if (!mappings->fixed[fixed->id])
			return -ENOMEM;
	}
	return 0;
}

/* "c\0b\0a\0", innermost first, becomes "/a/b/c". Returns the length. */
static size_t rt_mapping_path(char out[RT_PATH_BYTES], const uint8_t *parts, size_t len, bool cut)
{
	size_t at = 0, end = len;

	if (len && !parts[len - 1])
		end--;
	if (cut) {
		memcpy(out, "...", 3);
		at = 3;
	}
	while (end > 0) {
		size_t begin = end;

		while (begin > 0 && parts[begin - 1])
			begin--;
		if (begin < end && at + 1 < RT_PATH_BYTES) {
			out[at++] = '/';
			at += rt_text_from_bytes(out + at, RT_PATH_BYTES - at, parts + begin, end - begin);
		}
		end = begin ? begin - 1 : 0;
	}
	return at;
}

int rt_mappings_add(struct rt_mappings *mappings, const uint8_t *record, size_t size)
{
	struct rt_mapping *mapping;
	char path[RT_PATH_BYTES];
	struct rt_rec_map rec;
	struct rt_text *name;
	size_t len;

	memcpy(&rec, record, sizeof(rec));
	if (rt_map_get(&mappings->ids, rec.id))
		return -EEXIST;
	if (mappings->ids.used >= RT_MAPPINGS_MAX)
		return -ENOSPC;
	len = rec.len < size - sizeof(rec) ? rec.len : size - sizeof(rec);
	len = rt_mapping_path(path, record + sizeof(rec), len < RT_MAP_NAME_MAX ? len : RT_MAP_NAME_MAX, rec.flags & RT_MAP_CUT);
	name = rt_text_get(mappings->texts, len ? path : "?", len ? len : 1);
	mapping = rt_mapping_intern(mappings, name, rec.kind);
	return mapping ? rt_map_set(&mappings->ids, rec.id, mapping) : -ENOMEM;
}

const struct rt_mapping *rt_mappings_get(const struct rt_mappings *mappings, uint32_t id)
{
	const struct rt_mapping *mapping = id < RT_MAP_ID_FIRST ? mappings->fixed[id] : rt_map_get(&mappings->ids, id);

	return mapping ? mapping : mappings->fixed[RT_MAP_ID_UNKNOWN];
}

void rt_mappings_free(struct rt_mappings *mappings)
{
	for (size_t i = 0; i < mappings->hashes.cap; i++) {
		struct rt_mapping *mapping = mappings->hashes.slot[i].value, *next;

		for (; mapping; mapping = next) {
			next = mapping->next;
			rt_text_put(mappings->texts, mapping->name);
			free(mapping);
		}
	}
	rt_map_free(&mappings->hashes);
	rt_map_free(&mappings->ids);
}
