/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The formats' bounds and odd cases, without a kernel: what their own readers make of them is tested end to end. */
#include "account_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats.h"
#include "progress.h"
#include "protowire.h"
#include "units.h"
#include "wholefile.h"

/* ---- protocol buffers: the examples of protobuf.dev/programming-guides/encoding ---- */

static void test_protowire(void **state)
{
	static const uint8_t simple[] = {0x08, 0x96, 0x01}, text[] = {0x12, 0x07, 't', 'e', 's', 't', 'i', 'n', 'g'}, nested[] = {0x1a, 0x03, 0x08, 0x96, 0x01};
	static const uint8_t minus_two[] = {0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
	struct rt_proto p = {0};
	size_t at;

	(void)state;
	rt_proto_number(&p, 1, 150);
	assert_int_equal(p.len, sizeof(simple));
	assert_memory_equal(p.data, simple, sizeof(simple));
	rt_proto_reset(&p);
	rt_proto_string(&p, 2, "testing");
	assert_int_equal(p.len, sizeof(text));
	assert_memory_equal(p.data, text, sizeof(text));
	rt_proto_reset(&p);
	at = rt_proto_begin(&p, 3);
	rt_proto_number(&p, 1, 150);
	rt_proto_end(&p, at);
	assert_int_equal(p.len, sizeof(nested));
	assert_memory_equal(p.data, nested, sizeof(nested));
	rt_proto_reset(&p);
	rt_proto_number(&p, 1, (uint64_t)(int64_t)-2);
	assert_int_equal(p.len, sizeof(minus_two));
	assert_memory_equal(p.data, minus_two, sizeof(minus_two));
	free(p.data);
}

/* ---- a format into memory ---- */

struct output {
	char *data;
	size_t len;
	FILE *out;
	const struct rt_format *format;
	void *it;
};

static struct output open_output(enum rt_format_id id, enum rt_folded_value value)
{
	struct output o = {.format = rt_format_get(id)};
	struct rt_format_config config = {.lang = RT_LANG_EN, .value = value};

	config.out = o.out = open_memstream(&o.data, &o.len);
	assert_non_null(o.out);
	o.it = o.format->open(&config);
	assert_non_null(o.it);
	return o;
}

static void attach_output(struct output *o, struct kit *k)
{
	struct rt_sink sink = o->format->sink(o->it);

	assert_int_equal(rt_account_add_sink(k->account, &sink), 0);
}

static void end_output(struct output *o, const struct rt_summary *s)
{
	o->format->finish(o->it, s, NULL);
	assert_int_equal(o->format->error(o->it), 0);
	assert_int_equal(fflush(o->out), 0);
}

static void close_output(struct output *o)
{
	o->format->close(o->it);
	fclose(o->out);
	free(o->data);
}

/* ---- perfetto, by a reader of the few fields that count ---- */

struct seen {
	size_t packets, begins, ends, counters, tracks;
	uint64_t last_ts, ts;
	int64_t value;
	int64_t last_of[8]; /* last value by kind of counter track: low word 2, 3, 4 */
	uint64_t type, track;
	bool unsorted; /* a counter's time before the last one's of the same track */
	uint64_t counter_ts[8];
};

static uint64_t varint(const uint8_t **at, const uint8_t *end)
{
	uint64_t value = 0;

	for (int shift = 0;; shift += 7) {
		assert_true(*at < end && shift < 64);
		value |= (uint64_t)(**at & 0x7f) << shift;
		if (!(*(*at)++ & 0x80))
			return value;
	}
}

static void read_message(struct seen *s, const uint8_t *at, const uint8_t *end, int level)
{
	while (at < end) {
		uint64_t tag = varint(&at, end), value = varint(&at, end);
		uint32_t field = (uint32_t)(tag >> 3);

		assert_true((tag & 7) == 0 || (tag & 7) == 2);
		if ((tag & 7) == 2) {
			assert_true(value <= (uint64_t)(end - at));
			if ((level == 0 && field == 1) || (level == 1 && field == 11))
				read_message(s, at, at + value, level + 1);
			s->packets += level == 0;
			s->tracks += level == 1 && field == 60;
			at += value;
			continue;
		}
		if (level == 1 && field == 8)
			s->ts = value;
		if (level == 2 && field == 9)
			s->type = value;
		if (level == 2 && field == 11)
			s->track = value;
		if (level == 2 && field == 30)
			s->value = (int64_t)value;
	}
	if (level != 2)
		return;
	s->begins += s->type == 1;
	s->ends += s->type == 2;
	if (s->type != 4)
		return;
	s->counters++;
	s->unsorted |= s->ts < s->counter_ts[s->track & 7];
	s->counter_ts[s->track & 7] = s->ts;
	s->last_of[s->track & 7] = s->value;
}

static struct seen read_trace(const struct output *o)
{
	struct seen s = {0};

	read_message(&s, (const uint8_t *)o->data, (const uint8_t *)o->data + o->len, 0);
	return s;
}

/* A change each 10 us for two seconds: 200,000 of them become two thousand samples, and the last one is the truth. */
static void test_perfetto_samples(void **state)
{
	struct output o = open_output(RT_FORMAT_PERFETTO, 0);
	struct kit *k = kit_new(NULL);
	const struct rt_summary *s;
	struct seen seen;
	uint32_t base;

	(void)state;
	k->mute_tape = true;
	attach_output(&o, k);
	kit_attach(k, 1, 1, 100, 50);
	base = kit_base(k, 1);
	for (uint64_t i = 1; i <= 200000; i++)
		kit_grow(k, i * 10000, 1, 100, base, i % 3 ? 1 : -1);
	s = rt_account_finish(k->account, 2100000000, NULL);
	end_output(&o, s);
	seen = read_trace(&o);
	assert_in_range(seen.counters, 1990, 2003);
	assert_false(seen.unsorted);
	assert_int_equal(seen.last_of[3], s->procs[0].proc.now.total);
	close_output(&o);
	kit_free(k);
}

/* From a million samples on they are half as many: ten days at a thousand changes a second stay bounded. */
static void test_perfetto_long_run(void **state)
{
	struct output o = open_output(RT_FORMAT_PERFETTO, 0);
	struct rt_proc_view view = {.pid = 1, .name = "p", .cmdline = ""};
	struct rt_sink sink;
	size_t first;

	(void)state;
	sink = o.format->sink(o.it);
	sink.on_process(sink.ctx, &view, RT_EV_ATTACH, 0);
	for (uint64_t i = 1; i <= 1100000; i++) {
		view.now.kind[RT_ANON] = (int64_t)(i & 1) + 1;
		sink.on_rss(sink.ctx, &view, i * 1000000);
	}
	fflush(o.out);
	first = o.len;
	for (uint64_t i = 1100001; i <= 2200000; i++) {
		view.now.kind[RT_ANON] = (int64_t)(i / 2 & 1) + 1;
		sink.on_rss(sink.ctx, &view, i * 1000000);
	}
	fflush(o.out);
	assert_true(o.len - first < first * 6 / 10);
	close_output(&o);
}

/* A process that turns out to be muted has its slices ended; one whose pid comes back has other tracks. */
static void test_perfetto_muted_and_again(void **state)
{
	struct output o = open_output(RT_FORMAT_PERFETTO, 0);
	struct kit *k = kit_new(NULL);
	struct seen seen;
	uint32_t base;

	(void)state;
	attach_output(&o, k);
	kit_attach(k, 1, 1, 100, 50);
	base = kit_base(k, 1);
	kit_grow(k, 10, 1, 100, kit_node(k, 1, base, kit_code(k, 1, "outer", "app/main.py", 1), 2), 5);
	kit_meta(k, 20, 1, RT_META_MUTED, "");
	kit_exit(k, 30, 1, 100, 0, 0);
	kit_proc(k, 40, (struct rt_rec_proc){.birth = RT_BIRTH_ATTACH, .pid = 100, .ppid = 1, .pages = {[RT_ANON] = 9}}, 2);
	kit_grow(k, 50, 2, 100, kit_base(k, 2), 1);
	end_output(&o, rt_account_finish(k->account, 100, NULL));
	seen = read_trace(&o);
	assert_int_equal(seen.begins, 1);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.tracks, 2 * 4 + 1);
	close_output(&o);
	kit_free(k);
}

