/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_bin.h - what is known of an executable, so that the kernel side finds the interpreter of a new process by itself.
 *
 * Keyed by the executable's super block device and inode. User space reads each executable once (src/pytarget.c); after that an exec of it needs nobody:
 * a process that lives 20 ms has names and phases like any other.
 */
#ifndef RT_BIN_H
#define RT_BIN_H

#include "rt_abi.h"

struct rt_bin_key {
	__rt_u64 dev; /* s_dev as the kernel keeps it: major << 20 | minor (include/linux/kdev_t.h) */
	__rt_u64 ino;
};
static_assert(sizeof(struct rt_bin_key) == 16, "rt_bin_key");

enum rt_bin_kind {
	RT_BIN_NONE = 0,   /* no Python in it */
	RT_BIN_STATIC = 1, /* the interpreter is linked into the executable */
	RT_BIN_SHARED = 2, /* libpython, found in the dynamic linker's list of objects */
};

struct rt_bin {
	__rt_u32 kind;	      /* enum rt_bin_kind */
	__rt_u32 pyoff;	      /* index into the array of layouts */
	__rt_u64 exec_vaddr;  /* lowest p_vaddr of the executable's PT_LOADs with PF_X: mm->start_code = load bias + this */
	__rt_u64 runtime_vaddr;	    /* STATIC: st_value of _PyRuntime */
	__rt_u64 debug_vaddr;	    /* SHARED: where the executable's .dynamic keeps DT_DEBUG's d_un (ld.so stores &r_debug there) */
	__rt_u64 lib_dynamic_vaddr; /* SHARED: p_vaddr of libpython's PT_DYNAMIC: l_ld - l_addr in its link_map */
	__rt_u64 lib_runtime_off;   /* SHARED: st_value of _PyRuntime in libpython */
	__rt_u64 version_off;	    /* st_value of Py_Version, in libpython (SHARED) or the executable (STATIC) */
	__rt_u32 version_hex;	    /* and what stands there */
	__rt_u32 pad;
};
static_assert(sizeof(struct rt_bin) == 64, "rt_bin");

#endif
