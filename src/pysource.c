/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pysource.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RT_SOURCE_MAX (16u << 20) /* bytes */
#define RT_LINES_MAX 2000000u
#define RT_NEST_MAX 256     /* f-strings and replacement fields in each other; CPython stops at 150 */
#define RT_MATCH_MAX 16384u /* bytes of a logical line that patterns see: regexec can take the square of it */
#define RT_TAB 8

/* What the scanner is in. Fields of f-strings are scanned by the rules of CPython 3.12 (PEP 701: quotes, comments and
 * newlines may stand in a field), which take every valid f-string of 3.11 for the same. */
enum rt_mode {
	RT_MODE_CODE,
	RT_MODE_STRING,
	RT_MODE_FIELD, /* {...} of an f-string: code */
	RT_MODE_SPEC,  /* after a field's colon: text, in which fields may stand */
};

struct rt_nest {
	enum rt_mode mode;
	unsigned int brackets; /* CODE, FIELD: open ones; of any kind, a mismatch is no valid Python */
	char quote;            /* STRING, SPEC, as are the next three */
	bool triple, raw, format;
};

struct rt_scan {
	const char *p, *end;
	int row;
	char *text; /* all logical lines, one after the other, each ended by a NUL: never longer than the source */
	size_t used, line_start;
	struct rt_logical_lines lines;
	size_t cap;
	struct rt_logical_line now; /* first 0: nothing of it seen yet */
	unsigned int depth;
	struct rt_nest nest[RT_NEST_MAX];
};

static bool rt_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f' || c == '\0';
}

static bool rt_is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static bool rt_at_newline(const struct rt_scan *s)
{
	return s->p < s->end && (*s->p == '\n' || *s->p == '\r');
}

static void rt_scan_newline(struct rt_scan *s)
{
	s->p += s->end - s->p > 1 && s->p[0] == '\r' && s->p[1] == '\n' ? 2 : 1;
	s->row++;
}

static void rt_scan_trim(struct rt_scan *s)
{
	while (s->used > s->line_start && rt_is_blank(s->text[s->used - 1]))
		s->used--;
}

/* Takes `n` characters as they are; none of them is a newline. */
static void rt_scan_take(struct rt_scan *s, size_t n)
{
	for (; n && s->p < s->end; n--, s->p++) {
		char c = *s->p;

		if (!rt_is_blank(c)) {
			s->now.last = s->row;
			if (!s->now.first)
				s->now.first = s->row;
		}
		if (s->now.first)
			s->text[s->used++] = c ? c : ' ';
	}
}

/* A newline within a logical line: one blank takes the place of it and of all blanks around it. */
static void rt_scan_join(struct rt_scan *s)
{
	rt_scan_newline(s);
	rt_scan_trim(s);
	while (s->p < s->end && rt_is_blank(*s->p))
		s->p++;
	if (s->used > s->line_start)
		s->text[s->used++] = ' ';
}

static void rt_scan_comment(struct rt_scan *s)
{
	while (s->p < s->end && !rt_at_newline(s))
		s->p++;
}

static struct rt_nest *rt_scan_push(struct rt_scan *s, enum rt_mode mode)
{
	if (s->depth + 1 >= RT_NEST_MAX)
		return NULL;
	s->nest[++s->depth] = (struct rt_nest){ .mode = mode };
	return &s->nest[s->depth];
}

/* Is the character after a backslash a newline? Then takes both. */
static bool rt_scan_continuation(struct rt_scan *s)
{
	if (s->end - s->p < 2 || (s->p[1] != '\n' && s->p[1] != '\r'))
		return false;
	s->p++;
	rt_scan_join(s);
	return true;
}

/* At a quote, `prefix` being the word of `len` letters right before it. Without room for an f-string's fields it is a
 * plain string, and with no room at all (the base is one of RT_NEST_MAX) the quote is an ordinary character. */
