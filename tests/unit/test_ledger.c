/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The ledger: what is written is read, and says the same; torn, damaged and hostile files; other profiles; a full disk. */
#include "ledger_kit.h"

#include <signal.h>
#include <sys/resource.h>

#include <zstd.h>

#include "ledger.h"
#include "ledwrite.h"

static char path[64], changed[64];

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/ramtrack-ledger-%d", (int)getpid());
	snprintf(changed, sizeof(changed), "%s.changed", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(changed);
	return 0;
}

/* ---- packing ---- */

static void test_numbers(void **state)
{
	static const uint64_t numbers[] = {0, 1, 127, 128, 300, UINT32_MAX, 1ull << 63, UINT64_MAX};
	static const uint8_t overlong[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	uint8_t buf[16];

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uint8_t *end = rt_pack_put(buf, numbers[i]);
		struct rt_unpack from = {.at = buf, .end = end}, cut = {.at = buf, .end = end - 1};

		assert_true(rt_unpack_get(&from) == numbers[i]);
		assert_false(from.bad);
		assert_ptr_equal(from.at, end);
		assert_true(rt_unpack_get(&cut) == 0);
		assert_true(cut.bad);
	}
	assert_true(rt_unpack_get(&(struct rt_unpack){.at = overlong, .end = overlong + sizeof(overlong)}) == 0);
}

/* Random records of all types: each comes out as it went in. */
static void test_pack_random(void **state)
{
	static const size_t fixed[] = {[RT_REC_PROC] = sizeof(struct rt_rec_proc), [RT_REC_EXIT] = sizeof(struct rt_rec_exit), [RT_REC_THREAD] = sizeof(struct rt_rec_thread),
				       [RT_REC_THREAD_EXIT] = sizeof(struct rt_rec_thread), [RT_REC_RENAME] = sizeof(struct rt_rec_rename),
				       [RT_REC_CODE] = sizeof(struct rt_rec_code), [RT_REC_NODE] = sizeof(struct rt_rec_node), [RT_REC_RUN] = sizeof(struct rt_rec_run),
				       [RT_REC_SNAP] = sizeof(struct rt_rec_snap), [RT_REC_META] = sizeof(struct rt_rec_meta), [RT_REC_MAP] = sizeof(struct rt_rec_map),
				       [RT_REC_OPENING] = sizeof(struct rt_rec_opening), [RT_REC_NATIVE] = sizeof(struct rt_rec_native),
				       [RT_REC_NATIVE_ENTER] = sizeof(struct rt_rec_native_enter), [RT_REC_SITE] = sizeof(struct rt_rec_site),
				       [RT_REC_OOM] = sizeof(struct rt_rec_oom)};
	struct rt_pack *out = calloc(1, sizeof(*out)), *in = calloc(1, sizeof(*in));
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint8_t record[256] = {0}, packed[RT_PACK_MAX], back[256];
		uint16_t type = (uint16_t)(1 + i % RT_REC_OOM);
		struct rt_unpack from;
		const uint8_t *tail;
		size_t tail_len, size;
		struct rt_hdr h;
		bool has_tail = false;

		if (type == RT_REC_WATCH || type == RT_REC_ARGS) /* never come to the core */
			continue;
		assert_true(type < sizeof(fixed) / sizeof(fixed[0]) && fixed[type]);
		for (size_t at = 24; at < fixed[type]; at++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			record[at] = (seed >> 60) < (uint64_t)(i % 16) ? 0 : (uint8_t)(seed >> 40);
		}
		h = (struct rt_hdr){.type = type, .ts_ns = seed >> (i % 64), .image = (uint32_t)(seed >> 50), .tid = (uint32_t)(seed >> 33)};
		if (rt_pack_has_tail(type)) /* no tail here */
			memset(record + 24, 0, fixed[type] - 24);
		h.size = (uint32_t)fixed[type];
		memcpy(record, &h, sizeof(h));
		assert_true(rt_pack_fits(record, h.size, &tail, &tail_len));
		assert_int_equal(tail_len, 0);
		from = (struct rt_unpack){.at = packed + 1, .end = rt_pack_record(out, packed, record, false)};
		assert_true(from.end <= packed + sizeof(packed));
		size = rt_unpack_record(in, &from, packed[0], back, &has_tail);
		assert_int_equal(size, h.size);
		assert_true(size <= RT_PACK_FIXED_MAX);
		assert_int_equal(has_tail, rt_pack_has_tail(type));
		assert_ptr_equal(from.at, from.end);
		assert_memory_equal(back, record, size);
	}
	free(out);
	free(in);
}

