/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "diff_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memtext.h"
#include "table.h"

#define RT_SHOWN_FRAMES 8u
#define RT_SHOWN_STACKS 24u
#define RT_NAME_CHARS 64
#define RT_INDENT_MAX 24

struct rt_diff_print {
	FILE *out;
	enum rt_lang lang;
	const struct rt_diff *diff;
	bool failed;
};

const char *rt_diff_word(enum rt_diff_word word, enum rt_lang lang)
{
	static const char *const words[RT_DW_WORDS][RT_LANGS] = {
		[RT_DW_TITLE] = {"内存对比", "RAM difference"},
		[RT_DW_RULE] = {"单位 MiB; 只列出相差 %s 以上且超出旧运行噪声范围的", "sizes in MiB; shown are differences of %s or more that lie outside the noise of the old runs"},
		[RT_DW_TOGETHER] = {"所有进程合计", "all processes together"},
		[RT_DW_WORD_PEAK] = {"峰值", "peak"},
		[RT_DW_WORD_END] = {"结束时", "at the end"},
		[RT_DW_WORD_GROWTH] = {"增长 (各进程到其结束)", "grown, each by its end"},
		[RT_DW_OLD] = {"旧", "old"},
		[RT_DW_NOISE] = {"噪声范围", "noise"},
		[RT_DW_NEW] = {"新", "new"},
		[RT_DW_DIFFERENCE] = {"差", "difference"},
		[RT_DW_PHASE] = {"阶段", "phase"},
		[RT_DW_OWN] = {"其中自身", "own part"},
		[RT_DW_ANON] = {"匿名", "anon"},
		[RT_DW_FILE] = {"文件", "file"},
		[RT_DW_SHMEM] = {"共享", "shmem"},
		[RT_DW_OUTSIDE] = {"阶段之外", "outside any phase"},
		[RT_DW_STACKS] = {"调用栈 (最内层在前)", "by stack, innermost frame first"},
		[RT_DW_ONLY_NEW] = {"仅在新运行中", "only in the new run"},
		[RT_DW_ONLY_OLD] = {"新运行中没有", "not in the new run"},
		[RT_DW_IS_NEW] = {"新增", "new"},
		[RT_DW_IS_GONE] = {"消失", "gone"},
		[RT_DW_NATIVES] = {"本地函数 (C/C++), 按申请或归还的大小", "native functions (C/C++), by what they asked for or gave back"},
		[RT_DW_FUNCTION] = {"函数", "function"},
		[RT_DW_CALLS] = {"次数", "calls"},
		[RT_DW_INSIDE] = {"RSS变化", "RSS inside"},
		[RT_DW_NATIVE_KIND] = {"种类", "kind"},
		[RT_DW_LIBRARY] = {"库", "library"},
		[RT_DW_FREE] = {" (释放)", " (free)"},
		[RT_DW_INNER] = {" (内层)", " (inner)"},
		[RT_DW_FREE_INNER] = {" (释放, 内层)", " (free, inner)"},
		[RT_DW_RSS_END] = {"结束时 RSS", "RSS at its end"},
		[RT_DW_MORE_FRAMES] = {"另有 %zu 层外层帧", "and %zu frames further out"},
		[RT_DW_MORE_STACKS] = {"另有 %zu 个调用栈", "and %zu more stacks"},
		[RT_DW_SAME] = {"无差别", "no difference"},
		[RT_DW_NOTHING] = {"没有相差 %s 以上且超出噪声的地方", "No difference of %s or more outside of the noise"},
		[RT_DW_WITHIN] = {"另有 %zu 处 (共 %zu 处相差 %s 以上) 在噪声范围之内", "Of %2$zu parts that differ by %3$s or more, %1$zu are within the noise"},
		[RT_DW_NO_BAND] = {"只有一次旧运行: 不知道噪声, 每个差别都算数; 给出三次或更多旧运行可得到噪声范围",
				   "One old run only: its noise is not known, and every difference counts; give three old runs or more for a noise band"},
		[RT_DW_MORE_PROCS] = {"另有 %zu 个这类进程", "and %zu more processes of this kind"},
		[RT_DW_SPREAD] = {"分散在许多调用栈中, 单个都不足以列出", "spread over stacks none of which counts by itself"},
	};

	return words[word][lang];
}

