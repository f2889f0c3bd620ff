/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Pure parts of doctor: where functions are defined (the truth is what CPython compiles), folders, phases, its two outputs, its command line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "docopts.h"
#include "docphases.h"
#include "docreport.h"
#include "pydef.h"
#include "sourcedirs.h"

#define PYTHON "/usr/bin/python3"

/* ---- definitions ---- */

static const char source[] = "import os\n"			      /* 1 */
			     "class A:\n"			      /* 2 */
			     "    def f(self):\n"		      /* 3 */
			     "        def inner(): pass\n"	      /* 4 */
			     "        return inner\n"		      /* 5 */
			     "    @property\n"		      /* 6 */
			     "    @other(1,\n"		      /* 7 */
			     "           2)\n"		      /* 8 */
			     "    async def g(self):\n"	      /* 9 */
			     "        x = '''\n"		      /* 10 */
			     "def f(): pass\n"		      /* 11 */
			     "'''\n"			      /* 12 */
			     "if os:\n"			      /* 13 */
			     "    def f(): return alloc(1)\n"     /* 14 */
			     "else:\n"			      /* 15 */
			     "    def f():\n"		      /* 16 */
			     "        y = alloc(\n"		      /* 17 */
			     "            2)\n";		      /* 18 */

static struct rt_logical_lines split(const char *text)
{
	struct rt_logical_lines lines = {0};

	assert_int_equal(rt_pysource_split(text, strlen(text), &lines), 0);
	return lines;
}

static void test_definitions(void **state)
{
	struct rt_logical_lines lines = split(source);
	int at[RT_PYDEF_MAX];

	assert_int_equal(rt_pydef_find(&lines, "<module>", at), 1);
	assert_int_equal(at[0], 0);
	assert_int_equal(rt_pydef_find(&lines, "A.f", at), 1);
	assert_int_equal(at[0], 3);
	assert_int_equal(rt_pydef_find(&lines, "A.f.<locals>.inner", at), 1);
	assert_int_equal(at[0], 4);
	assert_int_equal(rt_pydef_find(&lines, "A.g", at), 1);
	assert_int_equal(at[0], 6);
	assert_int_equal(rt_pydef_find(&lines, "f", at), 2);
	assert_int_equal(at[0], 14);
	assert_int_equal(at[1], 16);
	assert_int_equal(rt_pydef_find(&lines, "A.inner", at), 0);
	assert_int_equal(rt_pydef_find(&lines, "A.f.inner", at), 0);
	assert_int_equal(rt_pydef_find(&lines, "inner", at), 0);
	assert_int_equal(rt_pydef_find(&lines, "g", at), 0);
	assert_int_equal(rt_pydef_find(&lines, "", at), 0);
	rt_logical_lines_free(&lines);
}

/* Every function that CPython compiles of some files of its library is found at the line that CPython gives it. */
static void test_against_cpython(void **state)
{
	static const char command[] =
		PYTHON " -c \""
		"import argparse, asyncio.base_events, collections, dataclasses, subprocess, types, typing\n"
		"def walk(c):\n"
		"    for k in c.co_consts:\n"
		"        if isinstance(k, types.CodeType):\n"
		"            if k.co_name[0] != '<' and '<lambda>' not in k.co_qualname: print(k.co_firstlineno, k.co_qualname)\n"
		"            walk(k)\n"
		"for m in (argparse, asyncio.base_events, collections, dataclasses, subprocess, typing):\n"
		"    print('=', m.__file__)\n"
		"    walk(compile(open(m.__file__).read(), m.__file__, 'exec'))\"";
	struct rt_logical_lines lines = {0};
	char line[4096], *text = NULL;
	size_t checked = 0, len = 0;
	FILE *p = popen(command, "r");

	assert_non_null(p);
	while (fgets(line, sizeof(line), p)) {
		char *name = strchr(line, ' ');
		int want = atoi(line), at[RT_PYDEF_MAX];
		bool found = false;
		size_t n;

		assert_non_null(name);
		*name++ = '\0';
		name[strcspn(name, "\n")] = '\0';
		if (line[0] == '=') {
			FILE *f = fopen(name, "r");

			assert_non_null(f);
			rt_logical_lines_free(&lines);
			free(text);
			text = NULL;
			assert_true(getdelim(&text, &len, -1, f) > 0); /* -1 is in no UTF-8 text: the whole file */
			fclose(f);
			lines = split(text);
			continue;
		}
		n = rt_pydef_find(&lines, name, at);
		for (size_t i = 0; i < n; i++)
			found |= at[i] == want;
		if (!found && n < RT_PYDEF_MAX)
			fail_msg("%s: CPython has it at line %d, found %zu, the first at %d", name, want, n, n ? at[0] : -1);
		checked++;
	}
	assert_int_equal(pclose(p), 0);
	assert_true(checked > 500);
	rt_logical_lines_free(&lines);
	free(text);
}

