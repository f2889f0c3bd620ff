/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* html_in.h - inside of html.h: what is kept (html.c), and how it is written (htmlpage.c). */
#ifndef RT_HTML_IN_H
#define RT_HTML_IN_H

#include "growthtree.h"
#include "html.h"
#include "pagejson.h"
#include "rssline.h"

struct rt_html_proc {
	uint32_t pid;
	uint64_t start_ns; /* with the pid: which process */
	struct rt_rssline line;
	int64_t peak; /* as told last */
	int64_t pinned; /* shared memory that native functions of kind `pinned` gained less what they gave back, in this image */
	uint64_t image_ns; /* begin of the image: its exec, or 0 */
	uint64_t spans_left_out;
};

/* A phase inside others: a trie, 0 stands for "no phase". */
struct rt_html_path {
	uint32_t parent, phase; /* phase: index of html->phase */
	uint32_t child, next;	/* first child, next of the same parent; 0: none */
};

struct rt_html_span {
	uint32_t proc, path, tid, call;
	uint64_t start_ns, end_ns;
	int64_t rss_start, rss_end;
	bool exact, open;
};

struct rt_html_start {
	char *version, *kernel, *profile, *mm_source, *mm_hook, *python_entry; /* owned */
	bool mm_exact;
	uint64_t wall_ns, ts_ns;
};

struct rt_html {
	FILE *out;
	enum rt_lang lang;
	int error;
	struct rt_html_start start;
	struct rt_html_proc *proc; /* 0 stands for those that there is no room for */
	size_t n_procs, cap_procs;
	uint32_t *proc_slot; /* by pid and start, open addressing: index + 1 */
	size_t proc_slots;
	uint32_t last_proc;
	size_t points, max_points; /* of all; of one process */
	const struct rt_phase **phase; /* of the profile, in the order in which they were met; 0: none */
	size_t n_phases, cap_phases;
	struct rt_html_path *path;
	size_t n_paths, cap_paths;
	const struct rt_phase *last_path[64]; /* the path that last_path_id is */
	size_t last_path_len;
	uint32_t last_path_id;
	struct rt_html_span *span;
	size_t n_spans, cap_spans;
	uint64_t spans_below; /* ns, or bytes of change: calls below both were left out */
	struct rt_textset maps; /* kind as one letter ('a' + enum rt_map_kind), name; 0: not told apart */
	struct rt_growthtree tree;
};

/* The number of a phase path, outermost first. */
uint32_t rt_html_path(struct rt_html *html, const struct rt_phase *const *path, size_t len);

/* The number of a phase; 0 without memory. */
uint32_t rt_html_phase(struct rt_html *html, const struct rt_phase *phase);

/* The process of this view, 0: there is none. */
uint32_t rt_html_find(const struct rt_html *html, uint32_t pid, uint64_t start_ns);

/* Adds a moment to the timeline of a process: its RSS, and what of it is pinned. */
void rt_html_moment(struct rt_html *html, struct rt_html_proc *proc, const struct rt_proc_view *view, uint64_t ts_ns);

/* Writes the member "natives", if there are any. Returns 0, or -ENOMEM: then some names are wrong. */
int rt_html_natives(struct rt_html *html, const struct rt_summary *summary, struct rt_pagejson *json);

/* Writes the page. Returns 0 or -errno. */
int rt_html_write(struct rt_html *html, const struct rt_summary *summary, const struct rt_self_cost *cost);

#endif
