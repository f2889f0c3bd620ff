/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The accounting core: phases of one process. All expected figures are worked out by hand from the sequence. */
#include "account_kit.h"

static void assert_cp(const struct kit *k, size_t i, enum kit_phase phase, enum rt_edge edge, int64_t delta,
		      int64_t total)
{
	assert_true(i < k->n_cp);
	assert_ptr_equal(k->cp[i].cp.phase, &k->phase[phase]);
	assert_int_equal(k->cp[i].cp.edge, edge);
	assert_int_equal(k->cp[i].cp.delta, P(delta));
	assert_int_equal(k->cp[i].cp.total, P(total));
}

static void test_nested(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer, inner, helper;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "/srv/app/main.py", 10), 4);
	inner = kit_node(k, 1, outer, kit_code(k, 1, "inner", "/srv/app/main.py", 20), 4);
	helper = kit_node(k, 1, inner, kit_code(k, 1, "alloc", "/srv/lib/x.py", 3), 8);
	kit_grow(k, 20, 1, 100, base, 10);
	kit_run(k, 30, 1, 100, .node = outer, .delta = { [RT_ANON] = 20 }, .minflt = 20, .prev_seen_ns = 25,
		.last_ns = 33);
	kit_run(k, 40, 1, 100, .node = helper, .delta = { [RT_ANON] = 5, [RT_FILE] = 2 }, .minflt = 7, .majflt = 1,
		.prev_seen_ns = 35, .last_ns = 44);
	kit_run(k, 50, 1, 100, .node = outer, .delta = { [RT_ANON] = 3 }, .prev_seen_ns = 45, .last_ns = 55);
	kit_run(k, 60, 1, 100, .node = base, .delta = { [RT_ANON] = 1 }, .prev_seen_ns = 57);
	kit_exit(k, 70, 1, 100, 0, 0);
	assert_int_equal(k->n_cp, 4);
	assert_cp(k, 0, KIT_OUTER, RT_ENTER, 10, 10);
	assert_cp(k, 1, KIT_INNER, RT_ENTER, 20, 30);
	assert_cp(k, 2, KIT_INNER, RT_EXIT, 7, 37);
	assert_cp(k, 3, KIT_OUTER, RT_EXIT, 3, 40);
	assert_int_equal(k->cp[2].cp.rss.kind[RT_FILE], P(2));
	assert_int_equal(k->cp[2].cp.rss.total, P(1037));
	assert_int_equal(k->n_span, 2);
	assert_string_equal(k->span[0].path, "outer/inner");
	assert_int_equal(k->span[0].ph.delta.total, P(7));
	assert_int_equal(k->span[0].ph.delta.kind[RT_ANON], P(5));
	assert_int_equal(k->span[0].ph.own, P(7));
	assert_int_equal(k->span[0].ph.minor_faults, 7);
	assert_int_equal(k->span[0].ph.major_faults, 1);
	assert_int_equal(k->span[0].ph.start_ns, 40);
	assert_int_equal(k->span[0].ph.start_ns_min, 35);
	assert_int_equal(k->span[0].ph.end_ns, 45);
	assert_int_equal(k->span[0].ph.end_ns_max, 50);
	assert_false(k->span[0].ph.exact);
	assert_string_equal(k->span[1].path, "outer");
	assert_int_equal(k->span[1].ph.delta.total, P(30));
	assert_int_equal(k->span[1].ph.own, P(23));
	assert_int_equal(k->span[1].ph.gained, P(30));
	assert_int_equal(k->span[1].ph.minor_faults, 27);
	assert_int_equal(k->span[1].ph.rss_start, P(1010));
	assert_int_equal(k->span[1].ph.rss_end, P(1040));
	s = rt_account_finish(k->account, 80, NULL);
	assert_int_equal(s->n_procs, 1);
	assert_int_equal(s->duration_ns, 70);
	assert_int_equal(s->procs[0].n_phases, 2);
	assert_ptr_equal(s->procs[0].phases[0].phase, &k->phase[KIT_OUTER]);
	assert_int_equal(s->procs[0].outside_net, P(11));
	assert_int_equal(kit_outside(&s->procs[0], "app/main.py"), P(11));
	assert_int_equal(kit_charged(&s->procs[0]), P(41));
	assert_int_equal(s->procs[0].unaccounted, 0);
	assert_int_equal(s->unaccounted, 0);
	assert_int_equal(s->lost_records + s->lost_stacks + s->late_records, 0);
	assert_int_equal(s->procs[0].proc.now.total, P(1041));
	assert_int_equal(s->procs[0].proc.peak, P(1041));
	kit_free(k);
}

