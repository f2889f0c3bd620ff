/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Native functions of runs, compared: what is aligned with what, what counts, and how it is said. Expected figures are worked out by hand or, for random runs, by adding up
 * all rows that have the same names. */
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
#define ROWS 64

static struct rt_phase phases[] = {
	{.id = (char *)"init", .label = {{(char *)"初始化", (char *)"init"}}},
	{.id = (char *)"load", .label = {{(char *)"加载", (char *)"load"}}},
};
static const struct rt_profile profile = {.name = (char *)"test", .phases = phases, .n_phases = 2};

struct run {
	struct rt_summary summary;
	struct rt_proc_summary proc[4];
	struct rt_native_sum_view native[4][ROWS];
};

static size_t run_proc(struct run *run, const char *name)
{
	size_t i = run->summary.n_procs++;

	run->summary.procs = run->proc;
	run->proc[i] = (struct rt_proc_summary){.proc = {.pid = (uint32_t)i + 1, .name = name, .comm = "", .exe = "", .cmdline = ""}, .natives = run->native[i]};
	return i;
}

static struct rt_native_sum_view *run_native(struct run *run, size_t proc, const char *symbol, const struct rt_phase *phase, uint64_t calls, int64_t bytes, int64_t resident)
{
	struct rt_native_sum_view *row = &run->native[proc][run->proc[proc].n_natives++];

	*row = (struct rt_native_sum_view){
		.symbol = symbol, .kind = "shm", .library = "libx.so", .phase = phase, .calls = calls, .bytes = (uint64_t)bytes, .duration_ns = calls * 10, .own = resident,
		.delta = {resident, {[RT_SHMEM] = resident}}, .gained = resident > 0 ? resident : 0, .released = resident < 0 ? -resident : 0,
		.mapped = (uint64_t)(resident > 0 ? resident : 0), .unmapped = (uint64_t)(resident < 0 ? -resident : 0),
	};
	return row;
}

static struct rt_diff *compare(struct run *runs, size_t n, int64_t min_size)
{
	static struct rt_diff_run list[RT_DIFF_RUNS];
	struct rt_diff_config config = {.runs = list, .n_runs = n, .min_size = min_size};
	struct rt_diff *diff;

	for (size_t i = 0; i < n; i++)
		list[i] = (struct rt_diff_run){.file = i + 1 < n ? "old" : "new", .summary = &runs[i].summary, .profile = &profile};
	diff = rt_diff_new(&config);
	assert_non_null(diff);
	return diff;
}

static const struct rt_diff_native *native_of(const struct rt_diff_proc *proc, const char *symbol, const struct rt_phase *phase, bool is_free, bool inner)
{
	const struct rt_diff_native *found = NULL;

	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_diff_native *at = &proc->natives[i];

		if (strcmp(at->symbol, symbol) || at->is_free != is_free || at->inner != inner || (at->phase ? at->phase->id : NULL) != (phase ? phase->id : NULL))
			continue;
		assert_null(found); /* each once */
		found = at;
	}
	if (!found)
		fail_msg("no native function %s", symbol);
	return found;
}

static void value_is(const struct rt_diff_value *value, int64_t old, int64_t now)
{
	assert_int_equal(value->old[0], old);
	assert_int_equal(value->now, now);
	assert_int_equal(value->difference, now - old);
}

