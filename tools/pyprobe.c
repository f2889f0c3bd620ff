/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pyprobe - what ramtrack-bpf makes of Python sources and line tables, for scripts that compare it with CPython's own
 * account (tests/unit/compare_python.py, line_truth.py) and that check profiles against sources.
 *
 *	pyprobe split FILE
 *		Logical lines: "FIRST LAST COLUMN TEXT".
 *	pyprobe find PROFILE FILE QUALNAME FIRSTLINE [PHASEID]
 *		For each phase with statements that names this function of this file: "PHASEID FIRST LAST", one line
 *		a statement found. QUALNAME <module> or FIRSTLINE 0: the whole file. Exit status 3: no such function
 *		starts at that line.
 *	pyprobe phases PROFILE
 *		What the tracer reads from a profile, one JSON object a phase: "id", "line", and the lists "functions",
 *		"files" and "statements".
 *	pyprobe compare
 *		Compares a dump of tests/unit/line_truth.py on standard input (tools/linetruth.h): differences and counts.
 *	pyprobe line HEXTABLE FIRSTLINE
 *		For each 2-byte instruction of a location table (3.11 and newer): "INSTR START END", 0 0 without a line; "INSTR malformed" where the table
 *		is refused. With - as HEXTABLE, lines "HEXTABLE FIRSTLINE" are read from standard input and each
 *		answer ends with an empty line (FIRSTLINE on the command line is then ignored).
 *
 * Exit status: 0, 1 error, 2 usage, 3 as above.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "hex.h"
#include "linetruth.h"
#include "profile.h"
#include "pyline.h"
#include "pysource.h"

#define RT_FILE_MAX ((16u << 20) + 1)

static int rt_usage(void)
{
	fputs("usage: pyprobe split FILE\n"
	      "       pyprobe find PROFILE FILE QUALNAME FIRSTLINE [PHASEID]\n"
	      "       pyprobe phases PROFILE\n"
	      "       pyprobe compare <DUMP\n"
	      "       pyprobe line HEXTABLE|- FIRSTLINE\n",
	      stderr);
	return 2;
}

static int rt_fail(const char *what, const char *why)
{
	fprintf(stderr, "pyprobe: %s: %s\n", what, why);
	return 1;
}

static int rt_int_parse(const char *text, int *value)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || (*end && *end != '\n') || n < INT_MIN || n > INT_MAX)
		return -EINVAL;
	*value = (int)n;
	return 0;
}

/* Reads and splits a file. Returns 0, or an exit status after a message. */
static int rt_split_file(const char *path, struct rt_logical_lines *lines)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(RT_FILE_MAX);
	size_t len = file && text ? fread(text, 1, RT_FILE_MAX, file) : 0;
	int err = !file || !text || ferror(file) ? -(errno ? errno : EIO) : rt_pysource_split(text, len, lines);

	if (file)
		fclose(file);
	free(text);
	return err ? rt_fail(path, strerror(-err)) : 0;
}

static int rt_split(const char *path)
{
	struct rt_logical_lines lines = { 0 };
	int err = rt_split_file(path, &lines);

	for (size_t i = 0; i < lines.count; i++) {
		const struct rt_logical_line *line = &lines.line[i];

		printf("%d %d %d %s\n", line->first, line->last, line->column, line->text);
	}
	rt_logical_lines_free(&lines);
	return err;
}

/* Reads a profile; NULL after a message. */
static struct rt_profile *rt_profile_open(const char *path)
{
	char *error = NULL;
	struct rt_profile *profile = rt_profile_read(path, &error);

	if (!profile)
		fprintf(stderr, "pyprobe: %s\n", error ? error : "out of memory");
	free(error);
	return profile;
}

static json_t *rt_json_texts(char **text, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(text[i]));
	return list;
}

static int rt_phases(const char *path)
{
	struct rt_profile *profile = rt_profile_open(path);
	int err = 0;

	if (!profile)
		return 1;
	for (size_t i = 0; !err && i < profile->n_phases; i++) {
		const struct rt_phase *phase = &profile->phases[i];
		json_t *statements = json_array(), *object;

		for (size_t k = 0; k < phase->n_statements; k++)
			json_array_append_new(statements, json_string(phase->statements[k].source));
		object = json_pack("{s:s, s:i, s:o, s:o, s:o}", "id", phase->id, "line", phase->line, "functions",
				   rt_json_texts(phase->functions, phase->n_functions), "files",
				   rt_json_texts(phase->files, phase->n_files), "statements", statements);
		err = !object || json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(object);
	}
	rt_profile_free(profile);
	return err ? rt_fail("standard output", "cannot write") : 0;
}

