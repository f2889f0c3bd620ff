/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pycheck.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TRIES 50
#define LINE_MAX_ (10 << 20)
#define CODE_MAX (64u << 20) /* bytes of one code object's instructions or line table */
#define STR_CHARS (16u << 20)

struct check {
	const struct rt_pymem *mem;
	const struct rt_pyoff *off;
	char why[160];
};

__attribute__((format(printf, 2, 3))) static int wrong(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	return -EINVAL;
}

static int get(struct check *c, uint64_t addr, void *buf, size_t len, const char *what)
{
	int err = c->mem->read(c->mem->ctx, addr, buf, len);

	return err == -EFAULT ? wrong(c, "%s leads nowhere", what) : err;
}

/* Is this an object whose type has this name? PyTypeObject begins as PyVarObject does (ob_type, ob_size), then comes tp_name. */
static int is_a(struct check *c, uint64_t object, const char *name, const char *what)
{
	char text[8] = "";
	uint64_t type, tp_name;
	int err;

	if (!object || object % 8)
		return wrong(c, "%s is no object", what);
	err = get(c, object + c->off->ob_type, &type, sizeof(type), what);
	if (!err)
		err = get(c, type + c->off->ob_type + 16, &tp_name, sizeof(tp_name), what);
	if (!err)
		err = get(c, tp_name, text, strlen(name) + 1, what);
	if (!err && memcmp(text, name, strlen(name) + 1))
		return wrong(c, "%s is no %s object", what, name);
	return err;
}

/* Any text: code objects can be given the strangest names, empty ones for files among them. */
static int is_text(struct check *c, uint64_t code, uint32_t field, const char *what)
{
	uint8_t bytes[64];
	uint64_t str, chars;
	uint32_t state, kind, ascii;
	size_t n;
	int err = get(c, code + field, &str, sizeof(str), what);

	if (!err)
		err = is_a(c, str, "str", what);
	if (!err)
		err = get(c, str + c->off->str_length, &chars, sizeof(chars), what);
	if (!err)
		err = get(c, str + c->off->str_state, &state, sizeof(state), what);
	if (err)
		return err;
	state >>= c->off->str_kind_shift & 31;
	kind = state & 7;
	ascii = state >> 4 & 1;
	if (chars > STR_CHARS || !(state & 8) || (kind != 1 && kind != 2 && kind != 4) || (ascii && kind != 1))
		return wrong(c, "the text of %s makes no sense", what);
	n = chars * kind < sizeof(bytes) ? chars * kind : sizeof(bytes);
	err = get(c, str + (ascii ? c->off->str_ascii_data : c->off->str_compact_data), bytes, n, what);
	for (size_t i = 0; !err && ascii && i < n; i++)
		if (bytes[i] > 0x7f)
			return wrong(c, "the text of %s makes no sense", what);
	return err;
}

static int check_frame(struct check *c, const struct rt_pystack_place *place)
{
	uint64_t table = 0, size;
	int32_t first;
	int err = is_a(c, place->code, "code", "a frame's code");

	if (!err)
		err = is_text(c, place->code, c->off->code_filename, "a code object's file name");
	if (!err)
		err = is_text(c, place->code, c->off->code_qualname, "a code object's name");
	if (!err)
		err = get(c, place->code + c->off->code_linetable, &table, sizeof(table), "a line table");
	if (!err)
		err = is_a(c, table, "bytes", "a line table");
	if (!err)
		err = get(c, table + c->off->bytes_size, &size, sizeof(size), "a line table");
	if (!err)
		err = get(c, place->code + c->off->code_firstlineno, &first, sizeof(first), "a code object");
	if (err)
		return err;
	if (size > CODE_MAX)
		return wrong(c, "a line table of %llu bytes", (unsigned long long)size);
	if (first < 0 || first > LINE_MAX_)
		return wrong(c, "a code object that begins at line %d", first);
	/* Just before the first instruction: -2, or -1 up to 3.9, in 32 or 64 bits. */
	if (place->instr > CODE_MAX && (uint32_t)(place->instr + 2) > 1)
		return wrong(c, "an instruction outside of its code");
	return 0;
}

/* One thread. Returns how many frames were good, or -errno. -EAGAIN: the stack moved meanwhile. */
static int check_thread(struct check *c, uint64_t tstate)
{
	struct rt_pystack_place before[RT_PYSTACK_FRAMES], after[RT_PYSTACK_FRAMES];
	int n = rt_pystack_chain(c->mem, c->off, tstate, before), err = n < 0 ? n : 0;

	if (n == -ELOOP)
		err = wrong(c, "a chain of frames without an end");
	else if (n == -EFAULT || n == -EINVAL)
		err = wrong(c, "a chain of frames that leads nowhere");
	for (int i = 0; i < n && !err; i++)
		err = check_frame(c, &before[i]);
	if (err && err != -EINVAL)
		return err;
	/* Only what is the same before and after was one stack. */
	if (n >= 0 && (rt_pystack_chain(c->mem, c->off, tstate, after) != n || memcmp(before, after, (size_t)n * sizeof(before[0]))))
		return -EAGAIN;
	return err ? err : n;
}

static int check_once(struct check *c, uint64_t runtime)
{
	uint64_t tstate[RT_PYSTACK_THREADS];
	int n = rt_pystack_threads(c->mem, c->off, runtime, tstate), frames = 0;

	if (n == -ELOOP || n == -EFAULT)
		return wrong(c, "its list of threads is not where it should be");
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		int found = check_thread(c, tstate[i]);

		if (found == -EINVAL || (found < 0 && !frames && i == n - 1))
			return found;
		frames += found > 0 ? found : 0;
	}
	return frames ? 0 : 1;
}

int rt_pycheck(const struct rt_pymem *mem, const struct rt_pyoff *off, uint64_t runtime, char *err, size_t errlen)
{
	struct check c = {.mem = mem, .off = off};
	int code = 0;

	/* It runs on meanwhile: what is wrong once may have been moving; what is wrong each time is wrong. */
	for (int i = 0; i < TRIES; i++) {
		code = check_once(&c, runtime);
		if (code >= 0)
			return code;
		if (code != -EINVAL && code != -EAGAIN)
			break;
	}
	if (code == -EAGAIN)
		return 1; /* it moves too fast to tell */
	snprintf(err, errlen, "%s", code == -EINVAL ? c.why : strerror(-code));
	return code;
}
