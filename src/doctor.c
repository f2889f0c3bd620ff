/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "doctor.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "docopts.h"
#include "docreport.h"
#include "doctarget.h"
#include "hostinfo.h"
#include "kfeat.h"
#include "log.h"
#include "precheck.h"
#include "probe.h"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

static void add_capabilities(struct rt_doc *doc, const struct rt_hostinfo *h)
{
	static const struct {
		unsigned int cap;
		const char *id, *label, *lack;
	} caps[] = {
		{CAP_BPF, "cap_bpf", "CAP_BPF", "BPF programs cannot be loaded"},
		{CAP_PERFMON, "cap_perfmon", "CAP_PERFMON", "tracing programs and perf events are refused"},
		{CAP_SYS_PTRACE, "cap_sys_ptrace", "CAP_SYS_PTRACE", "other users' processes cannot be looked at"},
		{CAP_DAC_READ_SEARCH, "cap_dac_read_search", "CAP_DAC_READ_SEARCH", "other users' interpreters and sources may be unreadable"},
		{CAP_SYS_ADMIN, "cap_sys_admin", "CAP_SYS_ADMIN", "uprobes are refused from mid-2025 on"},
		{CAP_SYS_RESOURCE, "cap_sys_resource", "CAP_SYS_RESOURCE", "RLIMIT_MEMLOCK cannot be raised, which kernels before 5.11 need"},
	};

	for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
		bool has = rt_khost_has(&h->k, caps[i].cap);
		/* CAP_SYS_ADMIN stands for the first two. */
		bool implied = i < 2 && rt_khost_has(&h->k, CAP_SYS_ADMIN);

		rt_doc_add(doc, "privileges", caps[i].id, caps[i].label, has || implied ? RT_DOC_YES : RT_DOC_NO, i < 2,
			   has || !implied ? NULL : "by CAP_SYS_ADMIN", has || implied ? NULL : caps[i].lack);
	}
}

static void add_number(struct rt_doc *doc, const char *id, const char *label, int value, const char *note)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", value);
	rt_doc_add(doc, "privileges", id, label, value == INT_MIN ? RT_DOC_UNKNOWN : RT_DOC_INFO, false, value == INT_MIN ? NULL : text,
		   value == INT_MIN ? "cannot be read" : note);
}

static void add_privileges(struct rt_doc *doc, const struct rt_hostinfo *h)
{
	char limit[48] = "unlimited";

	add_capabilities(doc, h);
	rt_doc_add(doc, "privileges", "lockdown", "kernel lockdown",
		   !h->lockdown[0]			      ? RT_DOC_UNKNOWN :
		   h->k.lockdown == RT_LOCKDOWN_CONFIDENTIALITY ? RT_DOC_NO :
								  RT_DOC_INFO,
		   false, h->lockdown, h->lockdown[0] ? NULL : "/sys/kernel/security/lockdown cannot be read (no securityfs here, or no lockdown)");
	rt_doc_add(doc, "privileges", "lsm", "security modules", h->lsm[0] ? RT_DOC_INFO : RT_DOC_UNKNOWN, false, h->lsm,
		   h->lsm[0] ? NULL : "/sys/kernel/security/lsm cannot be read");
	rt_doc_add(doc, "privileges", "seccomp", "seccomp filter", RT_DOC_INFO, false, h->k.seccomp ? "there is one on this process" : "none",
		   NULL);
	add_number(doc, "perf_event_paranoid", "kernel.perf_event_paranoid", h->k.perf_paranoid, NULL);
	add_number(doc, "unprivileged_bpf_disabled", "kernel.unprivileged_bpf_disabled", h->unprivileged_bpf, NULL);
	if (h->memlock != UINT64_MAX)
		snprintf(limit, sizeof(limit), "%llu KiB", (unsigned long long)(h->memlock / 1024));
	rt_doc_add(doc, "privileges", "memlock", "RLIMIT_MEMLOCK", RT_DOC_INFO, false, limit, "counts before Linux 5.11 only");
	rt_doc_add(doc, "privileges", "initial_pidns", "initial PID namespace", h->initial_pidns ? RT_DOC_YES : RT_DOC_NO, true, NULL,
		   h->initial_pidns ? NULL : "PIDs here are not those that BPF programs see: run it on the host, or in a container with --pid=host");
}

static void add_features(struct rt_doc *doc, const struct rt_kfeat *k, const struct rt_hostinfo *h, uint32_t needed)
{
	char why[512];

	for (int i = 0; i < RT_FEATS; i++) {
		enum rt_feat feat = (enum rt_feat)i;
		const struct rt_feat_result *r = &k->feat[i];
		const char *section = i <= RT_FEAT_RINGBUF	 ? "kernel" :
				      i <= RT_FEAT_PAGE_FAULT ? "hooks on RSS and page faults (loaded, attached, and counted while doctor touched pages)" :
								   "other hooks and helpers (loaded, attached and counted)";

		rt_feat_reason(feat, r, &h->k, why, sizeof(why));
		rt_doc_add(doc, section, rt_feat_id(feat), rt_feat_label(feat), r->state == RT_TRY_WORKS ? RT_DOC_YES : RT_DOC_NO, needed >> i & 1,
			   NULL, why);
	}
}

