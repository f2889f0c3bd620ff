/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The text summary: what it says of each process, how its columns stand, and what it leaves out. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* wcswidth */
#endif
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "report.h"

#define MIB ((int64_t)1 << 20)

static struct rt_phase outer = {
	.id = (char *)"engine_core_init", .label = {{(char *)"EngineCore初始化", (char *)"EngineCore init"}},
};
static struct rt_phase inner = {
	.id = (char *)"init_kv_cache", .label = {{(char *)"初始化KV Cache", (char *)"init KV cache"}},
};
static const struct rt_phase *const path[] = {&outer, &inner};

static const struct rt_phase_view phases[] = {
	{
		.phase = &outer, .path = path, .path_len = 1, .call = 1, .duration_ns = 5200000000,
		.delta = {1088 * MIB, {[RT_FILE] = 2 * MIB, [RT_ANON] = 1086 * MIB}}, .own = 64 * MIB,
		.gained = 1100 * MIB, .released = 12 * MIB, .reused = 3 * MIB, .helper = 512 * MIB, .peak = 1300 * MIB,
		.tree_delta = 4 * MIB, .minor_faults = 278528, .major_faults = 2, .open = true,
	},
	{
		.phase = &inner, .path = path, .path_len = 2, .call = 2, .duration_ns = 850000000,
		.delta = {1024 * MIB, {[RT_ANON] = 1024 * MIB}}, .own = 1024 * MIB, .gained = 1024 * MIB,
		.helper = 2048 * MIB, .peak = 1280 * MIB, .minor_faults = 262144,
	},
};

static const struct rt_outside_view outside[] = {
	{.module = "vllm.utils", .net = {8 * MIB, {[RT_ANON] = 8 * MIB}}, .gained = 9 * MIB, .released = MIB},
	{.module = "<interpreter start>", .net = {-4096, {[RT_FILE] = -4096}}, .released = 4096},
};

static const struct rt_proc_summary engine = {
	.proc = {
		.pid = 123, .ppid = 100, .name = "EngineCore", .python = "3.11.7", .first = true, .ended = true,
		.wait_status = SIGKILL, .start_ns = 1, .end_ns = 22500000001,
		.start = {100 * MIB, {0, 100 * MIB, 0}}, .now = {1196 * MIB, {0, 1196 * MIB, 0}}, .peak = 1300 * MIB,
	},
	.phases = phases, .n_phases = 2, .outside = outside, .n_outside = 2, .outside_net = 8 * MIB - 4096,
	.cause_net = {[RT_CAUSE_RECLAIM] = -2 * MIB, [RT_CAUSE_REMOTE] = MIB},
	.helper_by_creator = 512 * MIB, .unaccounted = -8192,
};

/* The summary as text; the caller frees it. */
static char *print(enum rt_lang lang, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	char *made = NULL, *text;
	size_t len;
	FILE *out = open_memstream(&made, &len);

	assert_int_equal(rt_report_print(out, lang, summary, cost), 0);
	fclose(out);
	text = strdup(made);
	free(made);
	return text;
}

static void expect(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("missing: %s\nin: %s", part, text);
}

static void test_process(void **state)
{
	struct rt_summary summary = {.duration_ns = 22500000000, .procs = &engine, .n_procs = 1, .unaccounted = 8192, .tree_peak = 1300 * MIB};
	char *text = print(RT_LANG_EN, &summary, NULL);

	(void)state;
	expect(text, "RAM summary: 22.50 s, processes: 1\nall processes together: peak 1300.00, at the end 0.00\n\n");
	expect(text, "\nEngineCore pid 123, Python 3.11.7, killed by SIGKILL, 22.50 s: "
		     "RSS 100.00 -> 1196.00 (+1096.00), peak 1300.00\n");
	expect(text,
	     "  phase                   calls      time    change       own      anon   file  shmem   gained  released"
	     "  reused     peak  minor flt  major flt    helpers  children\n"
	     "  EngineCore init (open)      1    5.20 s  +1088.00    +64.00  +1086.00  +2.00   0.00  1100.00     12.00"
	     "    3.00  1300.00     278528          2        47%     +4.00\n"
	     "    init KV cache             2  850.0 ms  +1024.00  +1024.00  +1024.00   0.00   0.00  1024.00      0.00"
	     "    0.00  1280.00     262144          0  +2048.00M      0.00\n");
	free(text);
}

