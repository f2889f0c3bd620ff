/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledger_kit.h - a small run through the accounting core with a ledger kept of it, all its outputs as text, and the same of a ledger.
 */
#ifndef RT_LEDGER_KIT_H
#define RT_LEDGER_KIT_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "account_kit.h"
#include "json.h"
#include "ledformat.h"
#include "ledpack.h"
#include "recorder.h"
#include "replay.h"
#include "report.h"
#include "taglog.h"

#define KIT_WINDOW 1000 /* ns that records may come late */

static const char ledger_profile[] = "name: kit\n"
				     "phases:\n"
				     "  - id: outer\n    function: outer\n    file: app/main.py\n    label: outer\n"
				     "  - id: engine\n    function: EngineCore.__init__\n    file: v1/core.py\n    label: engine\n"
				     "  - id: executor\n    function: EngineCore.__init__\n    file: v1/core.py\n    statement: 'executor_class\\('\n    label: executor\n";

/* Of functions that the profile above does not name. */
static const char ledger_other[] = "name: other\n"
				   "phases:\n"
				   "  - id: worker\n    function: Worker.load\n    file: v1/worker.py\n    label: worker\n"
				   "  - id: weights\n    function: Worker.load\n    file: v1/worker.py\n    statement: '^self\\.weights ='\n    label: weights\n"
				   "  - id: small\n    function: small\n    file: v1/small.py\n    statement: '^x ='\n    label: small\n";

static const char ledger_core[] = "import helper\n\n\nclass EngineCore:\n    def __init__(self, config):\n        self.config = config\n"
				  "        self.model_executor = executor_class(\n            config,\n            helper.option(3),\n        )\n"
				  "        self.scheduler = Scheduler(config)\n        self.done = True\n";
/* The same shape, so that the line table of the one is that of the other (test_account.c: what CPython 3.11 makes of it). */
static const char ledger_worker[] = "import helper\n\n\nclass Worker:\n    def load(self, config):\n        self.config = config\n"
				    "        self.weights = executor_class(\n            config,\n            helper.option(3),\n        )\n"
				    "        self.scheduler = Scheduler(config)\n        self.done = True\n";
static const uint8_t ledger_table[] = {
	128, 0, 216, 22, 28, 136, 4, 140, 11, 221, 30, 44, 216, 12, 18, 221, 12, 18, 140, 77,
	152, 33, 209, 12, 28, 212, 12, 28, 241, 5, 3, 31, 10, 244, 0, 3, 31, 10, 136, 4,
	212, 8, 27, 245, 8, 0, 26, 35, 160, 54, 209, 25, 42, 212, 25, 42, 136, 4, 140, 14,
	216, 20, 24, 136, 4, 140, 9, 136, 9, 136, 9,
};
#define AT_CONFIG 6 /* line 6 */
#define AT_CALL 72  /* line 7 */
#define AT_DONE 138 /* line 12 */

/* All outputs of one run, as files in memory. */
struct ledger_said {
	char *text[3];
	size_t len[3];
	FILE *file[3]; /* log, NDJSON, summary */
	struct rt_taglog *log;
	struct rt_json *json;
	const struct rt_replay_config *config;
};

static inline void said_open(struct ledger_said *said, struct rt_account *account)
{
	struct rt_taglog_config config = {.lang = RT_LANG_EN, .tag = "t", .timestamps = true, .wall_offset_ns = 1700000000000000000};
	struct rt_sink sink;

	for (int i = 0; i < 3; i++)
		said->file[i] = open_memstream(&said->text[i], &said->len[i]);
	config.out = said->file[0];
	said->log = rt_taglog_new(&config);
	said->json = rt_json_new(said->file[1], RT_LANG_EN);
	sink = rt_taglog_sink(said->log);
	assert_int_equal(rt_account_add_sink(account, &sink), 0);
	sink = rt_json_sink(said->json);
	assert_int_equal(rt_account_add_sink(account, &sink), 0);
}

