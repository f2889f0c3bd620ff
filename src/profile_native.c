/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile_read.h"

#define RT_NATIVE_LIST_MAX 64	 /* symbols, libraries or fallbacks of an entry */
#define RT_NATIVE_PATTERN_MAX 512 /* bytes of a symbol or a library */
#define RT_NATIVE_KIND_MAX 31
#define RT_NATIVE_REGISTERS 6 /* integer arguments in registers: x86-64 psABI, section 3.2.3 */

/* ---- lists of patterns ---- */

static bool rt_is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The most letters, digits and _ in a row. */
static size_t rt_longest_word(const char *text)
{
	size_t run = 0, longest = 0;

	for (; *text; text++) {
		run = rt_is_word(*text) ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	return longest;
}

/* One text of a list. A glob has to say something: `word` letters, digits or _ in a row. */
static int rt_read_pattern_text(struct rt_reader *r, const struct rt_key *key, void *object, size_t word)
{
	const char *text = rt_text(r, key, false);
	size_t n;
	char *quote;
	int err;

	if (!text)
		return -EINVAL;
	memcpy(&n, (char *)object + key->count, sizeof(n));
	if (n >= RT_NATIVE_LIST_MAX)
		return rt_refuse(r, rt_line(r), "`%s` has more than %d entries", key->name, RT_NATIVE_LIST_MAX);
	if (strlen(text) > RT_NATIVE_PATTERN_MAX)
		return rt_refuse(r, rt_line(r), "`%s` has more than %d bytes", key->name, RT_NATIVE_PATTERN_MAX);
	if (!strpbrk(text, "*?") || rt_longest_word(text) >= word)
		return rt_read_list_text(r, key, object);
	quote = rt_quote(text);
	err = rt_refuse(r, rt_line(r), "`%s: %s` means nearly everything: give it at least %zu letters, digits or _ in a row", key->name, quote ? quote : "?", word);
	free(quote);
	return err;
}

static int rt_read_native_name(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_pattern_text(r, key, object, 3);
}

static int rt_read_native_names(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_list(r, key, object, rt_read_native_name);
}

static int rt_read_library(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, false);

	if (text && text[strlen(text) - 1] == '/')
		return rt_refuse(r, rt_line(r), "`%s` ends in /: it names a file", key->name);
	return text ? rt_read_pattern_text(r, key, object, 2) : -EINVAL;
}

static int rt_read_libraries(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_list(r, key, object, rt_read_library);
}

/* ---- words ---- */

static int rt_read_kind(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, false);

	if (text && strlen(text) > RT_NATIVE_KIND_MAX)
		return rt_refuse(r, rt_line(r), "`%s` has more than %d characters", key->name, RT_NATIVE_KIND_MAX);
	return text ? rt_read_word(r, key, object) : -EINVAL;
}

static int rt_read_op(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, false);
	bool is_free;

	if (!text)
		return -EINVAL;
	is_free = !strcmp(text, "free");
	if (!is_free && strcmp(text, "alloc"))
		return rt_refuse(r, rt_line(r), "`%s` is either alloc or free", key->name);
	*(enum rt_native_op *)rt_key_field(key, object) = is_free ? RT_NATIVE_FREE : RT_NATIVE_ALLOC;
	return 0;
}

/* `argN` or `argN:32` at *text. Returns whether it is one, and moves *text behind it. */
static bool rt_native_arg(const char **text, struct rt_native_arg *arg)
{
	const char *s = *text;

	if (strncmp(s, "arg", 3) || s[3] < '1' || s[3] > '0' + RT_NATIVE_REGISTERS)
		return false;
	arg->number = (uint8_t)(s[3] - '0');
	arg->bits = 64;
	s += 4;
	if (!strncmp(s, ":32", 3)) {
		arg->bits = 32;
		s += 3;
	}
	*text = s;
	return true;
}

