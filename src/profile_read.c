/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* asprintf */
#include "profile_read.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "units.h"

#define RT_ENTRIES_MAX 4096u /* of one list: phases, functions, ... */
#define RT_QUOTE_MAX 60	     /* characters of the file that a message repeats */

/*
 * The file is read event by event and never kept as a tree: whatever does not have the shape of a profile is refused at
 * its first event, so that nesting is as deep as a profile's and memory no more than the file's size. Aliases, which
 * could make a small file large, are refused as well.
 */

void *rt_key_field(const struct rt_key *key, void *object)
{
	return (char *)object + key->offset;
}

int rt_refuse(struct rt_reader *r, size_t line, const char *format, ...)
{
	char *reason = NULL;
	va_list args;

	if (r->error)
		return -EINVAL;
	va_start(args, format);
	if (vasprintf(&reason, format, args) < 0)
		reason = NULL;
	va_end(args);
	if (reason && asprintf(&r->error, "%s:%zu: %s", r->path, line, reason) < 0)
		r->error = NULL;
	free(reason);
	return -EINVAL;
}

size_t rt_line(const struct rt_reader *r)
{
	return r->event.start_mark.line + 1;
}

int rt_refuse_memory(struct rt_reader *r)
{
	rt_refuse(r, rt_line(r), "out of memory");
	return -ENOMEM;
}

char *rt_quote(const char *text)
{
	return rt_text_escape(text, RT_QUOTE_MAX);
}

static int rt_refuse_syntax(struct rt_reader *r)
{
	const yaml_parser_t *p = &r->parser;
	size_t line = p->problem_mark.line + 1;

	if (p->error == YAML_MEMORY_ERROR)
		return rt_refuse_memory(r);
	if (p->error == YAML_READER_ERROR) { /* which knows only the byte */
		line = 1;
		for (size_t i = 0; i < r->len && i < p->problem_offset; i++)
			line += r->text[i] == '\n';
		return rt_refuse(r, line, "%s: a profile is UTF-8 text", p->problem);
	}
	return rt_refuse(r, line, "not valid YAML: %s%s%s", p->problem ? p->problem : "unknown error",
			 p->context ? ", " : "", p->context ? p->context : "");
}

int rt_next(struct rt_reader *r)
{
	const yaml_event_t *e = &r->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;

	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->parser, &r->event))
		return rt_refuse_syntax(r);
	if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	}
	if (anchor || e->type == YAML_ALIAS_EVENT)
		return rt_refuse(r, rt_line(r),
				 "anchors (&name) and aliases (*name) have no place in a profile: write the value out");
	if (tag)
		return rt_refuse(r, rt_line(r), "tags (!name) have no place in a profile: leave the tag out");
	return 0;
}

/* ---- scalars ---- */

static bool rt_is_number(const char *s)
{
	size_t digits, n;

	s += *s == '-' || *s == '+';
	if (!strcasecmp(s, ".inf") || !strcasecmp(s, ".nan"))
		return true;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o') && s[2])
		return !s[2 + strspn(s + 2, "0123456789abcdefABCDEF")];
	digits = strspn(s, "0123456789");
	s += digits;
	if (*s == '.') {
		n = strspn(s + 1, "0123456789");
		digits += n;
		s += 1 + n;
	}
	if (digits && (*s == 'e' || *s == 'E')) {
		s += 1 + (s[1] == '-' || s[1] == '+');
		n = strspn(s, "0123456789");
		return n && !s[n];
	}
	return digits && !*s;
}

static bool rt_is_one_of(const char *s, const char *a, const char *b, const char *c)
{
	return !strcmp(s, a) || !strcmp(s, b) || !strcmp(s, c);
}

