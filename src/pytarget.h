/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pytarget.h - where CPython is in a running process, or will be in a program not yet started.
 *
 * Its executable and its libraries are read as files, its mappings say where they lie. Then the layout is checked on the process's own
 * frames (pycheck.h), if it has some already; the kernel side checks what stands there (Py_Version) before it believes any of it.
 */
#ifndef RT_PYTARGET_H
#define RT_PYTARGET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pybin.h"
#include "rt_bin.h"
#include "rt_pyoff.h"

struct rt_pytarget {
	struct rt_bin_key key; /* the executable */
	struct rt_bin bin;     /* kind RT_BIN_NONE unless the result is 0; pyoff is the caller's to fill in */
	struct rt_pyoff off;
	char version[24];      /* "3.11.7" */
	uint64_t load_bias;    /* of the executable in this process; from_file: 0 */
	uint64_t runtime_addr; /* of _PyRuntime in this process; from_file: 0 */
	struct rt_pybin_begin eval, push; /* for entry probes, in the file `open_path` */
	struct rt_usdt usdt_entry, usdt_return; /* of the same file (pybin.h) */
	bool newer;    /* than all versions that are known: its layout is its debug offsets', and has been checked on its frames */
	bool may_come; /* result 1: the executable needs a libpython which is not mapped (found) yet, or its layout can be told only when it has a
			  frame: ask again later */
	char exe[PATH_MAX];    /* the executable, as the process sees it */
	char path[PATH_MAX]; /* the file with the interpreter, as the process sees it; may be deleted or replaced by now
			      */
	char open_path[PATH_MAX]; /* the same file, to be opened by us while the process lives */
};

/* Returns 0: found; 1: no Python in it, or not yet (out->key, exe and may_come are set all the same); negative: -ESRCH
 * gone or a zombie, -EACCES or -EPERM not allowed to look, -EAGAIN it executed another program meanwhile (ask again),
 * or there is an interpreter which cannot be used. For negative results `err` says what is wrong and what to do, and
 * *out is not to be used. */
int rt_pytarget_read(pid_t pid, struct rt_pytarget *out, char *err, size_t errlen);

/* The same for a command before it is started. A `path` without a slash is looked up in PATH; a script's "#!" line is
 * followed, also through env. `env`: what the command will be started with (PATH and LD_LIBRARY_PATH are used); NULL:
 * our own. A libpython is looked for in LD_LIBRARY_PATH, DT_RPATH or DT_RUNPATH (with $ORIGIN) and the default
 * directories, not in the linker's cache. -ENOENT, -EACCES: no such command, or it cannot be executed. */
int rt_pytarget_from_file(const char *path, char *const *env, struct rt_pytarget *out, char *err, size_t errlen);

#endif