const char *rt_diff_label(const struct rt_diff_phase *phase, enum rt_lang lang)
{
	return phase->phase ? phase->phase->label.text[lang] : rt_diff_word(RT_DW_OUTSIDE, lang);
}

const char *rt_diff_remark(const struct rt_diff_native *native, enum rt_lang lang)
{
	if (native->is_free)
		return rt_diff_word(native->inner ? RT_DW_FREE_INNER : RT_DW_FREE, lang);
	return native->inner ? rt_diff_word(RT_DW_INNER, lang) : "";
}

const char *rt_diff_native_phase(const struct rt_diff_native *native, enum rt_lang lang)
{
	return native->phase ? native->phase->label.text[lang] : "-";
}

bool rt_diff_proc_shown(const struct rt_diff *diff, size_t at)
{
	const struct rt_diff_proc *proc = &diff->procs[at];
	unsigned int alike = 0;

	if (!proc->counts)
		return false;
	if (proc->state == RT_DIFF_BOTH)
		return true;
	for (size_t i = 0; i < at && alike < RT_DIFF_ALIKE; i++)
		alike += diff->procs[i].state == proc->state && !strcmp(diff->procs[i].pair.name, proc->pair.name) && diff->procs[i].counts;
	return alike < RT_DIFF_ALIKE;
}

bool rt_diff_same_shown(const struct rt_diff *diff, size_t at)
{
	if (diff->procs[at].counts)
		return false;
	for (size_t i = 0; i < at; i++) {
		if (!diff->procs[i].counts && !strcmp(diff->procs[i].pair.name, diff->procs[at].pair.name))
			return false;
	}
	return true;
}

static const char *rt_word(const struct rt_diff_print *p, enum rt_diff_word word)
{
	return rt_diff_word(word, p->lang);
}

static void rt_put_name(struct rt_diff_print *p, const char *name, size_t chars)
{
	char *safe = rt_text_escape(name, chars);

	p->failed |= !safe;
	fputs(safe ? safe : "?", p->out);
	free(safe);
}

static struct rt_value rt_signed(int64_t bytes)
{
	return rt_mib_format(bytes, bytes != 0);
}

/* old, the noise if there is one, new, the difference, and its percentage */
static void rt_table_value(const struct rt_diff_print *p, struct rt_table *table, const struct rt_diff_value *value)
{
	double old = (double)value->noise.mean;

	rt_table_size(table, rt_mib_format(value->noise.mean, false));
	if (p->diff->n_old > 1)
		rt_table_add(table, "%s..%s", rt_mib_format(value->noise.lo, false).text, rt_mib_format(value->noise.hi, false).text);
	rt_table_size(table, rt_mib_format(value->now, false));
	rt_table_size(table, rt_signed(value->difference));
	if (old && value->difference)
		rt_table_add(table, "%+.1f%%", 100.0 * (double)value->difference / (old < 0 ? -old : old));
	else
		rt_table_add(table, "%s", "");
}

static void rt_table_head(const struct rt_diff_print *p, struct rt_table *table, const char *first)
{
	rt_table_add(table, "%s", first);
	rt_table_add(table, "%s", rt_word(p, RT_DW_OLD));
	if (p->diff->n_old > 1)
		rt_table_add(table, "%s", rt_word(p, RT_DW_NOISE));
	rt_table_add(table, "%s", rt_word(p, RT_DW_NEW));
	rt_table_add(table, "%s", rt_word(p, RT_DW_DIFFERENCE));
	rt_table_add(table, "%s", "%");
}

static void rt_put_whole(struct rt_diff_print *p)
{
	static const enum rt_diff_word words[] = {[RT_DW_PEAK] = RT_DW_WORD_PEAK, [RT_DW_END] = RT_DW_WORD_END, [RT_DW_GROWTH] = RT_DW_WORD_GROWTH};
	struct rt_table table = {.columns = p->diff->n_old > 1 ? 6 : 5};

	rt_table_head(p, &table, rt_word(p, RT_DW_TOGETHER));
	for (int i = 0; i <= RT_DW_GROWTH; i++) {
		rt_table_add(&table, "  %s", rt_word(p, words[i]));
		rt_table_value(p, &table, &p->diff->whole[i]);
	}
	p->failed |= !rt_table_put(p->out, &table, 0);
}

