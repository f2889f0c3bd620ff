/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What a budget's expression is worth: values of a summary, or of several compared, and which of them decided. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bexpr_tree.h"
#include "units.h"

#define RT_WITNESSES 4u	 /* named in one comparison's detail */
#define RT_NAME_CHARS 64 /* of a process's name there */

int rt_bexpr_check(const struct rt_bexpr *expr, const struct rt_profile *profile, struct rt_bexpr_error *error)
{
	for (unsigned int n = 0; n < expr->n; n++) {
		const struct rt_bterm *term = &expr->node[n].term;
		bool found = expr->node[n].kind != RT_BK_COMPARE || !*term->phase;
		char *safe;

		for (size_t i = 0; !found && i < profile->n_phases; i++)
			found = rt_bexpr_glob(term->phase, profile->phases[i].id);
		if (found)
			continue;
		safe = rt_text_escape(term->phase, RT_NAME_CHARS);
		error->column = rt_bexpr_column(expr->text, term->phase_at);
		snprintf(error->text, sizeof(error->text), "profile %.64s has no phase '%s': the ids are in %.200s", profile->name, safe ? safe : "?",
			 profile->path ? profile->path : "the profile");
		free(safe);
		return -ENOENT;
	}
	return 0;
}

bool rt_bexpr_compares(const struct rt_bexpr *expr, struct rt_bexpr_error *error)
{
	for (unsigned int n = 0; n < expr->n; n++) {
		if (expr->node[n].kind != RT_BK_COMPARE || !expr->node[n].term.diff)
			continue;
		if (error) {
			error->column = rt_bexpr_column(expr->text, expr->node[n].term.begin);
			snprintf(error->text, sizeof(error->text), "diff. compares runs: only ramtrack-bpf diff has several");
		}
		return true;
	}
	return false;
}

/* ---- one comparison ---- */

struct rt_bjudge {
	const struct rt_bexpr *expr;
	const struct rt_bnode *node;
	const struct rt_bworld *world;
	FILE *detail;
	unsigned int true_ones, seen;
	/* The one that is said if none is true: the highest value, or the lowest where the limit is from below. */
	bool have;
	int64_t value, base;
	char where[160];
};

static bool rt_bholds(const struct rt_bnode *node, int64_t value, int64_t base)
{
	__int128 left = value, right = node->limit;

	if (node->relative) {
		left *= 1000000;
		right *= base < 0 ? -(__int128)base : base;
	}
	switch (node->op) {
	case RT_BO_GT:
		return left > right;
	case RT_BO_GE:
		return left >= right;
	case RT_BO_LT:
		return left < right;
	case RT_BO_LE:
		return left <= right;
	case RT_BO_EQ:
		return left == right;
	default:
		return left != right;
	}
}

static void rt_bput_value(FILE *out, const struct rt_bnode *node, int64_t value, int64_t base)
{
	bool sign = node->term.diff;

	if (node->term.unit == RT_BU_BYTES)
		fprintf(out, "%s MiB", rt_mib_format(value, sign).text);
	else if (node->term.unit == RT_BU_TIME)
		fprintf(out, "%s%s", value < 0 ? "-" : sign ? "+" : "", rt_time_format(value < 0 ? 0 - (uint64_t)value : (uint64_t)value).text);
	else
		fprintf(out, sign ? "%+lld" : "%lld", (long long)value);
	if (node->relative && base)
		fprintf(out, " (%+.2f%%)", 100.0 * (double)value / (base < 0 ? -(double)base : (double)base));
	else if (node->relative)
		fputs(" (of nothing)", out);
}

static void rt_bput_term(FILE *out, const struct rt_bjudge *judge)
{
	const struct rt_bterm *term = &judge->node->term;
	char buf[RT_BEXPR_TEXT + 1];
	char *safe;

	snprintf(buf, sizeof(buf), "%.*s", (int)(term->end - term->begin), judge->expr->text + term->begin);
	safe = rt_text_escape(buf, 0);
	fputs(safe ? safe : "?", out);
	free(safe);
}

