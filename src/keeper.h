/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * keeper.h - what a ledger keeps of the outside: source texts and build ids.
 *
 * Which sources: of every function below which RSS grew by RT_KEEP_BYTES or more, all stacks that go through the same frames taken together. Each file is read
 * once an image, and each text written once.
 */
#ifndef RT_KEEPER_H
#define RT_KEEPER_H

#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "ledwrite.h"

struct rt_keeper;

struct rt_keeper_config {
	struct rt_ledwrite *out;
	/* src/recorder.h */
	int (*read_source)(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len);
	size_t (*build_id)(void *ctx, uint32_t pid, const char *path, uint8_t id[64]);
	int (*same_root)(void *ctx, uint32_t pid);
	uint64_t (*file_key)(void *ctx, const char *path);
	uint32_t own_pid;
	void *ctx;
	uint64_t seed;
};

/* NULL: no memory. */
struct rt_keeper *rt_keeper_new(const struct rt_keeper_config *config);
void rt_keeper_free(struct rt_keeper *keeper);

/* The account whose stacks the records below are about. */
void rt_keeper_follow(struct rt_keeper *keeper, struct rt_account *account, uint64_t page_size);

/* A record that the account has taken. */
void rt_keeper_record(struct rt_keeper *keeper, const void *record, size_t size);

/* The account has forgotten nodes and code objects below. */
void rt_keeper_forget(struct rt_keeper *keeper, uint32_t node, uint32_t code);

/* Keeps a text. Returns its number, or -1: no memory, or too many. */
int64_t rt_keeper_text(struct rt_keeper *keeper, const char *text, size_t len);

/* Writes what is not written yet. */
void rt_keeper_flush(struct rt_keeper *keeper);

#endif
