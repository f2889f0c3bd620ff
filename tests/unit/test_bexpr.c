/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Budget expressions: what is taken, what is refused and where, and what they are worth over a summary whose figures are written down here. */
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bexpr.h"

#define MIB ((int64_t)1 << 20)
#define SEC 1000000000ull

static struct rt_phase phases[] = {
	{.id = (char *)"load_weights"}, {.id = (char *)"runner_init"}, {.id = (char *)"never"}, {.id = (char *)"load_model"},
};
static const struct rt_profile profile = {.name = (char *)"test", .path = (char *)"test.yaml", .phases = phases, .n_phases = 4};

/* load_weights ran from two places in the first worker. */
static const struct rt_phase_view rows0[] = {
	{.phase = &phases[0], .call = 2, .duration_ns = 10 * SEC, .delta = {30 * MIB, {[RT_ANON] = 20 * MIB, [RT_FILE] = 10 * MIB}}, .own = 5 * MIB,
	 .gained = 40 * MIB, .released = 10 * MIB, .reused = MIB, .helper = 2 * MIB, .peak = 100 * MIB, .tree_delta = 3 * MIB, .minor_faults = 7, .major_faults = 1},
	{.phase = &phases[0], .call = 1, .duration_ns = 5 * SEC, .delta = {-4 * MIB, {[RT_ANON] = -4 * MIB}}, .own = -4 * MIB, .gained = 0, .released = 4 * MIB,
	 .peak = 90 * MIB, .minor_faults = 1},
	{.phase = &phases[1], .call = 1, .duration_ns = SEC, .delta = {64 * MIB, {[RT_ANON] = 64 * MIB}}, .own = 64 * MIB, .peak = 64 * MIB},
};
static const struct rt_phase_view rows1[] = {
	{.phase = &phases[0], .call = 1, .duration_ns = 20 * SEC, .delta = {31 * MIB, {[RT_ANON] = 31 * MIB}}, .own = 31 * MIB, .gained = 31 * MIB, .peak = 120 * MIB},
};

static const struct rt_native_sum_view natives[] = {
	{.symbol = "init_shm", .kind = "shm", .phase = &phases[1], .calls = 2, .bytes = 16 * (uint64_t)MIB, .duration_ns = SEC, .delta = {8 * MIB, {[RT_SHMEM] = 8 * MIB}}, .own = 8 * MIB,
	 .gained = 9 * MIB, .released = MIB},
	{.symbol = "init_shm", .kind = "shm", .calls = 1, .bytes = 4 * (uint64_t)MIB, .delta = {MIB, {[RT_ANON] = MIB}}, .own = MIB},
	{.symbol = "cudaHostAlloc", .kind = "pinned", .phase = &phases[0], .calls = 3, .bytes = 64 * (uint64_t)MIB, .delta = {64 * MIB, {[RT_SHMEM] = 64 * MIB}}, .own = MIB},
	{.symbol = "cuMemHostAlloc", .kind = "pinned", .inner = true, .phase = &phases[0], .calls = 3, .bytes = 65 * (uint64_t)MIB, .delta = {63 * MIB, {[RT_SHMEM] = 63 * MIB}},
	 .own = 63 * MIB},
	{.symbol = "cudaFreeHost", .kind = "pinned", .is_free = true, .calls = 1, .bytes = 10 * (uint64_t)MIB, .delta = {-8 * MIB, {[RT_SHMEM] = -8 * MIB}}, .own = -8 * MIB,
	 .released = 8 * MIB},
};

