/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* asprintf */
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "profile_read.h"
#include "units.h"

#define RT_PROFILE_MAX (1u << 20)   /* bytes of a file */
#define RT_PHASES_MAX 4096u         /* also entries of one list */
#define RT_PATTERN_COST_MAX 2048u   /* characters that regcomp makes of a pattern: it copies what is repeated */
#define RT_PATTERNS_COST_MAX 65536u /* of all patterns of a profile */
#define RT_PATTERN_DEPTH_MAX 64     /* regcomp calls itself for each parenthesis */
#define RT_QUOTE_MAX 60             /* characters of the file that a message repeats */

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

/* Text of the file, fit for a message (caller frees). */
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

/* Goes on to the next event. */
static int rt_next(struct rt_reader *r)
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

/* The current event's text (valid until the next event), or NULL with the reason set. */
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

/* Reads a mapping with these keys into `object`. */
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

/* Makes room for one more element of `size` bytes, all zero, at the end of the array that the pointer at `array` points
 * to. Its capacity is its length rounded up to a power of two. Returns the element, or NULL without memory. */
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
		if (++n > RT_PHASES_MAX)
			return rt_refuse(r, rt_line(r), "`%s` has more than %u entries", key->name, RT_PHASES_MAX);
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

static int rt_read_texts(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_list(r, key, object, rt_read_list_text);
}

/* ---- statements ---- */

/* The length of the bracket expression at `p`, 1 if it never closes. */
static size_t rt_bracket_len(const char *p)
{
	const char *s = p + 1;

	s += *s == '^';
	s += *s == ']'; /* the first is an ordinary character */
	for (; *s && *s != ']'; s++) {
		if (*s == '[' && s[1] && strchr(":.=", s[1])) { /* [:alpha:] */
			const char close[] = { s[1], ']', '\0' }, *found = strstr(s + 2, close);

			s = found ? found + 1 : s;
		}
	}
	return *s ? (size_t)(s - p) + 1 : 1;
}

/* How often the repetition at `p` makes regcomp copy what stands before it; *len: its characters, 0: `p` is none. */
static uint64_t rt_repetition(const char *p, size_t *len)
{
	unsigned long low, high;
	char *end;

	*len = strchr("*?+", *p) ? 1 : 0;
	if (*p != '{')
		return *p == '+' ? 2 : 1;
	if (p[1] != ',' && !(p[1] >= '0' && p[1] <= '9'))
		return 1;
	low = strtoul(p + 1, &end, 10);
	high = *end == ',' ? strtoul(end + 1, &end, 10) : low;
	*len = (size_t)(end - p) + (*end == '}');
	if (low > UINT16_MAX || high > UINT16_MAX)
		return UINT16_MAX;
	return (low > high ? low : high) + 1;
}

/* Says what makes a pattern too dear to compile, or NULL. A profile may come from a stranger, and regcomp takes what it
 * is given: nested repetitions of a few characters are gigabytes. References back make matching exponential, on text
 * that comes from the target. */
static const char *rt_pattern_fault(const char *p, uint64_t *cost)
{
	uint64_t sum[RT_PATTERN_DEPTH_MAX + 1] = { 0 }, last = 0;
	unsigned int depth = 0;
	size_t len;

	while (*p) {
		uint64_t times = rt_repetition(p, &len);

		if (len) {
			sum[depth] += last * (times - 1);
			last *= times;
			p += len;
		} else if (*p == '(' && depth == RT_PATTERN_DEPTH_MAX) {
			return "too many parentheses in each other";
		} else if (*p == '(') {
			sum[++depth] = 0;
			last = 0;
			p++;
		} else if (*p == ')' && depth) {
			last = sum[depth--] + 1;
			sum[depth] += last;
			p++;
		} else {
			if (*p == '\\' && p[1] >= '1' && p[1] <= '9')
				return "references back (\\1) are no part of POSIX extended regexes";
			p += *p == '[' ? rt_bracket_len(p) : *p == '\\' && p[1] ? 2 : 1;
			last = 1;
			sum[depth]++;
		}
		if (sum[depth] > RT_PATTERN_COST_MAX)
			return "too large, with its repetitions written out";
	}
	while (depth--) /* parentheses that never close: regcomp's to refuse */
		sum[depth] += sum[depth + 1];
	*cost += sum[0];
	return *cost > RT_PATTERNS_COST_MAX ? "too large, together with all patterns before it" : NULL;
}

