/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * entrylog.h - what told of calls exactly, and what was taken off: for the summary ("entries" in NDJSON). One row per method and phase, whatever the number of processes; bounded.
 */
#ifndef RT_ENTRYLOG_H
#define RT_ENTRYLOG_H

#include <stddef.h>
#include <stdint.h>

#define RT_ENTRYLOG_ROWS 256

struct rt_entry_row {
	const char *method; /* "usdt", "uprobe", "watch"; the caller's constant */
	const char *phase;  /* id in the profile, which must outlive the log; NULL: all that the profile names */
	uint64_t hits;	    /* of it, in all processes that run the file (probes) or are followed (watchpoints) */
	uint32_t attached;  /* how often it was put on */
	uint32_t detached;  /* how often it was taken off because it cost too much */
	char reason[192];   /* of the last time that it was taken off, or could not be put on; empty: neither */
};

struct rt_entrylog {
	struct rt_entry_row row[RT_ENTRYLOG_ROWS];
	size_t n;
};

/* What told of calls of the phase (NULL: of all) in the image (0: in all) was taken off although it runs on: calls that are open then may end unseen, and others begin. */
typedef void (*rt_entry_off_fn)(void *ctx, uint32_t image, const char *phase);

/* The row; a new one has zeros. Never NULL: what there is no room for is added up in the last row. */
struct rt_entry_row *rt_entrylog_row(struct rt_entrylog *log, const char *method, const char *phase);

/* Sets the reason, as printf does; too long a one is cut. */
void rt_entrylog_reason(struct rt_entry_row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
