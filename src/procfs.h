/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * procfs.h - what /proc says about processes, read within bounds.
 *
 * A process may end, exec or rename itself between any two reads: -ESRCH is an ordinary result. Texts come from the
 * process and are hostile bytes. Functions that take `buf` and `len` end the text with a NUL and cut what does not fit;
 * they return its length, unless said otherwise, or -errno (-ESRCH: no such process, or it is gone; -EACCES, -EPERM:
 * not allowed).
 */
#ifndef RT_PROCFS_H
#define RT_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rt_bin.h"

#define RT_PROCFS_MAX_FILE (16u << 20)

struct rt_proc_stat {
	pid_t ppid;
	char comm[64];
	char state; /* R, S, D, T, t, Z, X, I */
	uint64_t start_ticks; /* since boot, in clock ticks; with the pid, what identifies a process */
	uint64_t start_code;  /* mm->start_code; 0 or 1: none, or not allowed to know */
	bool zombie;	      /* ended, or ending: no address space any more */
	bool kernel_thread;
};

/* Of a process or a thread. Returns 0 or -errno. */
int rt_proc_stat(pid_t pid, struct rt_proc_stat *out);

/* NULs are blanks, blanks at the end are gone. Empty for a kernel thread or a zombie. */
int rt_proc_cmdline(pid_t pid, char *buf, size_t len);

/* One variable of the environment that the process was started with. -ENOENT: not set; -E2BIG: not in the
 * first 1 MiB. */
int rt_proc_environ(pid_t pid, const char *name, char *buf, size_t len);

/* Path of the executable, as the kernel names it (" (deleted)" included). -ENOENT: it has none (kernel thread,
 * zombie). */
int rt_proc_exe(pid_t pid, char *buf, size_t len);

/* Descendants of a process, itself not, parents before children. Children of a process that ended meanwhile belong to
 * init (or a subreaper) by now and are not found. Returns how many (*out: caller frees; untouched on failure), or -errno; 0 with *out NULL: none. */
int rt_proc_descendants(pid_t pid, pid_t **out);

struct rt_proc_memory {
	uint64_t rss, anon, file, shmem, peak; /* bytes */
};

/* VmRSS, RssAnon, RssFile, RssShmem, VmHWM of /proc/PID/status: up to a batch per CPU beside the truth on kernels that
 * keep it so. Returns 0, -ENOENT (no address space) or -errno. */
int rt_proc_memory(pid_t pid, struct rt_proc_memory *out);

struct rt_proc_map {
	uint64_t start, end, offset;
	struct rt_bin_key file; /* as the kernel keeps it; ino 0: no file */
	bool x; /* may be executed */
	bool deleted;	  /* the path ended in " (deleted)", which is cut off */
	const char *path; /* "", "[heap]", "/usr/lib/...": octal escapes decoded; "" if longer than PATH_MAX */
};

/* Calls `each` for every mapping, lowest address first, until it returns something else than 0, which is returned.
 * -E2BIG: more than 1,000,000. */
int rt_proc_maps(pid_t pid, int (*each)(void *ctx, const struct rt_proc_map *map), void *ctx);

/* Device and inode of an open file, in the kernel's terms. stat() alone does not tell: the st_dev of btrfs and
 * overlayfs is not the super block's s_dev, so the file's mount is looked up in /proc/PID/mountinfo (pid 0: our own).
 * Returns 0 or -errno. */
int rt_proc_file_key(pid_t pid, int fd, struct rt_bin_key *out);

/* The same for the executable of a process. */
int rt_proc_exe_key(pid_t pid, struct rt_bin_key *out);

/* Opens a regular file as the process sees it: through its root, symbolic links and ".." kept within it; a relative
 * path starts at its working directory. Never blocks, never opens a device, a FIFO or a socket. Returns a file
 * descriptor (O_CLOEXEC) or -errno: -EINVAL not a regular file. */
int rt_proc_open(pid_t pid, const char *path);

/* The whole text of such a file, at most RT_PROCFS_MAX_FILE bytes (-EFBIG), with a NUL behind it that does not count.
 * Returns 0 or -errno; *text: caller frees, untouched on failure. */
int rt_proc_read_file(pid_t pid, const char *path, char **text, size_t *len);

#endif
