/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Calls of native functions in the core: whose phase, lines, sums; against arithmetic and a simple model. */
#include "account_kit.h"

#include <jansson.h>

#include "acc_native.h"
#include "json.h"
#include "report.h"

#define SEEN 4096

static struct {
	struct rt_native_view call[SEEN];
	uint32_t pid[SEEN];
	size_t n;
} told;

static void on_native(void *ctx, const struct rt_proc_view *proc, const struct rt_native_view *native)
{
	(void)ctx;
	if (told.n >= SEEN)
		return;
	told.pid[told.n] = proc->pid;
	told.call[told.n++] = *native;
}

static struct kit *start(void)
{
	struct rt_sink sink = { .on_native = on_native };
	struct kit *k = kit_new(NULL);

	told.n = 0;
	assert_int_equal(rt_account_add_sink(k->account, &sink), 0);
	return k;
}

static int site_rec(struct kit *k, uint32_t number, uint32_t flags, const char *text, size_t len)
{
	uint8_t buf[2048] = { 0 };
	struct rt_rec_site rec = { .site = number, .flags = flags, .len = (uint32_t)len };

	memcpy(buf, &rec, sizeof(rec));
	memcpy(buf + sizeof(rec), text, len);
	return kit_give(k, buf, (sizeof(rec) + len + 7) & ~7ul, RT_REC_SITE, 0, 0, 0);
}

static void site(struct kit *k, uint32_t number, uint32_t flags, const char *symbol, const char *kind)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s%c%s%clib.so%c标签%clabel", symbol, 0, kind, 0, 0, 0);

	assert_int_equal(site_rec(k, number, flags, text, (size_t)n + 1), 0);
}

static int call_rec(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid, struct rt_rec_native rec)
{
	if (!rec.calls)
		rec.calls = 1;
	if (!rec.begin_ns)
		rec.begin_ns = rec.last_ns = ts - 5;
	for (int i = 0; i < RT_KINDS; i++)
		rec.before[i] = (uint64_t)k->rss[image][i];
	return kit_give(k, &rec, sizeof(rec), RT_REC_NATIVE, ts, image, tid);
}

#define call(k, ts, image, tid, ...) assert_int_equal(call_rec(k, ts, image, tid, (struct rt_rec_native){ __VA_ARGS__ }), 0)

static void enter(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid, uint32_t number)
{
	struct rt_rec_native_enter rec = { .site = number };

	for (int i = 0; i < RT_KINDS; i++)
		rec.before[i] = (uint64_t)k->rss[image][i];
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_NATIVE_ENTER, ts, image, tid), 0);
}

static const struct rt_native_sum_view *row(const struct rt_proc_summary *proc, const char *symbol, const struct rt_phase *phase)
{
	for (size_t i = 0; i < proc->n_natives; i++) {
		if (!strcmp(proc->natives[i].symbol, symbol) && proc->natives[i].phase == phase)
			return &proc->natives[i];
	}
	return NULL;
}

/* By the stack at its entry; without one, by the rule of whose phase it is. */
static void test_phase(void **state)
{
	struct kit *k = start();
	uint32_t base, outer, inner;
	const struct rt_summary *s;

	(void)state;
	site(k, 1, RT_SITEK_MAPPED, "ns::init_shm", "shm");
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 5), 4);
	inner = kit_node(k, 1, outer, kit_code(k, 1, "inner", "app/main.py", 9), 4);
	call(k, 15, 1, 100, .site = 1, .node = base);
	kit_thread(k, 16, 1, 101, 100);
	kit_grow(k, 20, 1, 100, outer, 5);
	call(k, 25, 1, 100, .site = 1, .node = inner, .mapped = 700, .bytes = 1);
	call(k, 26, 1, 101, .site = 1, .mapped = 7); /* its creator is in `outer` */
	call(k, 27, 1, 100, .site = 1, .node = 99999, .mapped = 3); /* a stack that is forgotten: the thread's own phase */
	kit_grow(k, 30, 1, 100, base, 5);
	call(k, 35, 1, 101, .site = 1);
	assert_int_equal(told.n, 5);
	assert_null(told.call[0].phase);
	assert_ptr_equal(told.call[1].phase, &k->phase[KIT_INNER]);
	assert_ptr_equal(told.call[2].phase, &k->phase[KIT_OUTER]);
	assert_ptr_equal(told.call[3].phase, &k->phase[KIT_OUTER]);
	assert_null(told.call[4].phase);
	assert_int_equal(told.call[1].bytes, 700);
	assert_string_equal(told.call[1].symbol, "ns::init_shm");
	s = rt_account_finish(k->account, 100, NULL);
	assert_int_equal(s->procs[0].n_natives, 3);
	assert_int_equal(row(&s->procs[0], "ns::init_shm", &k->phase[KIT_OUTER])->bytes, 10);
	assert_int_equal(row(&s->procs[0], "ns::init_shm", &k->phase[KIT_OUTER])->calls, 2);
	assert_int_equal(row(&s->procs[0], "ns::init_shm", NULL)->calls, 2);
	assert_int_equal(s->lost_records, 0);
	kit_free(k);
}

