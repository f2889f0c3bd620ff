/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * watch.h - what user space finds out about each followed image while it lives: interpreter, names, titles, environment.
 *
 * It sees PROC, RENAME and EXIT records as they come out of the ring, reads /proc at once (the process may be gone in 20 ms) and puts META records
 * into the accounting core. New executables are told to the kernel side.
 */
#ifndef RT_WATCH_H
#define RT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"
#include "entryprobe.h"
#include "probe.h"

struct rt_watch;

struct rt_watch_config {
	struct rt_probe *probe;
	struct rt_account *account;
	struct rt_entryprobe *entries; /* told of each interpreter; NULL: nothing */
	int own_switch;	     /* VLLM_ENABLE_RAM_TRACKING of our own environment: 0 or 1, -1: unset */
};

struct rt_watch *rt_watch_new(const struct rt_watch_config *config);
void rt_watch_free(struct rt_watch *watch);

/* Reads a process's executable before it is adopted, so that its first look has an interpreter. */
void rt_watch_prepare(struct rt_watch *watch, pid_t pid);

/* The same for a command that is about to be started. */
void rt_watch_prepare_file(struct rt_watch *watch, const char *command);

/* A record, after the core has taken it. */
void rt_watch_record(struct rt_watch *watch, const void *record, size_t size);

/* Every few milliseconds: interpreters whose library is being loaded, changed titles. Returns true if it wants to be called again within 2 ms. */
bool rt_watch_tick(struct rt_watch *watch, uint64_t now_ns);

/* An exit status if something that was asked for (an entry probe) cannot be had, errors logged; else 0. */
int rt_watch_status(const struct rt_watch *watch);

/* Are the image's calls told by static probes? */
bool rt_watch_uses_usdt(struct rt_watch *watch, uint32_t image);

/* Calls of the phase (NULL: of all) that are open at ts_ns in the image (0: in all) are not told exactly: what told of them is gone (rt_entry_off_fn). */
void rt_watch_inexact(struct rt_watch *watch, uint32_t image, const char *phase, uint64_t ts_ns);

/* Source text as the image sees it, for rt_account_config.read_source. */
int rt_watch_read_source(struct rt_watch *watch, uint32_t pid, const char *file, char **text, size_t *len);

#endif