/* What the current event is, in words; NULL: a text. Unquoted, a YAML reader takes some texts for something else. */
static const char *rt_not_text(const struct rt_reader *r)
{
	const char *s = (const char *)r->event.data.scalar.value;

	if (r->event.type == YAML_SEQUENCE_START_EVENT)
		return "a list";
	if (r->event.type == YAML_MAPPING_START_EVENT)
		return "a mapping";
	if (r->event.type != YAML_SCALAR_EVENT)
		return "nothing";
	if (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return NULL;
	if (!*s || !strcmp(s, "~") || rt_is_one_of(s, "null", "Null", "NULL"))
		return "nothing";
	if (rt_is_one_of(s, "true", "True", "TRUE") || rt_is_one_of(s, "false", "False", "FALSE"))
		return "true or false";
	return rt_is_number(s) ? "a number" : NULL;
}

static bool rt_has_control(const char *text, bool tabs)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		if ((*s < 0x20 && !(tabs && *s == '\t')) || *s == 0x7f || (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0))
			return true;
	}
	return false;
}

const char *rt_text(struct rt_reader *r, const struct rt_key *key, bool tabs)
{
	const char *text = (const char *)r->event.data.scalar.value, *what = rt_not_text(r);

	if (what)
		rt_refuse(r, rt_line(r), "`%s` is a text, not %s%s", key->name, what,
			  r->event.type == YAML_SCALAR_EVENT ? ": put it in quotes" : "");
	else if (!*text)
		rt_refuse(r, rt_line(r), "`%s` is empty", key->name);
	else if (strlen(text) != r->event.data.scalar.length || rt_has_control(text, tabs))
		rt_refuse(r, rt_line(r), "`%s` contains a control character (a newline, perhaps): write it on one line",
			  key->name);
	else
		return text;
	return NULL;
}

int rt_read_text(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, false);
	char **field = rt_key_field(key, object);

	if (!text)
		return -EINVAL;
	*field = strdup(text);
	return *field ? 0 : rt_refuse_memory(r);
}

/* A name that outputs use as a key. */
int rt_read_word(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, false);

	if (!text)
		return -EINVAL;
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")]) {
		char *quote = rt_quote(text);
		int err = rt_refuse(r, rt_line(r), "`%s: %s`: only a-z, 0-9 and _ may be in it", key->name,
				    quote ? quote : "?");

		free(quote);
		return err;
	}
	return rt_read_text(r, key, object);
}

int rt_read_bool(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *s = (const char *)r->event.data.scalar.value;
	bool plain = r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	bool yes = plain && rt_is_one_of(s, "true", "True", "TRUE");

	if (!yes && !(plain && rt_is_one_of(s, "false", "False", "FALSE")))
		return rt_refuse(r, rt_line(r), "`%s` is either true or false, without quotes", key->name);
	*(bool *)rt_key_field(key, object) = yes;
	return 0;
}

/* ---- mappings and lists ---- */

/* "a, b or c" for a message (caller frees). */
static char *rt_key_names(const struct rt_key *keys, size_t n)
{
	char *all = NULL, *more;

	for (size_t i = 0; i < n; i++) {
		if (asprintf(&more, "%s%s%s", all ? all : "", !i ? "" : i + 1 < n ? ", " : " or ", keys[i].name) < 0)
			more = NULL;
		free(all);
		all = more;
		if (!all)
			return NULL;
	}
	return all;
}

/* The key that the current event names, or NULL with the reason set. */
static const struct rt_key *rt_key_find(struct rt_reader *r, const char *what, const struct rt_key *keys, size_t n)
{
	const char *text = (const char *)r->event.data.scalar.value;
	char *quote, *known;

	if (r->event.type != YAML_SCALAR_EVENT) {
		rt_refuse(r, rt_line(r), "a key of %s is a word", what);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (r->event.data.scalar.length == strlen(keys[i].name) && !strcmp(text, keys[i].name))
			return &keys[i];
	}
	quote = rt_quote(text);
	known = rt_key_names(keys, n);
	rt_refuse(r, rt_line(r), "unknown key `%s` in %s: it may be %s", quote ? quote : "?", what,
		  known ? known : "?");
	free(quote);
	free(known);
	return NULL;
}