/* A line before and one after; total(n) = total(n-1) + growth(n) over all lines, those of phases among them. */
static void test_checkpoints(void **state)
{
	struct kit *k = start();
	uint32_t base, outer;
	int64_t total = 0;

	(void)state;
	site(k, 3, RT_SITEK_CHECKPOINT | RT_SITEK_MAPPED, "init_shm", "shm");
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 5), 4);
	kit_grow(k, 20, 1, 100, outer, 5);
	enter(k, 30, 1, 100, 3);
	kit_run(k, 32, 1, 100, .node = outer, .delta = { [RT_SHMEM] = 2049 });
	call(k, 40, 1, 100, .site = 3, .node = outer, .flags = RT_NATIVE_CHECKPOINT, .delta = { [RT_SHMEM] = 2049 }, .own = 2049, .gained = 2049);
	kit_grow(k, 50, 1, 100, outer, 3);
	call(k, 55, 1, 100, .site = 3, .node = outer); /* one of a sum: no line */
	call(k, 56, 1, 100, .site = 3, .node = outer, .flags = RT_NATIVE_CHECKPOINT | RT_NATIVE_OPEN); /* never came back */
	kit_grow(k, 60, 1, 100, base, 1);
	rt_account_finish(k->account, 100, NULL);
	assert_int_equal(k->n_cp, 4);
	for (size_t i = 0; i < k->n_cp; i++) {
		total += k->cp[i].cp.delta;
		assert_int_equal(k->cp[i].cp.total, total);
	}
	assert_int_equal(k->cp[1].cp.edge, RT_ENTER);
	assert_int_equal(k->cp[1].cp.delta, P(5));
	assert_int_equal(k->cp[2].cp.delta, P(2049));
	assert_int_equal(k->cp[2].cp.rss.kind[RT_SHMEM], P(2049));
	assert_string_equal(k->cp[2].cp.phase->exit.text[RT_LANG_ZH], "标签");
	assert_null(k->cp[2].cp.phase->enter.text[RT_LANG_ZH]);
	assert_int_equal(k->cp[3].cp.delta, P(3));
	assert_true(told.call[told.n - 1].open);
	kit_free(k);
}

static void test_sizes(void **state)
{
	struct kit *k = start();

	(void)state;
	site(k, 1, 0, "my_malloc", "device");
	site(k, 2, RT_SITEK_FREE | RT_SITEK_ADDR, "my_free", "device");
	site(k, 3, RT_SITEK_FREE | RT_SITEK_MAPPED, "destroy", "shm");
	kit_attach(k, 10, 1, 100, 1000);
	call(k, 20, 1, 100, .site = 1, .bytes = 500, .addr = 77, .mapped = 9, .delta = { 1, 2, 3 }, .own = 4, .gained = 8);
	call(k, 21, 1, 100, .site = 2, .bytes = 400, .addr = 77, .delta = { 0, -6, 0 }, .own = -6);
	call(k, 22, 1, 100, .site = 3, .bytes = 400, .mapped = 5, .unmapped = 300, .open_ns = 11);
	call(k, 23, 1, 100, .site = 1, .bytes = 1, .calls = 1000, .flags = RT_NATIVE_SUM);
	rt_account_finish(k->account, 100, NULL);
	assert_int_equal(told.call[0].bytes, 500);
	assert_int_equal(told.call[0].addr, 0);
	assert_int_equal(told.call[0].delta.total, P(6));
	assert_int_equal(told.call[0].own, P(4));
	assert_int_equal(told.call[0].released, P(2));
	assert_int_equal(told.call[1].addr, 77);
	assert_true(told.call[1].is_free && !told.call[0].is_free);
	assert_int_equal(told.call[1].released, P(6));
	assert_int_equal(told.call[2].bytes, 300);
	assert_int_equal(told.call[2].duration_ns, 11);
	assert_int_equal(told.call[3].calls, 1000);
	kit_free(k);
}

