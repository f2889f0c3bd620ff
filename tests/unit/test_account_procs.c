/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The accounting core: processes and their tree. All expected figures are worked out by hand from the sequence. */
#include "account_kit.h"

static void assert_event(const struct kit *k, size_t i, enum rt_proc_event event, uint32_t pid, const char *name)
{
	assert_true(i < k->n_event);
	assert_int_equal(k->event[i].event, event);
	assert_int_equal(k->event[i].pid, pid);
	assert_string_equal(k->event[i].name, name);
}

static void test_names(void **state)
{
	static const struct {
		const char *title, *name;
	} cases[] = {
		{ "VLLM::EngineCore", "EngineCore" },
		{ "VLLM::Worker_TP0 extra", "Worker_TP0" },
		{ "sglang::scheduler", "scheduler" },
		{ "/v/bin/python3 /v/bin/vllm serve /m --port 1", "APIServer" },
		{ "vllm   serve x", "APIServer" },
		{ "python -m vllm bench serve", "python" },
		{ "/opt/myvllm serve", "python" },
		{ "g++ -c a::b", "python" },
		{ "VLLM:: x", "python" },
		{ "::x", "python" },
		{ "", "python" },
	};
	struct kit *k = kit_new(NULL);
	const struct rt_proc_view *view;

	(void)state;
	kit_attach(k, 10, 1, 100, 5);
	kit_meta(k, 11, 1, RT_META_EXE, "/usr/bin/python3.11");
	kit_meta(k, 12, 1, RT_META_PYTHON, "3.11.7");
	assert_event(k, 0, RT_EV_ATTACH, 100, "python");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t before = k->n_event;

		kit_meta(k, 20 + i, 1, RT_META_TITLE, cases[i].title);
		assert_int_equal(k->n_event, before + 1);
		assert_event(k, before, RT_EV_TITLE, 100, cases[i].name);
		kit_meta(k, 20 + i, 1, RT_META_TITLE, cases[i].title);
		assert_int_equal(k->n_event, before + 1); /* nothing new */
	}
	kit_rename(k, 50, 1, 101, "other thread");
	kit_rename(k, 51, 1, 100, "vllm\xff");
	view = &rt_account_finish(k->account, 60, NULL)->procs[0].proc;
	assert_string_equal(view->name, "vllm\xef\xbf\xbd");
	assert_string_equal(view->comm, view->name);
	assert_string_equal(view->exe, "/usr/bin/python3.11");
	assert_string_equal(view->python, "3.11.7");
	assert_true(view->first);
	kit_free(k);
}

/* Parent in a phase, a child by fork that execs twice, grows and ends; a grandchild. All of it is the phase's tree,
 * not its RSS. */
static void test_tree(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer, inner;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	inner = kit_node(k, 1, outer, kit_code(k, 1, "inner", "app/main.py", 20), 4);
	kit_grow(k, 20, 1, 100, outer, 10);
	kit_fork(k, 30, 2, 200, 1, 700);
	kit_run(k, 31, 2, 200, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 9 });
	kit_exec(k, 40, 3, 200, 2, 50);
	assert_int_equal(k->event[2].rss, P(50));
	kit_grow(k, 50, 1, 100, inner, 0);
	kit_run(k, 60, 3, 200, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 450 });
	kit_fork(k, 70, 4, 300, 3, 100);
	kit_grow(k, 80, 1, 100, outer, 0);
	assert_string_equal(k->span[0].path, "outer/inner");
	assert_int_equal(k->span[0].ph.tree_delta, P(450 + 100)); /* 50 were there */
	assert_int_equal(k->span[0].ph.delta.total, 0);
	assert_int_equal(k->cp[2].cp.tree_delta, P(550));
	kit_exit(k, 90, 4, 300, 0x100, 0);
	kit_exec(k, 95, 5, 200, 3, 20);
	kit_grow(k, 100, 1, 100, base, 1);
	assert_int_equal(k->span[1].ph.tree_delta, P(20));
	kit_exit(k, 110, 5, 200, 0, 0);
	s = rt_account_finish(k->account, 120, NULL);
	assert_int_equal(s->n_procs, 3);
	assert_int_equal(s->procs[1].proc.pid, 200);
	assert_int_equal(s->procs[1].proc.depth, 1);
	assert_int_equal(s->procs[1].proc.start.total, P(50)); /* its first exec, not its fork, not its second exec */
	assert_int_equal(s->procs[1].proc.start_ns, 40);
	assert_int_equal(s->procs[1].proc.now.total, P(20));
	assert_int_equal(s->procs[1].proc.peak, P(500));
	assert_int_equal(s->procs[1].outside_net, P(450)); /* since the baseline */
	assert_int_equal(s->procs[2].proc.pid, 300);
	assert_int_equal(s->procs[2].proc.depth, 2);
	assert_int_equal(s->procs[2].proc.wait_status, 0x100);
	assert_int_equal(s->unaccounted, 0);
	assert_int_equal(s->lost_records, 0);
	assert_event(k, 1, RT_EV_FORK, 200, "python");
	assert_event(k, 2, RT_EV_EXEC, 200, "python");
	assert_event(k, 3, RT_EV_FORK, 300, "python");
	assert_event(k, 4, RT_EV_EXIT, 300, "python");
	assert_event(k, 5, RT_EV_EXEC, 200, "python");
	assert_event(k, 6, RT_EV_EXIT, 200, "python");
	kit_free(k);
}

