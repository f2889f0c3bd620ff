/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pydef.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#define NEST_MAX 64 /* blocks in each other; CPython's own limit is 100 levels of indentation */

/* Enclosing definitions of the line that is looked at. */
struct def_nest {
	int column[NEST_MAX];
	const char *rest[NEST_MAX]; /* of the qualified name, behind theirs; NULL: theirs are not its beginning */
	size_t depth;
};

static const char *skip_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(text, word, n) || (text[n] != ' ' && text[n] != '\t' && text[n] != '\f'))
		return NULL;
	text += n;
	return text + strspn(text, " \t\f");
}

static bool is_word(unsigned char c)
{
	return isalnum(c) || c == '_' || c >= 0x80;
}

/* The name that a def or class statement binds, or NULL; *is_class tells which. */
static const char *def_name(const char *text, size_t *len, bool *is_class)
{
	const char *after = skip_word(text, "async"), *name = skip_word(after ? after : text, "def");

	*is_class = false;
	if (!name && !after) {
		name = skip_word(text, "class");
		*is_class = true;
	}
	if (!name)
		return NULL;
	for (*len = 0; is_word((unsigned char)name[*len]); ++*len)
		;
	return *len ? name : NULL;
}

/* What remains of `rest` behind this definition's own name: "" if it is the one that is sought. NULL: it is not on the way there. */
static const char *rest_behind(const char *rest, const char *name, size_t len, bool is_class)
{
	if (strncmp(rest, name, len))
		return NULL;
	rest += len;
	if (!*rest)
		return rest;
	if (*rest != '.')
		return NULL;
	rest++;
	if (is_class)
		return rest;
	return strncmp(rest, "<locals>.", 9) ? NULL : rest + 9;
}

/* The line of the first decorator, or of the statement itself. */
static int first_line(const struct rt_logical_lines *lines, size_t i)
{
	while (i && lines->line[i - 1].text[0] == '@' && lines->line[i - 1].column == lines->line[i].column)
		i--;
	return lines->line[i].first;
}

size_t rt_pydef_find(const struct rt_logical_lines *lines, const char *qualname, int firstline[RT_PYDEF_MAX])
{
	struct def_nest nest = {.depth = 0};
	size_t found = 0;

	if (!strcmp(qualname, "<module>")) {
		firstline[0] = 0;
		return 1;
	}
	for (size_t i = 0; i < lines->count && found < RT_PYDEF_MAX; i++) {
		const struct rt_logical_line *line = &lines->line[i];
		const char *name, *rest;
		bool is_class;
		size_t len;

		while (nest.depth && nest.column[nest.depth - 1] >= line->column)
			nest.depth--;
		name = def_name(line->text, &len, &is_class);
		if (!name || nest.depth == NEST_MAX)
			continue;
		rest = nest.depth ? nest.rest[nest.depth - 1] : qualname;
		rest = rest ? rest_behind(rest, name, len, is_class) : NULL;
		if (rest && !*rest) {
			firstline[found++] = first_line(lines, i);
			rest = NULL;
		}
		nest.column[nest.depth] = line->column;
		nest.rest[nest.depth++] = rest;
	}
	return found;
}

/* Does a `global` statement of the block that begins behind line `i` name it? Then it is no local of that function or class, and is not called after it. */
static bool is_global(const struct rt_logical_lines *lines, size_t i, const char *name, size_t len)
{
	int column = lines->line[i].column, nested = INT_MAX;

	for (i++; i < lines->count && lines->line[i].column > column; i++) {
		const struct rt_logical_line *line = &lines->line[i];
		const char *at = line->column > nested ? NULL : skip_word(line->text, "global");
		size_t n;
		bool is_class;

		if (line->column <= nested)
			nested = def_name(line->text, &n, &is_class) ? line->column : INT_MAX;
		for (; at && *at; at += at[n] ? n + 1 : n) {
			for (n = 0; is_word((unsigned char)at[n]);)
				n++;
			if (n == len && !strncmp(at, name, len))
				return true;
		}
	}
	return false;
}

/* The definitions around line `i`, innermost first. Returns how many, or -ENAMETOOLONG. */
static int find_around(const struct rt_logical_lines *lines, size_t i, size_t around[NEST_MAX])
{
	int column = lines->line[i].column, n = 0;

	while (column > 0 && i-- > 0) {
		size_t len;
		bool is_class;

		if (lines->line[i].column >= column)
			continue;
		column = lines->line[i].column;
		if (!def_name(lines->line[i].text, &len, &is_class))
			continue;
		if (n == NEST_MAX)
			return -ENAMETOOLONG;
		around[n++] = i;
	}
	return n;
}

/* The line that `name` is defined on, or that a lambda or comprehension stands on; lines->count if there is none. */
static size_t line_of(const struct rt_logical_lines *lines, int firstlineno, const char *name)
{
	bool nameless = *name == '<', is_class;
	size_t i = nameless ? rt_pysource_line_at(lines, firstlineno) : rt_pysource_def_at(lines, firstlineno), len;
	const char *found = i < lines->count ? def_name(lines->line[i].text, &len, &is_class) : NULL;

	if (nameless ? found != NULL : !found || strlen(name) != len || strncmp(found, name, len))
		return lines->count;
	return i;
}

static int append(char *out, size_t size, size_t at, const char *text, size_t len)
{
	if (len >= size - at)
		return -ENAMETOOLONG;
	memcpy(out + at, text, len);
	out[at + len] = '\0';
	return (int)(at + len);
}

int rt_pydef_qualname(const struct rt_logical_lines *lines, int firstlineno, const char *name, char *out, size_t size)
{
	size_t around[NEST_MAX], i = line_of(lines, firstlineno, name);
	int n, at = 0;

	if (i == lines->count)
		return -ENOENT;
	n = find_around(lines, i, around);
	for (int k = 0; k < n; k++) { /* what is global, and what is in it, is called after nothing further out */
		const char *text = k ? lines->line[around[k - 1]].text : lines->line[i].text, *found;
		size_t len;
		bool is_class;

		found = def_name(text, &len, &is_class);
		if (found && is_global(lines, around[k], found, len))
			n = k;
	}
	while (at >= 0 && n > 0) {
		bool is_class;
		size_t len;
		const char *found = def_name(lines->line[around[--n]].text, &len, &is_class);

		at = append(out, size, (size_t)at, found, len);
		if (at >= 0)
			at = append(out, size, (size_t)at, is_class ? "." : ".<locals>.", is_class ? 1 : 10);
	}
	if (at < 0 || n < 0)
		return -ENAMETOOLONG;
	return append(out, size, (size_t)at, name, strlen(name));
}