/* What the same name stands for twice is told apart by operation, nesting, phase and library; the rows stand in another order in each run. */
static void test_alignment(void **state)
{
	struct run *runs = calloc(2, sizeof(*runs));
	const struct rt_diff_native *native;
	const struct rt_diff_proc *proc;
	struct rt_diff *diff;

	(void)state;
	run_proc(&runs[0], "worker");
	run_native(&runs[0], 0, "get", &phases[0], 3, 30 * MIB, 12 * MIB);
	run_native(&runs[0], 0, "get", &phases[1], 1, 5 * MIB, 5 * MIB);
	run_native(&runs[0], 0, "get", &phases[0], 2, 7 * MIB, 0)->library = "liby.so";
	run_native(&runs[0], 0, "get", &phases[0], 9, 8 * MIB, 8 * MIB)->inner = true;
	run_native(&runs[0], 0, "give", NULL, 1, 2 * MIB, -2 * MIB)->is_free = true;
	run_native(&runs[0], 0, "old_one", NULL, 4, 6 * MIB, 0);
	run_proc(&runs[1], "other");
	run_native(&runs[1], 0, "get", &phases[0], 1, 99 * MIB, 0);
	run_proc(&runs[1], "worker");
	run_native(&runs[1], 1, "new_one", NULL, 1, 40 * MIB, 40 * MIB);
	run_native(&runs[1], 1, "give", NULL, 6, 12 * MIB, -12 * MIB)->is_free = true;
	run_native(&runs[1], 1, "get", &phases[0], 9, 8 * MIB, 8 * MIB)->inner = true;
	run_native(&runs[1], 1, "get", &phases[0], 2, 7 * MIB, 0)->library = "liby.so";
	run_native(&runs[1], 1, "get", &phases[1], 1, 5 * MIB, 4 * MIB);
	run_native(&runs[1], 1, "get", &phases[0], 5, 50 * MIB, 20 * MIB)->kind = "pinned";
	diff = compare(runs, 2, MIB);
	assert_int_equal(diff->n_procs, 2);
	proc = &diff->procs[1];
	assert_string_equal(proc->pair.name, "worker");
	assert_int_equal(proc->n_natives, 7);
	/* by size of the difference: 40, 20, 10, 6, 1, and two without one */
	assert_string_equal(proc->natives[0].symbol, "new_one");
	assert_string_equal(proc->natives[1].symbol, "get");
	assert_string_equal(proc->natives[2].symbol, "give");
	assert_string_equal(proc->natives[3].symbol, "old_one");
	assert_ptr_equal(proc->natives[4].phase, &phases[1]);
	native = &proc->natives[0];
	assert_int_equal(native->state, RT_DIFF_NEW);
	value_is(&native->value[RT_DN_BYTES], 0, 40 * MIB);
	native = &proc->natives[1];
	assert_int_equal(native->state, RT_DIFF_BOTH);
	assert_string_equal(native->library, "libx.so");
	assert_string_equal(native->kind, "pinned"); /* the new run's */
	assert_ptr_equal(native->phase, &phases[0]);
	assert_false(native->inner);
	value_is(&native->value[RT_DN_BYTES], 30 * MIB, 50 * MIB);
	value_is(&native->value[RT_DN_DELTA], 12 * MIB, 20 * MIB);
	value_is(&native->value[RT_DN_KIND + RT_SHMEM], 12 * MIB, 20 * MIB);
	value_is(&native->value[RT_DN_KIND + RT_ANON], 0, 0);
	value_is(&native->value[RT_DN_OWN], 12 * MIB, 20 * MIB);
	value_is(&native->value[RT_DN_GAINED], 12 * MIB, 20 * MIB);
	value_is(&native->value[RT_DN_MAPPED], 12 * MIB, 20 * MIB);
	value_is(&native->value[RT_DN_CALLS], 3, 5);
	value_is(&native->value[RT_DN_TIME], 30, 50);
	native = native_of(proc, "give", NULL, true, false);
	value_is(&native->value[RT_DN_BYTES], 2 * MIB, 12 * MIB);
	value_is(&native->value[RT_DN_DELTA], -2 * MIB, -12 * MIB);
	value_is(&native->value[RT_DN_RELEASED], 2 * MIB, 12 * MIB);
	value_is(&native->value[RT_DN_UNMAPPED], 2 * MIB, 12 * MIB);
	native = native_of(proc, "old_one", NULL, false, false);
	assert_int_equal(native->state, RT_DIFF_GONE);
	value_is(&native->value[RT_DN_BYTES], 6 * MIB, 0);
	value_is(&native->value[RT_DN_CALLS], 4, 0);
	native = native_of(proc, "get", &phases[1], false, false);
	assert_true(rt_diff_native_counts(diff, native)); /* by RSS alone */
	native = native_of(proc, "get", &phases[0], false, true);
	assert_false(rt_diff_native_counts(diff, native));
	assert_int_equal(diff->procs[0].n_natives, 1); /* the process that is new has its own */
	assert_int_equal(diff->procs[0].natives[0].state, RT_DIFF_NEW);
	assert_int_equal(diff->n_large, 6);
	assert_int_equal(diff->n_noise, 0);
	rt_diff_free(diff);
	free(runs);
}

