/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * state.bpf.h - what the programs remember: address spaces, threads, shadows of stacks, and the maps that hold them.
 */
#ifndef RT_STATE_BPF_H
#define RT_STATE_BPF_H

#include "kernel.bpf.h"

#include "compat.bpf.h"

#include "../include/rt_abi.h"
#include "../include/rt_bin.h"
#include "../include/rt_config.h"
#include "../include/rt_pyoff.h"

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
/* Index of a kind into an array of RT_KIND_SLOTS: masked where the compiler cannot prove the mask away, so that the verifier sees the bound. */
#define RT_KIND_SLOTS 4
#define rt_slot_of(kind)                          \
	({                                        \
		u64 kind_ = (kind);               \
		asm volatile("" : "+r"(kind_));   \
		kind_ &= RT_KIND_SLOTS - 1;       \
		kind_;                            \
	})
/* The same for larger arrays: the register that was compared is the one that is used, and only after the comparison. */
#define rt_at(array, count, index)                            \
	({                                                    \
		u64 index_ = (index);                         \
		typeof(&(array)[0]) at_ = NULL;               \
		asm volatile("" : "+r"(index_));              \
		if (index_ < (count)) {                       \
			asm volatile("" : "+r"(index_));      \
			at_ = &(array)[index_];               \
		}                                             \
		at_;                                          \
	})
#define barrier() asm volatile("" ::: "memory")
/* The end of a function whose result nobody asks for: compilers leave in r0 what is there, and verifiers refuse a pointer there. */
#define rt_return_nothing()                     \
	do {                                    \
		rt_clear_r0();                  \
		return 0;                       \
	} while (0)
#ifdef RT_HOST
#define rt_clear_r0()
#else
#define rt_clear_r0() asm volatile("r0 = 0" ::: "r0")
#endif

const volatile struct rt_config cfg = {};
struct rt_globals globals = {};

/* ---- address spaces ---- */

enum rt_py_state {
	RT_PY_UNKNOWN = 0, /* executable not read by user space yet */
	RT_PY_NONE = 1,	   /* no Python */
	RT_PY_PENDING = 2, /* Python, but its runtime's address is not found yet (libpython not mapped) */
	RT_PY_READY = 3,
};

enum rt_space_flags {
	RT_SPACE_DEAD = 1, /* its processes are gone or have exec'ed: what changes now is the teardown */
	RT_SPACE_ADOPTING = 2, /* its threads are being gathered: nothing is charged and nothing told before all of them are known */
	RT_SPACE_ENDING = 8, /* its last thread is at its exit: what others still have to say of it goes out at once */
	RT_SPACE_DROPPED = 4, /* it was only followed until its command line was seen: the slot is freed at the next drop */
};

/* Changes that were made from outside, per cause, until they are sent. */
struct rt_remote {
	u64 first_ns, last_ns;
	u64 before[RT_KIND_SLOTS];
	s32 delta[RT_KIND_SLOTS];
	u32 gained[RT_KIND_SLOTS];
	u32 events;
	u32 reused;
};

struct rt_space {
	u64 mm; /* address of the mm_struct; 0: slot is free, 1: being set up */
	u32 image;
	u32 pid;
	u32 users; /* processes (thread groups) on it: more than one after vfork */
	u32 flags; /* enum rt_space_flags */
	/* Running totals in pages. sum = what all events added up to; acc = how much of it lies in the counter that all share (percpu_counter.count; up to 6.1
	 * mm_rss_stat.count). */
	s64 sum[RT_KIND_SLOTS];
	s64 acc[RT_KIND_SLOTS];
	s64 pool; /* pages released and not refilled yet */
	u64 peak;
	u64 start[RT_KIND_SLOTS]; /* counters when the space was made */
	u64 exit_pages[RT_KIND_SLOTS]; /* totals before the teardown, if that was seen before the exit */
	s64 drift[RT_KIND_SLOTS]; /* of the counters from the running totals, taken while events still came in, at the end of the run */
	u32 exit_seen;
	u32 exit_image; /* whose EXIT was sent last */
	u32 epoch; /* moves when any thread's phase (as far as the kernel knows it) changes: cuts the runs of the others */
	/* the interpreter */
	u32 py_state; /* enum rt_py_state */
	u32 bins_epoch;
	u32 pyoff;
	u32 seen_frame; /* a Python frame has been seen */
	u64 exe_dev, exe_ino;
	u64 bias; /* of the executable */
	u64 runtime;
	u32 root; /* node of the empty stack */
	u32 generation;
	u64 remote_since; /* the oldest in remote[], 0: nothing there */
	struct rt_remote remote[RT_CAUSES];
#ifdef RT_OLD_KERNEL
	u32 slot; /* its own index */
#endif
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_MAX_SPACES);
	__type(key, u32);
	__type(value, struct rt_space);
} spaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RT_MAX_SPACES * 2);
	__type(key, u64);
	__type(value, u32);
} space_index SEC(".maps");

