/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The command line: what is taken, what is refused and with which words, and that help and manual page agree. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "opts.h"
#include "taglog.h"
#include "units.h"

/* The manual page is found beside this source, from the folder in which it was compiled. */
#define RT_MANUAL "doc/ramtrack-bpf.1"

struct result {
	int status;
	struct rt_opts opts;
	char *out, *err;
};

/* Parses a command line given as words, up to the first NULL. */
static void parse(struct result *r, char *const *words)
{
	char *argv[32] = {(char *)"ramtrack-bpf"};
	size_t out_len, err_len;
	FILE *out, *err;
	int argc = 1;

	for (; *words; words++)
		argv[argc++] = *words;
	memset(r, 0, sizeof(*r));
	out = open_memstream(&r->out, &out_len);
	err = open_memstream(&r->err, &err_len);
	r->status = rt_opts_parse(argc, argv, out, err, &r->opts);
	/* argv is gone after this: what points into it is compared by the caller through literals only. */
	if (r->opts.command)
		r->opts.command = (char **)words - (argv + argc - r->opts.command);
	fclose(out);
	fclose(err);
}

static void drop(struct result *r)
{
	rt_opts_free(&r->opts);
	free(r->out);
	free(r->err);
}

#define PARSE(r, ...) parse(r, (char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
	struct result r;

	(void)state;
	PARSE(&r, "-p", "1");
	assert_int_equal(r.status, 0);
	assert_false(r.opts.shown);
	assert_int_equal(r.opts.n_pids, 1);
	assert_int_equal(r.opts.pids[0], 1);
	assert_null(r.opts.command);
	assert_string_equal(r.opts.profile, "vllm");
	assert_int_equal(r.opts.duration_ns, 0);
	assert_null(r.opts.output);
	assert_null(r.opts.json);
	assert_false(r.opts.log_to_stderr);
	assert_int_equal(r.opts.lang, RT_LANG_ZH);
	assert_string_equal(r.opts.tag, "第二次改动");
	assert_int_equal(r.opts.min_size, 0);
	assert_true(r.opts.follow);
	assert_true(r.opts.mappings);
	assert_false(r.opts.native_alloc);
	assert_int_equal(r.opts.sample_hz, 100);
	assert_int_equal(r.opts.python_entry, RT_ENTRY_AUTO);
	assert_int_equal(r.opts.color, RT_COLOR_AUTO);
	assert_false(r.opts.strict || r.opts.timestamps || r.opts.json_growth);
	assert_int_equal(r.opts.verbosity, 0);
	assert_string_equal(r.err, "");
	drop(&r);
}

static void test_all(void **state)
{
	struct result r;

	(void)state;
	PARSE(&r, "--pid=4194304", "-p7", "-p", "4194304", "-P", "my.yaml", "-d", "1.5h", "-o", "log", "-j", "x.json",
	      "--json-growth", "--lang=en", "--tag", "t", "-z", "64K", "-T", "--no-follow", "--no-mappings", "--native-alloc", "--sample-hz", "0",
	      "--python-entry=uprobe", "--strict", "--color", "never", "-vv");
	assert_int_equal(r.status, 0);
	assert_int_equal(r.opts.n_pids, 2);
	assert_int_equal(r.opts.pids[0], 4194304);
	assert_int_equal(r.opts.pids[1], 7);
	assert_string_equal(r.opts.profile, "my.yaml");
	assert_int_equal(r.opts.duration_ns, 5400000000000ULL);
	assert_string_equal(r.opts.output, "log");
	assert_string_equal(r.opts.json, "x.json");
	assert_true(r.opts.json_growth && r.opts.timestamps && r.opts.strict);
	assert_false(r.opts.follow);
	assert_false(r.opts.mappings);
	assert_true(r.opts.native_alloc);
	assert_int_equal(r.opts.lang, RT_LANG_EN);
	assert_string_equal(r.opts.tag, "t");
	assert_int_equal(r.opts.min_size, 65536);
	assert_int_equal(r.opts.sample_hz, 0);
	assert_int_equal(r.opts.python_entry, RT_ENTRY_UPROBE);
	assert_int_equal(r.opts.color, RT_COLOR_NEVER);
	assert_int_equal(r.opts.verbosity, 2);
	drop(&r);
}

