/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Finding CPython. The truth comes from the interpreters themselves: an interpreter tells its version and the address
 * of its own _PyRuntime, and the dynamic linker tells where libpython lies. RT_TEST_PYTHONS: more interpreters to try,
 * separated by colons.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf_build.h"
#include "pyoff.h"
#include "pytarget.h"

static char err[1024];
static struct rt_pytarget target, other;
static char dir[] = "/tmp/rt_pytarget_XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) && !chmod(dir, 0755) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[64];
	(void)state;

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void write_script(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* ---- interpreters ---- */

struct python {
	pid_t pid;
	char version[32];
	unsigned long hex, runtime, py_version;
	int gil;
};

static const char tell[] = "import ctypes, sys, time\n"
			   "a = lambda n: ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, n))\n"
			   "print(sys.version.split()[0], sys.hexversion, a('_PyRuntime'), a('Py_Version') if "
			   "sys.version_info >= (3, 11) else 0,"
			   " int(getattr(sys, '_is_gil_enabled', lambda: True)()), flush=True)\n"
			   "time.sleep(60)\n";

/* Starts an interpreter that tells about itself and then sleeps. False: there is none of this name. */
static bool python_start(const char *path, struct python *py)
{
	int out[2];
	FILE *file;
	int n;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	py->pid = fork();
	assert_true(py->pid >= 0);
	if (!py->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl(path, path, "-S", "-E", "-c", tell, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	file = fdopen(out[0], "r");
	n = fscanf(file, "%31s %lu %lu %lu %d", py->version, &py->hex, &py->runtime, &py->py_version, &py->gil);
	fclose(file);
	return n == 5;
}

static void python_stop(const struct python *py)
{
	kill(py->pid, SIGKILL);
	waitpid(py->pid, NULL, 0);
}

static uint64_t peek(pid_t pid, uint64_t addr, size_t len)
{
	uint64_t value = 0;
	struct iovec local = {&value, len}, remote = {(void *)addr, len};

	assert_int_equal(process_vm_readv(pid, &local, 1, &remote, 1, 0), (ssize_t)len);
	return value;
}

/* What the kernel side does with struct rt_bin, step by step, from the executable's load bias to the runtime. */
static uint64_t follow(pid_t pid, const struct rt_pytarget *t)
{
	const struct rt_bin *bin = &t->bin;
	uint64_t map;

	if (bin->kind == RT_BIN_STATIC) {
		assert_int_equal(peek(pid, t->load_bias + bin->version_off, 4), bin->version_hex);
		return t->load_bias + bin->runtime_vaddr;
	}
	map = peek(pid, t->load_bias + bin->debug_vaddr, 8);
	assert_true(map);
	map = peek(pid, map + offsetof(struct r_debug, r_map), 8);
	for (int i = 0; map && i < 1000; i++) {
		uint64_t addr = peek(pid, map + offsetof(struct link_map, l_addr), 8);

		if (peek(pid, map + offsetof(struct link_map, l_ld), 8) - addr == bin->lib_dynamic_vaddr &&
		    peek(pid, addr + bin->version_off, 4) == bin->version_hex)
			return addr + bin->lib_runtime_off;
		map = peek(pid, map + offsetof(struct link_map, l_next), 8);
	}
	fail_msg("libpython is not in the list");
	return 0;
}

/* The probe's place: the first bytes there are those of the symbol, as dlsym in a process of our own would find it in
 * the file's symbol table. */
static void check_eval(const struct rt_pytarget *t)
{
	static struct rt_elf elf;
	uint8_t at_offset[16], at_symbol[16];
	int fd = open(t->open_path, O_RDONLY | O_CLOEXEC);
	struct rt_elf_symbol sym = {.name = "_PyEval_EvalFrameDefault"};

	assert_true(fd >= 0 && t->eval.offset);
	assert_int_equal(pread(fd, at_offset, sizeof(at_offset), (off_t)t->eval.offset), sizeof(at_offset));
	assert_int_equal(rt_elf_open(&elf, fd, "file", err, sizeof(err)), 0);
	assert_int_equal(rt_elf_find_symbols(&elf, &sym, 1, err, sizeof(err)), 0);
	assert_int_equal(rt_elf_read_vaddr(&elf, sym.value, at_symbol, sizeof(at_symbol)), 0);
	assert_memory_equal(at_offset, at_symbol, sizeof(at_symbol));
	assert_int_equal(t->eval.endbr, !memcmp(at_offset, "\xf3\x0f\x1e\xfa", 4));
	close(fd);
}

static void check_python(const char *path, const struct python *py)
{
	struct stat st;
	char link[64];
	int code = rt_pytarget_read(py->pid, &target, err, sizeof(err));
	unsigned int minor = py->hex >> 16 & 0xff;

	if (minor < 11 || minor > 13 || !py->gil) {
		print_message("%s: CPython %s: refused: %s\n", path, py->version, err);
		assert_int_equal(code, -ENOTSUP);
		assert_true(strlen(err) > 40);
		return;
	}
	if (code)
		fail_msg("%s: %d %s", path, code, err);
	print_message("%s: CPython %s, %s\n", path, py->version,
		      target.bin.kind == RT_BIN_STATIC ? "static" : "shared");
	assert_string_equal(target.version, py->version);
	assert_int_equal(target.bin.version_hex, py->hex);
	assert_int_equal(target.off.version, py->hex >> 16);
	assert_int_equal(target.runtime_addr, py->runtime);
	assert_int_equal(follow(py->pid, &target), py->runtime);
	snprintf(link, sizeof(link), "/proc/%d/exe", py->pid);
	assert_int_equal(stat(link, &st), 0);
	assert_int_equal(target.key.ino, st.st_ino);
	check_eval(&target);
	/* the same from the file alone, but for the addresses */
	code = rt_pytarget_from_file(path, NULL, &other, err, sizeof(err));
	if (code)
		fail_msg("%s, not running: %d %s", path, code, err);
	assert_memory_equal(&other.bin, &target.bin, sizeof(other.bin));
	assert_memory_equal(&other.off, &target.off, sizeof(other.off));
	assert_memory_equal(&other.key, &target.key, sizeof(other.key));
	assert_int_equal(other.eval.offset, target.eval.offset);
	assert_int_equal(other.runtime_addr, 0);
}

static void test_interpreters(void **state)
{
	const char *more = getenv("RT_TEST_PYTHONS");
	char list[8192], *save, *path;
	unsigned int tried = 0;
	(void)state;

	snprintf(list, sizeof(list), "/usr/bin/python3.11:/usr/bin/python3.12:/usr/bin/python3.13%s%s", more ? ":" : "",
		 more ? more : "");
	for (path = strtok_r(list, ":", &save); path; path = strtok_r(NULL, ":", &save)) {
		struct python py = {0};

		if (access(path, X_OK)) {
			print_message("%s: not here, not tried\n", path);
			continue;
		}
		if (!python_start(path, &py))
			fail_msg("%s: does not start", path);
		check_python(path, &py);
		python_stop(&py);
		tried++;
	}
	if (!tried)
		skip();
}

/* ---- libpython in a process that loads it later: a copy of this program ---- */

static const char *libpython_name(void)
{
	static const char *const names[] = {"libpython3.11.so.1.0", "libpython3.12.so.1.0", "libpython3.13.so.1.0"};

	for (size_t i = 0; i < 3; i++) {
		void *handle = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);

		if (handle) {
			dlclose(handle);
			return names[i];
		}
	}
	return NULL;
}

/* Loads a library when told to, and answers with the address of its _PyRuntime. */
static void loader(const char *name, int in, int out)
{
	char byte;
	void *runtime = NULL, *handle;

	if (!geteuid() && (setgid(65534) || setuid(65534)))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1); /* others of this user may look at it, as at one that it executed */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(out, &runtime, sizeof(runtime)) != sizeof(runtime) || read(in, &byte, 1) != 1)
		_exit(1);
	handle = dlopen(name, RTLD_NOW);
	if (handle)
		runtime = dlsym(handle, "_PyRuntime");
	if (write(out, &runtime, sizeof(runtime)) != sizeof(runtime))
		_exit(1);
	for (;;)
		pause();
}

