/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What follows from what a kernel can do: kernels as they were measured (5.10 to 7.3), and what a refusal is put down to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <limits.h>
#include <linux/capability.h>

#include "kchoice.h"

#define ROOT (~0ull)

static void works(struct rt_kfeat *k, uint32_t mask)
{
	for (int i = 0; i < RT_FEATS; i++)
		if (mask >> i & 1)
			k->feat[i] = (struct rt_feat_result){RT_TRY_WORKS, 0, 256, 256};
}

static void fails(struct rt_kfeat *k, enum rt_feat feat, enum rt_feat_state state, int err, uint64_t hits)
{
	k->feat[feat] = (struct rt_feat_result){state, err, hits, 256};
}

static struct rt_khost host(uint64_t caps)
{
	struct rt_khost h = {.caps = caps, .perf_paranoid = 2};

	memset(h.config, '?', sizeof(h.config));
	return h;
}

static enum rt_kfeat_source choose(const struct rt_kfeat *k)
{
	char why[256];
	enum rt_kfeat_source source = rt_kfeat_choose(k, why, sizeof(why));

	assert_true(strlen(why) > 10);
	return source;
}

static void test_new_kernel(void **state)
{
	struct rt_kfeat k = {.percpu_rss = true};
	struct rt_khost h = host(ROOT);
	uint32_t missing;

	works(&k, RT_FEAT_ALL);
	assert_int_equal(choose(&k), RT_SOURCE_RSS_STAT);
	assert_int_equal(rt_kfeat_judge(&k, &h, &missing), RT_VERDICT_GOOD);
	assert_int_equal(missing, 0);
	/* What auto does not take may be missing. */
	fails(&k, RT_FEAT_FEXIT, RT_TRY_REFUSED, -EPERM, 0);
	fails(&k, RT_FEAT_KPROBE, RT_TRY_UNATTACHED, -ENOENT, 0);
	fails(&k, RT_FEAT_UPROBE, RT_TRY_UNATTACHED, -EPERM, 0);
	assert_int_equal(rt_kfeat_judge(&k, &h, &missing), RT_VERDICT_GOOD);
	/* Of the two forms of rss_stat one is enough. */
	fails(&k, RT_FEAT_RSS_BTF, RT_TRY_REFUSED, -EINVAL, 0);
	assert_int_equal(choose(&k), RT_SOURCE_RSS_STAT);
	assert_int_equal(rt_kfeat_judge(&k, &h, &missing), RT_VERDICT_GOOD);
	fails(&k, RT_FEAT_CLOCK, RT_TRY_UNATTACHED, -ENOENT, 0);
	assert_int_equal(rt_kfeat_judge(&k, &h, &missing), RT_VERDICT_FEATURE);
	assert_int_equal(missing, RT_FEAT_BIT(RT_FEAT_CLOCK));
}

/* Linux 6.1: the tracepoint fires once per 64 changes. */
static void test_old_kernel(void **state)
{
	struct rt_kfeat k = {.percpu_rss = false};
	struct rt_khost h = host(ROOT);
	char why[512];

	works(&k, RT_FEAT_ALL);
	fails(&k, RT_FEAT_RSS_BTF, RT_TRY_SILENT, 0, 4);
	fails(&k, RT_FEAT_RSS_RAW, RT_TRY_SILENT, 0, 4);
	rt_feat_reason(RT_FEAT_RSS_RAW, &k.feat[RT_FEAT_RSS_RAW], &h, why, sizeof(why));
	assert_non_null(strstr(why, "4 events of 256"));
	assert_non_null(strstr(why, "6.2"));
	assert_int_equal(choose(&k), RT_SOURCE_FEXIT);
	fails(&k, RT_FEAT_FEXIT, RT_TRY_SILENT, 0, 0);
	assert_int_equal(choose(&k), RT_SOURCE_KPROBE);
	fails(&k, RT_FEAT_KRETPROBE, RT_TRY_UNATTACHED, -ENOENT, 0);
	assert_int_equal(choose(&k), RT_SOURCE_TRACEPOINT);
	fails(&k, RT_FEAT_PAGE_FAULT, RT_TRY_UNATTACHED, -ENOENT, 0);
	assert_int_equal(choose(&k), RT_SOURCE_NONE);
}

/* A tracepoint that fires is not enough where the counters are of another form. */
static void test_counters_decide(void **state)
{
	struct rt_kfeat k = {.percpu_rss = false};

	works(&k, RT_FEAT_ALL);
	assert_int_equal(choose(&k), RT_SOURCE_FEXIT);
}

