/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The check of a layout, and the search for an interpreter without symbols, over memory that is made here: a good one passes, and whatever is not as it should be does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pycheck.h"
#include "pyoff.h"
#include "pysearch.h"

#define BASE 0x7f0000000000ull
#define SIZE (1u << 18)
#define FRAMES 4

static struct {
	uint8_t bytes[SIZE];
	size_t used;
	struct rt_pyoff off;
	uint64_t runtime, interp, tstate, tip, code, file, name, table, code_type, str_type;
} m;
static char err[256];

static int read_memory(void *ctx, uint64_t addr, void *buf, size_t len)
{
	if (addr < BASE || addr - BASE > SIZE || len > SIZE - (addr - BASE))
		return -EFAULT;
	memcpy(buf, m.bytes + (addr - BASE), len);
	return 0;
}

static const struct rt_pymem mem = {read_memory, NULL};

static uint64_t make(size_t len)
{
	uint64_t at = BASE + m.used;

	m.used += (len + 15) & ~(size_t)15;
	assert_true(m.used < SIZE);
	return at;
}

static void put(uint64_t addr, uint64_t value)
{
	memcpy(m.bytes + (addr - BASE), &value, sizeof(value));
}

static void put32(uint64_t addr, uint32_t value)
{
	memcpy(m.bytes + (addr - BASE), &value, sizeof(value));
}

static uint64_t make_type(const char *name)
{
	uint64_t at = make(64), text = make(16);

	strcpy((char *)m.bytes + (text - BASE), name);
	put(at + m.off.ob_type + 16, text);
	return at;
}

static uint64_t make_str(uint64_t type, const char *text)
{
	uint64_t at = make(m.off.str_ascii_data + strlen(text) + 1);

	put(at + m.off.ob_type, type);
	put(at + m.off.str_length, strlen(text));
	put32(at + m.off.str_state, (1u | 1u << 3 | 1u << 4) << m.off.str_kind_shift);
	strcpy((char *)m.bytes + (at - BASE) + m.off.str_ascii_data, text);
	return at;
}

/* A 3.9, or a 3.15: one thread, four frames of one function. */
static void make_python(unsigned int minor)
{
	uint64_t frame = 0;

	memset(&m, 0, sizeof(m));
	assert_int_equal(rt_pyoff_by_version(3, minor, &m.off), 0);
	make(64);
	strcpy((char *)m.bytes + 16, minor == 9 ? "3.9.2 (default, x)" : "3.12.1 (main, x)");
	m.runtime = make(4096);
	m.interp = make(4096);
	m.tstate = make(512);
	m.code_type = make_type("code");
	m.str_type = make_type("str");
	m.file = make_str(m.str_type, "/srv/a.py");
	m.name = make_str(m.str_type, "work");
	m.table = make(m.off.bytes_data + 16);
	put(m.table + m.off.ob_type, make_type("bytes"));
	put(m.table + m.off.bytes_size, 6);
	m.code = make(512);
	put(m.code + m.off.ob_type, m.code_type);
	put(m.code + m.off.code_filename, m.file);
	put(m.code + m.off.code_qualname, m.name);
	put(m.code + m.off.code_linetable, m.table);
	put32(m.code + m.off.code_firstlineno, 7);
	for (int i = 0; i < FRAMES; i++) {
		uint64_t at = make(128);

		put(at + m.off.frame_previous, frame);
		put(at + m.off.frame_code, m.code);
		put(at + m.off.frame_instr, m.off.flags & RT_PYOFF_LASTI ? 4 : m.code + m.off.code_adaptive + 4);
		frame = at;
	}
	m.tip = frame;
	put(m.runtime + m.off.runtime_interp_head, m.interp);
	put(m.runtime + m.off.runtime_interp_head + 8, m.interp);
	put(m.interp + m.off.interp_threads_head, m.tstate);
	put(m.tstate + 16, m.interp);
	if (m.off.flags & RT_PYOFF_CFRAME) {
		uint64_t cframe = make(64);

		put(cframe + m.off.cframe_frame, frame);
		frame = cframe;
	}
	put(m.tstate + m.off.tstate_frame, frame);
}

static int check(void)
{
	err[0] = '\0';
	return rt_pycheck(&mem, &m.off, m.runtime, err, sizeof(err));
}

static const unsigned int minors[] = {9, 12};

