/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "report_in.h"

#include <stdlib.h>

void rt_put_text(struct rt_report *report, const char *text, size_t max_chars)
{
	char *safe = rt_text_escape(text, max_chars);

	if (!safe)
		report->failed = true;
	fputs(safe ? safe : "?", report->out);
	free(safe);
}

void rt_put_blanks(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

void rt_report_table(struct rt_report *report, struct rt_table *table, size_t indent)
{
	if (!rt_table_put(report->out, table, indent))
		report->failed = true;
}

void rt_report_head(const struct rt_report *report, struct rt_table *table, const char *const (*names)[RT_LANGS])
{
	size_t i;

	for (i = 0; i < table->columns; i++)
		rt_table_add(table, "%s", names[i][report->lang]);
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
		[RT_C_NATIVE_ELSEWHERE] = "native_elsewhere", [RT_C_LOST_NATIVE] = "lost_native", [RT_C_RSS_MET] = "rss_folds_met",
		[RT_C_WATCH_HITS] = "watch_hits", [RT_C_WATCH_LOST] = "watch_lost",
	};

	if ((size_t)counter >= RT_COUNTERS || !names[counter])
		return "other";
	return names[counter];
}