static const struct rt_proc_summary procs[] = {
	{.proc = {.pid = 10, .name = "APIServer", .comm = "vllm", .exe = "/usr/bin/python3.11", .cmdline = "", .start = {MIB, {0}}, .now = {600 * MIB, {[RT_ANON] = 600 * MIB}},
		  .peak = 610 * MIB, .start_ns = 1, .end_ns = 1 + 30 * SEC},
	 .outside_net = 7 * MIB},
	{.proc = {.pid = 11, .name = "Worker_TP0", .comm = "VLLM::Worker_TP", .exe = "", .cmdline = "", .now = {200 * MIB, {[RT_ANON] = 150 * MIB, [RT_FILE] = 40 * MIB, [RT_SHMEM] = 10 * MIB}},
		  .peak = 300 * MIB, .start_ns = SEC, .end_ns = 21 * SEC},
	 .phases = rows0, .n_phases = 3, .natives = natives, .n_natives = 5, .outside_net = 2 * MIB, .unaccounted = -4096},
	{.proc = {.pid = 12, .name = "Worker_TP1", .comm = "VLLM::Worker_TP", .exe = "", .cmdline = "", .now = {210 * MIB, {[RT_ANON] = 210 * MIB}}, .peak = 310 * MIB},
	 .phases = rows1, .n_phases = 1, .outside_net = -MIB},
};
static const struct rt_summary summary = {
	.duration_ns = 40 * SEC, .procs = procs, .n_procs = 3, .tree_peak = 1100 * MIB, .tree_end = 1010 * MIB, .unaccounted = 4096, .lost_records = 0, .lost_stacks = 3,
};

static int64_t plain_growth(const int64_t *old, size_t n_old, int64_t now, int64_t *base)
{
	assert_int_equal(n_old, 1);
	*base = old[0];
	return now - old[0];
}

static struct rt_bworld world = {.profile = &profile, .summary = &summary, .growth = plain_growth};

static enum rt_btruth judge(const char *text, char **detail)
{
	struct rt_bexpr_error error;
	struct rt_bexpr *expr = rt_bexpr_parse(text, &error);
	enum rt_btruth truth;
	size_t len;
	FILE *out;

	if (!expr)
		fail_msg("%s: column %zu: %s", text, error.column, error.text);
	out = open_memstream(detail, &len);
	truth = rt_bexpr_judge(expr, &world, out);
	fclose(out);
	assert_int_equal(rt_bexpr_judge(expr, &world, NULL), truth);
	rt_bexpr_free(expr);
	return truth;
}

static void expect(const char *text, enum rt_btruth truth, const char *detail)
{
	char *said = NULL;
	enum rt_btruth is = judge(text, &said);

	if (is != truth || (detail && strcmp(said, detail)))
		fail_msg("%s: %d, not %d: '%s', not '%s'", text, is, truth, said, detail ? detail : said);
	free(said);
}

#define TRUE_(text, detail) expect(text, RT_BT_TRUE, detail)
#define FALSE_(text, detail) expect(text, RT_BT_FALSE, detail)
#define UNKNOWN_(text, detail) expect(text, RT_BT_UNKNOWN, detail)

static void test_fields(void **state)
{
	(void)state;
	/* each at its value, and one unit beyond */
	TRUE_("tree.peak >= 1100M", "tree.peak is 1100.00 MiB");
	FALSE_("tree.peak > 1100M", "tree.peak is 1100.00 MiB");
	TRUE_("tree.end == 1010MiB", NULL);
	TRUE_("run.time <= 40s", "run.time is 40.00 s");
	TRUE_("outside.bytes == 8M", NULL);
	TRUE_("lost.records == 0 and lost.stacks == 3 and lost.late == 0", "lost.records is 0; lost.stacks is 3; lost.late is 0");
	TRUE_("unaccounted > 0", "unaccounted is 0.00 MiB");
	TRUE_("role('APIServer').rss == 600M", NULL);
	TRUE_("role('APIServer').start == 1M", NULL);
	TRUE_("role('APIServer').delta == 599M", NULL);
	TRUE_("role('APIServer').time == 30s", NULL);
	TRUE_("process(11).anon == 150M and process(11).file == 40M and process(11).shmem == 10M", NULL);
	TRUE_("process(11).unaccounted < 0", NULL);
	TRUE_("process(11).outside == 2M", NULL);
	TRUE_("process('python3*').peak == 610M", NULL);
	TRUE_("process('VLLM::*').peak > 305M", "process('VLLM::*').peak is 310.00 MiB in Worker_TP1 (pid 12)");
	/* two call sites together: sums, and the higher peak */
	TRUE_("process(11).phase('load_weights').rss == 26M", NULL);
	TRUE_("process(11).phase('load_weights').growth == 26M", NULL);
	TRUE_("process(11).phase('load_weights').own == 1M", NULL);
	TRUE_("process(11).phase('load_weights').anon == 16M", NULL);
	TRUE_("process(11).phase('load_weights').file == 10M", NULL);
	TRUE_("process(11).phase('load_weights').shmem == 0", NULL);
	TRUE_("process(11).phase('load_weights').gained == 40M", NULL);
	TRUE_("process(11).phase('load_weights').released == 14M", NULL);
	TRUE_("process(11).phase('load_weights').reused == 1M", NULL);
	TRUE_("process(11).phase('load_weights').helpers == 2M", NULL);
	TRUE_("process(11).phase('load_weights').children == 3M", NULL);
	TRUE_("process(11).phase('load_weights').peak == 100M", NULL);
	TRUE_("process(11).phase('load_weights').time == 15s", NULL);
	TRUE_("process(11).phase('load_weights').calls == 3", NULL);
	TRUE_("process(11).phase('load_weights').minor_faults == 8", NULL);
	TRUE_("process(11).phase('load_weights').major_faults == 1", NULL);
}

