/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* O_PATH, memmem */
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define RT_PROC_MAX_PIDS (1u << 22) /* PID_MAX_LIMIT of the kernel */
#define RT_PROC_MAX_MAPS 1000000
#define RT_PROC_MAX_ENVIRON (1u << 20)
#define RT_PF_KTHREAD 0x00200000 /* include/linux/sched.h, shown in /proc/PID/stat */

/* A process that is gone is "no such file" before the open and "no such process" after it. */
static int rt_proc_errno(int code)
{
	return code == ENOENT ? -ESRCH : -code;
}

static int rt_proc_open_entry(pid_t pid, const char *entry, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, entry);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? rt_proc_errno(errno) : fd;
}

/* Reads until `len` bytes or the end. Returns how many. */
static ssize_t rt_fd_read(int fd, char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* The beginning of an entry of /proc/PID, ended with a NUL. Returns its length. */
static ssize_t rt_proc_slurp(pid_t pid, const char *entry, char *buf, size_t len)
{
	int fd = rt_proc_open_entry(pid, entry, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = rt_fd_read(fd, buf, len - 1);
	close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

int rt_proc_stat(pid_t pid, struct rt_proc_stat *out)
{
	char text[2048], *open, *close;
	unsigned long long flags = 0, start = 0, code = 0;
	struct rt_proc_stat st = {0};
	ssize_t n = rt_proc_slurp(pid, "stat", text, sizeof(text));

	if (n < 0)
		return (int)n;
	/* comm may hold blanks and parentheses: it ends at the last one. */
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -EIO;
	*close = '\0';
	snprintf(st.comm, sizeof(st.comm), "%s", open + 1);
	if (sscanf(close + 1,
		   " %c %d %*d %*d %*d %*d %llu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %*u %*d %*u %llu",
		   &st.state, &st.ppid, &flags, &start, &code) < 4)
		return -EIO;
	st.start_ticks = start;
	st.start_code = code;
	st.zombie = st.state == 'Z' || st.state == 'X' || st.state == 'x';
	st.kernel_thread = flags & RT_PF_KTHREAD;
	*out = st;
	return 0;
}

int rt_proc_cmdline(pid_t pid, char *buf, size_t len)
{
	ssize_t n = rt_proc_slurp(pid, "cmdline", buf, len);

	for (ssize_t i = 0; i < n; i++)
		if (!buf[i])
			buf[i] = ' ';
	while (n > 0 && buf[n - 1] == ' ')
		buf[--n] = '\0';
	return (int)n;
}

int rt_proc_environ(pid_t pid, const char *name, char *buf, size_t len)
{
	size_t name_len = strlen(name);
	char *text = malloc(RT_PROC_MAX_ENVIRON);
	ssize_t n;
	int result = -ENOENT;

	if (!text)
		return -ENOMEM;
	n = rt_proc_slurp(pid, "environ", text, RT_PROC_MAX_ENVIRON);
	for (char *at = text; n > 0 && at < text + n; at += strlen(at) + 1) {
		if (strncmp(at, name, name_len) || at[name_len] != '=')
			continue;
		snprintf(buf, len, "%s", at + name_len + 1);
		result = (int)strlen(buf);
		break;
	}
	free(text);
	if (n < 0)
		return (int)n;
	return result == -ENOENT && n == RT_PROC_MAX_ENVIRON - 1 ? -E2BIG : result;
}

static int rt_proc_link(pid_t pid, const char *entry, char *buf, size_t len)
{
	char path[64];
	ssize_t n;
	int code;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, entry);
	n = readlink(path, buf, len - 1);
	if (n >= 0) {
		buf[n] = '\0';
		return (int)n;
	}
	code = errno;
	if (code != ENOENT)
		return -code;
	/* The process is gone, or it has none. */
	snprintf(path, sizeof(path), "/proc/%d", pid);
	return access(path, F_OK) ? -ESRCH : -ENOENT;
}

int rt_proc_exe(pid_t pid, char *buf, size_t len)
{
	return rt_proc_link(pid, "exe", buf, len);
}

/* "Name:\t  123 kB" in a status or fdinfo file; false if there is no such line. */
static bool rt_status_field(const char *text, const char *name, uint64_t *value)
{
	size_t name_len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		char *end;

		line += *line == '\n';
		if (strncmp(line, name, name_len) || line[name_len] != ':')
			continue;
		*value = strtoull(line + name_len + 1, &end, 10);
		return end != line + name_len + 1;
	}
	return false;
}

int rt_proc_memory(pid_t pid, struct rt_proc_memory *out)
{
	struct rt_proc_memory memory = {0};
	struct {
		const char *name;
		uint64_t *value;
	} fields[] = {
		{"VmRSS", &memory.rss},	    {"RssAnon", &memory.anon}, {"RssFile", &memory.file},
		{"RssShmem", &memory.shmem}, {"VmHWM", &memory.peak},
	};
	char text[8192];
	ssize_t n = rt_proc_slurp(pid, "status", text, sizeof(text));

	if (n < 0)
		return (int)n;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!rt_status_field(text, fields[i].name, fields[i].value))
			return -ENOENT;
		*fields[i].value *= 1024;
	}
	*out = memory;
	return 0;
}