static void add_kernel(struct rt_doc *doc, const struct rt_kfeat *k, const struct rt_hostinfo *h)
{
	rt_doc_add(doc, "kernel", "release", "release", RT_DOC_INFO, false, h->release, NULL);
	rt_doc_add(doc, "kernel", "machine", "machine", strcmp(h->machine, "x86_64") ? RT_DOC_NO : RT_DOC_INFO, true, h->machine,
		   strcmp(h->machine, "x86_64") ? "ramtrack-bpf knows x86-64 only" : NULL);
	rt_doc_add(doc, "kernel", "config", "its configuration", h->config_file[0] ? RT_DOC_INFO : RT_DOC_UNKNOWN, false, h->config_file,
		   h->config_file[0] ? "a hint only: hooks are tried" : "not found in /proc/config.gz or /boot: reasons below name what is needed");
	rt_doc_add(doc, "kernel", "rss_counters", "RSS counters",
		   k->feat[RT_FEAT_BTF].state == RT_TRY_WORKS ? RT_DOC_INFO : RT_DOC_UNKNOWN, false,
		   k->feat[RT_FEAT_BTF].state != RT_TRY_WORKS ? NULL : k->percpu_rss ? "per CPU (Linux 6.2 and newer)" : "split by task (before Linux 6.2)",
		   NULL);
}

/* The status by the kernel and our privileges, and the words for it. */
static int judge(struct rt_doc *doc, const struct rt_kfeat *k, const struct rt_hostinfo *h)
{
	uint32_t missing;
	enum rt_kfeat_verdict verdict = rt_kfeat_judge(k, &h->k, &missing);
	char text[1024];
	size_t n;

	if (verdict == RT_VERDICT_GOOD && !h->initial_pidns) {
		rt_doc_set(doc, &doc->verdict, "the kernel's side works, but processes cannot be named from this PID namespace: see its row");
		return RT_NO_TARGET;
	}
	if (verdict == RT_VERDICT_GOOD) {
		rt_doc_set(doc, &doc->verdict, "a run can begin here: everything that it needs works");
		return RT_OK;
	}
	n = (size_t)snprintf(text, sizeof(text), "a %s is missing", verdict == RT_VERDICT_PRIVILEGE ? "privilege" : "kernel feature");
	for (int i = 0; i < RT_FEATS && n < sizeof(text); i++)
		if (missing >> i & 1)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", missing & (RT_FEAT_BIT(i) - 1) ? ", " : "; what does not work: ",
					      rt_feat_label((enum rt_feat)i));
	rt_doc_set(doc, &doc->verdict, text);
	return verdict == RT_VERDICT_PRIVILEGE ? RT_NO_PRIVILEGE : RT_NO_FEATURE;
}

static int look_at_target(struct rt_doc *doc, const struct rt_docopts *opts, const struct rt_profile *profile)
{
	int status = rt_doctarget_look(doc, (pid_t)opts->pid, profile);

	if (status == RT_NO_PRIVILEGE && !doc->status)
		rt_doc_set(doc, &doc->verdict, "the kernel's side works, but this process may not be looked at: see its rows");
	if (status == RT_OK && !doc->status && doc->target && !doc->target->python)
		rt_doc_set(doc, &doc->verdict, "a run can begin here, but it would show this process without phases: see its rows");
	return status;
}

static int run(const struct rt_docopts *opts, struct rt_doc *doc)
{
	struct rt_profile *profile = NULL;
	struct rt_hostinfo host;
	struct rt_kfeat k;
	char why[512];
	int status = RT_OK, err;

	if (opts->pid) {
		status = rt_precheck_target((pid_t)opts->pid);
		if (!status) {
			profile = rt_precheck_profile(opts->profile);
			status = profile ? RT_OK : RT_ERROR;
		}
		if (status)
			return status;
	}
	rt_hostinfo_read(&host);
	rt_kfeat_try(RT_FEAT_ALL, &k);
	doc->source = rt_kfeat_source_name(rt_kfeat_choose(&k, why, sizeof(why)));
	rt_doc_set(doc, &doc->source_reason, why);
	add_kernel(doc, &k, &host);
	add_features(doc, &k, &host, rt_kfeat_needed(&k, rt_kfeat_choose(&k, why, sizeof(why))));
	add_privileges(doc, &host);
	doc->status = judge(doc, &k, &host);
	if (opts->pid) {
		status = look_at_target(doc, opts, profile);
		rt_profile_free(profile);
		if (status == RT_NO_TARGET)
			return status; /* said already */
		if (!doc->status)
			doc->status = status;
	}
	err = opts->json ? rt_doc_json(doc, stdout) : rt_doc_table(doc, stdout);
	if (err) {
		rt_log_error("standard output: %s; free some space or memory and try again", strerror(-err));
		return RT_ERROR;
	}
	return doc->status;
}

int rt_doctor_main(int argc, char **argv)
{
	struct rt_docopts opts;
	struct rt_doc doc = {.source = "none"};
	int status = rt_docopts_parse(argc, argv, stdout, stderr, &opts);

	if (status || opts.shown)
		return status;
	rt_log_set_level(opts.verbosity);
	status = run(&opts, &doc);
	rt_doc_free(&doc);
	return status;
}
