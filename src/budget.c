/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "budget.h"

void rt_budget_init(struct rt_budget *b, uint64_t burst_ns, uint64_t first_pause_ns)
{
	*b = (struct rt_budget){.burst_ns = burst_ns, .first_pause_ns = first_pause_ns, .pause_ns = first_pause_ns};
}

bool rt_budget_due(const struct rt_budget *b, uint64_t now_ns)
{
	return !b->on && now_ns >= b->again_ns;
}

void rt_budget_on(struct rt_budget *b, uint64_t now_ns)
{
	b->on = true;
	b->left_ns = (int64_t)b->burst_ns;
	b->spent_ns = 0;
	b->at_ns = b->since_ns = now_ns;
}

bool rt_budget_spend(struct rt_budget *b, uint64_t now_ns, uint64_t spent_ns)
{
	uint64_t passed = now_ns > b->at_ns ? now_ns - b->at_ns : 0, spent = spent_ns > b->spent_ns ? spent_ns - b->spent_ns : 0;
	uint64_t room;

	if (!b->on)
		return true;
	b->at_ns += passed;
	b->spent_ns += spent;
	/* What the time has brought, but no more than a burst: a quiet hour is no licence for a dear minute. Both are compared before they are added, whatever their size. */
	room = b->burst_ns - (uint64_t)b->left_ns;
	b->left_ns += (int64_t)(passed / RT_BUDGET_SHARE < room ? passed / RT_BUDGET_SHARE : room);
	if (spent > (uint64_t)b->left_ns)
		return false;
	b->left_ns -= (int64_t)spent;
	return true;
}

uint64_t rt_budget_off(struct rt_budget *b, uint64_t now_ns)
{
	uint64_t pause = b->pause_ns;

	if (now_ns > b->since_ns && now_ns - b->since_ns > pause)
		pause = b->first_pause_ns;
	b->on = false;
	b->since_ns = now_ns;
	b->again_ns = now_ns + pause;
	b->pause_ns = pause < RT_BUDGET_PAUSE_MAX_NS ? pause * 2 : pause;
	return pause;
}

void rt_budget_failed(struct rt_budget *b, uint64_t now_ns)
{
	b->on = false;
	b->again_ns = now_ns + b->pause_ns;
}
