/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "kchoice.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

static const char *const rt_kconfigs[RT_KCONFIGS] = {
	[RT_CONFIG_BPF_SYSCALL] = "CONFIG_BPF_SYSCALL",
	[RT_CONFIG_BPF_EVENTS] = "CONFIG_BPF_EVENTS",
	[RT_CONFIG_DEBUG_INFO_BTF] = "CONFIG_DEBUG_INFO_BTF",
	[RT_CONFIG_TRACEPOINTS] = "CONFIG_TRACEPOINTS",
	[RT_CONFIG_KPROBES] = "CONFIG_KPROBES",
	[RT_CONFIG_FUNCTION_TRACER] = "CONFIG_FUNCTION_TRACER",
	[RT_CONFIG_DIRECT_CALLS] = "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
	[RT_CONFIG_UPROBE_EVENTS] = "CONFIG_UPROBE_EVENTS",
	[RT_CONFIG_PERF_EVENTS] = "CONFIG_PERF_EVENTS",
};

struct rt_feat_info {
	const char *id, *label;
	enum rt_kconfig config[3]; /* what it needs; BPF_SYSCALL (0) fills up */
	const char *since;	   /* Linux */
};

#define NEEDS_BTF_TP {RT_CONFIG_BPF_EVENTS, RT_CONFIG_DEBUG_INFO_BTF, RT_CONFIG_TRACEPOINTS}
#define NEEDS_RAW_TP {RT_CONFIG_BPF_EVENTS, RT_CONFIG_TRACEPOINTS}

static const struct rt_feat_info rt_feats[RT_FEATS] = {
	[RT_FEAT_BTF] = {"btf", "BTF of the kernel", {RT_CONFIG_DEBUG_INFO_BTF}, "5.4"},
	[RT_FEAT_RINGBUF] = {"ringbuf", "BPF ring buffer", {RT_CONFIG_BPF_SYSCALL}, "5.8"},
	[RT_FEAT_RSS_BTF] = {"rss_stat_btf", "rss_stat (tp_btf)", NEEDS_BTF_TP, "5.5"},
	[RT_FEAT_RSS_RAW] = {"rss_stat_raw", "rss_stat (raw tracepoint)", NEEDS_RAW_TP, "5.5"},
	[RT_FEAT_FEXIT] = {"fexit", "fexit handle_mm_fault",
			   {RT_CONFIG_FUNCTION_TRACER, RT_CONFIG_DIRECT_CALLS, RT_CONFIG_DEBUG_INFO_BTF}, "5.5"},
	[RT_FEAT_KPROBE] = {"kprobe", "kprobe handle_mm_fault", {RT_CONFIG_KPROBES, RT_CONFIG_BPF_EVENTS}, "4.1"},
	[RT_FEAT_KRETPROBE] = {"kretprobe", "kretprobe handle_mm_fault", {RT_CONFIG_KPROBES, RT_CONFIG_BPF_EVENTS}, "4.1"},
	[RT_FEAT_PAGE_FAULT] = {"page_fault_user", "exceptions:page_fault_user", NEEDS_RAW_TP, "4.17 on x86"},
	[RT_FEAT_SWITCH] = {"sched_switch", "sched_switch", NEEDS_BTF_TP, "5.5"},
	[RT_FEAT_FORK] = {"sched_process_fork", "sched_process_fork", NEEDS_BTF_TP, "5.5"},
	[RT_FEAT_EXEC] = {"sched_process_exec", "sched_process_exec", NEEDS_BTF_TP, "5.5"},
	[RT_FEAT_EXIT] = {"sched_process_exit", "sched_process_exit", NEEDS_BTF_TP, "5.5"},
	[RT_FEAT_RENAME] = {"task_rename", "task_rename", NEEDS_BTF_TP, "5.5"},
	[RT_FEAT_ITER_TASK] = {"iter_task", "iterator over tasks", {RT_CONFIG_DEBUG_INFO_BTF}, "5.8"},
	[RT_FEAT_TASK_STORAGE] = {"task_storage", "task storage", NEEDS_BTF_TP, "5.11"},
	[RT_FEAT_LOOP] = {"bpf_loop", "bpf_loop", {RT_CONFIG_BPF_SYSCALL}, "5.17"},
	[RT_FEAT_RUN_ON_CPU] = {"run_on_cpu", "program run on a CPU", {RT_CONFIG_BPF_EVENTS}, "5.10"},
	[RT_FEAT_CLOCK] = {"perf_clock", "perf clock with BPF", {RT_CONFIG_PERF_EVENTS, RT_CONFIG_BPF_EVENTS}, "4.9"},
	[RT_FEAT_UPROBE] = {"uprobe", "uprobe", {RT_CONFIG_UPROBE_EVENTS, RT_CONFIG_PERF_EVENTS}, "4.17"},
	[RT_FEAT_OOM] = {"oom_mark_victim", "oom:mark_victim", NEEDS_RAW_TP, "4.17"},
};

