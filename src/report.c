/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sigabbrev_np */
#endif
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "mapname.h"
#include "table.h"
#include "units.h"

#define RT_NAME_CHARS 64
#define RT_PATH_CHARS 200
#define RT_INDENT_MAX 24

/* Of children without a phase that bear one name, so many are listed (a compiler run starts hundreds of ptxas). */
#define RT_LISTED_CHILDREN 20

/* Of a phase's mappings so many are listed, if they changed by that much. */
#define RT_LISTED_MAPPINGS 4
#define RT_MAPPING_LEAST (1 << 20)

struct rt_report {
	FILE *out;
	enum rt_lang lang;
	bool failed; /* no memory for a part of it */
};

static const char *rt_pick(const struct rt_report *report, const char *zh, const char *en)
{
	return report->lang == RT_LANG_ZH ? zh : en;
}

static struct rt_value rt_signed(int64_t bytes)
{
	return rt_mib_format(bytes, bytes != 0);
}

static struct rt_value rt_plain(int64_t bytes)
{
	return rt_mib_format(bytes, false);
}

static void rt_put_text(struct rt_report *report, const char *text, size_t max_chars)
{
	char *safe = rt_text_escape(text, max_chars);

	if (!safe)
		report->failed = true;
	fputs(safe ? safe : "?", report->out);
	free(safe);
}

const char *rt_report_reason(enum rt_not_hit why, enum rt_lang lang)
{
	static const char *const reasons[][RT_LANGS] = {
		[RT_NH_FUNCTION_NOT_SEEN] = {"函数未出现", "function not seen"},
		[RT_NH_SOURCE_NOT_KEPT] = {"记录文件中没有保存其源文件", "its source was not kept in the ledger"},
		[RT_NH_SOURCE_UNREADABLE] = {"源文件无法读取", "source could not be read"},
		[RT_NH_STATEMENT_NOT_FOUND] = {"源文件中没有该语句", "statement not found in the source"},
		[RT_NH_STATEMENT_NOT_SEEN] = {"语句存在, 但未见其执行", "statement found, but not seen running"},
	};

	if ((size_t)why >= sizeof(reasons) / sizeof(reasons[0]))
		return "?";
	return reasons[why][lang];
}

const char *rt_report_counter(enum rt_counter counter)
{
	static const char *const names[RT_COUNTERS] = {
		[RT_C_RSS_EVENTS] = "rss_events", [RT_C_RSS_ZERO] = "rss_rescanned", [RT_C_LOOKS] = "looks",
		[RT_C_LOOK_FRAMES] = "look_frames", [RT_C_LOST_RUN] = "lost_run", [RT_C_LOST_NODE] = "lost_node",
		[RT_C_LOST_CODE] = "lost_code", [RT_C_LOST_LIFE] = "lost_life",
		[RT_C_STACK_UNREADABLE] = "stack_unreadable", [RT_C_STACK_DEEP] = "stack_deep",
		[RT_C_SHADOW_BUSY] = "shadow_busy", [RT_C_SHADOW_NOMEM] = "shadow_no_memory",
		[RT_C_NO_SLOT] = "no_slot", [RT_C_CODE_REUSED] = "code_reused", [RT_C_NODE_EVICTED] = "node_evicted",
		[RT_C_ENTRY_HITS] = "entry_hits", [RT_C_SAMPLES] = "samples", [RT_C_SWITCH_LOOKS] = "switch_looks",
		[RT_C_GLANCE_FAILED] = "glance_failed",
		[RT_C_FRAME_UNKNOWN] = "frame_unknown",
		[RT_C_FAULTS] = "faults_seen", [RT_C_WAKE_LOOKS] = "wake_looks", [RT_C_FAULTS_MISSED] = "faults_missed",
		[RT_C_MAP_UNKNOWN] = "mapping_unknown", [RT_C_MAP_LOOKUPS] = "mapping_lookups",
		[RT_C_LOST_MAP] = "lost_mapping", [RT_C_MAP_FULL] = "mappings_full",
		[RT_C_NATIVE_CALLS] = "native_calls", [RT_C_NATIVE_LOST] = "native_lost", [RT_C_NATIVE_DEEP] = "native_deep",
		[RT_C_NATIVE_ELSEWHERE] = "native_elsewhere", [RT_C_LOST_NATIVE] = "lost_native",
		[RT_C_WATCH_HITS] = "watch_hits", [RT_C_WATCH_LOST] = "watch_lost",
	};

	if ((size_t)counter >= RT_COUNTERS || !names[counter])
		return "other";
	return names[counter];
}

