/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * A comparison as one page of tables: no script, nothing from elsewhere, and a content security policy that allows just its own style by its hash.
 * Every name is escaped twice over: control and bidirectional characters made visible, then what HTML takes for markup.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff_out.h"
#include "memtext.h"
#include "units.h"

#define RT_NAME_CHARS 200
#define RT_HTML_NESTING 8 /* classes n1 to n8 */

static const char rt_style[] =
	":root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#57606a;--line:#d0d7de;--head:#f6f8fa;--up:#b3261e;--down:#0b6b3a}\n"
	"@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--dim:#9aa4af;--line:#30363d;--head:#161b22;--up:#ff8a80;--down:#5fd38d}}\n"
	"body{font:14px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:90rem;margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .25rem}p{margin:.25rem 0;color:var(--dim)}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.2rem .7rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\n"
	"th{background:var(--head);font-weight:600}th:first-child,td:first-child,td.left{text-align:left}\n"
	".up{color:var(--up)}.down{color:var(--down)}.dim{color:var(--dim)}\n"
	".n1{padding-left:2rem}.n2{padding-left:3.2rem}.n3{padding-left:4.4rem}.n4{padding-left:5.6rem}.n5{padding-left:6.8rem}.n6{padding-left:8rem}.n7{padding-left:9.2rem}.n8{padding-left:10.4rem}\n"
	"details,.spread{margin:.3rem 0}.spread{padding-left:1.1em}summary{cursor:pointer}ol{margin:.2rem 0 .6rem;font-family:ui-monospace,monospace;font-size:13px;overflow-wrap:anywhere}\n"
	"@media print{details>*{display:block}}\n";

/* Base64 of the SHA-256 of rt_style; a test works it out anew. */
static const char rt_style_hash[] = "syLk/KlxhFHYdkxacLU4zJ8UkwvUKBeeVYY1/VvmerE=";

struct rt_diff_page {
	FILE *out;
	enum rt_lang lang;
	const struct rt_diff *diff;
	bool failed;
};

static void rt_put_html(FILE *out, const char *text)
{
	for (; *text; text++) {
		const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '"' ? "&quot;" : *text == '\'' ? "&#39;" : NULL;

		if (entity)
			fputs(entity, out);
		else
			fputc(*text, out);
	}
}

static void rt_put_name(struct rt_diff_page *p, const char *name)
{
	char *safe = rt_text_escape(name, RT_NAME_CHARS);

	p->failed |= !safe;
	rt_put_html(p->out, safe ? safe : "?");
	free(safe);
}

static const char *rt_word(const struct rt_diff_page *p, enum rt_diff_word word)
{
	return rt_diff_word(word, p->lang);
}

static void rt_put_word(struct rt_diff_page *p, enum rt_diff_word word)
{
	rt_put_html(p->out, rt_word(p, word));
}

/* A paragraph of a word with one size in it. */
static void rt_put_rule(struct rt_diff_page *p, enum rt_diff_word word, int64_t size)
{
	char text[400];

	snprintf(text, sizeof(text), rt_word(p, word), rt_mib_format(size, false).text);
	fputs("<p>", p->out);
	rt_put_html(p->out, text);
	fputs("</p>\n", p->out);
}

static void rt_put_difference(struct rt_diff_page *p, const char *element, int64_t difference)
{
	fprintf(p->out, "<%s%s>%s</%s>", element, difference > 0 ? " class=\"up\"" : difference < 0 ? " class=\"down\"" : "", rt_mib_format(difference, difference != 0).text, element);
}

static void rt_put_value(struct rt_diff_page *p, const struct rt_diff_value *value)
{
	double old = (double)value->noise.mean;

	fprintf(p->out, "<td>%s</td>", rt_mib_format(value->noise.mean, false).text);
	if (p->diff->n_old > 1)
		fprintf(p->out, "<td class=\"dim\">%s..%s</td>", rt_mib_format(value->noise.lo, false).text, rt_mib_format(value->noise.hi, false).text);
	fprintf(p->out, "<td>%s</td>", rt_mib_format(value->now, false).text);
	rt_put_difference(p, "td", value->difference);
	if (old && value->difference)
		fprintf(p->out, "<td>%+.1f%%</td>", 100.0 * (double)value->difference / (old < 0 ? -old : old));
	else
		fputs("<td></td>", p->out);
}