bool rt_khost_has(const struct rt_khost *host, unsigned int cap)
{
	return host->caps >> cap & 1;
}

bool rt_khost_may_trace(const struct rt_khost *host)
{
	return rt_khost_has(host, CAP_SYS_ADMIN) || (rt_khost_has(host, CAP_BPF) && rt_khost_has(host, CAP_PERFMON));
}

const char *rt_kconfig_name(enum rt_kconfig config)
{
	return rt_kconfigs[config];
}

const char *rt_feat_id(enum rt_feat feat)
{
	return rt_feats[feat].id;
}

const char *rt_feat_label(enum rt_feat feat)
{
	return rt_feats[feat].label;
}

/* ---- reasons ---- */

__attribute__((format(printf, 3, 4)))
static void rt_append(char *buf, size_t len, const char *format, ...)
{
	size_t n = strlen(buf);
	va_list args;

	va_start(args, format);
	vsnprintf(buf + n, len - n, format, args);
	va_end(args);
}

static bool rt_is_refusal(int err)
{
	return err == -EPERM || err == -EACCES;
}

static void rt_reason_privilege(enum rt_feat feat, const struct rt_khost *host, char *buf, size_t len)
{
	if (feat == RT_FEAT_BTF) {
		rt_append(buf, len, "/sys/kernel/btf/vmlinux may not be read: mount the host's /sys/kernel/btf into the container");
		return;
	}
	if (!rt_khost_may_trace(host)) {
		rt_append(buf, len, "CAP_BPF%s missing: run it as root (sudo), or give it CAP_BPF and CAP_PERFMON",
			  rt_khost_has(host, CAP_BPF) ? " is there, but CAP_PERFMON is" :
			  rt_khost_has(host, CAP_PERFMON) ? " is" : " and CAP_PERFMON are");
		if (feat == RT_FEAT_CLOCK && host->perf_paranoid > 0)
			rt_append(buf, len, " (kernel.perf_event_paranoid is %d: without CAP_PERFMON only -1 lets other processes be sampled)",
				  host->perf_paranoid);
		return;
	}
	if (host->lockdown == RT_LOCKDOWN_CONFIDENTIALITY) {
		rt_append(buf, len, "kernel lockdown is in mode confidentiality, which forbids tracing: boot with lockdown=integrity or without it");
		return;
	}
	if (feat == RT_FEAT_UPROBE && !rt_khost_has(host, CAP_SYS_ADMIN)) {
		rt_append(buf, len, "kernels from mid-2025 on want CAP_SYS_ADMIN for uprobes: run it as root (sudo)");
		return;
	}
	rt_append(buf, len, "refused although the capabilities are there: by a security module, %sor a kernel patched to do so",
		  host->seccomp ? "the seccomp filter that this process has, " : "");
	if (feat == RT_FEAT_FEXIT)
		rt_append(buf, len, " (BPF trampolines)");
}