/* More threads than are remembered: all slices are there. */
static void test_perfetto_threads(void **state)
{
	struct output o = open_output(RT_FORMAT_PERFETTO, 0);
	struct rt_phase phase = {.id = (char *)"p", .label = {{(char *)"p", (char *)"p"}}};
	struct rt_proc_view view = {.pid = 1, .name = "p", .cmdline = ""};
	struct seen seen;
	struct rt_sink sink;

	(void)state;
	sink = o.format->sink(o.it);
	for (uint32_t i = 0; i < 140000; i++) {
		struct rt_checkpoint_view cp = {.ts_ns = i * 10 + 1, .tid = i + 10, .phase = &phase, .edge = RT_ENTER};
		struct rt_phase_view ph = {.phase = &phase, .tid = i + 10, .end_ns = i * 10 + 5, .end_ns_max = i * 10 + 6};

		sink.on_checkpoint(sink.ctx, &view, &cp);
		cp.edge = RT_EXIT;
		cp.ts_ns += 5;
		sink.on_checkpoint(sink.ctx, &view, &cp);
		sink.on_phase(sink.ctx, &view, &ph);
	}
	fflush(o.out);
	assert_int_equal(o.format->error(o.it), 0);
	seen = read_trace(&o);
	assert_int_equal(seen.begins, 140000);
	assert_int_equal(seen.ends, 140000);
	close_output(&o);
}