static void rt_scan_open(struct rt_scan *s, const char *prefix, size_t len)
{
	char quote = *s->p;
	struct rt_nest *nest;
	bool triple;

	triple = s->end - s->p > 2 && s->p[1] == quote && s->p[2] == quote;
	rt_scan_take(s, triple ? 3 : 1);
	nest = rt_scan_push(s, RT_MODE_STRING);
	if (!nest)
		return;
	nest->quote = quote;
	nest->triple = triple;
	if (len > 2 || strspn(prefix, "rRbBuUfFtT") < len)
		return;
	for (size_t i = 0; i < len; i++) {
		nest->raw |= prefix[i] == 'r' || prefix[i] == 'R';
		nest->format |= strchr("fFtT", prefix[i]) != NULL;
	}
}

/* A word, and the string if it is the prefix of one. */
static void rt_scan_word(struct rt_scan *s)
{
	const char *start = s->p;
	char prefix[3] = "";
	size_t len = 0;

	while (start + len < s->end && rt_is_word(start[len]))
		len++;
	for (size_t i = 0; i < len && len < sizeof(prefix); i++)
		prefix[i] = start[i];
	rt_scan_take(s, len);
	if (s->p < s->end && (*s->p == '"' || *s->p == '\''))
		rt_scan_open(s, prefix, len);
}

/* Closes a field, with the format specification in it. */
static void rt_scan_close_field(struct rt_scan *s)
{
	rt_scan_take(s, 1);
	if (s->nest[s->depth].mode == RT_MODE_SPEC)
		s->depth--;
	s->depth--;
}

/* A field's colon: the specification is text of the f-string around the field. */
static void rt_scan_spec(struct rt_scan *s)
{
	struct rt_nest string = s->nest[s->depth - 1];
	struct rt_nest *nest;

	rt_scan_take(s, 1);
	nest = rt_scan_push(s, RT_MODE_SPEC);
	if (!nest)
		return;
	*nest = string;
	nest->mode = RT_MODE_SPEC;
}

/* One token of code or less. Returns true at a newline that ends the logical line. */
static bool rt_scan_code(struct rt_scan *s)
{
	struct rt_nest *nest = &s->nest[s->depth];
	bool field = nest->mode == RT_MODE_FIELD;
	char c = *s->p;

	if (rt_at_newline(s)) {
		if (!field && !nest->brackets)
			return true;
		rt_scan_join(s);
	} else if (c == '#') {
		rt_scan_comment(s);
	} else if (c == '\\' && rt_scan_continuation(s)) {
		return false;
	} else if (c == '"' || c == '\'') {
		rt_scan_open(s, "", 0);
	} else if (rt_is_word(c)) {
		rt_scan_word(s);
	} else if (c == '(' || c == '[' || c == '{') {
		nest->brackets++;
		rt_scan_take(s, 1);
	} else if (field && c == '}' && !nest->brackets) {
		rt_scan_close_field(s);
	} else if (field && c == ':' && !nest->brackets) {
		rt_scan_spec(s);
	} else {
		if ((c == ')' || c == ']' || c == '}') && nest->brackets)
			nest->brackets--;
		rt_scan_take(s, 1);
	}
	return false;
}

/* A backslash in a string. It keeps the next character from ending the string, in a raw string too, but not a brace
 * from opening a field. */
static void rt_scan_escape(struct rt_scan *s, const struct rt_nest *nest)
{
	char next = s->end - s->p > 1 ? s->p[1] : '\0';
	size_t n = 3;

	if (rt_scan_continuation(s))
		return;
	if (nest->format && (next == '{' || next == '}')) {
		rt_scan_take(s, 1);
	} else if (nest->format && !nest->raw && next == 'N' && s->end - s->p > 2 && s->p[2] == '{') {
		while (s->p + n < s->end && (rt_is_word(s->p[n]) || s->p[n] == ' ' || s->p[n] == '-'))
			n++; /* \N{NAME OF A CHARACTER} */
		rt_scan_take(s, n + (s->p + n < s->end && s->p[n] == '}'));
	} else {
		rt_scan_take(s, 2);
	}
}

