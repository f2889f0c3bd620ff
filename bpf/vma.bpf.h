/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * vma.bpf.h - which mapping the pages of an RSS change belong to.
 *
 * Where it happened: in a page fault, at the address that the fault tracepoints have told; in a system call, at the address in its arguments. One of the
 * two: a fault is noted with the instruction of user space that was interrupted, and the thread's saved registers say at the change which instruction that is now. So
 * a note is never believed beyond its own fault, and nothing needs to be done when a fault is over.
 *
 * What is mapped there: bpf_find_vma; the tree itself where that gives up because someone is changing the address space. In munmap neither finds
 * anything, since the mapping has left the tree before its pages go: a system call that unmaps is asked before it begins (its entry, or mmap_lock_start_locking). Each thread
 * remembers the last mappings it looked up, for as long as mm_lock_seq says that none can have changed.
 *
 * A mapping is a file or a class (heap, stack, anonymous, shared anonymous), not one piece of address space.
 */
#ifndef RT_VMA_BPF_H
#define RT_VMA_BPF_H

#include "emit.bpf.h"

#ifndef RT_OLD_KERNEL /* bpf_find_vma: 5.17 */

enum rt_nr { /* arch/x86/entry/syscalls/syscall_64.tbl */
	RT_NR_READ = 0,
	RT_NR_MMAP = 9,
	RT_NR_MPROTECT = 10,
	RT_NR_MUNMAP = 11,
	RT_NR_BRK = 12,
	RT_NR_PREAD64 = 17,
	RT_NR_MREMAP = 25,
	RT_NR_MADVISE = 28,
	RT_NR_SHMAT = 30,
	RT_NR_SHMDT = 67,
	RT_NR_FTRUNCATE = 77,
	RT_NR_MLOCK = 149,
	RT_NR_FALLOCATE = 285,
	RT_NR_MLOCK2 = 325,
	RT_NR_PROCESS_MADVISE = 440,
};

/* ---- names of files ---- */

/* One component outward. Returns 1 at the end. */
static long rt_path_step(u32 i, struct rt_map_scratch **scratch)
{
	struct rt_map_scratch *w = *scratch;
	struct dentry *dentry = (struct dentry *)w->dentry;
	struct mount *mount = (struct mount *)w->mount, *up;
	u64 parent = 0, root = 0;
	u32 at = w->len;
	long n;

	bpf_core_read(&root, sizeof(root), &mount->mnt.mnt_root);
	bpf_core_read(&parent, sizeof(parent), &dentry->d_parent);
	if (w->dentry == root) {
		up = BPF_CORE_READ(mount, mnt_parent);
		if (!up || up == mount) {
			w->whole = 1;
			return 1;
		}
		w->dentry = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = (u64)up;
		return 0;
	}
	if (at > RT_MAP_NAME_MAX - 256 || !parent)
		return 1;
	n = bpf_probe_read_kernel_str(w->name + at, 256, BPF_CORE_READ(dentry, d_name.name));
	if (n <= 0)
		return 1;
	w->len = at + n;
	if (parent == w->dentry) { /* in no directory: memfd, SYSV */
		w->whole = 1;
		return 1;
	}
	w->dentry = parent;
	return 0;
}