/* ---- folded ---- */

#define DEEP 500
#define LEAVES 400

/* Stacks so deep that all of them would be 80 MB: the small branches are added up, the total stays. */
static void test_folded_is_bounded(void **state)
{
	struct output o = open_output(RT_FORMAT_FOLDED, 0);
	struct rt_stack_frame *frames = calloc(1 + DEEP + LEAVES, sizeof(*frames));
	struct rt_stack_row *rows = calloc(LEAVES, sizeof(*rows));
	struct rt_proc_summary proc = {.proc = {.pid = 7, .name = "p"}, .stacks = rows, .n_stacks = LEAVES};
	struct rt_summary s = {.procs = &proc, .n_procs = 1, .frames = frames, .n_frames = 1 + DEEP + LEAVES};
	int64_t total = 0, told = 0;
	char name[400];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (uint32_t i = 1; i < 1 + DEEP + LEAVES; i++)
		frames[i] = (struct rt_stack_frame){.function = name, .file = "", .caller = i <= DEEP ? i - 1 : DEEP};
	for (uint32_t i = 0; i < LEAVES; i++) {
		rows[i].frame = 1 + DEEP + i;
		rows[i].gained.total = i < 10 ? 1 << 20 : 4096 + 3 * i;
		total += rows[i].gained.total;
	}
	end_output(&o, &s);
	assert_in_range(o.len, 1, 66 << 20);
	for (char *line = strtok(o.data, "\n"); line; line = strtok(NULL, "\n"))
		told += strtoll(strrchr(line, ' ') + 1, NULL, 10);
	assert_int_equal(told, total);
	assert_non_null(strstr(o.format->note(o.it), "<smaller>"));
	close_output(&o);
	free(frames);
	free(rows);
}