static void test_release_and_reuse(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 100);
	/* 30 pages back and forth within one run: gained 30, released 80, 20 of them reused, net -50, 1110 at its
	 * highest */
	kit_run(k, 30, 1, 100, .node = outer, .delta = { [RT_ANON] = -50 }, .gained = { [RT_ANON] = 30 }, .reused = 20,
		.max_pages = 1110);
	kit_run(k, 40, 1, 100, .node = base, .flags = 0);
	assert_int_equal(k->n_span, 1);
	assert_int_equal(k->span[0].ph.delta.total, P(50));
	assert_int_equal(k->span[0].ph.gained, P(130));
	assert_int_equal(k->span[0].ph.released, P(80));
	assert_int_equal(k->span[0].ph.reused, P(20));
	assert_int_equal(k->span[0].ph.peak, P(1110));
	assert_int_equal(k->cp[1].cp.reused, P(20));
	assert_int_equal(k->cp[1].cp.delta, P(50));
	kit_snap(k, 50, 1, 0);
	s = rt_account_finish(k->account, 60, NULL);
	assert_int_equal(s->procs[0].unaccounted, 0);
	assert_int_equal(s->procs[0].proc.peak, P(1110));
	assert_false(s->procs[0].proc.ended);
	kit_free(k);
}

/* One span for a recursion, one for calls in a row that nobody saw apart, two for two call sites, two with an entry
 * probe. */
static void test_calls(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, base2, code, rec, deeper, again, other;
	const struct rt_phase_view *row;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	base2 = kit_node(k, 1, 1, 1, 30); /* the same frame, a later instruction */
	code = kit_code(k, 1, "rec", "app/main.py", 10);
	rec = kit_node(k, 1, base, code, 4);
	deeper = kit_node(k, 1, rec, code, 4);
	again = kit_node(k, 1, base, code, 8);
	other = kit_node(k, 1, base2, code, 4);
	kit_grow(k, 20, 1, 100, rec, 1);
	kit_grow(k, 30, 1, 100, deeper, 2);
	kit_grow(k, 40, 1, 100, again, 4);
	assert_int_equal(k->n_cp, 1);
	kit_grow(k, 50, 1, 100, other, 8);
	assert_int_equal(k->n_span, 1);
	assert_int_equal(k->span[0].ph.own, P(7));
	assert_int_equal(k->span[0].ph.call, 1);
	kit_run(k, 60, 1, 100, .node = other, .delta = { [RT_ANON] = 16 }, .flags = RT_RUN_ENTRY, .prev_seen_ns = 55);
	assert_int_equal(k->n_span, 2);
	assert_int_equal(k->span[1].ph.own, P(8));
	assert_int_equal(k->span[1].ph.call, 2);
	assert_int_equal(k->span[1].ph.end_ns, 55);
	assert_int_equal(k->span[1].ph.end_ns_max, 60);
	/* An entry into the recursion is no new span. */
	deeper = kit_node(k, 1, other, code, 2);
	kit_run(k, 70, 1, 100, .node = deeper, .flags = RT_RUN_ENTRY);
	assert_int_equal(k->n_span, 2);
	kit_thread_exit(k, 80, 1, 100);
	assert_int_equal(k->n_span, 3);
	assert_int_equal(k->span[2].ph.start_ns, 60);
	assert_int_equal(k->span[2].ph.start_ns_min, 60);
	assert_int_equal(k->span[2].ph.end_ns, 80);
	assert_true(k->span[2].ph.exact);
	assert_int_equal(k->span[2].ph.own, P(16));
	row = kit_row(&rt_account_finish(k->account, 90, NULL)->procs[0], "rec");
	assert_int_equal(row->call, 3);
	assert_int_equal(row->own, P(31));
	assert_int_equal(row->start_ns, 20);
	assert_int_equal(row->end_ns, 80);
	assert_false(row->exact);
	kit_free(k);
}

/* A pool thread made in an outer phase works for what its creator does now; one without a creator for the only phase
 * there is. */
static void test_helpers(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer, inner, rec, code;
	const struct rt_summary *s;
	const struct rt_proc_summary *p;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	inner = kit_node(k, 1, outer, kit_code(k, 1, "inner", "app/main.py", 20), 4);
	code = kit_code(k, 1, "rec", "app/main.py", 30);
	rec = kit_node(k, 1, base, code, 4);
	kit_grow(k, 20, 1, 100, outer, 1);
	kit_thread(k, 25, 1, 101, 100);
	kit_thread(k, 26, 1, 102, 101);
	kit_thread_exit(k, 27, 1, 101); /* the chain of creators outlives a link */
	kit_grow(k, 30, 1, 100, inner, 2);
	kit_run(k, 40, 1, 102, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 4 }, .minflt = 4);
	/* unknown creator: the only one */
	kit_run(k, 41, 1, 103, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 8 });
	/* A second thread with a phase: now 103 is ambiguous, 102 is not. */
	kit_run(k, 50, 1, 104, .node = rec, .delta = { [RT_ANON] = 16 });
	kit_run(k, 60, 1, 103, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 32 });
	kit_run(k, 61, 1, 102, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 64 });
	kit_run(k, 62, 1, 105, .node = base, .delta = { [RT_ANON] = 128 });
	kit_grow(k, 70, 1, 100, base, 0);
	/* 104's is the only phase left. */
	kit_run(k, 80, 1, 102, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 256 });
	kit_run(k, 90, 1, 104, .flags = RT_RUN_NO_PYTHON, .prev_seen_ns = 85); /* it has left Python */
	assert_int_equal(k->n_span, 3);
	assert_string_equal(k->span[0].path, "outer/inner");
	assert_int_equal(k->span[0].ph.own, P(2 + 4 + 8 + 64));
	assert_int_equal(k->span[0].ph.helper, P(4 + 8 + 64));
	assert_int_equal(k->span[0].ph.minor_faults, 4);
	assert_int_equal(k->span[0].ph.delta.total, P(2 + 4 + 8 + 16 + 32 + 64 + 128));
	assert_int_equal(k->span[1].ph.own, P(1));
	assert_int_equal(k->span[1].ph.helper, P(76));
	assert_int_equal(k->span[2].ph.own, P(16 + 256));
	assert_int_equal(k->span[2].ph.tid, 104);
	kit_exit(k, 100, 1, 100, 9, 0);
	s = rt_account_finish(k->account, 110, NULL);
	p = &s->procs[0];
	assert_int_equal(p->helper_by_creator, P(4 + 64));
	assert_int_equal(p->helper_by_only, P(8 + 256));
	assert_int_equal(p->ambiguous_net, P(32 + 128));
	assert_int_equal(p->outside_net, P(32 + 128));
	assert_int_equal(kit_outside(p, "<helper threads>"), P(32));
	assert_int_equal(kit_outside(p, "app/main.py"), P(128));
	assert_int_equal(kit_charged(p), P(511));
	assert_int_equal(p->proc.wait_status, 9);
	kit_free(k);
}