static void test_outside_and_causes(void **state)
{
	struct rt_summary summary = {.procs = &engine, .n_procs = 1, .unaccounted = 8192, .late_records = 3};
	char *text = print(RT_LANG_EN, &summary, NULL);

	(void)state;
	expect(text, "  outside any phase: +8.00\n"
		     "    module               change   anon   file  shmem  gained  released\n"
		     "    vllm.utils            +8.00  +8.00   0.00   0.00    9.00      1.00\n"
		     "    <interpreter start>   -0.00   0.00  -0.00   0.00    0.00      0.00\n");
	expect(text, "  not the work of a line: reclaim -2.00, from outside the process +1.00\n");
	expect(text, "  helper threads: by their creator's phase +512.00, by the only thread in a phase 0.00, "
		     "ambiguous (outside) 0.00\n");
	expect(text, "  unaccounted: -8192 bytes\n");
	expect(text, "Lost: 0 records, 0 stacks; late records: 3; unaccounted: 8192 bytes\n");
	assert_null(strstr(text, "khugepaged"));
	assert_null(strstr(text, "Phases never hit"));
	free(text);
}

static void test_opening(void **state)
{
	static const struct rt_opening_view held[] = {
		{"/m/a\x1b[2J", RT_FILE, 3 * MIB}, {"[heap]", RT_ANON, MIB}, {"<changed while reading>", RT_SHMEM, -MIB / 2},
	};
	struct rt_proc_summary proc = engine;
	struct rt_summary summary = {.procs = &proc, .n_procs = 1};
	char *text;

	(void)state;
	proc.opening = held;
	proc.n_opening = 3;
	text = print(RT_LANG_EN, &summary, NULL);
	expect(text, "    mapping                   kind   size\n"
		     "    /m/a\\x1b[2J               file   3.00\n"
		     "    [heap]                    anon   1.00\n"
		     "    <changed while reading>  shmem  -0.50\n");
	assert_true(strstr(text, "held when attached: ") < strstr(text, "  phase "));
	free(text);
	text = print(RT_LANG_ZH, &summary, NULL);
	assert_non_null(strstr(text, "附加时已持有: "));
	free(text);
}

/* In the row with `mark`, `cell` ends where the heading `column` of the phases does. All is ASCII. */
static void expect_column(const char *text, const char *mark, const char *column, const char *cell)
{
	const char *head = strstr(text, "  phase "), *row = strstr(text, mark), *place;
	size_t end, len = strlen(cell);

	assert_non_null(head);
	assert_non_null(row);
	place = strstr(head, column);
	end = (size_t)(place - head) + strlen(column);
	while (row > text && row[-1] != '\n')
		row--;
	if (strcspn(row, "\n") < end || memcmp(row + end - len, cell, len))
		fail_msg("%s: no %s below %s in: %s", mark, cell, column, text);
}

/* Mappings stand below their phase, in its columns: the largest, from 1 MiB on, and not where a nested phase says the same. */
static void test_mappings(void **state)
{
	static const struct rt_mapping_view of_outer[] = {{"[heap]", RT_MAP_HEAP, {1000 * MIB, {[RT_ANON] = 1000 * MIB}}}};
	static const struct rt_mapping_view of_inner[] = {
		{"/srv/model-1.safetensors", RT_MAP_FILE, {900 * MIB, {[RT_FILE] = 899 * MIB, [RT_ANON] = MIB}}},
		{"/dev/zero (deleted)", RT_MAP_SHMEM, {-MIB, {[RT_SHMEM] = -MIB}}},
		{"[stack]", RT_MAP_STACK, {MIB - 1, {[RT_ANON] = MIB - 1}}},
	};
	struct rt_phase_view told[] = {phases[0], phases[1]};
	struct rt_proc_summary proc = engine;
	struct rt_summary summary = {.procs = &proc, .n_procs = 1};
	char *text;

	(void)state;
	proc.phases = told;
	told[0].mappings = of_outer;
	told[0].n_mappings = 1;
	told[1].mappings = of_inner;
	told[1].n_mappings = 3;
	text = print(RT_LANG_EN, &summary, NULL);
	expect(text, "\n    - [heap] (brk)                               ");
	expect_column(text, "- model-1.safetensors (file)", "change", "+900.00");
	expect_column(text, "- model-1.safetensors (file)", "anon", "+1.00");
	expect_column(text, "- model-1.safetensors (file)", "file", "+899.00");
	expect_column(text, "- model-1.safetensors (file)", "shmem", " 0.00");
	expect_column(text, "- /dev/zero (deleted) (pinned/shared memory)", "change", " -1.00");
	expect_column(text, "- /dev/zero (deleted) (pinned/shared memory)", "shmem", " -1.00");
	expect(text, " -1.00\n"); /* nothing behind the last figure */
	assert_null(strstr(text, "[stack]"));
	free(text);
	told[0].own = MIB - 1;
	text = print(RT_LANG_ZH, &summary, NULL);
	assert_null(strstr(text, "[heap]"));
	expect(text, "- model-1.safetensors (文件)");
	expect(text, "- /dev/zero (deleted) (锁页/共享匿名内存)");
	free(text);
}

