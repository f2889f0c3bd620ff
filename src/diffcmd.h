/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* diffcmd.h - `ramtrack-bpf diff`: what changed between the runs of two or more ledgers. Needs no privilege and no kernel. */
#ifndef RT_DIFFCMD_H
#define RT_DIFFCMD_H

/* argv[0] is "diff". Returns an exit status (enum rt_status), errors logged. */
int rt_diffcmd_main(int argc, char **argv);

#endif