static void test_command(void **state)
{
	char *words[] = {(char *)"-d", (char *)"5", (char *)"--", (char *)"vllm", (char *)"serve", (char *)"-p",
			 (char *)"--", (char *)"--help", NULL};
	struct result r;

	(void)state;
	parse(&r, words);
	assert_int_equal(r.status, 0);
	assert_false(r.opts.shown);
	assert_int_equal(r.opts.n_pids, 0);
	assert_int_equal(r.opts.duration_ns, 5000000000ULL);
	assert_ptr_equal(r.opts.command, &words[3]);
	drop(&r);
}

static void test_streams(void **state)
{
	struct result r;

	(void)state;
	PARSE(&r, "-p", "1", "-j", "-");
	assert_int_equal(r.status, 0);
	assert_true(r.opts.log_to_stderr);
	drop(&r);
	PARSE(&r, "-p", "1", "-j", "-", "-o", "log");
	assert_int_equal(r.status, 0);
	assert_false(r.opts.log_to_stderr);
	drop(&r);
	PARSE(&r, "-p", "1", "-o", "-", "-j", "x");
	assert_int_equal(r.status, 0);
	assert_null(r.opts.output);
	assert_false(r.opts.log_to_stderr);
	drop(&r);
	PARSE(&r, "-p", "1", "--tag", "");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.opts.tag, "");
	drop(&r);
	PARSE(&r, "--wait", "vllm (serve|bench)");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.opts.wait, "vllm (serve|bench)");
	assert_null(r.opts.pids);
	drop(&r);
	PARSE(&r, "-p", "1", "-vq");
	assert_int_equal(r.opts.verbosity, -1);
	drop(&r);
}

/* The words that stand for a command, and what they change. */
static void test_record_and_report(void **state)
{
	struct result r;

	(void)state;
	PARSE(&r, "-p", "1");
	assert_int_equal(r.opts.what, RT_COMMAND_TRACE);
	assert_null(r.opts.record);
	drop(&r);
	PARSE(&r, "-p", "1", "--record", "a", "-o", "b");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.opts.record, "a");
	assert_string_equal(r.opts.output, "b");
	assert_false(r.opts.no_log);
	drop(&r);
	PARSE(&r, "record", "-p", "1");
	assert_int_equal(r.status, 0);
	assert_int_equal(r.opts.what, RT_COMMAND_RECORD);
	assert_string_equal(r.opts.record, "ramtrack.ledger");
	assert_string_equal(r.opts.profile, "vllm");
	assert_true(r.opts.no_log);
	drop(&r);
	PARSE(&r, "record", "-o", "a", "--", "report");
	assert_string_equal(r.opts.record, "a");
	assert_null(r.opts.output);
	assert_non_null(r.opts.command);
	drop(&r);
	PARSE(&r, "report");
	assert_int_equal(r.status, 0);
	assert_int_equal(r.opts.what, RT_COMMAND_REPORT);
	assert_int_equal(r.opts.n_ledgers, 1);
	assert_string_equal(r.opts.ledger[0], "ramtrack.ledger");
	assert_null(r.opts.profile);
	drop(&r);
	PARSE(&r, "report", "a", "-P", "x", "b", "--", "-c");
	assert_int_equal(r.status, 0);
	assert_int_equal(r.opts.n_ledgers, 3);
	assert_string_equal(r.opts.ledger[2], "-c");
	assert_string_equal(r.opts.profile, "x");
	drop(&r);
	/* Only as the first word. */
	PARSE(&r, "-p", "1", "report");
	assert_int_equal(r.status, 2);
	drop(&r);
	PARSE(&r, "report", "--help");
	assert_true(r.opts.shown);
	assert_non_null(strstr(r.out, "Usage: ramtrack-bpf "));
	drop(&r);
}

