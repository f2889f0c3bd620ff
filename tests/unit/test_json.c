/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* NDJSON: exactly the documented keys, in each line; hostile strings as Python's own reader sees them;
 * errors of writing. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "json.h"

#define MIB (1 << 20)

static struct rt_phase outer = {.id = (char *)"engine_core_init", .label = {{(char *)"EngineCore初始化",
	(char *)"EngineCore init"}}};
static struct rt_phase inner = {.id = (char *)"init_kv_cache", .label = {{(char *)"初始化KV Cache",
	(char *)"init KV cache"}}};
static const struct rt_phase *const path[] = {&outer, &inner};

static const struct rt_mapping_view mappings[] = {
	{"/srv/a\"b.safetensors", RT_MAP_FILE, {4 * MIB, {[RT_FILE] = 3 * MIB, [RT_ANON] = MIB}}},
	{"<others>", RT_MAP_KINDS, {-4096, {[RT_SHMEM] = -4096}}},
};

static const struct rt_phase_view phase_view = {
	.phase = &inner, .path = path, .path_len = 2, .tid = 12, .call = 3, .start_ns = 100, .end_ns = 400,
	.start_ns_min = 90, .end_ns_max = 410, .duration_ns = 300, .exact = true, .rss_start = 10 * MIB,
	.rss_end = 15 * MIB,
	.delta = {5 * MIB, {[RT_FILE] = 1 * MIB, [RT_ANON] = 3 * MIB, [RT_SHMEM] = 1 * MIB}}, .own = 4 * MIB,
	.gained = 7 * MIB, .released = 2 * MIB, .reused = 1 * MIB, .helper = 2 * MIB, .peak = 16 * MIB,
	.tree_delta = -MIB,
	.minor_faults = 77, .major_faults = 1, .mappings = mappings, .n_mappings = 2,
};

static const struct rt_proc_view proc = {
	.pid = 11, .ppid = 10, .name = "EngineCore", .comm = "python3", .exe = "/usr/bin/python3.11",
	.cmdline = "VLLM::EngineCore", .python = "3.11.7", .depth = 1, .start_ns = 50, .end_ns = 500,
	.start = {1 * MIB, {MIB, 0, 0}}, .now = {20 * MIB, {0, 20 * MIB, 0}}, .peak = 30 * MIB,
};

struct fixture {
	char *text;
	size_t len;
	FILE *out;
	struct rt_json *json;
	struct rt_sink sink;
	json_t *line; /* parsed by take() */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->out = open_memstream(&f->text, &f->len);
	f->json = rt_json_new(f->out, RT_LANG_ZH);
	f->sink = rt_json_sink(f->json);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	json_decref(f->line);
	rt_json_free(f->json);
	fclose(f->out);
	free(f->text);
	free(f);
	return 0;
}

/* The one line written so far, parsed; with its first keys in exactly this order, then only keys named in `extra`. */
static json_t *take(struct fixture *f, const char *const *keys, const char *extra)
{
	json_error_t error;
	const char *key;
	json_t *value;

	assert_int_equal(rt_json_error(f->json), 0);
	/* Already flushed: a memory stream shows its text only then. */
	assert_true(f->len > 1);
	assert_ptr_equal(strchr(f->text, '\n'), f->text + f->len - 1);
	f->line = json_loadb(f->text, f->len, JSON_REJECT_DUPLICATES, &error);
	if (!f->line)
		fail_msg("%s: %s", error.text, f->text);
	json_object_foreach(f->line, key, value) {
		if (*keys)
			assert_string_equal(key, *keys++);
		else if (!strstr(extra, key))
			fail_msg("key %s is not documented", key);
	}
	assert_null(*keys);
	return f->line;
}

static void expect_int(const json_t *object, const char *key, json_int_t value)
{
	const json_t *found = json_object_get(object, key);

	if (!json_is_integer(found) || json_integer_value(found) != value)
		fail_msg("%s is %lld instead of %lld", key, (long long)json_integer_value(found), (long long)value);
}