/* One value that the comparison is about. `phase` is said where the pattern may be another one's. */
static void rt_bvalue(struct rt_bjudge *judge, int64_t value, int64_t base, const char *name, const struct rt_proc_view *proc, const char *phase)
{
	bool lowest = judge->node->op == RT_BO_LT || judge->node->op == RT_BO_LE, holds = rt_bholds(judge->node, value, base);
	bool better = !judge->have || (lowest ? value < judge->value : value > judge->value);
	char *safe = name ? rt_text_escape(name, RT_NAME_CHARS) : NULL;
	char where[160] = "", pid[32] = "";

	judge->seen++;
	if (proc)
		snprintf(pid, sizeof(pid), " (pid %u)", proc->pid);
	if (name)
		snprintf(where, sizeof(where), "%s%s in %.100s%s", phase && strcmp(phase, judge->node->term.phase) ? " of " : "",
			 phase && strcmp(phase, judge->node->term.phase) ? phase : "", safe ? safe : "?", pid);
	free(safe);
	if (holds && judge->detail && judge->true_ones < RT_WITNESSES) {
		if (!judge->true_ones) {
			rt_bput_term(judge->detail, judge);
			fputs(" is ", judge->detail);
		} else {
			fputs(", ", judge->detail);
		}
		rt_bput_value(judge->detail, judge->node, value, base);
		fputs(where, judge->detail);
	}
	judge->true_ones += holds;
	if (!better)
		return;
	judge->have = true;
	judge->value = value;
	judge->base = base;
	memcpy(judge->where, where, sizeof(where));
}

/* ---- all that a comparison is about, in one run ---- */

static void rt_bjudge_procs(struct rt_bjudge *judge)
{
	const struct rt_bterm *term = &judge->node->term;
	const struct rt_bworld *world = judge->world;

	for (size_t i = 0; i < world->summary->n_procs; i++) {
		const struct rt_proc_summary *proc = &world->summary->procs[i];
		int64_t value;

		if (!rt_bmatch_proc(term, &proc->proc, proc->proc.name))
			continue;
		if (term->what == RT_BW_PROC) {
			rt_bvalue(judge, rt_bproc(proc, term->field), 0, proc->proc.name, &proc->proc, NULL);
			continue;
		}
		if (term->what == RT_BW_NATIVE) {
			if (rt_bnative(proc, term, &value))
				rt_bvalue(judge, value, 0, proc->proc.name, &proc->proc, NULL);
			continue;
		}
		for (size_t p = 0; proc->n_phases && p < world->profile->n_phases; p++) {
			const char *id = world->profile->phases[p].id;

			if (rt_bexpr_glob(term->phase, id) && rt_bphase(proc, id, term->field, &value))
				rt_bvalue(judge, value, 0, proc->proc.name, &proc->proc, id);
		}
	}
}

/* ---- and in several, compared ---- */

static void rt_bjudge_growth(struct rt_bjudge *judge, const int64_t *old, int64_t now, const char *name, const struct rt_proc_view *proc, const char *phase)
{
	int64_t base = 0, growth = judge->world->growth(old, judge->world->n_old, now, &base);

	rt_bvalue(judge, growth, base, name, proc, phase);
}

/* What the term is worth in a process of one run: of its phase `id`, or (NULL) of itself, or of its native functions. */
static bool rt_bin_proc(const struct rt_bterm *term, const struct rt_proc_summary *proc, const char *id, int64_t *value)
{
	*value = 0; /* what was not there had nothing */
	if (!proc)
		return false;
	if (id)
		return rt_bphase(proc, id, term->field, value);
	if (term->what == RT_BW_NATIVE)
		return rt_bnative(proc, term, value);
	*value = rt_bproc(proc, term->field);
	return true;
}