/* Refused: exit status 2, and a message that names the option, the value and what is allowed. */
static void test_refused(void **state)
{
	static const struct {
		char *words[6];
		const char *named[3];
	} cases[] = {
		{{NULL}, {"-p PID", "-- COMMAND", NULL}},
		{{(char *)"-d", (char *)"5"}, {"-p PID", "-- COMMAND", NULL}},
		{{(char *)"-p", (char *)"1", (char *)"--", (char *)"l\033s"}, {"-p 1", "-- 'l\\x1bs'", NULL}},
		{{(char *)"--"}, {"--", "COMMAND", NULL}},
		{{(char *)"--wait", (char *)"a("}, {"--wait", "'a('", "( or"}},
		{{(char *)"--wait", (char *)""}, {"--wait", "''", "vllm serve"}},
		{{(char *)"--wait=a", (char *)"-p", (char *)"1"}, {"--wait", "-p", NULL}},
		{{(char *)"--wait=a", (char *)"--", (char *)"ls"}, {"--wait", "-- COMMAND", NULL}},
		{{(char *)"ls", (char *)"-l"}, {"'ls'", "--", NULL}},
		{{(char *)"-p", (char *)"1", (char *)"2"}, {"'2'", "-p", NULL}},
		{{(char *)"-p", (char *)"0"}, {"--pid", "'0'", "1 to 4194304"}},
		{{(char *)"-p", (char *)"-1"}, {"--pid", "'-1'", "1 to 4194304"}},
		{{(char *)"-p", (char *)"4194305"}, {"--pid", "'4194305'", "1 to 4194304"}},
		{{(char *)"-p", (char *)"99999999999999999999"}, {"--pid", "'99999999999999999999'", "1 to 4194304"}},
		{{(char *)"-p", (char *)"12x"}, {"--pid", "'12x'", "1 to 4194304"}},
		{{(char *)"-p", (char *)"1.5"}, {"--pid", "'1.5'", "1 to 4194304"}},
		{{(char *)"-p", (char *)" 1"}, {"--pid", "' 1'", "1 to 4194304"}},
		{{(char *)"-p", (char *)""}, {"--pid", "''", "1 to 4194304"}},
		{{(char *)"-p", (char *)"\x1b[m"}, {"--pid", "'\\x1b[m'", "1 to 4194304"}},
		{{(char *)"-p1", (char *)"-d", (char *)"0"}, {"--duration", "'0'", "500ms"}},
		{{(char *)"-p1", (char *)"-d", (char *)"5x"}, {"--duration", "'5x'", "500ms"}},
		{{(char *)"-p1", (char *)"-d", (char *)"-5"}, {"--duration", "'-5'", "500ms"}},
		{{(char *)"-p1", (char *)"-z", (char *)"1Q"}, {"--min-size", "'1Q'", "64K"}},
		{{(char *)"-p1", (char *)"-z", (char *)"-1"}, {"--min-size", "'-1'", "64K"}},
		{{(char *)"-p1", (char *)"--lang", (char *)"fr"}, {"--lang", "'fr'", "zh or en"}},
		{{(char *)"-p1", (char *)"--color", (char *)"no"}, {"--color", "'no'", "never"}},
		{{(char *)"-p1", (char *)"--sample-hz", (char *)"10001"}, {"--sample-hz", "'10001'", "0 to 10000"}},
		{{(char *)"-p1", (char *)"--sample-hz", (char *)"-1"}, {"--sample-hz", "'-1'", "0 to 10000"}},
		{{(char *)"-p1", (char *)"--python-entry", (char *)"on"}, {"--python-entry", "'on'", "uprobe"}},
		{{(char *)"-p1", (char *)"--python-entry", (char *)"sdt"}, {"sdt", "usdt", "watch"}},
		{{(char *)"-p1", (char *)"-P", (char *)""}, {"--profile", "''", "profile"}},
		{{(char *)"-p1", (char *)"-o", (char *)""}, {"--output", "''", "standard output"}},
		{{(char *)"-p1", (char *)"-o", (char *)"a", (char *)"-ja"}, {"--output", "--json", "'a'"}},
		{{(char *)"-p1", (char *)"-o", (char *)"-", (char *)"-j-"}, {"--output", "--json", "'-'"}},
		{{(char *)"-p1", (char *)"--json-growth"}, {"--json-growth", "-j FILE", NULL}},
		{{(char *)"record"}, {"-p PID", "-- COMMAND", NULL}},
		{{(char *)"record", (char *)"--record", (char *)"a", (char *)"-p1"}, {"-o", "--record", NULL}},
		{{(char *)"record", (char *)"-o", (char *)"-", (char *)"-p1"}, {"standard output", "file", NULL}},
		{{(char *)"-p1", (char *)"--record", (char *)"a", (char *)"-oa"}, {"ledger", "'a'", NULL}},
		{{(char *)"-p1", (char *)"--record", (char *)""}, {"--record", "''", "file"}},
		{{(char *)"report", (char *)"-p1"}, {"--pid", "report", NULL}},
		{{(char *)"report", (char *)"-d", (char *)"5"}, {"--duration", "report", NULL}},
		{{(char *)"report", (char *)"--mm-source", (char *)"auto"}, {"--mm-source", "report", NULL}},
		{{(char *)"report", (char *)"--record", (char *)"a"}, {"--record", "report", NULL}},
		{{(char *)"report", (char *)""}, {"report", "''", "ledger"}},
		{{(char *)"report", (char *)"a", (char *)"b", (char *)"-o", (char *)"c"}, {"--output", "one ledger", NULL}},
	};
	struct result r;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(&r, cases[i].words);
		assert_int_equal(r.status, 2);
		assert_null(r.opts.pids);
		for (j = 0; j < 3 && cases[i].named[j]; j++) {
			if (!strstr(r.err, cases[i].named[j]))
				fail_msg("case %zu: no \"%s\" in: %s", i, cases[i].named[j], r.err);
		}
		assert_non_null(strstr(r.err, "--help"));
		assert_string_equal(r.out, "");
		drop(&r);
	}
}