/* ---- folders ---- */

static bool has(const struct rt_sourcedirs *dirs, const char *dir)
{
	for (size_t i = 0; i < dirs->n; i++)
		if (!strcmp(dirs->dir[i], dir))
			return true;
	return false;
}

static void test_folders(void **state)
{
	struct rt_sourcedirs d = {.n = 0};
	char path[64];

	rt_sourcedirs_add_installed(&d, "/v/lib/python3.12/site-packages/torch/lib/libtorch.so");
	assert_true(has(&d, "/v/lib/python3.12/site-packages"));
	assert_true(has(&d, "/v/lib/python3.12"));
	rt_sourcedirs_add_installed(&d, "/usr/lib/python3.11/lib-dynload/_ssl.so");
	assert_true(has(&d, "/usr/lib/python3.11/site-packages"));
	rt_sourcedirs_add_program(&d, "/e/bin/python", "3.13.0");
	assert_true(has(&d, "/e/lib/python3.13/site-packages"));
	rt_sourcedirs_add_list(&d, "/one:relative:/two/::");
	assert_true(has(&d, "/one"));
	assert_true(has(&d, "/two"));
	assert_false(has(&d, "relative"));
	rt_sourcedirs_add_file(&d, "/src/vllm/vllm/v1/core.py");
	assert_true(has(&d, "/src/vllm"));
	rt_sourcedirs_add_file(&d, "<string>");
	rt_sourcedirs_add_file(&d, "x.py");
	rt_sourcedirs_add_program(&d, "python", "3.13.0");
	rt_sourcedirs_add_program(&d, "/python", "");
	rt_sourcedirs_add_installed(&d, "/python3");
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/many/%d", i);
		rt_sourcedirs_add(&d, path);
		rt_sourcedirs_add(&d, path);
	}
	assert_int_equal(d.n, RT_SOURCEDIRS_MAX);
	rt_sourcedirs_free(&d);
}

/* ---- phases ---- */

static int read_one(void *ctx, const char *path, char **text, size_t *len)
{
	if (!strcmp(path, "/secret/app/locked.py"))
		return -EACCES;
	if (strcmp(path, "/srv/app/mod.py"))
		return -ENOENT;
	*text = strdup(source);
	*len = strlen(source);
	return 0;
}

static void test_phases(void **state)
{
	static const char yaml[] = "name: t\nphases:\n"
				   "  - {id: whole, function: A.g, file: app/mod.py, label: x}\n"
				   "  - {id: stmt, function: f, file: app/mod.py, statement: '^y = alloc', label: x}\n"
				   "  - {id: none, function: f, file: app/mod.py, statement: '^z', label: x}\n"
				   "  - {id: nofunc, function: A.h, file: app/mod.py, label: x}\n"
				   "  - {id: nofile, function: f, file: app/none.py, label: x}\n"
				   "  - {id: locked, function: f, file: app/locked.py, label: x}\n"
				   "  - {id: anyfile, function: A.f, label: x}\n"
				   "  - {id: module, function: '<module>', file: [app/none.py, mod.py], label: x}\n";
	static const struct {
		bool found;
		const char *why;
	} want[] = {{true, ""}, {true, ""}, {false, "no statement"}, {false, "A.h"}, {false, "sys.path"}, {false, "Permission"}, {true, ""},
		    {true, ""}};
	struct rt_doc doc = {.source = "none"};
	struct rt_sourcedirs d = {.n = 0};
	char *error = NULL, *seen[] = {(char *)"/srv/app/mod.py"};
	struct rt_profile *profile = rt_profile_parse("t.yaml", yaml, strlen(yaml), &error);

	assert_non_null(profile);
	doc.target = calloc(1, sizeof(*doc.target));
	rt_sourcedirs_add(&d, "/secret");
	rt_sourcedirs_add(&d, "/srv");
	assert_true(rt_docphases_find(&doc, profile, &d, seen, 1, read_one, NULL));
	rt_profile_free(profile);
	assert_int_equal(doc.target->n_phases, 8);
	for (size_t i = 0; i < 8; i++) {
		if (doc.target->phases[i].found != want[i].found)
			fail_msg("phase %s", doc.target->phases[i].id);
		if (!want[i].found)
			assert_non_null(strstr(doc.target->phases[i].reason, want[i].why));
		else
			assert_string_equal(doc.target->phases[i].file, "/srv/app/mod.py");
	}
	assert_false(doc.failed);
	rt_sourcedirs_free(&d);
	rt_doc_free(&doc);
}