static void test_blind_and_causes(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;
	const struct rt_proc_summary *p;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	kit_run(k, 15, 1, 100, .flags = RT_RUN_NOT_YET, .delta = { [RT_FILE] = 3 });
	kit_run(k, 16, 1, 100, .flags = RT_RUN_UNREADABLE, .delta = { [RT_ANON] = 5 });
	kit_run(k, 17, 1, 100, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 7 });
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 10);
	kit_run(k, 30, 1, 100, .flags = RT_RUN_UNREADABLE, .delta = { [RT_ANON] = 20 });
	kit_run(k, 31, 1, 100, .flags = RT_RUN_BUSY, .delta = { [RT_ANON] = 40 });
	kit_run(k, 32, 1, 100, .node = 77777, .delta = { [RT_ANON] = 80 }); /* a node that never came */
	kit_run(k, 40, 1, 100, .cause = RT_CAUSE_RECLAIM, .delta = { [RT_ANON] = -200 });
	kit_run(k, 41, 1, 100, .cause = RT_CAUSE_KHUGEPAGED, .delta = { [RT_ANON] = 6 });
	kit_grow(k, 50, 1, 100, base, 0);
	assert_int_equal(k->n_span, 1);
	assert_int_equal(k->span[0].ph.own, P(150));
	assert_int_equal(k->span[0].ph.released, 0);
	assert_int_equal(k->span[0].ph.delta.total, P(150 - 200 + 6));
	kit_exit(k, 60, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 70, NULL);
	p = &s->procs[0];
	assert_int_equal(p->cause_net[RT_CAUSE_RECLAIM], P(-200));
	assert_int_equal(p->cause_net[RT_CAUSE_KHUGEPAGED], P(6));
	assert_int_equal(kit_outside(p, "<interpreter start>"), P(3));
	assert_int_equal(kit_outside(p, "<stack unreadable>"), P(5));
	assert_int_equal(kit_outside(p, "<no Python>"), P(7));
	assert_int_equal(s->lost_stacks, 1);
	assert_int_equal(p->unaccounted, 0);
	assert_int_equal(kit_charged(p), P(3 + 5 + 7 + 150 - 200 + 6));
	kit_free(k);
}

/* What the sums lack is said; what is known absolutely stays right. */
static void test_lost_runs(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;
	const struct rt_summary *s;
	uint64_t counters[RT_COUNTERS] = { [RT_C_LOST_RUN] = 1, [RT_C_LOST_NODE] = 2 };

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	kit_attach(k, 10, 2, 200, 500);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 10);
	k->rss[1][RT_ANON] += 300; /* a run that was lost */
	kit_grow(k, 40, 1, 100, base, 1);
	assert_cp(k, 1, KIT_OUTER, RT_EXIT, 310, 310);
	assert_int_equal(k->span[0].ph.own, P(10));
	kit_exit(k, 50, 1, 100, 0, 0);
	kit_snap(k, 50, 2, -4);
	s = rt_account_finish(k->account, 60, counters);
	assert_int_equal(s->procs[0].unaccounted, P(300));
	assert_int_equal(s->procs[0].proc.now.total, P(1311));
	assert_int_equal(s->procs[1].unaccounted, P(-4));
	assert_int_equal(s->unaccounted, P(304));
	assert_int_equal(s->lost_records, 1);
	assert_int_equal(s->lost_stacks, 2);
	kit_free(k);
}

static const char kit_source[] = "import helper\n"
				 "\n"
				 "\n"
				 "class EngineCore:\n"
				 "    def __init__(self, config):\n"
				 "        self.config = config\n"
				 "        self.model_executor = executor_class(\n"
				 "            config,\n"
				 "            helper.option(3),\n"
				 "        )\n"
				 "        self.scheduler = Scheduler(config)\n"
				 "        self.done = True\n";
