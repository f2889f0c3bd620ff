/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* A process that the OOM killer chose: which, in which phase, at what size; what log, NDJSON and summary say of it. */
#include "account_kit.h"

#include <jansson.h>
#include <signal.h>

#include "json.h"
#include "report.h"
#include "taglog.h"

struct told {
	struct rt_oom_view oom[8];
	uint32_t pid[8];
	size_t n;
};

static void on_oom(void *ctx, const struct rt_proc_view *proc, const struct rt_oom_view *oom)
{
	struct told *told = ctx;

	assert_true(told->n < 8);
	told->pid[told->n] = proc->pid;
	told->oom[told->n++] = *oom;
}

static struct kit *start(struct told *told)
{
	struct rt_sink sink = {.ctx = told, .on_oom = on_oom};
	struct kit *k = kit_new(NULL);

	*told = (struct told){0};
	assert_int_equal(rt_account_add_sink(k->account, &sink), 0);
	return k;
}

static void oom(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid, struct rt_rec_oom rec)
{
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_OOM, ts, image, tid), 0);
}

static uint32_t node_of(struct kit *k, uint32_t image, uint32_t base, const char *function)
{
	return kit_node(k, image, base, kit_code(k, image, function, "app/main.py", 5), 4);
}

/* The kernel side knows the process and its size: that counts, not the last run's end. Once a process. */
static void test_known(void **state)
{
	struct told told;
	struct kit *k = start(&told);
	uint32_t base, outer;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = node_of(k, 1, base, "outer");
	kit_thread(k, 11, 1, 101, 100);
	kit_grow(k, 20, 1, 100, outer, 50);
	oom(k, 30, 1, 101, (struct rt_rec_oom){.pid = 100, .flags = RT_OOM_PAGES, .pages = {[RT_FILE] = 7, [RT_ANON] = 1049, [RT_SHMEM] = 3}});
	oom(k, 31, 1, 101, (struct rt_rec_oom){.pid = 100, .flags = RT_OOM_PAGES, .pages = {[RT_ANON] = 5}});
	kit_exit(k, 40, 1, 100, SIGKILL, 0);
	oom(k, 41, 1, 101, (struct rt_rec_oom){.pid = 100});
	s = rt_account_finish(k->account, 50, NULL);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.pid[0], 100);
	assert_int_equal(told.oom[0].ts_ns, 30);
	assert_int_equal(told.oom[0].tid, 101);
	assert_ptr_equal(told.oom[0].phase, &k->phase[KIT_OUTER]); /* its creator's */
	assert_int_equal(told.oom[0].rss.total, P(1059));
	assert_int_equal(told.oom[0].rss.kind[RT_SHMEM], P(3));
	assert_non_null(s->procs[0].oom);
	assert_int_equal(s->procs[0].oom->rss.total, P(1059));
	assert_int_equal(s->lost_records, 0);
	kit_free(k);
}

/* Kernels before 6.9 give a thread's number: a main thread's, another one's, or that of a process that nobody follows. */
static void test_number_only(void **state)
{
	struct told told;
	struct kit *k = start(&told);
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	kit_attach(k, 11, 2, 200, 500);
	kit_attach(k, 12, 3, 300, 300);
	kit_thread(k, 13, 2, 201, 200);
	oom(k, 20, 0, 999, (struct rt_rec_oom){.flags = 0});
	oom(k, 21, 0, 201, (struct rt_rec_oom){.flags = 0});
	oom(k, 22, 0, 100, (struct rt_rec_oom){.flags = 0});
	s = rt_account_finish(k->account, 30, NULL);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.pid[0], 200);
	assert_int_equal(told.oom[0].rss.total, P(500));
	assert_null(told.oom[0].phase);
	assert_int_equal(told.pid[1], 100);
	assert_int_equal(told.oom[1].rss.total, P(1000));
	assert_int_equal(s->n_procs, 3);
	assert_null(s->procs[2].oom);
	assert_int_equal(s->lost_records, 0);
	kit_free(k);
}

/* A child between vfork and exec runs on its parent's memory: the image is the parent's, the number is its own. */
static void test_vfork(void **state)
{
	struct told told;
	struct kit *k = start(&told);

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	kit_proc(k, 20, (struct rt_rec_proc){.birth = RT_BIRTH_FORK, .flags = RT_PROC_SHARES_MM, .pid = 110, .parent_image = 1}, 2);
	oom(k, 30, 1, 110, (struct rt_rec_oom){.pid = 110, .flags = RT_OOM_PAGES, .pages = {[RT_ANON] = 1000}});
	rt_account_finish(k->account, 40, NULL);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.pid[0], 110);
	kit_free(k);
}

static void test_malformed(void **state)
{
	struct told told;
	struct kit *k = start(&told);
	struct rt_rec_oom rec = {.pid = 100, .flags = RT_OOM_PAGES, .pages = {UINT64_MAX, UINT64_MAX, 0}};

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	assert_int_equal(kit_give(k, &rec, sizeof(rec) - 8, RT_REC_OOM, 20, 1, 100), -22);
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_OOM, 21, 77, 1), 0); /* absurd sizes do not overflow */
	rt_account_finish(k->account, 30, NULL);
	assert_int_equal(told.n, 1);
	assert_true(told.oom[0].rss.total > 0);
	kit_free(k);
}

