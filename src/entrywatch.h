/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * entrywatch.h - hardware watchpoints on the reference counts of code objects whose calls are to be told exactly (bpf/entry.bpf.h): four of a process at most.
 *
 * A NULL pointer is allowed everywhere: nothing is watched.
 */
#ifndef RT_ENTRYWATCH_H
#define RT_ENTRYWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "entrylog.h"
#include "probe.h"

struct rt_entrywatch;

struct rt_entrywatch_config {
	struct rt_probe *probe;
	const struct rt_account *account;
	bool forced; /* whatever they cost */
	struct rt_entrylog *log;
	rt_entry_off_fn on_off;
	void *ctx;
};

/* Tries a watchpoint on ourselves. Without them *out is NULL; with `forced` that is an error, logged (RT_NO_FEATURE). All pointers must outlive *out. */
int rt_entrywatch_new(const struct rt_entrywatch_config *config, struct rt_entrywatch **out);

/* Takes all watchpoints off. */
void rt_entrywatch_free(struct rt_entrywatch *w);

/* A WATCH record, after the CODE record that it is about has gone to the account: puts the watchpoint on. `otherwise`: static probes may tell of the image's calls as well, so that
 * it is not said if there can be none. */
void rt_entrywatch_met(struct rt_entrywatch *w, const void *record, size_t size, bool otherwise);

/* PROC and EXIT records: watchpoints of images that are over are taken off. */
void rt_entrywatch_record(struct rt_entrywatch *w, const void *record, size_t size);

/* Not forced: takes off those that cost more than 1 % of a core, and tries them again after some time. Says so if one does not fire although calls are seen. */
void rt_entrywatch_tick(struct rt_entrywatch *w, uint64_t now_ns);

#endif