static void rt_put_blanks(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

static void rt_table_print(struct rt_report *report, struct rt_table *table, size_t indent)
{
	if (!rt_table_put(report->out, table, indent))
		report->failed = true;
}

static void rt_table_head(const struct rt_report *report, struct rt_table *table, const char *const (*names)[RT_LANGS])
{
	size_t i;

	for (i = 0; i < table->columns; i++)
		rt_table_add(table, "%s", names[i][report->lang]);
}

/* ---- one process ---- */

static size_t rt_proc_indent(const struct rt_proc_view *proc)
{
	size_t indent = proc->depth > 0 ? 2 * (size_t)proc->depth : 0;

	return indent < RT_INDENT_MAX ? indent : RT_INDENT_MAX;
}

static void rt_put_ending(struct rt_report *report, const struct rt_proc_view *proc)
{
	int status = (int)proc->wait_status;
	const char *name;

	if (!proc->ended) {
		fputs(rt_pick(report, "运行中", "running"), report->out);
	} else if (WIFSIGNALED(status)) {
		name = sigabbrev_np(WTERMSIG(status));
		fprintf(report->out, rt_pick(report, "被信号 %s%s 终止", "killed by %s%s"), name ? "SIG" : "",
			name ? name : "?");
		if (!name)
			fprintf(report->out, " (%d)", WTERMSIG(status));
	} else {
		fprintf(report->out, rt_pick(report, "退出码 %d", "exit code %d"), WEXITSTATUS(status));
	}
}

static void rt_put_proc_head(struct rt_report *report, const struct rt_proc_view *proc)
{
	uint64_t age = proc->end_ns > proc->start_ns ? proc->end_ns - proc->start_ns : 0;

	rt_put_blanks(report->out, rt_proc_indent(proc));
	rt_put_text(report, proc->name && *proc->name ? proc->name : "?", RT_NAME_CHARS);
	fprintf(report->out, " pid %u", proc->pid);
	if (proc->python && *proc->python) {
		fputs(", Python ", report->out);
		rt_put_text(report, proc->python, RT_NAME_CHARS);
	}
	fputs(", ", report->out);
	rt_put_ending(report, proc);
	if (age)
		fprintf(report->out, ", %s", rt_time_format(age).text);
	fprintf(report->out, rt_pick(report, ": RSS %s -> %s (%s), 峰值 %s\n", ": RSS %s -> %s (%s), peak %s\n"),
		rt_plain(proc->start.total).text, rt_plain(proc->now.total).text,
		rt_signed(proc->now.total - proc->start.total).text, rt_plain(proc->peak).text);
	if (proc->muted) {
		rt_put_blanks(report->out, rt_proc_indent(proc) + 2);
		fputs(rt_pick(report, "该进程的跟踪已关闭 (VLLM_ENABLE_RAM_TRACKING=0)\n",
			      "tracking switched off for this process (VLLM_ENABLE_RAM_TRACKING=0)\n"), report->out);
	}
}

/* The share of the net charge that threads without a phase of their own made. It is a share only where both
 * have one sign and the part is not larger than the whole; else the size itself says more. */
static void rt_table_helper(struct rt_table *table, const struct rt_phase_view *phase)
{
	int64_t part = phase->helper, whole = phase->delta.total;
	bool share = (part > 0 && part <= whole) || (part < 0 && part >= whole);

	if (!part)
		rt_table_add(table, "0%%");
	else if (share)
		rt_table_add(table, "%.0f%%", 100.0 * (double)part / (double)whole);
	else
		rt_table_add(table, "%sM", rt_signed(part).text);
}

static void rt_table_phase(const struct rt_report *report, struct rt_table *table, const struct rt_phase_view *phase)
{
	size_t nesting = phase->path_len ? phase->path_len - 1 : 0;

	rt_table_text(table, (int)(nesting < RT_INDENT_MAX ? 2 * nesting : 2 * RT_INDENT_MAX),
		      phase->phase->label.text[report->lang], phase->open ? rt_pick(report, " (未结束)", " (open)") : "");
	rt_table_add(table, "%u", phase->call);
	rt_table_size(table, rt_time_format(phase->duration_ns));
	rt_table_size(table, rt_signed(phase->delta.total));
	rt_table_size(table, rt_signed(phase->own));
	rt_table_size(table, rt_signed(phase->delta.kind[RT_ANON]));
	rt_table_size(table, rt_signed(phase->delta.kind[RT_FILE]));
	rt_table_size(table, rt_signed(phase->delta.kind[RT_SHMEM]));
	rt_table_size(table, rt_plain(phase->gained));
	rt_table_size(table, rt_plain(phase->released));
	rt_table_size(table, rt_plain(phase->reused));
	rt_table_size(table, rt_plain(phase->peak));
	rt_table_add(table, "%llu", (unsigned long long)phase->minor_faults);
	rt_table_add(table, "%llu", (unsigned long long)phase->major_faults);
	rt_table_helper(table, phase);
	rt_table_size(table, rt_signed(phase->tree_delta));
}

static bool rt_is_large(int64_t bytes)
{
	return bytes >= RT_MAPPING_LEAST || bytes <= -RT_MAPPING_LEAST;
}

/* Is it said already, of a phase nested in this one? */
static bool rt_mappings_below(const struct rt_proc_summary *proc, size_t at)
{
	if (rt_is_large(proc->phases[at].own))
		return false;
	for (size_t i = at + 1; i < proc->n_phases && proc->phases[i].path_len > proc->phases[at].path_len; i++) {
		if (rt_is_large(proc->phases[i].delta.total))
			return true;
	}
	return false;
}

/* Lines under a phase's own: its largest mappings, in the columns of sizes. */
static void rt_table_mappings(const struct rt_report *report, struct rt_table *table, const struct rt_proc_summary *proc, size_t at)
{
	const struct rt_phase_view *phase = &proc->phases[at];
	size_t nesting = phase->path_len ? phase->path_len - 1 : 0;

	if (rt_mappings_below(proc, at))
		return;
	for (size_t i = 0; i < phase->n_mappings && i < RT_LISTED_MAPPINGS; i++) {
		const struct rt_mapping_view *mapping = &phase->mappings[i];
		char *label = rt_is_large(mapping->net.total) ? rt_mapname_label(mapping, report->lang) : NULL;

		if (!label)
			break;
		rt_table_add(table, "%*s- %s", (int)(nesting < RT_INDENT_MAX ? 2 * nesting : 2 * RT_INDENT_MAX) + 2, "", label);
		free(label);
		rt_table_add(table, "%s", "");
		rt_table_add(table, "%s", "");
		rt_table_size(table, rt_signed(mapping->net.total));
		rt_table_add(table, "%s", "");
		rt_table_size(table, rt_signed(mapping->net.kind[RT_ANON]));
		rt_table_size(table, rt_signed(mapping->net.kind[RT_FILE]));
		rt_table_size(table, rt_signed(mapping->net.kind[RT_SHMEM]));
		while (table->count % table->columns && !table->failed)
			rt_table_add(table, "%s", "");
	}
}

static void rt_put_phases(struct rt_report *report, const struct rt_proc_summary *proc, size_t indent)
{
	static const char *const names[][RT_LANGS] = {
		{"阶段", "phase"}, {"次数", "calls"}, {"时间", "time"}, {"RSS变化", "change"}, {"自身", "own"},
		{"匿名", "anon"}, {"文件", "file"}, {"共享", "shmem"}, {"增加", "gained"}, {"释放", "released"},
		{"重用", "reused"}, {"峰值", "peak"}, {"次缺页", "minor flt"}, {"主缺页", "major flt"},
		{"辅助线程", "helpers"}, {"子进程", "children"},
	};
	struct rt_table table = {.columns = sizeof(names) / sizeof(names[0])};
	size_t i;

	_Static_assert(sizeof(names) / sizeof(names[0]) <= RT_COLUMNS_MAX, "columns");
	if (!proc->n_phases)
		return;
	rt_table_head(report, &table, names);
	for (i = 0; i < proc->n_phases; i++) {
		rt_table_phase(report, &table, &proc->phases[i]);
		rt_table_mappings(report, &table, proc, i);
	}
	rt_table_print(report, &table, indent);
}

static void rt_put_opening(struct rt_report *report, const struct rt_proc_summary *proc, size_t indent)
{
	static const char *const names[][RT_LANGS] = {{"映射", "mapping"}, {"种类", "kind"}, {"大小", "size"}};
	static const char *const kinds[RT_KINDS][RT_LANGS] = {
		[RT_FILE] = {"文件", "file"}, [RT_ANON] = {"匿名", "anon"}, [RT_SHMEM] = {"共享", "shmem"},
	};
	struct rt_table table = {.columns = sizeof(names) / sizeof(names[0])};
	const struct rt_opening_view *row;
	size_t i;

	if (!proc->n_opening)
		return;
	rt_put_blanks(report->out, indent);
	fprintf(report->out, rt_pick(report, "附加时已持有: %s\n", "held when attached: %s\n"),
		rt_plain(proc->proc.start.total).text);
	rt_table_head(report, &table, names);
	for (i = 0; i < proc->n_opening; i++) {
		row = &proc->opening[i];
		rt_table_text(&table, 0, row->name, "");
		rt_table_add(&table, "%s", kinds[row->kind][report->lang]);
		rt_table_size(&table, rt_plain(row->bytes));
	}
	rt_table_print(report, &table, indent + 2);
}

static void rt_put_outside(struct rt_report *report, const struct rt_proc_summary *proc, size_t indent)
{
	static const char *const names[][RT_LANGS] = {
		{"模块", "module"}, {"RSS变化", "change"}, {"匿名", "anon"}, {"文件", "file"},
		{"共享", "shmem"}, {"增加", "gained"}, {"释放", "released"},
	};
	struct rt_table table = {.columns = sizeof(names) / sizeof(names[0])};
	const struct rt_outside_view *row;
	size_t i;

	if (!proc->n_outside)
		return;
	rt_put_blanks(report->out, indent);
	fprintf(report->out, rt_pick(report, "阶段之外: %s\n", "outside any phase: %s\n"),
		rt_signed(proc->outside_net).text);
	rt_table_head(report, &table, names);
	for (i = 0; i < proc->n_outside; i++) {
		row = &proc->outside[i];
		rt_table_text(&table, 0, row->module, "");
		rt_table_size(&table, rt_signed(row->net.total));
		rt_table_size(&table, rt_signed(row->net.kind[RT_ANON]));
		rt_table_size(&table, rt_signed(row->net.kind[RT_FILE]));
		rt_table_size(&table, rt_signed(row->net.kind[RT_SHMEM]));
		rt_table_size(&table, rt_plain(row->gained));
		rt_table_size(&table, rt_plain(row->released));
	}
	rt_table_print(report, &table, indent + 2);
}

/* Page-locked memory, over all functions of kind `pinned`: what was asked for, what of it became resident (the driver's is shared memory; what is registered is the program's
 * own), what was given back. A call inside of another one is part of that: CUDA's runtime calls the driver. */
static void rt_put_pinned(struct rt_report *report, const struct rt_proc_summary *proc, size_t indent)
{
	bool begun = false;

	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_phase *phase = proc->natives[i].phase;
		uint64_t asked = 0, given = 0;
		int64_t resident = 0, shared = 0, released = 0;
		bool said = strcmp(proc->natives[i].kind, "pinned");

		for (size_t k = 0; k < i && !said; k++) /* the phase was told of with its first row */
			said = !strcmp(proc->natives[k].kind, "pinned") && proc->natives[k].phase == phase;
		for (size_t k = i; k < proc->n_natives && !said; k++) {
			const struct rt_native_sum_view *row = &proc->natives[k];

			if (strcmp(row->kind, "pinned") || row->phase != phase || row->inner)
				continue;
			if (row->is_free) {
				given += row->bytes;
				released += row->released;
			} else {
				asked += row->bytes;
				resident += row->delta.total;
				shared += row->delta.kind[RT_SHMEM];
			}
		}
		if (said)
			continue;
		rt_put_blanks(report->out, indent);
		fputs(begun ? "  " : rt_pick(report, "锁页内存: ", "pinned: "), report->out);
		rt_put_text(report, phase ? phase->label.text[report->lang] : rt_pick(report, "阶段之外", "outside any phase"), RT_PATH_CHARS);
		fprintf(report->out, rt_pick(report, ": 申请 %s, 驻留 %s (共享 %s), 释放 %s (驻留减少 %s)\n", ": asked %s, resident %s (shmem %s), given back %s (resident: %s less)\n"),
			rt_plain((int64_t)asked).text, rt_signed(resident).text, rt_signed(shared).text, rt_plain((int64_t)given).text, rt_plain(released).text);
		begun = true;
	}
}