/* ---- lists of processes ---- */

struct rt_pids {
	pid_t *pid, *ppid;
	size_t n, cap;
};

static int rt_pids_add(struct rt_pids *pids, pid_t pid, pid_t ppid)
{
	if (pids->n == pids->cap) {
		size_t cap = pids->cap ? pids->cap * 2 : 256;
		pid_t *p = realloc(pids->pid, cap * sizeof(*p));
		pid_t *pp;

		if (!p)
			return -ENOMEM;
		pids->pid = p;
		pp = realloc(pids->ppid, cap * sizeof(*pp));
		if (!pp)
			return -ENOMEM;
		pids->ppid = pp;
		pids->cap = cap;
	}
	if (pids->n >= RT_PROC_MAX_PIDS)
		return -E2BIG;
	pids->pid[pids->n] = pid;
	pids->ppid[pids->n++] = ppid;
	return 0;
}

static void rt_pids_free(struct rt_pids *pids)
{
	free(pids->pid);
	free(pids->ppid);
	*pids = (struct rt_pids){0};
}

/* All processes. */
static int rt_pids_list(struct rt_pids *pids)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int code = 0;

	if (!dir)
		return rt_proc_errno(errno);
	while (!code && (errno = 0, entry = readdir(dir))) {
		struct rt_proc_stat st;
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (!isdigit((unsigned char)entry->d_name[0]) || *end || pid <= 0 || pid > INT_MAX)
			continue;
		if (rt_proc_stat((pid_t)pid, &st))
			continue; /* gone meanwhile */
		code = rt_pids_add(pids, (pid_t)pid, st.ppid);
	}
	if (!code && errno)
		code = rt_proc_errno(errno);
	closedir(dir);
	return code;
}

static bool rt_pids_has(const struct rt_pids *pids, pid_t pid)
{
	for (size_t i = 0; i < pids->n; i++)
		if (pids->pid[i] == pid)
			return true;
	return false;
}

/* One look at all processes: adds to `found` what descends from `pid` and is not there yet. A parent in `all` may stand
 * behind its child, so the list is gone through until nothing comes any more: as often as the tree is deep. */
static int rt_pids_round(pid_t pid, struct rt_pids *found)
{
	struct rt_pids all = {0};
	int code = rt_pids_list(&all);
	size_t before;

	do {
		before = found->n;
		for (size_t i = 0; !code && i < all.n; i++) {
			if (all.ppid[i] != pid && !rt_pids_has(found, all.ppid[i]))
				continue;
			if (all.pid[i] != pid && !rt_pids_has(found, all.pid[i]))
				code = rt_pids_add(found, all.pid[i], all.ppid[i]);
		}
	} while (!code && found->n != before);
	rt_pids_free(&all);
	return code;
}

