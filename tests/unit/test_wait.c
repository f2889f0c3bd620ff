/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Which process --wait takes, and which records are left out: sequences as the kernel side sends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wait.h"

/* A command line; `line` has its NULs in it. */
static enum rt_wait_verdict args_bytes(struct rt_wait *w, uint32_t image, const char *line, size_t len)
{
	struct rt_rec_args r = {.h = {.type = RT_REC_ARGS, .size = sizeof(r), .image = image, .tid = image}, .len = (uint32_t)len};

	memset(r.text, 'x', sizeof(r.text)); /* what lies behind the text is of no interest */
	memcpy(r.text, line, len < sizeof(r.text) ? len : sizeof(r.text));
	return rt_wait_record(w, &r, sizeof(r));
}

#define args(w, image, line) assert_int_equal(args_bytes(w, image, line, sizeof(line)), RT_WAIT_OUT)

static enum rt_wait_verdict born(struct rt_wait *w, uint32_t image, uint32_t birth, uint32_t parent, uint32_t prev, uint32_t flags)
{
	struct rt_rec_proc r = {
		.h = {.type = RT_REC_PROC, .size = sizeof(r), .image = image, .tid = image},
		.birth = birth, .flags = flags, .pid = image, .parent_image = parent, .prev_image = prev,
	};

	return rt_wait_record(w, &r, sizeof(r));
}

static enum rt_wait_verdict exec_(struct rt_wait *w, uint32_t image, uint32_t prev)
{
	return born(w, image, RT_BIRTH_EXEC, 0, prev, 0);
}

static enum rt_wait_verdict run(struct rt_wait *w, uint32_t image)
{
	struct rt_rec_run r = {.h = {.type = RT_REC_RUN, .size = sizeof(r), .image = image, .tid = image}};

	return rt_wait_record(w, &r, sizeof(r));
}

static struct rt_wait *wait_for(const char *regex)
{
	struct rt_wait *w = rt_wait_new(regex, "ramtrack-bpf");

	assert_non_null(w);
	return w;
}

static void test_first_match_and_its_descendants_pass(void **state)
{
	struct rt_wait *w = wait_for("vllm serve");

	(void)state;
	args(w, 1, "/bin/true");
	assert_int_equal(exec_(w, 1, 0), RT_WAIT_OUT);
	assert_int_equal(run(w, 1), RT_WAIT_OUT);
	assert_false(rt_wait_matched(w));
	args(w, 2, "/usr/bin/python3\0/usr/bin/vllm\0serve\0model");
	assert_int_equal(exec_(w, 2, 0), RT_WAIT_MATCH);
	assert_true(rt_wait_matched(w));
	assert_int_equal(run(w, 2), RT_WAIT_PASS);
	/* its child, the child's exec, and its own next exec, whatever their command lines are */
	assert_int_equal(born(w, 3, RT_BIRTH_FORK, 2, 0, 0), RT_WAIT_PASS);
	args(w, 4, "gcc");
	assert_int_equal(exec_(w, 4, 3), RT_WAIT_PASS);
	assert_int_equal(exec_(w, 5, 2), RT_WAIT_PASS);
	assert_int_equal(run(w, 4), RT_WAIT_PASS);
	/* a second one that matches, and a stranger's child */
	args(w, 6, "vllm serve");
	assert_int_equal(exec_(w, 6, 0), RT_WAIT_OUT);
	assert_int_equal(born(w, 7, RT_BIRTH_FORK, 1, 0, 0), RT_WAIT_OUT);
	assert_int_equal(run(w, 7), RT_WAIT_OUT);
	assert_int_equal(rt_wait_next_drop(w), 7);
	assert_int_equal(rt_wait_next_drop(w), 6);
	assert_int_equal(rt_wait_next_drop(w), 1);
	assert_int_equal(rt_wait_next_drop(w), 0);
	rt_wait_free(w);
}