static const char *rt_native_remark(const struct rt_report *report, const struct rt_native_sum_view *row)
{
	if (row->is_free)
		return row->inner ? rt_pick(report, " (释放, 内层)", " (free, inner)") : rt_pick(report, " (释放)", " (free)");
	return row->inner ? rt_pick(report, " (内层)", " (inner)") : "";
}

static void rt_put_natives(struct rt_report *report, const struct rt_proc_summary *proc, size_t indent)
{
	static const char *const names[][RT_LANGS] = {
		{"函数", "function"}, {"种类", "kind"}, {"阶段", "phase"}, {"次数", "calls"}, {"时间", "time"}, {"申请", "asked"},
		{"RSS变化", "change"}, {"自身", "own"}, {"共享", "shmem"}, {"归还", "given back"},
	};
	struct rt_table table = {.columns = sizeof(names) / sizeof(names[0])};

	if (!proc->n_natives)
		return;
	rt_put_blanks(report->out, indent);
	fputs(rt_pick(report, "本地函数 (C/C++):\n", "native functions (C/C++):\n"), report->out);
	rt_table_head(report, &table, names);
	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_native_sum_view *row = &proc->natives[i];

		rt_table_text(&table, 0, row->symbol, rt_native_remark(report, row));
		rt_table_add(&table, "%s", row->kind);
		rt_table_text(&table, 0, row->phase ? row->phase->label.text[report->lang] : "-", "");
		rt_table_add(&table, "%llu", (unsigned long long)row->calls);
		rt_table_size(&table, rt_time_format(row->duration_ns));
		rt_table_size(&table, row->is_free ? (struct rt_value){"-"} : rt_plain((int64_t)row->bytes));
		rt_table_size(&table, rt_signed(row->delta.total));
		rt_table_size(&table, rt_signed(row->own));
		rt_table_size(&table, rt_signed(row->delta.kind[RT_SHMEM]));
		rt_table_size(&table, rt_plain(row->is_free && row->bytes ? (int64_t)row->bytes : row->released));
	}
	rt_table_print(report, &table, indent + 2);
	rt_put_pinned(report, proc, indent);
}

