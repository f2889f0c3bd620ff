/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * recorder.h - keeps in a ledger file all that an accounting core is told, while it is told.
 *
 * A tap on the core (src/account.h) gives it every record, advance and forgetting, in order; sources that the core reads go through it. Besides, it keeps the
 * source of every function below which RSS grew by RT_KEEP_BYTES or more, for phases that are thought of later. Memory is bounded: two buffers, hashes of
 * what was written, and a byte for each node that the core keeps.
 *
 * Nothing here fails a run: after the first error of writing nothing more is written, and rt_recorder_error says which.
 */
#ifndef RT_RECORDER_H
#define RT_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "json.h"
#include "ledfacts.h"

#define RT_KEEP_BYTES 65536u	       /* growth from which on a function's source is kept */
#define RT_KEEP_SOURCE_MAX (4u << 20)  /* bytes of a source that is kept for that; a longer one is generated */
#define RT_KEEP_TOTAL (192u << 20)     /* and of all of them, before compression */
#define RT_FLUSH_NS 500000000ull       /* what a killed tool loses at most, and a tick */

struct rt_recorder;

struct rt_recorder_config {
	int fd; /* an empty file, the caller's */
	/* Source as rt_account_config.read_source gives it. */
	int (*read_source)(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);
	/* Build id of a mapped file as that process sees it. Returns its length, 0: none. May be NULL. */
	size_t (*build_id)(void *ctx, uint32_t pid, const char *path, uint8_t id[64]);
	/* Does this process see files as we do: the same root, in the same mount namespace? 1, 0, or -1: it is gone. May be NULL. */
	int (*same_root)(void *ctx, uint32_t pid);
	/* What tells a version of a file that we see from another one; 0: there is no such file. May be NULL. */
	uint64_t (*file_key)(void *ctx, const char *path);
	uint32_t own_pid; /* with same_root: to read_source, in place of a process that is gone */
	void *ctx;
	uint64_t seed; /* of hashes: something that the target cannot know */
};

/* NULL: no memory. */
struct rt_recorder *rt_recorder_new(const struct rt_recorder_config *config);
void rt_recorder_free(struct rt_recorder *recorder);

/* The first blocks: what the run is set up with. */
void rt_recorder_begin(struct rt_recorder *recorder, const struct rt_ledger_facts *facts, const struct rt_profile *profile);

/* From here on what the account is told is kept. Before its first record. */
void rt_recorder_follow(struct rt_recorder *recorder, struct rt_account *account, uint64_t page_size);

/* The start object; where it stands in the sequence counts. */
void rt_recorder_start(struct rt_recorder *recorder, const struct rt_json_start *start);

/* For rt_account_config.read_source: reads, and keeps what came of it. */
int rt_recorder_read_source(struct rt_recorder *recorder, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);

/* From time to time, several times a second: writes what is older than RT_FLUSH_NS. `counters` are the kernel side's so far; NULL: not asked for. */
void rt_recorder_tick(struct rt_recorder *recorder, uint64_t now_ns, const uint64_t *counters);

/* Is it time for counters at the next tick? */
bool rt_recorder_due(const struct rt_recorder *recorder, uint64_t now_ns);

/* The end: `now_ns` and `counters` as rt_account_finish got them. */
void rt_recorder_end(struct rt_recorder *recorder, uint64_t now_ns, const uint64_t counters[RT_COUNTERS], const struct rt_self_cost *cost);

/* First error of writing as -errno, 0: none. */
int rt_recorder_error(const struct rt_recorder *recorder);

/* Has no process been recorded? */
bool rt_recorder_is_empty(const struct rt_recorder *recorder);

/* Bytes written. */
uint64_t rt_recorder_size(const struct rt_recorder *recorder);

#endif