/* The per-CPU parts of an address space's counters as they were at the last event: [slot * cpus + cpu]. */
struct rt_parts {
	s64 last[RT_KIND_SLOTS];
	s16 usual[RT_KIND_SLOTS]; /* how many pages the last change on this CPU was of; 0: none, or more than fits */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_MAX_SPACES); /* times the number of CPUs, set before loading */
	__type(key, u32);
	__type(value, struct rt_parts);
} parts SEC(".maps");

/* per_cpu_offset of each CPU, found by the program `setup_cpu`, which user space runs on each of them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* number of CPUs, set before loading */
	__type(key, u32);
	__type(value, u64);
} cpu_offset SEC(".maps");

struct rt_cpu {
	/* No look-up while the mm of events on this CPU is the same: the slot of the last one that is followed (checked on use), and the last one that is not, with the epoch at
	 * which it was not. On kernels where these programs can be preempted, another one may write between any two words. */
	u64 other_mm;
	u32 last_slot;
	u32 other_epoch;
	u64 offset;
	u64 tmp;
	/* the last page fault that began on this CPU: whose (task_struct), where, at which instruction of user space */
	u64 fault_task, fault_addr, fault_ip;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rt_cpu);
} cpus SEC(".maps");

#define RT_SLOT_NONE 0xffffffff

/* ---- threads ---- */

struct rt_run {
	u64 first_ns, last_ns, prev_seen_ns;
	u64 before[RT_KIND_SLOTS];
	u64 max_pages;
	s32 delta[RT_KIND_SLOTS];
	u32 gained[RT_KIND_SLOTS];
	u32 reused;
	u32 node;
	u32 map;
	u32 epoch;
	u16 flags;
	u8 active; /* something is in it that was not sent */
	u8 dirty;  /* and is worth sending: pages, or a phase's edge */
	u32 events;
	u32 slot;
	u32 code; /* of the call that began or ended */
	u32 pad;
	u64 min_flt, maj_flt; /* of the task at the begin */
};

/* What one event moved. */
struct rt_delta {
	s64 pages;
	s64 before[RT_KINDS];
	u32 reused;
	u32 kind;
	u32 map; /* mapping that the pages belong to */
	u32 prog; /* enum rt_prog_kind: who found it */
};

#define RT_TSTATE_BYTES 128 /* of a PyThreadState: its frame and its thread_id lie so near */

/* A mapping that an address was looked up in: valid while the address space's mm_lock_seq is `seq`. */
struct rt_vma {
	u64 start, size;
	u64 seq;
	u32 map;
	u32 pad;
};

#define RT_VMAS 16 /* by address: a power of two */

/* What a look saw. */
struct rt_seen {
	u32 node;
	u32 sig;
	u32 flags; /* enum rt_run_flags */
};

#define RT_OPEN_CALLS 8 /* a power of two */

struct rt_thread {
	u32 slot;
	u32 image;
	u32 space_image; /* of the address space in that slot: another one after vfork. Otherwise the slot is another space's by now */
	u32 tid; /* under which its runs are charged: after vfork that of the parent, on whose memory and stack it runs */
	u32 busy;
	u32 sig;      /* signature of the innermost named frames of the last look */
	u32 told;     /* its THREAD record was sent (split counters: after all threads of its process are known) */
	u64 seen_ns;  /* last look */
	u64 tstate;
	u64 interp_head;     /* the newest interpreter when that was found */
	u32 many;	     /* there were several then (subinterpreters) */
	u32 looks;
	u64 none_head;	     /* no tstate: head of the thread list when that was found out, */
	u64 none_head_thread; /* and its thread_id */
	s32 cache[RT_KIND_SLOTS]; /* up to 6.1: of the task's own part, what is in the space's sum */
	u64 tstate_bytes[RT_TSTATE_BYTES / 8]; /* a look's, and its change: too much for the programs' stack */
	struct rt_delta delta;
	/* Sources on faults: the task's faults at the last end of one, and how many of them the one that is just ending is: not the work of what was before it. */
	u64 min_flt, maj_flt;
	u32 min_now, maj_now;
	struct rt_run run;
	/* mappings (vma.bpf.h) */
	u64 fault_addr, fault_ip; /* of rt_cpu, kept while the thread is off its CPU */
	u64 gone_addr;		  /* argument of the system call that is about to unmap, and what is mapped there */
	u32 gone_map;
	u32 call; /* code object of the call that a watchpoint or a static probe tells of, while it is told */
	struct rt_vma vma[RT_VMAS];
	u32 shadow; /* storage.bpf.h: number plus one, 0: none yet */
	u32 ended; /* its exit was seen */
	char comm[16]; /* the name that was told last */
#ifndef RT_OLD_KERNEL
	u64 open[RT_OPEN_CALLS]; /* frames of calls whose begin a watchpoint told, the last ones (entry.bpf.h) */
	u32 open_at;
	/* The call that began at the last hit, while its frame is not linked yet and its caller still stands at `from_node`: its node, 0: none. */
	u32 new_node, new_sig, from_node;
	u32 natives; /* native.bpf.h: calls open, and sums that wait, in the upper half; 0: nothing to be done there */
	u32 pad;
	u64 begun; /* frame of the call whose begin a static probe told last, until it ends (usdt.bpf.h) */
	u64 pushed, pushed_tip; /* code object of the call that was told when its frame was made, and its caller's frame (eval.bpf.h) */
#endif
#ifdef RT_OLD_KERNEL
	u64 start; /* when the task began */
	u32 key;
	struct rt_seen seen; /* last */
	u64 find_interp, find_tstate, find_fsbase, find_found; /* search for the thread state in progress */
#endif
};