/* What gave back more than it gained has no line, and is said. */
static void test_folded_held(void **state)
{
	struct output o = open_output(RT_FORMAT_FOLDED, RT_FOLDED_HELD);
	struct rt_stack_frame frames[] = {{0}, {.function = "f;g", .file = "a;b.py", .line = 3}, {.function = "", .file = "", .caller = 1}};
	struct rt_stack_row rows[] = {
		{.frame = 1, .gained.total = 10, .released.total = 30},
		{.frame = 2, .gained.total = 50, .released.total = 5, .mapping = "/x;y"},
		{.frame = 2, .gained.total = 1, .released.total = 0, .mapping = "/x;y", .phase = 0},
	};
	struct rt_proc_summary proc = {.proc = {.pid = 7, .name = "#p;"}, .stacks = rows, .n_stacks = 3};
	struct rt_summary s = {.procs = &proc, .n_procs = 1, .frames = frames, .n_frames = 3};

	(void)state;
	end_output(&o, &s);
	assert_string_equal(o.data, "\\#p\\x3b (pid 7);f\\x3bg (a\\x3bb.py:3);<no name>;/x\\x3by 46\n");
	assert_non_null(strstr(o.format->note(o.it), "1 stacks gave back 20 bytes more than they gained"));
	close_output(&o);
}

/* ---- prom ---- */

static void test_prom_again(void **state)
{
	struct output o = open_output(RT_FORMAT_PROM, 0);
	struct rt_phase phase = {.id = (char *)"p"};
	const struct rt_phase *path[] = {&phase, &phase};
	struct rt_phase_view views[] = {
		{.phase = &phase, .path = path, .path_len = 1, .call = 2, .gained = 5, .peak = 9, .duration_ns = 1},
		{.phase = &phase, .path = path, .path_len = 2, .call = 1, .gained = 6, .peak = 8, .duration_ns = 1000000001},
	};
	struct rt_proc_summary procs[] = {
		{.proc = {.pid = 7, .name = "p\"\\\n"}, .phases = views, .n_phases = 2},
		{.proc = {.pid = 7, .name = "q"}},
		{.proc = {.pid = 7, .name = "p\"\\\n"}},
	};
	struct rt_summary s = {.procs = procs, .n_procs = 3};

	(void)state;
	end_output(&o, &s);
	assert_non_null(strstr(o.data, "\nramtrack_process_rss_peak_bytes{role=\"p\\\"\\\\\\\\x0a\",pid=\"7\"} 0\n"));
	assert_non_null(strstr(o.data, "\nramtrack_process_rss_peak_bytes{role=\"p\\\"\\\\\\\\x0a\",pid=\"7\",again=\"2\"} 0\n"));
	assert_non_null(strstr(o.data, "\nramtrack_phase_gained_bytes{role=\"p\\\"\\\\\\\\x0a\",pid=\"7\",phase=\"p\"} 11\n"));
	assert_non_null(strstr(o.data, ",phase=\"p\"} 1.000000002\n"));
	assert_non_null(strstr(o.data, "ramtrack_phase_rss_peak_bytes{role=\"p\\\"\\\\\\\\x0a\",pid=\"7\",phase=\"p\"} 9\n"));
	close_output(&o);
}

/* Two symbols that the label's length cuts to the same text are two samples; a name cannot end its label. */
static void test_prom_natives(void **state)
{
	struct output o = open_output(RT_FORMAT_PROM, 0);
	char first[300], second[300];
	struct rt_native_sum_view rows[] = {
		{.symbol = first, .kind = "pinned", .library = "a", .calls = 3, .bytes = 4096},
		{.symbol = second, .kind = "pinned", .library = "a", .calls = 5, .bytes = 8192},
		{.symbol = "f\"} 1\n", .kind = "pinned", .library = "a", .is_free = true, .inner = true, .released = 77},
	};
	struct rt_proc_summary proc = {.proc = {.pid = 7, .name = "p"}, .natives = rows, .n_natives = 3};
	struct rt_summary s = {.procs = &proc, .n_procs = 1};
	const char *at;

	(void)state;
	memset(first, 'x', sizeof(first) - 1);
	first[sizeof(first) - 1] = 0;
	memcpy(second, first, sizeof(second));
	second[sizeof(second) - 2] = 'y';
	end_output(&o, &s);
	at = strstr(o.data, "\nramtrack_native_calls{");
	assert_non_null(at);
	assert_non_null(strstr(at, ",library=\"a\",phase=\"\",op=\"alloc\",inner=\"no\"} 3\n"));
	assert_non_null(strstr(at, ",library=\"a\",phase=\"\",op=\"alloc\",inner=\"no\",row=\"2\"} 5\n"));
	assert_non_null(strstr(o.data, "\nramtrack_native_released_bytes{role=\"p\",pid=\"7\",symbol=\"f\\\"} 1\\\\x0a\",native=\"pinned\",library=\"a\",phase=\"\",op=\"free\",inner=\"yes\"} 77\n"));
	close_output(&o);
}

