/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * From text to tree, by recursive descent:
 *
 *	expr       = conjunct { ("or" | "||") conjunct }
 *	conjunct   = factor { ("and" | "&&") factor }
 *	factor     = ("not" | "!") factor | "(" expr ")" | comparison
 *	comparison = term op limit | limit op term
 *	op         = ">" | ">=" | "<" | "<=" | "==" | "!="
 *	term       = ["diff" "."] ( "tree" "." field | "run" "." field | "outside" "." field | "lost" "." field | "unaccounted" | subject | field )
 *	subject    = ["role" "(" name ")" "." | "process" "(" (name | pid) ")" "."] ["phase" "(" name ")" "."] ["native" "(" name ")" "."] field
 *	name       = '"' characters '"' | "'" characters "'"
 *	limit      = ["-"] digits ["." digits] [unit] | ... "%"
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bexpr_lex.h"
#include "units.h"

#define RT_COUNTS_MAX (1ull << 53)   /* of a limit that is a count */
#define RT_PERCENT_MAX 1000000000ull /* whole percents of a limit */

struct rt_bfield_row {
	const char *name;
	enum rt_bfield field;
	enum rt_bunit unit;
	unsigned int of; /* enum rt_bwhat, added up */
};

static const struct rt_bfield_row rt_bfields[] = {
	{"rss", RT_BF_RSS, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE},
	{"delta", RT_BF_DELTA, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE | RT_BW_ALL},
	{"growth", RT_BF_DELTA, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE | RT_BW_ALL},
	{"own", RT_BF_OWN, RT_BU_BYTES, RT_BW_PHASE | RT_BW_NATIVE},
	{"anon", RT_BF_ANON, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE},
	{"file", RT_BF_FILE, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE},
	{"shmem", RT_BF_SHMEM, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE},
	{"gained", RT_BF_GAINED, RT_BU_BYTES, RT_BW_PHASE | RT_BW_NATIVE},
	{"released", RT_BF_RELEASED, RT_BU_BYTES, RT_BW_PHASE | RT_BW_NATIVE},
	{"reused", RT_BF_REUSED, RT_BU_BYTES, RT_BW_PHASE},
	{"helpers", RT_BF_HELPERS, RT_BU_BYTES, RT_BW_PHASE},
	{"children", RT_BF_CHILDREN, RT_BU_BYTES, RT_BW_PHASE},
	{"peak", RT_BF_PEAK, RT_BU_BYTES, RT_BW_PROC | RT_BW_PHASE | RT_BW_TREE},
	{"start", RT_BF_START, RT_BU_BYTES, RT_BW_PROC},
	{"end", RT_BF_END, RT_BU_BYTES, RT_BW_TREE},
	{"time", RT_BF_TIME, RT_BU_TIME, RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE | RT_BW_RUN},
	{"calls", RT_BF_CALLS, RT_BU_COUNT, RT_BW_PHASE | RT_BW_NATIVE},
	{"minor_faults", RT_BF_MINOR, RT_BU_COUNT, RT_BW_PHASE},
	{"major_faults", RT_BF_MAJOR, RT_BU_COUNT, RT_BW_PHASE},
	{"outside", RT_BF_OUTSIDE, RT_BU_BYTES, RT_BW_PROC},
	{"unaccounted", RT_BF_UNACCOUNTED, RT_BU_BYTES, RT_BW_PROC},
	{"bytes", RT_BF_BYTES, RT_BU_BYTES, RT_BW_OUTSIDE | RT_BW_NATIVE},
	{"freed", RT_BF_FREED, RT_BU_BYTES, RT_BW_NATIVE},
	{"records", RT_BF_RECORDS, RT_BU_COUNT, RT_BW_LOST},
	{"stacks", RT_BF_STACKS, RT_BU_COUNT, RT_BW_LOST},
	{"late", RT_BF_LATE, RT_BU_COUNT, RT_BW_LOST},
};
#define RT_BFIELDS (sizeof(rt_bfields) / sizeof(rt_bfields[0]))

/* ---- terms ---- */

static bool rt_bread_name(struct rt_bparser *p, char *to, const char *what)
{
	if (p->failed)
		return false;
	if (p->at.kind != RT_TK_NAME) {
		rt_bexpected(p, what);
		return false;
	}
	memcpy(to, p->text + p->at.begin, p->at.len);
	to[p->at.len] = '\0';
	rt_bnext(p);
	return !p->failed;
}