static void rt_put_charges(struct rt_report *report, const struct rt_proc_summary *proc, size_t indent)
{
	static const char *const causes[RT_CAUSES][RT_LANGS] = {
		[RT_CAUSE_RECLAIM] = {"内核回收", "reclaim"},
		[RT_CAUSE_KHUGEPAGED] = {"khugepaged", "khugepaged"},
		[RT_CAUSE_REMOTE] = {"来自进程之外", "from outside the process"},
	};
	const char *before = rt_pick(report, "非代码原因: ", "not the work of a line: ");
	int cause;

	for (cause = RT_CAUSE_SELF + 1; cause < RT_CAUSES; cause++) {
		if (!proc->cause_net[cause])
			continue;
		if (*before != ',')
			rt_put_blanks(report->out, indent);
		fprintf(report->out, "%s%s %s", before, causes[cause][report->lang],
			rt_signed(proc->cause_net[cause]).text);
		before = ", ";
	}
	if (*before == ',')
		fputc('\n', report->out);
	if (proc->helper_by_creator || proc->helper_by_only || proc->ambiguous_net) {
		rt_put_blanks(report->out, indent);
		fprintf(report->out, rt_pick(report,
			"辅助线程: 按创建者的阶段 %s, 按唯一处于阶段中的线程 %s, 无法确定 (计入阶段之外) %s\n",
			"helper threads: by their creator's phase %s, by the only thread in a phase %s, "
			"ambiguous (outside) %s\n"),
			rt_signed(proc->helper_by_creator).text, rt_signed(proc->helper_by_only).text,
			rt_signed(proc->ambiguous_net).text);
	}
	if (proc->unaccounted) {
		rt_put_blanks(report->out, indent);
		fprintf(report->out, rt_pick(report, "未能归因: %lld 字节\n", "unaccounted: %lld bytes\n"),
			(long long)proc->unaccounted);
	}
}