static void rt_put_title(struct rt_diff_print *p)
{
	fprintf(p->out, "%s: ", rt_word(p, RT_DW_TITLE));
	for (size_t i = 0; i <= p->diff->n_old; i++) {
		fputs(!i ? "" : i < p->diff->n_old ? ", " : " -> ", p->out);
		rt_put_name(p, p->diff->runs[i].file, RT_TABLE_CHARS);
	}
	fputc('\n', p->out);
	fprintf(p->out, rt_word(p, RT_DW_RULE), rt_mib_format(p->diff->min_size, false).text);
	fputs("\n\n", p->out);
}

static void rt_put_phases(struct rt_diff_print *p, const struct rt_diff_proc *proc, size_t indent)
{
	struct rt_table table = {.columns = p->diff->n_old > 1 ? 11 : 10};
	size_t n = 0;

	while (n < proc->n_phases && !rt_diff_phase_counts(p->diff, &proc->phases[n]))
		n++;
	if (n == proc->n_phases)
		return;
	rt_table_head(p, &table, rt_word(p, RT_DW_PHASE));
	rt_table_add(&table, "%s", rt_word(p, RT_DW_OWN));
	rt_table_add(&table, "%s", rt_word(p, RT_DW_ANON));
	rt_table_add(&table, "%s", rt_word(p, RT_DW_FILE));
	rt_table_add(&table, "%s", rt_word(p, RT_DW_SHMEM));
	rt_table_add(&table, "%s", "");
	for (size_t i = 0; i < proc->n_phases; i++) {
		const struct rt_diff_phase *phase = &proc->phases[i];
		size_t nesting = phase->path_len ? phase->path_len - 1 : 0;
		int kinds = phase->phase ? RT_DM_KIND : RT_DM_OWN_KIND;

		if (!rt_diff_phase_counts(p->diff, phase))
			continue;
		rt_table_text(&table, (int)(nesting < RT_INDENT_MAX ? 2 * nesting : 2 * RT_INDENT_MAX), rt_diff_label(phase, p->lang), "");
		rt_table_value(p, &table, &phase->value[RT_DM_DELTA]);
		rt_table_size(&table, rt_signed(phase->value[RT_DM_OWN].difference));
		rt_table_size(&table, rt_signed(phase->value[kinds + RT_ANON].difference));
		rt_table_size(&table, rt_signed(phase->value[kinds + RT_FILE].difference));
		rt_table_size(&table, rt_signed(phase->value[kinds + RT_SHMEM].difference));
		rt_table_add(&table, "%s", phase->state == RT_DIFF_NEW ? rt_word(p, RT_DW_IS_NEW) : phase->state == RT_DIFF_GONE ? rt_word(p, RT_DW_IS_GONE) : "");
	}
	p->failed |= !rt_table_put(p->out, &table, indent);
}

static void rt_put_native(struct rt_diff_print *p, struct rt_table *table, const struct rt_diff_native *native)
{
	const struct rt_diff_value *calls = &native->value[RT_DN_CALLS];

	rt_table_text(table, 0, native->symbol, rt_diff_remark(native, p->lang));
	rt_table_value(p, table, &native->value[RT_DN_BYTES]);
	if (calls->difference)
		rt_table_add(table, "%lld -> %lld", (long long)calls->noise.mean, (long long)calls->now);
	else
		rt_table_add(table, "%lld", (long long)calls->now);
	rt_table_size(table, rt_signed(native->value[RT_DN_DELTA].difference));
	rt_table_size(table, rt_signed(native->value[RT_DN_KIND + RT_ANON].difference));
	rt_table_size(table, rt_signed(native->value[RT_DN_KIND + RT_FILE].difference));
	rt_table_size(table, rt_signed(native->value[RT_DN_KIND + RT_SHMEM].difference));
	rt_table_text(table, 0, native->kind, "");
	rt_table_text(table, 0, rt_diff_native_phase(native, p->lang), "");
	rt_table_text(table, 0, native->library, "");
	rt_table_add(table, "%s", native->state == RT_DIFF_NEW ? rt_word(p, RT_DW_IS_NEW) : native->state == RT_DIFF_GONE ? rt_word(p, RT_DW_IS_GONE) : "");
}