/* What does not fit goes in as it is: sizes that do not agree, types that are not known. */
static void test_pack_refuses(void **state)
{
	struct rt_rec_node node = {.h = {.type = RT_REC_NODE, .size = sizeof(node)}};
	struct rt_rec_meta meta = {.h = {.type = RT_REC_META, .size = sizeof(meta)}, .len = 1};
	struct rt_rec_site site = {.h = {.type = RT_REC_SITE, .size = sizeof(site)}, .len = 1};
	const uint8_t *tail;
	size_t len;

	(void)state;
	assert_true(rt_pack_fits((uint8_t *)&node, sizeof(node), &tail, &len));
	assert_false(rt_pack_fits((uint8_t *)&node, sizeof(node) - 8, &tail, &len));
	node.h.pad = 1;
	assert_false(rt_pack_fits((uint8_t *)&node, sizeof(node), &tail, &len));
	node.h.pad = 0;
	for (node.h.type = RT_REC_OPENING + 1; node.h.type < 300; node.h.type++) {
		if (node.h.type < RT_REC_NATIVE || node.h.type > RT_REC_SITE)
			assert_false(rt_pack_fits((uint8_t *)&node, sizeof(node), &tail, &len));
	}
	assert_false(rt_pack_fits((uint8_t *)&meta, sizeof(meta), &tail, &len)); /* its text is not there */
	assert_false(rt_pack_fits((uint8_t *)&site, sizeof(site), &tail, &len));
	site.len = 0;
	assert_true(rt_pack_fits((uint8_t *)&site, sizeof(site), &tail, &len));
}

/* ---- the same again ---- */

static void assert_same(const struct ledger_said *live, const struct ledger_said *again)
{
	for (int i = 0; i < 3; i++) {
		assert_true(live->len[i] > 100);
		assert_int_equal(live->len[i], again->len[i]);
		assert_memory_equal(live->text[i], again->text[i], live->len[i]);
	}
}

static void test_same(void **state)
{
	struct ledger_said live, again;
	struct rt_replay_result result;
	char why[512];

	(void)state;
	ledger_make(path, 400, false, &live);
	assert_int_equal(ledger_report(path, NULL, &again, &result, why, sizeof(why)), 0);
	assert_true(result.ended);
	assert_null(result.torn);
	assert_same(&live, &again);
	assert_non_null(strstr(live.text[0], "executor after"));
	said_free(&again);
	said_free(&live);
}

/* A tool that is killed leaves no end: what it had said until then comes out, and that there is none is known. */
static void test_killed(void **state)
{
	struct ledger_said live, again;
	struct rt_replay_result result;
	char why[512];

	(void)state;
	ledger_make(path, 40, true, &live);
	assert_int_equal(ledger_report(path, NULL, &again, &result, why, sizeof(why)), 0);
	assert_false(result.ended);
	assert_null(result.torn);
	/* Its last records are there; only when it ended is not known. */
	assert_int_equal(live.len[0], again.len[0]);
	assert_memory_equal(live.text[0], again.text[0], live.len[0]);
	said_free(&again);
	said_free(&live);
}

/* ---- another profile ---- */

