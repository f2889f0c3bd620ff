/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * kchoice.h - what follows from what a kernel can do: reasons in words, the source of RSS changes, the exit status.
 *
 * Pure: kfeat.c fills struct rt_kfeat by trying, hostinfo.c struct rt_khost by reading; here nothing is asked.
 */
#ifndef RT_KCHOICE_H
#define RT_KCHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt_feat.h"

#define RT_FEAT_BIT(feat) (1u << (feat))
#define RT_FEAT_ALL (RT_FEAT_BIT(RT_FEATS) - 1)

enum rt_feat_state {
	RT_TRY_NONE = 0,  /* not tried */
	RT_TRY_WORKS,	  /* loaded, attached, fired as often as it must */
	RT_TRY_REFUSED,	  /* the kernel does not load it: err */
	RT_TRY_UNATTACHED, /* loaded, but it cannot be attached or run: err */
	RT_TRY_SILENT,	  /* attached, but fired less often than it must */
};

struct rt_feat_result {
	enum rt_feat_state state;
	int err;		/* -errno */
	uint64_t hits, wanted; /* wanted: the least that must be seen */
};

struct rt_kfeat {
	struct rt_feat_result feat[RT_FEATS];
	bool percpu_rss; /* mm_struct.rss_stat are per-CPU counters (6.2 on), by BTF */
};

/* Options of the kernel's configuration that a refusal may come from. */
enum rt_kconfig {
	RT_CONFIG_BPF_SYSCALL,
	RT_CONFIG_BPF_EVENTS,
	RT_CONFIG_DEBUG_INFO_BTF,
	RT_CONFIG_TRACEPOINTS,
	RT_CONFIG_KPROBES,
	RT_CONFIG_FUNCTION_TRACER,
	RT_CONFIG_DIRECT_CALLS, /* DYNAMIC_FTRACE_WITH_DIRECT_CALLS: BPF trampolines attach by it */
	RT_CONFIG_UPROBE_EVENTS,
	RT_CONFIG_PERF_EVENTS,
	RT_KCONFIGS,
};

enum rt_lockdown { RT_LOCKDOWN_UNKNOWN, RT_LOCKDOWN_NONE, RT_LOCKDOWN_INTEGRITY, RT_LOCKDOWN_CONFIDENTIALITY };

struct rt_khost {
	uint64_t caps; /* effective capabilities, a bit each */
	enum rt_lockdown lockdown;
	int perf_paranoid; /* INT_MIN: not known */
	bool seccomp;	   /* a seccomp filter is on us */
	char config[RT_KCONFIGS]; /* 'y', 'n', or '?': not known */
};

bool rt_khost_has(const struct rt_khost *host, unsigned int cap);

/* May it load tracing programs, by its capabilities? */
bool rt_khost_may_trace(const struct rt_khost *host);

/* "CONFIG_KPROBES". */
const char *rt_kconfig_name(enum rt_kconfig config);

/* Name in JSON ("rss_stat_btf"), and words for people. */
const char *rt_feat_id(enum rt_feat feat);
const char *rt_feat_label(enum rt_feat feat);

/* Why it does not work and what to do; when it does, what was seen. Text of at most `len` bytes. */
void rt_feat_reason(enum rt_feat feat, const struct rt_feat_result *result, const struct rt_khost *host, char *buf, size_t len);

enum rt_kfeat_source {
	RT_SOURCE_NONE,
	RT_SOURCE_RSS_STAT,
	RT_SOURCE_FEXIT,
	RT_SOURCE_KPROBE,
	RT_SOURCE_TRACEPOINT,
	RT_SOURCES_OF_KERNEL,
};

/* Features that this build's programs can do without, a bit each (RT_FEAT_BIT): those for which it has another way on older kernels. */
#define RT_FEATS_REPLACED (RT_FEAT_BIT(RT_FEAT_TASK_STORAGE) | RT_FEAT_BIT(RT_FEAT_LOOP))

/* "rss_stat", "fexit", ... ; "none". */
const char *rt_kfeat_source_name(enum rt_kfeat_source source);

/* What `auto` takes of what works: rss_stat where it fires on every change, else fexit, else kprobe, else the tracepoint. `why`: in words. */
enum rt_kfeat_source rt_kfeat_choose(const struct rt_kfeat *k, char *why, size_t len);

/* Features that a run with this source needs, a bit each. */
uint32_t rt_kfeat_needed(const struct rt_kfeat *k, enum rt_kfeat_source source);

enum rt_kfeat_verdict { RT_VERDICT_GOOD, RT_VERDICT_PRIVILEGE, RT_VERDICT_FEATURE };

/* Can a run with --mm-source auto begin here? *missing: needed features that do not work, a bit each. A refusal by privilege
 * counts before one by a missing feature: without the privilege nobody knows what the kernel has. */
enum rt_kfeat_verdict rt_kfeat_judge(const struct rt_kfeat *k, const struct rt_khost *host, uint32_t *missing);

#endif
