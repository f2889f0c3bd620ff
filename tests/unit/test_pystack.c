/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Stacks read from memory that is made here: whole ones, moving ones, and such as no interpreter would leave. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdbool.h>

#include "pyoff.h"
#include "pystack.h"

#define BASE 0x7f0000000000ull
#define SIZE (1u << 20)

static struct {
	uint8_t bytes[SIZE];
	size_t used;
	struct rt_pyoff off;
	uint64_t runtime, tstate, cframe;
} m;

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

static uint64_t make_str(const void *data, uint64_t chars, unsigned int kind, bool ascii)
{
	uint64_t at = make(m.off.str_compact_data + chars * kind);
	uint32_t state = kind << 2 | 1u << 5 | (ascii ? 1u << 6 : 0);

	put(at + m.off.str_length, chars);
	memcpy(m.bytes + (at - BASE) + m.off.str_state, &state, sizeof(state));
	memcpy(m.bytes + (at - BASE) + (ascii ? m.off.str_ascii_data : m.off.str_compact_data), data, chars * kind);
	return at;
}

static uint64_t make_code(uint64_t name, uint64_t file)
{
	/* One entry for 8 instructions, no column: (15 << 3 | 7), line + 0: code 13 with svarint 0. */
	static const uint8_t table[] = {0x80 | 13 << 3 | 7, 0};
	uint64_t code = make(m.off.code_adaptive + 64), bytes = make(m.off.bytes_data + sizeof(table));
	uint32_t first = 42;

	put(bytes + m.off.bytes_size, sizeof(table));
	memcpy(m.bytes + (bytes - BASE) + m.off.bytes_data, table, sizeof(table));
	put(code + m.off.code_qualname, name);
	put(code + m.off.code_filename, file);
	put(code + m.off.code_linetable, bytes);
	memcpy(m.bytes + (code - BASE) + m.off.code_firstlineno, &first, sizeof(first));
	return code;
}

static uint64_t make_frame(uint64_t code, uint64_t previous)
{
	uint64_t at = make(88);

	put(at + m.off.frame_code, code);
	put(at + m.off.frame_previous, previous);
	put(at + m.off.frame_instr, code + m.off.code_adaptive);
	return at;
}

static void set_tip(uint64_t frame)
{
	put(m.cframe + m.off.cframe_frame, frame);
}

/* An interpreter with one thread and no frame. */
static int setup(void **state)
{
	uint64_t interp;

	memset(&m, 0, sizeof(m));
	assert_int_equal(rt_pyoff_by_version(3, 11, &m.off), 0);
	m.runtime = make(4096);
	interp = make(4096);
	m.tstate = make(512);
	m.cframe = make(64);
	put(m.runtime + m.off.runtime_interp_head, interp);
	put(interp + m.off.interp_threads_head, m.tstate);
	put(m.tstate + m.off.tstate_frame, m.cframe);
	return 0;
}

static void test_whole(void **state)
{
	static const uint16_t two[] = {0x540d, 0x5b57}; /* 名字 */
	uint64_t file = make_str("/srv/a.py", 9, 1, true), outer, states[RT_PYSTACK_THREADS];
	struct rt_pystack st;

	outer = make_frame(make_code(make_str("<module>", 8, 1, true), file), 0);
	set_tip(make_frame(make_code(make_str(two, 2, 2, false), file), outer));
	assert_int_equal(rt_pystack_threads(&mem, &m.off, m.runtime, states), 1);
	assert_true(states[0] == m.tstate);
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), 0);
	assert_int_equal(st.n, 2);
	assert_int_equal(st.depth, 2);
	assert_false(st.moved);
	assert_string_equal(st.frame[0].function, "名字");
	assert_string_equal(st.frame[1].function, "<module>");
	assert_string_equal(st.frame[1].file, "/srv/a.py");
	assert_int_equal(st.frame[1].line, 42);
	rt_pystack_free(&st);
}

static void test_no_frame(void **state)
{
	struct rt_pystack st;

	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), 0);
	assert_int_equal(st.n, 0);
}

static void test_deep(void **state)
{
	uint64_t code = make_code(make_str("f", 1, 1, true), make_str("x", 1, 1, true)), frame = 0;
	struct rt_pystack st;

	for (int i = 0; i < 500; i++)
		frame = make_frame(code, frame);
	set_tip(frame);
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), 0);
	assert_int_equal(st.n, RT_PYSTACK_FRAMES);
	assert_int_equal(st.depth, 500);
	rt_pystack_free(&st);
}