static void rt_put_proc(struct rt_report *report, const struct rt_proc_summary *proc)
{
	size_t indent = rt_proc_indent(&proc->proc) + 2;

	rt_put_proc_head(report, &proc->proc);
	rt_put_opening(report, proc, indent);
	rt_put_phases(report, proc, indent);
	rt_put_natives(report, proc, indent);
	/* For a compiler or a shell "outside any phase" would only say its growth again. */
	if (proc->n_phases || proc->proc.python)
		rt_put_outside(report, proc, indent);
	rt_put_charges(report, proc, indent);
}

/* ---- many children of one name ---- */

static bool rt_proc_foldable(const struct rt_proc_summary *proc)
{
	return !proc->n_phases && !proc->n_natives && !proc->proc.first && proc->proc.depth > 0;
}

static const char *rt_proc_name(const struct rt_proc_summary *proc)
{
	return proc->proc.name ? proc->proc.name : "";
}

/* By name, then the largest peak first, then as they came. */
static int rt_fold_compare(const void *left, const void *right)
{
	const struct rt_proc_summary *a = *(const struct rt_proc_summary *const *)left;
	const struct rt_proc_summary *b = *(const struct rt_proc_summary *const *)right;
	int order = strcmp(rt_proc_name(a), rt_proc_name(b));

	if (order)
		return order;
	if (a->proc.peak != b->proc.peak)
		return a->proc.peak > b->proc.peak ? -1 : 1;
	return a < b ? -1 : a > b;
}

