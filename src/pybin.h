/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pybin.h - what an ELF file says about the interpreter in it: the file side of pytarget, without processes.
 */
#ifndef RT_PYBIN_H
#define RT_PYBIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elffile.h"
#include "rt_bin.h"
#include "rt_pyoff.h"
#include "usdt.h"

/* A function's first instruction, for a probe. */
struct rt_pybin_begin {
	uint64_t offset; /* in the file; 0: no such symbol, or */
	bool refused;	 /* it is not where a function begins */
	bool endbr;	 /* it begins with endbr64: a probe there would be single-stepped, 4 bytes further it need not be */
};

struct rt_pybin {
	struct rt_bin bin; /* pyoff is 0: the caller's */
	struct rt_pyoff off;
	char version[24];	/* "3.11.7" */
	uint64_t runtime_vaddr; /* of _PyRuntime, in the file that holds the interpreter */
	struct rt_pybin_begin eval; /* _PyEval_EvalFrameDefault there */
	struct rt_pybin_begin push; /* _PyEvalFramePushAndInit; its symbol is in .dynsym from 3.13 on, in .symtab of files that are not stripped from 3.11 on */
	struct rt_usdt usdt_entry, usdt_return; /* python:function__entry and function__return where they fire, both; else none */
};

/* Reads the interpreter in `lib`, or with lib NULL the one that is linked into the executable.
 * Returns 0; 1: no interpreter there (*out is untouched); negative: there is one, but it cannot be used: `err` says
 * which, why and what to do. */
int rt_pybin_read(struct rt_elf *exe, struct rt_elf *lib, struct rt_pybin *out, char *err, size_t errlen);

/* The same where the file has neither symbols nor debug offsets: `runtime` is the link-time address at which _PyRuntime was found otherwise (pysearch.h). */
int rt_pybin_at(struct rt_elf *exe, struct rt_elf *lib, uint64_t runtime, uint32_t version_hex, const struct rt_pyoff *off, struct rt_pybin *out,
		char *err, size_t errlen);

/* The libpython that the executable is linked with (DT_NEEDED). Returns 0, or -ENOENT: with none. */
int rt_pybin_needed(struct rt_elf *exe, char *buf, size_t len);

/* Does the last component of `path` look like libpython3.11.so.1.0? */
bool rt_pybin_is_libpython(const char *path);

#endif
