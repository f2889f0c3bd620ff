/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Runs compared: what is aligned with what, what counts, and that each difference is said once and to the byte. Expected figures are worked out by hand or, for
 * random runs, by comparing strings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "diff_out.h"

#define MIB ((int64_t)1 << 20)
#define MOST 4096

static struct rt_phase phases[] = {
	{.id = (char *)"init", .label = {{(char *)"初始化", (char *)"init"}}},
	{.id = (char *)"load", .label = {{(char *)"加载", (char *)"load"}}},
	{.id = (char *)"cache", .label = {{(char *)"缓存", (char *)"cache"}}},
};
static const struct rt_profile profile = {.name = (char *)"test", .phases = phases, .n_phases = 3};
static const struct rt_phase *const path_init[] = {&phases[0]}, *const path_load[] = {&phases[0], &phases[1]}, *const path_cache[] = {&phases[0], &phases[2]};

/* A run to be filled in. */
struct run {
	struct rt_summary summary;
	struct rt_proc_summary proc[8];
	struct rt_phase_view view[8][4];
	struct rt_stack_row row[8][MOST];
	struct rt_stack_frame frame[MOST];
	char text[MOST][24];
};

static struct run *run_new(void)
{
	struct run *run = calloc(1, sizeof(*run));

	run->summary = (struct rt_summary){.procs = run->proc, .frames = run->frame, .n_frames = 1};
	run->frame[0] = (struct rt_stack_frame){.function = "", .file = ""};
	return run;
}

static size_t run_proc(struct run *run, const char *name, uint32_t pid, int64_t rss)
{
	size_t i = run->summary.n_procs++;

	run->proc[i] = (struct rt_proc_summary){
		.proc = {.pid = pid, .name = name, .comm = "", .exe = "", .cmdline = "", .now = {rss, {[RT_ANON] = rss}}, .peak = rss / 2, .start_ns = 1, .end_ns = 1001},
		.phases = run->view[i], .stacks = run->row[i],
	};
	run->summary.tree_peak = rss;
	return i;
}

/* Its own part is what its stacks say, its change what `delta` says. */
static uint32_t run_phase(struct run *run, size_t proc, const struct rt_phase *const *path, size_t len, int64_t delta)
{
	struct rt_proc_summary *p = &run->proc[proc];

	run->view[proc][p->n_phases] = (struct rt_phase_view){.phase = path[len - 1], .path = path, .path_len = len, .call = 1, .delta = {delta, {[RT_ANON] = delta}}};
	return (uint32_t)++p->n_phases;
}

static uint32_t run_frame(struct run *run, uint32_t caller, const char *function, int line)
{
	size_t n = run->summary.n_frames;

	for (uint32_t i = 1; i < n; i++) {
		if (run->frame[i].caller == caller && run->frame[i].line == line && !strcmp(run->frame[i].function, function))
			return i;
	}
	snprintf(run->text[n], sizeof(run->text[n]), "%s", function);
	run->frame[n] = (struct rt_stack_frame){.function = run->text[n], .file = "app.py", .caller = caller, .line = line};
	run->summary.n_frames++;
	return (uint32_t)n;
}

static void run_charge(struct run *run, size_t proc, uint32_t phase, uint32_t frame, enum rt_kind kind, int64_t gained, int64_t released)
{
	struct rt_proc_summary *p = &run->proc[proc];
	struct rt_stack_row *row = &run->row[proc][p->n_stacks++];

	*row = (struct rt_stack_row){.frame = frame, .phase = phase};
	row->gained.kind[kind] = row->gained.total = gained;
	row->released.kind[kind] = row->released.total = released;
	if (phase)
		run->view[proc][phase - 1].own += gained - released;
}

static struct rt_diff *compare(struct run *const *runs, size_t n, int64_t min_size, bool no_lines)
{
	static struct rt_diff_run list[RT_DIFF_RUNS];
	struct rt_diff_config config = {.runs = list, .n_runs = n, .min_size = min_size, .no_lines = no_lines};
	struct rt_diff *diff;

