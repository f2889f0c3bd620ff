/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "doctarget.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "docphases.h"
#include "log.h"
#include "probe.h"
#include "procfs.h"
#include "pyoff.h"
#include "pytarget.h"
#include "sourcedirs.h"

#define SECTION "target"
#define THREADS_SHOWN 16

/* ---- memory ---- */

static int read_memory(void *ctx, uint64_t addr, void *buf, size_t len)
{
	pid_t pid = *(pid_t *)ctx;
	struct iovec to = {buf, len}, from = {(void *)(uintptr_t)addr, len};
	ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

static int read_stacks(struct rt_doc *doc, pid_t pid, const struct rt_pytarget *t)
{
	struct rt_doc_target *target = doc->target;
	struct rt_pymem mem = {read_memory, &pid};
	uint64_t state[RT_PYSTACK_THREADS];
	int n = rt_pystack_threads(&mem, &t->off, t->runtime_addr, state);
	char value[64];

	if (n == -EPERM || n == -EACCES) {
		rt_doc_add(doc, SECTION, "frames_readable", "frames readable", RT_DOC_NO, false, NULL,
			   "EPERM: its memory may not be read: run it as root (sudo) or with CAP_SYS_PTRACE; kernel.yama.ptrace_scope and security "
			   "modules can forbid it too");
		return RT_NO_PRIVILEGE;
	}
	if (n < 0) {
		rt_doc_add(doc, SECTION, "frames_readable", "frames readable", RT_DOC_NO, false, NULL,
			   n == -ESRCH ? "it has ended" : "the interpreter's list of threads is not where its layout says: is it starting or ending?");
		return n == -ESRCH ? RT_NO_TARGET : RT_OK;
	}
	target->n_threads = (size_t)(n > THREADS_SHOWN ? THREADS_SHOWN : n);
	target->threads = calloc(target->n_threads + 1, sizeof(*target->threads));
	if (!target->threads) {
		doc->failed = true;
		target->n_threads = 0;
		return RT_OK;
	}
	for (size_t i = 0; i < target->n_threads; i++)
		target->threads[i].error = rt_pystack_read(&mem, &t->off, state[i], &target->threads[i].stack);
	snprintf(value, sizeof(value), "%d Python thread%s", n, n == 1 ? "" : "s");
	if (n && target->threads[0].error)
		rt_doc_add(doc, SECTION, "frames_readable", "frames readable", RT_DOC_NO, false, value, strerror(-target->threads[0].error));
	else
		rt_doc_add(doc, SECTION, "frames_readable", "frames readable", n ? RT_DOC_YES : RT_DOC_NO, false, value,
			   n ? NULL : "no thread has a Python state: the interpreter is starting or ending");
	return RT_OK;
}

/* ---- source ---- */

static int read_source(void *ctx, const char *path, char **text, size_t *len)
{
	return rt_proc_read_file(*(pid_t *)ctx, path, text, len);
}

static int add_mapped(void *ctx, const struct rt_proc_map *map)
{
	if (map->path[0] == '/')
		rt_sourcedirs_add_installed(ctx, map->path);
	return 0;
}

/* A virtual environment is entered by the path that its program was called by, not by what that path leads to. */
static void add_command(struct rt_sourcedirs *dirs, pid_t pid, const char *version)
{
	char line[4096], *save, *word;

	if (rt_proc_cmdline(pid, line, sizeof(line)) <= 0)
		return;
	word = strtok_r(line, " ", &save);
	for (int i = 0; word && i < 3; i++, word = strtok_r(NULL, " ", &save))
		if (word[0] == '/') {
			rt_sourcedirs_add_program(dirs, word, version);
			rt_sourcedirs_add_file(dirs, word);
		}
}

static void find_dirs(struct rt_sourcedirs *dirs, pid_t pid, const struct rt_pytarget *t, char *const *seen, size_t n_seen)
{
	char text[PATH_MAX], link[64];
	ssize_t n;

	for (size_t i = 0; i < n_seen; i++) {
		rt_sourcedirs_add_installed(dirs, seen[i]);
		rt_sourcedirs_add_file(dirs, seen[i]);
	}
	snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
	n = readlink(link, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		rt_sourcedirs_add(dirs, text);
	}
	if (rt_proc_environ(pid, "PYTHONPATH", text, sizeof(text)) > 0)
		rt_sourcedirs_add_list(dirs, text);
	if (rt_proc_environ(pid, "VIRTUAL_ENV", text, sizeof(text) - 16) > 0) {
		strcat(text, "/bin/python");
		rt_sourcedirs_add_program(dirs, text, t->version);
	}
	add_command(dirs, pid, t->version);
	rt_proc_maps(pid, add_mapped, dirs);
	rt_sourcedirs_add_program(dirs, t->exe, t->version);
}

/* Source files of all frames, each once. Returns how many; the strings are the stacks'. */
static size_t seen_files(const struct rt_doc_target *target, char **seen, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < target->n_threads; i++) {
		const struct rt_pystack *st = &target->threads[i].stack;

		for (size_t f = 0; f < st->n && n < max; f++) {
			bool known = st->frame[f].file[0] == '<';

			for (size_t k = 0; k < n && !known; k++)
				known = !strcmp(seen[k], st->frame[f].file);
			if (!known)
				seen[n++] = st->frame[f].file;
		}
	}
	return n;
}