static bool rt_bread_process(struct rt_bparser *p, struct rt_bterm *term)
{
	char number[16];
	uint64_t pid;

	if (p->at.kind != RT_TK_LIMIT)
		return rt_bread_name(p, term->process, "a name in quotes or a process id");
	snprintf(number, sizeof(number), "%.*s", p->at.len < 15 ? (int)p->at.len : 15, p->text + p->at.begin);
	if (rt_number_parse(number, 1, 4194304, &pid)) {
		rt_bfail(p, p->at.begin, "a process id is a number from 1 to 4194304");
		return false;
	}
	term->pid = (uint32_t)pid;
	rt_bnext(p);
	return true;
}

/* role("...") or process(...), phase("..."), native("..."), each with the point behind it. */
static bool rt_bread_subject(struct rt_bparser *p, struct rt_bterm *term)
{
	bool some = false;

	if (rt_btake(p, RT_TK_WORD, "role")) {
		some = rt_bexpect(p, "(", "( after role") && rt_bread_name(p, term->role, "a name in quotes, such as \"Worker*\"");
		term->what = RT_BW_PROC;
	} else if (rt_btake(p, RT_TK_WORD, "process")) {
		some = rt_bexpect(p, "(", "( after process") && rt_bread_process(p, term);
		term->what = RT_BW_PROC;
	}
	if (some)
		some = rt_bexpect(p, ")", ")") && rt_bexpect(p, ".", ". and a field or phase(\"...\")");
	if (p->failed)
		return false;
	if (rt_btake(p, RT_TK_WORD, "phase")) {
		term->what = RT_BW_PHASE;
		some = rt_bexpect(p, "(", "( after phase");
		term->phase_at = p->at.begin - (p->at.kind == RT_TK_NAME);
		some = some && rt_bread_name(p, term->phase, "the id of a phase in quotes") && rt_bexpect(p, ")", ")") && rt_bexpect(p, ".", ". and a field");
	}
	if (rt_btake(p, RT_TK_WORD, "native")) {
		term->what = RT_BW_NATIVE;
		some = rt_bexpect(p, "(", "( after native") && rt_bread_name(p, term->native, "the name of a function in quotes") && rt_bexpect(p, ")", ")") &&
		       rt_bexpect(p, ".", ". and a field");
	}
	return some && !p->failed;
}

static void rt_bread_field(struct rt_bparser *p, struct rt_bterm *term)
{
	char list[256] = "";
	size_t used = 0;

	if (p->failed)
		return;
	for (size_t i = 0; i < RT_BFIELDS; i++) {
		const struct rt_bfield_row *row = &rt_bfields[i];

		if (!(row->of & term->what))
			continue;
		if (rt_bis(p, RT_TK_WORD, row->name)) {
			term->field = row->field;
			term->unit = row->unit;
			rt_bnext(p);
			return;
		}
		used += (size_t)snprintf(list + used, used < sizeof(list) ? sizeof(list) - used : 0, "%s%s", used ? ", " : "", row->name);
		if (used > sizeof(list))
			used = sizeof(list);
	}
	rt_bexpected(p, list);
}

/* tree.peak and the like: one word that says what it is of. */
static bool rt_bread_whole(struct rt_bparser *p, struct rt_bterm *term)
{
	static const struct {
		const char *word;
		enum rt_bwhat what;
	} wholes[] = {{"tree", RT_BW_TREE}, {"run", RT_BW_RUN}, {"outside", RT_BW_OUTSIDE}, {"lost", RT_BW_LOST}};

	for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++) {
		if (!rt_btake(p, RT_TK_WORD, wholes[i].word))
			continue;
		term->what = wholes[i].what;
		if (rt_bexpect(p, ".", ". and a field"))
			rt_bread_field(p, term);
		return true;
	}
	if (!rt_btake(p, RT_TK_WORD, "unaccounted"))
		return false;
	term->what = RT_BW_UNACCOUNTED;
	term->field = RT_BF_UNACCOUNTED;
	return true;
}