int rt_proc_descendants(pid_t pid, pid_t **out)
{
	struct rt_pids found = {0};
	struct rt_proc_stat st;
	size_t before;
	int code = rt_proc_stat(pid, &st), rounds = 0;

	if (code)
		return code;
	/* A process forked while /proc was read may have been missed: look until two looks agree, within reason. */
	do {
		before = found.n;
		code = rt_pids_round(pid, &found);
	} while (!code && found.n != before && ++rounds < 16);
	if (!code) {
		*out = found.pid;
		found.pid = NULL;
		code = (int)found.n;
	}
	rt_pids_free(&found);
	return code;
}

/* ---- maps ---- */

/* The kernel writes a newline in a path as \012 (and nothing else that way). In place. */
static void rt_octal_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
		    from[3] >= '0' && from[3] <= '7') {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Cuts off what the kernel adds to the path of a file without a name. */
static bool rt_path_cut_deleted(char *path)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(path);

	if (len < sizeof(mark) || path[0] != '/' || strcmp(path + len - (sizeof(mark) - 1), mark))
		return false;
	path[len - (sizeof(mark) - 1)] = '\0';
	return true;
}

static int rt_map_parse(char *line, bool whole, struct rt_proc_map *map)
{
	unsigned long long start, end, offset, ino;
	unsigned int major, minor;
	char mode[5];
	int path_at = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, mode, &offset, &major, &minor, &ino,
		   &path_at) < 7 ||
	    strlen(mode) != 4)
		return -EIO;
	*map = (struct rt_proc_map){
		.start = start,
		.end = end,
		.offset = offset,
		.file = {.dev = (uint64_t)major << 20 | minor, .ino = ino},
		.x = mode[2] == 'x',
		.path = "",
	};
	if (whole && path_at) {
		map->deleted = rt_path_cut_deleted(line + path_at);
		rt_octal_decode(line + path_at);
		map->path = line + path_at;
	}
	return 0;
}

int rt_proc_maps(pid_t pid, int (*each)(void *ctx, const struct rt_proc_map *map), void *ctx)
{
	char line[PATH_MAX * 2];
	int fd = rt_proc_open_entry(pid, "maps", O_RDONLY), code = 0, lines = 0;
	FILE *file;

	if (fd < 0)
		return fd;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	while (!code && (errno = 0, fgets(line, sizeof(line), file))) {
		size_t len = strlen(line);
		bool whole = len && line[len - 1] == '\n';
		struct rt_proc_map map;

		if (whole)
			line[len - 1] = '\0';
		for (int c = whole ? '\n' : ' '; c != '\n' && c != EOF;)
			c = getc(file); /* the rest of a line that is too long */
		code = ++lines > RT_PROC_MAX_MAPS ? -E2BIG : rt_map_parse(line, whole, &map);
		if (!code)
			code = each(ctx, &map);
	}
	if (!code && ferror(file))
		code = errno ? rt_proc_errno(errno) : -EIO;
	fclose(file);
	return code;
}

/* ---- files ---- */

/* s_dev of the mount with this id, from a mountinfo file: "36 35 98:0 /mnt1 /mnt2 rw ...". */
static int rt_mount_dev(pid_t pid, uint64_t mount_id, uint64_t *dev)
{
	char path[64], *line = NULL;
	size_t cap = 0;
	FILE *file;
	int code = -ENOENT;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/mountinfo");
	file = fopen(path, "re");
	if (!file)
		return rt_proc_errno(errno);
	while (code && getline(&line, &cap, file) > 0) {
		unsigned long long id;
		unsigned int major, minor;

		if (sscanf(line, "%llu %*u %u:%u", &id, &major, &minor) != 3 || id != mount_id)
			continue;
		*dev = (uint64_t)major << 20 | minor;
		code = 0;
	}
	free(line);
	fclose(file);
	return code;
}