static void rt_put_head(struct rt_diff_page *p, enum rt_diff_word first, const enum rt_diff_word *more, size_t n_more)
{
	const enum rt_diff_word words[] = {first, RT_DW_OLD, RT_DW_NOISE, RT_DW_NEW, RT_DW_DIFFERENCE};

	fputs("<div class=\"wide\"><table><thead><tr>", p->out);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (words[i] == RT_DW_NOISE && p->diff->n_old < 2)
			continue;
		fputs("<th scope=\"col\">", p->out);
		rt_put_word(p, words[i]);
		fputs("</th>", p->out);
	}
	fputs("<th scope=\"col\">%</th>", p->out);
	for (size_t i = 0; i < n_more; i++) {
		fputs("<th scope=\"col\">", p->out);
		rt_put_word(p, more[i]);
		fputs("</th>", p->out);
	}
	fputs(n_more ? "<th></th></tr></thead><tbody>\n" : "</tr></thead><tbody>\n", p->out);
}

static void rt_put_phases(struct rt_diff_page *p, const struct rt_diff_proc *proc)
{
	static const enum rt_diff_word more[] = {RT_DW_OWN, RT_DW_ANON, RT_DW_FILE, RT_DW_SHMEM};
	size_t n = 0;

	for (size_t i = 0; i < proc->n_phases; i++) {
		const struct rt_diff_phase *phase = &proc->phases[i];
		size_t nesting = phase->path_len ? phase->path_len - 1 : 0;
		int kinds = phase->phase ? RT_DM_KIND : RT_DM_OWN_KIND;

		if (!rt_diff_phase_counts(p->diff, phase))
			continue;
		if (!n++)
			rt_put_head(p, RT_DW_PHASE, more, sizeof(more) / sizeof(more[0]));
		fprintf(p->out, "<tr><td class=\"n%zu\">", nesting < RT_HTML_NESTING ? nesting : RT_HTML_NESTING);
		rt_put_name(p, rt_diff_label(phase, p->lang));
		fputs("</td>", p->out);
		rt_put_value(p, &phase->value[RT_DM_DELTA]);
		rt_put_difference(p, "td", phase->value[RT_DM_OWN].difference);
		rt_put_difference(p, "td", phase->value[kinds + RT_ANON].difference);
		rt_put_difference(p, "td", phase->value[kinds + RT_FILE].difference);
		rt_put_difference(p, "td", phase->value[kinds + RT_SHMEM].difference);
		fputs("<td class=\"left\">", p->out);
		if (phase->state != RT_DIFF_BOTH)
			rt_put_word(p, phase->state == RT_DIFF_NEW ? RT_DW_IS_NEW : RT_DW_IS_GONE);
		fputs("</td></tr>\n", p->out);
	}
	if (n)
		fputs("</tbody></table></div>\n", p->out);
}

static void rt_put_native(struct rt_diff_page *p, const struct rt_diff_native *native)
{
	const struct rt_diff_value *calls = &native->value[RT_DN_CALLS];

	fputs("<tr><td>", p->out);
	rt_put_name(p, native->symbol);
	rt_put_html(p->out, rt_diff_remark(native, p->lang));
	fputs("</td>", p->out);
	rt_put_value(p, &native->value[RT_DN_BYTES]);
	if (calls->difference)
		fprintf(p->out, "<td>%lld &rarr; %lld</td>", (long long)calls->noise.mean, (long long)calls->now);
	else
		fprintf(p->out, "<td>%lld</td>", (long long)calls->now);
	rt_put_difference(p, "td", native->value[RT_DN_DELTA].difference);
	rt_put_difference(p, "td", native->value[RT_DN_KIND + RT_ANON].difference);
	rt_put_difference(p, "td", native->value[RT_DN_KIND + RT_FILE].difference);
	rt_put_difference(p, "td", native->value[RT_DN_KIND + RT_SHMEM].difference);
	fputs("<td class=\"left\">", p->out);
	rt_put_name(p, native->kind);
	fputs("</td><td class=\"left\">", p->out);
	rt_put_name(p, rt_diff_native_phase(native, p->lang));
	fputs("</td><td class=\"left\">", p->out);
	rt_put_name(p, native->library);
	fputs("</td><td class=\"left\">", p->out);
	if (native->state != RT_DIFF_BOTH)
		rt_put_word(p, native->state == RT_DIFF_NEW ? RT_DW_IS_NEW : RT_DW_IS_GONE);
	fputs("</td></tr>\n", p->out);
}