static void find_phases(struct rt_doc *doc, pid_t pid, const struct rt_pytarget *t, const struct rt_profile *profile)
{
	enum { SEEN = 256 };
	char *seen[SEEN], value[64];
	struct rt_sourcedirs dirs = {.n = 0};
	size_t n = seen_files(doc->target, seen, SEEN), found = 0;

	find_dirs(&dirs, pid, t, seen, n);
	if (rt_docphases_find(doc, profile, &dirs, seen, n, read_source, &pid)) {
		for (size_t i = 0; i < doc->target->n_phases; i++)
			found += doc->target->phases[i].found;
		rt_doc_set(doc, &doc->target->profile, profile->name);
		snprintf(value, sizeof(value), "%zu of %zu", found, doc->target->n_phases);
		rt_doc_add(doc, SECTION, "phases_found", "phases in its source", found ? RT_DOC_YES : RT_DOC_NO, false, value,
			   found ? NULL : "is it the program that the profile is for?");
	}
	rt_sourcedirs_free(&dirs);
}

/* ---- the whole ---- */

/* `t` is set for code 1 only. */
static int not_usable(struct rt_doc *doc, int code, const char *why, const struct rt_pytarget *t)
{
	if (code == 1 && t->newer) {
		rt_doc_set(doc, &doc->target->python, t->version);
		rt_doc_add(doc, SECTION, "python", "Python", RT_DOC_UNKNOWN, false, t->version,
			   "it is no release that this ramtrack-bpf knows, and it has no frame yet that its debug offsets could be checked on: a run waits 3 s for one, uses "
			   "them if its frames agree, and shows its RSS without phases if not; ask again when it runs Python code");
		return RT_OK;
	}
	if (code == 1 && t->may_come) {
		rt_doc_add(doc, SECTION, "python", "Python", RT_DOC_UNKNOWN, false, NULL,
			   "the executable needs a libpython that is not in its memory yet: a run waits 3 s for it; ask again when it is loaded");
		return RT_OK;
	}
	if (code == 1) {
		rt_doc_add(doc, SECTION, "python", "Python", RT_DOC_NO, false, NULL,
			   "there is no CPython in it: a run shows its RSS without phases");
		return RT_OK;
	}
	if (code == -ESRCH) {
		rt_log_error("%s", why);
		return RT_NO_TARGET;
	}
	rt_doc_add(doc, SECTION, "python", "Python", RT_DOC_NO, false, NULL, why);
	return code == -EPERM || code == -EACCES ? RT_NO_PRIVILEGE : RT_OK;
}

static void say_python(struct rt_doc *doc, const struct rt_pytarget *t)
{
	struct rt_doc_target *target = doc->target;
	bool shared = t->bin.kind == RT_BIN_SHARED, debug = false;
	char why[256];

	rt_pyoff_supported(t->bin.version_hex, &debug, why, sizeof(why));
	rt_doc_set(doc, &target->python, t->version);
	rt_doc_set(doc, &target->layout, debug ? "debug offsets" : "table");
	rt_doc_set(doc, &target->kind, shared ? "libpython" : "static");
	rt_doc_set(doc, &target->interpreter, t->path);
	rt_doc_add(doc, SECTION, "python", "Python", RT_DOC_YES, false, t->version, NULL);
	rt_doc_add(doc, SECTION, "layout", "layout of its frames", RT_DOC_INFO, false,
		   debug ? "debug offsets, which the interpreter carries itself" : "table of its minor version", NULL);
	rt_doc_add(doc, SECTION, "interpreter", "interpreter", RT_DOC_INFO, false, shared ? "libpython" : "in the executable", t->path);
}

int rt_doctarget_look(struct rt_doc *doc, pid_t pid, const struct rt_profile *profile)
{
	struct rt_pytarget t;
	struct rt_proc_stat st;
	char why[512] = "", value[96];
	int code, status;

	doc->target = calloc(1, sizeof(*doc->target));
	if (!doc->target) {
		doc->failed = true;
		return RT_OK;
	}
	doc->target->pid = (uint32_t)pid;
	if (!rt_proc_stat(pid, &st)) {
		rt_doc_set(doc, &doc->target->name, st.comm);
		snprintf(value, sizeof(value), "%d (%s)", (int)pid, st.comm);
		rt_doc_add(doc, SECTION, "pid", "process", RT_DOC_INFO, false, value, NULL);
	}
	code = rt_pytarget_read(pid, &t, why, sizeof(why));
	if (code == -EAGAIN)
		code = rt_pytarget_read(pid, &t, why, sizeof(why));
	if (code)
		return not_usable(doc, code, why, &t);
	say_python(doc, &t);
	status = read_stacks(doc, pid, &t);
	if (status != RT_NO_TARGET)
		find_phases(doc, pid, &t, profile);
	else
		rt_log_error("process %d: it ended while it was looked at; name a process that runs", (int)pid);
	return status;
}