int rt_read_mapping(struct rt_reader *r, const char *what, const struct rt_key *keys, size_t n, void *object)
{
	size_t line = rt_line(r);
	uint32_t seen = 0;
	int err;

	if (r->event.type != YAML_MAPPING_START_EVENT)
		return rt_refuse(r, line, "%s is a mapping (`key: value` lines)", what);
	while (!(err = rt_next(r)) && r->event.type != YAML_MAPPING_END_EVENT) {
		const struct rt_key *key = rt_key_find(r, what, keys, n);
		uint32_t bit = key ? 1u << (key - keys) : 0;

		if (!key)
			return -EINVAL;
		if (seen & bit)
			return rt_refuse(r, rt_line(r), "`%s` is given twice in %s", key->name, what);
		seen |= bit;
		err = rt_next(r);
		if (!err)
			err = key->read(r, key, object);
		if (err)
			return err;
	}
	for (size_t i = 0; !err && i < n; i++) {
		if (keys[i].required && !(seen & (1u << i)))
			err = rt_refuse(r, line, "%s without `%s`: add it", what, keys[i].name);
	}
	return err;
}

void *rt_array_grow(void *array, size_t *n, size_t size)
{
	char *all;

	memcpy(&all, array, sizeof(all)); /* a pointer to any type */
	if (!(*n & (*n - 1))) {
		all = realloc(all, (*n ? *n * 2 : 1) * size);
		if (!all)
			return NULL;
		memcpy(array, &all, sizeof(all));
	}
	return memset(all + (*n)++ * size, 0, size);
}

/* A list, or a single value in its place: calls `one` for each. */
int rt_read_list(struct rt_reader *r, const struct rt_key *key, void *object,
			int (*one)(struct rt_reader *r, const struct rt_key *key, void *object))
{
	size_t line = rt_line(r), n = 0;
	int err;

	if (r->event.type != YAML_SEQUENCE_START_EVENT)
		return one(r, key, object);
	while (!(err = rt_next(r)) && r->event.type != YAML_SEQUENCE_END_EVENT) {
		if (++n > RT_ENTRIES_MAX)
			return rt_refuse(r, rt_line(r), "`%s` has more than %u entries", key->name, RT_ENTRIES_MAX);
		err = one(r, key, object);
		if (err)
			return err;
	}
	if (!err && !n)
		return rt_refuse(r, line, "`%s` is an empty list", key->name);
	return err;
}

int rt_read_list_text(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, false);
	char **place, *copy;
	size_t *count;

	if (!text)
		return -EINVAL;
	copy = strdup(text);
	count = (size_t *)((char *)object + key->count);
	place = copy ? rt_array_grow(rt_key_field(key, object), count, sizeof(*place)) : NULL;
	if (!place) {
		free(copy);
		return rt_refuse_memory(r);
	}
	*place = copy;
	return 0;
}

int rt_read_texts(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_list(r, key, object, rt_read_list_text);
}

/* ---- labels ---- */

static int rt_read_label_any(struct rt_reader *r, const struct rt_key *key, void *object, bool both)
{
	const struct rt_key keys[] = {
		{ .name = "zh", .read = rt_read_text, RT_FIELD(rt_label, text[RT_LANG_ZH]), .required = both },
		{ .name = "en", .read = rt_read_text, RT_FIELD(rt_label, text[RT_LANG_EN]), .required = both },
	};
	struct rt_label *label = rt_key_field(key, object);
	size_t line = rt_line(r);
	char what[32];
	int err;

	if (r->event.type == YAML_SCALAR_EVENT) { /* one text for all languages */
		const char *text = rt_text(r, key, false);

		if (!text)
			return -EINVAL;
		for (int lang = 0; lang < RT_LANGS; lang++) {
			label->text[lang] = strdup(text);
			if (!label->text[lang])
				return rt_refuse_memory(r);
		}
		return 0;
	}
	if (r->event.type != YAML_MAPPING_START_EVENT)
		return rt_refuse(r, line, "`%s` is a text or {zh: ..., en: ...}, not a list", key->name);
	snprintf(what, sizeof(what), "`%s`", key->name);
	err = rt_read_mapping(r, what, keys, RT_LANGS, label);
	if (!err && !label->text[RT_LANG_ZH] && !label->text[RT_LANG_EN])
		return rt_refuse(r, line, "`%s` has neither zh nor en", key->name);
	return err;
}

int rt_read_label(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_label_any(r, key, object, true);
}

/* A line when entered or left may be given for one language: the other has its usual one. */
int rt_read_edge(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_label_any(r, key, object, false);
}
