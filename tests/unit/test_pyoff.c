/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * CPython layouts. The tables themselves are checked against the headers by check_pyoff.py; here: what a real
 * interpreter says of itself, and that everything which is not understood is refused with a reason.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pyoff.h"

#define COOKIE 0x7970677562656478ull /* "xdebugpy" */
#define WORDS (RT_PYOFF_DEBUG_LEN / 8)

/* As dumped from the memory of interpreters: Debian's 3.13.5, 3.14.10 and 3.15.2, and free-threaded ones. */
static const uint64_t deb313[WORDS] = {
	COOKIE, 51185136, 0,
	283376, 608, 632,
	194976, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16, 7752, 0, 7768, 7760,
	304, 0, 8, 16, 72, 152, 160, 232, 32,
	80, 8, 0, 56, 72, 70,
	208, 112, 120, 128, 136, 68, 52, 96, 104, 200,
	16, 8,
	416, 24, 88, 168,
	32, 24, 16,
	40, 24, 16,
	48, 32, 40,
	24, 16,
	32, 16, 24,
	40, 16, 32,
	64, 32, 16, 40,
	240, 200,
};
static const uint64_t ft313[WORDS] = {
	COOKIE, 51184368, 1,
	328320, 608, 632,
	215616, 7272, 7264, 7344, 7400, 7664, 7648, 7656, 16, 7760, 0, 7784, 7776,
	304, 0, 8, 16, 72, 152, 160, 232, 32,
	80, 8, 0, 56, 72, 70,
	224, 128, 136, 144, 152, 84, 68, 112, 120, 216,
	32, 24,
	432, 40, 104, 184,
	48, 40, 32,
	56, 40, 32,
	64, 48, 56,
	40, 32,
	48, 32, 40,
	56, 32, 48,
	80, 48, 32, 56,
	248, 200,
};

static const uint64_t deb314[WORDS] = {
	COOKIE, 51251952,
	0,
	316616, 784, 808,
	225864, 7280, 7272, 7344, 7360, 7408, 7688, 7672, 7680, 16, 7784, 0, 7800, 7792, 7992, 0,
	832, 0, 8, 16, 72, 152, 160, 232, 32,
	88, 8, 0, 56, 80, 74, 64, 0,
	216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0,
	16, 8,
	416, 24, 88, 168,
	40, 32, 16,
	40, 24, 16,
	200, 24, 40, 32,
	48, 32, 40,
	24, 16,
	32, 16, 24,
	40, 16, 32,
	64, 32, 16, 40,
	264, 192,
	160, 24, 72, 67,
	0, 8,
	24, 304, 8076, 0, 4, 512,
};
static const uint64_t deb315[WORDS] = {
	COOKIE, 51315440,
	0,
	346568, 912, 936,
	226240, 7272, 7264, 7336, 7352, 7400, 7592, 7576, 7584, 16, 7736, 0, 7752, 7744, 7944, 0,
	888, 0, 8, 16, 72, 80, 88, 96, 176, 184, 256, 32, 36, 40, 136, 288,
	0,
	88, 8, 0, 56, 80, 74, 64, 0,
	216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0,
	16, 8,
	424, 24, 88, 168, 32, 288,
	944, 888,
	40, 32, 16,
	40, 24, 16,
	200, 24, 40, 32,
	48, 32, 40,
	24, 16,
	32, 16, 24,
	40, 16, 32,
	64, 32, 16, 40, 56,
	176, 112, 120, 1120, 104,
	160, 24, 72, 67,
	0, 8,
	24, 344, 8028, 0, 4, 512,
};
static const uint64_t ft314[WORDS] = {
	COOKIE, 51251696,
	1,
	362368, 784, 808,
	246720, 7280, 7272, 7344, 7360, 7408, 7712, 7696, 7704, 16, 7808, 0, 7832, 7824, 8024, 17628,
	832, 0, 8, 16, 72, 152, 160, 232, 32,
	88, 8, 0, 56, 80, 78, 64, 72,
	240, 128, 136, 144, 152, 84, 68, 112, 120, 232, 224,
	32, 24,
	432, 40, 104, 184,
	56, 48, 32,
	56, 40, 32,
	216, 40, 56, 48,
	64, 48, 56,
	40, 32,
	48, 32, 40,
	56, 32, 48,
	80, 48, 32, 56,
	288, 192,
	176, 40, 88, 83,
	0, 8,
	24, 304, 8108, 0, 4, 512,
};
static const uint64_t ft315[WORDS] = {
	COOKIE, 51315184,
	1,
	406016, 912, 936,
	247040, 7272, 7264, 7336, 7352, 7400, 7592, 7576, 7584, 16, 7736, 0, 7760, 7752, 7952, 17564,
	888, 0, 8, 16, 72, 80, 88, 96, 176, 184, 256, 32, 36, 40, 136, 288,
	0,
	88, 8, 0, 56, 80, 78, 64, 72,
	240, 128, 136, 144, 152, 84, 68, 112, 120, 232, 224,
	32, 24,
	440, 40, 104, 184, 48, 304,
	968, 904,
	56, 48, 32,
	56, 40, 32,
	216, 40, 56, 48,
	64, 48, 56,
	40, 32,
	48, 32, 40,
	56, 32, 48,
	80, 48, 32, 56, 72,
	176, 112, 120, 224, 104,
	176, 40, 88, 83,
	0, 8,
	24, 344, 8036, 0, 4, 512,
};

