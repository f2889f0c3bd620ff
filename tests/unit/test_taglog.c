/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* wcswidth */
#endif
/* The tagged log, letter by letter as documented, and the sizes, times and names that all outputs share. */
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include <cmocka.h>

#include "taglog.h"
#include "units.h"

#define MIB (1 << 20)
#define PAGE 4096

static char zh[] = "创建ModelExecutor", en[] = "create ModelExecutor", zh_start[] = "EngineCore初始化开始";
static const struct rt_phase plain_phase = {.id = (char *)"create_model_executor", .label = {{zh, en}}};
static const struct rt_phase own_words = {
	.id = (char *)"engine_core_init", .label = {{zh, en}}, .enter = {{zh_start, NULL}},
};
static const struct rt_proc_view first = {.pid = 100, .name = "vllm", .first = true};
static const struct rt_proc_view worker = {.pid = 123, .name = "Worker_TP0"};

/* A log into memory. */
struct fixture {
	char *text;
	size_t len;
	FILE *out;
	struct rt_taglog *log;
	struct rt_sink sink;
};

static void open_log(struct fixture *f, struct rt_taglog_config config)
{
	f->out = open_memstream(&f->text, &f->len);
	assert_non_null(f->out);
	config.out = f->out;
	f->log = rt_taglog_new(&config);
	assert_non_null(f->log);
	f->sink = rt_taglog_sink(f->log);
}

static void close_log(struct fixture *f)
{
	assert_int_equal(rt_taglog_error(f->log), 0);
	rt_taglog_free(f->log);
	fclose(f->out);
	free(f->text);
}

static void tell(struct fixture *f, const struct rt_proc_view *proc, struct rt_checkpoint_view cp)
{
	if (!cp.phase)
		cp.phase = &plain_phase;
	f->sink.on_checkpoint(f->sink.ctx, proc, &cp);
}

static void expect_one(const struct rt_taglog_config *config, const struct rt_proc_view *proc,
		       struct rt_checkpoint_view cp, const char *line)
{
	struct fixture f;

	open_log(&f, *config);
	tell(&f, proc, cp);
	/* Flushed without being asked: memory streams show their text only then. */
	assert_string_equal(f.text, line);
	close_log(&f);
}

static void test_chinese(void **state)
{
	struct rt_taglog_config config = {.lang = RT_LANG_ZH, .tag = RT_TAG_DEFAULT};

	(void)state;
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_ENTER, .delta = 5368709, .total = 131669688},
		   "INFO: 创建ModelExecutor之前 占用 5.12 M RAM内存 (累计: 125.57 M)（第二次改动）\n");
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = -5368709, .total = -MIB},
		   "INFO: 创建ModelExecutor之后 释放 5.12 M RAM内存 (累计: -1.00 M)（第二次改动）\n");
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_EXIT},
		   "INFO: 创建ModelExecutor之后 占用 0.00 M RAM内存 (累计: 0.00 M)（第二次改动）\n");
	/* One page released: the 释放 form, though it rounds to nothing. */
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = -PAGE, .total = -PAGE},
		   "INFO: 创建ModelExecutor之后 释放 0.00 M RAM内存 (累计: 0.00 M)（第二次改动）\n");
	expect_one(&config, &worker, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = MIB, .total = 2 * MIB},
		   "(Worker_TP0 pid=123) INFO: 创建ModelExecutor之后 占用 1.00 M RAM内存 (累计: 2.00 M)（第二次改动）\n");
}

static void test_english(void **state)
{
	struct rt_taglog_config config = {.lang = RT_LANG_EN, .tag = "tag"};

	(void)state;
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_ENTER, .delta = 5368709, .total = 131669688},
		   "INFO: create ModelExecutor before: +5.12 MiB RSS (total 125.57 MiB) [tag]\n");
	expect_one(&config, &worker, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = -5368709, .total = MIB},
		   "(Worker_TP0 pid=123) INFO: create ModelExecutor after: -5.12 MiB RSS (total 1.00 MiB) [tag]\n");
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = 0, .total = MIB},
		   "INFO: create ModelExecutor after: +0.00 MiB RSS (total 1.00 MiB) [tag]\n");
}

