/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_span.h - phases that are open: edges, checkpoints and charges.
 */
#ifndef RT_ACC_SPAN_H
#define RT_ACC_SPAN_H

#include "acc_core.h"

/* When and at what RSS spans open and close. */
struct rt_moment {
	uint64_t ts_ns;
	uint64_t seen_ns; /* the thread was last looked at then: edges found at ts_ns lie in between */
	int64_t pages[RT_KINDS];
	const struct rt_match *left; /* a call of the code object with these phases ended at ts_ns exactly; NULL: not known */
	bool exact_end;	 /* spans end at ts_ns exactly: their thread or image does */
	bool still_open; /* the run ends, the spans do not */
};

/* What one run changed, in pages. */
struct rt_charge {
	int64_t delta[RT_KINDS];
	int64_t gained, released, reused;
	uint64_t minor_faults, major_faults;
	const struct rt_mapping *mapping; /* NULL: not told apart */
};

/* The thread is now in the path with the elements want[0..n): what it has left is closed, what it has entered is
 * opened. Of what is open, at most `keep` elements stay: those from `keep` on begin exactly now. SIZE_MAX: no entry was
 * seen. */
void rt_spans_follow(struct rt_account *account, struct rt_thread *thread, const uint32_t *want, size_t n, size_t keep,
		     const struct rt_moment *moment);

void rt_spans_close_thread(struct rt_account *account, struct rt_thread *thread, const struct rt_moment *moment);
void rt_spans_close_process(struct rt_account *account, struct rt_process *proc, const struct rt_moment *moment);

/* Spans of the phase with this id (len 0: of all) that are open may have ended unseen, and others begun: they are not exact. */
void rt_spans_inexact(const struct rt_account *account, struct rt_process *proc, const char *phase, size_t len);

/* Forgets all open spans of a process without a word. */
void rt_spans_drop(struct rt_process *proc);

/* The process's RSS has been this high. */
void rt_spans_peak(struct rt_process *proc, int64_t total);

/* Charges the innermost `depth` (> 0, at most what is open) of a thread's spans, and those around it. */
void rt_spans_charge(struct rt_thread *thread, size_t depth, const struct rt_charge *charge, bool helper);

/* A tally as the outputs see it; phase, path, call and tid are the caller's. */
void rt_span_view(const struct rt_account *account, const struct rt_tally *tally, struct rt_phase_view *view);

#endif
