/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "memtext.h"
#include "report_in.h"

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
			rt_report_head(report, &table, names);
		rt_table_text(&table, 0, prog->name, "");
		rt_table_add(&table, "%llu", (unsigned long long)prog->runs);
		rt_table_size(&table, rt_time_format(prog->ns));
		rt_table_add(&table, "%llu ns", (unsigned long long)(prog->runs ? prog->ns / prog->runs : 0));
		rt_table_add(&table, "%llu", (unsigned long long)prog->missed);
	}
	rt_report_table(report, &table, 2);
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
	struct rt_memtext memory;
	int err = rt_memtext_begin(&memory);

	if (err)
		return err;
	report.out = memory.out;
	return rt_memtext_put(&memory, rt_report_make(&report, summary, cost), out);
}