static void test_other_profile(void **state)
{
	struct rt_profile *same = ledger_parse(ledger_profile), *other = ledger_parse(ledger_other);
	struct ledger_said live, again;
	struct rt_replay_result result;
	char why[512];

	(void)state;
	ledger_make(path, 64, false, &live);
	/* The same profile by name: every move of the stack is looked at, and none is an edge that was not one. */
	assert_int_equal(ledger_report(path, same, &again, &result, why, sizeof(why)), 0);
	assert_same(&live, &again);
	said_free(&again);
	assert_int_equal(ledger_report(path, other, &again, &result, why, sizeof(why)), 0);
	assert_non_null(strstr(again.text[0], "worker before"));
	assert_non_null(strstr(again.text[0], "weights after")); /* by its source, which was kept: 20 pages each time */
	assert_null(strstr(again.text[0], "small"));
	assert_non_null(strstr(again.text[1], "{\"phase\":\"small\",\"reason\":\"its source was not kept in the ledger\",\"file\":\"/w/v1/small.py\"}"));
	assert_null(strstr(again.text[1], "\"phase\":\"weights\",\"reason\""));
	assert_non_null(strstr(again.text[1], "\"profile\":\"other\""));
	said_free(&again);
	said_free(&live);
	rt_profile_free(same);
	rt_profile_free(other);
}

/* ---- tears ---- */

/* Cut at every byte: an error that says so, or the part before the tear; blocks before it count whole. */
static void test_every_cut(void **state)
{
	struct ledger_said live, again;
	struct rt_replay_result result;
	struct ledger_bytes whole;
	size_t ends = 0, readable = 0, block_at = sizeof(struct rt_ledger_head);
	struct rt_block_head head;
	char why[512];

	(void)state;
	ledger_make(path, 3, false, &live);
	whole = ledger_load(path);
	for (size_t cut = 0; cut < whole.len; cut++) {
		int err;

		while (cut >= block_at + sizeof(head)) {
			memcpy(&head, whole.data + block_at, sizeof(head));
			if (block_at + sizeof(head) + head.stored > cut)
				break;
			block_at += sizeof(head) + head.stored;
		}
		ledger_store(changed, whole.data, cut);
		err = ledger_report(changed, NULL, &again, &result, why, sizeof(why));
		if (err) {
			assert_non_null(strstr(why, changed));
			assert_true(err == -ENOEXEC || err == -ENODATA);
		} else {
			assert_false(result.ended);
			readable++;
			if (cut == block_at) {
				assert_null(result.torn);
				ends++;
			} else {
				assert_string_equal(result.torn, "the last block is cut short");
				assert_true(result.torn_at == block_at);
			}
		}
		said_free(&again);
	}
	assert_true(ends >= 2 && readable > 100);
	free(whole.data);
	said_free(&live);
}

/* A changed byte is found by a checksum, wherever it is. */
static void test_every_byte(void **state)
{
	struct ledger_said live, again;
	struct rt_replay_result result;
	struct ledger_bytes whole;
	char why[512];

	(void)state;
	ledger_make(path, 3, false, &live);
	whole = ledger_load(path);
	for (size_t at = 0; at < whole.len; at++) {
		int err;

		whole.data[at] ^= 0x10;
		ledger_store(changed, whole.data, whole.len);
		whole.data[at] ^= 0x10;
		err = ledger_report(changed, NULL, &again, &result, why, sizeof(why));
		if (!err && !result.torn) {
			/* Build ids and kept sources are not read for this report: a block that is not needed may be damaged. */
			assert_same(&live, &again);
		} else if (err) {
			assert_true(strlen(why) > strlen(changed));
		}
		said_free(&again);
	}
	free(whole.data);
	said_free(&live);
}

/* ---- blocks that are not what they should be ---- */