static pid_t loader_start(const char *name, int *to, int *from)
{
	int in[2], out[2];
	uint64_t nothing;
	pid_t pid;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		loader(name, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	*to = in[1];
	*from = out[0];
	assert_int_equal(read(*from, &nothing, sizeof(nothing)), sizeof(nothing));
	return pid;
}

static uint64_t loader_load(int to, int from)
{
	uint64_t runtime = 0;

	assert_int_equal(write(to, "x", 1), 1);
	assert_int_equal(read(from, &runtime, sizeof(runtime)), sizeof(runtime));
	return runtime;
}

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	char block[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof(block))) > 0)
		assert_int_equal(write(out, block, (size_t)n), n);
	close(in);
	close(out);
}

static void find_file(const char *soname, char *path)
{
	struct link_map *map;
	void *handle = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);

	assert_non_null(handle);
	assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	snprintf(path, PATH_MAX, "%s", map->l_name);
	dlclose(handle);
}

/* As somebody without privilege: no map_files for him, and the path leads to another file by now. */
static void check_stale(pid_t pid)
{
	pid_t reader = fork();
	int status;

	assert_true(reader >= 0);
	if (!reader) {
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(1);
		_exit(rt_pytarget_read(pid, &target, err, sizeof(err)) == -ESTALE && strstr(err, "libpython3") ? 0 : 1);
	}
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_shared(void **state)
{
	const char *name = libpython_name();
	char original[PATH_MAX], path[PATH_MAX];
	int to, from;
	uint64_t runtime;
	pid_t pid;
	(void)state;

	if (!name) {
		print_message("no libpython here (Debian: libpython3.11): not tested\n");
		skip();
	}
	find_file(name, original);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	copy_file(original, path);
	pid = loader_start(path, &to, &from);
	assert_int_equal(rt_pytarget_read(pid, &target, err, sizeof(err)), 1);
	assert_int_equal(target.bin.kind, RT_BIN_NONE);
	runtime = loader_load(to, from);
	assert_true(runtime);
	assert_int_equal(rt_pytarget_read(pid, &target, err, sizeof(err)), 0);
	assert_int_equal(target.bin.kind, RT_BIN_SHARED);
	assert_int_equal(target.runtime_addr, runtime);
	assert_int_equal(follow(pid, &target), runtime);
	assert_string_equal(target.path, path);
	check_eval(&target);
	/* an upgrade replaces the file under the running process: what is mapped counts */
	assert_int_equal(unlink(path), 0);
	write_script(path, "not a library at all");
	other = target;
	if (geteuid() == 0) {
		assert_int_equal(rt_pytarget_read(pid, &target, err, sizeof(err)), 0);
		assert_int_equal(target.runtime_addr, runtime);
		assert_memory_equal(&target.bin, &other.bin, sizeof(other.bin));
		assert_string_equal(target.path, path);
	}
	check_stale(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(to);
	close(from);
	unlink(path);
}

/* ---- no Python, no process ---- */

static void test_none(void **state)
{
	int to, from;
	pid_t pid = loader_start("", &to, &from);
	(void)state;

	assert_int_equal(rt_pytarget_read(pid, &target, err, sizeof(err)), 1);
	assert_false(target.may_come);
	assert_int_equal(target.bin.kind, RT_BIN_NONE);
	assert_true(target.key.ino && target.exe[0] == '/' && target.load_bias);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(rt_pytarget_read(pid, &target, err, sizeof(err)), -ESRCH);
	assert_non_null(strstr(err, "zombie"));
	waitpid(pid, NULL, 0);
	assert_int_equal(rt_pytarget_read(pid, &target, err, sizeof(err)), -ESRCH);
	assert_non_null(strstr(err, "no such process"));
	close(to);
	close(from);
	/* a file with a library's name is none */
	assert_false(rt_pybin_is_libpython("/usr/lib/python3/dist-packages/x.so"));
	assert_false(rt_pybin_is_libpython("/usr/libpython.so/other"));
	assert_true(rt_pybin_is_libpython("/opt/x/libpython3.12.so.1.0"));
	assert_true(rt_pybin_is_libpython("libpython3.11d.so"));
}

/* ---- commands ---- */

static void check_command(const char *command, char *const *env, const char *want)
{
	char wanted[PATH_MAX];
	struct stat st;
	int code = rt_pytarget_from_file(command, env, &target, err, sizeof(err));

	if (code != 0)
		fail_msg("%s: %d %s", command, code, err);
	assert_non_null(realpath(want, wanted));
	assert_int_equal(stat(wanted, &st), 0);
	assert_int_equal(target.key.ino, st.st_ino);
}

static void test_commands(void **state)
{
	static const struct {
		const char *line;
		int result;
	} scripts[] = {
		{"#!/usr/bin/python3.11\n", 0},
		{"#! \t/usr/bin/python3.11   -u\n", 0},
		{"#!/usr/bin/env python3.11\nx", 0},
		{"#!/usr/bin/env -S A=1 python3.11 -X dev\n", 0},
		{"#!/usr/bin/env -Spython3.11 -u\n", 0},
		{"#!/usr/bin/env -u HOME -i python3.11", 0},
		{"#!/bin/sh\nexec python3.11\n", 1},
		{"#!/usr/bin/env rt-no-such-command\n", -ENOENT},
		{"#!/no/such/interpreter\n", -ENOENT},
		{"#!\n", -ENOEXEC},
		{"#!/usr/bin/env\n", -ENOEXEC},
		{"#!/etc/passwd\n", -EACCES},
		{"no script, no ELF", 1},
	};
	char path[PATH_MAX], more[PATH_MAX], line[PATH_MAX + 8], variable[PATH_MAX + 8];
	char *env[] = {"HOME=/", variable, NULL};
	(void)state;

	if (access("/usr/bin/python3.11", X_OK)) {
		print_message("no /usr/bin/python3.11: not tested\n");
		skip();
	}
	snprintf(variable, sizeof(variable), "PATH=/no/such/directory::%s:/usr/bin:/bin", dir);
	snprintf(path, sizeof(path), "%s/script", dir);
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		int code;

		write_script(path, scripts[i].line);
		code = rt_pytarget_from_file(path, env, &target, err, sizeof(err));
		if (code != scripts[i].result)
			fail_msg("%s: %d instead of %d: %s", scripts[i].line, code, scripts[i].result, err);
		if (code < 0)
			assert_ptr_equal(strstr(err, path), err);
	}
	/* a script whose interpreter is a script; one that is its own */
	write_script(path, "#!/usr/bin/env python3.11\n");
	snprintf(more, sizeof(more), "%s/second", dir);
	snprintf(line, sizeof(line), "#!%s\n", path);
	write_script(more, line);
	check_command(more, env, "/usr/bin/python3.11");
	check_command("second", env, "/usr/bin/python3.11");
	check_command("python3.11", env, "/usr/bin/python3.11");
	write_script(path, line);
	assert_int_equal(rt_pytarget_from_file(path, env, &target, err, sizeof(err)), -ELOOP);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(rt_pytarget_from_file(path, env, &target, err, sizeof(err)), -EACCES);
	assert_int_equal(rt_pytarget_from_file(dir, env, &target, err, sizeof(err)), -EACCES);
	assert_int_equal(rt_pytarget_from_file("rt-no-such-command", env, &target, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "rt-no-such-command: cannot be executed: No such file"));
	assert_int_equal(rt_pytarget_from_file("", env, &target, err, sizeof(err)), -ENOENT);
	assert_int_equal(rt_pytarget_from_file("/bin/true", env, &target, err, sizeof(err)), 1);
	assert_false(target.may_come);
}

/* ---- programs made to order ---- */

static int make_and_read(const struct eb_spec *spec, const char *name, char *const *env)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(eb_write(spec, fd));
	close(fd);
	err[0] = '\0';
	return rt_pytarget_from_file(path, env, &target, err, sizeof(err));
}

