/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* A text made in memory: it is written whole or, if it could not be made, not at all; an error of writing is the one that the kernel gave. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "memtext.h"

/* Longer than any buffer of a stream, with a byte 0 in it. */
#define LONG 3000000u

static void test_written(void **state)
{
	struct rt_memtext memory;
	FILE *to = tmpfile();
	char *is = malloc(LONG + 10);

	(void)state;
	assert_non_null(to);
	fputs("before ", to);
	assert_int_equal(rt_memtext_begin(&memory), 0);
	for (unsigned int i = 0; i < LONG; i++)
		fputc((char)i, memory.out);
	assert_int_equal(rt_memtext_put(&memory, 0, to), 0);
	/* flushed: it is in the file, and the stream is still good */
	assert_int_equal(pread(fileno(to), is, LONG + 10, 0), LONG + 7);
	assert_memory_equal(is, "before ", 7);
	for (unsigned int i = 0; i < LONG; i++)
		assert_int_equal(is[7 + i], (char)i);
	assert_int_equal(fputc('x', to), 'x');
	assert_int_equal(fclose(to), 0);
	free(is);
}

static void test_empty(void **state)
{
	struct rt_memtext memory;
	FILE *to = tmpfile();

	(void)state;
	assert_int_equal(rt_memtext_begin(&memory), 0);
	assert_int_equal(rt_memtext_put(&memory, 0, to), 0);
	assert_int_equal(ftell(to), 0);
	fclose(to);
}

static void test_not_made(void **state)
{
	struct rt_memtext memory;
	FILE *to = tmpfile();

	(void)state;
	assert_int_equal(rt_memtext_begin(&memory), 0);
	fputs("half of i", memory.out);
	assert_int_equal(rt_memtext_put(&memory, -EMFILE, to), -EMFILE);
	assert_int_equal(fflush(to), 0);
	assert_int_equal(lseek(fileno(to), 0, SEEK_END), 0);
	fclose(to);
}

static void test_errors(void **state)
{
	struct rt_memtext memory;
	FILE *full = fopen("/dev/full", "w"), *closed = fopen("/dev/null", "r");

	(void)state;
	for (int i = 0; i < 2; i++) { /* a short text fails at the flush, a long one when it is written */
		assert_int_equal(rt_memtext_begin(&memory), 0);
		fputs("text", memory.out);
		for (unsigned int k = 0; i && k < LONG; k++)
			fputc('t', memory.out);
		assert_int_equal(rt_memtext_put(&memory, 0, full), -ENOSPC);
	}
	assert_int_equal(rt_memtext_begin(&memory), 0);
	fputs("text", memory.out);
	assert_int_equal(rt_memtext_put(&memory, 0, closed), -EBADF);
	fclose(full);
	fclose(closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written), cmocka_unit_test(test_empty), cmocka_unit_test(test_not_made), cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
