/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * recording.h - the ledger of a live run: its file, what of the host goes into it, errors said once.
 *
 * All functions but rt_recording_check and rt_recording_open do nothing where nothing is recorded (`recording` NULL).
 */
#ifndef RT_RECORDING_H
#define RT_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "recorder.h"

struct rt_recording;

/* Can `path` be recorded to? A ledger that is there already will be renamed to PATH.old; any other file is left alone. Returns an exit status, logged. */
int rt_recording_check(const char *path);

struct rt_recording_config {
	const char *path; /* must outlive the recording */
	bool said;	  /* the end is a notice (`ramtrack-bpf record`), not a detail */
	/* See rt_account_config.read_source. */
	int (*read_source)(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);
	void *ctx;
};

/* Creates the file: mode 0600, of the user who called sudo. Returns an exit status, logged; *out is to be closed with rt_recording_close. */
int rt_recording_open(const struct rt_recording_config *config, struct rt_recording **out);

/* What the run is set up with; `facts` lacks the host's, which are filled in here. */
void rt_recording_begin(struct rt_recording *recording, const struct rt_ledger_facts *facts, const struct rt_profile *profile, struct rt_account *account);

void rt_recording_start(struct rt_recording *recording, const struct rt_json_start *start);

int rt_recording_read_source(struct rt_recording *recording, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);

/* Is it time for rt_recording_tick? */
bool rt_recording_due(const struct rt_recording *recording, uint64_t now_ns);
void rt_recording_tick(struct rt_recording *recording, uint64_t now_ns, const uint64_t counters[RT_COUNTERS]);

/* Returns an exit status: RT_ERROR if the ledger could not be written to its end. */
int rt_recording_end(struct rt_recording *recording, uint64_t now_ns, const uint64_t counters[RT_COUNTERS], const struct rt_self_cost *cost);

/* A ledger without any process is removed again, and what it replaced is put back. */
void rt_recording_close(struct rt_recording *recording);

#endif