/* ---- shadows: a thread's last stack ---- */

#define RT_DEPTH 640	    /* frames kept */
#define RT_DEEP_OUTER 128   /* of a deeper stack: outermost ones kept */
#define RT_DEEP_INNER 448   /* and innermost ones */
#define RT_DEEP_MAX 16384   /* frames walked at most */
#define RT_WINDOW 8192	    /* of the target's memory at hand (a chunk of CPython's frame stack has twice as much: DATA_STACK_CHUNK_SIZE, Python/pystate.c) */
#define RT_CHUNKS 64	    /* windows told apart (a power of two) */
#define RT_FIELD_MASK 127
#define RT_VOLATILE 96	    /* frames with volatile code objects that are remembered by position; more: all are checked */

struct rt_shadow_frame { /* what a look compares: nothing else is touched for a frame that stays */
	u64 addr;
	u64 ident; /* function and globals mixed */
	u64 instr; /* lies in the code object: no other one has it */
};

struct rt_shadow_entry {
	u64 code;
	u32 node;
	u32 sig;
	u32 fp; /* fingerprint of the code object, its lower half */
	u32 code_id;
};

struct rt_walk_entry {
	u64 addr;
	u64 ident;
	u64 instr;
	u64 code;
};

/* State of the look in progress. It lies in map memory, whose contents the verifier does not track: loops over it converge at once. */
struct rt_walk_state {
	u64 tip;   /* innermost frame */
	u64 cur;   /* walk: frame to be read */
	u64 prev;  /* check: address that the frame's link must have */
	u32 n;	   /* walk: frames in w[] */
	u32 k;	   /* check: frames untouched */
	s32 meet;  /* walk: index of the frame that was met; -1: the bottom; -2: none */
	u32 bad;   /* a frame could not be read */
	u32 full;  /* more frames than w[] holds */
	u32 prog;  /* enum rt_prog_kind */
	u32 total; /* deep stacks: frames */
	u32 node, sig; /* of the innermost frame on the shadow so far: in the end the result */
	u32 pos;   /* push: index of the next frame */
	u32 unknown; /* push: index of the outermost frame whose code object could not be read */
	u32 chunk; /* push: of the last frame pushed */
};

struct rt_code_ref { /* of one code object in the target */
	u64 addr;
	u64 fp;
	u64 filename, qualname, linetable;
	s32 firstlineno;
	u32 id;
	u32 flags; /* enum rt_code_cache_flags */
};

struct rt_shadow {
	struct rt_walk_state st;
	struct rt_code_ref ref; /* of the frame being pushed or checked: too much for the programs' stack */
	u32 depth;
	u32 gap; /* the stack was deeper than RT_DEPTH: nothing can be kept from one look to the next */
	u32 root;
	u32 walked;
	u32 rotate, rotate_volatile, looks;
	u32 n_volatile;
	u16 volatile_at[RT_VOLATILE];
	u64 lo, room;  /* a frame is in window[] if its address is lo to lo + room; 0, 0: none is */
	/* Where frames lie one behind the other: addresses of the first and the last one of each such chunk, and which one a frame is in. */
	u64 chunk_first[RT_CHUNKS], chunk_last[RT_CHUNKS];
	u8 chunk_of[RT_DEPTH];
	u8 code_flags[RT_DEPTH]; /* enum rt_code_cache_flags, of each frame */
	u16 index[1024]; /* by hash of the frame's address: where it lies in e[] (a hint: checked on use) */
	struct rt_shadow_frame f[RT_DEPTH];
	struct rt_shadow_entry e[RT_DEPTH];
	struct rt_walk_entry w[RT_DEPTH];
	u8 window[RT_WINDOW + RT_FIELD_MASK + 9];
	u8 code_bytes[256];
#ifdef RT_OLD_KERNEL /* storage.bpf.h */
	u32 self;   /* its own index, */
	u32 thread; /* its thread's key, */
	u32 pyoff;  /* its interpreter's layout: where a step of a loop finds them again */
#endif
};

