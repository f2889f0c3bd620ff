/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sigabbrev_np */
#endif
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "mapname.h"
#include "report_in.h"

#define RT_INDENT_MAX 24

/* Of a phase's mappings so many are listed, if they changed by that much. */
#define RT_LISTED_MAPPINGS 4
#define RT_MAPPING_LEAST (1 << 20)

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
	rt_report_head(report, &table, names);
	for (i = 0; i < proc->n_phases; i++) {
		rt_table_phase(report, &table, &proc->phases[i]);
		rt_table_mappings(report, &table, proc, i);
	}
	rt_report_table(report, &table, indent);
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
	rt_report_head(report, &table, names);
	for (i = 0; i < proc->n_opening; i++) {
		row = &proc->opening[i];
		rt_table_text(&table, 0, row->name, "");
		rt_table_add(&table, "%s", kinds[row->kind][report->lang]);
		rt_table_size(&table, rt_plain(row->bytes));
	}
	rt_report_table(report, &table, indent + 2);
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
	rt_report_head(report, &table, names);
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
	rt_report_table(report, &table, indent + 2);
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
	rt_report_head(report, &table, names);
	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_native_sum_view *row = &proc->natives[i];

		rt_table_text(&table, 0, row->symbol, rt_native_remark(report, row));
		rt_table_text(&table, 0, row->kind, "");
		rt_table_text(&table, 0, row->phase ? row->phase->label.text[report->lang] : "-", "");
		rt_table_add(&table, "%llu", (unsigned long long)row->calls);
		rt_table_size(&table, rt_time_format(row->duration_ns));
		rt_table_size(&table, row->is_free ? (struct rt_value){"-"} : rt_plain((int64_t)row->bytes));
		rt_table_size(&table, rt_signed(row->delta.total));
		rt_table_size(&table, rt_signed(row->own));
		rt_table_size(&table, rt_signed(row->delta.kind[RT_SHMEM]));
		rt_table_size(&table, rt_plain(row->is_free && row->bytes ? (int64_t)row->bytes : row->released));
	}
	rt_report_table(report, &table, indent + 2);
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

void rt_put_proc(struct rt_report *report, const struct rt_proc_summary *proc)
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
