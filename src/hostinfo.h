/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * hostinfo.h - what the system says about itself and about our privileges: read, not tried. A hint where a trial has failed.
 */
#ifndef RT_HOSTINFO_H
#define RT_HOSTINFO_H

#include <stdbool.h>
#include <stdint.h>

#include "kchoice.h"

struct rt_hostinfo {
	struct rt_khost k;
	char release[65], machine[65];
	bool initial_pidns;
	int unprivileged_bpf; /* kernel.unprivileged_bpf_disabled; INT_MIN: not known */
	uint64_t memlock;     /* soft RLIMIT_MEMLOCK; UINT64_MAX: none */
	char lsm[256];	      /* security modules, "": not known */
	char lockdown[32];    /* "none", "integrity", "confidentiality", "": not known */
	char config_file[160]; /* where the kernel's configuration was read, "": nowhere */
};

void rt_hostinfo_read(struct rt_hostinfo *out);

#endif