struct rt_fold {
	const struct rt_proc_summary **sorted;
	size_t count;
	bool *hidden; /* by index in the summary */
};

static void rt_fold_free(struct rt_fold *fold)
{
	free(fold->sorted);
	free(fold->hidden);
}

static int rt_fold_make(const struct rt_summary *summary, struct rt_fold *fold)
{
	size_t i, nth = 0;

	*fold = (struct rt_fold){0};
	fold->sorted = calloc(summary->n_procs + 1, sizeof(const struct rt_proc_summary *));
	fold->hidden = calloc(summary->n_procs + 1, sizeof(bool));
	if (!fold->sorted || !fold->hidden) {
		rt_fold_free(fold);
		return -ENOMEM;
	}
	for (i = 0; i < summary->n_procs; i++) {
		if (rt_proc_foldable(&summary->procs[i]))
			fold->sorted[fold->count++] = &summary->procs[i];
	}
	qsort(fold->sorted, fold->count, sizeof(const struct rt_proc_summary *), rt_fold_compare);
	for (i = 0; i < fold->count; i++) {
		nth = i && !strcmp(rt_proc_name(fold->sorted[i - 1]), rt_proc_name(fold->sorted[i])) ? nth + 1 : 0;
		if (nth >= RT_LISTED_CHILDREN)
			fold->hidden[fold->sorted[i] - summary->procs] = true;
	}
	return 0;
}

static void rt_put_folded(struct rt_report *report, const struct rt_summary *summary, const struct rt_fold *fold)
{
	const struct rt_proc_summary *proc;
	int64_t peak = 0, net = 0;
	size_t i, count = 0;

	for (i = 0; i < fold->count; i++) {
		proc = fold->sorted[i];
		if (!fold->hidden[proc - summary->procs])
			continue;
		if (!count++)
			peak = proc->proc.peak;
		net += proc->proc.now.total - proc->proc.start.total;
		if (i + 1 < fold->count && !strcmp(rt_proc_name(proc), rt_proc_name(fold->sorted[i + 1])))
			continue;
		fputs(rt_pick(report, "另有 ", "and "), report->out);
		fprintf(report->out, rt_pick(report, "%zu 个 ", "%zu more "), count);
		rt_put_text(report, rt_proc_name(proc), RT_NAME_CHARS);
		fprintf(report->out, rt_pick(report, ": RSS变化合计 %s, 峰值均不超过 %s\n",
					     ": RSS change %s in all, none peaked above %s\n"),
			rt_signed(net).text, rt_plain(peak).text);
		count = 0;
		net = 0;
	}
}

/* ---- the whole ---- */

/* Each process that the kernel killed for lack of memory: at the top, since it may be one of many children. */
static void rt_put_ooms(struct rt_report *report, const struct rt_summary *summary)
{
	size_t i;

	for (i = 0; i < summary->n_procs; i++) {
		const struct rt_proc_summary *proc = &summary->procs[i];
		bool otherwise = proc->proc.ended && !(WIFSIGNALED((int)proc->proc.wait_status) && WTERMSIG((int)proc->proc.wait_status) == SIGKILL);

		/* One that is ending anyway is chosen as well when it asks for memory: that is no kill. */
		if (!proc->oom || otherwise)
			continue;
		fputs(rt_pick(report, "内存不足 (OOM), 被内核终止: ", "killed by the kernel for lack of memory (OOM): "), report->out);
		rt_put_text(report, proc->proc.name && *proc->proc.name ? proc->proc.name : "?", RT_NAME_CHARS);
		fprintf(report->out, " pid %u, ", proc->proc.pid);
		if (proc->oom->phase) {
			fputs(rt_pick(report, "阶段 ", "phase "), report->out);
			rt_put_text(report, proc->oom->phase->label.text[report->lang], RT_PATH_CHARS);
		} else {
			fputs(rt_pick(report, "不在任何阶段中", "outside any phase"), report->out);
		}
		fprintf(report->out, rt_pick(report, ", 当时 RSS %s (匿名 %s, 文件 %s, 共享 %s)\n", ", RSS %s at that moment (anon %s, file %s, shmem %s)\n"),
			rt_plain(proc->oom->rss.total).text, rt_plain(proc->oom->rss.kind[RT_ANON]).text, rt_plain(proc->oom->rss.kind[RT_FILE]).text,
			rt_plain(proc->oom->rss.kind[RT_SHMEM]).text);
	}
}

