/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * mmsource.h - the hooks that tell of RSS changes: names, order of choice, and what a kernel that lacks one should be told. Pure.
 */
#ifndef RT_MMSOURCE_H
#define RT_MMSOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "rt_config.h"

#define RT_MM_AUTO RT_MM_SOURCES /* option --mm-source auto */

/* "rss_stat", "fexit", "kprobe", "tracepoint": as the option has it. */
const char *rt_mm_name(enum rt_mm_source source);

/* Sources to be tried, the best first; `split`: the kernel's counters are split per task (up to 6.1). Returns how many. */
size_t rt_mm_candidates(bool split, enum rt_mm_source out[RT_MM_SOURCES]);

/* Can the source be exact to the page with these counters? */
bool rt_mm_exact(enum rt_mm_source source);

/* What a kernel that refuses the source lacks: "CONFIG_KPROBES=y ...". */
const char *rt_mm_needs(enum rt_mm_source source);

#endif
