/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * html.h - the whole run as one page: RSS over time, phases, stacks.
 *
 * What the core tells is kept, bounded (below), and written at the end, since a page has to begin with how it ends. The page needs no network: style, script and
 * the chart library (d3) are in it, put together at build time (tools/page.py), and its Content-Security-Policy allows nothing else. All data is in two blocks
 * of JSON (pagejson.h); the script puts it on the screen as text, never as markup.
 */
#ifndef RT_HTML_H
#define RT_HTML_H

#include "formats.h"

/* Points of all processes' timelines; then each process has half as many. */
#define RT_HTML_POINTS 131072u
#define RT_HTML_POINTS_PROC 1024u
/* Calls of phases shown one by one: then the short ones with little change go, counted. Their sums are in the table. */
#define RT_HTML_SPANS 40000u
/* Stacks and cells (growthtree.h) on the page, and while it runs. */
#define RT_HTML_STACKS 100000u
#define RT_HTML_CELLS 250000u
#define RT_HTML_CELLS_LIVE 400000u
#define RT_HTML_NODES_LIVE 1000000u
/* Processes and mappings told apart; what is more has a common name. */
#define RT_HTML_PROCS 8192u
#define RT_HTML_MAPS 16384u
#define RT_HTML_PATHS 16384u
/* Rows of native functions, of all processes (512 of one): then the smallest go, counted. */
#define RT_HTML_NATIVES 32768u

#endif