/* A ledger whose last block but the end is replaced by this one, with right checksums. Returns why it is torn. */
static const char *report_with(const struct ledger_bytes *whole, struct rt_block_head head, const void *payload, struct ledger_said *again)
{
	size_t at = sizeof(struct rt_ledger_head), last = 0, n = 0;
	static char why[512];
	struct rt_replay_result result;
	struct rt_block_head h;
	uint8_t *data = malloc(whole->len + sizeof(head) + head.stored);
	int err;

	while (at < whole->len) {
		memcpy(&h, whole->data + at, sizeof(h));
		if (h.type == RT_BLOCK_END)
			break;
		last = at;
		n = h.number;
		at += sizeof(h) + h.stored;
	}
	assert_true(last);
	memcpy(data, whole->data, at);
	head.magic = RT_BLOCK_MAGIC;
	if (!head.number)
		head.number = (uint32_t)n + 1;
	ledger_seal(&head, payload);
	memcpy(data + at, &head, sizeof(head));
	memcpy(data + at + sizeof(head), payload, head.stored);
	h.number++; /* the end's */
	ledger_seal(&h, whole->data + at + sizeof(h));
	memcpy(data + at + sizeof(head) + head.stored, &h, sizeof(h));
	memcpy(data + at + sizeof(head) + head.stored + sizeof(h), whole->data + at + sizeof(h), h.stored);
	ledger_store(changed, data, whole->len + sizeof(head) + head.stored);
	free(data);
	err = ledger_report(changed, NULL, again, &result, why, sizeof(why));
	assert_int_equal(err, 0);
	assert_int_equal(result.ended, !result.torn);
	return result.torn;
}

static void test_strange_blocks(void **state)
{
	static const uint8_t no_item[] = {RT_ITEM_RECORD, 99}, no_content[] = {RT_ITEM_RECORD | RT_PACK_CONTENT, RT_REC_CODE, 0, 77}, long_raw[] = {RT_ITEM_RAW, 0xff, 0xff, 0xff, 0x7f},
			     unknown_item[] = {0x0f}, backwards[] = {RT_ITEM_FORGET, 5, 5, RT_ITEM_FORGET, 4, 4}, no_text[] = {1, 99, 1, 'x'}, json[] = "{\"now_ns\":[]}", deep[] = "[[[[[[[[[[[[[[[[[[[[[[[[";
	struct ledger_said live, again;
	struct ledger_bytes whole;
	uint8_t bomb[4096], zeros[65536] = {0};
	size_t n;

#define STRANGE(type_, flags_, raw_, payload_) \
	report_with(&whole, (struct rt_block_head){.type = type_, .flags = flags_, .stored = sizeof(payload_), .raw = (uint32_t)(raw_)}, payload_, &again)
	(void)state;
	ledger_make(path, 3, false, &live);
	whole = ledger_load(path);
	/* A type of a later version is skipped. */
	assert_null(STRANGE(77, 0, sizeof(no_item), no_item));
	assert_same(&live, &again);
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_STREAM, 0, sizeof(no_item), no_item), "what a block says is malformed, or more than can be held");
	said_free(&again);
	assert_non_null(STRANGE(RT_BLOCK_STREAM, 0, sizeof(no_content), no_content));
	said_free(&again);
	assert_non_null(STRANGE(RT_BLOCK_STREAM, 0, sizeof(long_raw), long_raw));
	said_free(&again);
	assert_non_null(STRANGE(RT_BLOCK_STREAM, 0, sizeof(unknown_item), unknown_item));
	said_free(&again);
	assert_non_null(STRANGE(RT_BLOCK_STREAM, 0, sizeof(backwards), backwards));
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_KEPT, 0, sizeof(no_text), no_text), "a block of sources is damaged");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_TEXTS, 0, sizeof(long_raw), long_raw), "a block of sources is damaged");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_END, 0, sizeof(json), json), "its end is damaged");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_END, 0, sizeof(deep), deep), "its end is damaged");
	said_free(&again);
	/* Sizes. */
	assert_string_equal(STRANGE(RT_BLOCK_STREAM, 0, 7, no_item), "a block's size is impossible");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_STREAM, RT_BLOCK_ZSTD, UINT32_MAX, no_item), "a block's size is impossible");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_STREAM, RT_BLOCK_ZSTD, RT_LEDGER_RAW_MAX, no_item), "a block's size is impossible");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_STREAM, 8, sizeof(no_item), no_item), "a block is of a kind that this version does not know");
	said_free(&again);
	assert_string_equal(STRANGE(RT_BLOCK_STREAM, RT_BLOCK_ZSTD, 100, no_item), "a block does not decompress");
	said_free(&again);
	/* One that becomes more than it says. */
	n = ZSTD_compress(bomb, sizeof(bomb), zeros, sizeof(zeros), 3);
	assert_false(ZSTD_isError(n));
	assert_string_equal(report_with(&whole, (struct rt_block_head){.type = RT_BLOCK_STREAM, .flags = RT_BLOCK_ZSTD, .stored = (uint32_t)n, .raw = 1000}, bomb, &again),
			    "a block does not decompress");
	said_free(&again);
	assert_string_equal(report_with(&whole, (struct rt_block_head){.type = RT_BLOCK_STREAM, .flags = RT_BLOCK_ZSTD, .stored = (uint32_t)n, .raw = sizeof(zeros) + 1}, bomb, &again),
			    "a block does not decompress");
	said_free(&again);
	assert_string_equal(report_with(&whole, (struct rt_block_head){.type = 77, .stored = 1, .raw = 1, .number = 500}, no_item, &again), "a block is missing");
	said_free(&again);
	free(whole.data);
	said_free(&live);
}

