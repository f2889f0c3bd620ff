/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * precheck.h - what can be wrong before anything is loaded, in the same words for a run and for doctor.
 */
#ifndef RT_PRECHECK_H
#define RT_PRECHECK_H

#include <stdbool.h>
#include <sys/types.h>

#include "profile.h"

/* Is it a process that can be traced at all? Returns RT_OK, or RT_NO_TARGET with the reason logged. */
int rt_precheck_target(pid_t pid);

/* BPF programs see the PIDs of the initial PID namespace: in another one every PID means another process, and a run would show nothing.
 * Returns RT_OK, or RT_NO_TARGET with the reason logged. */
int rt_precheck_namespace(void);

/* Is this process in the initial PID namespace? */
bool rt_precheck_is_initial_pidns(void);

/* A profile by its name (beside the build, beside the installed binary, where it was configured to be installed) or as a file.
 * NULL: the reason is logged. Free with rt_profile_free. */
struct rt_profile *rt_precheck_profile(const char *name);

#endif