static char err[512];

static int from_debug(const uint64_t *words, size_t len, struct rt_pyoff *out)
{
	err[0] = '\0';
	return rt_pyoff_from_debug((const uint8_t *)words, len, out, err, sizeof(err));
}

static void test_debug_offsets(void **state)
{
	/* offsetof in the headers of 3.13 */
	const struct rt_pyoff want = {
		.version = 3 << 8 | 13,
		.flags = 0,
		.runtime_interp_head = 632,
		.interp_next = 7264,
		.interp_threads_head = 7344,
		.tstate_next = 8,
		.tstate_thread_id = 152,
		.tstate_frame = 72,
		.cframe_frame = 0,
		.frame_bytes = 72,
		.frame_code = 0,
		.frame_previous = 8,
		.frame_instr = 56,
		.frame_owner = 70,
		.frame_func = 16,
		.frame_globals = 24,
		.owner_shim = 3,
		.code_firstlineno = 68,
		.code_version = 92,
		.code_filename = 112,
		.code_name = 120,
		.code_qualname = 128,
		.code_linetable = 136,
		.code_adaptive = 200,
		.ob_type = 8,
		.bytes_size = 16,
		.bytes_data = 32,
		.str_length = 16,
		.str_hash = 24,
		.str_state = 32,
		.str_kind_shift = 2,
		.str_ascii_data = 40,
		.str_compact_data = 56,
	};
	struct rt_pyoff off;
	(void)state;

	memset(&off, 0xee, sizeof(off));
	assert_int_equal(from_debug(deb313, sizeof(deb313), &off), 0);
	assert_memory_equal(&off, &want, sizeof(want));
}

/* What differs in newer and in free-threaded builds: offsetof, measured with their headers. */
static void test_builds(void **state)
{
	static const struct {
		const uint64_t *words;
		unsigned int version, flags, interp_head, threads_head, thread_id, owner, tlbc, firstlineno, co_version, qualname, adaptive, co_tlbc, ob_type, state, shift,
			compact, tag, bytes;
	} want[] = {
		{ft313, 0x30d, 8, 632, 7344, 152, 70, 0, 84, 108, 144, 216, 0, 24, 48, 2, 72, 0, 72},
		{deb314, 0x30e, 0, 808, 7344, 152, 74, 0, 68, 92, 128, 208, 0, 8, 32, 2, 56, 3, 80},
		{ft314, 0x30e, 8, 808, 7344, 152, 78, 72, 84, 108, 144, 232, 224, 24, 48, 8, 72, 3, 80},
		{deb315, 0x30f, 0, 936, 7336, 176, 74, 0, 68, 92, 128, 208, 0, 8, 32, 2, 56, 3, 80},
		{ft315, 0x30f, 8, 936, 7336, 176, 78, 72, 84, 108, 144, 232, 224, 24, 48, 8, 72, 3, 80},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct rt_pyoff off;

		if (from_debug(want[i].words, sizeof(deb313), &off))
			fail_msg("%zu: %s", i, err);
		assert_int_equal(off.version, want[i].version);
		assert_int_equal(off.flags, want[i].flags);
		assert_int_equal(off.runtime_interp_head, want[i].interp_head);
		assert_int_equal(off.interp_threads_head, want[i].threads_head);
		assert_int_equal(off.tstate_thread_id, want[i].thread_id);
		assert_int_equal(off.frame_owner, want[i].owner);
		assert_int_equal(off.frame_tlbc, want[i].tlbc);
		assert_int_equal(off.frame_bytes, want[i].bytes);
		assert_int_equal(off.code_tag, want[i].tag);
		assert_int_equal(off.code_firstlineno, want[i].firstlineno);
		assert_int_equal(off.code_version, want[i].co_version);
		assert_int_equal(off.code_qualname, want[i].qualname);
		assert_int_equal(off.code_adaptive, want[i].adaptive);
		assert_int_equal(off.code_tlbc, want[i].co_tlbc);
		assert_int_equal(off.ob_type, want[i].ob_type);
		assert_int_equal(off.str_state, want[i].state);
		assert_int_equal(off.str_kind_shift, want[i].shift);
		assert_int_equal(off.str_compact_data, want[i].compact);
	}
}

static void test_refused(void **state)
{
	struct rt_pyoff off, before;
	uint64_t words[WORDS];
	(void)state;

	memset(&off, 0xee, sizeof(off));
	before = off;
	/* without its flag: what it says does not fit a build with a GIL, and the other way round */
	memcpy(words, ft313, sizeof(words));
	words[2] = 0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	memcpy(words, deb313, sizeof(words));
	words[2] = 1;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	words[2] = 2;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	/* no debug offsets: 3.12 and older begin with something else */
	memcpy(words, deb313, sizeof(words));
	words[0] ^= 1;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	/* other versions have other fields in other places */
	memcpy(words, deb313, sizeof(words));
	words[1] = 0x030e0af0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	memcpy(words, deb315, sizeof(words));
	words[1] = 0x030e0af0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	memcpy(words, deb313, sizeof(words));
	words[1] = 0x030c01f0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	words[1] = 0x040d00f0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -ENOTSUP);
	assert_non_null(strstr(err, "newer ramtrack-bpf"));
	words[1] = 1ull << 40 | 0x030d05f0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	for (size_t len = 0; len < sizeof(deb313); len++)
		assert_true(from_debug(deb313, len, &off) < 0);
	assert_memory_equal(&off, &before, sizeof(off));
}

