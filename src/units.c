/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define RT_NS_PER_MS 1000000ULL
#define RT_NS_PER_S 1000000000ULL

/* More digits than these change neither a byte of a size nor a nanosecond of a time that fits. */
#define RT_FRACTION_DIGITS 12

struct rt_unit {
	const char *name;
	uint64_t factor;
};

static bool rt_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number with an optional fraction and a unit: by hand, because strtod takes "inf", "0x1p3", "nan" and the
 * locale's comma. */
static int rt_scaled_parse(const char *text, const struct rt_unit *units, uint64_t max, uint64_t *value)
{
	unsigned __int128 fraction = 0, scale = 1, sum;
	uint64_t whole = 0;
	const char *c = text;
	int digits = 0;

	if (!text || !rt_digit(*c))
		return -EINVAL;
	for (; rt_digit(*c); c++) {
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*c - '0'), &whole))
			return -ERANGE;
	}
	if (*c == '.') {
		if (!rt_digit(*++c))
			return -EINVAL;
		for (; rt_digit(*c); c++) {
			if (digits++ >= RT_FRACTION_DIGITS)
				continue;
			fraction = fraction * 10 + (unsigned int)(*c - '0');
			scale *= 10;
		}
	}
	for (; units->name; units++) {
		if (strcasecmp(units->name, c))
			continue;
		if (digits && units->factor == 1)
			return -EINVAL; /* half a byte */
		sum = (unsigned __int128)whole * units->factor + fraction * units->factor / scale;
		if (sum > max)
			return -ERANGE;
		*value = (uint64_t)sum;
		return 0;
	}
	return -EINVAL;
}

int rt_size_parse(const char *text, int64_t *bytes)
{
	static const struct rt_unit units[] = {
		{"", 1}, {"k", 1ULL << 10}, {"kib", 1ULL << 10}, {"m", 1ULL << 20}, {"mib", 1ULL << 20},
		{"g", 1ULL << 30}, {"gib", 1ULL << 30}, {"t", 1ULL << 40}, {"tib", 1ULL << 40}, {NULL, 0},
	};
	uint64_t value;
	int err = rt_scaled_parse(text, units, INT64_MAX, &value);

	if (!err)
		*bytes = (int64_t)value;
	return err;
}

int rt_time_parse(const char *text, uint64_t *ns)
{
	static const struct rt_unit units[] = {
		{"", RT_NS_PER_S}, {"s", RT_NS_PER_S}, {"ms", RT_NS_PER_MS},
		{"m", 60 * RT_NS_PER_S}, {"h", 3600 * RT_NS_PER_S}, {NULL, 0},
	};

	return rt_scaled_parse(text, units, INT64_MAX, ns);
}

int rt_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	static const struct rt_unit units[] = {{"", 1}, {NULL, 0}};
	uint64_t number;
	int err = rt_scaled_parse(text, units, max, &number);

	if (err)
		return err;
	if (number < min)
		return -ERANGE;
	*value = number;
	return 0;
}

struct rt_value rt_mib_format(int64_t bytes, bool sign)
{
	/* Integers: a double would round 0.005 steps (multiples of a page are exact quarters of them) by its
	 * own rules. */
	uint64_t size = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;
	uint64_t whole = size >> 20;
	uint64_t hundredths = ((size & 0xfffff) * 100 + (1 << 19)) >> 20;
	const char *front = "";
	struct rt_value value;

	if (hundredths == 100) {
		hundredths = 0;
		whole++;
	}
	if (bytes < 0 && (sign || whole || hundredths))
		front = "-";
	else if (sign)
		front = "+";
	snprintf(value.text, sizeof(value.text), "%s%llu.%02llu", front, (unsigned long long)whole,
		 (unsigned long long)hundredths);
	return value;
}

struct rt_value rt_time_format(uint64_t ns)
{
	struct rt_value value;
	/* Rounded before a unit is chosen, or 59.996 s would read "60.00 s". */
	unsigned long long us = (ns + 500) / 1000, tenths = (ns + 50000) / 100000, cs = (ns + 5000000) / 10000000;
	unsigned long long s = (ns + RT_NS_PER_S / 2) / RT_NS_PER_S, min = s / 60;

	if (us < 1000)
		snprintf(value.text, sizeof(value.text), "%llu us", us);
	else if (tenths < 10000)
		snprintf(value.text, sizeof(value.text), "%llu.%llu ms", tenths / 10, tenths % 10);
	else if (cs < 6000)
		snprintf(value.text, sizeof(value.text), "%llu.%02llu s", cs / 100, cs % 100);
	else if (min < 60)
		snprintf(value.text, sizeof(value.text), "%llum%02llus", min, s % 60);
	else
		snprintf(value.text, sizeof(value.text), "%lluh%02llum", min / 60, min % 60);
	return value;
}

struct rt_value rt_wall_format(int64_t wall_ns)
{
	int64_t ms = wall_ns / (int64_t)RT_NS_PER_MS, rest;
	struct rt_value value = {""};
	struct tm tm;
	time_t t;
	long zone;
	size_t n;