/* What decides sums or is shown as it is: the first block and the end are checked for it. */
static void test_strange_facts(void **state)
{
	static const char *const facts[] = {
		"{\"page_size\":0,\"window_ns\":1,\"wall_offset_ns\":0,\"mappings\":true,\"ignore_mute\":false}",
		"{\"page_size\":4095,\"window_ns\":1,\"wall_offset_ns\":0,\"mappings\":true,\"ignore_mute\":false}",
		"{\"page_size\":1099511627776,\"window_ns\":1,\"wall_offset_ns\":0,\"mappings\":true,\"ignore_mute\":false}",
		"{\"page_size\":4096,\"window_ns\":-1,\"wall_offset_ns\":0,\"mappings\":true,\"ignore_mute\":false}",
		"{\"page_size\":4096,\"window_ns\":1,\"wall_offset_ns\":0,\"mappings\":1,\"ignore_mute\":false}",
		"{\"page_size\":4096,\"page_size\":4096,\"window_ns\":1,\"wall_offset_ns\":0,\"mappings\":true,\"ignore_mute\":false}",
		"[]", "",
	};
	static const char end[] = "{\"now_ns\":1,\"counters\":{},\"mm_source\":\"\\u001b[2J\",\"mm_hook\":\"\",\"mm_exact\":true,\"bpf_ns\":1,\"bpf_runs\":1,\"user_ns\":1,\"sys_ns\":1,"
				  "\"rss_bytes\":1,\"map_bytes\":1,\"programs\":[]}";
	struct rt_ledger_facts read;
	struct rt_ledger_end ended;
	json_t *keep;

	(void)state;
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		assert_int_equal(rt_ledfacts_read((const uint8_t *)facts[i], strlen(facts[i]), &read), -EINVAL);
	assert_int_equal(rt_ledfacts_read_end((const uint8_t *)end, sizeof(end) - 1, &ended, &keep), -EINVAL);
}