	for (size_t i = 0; i < n; i++)
		list[i] = (struct rt_diff_run){.file = i + 1 < n ? "old" : "new", .summary = &runs[i]->summary, .profile = &profile};
	diff = rt_diff_new(&config);
	assert_non_null(diff);
	return diff;
}

static const struct rt_diff_phase *phase_of(const struct rt_diff_proc *proc, const char *path)
{
	for (size_t i = 0; i < proc->n_phases; i++) {
		char text[100] = "";

		for (size_t k = 0; k < proc->phases[i].path_len; k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", k ? "/" : "", proc->phases[i].path[k]->id);
		if (!strcmp(text, path))
			return &proc->phases[i];
	}
	fail_msg("no phase %s", path);
	return NULL;
}

/* One statement allocates 96 MiB less, and nothing else differs. */
static void fill(struct run *run, int64_t big, int64_t other)
{
	size_t p = run_proc(run, "Worker", 10, big + other + 9 * MIB);
	uint32_t init = run_phase(run, p, path_init, 1, big + other), load = run_phase(run, p, path_load, 2, big), module, at;

	module = run_frame(run, 0, "<module>", 1);
	at = run_frame(run, run_frame(run, module, "init", 10), "load", 20);
	run_charge(run, p, load, run_frame(run, at, "zeros", 5), RT_ANON, big / 2, 0);
	run_charge(run, p, load, run_frame(run, 0, "<helper threads>", 0), RT_ANON, big / 2, 0);
	run_charge(run, p, init, run_frame(run, module, "init", 11), RT_FILE, other, 0);
	run_charge(run, p, 0, module, RT_ANON, 9 * MIB, 0);
	run->proc[p].outside_net = 9 * MIB;
}

static void test_statement(void **state)
{
	struct run *runs[] = {run_new(), run_new()};
	const struct rt_diff_proc *proc;
	const struct rt_diff_phase *phase;
	struct rt_diff *diff;

	(void)state;
	fill(runs[0], 128 * MIB, 3 * MIB);
	fill(runs[1], 32 * MIB, 3 * MIB);
	diff = compare(runs, 2, MIB, false);
	assert_int_equal(diff->n_procs, 1);
	proc = &diff->procs[0];
	assert_int_equal(proc->value[RT_DP_END].difference, -96 * MIB);
	assert_int_equal(diff->whole[RT_DW_PEAK].difference, -96 * MIB);
	assert_int_equal(proc->n_phases, 3);
	phase = phase_of(proc, "init/load");
	assert_int_equal(phase->value[RT_DM_DELTA].difference, -96 * MIB);
	assert_int_equal(phase->value[RT_DM_OWN].difference, -96 * MIB);
	assert_int_equal(phase->value[RT_DM_OWN_KIND + RT_ANON].difference, -96 * MIB);
	assert_int_equal(phase->value[RT_DM_OWN_KIND + RT_FILE].difference, 0);
	phase = phase_of(proc, "init");
	assert_int_equal(phase->value[RT_DM_DELTA].difference, -96 * MIB);
	assert_int_equal(phase->value[RT_DM_OWN].difference, 0);
	assert_int_equal(phase->value[RT_DM_OWN_KIND + RT_FILE].now, 3 * MIB);
	assert_true(rt_diff_phase_counts(diff, phase));
	assert_false(rt_diff_phase_counts(diff, phase_of(proc, ""))); /* outside */
	assert_int_equal(phase_of(proc, "")->value[RT_DM_OWN].now, 9 * MIB);
	assert_int_equal(proc->n_stacks, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(proc->stacks[i].total.difference, -48 * MIB);
	for (size_t i = 0; i < 2; i++) {
		if (proc->stacks[i].n_frames == 1)
			assert_string_equal(proc->stacks[i].frames[0].function, "<helper threads>");
		else
			assert_string_equal(proc->stacks[i].frames[0].function, "zeros");
	}
	assert_int_equal(diff->n_large, 1);
	assert_int_equal(diff->n_noise, 0);
	rt_diff_free(diff);
	free(runs[0]);
	free(runs[1]);
}

/* Old runs that differ among each other: inside of that, nothing is said. */
static void test_noise(void **state)
{
	struct run *runs[] = {run_new(), run_new(), run_new(), run_new()};
	const struct rt_diff_proc *proc;
	struct rt_diff *diff;

	(void)state;
	fill(runs[0], 128 * MIB, 10 * MIB);
	fill(runs[1], 128 * MIB, 13 * MIB);
	fill(runs[2], 128 * MIB, 16 * MIB);
	fill(runs[3], 130 * MIB, 19 * MIB);
	diff = compare(runs, 4, MIB, false);
	proc = &diff->procs[0];
	assert_true(rt_diff_counts(diff, &phase_of(proc, "init/load")->value[RT_DM_OWN]));
	assert_false(rt_diff_counts(diff, &phase_of(proc, "init")->value[RT_DM_OWN]));
	assert_int_equal(phase_of(proc, "init")->value[RT_DM_OWN].difference, 6 * MIB);
	assert_int_equal(diff->n_large, 2);
	assert_int_equal(diff->n_noise, 1);
	for (size_t i = 0; i < proc->n_stacks; i++)
		assert_string_equal(phases[1].id, proc->phases[proc->stacks[i].phase].phase->id);
	assert_int_equal(proc->n_stacks, 2);
	rt_diff_free(diff);
	for (int i = 0; i < 4; i++)
		free(runs[i]);
}

static const struct rt_diff_proc *proc_of(const struct rt_diff *diff, const char *name, unsigned int number)
{
	for (size_t i = 0; i < diff->n_procs; i++) {
		if (!strcmp(diff->procs[i].pair.name, name) && diff->procs[i].number == number)
			return &diff->procs[i];
	}
	fail_msg("no process %s %u", name, number);
	return NULL;
}

static void test_alignment(void **state)
{
	struct run *runs[] = {run_new(), run_new(), run_new()};
	const struct rt_diff_proc *proc;
	struct rt_diff *diff;

	(void)state;
	run_proc(runs[0], "api", 1, 10 * MIB);
	run_proc(runs[0], "worker", 2, 20 * MIB);
	run_proc(runs[0], "worker", 3, 30 * MIB);
	run_proc(runs[0], "gone", 4, 5 * MIB);
	run_proc(runs[1], "api", 11, 10 * MIB);
	run_proc(runs[1], "worker", 12, 20 * MIB);
	run_proc(runs[2], "worker", 21, 22 * MIB);
	run_proc(runs[2], "api", 22, 10 * MIB);
	run_proc(runs[2], "worker", 23, 33 * MIB);
	run_proc(runs[2], "fresh", 24, 7 * MIB);
	run_phase(runs[0], 1, path_init, 1, 4 * MIB);
	run_phase(runs[0], 1, path_load, 2, 3 * MIB);
	run_phase(runs[2], 0, path_cache, 2, 8 * MIB); /* its outer one has not ended: no row of its own */
	diff = compare(runs, 3, MIB, false);
	assert_int_equal(diff->n_procs, 5);
	assert_string_equal(diff->procs[0].pair.name, "worker"); /* the new run's order */
	assert_string_equal(diff->procs[4].pair.name, "gone");
	proc = proc_of(diff, "worker", 1);
	assert_int_equal(proc->of, 2);
	assert_int_equal(proc->pair.old[0]->proc.pid, 2);
	assert_int_equal(proc->pair.old[1]->proc.pid, 12);
	assert_int_equal(proc->pair.now->proc.pid, 21);
	assert_int_equal(proc->n_phases, 4);
	assert_int_equal(phase_of(proc, "init")->state, RT_DIFF_GONE);
	assert_int_equal(phase_of(proc, "init")->value[RT_DM_DELTA].old[0], 4 * MIB);
	assert_int_equal(phase_of(proc, "init")->value[RT_DM_DELTA].old[1], 0);
	assert_int_equal(phase_of(proc, "init/load")->state, RT_DIFF_GONE);
	assert_int_equal(phase_of(proc, "init/cache")->state, RT_DIFF_NEW);
	assert_int_equal(phase_of(proc, "init/cache")->value[RT_DM_DELTA].now, 8 * MIB);
	proc = proc_of(diff, "worker", 2);
	assert_int_equal(proc->state, RT_DIFF_BOTH);
	assert_null(proc->pair.old[1]);
	assert_int_equal(proc->value[RT_DP_END].old[1], 0);
	assert_int_equal(proc->value[RT_DP_END].now, 33 * MIB);
	assert_int_equal(proc_of(diff, "fresh", 1)->state, RT_DIFF_NEW);
	assert_int_equal(proc_of(diff, "gone", 1)->state, RT_DIFF_GONE);
	assert_int_equal(diff->whole[RT_DW_GROWTH].now, (22 + 10 + 33 + 7) * MIB);
	rt_diff_free(diff);
	for (int i = 0; i < 3; i++)
		free(runs[i]);
}

/* A line that moved is another stack, unless lines are left out. */
static void test_lines(void **state)
{
	struct run *runs[] = {run_new(), run_new()};
	struct rt_diff *diff;

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t p = run_proc(runs[i], "p", 1, 10 * MIB);
		uint32_t init = run_phase(runs[i], p, path_init, 1, 0);

		run_charge(runs[i], p, init, run_frame(runs[i], run_frame(runs[i], 0, "f", 3), "g", 10 + i), RT_ANON, (8 + 2 * i) * MIB, 0);
	}
	diff = compare(runs, 2, MIB, false);
	assert_int_equal(diff->procs[0].n_stacks, 2);
	assert_int_equal(diff->procs[0].stacks[0].state, RT_DIFF_NEW);
	assert_int_equal(diff->procs[0].stacks[0].frames[0].line, 11);
	assert_int_equal(diff->procs[0].stacks[1].state, RT_DIFF_GONE);
	rt_diff_free(diff);
	diff = compare(runs, 2, MIB, true);
	assert_int_equal(diff->procs[0].n_stacks, 1);
	assert_int_equal(diff->procs[0].stacks[0].total.difference, 2 * MIB);
	assert_int_equal(diff->procs[0].stacks[0].frames[0].line, 0);
	rt_diff_free(diff);
	free(runs[0]);
	free(runs[1]);
}

/* ---- random runs ---- */

struct charge {
	char chain[80]; /* outermost first, "f1:2<" each */
	uint32_t phase;
	int64_t net;
};

static void random_run(struct run *run, unsigned int *seed, struct charge *charge, size_t n, int salt)
{
	size_t p = run_proc(run, "p", 1, 0);

	run_phase(run, p, path_init, 1, 0);
	run_phase(run, p, path_load, 2, 0);
	for (int i = 0; i < salt; i++) /* other numbers for the same frames */
		run_frame(run, 0, "unused", 100 + i);
	for (size_t i = 0; i < n; i++) {
		uint32_t frame = 0;
		int depth = 1 + rand_r(seed) % 6;

		charge[i] = (struct charge){.phase = (uint32_t)(rand_r(seed) % 3), .net = 4096 * (int64_t)(rand_r(seed) % 7 - 3)};
		for (int d = 0; d < depth; d++) {
			char name[8];
			int line = 1 + rand_r(seed) % 2;

			snprintf(name, sizeof(name), "f%d", rand_r(seed) % 3);
			frame = run_frame(run, frame, name, line);
			snprintf(charge[i].chain + strlen(charge[i].chain), 12, "%s:%d<", name, line);
		}
		run_charge(run, p, charge[i].phase, frame, (enum rt_kind)(rand_r(seed) % RT_KINDS), charge[i].net > 0 ? charge[i].net + 8192 : 8192,
			   charge[i].net > 0 ? 8192 : 8192 - charge[i].net);
	}
}

static int64_t below(const struct charge *charge, size_t n, uint32_t phase, const char *prefix)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (charge[i].phase == phase && !strncmp(charge[i].chain, prefix, strlen(prefix)))
			sum += charge[i].net;
	}
	return sum;
}