static int rt_read_pattern(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, true), *fault;
	struct rt_phase *phase = object;
	struct rt_pattern pattern = { 0 }, *place;
	char reason[128] = "";
	int code;

	if (!text)
		return -EINVAL;
	fault = rt_pattern_fault(text, &r->cost);
	code = fault ? 0 : regcomp(&pattern.compiled, text, REG_EXTENDED | REG_NOSUB);
	if (code) {
		regerror(code, &pattern.compiled, reason, sizeof(reason));
		fault = reason;
	}
	if (fault) {
		char *quote = rt_quote(text);
		int err = rt_refuse(r, rt_line(r),
				    "bad regex `%s` in `%s`: %s (a literal ( [ { . * + ? is written \\( ...)",
				    quote ? quote : "?", key->name, fault);

		free(quote);
		return err;
	}
	pattern.source = strdup(text);
	place = pattern.source ? rt_array_grow(&phase->statements, &phase->n_statements, sizeof(*place)) : NULL;
	if (!place) {
		free(pattern.source);
		regfree(&pattern.compiled);
		return rt_refuse_memory(r);
	}
	*place = pattern;
	return 0;
}

static int rt_read_patterns(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_list(r, key, object, rt_read_pattern);
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
static int rt_read_edge(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_label_any(r, key, object, false);
}

/* ---- the sections ---- */

static const struct rt_key rt_phase_keys[] = {
	{ .name = "id", .read = rt_read_word, RT_FIELD(rt_phase, id), .required = true },
	{ .name = "function", .read = rt_read_texts, RT_LIST(rt_phase, functions), .required = true },
	{ .name = "file", .read = rt_read_texts, RT_LIST(rt_phase, files) },
	{ .name = "statement", .read = rt_read_patterns, RT_LIST(rt_phase, statements) },
	{ .name = "label", .read = rt_read_label, RT_FIELD(rt_phase, label), .required = true },
	{ .name = "enter", .read = rt_read_edge, RT_FIELD(rt_phase, enter) },
	{ .name = "exit", .read = rt_read_edge, RT_FIELD(rt_phase, exit) },
	{ .name = "watch", .read = rt_read_bool, RT_FIELD(rt_phase, watch) },
};

static int rt_read_phase(struct rt_reader *r, const struct rt_key *key, void *object)
{
	struct rt_profile *profile = object;
	struct rt_phase *phase = rt_array_grow(&profile->phases, &profile->n_phases, sizeof(*phase));
	int err;

	(void)key;
	if (!phase)
		return rt_refuse_memory(r);
	phase->line = (int)rt_line(r);
	err = rt_read_mapping(r, "a phase", rt_phase_keys, RT_COUNT(rt_phase_keys), phase);
	if (err)
		return err;
	for (const struct rt_phase *other = profile->phases; other < phase; other++) {
		if (!strcmp(other->id, phase->id))
			return rt_refuse(r, (size_t)phase->line, "duplicate id `%s`: line %d has it too", phase->id,
					 other->line);
	}
	return 0;
}

static int rt_read_section(struct rt_reader *r, const struct rt_key *key, void *object)
{
	if (r->event.type != YAML_SEQUENCE_START_EVENT)
		return rt_refuse(r, rt_line(r), "`%s` is a list (each entry begins with `- `)", key->name);
	return rt_read_list(r, key, object,
			    key->count == offsetof(struct rt_profile, n_phases) ? rt_read_phase : rt_read_native);
}

static const struct rt_key rt_profile_keys[] = {
	{ .name = "name", .read = rt_read_text, RT_FIELD(rt_profile, name) },
	{ .name = "phases", .read = rt_read_section, RT_LIST(rt_profile, phases) },
	{ .name = "native", .read = rt_read_section, RT_LIST(rt_profile, natives) },
};

/* The file's name without folder and ending. */
static char *rt_name_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');

	return strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static int rt_read_document(struct rt_reader *r)
{
	struct rt_profile *profile = r->profile;
	int err = rt_next(r); /* the stream begins */

	if (!err)
		err = rt_next(r);
	if (!err && r->event.type == YAML_DOCUMENT_START_EVENT) {
		err = rt_next(r);
		if (!err)
			err = rt_read_mapping(r, "a profile", rt_profile_keys, RT_COUNT(rt_profile_keys), profile);
		if (!err)
			err = rt_next(r); /* the document ends */
		if (!err)
			err = rt_next(r);
		if (!err && r->event.type != YAML_STREAM_END_EVENT)
			return rt_refuse(r, rt_line(r), "a second document (after ---): a profile is one");
	}
	if (!err && !profile->n_phases)
		return rt_refuse(r, 1, "no phases: a profile has a list `phases` with at least one entry");
	if (!err && !profile->name)
		profile->name = rt_name_of(profile->path);
	return (err || profile->name) ? err : rt_refuse_memory(r);
}

/* A ledger keeps the profile that it was recorded with. */
static int rt_keep_text(const struct rt_reader *r)
{
	r->profile->text = malloc(r->len + 1);
	if (!r->profile->text)
		return -ENOMEM;
	memcpy(r->profile->text, r->text, r->len);
	r->profile->text[r->len] = '\0';
	r->profile->text_len = r->len;
	return 0;
}

struct rt_profile *rt_profile_parse(const char *path, const char *text, size_t len, char **error)
{
	struct rt_reader r = { .path = path, .text = text, .len = len };
	int err;

	*error = NULL;
	r.profile = calloc(1, sizeof(*r.profile));
	if (r.profile)
		r.profile->path = strdup(path);
	if (!r.profile || !r.profile->path || !yaml_parser_initialize(&r.parser)) {
		rt_refuse(&r, 1, "out of memory");
		rt_profile_free(r.profile);
		*error = r.error;
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	err = len > RT_PROFILE_MAX ? rt_refuse(&r, 1, "larger than 1 MiB: no profile") : rt_read_document(&r);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (!err && rt_keep_text(&r))
		err = rt_refuse_memory(&r);
	if (err) {
		rt_profile_free(r.profile);
		r.profile = NULL;
	}
	*error = r.error;
	return r.profile;
}

/* Reads up to one byte more than a profile may have. Returns 0 or -errno. */
static int rt_file_read(const char *path, char *text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	while (!err && *len <= RT_PROFILE_MAX) {
		ssize_t n = read(fd, text + *len, RT_PROFILE_MAX + 1 - *len);

		if (n > 0)
			*len += (size_t)n;
		else if (!n)
			break;
		else if (errno != EINTR)
			err = -errno;
	}
	close(fd);
	return err;
}

struct rt_profile *rt_profile_read(const char *path, char **error)
{
	struct rt_profile *profile = NULL;
	char *text = malloc(RT_PROFILE_MAX + 1);
	size_t len = 0;
	int err = text ? rt_file_read(path, text, &len) : -ENOMEM;

	if (!err)
		profile = rt_profile_parse(path, text, len, error);
	else if (asprintf(error, "%s: the profile cannot be read: %s; give the name of an installed profile, or a file that you may read", path, strerror(-err)) < 0)
		*error = NULL;
	free(text);
	return profile;
}

/* ---- release and look-up ---- */

void rt_texts_release(char **text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(text[i]);
	free(text);
}

void rt_label_release(struct rt_label *label)
{
	for (int lang = 0; lang < RT_LANGS; lang++)
		free(label->text[lang]);
}

static void rt_phase_release(struct rt_phase *phase)
{
	free(phase->id);
	rt_texts_release(phase->functions, phase->n_functions);
	rt_texts_release(phase->files, phase->n_files);
	for (size_t i = 0; i < phase->n_statements; i++) {
		free(phase->statements[i].source);
		regfree(&phase->statements[i].compiled);
	}
	free(phase->statements);
	rt_label_release(&phase->label);
	rt_label_release(&phase->enter);
	rt_label_release(&phase->exit);
}

void rt_profile_free(struct rt_profile *profile)
{
	if (!profile)
		return;
	for (size_t i = 0; i < profile->n_phases; i++)
		rt_phase_release(&profile->phases[i]);
	for (size_t i = 0; i < profile->n_natives; i++)
		rt_native_rule_release(&profile->natives[i]);
	free(profile->phases);
	free(profile->natives);
	free(profile->name);
	free(profile->path);
	free(profile->text);
	free(profile);
}

bool rt_profile_file_matches(const char *file, const char *suffix)
{
	size_t len = strlen(file), n = strlen(suffix);

	if (!n || n > len || strcmp(file + len - n, suffix))
		return false;
	return n == len || suffix[0] == '/' || file[len - n - 1] == '/';
}

static bool rt_phase_placed(const struct rt_phase *phase, const char *file)
{
	bool placed = !phase->n_files;

	for (size_t i = 0; !placed && i < phase->n_files; i++)
		placed = rt_profile_file_matches(file, phase->files[i]);
	return placed;
}

bool rt_phase_names(const struct rt_phase *phase, const char *qualname, const char *file)
{
	bool named = false;

	for (size_t i = 0; !named && i < phase->n_functions; i++)
		named = !strcmp(phase->functions[i], qualname);
	return named && rt_phase_placed(phase, file);
}

const char *rt_qualname_last(const char *qualname)
{
	const char *dot = strrchr(qualname, '.');

	return dot ? dot + 1 : qualname;
}

bool rt_phase_names_last(const struct rt_phase *phase, const char *name, const char *file)
{
	bool named = false;

	for (size_t i = 0; !named && i < phase->n_functions; i++)
		named = !strcmp(rt_qualname_last(phase->functions[i]), name);
	return named && rt_phase_placed(phase, file);
}