/* One character of a string or of a format specification. */
static void rt_scan_string(struct rt_scan *s)
{
	const struct rt_nest *nest = &s->nest[s->depth];
	bool spec = nest->mode == RT_MODE_SPEC;
	ptrdiff_t left = s->end - s->p;
	char c = *s->p;

	if (rt_at_newline(s)) {
		if (!nest->triple)
			s->depth--; /* no valid string; a specification gives way to its field, as in 3.12 */
		else
			rt_scan_join(s);
	} else if (c == '\\') {
		rt_scan_escape(s, nest);
	} else if (c == nest->quote && (!nest->triple || (left > 2 && s->p[1] == c && s->p[2] == c))) {
		rt_scan_take(s, nest->triple ? 3 : 1);
		while (s->nest[s->depth].mode != RT_MODE_STRING)
			s->depth--; /* the field too, of which only the specification was open */
		s->depth--;
	} else if (nest->format && c == '{' && (spec || left < 2 || s->p[1] != '{')) {
		rt_scan_take(s, 1);
		rt_scan_push(s, RT_MODE_FIELD);
	} else if (spec && c == '}') {
		rt_scan_close_field(s);
	} else {
		rt_scan_take(s, nest->format && c == '{' ? 2 : 1);
	}
}

/* Ends the logical line; one without anything in it is none. */
static int rt_scan_finish(struct rt_scan *s)
{
	struct rt_logical_line *line;

	s->depth = 0;
	s->nest[0].brackets = 0;
	if (!s->now.first)
		return 0;
	if (s->lines.count == RT_LINES_MAX)
		return -E2BIG;
	if (s->lines.count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		line = realloc(s->lines.line, s->cap * sizeof(*line));
		if (!line)
			return -ENOMEM;
		s->lines.line = line;
	}
	rt_scan_trim(s);
	s->text[s->used++] = '\0';
	s->line_start = s->used;
	s->lines.line[s->lines.count++] = s->now;
	s->now = (struct rt_logical_line){ 0 };
	return 0;
}

/* Measures the indentation. If backslashes spread it over several lines, the first part that is not empty counts. */
static void rt_scan_indent(struct rt_scan *s)
{
	int column = 0, before_backslash = 0;

	for (; s->p < s->end; s->p++) {
		if (*s->p == ' ') {
			column++;
		} else if (*s->p == '\t') {
			column = (column / RT_TAB + 1) * RT_TAB;
		} else if (*s->p == '\f') {
			column = 0;
		} else if (*s->p == '\\' && s->end - s->p > 1 && (s->p[1] == '\n' || s->p[1] == '\r')) {
			before_backslash = before_backslash ? before_backslash : column;
			s->p++;
			rt_scan_newline(s);
			s->p--; /* the loop goes on by one */
		} else {
			break;
		}
	}
	s->now.column = before_backslash ? before_backslash : column;
}

static int rt_scan_line(struct rt_scan *s)
{
	s->now = (struct rt_logical_line){ 0 };
	rt_scan_indent(s);
	while (s->p < s->end) {
		enum rt_mode mode = s->nest[s->depth].mode;

		if (mode == RT_MODE_STRING || mode == RT_MODE_SPEC) {
			rt_scan_string(s);
		} else if (rt_scan_code(s)) {
			rt_scan_newline(s);
			break;
		}
	}
	return rt_scan_finish(s);
}

/* Gives back what is not needed. The lines point to their texts only now that these have moved for the last time. */
static void rt_scan_pack(struct rt_scan *s)
{
	struct rt_logical_line *line = s->lines.count ? realloc(s->lines.line, s->lines.count * sizeof(*line)) : NULL;
	char *text = s->lines.count ? realloc(s->text, s->used) : NULL;

	if (line)
		s->lines.line = line;
	if (text)
		s->text = text;
	text = s->text;
	for (size_t i = 0; i < s->lines.count; i++) {
		s->lines.line[i].text = text;
		text += strlen(text) + 1;
	}
}

int rt_pysource_split(const char *text, size_t len, struct rt_logical_lines *out)
{
	struct rt_scan *s;
	int err = 0;

	if (len > RT_SOURCE_MAX)
		return -E2BIG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->p = text;
	s->end = text + len;
	s->row = 1;
	s->text = malloc(len + 1);
	if (!s->text)
		err = -ENOMEM;
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		s->p += 3; /* byte order mark */
	while (!err && s->p < s->end)
		err = rt_scan_line(s);
	if (!err)
		rt_scan_pack(s);
	if (err || !s->lines.count) {
		free(s->text);
		free(s->lines.line);
		s->lines = (struct rt_logical_lines){ 0 };
	}
	if (!err)
		*out = s->lines;
	free(s);
	return err;
}

