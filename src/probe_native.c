/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "probe_native.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "skel.h"

struct rt_probe_native {
	struct rt_skel *skel;
	struct bpf_link *link[RT_MAX_SITES];
	uint64_t *parts; /* one word per CPU */
};

struct rt_probe_native *rt_probe_native_new(struct rt_probe *probe)
{
	struct rt_probe_native *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->skel = rt_probe_skel(probe);
	n->parts = calloc((size_t)libbpf_num_possible_cpus(), sizeof(*n->parts));
	if (n->parts)
		return n;
	free(n);
	return NULL;
}

void rt_probe_native_free(struct rt_probe_native *n)
{
	if (!n)
		return;
	for (uint32_t site = 0; site < RT_MAX_SITES; site++)
		rt_probe_native_detach(n, site);
	free(n->parts);
	free(n);
}

int rt_probe_native_attach(struct rt_probe_native *n, uint32_t site, const struct rt_site_conf *conf, const char *path, uint64_t offset)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = site);

	if (!site || site >= RT_MAX_SITES || n->link[site])
		return -ENOSPC;
	/* First: the probe may be hit before the call returns. */
	if (bpf_map_update_elem(bpf_map__fd(n->skel->maps.native_sites), &site, conf, BPF_ANY))
		return -errno;
	/* No name: libbpf opens no ELF file of a target. */
	n->link[site] = bpf_program__attach_uprobe_opts(n->skel->progs.native_call, -1, path, offset, &opts);
	return n->link[site] ? 0 : -errno;
}

void rt_probe_native_detach(struct rt_probe_native *n, uint32_t site)
{
	if (site >= RT_MAX_SITES)
		return;
	bpf_link__destroy(n->link[site]);
	n->link[site] = NULL;
}

uint64_t rt_probe_native_hits(const struct rt_probe_native *n, uint32_t site)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(n->skel->maps.native_hits), &site, n->parts))
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += n->parts[cpu];
	return sum;
}

int rt_probe_native_mapped(struct rt_probe_native *n)
{
	struct rt_skel *s = n->skel;

	if (s->links.native_unlock)
		return 0;
	if (!bpf_program__autoload(s->progs.native_lock) || !bpf_program__autoload(s->progs.native_unlock))
		return -EOPNOTSUPP;
	if (!s->links.native_lock)
		s->links.native_lock = bpf_program__attach(s->progs.native_lock);
	if (!s->links.native_lock)
		return -errno;
	s->links.native_unlock = bpf_program__attach(s->progs.native_unlock);
	return s->links.native_unlock ? 0 : -errno;
}
