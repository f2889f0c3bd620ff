/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * compat.bpf.h - what kernels before 5.17 lack, behind names that mean the same in both objects.
 *
 * The sources are built twice. Without RT_OLD_KERNEL each name below is the kernel's own feature and nothing else. With it they load on 5.10:
 *
 *   bpf_loop                   5.17  e6f2dd0f8067   bounded loops; those over a look's frames call a global function of numbers, which the verifier checks
 *                                                   once by itself, not once a round
 *   global functions of        5.13  e5069b9c23b3   static ones, checked at each call
 *     pointers
 *   task storage in tracing    5.12  a10787e6d58c   a hash of threads, an array of shadows: storage.bpf.h
 *   trusted current task       5.11  3ca1032ab7ab   its address, and probe reads
 *   atomics with a result      5.12  5ffa25502b5a   taken in turn, see rt_turn_take
 */
#ifndef RT_COMPAT_BPF_H
#define RT_COMPAT_BPF_H

#include "kernel.bpf.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#ifndef RT_OLD_KERNEL

/* A function that gets pointers and is checked once by itself. */
#define RT_GLOBAL __noinline
#define RT_APART __always_inline
/* A global function here; part of its caller where each further frame counts. */
#define RT_INNER __noinline
#define RT_FOLDED __noinline
/* A step of a loop that gets numbers only. */
#define RT_STEP static __always_inline

/* fn(i, ctx) for i from 0 to n - 1, until it returns something else than 0. `limit` is a constant: n is never more. */
#define rt_loop(n, limit, fn, ctx) bpf_loop(n, fn, ctx, 0)

/* The same over the frames of a look; fn is one of those named by RT_LOOK_STEPS, and ends by itself at any bound. */
#define RT_LOOK_STEPS(fn, batch)
#define rt_look_loop(n, fn, batch, look) bpf_loop(n, fn, look, 0)

/* fn(look, number), once: its result is -1 or what it says. */
#define RT_LOOK_NUMBER(fn)
#define rt_look_number(fn, look, number) fn(look, number)

/* fn(i, n), both numbers. */
#define RT_NUMBER_STEPS(fn)
#define rt_number_loop(n, fn, number) bpf_loop(n, fn, &(number), 0)

#define rt_current_task() bpf_get_current_task_btf()

/* A member of a task, or of what it points to. */
#define rt_of(object, member) ((object)->member)

#define rt_fetch_add(p, n) __sync_fetch_and_add(p, n)
#define rt_add(p, n) ((void)__sync_fetch_and_add(p, n)) /* nobody asks what was there */
#define rt_exchange(p, v) __sync_lock_test_and_set(p, v)
#define rt_clear(p, bits) __sync_fetch_and_and(p, ~(bits))
#define rt_set(p, bits) __sync_fetch_and_or(p, bits)
#define rt_swapped(p, old, new) (__sync_val_compare_and_swap(p, old, new) == (old))


#else /* RT_OLD_KERNEL */

#define RT_GLOBAL static __noinline
/* A function apart: so that what it has on the stack is not there for the rest of the chain (512 bytes in all), or that the compiler cannot move accesses to
 * members which the kernel does not have before the test for them. */
#define RT_APART __noinline
#define RT_INNER static __always_inline
#define RT_FOLDED __always_inline
#define RT_STEP __noinline

#define rt_loop(n, limit, fn, ctx)                                          \
	({                                                                  \
		u32 times_ = (n), round_;                                   \
		for (round_ = 0; round_ < (limit); round_++)                \
			if (round_ >= times_ || fn(round_, ctx))            \
				break;                                      \
	})

#define RT_LOOK_STEPS(fn, batch)                                                     \
	__noinline int fn##_steps(u32 shadow, u32 round)                             \
	{                                                                            \
		struct rt_look look = {};                                            \
                                                                                     \
		if (rt_look_again(shadow, &look))                                    \
			return 1;                                                    \
		for (u32 step = 0; step < (batch); step++)                           \
			if (fn(round * (batch) + step, &look))                       \
				return 1;                                            \
		return 0;                                                            \
	}
#define rt_look_loop(n, fn, batch, look)                                             \
	({                                                                           \
		u32 shadow_ = (look)->sh->self;                                      \
		for (u32 round_ = 0; round_ < ((n) + (batch)-1) / (batch); round_++) \
			if (fn##_steps(shadow_, round_))                             \
				break;                                               \
	})

#define RT_LOOK_NUMBER(fn)                                         \
	__noinline int fn##_at(u32 shadow, u32 number)             \
	{                                                          \
		struct rt_look look = {};                          \
                                                                   \
		if (rt_look_again(shadow, &look))                  \
			return -1;                                 \
		return fn(&look, number);                          \
	}
#define rt_look_number(fn, look, number) fn##_at((look)->sh->self, number)

#define RT_NUMBER_STEPS(fn)                          \
	__noinline int fn##_steps(u32 i, u64 number) \
	{                                            \
		return (int)fn(i, &number);          \
	}
#define rt_number_loop(n, fn, number)                     \
	({                                                \
		for (u32 round_ = 0; round_ < (n); round_++) \
			if (fn##_steps(round_, number))   \
				break;                    \
	})


#define rt_current_task() ((struct task_struct *)bpf_get_current_task())
#ifndef RT_HOST
#define rt_of(object, member) BPF_CORE_READ(object, member)
#else
#define rt_of(object, member) ((object)->member)
#endif

/* One element: who takes it may change what others may change as well, and puts it back. User space puts it there first. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(u32));
} turn SEC(".maps");

#define RT_TURN_TRIES 64

/* The holder runs a few instructions and cannot be preempted, so a few tries are enough; the one that interrupts a holder on its own CPU (a clock sample) tries in
 * vain, and so may many CPUs at once. Then the change is made all the same: two stacks may get one number, and of two CPUs that take what moved of one counter both may
 * take it. Sums that are only added to do not need a turn. */
__noinline int rt_turn_take(u32 tries)
{
	u32 token;

	for (u32 i = 0; i < RT_TURN_TRIES; i++) {
		if (i >= tries)
			break;
		if (!bpf_map_pop_elem(&turn, &token))
			return 1;
	}
	return 0;
}

static __always_inline void rt_turn_give(int taken)
{
	u32 token = 1;

	if (taken)
		bpf_map_push_elem(&turn, &token, 0);
}

#define rt_changed_in_turn(p, value)                                       \
	({                                                                 \
		int taken_ = rt_turn_take(RT_TURN_TRIES);                  \
		typeof(*(p)) was_ = *(volatile typeof(*(p)) *)(p);         \
		*(volatile typeof(*(p)) *)(p) = (typeof(*(p)))(value);     \
		rt_turn_give(taken_);                                      \
		was_;                                                      \
	})
#define rt_fetch_add(p, n) rt_changed_in_turn(p, was_ + (n))
#define rt_add(p, n) ((void)__sync_fetch_and_add(p, n)) /* atomic without a result: there before 5.12 as well */
#define rt_exchange(p, v) rt_changed_in_turn(p, v)
#define rt_clear(p, bits) rt_changed_in_turn(p, was_ & ~(bits))
#define rt_set(p, bits) rt_changed_in_turn(p, was_ | (bits))
#define rt_swapped(p, old, new) (rt_changed_in_turn(p, was_ == (old) ? (new) : was_) == (old))

#endif

#endif
