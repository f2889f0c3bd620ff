/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * wait.bpf.h - while a process is waited for (--wait): the command line of each exec goes to user space, and what does not match is given up again.
 *
 * Programs cannot match a regex, and user space cannot be asked before the process runs on. So every exec is followed from its first page, and user space,
 * which reads the records in order, knows at the PROC record of an exec whether it is the one.
 */
#ifndef RT_WAIT_BPF_H
#define RT_WAIT_BPF_H

#include "emit.bpf.h"

/* In the context of the exec: its arguments were written to the new stack just now, so they are resident. */
static __noinline int rt_emit_args(u64 mm_addr, u32 image, u32 pid, u64 now)
{
	struct mm_struct *mm = (struct mm_struct *)mm_addr;
	u64 start = BPF_CORE_READ(mm, arg_start), end = BPF_CORE_READ(mm, arg_end), len = end - start;
	struct rt_rec_args *r = rt_reserve(struct rt_rec_args, RT_C_LOST_LIFE);

	if (!r)
		return 0;
	rt_header(&r->h, RT_REC_ARGS, sizeof(*r), now, image, pid);
	r->pid = pid;
	if (end < start)
		len = 0;
	if (len > RT_ARGS_MAX)
		len = RT_ARGS_MAX;
	asm volatile("" : "+r"(len));
	if (len > RT_ARGS_MAX || bpf_probe_read_user(r->text, len, (void *)start))
		len = 0;
	r->len = (u32)len;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* In two steps, so that a program which found the space just before has ended when its slot is used again: first nobody finds it any longer (mm 1), and at a
 * later call its slot is free. */
static long rt_drop_one(u32 slot, u64 *image)
{
	struct rt_space *s = rt_space_at(slot);
	u64 mm;

	if (!s)
		return 1;
	mm = READ_ONCE(s->mm);
	if (!*image) {
		if (mm == 1 && (s->flags & RT_SPACE_DROPPED)) {
			s->flags = 0;
			WRITE_ONCE(s->mm, 0);
		}
		return 0;
	}
	if (mm < 2 || s->image != (u32)*image)
		return 0;
	if (!rt_swapped(&s->mm, mm, 1))
		return 1; /* its process has just ended */
	bpf_map_delete_elem(&space_index, &mm);
	s->image = 0; /* threads that remember it find that it is gone */
	s->flags |= RT_SPACE_DROPPED;
	rt_add(&globals.space_epoch, 1);
	return 1;
}
RT_NUMBER_STEPS(rt_drop_one)

#endif
