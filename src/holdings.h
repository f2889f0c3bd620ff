/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * holdings.h - reads what processes held when we attached, and puts it into the accounting core as OPENING records.
 *
 * The kernel walks page tables to answer (8.5 ms per GiB), so it is read in steps, while records go on coming.
 */
#ifndef RT_HOLDINGS_H
#define RT_HOLDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "account.h"

struct rt_holdings;

struct rt_holdings *rt_holdings_new(struct rt_account *account);
void rt_holdings_free(struct rt_holdings *holdings);

/* A PROC or EXIT record, after the core has taken it. */
void rt_holdings_record(struct rt_holdings *holdings, const void *record, size_t size);

/* Reads on for about `budget_ns`; one large mapping can take longer. */
void rt_holdings_step(struct rt_holdings *holdings, uint64_t budget_ns);

#endif