/* The C library says these on standard error itself; options of later versions are not taken by mistake. */
static void test_unknown(void **state)
{
	static char *const words[] = {(char *)"--bogus", (char *)"-X", (char *)"-p", (char *)"--mm-source=auto",
				      (char *)"--native-alloc", (char *)"-?"};
	int before = dup(STDERR_FILENO);
	struct result r;
	size_t i;

	(void)state;
	assert_non_null(freopen("/dev/null", "w", stderr));
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		PARSE(&r, words[i]);
		assert_int_equal(r.status, 2);
		drop(&r);
	}
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	close(before);
}

static void test_version(void **state)
{
	static char *const words[] = {(char *)"-V", (char *)"--version"};
	struct result r;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		PARSE(&r, words[i], "surplus");
		assert_int_equal(r.status, 0);
		assert_true(r.opts.shown);
		assert_string_equal(r.out, "ramtrack-bpf " RT_VERSION "\n");
		assert_string_equal(r.err, "");
		drop(&r);
	}
}

static char *read_manual(void)
{
	char path[4096], *text;
	const char *slash = strrchr(__FILE__, '/');
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%.*s/../../" RT_MANUAL, slash ? (int)(slash - __FILE__) : 1,
		 slash ? __FILE__ : ".");
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s: %s; run the test from the folder in which it was compiled", path, strerror(errno));
	text = calloc(1, 1 << 16);
	len = fread(text, 1, (1 << 16) - 1, file);
	assert_in_range(len, 1000, (1 << 16) - 2);
	fclose(file);
	return text;
}