static void chain_of(const struct rt_diff_stack *stack, char *chain)
{
	*chain = '\0';
	for (size_t i = stack->n_frames; i-- > 0;)
		sprintf(chain + strlen(chain), "%s:%d<", stack->frames[i].function, stack->frames[i].line);
}

/* All that is said below a frame adds up to what differs there, and by phase to its own difference. */
static void check_random(const struct rt_diff_proc *proc, const struct charge *was, const struct charge *is, size_t n)
{
	static const uint32_t number[] = {1, 2, 0}; /* phases as the runs number them: init, load, outside */
	char chain[100], deeper[100];

	for (size_t i = 0; i < proc->n_stacks; i++) {
		const struct rt_diff_stack *stack = &proc->stacks[i];
		int64_t said = 0, kinds = 0;

		chain_of(stack, chain);
		for (size_t k = 0; k < proc->n_stacks; k++) {
			chain_of(&proc->stacks[k], deeper);
			if (proc->stacks[k].phase == stack->phase && !strncmp(deeper, chain, strlen(chain)))
				said += proc->stacks[k].total.difference;
		}
		assert_int_equal(said, below(is, n, number[stack->phase], chain) - below(was, n, number[stack->phase], chain));
		for (int k = 0; k < RT_KINDS; k++)
			kinds += stack->kind[k].difference;
		assert_int_equal(kinds, stack->total.difference);
		assert_true(stack->total.difference);
	}
	for (size_t i = 0; i < proc->n_phases; i++) {
		int64_t said = 0, kinds = 0;

		for (size_t k = 0; k < proc->n_stacks; k++)
			said += proc->stacks[k].phase == i ? proc->stacks[k].total.difference : 0;
		assert_int_equal(said, proc->phases[i].value[RT_DM_OWN].difference);
		assert_int_equal(said, below(is, n, number[i], "") - below(was, n, number[i], ""));
		for (int k = 0; k < RT_KINDS; k++)
			kinds += proc->phases[i].value[RT_DM_OWN_KIND + k].difference;
		assert_int_equal(kinds, said);
	}
}

