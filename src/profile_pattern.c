/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile_read.h"

#define RT_PATTERN_COST_MAX 2048u   /* characters that regcomp makes of a pattern: it copies what is repeated */
#define RT_PATTERNS_COST_MAX 65536u /* of all patterns of a profile */
#define RT_PATTERN_DEPTH_MAX 64     /* regcomp calls itself for each parenthesis */

/* The length of the bracket expression at `p`, 1 if it never closes. */
static size_t rt_bracket_len(const char *p)
{
	const char *s = p + 1;

	s += *s == '^';
	s += *s == ']'; /* the first is an ordinary character */
	for (; *s && *s != ']'; s++) {
		if (*s == '[' && s[1] && strchr(":.=", s[1])) { /* [:alpha:] */
			const char close[] = { s[1], ']', '\0' }, *found = strstr(s + 2, close);

			s = found ? found + 1 : s;
		}
	}
	return *s ? (size_t)(s - p) + 1 : 1;
}

/* How often the repetition at `p` makes regcomp copy what stands before it; *len: its characters, 0: `p` is none. */
static uint64_t rt_repetition(const char *p, size_t *len)
{
	unsigned long low, high;
	char *end;

	*len = strchr("*?+", *p) ? 1 : 0;
	if (*p != '{')
		return *p == '+' ? 2 : 1;
	if (p[1] != ',' && !(p[1] >= '0' && p[1] <= '9'))
		return 1;
	low = strtoul(p + 1, &end, 10);
	high = *end == ',' ? strtoul(end + 1, &end, 10) : low;
	*len = (size_t)(end - p) + (*end == '}');
	if (low > UINT16_MAX || high > UINT16_MAX)
		return UINT16_MAX;
	return (low > high ? low : high) + 1;
}

/* Says what makes a pattern too dear to compile, or NULL. A profile may come from a stranger, and regcomp takes what it
 * is given: nested repetitions of a few characters are gigabytes. References back make matching exponential, on text
 * that comes from the target. */
static const char *rt_pattern_fault(const char *p, uint64_t *cost)
{
	uint64_t sum[RT_PATTERN_DEPTH_MAX + 1] = { 0 }, last = 0;
	unsigned int depth = 0;
	size_t len;

	while (*p) {
		uint64_t times = rt_repetition(p, &len);

		if (len) {
			sum[depth] += last * (times - 1);
			last *= times;
			p += len;
		} else if (*p == '(' && depth == RT_PATTERN_DEPTH_MAX) {
			return "too many parentheses in each other";
		} else if (*p == '(') {
			sum[++depth] = 0;
			last = 0;
			p++;
		} else if (*p == ')' && depth) {
			last = sum[depth--] + 1;
			sum[depth] += last;
			p++;
		} else {
			if (*p == '\\' && p[1] >= '1' && p[1] <= '9')
				return "references back (\\1) are no part of POSIX extended regexes";
			p += *p == '[' ? rt_bracket_len(p) : *p == '\\' && p[1] ? 2 : 1;
			last = 1;
			sum[depth]++;
		}
		if (sum[depth] > RT_PATTERN_COST_MAX)
			return "too large, with its repetitions written out";
	}
	while (depth--) /* parentheses that never close: regcomp's to refuse */
		sum[depth] += sum[depth + 1];
	*cost += sum[0];
	return *cost > RT_PATTERNS_COST_MAX ? "too large, together with all patterns before it" : NULL;
}

static int rt_read_pattern(struct rt_reader *r, const struct rt_key *key, void *object)
{
	const char *text = rt_text(r, key, true), *fault;
	struct rt_phase *phase = object;
	struct rt_pattern pattern = { 0 }, *place;
	char reason[128] = "";
	int code;

	if (!text)
		return -EINVAL;
	fault = rt_pattern_fault(text, &r->cost);
	code = fault ? 0 : regcomp(&pattern.compiled, text, REG_EXTENDED | REG_NOSUB);
	if (code) {
		regerror(code, &pattern.compiled, reason, sizeof(reason));
		fault = reason;
	}
	if (fault) {
		char *quote = rt_quote(text);
		int err = rt_refuse(r, rt_line(r),
				    "bad regex `%s` in `%s`: %s (a literal ( [ { . * + ? is written \\( ...)",
				    quote ? quote : "?", key->name, fault);

		free(quote);
		return err;
	}
	pattern.source = strdup(text);
	place = pattern.source ? rt_array_grow(&phase->statements, &phase->n_statements, sizeof(*place)) : NULL;
	if (!place) {
		free(pattern.source);
		regfree(&pattern.compiled);
		return rt_refuse_memory(r);
	}
	*place = pattern;
	return 0;
}

int rt_read_patterns(struct rt_reader *r, const struct rt_key *key, void *object)
{
	return rt_read_list(r, key, object, rt_read_pattern);
}
