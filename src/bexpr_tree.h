/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* bexpr_tree.h - the parsed form of a budget's expression, shared by its parser (bexpr_lex.c, bexpr_parse.c) and its judge (bexpr_value.c, bexpr.c). */
#ifndef RT_BEXPR_TREE_H
#define RT_BEXPR_TREE_H

#include "bexpr.h"

enum rt_bunit { RT_BU_BYTES, RT_BU_TIME, RT_BU_COUNT };

/* What a value is of. */
enum rt_bwhat {
	RT_BW_TREE = 1,
	RT_BW_RUN = 2,
	RT_BW_OUTSIDE = 4,
	RT_BW_LOST = 8,
	RT_BW_UNACCOUNTED = 16,
	RT_BW_PROC = 32,
	RT_BW_PHASE = 64,
	RT_BW_ALL = 128, /* all processes together: diff.growth */
	RT_BW_NATIVE = 256, /* calls of native functions */
};
#define RT_BW_IN_PROC (RT_BW_PROC | RT_BW_PHASE | RT_BW_NATIVE)

enum rt_bfield {
	RT_BF_RSS, RT_BF_DELTA, RT_BF_OWN, RT_BF_ANON, RT_BF_FILE, RT_BF_SHMEM, RT_BF_GAINED, RT_BF_RELEASED, RT_BF_REUSED, RT_BF_HELPERS,
	RT_BF_CHILDREN, RT_BF_PEAK, RT_BF_START, RT_BF_END, RT_BF_TIME, RT_BF_CALLS, RT_BF_MINOR, RT_BF_MAJOR, RT_BF_OUTSIDE, RT_BF_UNACCOUNTED,
	RT_BF_BYTES, RT_BF_FREED, RT_BF_RECORDS, RT_BF_STACKS, RT_BF_LATE,
};

enum rt_bop { RT_BO_GT, RT_BO_GE, RT_BO_LT, RT_BO_LE, RT_BO_EQ, RT_BO_NE };

enum rt_bkind { RT_BK_OR, RT_BK_AND, RT_BK_NOT, RT_BK_COMPARE };

struct rt_bterm {
	bool diff;
	enum rt_bwhat what;
	enum rt_bfield field;
	enum rt_bunit unit;
	/* Patterns; "": any. `process`: of the command or the executable; pid 0: any. */
	char role[RT_BEXPR_NAME + 1], process[RT_BEXPR_NAME + 1], phase[RT_BEXPR_NAME + 1], native[RT_BEXPR_NAME + 1];
	uint32_t pid;
	size_t begin, end; /* in the text */
	size_t phase_at;   /* where the phase's name stands */
};

struct rt_bnode {
	enum rt_bkind kind;
	unsigned int a, b; /* operands */
	/* RT_BK_COMPARE */
	struct rt_bterm term;
	enum rt_bop op;
	int64_t limit;	/* bytes, ns, a count, or millionths of the base */
	bool relative;
};

struct rt_bexpr {
	const char *text;
	struct rt_bnode *node; /* a node follows its operands: the last one is the whole */
	unsigned int n, cap;
};

/* bexpr_value.c: is the term about this process (`proc` may be NULL where it is known by its name only)? */
bool rt_bmatch_proc(const struct rt_bterm *term, const struct rt_proc_view *proc, const char *name);

/* A field of a phase of one process, all call sites together. Returns whether it ran there. */
bool rt_bphase(const struct rt_proc_summary *proc, const char *id, enum rt_bfield field, int64_t *value);

int64_t rt_bproc(const struct rt_proc_summary *summary, enum rt_bfield field);

/* A field of all calls of the native functions that the term means, in one process. Returns whether there were any. */
bool rt_bnative(const struct rt_proc_summary *proc, const struct rt_bterm *term, int64_t *value);

/* What is of no single process. */
int64_t rt_bwhole(const struct rt_summary *summary, const struct rt_bterm *term);

/* Column (from 1) of a byte of the text. */
size_t rt_bexpr_column(const char *text, size_t at);

#endif