#define OPTION_CHARS "abcdefghijklmnopqrstuvwxyz-"

/* Does `text` have `front` + the first `len` characters of `name`, and no longer word there? */
static bool has_word(const char *text, const char *front, const char *name, size_t len)
{
	char word[80];
	const char *hit;

	snprintf(word, sizeof(word), "%s%.*s", front, (int)len, name);
	for (hit = strstr(text, word); hit; hit = strstr(hit + 1, word)) {
		if (!strspn(hit + strlen(word), OPTION_CHARS))
			return true;
	}
	return false;
}

static void test_budgets(void **state)
{
	struct result r;

	(void)state;
	PARSE(&r, "-p", "1", "--fail-if", "tree.peak > 1G", "--budget", "a.yaml", "--fail-if", "lost.records > 0", "--budget", "b.yaml", "--junit", "j.xml");
	assert_int_equal(r.status, 0);
	assert_int_equal(r.opts.n_fail_if, 2);
	assert_string_equal(r.opts.fail_if[0], "tree.peak > 1G");
	assert_string_equal(r.opts.fail_if[1], "lost.records > 0");
	assert_int_equal(r.opts.n_budgets, 2);
	assert_string_equal(r.opts.budgets[1], "b.yaml");
	assert_string_equal(r.opts.junit, "j.xml");
	drop(&r);
	PARSE(&r, "-p", "1", "--fail-if", "tree.peak > 1G", "--fail-if", "tree.peak >\x1b");
	assert_int_equal(r.status, RT_EXIT_USAGE);
	assert_non_null(strstr(r.err, "--fail-if 'tree.peak >\\x1b': column 12: expected a limit"));
	drop(&r);
	PARSE(&r, "-p", "1", "--budget", "");
	assert_int_equal(r.status, RT_EXIT_USAGE);
	drop(&r);
	PARSE(&r, "-p", "1", "--budget", "a.yaml", "--junit", "x", "-o", "x");
	assert_int_equal(r.status, RT_EXIT_USAGE);
	assert_non_null(strstr(r.err, "both write to 'x'"));
	drop(&r);
	PARSE(&r, "-p", "1", "--junit", "x");
	assert_int_equal(r.status, RT_EXIT_USAGE);
	drop(&r);
}

/* Options of `diff` are another help's. */
static void drop_section(char *manual, const char *begin, const char *end)
{
	char *from = strstr(manual, begin), *to = from ? strstr(from, end) : NULL;

	assert_non_null(to);
	memmove(from, to, strlen(to) + 1);
}

/* Every long option that the help lists is an item of the manual page, and the other way round. */
static void test_help_and_manual(void **state)
{
	char *manual = read_manual(), *name, *end;
	int listed = 0, items = 0;
	struct result help, usage;
	size_t len;

	(void)state;
	drop_section(manual, "\n.Ss Differences", "\n.Ss Doctor");
	PARSE(&help, "--help");
	assert_int_equal(help.status, 0);
	assert_true(help.opts.shown);
	assert_string_equal(help.err, "");
	for (name = strstr(help.out, " --"); name; name = strstr(name, " --")) {
		name += 3;
		len = strspn(name, OPTION_CHARS);
		if (!len)
			continue; /* -- COMMAND */
		if (!has_word(manual, "Fl -", name, len))
			fail_msg("--%.*s is in the help, not in the manual page", (int)len, name);
		listed++;
	}
	for (name = strstr(manual, "\n.It Fl "); name; name = strstr(name, "\n.It Fl ")) {
		name += strlen("\n.It Fl ");
		end = strchr(name, '\n');
		name = strstr(name[0] == '-' ? name - 1 : name, name[0] == '-' ? "-" : "Fl -");
		assert_true(name && name < end);
		name += *name == '-' ? 1 : strlen("Fl -");
		len = strspn(name, OPTION_CHARS);
		if (!has_word(help.out, "--", name, len))
			fail_msg("--%.*s is in the manual page, not in the help", (int)len, name);
		items++;
	}
	assert_in_range(items, 17, 40);
	assert_true(listed >= items);
	PARSE(&usage, "--usage");
	assert_int_equal(usage.status, 0);
	assert_true(usage.opts.shown);
	drop(&usage);
	drop(&help);
	free(manual);
}