/* Whatever comes: counted, never believed. */
static void test_hostile(void **state)
{
	struct kit *k = start();
	static const char good[] = "a\0b\0c\0d\0e";
	char bad[400];
	const struct rt_summary *s;

	(void)state;
	assert_int_equal(site_rec(k, 0, 0, good, sizeof(good)), -22);
	assert_int_equal(site_rec(k, 4096, 0, good, sizeof(good)), -22);
	assert_int_equal(site_rec(k, 4000, 0, good, sizeof(good) - 1), -22); /* no NUL at its end */
	assert_int_equal(site_rec(k, 4000, 0, good, 4), -22);
	assert_int_equal(site_rec(k, 4000, 0, good, sizeof(good)), 0);
	assert_int_equal(site_rec(k, 4000, 0, good, sizeof(good)), -22); /* once */
	memset(bad, 0xff, sizeof(bad));
	for (int i = 0; i < 5; i++)
		bad[80 * i + 79] = 0;
	assert_int_equal(site_rec(k, 7, ~0u, bad, sizeof(bad)), 0); /* no UTF-8: made valid */
	assert_int_equal(call_rec(k, 5, 1, 100, (struct rt_rec_native){ .site = 7 }), 0); /* nobody there yet */
	kit_attach(k, 10, 1, 100, 1000);
	assert_int_equal(call_rec(k, 20, 1, 100, (struct rt_rec_native){ .site = 8 }), 0); /* no such site */
	assert_int_equal(call_rec(k, 20, 1, 100, (struct rt_rec_native){ .site = 0 }), -22);
	call(k, 21, 1, 4000000, .site = 7, .bytes = UINT64_MAX, .mapped = UINT64_MAX, .unmapped = UINT64_MAX, .open_ns = UINT64_MAX, .node = UINT32_MAX,
	     .delta = { INT32_MIN, INT32_MAX, INT32_MIN }, .own = INT32_MIN, .gained = UINT32_MAX, .flags = ~0u & ~RT_NATIVE_OPEN);
	call(k, 22, 1, 100, .site = 7, .bytes = UINT64_MAX, .calls = UINT32_MAX, .gained = UINT32_MAX);
	s = rt_account_finish(k->account, 100, NULL);
	assert_int_equal(s->lost_records, 8);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.call[0].symbol[0] & 0xff, 0xef);
	kit_free(k);
}

static void test_muted(void **state)
{
	struct kit *k = start();
	const struct rt_summary *s;

	(void)state;
	site(k, 1, RT_SITEK_CHECKPOINT, "f", "shm");
	kit_attach(k, 10, 1, 100, 1000);
	kit_meta(k, 11, 1, RT_META_MUTED, "");
	enter(k, 20, 1, 100, 1);
	call(k, 21, 1, 100, .site = 1, .flags = RT_NATIVE_CHECKPOINT);
	s = rt_account_finish(k->account, 100, NULL);
	assert_int_equal(told.n + k->n_cp + s->procs[0].n_natives + s->lost_records, 0);
	kit_free(k);
}

/* More functions than there are rows: the sums of all rows are those of all calls. */
static void test_many(void **state)
{
	struct kit *k = start();
	uint64_t bytes = 0, calls = 0, got_bytes = 0, got_calls = 0;
	const struct rt_summary *s;
	char name[32];

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	for (uint32_t i = 1; i <= 700; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		site(k, i, 0, name, "other");
	}
	srand(4);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t n = 1 + (uint32_t)rand() % 9, b = (uint32_t)rand() % 1000;

		call(k, 20 + i, 1, 100, .site = 1 + (uint32_t)rand() % 700, .bytes = b, .calls = n);
		bytes += b;
		calls += n;
	}
	s = rt_account_finish(k->account, 10000, NULL);
	assert_int_equal(s->procs[0].n_natives, RT_NATIVE_ROWS_MAX);
	for (size_t i = 0; i < s->procs[0].n_natives; i++) {
		got_bytes += s->procs[0].natives[i].bytes;
		got_calls += s->procs[0].natives[i].calls;
	}
	assert_string_equal(s->procs[0].natives[RT_NATIVE_ROWS_MAX - 1].symbol, "<others>");
	assert_int_equal(got_bytes, bytes);
	assert_int_equal(got_calls, calls);
	kit_free(k);
}

