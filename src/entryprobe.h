/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * entryprobe.h - probes in the interpreter that tell of calls: python:function__entry and function__return ("usdt", begins and ends), _PyEval_EvalFrameDefault and
 * _PyEvalFramePushAndInit ("uprobe", begins). Plain probe sites, never return probes. All processes that run the file pass them while they are there.
 *
 * A NULL pointer is allowed everywhere: there are none.
 */
#ifndef RT_ENTRYPROBE_H
#define RT_ENTRYPROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "entrylog.h"
#include "opts.h"
#include "probe.h"
#include "pytarget.h"

struct rt_entryprobe;

struct rt_entryprobe_config {
	struct rt_probe *probe;
	enum rt_python_entry way; /* RT_ENTRY_USDT, RT_ENTRY_UPROBE: whatever it costs, and a refusal is an error; RT_ENTRY_AUTO: usdt, under a budget */
	struct rt_entrylog *log;
	rt_entry_off_fn on_off;
	void *ctx;
};

/* All pointers must outlive *out; NULL if there is no memory. */
struct rt_entryprobe *rt_entryprobe_new(const struct rt_entryprobe_config *config);

/* Takes all of them off. */
void rt_entryprobe_free(struct rt_entryprobe *e);

/* An interpreter was read: its sites get probes (auto: at the next tick at which they may). Returns RT_OK or an exit status, logged. */
int rt_entryprobe_python(struct rt_entryprobe *e, const struct rt_pytarget *target);

/* Auto: takes them off when they cost more than 1 % of a core, in all processes together, and tries them again after some time. Returns true if it should be called again soon. */
bool rt_entryprobe_tick(struct rt_entryprobe *e, uint64_t now_ns);

/* Does this interpreter pass both static probes, and are they used for it? */
bool rt_entryprobe_uses_usdt(const struct rt_entryprobe *e, const struct rt_pytarget *target);

#endif