/* Sends a file's name, its key in the scratch space, under a new number, which it returns. */
static __always_inline u32 rt_map_send(u64 file_addr, u32 image, u32 tid)
{
	struct file *file = (struct file *)file_addr;
	struct rt_map_scratch *w;
	struct rt_rec_map *r;
	u32 zero = 0, size, id;

	w = bpf_map_lookup_elem(&map_scratch, &zero);
	if (!w)
		return RT_MAP_ID_UNKNOWN;
	r = &w->rec;
	w->dentry = (u64)BPF_CORE_READ(file, f_path.dentry);
	w->mount = (u64)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	w->len = 0;
	w->whole = 0;
	bpf_loop(64, rt_path_step, &w, 0);
	id = __sync_fetch_and_add(&globals.next_map, 1) + RT_MAP_ID_FIRST;
	size = (sizeof(*r) + w->len + 7) & ~7u;
	rt_header(&r->h, RT_REC_MAP, size, 0, image, tid);
	r->id = id;
	r->kind = w->key.kind;
	r->dev = w->key.dev;
	r->ino = w->key.ino;
	r->flags = w->whole ? 0 : RT_MAP_CUT;
	r->len = w->len;
	if (size > sizeof(*r) + RT_MAP_NAME_MAX || bpf_ringbuf_output(&ring, r, size, BPF_RB_NO_WAKEUP)) {
		rt_count(RT_C_LOST_MAP);
		return RT_MAP_ID_UNKNOWN;
	}
	return id;
}