static void expect_text(const json_t *object, const char *key, const char *value)
{
	assert_true(json_is_string(json_object_get(object, key)));
	assert_string_equal(json_string_value(json_object_get(object, key)), value);
}

static void expect_null(const json_t *object, const char *key)
{
	assert_true(json_is_null(json_object_get(object, key)));
}

static void test_start(void **state)
{
	static const char *const keys[] = {
		"type", "version", "schema", "kernel", "profile", "mm_source", "mm_hook", "mm_exact", "python_entry", "wall_ns", "ts_ns",
		"targets", NULL,
	};
	const uint32_t pids[] = {4194304, 7};
	struct rt_json_start start = {
		"1.2", "6.1.0", "vllm", "fexit", "fexit", "off", true, 1700000000000000000ULL, 5, pids, 2,
	};
	struct fixture *f = *state;
	json_t *line;

	rt_json_start(f->json, &start);
	line = take(f, keys, "");
	expect_text(line, "type", "start");
	expect_text(line, "version", "1.2");
	expect_int(line, "schema", 1);
	expect_text(line, "kernel", "6.1.0");
	expect_text(line, "mm_source", "fexit");
	assert_true(json_is_true(json_object_get(line, "mm_exact")));
	expect_int(line, "wall_ns", 1700000000000000000);
	expect_int(line, "ts_ns", 5);
	assert_int_equal(json_array_size(json_object_get(line, "targets")), 2);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(line, "targets"), 0)), 4194304);
}

static const char *const process_keys[] = {
	"type", "ts_ns", "event", "pid", "ppid", "name", "exe", "cmdline", "python", "exit_code", "signal",
	"rss_bytes", NULL,
};

static void test_process(void **state)
{
	struct fixture *f = *state;
	json_t *line;

	f->sink.on_process(f->sink.ctx, &proc, RT_EV_TITLE, 99);
	line = take(f, process_keys, "");
	expect_text(line, "type", "process");
	expect_text(line, "event", "title");
	expect_int(line, "ts_ns", 99);
	expect_int(line, "pid", 11);
	expect_int(line, "ppid", 10);
	expect_text(line, "name", "EngineCore");
	expect_text(line, "exe", "/usr/bin/python3.11");
	expect_text(line, "cmdline", "VLLM::EngineCore");
	expect_text(line, "python", "3.11.7");
	expect_null(line, "exit_code");
	expect_null(line, "signal");
	expect_int(line, "rss_bytes", 20 * MIB);
}

static void test_process_exit(void **state)
{
	struct rt_proc_view gone = proc;
	struct fixture *f = *state;
	json_t *line;

	gone.ended = true;
	gone.python = NULL;
	gone.wait_status = 3 << 8;
	f->sink.on_process(f->sink.ctx, &gone, RT_EV_EXIT, 99);
	line = take(f, process_keys, "");
	expect_text(line, "event", "exit");
	expect_null(line, "python");
	expect_int(line, "exit_code", 3);
	expect_null(line, "signal");
}

static void test_process_killed(void **state)
{
	struct rt_proc_view gone = proc;
	struct fixture *f = *state;
	json_t *line;

	gone.ended = true;
	gone.wait_status = 0x80 | SIGSEGV; /* with a core dump */
	f->sink.on_process(f->sink.ctx, &gone, RT_EV_EXIT, 99);
	line = take(f, process_keys, "");
	expect_null(line, "exit_code");
	expect_int(line, "signal", SIGSEGV);
}

