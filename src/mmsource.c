/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "mmsource.h"

static const struct {
	const char *name, *needs;
} sources[RT_MM_SOURCES] = {
	[RT_MM_RSS_STAT] = {"rss_stat", "Linux 6.2 or newer (per-CPU RSS counters), where the tracepoint comes with every change"},
	[RT_MM_FEXIT] = {"fexit", "BPF trampolines on kernel functions: CONFIG_FUNCTION_TRACER=y, CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y, CONFIG_BPF_JIT=y"},
	[RT_MM_KPROBE] = {"kprobe", "kernel probes: CONFIG_KPROBES=y, CONFIG_KRETPROBES=y, CONFIG_KPROBE_EVENTS=y, and no lockdown"},
	[RT_MM_TRACEPOINT] = {"tracepoint", "the tracepoints exceptions:page_fault_user and page_fault_kernel: CONFIG_TRACEPOINTS=y on x86-64"},
};

const char *rt_mm_name(enum rt_mm_source source)
{
	return (unsigned int)source < RT_MM_SOURCES ? sources[source].name : "auto";
}

const char *rt_mm_needs(enum rt_mm_source source)
{
	return (unsigned int)source < RT_MM_SOURCES ? sources[source].needs : "";
}

bool rt_mm_exact(enum rt_mm_source source)
{
	return source != RT_MM_TRACEPOINT;
}

size_t rt_mm_candidates(bool split, enum rt_mm_source out[RT_MM_SOURCES])
{
	size_t n = 0;

	/* fexit before kprobe: it is cheaper, and up to 6.1 it loses nothing, while a kretprobe does on 5.10 (docs/kernels.md). */
	if (!split)
		out[n++] = RT_MM_RSS_STAT;
	out[n++] = RT_MM_FEXIT;
	out[n++] = RT_MM_KPROBE;
	out[n++] = RT_MM_TRACEPOINT;
	return n;
}