/* ---- what is said ---- */

static char label_zh[] = "加载权重", label_en[] = "load\n weights", id[] = "load_weights";
static const struct rt_phase phase = {.id = id, .label = {{label_zh, label_en}}};
static const struct rt_oom_view view = {.ts_ns = 5, .tid = 12, .phase = &phase, .rss = {3 << 20, {[RT_ANON] = 2 << 20, [RT_FILE] = 1 << 20}}};
static const struct rt_proc_view worker = {.pid = 123, .ppid = 1, .name = "Worker", .depth = 1, .ended = true, .wait_status = SIGKILL};

static void line(enum rt_lang lang, const struct rt_proc_view *proc, const struct rt_oom_view *oom, const char *expected)
{
	struct rt_taglog_config config = {.lang = lang, .tag = "t", .min_size = 1 << 30};
	char *text = NULL;
	struct rt_taglog *log;
	struct rt_sink sink;
	size_t len = 0;

	config.out = open_memstream(&text, &len);
	log = rt_taglog_new(&config);
	sink = rt_taglog_sink(log);
	sink.on_oom(sink.ctx, proc, oom);
	fflush(config.out);
	assert_string_equal(text, expected);
	assert_int_equal(rt_taglog_error(log), 0);
	rt_taglog_free(log);
	fclose(config.out);
	free(text);
}

static void test_log(void **state)
{
	struct rt_proc_view first = {.pid = 7, .first = true}, muted = worker;
	struct rt_oom_view outside = view;

	(void)state;
	muted.muted = true;
	outside.phase = NULL;
	line(RT_LANG_ZH, &worker, &view, "(Worker pid=123) WARNING: 内存不足, 该进程被内核选中终止 (OOM): 阶段 加载权重, RSS 3.00 M（t）\n");
	line(RT_LANG_EN, &worker, &view, "(Worker pid=123) WARNING: chosen by the kernel's OOM killer: phase load\\x0a weights, RSS 3.00 MiB [t]\n");
	line(RT_LANG_EN, &first, &outside, "WARNING: chosen by the kernel's OOM killer: outside any phase, RSS 3.00 MiB [t]\n");
	line(RT_LANG_ZH, &first, &outside, "WARNING: 内存不足, 该进程被内核选中终止 (OOM): 不在任何阶段中, RSS 3.00 M（t）\n");
	line(RT_LANG_EN, &muted, &view, "");
}

static void test_ndjson(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct rt_json *json = rt_json_new(out, RT_LANG_EN);
	struct rt_sink sink = rt_json_sink(json);

	(void)state;
	sink.on_oom(sink.ctx, &worker, &view);
	assert_string_equal(text, "{\"type\":\"oom\",\"ts_ns\":5,\"pid\":123,\"tid\":12,\"name\":\"Worker\",\"phase\":\"load_weights\",\"rss_bytes\":3145728,"
				  "\"anon_bytes\":2097152,\"file_bytes\":1048576,\"shmem_bytes\":0}\n");
	assert_int_equal(rt_json_error(json), 0);
	rt_json_free(json);
	fclose(out);
	free(text);
}

static char *summary_of(enum rt_lang lang, const struct rt_proc_summary *procs, size_t n)
{
	struct rt_summary summary = {.procs = procs, .n_procs = n};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(rt_report_print(out, lang, &summary, NULL), 0);
	fclose(out);
	return text;
}

/* Said at the top, also of one among many children; not of one that was chosen while it ended by itself. */
static void test_summary(void **state)
{
	enum { N = 60 };
	struct rt_proc_summary procs[N];
	char *text;

	(void)state;
	for (size_t i = 0; i < N; i++)
		procs[i] = (struct rt_proc_summary){.proc = worker};
	procs[40].oom = &view;
	procs[41].oom = &view;
	procs[41].proc.wait_status = 0;
	text = summary_of(RT_LANG_EN, procs, N);
	assert_non_null(strstr(text, "at the end 0.00\nkilled by the kernel for lack of memory (OOM): Worker pid 123, phase load\\x0a weights, "
				     "RSS 3.00 at that moment (anon 2.00, file 1.00, shmem 0.00)\n\n"));
	free(text);
	text = summary_of(RT_LANG_ZH, procs, N);
	assert_non_null(strstr(text, "\n内存不足 (OOM), 被内核终止: Worker pid 123, 阶段 加载权重, 当时 RSS 3.00 (匿名 2.00, 文件 1.00, 共享 0.00)\n\n"));
	free(text);
	text = summary_of(RT_LANG_EN, &procs[41], 1);
	assert_null(strstr(text, "OOM"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known), cmocka_unit_test(test_number_only), cmocka_unit_test(test_vfork), cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_log), cmocka_unit_test(test_ndjson), cmocka_unit_test(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
