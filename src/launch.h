/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* launch.h - starts the command after `--` as the user who called sudo, held before its exec until we are ready. */
#ifndef RT_LAUNCH_H
#define RT_LAUNCH_H

#include <sys/types.h>

/* An id that sudo left in the environment (SUDO_UID, SUDO_GID); -1: there is none. */
long rt_launch_sudo_id(const char *name);

struct rt_launch {
	pid_t pid;    /* of the child; 0: none */
	int go;	      /* write end: closing it after a byte lets the child exec */
	int failed;   /* read end: errno of a failed exec, or end of file */
};

/* Forks. Returns 0, or -errno with a message logged. */
int rt_launch_prepare(char **command, struct rt_launch *out);

/* Lets the child exec. Returns 0 once it has, or the exit status of a shell in its place (127 not found, 126 not executable, 1) with a
 * message logged; the child is then gone. */
int rt_launch_go(struct rt_launch *launch, char **command);

/* Ends a child that was never let go. */
void rt_launch_cancel(struct rt_launch *launch);

#endif