static void test_natives(void **state)
{
	(void)state;
	TRUE_("native('init_shm').bytes == 20M", "native('init_shm').bytes is 20.00 MiB in Worker_TP0 (pid 11)");
	TRUE_("native('init_shm').calls == 3 and native('init_shm').time == 1s and native('init_shm').rss == 9M", NULL);
	TRUE_("native('init_shm').shmem == 8M and native('init_shm').anon == 1M and native('init_shm').file == 0 and native('init_shm').own == 9M", NULL);
	TRUE_("native('init_shm').gained == 9M and native('init_shm').released == 1M", NULL);
	TRUE_("phase('runner_init').native('init_shm').bytes == 16M", NULL);
	TRUE_("role('Worker*').phase('load_*').native('cuda*').bytes == 64M", NULL);
	/* by kind: an inner call's bytes are the outer one's, and what is freed was not asked for */
	TRUE_("native('pinned').bytes == 64M and native('pinned').calls == 4", NULL);
	TRUE_("native('cu*Alloc').bytes == 64M", NULL);
	TRUE_("native('cuMemHostAlloc').bytes == 65M", NULL);
	/* what was given back: by what gives back alone */
	TRUE_("native('pinned').freed == 10M and native('cudaFreeHost').freed == 10M and native('cudaFreeHost').bytes == 0", "native('pinned').freed is 10.00 MiB in Worker_TP0 (pid 11); "
	      "native('cudaFreeHost').freed is 10.00 MiB in Worker_TP0 (pid 11); native('cudaFreeHost').bytes is 0.00 MiB in Worker_TP0 (pid 11)");
	TRUE_("native('init_shm').freed == 0", NULL);
	/* an inner call's pages are the outer one's, and its own: each page once, by kind and by name */
	TRUE_("native('pinned').rss == 56M and native('pinned').shmem == 56M and native('pinned').own == 56M and native('pinned').released == 8M", NULL);
	TRUE_("native('cudaHostAlloc').rss == 64M and native('cudaHostAlloc').own == 1M and native('cuMemHostAlloc').rss == 63M and native('cuMemHostAlloc').own == 63M", NULL);
	/* each field by kind too, with role and phase */
	TRUE_("role('Worker_TP0').native('shm').rss == 9M and role('Worker_TP0').native('shm').calls == 3", NULL);
	TRUE_("role('Worker_TP0').phase('runner_init').native('shm').rss == 8M", NULL);
	UNKNOWN_("role('Worker_TP1').native('shm').rss > 0", "role('Worker_TP1').native('shm').rss: it was never called, nor was any other native function");
	UNKNOWN_("native('my_malloc').bytes > 0", "native('my_malloc').bytes: it was never called; called there were init_shm (shm), cudaHostAlloc (pinned), cuMemHostAlloc (pinned), cudaFreeHost (pinned)");
	UNKNOWN_("role('APIServer').native('init_shm').bytes > 0", "role('APIServer').native('init_shm').bytes: it was never called, nor was any other native function");
	UNKNOWN_("phase('never').native('init_shm').bytes > 0", "phase('never').native('init_shm').bytes: it was not called in that phase, nor was any other native function");
	UNKNOWN_("phase('runner_init').native('cudaHostAlloc').bytes > 0", "phase('runner_init').native('cudaHostAlloc').bytes: it was not called in that phase; called there were init_shm (shm)");
	UNKNOWN_("role('nobody').native('init_shm').bytes > 0", "role('nobody').native('init_shm').bytes: no such process");
	UNKNOWN_("process(1).native('init_shm').bytes > 0", "process(1).native('init_shm').bytes: no such process");
	TRUE_("native('my_malloc').calls == 0", NULL);
}

