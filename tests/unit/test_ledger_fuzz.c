/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Changed ledgers under the sanitizers: each gives an error that names the file, or a report; none takes long.
 *
 * Most changes are made behind the checksums, which are made right again, so that what is tested is not the checksum. RT_FUZZ_RUNS and RT_FUZZ_SEED choose how many and which
 * (`make fuzz`).
 */
#include "ledger_kit.h"

#include <sys/mman.h>
#include <time.h>

#include <zstd.h>

#include "diff_out.h"
#include "profile.h"

#define RUNS 5000
#define BLOCKS 256

struct fuzz_block {
	struct rt_block_head head;
	uint8_t *raw;
	size_t len;
};

struct fuzz {
	uint64_t seed;
	struct fuzz_block base[BLOCKS];
	size_t n;
	uint8_t *out;
	size_t out_len, out_cap;
};

static uint32_t any(struct fuzz *f, uint32_t below)
{
	f->seed = f->seed * 6364136223846793005ull + 1442695040888963407ull;
	return below ? (uint32_t)(f->seed >> 33) % below : 0;
}

/* The blocks of a ledger, decompressed. */
static void fuzz_load(struct fuzz *f, const char *path)
{
	struct ledger_bytes whole = ledger_load(path);
	size_t at = sizeof(struct rt_ledger_head);

	while (at < whole.len && f->n < BLOCKS) {
		struct fuzz_block *b = &f->base[f->n++];

		memcpy(&b->head, whole.data + at, sizeof(b->head));
		b->len = b->head.raw;
		b->raw = malloc(b->len + 1);
		if (b->head.flags & RT_BLOCK_ZSTD)
			assert_int_equal(ZSTD_decompress(b->raw, b->len, whole.data + at + sizeof(b->head), b->head.stored), b->len);
		else
			memcpy(b->raw, whole.data + at + sizeof(b->head), b->len);
		at += sizeof(b->head) + b->head.stored;
	}
	assert_true(at == whole.len && f->n > 6);
	free(whole.data);
}

static void fuzz_put(struct fuzz *f, const void *bytes, size_t len)
{
	if (f->out_len + len > f->out_cap) {
		f->out_cap = 2 * (f->out_len + len);
		f->out = realloc(f->out, f->out_cap);
		assert_non_null(f->out);
	}
	memcpy(f->out + f->out_len, bytes, len);
	f->out_len += len;
}

/* Numbers that are near limits, in the form that items have them. */
static size_t fuzz_number(struct fuzz *f, uint8_t *at)
{
	static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 255, 4096, 65535, 65536, 1 << 20, (1 << 20) + 1, 16 << 20, (20u << 20) + 1, INT32_MAX, UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX};

	return (size_t)(rt_pack_put(at, edges[any(f, sizeof(edges) / sizeof(edges[0]))]) - at);
}

/* Changes a payload in one to four places. Returns its new length, at most len + 64. */
static size_t fuzz_change(struct fuzz *f, uint8_t *raw, size_t len)
{
	uint8_t number[16];

	for (uint32_t i = 1 + any(f, 4); i && len; i--) {
		uint32_t at = any(f, (uint32_t)len), n = 1 + any(f, 16);

		n = n > len - at ? (uint32_t)(len - at) : n;
		switch (any(f, 6)) {
		case 0:
			raw[at] ^= (uint8_t)(1u << any(f, 8));
			break;
		case 1:
			raw[at] = (uint8_t)any(f, 256);
			break;
		case 2: /* cut out */
			memmove(raw + at, raw + at + n, len - at - n);
			len -= n;
			break;
		case 3: /* doubled */
			memmove(raw + at + n, raw + at, len - at);
			len += n;
			break;
		case 4: /* cut short */
			len = any(f, 8) ? len : at;
			break;
		case 5:
			n = (uint32_t)fuzz_number(f, number);
			n = n > len - at ? (uint32_t)(len - at) : n;
			memcpy(raw + at, number, n);
			break;
		}
	}
	return len;
}

/* A header that does not fit its payload. */
static void fuzz_head(struct fuzz *f, struct rt_block_head *head)
{
	static const uint32_t sizes[] = {0, 1, 31, 4096, RT_LEDGER_RAW_MAX, RT_LEDGER_RAW_MAX + 1, INT32_MAX, UINT32_MAX};

	switch (any(f, 5)) {
	case 0:
		head->raw = sizes[any(f, 8)];
		break;
	case 1:
		head->stored = sizes[any(f, 8)];
		break;
	case 2:
		head->type = (uint16_t)any(f, 12);
		break;
	case 3:
		head->flags = (uint16_t)any(f, 4);
		break;
	case 4:
		head->number = any(f, 8);
		break;
	}
}

static void fuzz_make(struct fuzz *f)
{
	struct rt_ledger_head start = {.version = RT_LEDGER_VERSION, .abi = RT_ABI_VERSION};
	uint32_t hit = any(f, (uint32_t)f->n), how = any(f, 16), number = 0;

	memcpy(start.magic, RT_LEDGER_MAGIC, RT_LEDGER_MAGIC_LEN);
	f->out_len = 0;
	fuzz_put(f, &start, sizeof(start));
	for (size_t i = 0; i < f->n; i++) {
		const struct fuzz_block *b = &f->base[i];
		uint8_t *raw = malloc(b->len + 128);
		struct rt_block_head head = b->head;
		size_t len = b->len;
		uint32_t times = 1;

		memcpy(raw, b->raw, len);
		/* Most of what there is to be got wrong is in the items. */
		if (i == hit || (how > 4 && b->head.type == RT_BLOCK_STREAM && any(f, 2)))
			len = fuzz_change(f, raw, len);
		if (i == hit && how == 0)
			times = any(f, 3); /* left out, or twice */
		head.flags = 0;
		head.stored = head.raw = (uint32_t)len;
		for (; times; times--) {
			head.number = number++;
			if (i == hit && how == 1)
				fuzz_head(f, &head);
			head.crc = (uint32_t)crc32(0, raw, (uInt)len);
			head.head_crc = (uint32_t)crc32(0, (const Bytef *)&head, offsetof(struct rt_block_head, head_crc));
			fuzz_put(f, &head, sizeof(head));
			fuzz_put(f, raw, len);
		}
		free(raw);
	}
	if (how == 2) /* as the disk may leave it */
		f->out[any(f, (uint32_t)f->out_len)] ^= (uint8_t)(1u << any(f, 8));
	if (how == 3)
		f->out_len = any(f, (uint32_t)f->out_len + 1);
}