static void test_random(void **state)
{
	static struct charge was[60], is[60];
	unsigned int seed = 3;
	size_t said = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct run *runs[] = {run_new(), run_new()};
		size_t n = 1 + (size_t)(rand_r(&seed) % 60);
		struct rt_diff *diff;

		random_run(runs[0], &seed, was, n, 0);
		random_run(runs[1], &seed, is, n, 1 + rand_r(&seed) % 9);
		runs[0]->proc[0].outside_net = below(was, n, 0, "");
		runs[1]->proc[0].outside_net = below(is, n, 0, "");
		diff = compare(runs, 2, 1, false);
		assert_int_equal(diff->procs[0].n_phases, 3);
		check_random(&diff->procs[0], was, is, n);
		said += diff->procs[0].n_stacks;
		rt_diff_free(diff);
		free(runs[0]);
		free(runs[1]);
	}
	assert_true(said > 3000);
}

/* ---- the outputs ---- */

static char *write_out(int (*write)(FILE *, enum rt_lang, const struct rt_diff *), enum rt_lang lang, const struct rt_diff *diff)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len), *full = fopen("/dev/full", "w");

	assert_int_equal(write(out, lang, diff), 0);
	fclose(out);
	assert_int_equal(strlen(text), len);
	assert_int_equal(write(full, lang, diff), -ENOSPC);
	fclose(full);
	return text;
}