/* Any of the processes and phases that match breaks it, and is named. */
static void test_any(void **state)
{
	(void)state;
	TRUE_("phase(\"load_weights\").peak > 110M", "phase(\"load_weights\").peak is 120.00 MiB in Worker_TP1 (pid 12)");
	TRUE_("phase('load_weights').peak > 90M", "phase('load_weights').peak is 100.00 MiB in Worker_TP0 (pid 11), 120.00 MiB in Worker_TP1 (pid 12)");
	FALSE_("phase('load_weights').peak > 200M", "phase('load_weights').peak is 120.00 MiB in Worker_TP1 (pid 12)");
	FALSE_("phase('load_weights').peak < 10M", "phase('load_weights').peak is 100.00 MiB in Worker_TP0 (pid 11)");
	TRUE_("role('Worker*').phase('*').anon > 60M", "role('Worker*').phase('*').anon is 64.00 MiB of runner_init in Worker_TP0 (pid 11)");
	TRUE_("role('Worker_TP?').phase('load_weights').time > 16s", NULL);
	FALSE_("role('Worker_TP0').phase('load_weights').time > 16s", NULL);
	TRUE_("role('*').peak >= 300M", "role('*').peak is 610.00 MiB in APIServer (pid 10), 300.00 MiB in Worker_TP0 (pid 11), 310.00 MiB in Worker_TP1 (pid 12)");
	TRUE_("process(11).phase('load_weights').delta > -100M", NULL);
	TRUE_("process(11).phase('load_weights').released > 13.5M", NULL);
}

static void test_logic(void **state)
{
	static const char *const value[] = {"tree.peak > 0", "tree.peak < 0", "phase('never').peak > 0"}; /* true, false, unknown */
	static const enum rt_btruth truth[] = {RT_BT_TRUE, RT_BT_FALSE, RT_BT_UNKNOWN};
	/* Kleene's tables, in that order */
	static const enum rt_btruth and[3][3] = {{0 + 1, 0, 2}, {0, 0, 0}, {2, 0, 2}}, or[3][3] = {{1, 1, 1}, {1, 0, 2}, {1, 2, 2}}, not[] = {0, 1, 2};
	char text[200];

	(void)state;
	for (int a = 0; a < 3; a++) {
		snprintf(text, sizeof(text), "not %s", value[a]);
		expect(text, not[a], NULL);
		snprintf(text, sizeof(text), "!!(%s)", value[a]);
		expect(text, truth[a], NULL);
		for (int b = 0; b < 3; b++) {
			snprintf(text, sizeof(text), "%s and %s", value[a], value[b]);
			expect(text, and[a][b], NULL);
			snprintf(text, sizeof(text), "%s || %s", value[a], value[b]);
			expect(text, or[a][b], NULL);
		}
	}
	/* and binds closer than or, not closer than both */
	TRUE_("tree.peak > 0 or tree.peak > 0 and tree.peak < 0", NULL);
	FALSE_("(tree.peak > 0 or tree.peak > 0) and tree.peak < 0", NULL);
	TRUE_("not tree.peak < 0 and tree.peak > 0", NULL);
	FALSE_("not (tree.peak < 0 or tree.peak > 0)", NULL);
	/* the limit in front */
	TRUE_("1G < tree.peak", NULL);
	FALSE_("1G >= tree.peak", NULL);
	TRUE_("-1 <= unaccounted", NULL);
}

