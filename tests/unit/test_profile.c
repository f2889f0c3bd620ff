/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
/* Profiles: what a good one becomes, and every mistake with its line and reason. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "profile.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Parses a copy without a NUL behind it. */
static struct rt_profile *parse_len(const char *text, size_t len, char **error)
{
	char *copy = malloc(len + 1);
	struct rt_profile *profile;

	assert_non_null(copy);
	memcpy(copy + 1, text, len);
	profile = rt_profile_parse("dir/p.yaml", copy + 1, len, error);
	free(copy);
	return profile;
}

static void expect_error_len(const char *text, size_t len, const char *expected)
{
	char *error = NULL;

	assert_null(parse_len(text, len, &error));
	assert_non_null(error);
	if (strncmp(error, "dir/p.yaml:", 11) || !strstr(error, expected) || strpbrk(error, "\n\x1b"))
		fail_msg("error: %s\nexpected in it: %s\nprofile:\n%.2000s", error, expected, text);
	free(error);
}

static void expect_error(const char *text, const char *expected)
{
	expect_error_len(text, strlen(text), expected);
}

static struct rt_profile *parse(const char *text)
{
	char *error = NULL;
	struct rt_profile *profile = parse_len(text, strlen(text), &error);

	if (!profile)
		fail_msg("refused: %s", error);
	assert_null(error);
	return profile;
}

static const char good[] = "# a comment\n"
			   "name: my profile\n"
			   "phases:\n"
			   "  - id: engine_core_init\n"
			   "    function: EngineCore.__init__\n"
			   "    file: vllm/v1/engine/core.py\n"
			   "    label: {zh: EngineCore初始化, en: EngineCore init}\n"
			   "    enter: {zh: EngineCore初始化开始}\n"
			   "    exit: left it\n"
			   "    watch: false\n"
			   "  - id: '2nd'\n"
			   "    function: [a, \"<module>\"]\n"
			   "    file: [b.py, /c/d.py]\n"
			   "    statement:\n"
			   "      - 'executor_class\\('\n"
			   "      - \"^\\tx = [^]{}]{2,3}$\"\n"
			   "    label: \"标签\"\n"
			   "native:\n"
			   "- symbol: init_shm\n"
			   "  library: '_C*.so'\n"
			   "  kind: shm\n"
			   "- symbol: my_malloc\n"
			   "  library: cumem_allocator*.so\n"
			   "  kind: device\n"
			   "  bytes: arg1\n"
			   "  checkpoint: true\n";

static void test_good(void **state)
{
	struct rt_profile *profile = parse(good);
	const struct rt_phase *phase = profile->phases;
	const struct rt_native_rule *native = profile->natives;

	(void)state;
	assert_string_equal(profile->name, "my profile");
	assert_string_equal(profile->path, "dir/p.yaml");
	assert_int_equal(profile->n_phases, 2);
	assert_string_equal(phase->id, "engine_core_init");
	assert_int_equal(phase->line, 4);
	assert_int_equal(phase->n_functions, 1);
	assert_string_equal(phase->functions[0], "EngineCore.__init__");
	assert_int_equal(phase->n_files, 1);
	assert_int_equal(phase->n_statements, 0);
	assert_string_equal(phase->label.text[RT_LANG_ZH], "EngineCore初始化");
	assert_string_equal(phase->label.text[RT_LANG_EN], "EngineCore init");
	assert_string_equal(phase->enter.text[RT_LANG_ZH], "EngineCore初始化开始");
	assert_null(phase->enter.text[RT_LANG_EN]);
	assert_string_equal(phase->exit.text[RT_LANG_ZH], "left it");
	assert_string_equal(phase->exit.text[RT_LANG_EN], "left it");
	phase++;
	assert_string_equal(phase->id, "2nd");
	assert_int_equal(phase->line, 11);
	assert_int_equal(phase->n_functions, 2);
	assert_string_equal(phase->functions[1], "<module>");
	assert_int_equal(phase->n_files, 2);
	assert_string_equal(phase->files[1], "/c/d.py");
	assert_int_equal(phase->n_statements, 2);
	assert_string_equal(phase->statements[0].source, "executor_class\\(");
	assert_int_equal(regexec(&phase->statements[0].compiled, "x = executor_class(y)", 0, NULL, 0), 0);
	assert_int_equal(regexec(&phase->statements[0].compiled, "executor_class", 0, NULL, 0), REG_NOMATCH);
	assert_int_equal(regexec(&phase->statements[1].compiled, "\tx = ab", 0, NULL, 0), 0);
	assert_int_equal(regexec(&phase->statements[1].compiled, "\tx = ab]", 0, NULL, 0), REG_NOMATCH);
	assert_string_equal(phase->label.text[RT_LANG_ZH], "标签");
	assert_string_equal(phase->label.text[RT_LANG_EN], "标签");
	assert_null(phase->enter.text[RT_LANG_ZH]);
	assert_int_equal(profile->n_natives, 2);
	assert_int_equal(native[0].n_symbols, 1);
	assert_string_equal(native[0].symbols[0], "init_shm");
	assert_int_equal(native[0].n_libraries, 1);
	assert_string_equal(native[0].libraries[0], "_C*.so");
	assert_string_equal(native[0].kind, "shm");
	assert_int_equal(native[0].bytes.arg[0].number, 0);
	assert_int_equal(native[0].op, RT_NATIVE_ALLOC);
	assert_int_equal(native[0].n_fallbacks, 0);
	assert_false(native[0].hot);
	assert_string_equal(native[0].label.text[RT_LANG_ZH], "init_shm");
	assert_string_equal(native[0].label.text[RT_LANG_EN], "init_shm");
	assert_false(native[0].checkpoint);
	assert_int_equal(native[1].bytes.arg[0].number, 1);
	assert_int_equal(native[1].bytes.arg[0].bits, 64);
	assert_int_equal(native[1].bytes.arg[1].number, 0);
	assert_true(native[1].checkpoint);
	rt_profile_free(profile);
	rt_profile_free(NULL);
}

