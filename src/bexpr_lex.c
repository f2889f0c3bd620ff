/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "bexpr_lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

size_t rt_bexpr_column(const char *text, size_t at)
{
	size_t column = 1;

	for (size_t i = 0; i < at && text[i]; i++)
		column += ((unsigned char)text[i] & 0xc0) != 0x80;
	return column;
}

void rt_bfail(struct rt_bparser *p, size_t at, const char *format, ...)
{
	va_list args;

	if (p->failed)
		return; /* the first one counts */
	p->failed = true;
	p->error->column = rt_bexpr_column(p->text, at);
	va_start(args, format);
	vsnprintf(p->error->text, sizeof(p->error->text), format, args);
	va_end(args);
}

void rt_bfail_memory(struct rt_bparser *p)
{
	if (!p->failed)
		*p->error = (struct rt_bexpr_error){.text = "out of memory"};
	p->failed = true;
}

static bool rt_bword_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void rt_btoken_name(struct rt_bparser *p, struct rt_btoken *t)
{
	const char *end = memchr(p->text + t->begin + 1, p->text[t->begin], p->len - t->begin - 1);

	t->kind = RT_TK_NAME;
	t->end = p->len;
	if (!end) {
		rt_bfail(p, t->begin, "a name without its closing %c", p->text[t->begin]);
		return;
	}
	t->end = (size_t)(end - p->text) + 1;
	t->begin++;
	t->len = t->end - 1 - t->begin;
	if (!t->len || t->len > RT_BEXPR_NAME)
		rt_bfail(p, t->begin, "a name has 1 to %u bytes", RT_BEXPR_NAME);
}

void rt_bnext(struct rt_bparser *p)
{
	struct rt_btoken *t = &p->at;
	size_t i = t->end;
	char c;

	p->last_end = t->end;
	while (i < p->len && isspace((unsigned char)p->text[i]))
		i++;
	*t = (struct rt_btoken){.kind = RT_TK_END, .begin = i, .end = i};
	if (i >= p->len)
		return;
	c = p->text[i];
	if (c == '"' || c == '\'') {
		rt_btoken_name(p, t);
		return;
	}
	if (isdigit((unsigned char)c) || c == '-') {
		t->kind = RT_TK_LIMIT;
		for (i++; i < p->len && (rt_bword_char(p->text[i]) || p->text[i] == '.' || p->text[i] == '%'); i++)
			;
	} else if (rt_bword_char(c)) {
		t->kind = RT_TK_WORD;
		while (i < p->len && rt_bword_char(p->text[i]))
			i++;
	} else {
		bool two = i + 1 < p->len && ((p->text[i + 1] == '=' && strchr("<>=!", c)) || (p->text[i + 1] == c && (c == '&' || c == '|')));

		t->kind = RT_TK_SIGN;
		i += two ? 2 : 1;
		while (i < p->len && ((unsigned char)p->text[i] & 0xc0) == 0x80)
			i++; /* all of one character */
	}
	t->end = i;
	t->len = i - t->begin;
}

bool rt_bis(const struct rt_bparser *p, enum rt_btoken_kind kind, const char *text)
{
	return p->at.kind == kind && p->at.len == strlen(text) && !memcmp(p->text + p->at.begin, text, p->at.len);
}

bool rt_btake(struct rt_bparser *p, enum rt_btoken_kind kind, const char *text)
{
	if (p->failed || !rt_bis(p, kind, text))
		return false;
	rt_bnext(p);
	return !p->failed;
}

void rt_bexpected(struct rt_bparser *p, const char *what)
{
	size_t begin = p->at.begin - (p->at.kind == RT_TK_NAME); /* with its quote */
	char found[RT_BEXPR_NAME + 64];
	char *safe;

	snprintf(found, sizeof(found), "%.*s", p->at.end - begin < sizeof(found) ? (int)(p->at.end - begin) : (int)sizeof(found) - 1, p->text + begin);
	safe = rt_text_escape(found, 40);
	if (p->at.kind == RT_TK_END)
		rt_bfail(p, begin, "expected %s, found the end", what);
	else if (p->at.kind == RT_TK_NAME)
		rt_bfail(p, begin, "expected %s, found %s", what, safe ? safe : "?");
	else
		rt_bfail(p, begin, "expected %s, found '%s'", what, safe ? safe : "?");
	free(safe);
}

bool rt_bexpect(struct rt_bparser *p, const char *sign, const char *what)
{
	if (p->failed)
		return false;
	if (!rt_bis(p, RT_TK_SIGN, sign)) {
		rt_bexpected(p, what);
		return false;
	}
	rt_bnext(p);
	return !p->failed;
}