/* All texts are one block, which begins with the first line's. */
void rt_logical_lines_free(struct rt_logical_lines *lines)
{
	if (lines->count)
		free(lines->line[0].text);
	free(lines->line);
	*lines = (struct rt_logical_lines){ 0 };
}

/* ---- statements of a function ---- */

/* The text after `word` and the blanks after it, or NULL if `text` does not begin with this word. */
static const char *rt_after_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(text, word, len) || !rt_is_blank(text[len]) || !text[len])
		return NULL;
	text += len;
	while (*text && rt_is_blank(*text))
		text++;
	return text;
}

/* The name that a def or class statement binds, or NULL if `text` is none. */
static const char *rt_def_name(const char *text)
{
	const char *after = rt_after_word(text, "async"), *name = rt_after_word(after ? after : text, "def");

	return (name || after) ? name : rt_after_word(text, "class");
}

static bool rt_def_is(const char *text, const char *name, size_t len)
{
	const char *found = rt_def_name(text);

	return found && !strncmp(found, name, len) && !rt_is_word(found[len]);
}

/* Steps over the string at `p`, a quote. The quotes of an f-string's fields may mislead it, which matters only outside
 * the brackets of a def's parameters: in a return annotation. */
static const char *rt_after_string(const char *p)
{
	char quote = *p;
	bool triple = p[1] == quote && p[2] == quote;

	for (p += triple ? 3 : 1; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == quote && (!triple || (p[1] == quote && p[2] == quote)))
			return p + (triple ? 3 : 1);
	}
	return p;
}

/* Length of a def or class statement's header, its colon included. */
static size_t rt_header_len(const char *text)
{
	unsigned int brackets = 0, lambdas = 0;
	const char *p = text;

	while (*p) {
		if (*p == '"' || *p == '\'') {
			p = rt_after_string(p);
			continue;
		}
		if (rt_is_word(*p)) {
			size_t len = 1;

			while (rt_is_word(p[len]))
				len++;
			lambdas += !brackets && len == strlen("lambda") && !strncmp(p, "lambda", len);
			p += len;
			continue;
		}
		if (*p == '(' || *p == '[' || *p == '{')
			brackets++;
		else if ((*p == ')' || *p == ']' || *p == '}') && brackets)
			brackets--;
		else if (*p == ':' && !brackets && !lambdas--)
			return (size_t)(p - text) + 1;
		p++;
	}
	return (size_t)(p - text);
}

