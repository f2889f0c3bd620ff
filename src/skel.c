/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "skel.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ramtrack.skel.h"
#include "ramtrack_old.skel.h"

/* A map of this type can be made. libbpf's own probe is asked where making one takes more than a size (BTF of its key and value). */
static bool has_ring(int *err)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "rt_probe", 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), NULL);

	*err = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* As a thread that runs would get it: a value of this size in the task storage of this process. */
static bool storage_holds(uint32_t size)
{
	struct btf *btf = btf__new_empty();
	int key, byte, array, fd = -1, pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	void *value = calloc(1, size);
	bool held = true;

	key = btf ? btf__add_int(btf, "int", 4, BTF_INT_SIGNED) : -1;
	byte = btf ? btf__add_int(btf, "char", 1, 0) : -1;
	array = btf ? btf__add_array(btf, key, byte, (int)size) : -1;
	if (value && pidfd >= 0 && array > 0 && !btf__load_into_kernel(btf)) {
		LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = (uint32_t)btf__fd(btf), .btf_key_type_id = (uint32_t)key,
			    .btf_value_type_id = (uint32_t)array, .map_flags = BPF_F_NO_PREALLOC);

		fd = bpf_map_create(BPF_MAP_TYPE_TASK_STORAGE, "rt_probe", sizeof(int), size, 0, &opts);
		if (fd >= 0 || errno == E2BIG)
			held = fd >= 0 && !bpf_map_update_elem(fd, &pidfd, value, BPF_NOEXIST);
	}
	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
	free(value);
	btf__free(btf);
	return held;
}

int rt_skel_probe(void)
{
	int err;

	if (!has_ring(&err))
		return err == -EINVAL ? -EOPNOTSUPP : 0;
	if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 0)
		return 1;
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_FUNC_loop, NULL) == 0;
}

static void find_members(struct rt_skel *s)
{
#define FIND(name) s->maps.name = bpf_object__find_map_by_name(s->obj, #name);
	RT_SKEL_MAPS(FIND)
#undef FIND
#define FIND(name) s->progs.name = bpf_object__find_program_by_name(s->obj, #name);
	RT_SKEL_PROGS(FIND)
#undef FIND
}

struct rt_skel *rt_skel_open(bool old)
{
	struct rt_skel *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (old)
		s->old = ramtrack_old__open();
	else
		s->now = ramtrack__open();
	if (!s->old && !s->now) {
		int err = errno;

		free(s);
		errno = err;
		return NULL;
	}
	s->obj = old ? s->old->obj : s->now->obj;
	s->rodata = (struct rt_skel_rodata *)(old ? &s->old->rodata->cfg : &s->now->rodata->cfg);
	find_members(s);
	return s;
}

/* Where shadows lie in an array, the numbers of all of them wait in a queue; programs for old kernels take turns by another one. */
static int fill_queues(struct rt_skel *s)
{
	uint32_t shadows = bpf_map__max_entries(s->maps.free_shadows), token = 1;

	if (s->old && bpf_map_update_elem(bpf_map__fd(s->maps.turn), NULL, &token, BPF_ANY))
		return -errno;
	for (uint32_t i = 0; i < shadows; i++)
		if (bpf_map_update_elem(bpf_map__fd(s->maps.free_shadows), NULL, &i, BPF_ANY))
			return -errno;
	return 0;
}

int rt_skel_load(struct rt_skel *s)
{
	int err;

	if (s->now) {
		bool pool = !storage_holds(bpf_map__value_size(s->maps.shadows));

		s->rodata->cfg.shadow_pool = pool;
		if (!pool) {
			bpf_map__set_max_entries(s->maps.shadow_pool, 1);
			bpf_map__set_max_entries(s->maps.free_shadows, 1);
		}
	}
	err = s->old ? ramtrack_old__load(s->old) : ramtrack__load(s->now);

	if (err)
		return err;
	s->rodata = NULL;
	s->bss = (struct rt_skel_bss *)(s->old ? &s->old->bss->globals : &s->now->bss->globals);
	return fill_queues(s);
}

void rt_skel_destroy(struct rt_skel *s)
{
	if (!s)
		return;
#define DETACH(name) bpf_link__destroy(s->links.name);
	RT_SKEL_PROGS(DETACH)
#undef DETACH
	if (s->old)
		ramtrack_old__destroy(s->old);
	if (s->now)
		ramtrack__destroy(s->now);
	free(s);
}

bool rt_skel_raise_memlock(unsigned long long bytes)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, have;

	if (!setrlimit(RLIMIT_MEMLOCK, &all) || getrlimit(RLIMIT_MEMLOCK, &have))
		return true;
	have.rlim_cur = have.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &have); /* up to the hard limit anybody may */
	return have.rlim_cur == RLIM_INFINITY || have.rlim_cur >= bytes;
}