/* What is smaller than min_size, or within what the old runs differ by, or a number of calls alone, is not said; a difference of what was asked for is, without any RSS. */
static void test_what_counts(void **state)
{
	static const int64_t asked[] = {10, 13, 16, 19};
	struct run *runs = calloc(4, sizeof(*runs));
	const struct rt_diff_proc *proc;
	struct rt_diff *diff;

	(void)state;
	for (int i = 0; i < 4; i++) {
		run_proc(&runs[i], "p");
		run_native(&runs[i], 0, "varies", NULL, 1, asked[i] * MIB, 0);
		run_native(&runs[i], 0, "calls", NULL, i == 3 ? 1000 : 1, MIB, MIB);
		run_native(&runs[i], 0, "small", NULL, 1, i == 3 ? MIB : 1, 0);
		run_native(&runs[i], 0, "device", NULL, 1, i == 3 ? 8 * MIB : 7 * MIB, 0);
	}
	diff = compare(runs, 4, MIB);
	proc = &diff->procs[0];
	assert_true(proc->counts);
	assert_true(native_of(proc, "varies", NULL, false, false)->value[RT_DN_BYTES].within);
	assert_int_equal(native_of(proc, "varies", NULL, false, false)->value[RT_DN_BYTES].noise.mean, 13 * MIB);
	assert_int_equal(native_of(proc, "varies", NULL, false, false)->value[RT_DN_BYTES].difference, 6 * MIB);
	assert_false(rt_diff_native_counts(diff, native_of(proc, "varies", NULL, false, false)));
	assert_false(rt_diff_native_counts(diff, native_of(proc, "calls", NULL, false, false)));
	assert_false(rt_diff_native_counts(diff, native_of(proc, "small", NULL, false, false))); /* a byte less than min_size */
	assert_true(rt_diff_native_counts(diff, native_of(proc, "device", NULL, false, false)));
	assert_int_equal(diff->n_large, 2);
	assert_int_equal(diff->n_noise, 1);
	rt_diff_free(diff);
	/* without the one that counts nothing is said of the process; a byte further it is */
	for (int i = 0; i < 4; i++)
		runs[i].proc[0].n_natives = 3;
	diff = compare(runs, 4, MIB);
	assert_false(diff->procs[0].counts);
	rt_diff_free(diff);
	runs[3].native[0][2].bytes++;
	diff = compare(runs, 4, MIB);
	assert_true(diff->procs[0].counts);
	rt_diff_free(diff);
	free(runs);
}

static const char *const symbols[] = {"alloc", "allocate", "free", ""}, *const libraries[] = {"a.so", "b.so"}, *const kinds[] = {"shm", "pinned"};

/* All figures of all runs against sums over rows by name. */
static void check_random(const struct run *runs, size_t n, const struct rt_diff *diff)
{
	const struct rt_diff_proc *proc = &diff->procs[0];

	for (size_t run = 0; run < n; run++) {
		int64_t all = 0, bytes = 0;

		for (size_t i = 0; i < proc->n_natives; i++) {
			const struct rt_diff_native *native = &proc->natives[i];
			int64_t sum[3] = {0};

			for (size_t k = 0; k < runs[run].proc[0].n_natives; k++) {
				const struct rt_native_sum_view *row = &runs[run].native[0][k];

				if (strcmp(row->symbol, native->symbol) || strcmp(row->library, native->library) || row->phase != native->phase || row->is_free != native->is_free ||
				    row->inner != native->inner)
					continue;
				sum[0] += (int64_t)row->bytes;
				sum[1] += row->delta.total;
				sum[2] += (int64_t)row->calls;
			}
			assert_int_equal(run + 1 < n ? native->value[RT_DN_BYTES].old[run] : native->value[RT_DN_BYTES].now, sum[0]);
			assert_int_equal(run + 1 < n ? native->value[RT_DN_DELTA].old[run] : native->value[RT_DN_DELTA].now, sum[1]);
			assert_int_equal(run + 1 < n ? native->value[RT_DN_CALLS].old[run] : native->value[RT_DN_CALLS].now, sum[2]);
			if (run + 1 == n)
				assert_int_equal(native->state == RT_DIFF_GONE, !sum[2]);
			all += sum[0];
		}
		for (size_t k = 0; k < runs[run].proc[0].n_natives; k++)
			bytes += (int64_t)runs[run].native[0][k].bytes;
		assert_int_equal(all, bytes); /* no row is left out, none counts twice */
	}
}