static void expect_tree(const struct kit *k, int64_t now, int64_t peak)
{
	int64_t told_now = -1, told_peak = -1;

	rt_account_tree(k->account, &told_now, &told_peak);
	assert_int_equal(told_now, P(now));
	assert_int_equal(told_peak, P(peak));
}

/* All followed processes together: the most at one time is no sum of their peaks, nor of what they have at the end. */
static void test_tree_peak(void **state)
{
	struct kit *k = kit_new(NULL);
	const struct rt_summary *s;
	uint32_t base;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	expect_tree(k, 1000, 1000);
	kit_attach(k, 11, 2, 150, 200);
	expect_tree(k, 1200, 1200);
	kit_run(k, 20, 1, 100, .node = base, .delta = { [RT_ANON] = 10 }, .max_pages = 1300); /* 300 gained, 290 released */
	expect_tree(k, 1210, 1500);
	kit_fork(k, 30, 3, 200, 1, 400); /* 1010 + 200 + 400 */
	expect_tree(k, 1610, 1610);
	kit_exec(k, 40, 4, 200, 3, 50);
	expect_tree(k, 1260, 1610);
	kit_run(k, 50, 4, 200, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 300 }); /* its own peak: 350 */
	expect_tree(k, 1560, 1610);
	kit_exit(k, 60, 2, 150, 0, 0);
	kit_grow(k, 70, 1, 100, base, 240);
	expect_tree(k, 1600, 1610);
	kit_proc(k, 75,
		 (struct rt_rec_proc){ .birth = RT_BIRTH_FORK, .pid = 300, .parent_image = 1, .flags = RT_PROC_SHARES_MM, .pages = { [RT_ANON] = 1250 } }, 5);
	expect_tree(k, 1600, 1610); /* on its parent's memory: nothing of its own */
	kit_grow(k, 80, 1, 100, base, 50);
	expect_tree(k, 1650, 1650);
	kit_exit(k, 90, 4, 200, 0, 0);
	s = rt_account_finish(k->account, 120, NULL);
	assert_int_equal(s->tree_peak, P(1650));
	assert_int_equal(s->tree_end, P(1300));
	assert_int_equal(s->procs[0].proc.peak + s->procs[1].proc.peak + s->procs[2].proc.peak + s->procs[3].proc.peak, P(1300 + 350 + 200));
	kit_free(k);
}

/* What comes into sight by attaching is no growth of the tree. */
static void test_tree_attach(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 10);
	kit_proc(k, 30, (struct rt_rec_proc){ .birth = RT_BIRTH_ATTACH, .pid = 200, .ppid = 100,
					      .pages = { 0, 500, 0 } }, 2);
	kit_run(k, 40, 2, 200, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 3 });
	kit_grow(k, 50, 1, 100, base, 0);
	assert_int_equal(k->span[0].ph.tree_delta, P(3));
	kit_free(k);
}