static uint64_t fuzz_env(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static bool fuzz_replay(const char *path, struct rt_replay **replay, struct rt_replay_result *result)
{
	struct rt_replay_config config = {.path = path, .want_stacks = true};
	char why[2048];

	*replay = NULL;
	return !rt_replay_open(&config, replay, why, sizeof(why)) && !rt_replay_run(*replay, result, why, sizeof(why));
}

/* Against the ledger that it was made from, both ways: every output, and budgets on the difference. */
static void fuzz_compare(const char *good, const char *path, bool turned)
{
	static int (*const write[])(FILE *out, enum rt_lang lang, const struct rt_diff *diff) = {rt_diff_text, rt_diff_json, rt_diff_html};
	const char *file[] = {turned ? path : good, turned ? good : path};
	struct rt_replay *replay[2] = {NULL};
	struct rt_replay_result result[2];
	struct rt_diff_run runs[2];
	struct rt_diff_config config = {.runs = runs, .n_runs = 2};
	struct rt_bexpr_error error;
	struct rt_bexpr *expr = rt_bexpr_parse("diff.growth > 5% or diff.role('*').phase('*').growth > 1M or phase('*').peak < 0", &error);

	if (fuzz_replay(file[0], &replay[0], &result[0]) && fuzz_replay(file[1], &replay[1], &result[1])) {
		const struct rt_summary *old[] = {result[0].summary};
		struct rt_bworld world = {.profile = result[1].profile, .summary = result[1].summary, .old = old, .n_old = 1, .growth = rt_noise_growth};
		struct rt_diff *diff;

		for (int i = 0; i < 2; i++)
			runs[i] = (struct rt_diff_run){.file = file[i], .summary = result[i].summary, .profile = result[i].profile};
		diff = rt_diff_new(&config);
		assert_non_null(diff);
		for (size_t i = 0; i < sizeof(write) / sizeof(write[0]); i++) {
			char *text = NULL;
			size_t len;
			FILE *out = open_memstream(&text, &len);

			assert_int_equal(write[i](out, RT_LANG_EN, diff), 0);
			fclose(out);
			assert_true(len > 100);
			free(text);
		}
		world.pairs = diff->pairs;
		world.n_pairs = diff->n_procs;
		rt_bexpr_judge(expr, &world, NULL);
		rt_diff_free(diff);
	}
	rt_bexpr_free(expr);
	rt_replay_free(replay[0]);
	rt_replay_free(replay[1]);
}

static void test_changed_ledgers(void **state)
{
	static const char *const ways[] = {"refused", "torn", "without end", "whole"};
	uint64_t runs = fuzz_env("RT_FUZZ_RUNS", RUNS), seed = fuzz_env("RT_FUZZ_SEED", 1), seen[4] = {0};
	struct fuzz *f = calloc(1, sizeof(*f));
	struct rt_profile *other = ledger_parse(ledger_other);
	int fd = memfd_create("ledger", MFD_CLOEXEC), good_fd = memfd_create("good", MFD_CLOEXEC);
	struct ledger_said said;
	char path[64], good[64], why[2048];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(good, sizeof(good), "/proc/self/fd/%d", good_fd);
	ledger_make(good, 24, false, &said);
	said_free(&said);
	ledger_make(path, 24, false, &said);
	said_free(&said);
	fuzz_load(f, path);
	for (uint64_t i = 0; i < runs; i++) {
		struct rt_replay_result result;
		struct timespec before, after;
		int err;

		f->seed = (seed + i) * 0x9e3779b97f4a7c15ull;
		fuzz_make(f);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, f->out, f->out_len, 0), f->out_len);
		clock_gettime(CLOCK_MONOTONIC, &before);
		err = ledger_report(path, i & 1 ? other : NULL, &said, &result, why, sizeof(why));
		clock_gettime(CLOCK_MONOTONIC, &after);
		said_free(&said);
		if (!err && i % 8 < 2)
			fuzz_compare(good, path, i % 8);
		if (after.tv_sec - before.tv_sec > 20)
			fail_msg("RT_FUZZ_SEED=%llu RT_FUZZ_RUNS=1: it took %ld s", (unsigned long long)(seed + i), (long)(after.tv_sec - before.tv_sec));
		if (err)
			assert_non_null(strstr(why, path));
		seen[err ? 0 : result.torn ? 1 : result.ended ? 3 : 2]++;
	}
	for (int i = 0; i < 4; i++) {
		printf("%s: %llu\n", ways[i], (unsigned long long)seen[i]);
		if (runs >= RUNS)
			assert_true(seen[i] > runs / 500); /* all ways are come to, or the changes are none */
	}
	for (size_t i = 0; i < f->n; i++)
		free(f->base[i].raw);
	free(f->out);
	free(f);
	rt_profile_free(other);
	close(fd);
	close(good_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changed_ledgers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