	if (wall_ns % (int64_t)RT_NS_PER_MS < 0)
		ms--; /* before 1970, towards the past too */
	rest = ms % 1000;
	t = (time_t)(ms / 1000);
	if (rest < 0) {
		rest += 1000;
		t--;
	}
	if (!localtime_r(&t, &tm))
		return value;
	zone = tm.tm_gmtoff / 60;
	n = strftime(value.text, sizeof(value.text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(value.text + n, sizeof(value.text) - n, ".%03d%c%02d:%02d", (int)rest, zone < 0 ? '-' : '+',
		 (int)(labs(zone) / 60), (int)(labs(zone) % 60));
	return value;
}

/* ---- text ---- */

#define RT_CHAR_INVALID UINT32_MAX

/* Decodes the character at `s` (not at its end). Returns its length in bytes, for invalid UTF-8 the length
 * of the part that one U+FFFD stands for (Unicode 3.9, maximal subpart). Never looks past a NUL. */
static size_t rt_char_decode(const unsigned char *s, uint32_t *code)
{
	unsigned int lead = s[0], low = 0x80, high = 0xbf;
	size_t len, i;
	uint32_t c;

	*code = RT_CHAR_INVALID;
	if (lead < 0x80) {
		*code = lead;
		return 1;
	}
	if (lead < 0xc2 || lead > 0xf4)
		return 1;
	len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	c = lead & (0xffU >> (len + 1));
	/* The second byte is where overlong forms, surrogates and what lies above U+10FFFF show. */
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	for (i = 1; i < len; i++, low = 0x80, high = 0xbf) {
		if (s[i] < low || s[i] > high)
			return i;
		c = c << 6 | (s[i] & 0x3f);
	}
	*code = c;
	return len;
}

struct rt_char_range {
	uint32_t first, last;
};

static bool rt_char_in(uint32_t code, const struct rt_char_range *ranges)
{
	for (; ranges->last; ranges++) {
		if (code >= ranges->first && code <= ranges->last)
			return true;
	}
	return false;
}

/* What moves a cursor, hides text or turns its direction round. */
static bool rt_char_unsafe(uint32_t code)
{
	static const struct rt_char_range ranges[] = {
		{0x00, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200f},
		{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}, {0, 0},
	};

	return rt_char_in(code, ranges);
}

/* Longest form of one character: \u{10ffff}. */
#define RT_ESCAPE_MAX 10

static char *rt_text_copy(const char *text, size_t max_chars, bool escape)
{
	const unsigned char *s = (const unsigned char *)(text ? text : "");
	size_t size = strlen((const char *)s), chars = 0, len;
	uint32_t code;
	char *copy, *to, *small;

	if (size > (SIZE_MAX - 4) / RT_ESCAPE_MAX)
		return NULL;
	copy = malloc(size * RT_ESCAPE_MAX + 4);
	if (!copy)
		return NULL;
	for (to = copy; *s; s += len) {
		len = rt_char_decode(s, &code);
		if (max_chars && chars++ == max_chars) {
			to = stpcpy(to, "...");
			break;
		}
		if (code == RT_CHAR_INVALID) {
			to = stpcpy(to, "\xef\xbf\xbd");
		} else if (escape && rt_char_unsafe(code)) {
			to += snprintf(to, RT_ESCAPE_MAX + 1, code < 0x80 ? "\\x%02x" : "\\u{%x}", code);
		} else {
			memcpy(to, s, len);
			to += len;
		}
	}
	*to = '\0';
	small = realloc(copy, (size_t)(to - copy) + 1);
	return small ? small : copy;
}

char *rt_text_escape(const char *text, size_t max_chars)
{
	return rt_text_copy(text, max_chars, true);
}

char *rt_text_utf8(const char *text)
{
	return rt_text_copy(text, 0, false);
}

static size_t rt_char_cells(uint32_t code)
{
	/* Not wcwidth: it needs a UTF-8 locale, which a service or a container often lacks. */
	static const struct rt_char_range wide[] = {
		{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xa960, 0xa97f}, {0xac00, 0xd7a3},
		{0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff01, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
		{0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}, {0, 0},
	};
	static const struct rt_char_range combining[] = {
		{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd}, {0x610, 0x61a}, {0x64b, 0x65f}, {0x1ab0, 0x1aff},
		{0x1dc0, 0x1dff}, {0x20d0, 0x20f0}, {0x302a, 0x302d}, {0x3099, 0x309a}, {0xfe00, 0xfe0f},
		{0xfe20, 0xfe2f}, {0, 0},
	};

	return rt_char_in(code, combining) ? 0 : rt_char_in(code, wide) ? 2 : 1;
}

size_t rt_text_cells(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t cells = 0;
	uint32_t code;

	while (*s) {
		s += rt_char_decode(s, &code);
		cells += rt_char_cells(code);
	}
	return cells;
}

/* Bytes of as much of the text as `cells` have room for. */
static size_t rt_text_room(const char *text, size_t cells)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0, len;
	uint32_t code;

	for (; *s; s += len) {
		len = rt_char_decode(s, &code);
		used += rt_char_cells(code);
		if (used > cells)
			break;
	}
	return (size_t)(s - (const unsigned char *)text);
}

char *rt_text_fit(const char *text, size_t cells)
{
	size_t len = strlen(text), room = rt_text_room(text, cells);
	const char *end = "";
	char *fit;

	if (room < len && cells > 3) {
		room = rt_text_room(text, cells - 3);
		end = "...";
	}
	fit = malloc(room + 4);
	if (!fit)
		return NULL;
	memcpy(fit, text, room);
	strcpy(fit + room, end);
	return fit;
}

const char *rt_source_tail(const char *file)
{
	static const char *const roots[] = { "/site-packages/", "/dist-packages/" };
	const char *tail = NULL, *at;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		for (at = file; (at = strstr(at, roots[i])); at++) {
			if (!tail || at + strlen(roots[i]) > tail)
				tail = at + strlen(roots[i]);
		}
	}
	for (at = file; !tail && (at = strstr(at, "/lib/python")); at++) {
		const char *end = at + strlen("/lib/python");

		while (rt_digit(*end) || *end == '.')
			end++;
		if (*end == '/' && end > at + strlen("/lib/python"))
			tail = end + 1;
	}
	return tail ? tail : file;
}