/* co_linetable of EngineCore.__init__ in this source, by CPython 3.11's compile(); dis says which instruction has
 * which line. */
static const uint8_t kit_table[] = {
	128, 0, 216, 22, 28, 136, 4, 140, 11, 221, 30, 44, 216, 12, 18, 221, 12, 18, 140, 77,
	152, 33, 209, 12, 28, 212, 12, 28, 241, 5, 3, 31, 10, 244, 0, 3, 31, 10, 136, 4,
	212, 8, 27, 245, 8, 0, 26, 35, 160, 54, 209, 25, 42, 212, 25, 42, 136, 4, 140, 14,
	216, 20, 24, 136, 4, 140, 9, 136, 9, 136, 9,
};

static void test_statements(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, code, at_config, at_name, at_option, at_call, at_scheduler, at_done, below;
	const struct rt_summary *s;

	(void)state;
	k->source = kit_source;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	code = kit_code_table(k, 1, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	kit_code(k, 1, "noread", "app/noread.py", 5);
	assert_int_equal(k->reads, 2);
	at_config = kit_node(k, 1, base, code, 6);     /* line 6 */
	at_name = kit_node(k, 1, base, code, 16);      /* line 7 */
	at_option = kit_node(k, 1, base, code, 58);    /* line 9: an argument of the call */
	at_call = kit_node(k, 1, base, code, 72);      /* line 7: the call */
	at_scheduler = kit_node(k, 1, base, code, 112); /* line 11 */
	at_done = kit_node(k, 1, base, code, 138);     /* line 12 */
	below = kit_node(k, 1, at_call, kit_code(k, 1, "Executor.__init__", "x.py", 1), 4);
	kit_grow(k, 20, 1, 100, at_config, 1);
	kit_grow(k, 30, 1, 100, at_name, 2);
	kit_grow(k, 40, 1, 100, at_option, 4);
	kit_grow(k, 50, 1, 100, below, 8);
	kit_grow(k, 60, 1, 100, at_scheduler, 16);
	kit_grow(k, 70, 1, 100, at_done, 32);
	kit_grow(k, 80, 1, 100, base, 64);
	assert_int_equal(k->n_span, 3);
	assert_string_equal(k->span[0].path, "engine/executor");
	assert_int_equal(k->span[0].ph.own, P(14));
	assert_string_equal(k->span[1].path, "engine/scheduler");
	assert_int_equal(k->span[1].ph.own, P(16));
	assert_string_equal(k->span[2].path, "engine");
	assert_int_equal(k->span[2].ph.own, P(33));
	assert_int_equal(k->span[2].ph.delta.total, P(63));
	s = rt_account_finish(k->account, 90, NULL);
	assert_int_equal(s->n_not_hit, 7);
	for (size_t i = 0; i < s->n_not_hit; i++) {
		const struct rt_not_hit_view *nh = &s->not_hit[i];

		switch (nh->phase - k->phase) {
		case KIT_NOREAD:
			assert_int_equal(nh->why, RT_NH_SOURCE_UNREADABLE);
			assert_string_equal(nh->detail, "app/noread.py");
			break;
		case KIT_NOSUCH:
			assert_int_equal(nh->why, RT_NH_STATEMENT_NOT_FOUND);
			assert_string_equal(nh->detail, "/w/vllm/v1/core.py");
			break;
		default:
			assert_int_equal(nh->why, RT_NH_FUNCTION_NOT_SEEN);
		}
	}
	kit_free(k);
}

/* The same statements in another process: its source is read again, since it may be another one; a statement not
 * reached is said. */
static void test_statement_not_seen(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, code;
	const struct rt_summary *s;
	int found = 0;

	(void)state;
	k->source = kit_source;
	kit_attach(k, 10, 1, 100, 0);
	kit_attach(k, 10, 2, 200, 0);
	base = kit_base(k, 2);
	kit_code_table(k, 1, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	k->source = "def nothing():\n    pass\n";
	code = kit_code_table(k, 2, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	assert_int_equal(k->reads, 2);
	kit_code_table(k, 2, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	assert_int_equal(k->reads, 2); /* the same code object's names once more: nothing is read or looked for */
	kit_grow(k, 20, 2, 200, kit_node(k, 2, base, code, 72), 2);
	kit_grow(k, 30, 2, 200, base, 2);
	assert_int_equal(k->n_span, 1);
	assert_string_equal(k->span[0].path, "engine");
	s = rt_account_finish(k->account, 90, NULL);
	for (size_t i = 0; i < s->n_not_hit; i++) {
		if (s->not_hit[i].phase == &k->phase[KIT_EXECUTOR]) {
			assert_int_equal(s->not_hit[i].why, RT_NH_STATEMENT_NOT_SEEN);
			found++;
		}
	}
	assert_int_equal(found, 1);
	kit_free(k);
}

static void test_outside_by_module(void **state)
{
	static const struct {
		const char *file, *module;
	} cases[] = {
		{ "/v/lib/python3.11/site-packages/torch/nn/__init__.py", "torch.nn" },
		{ "/v/lib/python3.11/site-packages/vllm/config.py", "vllm.config" },
		{ "/usr/lib/python3/dist-packages/yaml/loader.py", "yaml.loader" },
		{ "/usr/lib/python3.11/json/__init__.py", "json" },
		{ "/usr/lib/python3.11/typing.py", "typing" },
		{ "/srv/lib/pythonic/x.py", "/srv/lib/pythonic/x.py" },
		{ "<string>", "<string>" },
	};
	struct kit *k = kit_new(NULL);
	const struct rt_proc_summary *p;
	uint32_t root, node, frozen, only_frozen;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	root = kit_node(k, 1, 0, RT_CODE_ROOT, 0);
	frozen = kit_code(k, 1, "_call_with_frames_removed", "<frozen importlib._bootstrap>", 9);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		node = kit_node(k, 1, root, kit_code(k, 1, "<module>", cases[i].file, 1), 4);
		kit_grow(k, 20 + i, 1, 100, kit_node(k, 1, node, frozen, 2), 1 << i);
	}
	only_frozen = kit_node(k, 1, root, frozen, 2);
	kit_grow(k, 40, 1, 100, only_frozen, 1000);
	p = &rt_account_finish(k->account, 90, NULL)->procs[0];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(kit_outside(p, cases[i].module), P(1 << i));
	assert_int_equal(kit_outside(p, "<frozen importlib._bootstrap>"), P(1000));
	assert_string_equal(p->outside[0].module, "<frozen importlib._bootstrap>"); /* largest first */
	kit_free(k);
}

/* 21st and later modules are one row, and nothing is lost by it. */
static void test_outside_rows(void **state)
{
	struct kit *k = kit_new(NULL);
	const struct rt_proc_summary *p;
	uint32_t root;
	int64_t sum = 0;

	(void)state;
	kit_attach(k, 10, 1, 100, 0);
	root = kit_node(k, 1, 0, RT_CODE_ROOT, 0);
	for (int i = 0; i < 5000; i++) {
		char file[64];
		uint32_t node;

		snprintf(file, sizeof(file), "/x/site-packages/m%d.py", i);
		node = kit_node(k, 1, root, kit_code(k, 1, "<module>", file, 1), 4);
		kit_grow(k, 20 + (uint64_t)i, 1, 100, node, 1 + i % 3);
	}
	p = &rt_account_finish(k->account, 90, NULL)->procs[0];
	assert_int_equal(p->n_outside, 21);
	assert_string_equal(p->outside[20].module, "<others>");
	for (size_t i = 0; i < p->n_outside; i++)
		sum += p->outside[i].net.total;
	assert_int_equal(sum, p->outside_net);
	assert_int_equal(sum, P(1666 * 6 + 1 + 2)); /* 5000 = 1666 times (1, 2, 3), then 1, 2 */
	kit_free(k);
}

/* Statements that were run between two looks are told once: not again where the same stack comes under other numbers, because the kernel side has forgotten
 * what it sent, or because a vfork child has sent it anew on its parent's thread. */
static void test_passed_statements(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, root, code, node;
	size_t spans;

	(void)state;
	k->source = kit_source;
	kit_attach(k, 10, 1, 100, 0);
	root = kit_node(k, 1, 0, RT_CODE_ROOT, 0);
	code = kit_code(k, 1, "<module>", "app/main.py", 1);
	base = kit_node(k, 1, root, code, 2);
	code = kit_code_table(k, 1, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	kit_run(k, 20, 1, 100, .node = kit_node(k, 1, base, code, 6), .flags = RT_RUN_EDGE);   /* line 6 */
	kit_run(k, 30, 1, 100, .node = kit_node(k, 1, base, code, 138), .flags = RT_RUN_EDGE); /* line 12 */
	assert_int_equal(k->n_span, 2);
	assert_string_equal(k->span[0].path, "engine/executor");
	assert_string_equal(k->span[1].path, "engine/scheduler");
	/* Evicted. */
	base = kit_node(k, 1, root, kit_code(k, 1, "<module>", "app/main.py", 1), 2);
	kit_run(k, 40, 1, 100, .node = kit_node(k, 1, base, code, 138), .flags = RT_RUN_EDGE | RT_RUN_MOVED);
	assert_int_equal(k->n_span, 2);
	/* vfork: its stack is read on its parent's thread, code objects are its own. */
	kit_proc(k, 50, (struct rt_rec_proc){ .birth = RT_BIRTH_FORK, .flags = RT_PROC_SHARES_MM, .pid = 200, .parent_image = 1 }, 2);
	node = kit_node(k, 1, root, kit_code(k, 2, "<module>", "app/main.py", 1), 2);
	code = kit_code_table(k, 2, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	kit_run(k, 60, 1, 100, .node = kit_node(k, 1, node, code, 138), .flags = RT_RUN_EDGE | RT_RUN_MOVED);
	assert_int_equal(k->n_span, 2);
	/* Another call of it, from another line, is one. */
	node = kit_node(k, 1, root, kit_code(k, 1, "<module>", "app/main.py", 1), 8);
	kit_run(k, 70, 1, 100, .node = kit_node(k, 1, node, code, 138), .flags = RT_RUN_EDGE | RT_RUN_MOVED);
	spans = k->n_span;
	assert_int_equal(spans, 5); /* the old call, and the two statements of the new one */
	kit_free(k);
}

static void test_growth_records(void **state)
{
	struct kit *k = kit_new(&(struct rt_account_config){ .want_growth = true });
	uint32_t base, code, call, below;

	(void)state;
	k->source = kit_source;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1);
	code = kit_code_table(k, 1, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table));
	call = kit_node(k, 1, base, code, 58);
	below = kit_node(k, 1, kit_node(k, 1, call, RT_CODE_GAP, 0), kit_code(k, 1, "option", "h.py", 3), 2);
	kit_grow(k, 20, 1, 100, below, 3);
	kit_grow(k, 30, 1, 100, below, 4);
	kit_run(k, 40, 1, 100, .node = below); /* a look alone is no growth */
	kit_run(k, 50, 1, 100, .cause = RT_CAUSE_REMOTE, .delta = { [RT_FILE] = -1 });
	assert_int_equal(k->n_stack, 1);
	assert_string_equal(k->stack[0], "option:0<<frames left out>:0<EngineCore.__init__:9<<module>:0");
	assert_int_equal(k->stack_id[0], k->growth[0].g.stack);
	assert_int_equal(k->n_growth, 3);
	assert_int_equal(k->growth[1].g.delta.total, P(4));
	assert_ptr_equal(k->growth[1].g.phase, &k->phase[KIT_EXECUTOR]);
	assert_int_equal(k->growth[2].g.stack, 0);
	assert_int_equal(k->growth[2].g.delta.kind[RT_FILE], P(-1));
	assert_null(k->growth[2].g.phase);
	kit_free(k);
}

struct told {
	char text[1024];
	uint32_t forgotten;
};

static void told_node(void *ctx, uint32_t node, uint32_t parent, const struct rt_frame_view *frame)
{
	struct told *told = ctx;
	size_t at = strlen(told->text);

	snprintf(told->text + at, sizeof(told->text) - at, "%u<%u:%s:%d ", node, parent, frame->function, frame->line);
}

/* Path and mapping are the core's, and valid only here. */
static void told_growth(void *ctx, const struct rt_proc_view *proc, const struct rt_growth_view *growth)
{
	struct told *told = ctx;
	size_t at = strlen(told->text);

	(void)proc;
	at += (size_t)snprintf(told->text + at, sizeof(told->text) - at, "[%u %+lld +%lld cause %d %s%s", growth->stack, (long long)growth->delta.total / P(1),
			       (long long)growth->gained.total / P(1), growth->cause, growth->instead ? growth->instead : "", growth->mapping ? growth->mapping : "-");
	for (size_t i = 0; i < growth->path_len; i++)
		at += (size_t)snprintf(told->text + at, sizeof(told->text) - at, "/%s", growth->path[i]->id);
	snprintf(told->text + at, sizeof(told->text) - at, "] ");
	assert_true(growth->path_len ? growth->phase == growth->path[growth->path_len - 1] : !growth->phase);
	assert_int_equal(growth->gained.total, growth->gained.kind[RT_FILE] + growth->gained.kind[RT_ANON] + growth->gained.kind[RT_SHMEM]);
}

static void told_forget(void *ctx, uint32_t stack)
{
	((struct told *)ctx)->forgotten = stack;
}

/* For outputs with a trie of their own: every frame once, callers first, before the growth that names it; and what growth is made of. */
static void test_growth_by_node(void **state)
{
	struct told told = {.text = ""};
	struct kit *k = kit_new(&(struct rt_account_config){ .want_growth = true, .want_mappings = true });
	struct rt_sink sink = {.ctx = &told, .on_node = told_node, .on_growth = told_growth, .on_forget = told_forget};
	uint32_t base, call, below, beside;

	(void)state;
	assert_int_equal(rt_account_add_sink(k->account, &sink), 0);
	k->source = kit_source;
	kit_attach(k, 10, 1, 100, 0);
	base = kit_base(k, 1); /* 1, the root; 2 */
	call = kit_node(k, 1, base, kit_code_table(k, 1, "EngineCore.__init__", "/w/vllm/v1/core.py", 5, kit_table, sizeof(kit_table)), 58);
	below = kit_node(k, 1, kit_node(k, 1, call, RT_CODE_GAP, 0), kit_code(k, 1, "option", "h.py", 3), 2);
	beside = kit_node(k, 1, call, kit_code(k, 1, "other", "h.py", 9), 2);
	kit_run(k, 20, 1, 100, .node = below, .map = kit_map(k, 77, RT_MAP_FILE, "lib.so"), .delta = { [RT_FILE] = 3 });
	assert_string_equal(told.text, "2<1:<module>:0 3<2:EngineCore.__init__:9 4<3:<frames left out>:0 5<4:option:0 [5 +3 +3 cause 0 /lib.so/engine/executor] ");
	told.text[0] = '\0';
	/* All that was gained is given back: no growth in the NDJSON's sense, but told. */
	kit_run(k, 30, 1, 100, .node = beside, .delta = { [RT_ANON] = 0 }, .gained = { [RT_ANON] = 6 });
	kit_run(k, 40, 1, 100, .node = beside, .delta = { [RT_ANON] = -2, [RT_FILE] = 1 }, .gained = { [RT_ANON] = 5, [RT_FILE] = 1 });
	kit_run(k, 50, 1, 100, .cause = RT_CAUSE_REMOTE, .delta = { [RT_FILE] = -1 });
	kit_run(k, 60, 1, 100, .node = below); /* a look alone */
	kit_run(k, 70, 1, 101, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 1 });
	assert_string_equal(told.text, "6<3:other:0 [6 +0 +6 cause 0 <unknown>/engine/executor] "
				       "[6 -1 +6 cause 0 <unknown>/engine/executor] [0 -1 +0 cause 3 <unknown>] [0 +1 +1 cause 0 <helper threads><unknown>/engine/executor] ");
	rt_account_forget(k->account, 4, 1);
	assert_int_equal(told.forgotten, 4);
	kit_free(k);
}

/* 3,000 code objects that come and go, over several generations of the trie: nothing is kept, and an open span goes
 * on. */
static void test_forget(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer, code_floor, node_floor;
	size_t nodes, codes;
	const struct rt_proc_summary *p;

	(void)state;
	kit_attach(k, 1, 1, 100, 0);
	for (int generation = 0; generation < 4; generation++) {
		node_floor = k->next_node;
		code_floor = k->next_code;
		base = kit_base(k, 1);
		outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
		kit_grow(k, 10 + (uint64_t)generation * 10000, 1, 100, outer, 1);
		rt_account_forget(k->account, node_floor, code_floor);
		for (int i = 0; i < 3000; i++) {
			uint32_t node = kit_node(k, 1, outer, kit_code(k, 1, "made", "<string>", i + 1), 2);

			kit_grow(k, 11 + (uint64_t)generation * 10000 + (uint64_t)i, 1, 100, node, 1);
		}
		rt_account_kept(k->account, &nodes, &codes);
		assert_int_equal(nodes, 3003);
		assert_int_equal(codes, 3002);
	}
	assert_int_equal(k->n_cp, 1);
	rt_account_forget(k->account, k->next_node, k->next_code);
	rt_account_kept(k->account, &nodes, &codes);
	assert_int_equal(nodes, 0);
	assert_int_equal(codes, 0);
	kit_run(k, 50000, 1, 100, .node = outer, .delta = { [RT_ANON] = 5 }); /* a broken promise: charged, counted */
	kit_grow(k, 50001, 1, 100, kit_node(k, 1, 1, RT_CODE_UNKNOWN, 2), 1); /* roots outlive all generations */
	assert_int_equal(k->n_span, 1);
	assert_int_equal(k->span[0].ph.own, P(4 * 3001 + 5));
	kit_exit(k, 60000, 1, 100, 0, 0);
	p = &rt_account_finish(k->account, 60001, NULL)->procs[0];
	assert_int_equal(p->unaccounted, 0);
	assert_int_equal(rt_account_finish(k->account, 60001, NULL)->lost_stacks, 1);
	assert_int_equal(kit_row(p, "outer")->call, 1);
	kit_free(k);
}

/* The window puts runs into order; what comes after it is applied and counted. */
static void test_order_and_late(void **state)
{
	struct kit *k = kit_new(&(struct rt_account_config){ .window_ns = 100 });
	uint32_t base, outer;
	const struct rt_summary *s;

	(void)state;
	kit_attach(k, 1000, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_run(k, 1030, 1, 100, .node = base, .before = { [RT_ANON] = 1015 });
	kit_run(k, 1010, 1, 100, .node = outer, .before = { [RT_ANON] = 1000 }, .delta = { [RT_ANON] = 15 });
	rt_account_advance(k->account, 1040);
	assert_int_equal(k->n_event, 0);
	rt_account_advance(k->account, 1110);
	assert_int_equal(k->n_cp, 1);
	rt_account_advance(k->account, 1200);
	assert_int_equal(k->n_cp, 2);
	assert_cp(k, 0, KIT_OUTER, RT_ENTER, 0, 0);
	assert_cp(k, 1, KIT_OUTER, RT_EXIT, 15, 15);
	/* too late */
	kit_run(k, 1020, 1, 100, .node = outer, .before = { [RT_ANON] = 1015 }, .delta = { [RT_ANON] = 2 });
	assert_int_equal(k->n_cp, 2);
	k->rss[1][RT_ANON] = 1017;
	kit_exit(k, 1300, 1, 100, 0, 0);
	s = rt_account_finish(k->account, 1400, NULL);
	assert_int_equal(s->late_records, 1);
	assert_int_equal(s->procs[0].unaccounted, 0);
	assert_int_equal(s->procs[0].outside_net, P(2));
	kit_free(k);
}

/* Changes of two threads overlap in time: RSS at an edge is what the kernel said, not what the runs add up to so
 * far. */
static void test_overlap(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;
	const struct rt_proc_summary *p;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_run(k, 20, 1, 101, .node = base, .before = { [RT_ANON] = 1000 }, .delta = { [RT_ANON] = 50 }, .last_ns = 90,
		.max_pages = 1057);
	kit_run(k, 40, 1, 100, .node = outer, .before = { [RT_ANON] = 1020 }, .delta = { [RT_ANON] = 7 }, .last_ns = 60,
		.max_pages = 1050);
	kit_run(k, 80, 1, 100, .node = base, .before = { [RT_ANON] = 1047 });
	assert_cp(k, 0, KIT_OUTER, RT_ENTER, 20, 20);
	assert_cp(k, 1, KIT_OUTER, RT_EXIT, 27, 47);
	assert_int_equal(k->span[0].ph.own, P(7));
	assert_int_equal(k->span[0].ph.peak, P(1050));
	kit_exit(k, 100, 1, 100, 0, 0);
	p = &rt_account_finish(k->account, 110, NULL)->procs[0];
	assert_int_equal(p->unaccounted, 0);
	assert_int_equal(p->proc.now.total, P(1057));
	kit_free(k);
}

/* A node may arrive before an ancestor that another CPU was about to send; what matters is what is there at its run. */
static void test_node_before_its_parent(void **state)
{
	struct kit *k = kit_new(NULL);
	struct rt_rec_node rec = { .id = 1, .parent = 0, .code = RT_CODE_ROOT };
	uint32_t outer, code, inner, alone;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	k->next_node = 2;
	code = kit_code(k, 1, "outer", "app/main.py", 10);
	outer = kit_node(k, 1, 1, code, 4);
	inner = kit_node(k, 1, outer, RT_CODE_UNKNOWN, 0);
	inner = kit_node(k, 1, inner, kit_code(k, 1, "inner", "app/main.py", 20), 4);
	alone = kit_node(k, 1, k->next_node++, code, 4); /* whose parent never comes */
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_NODE, 0, 1, 0), 0);
	kit_grow(k, 20, 1, 100, inner, 1);
	kit_grow(k, 30, 1, 100, alone, 2);
	kit_grow(k, 40, 1, 100, 1, 4);
	assert_int_equal(k->n_span, 2);
	assert_string_equal(k->span[0].path, "outer/inner");
	assert_int_equal(k->span[0].ph.own, P(3));
	assert_int_equal(rt_account_finish(k->account, 50, NULL)->lost_stacks, 1);
	kit_free(k);
}

/* A run that comes after its process's end: its pages still count, and the check of the end takes them in. */
static void test_late_after_the_end(void **state)
{
	struct kit *k = kit_new(NULL);
	const struct rt_summary *s;
	uint32_t base;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	kit_grow(k, 20, 1, 100, base, 1);
	k->rss[1][RT_ANON] += 5;
	kit_exit(k, 40, 1, 100, 0, 0);
	kit_run(k, 30, 1, 100, .node = base, .before = { [RT_ANON] = 1001 }, .delta = { [RT_ANON] = 5 });
	s = rt_account_finish(k->account, 50, NULL);
	assert_int_equal(s->unaccounted, 0);
	assert_int_equal(s->procs[0].outside_net, P(6));
	assert_int_equal(s->procs[0].proc.now.total, P(1006));
	kit_free(k);
}

/* User space's records may have no time of their own: they come after what was given before them. */
static void test_meta_without_time(void **state)
{
	struct kit *k = kit_new(&(struct rt_account_config){ .window_ns = 100 });

	(void)state;
	kit_attach(k, 1000, 1, 100, 1000);
	kit_meta(k, 0, 1, RT_META_TITLE, "VLLM::Worker");
	assert_int_equal(k->n_event, 0);
	assert_string_equal(rt_account_finish(k->account, 5000, NULL)->procs[0].proc.name, "Worker");
	kit_free(k);
}

/* An open span at the end of the run. */
static void test_open_at_finish(void **state)
{
	struct kit *k = kit_new(NULL);
	uint32_t base, outer;
	const struct rt_phase_view *row;

	(void)state;
	kit_attach(k, 10, 1, 100, 1000);
	base = kit_base(k, 1);
	outer = kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 10), 4);
	kit_grow(k, 20, 1, 100, outer, 9);
	row = kit_row(&rt_account_finish(k->account, 100, NULL)->procs[0], "outer");
	assert_int_equal(k->n_cp, 1);
	assert_int_equal(k->n_span, 1);
	assert_true(k->span[0].ph.open);
	assert_true(row->open);
	assert_int_equal(row->own, P(9));
	assert_int_equal(row->duration_ns, 80);
	assert_int_equal(rt_account_record(k->account, "", 0), -22);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_release_and_reuse),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_helpers),
		cmocka_unit_test(test_blind_and_causes),
		cmocka_unit_test(test_lost_runs),
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_statement_not_seen),
		cmocka_unit_test(test_outside_by_module),
		cmocka_unit_test(test_outside_rows),
		cmocka_unit_test(test_passed_statements),
		cmocka_unit_test(test_growth_records),
		cmocka_unit_test(test_growth_by_node),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_order_and_late),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_node_before_its_parent),
		cmocka_unit_test(test_late_after_the_end),
		cmocka_unit_test(test_meta_without_time),
		cmocka_unit_test(test_open_at_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
