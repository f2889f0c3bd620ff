/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_role.h - the role that a process says it has, from its title or command line.
 */
#ifndef RT_ACC_ROLE_H
#define RT_ACC_ROLE_H

#include <stddef.h>

/* "VLLM::Worker_TP0 ..." is a Worker_TP0 (any prefix of letters, digits, '_', '.', '-' counts); `[python] .../vllm
 * serve ...` is the APIServer. Returns the role's length and points *role to it (within `title`, or static); 0: it says
 * none. */
size_t rt_role_find(const char *title, const char **role);

#endif