int rt_proc_file_key(pid_t pid, int fd, struct rt_bin_key *out)
{
	char path[64], text[1024];
	uint64_t mount_id, dev;
	struct stat st;
	ssize_t n = -1;
	int info;

	if (fstat(fd, &st))
		return -errno;
	/* Without a mount to look at, st_dev is right on most file systems. */
	dev = (uint64_t)major(st.st_dev) << 20 | minor(st.st_dev);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info >= 0) {
		n = rt_fd_read(info, text, sizeof(text) - 1);
		close(info);
	}
	if (n > 0) {
		text[n] = '\0';
		if (rt_status_field(text, "mnt_id", &mount_id))
			rt_mount_dev(pid, mount_id, &dev);
	}
	*out = (struct rt_bin_key){.dev = dev, .ino = st.st_ino};
	return 0;
}

int rt_proc_exe_key(pid_t pid, struct rt_bin_key *out)
{
	int fd = rt_proc_open_entry(pid, "exe", O_PATH), code;

	if (fd < 0)
		return fd;
	code = rt_proc_file_key(pid, fd, out);
	close(fd);
	return code;
}

/* A path relative to the working directory, made absolute in the root of the process. Both links are told from our
 * root, so the part that they share is the way to the process's root. */
static int rt_proc_absolute(pid_t pid, const char *path, char *buf, size_t len)
{
	char root[PATH_MAX], cwd[PATH_MAX];
	const char *inside = cwd;
	size_t n;
	int code = rt_proc_link(pid, "root", root, sizeof(root));

	if (code >= 0)
		code = rt_proc_link(pid, "cwd", cwd, sizeof(cwd));
	if (code < 0)
		return code;
	n = strlen(root);
	if (n > 1 && !strncmp(cwd, root, n) && (cwd[n] == '/' || !cwd[n]))
		inside = cwd + n;
	n = (size_t)snprintf(buf, len, "%s/%s", inside, path);
	return n < len ? 0 : -ENAMETOOLONG;
}

int rt_proc_open(pid_t pid, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	char absolute[PATH_MAX * 2], again[64];
	int root, found, fd;
	struct stat st;

	if (!*path)
		return -ENOENT;
	if (path[0] != '/') {
		int code = rt_proc_absolute(pid, path, absolute, sizeof(absolute));

		if (code)
			return code;
		path = absolute;
	}
	root = rt_proc_open_entry(pid, "root", O_PATH | O_DIRECTORY);
	if (root < 0)
		return root;
	found = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	fd = found < 0 ? -errno : found;
	close(root);
	if (found < 0)
		return fd;
	/* Opened for reading only when it is known to be a file: to open a device or a FIFO has effects. */
	if (fstat(found, &st))
		fd = -errno;
	else if (!S_ISREG(st.st_mode))
		fd = -EINVAL;
	else {
		snprintf(again, sizeof(again), "/proc/self/fd/%d", found);
		fd = open(again, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	close(found);
	return fd;
}

/* Reads to the end, at most RT_PROCFS_MAX_FILE bytes. The size is only a hint: a file may grow meanwhile, and is 0 in
 * some file systems. */
static int rt_fd_read_all(int fd, size_t hint, char **text, size_t *len)
{
	size_t cap = hint < 65536 ? 65536 : hint, done = 0;
	char *buf = NULL;

	for (;;) {
		char *larger = realloc(buf, cap + 1);
		ssize_t n;

		if (!larger) {
			free(buf);
			return -ENOMEM;
		}
		buf = larger;
		n = rt_fd_read(fd, buf + done, cap - done);
		if (n < 0 || done + (size_t)n > RT_PROCFS_MAX_FILE) {
			free(buf);
			return n < 0 ? (int)n : -EFBIG;
		}
		done += (size_t)n;
		if (done < cap)
			break;
		cap = cap * 2 > RT_PROCFS_MAX_FILE + 1 ? RT_PROCFS_MAX_FILE + 1 : cap * 2;
	}
	buf[done] = '\0';
	*text = buf;
	*len = done;
	return 0;
}

int rt_proc_read_file(pid_t pid, const char *path, char **text, size_t *len)
{
	int fd = rt_proc_open(pid, path), code;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		code = -errno;
	else if (st.st_size > RT_PROCFS_MAX_FILE)
		code = -EFBIG;
	else
		code = rt_fd_read_all(fd, (size_t)st.st_size + 1, text, len);
	close(fd);
	return code;
}