static void test_color(void **state)
{
	(void)state;
	assert_true(rt_opts_use_color(RT_COLOR_AUTO, NULL, NULL, true));
	assert_false(rt_opts_use_color(RT_COLOR_AUTO, NULL, NULL, false));
	assert_false(rt_opts_use_color(RT_COLOR_AUTO, "1", "1", true));
	assert_true(rt_opts_use_color(RT_COLOR_AUTO, "", "1", false));
	assert_false(rt_opts_use_color(RT_COLOR_AUTO, NULL, "0", false));
	assert_true(rt_opts_use_color(RT_COLOR_ALWAYS, "1", NULL, false));
	assert_false(rt_opts_use_color(RT_COLOR_NEVER, NULL, "1", true));
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int status;
		int64_t bytes;
	} cases[] = {
		{"0", 0, 0}, {"4096", 0, 4096}, {"64K", 0, 65536}, {"64k", 0, 65536}, {"64KiB", 0, 65536},
		{"1M", 0, 1 << 20}, {"1.5G", 0, 1610612736}, {"0.5M", 0, 524288}, {"2T", 0, 2199023255552},
		{"9223372036854775807", 0, INT64_MAX}, {"9223372036854775808", -ERANGE, 0}, {"8388608T", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0}, {"1.00000000000000000000001K", 0, 1024},
		{"", -EINVAL, 0}, {"K", -EINVAL, 0}, {".5K", -EINVAL, 0}, {"1.K", -EINVAL, 0}, {"1.5", -EINVAL, 0},
		{"1 K", -EINVAL, 0}, {"+1", -EINVAL, 0}, {"-1", -EINVAL, 0}, {"1e3", -EINVAL, 0}, {"0x10", -EINVAL, 0},
		{"inf", -EINVAL, 0}, {"1,5K", -EINVAL, 0}, {"1KK", -EINVAL, 0},
	};
	int64_t bytes;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bytes = -42;
		if (rt_size_parse(cases[i].text, &bytes) != cases[i].status ||
		    bytes != (cases[i].status ? -42 : cases[i].bytes))
			fail_msg("'%s': %lld", cases[i].text, (long long)bytes);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int status;
		uint64_t ns;
	} cases[] = {
		{"30", 0, 30000000000}, {"30s", 0, 30000000000}, {"5m", 0, 300000000000}, {"1h", 0, 3600000000000},
		{"500ms", 0, 500000000}, {"0.25s", 0, 250000000}, {"1.5h", 0, 5400000000000}, {"0", 0, 0},
		{"2562048h", -ERANGE, 0}, {"5d", -EINVAL, 0}, {"5 m", -EINVAL, 0}, {"", -EINVAL, 0}, {"m", -EINVAL, 0},
		{"-1", -EINVAL, 0}, {"nan", -EINVAL, 0},
	};
	uint64_t ns;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ns = 42;
		if (rt_time_parse(cases[i].text, &ns) != cases[i].status || ns != (cases[i].status ? 42 : cases[i].ns))
			fail_msg("'%s': %llu", cases[i].text, (unsigned long long)ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_all), cmocka_unit_test(test_command),
		cmocka_unit_test(test_streams), cmocka_unit_test(test_record_and_report), cmocka_unit_test(test_refused), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_version), cmocka_unit_test(test_budgets), cmocka_unit_test(test_help_and_manual), cmocka_unit_test(test_color),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