static inline void said_finish(struct ledger_said *said, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	rt_json_summary(said->json, summary, cost);
	rt_report_print(said->file[2], RT_LANG_EN, summary, cost);
	for (int i = 0; i < 3; i++)
		fflush(said->file[i]);
}

static inline void said_free(struct ledger_said *said)
{
	if (said->log) {
		rt_taglog_free(said->log);
		rt_json_free(said->json);
	}
	for (int i = 0; i < 3; i++) {
		if (said->file[i])
			fclose(said->file[i]);
		free(said->text[i]);
	}
	*said = (struct ledger_said){0};
}

/* ---- live ---- */

static inline int live_read(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	const char *source = strstr(file, "v1/core.py") ? ledger_core : strstr(file, "v1/worker.py") ? ledger_worker : strstr(file, "v1/small.py") ? "def small():\n    x = 1\n" : NULL;

	(void)ctx;
	(void)image;
	(void)pid;
	if (!source)
		return -ENOENT;
	*text = strdup(source);
	*len = strlen(source);
	return *text ? 0 : -ENOMEM;
}

static inline int live_read_kept(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	return rt_recorder_read_source(ctx, image, pid, file, text, len);
}

static inline size_t live_build_id(void *ctx, uint32_t pid, const char *path, uint8_t id[64])
{
	(void)ctx;
	(void)pid;
	memset(id, (int)strlen(path), 20);
	return strstr(path, ".so") ? 20 : 0;
}

struct ledger_live {
	struct kit *k; /* its builders put records into k->account */
	struct rt_recorder *recorder;
	struct rt_profile *profile;
	struct ledger_said *said; /* the caller's: its files point into it */
	int fd;
	bool no_end; /* as if the tool had been killed */
};

static inline struct rt_profile *ledger_parse(const char *text)
{
	char *error = NULL;
	struct rt_profile *profile = rt_profile_parse("kit.yaml", text, strlen(text), &error);

	if (!profile)
		fail_msg("%s", error);
	return profile;
}

static inline void live_open(struct ledger_live *live, const char *path, struct ledger_said *said)
{
	struct rt_recorder_config rc = {.read_source = live_read, .build_id = live_build_id, .seed = 42};
	struct rt_account_config ac = {.page_size = PAGE, .window_ns = KIT_WINDOW, .want_growth = true, .want_mappings = true, .read_source = live_read_kept};
	const char *command[] = {"ramtrack-bpf", "record"};
	struct rt_ledger_facts facts = {.page_size = PAGE, .window_ns = KIT_WINDOW, .wall_offset_ns = 1700000000000000000, .mappings = true, .node = "here", .machine = "x86_64",
					.command = command, .n_command = 2};
	uint32_t target = 100;
	struct rt_json_start start = {.version = "1", .kernel = "6", .profile = "kit", .mm_source = "rss_stat", .mm_hook = "tp_btf", .python_entry = "off", .mm_exact = true,
				      .wall_ns = 1700000000000000001, .ts_ns = 1, .targets = &target, .n_targets = 1};

	*said = (struct ledger_said){0};
	*live = (struct ledger_live){.said = said, .fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600)};
	assert_true(live->fd >= 0);
	rc.fd = live->fd;
	live->k = calloc(1, sizeof(*live->k));
	live->k->next_code = live->k->next_node = 1;
	live->profile = ledger_parse(ledger_profile);
	live->recorder = rt_recorder_new(&rc);
	assert_non_null(live->recorder);
	ac.profile = live->profile;
	ac.ctx = live->recorder;
	live->k->account = rt_account_new(&ac);
	assert_non_null(live->k->account);
	said_open(live->said, live->k->account);
	rt_recorder_begin(live->recorder, &facts, live->profile);
	rt_recorder_follow(live->recorder, live->k->account, PAGE);
	rt_recorder_start(live->recorder, &start);
	rt_json_start(live->said->json, &start);
}

