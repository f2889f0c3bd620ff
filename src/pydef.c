/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pydef.h"

#include <ctype.h>
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