/* Where a native function's size stands: `mapped`, `none`, `arg2`, `arg2:32`, `arg1*arg2`. */
static int rt_read_bytes(struct rt_reader *r, const struct rt_key *key, void *object)
{
	struct rt_native_bytes bytes = { 0 };
	const char *text = rt_text(r, key, false), *s = text;
	bool good;

	if (!text)
		return -EINVAL;
	if (!strcmp(text, "mapped"))
		return 0;
	bytes.none = !strcmp(text, "none");
	good = bytes.none || rt_native_arg(&s, &bytes.arg[0]);
	if (good && !bytes.none && *s == '*') {
		s++;
		good = rt_native_arg(&s, &bytes.arg[1]);
	}
	if (!good || (*s && !bytes.none))
		return rt_refuse(r, rt_line(r),
				 "`%s` is `mapped`, `none`, an argument in a register (arg1 to arg%d; arg1:32 for one of 32 bits), or two of them (arg1*arg2)",
				 key->name, RT_NATIVE_REGISTERS);
	*(struct rt_native_bytes *)rt_key_field(key, object) = bytes;
	return 0;
}

/* ---- an entry ---- */

static const struct rt_key rt_native_keys[] = {
	{ .name = "symbol", .read = rt_read_native_names, RT_LIST(rt_native_rule, symbols), .required = true },
	{ .name = "library", .read = rt_read_libraries, RT_LIST(rt_native_rule, libraries), .required = true },
	{ .name = "kind", .read = rt_read_kind, RT_FIELD(rt_native_rule, kind), .required = true },
	{ .name = "bytes", .read = rt_read_bytes, RT_FIELD(rt_native_rule, bytes) },
	{ .name = "op", .read = rt_read_op, RT_FIELD(rt_native_rule, op) },
	{ .name = "label", .read = rt_read_label, RT_FIELD(rt_native_rule, label) },
	{ .name = "checkpoint", .read = rt_read_bool, RT_FIELD(rt_native_rule, checkpoint) },
	{ .name = "hot", .read = rt_read_bool, RT_FIELD(rt_native_rule, hot) },
	{ .name = "fallback", .read = rt_read_native_names, RT_LIST(rt_native_rule, fallbacks) },
};

/* What is left of a symbol without parameters, namespaces and globs: `*SHM::init_shm(int)` is init_shm. All of it if that is nothing. */
static char *rt_native_plain(const char *symbol)
{
	size_t end = strcspn(symbol, "("), begin;

	while (end && !rt_is_word(symbol[end - 1]))
		end--;
	for (begin = end; begin && rt_is_word(symbol[begin - 1]);)
		begin--;
	return begin < end ? strndup(symbol + begin, end - begin) : strdup(symbol);
}

int rt_read_native(struct rt_reader *r, const struct rt_key *key, void *object)
{
	struct rt_profile *profile = object;
	struct rt_native_rule *rule;
	int err;

	(void)key;
	if (profile->n_natives == RT_NATIVE_RULES_MAX)
		return rt_refuse(r, rt_line(r), "more than %d native entries: functions that are treated alike go into one, as a list", RT_NATIVE_RULES_MAX);
	rule = rt_array_grow(&profile->natives, &profile->n_natives, sizeof(*rule));
	if (!rule)
		return rt_refuse_memory(r);
	err = rt_read_mapping(r, "a native entry", rt_native_keys, RT_COUNT(rt_native_keys), rule);
	for (int lang = 0; !err && lang < RT_LANGS; lang++) {
		if (!rule->label.text[lang])
			rule->label.text[lang] = rt_native_plain(rule->symbols[0]);
		err = rule->label.text[lang] ? 0 : rt_refuse_memory(r);
	}
	return err;
}

void rt_native_rule_release(struct rt_native_rule *rule)
{
	rt_texts_release(rule->symbols, rule->n_symbols);
	rt_texts_release(rule->libraries, rule->n_libraries);
	rt_texts_release(rule->fallbacks, rule->n_fallbacks);
	free(rule->kind);
	rt_label_release(&rule->label);
}
