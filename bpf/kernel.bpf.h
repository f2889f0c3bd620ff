/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * kernel.bpf.h - the few kernel types that the programs read, with CO-RE relocations: no header of the running kernel is needed to build.
 *
 * Only the members used are declared; libbpf finds their offsets in the running kernel's BTF.
 */
#ifndef RT_KERNEL_BPF_H
#define RT_KERNEL_BPF_H

#ifndef RT_HOST /* the walker also compiles for the host: tests/host */
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#endif

typedef unsigned char u8;
typedef short s16;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
#ifndef RT_HOST
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef signed char __s8;
typedef short __s16;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;
#endif

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };

/* include/linux/sched.h */
#define PF_MEMALLOC 0x00000800
#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004

/* arch/x86/include/asm/thread_info.h */
#define TS_COMPAT 0x0002

/* include/uapi/linux/magic.h, stat.h, mman.h */
#define TMPFS_MAGIC 0x01021994
#define S_IFMT 00170000
#define S_IFREG 0100000
#define MAP_SHARED 0x01
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20

#ifndef RT_HOST
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	u16 i_mode;
	unsigned long i_ino;
	u32 i_generation;
	struct super_block *i_sb;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct percpu_counter { /* mm_struct.rss_stat from 6.2 on: f1a7941243c1 */
	s64 count;
	s32 *counters;
};

struct maple_tree { /* from 6.1 on: d4af56c5c7c6 */
	void *ma_root;
};

enum {
	RT_MAPLE_LEAF = 1, /* and RANGE 2: 15 pivots, 16 slots */
	RT_MAPLE_ARANGE = 3, /* 9 pivots, 10 slots */
	RT_MAPLE_NODE = 256,
};

typedef struct {
	s64 counter;
} atomic64_t;

struct mm_rss_stat { /* mm_struct.rss_stat up to 6.1 */
	atomic64_t count[4];
};

struct mm_struct___split {
	struct mm_rss_stat rss_stat;
};

struct task_rss_stat { /* up to 6.1: what the task has not added to its mm's counters yet (SPLIT_RSS_COUNTING) */
	int events;
	int count[4];
};

struct task_struct___split {
	struct task_rss_stat rss_stat;
};

struct list_head {
	struct list_head *next;
};

struct mm_struct {
	struct maple_tree mm_mt;
	struct percpu_counter rss_stat[4];
	unsigned long total_vm; /* pages mapped */
	unsigned long start_code;
	unsigned long arg_start, arg_end;
	unsigned long start_brk, brk, start_stack;
	struct file *exe_file;
};

/* Moves with every change to the set of mappings: 5e31275cc997 (6.4) as a number, 03a001b156d2 (6.13) as a sequence count. */
struct mm_struct___number {
	int mm_lock_seq;
};

typedef struct seqcount {
	unsigned int sequence;
} seqcount_t;

struct mm_struct___seqcount {
	seqcount_t mm_lock_seq;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	struct file *vm_file;
};

struct thread_info {
	u32 status;
};

struct thread_struct {
	unsigned long fsbase; /* x86 */
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
};

struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	unsigned int flags;
	int exit_code;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	char comm[16];
	unsigned long min_flt;
	unsigned long maj_flt;
	int pagefault_disabled;
	struct files_struct *files;
	u64 start_time;
	struct thread_struct thread;
};

struct bpf_array {
	union {
		void *pptrs[1];
	};
};

struct bpf_iter_meta {
	u64 session_id;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* arch/x86/include/asm/ptrace.h */
struct pt_regs {
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long sp;
	unsigned long ip;
};

#ifndef RT_HOST
#pragma clang attribute pop
#endif

#ifndef RT_HOST
/* include/uapi/linux/bpf_perf_event.h, arch/x86/include/asm/ptrace.h: what a perf event's program gets; the kernel translates accesses, so these are offsets of its ABI. */
struct bpf_perf_event_data {
	unsigned long regs[21];
	u64 sample_period;
	u64 addr;
};
#endif

#endif