static void test_outputs(void **state)
{
	static const char hostile[] = "</script><b>&\"'\x1b[2J\xe2\x80\xae";
	struct run *runs[] = {run_new(), run_new()};
	char *text, *page, *plain;
	struct rt_diff *diff;
	json_t *json, *stack;

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t p = run_proc(runs[i], hostile, 1, (10 + i) * MIB);
		uint32_t init = run_phase(runs[i], p, path_init, 1, (4 + i) * MIB), frame = run_frame(runs[i], 0, "f", 3);

		runs[i]->frame[frame].function = runs[i]->frame[frame].file = hostile;
		run_charge(runs[i], p, init, frame, RT_SHMEM, (4 + i) * MIB, 0);
	}
	diff = compare(runs, 2, MIB, false);
	plain = write_out(rt_diff_text, RT_LANG_EN, diff);
	assert_non_null(strstr(plain, "  init   4.00  5.00       +1.00  +25.0%     +1.00  +1.00  0.00   0.00\n")); /* the view says anon */
	assert_non_null(strstr(plain, "    +1.00 (shmem +1.00) init\n        </script><b>&\"'\\x1b[2J\\u{202e}  </script><b>&\"'\\x1b[2J\\u{202e}:3\n"));
	assert_null(strchr(plain, '\x1b'));
	text = write_out(rt_diff_text, RT_LANG_ZH, diff);
	assert_non_null(strstr(text, "内存对比: old -> new\n"));
	assert_non_null(strstr(text, "(共享 +1.00) 初始化\n"));
	page = write_out(rt_diff_html, RT_LANG_EN, diff);
	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "</script"));
	assert_null(strstr(page, "<b>"));
	assert_non_null(strstr(page, "&lt;/script&gt;&lt;b&gt;&amp;&quot;&#39;\\x1b[2J\\u{202e}"));
	free(text);
	text = write_out(rt_diff_json, RT_LANG_EN, diff);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	stack = json_array_get(json_object_get(json_array_get(json_object_get(json, "processes"), 0), "stacks"), 0);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(stack, "frames"), 0), "function")), hostile);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(stack, "net_bytes"), "difference")), MIB);
	json_decref(json);
	free(text);
	free(page);
	free(plain);
	rt_diff_free(diff);
	free(runs[0]);
	free(runs[1]);
}

