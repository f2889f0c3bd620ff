/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * progress.h - how far a run is, as one line: time, processes, their RSS, the phase that was entered last and is open.
 *
 *	[0:12] 3 processes, 1234.56 MiB RSS, EngineCore: load weights
 *
 * Told by the core like the other outputs; terminal.h puts it on a screen.
 */
#ifndef RT_PROGRESS_H
#define RT_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "sink.h"

struct rt_progress;

/* `before` (may be NULL) is called at the beginning of each call that the sink gets: what is on the screen has to go before others write. With `all` at every
 * one, else at checkpoints only. Returns NULL without memory; free with rt_progress_free. */
struct rt_progress *rt_progress_new(enum rt_lang lang, void (*before)(void *ctx), void *ctx, bool all);
void rt_progress_free(struct rt_progress *progress);

/* Valid as long as the status. Has to be told before the outputs that write to the same screen. */
struct rt_sink rt_progress_sink(struct rt_progress *progress);

/* The line, at most `cells` cells of a terminal wide, safe for it. Caller frees; NULL without memory. */
char *rt_progress_text(const struct rt_progress *progress, uint64_t elapsed_ns, size_t cells);

#endif
