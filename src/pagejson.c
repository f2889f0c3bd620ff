/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pagejson.h"

#include <inttypes.h>
#include <string.h>

#define RT_SAFE_INT (1ll << 53) /* ECMAScript's Number.MAX_SAFE_INTEGER + 1 */

static void rt_pagejson_key(struct rt_pagejson *json, const char *key)
{
	if (json->more[json->depth])
		fputc(',', json->out);
	json->more[json->depth] = true;
	if (key)
		fprintf(json->out, "\"%s\":", key);
}

void rt_pagejson_begin(struct rt_pagejson *json, const char *key, char bracket)
{
	rt_pagejson_key(json, key);
	fputc(bracket, json->out);
	if (json->depth + 1 < RT_PAGEJSON_DEPTH) /* the program's own nesting: never deeper */
		json->depth++;
	json->more[json->depth] = false;
}

void rt_pagejson_end(struct rt_pagejson *json, char bracket)
{
	if (json->depth)
		json->depth--;
	fputc(bracket, json->out);
}

void rt_pagejson_int(struct rt_pagejson *json, const char *key, int64_t value)
{
	if (value > RT_SAFE_INT)
		value = RT_SAFE_INT;
	if (value < -RT_SAFE_INT)
		value = -RT_SAFE_INT;
	rt_pagejson_key(json, key);
	fprintf(json->out, "%" PRId64, value);
}

void rt_pagejson_bool(struct rt_pagejson *json, const char *key, bool value)
{
	rt_pagejson_key(json, key);
	fputs(value ? "true" : "false", json->out);
}

/* Bytes of the valid UTF-8 character at `s` (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF), 0: it is none. */
static size_t rt_utf8_char(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also at the end of the text */
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void rt_pagejson_char(FILE *out, const unsigned char *s, size_t n)
{
	if (n == 1 && (s[0] < 0x20 || s[0] == 0x7f || strchr("\"\\<>&", s[0])))
		fprintf(out, "\\u%04x", s[0]);
	else if (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9))
		fprintf(out, "\\u20%02x", s[2] - 0x80);
	else
		fwrite(s, 1, n, out);
}

void rt_pagejson_text(struct rt_pagejson *json, const char *key, const char *text, size_t max_bytes)
{
	const unsigned char *s = (const unsigned char *)text, *begin = s;

	rt_pagejson_key(json, key);
	if (!text) {
		fputs("null", json->out);
		return;
	}
	fputc('"', json->out);
	while (*s) {
		size_t n = rt_utf8_char(s), len = n ? n : 1;

		if (max_bytes && (size_t)(s - begin) + len > max_bytes) {
			fputs("\xe2\x80\xa6", json->out);
			break;
		}
		if (n)
			rt_pagejson_char(json->out, s, n);
		else
			fputs("\xef\xbf\xbd", json->out);
		s += len;
	}
	fputc('"', json->out);
}