/* The configuration that it needs: what is known to be off alone, else all of it. */
static void rt_reason_config(enum rt_feat feat, const struct rt_khost *host, char *buf, size_t len)
{
	const struct rt_feat_info *info = &rt_feats[feat];
	size_t off = 0, unknown = 0, n = 0;

	for (size_t i = 0; i < 3; i++) {
		enum rt_kconfig c = info->config[i];

		if (i && c == RT_CONFIG_BPF_SYSCALL)
			break;
		n++;
		unknown += host->config[c] == '?';
		if (host->config[c] == 'n')
			rt_append(buf, len, "%s%s", off++ ? " and " : "this kernel is built without ", rt_kconfigs[c]);
	}
	if (off)
		return;
	if (!unknown) {
		rt_append(buf, len, "this kernel lacks it, though its configuration has what it needs: it is in Linux %s and newer", info->since);
		return;
	}
	rt_append(buf, len, "needs Linux %s or newer with ", info->since);
	for (size_t i = 0; i < n; i++)
		rt_append(buf, len, "%s%s", i ? " and " : "", rt_kconfigs[info->config[i]]);
}

static void rt_reason_silent(enum rt_feat feat, const struct rt_feat_result *result, char *buf, size_t len)
{
	unsigned long long hits = result->hits, wanted = result->wanted;

	if ((feat == RT_FEAT_RSS_BTF || feat == RT_FEAT_RSS_RAW) && hits)
		rt_append(buf, len, "fires once per batch of changes, as kernels before 6.2 do: %llu events of %llu page faults", hits, wanted);
	else
		rt_append(buf, len, "it attaches, but was seen %llu times instead of %llu; on a virtual machine or a patched kernel the hook may be cut off",
			  hits, wanted);
}

void rt_feat_reason(enum rt_feat feat, const struct rt_feat_result *result, const struct rt_khost *host, char *buf, size_t len)
{
	*buf = '\0';
	switch (result->state) {
	case RT_TRY_NONE:
		rt_append(buf, len, "not tried");
		return;
	case RT_TRY_WORKS:
		if (feat == RT_FEAT_RSS_BTF || feat == RT_FEAT_RSS_RAW)
			rt_append(buf, len, "fires on every change: ");
		if (feat == RT_FEAT_RSS_BTF || feat == RT_FEAT_RSS_RAW || feat == RT_FEAT_FEXIT || feat == RT_FEAT_KPROBE ||
		    feat == RT_FEAT_KRETPROBE || feat == RT_FEAT_PAGE_FAULT)
			rt_append(buf, len, "%llu events for %llu pages touched", (unsigned long long)result->hits,
				  (unsigned long long)result->wanted);
		if (feat == RT_FEAT_OOM)
			rt_append(buf, len, "it attaches, and tells of processes that are killed for lack of memory; not provoked");
		return;
	case RT_TRY_SILENT:
		rt_reason_silent(feat, result, buf, len);
		return;
	case RT_TRY_REFUSED:
	case RT_TRY_UNATTACHED:
		rt_append(buf, len, "%s (%s): ", strerrorname_np(-result->err) ? strerrorname_np(-result->err) : "error",
			  result->state == RT_TRY_REFUSED ? "loading" : "attaching");
		if (rt_is_refusal(result->err))
			rt_reason_privilege(feat, host, buf, len);
		else
			rt_reason_config(feat, host, buf, len);
		if (feat == RT_FEAT_OOM)
			rt_append(buf, len, "; runs go on without it, and do not say of a process that it was killed for lack of memory");
		return;
	}
}

/* ---- choice ---- */

static bool rt_works(const struct rt_kfeat *k, enum rt_feat feat)
{
	return k->feat[feat].state == RT_TRY_WORKS;
}

const char *rt_kfeat_source_name(enum rt_kfeat_source source)
{
	static const char *const names[RT_SOURCES_OF_KERNEL] = {"none", "rss_stat", "fexit", "kprobe", "tracepoint"};

	return source < RT_SOURCES_OF_KERNEL ? names[source] : "none";
}

enum rt_kfeat_source rt_kfeat_choose(const struct rt_kfeat *k, char *why, size_t len)
{
	bool rss = rt_works(k, RT_FEAT_RSS_BTF) || rt_works(k, RT_FEAT_RSS_RAW);
	const char *before = rss ? "rss_stat fires, but this kernel's counters are of another form than 6.2's" :
				   "rss_stat does not fire on every change here";