#include "storage.bpf.h"

/* ---- interpreters, names ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_MAX_PYOFFS);
	__type(key, u32);
	__type(value, struct rt_pyoff);
} pyoffs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RT_MAX_BINS);
	__type(key, struct rt_bin_key);
	__type(value, struct rt_bin);
} bins SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RT_MAX_NAMES);
	__type(key, u64);
	__type(value, u32);
} names SEC(".maps");

/* Thread groups to adopt: by the iterator (they run already) or at their next exec (we start them). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} targets SEC(".maps");

/* ---- caches of what was sent: lossy, because ids never come back ---- */

struct rt_node_entry {
	u32 parent, code, instr, id;
};

struct rt_node_set {
	struct rt_node_entry e[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_NODE_SETS); /* times the CPUs */
	__type(key, u32);
	__type(value, struct rt_node_set);
} node_cache SEC(".maps");

struct rt_code_entry {
	u64 addr;
	u64 fp;
	u32 image;
	u32 id;
	u32 flags; /* enum rt_code_cache_flags */
	u32 generation;
};

enum rt_code_cache_flags {
	RT_CODE_IS_FUNCTION = RT_NAME_FUNCTION,
	RT_CODE_IS_STATEMENT = RT_NAME_STATEMENT,
	RT_CODE_IS_WATCH = RT_NAME_WATCH,
	RT_CODE_IS_VOLATILE = 4, /* made by exec or eval, or its address came back before: check its identity at every look */
};

struct rt_code_set {
	struct rt_code_entry e[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_CODE_SETS);
	__type(key, u32);
	__type(value, struct rt_code_set);
} code_cache SEC(".maps");

/* ---- mapped files: which were sent ---- */

struct rt_map_key {
	u64 dev;
	u64 ino;
	u32 generation; /* of the inode: its number comes back */
	u32 kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RT_MAX_MAPS); /* 1 without mappings, set before loading */
	__type(key, struct rt_map_key);
	__type(value, u32);
} map_ids SEC(".maps");

struct rt_map_scratch { /* what would be too much for the stack */
	u32 busy, walking; /* in use by a program that was preempted */
	struct rt_map_key key;
	u64 dentry, mount; /* the path's component that comes next */
	u32 len;	   /* of name[] so far */
	u32 whole;
	struct rt_rec_map rec;
	u8 name[RT_MAP_NAME_MAX];
	u64 node[32]; /* of the tree of mappings */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rt_map_scratch);
} map_scratch SEC(".maps");

/* ---- way out ---- */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RT_RING_BYTES);
} ring SEC(".maps");

struct rt_counters {
	u64 c[RT_COUNTERS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rt_counters);
} counters SEC(".maps");

/* Kinds of programs: each has scratch space of its own per CPU, because one kind can interrupt another. */
enum rt_prog_kind {
	RT_PROG_RSS,
	RT_PROG_SWITCH,
	RT_PROG_SAMPLE,
	RT_PROG_ENTRY,
	RT_PROG_LIFE,
	RT_PROG_WAKE,
	RT_PROG_KINDS = 8, /* a power of two */
};

#define RT_CODE_DATA (RT_QUALNAME_MAX + RT_FILENAME_MAX + RT_LINETABLE_MAX)

/* The characters of a str object: their address and number of bytes; width 0: no str that could be read. */
struct rt_str {
	u64 data;
	u64 bytes;
	u32 width;
	u32 ascii;
};

struct rt_code_scratch {
	u32 busy;
	u32 pad;
	struct rt_str q, f; /* qualname, file */
	u64 all, last1, last2; /* hash of the whole, since the last and since the last but one '/' */
	struct rt_rec_code rec;
	u8 data[RT_CODE_DATA + 16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RT_PROG_KINDS); /* times the number of CPUs, set before loading */
	__type(key, u32);
	__type(value, struct rt_code_scratch);
} code_scratch SEC(".maps");

static __always_inline void rt_count(u32 which)
{
	u32 zero = 0;
	struct rt_counters *c = bpf_map_lookup_elem(&counters, &zero);

	if (c && which < RT_COUNTERS)
		c->c[which]++;
}

static __always_inline void rt_count_add(u32 which, u64 n)
{
	u32 zero = 0;
	struct rt_counters *c = bpf_map_lookup_elem(&counters, &zero);

	if (c && which < RT_COUNTERS)
		c->c[which] += n;
}

static __always_inline struct rt_space *rt_space_at(u32 slot)
{
	return bpf_map_lookup_elem(&spaces, &slot);
}

#endif