/* The C library's widths are the truth: in cells, every row of a table ends where its heading ends. */
static void test_columns(void **state)
{
	struct rt_summary summary = {.procs = &engine, .n_procs = 1};
	locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", NULL), before;
	char *text, *line, *save;
	wchar_t wide[512];
	int heading = 0, rows = 0, width;
	bool table = false;

	(void)state;
	if (!utf8) {
		print_message("no locale C.UTF-8 to compare with\n");
		skip();
	}
	text = print(RT_LANG_ZH, &summary, NULL);
	before = uselocale(utf8);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert_true(mbstowcs(wide, line, 512) < 512);
		width = wcswidth(wide, 512);
		assert_true(width > 0);
		if (strstr(line, "  阶段 ")) {
			heading = width;
			table = true;
		} else if (table && strstr(line, "阶段之外")) {
			break;
		} else if (table) {
			assert_int_equal(width, heading);
			rows++;
		}
	}
	uselocale(before);
	freelocale(utf8);
	assert_int_equal(rows, 2);
	free(text);
}

static void test_chinese(void **state)
{
	struct rt_not_hit_view not_hit = {.phase = &inner, .why = RT_NH_STATEMENT_NOT_FOUND, .detail = "/x/core.py"};
	struct rt_summary summary = {
		.duration_ns = 1000000000, .procs = &engine, .n_procs = 1, .not_hit = &not_hit, .n_not_hit = 1,
	};
	char *text = print(RT_LANG_ZH, &summary, NULL);

	(void)state;
	expect(text, "内存汇总: 1.00 s, 1 个进程\n所有进程合计: 峰值 0.00, 结束时 0.00\n\n");
	expect(text, "EngineCore pid 123, Python 3.11.7, 被信号 SIGKILL 终止, 22.50 s: "
		     "RSS 100.00 -> 1196.00 (+1096.00), 峰值 1300.00\n");
	expect(text, "  EngineCore初始化 (未结束) ");
	expect(text, "    初始化KV Cache ");
	expect(text, "阶段之外: +8.00\n");
	expect(text, "未命中的阶段:\n  初始化KV Cache (init_kv_cache): 源文件中没有该语句: /x/core.py\n");
	expect(text, "丢失: 记录 0, 栈 0");
	expect(text, "重用: ");
	free(text);
}

static void test_not_hit_and_losses(void **state)
{
	struct rt_not_hit_view not_hit[] = {
		{.phase = &outer, .why = RT_NH_FUNCTION_NOT_SEEN, .detail = ""},
		{.phase = &inner, .why = RT_NH_STATEMENT_NOT_SEEN, .detail = "/a\nb.py"},
	};
	struct rt_summary summary = {
		.not_hit = not_hit, .n_not_hit = 2, .lost_records = 4, .lost_stacks = 5,
		.counters = {[RT_C_LOST_RUN] = 4, [RT_C_STACK_DEEP] = 9, [RT_C_RSS_EVENTS] = 918000},
	};
	char *text = print(RT_LANG_EN, &summary, NULL);

	(void)state;
	expect(text, "Phases never hit:\n  EngineCore init (engine_core_init): function not seen\n"
		     "  init KV cache (init_kv_cache): statement found, but not seen running: /a\\x0ab.py\n");
	expect(text, "Lost: 4 records, 5 stacks");
	expect(text, "  ring buffer full: runs lost: 4\n");
	expect(text, "  stacks too deep (the middle is left out): 9\n");
	assert_null(strstr(text, "918000"));
	free(text);
}