static void test_random(void **state)
{
	unsigned int seed = 11;
	size_t compared = 0;

	(void)state;
	for (int round = 0; round < 200; round++) {
		size_t n = 2 + (size_t)(rand_r(&seed) % 3);
		struct run *runs = calloc(n, sizeof(*runs));
		struct rt_diff *diff;

		for (size_t run = 0; run < n; run++) {
			run_proc(&runs[run], "p");
			for (int rows = rand_r(&seed) % ROWS; rows > 0; rows--) {
				int which = rand_r(&seed), phase = rand_r(&seed) % 3;
				struct rt_native_sum_view *row = run_native(&runs[run], 0, symbols[which & 3], phase < 2 ? &phases[phase] : NULL, 1 + (uint64_t)rand_r(&seed) % 5,
									    4096 * (int64_t)(rand_r(&seed) % 50), 4096 * (int64_t)(rand_r(&seed) % 50 - 25));

				row->library = libraries[which >> 2 & 1];
				row->kind = kinds[which >> 3 & 1];
				row->is_free = which >> 4 & 1;
				row->inner = which >> 5 & 1;
			}
		}
		diff = compare(runs, n, 1);
		check_random(runs, n, diff);
		compared += diff->procs[0].n_natives;
		rt_diff_free(diff);
		free(runs);
	}
	assert_true(compared > 5000);
}

/* ---- the outputs ---- */

static char *write_out(int (*write)(FILE *, enum rt_lang, const struct rt_diff *), enum rt_lang lang, const struct rt_diff *diff)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(write(out, lang, diff), 0);
	fclose(out);
	return text;
}

/* The text with each run of blanks as one: a table's columns are as wide as its widest cell. */
static void squeeze(char *text)
{
	char *to = text;

	for (const char *c = text; *c; c++) {
		if (*c != ' ' || to == text || to[-1] != ' ')
			*to++ = *c;
	}
	*to = '\0';
}

static void test_outputs(void **state)
{
	static const char hostile[] = "</script><b>&\"'\x1b[2J\xe2\x80\xae";
	struct run *runs = calloc(2, sizeof(*runs));
	json_t *json, *list, *native;
	struct rt_diff *diff;
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rt_native_sum_view *row;

		run_proc(&runs[i], "p");
		run_native(&runs[i], 0, "init_shm", &phases[1], i ? 5 : 2, (i ? 20 : 8) * MIB, (i ? 20 : 8) * MIB);
		row = run_native(&runs[i], 0, hostile, NULL, 1, (i ? 3 : 5) * MIB, 0);
		row->kind = row->library = hostile;
		row->is_free = row->inner = true;
		run_native(&runs[i], 0, "the same", NULL, 1, 7 * MIB, 0);
	}
	run_native(&runs[1], 0, "fresh", NULL, 1, 2 * MIB, 0);
	diff = compare(runs, 2, MIB);
	text = write_out(rt_diff_text, RT_LANG_EN, diff);
	assert_non_null(strstr(text, "p (pid 1): RSS at its end 0.00 -> 0.00 (0.00), peak 0.00 -> 0.00 (0.00)\n  native functions (C/C++), by what they asked for or gave back:\n    function "));
	assert_null(strchr(text, '\x1b'));
	squeeze(text);
	assert_non_null(strstr(text, "\n function old new difference % calls RSS inside anon file shmem kind phase library\n"));
	assert_non_null(strstr(text, "\n init_shm 8.00 20.00 +12.00 +150.0% 2 -> 5 +12.00 0.00 0.00 +12.00 shm load libx.so\n"));
	assert_non_null(strstr(text, "\n </script><b>&\"'\\x1b[2J\\u{202e} (free, inner) 5.00 3.00 -2.00 -40.0% 1 0.00 0.00 0.00 0.00 </script><b>&\"'\\x1b[2J\\u{202e} - </script>"));
	assert_non_null(strstr(text, "\n fresh 0.00 2.00 +2.00 0 -> 1 0.00 0.00 0.00 0.00 shm - libx.so new\n"));
	assert_null(strstr(text, "the same"));
	free(text);
	text = write_out(rt_diff_text, RT_LANG_ZH, diff);
	assert_non_null(strstr(text, "本地函数 (C/C++), 按申请或归还的大小:\n"));
	assert_non_null(strstr(text, " (释放, 内层) "));
	assert_non_null(strstr(text, "  加载 "));
	free(text);
	text = write_out(rt_diff_html, RT_LANG_EN, diff);
	assert_non_null(strstr(text, "<tr><td>init_shm</td><td>8.00</td><td>20.00</td><td class=\"up\">+12.00</td><td>+150.0%</td><td>2 &rarr; 5</td><td class=\"up\">+12.00</td>"));
	assert_non_null(strstr(text, "<tr><td>&lt;/script&gt;&lt;b&gt;&amp;&quot;&#39;\\x1b[2J\\u{202e} (free, inner)</td>"));
	assert_non_null(strstr(text, "<td class=\"left\">load</td><td class=\"left\">libx.so</td><td class=\"left\"></td></tr>"));
	assert_non_null(strstr(text, "<td class=\"left\">-</td><td class=\"left\">libx.so</td><td class=\"left\">new</td></tr>"));
	assert_null(strstr(text, "<b>"));
	assert_null(strstr(text, "the same"));
	free(text);
	text = write_out(rt_diff_json, RT_LANG_EN, diff);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	list = json_object_get(json_array_get(json_object_get(json, "processes"), 0), "native");
	assert_int_equal(json_array_size(list), 4);
	native = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(native, "symbol")), "init_shm");
	assert_string_equal(json_string_value(json_object_get(native, "phase")), "load");
	assert_string_equal(json_string_value(json_object_get(native, "op")), "alloc");
	assert_true(json_is_true(json_object_get(native, "said")));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(native, "bytes"), "difference")), 12 * MIB);
	native = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(native, "library")), hostile);
	assert_true(json_is_true(json_object_get(native, "inner")));
	assert_true(json_is_null(json_object_get(native, "phase")));
	assert_true(json_is_false(json_object_get(json_array_get(list, 3), "said")));
	json_decref(json);
	free(text);
	rt_diff_free(diff);
	free(runs);
}