static void rt_bjudge_pair(struct rt_bjudge *judge, const struct rt_bpair *pair, int64_t *old, const char *id)
{
	const struct rt_bterm *term = &judge->node->term;
	bool any = false;
	int64_t now;

	for (size_t i = 0; i < judge->world->n_old; i++)
		any |= rt_bin_proc(term, pair->old[i], id, &old[i]);
	any |= rt_bin_proc(term, pair->now, id, &now);
	if (any)
		rt_bjudge_growth(judge, old, now, pair->name, pair->now ? &pair->now->proc : NULL, id);
}

static int rt_bjudge_pairs(struct rt_bjudge *judge)
{
	const struct rt_bterm *term = &judge->node->term;
	const struct rt_bworld *world = judge->world;
	int64_t *old = calloc(world->n_old + 1, sizeof(*old));

	if (!old)
		return -ENOMEM;
	if (!(term->what & RT_BW_IN_PROC)) {
		for (size_t i = 0; i < world->n_old; i++)
			old[i] = rt_bwhole(world->old[i], term);
		rt_bjudge_growth(judge, old, rt_bwhole(world->summary, term), NULL, NULL, NULL);
	}
	for (size_t i = 0; term->what & RT_BW_IN_PROC && i < world->n_pairs; i++) {
		const struct rt_bpair *pair = &world->pairs[i];

		if (!rt_bmatch_proc(term, pair->now ? &pair->now->proc : NULL, pair->name))
			continue;
		if (term->what != RT_BW_PHASE) {
			rt_bjudge_pair(judge, pair, old, NULL);
			continue;
		}
		for (size_t p = 0; p < world->profile->n_phases; p++) {
			if (rt_bexpr_glob(term->phase, world->profile->phases[p].id))
				rt_bjudge_pair(judge, pair, old, world->profile->phases[p].id);
		}
	}
	free(old);
	return 0;
}

/* Which native functions were called where the term looks for them, for who has written another name: a few of them, with their kinds. */
static void rt_bput_called(FILE *out, const struct rt_bjudge *judge)
{
	const struct rt_summary *summary = judge->world->summary;
	const struct rt_bterm *term = &judge->node->term;
	const char *said[RT_WITNESSES];
	unsigned int n = 0;

	for (size_t i = 0; i < summary->n_procs; i++) {
		const struct rt_proc_summary *proc = &summary->procs[i];

		if (!rt_bmatch_proc(term, &proc->proc, proc->proc.name))
			continue;
		for (size_t k = 0; k < proc->n_natives; k++) {
			const struct rt_native_sum_view *row = &proc->natives[k];
			bool again = false;
			char *symbol, *kind;

			if (*term->phase && (!row->phase || !rt_bexpr_glob(term->phase, row->phase->id)))
				continue;
			for (unsigned int s = 0; s < n && !again; s++)
				again = !strcmp(said[s], row->symbol);
			if (again)
				continue;
			if (n == RT_WITNESSES) {
				fputs(", ...", out);
				return;
			}
			symbol = rt_text_escape(row->symbol, RT_NAME_CHARS);
			kind = rt_text_escape(row->kind, RT_NAME_CHARS);
			fprintf(out, "%s%s (%s)", n ? ", " : "; called there were ", symbol ? symbol : "?", kind ? kind : "?");
			free(symbol);
			free(kind);
			said[n++] = row->symbol;
		}
	}
	if (!n)
		fputs(", nor was any other native function", out);
}

static bool rt_bany_proc(const struct rt_bjudge *judge)
{
	const struct rt_summary *summary = judge->world->summary;

	for (size_t i = 0; i < summary->n_procs; i++) {
		if (rt_bmatch_proc(&judge->node->term, &summary->procs[i].proc, summary->procs[i].proc.name))
			return true;
	}
	return false;
}

static void rt_bput_not_there(FILE *out, const struct rt_bjudge *judge)
{
	const struct rt_bterm *term = &judge->node->term;

	if (term->diff && !judge->world->n_old)
		fputs(": nothing to compare with", out);
	else if (term->what == RT_BW_PHASE)
		fputs(": it never ran", out);
	else if (term->what == RT_BW_NATIVE && rt_bany_proc(judge)) {
		fputs(*term->phase ? ": it was not called in that phase" : ": it was never called", out);
		rt_bput_called(out, judge);
	} else
		fputs(": no such process", out);
}

