/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * probe_native.h - entry probes on native functions: set, counted, taken off. Only where rt_probe_has_native.
 */
#ifndef RT_PROBE_NATIVE_H
#define RT_PROBE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "probe.h"
#include "rt_config.h"

struct rt_probe_native;

/* NULL: no memory. The probe must outlive it. */
struct rt_probe_native *rt_probe_native_new(struct rt_probe *probe);

/* Takes all probes off. NULL is allowed. */
void rt_probe_native_free(struct rt_probe_native *natives);

/* A probe at `offset` (bytes) of the file that `path` names now: kept for its inode, whatever becomes of the path. Of all processes; the program leaves those alone that are not followed.
 * `site` (1 to RT_MAX_SITES - 1) is what the records call it. Returns 0 or -errno; -ENOSPC: no such site. */
int rt_probe_native_attach(struct rt_probe_native *natives, uint32_t site, const struct rt_site_conf *conf, const char *path, uint64_t offset);
void rt_probe_native_detach(struct rt_probe_native *natives, uint32_t site);

/* Hits of a probe so far, by all processes of the machine. */
uint64_t rt_probe_native_hits(const struct rt_probe_native *natives, uint32_t site);

/* From now on what threads map inside of native functions is told. Returns 0, -EOPNOTSUPP (this kernel does not tell of the locks of address spaces) or -errno. */
int rt_probe_native_mapped(struct rt_probe_native *natives);

#endif
