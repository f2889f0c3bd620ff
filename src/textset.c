/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "textset.h"

#include <stdlib.h>
#include <string.h>

uint64_t rt_hash(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *byte = data;

	hash ^= 0xcbf29ce484222325ull;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3ull;
	return hash ^ hash >> 29;
}

static int rt_textset_grow(struct rt_textset *set)
{
	size_t slots = set->slots ? set->slots * 2 : 1024;
	uint32_t *slot = calloc(slots, sizeof(*slot));
	char **text;

	if (!slot)
		return -1;
	text = realloc(set->text, slots / 2 * sizeof(*text));
	if (!text) {
		free(slot);
		return -1;
	}
	set->text = text;
	set->cap = slots / 2;
	for (size_t i = 0; i < set->n; i++) {
		size_t at = rt_hash(0, text[i], strlen(text[i])) & (slots - 1);

		while (slot[at])
			at = (at + 1) & (slots - 1);
		slot[at] = (uint32_t)i + 1;
	}
	free(set->slot);
	set->slot = slot;
	set->slots = slots;
	return 0;
}

uint32_t rt_textset_put(struct rt_textset *set, const char *text, size_t max_bytes)
{
	size_t len = strnlen(text, max_bytes + 1), at;

	if (len > max_bytes) {
		len = max_bytes;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	if (set->n == set->cap && (set->n >= UINT32_MAX - 1 || rt_textset_grow(set)))
		return UINT32_MAX;
	for (at = rt_hash(0, text, len) & (set->slots - 1); set->slot[at]; at = (at + 1) & (set->slots - 1)) {
		const char *found = set->text[set->slot[at] - 1];

		if (!strncmp(found, text, len) && !found[len])
			return set->slot[at] - 1;
	}
	set->text[set->n] = strndup(text, len);
	if (!set->text[set->n])
		return UINT32_MAX;
	set->slot[at] = (uint32_t)++set->n;
	set->bytes += len + 1;
	return (uint32_t)set->n - 1;
}

void rt_textset_free(struct rt_textset *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->text[i]);
	free(set->text);
	free(set->slot);
	*set = (struct rt_textset){0};
}