	if (rss && k->percpu_rss) {
		snprintf(why, len, "the tracepoint rss_stat fires on every change (%s), and the counters are per CPU: exact to the page",
			 rt_works(k, RT_FEAT_RSS_BTF) ? "tp_btf" : "raw tracepoint");
		return RT_SOURCE_RSS_STAT;
	}
	if (rt_works(k, RT_FEAT_FEXIT)) {
		snprintf(why, len, "%s; fexit on handle_mm_fault sees every fault", before);
		return RT_SOURCE_FEXIT;
	}
	if (rt_works(k, RT_FEAT_KPROBE) && rt_works(k, RT_FEAT_KRETPROBE)) {
		snprintf(why, len, "%s, and fexit does not work; kprobe and kretprobe on handle_mm_fault see every fault", before);
		return RT_SOURCE_KPROBE;
	}
	if (rt_works(k, RT_FEAT_PAGE_FAULT)) {
		snprintf(why, len, "%s, and neither fexit nor kprobes work; exceptions:page_fault_user is left, which is not exact", before);
		return RT_SOURCE_TRACEPOINT;
	}
	snprintf(why, len, "none of the hooks on memory faults works here: see their rows above");
	return RT_SOURCE_NONE;
}

uint32_t rt_kfeat_needed(const struct rt_kfeat *k, enum rt_kfeat_source source)
{
	uint32_t all = RT_FEAT_BIT(RT_FEAT_BTF) | RT_FEAT_BIT(RT_FEAT_RINGBUF) | RT_FEAT_BIT(RT_FEAT_SWITCH) |
		       RT_FEAT_BIT(RT_FEAT_FORK) | RT_FEAT_BIT(RT_FEAT_EXEC) | RT_FEAT_BIT(RT_FEAT_EXIT) | RT_FEAT_BIT(RT_FEAT_RENAME) |
		       RT_FEAT_BIT(RT_FEAT_ITER_TASK) | RT_FEAT_BIT(RT_FEAT_TASK_STORAGE) | RT_FEAT_BIT(RT_FEAT_LOOP) |
		       RT_FEAT_BIT(RT_FEAT_RUN_ON_CPU) | RT_FEAT_BIT(RT_FEAT_CLOCK);

	all &= ~RT_FEATS_REPLACED;
	switch (source) {
	case RT_SOURCE_RSS_STAT:
		return all | RT_FEAT_BIT(rt_works(k, RT_FEAT_RSS_BTF) ? RT_FEAT_RSS_BTF : RT_FEAT_RSS_RAW);
	case RT_SOURCE_FEXIT:
		return all | RT_FEAT_BIT(RT_FEAT_FEXIT);
	case RT_SOURCE_KPROBE:
		return all | RT_FEAT_BIT(RT_FEAT_KPROBE) | RT_FEAT_BIT(RT_FEAT_KRETPROBE);
	case RT_SOURCE_TRACEPOINT:
		return all | RT_FEAT_BIT(RT_FEAT_PAGE_FAULT);
	default:
		return all | RT_FEAT_BIT(RT_FEAT_RSS_BTF); /* the best one is what is missing */
	}
}

enum rt_kfeat_verdict rt_kfeat_judge(const struct rt_kfeat *k, const struct rt_khost *host, uint32_t *missing)
{
	char why[256];
	enum rt_kfeat_source source = rt_kfeat_choose(k, why, sizeof(why));
	uint32_t needed = rt_kfeat_needed(k, source);
	bool privilege = false;

	*missing = 0;
	for (int i = 0; i < RT_FEATS; i++) {
		if (!(needed >> i & 1) || rt_works(k, (enum rt_feat)i))
			continue;
		*missing |= RT_FEAT_BIT(i);
		privilege |= rt_is_refusal(k->feat[i].err) && !rt_khost_may_trace(host);
	}
	if (privilege || (*missing && !rt_khost_may_trace(host)))
		return RT_VERDICT_PRIVILEGE;
	return *missing ? RT_VERDICT_FEATURE : RT_VERDICT_GOOD;
}
