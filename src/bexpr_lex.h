/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* bexpr_lex.h - the words and signs of a budget's expression, and what is said of those that do not belong there. */
#ifndef RT_BEXPR_LEX_H
#define RT_BEXPR_LEX_H

#include "bexpr_tree.h"

enum rt_btoken_kind { RT_TK_END, RT_TK_WORD, RT_TK_NAME, RT_TK_LIMIT, RT_TK_SIGN };

struct rt_btoken {
	enum rt_btoken_kind kind;
	size_t begin, len; /* of what it says: a name without its quotes */
	size_t end;	   /* where the next one may begin */
};

struct rt_bparser {
	const char *text;
	size_t len;
	struct rt_btoken at; /* not taken yet */
	size_t last_end;     /* of what was taken last */
	int depth;
	struct rt_bexpr *expr;
	struct rt_bexpr_error *error;
	bool failed;
};

/* Something is wrong at a byte of the text; the first one counts. */
__attribute__((format(printf, 3, 4))) void rt_bfail(struct rt_bparser *p, size_t at, const char *format, ...);
void rt_bfail_memory(struct rt_bparser *p);

/* Goes on to the next token. */
void rt_bnext(struct rt_bparser *p);

bool rt_bis(const struct rt_bparser *p, enum rt_btoken_kind kind, const char *text);

/* Goes on if it is this one. False once something is wrong. */
bool rt_btake(struct rt_bparser *p, enum rt_btoken_kind kind, const char *text);

/* "expected ..., found ...". */
void rt_bexpected(struct rt_bparser *p, const char *what);

/* Takes this sign, or says what was expected. */
bool rt_bexpect(struct rt_bparser *p, const char *sign, const char *what);

#endif