/* Any number of phases, in order, none lost while the array grows; JSON and a byte order mark are as good. */
static void test_forms(void **state)
{
	char *text = NULL, id[16];
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct rt_profile *profile;

	(void)state;
	assert_non_null(out);
	fputs("\xef\xbb\xbf{\"phases\": [", out);
	for (int i = 0; i < 1000; i++)
		fprintf(out, "%s{\"id\": \"p%d\", \"function\": [\"f%d\"], \"label\": \"x\"}", i ? ",\n" : "", i, i);
	fputs("]}", out);
	fclose(out);
	profile = parse(text);
	free(text);
	assert_string_equal(profile->name, "p"); /* of the file */
	assert_int_equal(profile->n_phases, 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		assert_string_equal(profile->phases[i].id, id);
		assert_int_equal(profile->phases[i].line, i + 1);
	}
	rt_profile_free(profile);
}

#define PHASE "phases:\n- id: a\n  function: f\n  label: x\n"

static void test_shape(void **state)
{
	static const char *const cases[][2] = {
		{ "", ":1: no phases" },
		{ "# nothing\n", ":1: no phases" },
		{ "name: x\n", ":1: no phases" },
		{ "phases: []\n", ":1: `phases` is an empty list" },
		{ "name: x\nphases:\n", ":2: `phases` is a list" },
		{ "phases: {a: b}\n", ":1: `phases` is a list" },
		{ "- a\n", ":1: a profile is a mapping" },
		{ "a text\n", ":1: a profile is a mapping" },
		{ "phases:\n- a\n", ":2: a phase is a mapping" },
		{ PHASE "phase: 1\n", ":5: unknown key `phase` in a profile: it may be name, phases or native" },
		{ PHASE "  lable: y\n", ":5: unknown key `lable` in a phase: it may be id, function, file, statement, label, enter, exit or watch" },
		{ PHASE "  \"a\\e[1m\": y\n", ":5: unknown key `a\\x1b[1m` in a phase" },
		{ PHASE "  ? [a]\n  : b\n", ":5: a key of a phase is a word" },
		{ PHASE "  \"id\\0\": y\n", ":5: unknown key `id` in a phase" },
		{ PHASE "  id: b\n", ":5: `id` is given twice in a phase" },
		{ PHASE "phases: []\n", ":5: `phases` is given twice in a profile" },
		{ "phases:\n- id: b\n  label: {zh: a, en: b, zh: c}\n", ":3: `zh` is given twice in `label`" },
		{ PHASE "- id: a\n  function: g\n  label: y\n", ":5: duplicate id `a`: line 2 has it too" },
		{ PHASE "---\n" PHASE, ":5: a second document" },
		{ PHASE "...\n---\n", ":6: a second document" },
		{ PHASE "  <<: {file: b}\n", ":5: unknown key `<<`" },
		{ "phases: &a\n- id: b\n", ":1: anchors" },
		{ "name: &a x\nphases: *a\n", ":1: anchors" },
		{ "name: x\nphases: *a\n", ":2: anchors" },
		{ "name: !!str 1\n", ":1: tags" },
		{ "phases: !x\n- a\n", ":1: tags" },
		{ "!x {name: a}\n", ":1: tags" },
		{ "name: x\nphases: [{id: a\n", ":3: not valid YAML: " },
		{ "name: 'x\n", "not valid YAML: " },
		{ "name: x\n\tphases: y\n", ":2: not valid YAML: " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_error(cases[i][0], cases[i][1]);
}

/* A phase, wrong in one line. */
static void test_phase(void **state)
{
	static const char *const cases[][2] = {
		{ "phases:\n\n- function: f\n  label: x\n", ":3: a phase without `id`" },
		{ "phases:\n- id: a\n  label: x\n", ":2: a phase without `function`" },
		{ "phases:\n- id: a\n  function: f\n", ":2: a phase without `label`" },
		{ "phases:\n- id: A\n", ":2: `id: A`: only a-z, 0-9 and _" },
		{ "phases:\n- id: a-b\n", ":2: `id: a-b`: only" },
		{ "phases:\n- id: ''\n", ":2: `id` is empty" },
		{ "phases:\n- id:\n", ":2: `id` is a text, not nothing" },
		{ "phases:\n- id: 12\n", ":2: `id` is a text, not a number" },
		{ "phases:\n- id: [a]\n", ":2: `id` is a text, not a list" },
		{ "phases:\n- id: {a: b}\n", ":2: `id` is a text, not a mapping" },
		{ "phases:\n- function: ~\n", ":2: `function` is a text, not nothing" },
		{ "phases:\n- function: true\n", ":2: `function` is a text, not true or false" },
		{ "phases:\n- function: 1.5e3\n", ":2: `function` is a text, not a number" },
		{ "phases:\n- function: -0x1F\n", ":2: `function` is a text, not a number" },
		{ "phases:\n- function: []\n", ":2: `function` is an empty list" },
		{ "phases:\n- function: [f,\n    [g]]\n", ":3: `function` is a text, not a list" },
		{ "phases:\n- function: [f,\n    {g: h}]\n", ":3: `function` is a text, not a mapping" },
		{ "phases:\n- file: {a: b}\n", ":2: `file` is a text, not a mapping" },
		{ "phases:\n- file: \"a\\0b\"\n", ":2: `file` contains a control character" },
		{ "phases:\n- label: \"a\\nb\"\n", ":2: `label` contains a control character" },
		{ "phases:\n- label: \"a\\u009bb\"\n", ":2: `label` contains a control character" },
		{ "phases:\n- label: {zh: a}\n", ":2: `label` without `en`" },
		{ "phases:\n- label: {en: a}\n", ":2: `label` without `zh`" },
		{ "phases:\n- label: {zh: a, en: b, de: c}\n", ":2: unknown key `de` in `label`: it may be zh or en" },
		{ "phases:\n- label: {zh: a, en: [b]}\n", ":2: `en` is a text, not a list" },
		{ "phases:\n- label: [a, b]\n", ":2: `label` is a text or {zh: ..., en: ...}, not a list" },
		{ "phases:\n- enter: {}\n", ":2: `enter` has neither zh nor en" },
		{ "phases:\n- exit: {zh: ''}\n", ":2: `zh` is empty" },
		{ "phases:\n- watch: yes\n", ":2: `watch` is either true or false" },
		{ "phases:\n- watch: 'true'\n", ":2: `watch` is either true or false" },
		{ "phases:\n- watch: [true]\n", ":2: `watch` is either true or false" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_error(cases[i][0], cases[i][1]);
}

static void test_native(void **state)
{
	static const char *const cases[][2] = {
		{ PHASE "native: []\n", ":5: `native` is an empty list" },
		{ PHASE "native: {}\n", ":5: `native` is a list" },
		{ PHASE "native:\n- a\n", ":6: a native entry is a mapping" },
		{ PHASE "native:\n- library: b\n  kind: c\n", ":6: a native entry without `symbol`" },
		{ PHASE "native:\n- symbol: b\n  kind: c\n", ":6: a native entry without `library`" },
		{ PHASE "native:\n- symbol: b\n  library: c\n", ":6: a native entry without `kind`" },
		{ PHASE "native:\n- size: b\n", ":6: unknown key `size` in a native entry: it may be symbol, library, "
						"kind, bytes, op, label, checkpoint, hot or fallback" },
		{ PHASE "native:\n- kind: a b\n", ":6: `kind: a b`: only" },
		{ PHASE "native:\n- bytes: arg0\n", ":6: `bytes` is `mapped`, `none`, an argument" },
		{ PHASE "native:\n- bytes: arg\n", ":6: `bytes` is `mapped`, `none`, an argument" },
		{ PHASE "native:\n- bytes: arg1x\n", ":6: `bytes` is `mapped`, `none`, an argument" },
		{ PHASE "native:\n- bytes: arg1.5\n", ":6: `bytes` is `mapped`, `none`, an argument" },
		{ PHASE "native:\n- bytes: arg7\n", ":6: `bytes` is `mapped`, `none`, an argument in a register (arg1 to arg6;" },
		{ PHASE "native:\n- bytes: arg12\n", ":6: `bytes` is `mapped`" },
		{ PHASE "native:\n- bytes: arg1*\n", ":6: `bytes` is `mapped`" },
		{ PHASE "native:\n- bytes: arg1*arg2*arg3\n", ":6: `bytes` is `mapped`" },
		{ PHASE "native:\n- bytes: arg1:16\n", ":6: `bytes` is `mapped`" },
		{ PHASE "native:\n- bytes: arg1:320\n", ":6: `bytes` is `mapped`" },
		{ PHASE "native:\n- bytes: none*arg1\n", ":6: `bytes` is `mapped`" },
		{ PHASE "native:\n- bytes: [arg1]\n", ":6: `bytes` is a text, not a list" },
		{ PHASE "native:\n- symbol: [a, '*ab*']\n", ":6: `symbol: *ab*` means nearly everything: give it at least 3" },
		{ PHASE "native:\n- symbol: []\n", ":6: `symbol` is an empty list" },
		{ PHASE "native:\n- symbol: 5\n", ":6: `symbol` is a text, not a number" },
		{ PHASE "native:\n- fallback: '*?'\n", ":6: `fallback: *?` means nearly everything" },
		{ PHASE "native:\n- library: '*.?'\n", ":6: `library: *.?` means nearly everything: give it at least 2" },
		{ PHASE "native:\n- library: lib/\n", ":6: `library` ends in /" },
		{ PHASE "native:\n- kind: a123456789012345678901234567890123\n", ":6: `kind` has more than 31" },
		{ PHASE "native:\n- op: realloc\n", ":6: `op` is either alloc or free" },
		{ PHASE "native:\n- label: {zh: a}\n", ":6: `label` without `en`" },
		{ PHASE "native:\n- hot: yes\n", ":6: `hot` is either true or false" },
		{ PHASE "native:\n- bytes: 4096\n", ":6: `bytes` is a text, not a number" },
		{ PHASE "native:\n- checkpoint: 1\n", ":6: `checkpoint` is either true or false" },
		{ "native:\n- symbol: a\n  library: b\n  kind: c\n", ":1: no phases" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_error(cases[i][0], cases[i][1]);
}

/* All keys of a native entry, as lists and as single values. */
static void test_native_keys(void **state)
{
	struct rt_profile *profile = parse(PHASE "native:\n"
						 "- symbol: ['*SHMManager::init_shm(int)', _Zxyz]\n"
						 "  library: ['_C*.so', torch/lib/libc10.so]\n"
						 "  kind: shm\n"
						 "  fallback: [init_shm_manager, join_shm_manager]\n"
						 "  label: {zh: 共享内存, en: shared memory}\n"
						 "- symbol: a::b::cde*\n"
						 "  library: c.so\n"
						 "  kind: x_1\n"
						 "  bytes: arg2:32*arg3\n"
						 "  op: free\n"
						 "  hot: true\n"
						 "- symbol: operator new(unsigned long)\n"
						 "  library: c.so\n"
						 "  kind: heap\n"
						 "  bytes: mapped\n"
						 "  op: alloc\n"
						 "  fallback: one\n"
						 "- symbol: shm_open\n"
						 "  library: c.so\n"
						 "  kind: shm\n"
						 "  bytes: none\n");
	const struct rt_native_rule *rule = profile->natives;

	(void)state;
	assert_int_equal(profile->n_natives, 4);
	assert_int_equal(rule[0].n_symbols, 2);
	assert_string_equal(rule[0].symbols[1], "_Zxyz");
	assert_int_equal(rule[0].n_libraries, 2);
	assert_string_equal(rule[0].libraries[1], "torch/lib/libc10.so");
	assert_int_equal(rule[0].n_fallbacks, 2);
	assert_string_equal(rule[0].fallbacks[0], "init_shm_manager");
	assert_string_equal(rule[0].label.text[RT_LANG_ZH], "共享内存");
	assert_string_equal(rule[0].label.text[RT_LANG_EN], "shared memory");
	assert_string_equal(rule[1].label.text[RT_LANG_ZH], "cde");
	assert_int_equal(rule[1].bytes.arg[0].number, 2);
	assert_int_equal(rule[1].bytes.arg[0].bits, 32);
	assert_int_equal(rule[1].bytes.arg[1].number, 3);
	assert_int_equal(rule[1].bytes.arg[1].bits, 64);
	assert_int_equal(rule[1].op, RT_NATIVE_FREE);
	assert_true(rule[1].hot);
	assert_string_equal(rule[2].label.text[RT_LANG_EN], "new");
	assert_int_equal(rule[2].bytes.arg[0].number, 0);
	assert_string_equal(rule[2].fallbacks[0], "one");
	assert_false(rule[2].bytes.none);
	assert_true(rule[3].bytes.none);
	assert_int_equal(rule[3].bytes.arg[0].number, 0);
	rt_profile_free(profile);
}

/* A set of rules is 64 bits; patterns and lists are bounded. */
static void test_native_limits(void **state)
{
	char *text = malloc(65536), *p = text;

	(void)state;
	p += sprintf(p, "%snative:\n", PHASE);
	for (int i = 0; i < RT_NATIVE_RULES_MAX; i++)
		p += sprintf(p, "- {symbol: f%d, library: l.so, kind: k}\n", i);
	rt_profile_free(parse(text));
	sprintf(p, "- {symbol: g, library: l.so, kind: k}\n");
	expect_error(text, ":70: more than 64 native entries");
	p = text + sprintf(text, "%snative:\n- symbol: ", PHASE);
	memset(p, 'a', 513);
	strcpy(p + 513, "\n");
	expect_error(text, ":6: `symbol` has more than 512 bytes");
	p += sprintf(p, "[");
	for (int i = 0; i < 64; i++)
		p += sprintf(p, "f%d, ", i);
	strcpy(p, "g]\n");
	expect_error(text, ":6: `symbol` has more than 64 entries");
	free(text);
}

/* ---- statements ---- */

static char *phase_with(const char *statement)
{
	char *text;

	assert_true(asprintf(&text, PHASE "  statement: '%s'\n", statement) > 0);
	return text;
}

static void test_regex(void **state)
{
	static const char *const bad[][2] = {
		{ "(", ":5: bad regex `(` in `statement`: Unmatched ( or \\(" },
		{ "a[", ":5: bad regex `a[`" },
		{ "a\\", "Trailing backslash" },
		{ "[b-a]", "Invalid range end" },
		{ "[[:none:]]", "Invalid character class" },
		{ "(a)\\1", "references back" },
		/* Left to itself, regcomp takes gigabytes for each of these. */
		{ "a{2049}", "too large" },
		{ "a{50}{50}{50}", "too large" },
		{ "((((a{99}){99}){99}){99}){99}", "too large" },
		{ "((((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+", "too large" },
		{ "(abcdef[]x(*]{1,}){300}", "too large" },
		{ "(a{,50}){50}", "too large" },
		{ "a{99999999999999999999}", "too large" },
	};
	static const char *const fine[] = { "^x = [^][({]+\\(", "[]()]{5}", "[[:space:](]*\\{\\1?", "a)|(b", "(a|b)+c?",
					    "\\\\1", "[\\1]", "x{40}y{40}z{40}", "{", "a{x" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char *text = phase_with(bad[i][0]);

		expect_error(text, bad[i][1]);
		free(text);
	}
	for (size_t i = 0; i < COUNT(fine); i++) {
		char *text = phase_with(fine[i]), *error = NULL;
		regex_t regex;
		bool compiles = !regcomp(&regex, fine[i], REG_EXTENDED | REG_NOSUB);
		struct rt_profile *profile = parse_len(text, strlen(text), &error);

		/* What is not too dear is for regcomp to take or to refuse. */
		if (strstr(fine[i], "\\{\\1"))
			assert_non_null(strstr(error, "references back"));
		else if (compiles != (profile != NULL))
			fail_msg("%s: regcomp %s, profile %s", fine[i], compiles ? "takes it" : "refuses it",
				 error ? error : "taken");
		if (compiles)
			regfree(&regex);
		rt_profile_free(profile);
		free(error);
		free(text);
	}
	expect_error(PHASE "  statement: [a, b,\n    'c(']\n", ":6: bad regex `c(`");
	expect_error(PHASE "  statement: |\n    a\n", "`statement` contains a control character");
	expect_error(PHASE "  statement: ['']\n", ":5: `statement` is empty");
}

/* Many patterns that are each small enough are too many in the end. */
static void test_regex_sum(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	fputs(PHASE "  statement:\n", out);
	for (int i = 0; i < 50; i++)
		fputs("  - (a{30}){50}\n", out);
	fclose(out);
	expect_error(text, "too large, together with all patterns before it");
	free(text);
}

static void test_parentheses(void **state)
{
	char pattern[401], *text;

	(void)state;
	memset(pattern, '(', 200);
	memset(pattern + 200, ')', 200);
	pattern[400] = '\0';
	text = phase_with(pattern);
	expect_error(text, "too many parentheses");
	free(text);
}

/* ---- hostile files ---- */

static void test_hostile(void **state)
{
	const size_t max = 1u << 20;
	char *text = malloc(max + 1);

	(void)state;
	assert_non_null(text);
	expect_error("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", ":1: unknown key `a`");
	expect_error("phases: [&a [x, x], &b [*a, *a], &c [*b, *b]]\n", ":1: anchors");
	memset(text, '[', max + 1);
	expect_error_len(text, max, ":1: a profile is a mapping");
	expect_error_len(text, max + 1, ":1: larger than 1 MiB");
	memcpy(text, "phases: ", 8);
	expect_error_len(text, max, ":1: a phase is a mapping");
	memset(text, '\n', max);
	expect_error_len(text, max, ":1: no phases");
	memset(text, '-', max);
	for (size_t i = 1; i < max; i += 2)
		text[i] = ' ';
	expect_error_len(text, max, ":1: a profile is a mapping");
	memset(text, 'a', max);
	expect_error_len(text, max, ":1: ");
	free(text);

	expect_error("name: x\n# \xff\n", ":2: ");
	expect_error("name: \xc3\x28\n", "a profile is UTF-8 text");
	expect_error("name: \xed\xa0\x80\n", "a profile is UTF-8 text"); /* a surrogate */
	expect_error_len("\xff\xfen\0:\0", 6, "a profile is UTF-8 text"); /* UTF-16 */
	expect_error_len("name: x\n\0", 9, ":2: control characters are not allowed");
	expect_error("name: \x1b[1m\n", ":1: control characters are not allowed");
}

/* Every beginning of a good profile, and every byte of it spoiled: refused with a reason, or taken; nothing leaks or is
 * read beyond. */
static void test_spoiled(void **state)
{
	char text[sizeof(good)], *error;
	size_t refused = 0;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(good); i++) {
		size_t at = i / 2, len = i % 2 ? sizeof(good) - 1 : at;
		struct rt_profile *profile;

		memcpy(text, good, sizeof(good));
		text[at] ^= i % 2 ? 1 << at % 8 : 0;
		error = NULL;
		profile = parse_len(text, len, &error);
		assert_true(!profile == !!error);
		refused += !profile;
		rt_profile_free(profile);
		free(error);
	}
	assert_true(refused > sizeof(good) / 2);
}

/* ---- files and names ---- */

static void test_read(void **state)
{
	char path[] = "/tmp/test_profile.XXXXXX", *error = NULL;
	struct rt_profile *profile;
	int fd = mkstemp(path);
	char filler[4096];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, good, sizeof(good) - 1), sizeof(good) - 1);
	profile = rt_profile_read(path, &error);
	assert_non_null(profile);
	assert_null(error);
	assert_string_equal(profile->path, path);
	rt_profile_free(profile);

	memset(filler, '#', sizeof(filler));
	for (int i = 0; i < 256; i++)
		assert_int_equal(write(fd, filler, sizeof(filler)), sizeof(filler));
	close(fd);
	assert_null(rt_profile_read(path, &error));
	assert_non_null(strstr(error, ":1: larger than 1 MiB"));
	free(error);
	unlink(path);
	assert_null(rt_profile_read(path, &error));
	assert_non_null(strstr(error, path));
	assert_non_null(strstr(error, strerror(ENOENT)));
	free(error);
	assert_null(rt_profile_read("/", &error));
	assert_non_null(strstr(error, strerror(EISDIR)));
	free(error);
}

static void test_names(void **state)
{
	struct rt_profile *profile = parse(good);
	const struct rt_phase *two = &profile->phases[1], *any;

	(void)state;
	assert_true(rt_profile_file_matches("/x/vllm/core.py", "vllm/core.py"));
	assert_true(rt_profile_file_matches("vllm/core.py", "vllm/core.py"));
	assert_true(rt_profile_file_matches("/vllm/core.py", "/vllm/core.py"));
	assert_true(rt_profile_file_matches("/x/vllm/core.py", "/vllm/core.py"));
	assert_false(rt_profile_file_matches("/x/notvllm/core.py", "vllm/core.py"));
	assert_false(rt_profile_file_matches("core.py", "vllm/core.py"));
	assert_false(rt_profile_file_matches("vllm/core.pyc", "vllm/core.py"));
	assert_false(rt_profile_file_matches("", "core.py"));
	assert_false(rt_profile_file_matches("core.py", ""));
	assert_true(rt_phase_names(two, "a", "/usr/b.py"));
	assert_true(rt_phase_names(two, "<module>", "/e/c/d.py"));
	assert_false(rt_phase_names(two, "a", "/usr/bb.py"));
	assert_false(rt_phase_names(two, "A.a", "/usr/b.py"));
	rt_profile_free(profile);
	profile = parse(PHASE);
	any = profile->phases;
	assert_true(rt_phase_names(any, "f", "<frozen x>"));
	assert_true(rt_phase_names(any, "f", ""));
	rt_profile_free(profile);
}

/* The shipped profile has the ids that users may rely on. */
static void test_shipped(void **state)
{
	static const char *const ids[] = {
		"import_torch", "import_transformers", "import_vllm", "api_server_init", "engine_core_init",
		"create_model_executor", "init_kv_cache", "kv_cache_specs", "kv_cache_memory", "kv_cache_configs",
		"kv_cache_workers", "kv_cache_warm_up", "create_scheduler", "worker_init", "workspace_manager",
		"model_runner", "worker_load_model", "worker_init_kv_cache", "worker_warm_up", "runner_init",
		"create_input_batch", "runner_load_model", "create_model", "load_weights", "weights_release",
		"runner_init_kv_cache", "input_batch_token_ids", "input_batch_is_token_ids",
		"input_batch_num_computed",
	};
	char *error = NULL;
	struct rt_profile *profile;

	(void)state;
	if (access("profiles/vllm.yaml", R_OK)) {
		print_message("skipped: profiles/vllm.yaml is not here: run this from the top folder of the sources\n");
		skip();
	}
	profile = rt_profile_read("profiles/vllm.yaml", &error);
	if (!profile)
		fail_msg("%s", error);
	assert_string_equal(profile->name, "vllm");
	for (size_t i = 0; i < COUNT(ids); i++) {
		size_t found = 0;

		for (size_t k = 0; k < profile->n_phases; k++)
			found += !strcmp(profile->phases[k].id, ids[i]);
		if (found != 1)
			fail_msg("%s: found %zu times", ids[i], found);
	}
	rt_profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	    cmocka_unit_test(test_forms),
		cmocka_unit_test(test_shape),	    cmocka_unit_test(test_phase),
		cmocka_unit_test(test_native), cmocka_unit_test(test_native_keys), cmocka_unit_test(test_native_limits),	    cmocka_unit_test(test_regex),
		cmocka_unit_test(test_regex_sum),   cmocka_unit_test(test_parentheses),
		cmocka_unit_test(test_hostile),	    cmocka_unit_test(test_spoiled),
		cmocka_unit_test(test_read),	    cmocka_unit_test(test_names),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