static void rt_put_natives(struct rt_diff_print *p, const struct rt_diff_proc *proc, size_t indent)
{
	static const enum rt_diff_word more[] = {RT_DW_CALLS, RT_DW_INSIDE, RT_DW_ANON, RT_DW_FILE, RT_DW_SHMEM, RT_DW_NATIVE_KIND, RT_DW_PHASE, RT_DW_LIBRARY};
	struct rt_table table = {.columns = p->diff->n_old > 1 ? 15 : 14};

	for (size_t i = 0; i < proc->n_natives; i++) {
		if (!rt_diff_native_counts(p->diff, &proc->natives[i]))
			continue;
		if (!table.count) {
			fprintf(p->out, "%*s%s:\n", (int)indent, "", rt_word(p, RT_DW_NATIVES));
			rt_table_head(p, &table, rt_word(p, RT_DW_FUNCTION));
			for (size_t k = 0; k < sizeof(more) / sizeof(more[0]); k++)
				rt_table_add(&table, "%s", rt_word(p, more[k]));
			rt_table_add(&table, "%s", "");
		}
		rt_put_native(p, &table, &proc->natives[i]);
	}
	p->failed |= !rt_table_put(p->out, &table, indent + 2);
}

static void rt_put_stack(struct rt_diff_print *p, const struct rt_diff_proc *proc, const struct rt_diff_stack *stack, size_t indent)
{
	static const enum rt_diff_word words[RT_KINDS] = {[RT_FILE] = RT_DW_FILE, [RT_ANON] = RT_DW_ANON, [RT_SHMEM] = RT_DW_SHMEM};
	static const enum rt_kind order[RT_KINDS] = {RT_ANON, RT_FILE, RT_SHMEM};
	bool some = false;

	fprintf(p->out, "%*s%s (", (int)indent, "", rt_signed(stack->total.difference).text);
	for (int k = 0; k < RT_KINDS; k++) {
		if (!stack->kind[order[k]].difference)
			continue;
		fprintf(p->out, "%s%s %s", some ? ", " : "", rt_word(p, words[order[k]]), rt_signed(stack->kind[order[k]].difference).text);
		some = true;
	}
	fputs(") ", p->out);
	rt_put_name(p, rt_diff_label(&proc->phases[stack->phase], p->lang), RT_TABLE_CHARS);
	if (stack->state != RT_DIFF_BOTH)
		fprintf(p->out, ", %s", rt_word(p, stack->state == RT_DIFF_NEW ? RT_DW_IS_NEW : RT_DW_IS_GONE));
	if (!stack->n_frames)
		fprintf(p->out, ", %s", rt_word(p, RT_DW_SPREAD));
	fputc('\n', p->out);
	for (size_t i = 0; i < stack->n_frames && i < RT_SHOWN_FRAMES; i++) {
		const struct rt_diff_frame *frame = &stack->frames[i];

		fprintf(p->out, "%*s", (int)indent + 4, "");
		rt_put_name(p, frame->function, RT_TABLE_CHARS);
		if (*frame->file) {
			fputs("  ", p->out);
			rt_put_name(p, frame->file, RT_TABLE_CHARS);
			if (frame->line)
				fprintf(p->out, ":%d", frame->line);
		}
		fputc('\n', p->out);
	}
	if (stack->n_frames > RT_SHOWN_FRAMES) {
		fprintf(p->out, "%*s", (int)indent + 4, "");
		fprintf(p->out, rt_word(p, RT_DW_MORE_FRAMES), stack->n_frames - RT_SHOWN_FRAMES);
		fputc('\n', p->out);
	}
}