static void test_a_match_inside_a_stranger(void **state)
{
	struct rt_wait *w = wait_for("serve$");

	(void)state;
	args(w, 1, "sh\0start.sh");
	assert_int_equal(exec_(w, 1, 0), RT_WAIT_OUT);
	assert_int_equal(born(w, 2, RT_BIRTH_FORK, 1, 0, RT_PROC_SHARES_MM), RT_WAIT_OUT); /* vfork */
	args(w, 3, "vllm\0serve");
	assert_int_equal(exec_(w, 3, 2), RT_WAIT_MATCH);
	assert_int_equal(run(w, 1), RT_WAIT_OUT);
	assert_int_equal(run(w, 2), RT_WAIT_OUT);
	assert_int_equal(run(w, 3), RT_WAIT_PASS);
	/* The vfork child had no address space of its own. */
	assert_int_equal(rt_wait_next_drop(w), 1);
	assert_int_equal(rt_wait_next_drop(w), 0);
	rt_wait_free(w);
}

static void test_two_execs_at_once_on_two_cpus(void **state)
{
	struct rt_wait *w = wait_for("^wanted");

	(void)state;
	args(w, 1, "wanted");
	args(w, 2, "other");
	assert_int_equal(exec_(w, 2, 0), RT_WAIT_OUT);
	assert_int_equal(exec_(w, 1, 0), RT_WAIT_MATCH);
	rt_wait_free(w);
}

static void test_command_lines_that_only_run_the_tool(void **state)
{
	static const char *const no[] = {
		"ramtrack-bpf --wait vllm", "/usr/local/bin/ramtrack-bpf --wait vllm", "sudo -E build/ramtrack-bpf --wait vllm",
	};
	static const char *const yes[] = {
		"python3 vllm serve /models/ramtrack-bpf/x", "vllm xramtrack-bpf", "vllm ramtrack-bpfx", "a  b vllm", "vllm -bpf",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		struct rt_wait *w = wait_for("vllm");

		args_bytes(w, 1, no[i], strlen(no[i]));
		assert_int_equal(exec_(w, 1, 0), RT_WAIT_OUT);
		rt_wait_free(w);
	}
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		struct rt_wait *w = wait_for("vllm");

		args_bytes(w, 1, yes[i], strlen(yes[i]));
		assert_int_equal(exec_(w, 1, 0), RT_WAIT_MATCH);
		rt_wait_free(w);
	}
}

static void test_lost_and_hostile_command_lines(void **state)
{
	static const char any[] = "\xff\x1b[2J\n\tvllm";
	struct rt_wait *w = wait_for("vllm|^$");
	struct rt_rec_args r = {.h = {.type = RT_REC_ARGS, .size = sizeof(r), .image = 9}, .len = 0xffffffffu};
	char full[RT_ARGS_MAX];
	uint64_t seen, unread;

	(void)state;
	assert_int_equal(exec_(w, 1, 0), RT_WAIT_OUT); /* its ARGS record was lost */
	args_bytes(w, 2, "", 0);			/* it could not be read */
	assert_int_equal(exec_(w, 2, 0), RT_WAIT_OUT);
	rt_wait_record(w, &r, sizeof(r)); /* a length that is nonsense */
	assert_int_equal(exec_(w, 9, 0), RT_WAIT_OUT);
	rt_wait_record(w, &r, 30); /* too short */
	rt_wait_record(w, &r, 3);
	rt_wait_counts(w, &seen, &unread);
	assert_int_equal(seen, 3);
	assert_int_equal(unread, 3);
	/* Command lines whose PROC records never come do not add up. */
	for (uint32_t i = 100; i < 20100; i++)
		args(w, i, "vllm");
	memset(full, 'v', sizeof(full));
	args_bytes(w, 3, full, sizeof(full)); /* no NUL at its end */
	assert_int_equal(exec_(w, 3, 0), RT_WAIT_OUT);
	args_bytes(w, 4, any, sizeof(any));
	assert_int_equal(exec_(w, 4, 0), RT_WAIT_MATCH);
	rt_wait_free(w);
}

static void test_bad_regex(void **state)
{
	(void)state;
	assert_null(rt_wait_new("a(", "x"));
	rt_wait_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_match_and_its_descendants_pass),
		cmocka_unit_test(test_a_match_inside_a_stranger),
		cmocka_unit_test(test_two_execs_at_once_on_two_cpus),
		cmocka_unit_test(test_command_lines_that_only_run_the_tool),
		cmocka_unit_test(test_lost_and_hostile_command_lines),
		cmocka_unit_test(test_bad_regex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