static void test_cost(void **state)
{
	struct rt_prog_cost progs[] = {{"rss_stat", 918000, 1377000000, 3}, {"unused", 0, 0, 0},
		{"switch", 10, 500, 0}};
	struct rt_self_cost cost = {
		.bpf_ns = 1500000000, .bpf_runs = 918010, .user_ns = 800000000, .sys_ns = 200000000,
		.rss_bytes = 20 * MIB, .map_bytes = 60 * MIB, .progs = progs, .n_progs = 3,
	};
	struct rt_summary summary = {0};
	char *text = print(RT_LANG_EN, &summary, &cost);

	(void)state;
	expect(text, "ramtrack-bpf itself: CPU 800.0 ms user, 200.0 ms system; BPF 1.50 s in 918010 runs; "
		     "RSS 20.00, BPF maps 60.00\n");
	expect(text, "  BPF program    runs    time     each  missed\n"
		     "  rss_stat     918000  1.38 s  1500 ns       3\n"
		     "  switch           10    1 us    50 ns       0\n");
	assert_null(strstr(text, "unused"));
	free(text);
	cost = (struct rt_self_cost){0};
	text = print(RT_LANG_EN, &summary, &cost);
	expect(text, "BPF time not measured");
	free(text);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

/* Hundreds of compilers: those with the highest peaks are listed in their place in the tree, the rest summed up. */
static void test_many_children(void **state)
{
	struct rt_proc_summary procs[64] = {engine};
	struct rt_outside_view row = {.module = "<no Python>", .net = {MIB, {0, MIB, 0}}, .gained = MIB};
	struct rt_summary summary = {.procs = procs, .n_procs = 64};
	char *text, pid[32];
	int i;

	(void)state;
	for (i = 1; i < 64; i++) {
		procs[i].proc = (struct rt_proc_view){
			.pid = 1000 + (uint32_t)i, .name = i <= 60 ? "ptxas" : "sh", .depth = 1, .ended = true,
			.peak = i * MIB, .now = {MIB / 2, {0, MIB / 2, 0}},
		};
		procs[i].outside = &row;
		procs[i].n_outside = 1;
	}
	text = print(RT_LANG_EN, &summary, NULL);
	assert_int_equal(count(text, "  ptxas pid "), 20);
	assert_int_equal(count(text, "  sh pid "), 3);
	for (i = 1; i <= 60; i++) {
		snprintf(pid, sizeof(pid), "  ptxas pid %d, exit code 0", 1000 + i);
		assert_true(!!strstr(text, pid) == (i > 40));
	}
	expect(text, "\nand 40 more ptxas: RSS change +20.00 in all, none peaked above 40.00\n");
	assert_null(strstr(text, "more sh"));
	assert_null(strstr(text, "<no Python>"));
	free(text);
}

/* A target, or a child with phases, is never folded away, whatever its name. */
static void test_never_folded(void **state)
{
	struct rt_proc_summary procs[50];
	struct rt_summary summary = {.procs = procs, .n_procs = 50};
	char *text;
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		procs[i] = (struct rt_proc_summary){.proc = {.pid = 1 + (uint32_t)i, .name = "python3"}};
		if (i % 2) {
			procs[i].proc.depth = 1;
			procs[i].phases = phases;
			procs[i].n_phases = 1;
		}
	}
	text = print(RT_LANG_EN, &summary, NULL);
	assert_int_equal(count(text, "python3 pid "), 50);
	free(text);
}

static void test_hostile(void **state)
{
	struct rt_outside_view row = {.module = "a\033[2J\n<others>"};
	struct rt_native_sum_view native = {.symbol = "f\033(0", .kind = "k\033[31m", .library = "l"}; /* a ledger may say any kind */
	struct rt_proc_summary proc = {
		.proc = {.pid = 1, .name = "x\033]0;t\007\n", .python = "3\r", .muted = true, .depth = 1 << 30},
		.outside = &row, .n_outside = 1, .natives = &native, .n_natives = 1,
	};
	struct rt_summary summary = {.procs = &proc, .n_procs = 1};
	char *text = print(RT_LANG_EN, &summary, NULL);
	const char *c;

	(void)state;
	for (c = text; *c; c++)
		assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
	expect(text, "x\\x1b]0;t\\x07\\x0a pid 1, Python 3\\x0d, running");
	expect(text, "a\\x1b[2J\\x0a<others>");
	expect(text, "f\\x1b(0");
	expect(text, " k\\x1b[31m ");
	expect(text, "tracking switched off for this process (VLLM_ENABLE_RAM_TRACKING=0)\n");
	free(text);
}

static void test_full_disk(void **state)
{
	struct rt_summary summary = {0};
	FILE *out = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(out);
	assert_int_equal(rt_report_print(out, RT_LANG_EN, &summary, NULL), -ENOSPC);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process), cmocka_unit_test(test_mappings), cmocka_unit_test(test_outside_and_causes), cmocka_unit_test(test_opening),
		cmocka_unit_test(test_columns), cmocka_unit_test(test_chinese),
		cmocka_unit_test(test_not_hit_and_losses), cmocka_unit_test(test_cost),
		cmocka_unit_test(test_many_children), cmocka_unit_test(test_never_folded),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