/* A version newer than all that is known is read as the last one; whether that is right, a look at its frames has to tell (pycheck.h). */
static void test_newer(void **state)
{
	struct rt_pyoff off, last;
	uint64_t words[WORDS];
	(void)state;

	assert_int_equal(from_debug(deb315, sizeof(deb315), &last), 0);
	memcpy(words, deb315, sizeof(words));
	words[1] = 0x031002f0;
	assert_int_equal(from_debug(words, sizeof(words), &off), 0);
	assert_int_equal(off.version, 0x310);
	off.version = last.version;
	assert_memory_equal(&off, &last, sizeof(off));
	assert_true(rt_pyoff_is_newer(0x031002f0));
	assert_true(rt_pyoff_is_newer(0x030f00a1));
	assert_false(rt_pyoff_is_newer(0x030f00c1));
	assert_false(rt_pyoff_is_newer(0x030f02f0));
	assert_false(rt_pyoff_is_newer(0x030800f0));
}

/* Every offset that is used, one at a time, put where its struct has ended. */
static void test_out_of_bounds(void **state)
{
	static const struct {
		unsigned int word, size;
	} used[] = {
		{5, 3},	  {8, 6},   {9, 6},   {21, 19}, {23, 19}, {24, 19}, {29, 28}, {30, 28},
		{31, 28}, {33, 28}, {35, 34}, {36, 34}, {37, 34}, {38, 34}, {39, 34}, {43, 34},
		{45, 44}, {65, 64}, {66, 64}, {68, 67}, {69, 67}, {70, 67},
	};
	struct rt_pyoff off, same;
	(void)state;

	assert_int_equal(from_debug(deb313, sizeof(deb313), &same), 0);
	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
		const uint64_t bad[] = {deb313[used[i].size], UINT64_MAX, UINT64_MAX - 7, 1ull << 32, 1 << 16};
		uint64_t words[WORDS];

		for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
			memcpy(words, deb313, sizeof(words));
			words[used[i].word] = bad[k];
			if (from_debug(words, sizeof(words), &off) != -EINVAL)
				fail_msg("word %u: %llu was taken", used[i].word, (unsigned long long)bad[k]);
			assert_true(strlen(err) > 20);
		}
		memcpy(words, deb313, sizeof(words));
		words[used[i].size] = UINT64_MAX;
		assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
		/* and it is really this word that is used: one step aside gives another layout, or is refused */
		memcpy(words, deb313, sizeof(words));
		words[used[i].word] += 8;
		assert_true(from_debug(words, sizeof(words), &off) == -EINVAL || memcmp(&off, &same, sizeof(off)));
	}
}

static void test_versions(void **state)
{
	struct rt_pyoff off;
	char text[24];
	bool from_debug;
	(void)state;

	for (unsigned int minor = 0; minor < 20; minor++) {
		bool table = minor >= 8 && minor <= 12;

		assert_int_equal(rt_pyoff_by_version(3, minor, &off), table ? 0 : -ENOTSUP);
		if (table)
			assert_int_equal(off.version, 3 << 8 | minor);
		assert_int_equal(rt_pyoff_by_version(2, minor, &off), -ENOTSUP);
		assert_int_equal(rt_pyoff_supported(3u << 24 | minor << 16 | 0x1f0, &from_debug, err, sizeof(err)),
				 minor >= 8 ? 0 : -ENOTSUP);
		if (minor >= 8)
			assert_int_equal(from_debug, minor >= 13);
	}
	assert_int_equal(rt_pyoff_supported(0x040b00f0, &from_debug, err, sizeof(err)), -ENOTSUP);
	assert_int_equal(rt_pyoff_supported(0x030b00a7, &from_debug, err, sizeof(err)), -ENOTSUP);
	assert_int_equal(rt_pyoff_supported(0x030b00c1, &from_debug, err, sizeof(err)), 0);
	rt_pyoff_version_text(0x030b07f0, text, sizeof(text));
	assert_string_equal(text, "3.11.7");
	rt_pyoff_version_text(0x030d00c2, text, sizeof(text));
	assert_string_equal(text, "3.13.0rc2");
	rt_pyoff_version_text(0xffffffff, text, sizeof(text));
	assert_string_equal(text, "255.255.255");
	rt_pyoff_version_text(0xffffff7e, text, sizeof(text));
	assert_string_equal(text, "255.255.255?14");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_debug_offsets),
		cmocka_unit_test(test_builds),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_out_of_bounds),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests_name("pyoff", tests, NULL, NULL);
}