/* What CPython 3.13.5 says of itself at _PyRuntime: the words of struct _Py_DebugOffsets, with 0 for the cookie. */
static const uint64_t debug_offsets[] = {
	0, 0x030d05f0, 0, 283376, 608, 632, 194976, 7272, 7264, 7344, 7400, 7656,
	7640, 7648, 16, 7752, 0, 7768, 7760, 304, 0, 8, 16, 72,
	152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 208, 112,
	120, 128, 136, 68, 52, 96, 104, 200, 16, 8, 416, 24,
	88, 168, 32, 24, 16, 40, 24, 16, 48, 32, 40, 24,
	16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40, 240,
	200,
};

/* A 3.13 that is nothing but its symbols. */
static void test_debug_offsets(void **state)
{
	static uint64_t runtime[RT_PYOFF_DEBUG_LEN / 8];
	uint64_t version = 0x030d05f0;
	uint8_t push[8] = {0x41, 0x57, 0x41, 0x56, 0x90, 0x90, 0x90, 0xc3};
	const struct eb_symbol symbols[] = {
		{"_PyRuntime", runtime, sizeof(runtime), STT_OBJECT},
		{"Py_Version", &version, 8, STT_OBJECT},
		{"_PyEval_EvalFrameDefault", "\xf3\x0f\x1e\xfa\x90\xc3\x90\x90", 8, STT_FUNC},
		{"_PyEvalFramePushAndInit", push, 8, STT_FUNC},
	};
	struct eb_spec spec = {.symbols = symbols, .n_symbols = 4};
	(void)state;

	memcpy(runtime, debug_offsets, sizeof(debug_offsets));
	runtime[0] = 0x7970677562656478; /* not before: this program itself would look like an interpreter */
	assert_int_equal(make_and_read(&spec, "made", NULL), 0);
	assert_int_equal(target.bin.kind, RT_BIN_STATIC);
	assert_string_equal(target.version, "3.13.5");
	assert_int_equal(target.off.code_adaptive, 200);
	assert_true(target.eval.offset && target.eval.endbr);
	assert_true(target.push.offset && !target.push.endbr && !target.push.refused && target.push.offset != target.eval.offset);
	push[0] = 0xe9; /* a jump: no function begins there, and the other one is used all the same */
	assert_int_equal(make_and_read(&spec, "made", NULL), 0);
	assert_true(!target.push.offset && target.push.refused && target.eval.offset);
	push[0] = 0x41;
	version = 0x030d06f0;
	assert_int_equal(make_and_read(&spec, "made", NULL), -EINVAL);
	assert_non_null(strstr(err, "debug offsets are of another version than Py_Version says"));
	version = 0x030d05f0;
	runtime[2] = 1;
	assert_int_equal(make_and_read(&spec, "made", NULL), -EINVAL);
	assert_non_null(strstr(err, "do not fit any build of this version"));
	spec.n_symbols = 1;
	assert_int_equal(make_and_read(&spec, "made", NULL), -ENOTSUP);
	assert_non_null(strstr(err, "older than 3.8"));
	runtime[0] = 0;
}

