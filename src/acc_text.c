/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_text.h"

#include <stdlib.h>
#include <string.h>

#define RT_REPLACEMENT 0xfffdu

static uint32_t rt_text_hash(const char *s, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)s[i]) * 16777619u;
	return hash;
}

static void rt_texts_grow(struct rt_texts *texts)
{
	size_t cap = texts->cap ? texts->cap * 2 : 64;
	struct rt_text **bucket = calloc(cap, sizeof(*bucket));

	if (!bucket)
		return; /* longer chains, nothing worse */
	for (size_t i = 0; i < texts->cap; i++) {
		struct rt_text *text = texts->bucket[i], *next;

		for (; text; text = next) {
			next = text->next;
			text->next = bucket[text->hash & (cap - 1)];
			bucket[text->hash & (cap - 1)] = text;
		}
	}
	free(texts->bucket);
	texts->bucket = bucket;
	texts->cap = cap;
}

struct rt_text *rt_text_get(struct rt_texts *texts, const char *s, size_t len)
{
	uint32_t hash = rt_text_hash(s, len);
	struct rt_text *text;

	if (texts->used >= texts->cap)
		rt_texts_grow(texts);
	if (!texts->cap || len > UINT32_MAX - 1)
		return NULL;
	for (text = texts->bucket[hash & (texts->cap - 1)]; text; text = text->next) {
		if (text->hash == hash && text->len == len && !memcmp(text->s, s, len)) {
			text->refs++;
			return text;
		}
	}
	text = malloc(sizeof(*text) + len + 1);
	if (!text)
		return NULL;
	*text = (struct rt_text){ .hash = hash, .refs = 1, .len = (uint32_t)len };
	memcpy(text->s, s, len);
	text->s[len] = '\0';
	text->next = texts->bucket[hash & (texts->cap - 1)];
	texts->bucket[hash & (texts->cap - 1)] = text;
	texts->used++;
	return text;
}

void rt_text_put(struct rt_texts *texts, struct rt_text *text)
{
	while (text && !--text->refs) {
		struct rt_text **at = &texts->bucket[text->hash & (texts->cap - 1)];
		/* A file that is no module's is its own module, without a reference of its own to itself. */
		struct rt_text *module = text->module == text ? NULL : text->module;

		while (*at != text)
			at = &(*at)->next;
		*at = text->next;
		texts->used--;
		free(text);
		text = module;
	}
}

void rt_texts_free(struct rt_texts *texts)
{
	for (size_t i = 0; i < texts->cap; i++) {
		struct rt_text *text = texts->bucket[i], *next;

		for (; text; text = next) {
			next = text->next;
			free(text);
		}
	}
	free(texts->bucket);
	*texts = (struct rt_texts){ 0 };
}

/* Appends one character. Returns the new length, or the old one if it does not fit. */
static size_t rt_text_append(char *out, size_t cap, size_t at, uint32_t c)
{
	uint8_t b[RT_TEXT_CHAR];
	size_t n;

	if (!c || c > 0x10ffff)
		c = RT_REPLACEMENT;
	if (c >= 0xd800 && c < 0xe000) {
		memcpy(b, "\\u", 2);
		for (n = 2; n < RT_TEXT_CHAR; n++)
			b[n] = (uint8_t)"0123456789abcdef"[c >> (RT_TEXT_CHAR - 1 - n) * 4 & 15];
	} else if (c < 0x80) {
		b[0] = (uint8_t)c;
		n = 1;
	} else if (c < 0x800) {
		b[0] = (uint8_t)(0xc0 | c >> 6);
		b[1] = (uint8_t)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		b[0] = (uint8_t)(0xe0 | c >> 12);
		b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		b[0] = (uint8_t)(0xf0 | c >> 18);
		b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[3] = (uint8_t)(0x80 | (c & 0x3f));
		n = 4;
	}
	if (n >= cap - at)
		return at;
	memcpy(out + at, b, n);
	return at + n;
}

size_t rt_text_from_str(char *out, size_t cap, const uint8_t *in, size_t len, unsigned int width)
{
	size_t at = 0;

	if (width != 1 && width != 2 && width != 4)
		len = 0;
	for (size_t i = 0; i + width <= len; i += width) {
		uint32_t c = in[i];
		size_t next;

		if (width == 2) {
			uint16_t u;

			memcpy(&u, in + i, sizeof(u));
			c = u;
		} else if (width == 4) {
			memcpy(&c, in + i, sizeof(c));
		}
		next = rt_text_append(out, cap, at, c);
		if (next == at)
			break;
		at = next;
	}
	out[at] = '\0';
	return at;
}

/* Length of the valid sequence at `in`, 0 if there is none. */
static size_t rt_utf8_valid(const uint8_t *in, size_t len, uint32_t *c)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = in[0] < 0x80 ? 1 : in[0] < 0xc2 ? 0 : in[0] < 0xe0 ? 2 : in[0] < 0xf0 ? 3 : in[0] < 0xf5 ? 4 : 0;

	if (!n || n > len)
		return 0;
	*c = n == 1 ? in[0] : in[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((in[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (in[i] & 0x3f);
	}
	return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : n;
}

size_t rt_text_from_bytes(char *out, size_t cap, const uint8_t *in, size_t len)
{
	size_t at = 0, i = 0;

	while (i < len && in[i]) {
		uint32_t c;
		size_t n = rt_utf8_valid(in + i, len - i, &c);
		size_t next = rt_text_append(out, cap, at, n ? c : RT_REPLACEMENT);

		if (next == at)
			break;
		at = next;
		i += n ? n : 1;
	}
	out[at] = '\0';
	return at;
}

static int rt_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool rt_text_to_path(char *text)
{
	bool found = false;
	char *out = text;

	while (*text) {
		if (!strncmp(text, "\\udc", 4) && rt_hex_value(text[4]) >= 8 && rt_hex_value(text[5]) >= 0) {
			*out++ = (char)(rt_hex_value(text[4]) << 4 | rt_hex_value(text[5]));
			text += RT_TEXT_CHAR;
			found = true;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
	return found;
}