/* Nothing was followed: still a file that can be read. */
static void test_nothing(void **state)
{
	static const struct rt_summary nothing;

	(void)state;
	for (int id = 0; id < RT_FORMATS; id++) {
		struct output o = open_output((enum rt_format_id)id, 0);

		end_output(&o, &nothing);
		if (id == RT_FORMAT_PROM)
			assert_string_equal(o.data + o.len - 7, "\n# EOF\n");
		if (id == RT_FORMAT_FOLDED)
			assert_int_equal(o.len, 0);
		close_output(&o);
		assert_int_equal(rt_format_find(o.format->name), id);
	}
	assert_int_equal(rt_format_find("nonsense"), -1);
}

static void test_full_disk(void **state)
{
	(void)state;
	for (int id = 0; id < RT_FORMATS; id++) {
		struct rt_stack_frame frames[] = {{0}, {.function = "f", .file = ""}};
		struct rt_stack_row row = {.frame = 1, .gained.total = 1};
		struct rt_proc_summary proc = {.proc = {.pid = 7, .name = "p", .exe = "", .cmdline = ""}, .stacks = &row, .n_stacks = 1};
		struct rt_summary s = {.procs = &proc, .n_procs = 1, .frames = frames, .n_frames = 2};
		const struct rt_format *format = rt_format_get((enum rt_format_id)id);
		FILE *full = fopen("/dev/full", "w");
		struct rt_format_config config = {.out = full};
		void *it;

		assert_non_null(full);
		it = format->open(&config);
		format->finish(it, &s, NULL);
		assert_int_equal(format->error(it), -ENOSPC);
		format->close(it);
		fclose(full);
	}
}

/* ---- files that come into being whole ---- */

static void expect_file(const char *path, const char *text, mode_t mode)
{
	char data[64] = "";
	struct stat st;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, data, sizeof(data) - 1) >= 0);
	assert_string_equal(data, text);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	close(fd);
}

static void test_wholefile(void **state)
{
	char folder[] = "/tmp/ramtrack-unit-XXXXXX", real[64], link[64], dangling[64];
	mode_t mask = umask(022);
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(real, sizeof(real), "%s/real", folder);
	snprintf(link, sizeof(link), "%s/link", folder);
	snprintf(dangling, sizeof(dangling), "%s/dangling", folder);
	assert_int_equal(symlink("real", link), 0);
	assert_int_equal(symlink("nowhere/x", dangling), 0);
	assert_int_equal(rt_wholefile_check(real), 0);
	assert_int_equal(access(real, F_OK), -1); /* nothing is left behind */
	assert_int_equal(rt_wholefile_write(real, "one", 3), 0);
	expect_file(real, "one", 0644);
	assert_int_equal(chmod(real, 0600), 0);
	if (!geteuid())
		assert_int_equal(chown(real, 12345, 54321), 0);
	assert_int_equal(rt_wholefile_write(link, "second", 6), 0);
	expect_file(real, "second", 0600);
	assert_int_equal(stat(real, &st), 0);
	assert_int_equal(st.st_uid, geteuid() ? geteuid() : 12345);
	assert_int_equal(st.st_gid, geteuid() ? getegid() : 54321);
	assert_int_equal(rt_wholefile_write(dangling, "3", 1), 0);
	expect_file(dangling, "3", 0644);
	assert_int_equal(rt_wholefile_check(folder), -EISDIR);
	assert_int_equal(rt_wholefile_write(folder, "x", 1), -EISDIR);
	assert_int_equal(rt_wholefile_check("/no-such-folder/x"), -ENOENT);
	assert_int_equal(rt_wholefile_write("/dev/full", "x", 1), -ENOSPC);
	assert_int_equal(rt_wholefile_write("/dev/null", "x", 1), 0);
	unlink(real);
	unlink(link);
	unlink(dangling);
	assert_int_equal(rmdir(folder), 0); /* no other file is in it */
	umask(mask);
}

