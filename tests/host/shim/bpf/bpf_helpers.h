/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* The helpers that the BPF walker uses, for the host: maps are memory, the target's memory is an arena, the ring buffer is a callback. */
#ifndef RT_SHIM_BPF_HELPERS_H
#define RT_SHIM_BPF_HELPERS_H

#define SEC(name)
#define __uint(name, value) int (*name)[value]
#define __type(name, type_) typeof(type_) *name
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define __noinline __attribute__((noinline))

/* tests/host/test_walk.c */
void *shim_map(void *map, const void *key, unsigned key_size, unsigned value_size, unsigned max_entries, int is_array);
long shim_read(void *dst, unsigned size, unsigned long long address);
void *shim_reserve(unsigned long size);
void shim_submit(void *record);
unsigned shim_random(void);
void *shim_storage(void *map, unsigned value_size, int create);
void *shim_current(void);
extern unsigned long long shim_clock;

/* Types 2 and 6 are arrays (enum bpf_map_type). */
#define bpf_map_lookup_elem(map, key_)                                                                            \
	((typeof((map)->value))shim_map(map, key_, sizeof(*(map)->key), sizeof(*(map)->value),                    \
					sizeof(*(map)->max_entries) / sizeof(int),                                \
					sizeof(*(map)->type) / sizeof(int) == 2 || sizeof(*(map)->type) / sizeof(int) == 6))
#define bpf_map_update_elem(map, key_, value_, flags) (0)
#define bpf_map_delete_elem(map, key_) (0)
/* Queues: always something in them. */
#define bpf_map_pop_elem(map, value_) (*(value_) = 0, 0)
#define bpf_map_push_elem(map, value_, flags) (0)
#define bpf_probe_read_user(dst, size, src) shim_read(dst, size, (unsigned long long)(src))
#define bpf_probe_read_kernel(dst, size, src) (memset(dst, 0, size), 0L)
#define bpf_probe_read_kernel_str(dst, size, src) (0L)
#define bpf_ringbuf_reserve(ring, size, flags) shim_reserve(size)
#define bpf_ringbuf_submit(record, flags) shim_submit(record)
#define bpf_ringbuf_query(ring, what) (0ull)
#define bpf_ringbuf_output(ring, data, size, flags)                \
	({                                                         \
		void *copy_ = shim_reserve(size);                  \
		memcpy(copy_, data, size);                         \
		shim_submit(copy_);                                \
		0;                                                 \
	})
#define bpf_task_storage_get(map, task, init, flags) ((typeof((map)->value))shim_storage(map, sizeof(*(map)->value), (flags) & 1))
#define bpf_get_current_task_btf() ((struct task_struct *)shim_current())
#define bpf_get_current_task() ((unsigned long)shim_current())
#define bpf_get_smp_processor_id() (0u)
#define bpf_get_prandom_u32() shim_random()
#define bpf_ktime_get_ns() (++shim_clock)
#define bpf_loop(count, callback, ctx, flags)                                     \
	({                                                                        \
		unsigned loops_ = (count), i_;                                    \
		for (i_ = 0; i_ < loops_; i_++)                                   \
			if (callback(i_, ctx))                                    \
				break;                                            \
		(long)i_;                                                         \
	})

#endif