static inline void live_close(struct ledger_live *live, uint64_t now)
{
	static const struct rt_prog_cost prog = {"rss_stat_btf", 7, 700, 1};
	const struct rt_self_cost cost = {.mm_source = "rss_stat", .mm_hook = "tp_btf", .mm_exact = true, .bpf_ns = 700, .bpf_runs = 7, .user_ns = 11, .sys_ns = 12,
					  .rss_bytes = 1 << 25, .map_bytes = 1 << 20, .progs = &prog, .n_progs = 1};
	uint64_t counters[RT_COUNTERS];

	for (int i = 0; i < RT_COUNTERS; i++)
		counters[i] = i < RT_C_LOST_RUN ? (uint64_t)i << 40 : 0;
	if (live->no_end)
		rt_recorder_tick(live->recorder, UINT64_MAX / 2, counters);
	else
		rt_recorder_end(live->recorder, now, counters, &cost);
	assert_int_equal(rt_recorder_error(live->recorder), 0);
	said_finish(live->said, rt_account_finish(live->k->account, now, counters), live->no_end ? NULL : &cost);
	rt_recorder_free(live->recorder);
	rt_account_free(live->k->account);
	rt_profile_free(live->profile);
	free(live->k->tape);
	free(live->k);
	close(live->fd);
}

/* Three processes with threads and children, phases, files, sources, late records, malformed ones and a new generation. */
static inline uint64_t live_scenario(struct ledger_live *live, int rounds)
{
	struct kit *k = live->k;
	uint32_t base = 0, core = 0, worker = 0, small, node, forget_node = 0, forget_code = 0;
	uint64_t ts = 1000, seed = 1;

	kit_proc(k, ts, (struct rt_rec_proc){.birth = RT_BIRTH_ATTACH, .pid = 100, .ppid = 1, .pages = {[RT_ANON] = 1 << 20, [RT_FILE] = 1 << 20}}, 1);
	kit_meta(k, ts, 1, RT_META_EXE, "/usr/bin/python3.11");
	kit_meta(k, ts, 1, RT_META_PYTHON, "3.11.2");
	kit_meta(k, ts, 1, RT_META_TITLE, "VLLM::Engine\xff core \x1b[31m");
	kit_map(k, 16, RT_MAP_FILE, "libtorch.so");
	for (int round = 0; round < rounds; round++) {
		if (round % 16 == 0) {
			base = kit_base(k, 1);
			core = kit_code_table(k, 1, "EngineCore.__init__", "/w/v1/core.py", 5, ledger_table, sizeof(ledger_table));
			worker = kit_code_table(k, 1, "Worker.load", "/w/v1/worker.py", 5, ledger_table, sizeof(ledger_table));
			rt_account_forget(k->account, forget_node, forget_code);
			forget_node = base - 1;
			forget_code = core - 1;
		}
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		ts += 50 + (seed >> 60);
		node = kit_node(k, 1, base, core, AT_CONFIG);
		kit_run(k, ts, 1, 100, .node = node, .delta = {[RT_ANON] = 1}, .flags = RT_RUN_EDGE | RT_RUN_MOVED, .map = 16, .minflt = 1);
		node = kit_node(k, 1, node, worker, AT_CALL);
		kit_run(k, ts + 10, 1, 100, .node = node, .delta = {[RT_ANON] = 3 + (int32_t)(seed >> 61), [RT_FILE] = -1}, .gained = {[RT_ANON] = 20}, .flags = RT_RUN_MOVED, .reused = 1,
			.last_ns = ts + 15, .prev_seen_ns = ts);
		if (!round) {
			small = kit_code_table(k, 1, "small", "/w/v1/small.py", 1, ledger_table, sizeof(ledger_table));
			kit_run(k, ts + 11, 1, 100, .node = kit_node(k, 1, base, small, AT_CONFIG), .delta = {[RT_ANON] = 2}, .flags = RT_RUN_MOVED);
			kit_thread(k, ts + 12, 1, 101, 100);
			kit_fork(k, ts + 13, 2, 200, 1, 44);
			kit_exec(k, ts + 14, 3, 200, 2, 5);
			kit_rename(k, ts + 14, 3, 200, "child");
		}
		kit_run(k, ts + 16, 1, 101, .flags = RT_RUN_NO_PYTHON, .delta = {[RT_ANON] = 2, [RT_SHMEM] = 1});
		kit_grow(k, ts + 17, 3, 200, 0, 1);
		kit_run(k, ts + 20, 1, 100, .node = kit_node(k, 1, base, core, AT_CALL), .delta = {[RT_ANON] = -2}, .flags = RT_RUN_EDGE | RT_RUN_MOVED);
		kit_run(k, ts - 30, 1, 101, .cause = RT_CAUSE_RECLAIM, .delta = {[RT_FILE] = -1}, .before = {[RT_ANON] = 50});
		kit_run(k, ts + 25, 1, 100, .node = kit_node(k, 1, base, core, AT_DONE), .delta = {[RT_ANON] = 1}, .flags = RT_RUN_EDGE | RT_RUN_MOVED);
		rt_account_advance(k->account, ts + KIT_WINDOW / 2);
	}
	rt_account_record(k->account, "\x08\0\0\0\x80\0\0\0garbage", 15); /* a run that is cut short */
	kit_exit(k, ts + 40, 3, 200, 256, 0);
	kit_snap(k, ts + 50, 1, 0);
	return ts + 100;
}