static void rt_put_natives(struct rt_diff_page *p, const struct rt_diff_proc *proc)
{
	static const enum rt_diff_word more[] = {RT_DW_CALLS, RT_DW_INSIDE, RT_DW_ANON, RT_DW_FILE, RT_DW_SHMEM, RT_DW_NATIVE_KIND, RT_DW_PHASE, RT_DW_LIBRARY};
	bool begun = false;

	for (size_t i = 0; i < proc->n_natives; i++) {
		if (!rt_diff_native_counts(p->diff, &proc->natives[i]))
			continue;
		if (!begun) {
			fputs("<p>", p->out);
			rt_put_word(p, RT_DW_NATIVES);
			fputs("</p>\n", p->out);
			rt_put_head(p, RT_DW_FUNCTION, more, sizeof(more) / sizeof(more[0]));
		}
		begun = true;
		rt_put_native(p, &proc->natives[i]);
	}
	if (begun)
		fputs("</tbody></table></div>\n", p->out);
}

static void rt_put_stack(struct rt_diff_page *p, const struct rt_diff_proc *proc, const struct rt_diff_stack *stack)
{
	static const enum rt_diff_word words[RT_KINDS] = {[RT_FILE] = RT_DW_FILE, [RT_ANON] = RT_DW_ANON, [RT_SHMEM] = RT_DW_SHMEM};

	fputs(stack->n_frames ? "<details><summary>" : "<div class=\"spread\">", p->out);
	rt_put_difference(p, "strong", stack->total.difference);
	for (int k = 0; k < RT_KINDS; k++) {
		if (!stack->kind[k].difference)
			continue;
		fputs(" <span class=\"dim\">", p->out);
		rt_put_word(p, words[k]);
		fprintf(p->out, " %s</span>", rt_mib_format(stack->kind[k].difference, true).text);
	}
	fputs(" ", p->out);
	rt_put_name(p, rt_diff_label(&proc->phases[stack->phase], p->lang));
	if (stack->n_frames) {
		fputs(": <code>", p->out);
		rt_put_name(p, stack->frames[0].function);
		fputs("</code>", p->out);
	} else {
		fputs(", ", p->out);
		rt_put_word(p, RT_DW_SPREAD);
	}
	if (!stack->n_frames) {
		fputs("</div>\n", p->out);
		return;
	}
	fputs("</summary><ol>", p->out);
	for (size_t i = 0; i < stack->n_frames; i++) {
		const struct rt_diff_frame *frame = &stack->frames[i];

		fputs("<li>", p->out);
		rt_put_name(p, frame->function);
		if (*frame->file) {
			fputs(" <span class=\"dim\">", p->out);
			rt_put_name(p, frame->file);
			if (frame->line)
				fprintf(p->out, ":%d", frame->line);
			fputs("</span>", p->out);
		}
		fputs("</li>\n", p->out);
	}
	fputs("</ol></details>\n", p->out);
}

static void rt_put_proc(struct rt_diff_page *p, const struct rt_diff_proc *proc)
{
	fputs("<section><h2>", p->out);
	rt_put_name(p, proc->pair.name);
	if (proc->of > 1)
		fprintf(p->out, " %u/%u", proc->number, proc->of);
	fputs("</h2>\n<p>", p->out);
	if (proc->pair.now)
		fprintf(p->out, "pid %u. ", proc->pair.now->proc.pid);
	if (proc->state != RT_DIFF_BOTH) {
		rt_put_word(p, proc->state == RT_DIFF_NEW ? RT_DW_ONLY_NEW : RT_DW_ONLY_OLD);
		fputs(". ", p->out);
	}
	for (int m = RT_DP_END; m <= RT_DP_PEAK; m++) {
		const struct rt_diff_value *value = &proc->value[m];

		if (m == RT_DP_GROWTH)
			continue;
		fputs(m ? "; " : "", p->out);
		rt_put_word(p, m ? RT_DW_WORD_PEAK : RT_DW_RSS_END);
		fprintf(p->out, " %s &rarr; %s (", rt_mib_format(value->noise.mean, false).text, rt_mib_format(value->now, false).text);
		rt_put_difference(p, "span", value->difference);
		fputs(")", p->out);
	}
	fputs("</p>\n", p->out);
	rt_put_phases(p, proc);
	rt_put_natives(p, proc);
	if (proc->n_stacks) {
		fputs("<p>", p->out);
		rt_put_word(p, RT_DW_STACKS);
		fputs("</p>\n", p->out);
	}
	for (size_t i = 0; i < proc->n_stacks; i++)
		rt_put_stack(p, proc, &proc->stacks[i]);
	if (proc->stacks_left_out) {
		fputs("<p>", p->out);
		fprintf(p->out, rt_word(p, RT_DW_MORE_STACKS), proc->stacks_left_out);
		fputs("</p>\n", p->out);
	}
	fputs("</section>\n", p->out);
}

