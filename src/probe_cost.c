/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe_in.h"
#include "rt_cost.h"

void rt_probe_counters(const struct rt_probe *p, uint64_t out[RT_COUNTERS])
{
	size_t row = RT_COUNTERS * sizeof(uint64_t);
	uint64_t *values = calloc((size_t)p->cpus, row);
	uint32_t zero = 0;

	memset(out, 0, row);
	if (values && !bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.counters), &zero, values))
		for (int cpu = 0; cpu < p->cpus; cpu++)
			for (int i = 0; i < RT_COUNTERS; i++)
				out[i] += values[(size_t)cpu * RT_COUNTERS + (size_t)i];
	free(values);
}

/* What the kernel says a map takes: /proc/self/fdinfo, line "memlock:". */
static uint64_t map_bytes(int fd)
{
	char path[64], line[256];
	unsigned long long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &n) == 1)
			break;
	fclose(f);
	return n;
}

/* A program's runs on all CPUs, and from those that were timed how long all took. */
static struct rt_prog_cost program_cost(const struct rt_probe *p, uint32_t id, const char *name, struct rt_cost *parts)
{
	struct rt_prog_cost cost = {.name = name};
	uint64_t runs, timed, each;

	if (bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.costs), &id, parts))
		return cost;
	for (int cpu = 0; cpu < p->cpus; cpu++) {
		cost.runs += parts[cpu].runs;
		cost.ns += parts[cpu].first_ns;
		if (parts[cpu].runs <= RT_COST_FIRST)
			continue;
		/* The first runs are slow ones: they do not count for the others, unless none of these was timed yet. */
		runs = parts[cpu].runs - RT_COST_FIRST;
		timed = parts[cpu].timed ? parts[cpu].timed : RT_COST_FIRST;
		each = (parts[cpu].timed ? parts[cpu].ns : parts[cpu].first_ns) / timed;
		cost.ns += runs * each;
	}
	return cost;
}

uint64_t rt_probe_runs(const struct rt_probe *p, uint32_t id)
{
	struct rt_cost *parts = calloc((size_t)p->cpus, sizeof(*parts));
	uint64_t runs = parts ? program_cost(p, id, NULL, parts).runs : 0;

	free(parts);
	return runs;
}

/* How often the kernel left a program out. */
static uint64_t program_missed(const struct rt_probe *p, const struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int fd = bpf_program__fd(prog);

	/* mmap_locking: its own look-up takes the lock that it is called for */
	if (prog == p->skel->progs.mmap_locking || fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return 0;
	return info.recursion_misses;
}

void rt_probe_entry_cost(const struct rt_probe *p, enum rt_entry_program which, uint64_t *runs, uint64_t *ns)
{
	static const uint32_t ids[] = {
		[RT_ENTRY_PROGRAM_EVAL] = RT_COST_eval_entry, [RT_ENTRY_PROGRAM_PUSH] = RT_COST_push_entry,
		[RT_ENTRY_PROGRAM_USDT_ENTRY] = RT_COST_usdt_entry, [RT_ENTRY_PROGRAM_USDT_RETURN] = RT_COST_usdt_return,
	};
	struct rt_cost *parts = calloc((size_t)p->cpus, sizeof(*parts));
	struct rt_prog_cost cost = parts ? program_cost(p, ids[which], NULL, parts) : (struct rt_prog_cost){0};

	*runs = cost.runs;
	*ns = cost.ns;
	free(parts);
}

void rt_probe_cost(const struct rt_probe *p, struct rt_probe_cost *out)
{
	static const char *const names[] = {
#define NAME(name) #name,
		RT_COSTS(NAME)
#undef NAME
	};
	struct rt_cost *parts = calloc((size_t)p->cpus, sizeof(*parts));
	struct bpf_program *prog;
	struct bpf_map *map;

	if (p->final_cost.n_progs) {
		*out = p->final_cost;
		free(parts);
		return;
	}
	memset(out, 0, sizeof(*out));
	for (uint32_t id = 0; parts && id < RT_COST_IDS; id++) {
		struct rt_prog_cost cost = program_cost(p, id, names[id], parts);

		prog = bpf_object__find_program_by_name(p->skel->obj, names[id]);
		if (!prog)
			continue;
		cost.missed = program_missed(p, prog);
		if (!cost.runs && !cost.missed)
			continue;
		out->runs += cost.runs;
		out->ns += cost.ns;
		if (out->n_progs < RT_PROG_COSTS)
			out->prog[out->n_progs++] = cost;
	}
	free(parts);
	bpf_object__for_each_map(map, p->skel->obj)
		out->map_bytes += map_bytes(bpf_map__fd(map));
}