/* The ledger at `path`, and what the live run said. */
static inline void ledger_make(const char *path, int rounds, bool no_end, struct ledger_said *said)
{
	struct ledger_live live;
	uint64_t now;

	live_open(&live, path, said);
	live.no_end = no_end;
	now = live_scenario(&live, rounds);
	live_close(&live, now);
}

/* ---- report ---- */

static inline int report_begin(void *ctx, struct rt_account *account, int64_t wall_offset_ns)
{
	assert_true(wall_offset_ns == 1700000000000000000 || ((struct ledger_said *)ctx)->config);
	said_open(ctx, account);
	return 0;
}

static inline void report_start(void *ctx, const struct rt_json_start *start)
{
	struct ledger_said *said = ctx;

	rt_json_start(said->json, start);
}

/* Returns 0 or -errno; what it says is in *said (said_free it in any case) and *why. */
static inline int ledger_report(const char *path, const struct rt_profile *profile, struct ledger_said *said, struct rt_replay_result *result, char *why, size_t why_len)
{
	const struct rt_replay_config config = {.path = path, .profile = profile, .want_growth = true, .on_begin = report_begin, .on_start = report_start, .ctx = said};
	struct rt_replay *replay;
	int err;

	*said = (struct ledger_said){.config = &config};
	*result = (struct rt_replay_result){0};
	why[0] = '\0';
	err = rt_replay_open(&config, &replay, why, why_len);
	if (err)
		return err;
	err = rt_replay_run(replay, result, why, why_len);
	if (!err)
		said_finish(said, result->summary, result->cost);
	rt_replay_free(replay);
	result->summary = NULL;
	result->cost = NULL;
	return err;
}

/* ---- files ---- */

struct ledger_bytes {
	uint8_t *data;
	size_t len;
};

static inline struct ledger_bytes ledger_load(const char *path)
{
	struct ledger_bytes bytes;
	FILE *f = fopen(path, "rb");
	struct stat st;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	bytes.len = (size_t)st.st_size;
	bytes.data = malloc(bytes.len + 1);
	assert_int_equal(fread(bytes.data, 1, bytes.len, f), bytes.len);
	fclose(f);
	return bytes;
}

static inline void ledger_store(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Makes a header's checksum right again. */
static inline void ledger_seal(struct rt_block_head *head, const uint8_t *payload)
{
	head->crc = (uint32_t)crc32(0, payload, head->stored);
	head->head_crc = (uint32_t)crc32(0, (const Bytef *)head, offsetof(struct rt_block_head, head_crc));
}

#endif