static void test_exec_inside_a_phase(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;
	const struct rt_proc_summary *p;

	(void)state;
	kit_proc(k, 10, (struct rt_rec_proc){ .birth = RT_BIRTH_EXEC, .pid = 100, .pages = { 0, 100, 0 } }, 1);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 10);
	kit_thread(k, 25, 1, 101, 100);
	kit_run(k, 30, 1, 101, .node = outer, .delta = { [RT_ANON] = 5 });
	kit_meta(k, 31, 1, RT_META_TITLE, "VLLM::EngineCore");
	kit_exec(k, 40, 2, 100, 1, 30);
	assert_int_equal(k->n_span, 2);
	assert_int_equal(k->span[0].ph.end_ns, 40);
	assert_int_equal(k->span[0].ph.rss_end, P(115));
	assert_int_equal(k->cp[2].cp.total + k->cp[3].cp.total, P(15 + 15));
	assert_event(k, 2, RT_EV_EXEC, 100, "python"); /* the title went with the image */
	base = kit_base(k, 2);
	outer = kit_node(k, 2, base, kit_code(k, 2, "outer", "app/main.py", 10), 4);
	kit_run(k, 50, 2, 100, .node = outer, .delta = { [RT_FILE] = 7 });
	assert_int_equal(k->cp[4].cp.delta, P(30 - 115));
	assert_int_equal(k->cp[4].cp.total, P(30 - 100));
	kit_exit(k, 60, 2, 100, 9, 2);
	assert_int_equal(k->n_span, 3);
	assert_int_equal(k->span[2].ph.end_ns, 60);
	assert_int_equal(k->span[2].ph.end_ns_max, 60);
	assert_int_equal(k->cp[5].cp.delta, P(7));
	p = &rt_account_finish(k->account, 70, NULL)->procs[0];
	assert_int_equal(p->unaccounted, P(2)); /* of the last image only */
	assert_int_equal(p->proc.start.total, P(100));
	assert_int_equal(p->proc.now.total, P(37));
	assert_int_equal(kit_row(p, "outer")->call, 3);
	assert_int_equal(kit_row(p, "outer")->own, P(22));
	kit_free(k);
}

/* A forked child has its parent's stack: what is open there opens in it when it is first looked at. */
static void test_fork_inside_a_phase(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer, child_base, child_outer;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 10);
	kit_fork(k, 30, 2, 200, 1, 900);
	assert_int_equal(k->n_cp, 1);
	child_base = kit_base(k, 2);
	child_outer = kit_node(k, 2, child_base, kit_code(k, 2, "outer", "app/main.py", 10), 4);
	kit_run(k, 40, 2, 200, .node = child_outer, .delta = { [RT_ANON] = 3 }, .prev_seen_ns = 35);
	assert_int_equal(k->n_cp, 2);
	assert_int_equal(k->cp[1].pid, 200);
	assert_int_equal(k->cp[1].cp.total, 0);
	kit_run(k, 45, 2, 200, .node = child_base, .delta = { [RT_ANON] = 1 });
	kit_exit(k, 50, 2, 200, 0, 0);
	kit_exit(k, 60, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 70, NULL);
	assert_int_equal(kit_row(&s->procs[0], "outer")->own, P(10));
	assert_int_equal(kit_row(&s->procs[0], "outer")->tree_delta, 0);
	assert_int_equal(kit_row(&s->procs[1], "outer")->own, P(3));
	assert_int_equal(s->procs[1].outside_net, P(1));
	assert_int_equal(s->unaccounted, 0);
	kit_free(k);
}

/* A vfork child has no memory of its own; what it touches is its parent's, in the phase that its stack is in. */
static void test_vfork(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer, inner;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	inner = kit_node(k, 1, outer, kit_code(k, 1, "inner", "app/main.py", 20), 4);
	kit_grow(k, 20, 1, 100, inner, 10);
	kit_run(k, 25, 1, 105, .node = outer); /* another thread with a phase: no "only one" to fall back on */
	kit_proc(k, 30,
		 (struct rt_rec_proc){ .birth = RT_BIRTH_FORK,
				       .flags = RT_PROC_SHARES_MM,
				       .pid = 200,
				       .parent_image = 1,
				       .pages = { 0, 1010, 0 } },
		 2);
	kit_run(k, 35, 1, 200, .node = inner, .delta = { [RT_ANON] = 4 });
	assert_int_equal(k->n_cp, 3); /* no span on the child's account */
	kit_exec(k, 40, 3, 200, 2, 60);
	kit_run(k, 45, 3, 200, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 6 });
	kit_grow(k, 50, 1, 100, outer, 0);
	assert_int_equal(k->span[0].ph.own, P(14));
	assert_int_equal(k->span[0].ph.helper, 0);
	assert_int_equal(k->span[0].ph.delta.total, P(14));
	assert_int_equal(k->span[0].ph.tree_delta, P(66));
	kit_exit(k, 60, 3, 200, 0, 0);
	/* One that ends without an exec. */
	kit_proc(k, 70, (struct rt_rec_proc){ .birth = RT_BIRTH_FORK, .flags = RT_PROC_SHARES_MM, .pid = 201,
					      .parent_image = 1 }, 4);
	k->rss[4][RT_ANON] = 1014;
	kit_exit(k, 80, 4, 201, 0x7f00, 0);
	kit_exit(k, 90, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 100, NULL);
	assert_int_equal(s->procs[1].proc.start.total, P(60));
	assert_int_equal(s->procs[1].proc.peak, P(66));
	assert_int_equal(s->procs[2].proc.now.total, 0);
	assert_int_equal(s->procs[2].proc.peak, 0);
	assert_int_equal(s->unaccounted, 0);
	assert_int_equal(s->lost_records, 0);
	kit_free(k);
}