static void test_extras(void **state)
{
	struct rt_taglog_config zh_config = {.lang = RT_LANG_ZH, .tag = RT_TAG_DEFAULT};
	struct rt_taglog_config en_config = {.lang = RT_LANG_EN, .tag = "x"};
	struct rt_checkpoint_view cp = {
		.edge = RT_EXIT, .delta = 2 * MIB, .total = 3 * MIB, .reused = MIB, .tree_delta = 3 * MIB,
	};

	(void)state;
	expect_one(&zh_config, &first, cp, "INFO: 创建ModelExecutor之后 占用 2.00 M RAM内存 (累计: 3.00 M)"
					   " [重用 1.00 M] [子进程 +3.00 M]（第二次改动）\n");
	expect_one(&en_config, &first, cp, "INFO: create ModelExecutor after: +2.00 MiB RSS (total 3.00 MiB)"
					   " [reused 1.00 MiB] [children +3.00 MiB] [x]\n");
	cp.reused = 0;
	cp.tree_delta = -MIB;
	expect_one(&zh_config, &first, cp, "INFO: 创建ModelExecutor之后 占用 2.00 M RAM内存 (累计: 3.00 M)"
					   " [子进程 -1.00 M]（第二次改动）\n");
	/* Less than 1 MiB of children's change is not worth a word. */
	cp.tree_delta = MIB - PAGE;
	expect_one(&zh_config, &first, cp,
		   "INFO: 创建ModelExecutor之后 占用 2.00 M RAM内存 (累计: 3.00 M)（第二次改动）\n");
}

static void test_words_and_tag(void **state)
{
	struct rt_taglog_config config = {.lang = RT_LANG_ZH, .tag = ""};
	struct rt_checkpoint_view cp = {.phase = &own_words, .edge = RT_ENTER, .delta = MIB, .total = MIB};

	(void)state;
	expect_one(&config, &first, cp, "INFO: EngineCore初始化开始 占用 1.00 M RAM内存 (累计: 1.00 M)\n");
	config.tag = NULL;
	cp.edge = RT_EXIT;
	expect_one(&config, &first, cp, "INFO: 创建ModelExecutor之后 占用 1.00 M RAM内存 (累计: 1.00 M)\n");
	/* The profile has no English text for this line: label + before. */
	config.lang = RT_LANG_EN;
	config.tag = "two\nlines";
	cp.edge = RT_ENTER;
	expect_one(&config, &first, cp,
		   "INFO: create ModelExecutor before: +1.00 MiB RSS (total 1.00 MiB) [two\\x0alines]\n");
}

static void test_hostile_name(void **state)
{
	struct rt_taglog_config config = {.lang = RT_LANG_EN};
	struct rt_proc_view proc = {.pid = 7, .name = "a\x1b[31m\nb\xff\xe2\x80\xae!\xc2\x9b"};

	(void)state;
	expect_one(&config, &proc, (struct rt_checkpoint_view){.edge = RT_EXIT},
		   "(a\\x1b[31m\\x0ab\xef\xbf\xbd\\u{202e}!\\u{9b} pid=7) "
		   "INFO: create ModelExecutor after: +0.00 MiB RSS (total 0.00 MiB)\n");
}

static void test_muted(void **state)
{
	struct rt_proc_view proc = {.pid = 7, .name = "x", .muted = true};
	struct fixture f;

	(void)state;
	open_log(&f, (struct rt_taglog_config){.lang = RT_LANG_EN});
	tell(&f, &proc, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = MIB, .total = MIB});
	fflush(f.out);
	assert_int_equal(f.len, 0);
	close_log(&f);
}

static void test_min_size(void **state)
{
	struct rt_proc_view other = worker;
	struct fixture f;

	(void)state;
	open_log(&f, (struct rt_taglog_config){.lang = RT_LANG_EN, .min_size = MIB});
	tell(&f, &first, (struct rt_checkpoint_view){.edge = RT_ENTER, .delta = 600000, .total = 600000});
	tell(&f, &other, (struct rt_checkpoint_view){.edge = RT_ENTER, .delta = 1000, .total = 1000});
	tell(&f, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = 448576, .total = MIB});
	tell(&f, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = -MIB, .total = 0});
	tell(&f, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = 1, .total = 1});
	tell(&f, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = MIB - 1, .total = MIB});
	assert_string_equal(f.text, "INFO: create ModelExecutor after: +1.00 MiB RSS (total 1.00 MiB)\n"
				    "INFO: create ModelExecutor after: -1.00 MiB RSS (total 0.00 MiB)\n"
				    "INFO: create ModelExecutor after: +1.00 MiB RSS (total 1.00 MiB)\n");
	/* The pid comes back as another process: what was left out of the old one's lines is not the new one's. */
	f.sink.on_process(f.sink.ctx, &other, RT_EV_EXIT, 0);
	tell(&f, &other, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = MIB - 1000, .total = MIB - 1000});
	assert_int_equal(f.text[f.len - 2], ')');
	assert_null(strstr(f.text, "Worker_TP0"));
	/* A new baseline (total does not continue) ends the carry as well. */
	tell(&f, &other, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = 2 * MIB, .total = 2 * MIB});
	assert_non_null(strstr(f.text, "(Worker_TP0 pid=123) INFO: create ModelExecutor after: +2.00 MiB RSS (total"));
	close_log(&f);
}