static void test_checkpoint(void **state)
{
	static const char *const keys[] = {
		"type", "ts_ns", "pid", "tid", "phase", "edge", "label", "delta_bytes", "total_bytes", "rss_bytes",
		"anon_bytes",
		"file_bytes", "shmem_bytes", NULL,
	};
	struct rt_checkpoint_view cp = {
		.ts_ns = 5, .tid = 12, .phase = &inner, .edge = RT_EXIT, .delta = -4096, .total = 8192,
		.rss = {6, {[RT_FILE] = 1, [RT_ANON] = 2, [RT_SHMEM] = 3}},
	};
	struct fixture *f = *state;
	json_t *line;

	f->sink.on_checkpoint(f->sink.ctx, &proc, &cp);
	line = take(f, keys, "");
	expect_text(line, "type", "checkpoint");
	expect_int(line, "pid", 11);
	expect_int(line, "tid", 12);
	expect_text(line, "phase", "init_kv_cache");
	expect_text(line, "edge", "exit");
	expect_text(line, "label", "初始化KV Cache");
	expect_int(line, "delta_bytes", -4096);
	expect_int(line, "total_bytes", 8192);
	expect_int(line, "rss_bytes", 6);
	expect_int(line, "file_bytes", 1);
	expect_int(line, "anon_bytes", 2);
	expect_int(line, "shmem_bytes", 3);
}

/* The documented keys of a phase after "type". */
#define PHASE_KEYS \
	"pid", "tid", "phase", "label", "path", "call", "start_ns", "end_ns", "rss_start_bytes", "rss_end_bytes", \
	"rss_delta_bytes", "own_bytes", "anon_bytes", "file_bytes", "shmem_bytes", "gained_bytes", "released_bytes", \
	"reused_bytes", "helper_bytes", "peak_rss_bytes", "minor_faults", "major_faults", "tree_delta_bytes", \
	"mappings", "exact", "start_ns_min", "end_ns_max"

static void check_mappings(const json_t *list)
{
	const json_t *file = json_array_get(list, 0), *others = json_array_get(list, 1);

	assert_int_equal(json_array_size(list), 2);
	expect_text(file, "name", "/srv/a\"b.safetensors");
	expect_text(file, "kind", "file");
	expect_int(file, "bytes", 4 * MIB);
	expect_int(file, "file_bytes", 3 * MIB);
	expect_int(file, "anon_bytes", MIB);
	expect_int(file, "shmem_bytes", 0);
	expect_text(others, "name", "<others>");
	expect_text(others, "kind", "others");
	expect_int(others, "bytes", -4096);
}

static void check_phase(const json_t *object)
{
	check_mappings(json_object_get(object, "mappings"));
	expect_int(object, "pid", 11);
	expect_int(object, "tid", 12);
	expect_text(object, "phase", "init_kv_cache");
	expect_text(object, "label", "初始化KV Cache");
	assert_int_equal(json_array_size(json_object_get(object, "path")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(object, "path"), 0)), "engine_core_init");
	assert_string_equal(json_string_value(json_array_get(json_object_get(object, "path"), 1)), "init_kv_cache");
	expect_int(object, "call", 3);
	expect_int(object, "start_ns", 100);
	expect_int(object, "end_ns", 400);
	expect_int(object, "rss_start_bytes", 10 * MIB);
	expect_int(object, "rss_end_bytes", 15 * MIB);
	expect_int(object, "rss_delta_bytes", 5 * MIB);
	expect_int(object, "own_bytes", 4 * MIB);
	expect_int(object, "anon_bytes", 3 * MIB);
	expect_int(object, "file_bytes", MIB);
	expect_int(object, "shmem_bytes", MIB);
	expect_int(object, "gained_bytes", 7 * MIB);
	expect_int(object, "released_bytes", 2 * MIB);
	expect_int(object, "reused_bytes", MIB);
	expect_int(object, "helper_bytes", 2 * MIB);
	expect_int(object, "peak_rss_bytes", 16 * MIB);
	expect_int(object, "minor_faults", 77);
	expect_int(object, "major_faults", 1);
	expect_int(object, "tree_delta_bytes", -MIB);
	assert_true(json_is_true(json_object_get(object, "exact")));
	expect_int(object, "start_ns_min", 90);
	expect_int(object, "end_ns_max", 410);
}

static void test_phase(void **state)
{
	static const char *const keys[] = {"type", PHASE_KEYS, NULL};
	struct fixture *f = *state;
	json_t *line;

	f->sink.on_phase(f->sink.ctx, &proc, &phase_view);
	line = take(f, keys, "duration_ns");
	expect_text(line, "type", "phase");
	check_phase(line);
}

