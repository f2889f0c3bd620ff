/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "budgets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "units.h"

#define RT_SAFE_CHARS 200

__attribute__((format(printf, 2, 3))) static int rt_budget_error(char **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(error, format, args) < 0)
		*error = NULL;
	va_end(args);
	return -EINVAL;
}

static int rt_budget_no_memory(char **error)
{
	rt_budget_error(error, "out of memory");
	return -ENOMEM;
}

static void rt_budget_clear(struct rt_budget *budget)
{
	rt_bexpr_free(budget->expr);
	free(budget->name);
	free(budget->text);
	free(budget->note);
	free(budget->origin);
	free(budget->detail);
}

void rt_budgets_free(struct rt_budgets *budgets)
{
	for (size_t i = 0; i < budgets->n; i++)
		rt_budget_clear(&budgets->budget[i]);
	free(budgets->budget);
	*budgets = (struct rt_budgets){0};
}

static int rt_budget_make(struct rt_budget *budget, const char *name, const char *text, const char *note, const char *origin, char **error)
{
	struct rt_bexpr_error wrong;

	budget->name = strdup(name);
	budget->text = strdup(text);
	budget->note = note ? strdup(note) : NULL;
	budget->origin = strdup(origin);
	if (!budget->name || !budget->text || !budget->origin || (note && !budget->note))
		return rt_budget_no_memory(error);
	budget->expr = rt_bexpr_parse(budget->text, &wrong);
	if (budget->expr)
		return 0;
	if (!wrong.column)
		return rt_budget_no_memory(error);
	return rt_budget_error(error, "%s: column %zu of the expression: %s", origin, wrong.column, wrong.text);
}

int rt_budgets_add(struct rt_budgets *budgets, const char *name, const char *text, const char *note, const char *origin, char **error)
{
	struct rt_budget budget = {.truth = RT_BT_UNKNOWN}, *more;
	char *safe;
	int err;

	if (budgets->n >= RT_BUDGETS_MAX)
		return rt_budget_error(error, "%s: more than %u budgets; make it several runs", origin, RT_BUDGETS_MAX);
	for (size_t i = 0; i < budgets->n; i++) {
		if (strcmp(budgets->budget[i].name, name))
			continue;
		safe = rt_text_escape(name, RT_SAFE_CHARS);
		rt_budget_error(error, "%s: a budget '%s' is there already (%s); give each another name", origin, safe ? safe : "?", budgets->budget[i].origin);
		free(safe);
		return -EINVAL;
	}
	err = rt_budget_make(&budget, name, text, note, origin, error);
	more = err ? NULL : reallocarray(budgets->budget, budgets->n + 1, sizeof(*more));
	if (!err && !more)
		err = rt_budget_no_memory(error);
	if (err) {
		rt_budget_clear(&budget);
		return err;
	}
	budgets->budget = more;
	more[budgets->n++] = budget;
	return 0;
}

/* ---- a file ---- */

/* Event by event, as profile.c reads a profile: whatever is no list of flat mappings is refused where it begins. */
struct rt_budget_reader {
	yaml_parser_t parser;
	yaml_event_t event;
	const char *path, *text;
	size_t len;
	char **error;
};

enum rt_budget_key { RT_BUDGET_NAME, RT_BUDGET_EXPR, RT_BUDGET_NOTE, RT_BUDGET_KEYS };

static size_t rt_budget_line(const struct rt_budget_reader *r)
{
	return r->event.start_mark.line + 1;
}

static int rt_budget_next(struct rt_budget_reader *r)
{
	const yaml_parser_t *p = &r->parser;
	size_t line = p->problem_mark.line + 1;

	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->parser, &r->event)) {
		if (p->error == YAML_MEMORY_ERROR)
			return rt_budget_no_memory(r->error);
		if (p->error == YAML_READER_ERROR) { /* which knows only the byte */
			line = 1;
			for (size_t i = 0; i < r->len && i < p->problem_offset; i++)
				line += r->text[i] == '\n';
		}
		return rt_budget_error(r->error, "%s:%zu: not valid YAML: %s%s%s", r->path, line, p->problem ? p->problem : "unknown error",
				       p->context ? ", " : "", p->context ? p->context : "");
	}
	if (r->event.type == YAML_ALIAS_EVENT)
		return rt_budget_error(r->error, "%s:%zu: aliases (*name) have no place in a budget file: write the value out", r->path, rt_budget_line(r));
	return 0;
}

static int rt_budget_refuse(const struct rt_budget_reader *r, const char *what)
{
	return rt_budget_error(r->error, "%s:%zu: %s", r->path, rt_budget_line(r), what);
}

/* The scalar that comes next; *text is the caller's. */
static int rt_budget_scalar(struct rt_budget_reader *r, const char *what, char **text)
{
	const char *value;
	int err = rt_budget_next(r);

	if (err)
		return err;
	if (r->event.type != YAML_SCALAR_EVENT)
		return rt_budget_refuse(r, what);
	value = (const char *)r->event.data.scalar.value;
	if (strlen(value) != r->event.data.scalar.length)
		return rt_budget_refuse(r, "a text with a NUL in it");
	*text = strdup(value);
	return *text ? 0 : rt_budget_no_memory(r->error);
}