static void test_not_there(void **state)
{
	(void)state;
	UNKNOWN_("phase('never').peak > 0", "phase('never').peak: it never ran");
	UNKNOWN_("not phase('never').peak > 0", NULL);
	UNKNOWN_("role('Scheduler').peak > 0", "role('Scheduler').peak: no such process");
	UNKNOWN_("role('Scheduler').phase('load_weights').peak > 0", NULL);
	UNKNOWN_("process(99).rss > 0", NULL);
	/* how often is known all the same */
	TRUE_("phase('never').calls == 0", "phase('never').calls is 0");
	TRUE_("phase('never').calls < 1", NULL);
	TRUE_("role('Scheduler').phase('load_weights').calls < 1", NULL);
	FALSE_("phase('load_weights').calls < 1", NULL); /* where it did not run it does not count */
	UNKNOWN_("diff.growth > 5%", "diff.growth: nothing to compare with");
}

static void test_compared(void **state)
{
	static const struct rt_phase_view old_rows[] = {
		{.phase = &phases[0], .call = 1, .duration_ns = 10 * SEC, .delta = {20 * MIB, {[RT_ANON] = 20 * MIB}}, .peak = 80 * MIB},
		{.phase = &phases[3], .call = 1, .delta = {2 * MIB, {[RT_ANON] = 2 * MIB}}, .peak = 70 * MIB},
	};
	static const struct rt_proc_summary old_worker = {
		.proc = {.pid = 5, .name = "Worker_TP0", .comm = "", .exe = "", .cmdline = "", .now = {100 * MIB, {0}}, .peak = 250 * MIB}, .phases = old_rows, .n_phases = 2,
	};
	static const struct rt_summary before = {.duration_ns = 20 * SEC, .procs = &old_worker, .n_procs = 1, .tree_peak = 1000 * MIB, .unaccounted = 0};
	const struct rt_summary *const old[] = {&before};
	const struct rt_proc_summary *is_there[] = {&old_worker}, *is_not[] = {NULL};
	const struct rt_bpair pairs[] = {{.old = is_there, .now = &procs[1], .name = "Worker_TP0"}, {.old = is_not, .now = &procs[2], .name = "Worker_TP1"}};

	(void)state;
	world.old = old;
	world.n_old = 1;
	world.pairs = pairs;
	world.n_pairs = 2;
	TRUE_("diff.tree.peak == 100M", "diff.tree.peak is +100.00 MiB");
	TRUE_("diff.tree.peak >= 10%", "diff.tree.peak is +100.00 MiB (+10.00%)");
	FALSE_("diff.tree.peak > 10%", NULL);
	TRUE_("diff.tree.peak > 9.9999%", NULL);
	FALSE_("diff.tree.peak > 10.0001%", NULL);
	TRUE_("diff.run.time == 100%", NULL);
	TRUE_("diff.growth == 909M", NULL); /* 599 + 200 + 210 - 100 */
	TRUE_("diff.role('Worker_TP0').growth == 100M", NULL);
	TRUE_("diff.role('Worker_TP0').phase('load_weights').growth == 6M", NULL);
	TRUE_("diff.role('Worker_TP0').phase('load_weights').growth == 30%", NULL);
	TRUE_("diff.role('Worker_TP0').phase('load_weights').time == 5s", "diff.role('Worker_TP0').phase('load_weights').time is +5.00 s in Worker_TP0 (pid 11)");
	TRUE_("diff.phase('load_model').growth == -2M", "diff.phase('load_model').growth is -2.00 MiB in Worker_TP0 (pid 11)"); /* gone */
	TRUE_("diff.phase('load_model').growth == -100%", NULL);
	TRUE_("diff.role('Worker_TP1').phase('load_weights').growth > 1000%", /* new: any percentage of nothing */
	      "diff.role('Worker_TP1').phase('load_weights').growth is +31.00 MiB (of nothing) in Worker_TP1 (pid 12)");
	UNKNOWN_("diff.phase('never').growth > 0", NULL);
	TRUE_("diff.native('init_shm').bytes == 20M", "diff.native('init_shm').bytes is +20.00 MiB in Worker_TP0 (pid 11)");
	TRUE_("diff.native('pinned').freed == 10M and diff.native('pinned').calls == 4", NULL);
	UNKNOWN_("diff.native('my_malloc').bytes > 0", NULL);
	TRUE_("phase('load_weights').peak > 110M", NULL); /* of the newest */
	world.old = NULL;
	world.n_old = world.n_pairs = 0;
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		size_t column;
		const char *words;
	} cases[] = {
		{"", 1, "found the end"},
		{"tree.peak", 10, "expected >, >=, <, <=, == or !=, found the end"},
		{"tree.peek > 1", 6, "expected peak, end, found 'peek'"},
		{"tree.peak > ", 13, "expected a limit such as 40G, 30s or 0, found the end"},
		{"tree.peak > 1G 5", 16, "expected and, or, or the end, found '5'"},
		{"tree.peak > 1X", 13, "expected a size such as 4096, 64K, 1.5G or 2GiB, found '1X'"},
		{"tree.peak > 30s", 13, "expected a size"},
		{"run.time > 1G", 12, "expected a time such as 30s, 5m or 500ms, found '1G'"},
		{"lost.records > 1.5", 16, "expected a whole number, found '1.5'"},
		{"lost.records > 9007199254740993", 16, "expected a whole number"},
		{"tree.peak > 5%", 13, "only diff. has it"},
		{"tree.peak > 99999999999G", 13, "expected a size"},
		{"tree.peak > 1G and", 19, "found the end"},
		{"tree.peak > 1G or or", 19, "found 'or'"},
		{"(tree.peak > 1G", 16, "expected ), and, or, found the end"},
		{"phase(x).peak > 1", 7, "expected the id of a phase in quotes, found 'x'"},
		{"phase('x'.peak > 1", 10, "expected ), found '.'"},
		{"phase('x').start > 1", 12, "found 'start'"},
		{"phase('').peak > 1", 8, "a name has 1 to 128 bytes"},
		{"phase('x", 7, "a name without its closing '"},
		{"role('x').calls > 1", 11, "found 'calls'"},
		{"process(0).rss > 1", 9, "a process id is a number from 1 to 4194304"},
		{"process(4194305).rss > 1", 9, "a process id"},
		{"unaccounted.bytes > 1", 12, "found '.'"},
		{"tree.peak = 1", 11, "found '='"},
		{"tree.peak > tree.end", 13, "expected a limit"},
		{"1 > 2", 5, "found '2'"},
		{"\"tree\" > 2", 1, "found \"tree\""},
		{"内存.peak > 1", 1, "found '内'"},
		{"tree.peak > 1 且 x", 15, "found '且'"},
		{"phase('加载权重').x > 1", 15, "found 'x'"},
		{"tree.peak > 1\x01", 14, "found '\\x01'"},
		{"native('x').peak > 1", 13, "expected rss, delta, growth, own, anon, file, shmem, gained, released, time, calls, bytes, freed, found 'peak'"},
		{"native('x').freed > 1s", 21, "expected a size"},
		{"phase('x').freed > 1", 12, "found 'freed'"},
		{"native(x).bytes > 1", 8, "expected the name of a function in quotes, found 'x'"},
		{"diff > 1", 6, "expected . after diff, found '>'"},
		{"diff.calls > 1", 6, "expected delta, growth, found 'calls'"},
		{"diff.tree.peak > .%", 18, "expected a limit"},
		{"diff.tree.peak > 1.2.3%", 18, "a percentage such as 5%"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rt_bexpr_error error = {0};
		struct rt_bexpr *expr = rt_bexpr_parse(cases[i].text, &error);

		if (expr || error.column != cases[i].column || !strstr(error.text, cases[i].words))
			fail_msg("'%s': %s, column %zu: %s", cases[i].text, expr ? "taken" : "refused", error.column, error.text);
	}
}