/* Of what a ledger may say: frames that name callers behind them, phases that are not there, sizes at the end of the range. */
static void test_nonsense(void **state)
{
	struct run *runs[] = {run_new(), run_new()};
	struct rt_diff *diff;
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t p = run_proc(runs[i], "", 1, i ? INT64_MAX : INT64_MIN);
		uint32_t frame = run_frame(runs[i], 0, "f", 3);

		runs[i]->frame[frame].caller = 77;
		run_charge(runs[i], p, 0, frame, RT_ANON, i ? INT64_MAX : 0, i ? 0 : INT64_MAX);
		run_charge(runs[i], p, 0, frame, RT_ANON, i ? INT64_MAX : 0, i ? 0 : INT64_MAX);
		run_charge(runs[i], p, 0, 4000000000u, RT_FILE, MIB * i, 0);
		runs[i]->row[p][0].phase = 9;
		runs[i]->proc[p].outside_net = i ? INT64_MAX : INT64_MIN;
	}
	diff = compare(runs, 2, 0, false);
	text = write_out(rt_diff_text, RT_LANG_EN, diff);
	free(text);
	free(write_out(rt_diff_json, RT_LANG_ZH, diff));
	free(write_out(rt_diff_html, RT_LANG_ZH, diff));
	rt_diff_free(diff);
	free(runs[0]);
	free(runs[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statement), cmocka_unit_test(test_noise),	  cmocka_unit_test(test_alignment), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_random),	  cmocka_unit_test(test_outputs), cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