static int rt_find_phase(const struct rt_logical_lines *lines, const struct rt_phase *phase, const char *qualname,
			 int firstlineno)
{
	struct rt_line_range *range = NULL;
	int n = rt_pysource_find(lines, firstlineno, qualname, phase->statements, phase->n_statements, &range);

	for (int i = 0; i < n; i++)
		printf("%s %d %d\n", phase->id, range[i].first, range[i].last);
	free(range);
	return n;
}

static int rt_find(const char *profile_path, const char *path, const char *qualname, int firstlineno, const char *id)
{
	struct rt_logical_lines lines = { 0 };
	struct rt_profile *profile = rt_profile_open(profile_path);
	int status;

	if (!profile)
		return 1;
	status = rt_split_file(path, &lines);
	for (size_t i = 0; !status && i < profile->n_phases; i++) {
		const struct rt_phase *phase = &profile->phases[i];
		int n;

		if (!phase->n_statements || (id && strcmp(id, phase->id)) || !rt_phase_names(phase, qualname, path))
			continue;
		n = rt_find_phase(&lines, phase, qualname, firstlineno);
		if (n == -ENOENT)
			status = 3;
		else if (n < 0)
			status = rt_fail(path, strerror(-n));
	}
	if (status == 3)
		fprintf(stderr, "pyprobe: %s: no function %s starts at line %d\n", path, qualname, firstlineno);
	rt_logical_lines_free(&lines);
	rt_profile_free(profile);
	return status;
}

static int rt_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint8_t *rt_hex_parse(const char *hex, size_t digits)
{
	uint8_t *bytes = digits % 2 ? NULL : malloc(digits / 2 + !digits);

	for (size_t i = 0; bytes && i < digits; i++) {
		int value = rt_hex_digit(hex[i]);

		if (value < 0) {
			free(bytes);
			return NULL;
		}
		bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] << 4 | value : value);
	}
	return bytes;
}

static int rt_line(const char *hex, size_t digits, int firstlineno)
{
	uint8_t *table = rt_hex_parse(hex, digits);
	uint32_t instr = 0, end = 0;

	if (!table)
		return rt_fail("line", "the table is not pairs of hexadecimal digits");
	for (size_t i = 0; i < digits / 2; i++)
		end += table[i] & 0x80 ? ((table[i] & 7u) + 1) * 2 : 0; /* what an entry covers */
	for (; instr < end; instr += 2) {
		int first, last, err = rt_pyline_find(RT_LINES_LOCATIONS, table, digits / 2, firstlineno, instr, &first, &last);

		if (err)
			printf("%u malformed\n", instr);
		else
			printf("%u %d %d\n", instr, first, last);
	}
	free(table);
	return 0;
}

static int rt_lines_stdin(void)
{
	char *text = NULL;
	size_t size = 0;
	int status = 0;

	while (!status && getline(&text, &size, stdin) > 0) {
		const char *blank = strchr(text, ' ');
		int firstlineno;

		if (!blank || rt_int_parse(blank + 1, &firstlineno)) {
			status = rt_fail("standard input", "a line is not HEXTABLE FIRSTLINE");
			break;
		}
		status = rt_line(text, (size_t)(blank - text), firstlineno);
		putchar('\n');
	}
	free(text);
	return status;
}

int main(int argc, char **argv)
{
	int line, status;

	if (argc == 3 && !strcmp(argv[1], "split"))
		status = rt_split(argv[2]);
	else if (argc == 2 && !strcmp(argv[1], "compare"))
		status = rt_linetruth(stdin);
	else if (argc == 3 && !strcmp(argv[1], "phases"))
		status = rt_phases(argv[2]);
	else if ((argc == 6 || argc == 7) && !strcmp(argv[1], "find") && !rt_int_parse(argv[5], &line))
		status = rt_find(argv[2], argv[3], argv[4], line, argc == 7 ? argv[6] : NULL);
	else if (argc == 4 && !strcmp(argv[1], "line") && !strcmp(argv[2], "-"))
		status = rt_lines_stdin();
	else if (argc == 4 && !strcmp(argv[1], "line") && !rt_int_parse(argv[3], &line))
		status = rt_line(argv[2], strlen(argv[2]), line);
	else
		return rt_usage();
	if (fflush(stdout) || ferror(stdout))
		return rt_fail("standard output", strerror(errno));
	return status;
}