static void test_good(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		make_python(minors[i]);
		assert_int_equal(check(), 0);
		/* before the first instruction */
		put(m.tip + m.off.frame_instr, m.off.flags & RT_PYOFF_LASTI ? UINT32_MAX : m.code + m.off.code_adaptive - 2);
		assert_int_equal(check(), 0);
		/* compile("...", "a\tb", "exec") and compile("...", "", "exec") */
		m.bytes[m.file - BASE + m.off.str_ascii_data] = '\t';
		assert_int_equal(check(), 0);
		put(m.file + m.off.str_length, 0);
		assert_int_equal(check(), 0);
		/* no frame, no thread, no interpreter: nothing to tell by */
		put(m.tstate + m.off.tstate_frame, 0);
		if (!(m.off.flags & RT_PYOFF_CFRAME))
			assert_int_equal(check(), 1);
		put(m.interp + m.off.interp_threads_head, 0);
		assert_int_equal(check(), 1);
		put(m.runtime + m.off.runtime_interp_head, 0);
		assert_int_equal(check(), 1);
	}
	(void)state;
}

/* One field at a time is wrong. */
static void test_wrong(void **state)
{
	enum { CODE_TYPE, FILE_TYPE, NAME, NAME_IS_CODE, TABLE, TABLE_SIZE, LINE, LENGTH, NOT_COMPACT, NOT_ASCII, LOOP, FRAME_CODE, TIP, INSTR, INTERP, CASES };
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		for (int what = 0; what < CASES; what++) {
			make_python(minors[i]);
			switch (what) {
			case CODE_TYPE: put(m.code + m.off.ob_type, m.str_type); break;
			case FILE_TYPE: put(m.file + m.off.ob_type, m.code_type); break;
			case NAME: put(m.code + m.off.code_qualname, 0); break;
			case NAME_IS_CODE: put(m.code + m.off.code_qualname, m.code); break;
			case TABLE: put(m.code + m.off.code_linetable, m.name); break;
			case TABLE_SIZE: put(m.table + m.off.bytes_size, 1ull << 40); break;
			case LINE: put32(m.code + m.off.code_firstlineno, 0x80000001); break;
			case LENGTH: put(m.name + m.off.str_length, 1ull << 33); break;
			case NOT_COMPACT: put32(m.name + m.off.str_state, 4); break;
			case NOT_ASCII: m.bytes[m.name - BASE + m.off.str_ascii_data] = 0x81; break;
			case LOOP: put(m.tip + m.off.frame_previous, m.tip); break;
			case FRAME_CODE: put(m.tip + m.off.frame_code, 0x1234); break;
			case TIP: put(m.tip + m.off.frame_previous, 0x4141414141414141); break;
			case INSTR:
				if (m.off.flags & RT_PYOFF_LASTI)
					put32(m.tip + m.off.frame_instr, 0x7fffffff);
				else
					put(m.tip + m.off.frame_instr, m.code - 0x10000);
				break;
			case INTERP: put(m.runtime + m.off.runtime_interp_head, 0x4141414141414140); break;
			}
			if (check() != -EINVAL)
				fail_msg("3.%u, case %d passed", minors[i], what);
			assert_true(strlen(err) > 10);
		}
	}
}

/* Anything at all in memory: no answer is wrong but one that takes garbage for good by crashing. (The sanitizers look on.) */
static void test_garbage(void **state)
{
	unsigned int seed = 7;
	(void)state;

	for (int round = 0; round < 2000; round++) {
		make_python(minors[round & 1]);
		for (int k = 0; k < 20; k++) {
			seed = seed * 1103515245 + 12345;
			size_t at = seed % (m.used - 8) & ~7u;

			put(BASE + at, k % 3 ? BASE + ((seed >> 7) % SIZE & ~7u) : (uint64_t)seed << (seed & 31));
		}
		assert_true(check() <= 1);
	}
}

static void test_search(void **state)
{
	struct rt_pysearch_area area[] = {{BASE - 4096, 4096}, {BASE, SIZE}};
	uint64_t runtime;
	struct rt_pyoff off;
	uint32_t hex;
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		make_python(minors[i]);
		assert_int_equal(rt_pysearch(&mem, area, 2, &runtime, &hex, &off), 0);
		assert_true(runtime == m.runtime);
		assert_int_equal(hex, i ? 0x030c01f0 : 0x030902f0);
		assert_memory_equal(&off, &m.off, sizeof(off));
		/* a frame that is none: this is not it */
		put(m.tip + m.off.frame_code, m.str_type);
		assert_int_equal(rt_pysearch(&mem, area, 2, &runtime, &hex, &off), 1);
		/* another version's text */
		make_python(minors[i]);
		strcpy((char *)m.bytes + 16, "3.7.17 (default, x)");
		assert_int_equal(rt_pysearch(&mem, area, 2, &runtime, &hex, &off), 1);
		strcpy((char *)m.bytes + 16, "no version here     ");
		assert_int_equal(rt_pysearch(&mem, area, 2, &runtime, &hex, &off), 1);
		/* not alive yet */
		make_python(minors[i]);
		put(m.interp + m.off.interp_threads_head, 0);
		assert_int_equal(rt_pysearch(&mem, area, 2, &runtime, &hex, &off), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_search),
	};

	return cmocka_run_group_tests_name("pycheck", tests, NULL, NULL);
}