static void test_growth(void **state)
{
	static const char *const keys[] = {
		"type", "ts_ns", "pid", "tid", "anon_bytes", "file_bytes", "shmem_bytes", "stack", "phase", NULL,
	};
	struct rt_growth_view growth = {.ts_ns = 5, .tid = 12, .delta = {-8192, {0, -8192, 0}}, .stack = 4000000000U};
	struct fixture *f = *state;
	json_t *line;

	f->sink.on_growth(f->sink.ctx, &proc, &growth);
	line = take(f, keys, "");
	expect_text(line, "type", "growth");
	expect_int(line, "anon_bytes", -8192);
	expect_int(line, "stack", 4000000000LL);
	expect_null(line, "phase");
}

static void test_stack(void **state)
{
	static const char *const keys[] = {"type", "id", "frames", NULL};
	struct rt_frame_view frames[] = {{"load", "/a/b.py", 12}, {"<module>", "", 0}};
	struct fixture *f = *state;
	json_t *line, *frame;

	f->sink.on_stack(f->sink.ctx, 9, frames, 2);
	line = take(f, keys, "");
	expect_text(line, "type", "stack");
	expect_int(line, "id", 9);
	assert_int_equal(json_array_size(json_object_get(line, "frames")), 2);
	frame = json_array_get(json_object_get(line, "frames"), 0);
	assert_int_equal(json_object_size(frame), 3);
	expect_text(frame, "function", "load");
	expect_text(frame, "file", "/a/b.py");
	expect_int(frame, "line", 12);
	frame = json_array_get(json_object_get(line, "frames"), 1);
	expect_text(frame, "function", "<module>");
	expect_null(frame, "line");
}

static void check_keys(const json_t *object, const char *const *keys)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		if (!*keys)
			break;
		assert_string_equal(key, *keys++);
	}
	assert_null(*keys);
}

static void check_entries(const json_t *line)
{
	static const char *const entry_keys[] = {"method", "phase", "attached", "hits", "detached", "reason", NULL};
	json_t *one;

	assert_int_equal(json_array_size(json_object_get(line, "entries")), 2);
	one = json_array_get(json_object_get(line, "entries"), 0);
	check_keys(one, entry_keys);
	expect_text(one, "method", "usdt");
	expect_int(one, "attached", 1);
	assert_true(json_is_null(json_object_get(one, "phase")) && json_is_null(json_object_get(one, "reason")));
	one = json_array_get(json_object_get(line, "entries"), 1);
	expect_text(one, "phase", "outer");
	expect_int(one, "hits", 1234);
	expect_int(one, "detached", 2);
	expect_text(one, "reason", "too many: 7");
}

static void check_proc_summary(const json_t *proc_line)
{
	static const char *const proc_keys[] = {
		"pid", "ppid", "name", "python", "rss_start_bytes", "rss_end_bytes", "rss_peak_bytes", "opening", "phases",
		"outside_bytes", "native", NULL,
	};
	static const char *const phase_keys[] = {PHASE_KEYS, NULL};
	const json_t *opening = json_object_get(proc_line, "opening"), *first;

	check_keys(proc_line, proc_keys);
	expect_int(proc_line, "rss_start_bytes", MIB);
	expect_int(proc_line, "rss_end_bytes", 20 * MIB);
	expect_int(proc_line, "rss_peak_bytes", 30 * MIB);
	expect_int(proc_line, "outside_bytes", MIB);
	expect_int(json_object_get(proc_line, "causes"), "reclaim_bytes", -4096);
	assert_true(json_is_array(json_object_get(proc_line, "native")));
	expect_text(json_array_get(json_object_get(proc_line, "outside"), 0), "module", "vllm.utils");
	assert_int_equal(json_array_size(opening), 2);
	expect_text(json_array_get(opening, 0), "name", "[heap]");
	expect_text(json_array_get(opening, 0), "kind", "anon");
	expect_text(json_array_get(opening, 1), "kind", "shmem");
	expect_int(json_array_get(opening, 1), "bytes", -4096);
	first = json_array_get(json_object_get(proc_line, "phases"), 0);
	check_keys(first, phase_keys);
	check_phase(first);
	expect_int(first, "calls", 3);
}