static void rt_bread_term(struct rt_bparser *p, struct rt_bterm *term)
{
	*term = (struct rt_bterm){.begin = p->at.begin};
	if (rt_btake(p, RT_TK_WORD, "diff")) {
		term->diff = true;
		if (!rt_bexpect(p, ".", ". after diff"))
			return;
	}
	if (!rt_bread_whole(p, term)) {
		if (rt_bread_subject(p, term))
			rt_bread_field(p, term);
		else if (!p->failed && term->diff)
			term->what = RT_BW_ALL, rt_bread_field(p, term);
		else
			rt_bexpected(p, "phase(\"...\"), role(\"...\"), process(...), native(\"...\"), tree, run, outside, lost, unaccounted, diff or a limit");
	}
	term->end = p->last_end;
}

/* ---- limits ---- */

/* "5%", "0.25%": millionths. */
static bool rt_bpercent(const char *text, size_t len, int64_t *limit)
{
	uint64_t whole = 0, part = 0, scale = 10000;
	size_t i = 0, digits = 0;

	for (; i < len && isdigit((unsigned char)text[i]) && whole <= RT_PERCENT_MAX; i++, digits++)
		whole = whole * 10 + (uint64_t)(text[i] - '0');
	if (i < len && text[i] == '.') {
		for (i++; i < len && isdigit((unsigned char)text[i]); i++, digits++) {
			scale /= 10;
			part += scale * (uint64_t)(text[i] - '0');
		}
	}
	if (i != len || !digits || whole > RT_PERCENT_MAX)
		return false;
	*limit = (int64_t)(whole * 10000 + part);
	return true;
}

static bool rt_blimit_value(const char *text, enum rt_bunit unit, int64_t *limit)
{
	uint64_t value;

	switch (unit) {
	case RT_BU_BYTES:
		return !rt_size_parse(text, limit);
	case RT_BU_TIME:
		if (rt_time_parse(text, &value) || value > INT64_MAX)
			return false;
		break;
	default:
		if (rt_number_parse(text, 0, RT_COUNTS_MAX, &value))
			return false;
	}
	*limit = (int64_t)value;
	return true;
}

/* What a limit says is known only with the field that it is compared with: 5m are minutes or MiB. */
static void rt_bread_limit(struct rt_bparser *p, const struct rt_btoken *t, struct rt_bnode *node)
{
	static const char *const allowed[] = {
		[RT_BU_BYTES] = "a size such as 4096, 64K, 1.5G or 2GiB",
		[RT_BU_TIME] = "a time such as 30s, 5m or 500ms",
		[RT_BU_COUNT] = "a whole number",
	};
	const char *text = p->text + t->begin;
	size_t len = t->len;
	bool minus = *text == '-', good;
	char buf[64];

	text += minus;
	len -= minus;
	if (len && text[len - 1] == '%') {
		if (!node->term.diff) {
			rt_bfail(p, t->begin, "a percentage needs something that it is a part of: only diff. has it; give %s", allowed[node->term.unit]);
			return;
		}
		node->relative = true;
		good = rt_bpercent(text, len - 1, &node->limit);
	} else {
		snprintf(buf, sizeof(buf), "%.*s", len < sizeof(buf) ? (int)len : 0, text);
		good = rt_blimit_value(buf, node->term.unit, &node->limit);
	}
	if (!good) {
		p->at = *t;
		rt_bexpected(p, node->term.diff ? "a size, time or number that fits the field, or a percentage such as 5%" : allowed[node->term.unit]);
	}
	if (minus)
		node->limit = -node->limit;
}

static bool rt_bread_op(struct rt_bparser *p, enum rt_bop *op)
{
	static const char *const signs[] = {[RT_BO_GT] = ">", [RT_BO_GE] = ">=", [RT_BO_LT] = "<", [RT_BO_LE] = "<=", [RT_BO_EQ] = "==", [RT_BO_NE] = "!="};

	for (int i = 0; i <= RT_BO_NE; i++) {
		if (!rt_btake(p, RT_TK_SIGN, signs[i]))
			continue;
		*op = (enum rt_bop)i;
		return true;
	}
	if (!p->failed)
		rt_bexpected(p, ">, >=, <, <=, == or !=");
	return false;
}

/* ---- the tree ---- */

/* Its number, or 0 if it failed (numbers begin at 1 in the parser). */
static unsigned int rt_badd(struct rt_bparser *p, const struct rt_bnode *node)
{
	struct rt_bexpr *expr = p->expr;

	if (p->failed)
		return 0;
	if (expr->n >= RT_BEXPR_NODES) {
		rt_bfail(p, p->at.begin, "too long: more than %u comparisons, ands, ors and nots; make it several budgets", RT_BEXPR_NODES);
		return 0;
	}
	if (expr->n == expr->cap) {
		unsigned int cap = expr->cap ? 2 * expr->cap : 4;
		struct rt_bnode *more = reallocarray(expr->node, cap, sizeof(*more));

		if (!more) {
			rt_bfail_memory(p);
			return 0;
		}
		expr->node = more;
		expr->cap = cap;
	}
	expr->node[expr->n++] = *node;
	return expr->n;
}