size_t rt_pysource_line_at(const struct rt_logical_lines *lines, int row)
{
	size_t low = 0, high = lines->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (lines->line[middle].last < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low < lines->count && lines->line[low].first <= row ? low : lines->count;
}

/* A decorator's line is that of its expression, which in `@(<newline>expression)` is not the line of the `@`. */
size_t rt_pysource_def_at(const struct rt_logical_lines *lines, int firstlineno)
{
	size_t i = rt_pysource_line_at(lines, firstlineno);

	if (i == lines->count || (i && lines->line[i - 1].text[0] == '@'))
		return lines->count;
	if (lines->line[i].text[0] != '@' && lines->line[i].first != firstlineno)
		return lines->count;
	while (i < lines->count && lines->line[i].text[0] == '@')
		i++;
	return i;
}

struct rt_find {
	const struct rt_pattern *patterns;
	size_t n_patterns;
	struct rt_line_range *range;
	size_t n, cap;
	bool suspends; /* a generator or coroutine: where its frame comes onto the stack says nothing of what it has run by then */
};

/* Keeps the line's range if a pattern matches the first `len` bytes of its text. */
static int rt_find_match(struct rt_find *find, const struct rt_logical_line *line, size_t len, bool always)
{
	bool hit = false;

	for (size_t i = 0; !hit && i < find->n_patterns; i++) {
		regmatch_t part = { .rm_so = 0, .rm_eo = (regoff_t)(len < RT_MATCH_MAX ? len : RT_MATCH_MAX) };

		hit = !regexec(&find->patterns[i].compiled, line->text, 1, &part, REG_STARTEND);
	}
	if (!hit)
		return 0;
	if (find->n == find->cap) {
		size_t cap = find->cap ? find->cap * 2 : 4;
		struct rt_line_range *range = realloc(find->range, cap * sizeof(*range));

		if (!range)
			return -ENOMEM;
		find->range = range;
		find->cap = cap;
	}
	find->range[find->n++] = (struct rt_line_range){
		.first = line->first, .last = line->last, .always = always };
	return 0;
}

/* A statement that is no header of a block, with or without its block on the same line. */
static bool rt_is_simple(const char *text)
{
	static const char *const headers[] = { "if", "elif", "else", "for", "while", "try", "except", "finally",
					       "with", "async", "def", "class" };
	static const char *const soft[] = { "match", "case" }; /* names as well */
	size_t len = 0;

	while (rt_is_word(text[len]))
		len++;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (len == strlen(headers[i]) && !strncmp(text, headers[i], len))
			return false;
	}
	for (size_t i = 0; i < sizeof(soft) / sizeof(soft[0]); i++) {
		if (len == strlen(soft[i]) && !strncmp(text, soft[i], len))
			return text[rt_header_len(text) - 1] != ':'; /* no colon outside of brackets */
	}
	return *text != '@';
}

/* Is `word` a word of the text, outside of strings? */
static bool rt_has_word(const char *text, const char *word)
{
	size_t len = strlen(word), n;

	while (*text) {
		for (n = 0; rt_is_word(text[n]);)
			n++;
		if (n == len && !strncmp(text, word, len))
			return true;
		text += n;
		if (*text == '"' || *text == '\'')
			text = rt_after_string(text);
		else if (!n)
			text++;
	}
	return false;
}

/* Statements from index `i` on that are indented by more than `column`. The header of a nested function or class and
 * its decorators run in the code searched here, its body does not. */
static int rt_find_body(struct rt_find *find, const struct rt_logical_lines *lines, size_t i, int column)
{
	int nested = INT_MAX, err = 0, body = i < lines->count ? lines->line[i].column : 0;

	for (; !err && i < lines->count && lines->line[i].column > column; i++) {
		const struct rt_logical_line *line = &lines->line[i];
		bool def;

		if (line->column > nested)
			continue;
		def = rt_def_name(line->text) != NULL;
		find->suspends |= rt_has_word(line->text, "yield");
		nested = def ? line->column : INT_MAX;
		err = rt_find_match(find, line, def ? rt_header_len(line->text) : strlen(line->text),
				    line->column == body && rt_is_simple(line->text));
	}
	return err;
}

int rt_pysource_find(const struct rt_logical_lines *lines, int firstlineno, const char *qualname,
		     const struct rt_pattern *patterns, size_t n_patterns, struct rt_line_range **out)
{
	struct rt_find find = { .patterns = patterns, .n_patterns = n_patterns };
	const struct rt_logical_line *def;
	const char *name = strrchr(qualname, '.');
	size_t i, len;
	int err = 0;

	name = name ? name + 1 : qualname;
	if (!firstlineno || !strcmp(qualname, "<module>")) {
		err = rt_find_body(&find, lines, 0, -1);
	} else {
		i = rt_pysource_def_at(lines, firstlineno);
		if (i == lines->count || !*name || !rt_def_is(lines->line[i].text, name, strlen(name)))
			return -ENOENT;
		def = &lines->line[i];
		find.suspends = rt_after_word(def->text, "async") != NULL;
		len = strlen(def->text);
		if (rt_header_len(def->text) < len)
			err = rt_find_match(&find, def, len, false); /* def f(): return x */
		if (!err)
			err = rt_find_body(&find, lines, i + 1, def->column);
	}
	for (i = 0; find.suspends && i < find.n; i++)
		find.range[i].always = false;
	if (err || !find.n)
		free(find.range);
	else
		*out = find.range;
	return err ? err : (int)find.n;
}