static void rt_put_proc_head(struct rt_diff_print *p, const struct rt_diff_proc *proc, size_t indent)
{
	fprintf(p->out, "%*s", (int)indent, "");
	rt_put_name(p, proc->pair.name, RT_NAME_CHARS);
	if (proc->of > 1)
		fprintf(p->out, " %u/%u", proc->number, proc->of);
	if (proc->pair.now)
		fprintf(p->out, " (pid %u)", proc->pair.now->proc.pid);
	if (proc->state != RT_DIFF_BOTH)
		fprintf(p->out, ", %s", rt_word(p, proc->state == RT_DIFF_NEW ? RT_DW_ONLY_NEW : RT_DW_ONLY_OLD));
	for (int m = RT_DP_END; m <= RT_DP_PEAK; m++) {
		const struct rt_diff_value *value = &proc->value[m];

		if (m == RT_DP_GROWTH)
			continue;
		fprintf(p->out, "%s %s %s -> %s (%s)", m ? "," : ":", rt_word(p, m ? RT_DW_WORD_PEAK : RT_DW_RSS_END), rt_mib_format(value->noise.mean, false).text,
			rt_mib_format(value->now, false).text, rt_signed(value->difference).text);
	}
	fputc('\n', p->out);
}

static void rt_put_proc(struct rt_diff_print *p, const struct rt_diff_proc *proc)
{
	size_t indent = proc->depth > 0 ? 2 * (size_t)proc->depth : 0, shown;

	if (indent > RT_INDENT_MAX)
		indent = RT_INDENT_MAX;
	fputc('\n', p->out);
	rt_put_proc_head(p, proc, indent);
	rt_put_phases(p, proc, indent + 2);
	rt_put_natives(p, proc, indent + 2);
	if (!proc->n_stacks)
		return;
	fprintf(p->out, "%*s%s:\n", (int)indent + 2, "", rt_word(p, RT_DW_STACKS));
	shown = proc->n_stacks < RT_SHOWN_STACKS ? proc->n_stacks : RT_SHOWN_STACKS;
	for (size_t i = 0; i < shown; i++)
		rt_put_stack(p, proc, &proc->stacks[i], indent + 4);
	if (proc->n_stacks + proc->stacks_left_out == shown)
		return;
	fprintf(p->out, "%*s", (int)indent + 4, "");
	fprintf(p->out, rt_word(p, RT_DW_MORE_STACKS), proc->n_stacks + proc->stacks_left_out - shown);
	fputc('\n', p->out);
}

static void rt_put_procs(struct rt_diff_print *p)
{
	const struct rt_diff *diff = p->diff;
	size_t shown = 0, hidden = 0, same = 0;

	for (size_t i = 0; i < diff->n_procs; i++) {
		if (rt_diff_proc_shown(diff, i)) {
			rt_put_proc(p, &diff->procs[i]);
			shown++;
		} else {
			hidden += diff->procs[i].counts;
			same += !diff->procs[i].counts;
		}
	}
	if (hidden) {
		fputc('\n', p->out);
		fprintf(p->out, rt_word(p, RT_DW_MORE_PROCS), hidden);
		fputc('\n', p->out);
	}
	if (same) {
		bool some = false;

		fprintf(p->out, "\n%s: ", rt_word(p, RT_DW_SAME));
		for (size_t i = 0; i < diff->n_procs; i++) {
			if (!rt_diff_same_shown(diff, i))
				continue;
			fputs(some ? ", " : "", p->out);
			some = true;
			rt_put_name(p, diff->procs[i].pair.name, RT_NAME_CHARS);
		}
		fputc('\n', p->out);
	}
	fputc('\n', p->out);
	if (!shown) {
		fprintf(p->out, rt_word(p, RT_DW_NOTHING), rt_mib_format(diff->min_size, false).text);
		fputc('\n', p->out);
	}
	if (diff->n_noise) {
		fprintf(p->out, rt_word(p, RT_DW_WITHIN), diff->n_noise, diff->n_large, rt_mib_format(diff->min_size, false).text);
		fputc('\n', p->out);
	}
	if (diff->n_old == 1)
		fprintf(p->out, "%s\n", rt_word(p, RT_DW_NO_BAND));
}

int rt_diff_text(FILE *out, enum rt_lang lang, const struct rt_diff *diff)
{
	struct rt_diff_print p = {.lang = lang, .diff = diff};
	struct rt_memtext memory;
	int err = rt_memtext_begin(&memory);

	if (err)
		return err;
	p.out = memory.out;
	rt_put_title(&p);
	rt_put_whole(&p);
	rt_put_procs(&p);
	return rt_memtext_put(&memory, p.failed ? -ENOMEM : 0, out);
}