static void test_bounds(void **state)
{
	struct rt_bexpr_error error;
	struct rt_bexpr *expr;
	char *text = calloc(1, 200000);

	(void)state;
	for (int i = 0; i < 31; i++)
		strcat(text, "(");
	strcat(text, "tree.peak > 1");
	for (int i = 0; i < 31; i++)
		strcat(text, ")");
	expr = rt_bexpr_parse(text, &error);
	assert_non_null(expr);
	rt_bexpr_free(expr);
	memset(text, '(', 1000);
	assert_null(rt_bexpr_parse(text, &error));
	assert_string_equal(error.text, "nested deeper than 32");
	assert_int_equal(error.column, 33);
	text[0] = '\0';
	for (int i = 0; i < 64; i++)
		strcat(text, i ? " or 1<tree.end" : "1<tree.end");
	expr = rt_bexpr_parse(text, &error); /* 64 comparisons and 63 ors */
	assert_non_null(expr);
	rt_bexpr_free(expr);
	strcat(text, " or 1<tree.end");
	assert_null(rt_bexpr_parse(text, &error));
	assert_non_null(strstr(error.text, "too long"));
	memset(text, ' ', 150000);
	assert_null(rt_bexpr_parse(text, &error));
	assert_non_null(strstr(error.text, "longer than 4096 bytes"));
	free(text);
}