static void test_summary(void **state)
{
	static const char *const keys[] = {
		"type", "duration_ns", "processes", "phases_not_hit", "lost", "unaccounted_bytes", "self", "entries", NULL,
	};
	static const char *const self_keys[] = {"bpf_ns", "bpf_runs", "user_ns", "sys_ns", NULL};
	struct rt_outside_view outside = {.module = "vllm.utils", .net = {MIB, {0, MIB, 0}}, .gained = 2 * MIB,
		.released = MIB};
	struct rt_opening_view held[] = {{"[heap]", RT_ANON, MIB}, {"<changed while reading>", RT_SHMEM, -4096}};
	struct rt_proc_summary procs[] = {
		{.proc = proc, .opening = held, .n_opening = 2, .phases = &phase_view, .n_phases = 1, .outside = &outside, .n_outside = 1,
		.outside_net = MIB,
		 .cause_net = {[RT_CAUSE_RECLAIM] = -4096}},
	};
	struct rt_not_hit_view not_hit = {.phase = &outer, .why = RT_NH_STATEMENT_NOT_FOUND, .detail = "/x/core.py"};
	struct rt_prog_cost prog = {"rss_stat", 10, 2000, 1};
	struct rt_entrylog entries = {0};
	struct rt_self_cost cost = {.entries = &entries, .bpf_ns = 1, .bpf_runs = 2, .user_ns = 3, .sys_ns = 4, .progs = &prog,
		.n_progs = 1};
	struct rt_summary summary = {
		.duration_ns = 1234, .procs = procs, .n_procs = 1, .not_hit = &not_hit, .n_not_hit = 1,
		.unaccounted = 4096,
		.lost_records = 5, .lost_stacks = 6, .late_records = 7, .tree_peak = 8192, .tree_end = 4096, .counters = {[RT_C_LOST_RUN] = 5},
	};
	struct fixture *f = *state;
	json_t *line, *one;

	rt_entrylog_row(&entries, "usdt", NULL)->attached = 1;
	rt_entrylog_row(&entries, "watch", "outer")->hits = 1234;
	rt_entrylog_row(&entries, "watch", "outer")->detached = 2;
	rt_entrylog_reason(rt_entrylog_row(&entries, "watch", "outer"), "too many: %d", 7);
	rt_json_summary(f->json, &summary, &cost);
	line = take(f, keys, "late_records counters tree_peak_bytes tree_end_bytes");
	expect_int(line, "tree_peak_bytes", 8192);
	expect_int(line, "tree_end_bytes", 4096);
	check_entries(line);
	expect_int(line, "duration_ns", 1234);
	expect_int(line, "unaccounted_bytes", 4096);
	expect_int(line, "late_records", 7);
	expect_int(json_object_get(line, "lost"), "records", 5);
	expect_int(json_object_get(line, "lost"), "stacks", 6);
	expect_int(json_object_get(line, "counters"), "lost_run", 5);
	assert_int_equal(json_object_size(json_object_get(line, "counters")), RT_COUNTERS);
	check_keys(json_object_get(line, "self"), self_keys);
	expect_int(json_object_get(line, "self"), "sys_ns", 4);
	one = json_array_get(json_object_get(json_object_get(line, "self"), "programs"), 0);
	expect_text(one, "name", "rss_stat");
	expect_int(one, "missed", 1);
	one = json_array_get(json_object_get(line, "phases_not_hit"), 0);
	expect_text(one, "phase", "engine_core_init");
	expect_text(one, "reason", "statement not found in the source");
	check_proc_summary(json_array_get(json_object_get(line, "processes"), 0));
}

