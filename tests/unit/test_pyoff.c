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

/* As dumped from the memory of two interpreters: Debian's 3.13.5, and a free-threaded 3.13.2. */
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
		.str_ascii_data = 40,
		.str_compact_data = 56,
	};
	struct rt_pyoff off;
	(void)state;

	memset(&off, 0xee, sizeof(off));
	assert_int_equal(from_debug(deb313, sizeof(deb313), &off), 0);
	assert_memory_equal(&off, &want, sizeof(want));
}

static void test_refused(void **state)
{
	struct rt_pyoff off, before;
	uint64_t words[WORDS];
	(void)state;

	memset(&off, 0xee, sizeof(off));
	before = off;
	assert_int_equal(from_debug(ft313, sizeof(ft313), &off), -ENOTSUP);
	assert_string_equal(err,
			    "CPython 3.13.2 is a free-threaded build, which this version of ramtrack-bpf cannot read; "
			    "run the program with the regular build (the one with a GIL)");
	/* the same without its flag: what it says does not fit a build with a GIL */
	memcpy(words, ft313, sizeof(words));
	words[2] = 0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	/* no debug offsets: 3.12 and older begin with something else */
	memcpy(words, deb313, sizeof(words));
	words[0] ^= 1;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	/* other versions have other fields in other places */
	memcpy(words, deb313, sizeof(words));
	words[1] = 0x030e0af0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -ENOTSUP);
	assert_non_null(strstr(err, "CPython 3.14.10: its memory layout is not known"));
	assert_non_null(strstr(err, "3.11 to 3.13"));
	assert_non_null(strstr(err, "newer ramtrack-bpf"));
	words[1] = 0x030d00b1;
	assert_int_equal(from_debug(words, sizeof(words), &off), -ENOTSUP);
	assert_non_null(strstr(err, "CPython 3.13.0b1 is a pre-release"));
	words[1] = 0x030c01f0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	words[1] = 1ull << 40 | 0x030d05f0;
	assert_int_equal(from_debug(words, sizeof(words), &off), -EINVAL);
	for (size_t len = 0; len < sizeof(deb313); len++)
		assert_true(from_debug(deb313, len, &off) < 0);
	assert_memory_equal(&off, &before, sizeof(off));
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
		bool table = minor == 11 || minor == 12;

		assert_int_equal(rt_pyoff_by_version(3, minor, &off), table ? 0 : -ENOTSUP);
		if (table)
			assert_int_equal(off.version, 3 << 8 | minor);
		assert_int_equal(rt_pyoff_by_version(2, minor, &off), -ENOTSUP);
		assert_int_equal(rt_pyoff_supported(3u << 24 | minor << 16 | 0x1f0, &from_debug, err, sizeof(err)),
				 table || minor == 13 ? 0 : -ENOTSUP);
		if (table || minor == 13)
			assert_int_equal(from_debug, minor == 13);
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
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_out_of_bounds),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests_name("pyoff", tests, NULL, NULL);
}