/* The oldest thread is the last of the list. */
static void test_threads(void **state)
{
	uint64_t states[RT_PYSTACK_THREADS], at = m.tstate, interp;

	memcpy(&interp, m.bytes + (m.runtime - BASE) + m.off.runtime_interp_head, 8);
	for (int i = 0; i < 99; i++) {
		uint64_t newer = make(256);

		put(newer + m.off.tstate_next, at);
		at = newer;
	}
	put(interp + m.off.interp_threads_head, at);
	assert_int_equal(rt_pystack_threads(&mem, &m.off, m.runtime, states), RT_PYSTACK_THREADS);
	assert_true(states[0] == m.tstate);
	put(m.tstate + m.off.tstate_next, at); /* a ring */
	assert_int_equal(rt_pystack_threads(&mem, &m.off, m.runtime, states), -ELOOP);
	put(m.tstate + m.off.tstate_next, 12);
	assert_int_equal(rt_pystack_threads(&mem, &m.off, m.runtime, states), -EFAULT);
}

static void test_hostile(void **state)
{
	uint64_t name = make_str("f", 1, 1, true), code = make_code(name, name), frame = make_frame(code, 0);
	uint32_t bad = 3u << 2 | 1u << 5;
	struct rt_pystack st;

	put(frame + m.off.frame_previous, frame); /* its own caller */
	set_tip(frame);
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), -ELOOP);
	assert_int_equal(st.n, 0);
	put(frame + m.off.frame_previous, UINT64_MAX - 4);
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), -EFAULT);
	put(frame + m.off.frame_previous, 0);
	put(code + m.off.code_qualname, 1);
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), -EFAULT);
	put(code + m.off.code_qualname, name);
	put(name + m.off.str_length, UINT64_MAX);
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), -EINVAL);
	put(name + m.off.str_length, 1);
	memcpy(m.bytes + (name - BASE) + m.off.str_state, &bad, sizeof(bad));
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), -EINVAL);
}

/* Surrogates are escaped, numbers beyond Unicode become U+FFFD: the text stays valid UTF-8. */
static void test_text_is_valid(void **state)
{
	static const uint32_t four[] = {0xd800, 0x110000, 0x1f600};
	uint64_t name = make_str(four, 3, 4, false);
	struct rt_pystack st;

	set_tip(make_frame(make_code(name, name), 0));
	assert_int_equal(rt_pystack_read(&mem, &m.off, m.tstate, &st), 0);
	assert_string_equal(st.frame[0].function, "\\ud800\xef\xbf\xbd\xf0\x9f\x98\x80");
	rt_pystack_free(&st);
}

/* A stack that changes with every look at its tip. */
static uint64_t tips[2];

static int read_moving(void *ctx, uint64_t addr, void *buf, size_t len)
{
	int *left = ctx;

	if (addr == m.cframe + m.off.cframe_frame && *left > 0)
		set_tip(tips[--*left % 2]);
	return read_memory(NULL, addr, buf, len);
}

static void test_moving(void **state)
{
	uint64_t file = make_str("x", 1, 1, true);
	int left = 7;
	const struct rt_pymem moving = {read_moving, &left};
	struct rt_pystack st;

	tips[0] = make_frame(make_code(make_str("a", 1, 1, true), file), 0);
	tips[1] = make_frame(make_code(make_str("b", 1, 1, true), file), 0);
	assert_int_equal(rt_pystack_read(&moving, &m.off, m.tstate, &st), 0);
	assert_false(st.moved); /* it came to rest */
	assert_string_equal(st.frame[0].function, "a");
	rt_pystack_free(&st);
	left = 1000;
	assert_int_equal(rt_pystack_read(&moving, &m.off, m.tstate, &st), 0);
	assert_true(st.moved); /* never: said */
	rt_pystack_free(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_whole, setup),   cmocka_unit_test_setup(test_no_frame, setup),
		cmocka_unit_test_setup(test_deep, setup),    cmocka_unit_test_setup(test_threads, setup),
		cmocka_unit_test_setup(test_hostile, setup), cmocka_unit_test_setup(test_text_is_valid, setup),
		cmocka_unit_test_setup(test_moving, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