/* One budget; its mapping has begun. */
static int rt_budget_entry(struct rt_budget_reader *r, struct rt_budgets *budgets)
{
	static const char *const keys[] = {"name", "expr", "note"};
	static const size_t most[] = {RT_BUDGET_TEXT_MAX, RT_BEXPR_TEXT, RT_BUDGET_TEXT_MAX};
	char *value[RT_BUDGET_KEYS] = {NULL}, *origin = NULL, *key;
	size_t line = rt_budget_line(r), expr_line = line;
	int err;

	for (;;) {
		int k = 0;

		err = rt_budget_next(r);
		if (err || r->event.type == YAML_MAPPING_END_EVENT)
			break;
		key = r->event.type == YAML_SCALAR_EVENT ? (char *)r->event.data.scalar.value : (char *)"";
		while (k < RT_BUDGET_KEYS && strcmp(key, keys[k]))
			k++;
		if (k == RT_BUDGET_KEYS)
			err = rt_budget_refuse(r, "no such key; a budget has name, expr and note");
		else if (value[k])
			err = rt_budget_refuse(r, "this key is there twice");
		else
			err = rt_budget_scalar(r, "a text is wanted here", &value[k]);
		if (err)
			break;
		if (!*value[k] || strlen(value[k]) > most[k]) {
			err = rt_budget_refuse(r, *value[k] ? "this text is too long" : "this text is empty; leave its key out");
			break;
		}
		if (k == RT_BUDGET_EXPR)
			expr_line = rt_budget_line(r);
	}
	if (!err && !value[RT_BUDGET_EXPR])
		err = rt_budget_error(r->error, "%s:%zu: a budget without expr: say when it is broken, such as expr: 'tree.peak > 60G'", r->path, line);
	if (!err && asprintf(&origin, "%s:%zu", r->path, expr_line) < 0) {
		origin = NULL;
		err = rt_budget_no_memory(r->error);
	}
	if (!err)
		err = rt_budgets_add(budgets, value[RT_BUDGET_NAME] ? value[RT_BUDGET_NAME] : value[RT_BUDGET_EXPR], value[RT_BUDGET_EXPR], value[RT_BUDGET_NOTE],
				     origin, r->error);
	free(origin);
	for (int k = 0; k < RT_BUDGET_KEYS; k++)
		free(value[k]);
	return err;
}

static int rt_budget_list(struct rt_budget_reader *r, struct rt_budgets *budgets)
{
	size_t before = budgets->n;
	int err = rt_budget_next(r); /* the stream's begin */

	if (!err)
		err = rt_budget_next(r);
	if (!err && r->event.type == YAML_DOCUMENT_START_EVENT)
		err = rt_budget_next(r);
	if (err)
		return err;
	if (r->event.type != YAML_SEQUENCE_START_EVENT)
		return rt_budget_refuse(r, "a list of budgets is wanted: - {name: ..., expr: '...'}");
	while (!(err = rt_budget_next(r)) && r->event.type != YAML_SEQUENCE_END_EVENT) {
		err = r->event.type == YAML_MAPPING_START_EVENT ? rt_budget_entry(r, budgets) : rt_budget_refuse(r, "a budget is a mapping with name, expr and note");
		if (err)
			return err;
	}
	if (!err && budgets->n == before)
		return rt_budget_refuse(r, "no budgets; give at least one");
	if (!err)
		err = rt_budget_next(r); /* the document's end */
	if (!err)
		err = rt_budget_next(r);
	if (!err && r->event.type != YAML_STREAM_END_EVENT)
		return rt_budget_refuse(r, "a second document; a budget file is one list");
	return err;
}

int rt_budgets_parse(struct rt_budgets *budgets, const char *path, const char *text, size_t len, char **error)
{
	struct rt_budget_reader r = {.path = path, .text = text, .len = len, .error = error};
	int err;

	if (!yaml_parser_initialize(&r.parser))
		return rt_budget_no_memory(error);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	err = rt_budget_list(&r, budgets);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	return err;
}

int rt_budgets_read(struct rt_budgets *budgets, const char *path, char **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	char *text = NULL;
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return rt_budget_error(error, "%s: cannot be read: %s; give the name of a budget file (see docs/budgets.md)", path, strerror(errno));
	text = malloc(RT_BUDGET_FILE_MAX + 1);
	if (!text)
		err = rt_budget_no_memory(error);
	while (!err && len <= RT_BUDGET_FILE_MAX) {
		got = read(fd, text + len, RT_BUDGET_FILE_MAX + 1 - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = rt_budget_error(error, "%s: cannot be read: %s", path, strerror(errno));
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	close(fd);
	if (!err && len > RT_BUDGET_FILE_MAX)
		err = rt_budget_error(error, "%s: larger than 1 MiB: not a budget file", path);
	if (!err)
		err = rt_budgets_parse(budgets, path, text, len, error);
	free(text);
	return err;
}

/* ---- before and after the run ---- */

int rt_budgets_check(const struct rt_budgets *budgets, const struct rt_profile *profile, bool compares, char **error)
{
	for (size_t i = 0; i < budgets->n; i++) {
		const struct rt_budget *budget = &budgets->budget[i];
		struct rt_bexpr_error wrong;

		if (!rt_bexpr_check(budget->expr, profile, &wrong) && (compares || !rt_bexpr_compares(budget->expr, &wrong)))
			continue;
		return rt_budget_error(error, "%s: column %zu of the expression: %s", budget->origin, wrong.column, wrong.text);
	}
	return 0;
}

int rt_budgets_judge(struct rt_budgets *budgets, const struct rt_bworld *world)
{
	for (size_t i = 0; i < budgets->n; i++) {
		struct rt_budget *budget = &budgets->budget[i];
		char *detail = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&detail, &len);

		if (!out)
			return -ENOMEM;
		budget->truth = rt_bexpr_judge(budget->expr, world, out);
		if (fclose(out)) {
			free(detail);
			return -ENOMEM;
		}
		free(budget->detail);
		budget->detail = detail;
	}
	return 0;
}

size_t rt_budgets_count(const struct rt_budgets *budgets, enum rt_btruth truth)
{
	size_t n = 0;

	for (size_t i = 0; i < budgets->n; i++)
		n += budgets->budget[i].truth == truth;
	return n;
}