static void test_summary_without_cost(void **state)
{
	struct fixture *f = *state;
	struct rt_summary summary = {0};

	rt_json_summary(f->json, &summary, NULL);
	f->line = json_loads(f->text, 0, NULL);
	assert_true(json_is_object(f->line));
	expect_int(json_object_get(f->line, "self"), "bpf_ns", 0);
	assert_int_equal(json_array_size(json_object_get(f->line, "processes")), 0);
	assert_true(json_is_array(json_object_get(f->line, "entries")));
}

/* More rows than there is room for: the last takes what is left over, and a reason is cut to its room. */
static void test_entries_are_bounded(void **state)
{
	static char names[RT_ENTRYLOG_ROWS + 50][8];
	static struct rt_entrylog log;
	uint64_t hits = 0;

	(void)state;
	for (size_t i = 0; i < RT_ENTRYLOG_ROWS + 50; i++) {
		struct rt_entry_row *row;

		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		row = rt_entrylog_row(&log, "watch", names[i]);
		row->hits++;
		rt_entrylog_reason(row, "%1000d", 1);
		assert_true(strlen(row->reason) < sizeof(row->reason));
	}
	assert_int_equal(log.n, RT_ENTRYLOG_ROWS);
	for (size_t i = 0; i < log.n; i++)
		hits += log.row[i].hits;
	assert_int_equal(hits, RT_ENTRYLOG_ROWS + 50);
	assert_ptr_equal(rt_entrylog_row(&log, "watch", "p7"), &log.row[7]);
}

/* Python's reader is the outside truth. Invalid UTF-8, which the core should not let through, still gives a
 * line that can be read. */
static void test_hostile(void **state)
{
	struct rt_proc_view bad = proc;
	struct fixture *f = *state;
	char name[] = "/tmp/test_json_XXXXXX", command[256], got[512];
	FILE *pipe;
	int fd;

	if (system("python3 -c 1")) {
		print_message("no python3 to compare with\n");
		skip();
	}
	bad.name = "a\"b\\c\n\x01\x7f\xe2\x80\xa8";
	bad.exe = "\xff\xc0\xaf/";
	bad.cmdline = "\xf0\x9f\x98\x80 \xed\xa0\x80";
	f->sink.on_process(f->sink.ctx, &bad, RT_EV_ATTACH, 1);
	assert_int_equal(rt_json_error(f->json), 0);
	fd = mkstemp(name);
	assert_int_equal(write(fd, f->text, f->len), f->len);
	close(fd);
	snprintf(command, sizeof(command), "python3 -c 'import json, sys\n"
		 "d = json.loads(open(sys.argv[1], \"rb\").read().decode())\n"
		 "print(ascii((d[\"name\"], d[\"exe\"], d[\"cmdline\"])))' %s", name);
	pipe = popen(command, "r");
	assert_non_null(fgets(got, sizeof(got), pipe));
	assert_int_equal(pclose(pipe), 0);
	unlink(name);
	assert_string_equal(got, "('a\"b\\\\c\\n\\x01\\x7f\\u2028', '\\ufffd\\ufffd\\ufffd/', "
				 "'\\U0001f600 \\ufffd\\ufffd\\ufffd')\n");
}

static void test_full_disk(void **state)
{
	FILE *out = fopen("/dev/full", "w");
	struct rt_json *json = rt_json_new(out, RT_LANG_EN);
	struct rt_sink sink = rt_json_sink(json);
	struct rt_summary summary = {0};

	(void)state;
	sink.on_process(sink.ctx, &proc, RT_EV_ATTACH, 1);
	assert_int_equal(rt_json_error(json), -ENOSPC);
	sink.on_phase(sink.ctx, &proc, &phase_view);
	rt_json_summary(json, &summary, NULL);
	assert_int_equal(rt_json_error(json), -ENOSPC);
	rt_json_free(json);
	fclose(out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start), TEST(test_process), TEST(test_process_exit), TEST(test_process_killed),
		TEST(test_checkpoint), TEST(test_phase), TEST(test_growth), TEST(test_stack), TEST(test_summary),
		TEST(test_summary_without_cost), TEST(test_entries_are_bounded), TEST(test_hostile), TEST(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