static void test_mute(void **state)
{
	for (int ignore = 0; ignore < 2; ignore++) {
		struct kit *k = kit_new(&(struct rt_account_config){ .ignore_mute = ignore });
		uint32_t base, outer;
		const struct rt_summary *s;

		(void)state;
		kit_attach(k, 10, 1, 100, 1000);
		kit_fork(k, 11, 2, 200, 1, 10);
		kit_meta(k, 12, 2, RT_META_MUTED, "");
		base = kit_base(k, 2);
		outer = kit_node(k, 2, base, kit_code(k, 2, "outer", "app/main.py", 10), 4);
		kit_run(k, 20, 2, 200, .node = outer, .delta = { [RT_ANON] = 10 });
		kit_exit(k, 30, 2, 200, 0, 0);
		s = rt_account_finish(k->account, 40, NULL);
		assert_int_equal(k->n_cp, ignore ? 2 : 0);
		assert_int_equal(k->n_span, ignore ? 1 : 0);
		assert_int_equal(s->procs[1].n_phases, ignore ? 1 : 0);
		assert_int_equal(s->procs[1].proc.muted, !ignore);
		assert_int_equal(s->procs[1].proc.now.total, P(20));
		assert_int_equal(kit_charged(&s->procs[1]), P(10));
		kit_free(k);
	}
}

/* 20 ms children by the thousand: each counted, none kept for ever, and a pid that comes back is another process. */
static void test_many_children(void **state)
{
	struct kit *k = kit_new(NULL);
	const struct rt_summary *s;
	uint32_t image = 2;
	int64_t outside = 0;

	(void)state;
	k->mute_tape = true;
	kit_attach(k, 10, 1, 100, 1000);
	for (int i = 0; i < 6000; i++, image += 1) {
		uint64_t ts = 100 + (uint64_t)i * 10;
		uint32_t pid = 1000 + (uint32_t)i % 7;

		kit_fork(k, ts, image, pid, 1, 40);
		kit_run(k, ts + 1, image, pid, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 2 });
		if (i % 1000 != 999) /* else its end is lost, and shows when its pid comes back */
			kit_exit(k, ts + 2, image, pid, 0, 0);
	}
	s = rt_account_finish(k->account, 100000, NULL);
	assert_true(s->n_procs <= 1 + 4096 + 256);
	for (size_t i = 0; i < s->n_procs; i++)
		outside += s->procs[i].outside_net;
	assert_int_equal(outside, P(6000 * 2));
	assert_int_equal(s->lost_records, 5); /* of six ends lost, the last one's pid did not come back */
	assert_int_equal(s->procs[s->n_procs - 1].proc.pid, 0);
	assert_string_equal(s->procs[s->n_procs - 1].proc.name, "python");
	kit_free(k);
}

static void test_unknown_and_malformed(void **state)
{
	struct kit *k = kit_new(NULL);
	struct rt_rec_run run = { .cause = RT_CAUSES };
	struct rt_rec_proc proc = { .birth = RT_BIRTH_ATTACH, .pid = 1 };
	struct rt_rec_meta meta = { .key = RT_META_TITLE, .len = 1000 };
	struct rt_hdr h = { .type = 99, .size = sizeof(h) };
	const struct rt_summary *s;

	(void)state;
	assert_int_equal(rt_account_record(k->account, &h, sizeof(h)), -22);
	assert_int_equal(rt_account_record(k->account, &h, 3), -22);
	h.type = RT_REC_RUN;
	assert_int_equal(rt_account_record(k->account, &h, sizeof(h)), -22);
	assert_int_equal(kit_give(k, &run, sizeof(run), RT_REC_RUN, 5, 1, 1), -22);
	assert_int_equal(kit_give(k, &proc, sizeof(proc), RT_REC_PROC, 5, 0, 1), -22);
	assert_int_equal(kit_give(k, &meta, sizeof(meta), RT_REC_META, 5, 1, 1), -22);
	/* well-formed, of an image never heard of */
	assert_int_equal(kit_run_rec(k, 5, 9, 1, (struct rt_rec_run){ .node = 0 }), 0);
	s = rt_account_finish(k->account, 10, NULL);
	assert_int_equal(s->lost_records, 7);
	assert_int_equal(s->n_procs, 0);
	kit_free(k);
}

