/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * doctarget.h - doctor -p PID: the process's interpreter, its stacks as they are now, and the phases found in its source.
 *
 * The process is neither stopped nor written to.
 */
#ifndef RT_DOCTARGET_H
#define RT_DOCTARGET_H

#include <sys/types.h>

#include "docreport.h"
#include "profile.h"

/* Adds rows of section "target" and doc->target. `pid` has passed rt_precheck_target. Returns RT_OK, RT_NO_TARGET if it is gone (logged),
 * RT_NO_PRIVILEGE if we may not look at it (said in the rows). */
int rt_doctarget_look(struct rt_doc *doc, pid_t pid, const struct rt_profile *profile);

#endif
