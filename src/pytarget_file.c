/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elffile.h"
#include "procfs.h"
#include "pyoff.h"
#include "pytarget_in.h"

#define RT_MAX_SCRIPTS 5 /* as the kernel */

static const char *rt_env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	if (!env)
		return getenv(name);
	for (; *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

static bool rt_file_is_regular(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* The next part of a list separated by colons; an empty part is the working directory. False at the end. */
static bool rt_list_next(const char **list, char *part, size_t len)
{
	size_t n;

	do {
		const char *from = *list;

		if (!from)
			return false;
		n = strcspn(from, ":");
		*list = from[n] ? from + n + 1 : NULL;
		if (n < len)
			snprintf(part, len, "%.*s", n ? (int)n : 1, n ? from : ".");
	} while (n >= len); /* too long for a path: left out */
	return true;
}

/* A command's file, as execvp finds it. */
static int rt_command_find(const char *name, char *const *env, char *buf, size_t len)
{
	const char *list = rt_env_get(env, "PATH");
	char part[PATH_MAX];
	int code = -ENOENT;

	if (strchr(name, '/')) {
		rt_pytarget_path(buf, len, name);
		if (access(buf, F_OK))
			return -errno;
		return rt_file_is_regular(buf) && !access(buf, X_OK) ? 0 : -EACCES;
	}
	if (!*name)
		return -ENOENT;
	list = list ? list : "/usr/local/bin:/usr/bin:/bin";
	while (rt_list_next(&list, part, sizeof(part))) {
		int n = snprintf(buf, len, "%s/%s", part, name);

		if (n < 0 || (size_t)n >= len || !rt_file_is_regular(buf))
			continue;
		if (!access(buf, X_OK))
			return 0;
		code = -EACCES;
	}
	return code;
}

/* The word that env starts: what is neither an option nor NAME=VALUE. Cuts the text up. */
static const char *rt_env_command(char *words)
{
	char *save, *word = strtok_r(words, " \t", &save);

	for (; word; word = strtok_r(NULL, " \t", &save)) {
		if (!strcmp(word, "-u") || !strcmp(word, "-C"))
			strtok_r(NULL, " \t", &save); /* its argument */
		else if (!strncmp(word, "-S", 2) && word[2])
			return word + 2;
		else if (word[0] != '-' && !strchr(word, '='))
			return word;
	}
	return NULL;
}

/* Follows one "#!" line: 0: `path` is its interpreter now; 1: not a script; or -errno. */
static int rt_script_step(int fd, char *path, size_t len, char *const *env)
{
	char line[257], *at, *end;
	const char *base, *command;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	if (n < 2 || line[0] != '#' || line[1] != '!')
		return 1;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	at = line + 2 + strspn(line + 2, " \t");
	end = at + strcspn(at, " \t");
	if (end == at)
		return -ENOEXEC;
	base = end;
	while (base > at && base[-1] != '/')
		base--;
	if (end - base != 3 || strncmp(base, "env", 3)) {
		*end = '\0';
		return rt_command_find(at, env, path, len);
	}
	command = rt_env_command(end);
	return command ? rt_command_find(command, env, path, len) : -ENOEXEC;
}

/* Opens the executable that will run for a command. Returns a descriptor or -errno; `path` is where it lies. */
static int rt_command_open(const char *name, char *const *env, char *path, size_t len)
{
	int code = rt_command_find(name, env, path, len);

	for (int depth = 0; !code && depth <= RT_MAX_SCRIPTS; depth++) {
		int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		if (fd < 0)
			return -errno;
		code = rt_script_step(fd, path, len, env);
		if (code == 1)
			return fd;
		close(fd);
	}
	return code ? code : -ELOOP;
}

/* Replaces $ORIGIN and ${ORIGIN}. Other variables ($LIB, $PLATFORM) are not known here: such a directory is left out.
 */
static bool rt_origin_expand(const char *part, const char *origin, char *buf, size_t len)
{
	size_t n = 0;

	while (*part) {
		size_t skip = !strncmp(part, "$ORIGIN", 7) ? 7 : !strncmp(part, "${ORIGIN}", 9) ? 9 : 0;
		size_t add = skip ? strlen(origin) : 1;

		if ((!skip && *part == '$') || n + add >= len)
			return false;
		memcpy(buf + n, skip ? origin : part, add);
		n += add;
		part += skip ? skip : 1;
	}
	buf[n] = '\0';
	return true;
}

/* A library in one of the directories of a list. Returns a descriptor or -ENOENT. */
static int rt_lib_search(const char *list, const char *origin, const char *name, char *buf, size_t len)
{
	char part[PATH_MAX], dir[PATH_MAX];

	while (list && rt_list_next(&list, part, sizeof(part))) {
		int n, fd;

		if (!rt_origin_expand(part, origin, dir, sizeof(dir)))
			continue;
		n = snprintf(buf, len, "%s/%s", dir, name);
		if (n < 0 || (size_t)n >= len || !rt_file_is_regular(buf))
			continue;
		fd = open(buf, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

/* In the dynamic linker's order. */
static int rt_lib_find(struct rt_elf *exe, const char *exe_path, const char *name, char *const *env, char *buf,
		       size_t len)
{
	static const char x86[] =
		"/usr/local/lib:/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib";
	static const char arm[] =
		"/usr/local/lib:/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib";
	char rpath[4096] = "", runpath[4096] = "", origin[PATH_MAX], *slash;
	const char *lists[4];
	int fd = -ENOENT;

	if (!realpath(exe_path, origin))
		return -errno;
	slash = strrchr(origin, '/');
	slash[slash == origin] = '\0';
	if (rt_elf_string(exe, exe->runpath, runpath, sizeof(runpath)) &&
	    rt_elf_string(exe, exe->rpath, rpath, sizeof(rpath)))
		rpath[0] = '\0';
	lists[0] = rpath[0] ? rpath : NULL;
	lists[1] = rt_env_get(env, "LD_LIBRARY_PATH");
	lists[2] = runpath[0] ? runpath : NULL;
	lists[3] = exe->machine == EM_X86_64 ? x86 : arm;
	if (lists[1] && !lists[1][0])
		lists[1] = NULL;
	for (size_t i = 0; fd < 0 && i < 4; i++)
		fd = rt_lib_search(lists[i], origin, name, buf, len);
	return fd;
}

/* A version that is newer than all that are known can be told only when it has frames. */
static int rt_file_newer(struct rt_pytarget *out)
{
	if (!rt_pyoff_is_newer(out->bin.version_hex))
		return 0;
	out->may_come = true;
	out->bin.kind = RT_BIN_NONE;
	return 1;
}

static int rt_file_shared(struct rt_elf *exe, char *const *env, struct rt_pytarget *out, char *err, size_t errlen)
{
	char name[RT_ELF_MAX_NAME];
	struct rt_pybin py;
	struct rt_elf lib;
	int fd, code;

	if (rt_pybin_needed(exe, name, sizeof(name)))
		return 1;
	out->may_come = true;
	fd = rt_lib_find(exe, out->exe, name, env, out->path, sizeof(out->path));
	if (fd < 0)
		return 1; /* the dynamic linker may know more: it is looked for in the running process */
	code = rt_elf_open(&lib, fd, out->path, err, errlen);
	if (!code)
		code = rt_pybin_read(exe, &lib, &py, err, errlen);
	close(fd);
	if (code)
		return code;
	rt_pytarget_adopt(out, &py);
	memcpy(out->open_path, out->path, sizeof(out->open_path));
	out->may_come = false;
	return rt_file_newer(out);
}

static int rt_file_exe(int fd, char *const *env, struct rt_pytarget *out, char *err, size_t errlen)
{
	struct rt_pybin py;
	struct rt_elf exe;
	int code = rt_elf_open(&exe, fd, out->exe, err, errlen);

	if (code == -ENOEXEC)
		return 1; /* nothing that we could read, though the kernel may know how to start it */
	if (!code)
		code = rt_pybin_read(&exe, NULL, &py, err, errlen);
	if (code == 1)
		return rt_file_shared(&exe, env, out, err, errlen);
	if (code)
		return code;
	rt_pytarget_adopt(out, &py);
	memcpy(out->path, out->exe, sizeof(out->path));
	memcpy(out->open_path, out->exe, sizeof(out->open_path));
	return rt_file_newer(out);
}

int rt_pytarget_from_file(const char *path, char *const *env, struct rt_pytarget *out, char *err, size_t errlen)
{
	int fd, code;

	memset(out, 0, sizeof(*out));
	fd = rt_command_open(path, env, out->exe, sizeof(out->exe));
	if (fd < 0) {
		snprintf(err, errlen, "%s: cannot be executed: %s; check the name, its #! line and its permissions",
			 path, strerror(-fd));
		return fd;
	}
	code = rt_proc_file_key(0, fd, &out->key);
	if (code)
		snprintf(err, errlen, "%s: cannot stat: %s", out->exe, strerror(-code));
	else
		code = rt_file_exe(fd, env, out, err, errlen);
	close(fd);
	return code;
}