/* mm/shmem.c, shmem_zero_setup: each piece of shared anonymous memory is a file named dev/zero, which no file in a directory can be. */
static __always_inline bool rt_is_shared_anon(struct file *file)
{
	u64 name = 0;

	bpf_probe_read_kernel(&name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return name == 0x6f72657a2f766564ull; /* "dev/zero" */
}

static __always_inline u32 rt_map_file_by(struct rt_map_scratch *w, u64 file_addr, u32 image, u32 tid)
{
	struct file *file = (struct file *)file_addr;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	u32 *known, id;

	if (!inode)
		return RT_MAP_ID_UNKNOWN;
	w->key.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	w->key.ino = BPF_CORE_READ(inode, i_ino);
	w->key.generation = BPF_CORE_READ(inode, i_generation);
	w->key.kind = RT_MAP_FILE;
	if (BPF_CORE_READ(inode, i_sb, s_magic) == TMPFS_MAGIC && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG) {
		w->key.kind = RT_MAP_SHMEM;
		if (rt_is_shared_anon(file))
			return RT_MAP_ID_SHARED;
	}
	known = bpf_map_lookup_elem(&map_ids, &w->key);
	if (known)
		return *known;
	if (READ_ONCE(globals.next_map) >= RT_MAX_MAPS) { /* no number is worth sending that cannot be kept */
		rt_count(RT_C_MAP_FULL);
		return w->key.kind == RT_MAP_SHMEM ? RT_MAP_ID_SHMEMS : RT_MAP_ID_FILES;
	}
	id = rt_map_send(file_addr, image, tid);
	/* Only now can another CPU use the number: its record is in the ring. */
	if (id != RT_MAP_ID_UNKNOWN && bpf_map_update_elem(&map_ids, &w->key, &id, BPF_NOEXIST) == -7 /* E2BIG */) {
		rt_count(RT_C_MAP_FULL);
		return w->key.kind == RT_MAP_SHMEM ? RT_MAP_ID_SHMEMS : RT_MAP_ID_FILES;
	}
	return id;
}

/* The number of a file. */
__noinline u32 rt_map_file(u64 file_addr, u32 image, u32 tid)
{
	u32 zero = 0, id;
	struct rt_map_scratch *w = bpf_map_lookup_elem(&map_scratch, &zero);

	if (!w || rt_exchange(&w->busy, 1))
		return RT_MAP_ID_UNKNOWN;
	id = rt_map_file_by(w, file_addr, image, tid);
	w->busy = 0;
	return id;
}

/* The file behind a descriptor of the current process. */
static __noinline u32 rt_map_fd(struct rt_thread *t, struct task_struct *task, u64 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	u64 file = 0;

	if ((u32)fd >= BPF_CORE_READ(table, max_fds))
		return RT_MAP_ID_UNKNOWN;
	bpf_probe_read_kernel(&file, sizeof(file), files + (u32)fd);
	return file ? rt_map_file(file, t->image, t->tid) : RT_MAP_ID_UNKNOWN;
}

/* ---- addresses ---- */

/* Equal at two times: no mapping has changed in between. 0: this kernel does not tell, nothing may be remembered. */
static __always_inline u64 rt_mm_seq(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	const u64 known = 1ull << 32;

	if (bpf_core_field_exists(struct mm_struct___seqcount, mm_lock_seq))
		return known | ((struct mm_struct___seqcount *)mm)->mm_lock_seq.sequence;
	if (bpf_core_field_exists(struct mm_struct___number, mm_lock_seq))
		return known | (u32)((struct mm_struct___number *)mm)->mm_lock_seq;
	return 0;
}

static __always_inline u32 rt_map_class(struct mm_struct *mm, u64 start, u64 end)
{
	if (start < BPF_CORE_READ(mm, brk) && end > BPF_CORE_READ(mm, start_brk))
		return RT_MAP_ID_HEAP;
	if (start <= BPF_CORE_READ(mm, start_stack) && end >= BPF_CORE_READ(mm, start_stack))
		return RT_MAP_ID_STACK;
	return RT_MAP_ID_ANON;
}

struct rt_vma_seen {
	struct rt_vma vma;
	u32 image, tid;
};

static long rt_vma_see(struct task_struct *task, struct vm_area_struct *vma, struct rt_vma_seen *seen)
{
	u64 start = vma->vm_start, end = vma->vm_end, file = 0;

	seen->vma.start = start;
	seen->vma.size = end - start;
	seen->vma.seq = rt_mm_seq(task); /* the lock is held: it stands still */
	bpf_core_read(&file, sizeof(file), &vma->vm_file);
	seen->vma.map = file ? rt_map_file(file, seen->image, seen->tid) : rt_map_class(task->mm, start, end);
	return 0;
}

/* ---- the tree of mappings, without its lock ---- */

struct rt_tree_walk {
	u64 *node; /* scratch */
	u64 at;	   /* encoded pointer to a node, in the end a mapping or 0 */
	u64 addr;
};

/* One level down. include/linux/maple_tree.h: 256 bytes a node, aligned to that, the type in the pointer's bits 3 to 6; pivots ascend, unused ones are 0. */
static long rt_tree_step(u32 i, struct rt_tree_walk *w)
{
	u32 type = (w->at >> 3) & 15;
	u64 before = 0, below;

	if (type < RT_MAPLE_LEAF || type > RT_MAPLE_ARANGE || bpf_probe_read_kernel(w->node, RT_MAPLE_NODE, (void *)(w->at & ~255ull))) {
		w->at = 0;
		return 1;
	}
	/* How many pivots are below the address, without a branch, which the verifier would have to follow. A pivot is the last byte of a page; 0, and the
	 * slots that follow the pivots of the one type, are above all addresses. */
#pragma unroll
	for (u32 k = 1; k < 16; k++) {
		below = ((w->node[k] - 1) >> 12) - (w->addr >> 12);
		asm volatile("" : "+r"(below)); /* or the compiler makes a comparison of it */
		before += below >> 63;
	}
	w->at = w->node[((type == RT_MAPLE_ARANGE ? 10 : 16) + before) & 31];
	return type == RT_MAPLE_LEAF;
}

/*
 * While another thread changes the address space (it may be preempted with the lock held) bpf_find_vma gives up. A fault keeps its own mapping from being
 * changed meanwhile, so that the tree has it all the same, and nodes are not freed while a program runs (RCU). What is found is believed only if it is a
 * mapping of this address space that has the address in it; should the tree be built differently one day, nothing is found.
 */
__noinline u32 rt_map_walk(u64 mm_addr, u64 addr, u32 image, u32 tid)
{
	struct mm_struct *mm = (struct mm_struct *)mm_addr;
	struct rt_tree_walk w = {.addr = addr};
	struct rt_map_scratch *scratch;
	struct vm_area_struct *vma;
	u64 start, end, file;
	u32 zero = 0;

	if (!bpf_core_field_exists(mm->mm_mt))
		return RT_MAP_ID_UNKNOWN;
	scratch = bpf_map_lookup_elem(&map_scratch, &zero);
	bpf_core_read(&w.at, sizeof(w.at), &mm->mm_mt.ma_root);
	if (!scratch || (w.at & 3) != 2 || rt_exchange(&scratch->walking, 1))
		return RT_MAP_ID_UNKNOWN;
	w.node = scratch->node;
	bpf_loop(8, rt_tree_step, &w, 0);
	scratch->walking = 0;
	vma = (struct vm_area_struct *)w.at;
	if (w.at < 4096 || (w.at & 3) || BPF_CORE_READ(vma, vm_mm) != mm)
		return RT_MAP_ID_UNKNOWN;
	start = BPF_CORE_READ(vma, vm_start);
	end = BPF_CORE_READ(vma, vm_end);
	if (addr < start || addr >= end)
		return RT_MAP_ID_UNKNOWN;
	file = (u64)BPF_CORE_READ(vma, vm_file);
	return file ? rt_map_file(file, image, tid) : rt_map_class(mm, start, end);
}

/* The larger functions are global ones: the verifier checks each once by itself, and follows no value of theirs any further. */
__noinline u32 rt_map_lookup(struct rt_thread *t, u64 addr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rt_vma_seen seen = {};
	struct rt_vma *v;
	u64 mm = 0;
	u32 map;

	v = t ? rt_at(t->vma, RT_VMAS, ((addr >> 21) ^ (addr >> 26)) & (RT_VMAS - 1)) : NULL;
	if (!v)
		return RT_MAP_ID_UNKNOWN;
	seen.image = t->image;
	seen.tid = t->tid;
	rt_count(RT_C_MAP_LOOKUPS);
	if (!bpf_find_vma(task, addr, rt_vma_see, &seen, 0)) {
		if (seen.vma.map != RT_MAP_ID_UNKNOWN)
			*v = seen.vma;
		return seen.vma.map;
	}
	bpf_core_read(&mm, sizeof(mm), &task->mm);
	map = rt_map_walk(mm, addr, t->image, t->tid);
	if (map == RT_MAP_ID_UNKNOWN && addr - v->start < v->size)
		map = v->map; /* gone: what was there last */
	return map;
}

/* What is mapped at an address of the current thread's. */
static __always_inline u32 rt_map_at(struct rt_thread *t, struct task_struct *task, u64 addr)
{
	struct rt_vma *v = rt_at(t->vma, RT_VMAS, ((addr >> 21) ^ (addr >> 26)) & (RT_VMAS - 1));
	u64 seq = rt_mm_seq(task);

	if (v && seq && v->seq == seq && addr - v->start < v->size)
		return v->map;
	return rt_map_lookup(t, addr);
}

/* ---- where ---- */

/* A fault begins. Whose it is comes last: a note that was torn by a program in between (they can be preempted on new kernels) is nobody's, or has another instruction. */
static __always_inline int rt_fault_note(u64 addr, u64 ip)
{
	u32 zero = 0;
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (!cpu)
		return 0;
	WRITE_ONCE(cpu->fault_task, 0);
	barrier();
	cpu->fault_addr = addr;
	cpu->fault_ip = ip;
	barrier();
	WRITE_ONCE(cpu->fault_task, bpf_get_current_task());
	return 0;
}

/* A fault of the kernel's own, in a copy from or to user space. Reads that may not wait (a look's among them) bring no page in. */
static __always_inline int rt_fault_in_kernel(u64 addr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;

	if (task->pagefault_disabled || (s64)addr < 0)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	return rt_fault_note(addr, regs->ip);
}

/* The thread leaves its CPU, maybe in the middle of a fault. No note of it stays behind there: it might take up an older one when it comes back. */
static __always_inline void rt_fault_keep(struct rt_thread *t, u64 task)
{
	u32 zero = 0;
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (!cpu || cpu->fault_task != task)
		return;
	t->fault_addr = cpu->fault_addr;
	t->fault_ip = cpu->fault_ip;
	cpu->fault_task = 0;
}

static __always_inline bool rt_unmaps(u64 nr, u64 flags)
{
	return nr == RT_NR_MUNMAP || nr == RT_NR_MREMAP || nr == RT_NR_SHMDT || (nr == RT_NR_MMAP && (flags & MAP_FIXED));
}

/* A system call begins, or some lock of an address space is about to be taken: by one that unmaps? */
static __always_inline int rt_unmapping(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct rt_thread *t;

	if (!rt_unmaps(regs->orig_ax, regs->r10))
		return 0;
	t = bpf_task_storage_get(&threads, task, NULL, 0);
	if (!t || t->busy || !task->mm)
		return 0;
	t->gone_addr = regs->di;
	t->gone_map = rt_map_at(t, task, regs->di);
	return 0;
}

/* By the system call's arguments. Of one that spans several mappings, that of its first page. */
__noinline u32 rt_map_called(struct rt_thread *t, s64 pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	u64 nr = regs->orig_ax, di = regs->di, base = 0;

	if (!t || (task->thread_info.status & TS_COMPAT))
		return RT_MAP_ID_UNKNOWN; /* other numbers */
	if (nr == RT_NR_MMAP && pages > 0) { /* MAP_POPULATE, MAP_LOCKED */
		if (!(regs->r10 & MAP_ANONYMOUS))
			return rt_map_fd(t, task, regs->r8);
		return regs->r10 & MAP_SHARED ? RT_MAP_ID_SHARED : RT_MAP_ID_ANON;
	}
	switch (nr) {
	case RT_NR_MUNMAP:
	case RT_NR_MREMAP:
	case RT_NR_SHMDT:
	case RT_NR_MMAP:
		return t->gone_addr == di ? t->gone_map : rt_map_at(t, task, di);
	case RT_NR_BRK:
		return RT_MAP_ID_HEAP;
	case RT_NR_MADVISE:
	case RT_NR_MPROTECT:
	case RT_NR_MLOCK:
	case RT_NR_MLOCK2:
		return rt_map_at(t, task, di);
	case RT_NR_READ: /* O_DIRECT: pages that are pinned take no fault */
	case RT_NR_PREAD64:
		return rt_map_at(t, task, regs->si);
	case RT_NR_FTRUNCATE:
	case RT_NR_FALLOCATE:
		return rt_map_fd(t, task, di);
	case RT_NR_PROCESS_MADVISE: /* of itself */
		bpf_probe_read_user(&base, sizeof(base), (void *)regs->si);
		return rt_map_at(t, task, base);
	}
	return RT_MAP_ID_UNKNOWN;
}

/* The mapping of a change that the current thread has just made. */
static __always_inline u32 rt_map_changed(struct rt_thread *t, struct task_struct *task, u32 kind, s64 pages)
{
	u32 zero = 0;
	struct rt_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	bool here = cpu && cpu->fault_task == (u64)task;
	u32 map;

	if (regs->ip == (here ? cpu->fault_ip : t->fault_ip)) {
		map = rt_map_at(t, task, here ? cpu->fault_addr : t->fault_addr);
	} else {
		map = rt_map_called(t, pages);
		if (kind != RT_ANON && map >= RT_MAP_ID_HEAP && map <= RT_MAP_ID_ANON)
			map = RT_MAP_ID_UNKNOWN; /* a system call across several mappings: these pages are another one's */
	}
	if (map == RT_MAP_ID_UNKNOWN)
		rt_count(RT_C_MAP_UNKNOWN);
	return map;
}

#else

#define rt_map_changed(t, task, kind, pages) RT_MAP_ID_UNKNOWN
#define rt_fault_keep(t, task) ((void)0)

#endif

#endif
