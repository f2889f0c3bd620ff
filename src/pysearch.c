/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pysearch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pycheck.h"
#include "pyoff.h"

#define BLOCK 65536u
#define OVERLAP 64u	   /* what is looked for may lie across two blocks */
#define TSTATE_INTERP 16u  /* offsetof(PyThreadState, interp): 3.8 to 3.12, Include/cpython/pystate.h */
#define CANDIDATES 4096u   /* places that are looked at more closely; */
#define CHECK_PRICE 256u   /* a check of all frames counts as so many */
#define USER_END (1ull << 56)

/* Calls `look` with each block of the areas, until it returns something else than 1. */
typedef int look_fn(void *ctx, uint64_t addr, const uint8_t *bytes, size_t len);

static int each_block(const struct rt_pymem *mem, const struct rt_pysearch_area *area, size_t n, look_fn *look, void *ctx)
{
	uint64_t left = RT_PYSEARCH_MAX;
	uint8_t *bytes = malloc(BLOCK);
	int code = bytes ? 1 : -ENOMEM;

	for (size_t i = 0; i < n && code == 1; i++) {
		for (uint64_t at = 0; at < area[i].size && left && code == 1; at += BLOCK - OVERLAP) {
			size_t len = area[i].size - at < BLOCK ? area[i].size - at : BLOCK;

			left -= left < len ? left : len;
			if (!mem->read(mem->ctx, area[i].start + at, bytes, len)) /* a hole is no error */
				code = look(ctx, area[i].start + at, bytes, len);
		}
	}
	free(bytes);
	return code;
}

/* A number of one or two digits. Returns what follows it, NULL: there is none. */
static const char *number(const char *text, unsigned int *value)
{
	if (*text < '0' || *text > '9')
		return NULL;
	*value = (unsigned int)(*text++ - '0');
	if (*text >= '0' && *text <= '9')
		*value = *value * 10 + (unsigned int)(*text++ - '0');
	return text;
}

/* PY_VERSION_HEX of "3.9.2 (", "3.12.4+ (" or "3.12.0rc1 (", the beginning of Py_GetVersion's text; 0: it is none, or of a version that has no table. */
static uint32_t version_of(const char *text)
{
	unsigned int minor, micro, serial = 0, level = 0xf;
	struct rt_pyoff off;

	if (strncmp(text, "3.", 2) || !(text = number(text + 2, &minor)) || *text != '.' || !(text = number(text + 1, &micro)))
		return 0;
	if (*text == '+')
		text++;
	else if (!strncmp(text, "rc", 2) && (text = number(text + 2, &serial)))
		level = 0xc;
	if (!text || strncmp(text, " (", 2) || serial > 15 || rt_pyoff_by_version(3, minor, &off))
		return 0;
	return 3u << 24 | minor << 16 | micro << 8 | level << 4 | serial;
}

static int look_version(void *ctx, uint64_t addr, const uint8_t *bytes, size_t len)
{
	uint32_t *hex = ctx;

	for (size_t i = 0; i + 24 < len; i++) {
		char text[25];

		if (bytes[i] != '3' || bytes[i + 1] != '.' || (i && bytes[i - 1]))
			continue;
		memcpy(text, bytes + i, 24);
		text[24] = '\0';
		*hex = version_of(text);
		if (*hex)
			return 0;
	}
	return 1;
}

struct search {
	const struct rt_pymem *mem;
	const struct rt_pyoff *off;
	uint64_t runtime;
	unsigned int left;
};

static bool get(const struct search *s, uint64_t addr, uint64_t *v)
{
	return !s->mem->read(s->mem->ctx, addr, v, sizeof(*v));
}

static bool is_interpreter(const struct search *s, uint64_t interp)
{
	uint64_t next, tstate, back;

	return get(s, interp + s->off->interp_next, &next) && !next && get(s, interp + s->off->interp_threads_head, &tstate) && tstate &&
	       tstate % 8 == 0 && get(s, tstate + TSTATE_INTERP, &back) && back == interp;
}

static int look_runtime(void *ctx, uint64_t addr, const uint8_t *bytes, size_t len)
{
	struct search *s = ctx;
	char why[192];

	for (size_t i = (8 - addr % 8) % 8; i + 16 <= len; i += 8) {
		uint64_t head[2], runtime = addr + i - s->off->runtime_interp_head;

		/* interpreters.head and, next to it, interpreters.main */
		memcpy(head, bytes + i, sizeof(head));
		if (head[0] != head[1] || !head[0] || head[0] % 8 || head[0] >= USER_END)
			continue;
		if (!s->left)
			return -E2BIG;
		s->left--;
		if (!is_interpreter(s, head[0]))
			continue;
		s->left -= s->left < CHECK_PRICE ? s->left : CHECK_PRICE;
		if (rt_pycheck(s->mem, s->off, runtime, why, sizeof(why)))
			continue;
		s->runtime = runtime;
		return 0;
	}
	return 1;
}

int rt_pysearch(const struct rt_pymem *mem, const struct rt_pysearch_area *area, size_t n, uint64_t *runtime, uint32_t *hex, struct rt_pyoff *off)
{
	struct rt_pyoff layout;
	struct search s = {.mem = mem, .off = &layout, .left = CANDIDATES};
	uint32_t version = 0;
	int code = each_block(mem, area, n, look_version, &version);

	if (!code && rt_pyoff_by_version(version >> 24, version >> 16 & 0xff, &layout))
		code = 1;
	if (!code)
		code = each_block(mem, area, n, look_runtime, &s);
	if (code)
		return code == -E2BIG ? 1 : code;
	*runtime = s.runtime;
	*hex = version;
	*off = layout;
	return 0;
}
