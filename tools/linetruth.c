/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "linetruth.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "pydef.h"
#include "pyline.h"
#include "pysource.h"

#define SHOWN 20		/* differences printed */
#define SOURCE_MAX (16u << 20)

struct truth {
	FILE *in;
	char *text; /* the dump's line that is looked at */
	size_t size;
	char path[4096];
	struct rt_logical_lines lines;
	size_t line; /* of `lines`: how many were compared */
	/* the code object that the next `at` is about */
	uint8_t *table;
	size_t table_len;
	int format, firstlineno;
	unsigned int bytes;
	char name[1024], qualname[1024];
	bool broken;
	unsigned long sources, logical, statements, codes, names, instructions, with_line, differences;
};

static void differ(struct truth *t, const char *what, const char *theirs, const char *ours)
{
	if (t->differences++ < SHOWN)
		printf("%s: %s\n  python:  %s\n  pyprobe: %s\n", t->path, what, theirs, ours);
}

static void read_source(struct truth *t)
{
	size_t len;
	int used = 0;
	char *source;

	if (sscanf(t->text, "source %zu %n", &len, &used) != 1 || !used || len > SOURCE_MAX) {
		t->broken = true;
		return;
	}
	snprintf(t->path, sizeof(t->path), "%.*s", (int)strcspn(t->text + used, "\n"), t->text + used);
	rt_logical_lines_free(&t->lines);
	t->line = 0;
	/* A block of the text's own size: the sanitizer sees each byte read beyond it. */
	source = malloc(len ? len : 1);
	t->broken = !source || fread(source, 1, len, t->in) != len || fgetc(t->in) != '\n' || rt_pysource_split(source, len, &t->lines) != 0;
	free(source);
	t->sources++;
}

static void compare_line(struct truth *t)
{
	const struct rt_logical_line *line;
	char *theirs = t->text + strlen("line "), *ours = NULL;

	theirs[strcspn(theirs, "\n")] = '\0';
	t->logical++;
	if (t->line >= t->lines.count) {
		differ(t, "logical line", theirs, "none");
		return;
	}
	line = &t->lines.line[t->line++];
	if (asprintf(&ours, "%d %d %d %s", line->first, line->last, line->column, line->text) < 0)
		t->broken = true;
	else if (strcmp(theirs, ours))
		differ(t, "logical line", theirs, ours);
	free(ours);
}

static void compare_statement(struct truth *t)
{
	char theirs[64], ours[64] = "none";
	int first, last;
	size_t i;

	if (sscanf(t->text, "statement %d %d", &first, &last) != 2) {
		t->broken = true;
		return;
	}
	i = rt_pysource_line_at(&t->lines, first);
	if (i < t->lines.count)
		snprintf(ours, sizeof(ours), "%d %d", t->lines.line[i].first, t->lines.line[i].last);
	snprintf(theirs, sizeof(theirs), "%d %d", first, last);
	t->statements++;
	if (strcmp(theirs, ours))
		differ(t, "statement", theirs, ours);
}

static void compare_name(struct truth *t)
{
	char ours[1024] = "";

	if (!strcmp(t->qualname, "-"))
		return;
	t->names++;
	if (rt_pydef_qualname(&t->lines, t->firstlineno, t->name, ours, sizeof(ours)) < 0)
		snprintf(ours, sizeof(ours), "none");
	if (strcmp(t->qualname, ours))
		differ(t, "qualified name", t->qualname, ours);
}

static void read_code(struct truth *t)
{
	int at = 0, end = 0;

	free(t->table);
	t->table = NULL;
	if (sscanf(t->text, "code %d %d %u %n%*s%n %1023s %1023s", &t->format, &t->firstlineno, &t->bytes, &at, &end, t->name, t->qualname) != 5) {
		t->broken = true;
		return;
	}
	t->table_len = (size_t)(end - at) / 2;
	if (t->text[at] == '-')
		t->table_len = 0;
	t->table = rt_hex_parse(t->text + at, t->table_len * 2);
	t->broken = !t->table;
	t->codes++;
	if (!t->broken)
		compare_name(t);
}

/* All lines of one instruction. Returns false if they differ. */
static bool compare_instruction(struct truth *t, unsigned int instr, int start, int last, int logical)
{
	int our_start, our_last, our_logical = 0;
	int err = rt_pyline_find((enum rt_line_format)t->format, t->table, t->table_len, t->firstlineno, instr, &our_start, &our_last);
	size_t i = err || !our_start ? t->lines.count : rt_pysource_line_at(&t->lines, our_start);
	char what[1200], theirs[64], ours[64];

	if (i < t->lines.count)
		our_logical = t->lines.line[i].first;
	t->instructions++;
	t->with_line += start > 0;
	if (!err && our_start == start && our_last == last && our_logical == logical)
		return true;
	snprintf(what, sizeof(what), "%s at line %d, instruction %u", t->name, t->firstlineno, instr);
	snprintf(theirs, sizeof(theirs), "%d to %d in the logical line at %d", start, last, logical);
	snprintf(ours, sizeof(ours), "%d to %d in the logical line at %d, %d", our_start, our_last, our_logical, err);
	differ(t, what, theirs, ours);
	return false;
}

static void compare_instructions(struct truth *t)
{
	const char *p = t->text + strlen("at");
	unsigned int instr = 0, end;
	int start, last, logical, used;
	bool same = t->table != NULL;

	for (; same && sscanf(p, " %u:%d:%d:%d%n", &end, &start, &last, &logical, &used) == 4; p += used) {
		for (; same && instr < end; instr += 2)
			same = compare_instruction(t, instr, start, last, logical);
	}
	if (same && (p[strspn(p, " \n")] || instr != t->bytes))
		t->broken = true; /* not all of the code */
}

static void compare(struct truth *t)
{
	if (!strncmp(t->text, "source ", 7)) {
		read_source(t);
	} else if (!strncmp(t->text, "line ", 5)) {
		compare_line(t);
	} else if (!strncmp(t->text, "statement ", 10)) {
		compare_statement(t);
	} else if (!strncmp(t->text, "code ", 5)) {
		read_code(t);
	} else if (!strncmp(t->text, "at ", 3)) {
		compare_instructions(t);
	} else if (!strcmp(t->text, "end\n")) {
		if (t->line != t->lines.count)
			differ(t, "logical lines", "no more", t->lines.line[t->line].text);
	} else {
		t->broken = true;
	}
}

int rt_linetruth(FILE *in)
{
	struct truth t = { .in = in };

	while (!t.broken && getline(&t.text, &t.size, in) > 0)
		compare(&t);
	if (t.broken)
		printf("%s: not a dump of line_truth.py: %.100s\n", t.path, t.text);
	printf("%lu sources, %lu logical lines, %lu statements, %lu code objects, %lu names, %lu instructions, %lu of them with a line; %lu differences\n",
	       t.sources, t.logical, t.statements, t.codes, t.names, t.instructions, t.with_line, t.differences);
	rt_logical_lines_free(&t.lines);
	free(t.table);
	free(t.text);
	return t.broken || t.differences || ferror(in);
}