static void test_no_privilege(void **state)
{
	struct rt_kfeat k = {.percpu_rss = true};
	struct rt_khost h = host(0);
	uint32_t missing;
	char why[512];

	for (int i = 0; i < RT_FEATS; i++)
		fails(&k, (enum rt_feat)i, RT_TRY_REFUSED, -EPERM, 0);
	works(&k, RT_FEAT_BIT(RT_FEAT_BTF));
	assert_int_equal(rt_kfeat_judge(&k, &h, &missing), RT_VERDICT_PRIVILEGE);
	assert_int_equal(missing & RT_FEAT_BIT(RT_FEAT_BTF), 0);
	rt_feat_reason(RT_FEAT_SWITCH, &k.feat[RT_FEAT_SWITCH], &h, why, sizeof(why));
	assert_non_null(strstr(why, "EPERM"));
	assert_non_null(strstr(why, "CAP_BPF and CAP_PERFMON"));
	rt_feat_reason(RT_FEAT_CLOCK, &k.feat[RT_FEAT_CLOCK], &h, why, sizeof(why));
	assert_non_null(strstr(why, "kernel.perf_event_paranoid is 2"));
	h.caps = 1ull << CAP_BPF;
	rt_feat_reason(RT_FEAT_SWITCH, &k.feat[RT_FEAT_SWITCH], &h, why, sizeof(why));
	assert_non_null(strstr(why, "CAP_BPF is there, but CAP_PERFMON is missing"));
}

static void test_refused_with_privilege(void **state)
{
	struct rt_feat_result r = {RT_TRY_REFUSED, -EPERM, 0, 256};
	struct rt_khost h = host(ROOT);
	char why[512];

	h.lockdown = RT_LOCKDOWN_CONFIDENTIALITY;
	rt_feat_reason(RT_FEAT_SWITCH, &r, &h, why, sizeof(why));
	assert_non_null(strstr(why, "lockdown"));
	h.lockdown = RT_LOCKDOWN_NONE;
	h.seccomp = true;
	rt_feat_reason(RT_FEAT_FEXIT, &r, &h, why, sizeof(why));
	assert_non_null(strstr(why, "seccomp"));
	assert_non_null(strstr(why, "security module"));
	h.caps = 1ull << 38 | 1ull << 39; /* CAP_PERFMON, CAP_BPF */
	rt_feat_reason(RT_FEAT_UPROBE, &r, &h, why, sizeof(why));
	assert_non_null(strstr(why, "CAP_SYS_ADMIN"));
}

static void test_configuration(void **state)
{
	struct rt_feat_result r = {RT_TRY_UNATTACHED, -ENOENT, 0, 256};
	struct rt_khost h = host(ROOT);
	char why[512], cut[16];

	rt_feat_reason(RT_FEAT_KPROBE, &r, &h, why, sizeof(why));
	assert_non_null(strstr(why, "ENOENT"));
	assert_non_null(strstr(why, "needs Linux 4.1 or newer with CONFIG_KPROBES"));
	h.config[RT_CONFIG_KPROBES] = 'n';
	rt_feat_reason(RT_FEAT_KPROBE, &r, &h, why, sizeof(why));
	assert_non_null(strstr(why, "built without CONFIG_KPROBES"));
	assert_null(strstr(why, "CONFIG_BPF_EVENTS"));
	memset(h.config, 'y', sizeof(h.config));
	rt_feat_reason(RT_FEAT_LOOP, &r, &h, why, sizeof(why));
	assert_non_null(strstr(why, "5.17"));
	rt_feat_reason(RT_FEAT_LOOP, &r, &h, cut, sizeof(cut));
	assert_int_equal(strlen(cut), sizeof(cut) - 1);
}

static void test_every_feature_has_words(void **state)
{
	struct rt_khost h = host(0);
	char why[512];

	for (int i = 0; i < RT_FEATS; i++) {
		assert_non_null(rt_feat_id((enum rt_feat)i));
		assert_non_null(rt_feat_label((enum rt_feat)i));
		for (int s = RT_TRY_NONE; s <= RT_TRY_SILENT; s++) {
			struct rt_feat_result r = {(enum rt_feat_state)s, s == RT_TRY_REFUSED ? -EINVAL : -EPERM, 0, 1};

			rt_feat_reason((enum rt_feat)i, &r, &h, why, sizeof(why));
			assert_true(s == RT_TRY_WORKS || *why);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_kernel),	      cmocka_unit_test(test_old_kernel),
		cmocka_unit_test(test_counters_decide),	      cmocka_unit_test(test_no_privilege),
		cmocka_unit_test(test_refused_with_privilege), cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_every_feature_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
