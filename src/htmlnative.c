/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * The page's rows of native functions: the summary's, as columns. "symbol", "library" and "kind" are indices of "texts", "phase" is one of the page's "phases", "flags"
 * are 1: gives memory back, 2: inner. Sizes are bytes, since what is asked for need not be whole pages; times are nanoseconds.
 */
#include <errno.h>

#include "html_in.h"

#define RT_NATIVE_TEXT 4096u /* bytes; a function's names are shorter */

struct rt_native_page {
	struct rt_html *html;
	const struct rt_summary *summary;
	struct rt_textset texts;
	uint64_t below; /* rows that weigh less are left out */
	int error;
};

/* What a row weighs: the largest of its sizes. */
static uint64_t rt_native_weight(const struct rt_native_sum_view *row)
{
	uint64_t most = row->bytes;

	if (row->gained > 0 && (uint64_t)row->gained > most)
		most = (uint64_t)row->gained;
	return row->released > 0 && (uint64_t)row->released > most ? (uint64_t)row->released : most;
}

static size_t rt_native_rows(const struct rt_native_page *page)
{
	size_t n = 0;

	for (size_t p = 0; p < page->summary->n_procs; p++) {
		for (size_t i = 0; i < page->summary->procs[p].n_natives; i++)
			n += rt_native_weight(&page->summary->procs[p].natives[i]) >= page->below;
	}
	return n;
}

static int64_t rt_native_text(struct rt_native_page *page, const char *text)
{
	uint32_t number = rt_textset_put(&page->texts, text, RT_NATIVE_TEXT);

	if (number != UINT32_MAX)
		return number;
	page->error = -ENOMEM;
	return 0;
}

/* Arguments of the target's calls are any number. */
static int64_t rt_native_count(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t rt_native_column(struct rt_native_page *page, size_t proc, const struct rt_native_sum_view *row, int column)
{
	switch (column) {
	case 0: return (int64_t)proc + 1; /* the page's processes are the summary's, after one that is none */
	case 1: return rt_native_text(page, row->symbol);
	case 2: return rt_native_text(page, row->library);
	case 3: return rt_native_text(page, row->kind);
	case 4: return row->is_free | row->inner << 1;
	case 5: return row->phase ? rt_html_phase(page->html, row->phase) : 0;
	case 6: return rt_native_count(row->calls);
	case 7: return rt_native_count(row->duration_ns);
	case 8: return rt_native_count(row->bytes);
	case 9: return row->delta.total;
	case 10: return row->own;
	case 11: return row->delta.kind[RT_SHMEM];
	default: return row->released;
	}
}

static void rt_native_write(struct rt_native_page *page, struct rt_pagejson *json, int column)
{
	size_t n = 0;

	for (size_t p = 0; p < page->summary->n_procs; p++) {
		const struct rt_proc_summary *proc = &page->summary->procs[p];

		for (size_t i = 0; i < proc->n_natives && n < RT_HTML_NATIVES; i++) {
			if (rt_native_weight(&proc->natives[i]) < page->below)
				continue;
			rt_pagejson_int(json, NULL, rt_native_column(page, p, &proc->natives[i], column));
			n++;
		}
	}
}

int rt_html_natives(struct rt_html *html, const struct rt_summary *summary, struct rt_pagejson *json)
{
	static const char *const columns[] = {"proc", "symbol", "library", "kind", "flags", "phase", "calls", "time", "bytes", "delta", "own", "shmem", "released"};
	struct rt_native_page page = {.html = html, .summary = summary};
	size_t all = rt_native_rows(&page), shown = all;

	if (!all)
		return 0;
	while (shown > RT_HTML_NATIVES && page.below < 1ull << 62) {
		page.below = page.below ? page.below * 2 : 4096;
		shown = rt_native_rows(&page);
	}
	rt_pagejson_begin(json, "natives", '{');
	for (int c = 0; c < (int)(sizeof(columns) / sizeof(columns[0])); c++) {
		rt_pagejson_begin(json, columns[c], '[');
		rt_native_write(&page, json, c);
		rt_pagejson_end(json, ']');
	}
	rt_pagejson_begin(json, "texts", '[');
	for (size_t i = 0; i < page.texts.n; i++)
		rt_pagejson_text(json, NULL, page.texts.text[i], 0);
	rt_pagejson_end(json, ']');
	rt_pagejson_int(json, "left_out", (int64_t)(all - (shown < RT_HTML_NATIVES ? shown : RT_HTML_NATIVES)));
	rt_pagejson_end(json, '}');
	rt_textset_free(&page.texts);
	return page.error;
}