/* What the outputs make of it: pinned memory by phase, the table, the NDJSON line. */
static void test_outputs(void **state)
{
	struct kit *k = start();
	const struct rt_summary *s;
	struct rt_json *json;
	struct rt_sink sink;
	char *text = NULL, *line = NULL;
	size_t len = 0, line_len = 0;
	FILE *out = open_memstream(&text, &len), *lines = open_memstream(&line, &line_len);
	json_t *object;

	(void)state;
	assert_non_null(out);
	assert_non_null(lines);
	json = rt_json_new(lines, RT_LANG_EN);
	sink = rt_json_sink(json);
	assert_int_equal(rt_account_add_sink(k->account, &sink), 0);
	site(k, 1, 0, "cudaHostAlloc", "pinned");
	site(k, 2, RT_SITEK_FREE | RT_SITEK_MAPPED, "cudaFreeHost", "pinned");
	site(k, 3, 0, "other", "other");
	site(k, 4, 0, "cuMemHostAlloc", "pinned");
	kit_attach(k, 10, 1, 100, 1000);
	kit_base(k, 1);
	call(k, 20, 1, 100, .site = 1, .bytes = 8 << 20, .delta = { [RT_SHMEM] = 2048, [RT_ANON] = 256 }, .own = 2304, .gained = 2304);
	call(k, 21, 1, 100, .site = 1, .bytes = 4 << 20);
	call(k, 22, 1, 100, .site = 2, .unmapped = 8 << 20, .delta = { [RT_SHMEM] = -2048 }, .own = -2048);
	call(k, 23, 1, 100, .site = 3, .bytes = 1 << 20);
	/* part of another call: in the table, not in what was pinned */
	call(k, 24, 1, 100, .site = 4, .bytes = 8 << 20, .delta = { [RT_SHMEM] = 2048 }, .own = 2048, .gained = 2048, .flags = RT_NATIVE_INNER);
	fflush(lines);
	object = json_loads(strstr(line, "{\"type\":\"native\""), JSON_DISABLE_EOF_CHECK, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "symbol")), "cudaHostAlloc");
	assert_string_equal(json_string_value(json_object_get(object, "kind")), "pinned");
	assert_string_equal(json_string_value(json_object_get(object, "op")), "alloc");
	assert_int_equal(json_integer_value(json_object_get(object, "bytes")), 8 << 20);
	assert_int_equal(json_integer_value(json_object_get(object, "rss_delta_bytes")), P(2304));
	assert_int_equal(json_integer_value(json_object_get(object, "shmem_bytes")), P(2048));
	assert_true(json_is_null(json_object_get(object, "phase")) && json_is_null(json_object_get(object, "addr")));
	assert_true(json_is_false(json_object_get(object, "inner")));
	json_decref(object);
	assert_non_null(strstr(strstr(line, "\"cuMemHostAlloc\""), "\"inner\":true"));
	s = rt_account_finish(k->account, 100, NULL);
	assert_int_equal(rt_report_print(out, RT_LANG_EN, s, NULL), 0);
	fclose(out);
	assert_non_null(strstr(text, "pinned: outside any phase: asked 12.00, resident +9.00 (shmem +8.00), given back 8.00 (resident: 8.00 less)\n"));
	assert_non_null(strstr(text, "cudaFreeHost (free)"));
	assert_non_null(strstr(text, "cuMemHostAlloc (inner)"));
	assert_null(strstr(text, "given back 8.00 (resident: 8.00 less)\n  pinned")); /* once a phase */
	free(text);
	rt_json_free(json);
	fclose(lines);
	free(line);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phase), cmocka_unit_test(test_checkpoints), cmocka_unit_test(test_sizes), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_muted), cmocka_unit_test(test_many),	  cmocka_unit_test(test_outputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