static int give_held(struct kit *k, uint64_t ts, uint32_t image, uint32_t kind, uint64_t bytes, const char *name)
{
	uint8_t buf[512] = { 0 };
	struct rt_rec_opening rec = { .kind = kind, .bytes = bytes, .len = (uint32_t)strlen(name) };

	memcpy(buf, &rec, sizeof(rec));
	memcpy(buf + sizeof(rec), name, rec.len);
	return kit_give(k, buf, (sizeof(rec) + rec.len + 7) & ~7ul, RT_REC_OPENING, ts, image, 0);
}

/* What was held at the attach adds up to the baseline, whatever changed while it was read. */
static void test_opening(void **state)
{
	static const struct rt_opening_view want[] = {
		{ "[anon]", RT_ANON, P(700) },
		{ "/m/model.safetensors", RT_FILE, P(20) },
		{ "<changed while reading>", RT_FILE, P(-20) },
		{ "<changed while reading>", RT_ANON, P(300) },
	};
	struct kit *k = kit_new(NULL);
	const struct rt_summary *s;
	struct rt_rec_opening cut = { .kind = RT_ANON, .bytes = 1, .len = 9 };

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	assert_int_equal(give_held(k, 12, 1, RT_ANON, P(700), "[anon]"), 0);
	assert_int_equal(give_held(k, 12, 1, RT_FILE, P(20), "/m/model.safetensors"), 0);
	kit_fork(k, 13, 2, 200, 1, 50);
	assert_int_equal(give_held(k, 14, 7, RT_FILE, 1, "of an image that is gone"), 0);
	s = rt_account_finish(k->account, 20, NULL);
	assert_int_equal(s->lost_records, 0);
	assert_int_equal(s->procs[0].n_opening, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(s->procs[0].opening[i].name, want[i].name);
		assert_int_equal(s->procs[0].opening[i].kind, want[i].kind);
		assert_int_equal(s->procs[0].opening[i].bytes, want[i].bytes);
	}
	assert_int_equal(s->procs[1].n_opening, 0);
	kit_free(k);
	/* refused: a kind that there is none of, a size above all memory, a name that reaches behind the record; and no more
	 * rows than there is room for */
	k = kit_new(NULL);
	kit_attach(k, 10, 1, 100, 1000);
	assert_int_equal(give_held(k, 11, 1, RT_KINDS, 1, "x"), -22);
	assert_int_equal(give_held(k, 11, 1, RT_ANON, 1ull << 60, "x"), -22);
	assert_int_equal(kit_give(k, &cut, sizeof(cut), RT_REC_OPENING, 11, 1, 0), -22);
	for (int i = 0; i < 40; i++)
		assert_int_equal(give_held(k, 12, 1, RT_ANON, P(1), "\xff\n"), 0);
	s = rt_account_finish(k->account, 20, NULL);
	assert_int_equal(s->lost_records, 3 + 8);
	assert_int_equal(s->procs[0].n_opening, 33);
	kit_free(k);
}

/* What user space knows of a process comes with the time of its record: the event has it already. What comes later is a title of its own. */
static void test_beginning(void **state)
{
	struct kit *k = kit_new(&(struct rt_account_config){ .window_ns = 100 });

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	kit_thread(k, 10, 1, 100, 0);
	kit_meta(k, 10, 1, RT_META_TITLE, "VLLM::EngineCore");
	kit_meta(k, 10, 1, RT_META_PYTHON, "3.11.7");
	kit_attach(k, 10, 2, 200, 500); /* at the same time, and nothing is known of it yet */
	kit_meta(k, 50, 2, RT_META_TITLE, "sleep 5");
	rt_account_advance(k->account, 1000);
	assert_int_equal(k->n_event, 3);
	assert_event(k, 0, RT_EV_ATTACH, 100, "EngineCore");
	assert_string_equal(k->event[0].cmdline, "VLLM::EngineCore");
	assert_event(k, 1, RT_EV_ATTACH, 200, "python");
	assert_event(k, 2, RT_EV_TITLE, 200, "python");
	kit_attach(k, 2000, 3, 300, 7); /* nothing follows it */
	rt_account_advance(k->account, 3000);
	assert_int_equal(k->n_event, 4);
	assert_event(k, 3, RT_EV_ATTACH, 300, "python");
	rt_account_finish(k->account, 4000, NULL);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_tree_peak),
		cmocka_unit_test(test_tree_attach),
		cmocka_unit_test(test_exec_inside_a_phase),
		cmocka_unit_test(test_fork_inside_a_phase),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_mute),
		cmocka_unit_test(test_many_children),
		cmocka_unit_test(test_unknown_and_malformed),
		cmocka_unit_test(test_opening),
		cmocka_unit_test(test_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
