/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "pytarget.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "elffile.h"
#include "procfs.h"
#include "pycheck.h"
#include "pyoff.h"
#include "pysearch.h"
#include "pytarget_in.h"

#define RT_MAX_LIBS 8

void rt_pytarget_adopt(struct rt_pytarget *out, const struct rt_pybin *py)
{
	out->bin = py->bin;
	out->off = py->off;
	out->eval = py->eval;
	out->push = py->push;
	out->usdt_entry = py->usdt_entry;
	out->usdt_return = py->usdt_return;
	memcpy(out->version, py->version, sizeof(out->version));
}

void rt_pytarget_path(char *to, size_t len, const char *from)
{
	size_t n = strlen(from);

	if (n >= len)
		n = 0;
	memcpy(to, from, n);
	to[n] = '\0';
}

struct rt_lib {
	struct rt_bin_key key;
	uint64_t start, end; /* its first mapping */
	char path[PATH_MAX];
};

struct rt_libs {
	struct rt_bin_key exe;
	struct rt_lib lib[RT_MAX_LIBS];
	size_t n;
};

static bool rt_key_equal(const struct rt_bin_key *a, const struct rt_bin_key *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* An interpreter that was started through the dynamic linker (ld.so python) is not the executable but one of its
 * mappings. */
static bool rt_map_is_candidate(const struct rt_libs *libs, const struct rt_proc_map *map)
{
	const char *name = strrchr(map->path, '/');

	if (!map->file.ino || !name)
		return false;
	if (rt_pybin_is_libpython(map->path))
		return true;
	return map->x && !strncmp(name, "/python3", 8) && !rt_key_equal(&map->file, &libs->exe);
}

static int rt_libs_collect(void *ctx, const struct rt_proc_map *map)
{
	struct rt_libs *libs = ctx;
	struct rt_lib *lib;

	if (!rt_map_is_candidate(libs, map))
		return 0;
	for (size_t i = 0; i < libs->n; i++)
		if (rt_key_equal(&libs->lib[i].key, &map->file))
			return 0;
	if (libs->n == RT_MAX_LIBS)
		return 0;
	lib = &libs->lib[libs->n++];
	lib->key = map->file;
	lib->start = map->start;
	lib->end = map->end;
	rt_pytarget_path(lib->path, sizeof(lib->path), map->path);
	return 0;
}

/* Reads the interpreter in a file of a process; where its symbols were stripped away, with those that are installed apart, in the process's root or in ours. */
static int rt_target_bin(pid_t pid, struct rt_elf *exe, struct rt_elf *lib, struct rt_pybin *py, char *err, size_t errlen)
{
	struct rt_elf *elf = lib ? lib : exe, debug;
	char path[256] = "/usr/lib/debug/.build-id/";
	size_t n = strlen(path);
	int code = rt_pybin_read(exe, lib, py, err, errlen);

	if (code != 1 || elf->build_id_len < 2 || elf->build_id_len > 64)
		return code;
	for (size_t i = 0; i < elf->build_id_len; i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%02x%s", elf->build_id[i], i ? "" : "/");
	snprintf(path + n, sizeof(path) - n, ".debug");
	for (int ours = 0; ours < 2 && code == 1; ours++) {
		int fd = ours ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : rt_proc_open(pid, path);

		if (fd < 0)
			continue;
		if (!rt_elf_open_debug(&debug, fd, path, elf, err, errlen)) {
			elf->debug = &debug;
			code = rt_pybin_read(exe, lib, py, err, errlen);
			elf->debug = NULL;
		}
		close(fd);
	}
	return code;
}

static int rt_target_memory(void *ctx, uint64_t addr, void *buf, size_t len)
{
	pid_t pid = *(pid_t *)ctx;
	struct iovec to = {buf, len}, from = {(void *)(uintptr_t)addr, len};
	ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

static bool rt_is_called_python(const char *path)
{
	const char *name = strrchr(path, '/');

	return strstr(name ? name : path, "python");
}

/* And where that is not installed either and there are no debug offsets, in memory. Only of files that are called as Pythons are: this is dear. */
static int rt_target_search(pid_t pid, struct rt_elf *exe, struct rt_elf *lib, uint64_t bias, struct rt_pybin *py, char *err, size_t errlen)
{
	struct rt_elf *elf = lib ? lib : exe;
	struct rt_pymem mem = {rt_target_memory, &pid};
	struct rt_pysearch_area area[RT_ELF_MAX_PHDRS];
	struct rt_pyoff off;
	uint64_t runtime;
	uint32_t hex;
	size_t n = 0;
	int code;

	if (!rt_is_called_python(elf->name))
		return 1;
	for (size_t i = 0; i < elf->n_loads; i++)
		if (elf->load[i].flags & PF_W)
			area[n++] = (struct rt_pysearch_area){bias + elf->load[i].vaddr, elf->load[i].memsz};
	code = rt_pysearch(&mem, area, n, &runtime, &hex, &off);
	return code ? 1 : rt_pybin_at(exe, lib, runtime - bias, hex, &off, py, err, errlen);
}

/* Opens the very file that is mapped. map_files needs no path, so a deleted file works too, but more privilege than the
 * path needs; the path may lead to another file by now, so that is checked. */
static int rt_lib_open(pid_t pid, const struct rt_lib *lib, char *open_path, size_t len)
{
	struct rt_bin_key key;
	int fd, code;

	snprintf(open_path, len, "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)lib->start,
		 (unsigned long long)lib->end);
	fd = open(open_path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (!lib->path[0])
		return -errno;
	if (snprintf(open_path, len, "/proc/%d/root%s", pid, lib->path) >= (int)len)
		open_path[0] = '\0';
	fd = rt_proc_open(pid, lib->path);
	if (fd < 0)
		return fd;
	code = rt_proc_file_key(pid, fd, &key);
	if (!code && !rt_key_equal(&key, &lib->key))
		code = -ESTALE;
	if (!code)
		return fd;
	close(fd);
	return code;
}

struct rt_bias {
	const struct rt_elf *elf;
	struct rt_bin_key key;
	uint64_t page;
	bool found;
	uint64_t bias;
};

/* A mapping that begins where a segment of the file does tells the load bias. Two segments may share a page of the
 * file, so that the one which is executable decides, if it is still mapped from the file. */
static int rt_bias_look(void *ctx, const struct rt_proc_map *map)
{
	struct rt_bias *bias = ctx;
	uint64_t mask = ~(bias->page - 1);

	if (!rt_key_equal(&map->file, &bias->key))
		return 0;
	for (size_t i = 0; i < bias->elf->n_loads; i++) {
		const struct rt_elf_load *load = &bias->elf->load[i];

		if ((load->offset & mask) != map->offset || map->x != !!(load->flags & PF_X) ||
		    (bias->found && !map->x))
			continue;
		bias->bias = map->start - (load->vaddr & mask);
		bias->found = true;
		return map->x;
	}
	return 0;
}

static int rt_lib_try(pid_t pid, struct rt_elf *exe, const struct rt_lib *lib, struct rt_pytarget *out, char *err,
		      size_t errlen)
{
	char open_path[PATH_MAX];
	struct rt_bias bias = {.key = lib->key, .page = (uint64_t)sysconf(_SC_PAGESIZE)};
	struct rt_pybin py;
	struct rt_elf elf;
	int fd = rt_lib_open(pid, lib, open_path, sizeof(open_path)), code;
	bool found;

	if (fd < 0) {
		snprintf(err, errlen,
			 "process %d: cannot open its %s: %s; run as root in the host's PID namespace, and restart the "
			 "process if the file was replaced",
			 pid, lib->path[0] ? lib->path : "libpython", strerror(-fd));
		return fd;
	}
	code = rt_elf_open(&elf, fd, lib->path, err, errlen);
	if (!code)
		code = rt_target_bin(pid, exe, &elf, &py, err, errlen);
	else if (code == -ENOEXEC)
		code = 1; /* only its name is a library's */
	close(fd);
	if (code < 0 || (code == 1 && !elf.n_loads))
		return code;
	found = code == 0;
	bias.elf = &elf;
	code = rt_proc_maps(pid, rt_bias_look, &bias);
	if (code < 0) {
		snprintf(err, errlen, "process %d: cannot read its mappings: %s", pid, strerror(-code));
		return code;
	}
	if (!bias.found)
		return 1; /* being loaded at this moment */
	if (!found && (code = rt_target_search(pid, exe, &elf, bias.bias, &py, err, errlen)) != 0)
		return code;
	rt_pytarget_adopt(out, &py);
	out->runtime_addr = bias.bias + py.runtime_vaddr;
	rt_pytarget_path(out->path, sizeof(out->path), lib->path);
	rt_pytarget_path(out->open_path, sizeof(out->open_path), open_path);
	return 0;
}

/* Has the interpreter begun to live in this process? */
static bool rt_target_lives(pid_t pid, const struct rt_pytarget *t)
{
	uint64_t interp = 0;

	return !rt_target_memory(&pid, t->runtime_addr + t->off.runtime_interp_head, &interp, sizeof(interp)) && interp;
}

/* Of several libpythons the one whose interpreter lives; while none does, the first one that could be used. Of one that cannot be used is told if there is no other. */
static int rt_libs_choose(pid_t pid, struct rt_elf *exe, const struct rt_libs *libs, struct rt_pytarget *out, char *err, size_t errlen)
{
	struct rt_pytarget *try = malloc(sizeof(*try));
	char why[512];
	int result = 1;

	if (!try) {
		snprintf(err, errlen, "process %d: no memory to read its mappings", pid);
		return -ENOMEM;
	}
	for (size_t i = 0; i < libs->n; i++) {
		int code;
		bool lives;

		*try = *out;
		code = rt_lib_try(pid, exe, &libs->lib[i], try, why, sizeof(why));
		if (code < 0 && result == 1) {
			snprintf(err, errlen, "%s", why);
			result = code;
		}
		if (code)
			continue;
		lives = rt_target_lives(pid, try);
		if (lives || result)
			*out = *try;
		result = 0;
		if (lives)
			break;
	}
	free(try);
	return result;
}

static int rt_target_shared(pid_t pid, struct rt_elf *exe, struct rt_pytarget *out, char *err, size_t errlen)
{
	struct rt_libs *libs = calloc(1, sizeof(*libs));
	char name[RT_ELF_MAX_NAME];
	int code;

	if (!libs) {
		snprintf(err, errlen, "process %d: no memory to read its mappings", pid);
		return -ENOMEM;
	}
	libs->exe = out->key;
	code = rt_proc_maps(pid, rt_libs_collect, libs);
	if (code < 0)
		snprintf(err, errlen, "process %d: cannot read its mappings: %s", pid, strerror(-code));
	else
		code = 1;
	if (code == 1)
		code = rt_libs_choose(pid, exe, libs, out, err, errlen);
	out->may_come = code == 1 && (libs->n || !rt_pybin_needed(exe, name, sizeof(name)));
	free(libs);
	return code;
}

/* The executable as a file: its interpreter, or else the one in its libraries. */
static int rt_target_exe(pid_t pid, int fd, const struct rt_proc_stat *st, struct rt_pytarget *out, char *err,
			 size_t errlen)
{
	struct rt_pybin py;
	struct rt_elf exe;
	uint64_t exec_vaddr;
	int code = rt_elf_open(&exe, fd, out->exe, err, errlen);

	if (code == -ENOEXEC)
		return 1; /* 32 bits, or something that only the kernel could start: no CPython that we know */
	if (code)
		return code;
	if (!rt_elf_exec_vaddr(&exe, &exec_vaddr))
		out->load_bias = st->start_code - exec_vaddr;
	code = rt_target_bin(pid, &exe, NULL, &py, err, errlen);
	if (code == 1)
		code = rt_target_search(pid, &exe, NULL, out->load_bias, &py, err, errlen);
	if (code == 1) {
		code = rt_target_shared(pid, &exe, out, err, errlen);
		/* One without symbols can be found when it lives. */
		out->may_come = code == 1 && (out->may_come || rt_is_called_python(exe.name));
		return code;
	}
	if (code)
		return code;
	rt_pytarget_adopt(out, &py);
	out->runtime_addr = out->load_bias + py.runtime_vaddr;
	rt_pytarget_path(out->path, sizeof(out->path), out->exe);
	snprintf(out->open_path, sizeof(out->open_path), "/proc/%d/exe", pid);
	return 0;
}

/* The layout against the process's own frames. One that is known is believed while there are none, or where they may not be read; a newer one is not. */
static int rt_target_check(pid_t pid, struct rt_pytarget *out, char *err, size_t errlen)
{
	struct rt_pymem mem = {rt_target_memory, &pid};
	char why[192];
	int code = rt_pycheck(&mem, &out->off, out->runtime_addr, why, sizeof(why));

	out->newer = rt_pyoff_is_newer(out->bin.version_hex);
	if (!code || (code != -EINVAL && !out->newer))
		return 0;
	if (code == 1) {
		out->may_come = true;
		out->bin.kind = RT_BIN_NONE;
		return 1;
	}
	snprintf(err, errlen, "%s: CPython %s: its memory is not laid out as %s (%s); %s", out->path, out->version,
		 out->newer ? "this version of ramtrack-bpf guesses from its debug offsets" : "that version's should be", why,
		 code == -EPERM ? "run as root (sudo)" : "run the program with a release build of CPython 3.8 to 3.15, or look for a newer ramtrack-bpf");
	return code == -ESRCH ? code : -ENOTSUP;
}

/* Did it execute another program while we looked? Then files and mappings may be of two programs. */
static bool rt_target_changed(pid_t pid, const struct rt_proc_stat *before, const struct rt_bin_key *key)
{
	struct rt_proc_stat now;
	struct rt_bin_key exe;

	return rt_proc_stat(pid, &now) || now.start_ticks != before->start_ticks ||
	       now.start_code != before->start_code || rt_proc_exe_key(pid, &exe) || !rt_key_equal(&exe, key);
}

static int rt_target_refused(pid_t pid, int code, char *err, size_t errlen)
{
	if (code == -ESRCH)
		snprintf(err, errlen, "process %d: no such process; check the number with ps", pid);
	else
		snprintf(err, errlen, "process %d: cannot read its executable: %s; %s", pid, strerror(-code),
			 geteuid() ? "run as root (sudo)"
				   : "it is kept from root too, by a security module or a user namespace: "
				     "run in the host's namespaces with CAP_SYS_PTRACE");
	return code;
}

int rt_pytarget_read(pid_t pid, struct rt_pytarget *out, char *err, size_t errlen)
{
	char path[64];
	struct rt_proc_stat st;
	int code = rt_proc_stat(pid, &st), fd;

	memset(out, 0, sizeof(*out));
	if (code)
		return rt_target_refused(pid, code, err, errlen);
	if (st.kernel_thread)
		return 1;
	if (st.zombie) {
		snprintf(err, errlen, "process %d: has ended already (it is a zombie)", pid);
		return -ESRCH;
	}
	code = rt_proc_exe(pid, out->exe, sizeof(out->exe));
	if (code >= 0)
		code = rt_proc_exe_key(pid, &out->key);
	if (!code && !st.start_code) { /* it is in the middle of an exec: its new address space is still empty */
		snprintf(err, errlen, "process %d: executed another program while it was looked at", pid);
		return -EAGAIN;
	}
	if (!code && st.start_code == 1)
		code = -EPERM; /* the kernel does not tell us where it lies (fs/proc/array.c, do_task_stat) */
	if (code < 0)
		return rt_target_refused(pid, code == -ENOENT ? -ESRCH : code, err, errlen);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return rt_target_refused(pid, errno == ENOENT ? -ESRCH : -errno, err, errlen);
	code = rt_target_exe(pid, fd, &st, out, err, errlen);
	close(fd);
	if (!code)
		code = rt_target_check(pid, out, err, errlen);
	if (rt_target_changed(pid, &st, &out->key)) {
		code = rt_proc_stat(pid, &st) ? -ESRCH : -EAGAIN;
		snprintf(err, errlen, "process %d: %s while it was looked at", pid,
			 code == -ESRCH ? "ended" : "executed another program");
	}
	return code;
}