static void rt_put_not_hit(struct rt_report *report, const struct rt_summary *summary)
{
	const struct rt_not_hit_view *row;
	size_t i;

	if (!summary->n_not_hit)
		return;
	fputs(rt_pick(report, "\n未命中的阶段:\n", "\nPhases never hit:\n"), report->out);
	for (i = 0; i < summary->n_not_hit; i++) {
		row = &summary->not_hit[i];
		fputs("  ", report->out);
		rt_put_text(report, row->phase->label.text[report->lang], RT_PATH_CHARS);
		fputs(" (", report->out);
		rt_put_text(report, row->phase->id, RT_NAME_CHARS);
		fprintf(report->out, "): %s", rt_report_reason(row->why, report->lang));
		if (row->detail && *row->detail) {
			fputs(": ", report->out);
			rt_put_text(report, row->detail, RT_PATH_CHARS);
		}
		fputc('\n', report->out);
	}
}

static void rt_put_losses(struct rt_report *report, const struct rt_summary *summary)
{
	/* Counters of normal work (looks, samples, reused addresses) are in the NDJSON output. */
	static const struct {
		enum rt_counter counter;
		const char *text[RT_LANGS];
	} rows[] = {
		{RT_C_LOST_RUN, {"环形缓冲区已满, 丢失的变化记录", "ring buffer full: runs lost"}},
		{RT_C_LOST_NODE, {"环形缓冲区已满, 丢失的栈节点", "ring buffer full: stack nodes lost"}},
		{RT_C_LOST_CODE, {"环形缓冲区已满, 丢失的代码对象", "ring buffer full: code objects lost"}},
		{RT_C_LOST_LIFE, {"环形缓冲区已满, 丢失的进程事件", "ring buffer full: process events lost"}},
		{RT_C_LOST_NATIVE, {"环形缓冲区已满, 丢失的本地函数调用", "ring buffer full: calls of native functions lost"}},
		{RT_C_NATIVE_LOST, {"未能记录的本地函数调用", "calls of native functions that could not be noted"}},
		{RT_C_NATIVE_DEEP, {"嵌套过深的本地函数调用 (只计次数)", "calls of native functions nested too deeply (only counted)"}},
		{RT_C_STACK_UNREADABLE, {"无法读取的栈", "stacks that could not be read"}},
		{RT_C_FRAME_UNKNOWN, {"无法读取的最内层帧 (计入其调用者)", "frames not readable just then (charged to their callers)"}},
		{RT_C_FAULTS_MISSED, {"钩子漏过的缺页 (其页计入该线程的下一次事件)", "page faults that the hook missed (their pages came with the thread's next event)"}},
		{RT_C_STACK_DEEP, {"过深的栈 (省略中间部分)", "stacks too deep (the middle is left out)"}},
		{RT_C_SHADOW_NOMEM, {"内存不足, 未跟踪的线程", "no memory for a thread's stack"}},
		{RT_C_NO_SLOT, {"进程数超限, 未跟踪的进程", "no room for another process"}},
	};
	size_t i;

	fprintf(report->out, rt_pick(report, "\n丢失: 记录 %llu, 栈 %llu; 迟到的记录 %llu; 未能归因 %lld 字节\n",
				     "\nLost: %llu records, %llu stacks; late records: %llu; "
				     "unaccounted: %lld bytes\n"),
		(unsigned long long)summary->lost_records, (unsigned long long)summary->lost_stacks,
		(unsigned long long)summary->late_records, (long long)summary->unaccounted);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (summary->counters[rows[i].counter])
			fprintf(report->out, "  %s: %llu\n", rows[i].text[report->lang],
				(unsigned long long)summary->counters[rows[i].counter]);
	}
}

static void rt_put_programs(struct rt_report *report, const struct rt_self_cost *cost)
{
	static const char *const names[][RT_LANGS] = {
		{"BPF程序", "BPF program"}, {"运行次数", "runs"}, {"时间", "time"}, {"每次", "each"}, {"漏过", "missed"},
	};
	struct rt_table table = {.columns = sizeof(names) / sizeof(names[0])};
	const struct rt_prog_cost *prog;
	size_t i;

	for (i = 0; i < cost->n_progs; i++) {
		prog = &cost->progs[i];
		if (!prog->runs && !prog->missed)
			continue;
		if (!table.count)
			rt_table_head(report, &table, names);
		rt_table_text(&table, 0, prog->name, "");
		rt_table_add(&table, "%llu", (unsigned long long)prog->runs);
		rt_table_size(&table, rt_time_format(prog->ns));
		rt_table_add(&table, "%llu ns", (unsigned long long)(prog->runs ? prog->ns / prog->runs : 0));
		rt_table_add(&table, "%llu", (unsigned long long)prog->missed);
	}
	rt_table_print(report, &table, 2);
}

