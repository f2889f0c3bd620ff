/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "cmdline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bexpr.h"
#include "opts.h"
#include "units.h"

#define RT_VALUE_CHARS 100 /* of a text that is said */
#define RT_EXPRESSION_CHARS 200

int rt_cmdline_refuse(struct rt_cmdline *line, const char *format, ...)
{
	va_list args;

	fprintf(line->err, "%s: ", line->name);
	va_start(args, format);
	vfprintf(line->err, format, args);
	va_end(args);
	fprintf(line->err, "\nTry '%s --help' for all options.\n", line->name);
	line->status = RT_EXIT_USAGE;
	return EINVAL;
}

int rt_cmdline_no_memory(struct rt_cmdline *line)
{
	fprintf(line->err, "%s: out of memory reading the command line; free some and try again\n", line->name);
	line->status = 1;
	return ENOMEM;
}

int rt_cmdline_refuse_text(struct rt_cmdline *line, const char *before, const char *text, const char *after)
{
	char *safe = rt_text_escape(text, RT_VALUE_CHARS);
	int err = rt_cmdline_refuse(line, "%s'%s'%s", before, safe ? safe : "?", after);

	free(safe);
	return err;
}

int rt_cmdline_refuse_value(struct rt_cmdline *line, const char *option, const char *value, const char *allowed)
{
	char *safe = rt_text_escape(value, RT_VALUE_CHARS);
	int err = rt_cmdline_refuse(line, "%s: '%s' is not allowed; give %s", option, safe ? safe : "?", allowed);

	free(safe);
	return err;
}

int rt_cmdline_text(struct rt_cmdline *line, const char *option, const char *text, const char *allowed, const char **to)
{
	if (!*text)
		return rt_cmdline_refuse_value(line, option, text, allowed);
	*to = text;
	return 0;
}

int rt_cmdline_add(struct rt_cmdline *line, const char ***list, size_t *n, const char *text)
{
	const char **more = reallocarray(*list, *n + 1, sizeof(*more));

	if (!more)
		return rt_cmdline_no_memory(line);
	*list = more;
	more[(*n)++] = text;
	return 0;
}

int rt_cmdline_fail_if(struct rt_cmdline *line, const char ***list, size_t *n, const char *text)
{
	struct rt_bexpr_error wrong;
	struct rt_bexpr *expr = rt_bexpr_parse(text, &wrong);
	char *safe;
	int err;

	if (expr || !wrong.column) {
		rt_bexpr_free(expr);
		return rt_cmdline_add(line, list, n, text);
	}
	safe = rt_text_escape(text, RT_EXPRESSION_CHARS);
	err = rt_cmdline_refuse(line, "--fail-if '%s': column %zu: %s", safe ? safe : "?", wrong.column, wrong.text);
	free(safe);
	return err;
}

int rt_cmdline_min_size(struct rt_cmdline *line, const char *text, int64_t *bytes)
{
	return rt_size_parse(text, bytes) ? rt_cmdline_refuse_value(line, "-z/--min-size", text, "a size such as 4096, 64K, 1M or 1.5G") : 0;
}

int rt_cmdline_word_find(const struct rt_cmdline_word *words, const char *text)
{
	for (; words->name; words++) {
		if (!strcmp(words->name, text))
			return words->value;
	}
	return -1;
}

int rt_cmdline_lang(struct rt_cmdline *line, const char *text, enum rt_lang *lang)
{
	static const struct rt_cmdline_word words[] = {{"zh", RT_LANG_ZH}, {"en", RT_LANG_EN}, {NULL, 0}};
	int found = rt_cmdline_word_find(words, text);

	if (found < 0)
		return rt_cmdline_refuse_value(line, "--lang", text, "zh or en");
	*lang = (enum rt_lang)found;
	return 0;
}
