/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* reportcmd.h - `ramtrack-bpf report`: the outputs of a live run, from ledgers. Needs no privilege and no kernel. */
#ifndef RT_REPORTCMD_H
#define RT_REPORTCMD_H

#include "opts.h"

/* Returns an exit status (enum rt_status), errors logged. */
int rt_reportcmd_run(const struct rt_opts *opts);

#endif