static void rt_put_source(struct rt_report *report, const struct rt_self_cost *cost)
{
	if (!cost->mm_source)
		return;
	fprintf(report->out, rt_pick(report, "RSS变化的来源: %s (%s)", "Source of RSS changes: %s (%s)"), cost->mm_source,
		cost->mm_hook ? cost->mm_hook : "?");
	if (!cost->mm_exact)
		fputs(rt_pick(report, "; 不精确到页: 一页在其线程的下一次缺页时才被看到, 可能计入相邻的阶段",
			      "; not exact to the page: a page is seen at its thread's next fault and may be charged to a neighbouring phase"),
		      report->out);
	fputc('\n', report->out);
}

static void rt_put_cost(struct rt_report *report, const struct rt_self_cost *cost)
{
	rt_put_source(report, cost);
	fprintf(report->out, rt_pick(report, "ramtrack-bpf自身: CPU 用户态 %s, 内核态 %s; ",
				     "ramtrack-bpf itself: CPU %s user, %s system; "),
		rt_time_format(cost->user_ns).text, rt_time_format(cost->sys_ns).text);
	if (cost->bpf_runs)
		fprintf(report->out, rt_pick(report, "BPF %s (%llu 次); ", "BPF %s in %llu runs; "),
			rt_time_format(cost->bpf_ns).text, (unsigned long long)cost->bpf_runs);
	else
		fputs(rt_pick(report, "BPF时间未测量; ", "BPF time not measured; "), report->out);
	fprintf(report->out, rt_pick(report, "RSS %s, BPF映射 %s\n", "RSS %s, BPF maps %s\n"),
		rt_plain((int64_t)cost->rss_bytes).text, rt_plain((int64_t)cost->map_bytes).text);
	rt_put_programs(report, cost);
}

static void rt_put_legend(struct rt_report *report)
{
	fputs(rt_pick(report,
		"\n说明: 大小以 MiB 计。RSS 是进程当前驻留的物理内存; “RSS变化”含嵌套阶段, “自身”不含。\n"
		"文件页 (如映射的权重文件) 是共享的页缓存, 内存紧张时内核可随时收回, 不是流失的内存。\n"
		"重用: 重新填满此前释放过的内存, 不是新的增长。辅助线程: 自身不在任何阶段中的线程所占的份额。\n"
		"子进程: 该阶段期间后代进程的 RSS 变化; 共享页会在每个进程中各计一次。\n",
		"\nHow to read this: sizes are MiB. RSS is the physical memory a process has resident;\n"
		"\"change\" includes nested phases, \"own\" does not. File pages (a mapped checkpoint) are shared\n"
		"page cache that the kernel can take back: not lost memory. Reused: refilled what was released.\n"
		"Helpers: share of threads without a phase of their own. Children: RSS change of all descendants.\n"),
	      report->out);
}

static int rt_report_make(struct rt_report *report, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_fold fold;
	size_t i;
	int err = rt_fold_make(summary, &fold);

	if (err)
		return err;
	fprintf(report->out, rt_pick(report, "\n内存汇总: %s, %zu 个进程\n", "\nRAM summary: %s, processes: %zu\n"),
		rt_time_format(summary->duration_ns).text, summary->n_procs);
	fprintf(report->out, rt_pick(report, "所有进程合计: 峰值 %s, 结束时 %s\n", "all processes together: peak %s, at the end %s\n"),
		rt_plain(summary->tree_peak).text, rt_plain(summary->tree_end).text);
	rt_put_ooms(report, summary);
	fputc('\n', report->out);
	for (i = 0; i < summary->n_procs; i++) {
		if (!fold.hidden[i])
			rt_put_proc(report, &summary->procs[i]);
	}
	rt_put_folded(report, summary, &fold);
	rt_fold_free(&fold);
	rt_put_not_hit(report, summary);
	rt_put_losses(report, summary);
	if (cost)
		rt_put_cost(report, cost);
	rt_put_legend(report);
	return report->failed ? -ENOMEM : 0;
}

int rt_report_print(FILE *out, enum rt_lang lang, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_report report = {.lang = lang};
	char *text = NULL;
	size_t len = 0;
	int err;

	/* Into memory first: then an error of writing has one place, and its errno. */
	report.out = open_memstream(&text, &len);
	if (!report.out)
		return -ENOMEM;
	err = rt_report_make(&report, summary, cost);
	if (fclose(report.out))
		err = -ENOMEM;
	errno = 0;
	if (!err && (fwrite(text, 1, len, out) != len || fflush(out)))
		err = errno ? -errno : -EIO;
	free(text);
	return err;
}