/* Where the libpython of a program that does not run yet is looked for. */
static void test_library_search(void **state)
{
	const char *needed[] = {"libm.so.6", "libpython3.11-rt-test.so.1.0"};
	uint64_t version = 0x030b07f0;
	const struct eb_symbol symbols[] = {
		{"_PyRuntime", "runtime", 8, STT_OBJECT},
		{"Py_Version", &version, 8, STT_OBJECT},
	};
	struct eb_spec exe = {.needed = needed, .n_needed = 2, .debug = true};
	struct eb_spec lib = {.symbols = symbols, .n_symbols = 2};
	char variable[PATH_MAX + 32], path[PATH_MAX], runpath[PATH_MAX + 64];
	char *env[] = {variable, NULL}, *none[] = {NULL};
	(void)state;

	assert_int_equal(make_and_read(&exe, "embedder", none), 1);
	assert_true(target.may_come);
	snprintf(path, sizeof(path), "%s/lib", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	make_and_read(&lib, "lib/libpython3.11-rt-test.so.1.0", none);
	snprintf(path, sizeof(path), "%s/lib/libpython3.11-rt-test.so.1.0", dir);
	assert_int_equal(make_and_read(&exe, "embedder", none), 1);
	snprintf(variable, sizeof(variable), "LD_LIBRARY_PATH=/no/such:%s/lib", dir);
	assert_int_equal(make_and_read(&exe, "embedder", env), 0);
	assert_false(target.may_come);
	assert_int_equal(target.bin.kind, RT_BIN_SHARED);
	assert_true(target.bin.debug_vaddr && target.bin.lib_dynamic_vaddr && target.bin.lib_runtime_off);
	assert_string_equal(target.version, "3.11.7");
	assert_string_equal(target.path, path);
	for (int i = 0; i < 3; i++) {
		const char *form[] = {"/no/such:$ORIGIN/lib", "$LIB/x:${ORIGIN}/../%s/lib", "%s/lib"};

		snprintf(runpath, sizeof(runpath), form[i], i == 1 ? strrchr(dir, '/') : dir);
		exe.runpath = runpath;
		if (make_and_read(&exe, "embedder", none))
			fail_msg("%s: %s", runpath, err);
		assert_int_equal(target.bin.kind, RT_BIN_SHARED);
	}
	/* a program that ld.so gives no place to leave its list */
	exe.debug = false;
	assert_int_equal(make_and_read(&exe, "embedder", none), -ENOTSUP);
	assert_non_null(strstr(err, "DT_DEBUG"));
	/* a library of that name without an interpreter: the stable ABI's, libpython3.so */
	lib.n_symbols = 0;
	make_and_read(&lib, "lib/libpython3.11-rt-test.so.1.0", none);
	assert_int_equal(make_and_read(&exe, "embedder", none), 1);
}

/* A copy of an interpreter, spoilt in one place. */
static int spoilt(const char *symbol, const void *bytes, size_t len)
{
	static struct rt_elf elf;
	struct rt_elf_symbol sym = {.name = symbol};
	char path[PATH_MAX];
	uint64_t offset, avail;
	int fd;

	snprintf(path, sizeof(path), "%s/python", dir);
	copy_file("/usr/bin/python3.11", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(rt_elf_open(&elf, fd, path, err, sizeof(err)), 0);
	assert_int_equal(rt_elf_find_symbols(&elf, &sym, 1, err, sizeof(err)), 0);
	assert_int_equal(rt_elf_offset(&elf, sym.value, &offset, &avail), 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), (ssize_t)len);
	close(fd);
	err[0] = '\0';
	return rt_pytarget_from_file(path, NULL, &target, err, sizeof(err));
}

/* An interpreter that is there but cannot be used is refused, never taken for another one. */
static void test_refused(void **state)
{
	const uint64_t v307 = 0x03070df0, v314 = 0x030e00f0, v313 = 0x030d01f0, zero = 0, huge = UINT64_MAX,
		       v312 = 0x030c04f0;
	const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	(void)state;

	if (access("/usr/bin/python3.11", X_OK)) {
		print_message("no /usr/bin/python3.11: not tested\n");
		skip();
	}
	assert_int_equal(spoilt("Py_Version", &v307, 8), -ENOTSUP);
	assert_non_null(strstr(err, "CPython 3.7.13: its memory layout is not known"));
	assert_int_equal(spoilt("Py_Version", &v314, 8), -EINVAL);
	assert_non_null(strstr(err, "does not start with debug offsets"));
	assert_int_equal(spoilt("Py_Version", &zero, 8), -EINVAL);
	assert_int_equal(spoilt("Py_Version", &huge, 8), -EINVAL);
	assert_non_null(strstr(err, "python: cannot read the value of its symbol Py_Version"));
	/* says 3.13, has no debug offsets */
	assert_int_equal(spoilt("Py_Version", &v313, 8), -EINVAL);
	assert_non_null(strstr(err, "does not start with debug offsets"));
	assert_int_equal(spoilt("Py_Version", &v312, 8), 0);
	assert_string_equal(target.version, "3.12.4");
	assert_int_equal(target.off.version, 3 << 8 | 12);
	assert_int_equal(spoilt("_PyEval_EvalFrameDefault", endbr64, 4), 0);
	assert_true(target.eval.endbr);
	/* an entry probe only at an instruction that functions begin with */
	static const struct {
		uint8_t bytes[8];
		bool good;
	} begins[] = {
		{{0x55, 0x48, 0x89, 0xe5, 0x90, 0x90, 0x90, 0x90}, true},  {{0x41, 0x57, 0x41, 0x56, 0x90, 0x90, 0x90, 0x90}, true},
		{{0x48, 0x83, 0xec, 0x18, 0x90, 0x90, 0x90, 0x90}, true},  {{0x48, 0x81, 0xec, 0x18, 0x01, 0x00, 0x00, 0x90}, true},
		{{0x49, 0x89, 0xfd, 0x90, 0x90, 0x90, 0x90, 0x90}, true},  {{0x0f, 0x1f, 0x44, 0x00, 0x00, 0x90, 0x90, 0x90}, true},
		{{0xe9, 0x00, 0x00, 0x00, 0x00, 0x90, 0x90, 0x90}, false}, {{0xcc, 0x57, 0x41, 0x56, 0x90, 0x90, 0x90, 0x90}, false},
		{{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, false}, {{0x24, 0x38, 0x41, 0x57, 0x90, 0x90, 0x90, 0x90}, false},
		{{0xf3, 0x0f, 0x1e, 0xfa, 0xe9, 0x00, 0x00, 0x00}, false}, {{0xf3, 0x0f, 0x1e, 0xfb, 0x55, 0x90, 0x90, 0x90}, false},
		{{0x48, 0x89, 0x3d, 0x00, 0x00, 0x00, 0x00, 0x90}, false}, {{0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5}, true},
	};

	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++) {
		assert_int_equal(spoilt("_PyEval_EvalFrameDefault", begins[i].bytes, 8), 0);
		assert_int_equal(target.eval.offset != 0, begins[i].good);
		assert_int_equal(target.eval.refused, !begins[i].good);
		assert_int_equal(target.eval.endbr, i == 13);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interpreters),   cmocka_unit_test(test_shared),
		cmocka_unit_test(test_none),	       cmocka_unit_test(test_commands),
		cmocka_unit_test(test_refused),	       cmocka_unit_test(test_debug_offsets),
		cmocka_unit_test(test_library_search),
	};

	return cmocka_run_group_tests_name("pytarget", tests, setup, teardown);
}