static void test_before_the_run(void **state)
{
	struct rt_bexpr_error error = {0};
	struct rt_bexpr *expr = rt_bexpr_parse("tree.peak > 1 or phase('load_*').peak > 1", &error);

	(void)state;
	assert_int_equal(rt_bexpr_check(expr, &profile, &error), 0);
	assert_false(rt_bexpr_compares(expr, &error));
	rt_bexpr_free(expr);
	expr = rt_bexpr_parse("tree.peak > 1 or phase('lode_*').peak > 1", &error);
	assert_int_not_equal(rt_bexpr_check(expr, &profile, &error), 0);
	assert_int_equal(error.column, 24);
	assert_string_equal(error.text, "profile test has no phase 'lode_*': the ids are in test.yaml");
	rt_bexpr_free(expr);
	expr = rt_bexpr_parse("tree.peak > 1 or diff.growth > 5%", &error);
	assert_true(rt_bexpr_compares(expr, &error));
	assert_int_equal(error.column, 18);
	rt_bexpr_free(expr);
}

static bool exceeded(const char *text, const struct rt_proc_view *proc, const struct rt_phase_view *phase, int64_t tree)
{
	struct rt_bexpr_error error;
	struct rt_bexpr *expr = rt_bexpr_parse(text, &error);
	bool is = rt_bexpr_exceeded(expr, proc, phase, tree);

	rt_bexpr_free(expr);
	return is;
}

/* While it runs only what cannot become untrue is said. */
static void test_exceeded(void **state)
{
	const struct rt_proc_view *proc = &procs[1].proc;

	(void)state;
	assert_true(exceeded("tree.peak > 10M", proc, NULL, 11 * MIB));
	assert_false(exceeded("tree.peak > 10M", proc, NULL, 10 * MIB));
	assert_true(exceeded("10M <= tree.peak", proc, NULL, 10 * MIB));
	assert_false(exceeded("tree.peak < 10M", proc, NULL, 9 * MIB));
	assert_false(exceeded("not tree.peak > 10M", proc, NULL, 9 * MIB));
	assert_false(exceeded("tree.end > 10M", proc, NULL, 11 * MIB));
	assert_true(exceeded("role('Worker*').peak > 299M", proc, NULL, 0));
	assert_false(exceeded("role('API*').peak > 299M", proc, NULL, 0));
	assert_true(exceeded("phase('load_weights').peak > 99M", proc, &rows0[0], 0));
	assert_false(exceeded("phase('load_weights').peak > 99M", proc, NULL, 0));
	assert_false(exceeded("phase('runner_init').peak > 99M", proc, &rows0[0], 0));
	assert_false(exceeded("phase('load_weights').rss > 1", proc, &rows0[0], 0));
}

