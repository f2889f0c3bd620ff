/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * kfeat.h - what the running kernel can do, found out by doing it: each feature has a small BPF program that is loaded, attached,
 * provoked by this process and counted. The only includer of the skeleton featprobe.
 */
#ifndef RT_KFEAT_H
#define RT_KFEAT_H

#include <stdint.h>

#include "kchoice.h"

/* Tries the features of `mask` (RT_FEAT_BIT, RT_FEAT_ALL); the others are left RT_TRY_NONE. Takes some tens of milliseconds a feature.
 * Everything is detached and unloaded when it returns. Needs no privilege to be called: a refusal is a result. RT_FEAT_FORK,
 * RT_FEAT_EXEC and RT_FEAT_EXIT start this program once more as a child, which is waited for. */
void rt_kfeat_try(uint32_t mask, struct rt_kfeat *out);

#endif