static void test_no_ledger(void **state)
{
	struct rt_ledger_head head = {.version = RT_LEDGER_VERSION + 1, .abi = RT_ABI_VERSION};
	struct rt_replay_result result;
	struct ledger_said said;
	char why[512];

	(void)state;
	assert_int_equal(ledger_report("/no/such/ledger", NULL, &said, &result, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/no/such/ledger: No such file or directory; give a ledger that `ramtrack-bpf record` or --record wrote and you may read");
	assert_int_equal(ledger_report("/tmp", NULL, &said, &result, why, sizeof(why)), -ENOEXEC);
	assert_int_equal(ledger_report("/dev/zero", NULL, &said, &result, why, sizeof(why)), -ENOEXEC);
	ledger_store(changed, "not a ledger at all", 19);
	assert_int_equal(ledger_report(changed, NULL, &said, &result, why, sizeof(why)), -ENOEXEC);
	memcpy(head.magic, RT_LEDGER_MAGIC, RT_LEDGER_MAGIC_LEN);
	ledger_store(changed, &head, sizeof(head));
	assert_int_equal(ledger_report(changed, NULL, &said, &result, why, sizeof(why)), -EPROTO);
	assert_non_null(strstr(why, "version 2.1"));
	head.version = RT_LEDGER_VERSION;
	ledger_store(changed, &head, sizeof(head));
	assert_int_equal(ledger_report(changed, NULL, &said, &result, why, sizeof(why)), -ENODATA);
}

/* A file that is changed between the two looks at a block's header: a payload said to be packed is said to be plain now, and is shorter than what callers were told. */
static void test_changed_meanwhile(void **state)
{
	struct ledger_said live;
	struct rt_ledblock block;
	struct rt_ledger *ledger;
	uint16_t plain = 0;
	char why[512];
	int fd;

	(void)state;
	ledger_make(path, 400, true, &live);
	said_free(&live);
	assert_int_equal(rt_ledger_open(path, &ledger, why, sizeof(why)), 0);
	do
		assert_int_equal(rt_ledger_next(ledger, &block), 1);
	while (block.stored == block.raw);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, &plain, sizeof(plain), (off_t)(block.at + offsetof(struct rt_block_head, flags))), sizeof(plain));
	close(fd);
	assert_null(rt_ledger_read(ledger, &block));
	assert_int_equal(rt_ledger_next(ledger, &block), 0);
	rt_ledger_close(ledger);
}

/* What a ledger without an end says of losses stands at these numbers: of RSS events, lost runs, missing room and lost calls, for one kept by any version. */
static_assert(RT_C_RSS_EVENTS == 0 && RT_C_LOST_RUN == 4 && RT_C_LOST_LIFE == 7 && RT_C_NO_SLOT == 12 && RT_C_CODE_REUSED == 13 && RT_C_LOST_NATIVE == 33, "rt_counter");

/* ---- writing ---- */

/* The disk is full in the middle: the error is known, nothing more is written, and what was is whole. */
static void test_full_disk(void **state)
{
	struct rlimit before, small = {.rlim_cur = 3000};
	struct ledger_said said, again;
	struct rt_replay_result result;
	struct ledger_live live;
	char why[512];

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	live_open(&live, path, &said);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	live.k->mute_tape = true;
	live_scenario(&live, 12000); /* a block is full several times */
	rt_recorder_tick(live.recorder, UINT64_MAX / 2, NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(rt_recorder_error(live.recorder), -EFBIG);
	rt_recorder_free(live.recorder);
	rt_account_free(live.k->account);
	rt_profile_free(live.profile);
	free(live.k->tape);
	free(live.k);
	said_free(&said);
	assert_true(lseek(live.fd, 0, SEEK_END) <= 3000);
	close(live.fd);
	assert_int_equal(ledger_report(path, NULL, &again, &result, why, sizeof(why)), 0);
	assert_null(result.torn); /* the half block was cut off */
	assert_false(result.ended);
	said_free(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	      cmocka_unit_test(test_pack_random),    cmocka_unit_test(test_pack_refuses),  cmocka_unit_test(test_same),
		cmocka_unit_test(test_killed),	      cmocka_unit_test(test_other_profile),  cmocka_unit_test(test_every_cut),	    cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_strange_blocks), cmocka_unit_test(test_strange_facts), cmocka_unit_test(test_no_ledger), cmocka_unit_test(test_changed_meanwhile),	    cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
