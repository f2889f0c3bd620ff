/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "log.h"
#include "probe_in.h"

int rt_probe_check_kernel(bool *split)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *mm;
	bool percpu = false;
	int id;

	if (!btf) {
		rt_log_error("kernel: no BTF type information at /sys/kernel/btf/vmlinux: boot Linux 5.10 or newer built with "
			     "CONFIG_DEBUG_INFO_BTF=y (Debian's kernels are)" ASK_DOCTOR);
		return RT_NO_FEATURE;
	}
	id = btf__find_by_name_kind(btf, "trace_event_raw_rss_stat", BTF_KIND_STRUCT);
	if (id < 0) {
		btf__free(btf);
		rt_log_error("kernel: it has no tracepoint kmem:rss_stat: boot Linux 5.10 or newer with CONFIG_TRACEPOINTS=y" ASK_DOCTOR);
		return RT_NO_FEATURE;
	}
	id = btf__find_by_name_kind(btf, "percpu_counter", BTF_KIND_STRUCT);
	mm = btf__type_by_id(btf, (uint32_t)btf__find_by_name_kind(btf, "mm_struct", BTF_KIND_STRUCT));
	/* mm_struct wraps its members into an anonymous struct. */
	for (int depth = 0; mm && depth < 2 && !percpu; depth++) {
		const struct btf_member *m = btf_members(mm);
		const struct btf_type *inner = NULL;

		for (int i = 0; i < btf_vlen(mm); i++, m++) {
			const struct btf_type *t = btf__type_by_id(btf, m->type);
			const char *name = btf__name_by_offset(btf, m->name_off);

			if (!strcmp(name, "rss_stat"))
				percpu = btf_is_array(t) && id > 0 && (int)btf_array(t)->type == id;
			else if (!*name && i == 0 && btf_is_struct(t))
				inner = t;
		}
		mm = inner;
	}
	*split = !percpu && btf__find_by_name_kind(btf, "mm_rss_stat", BTF_KIND_STRUCT) > 0 &&
		 btf__find_by_name_kind(btf, "task_rss_stat", BTF_KIND_STRUCT) > 0;
	btf__free(btf);
	if (percpu || *split)
		return RT_OK;
	rt_log_error("kernel: its RSS counters (mm_struct.rss_stat) are neither per-CPU counters (6.2 and newer) nor split per task (5.10 to 6.1): boot one of "
		     "these kernels" ASK_DOCTOR);
	return RT_NO_FEATURE;
}

void rt_probe_check_mappings(struct rt_probe *p)
{
	bool wanted = p->config.mappings && !p->mappings_refused && p->source != RT_MM_TRACEPOINT;
	struct btf *btf = wanted || p->config.native ? btf__load_vmlinux_btf() : NULL;

	p->locks = btf && btf__find_by_name_kind(btf, "btf_trace_mmap_lock_acquire_returned", BTF_KIND_TYPEDEF) > 0 &&
		   btf__find_by_name_kind(btf, "btf_trace_mmap_lock_released", BTF_KIND_TYPEDEF) > 0;
	p->mappings = wanted && !p->old && btf && btf__find_by_name_kind(btf, "btf_trace_page_fault_user", BTF_KIND_TYPEDEF) > 0 &&
		      btf__find_by_name_kind(btf, "btf_trace_page_fault_kernel", BTF_KIND_TYPEDEF) > 0 &&
		      btf__find_by_name_kind(btf, "btf_bpf_find_vma", BTF_KIND_TYPEDEF) > 0;
	p->locking = p->mappings && btf__find_by_name_kind(btf, "btf_trace_mmap_lock_start_locking", BTF_KIND_TYPEDEF) > 0;
	btf__free(btf);
}

bool rt_probe_preempted(void)
{
	struct utsname u;

	return !uname(&u) && strtoul(u.release, NULL, 10) >= 7;
}