/* Whatever is left out, printed totals and growths agree exactly: whole MiB can be read back from the text. */
static void test_min_size_sums(void **state)
{
	struct fixture f;
	unsigned int seed = 1;
	double growth, total, last = 0;
	int64_t rss = 0, delta;
	int i, lines = 0;
	char *line, *save;

	(void)state;
	open_log(&f, (struct rt_taglog_config){.lang = RT_LANG_EN, .min_size = 5 * (int64_t)MIB});
	for (i = 0; i < 2000; i++) {
		delta = (int64_t)(rand_r(&seed) % 13 - 6) * MIB;
		rss += delta;
		tell(&f, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = delta, .total = rss});
	}
	for (line = strtok_r(f.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++) {
		assert_int_equal(sscanf(line, "INFO: create ModelExecutor after: %lf MiB RSS (total %lf MiB)", &growth,
					&total), 2);
		assert_true(last + growth == total);
		assert_true(growth >= 5 || growth <= -5);
		last = total;
	}
	assert_in_range(lines, 100, 1999);
	close_log(&f);
}

static void test_timestamps(void **state)
{
	/* date -d @1700000000 says 2023-11-15T06:13:20+08:00 in Asia/Shanghai. */
	struct rt_taglog_config config = {
		.lang = RT_LANG_EN, .timestamps = true, .wall_offset_ns = 1699999000000000000,
	};
	struct rt_checkpoint_view cp = {.ts_ns = 1000123999999ULL, .edge = RT_EXIT};

	(void)state;
	setenv("TZ", "CST-8", 1);
	tzset();
	expect_one(&config, &worker, cp, "2023-11-15T06:13:20.123+08:00 (Worker_TP0 pid=123) "
					 "INFO: create ModelExecutor after: +0.00 MiB RSS (total 0.00 MiB)\n");
	setenv("TZ", "NST3:30", 1);
	tzset();
	assert_string_equal(rt_wall_format(1700000000000000000).text, "2023-11-14T18:43:20.000-03:30");
	assert_string_equal(rt_wall_format(-1).text, "1969-12-31T20:29:59.999-03:30");
}

static void test_color(void **state)
{
	struct rt_taglog_config config = {.lang = RT_LANG_EN, .color = true};

	(void)state;
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = MIB, .total = MIB},
		   "INFO: \033[1mcreate ModelExecutor after\033[0m: \033[31m+1.00\033[0m MiB RSS (total 1.00 MiB)\n");
	expect_one(&config, &first, (struct rt_checkpoint_view){.edge = RT_EXIT, .delta = -MIB, .total = 0},
		   "INFO: \033[1mcreate ModelExecutor after\033[0m: \033[32m-1.00\033[0m MiB RSS (total 0.00 MiB)\n");
}

static void test_full_disk(void **state)
{
	struct rt_checkpoint_view cp = {.phase = &plain_phase, .edge = RT_EXIT};
	struct rt_taglog_config config = {.out = fopen("/dev/full", "w")};
	struct rt_taglog *log;
	struct rt_sink sink;

	(void)state;
	assert_non_null(config.out);
	log = rt_taglog_new(&config);
	sink = rt_taglog_sink(log);
	assert_int_equal(rt_taglog_error(log), 0);
	sink.on_checkpoint(sink.ctx, &first, &cp);
	assert_int_equal(rt_taglog_error(log), -ENOSPC);
	sink.on_checkpoint(sink.ctx, &first, &cp);
	assert_int_equal(rt_taglog_error(log), -ENOSPC);
	rt_taglog_free(log);
	fclose(config.out);
}

/* One write a line: a reader of a pipe sees each line whole as soon as it is there, and learns of nothing else. */
static void test_pipe(void **state)
{
	struct rt_checkpoint_view cp = {.phase = &plain_phase, .edge = RT_EXIT, .delta = MIB, .total = MIB};
	struct rt_taglog_config config = {.lang = RT_LANG_EN};
	struct rt_taglog *log;
	struct rt_sink sink;
	char got[256];
	int fd[2], i;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	config.out = fdopen(fd[1], "w");
	log = rt_taglog_new(&config);
	sink = rt_taglog_sink(log);
	for (i = 0; i < 3; i++) {
		sink.on_checkpoint(sink.ctx, &first, &cp);
		n = read(fd[0], got, sizeof(got) - 1);
		assert_true(n > 0);
		got[n] = '\0';
		assert_string_equal(got, "INFO: create ModelExecutor after: +1.00 MiB RSS (total 1.00 MiB)\n");
	}
	close(fd[0]);
	sink.on_checkpoint(sink.ctx, &first, &cp);
	assert_int_equal(rt_taglog_error(log), -EPIPE);
	rt_taglog_free(log);
	fclose(config.out);
}