static unsigned int rt_bcomparison(struct rt_bparser *p)
{
	static const enum rt_bop turned[] = {
		[RT_BO_GT] = RT_BO_LT, [RT_BO_GE] = RT_BO_LE, [RT_BO_LT] = RT_BO_GT, [RT_BO_LE] = RT_BO_GE, [RT_BO_EQ] = RT_BO_EQ, [RT_BO_NE] = RT_BO_NE,
	};
	struct rt_bnode node = {.kind = RT_BK_COMPARE};
	struct rt_btoken limit = p->at;
	bool first = limit.kind == RT_TK_LIMIT;

	if (first)
		rt_bnext(p);
	else
		rt_bread_term(p, &node.term);
	if (p->failed || !rt_bread_op(p, &node.op))
		return 0;
	if (first) {
		rt_bread_term(p, &node.term);
		node.op = turned[node.op];
	} else if (p->at.kind != RT_TK_LIMIT) {
		rt_bexpected(p, "a limit such as 40G, 30s or 0");
	} else {
		limit = p->at;
		rt_bnext(p);
	}
	if (!p->failed)
		rt_bread_limit(p, &limit, &node);
	return rt_badd(p, &node);
}

static unsigned int rt_bor(struct rt_bparser *p);

static unsigned int rt_bfactor(struct rt_bparser *p)
{
	struct rt_bnode node = {.kind = RT_BK_NOT};
	unsigned int at;

	if (p->failed)
		return 0;
	if (++p->depth > RT_BEXPR_DEPTH) {
		rt_bfail(p, p->at.begin, "nested deeper than %d", RT_BEXPR_DEPTH);
		return 0;
	}
	if (rt_btake(p, RT_TK_WORD, "not") || rt_btake(p, RT_TK_SIGN, "!")) {
		node.a = rt_bfactor(p);
		at = rt_badd(p, &node);
	} else if (rt_btake(p, RT_TK_SIGN, "(")) {
		at = rt_bor(p);
		rt_bexpect(p, ")", "), and, or");
	} else {
		at = p->failed ? 0 : rt_bcomparison(p);
	}
	p->depth--;
	return at;
}

static unsigned int rt_bchain(struct rt_bparser *p, enum rt_bkind kind, const char *word, const char *sign, unsigned int (*operand)(struct rt_bparser *p))
{
	unsigned int at = operand(p);

	while (rt_btake(p, RT_TK_WORD, word) || rt_btake(p, RT_TK_SIGN, sign)) {
		struct rt_bnode node = {.kind = kind, .a = at};

		node.b = operand(p);
		at = rt_badd(p, &node);
	}
	return at;
}

static unsigned int rt_band(struct rt_bparser *p)
{
	return rt_bchain(p, RT_BK_AND, "and", "&&", rt_bfactor);
}

static unsigned int rt_bor(struct rt_bparser *p)
{
	return rt_bchain(p, RT_BK_OR, "or", "||", rt_band);
}

struct rt_bexpr *rt_bexpr_parse(const char *text, struct rt_bexpr_error *error)
{
	struct rt_bparser p = {.text = text, .len = strlen(text), .error = error};

	*error = (struct rt_bexpr_error){.text = "out of memory"};
	p.expr = calloc(1, sizeof(*p.expr));
	if (!p.expr)
		return NULL;
	p.expr->text = text;
	if (p.len > RT_BEXPR_TEXT) {
		p.len = RT_BEXPR_TEXT;
		rt_bfail(&p, RT_BEXPR_TEXT, "longer than %u bytes; make it several budgets", RT_BEXPR_TEXT);
	}
	rt_bnext(&p);
	rt_bor(&p);
	if (!p.failed && p.at.kind != RT_TK_END)
		rt_bexpected(&p, "and, or, or the end");
	if (p.failed) {
		rt_bexpr_free(p.expr);
		return NULL;
	}
	return p.expr;
}

void rt_bexpr_free(struct rt_bexpr *expr)
{
	if (!expr)
		return;
	free(expr->node);
	free(expr);
}