/* No function that differs: no section. */
static void test_nothing(void **state)
{
	struct run *runs = calloc(2, sizeof(*runs));
	struct rt_diff *diff;
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		run_proc(&runs[i], "p");
		run_native(&runs[i], 0, "init_shm", NULL, 1 + (uint64_t)i, 8 * MIB, 8 * MIB);
		runs[i].proc[0].proc.peak = i * 5 * MIB; /* so that the process is shown */
	}
	diff = compare(runs, 2, MIB);
	text = write_out(rt_diff_text, RT_LANG_EN, diff);
	assert_non_null(strstr(text, "peak 0.00 -> 5.00 (+5.00)"));
	assert_null(strstr(text, "native functions"));
	free(text);
	text = write_out(rt_diff_html, RT_LANG_EN, diff);
	assert_null(strstr(text, "native functions"));
	free(text);
	rt_diff_free(diff);
	free(runs);
}

/* Of what a ledger may say: sizes at the end of the range, in sums too; no call at all. */
static void test_nonsense(void **state)
{
	struct run *runs = calloc(3, sizeof(*runs));
	struct rt_diff *diff;

	(void)state;
	for (int i = 0; i < 3; i++) {
		run_proc(&runs[i], "p");
		for (int k = 0; k < 4; k++) {
			struct rt_native_sum_view *row = run_native(&runs[i], 0, "", NULL, i ? UINT64_MAX : 0, 0, 0);

			row->bytes = row->mapped = row->unmapped = row->duration_ns = UINT64_MAX;
			row->own = row->delta.total = row->delta.kind[RT_ANON] = i == 1 ? INT64_MIN : INT64_MAX;
			row->gained = row->released = i == 1 ? INT64_MAX : INT64_MIN;
			row->kind = row->library = "";
		}
	}
	diff = compare(runs, 3, 0);
	assert_int_equal(diff->procs[0].n_natives, 1);
	assert_int_equal(diff->procs[0].natives[0].value[RT_DN_BYTES].now, INT64_MAX);
	assert_int_equal(diff->procs[0].natives[0].value[RT_DN_DELTA].old[1], INT64_MIN);
	free(write_out(rt_diff_text, RT_LANG_EN, diff));
	free(write_out(rt_diff_json, RT_LANG_ZH, diff));
	free(write_out(rt_diff_html, RT_LANG_ZH, diff));
	rt_diff_free(diff);
	free(runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment), cmocka_unit_test(test_what_counts), cmocka_unit_test(test_random),
		cmocka_unit_test(test_outputs),	  cmocka_unit_test(test_nothing),     cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