static void rt_put_top(struct rt_diff_page *p)
{
	static const enum rt_diff_word words[] = {[RT_DW_PEAK] = RT_DW_WORD_PEAK, [RT_DW_END] = RT_DW_WORD_END, [RT_DW_GROWTH] = RT_DW_WORD_GROWTH};

	fprintf(p->out,
		"<!doctype html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s</title>\n<style>%s</style></head><body>\n<h1>%s</h1>\n<p>",
		p->lang == RT_LANG_ZH ? "zh" : "en", rt_style_hash, rt_word(p, RT_DW_TITLE), rt_style, rt_word(p, RT_DW_TITLE));
	for (size_t i = 0; i <= p->diff->n_old; i++) {
		fputs(!i ? "" : i < p->diff->n_old ? ", " : " &rarr; ", p->out);
		rt_put_name(p, p->diff->runs[i].file);
	}
	fputs("</p>\n", p->out);
	rt_put_rule(p, RT_DW_RULE, p->diff->min_size);
	if (p->diff->n_old == 1)
		rt_put_rule(p, RT_DW_NO_BAND, 0);
	rt_put_head(p, RT_DW_TOGETHER, NULL, 0);
	for (int i = 0; i <= RT_DW_GROWTH; i++) {
		fputs("<tr><td>", p->out);
		rt_put_word(p, words[i]);
		fputs("</td>", p->out);
		rt_put_value(p, &p->diff->whole[i]);
		fputs("</tr>\n", p->out);
	}
	fputs("</tbody></table></div>\n", p->out);
}

static void rt_put_same(struct rt_diff_page *p)
{
	bool some = false;

	for (size_t i = 0; i < p->diff->n_procs; i++) {
		if (!rt_diff_same_shown(p->diff, i))
			continue;
		fputs(some ? ", " : "<h2>", p->out);
		if (!some) {
			rt_put_word(p, RT_DW_SAME);
			fputs("</h2>\n<p>", p->out);
		}
		some = true;
		rt_put_name(p, p->diff->procs[i].pair.name);
	}
	fputs(some ? "</p>\n" : "", p->out);
}

static void rt_put_page(struct rt_diff_page *p)
{
	size_t shown = 0, hidden = 0;

	rt_put_top(p);
	for (size_t i = 0; i < p->diff->n_procs; i++) {
		if (rt_diff_proc_shown(p->diff, i)) {
			rt_put_proc(p, &p->diff->procs[i]);
			shown++;
		} else {
			hidden += p->diff->procs[i].counts;
		}
	}
	rt_put_same(p);
	if (hidden) {
		fputs("<p>", p->out);
		fprintf(p->out, rt_word(p, RT_DW_MORE_PROCS), hidden);
		fputs("</p>\n", p->out);
	}
	if (!shown)
		rt_put_rule(p, RT_DW_NOTHING, p->diff->min_size);
	if (p->diff->n_noise) {
		char text[400];

		snprintf(text, sizeof(text), rt_word(p, RT_DW_WITHIN), p->diff->n_noise, p->diff->n_large, rt_mib_format(p->diff->min_size, false).text);
		fputs("<p>", p->out);
		rt_put_html(p->out, text);
		fputs("</p>\n", p->out);
	}
	fputs("</body></html>\n", p->out);
}

int rt_diff_html(FILE *out, enum rt_lang lang, const struct rt_diff *diff)
{
	struct rt_diff_page p = {.lang = lang, .diff = diff};
	struct rt_memtext memory;
	int err = rt_memtext_begin(&memory);

	if (err)
		return err;
	p.out = memory.out;
	rt_put_page(&p);
	return rt_memtext_put(&memory, p.failed ? -ENOMEM : 0, out);
}
