/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativesym.h - from the section `native` of a profile and an ELF file to the places where entry probes go.
 *
 * How to use it, for an executable file that is mapped in a followed process, once per file (device, inode):
 *
 *	mask = rt_native_rules_for(profile, path, hot);          cheap, no file is touched: 0 for nearly all files
 *	if (mask) { open the file (map_files, /proc/PID/root); rt_native_start(&request, &job, err, sizeof(err)); close it }
 *	... rt_native_fd(job) becomes readable (epoll), or the timer ticks: rt_native_poll(job, &sites, err, sizeof(err)) until it is not -EAGAIN
 *	rt_native_free(job)
 *
 * or rt_native_read() for all of it, which waits. The file is hostile input: it is read, and its names are demangled, in a child process without privileges (nativejail.h). A child that crashes,
 * hangs or says nonsense is an error for that file alone. What it answers is checked again on this side: every offset is inside of an executable segment that the parent read itself.
 *
 * Names and addresses: symbols of types STT_FUNC that are defined here, from the dynamic symbol table, .symtab and the separate debug file of the same build
 * (usr/lib/debug/.build-id/xx/yyyy.debug in the target's root, else in ours). Not: undefined ones, data, TLS, ifuncs (their symbol is a resolver, run once).
 * - Several names for one address are one site; if several rules mean it, it is the first one's, also if that means it as a fallback.
 * - Copies that the compiler makes of a function (name.constprop.N, name.isra.N, name.lto_priv.N, name.localalias, name.llvm.N) are entries of
 *   it. Of the first two the arguments are no longer those of the source: RT_SITE_NO_ARGS.
 * - name.part.N is the rest of a function whose beginning is inlined into its callers. It is an entry (RT_SITE_NO_ARGS too) unless an entry of the function in this file calls
 *   or jumps to it: such a call would be seen twice. Calls of callers with the inlined beginning are then not seen.
 * - name.cold... is never an entry: it is jumped to in mid-function.
 */
#ifndef RT_NATIVESYM_H
#define RT_NATIVESYM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile.h"

#define RT_NATIVE_NAME_MAX 160	 /* bytes of a site's name with its NUL */
#define RT_NATIVE_SITES_MAX 256	 /* of a file */
#define RT_NATIVE_RULE_SITES_MAX 64 /* of one rule in a file: a rule with more is refused there, not cut */

enum rt_site_flags {
	RT_SITE_STEPPED = 1 << 0,  /* the kernel cannot emulate the instruction: each hit is single-stepped, which costs some ten times as much */
	RT_SITE_NO_ARGS = 1 << 1,  /* the registers do not hold the arguments of the source: read none, sizes are `mapped` */
	RT_SITE_FALLBACK = 1 << 2, /* the rule's own function is not in the file, this one stands in: sizes are `mapped` (RT_SITE_NO_ARGS is set as well) */
	RT_SITE_CLONE = 1 << 3,	   /* a compiler's copy or part of the function */
	RT_SITE_LOOP = 1 << 4,	   /* a jump in the function leads to its first instruction, where the probe is: a call of itself at its end, or a loop. There may be more hits than calls */
};

struct rt_native_site {
	uint32_t rule;	 /* index into profile->natives */
	uint32_t flags;	 /* enum rt_site_flags */
	uint64_t entry;	 /* offset in the file of the function's first byte */
	uint64_t offset; /* offset in the file where the probe goes: an instruction's first byte, `entry` or a few bytes behind it. There the stack pointer
			  * and the argument registers are still the caller's (the return address is at the stack pointer), and every call passes it, once (but see RT_SITE_LOOP). */
	char name[RT_NATIVE_NAME_MAX]; /* demangled, without its clone suffix; valid UTF-8 without control characters; cut ones end in "..." */
};

enum rt_native_found {
	RT_NATIVE_NOT_ASKED = 0, /* not in the request's mask */
	RT_NATIVE_FOUND,	 /* it has sites, or every place that it means belongs to an earlier rule */
	RT_NATIVE_STANDS_IN,	 /* the sites are the fallback's */
	RT_NATIVE_NOT_FOUND,	 /* no site */
};

struct rt_native_rule_result {
	enum rt_native_found found;
	char reason[160]; /* one clause for a message, unless FOUND without remark: which fallback stands in, or why nothing was found (stripped, no such function, too many) and
			   * what to do; else "" */
};

struct rt_native_sites {
	struct rt_native_site *site; /* owned: rt_native_sites_release; in the order of their offsets, each offset once */
	size_t n;
	struct rt_native_rule_result rule[RT_NATIVE_RULES_MAX]; /* by index of the profile's rule */
	bool symtab;	    /* the file, or its debug file, has a .symtab: local functions can be found */
	char debug[128];    /* the debug file that was read too, as a path in the target's root or ours; "": none */
	uint64_t symbols;   /* that were looked at */
	uint64_t cpu_ns;    /* processor time of the child */
};

struct rt_native_request {
	const struct rt_profile *profile;
	uint64_t mask;	  /* rules to look for (rt_native_rules_for) */
	int fd;		  /* of the file, opened for reading; the caller's, may be closed after rt_native_start */
	int root_fd;	  /* directory that is the target's root, for the debug file; -1: read none. The caller's, likewise */
	const char *path; /* of the file, for messages only */
};

/* The rules whose library globs name the file at `path` (as the target sees it; " (deleted)" at its end is ignored), as a bit set. `hot`: those marked hot too. */
uint64_t rt_native_rules_for(const struct rt_profile *profile, const char *path, bool hot);

/* Does `glob` mean the file at `path`? It has `*` (any text, also with /) and `?` (one byte), all else is itself. It is matched against the end of the path at the border of a path component: `libc10.so`,
 * `_C*.so`, `torch/lib/lib*.so`. A glob without / is matched against the last component only. */
bool rt_native_library_matches(const char *glob, const char *path);

/* Does `pattern` mean the function with this name? Both have no clone suffix. It is an exact name or a glob with `*` and `?` of
 * - the name in the file (`my_malloc`, `_ZN3c109alloc_cpuEm`, `_Z16init_shm_manager*`), or
 * - `demangled` (NULL: it is not mangled), whole (`c10::alloc_cpu(unsigned long)`) or without its parameters (`c10::alloc_cpu`), and in both forms also without namespaces and classes in front of it
 *   (`alloc_cpu`, `SHMManager::init_shm`, `init_shm(int)`). A pattern that begins with `::` is matched from the outermost namespace on only.
 * Template arguments at the end may be left out as well. Inside of ( ) and < > a star directly behind a type is a pointer, no wildcard: `free_cpu(void*)`; for any parameters: `f(*)`, or just `f`.
 * Thunks, virtual tables and other made-up names (_ZT, _ZG) are meant by patterns that begin so only. At most 512 bytes. */
bool rt_native_name_matches(const char *pattern, const char *name, const char *demangled);

/* ---- reading a file ---- */

struct rt_native_job;

/* Opens the debug file, forks the child. Returns 0 and *out (rt_native_free), or -errno with a message that names the file, what is wrong with it and what to do. -ENOTSUP: not for x86-64. */
int rt_native_start(const struct rt_native_request *request, struct rt_native_job **out, char *err, size_t errlen);

/* Readable when rt_native_poll may have an answer; owned by the job. Poll at least once a second besides: a child that hangs makes nothing readable. */
int rt_native_fd(const struct rt_native_job *job);

/* -EAGAIN: not yet (never blocks). 0: *out is the answer (rt_native_sites_release). Other -errno: no answer for this file, message in `err`. After either the job is only to be freed. */
int rt_native_poll(struct rt_native_job *job, struct rt_native_sites *out, char *err, size_t errlen);

/* Ends the child if it still runs. NULL is allowed. */
void rt_native_free(struct rt_native_job *job);

/* All of it, waiting: at most RT_NATIVE_SECONDS. */
#define RT_NATIVE_SECONDS 60 /* on a busy machine; its processor time is limited to 10 s (nativejail.h) */
int rt_native_read(const struct rt_native_request *request, struct rt_native_sites *out, char *err, size_t errlen);

void rt_native_sites_release(struct rt_native_sites *sites);

#endif
