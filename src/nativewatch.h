/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativewatch.h - native functions of the profile in followed processes: libraries are found when they are mapped, read once per file, and get their entry probes.
 *
 * A library that is loaded later has its probes as soon as it was read (src/nativesym.h, a child process): calls before that are not seen, and not claimed. A file that has probes already has them in
 * every process that maps it, from the first instruction on: the kernel puts them into each new mapping.
 *
 * All functions take NULL, for a run without native functions, and do nothing.
 */
#ifndef RT_NATIVEWATCH_H
#define RT_NATIVEWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "probe.h"
#include "profile.h"

struct rt_nativewatch;

struct rt_nativewatch_config {
	struct rt_probe *probe;
	struct rt_account *account;
	const struct rt_profile *profile;
	bool hot; /* rules marked hot too */
};

/* Does this profile ask for any native function? */
bool rt_nativewatch_wanted(const struct rt_profile *profile, bool hot);

/* *out stays NULL where nothing is wanted, or this kernel cannot (a notice says so). Returns RT_OK or an exit status, logged. */
int rt_nativewatch_new(const struct rt_nativewatch_config *config, struct rt_nativewatch **out);
void rt_nativewatch_free(struct rt_nativewatch *watch);

/* Readable when rt_nativewatch_step has something to do; -1: never. */
int rt_nativewatch_fd(const struct rt_nativewatch *watch);

/* Files that were mapped, files that have been read. Never waits. */
void rt_nativewatch_step(struct rt_nativewatch *watch);

/* A PROC or EXIT record, after the core has taken it. */
void rt_nativewatch_record(struct rt_nativewatch *watch, const void *record, size_t size);

/* Every few milliseconds: a probe that must be single-stepped and is hit too often comes off. */
void rt_nativewatch_tick(struct rt_nativewatch *watch, uint64_t now_ns);

/* Takes all probes off, before the run ends. What was asked for and not found is said. */
void rt_nativewatch_stop(struct rt_nativewatch *watch);

#endif