static enum rt_btruth rt_bcompare(const struct rt_bexpr *expr, const struct rt_bnode *node, const struct rt_bworld *world, FILE *detail)
{
	struct rt_bjudge judge = {.expr = expr, .node = node, .world = world, .detail = detail};
	const struct rt_bterm *term = &node->term;

	if (term->diff) {
		if (world->n_old && rt_bjudge_pairs(&judge))
			return RT_BT_UNKNOWN;
	} else if (term->what & RT_BW_IN_PROC) {
		rt_bjudge_procs(&judge);
	} else {
		rt_bvalue(&judge, rt_bwhole(world->summary, term), 0, NULL, NULL, NULL);
	}
	if (!judge.seen && term->field == RT_BF_CALLS) /* the one thing that is known of a phase that never ran */
		rt_bvalue(&judge, 0, 0, NULL, NULL, NULL);
	if (detail && judge.true_ones > RT_WITNESSES)
		fprintf(detail, " and %u more", judge.true_ones - RT_WITNESSES);
	if (detail && !judge.true_ones) {
		rt_bput_term(detail, &judge);
		if (judge.have) {
			fputs(" is ", detail);
			rt_bput_value(detail, node, judge.value, judge.base);
			fputs(judge.where, detail);
		} else {
			rt_bput_not_there(detail, &judge);
		}
	}
	return judge.true_ones ? RT_BT_TRUE : judge.seen ? RT_BT_FALSE : RT_BT_UNKNOWN;
}

/* ---- the whole ---- */

static enum rt_btruth rt_bcombine(enum rt_bkind kind, enum rt_btruth a, enum rt_btruth b)
{
	enum rt_btruth decides = kind == RT_BK_OR ? RT_BT_TRUE : RT_BT_FALSE;

	if (kind == RT_BK_NOT)
		return a == RT_BT_UNKNOWN ? a : a == RT_BT_TRUE ? RT_BT_FALSE : RT_BT_TRUE;
	if (a == decides || b == decides)
		return decides;
	if (a == RT_BT_UNKNOWN || b == RT_BT_UNKNOWN)
		return RT_BT_UNKNOWN;
	return kind == RT_BK_OR ? RT_BT_FALSE : RT_BT_TRUE;
}

enum rt_btruth rt_bexpr_judge(const struct rt_bexpr *expr, const struct rt_bworld *world, FILE *detail)
{
	enum rt_btruth truth[RT_BEXPR_NODES + 1] = {RT_BT_UNKNOWN};
	bool some = false;

	/* Operands stand before what they are operands of; their numbers count from 1. */
	for (unsigned int n = 0; n < expr->n; n++) {
		const struct rt_bnode *node = &expr->node[n];

		if (node->kind == RT_BK_COMPARE) {
			if (some && detail)
				fputs("; ", detail);
			some = true;
			truth[n + 1] = rt_bcompare(expr, node, world, detail);
		} else {
			truth[n + 1] = rt_bcombine(node->kind, truth[node->a], node->kind == RT_BK_NOT ? RT_BT_UNKNOWN : truth[node->b]);
		}
	}
	return truth[expr->n];
}

bool rt_bexpr_exceeded(const struct rt_bexpr *expr, const struct rt_proc_view *proc, const struct rt_phase_view *phase, int64_t tree_peak)
{
	const struct rt_bnode *node = &expr->node[0];
	const struct rt_bterm *term = &node->term;

	if (expr->n != 1 || term->diff || term->field != RT_BF_PEAK || (node->op != RT_BO_GT && node->op != RT_BO_GE))
		return false;
	if (term->what == RT_BW_TREE)
		return rt_bholds(node, tree_peak, 0);
	if (!rt_bmatch_proc(term, proc, proc->name))
		return false;
	if (term->what == RT_BW_PROC)
		return rt_bholds(node, proc->peak, 0);
	return phase && rt_bexpr_glob(term->phase, phase->phase->id) && rt_bholds(node, phase->peak, 0);
}