/* ---- outputs ---- */

static void fill(struct rt_doc *doc)
{
	struct rt_pystack_frame *f;

	*doc = (struct rt_doc){.source = "rss_stat", .status = 5};
	rt_doc_add(doc, "kernel", "btf", "BTF", RT_DOC_YES, true, NULL, NULL);
	rt_doc_add(doc, "kernel", "ring", "ring", RT_DOC_NO, true, "v", "bad \x1b[31m\n\xff name");
	rt_doc_set(doc, &doc->source_reason, "because");
	rt_doc_set(doc, &doc->verdict, "no");
	doc->target = calloc(1, sizeof(*doc->target));
	doc->target->pid = 7;
	doc->target->threads = calloc(1, sizeof(*doc->target->threads));
	doc->target->n_threads = 1;
	doc->target->threads[0].stack.n = doc->target->threads[0].stack.depth = 1;
	f = &doc->target->threads[0].stack.frame[0];
	f->function = strdup("f\x1b[0m");
	f->file = strdup("/x.py");
}

static void test_table(void **state)
{
	struct rt_doc doc;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fill(&doc);
	assert_int_equal(rt_doc_table(&doc, out), 0);
	fclose(out);
	assert_null(strchr(text, '\x1b'));
	assert_non_null(strstr(text, "NO  v: bad"));
	assert_non_null(strstr(text, "exit status 5"));
	assert_non_null(strstr(text, "/x.py\n")); /* no line is known: none is shown */
	free(text);
	rt_doc_free(&doc);
}

static void test_json(void **state)
{
	struct rt_doc doc;
	json_t *root, *frame;
	json_error_t error;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fill(&doc);
	assert_int_equal(rt_doc_json(&doc, out), 0);
	fclose(out);
	root = json_loads(text, 0, &error);
	assert_non_null(root);
	assert_int_equal(json_integer_value(json_object_get(root, "status")), 5);
	assert_int_equal(json_array_size(json_object_get(root, "checks")), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(root, "checks"), 1), "state")), "no");
	assert_true(json_is_null(json_object_get(json_object_get(root, "target"), "python")));
	frame = json_array_get(json_object_get(json_array_get(json_object_get(json_object_get(root, "target"), "threads"), 0), "frames"), 0);
	assert_string_equal(json_string_value(json_object_get(frame, "function")), "f\x1b[0m");
	assert_true(json_is_null(json_object_get(frame, "line")));
	json_decref(root);
	free(text);
	rt_doc_free(&doc);
}

static void test_full_disk(void **state)
{
	struct rt_doc doc;
	FILE *out = fopen("/dev/full", "w");

	assert_non_null(out);
	fill(&doc);
	assert_int_equal(rt_doc_json(&doc, out), -ENOSPC);
	fclose(out);
	rt_doc_free(&doc);
}

/* ---- command line ---- */

static int parse(struct rt_docopts *opts, char **said, char *const *words)
{
	char *argv[8] = {(char *)"doctor"};
	size_t len;
	FILE *f = open_memstream(said, &len);
	int argc = 1, status;

	for (; *words; words++)
		argv[argc++] = *words;
	status = rt_docopts_parse(argc, argv, f, f, opts);
	fclose(f);
	return status;
}

#define PARSE(opts, said, ...) parse(opts, said, (char *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})

static void test_command_line(void **state)
{
	struct rt_docopts o;
	char *said;

	assert_int_equal(PARSE(&o, &said, (char *)"-p", (char *)"12", (char *)"--json"), 0);
	assert_int_equal(o.pid, 12);
	assert_true(o.json);
	assert_string_equal(o.profile, "vllm");
	free(said);
	assert_int_equal(PARSE(&o, &said, (char *)"-h"), 0);
	assert_true(o.shown);
	assert_non_null(strstr(said, "ramtrack-bpf doctor"));
	free(said);
	assert_int_equal(PARSE(&o, &said, (char *)"-p", (char *)"0"), 2);
	assert_non_null(strstr(said, "'0'"));
	free(said);
	assert_int_equal(PARSE(&o, &said, (char *)"-p", (char *)"1", (char *)"-p", (char *)"2"), 2);
	free(said);
	assert_int_equal(PARSE(&o, &said, (char *)"17"), 2);
	assert_non_null(strstr(said, "-p before a process id"));
	free(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definitions), cmocka_unit_test(test_against_cpython), cmocka_unit_test(test_folders),
		cmocka_unit_test(test_phases),	    cmocka_unit_test(test_table),	     cmocka_unit_test(test_json),
		cmocka_unit_test(test_full_disk),   cmocka_unit_test(test_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