/* ---- progress ---- */

static void expect_progress(const struct rt_progress *progress, uint64_t s, size_t cells, const char *text)
{
	char *line = rt_progress_text(progress, s * 1000000000, cells);

	assert_string_equal(line, text);
	assert_true(rt_text_cells(line) <= cells);
	free(line);
}

static void count(void *ctx)
{
	(*(int *)ctx)++;
}

static void test_progress(void **state)
{
	struct rt_phase outer = {.id = (char *)"o", .label = {{(char *)"外", (char *)"outer"}}}, inner = {.id = (char *)"i", .label = {{(char *)"创建权重", (char *)"inner"}}};
	struct rt_proc_view view = {.pid = 1, .name = "Eng\x1b[2J", .now.total = 3 << 19}, other = {.pid = 2, .name = "b", .now.total = 1 << 20};
	int before = 0;
	struct rt_progress *progress = rt_progress_new(RT_LANG_ZH, count, &before, false);
	struct rt_sink sink = rt_progress_sink(progress);
	struct rt_checkpoint_view cp = {.tid = 1, .phase = &outer, .edge = RT_ENTER};

	(void)state;
	expect_progress(progress, 0, 80, "[0:00] 0 个进程, RSS 0.00 M");
	sink.on_process(sink.ctx, &view, RT_EV_ATTACH, 0);
	sink.on_process(sink.ctx, &other, RT_EV_FORK, 0);
	expect_progress(progress, 3599, 80, "[59:59] 2 个进程, RSS 2.50 M");
	assert_int_equal(before, 0);
	sink.on_checkpoint(sink.ctx, &view, &cp);
	cp.phase = &inner;
	sink.on_checkpoint(sink.ctx, &view, &cp);
	assert_int_equal(before, 2);
	expect_progress(progress, 3661, 80, "[1:01:01] 2 个进程, RSS 2.50 M, Eng\\x1b[2J: 创建权重");
	expect_progress(progress, 3661, 51, "[1:01:01] 2 个进程, RSS 2.50 M, Eng\\x1b[2J: 创建...");
	expect_progress(progress, 3661, 50, "[1:01:01] 2 个进程, RSS 2.50 M, Eng\\x1b[2J: 创...");
	expect_progress(progress, 3661, 2, "[1");
	view.now.total = 5 << 20;
	sink.on_rss(sink.ctx, &view, 0);
	cp.edge = RT_EXIT;
	sink.on_checkpoint(sink.ctx, &view, &cp);
	expect_progress(progress, 61, 80, "[1:01] 2 个进程, RSS 6.00 M, Eng\\x1b[2J: 外");
	sink.on_process(sink.ctx, &view, RT_EV_EXIT, 0);
	expect_progress(progress, 61, 80, "[1:01] 1 个进程, RSS 1.00 M");
	rt_progress_free(progress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protowire),
		cmocka_unit_test(test_perfetto_samples),
		cmocka_unit_test(test_perfetto_long_run),
		cmocka_unit_test(test_perfetto_muted_and_again),
		cmocka_unit_test(test_perfetto_threads),
		cmocka_unit_test(test_folded_is_bounded),
		cmocka_unit_test(test_folded_held),
		cmocka_unit_test(test_prom_again),
		cmocka_unit_test(test_prom_natives),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_wholefile),
		cmocka_unit_test(test_progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