/* ---- units ---- */

static void test_mib(void **state)
{
	unsigned int seed = 7;
	int64_t bytes;
	char truth[64];
	int i;

	(void)state;
	assert_string_equal(rt_mib_format(INT64_MIN, false).text, "-8796093022208.00");
	assert_string_equal(rt_mib_format(-1, false).text, "0.00");
	assert_string_equal(rt_mib_format(-1, true).text, "-0.00");
	assert_string_equal(rt_mib_format(MIB - 1, true).text, "+1.00");
	assert_string_equal(rt_mib_format(0, true).text, "+0.00");
	/* The C library's rounding is the truth wherever a size does not lie right between two hundredths. */
	for (i = 0; i < 100000; i++) {
		bytes = ((int64_t)rand_r(&seed) - RAND_MAX / 2) * (rand_r(&seed) % 4096);
		if ((bytes % MIB * 200) % MIB == 0)
			continue;
		snprintf(truth, sizeof(truth), "%+.2f", (double)bytes / MIB);
		assert_string_equal(rt_mib_format(bytes, true).text, truth);
	}
}

static void test_time_format(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{0, "0 us"}, {850499, "850 us"}, {999499, "999 us"}, {999500, "1.0 ms"}, {12345678, "12.3 ms"},
		{999949999, "999.9 ms"}, {999950000, "1.00 s"}, {5200000000, "5.20 s"}, {59996000000, "1m00s"},
		{125000000000, "2m05s"}, {3599600000000, "1h00m"}, {3725000000000, "1h02m"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(rt_time_format(cases[i].ns).text, cases[i].text);
}

static void test_escape(void **state)
{
	static const struct {
		const char *raw, *safe;
	} cases[] = {
		{"", ""}, {"EngineCore_DP0", "EngineCore_DP0"}, {"导入torch", "导入torch"},
		{"a\tb\rc\x7f", "a\\x09b\\x0dc\\x7f"},
		{"\xe2\x80\xa8\xe2\x80\xa9", "\\u{2028}\\u{2029}"},
		{"\xe2\x81\xa6x\xe2\x81\xa9\xd8\x9c", "\\u{2066}x\\u{2069}\\u{61c}"},
		{"\xef\xbb\xbf\xf3\xa0\x80\x81", "\\u{feff}\\u{e0001}"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		/* Overlong, surrogate, above U+10FFFF, cut short: as many U+FFFD as Unicode's table 3-8 has. */
		{"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
		 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf4\x91\x92\x93\xff\x41", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
		{"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
	};
	char *safe;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		safe = rt_text_escape(cases[i].raw, 0);
		assert_string_equal(safe, cases[i].safe);
		free(safe);
	}
	safe = rt_text_escape("初始化完成", 3);
	assert_string_equal(safe, "初始化...");
	free(safe);
	safe = rt_text_escape("初始化", 3);
	assert_string_equal(safe, "初始化");
	free(safe);
	safe = rt_text_escape(NULL, 0);
	assert_string_equal(safe, "");
	free(safe);
	safe = rt_text_utf8("a\n\xff");
	assert_string_equal(safe, "a\n\xef\xbf\xbd");
	free(safe);
}

/* The C library's own widths are the truth, in a locale that has them. */
static void test_cells(void **state)
{
	static const wchar_t *const texts[] = {
		L"phase", L"阶段", L"GPUModelRunner:权重转移到GPU后的内存释放检查", L"（第二次改动）", L"한국어", L"カタカナ", L"e\u0301",
		L"été", L"“引号”", L"\U0001f600", L"ﾊﾝｶｸ", L"naïve–dash…",
	};
	locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", NULL), before;
	char bytes[256];
	size_t i;

	(void)state;
	if (!utf8) {
		print_message("no locale C.UTF-8 to compare with\n");
		skip();
	}
	before = uselocale(utf8);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(wcstombs(bytes, texts[i], sizeof(bytes)) < sizeof(bytes));
		assert_int_equal(rt_text_cells(bytes), wcswidth(texts[i], wcslen(texts[i])));
	}
	uselocale(before);
	freelocale(utf8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chinese), cmocka_unit_test(test_english), cmocka_unit_test(test_extras),
		cmocka_unit_test(test_words_and_tag), cmocka_unit_test(test_hostile_name), cmocka_unit_test(test_muted),
		cmocka_unit_test(test_min_size), cmocka_unit_test(test_min_size_sums),
		cmocka_unit_test(test_timestamps), cmocka_unit_test(test_color),
		cmocka_unit_test(test_full_disk), cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_mib), cmocka_unit_test(test_time_format), cmocka_unit_test(test_escape),
		cmocka_unit_test(test_cells),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