static void test_hostile_names(void **state)
{
	struct rt_proc_summary hostile = procs[1];
	struct rt_summary one = {.procs = &hostile, .n_procs = 1};

	(void)state;
	hostile.proc.name = "a\x1b[31m\n\xe2\x80\xae%n";
	world.summary = &one;
	TRUE_("process(11).rss > 0", "process(11).rss is 200.00 MiB in a\\x1b[31m\\x0a\\u{202e}%n (pid 11)");
	world.summary = &summary;
}

/* Against the C library's matcher, for patterns where the two mean the same: nothing but a, b, * and ?. */
static void test_glob(void **state)
{
	unsigned int seed = 7;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char pattern[10], name[10];
		int np = rand_r(&seed) % 9, nn = rand_r(&seed) % 9;

		for (int k = 0; k < np; k++)
			pattern[k] = "ab*?"[rand_r(&seed) % 4];
		for (int k = 0; k < nn; k++)
			name[k] = "ab"[rand_r(&seed) % 2];
		pattern[np] = name[nn] = '\0';
		if (rt_bexpr_glob(pattern, name) != !fnmatch(pattern, name, FNM_NOESCAPE))
			fail_msg("'%s' '%s'", pattern, name);
	}
	assert_true(rt_bexpr_glob("?", "载"));
	assert_true(rt_bexpr_glob("?重?", "权重x"));
	assert_false(rt_bexpr_glob("?", "权重"));
	assert_true(rt_bexpr_glob("*重", "权重"));
}

/* Whatever is given: a refusal with its column, or a tree that can be judged. */
static void test_fuzz(void **state)
{
	static const char *const piece[] = {
		"tree", ".", "peak", "phase", "(", ")", "\"load_weights\"", "'*'", ">", "<=", "==", "1G", "5%", "30s", "-4K", "and", "or", "not", "!", "&&", "||",
		"role", "process", "11", "diff", "growth", "calls", "lost", "records", "unaccounted", "run", "time", " ", "\t", "\"", "'", "\xff", "权", "1.5.", "-", "=",
		"tree.peak > 1G", "phase('load_weights').rss > 1M", "not (", "lost.stacks > 0",
	};
	static const char *const joint[] = {" and ", " or ", " && not ", "||"};
	static const char *const whole[] = {
		"tree.peak > 1G", "phase('load_weights').rss > 1M", "(not lost.stacks > 0)", "30s<=run.time", "role(\"W*\").phase('*').calls != 3", "diff.native('*').bytes > 5%",
	};
	enum { PIECES = sizeof(piece) / sizeof(piece[0]) };
	unsigned int seed = 20261125;
	size_t taken = 0;

	(void)state;
	for (int i = 0; i < 60000; i++) {
		struct rt_bexpr_error error = {0};
		struct rt_bexpr *expr;
		char text[900] = "";
		int n = 1 + rand_r(&seed) % 14;

		for (int k = 0; k < n; k++) {
			/* every other one is an expression, unless a byte of it is changed below */
			strcat(text, i % 2 ? piece[rand_r(&seed) % PIECES] : k ? joint[rand_r(&seed) % 4] : "");
			strcat(text, i % 2 ? "" : whole[rand_r(&seed) % 6]);
			if (rand_r(&seed) % 2)
				strcat(text, " ");
		}
		if (*text && rand_r(&seed) % 2 == 0)
			text[(size_t)rand_r(&seed) % strlen(text)] = (char)(rand_r(&seed) % 255 + 1);
		expr = rt_bexpr_parse(text, &error);
		if (!expr) {
			assert_in_range(error.column, 1, strlen(text) + 1);
			assert_true(error.text[0]);
			continue;
		}
		taken++;
		assert_in_range(rt_bexpr_judge(expr, &world, NULL), RT_BT_FALSE, RT_BT_UNKNOWN);
		rt_bexpr_free(expr);
	}
	assert_in_range(taken, 15000, 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_natives),	   cmocka_unit_test(test_any),		   cmocka_unit_test(test_logic),    cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_compared),   cmocka_unit_test(test_refused),	   cmocka_unit_test(test_bounds),   cmocka_unit_test(test_before_the_run),
		cmocka_unit_test(test_exceeded),   cmocka_unit_test(test_hostile_names),   cmocka_unit_test(test_glob),	    cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
