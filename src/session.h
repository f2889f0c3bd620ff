/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* session.h - one run of the tracer: from the options to the exit status. */
#ifndef RT_SESSION_H
#define RT_SESSION_H

#include "opts.h"

/* Returns the exit status of the tool. Everything that was to be said has been said. */
int rt_session_run(const struct rt_opts *opts);

#endif
