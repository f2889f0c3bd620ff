/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * storage.bpf.h - the state of a thread, and the shadow of its stack: made, found, given up.
 *
 * Task storage, where tracing programs have it: memory as threads appear, which goes with the task. Before that (RT_OLD_KERNEL) a hash by thread id and an
 * array of shadows, all allocated at the start, because a clock sample may not allocate there. A thread gives its own up at its exit; an entry whose
 * thread ended unseen is told by the time at which the task began.
 */
#ifndef RT_STORAGE_BPF_H
#define RT_STORAGE_BPF_H

#ifndef RT_OLD_KERNEL

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rt_thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rt_shadow);
} shadows SEC(".maps");

/* From 7.2 on, task storage holds no more than some kilobytes: there shadows are the elements of an array, all allocated at the start, and a thread keeps the
 * number of its own plus one until its exit (cfg.shadow_pool). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_POOL_SHADOWS); /* 1 where task storage will do */
	__type(key, u32);
	__type(value, struct rt_shadow);
} shadow_pool SEC(".maps");

/* Numbers of shadows that no thread has; user space puts all of them there first. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, RT_POOL_SHADOWS);
	__uint(value_size, sizeof(u32));
} free_shadows SEC(".maps");

#define rt_thread_of(task) ((struct rt_thread *)bpf_task_storage_get(&threads, task, NULL, 0))
/* Once more where the kernel's reserve of such blocks was empty: the failed request has just had it refilled, in an interrupt. */
#define rt_storage_make(map, task)                                                                             \
	({                                                                                                     \
		void *made_ = bpf_task_storage_get(map, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);           \
                                                                                                               \
		if (!made_)                                                                                    \
			made_ = bpf_task_storage_get(map, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);         \
		made_;                                                                                         \
	})
#define rt_thread_make(task) ((struct rt_thread *)rt_storage_make(&threads, task))

static __always_inline struct rt_shadow *rt_shadow_of(struct task_struct *task, struct rt_thread *t)
{
	u32 key = t->shadow - 1;

	if (!cfg.shadow_pool)
		return bpf_task_storage_get(&shadows, task, NULL, 0);
	return t->shadow ? bpf_map_lookup_elem(&shadow_pool, &key) : NULL;
}

/* Only the thread itself asks for its shadow, or who holds it at its switch or its fork: no two at a time. */
static __always_inline struct rt_shadow *rt_shadow_make(struct task_struct *task, struct rt_thread *t, struct rt_space *s)
{
	struct rt_shadow *sh;
	u32 key = 0;

	if (!cfg.shadow_pool)
		return rt_storage_make(&shadows, task);
	if (t->shadow)
		return rt_shadow_of(task, t); /* NULL for RT_SLOT_NONE */
	if (bpf_map_pop_elem(&free_shadows, &key))
		return NULL;
	t->shadow = key + 1;
	sh = bpf_map_lookup_elem(&shadow_pool, &key);
	if (sh) {
		sh->depth = 0;
		sh->gap = 0;
		sh->root = 0;
		sh->n_volatile = 0;
	}
	return sh;
}

/* Gives its shadow back: at its end (`gone`), or because its process is not followed any longer. */
static __always_inline int rt_thread_drop(struct task_struct *task, u32 gone)
{
	struct rt_thread *t = cfg.shadow_pool ? rt_thread_of(task) : NULL;
	u32 shadow;

	if (!t || !t->shadow || t->shadow == RT_SLOT_NONE)
		return 0;
	shadow = t->shadow - 1;
	t->shadow = gone ? RT_SLOT_NONE : 0; /* it can still be looked at on its way out: it gets no other one */
	bpf_map_push_elem(&free_shadows, &shadow, 0);
	return 0;
}

#define rt_space_number(s, index) ((void)0)
/* While memory can be had, before the first look. */
#define rt_shadow_early(task) (cfg.shadow_pool ? NULL : bpf_task_storage_get(&shadows, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE))

#define rt_shadow_allocates() (!cfg.shadow_pool)

#else /* RT_OLD_KERNEL */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RT_OLD_THREADS);
	__type(key, u32);
	__type(value, struct rt_thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_OLD_SHADOWS);
	__type(key, u32);
	__type(value, struct rt_shadow);
} shadows SEC(".maps");

/* Indices of shadows that no thread has; user space puts all of them there first. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, RT_OLD_SHADOWS);
	__uint(value_size, sizeof(u32));
} free_shadows SEC(".maps");

static const struct rt_thread thread_new = {};

static __always_inline struct rt_thread *rt_thread_of(struct task_struct *task)
{
	u32 key = rt_of(task, pid);
	struct rt_thread *t = bpf_map_lookup_elem(&threads, &key);

	return t && t->start == rt_of(task, start_time) ? t : NULL;
}

/* The shadow is kept by its number plus one. */
static __always_inline void rt_shadow_free(struct rt_thread *t)
{
	u32 shadow = t->shadow - 1;

	if (t->shadow)
		bpf_map_push_elem(&free_shadows, &shadow, 0);
	t->shadow = 0;
}

static __always_inline struct rt_thread *rt_thread_make(struct task_struct *task)
{
	u32 key = rt_of(task, pid);
	u64 start = rt_of(task, start_time);
	struct rt_thread *t = bpf_map_lookup_elem(&threads, &key);

	if (t && t->start == start)
		return t;
	if (t) {
		rt_shadow_free(t);
		bpf_map_delete_elem(&threads, &key);
	}
	bpf_map_update_elem(&threads, &key, &thread_new, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&threads, &key);
	if (!t)
		return NULL;
	t->key = key;
	t->start = start;
	return t;
}

static __always_inline int rt_thread_drop(struct task_struct *task, u32 gone)
{
	u32 key = rt_of(task, pid);
	struct rt_thread *t = rt_thread_of(task);

	if (!t)
		return 0;
	rt_shadow_free(t);
	bpf_map_delete_elem(&threads, &key);
	return 0;
}

static __always_inline struct rt_shadow *rt_shadow_of(struct task_struct *task, struct rt_thread *t)
{
	u32 key = t->shadow - 1;

	return t->shadow ? bpf_map_lookup_elem(&shadows, &key) : NULL;
}

/* Only the thread itself, or who holds it at its switch or its fork, asks for its shadow: no two at a time. */
static __always_inline struct rt_shadow *rt_shadow_make(struct task_struct *task, struct rt_thread *t, struct rt_space *s)
{
	struct rt_shadow *sh = NULL;
	u32 key = 0;

	if (!t->shadow) {
		if (bpf_map_pop_elem(&free_shadows, &key))
			return NULL;
		t->shadow = key + 1;
		sh = bpf_map_lookup_elem(&shadows, &key);
		if (sh) {
			sh->depth = 0;
			sh->gap = 0;
			sh->root = 0;
			sh->n_volatile = 0;
		}
	} else {
		sh = rt_shadow_of(task, t);
	}
	if (sh) {
		sh->self = t->shadow - 1;
		sh->thread = t->key;
		sh->pyoff = s->pyoff;
	}
	return sh;
}

#define rt_space_number(s, index) ((s)->slot = (index))
#define rt_shadow_early(task) (0)
#define rt_shadow_allocates() (0)

#endif

#endif
