/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * /proc readers, compared with what the process knows of itself by other means.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "procfs.h"

static char dir[] = "/tmp/rt_procfs_XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[64];
	(void)state;

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int turn;
	char *at = path[turn++ % 4];

	snprintf(at, PATH_MAX, "%s/%s", dir, name);
	return at;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* A child that has done `prepare` and then waits to be killed. */
static pid_t spawn(void (*prepare)(void))
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (prepare)
			prepare();
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- identity ---- */

static void odd_name(void)
{
	prctl(PR_SET_NAME, ") R 1 (\n x");
}

static void test_stat(void **state)
{
	struct rt_proc_stat st, self;
	char text[64];
	pid_t pid = spawn(odd_name);
	int status;
	(void)state;

	assert_int_equal(rt_proc_stat(getpid(), &self), 0);
	assert_int_equal(self.ppid, getppid());
	assert_int_equal(self.state, 'R');
	assert_int_equal(rt_proc_stat(pid, &st), 0);
	assert_int_equal(st.ppid, getpid());
	assert_string_equal(st.comm, ") R 1 (\n x");
	assert_false(st.zombie || st.kernel_thread);
	assert_true(st.start_ticks >= self.start_ticks);
	kill(pid, SIGKILL);
	/* a zombie until it is waited for */
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(rt_proc_stat(pid, &st), 0);
	assert_true(st.zombie);
	assert_int_equal(rt_proc_exe(pid, text, sizeof(text)), -ENOENT);
	assert_int_equal(rt_proc_cmdline(pid, text, sizeof(text)), 0);
	waitpid(pid, &status, 0);
	assert_int_equal(rt_proc_stat(pid, &st), -ESRCH);
	assert_int_equal(rt_proc_exe(pid, text, sizeof(text)), -ESRCH);
}

static void test_kernel_thread(void **state)
{
	struct rt_proc_stat st;
	struct rt_proc_memory memory;
	char text[64];
	(void)state;

	if (rt_proc_stat(2, &st) || strcmp(st.comm, "kthreadd")) {
		print_message("no kernel thread to be seen in this PID namespace: not tested\n");
		skip();
	}
	assert_true(st.kernel_thread);
	assert_int_equal(rt_proc_memory(2, &memory), -ENOENT);
	assert_int_equal(rt_proc_cmdline(2, text, sizeof(text)), 0);
}

/* exec'd with a command line and an environment that we know. */
static pid_t spawn_sleep(char *const *argv, char *const *env)
{
	pid_t pid = fork();
	struct rt_proc_stat st;

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execve("/bin/sleep", argv, env);
		_exit(127);
	}
	for (int i = 0; i < 500; i++) {
		if (!rt_proc_stat(pid, &st) && !strcmp(st.comm, "sleep"))
			return pid;
		usleep(10000);
	}
	fail_msg("sleep did not start");
	return -1;
}

static void test_exec(void **state)
{
	char *argv[] = {"a b", "100", NULL};
	char *env[] = {"XA=wrong", "A=", "VLLM_ENABLE_RAM_TRACKING=0", "LONG=0123456789", NULL};
	pid_t pid = spawn_sleep(argv, env);
	char text[PATH_MAX], want[PATH_MAX];
	struct stat st;
	struct rt_bin_key key;
	(void)state;

	assert_int_equal(rt_proc_cmdline(pid, text, sizeof(text)), 7);
	assert_string_equal(text, "a b 100");
	assert_int_equal(rt_proc_cmdline(pid, text, 4), 3);
	assert_string_equal(text, "a b");
	assert_int_equal(rt_proc_environ(pid, "VLLM_ENABLE_RAM_TRACKING", text, sizeof(text)), 1);
	assert_string_equal(text, "0");
	assert_int_equal(rt_proc_environ(pid, "A", text, sizeof(text)), 0);
	assert_int_equal(rt_proc_environ(pid, "VLLM", text, sizeof(text)), -ENOENT);
	assert_int_equal(rt_proc_environ(pid, "LONG", text, 4), 3);
	assert_string_equal(text, "012");
	assert_non_null(realpath("/bin/sleep", want));
	assert_int_equal(rt_proc_exe(pid, text, sizeof(text)), (int)strlen(want));
	assert_string_equal(text, want);
	assert_int_equal(stat(want, &st), 0);
	assert_int_equal(rt_proc_exe_key(pid, &key), 0);
	assert_int_equal(key.ino, st.st_ino);
	reap(pid);
	assert_int_equal(rt_proc_exe_key(pid, &key), -ESRCH);
	assert_int_equal(rt_proc_environ(pid, "A", text, sizeof(text)), -ESRCH);
}

/* ---- lists ---- */

static int *tree; /* pids of child, two grandchildren, and a great-grandchild, written by themselves */

static void plant_leaf(void)
{
	tree[3] = getpid();
}

static void plant_left(void)
{
	tree[1] = getpid();
	spawn(plant_leaf);
}

static void plant_right(void)
{
	tree[2] = getpid();
}

static void plant(void)
{
	tree[0] = getpid();
	spawn(plant_left);
	spawn(plant_right);
}

static int index_of(const pid_t *list, int n, pid_t pid)
{
	for (int i = 0; i < n; i++)
		if (list[i] == pid)
			return i;
	return -1;
}

static void test_descendants(void **state)
{
	pid_t root, *list = NULL;
	int n;
	(void)state;

	tree = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(tree != MAP_FAILED);
	root = spawn(plant);
	n = rt_proc_descendants(getpid(), &list);
	assert_int_equal(n, 4);
	assert_int_equal(index_of(list, n, getpid()), -1);
	assert_true(index_of(list, n, tree[0]) >= 0);
	assert_true(index_of(list, n, tree[1]) > index_of(list, n, tree[0]));
	assert_true(index_of(list, n, tree[2]) > index_of(list, n, tree[0]));
	assert_true(index_of(list, n, tree[3]) > index_of(list, n, tree[1]));
	free(list);
	list = NULL;
	assert_int_equal(rt_proc_descendants(tree[3], &list), 0);
	free(list);
	list = NULL;
	assert_int_equal(rt_proc_descendants(tree[1], &list), 1);
	assert_int_equal(list[0], tree[3]);
	free(list);
	for (int i = 3; i > 0; i--)
		kill(tree[i], SIGKILL);
	reap(root);
	assert_int_equal(rt_proc_descendants(root, &list), -ESRCH);
}

/* ---- memory and maps ---- */

#define LUMP (64u << 20)

static void grow(void)
{
	char *lump = mmap(NULL, LUMP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(lump, 1, LUMP);
	madvise(lump, LUMP / 2, MADV_DONTNEED);
}

static void test_memory(void **state)
{
	struct rt_proc_memory before, after;
	pid_t small = spawn(NULL), large = spawn(grow);
	(void)state;

	assert_int_equal(rt_proc_memory(small, &before), 0);
	assert_int_equal(rt_proc_memory(large, &after), 0);
	assert_int_equal(after.rss, after.anon + after.file + after.shmem);
	/* page tables, stacks and per-CPU batches aside */
	assert_in_range(after.anon - before.anon, LUMP / 2 - (2u << 20), LUMP / 2 + (2u << 20));
	assert_in_range(after.peak - after.rss, LUMP / 2 - (2u << 20), LUMP / 2 + (2u << 20));
	reap(small);
	reap(large);
}

struct seen {
	const char *path;
	uint64_t addr;
	struct rt_proc_map map;
	char found_path[PATH_MAX];
	int found, total;
};

static int look(void *ctx, const struct rt_proc_map *map)
{
	struct seen *seen = ctx;

	seen->total++;
	if (seen->addr < map->start || seen->addr >= map->end)
		return 0;
	seen->map = *map;
	snprintf(seen->found_path, sizeof(seen->found_path), "%s", map->path);
	return 77;
}

static void test_maps(void **state)
{
	const char *path = in_dir("new\nline and (deleted)\\");
	int fd;
	uint8_t *at;
	struct stat st;
	struct seen seen = {0};
	(void)state;

	write_file(path, "text");
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
	assert_true(at != MAP_FAILED);
	seen.addr = (uint64_t)at;
	assert_int_equal(rt_proc_maps(getpid(), look, &seen), 77);
	assert_int_equal(seen.map.start, (uint64_t)at);
	assert_int_equal(seen.map.end, (uint64_t)at + 4096);
	assert_int_equal(seen.map.offset, 4096);
	assert_true(!seen.map.x && !seen.map.deleted);
	assert_int_equal(seen.map.file.ino, st.st_ino);
	assert_string_equal(seen.found_path, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rt_proc_maps(getpid(), look, &seen), 77);
	assert_true(seen.map.deleted);
	assert_string_equal(seen.found_path, path);
	munmap(at, 4096);
	close(fd);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	seen = (struct seen){.addr = (uint64_t)at};
	assert_int_equal(rt_proc_maps(getpid(), look, &seen), 77);
	assert_true(!seen.map.x && !seen.map.file.ino);
	munmap(at, 4096);
	seen = (struct seen){.addr = 1};
	assert_int_equal(rt_proc_maps(getpid(), look, &seen), 0);
	assert_true(seen.total > 10);
	assert_int_equal(rt_proc_maps(INT_MAX, look, &seen), -ESRCH);
}

/* The kernel's number of the device is the one that it writes into maps. */
static void test_file_key(void **state)
{
	struct seen seen = {.addr = (uint64_t)test_file_key};
	struct rt_bin_key key;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	(void)state;

	assert_int_equal(rt_proc_maps(getpid(), look, &seen), 77);
	assert_int_equal(rt_proc_exe_key(getpid(), &key), 0);
	assert_int_equal(key.dev, seen.map.file.dev);
	assert_int_equal(key.ino, seen.map.file.ino);
	assert_int_equal(rt_proc_file_key(0, fd, &key), 0);
	assert_int_equal(key.dev, seen.map.file.dev);
	assert_int_equal(key.ino, seen.map.file.ino);
	close(fd);
	assert_int_equal(rt_proc_file_key(0, -1, &key), -EBADF);
}

/* On overlayfs stat() tells another device than the kernel keeps (a lower layer of another file system); maps tells the
 * kernel's. Exit status of the child: 0 right, 1 wrong, 77 no overlayfs to be had here. */
static void overlay_child(void)
{
	struct rt_bin_key key;
	struct seen seen = {0};
	char options[PATH_MAX];
	int fd;

	snprintf(options, sizeof(options), "lowerdir=%s/low,upperdir=%s/tmp/up,workdir=%s/tmp/work", dir, dir, dir);
	mkdir(in_dir("low"), 0755);
	mkdir(in_dir("tmp"), 0755);
	mkdir(in_dir("merged"), 0755);
	write_file(in_dir("low/file"), "text");
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", in_dir("tmp"), "tmpfs", 0, NULL) || mkdir(in_dir("tmp/up"), 0755) ||
	    mkdir(in_dir("tmp/work"), 0755) || mount("overlay", in_dir("merged"), "overlay", 0, options))
		_exit(77);
	fd = open(in_dir("merged/file"), O_RDONLY | O_CLOEXEC);
	seen.addr = (uint64_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (rt_proc_maps(getpid(), look, &seen) != 77 || rt_proc_file_key(0, fd, &key))
		_exit(1);
	/* kernels before 6.8 show the layer's file in maps: nothing to compare with */
	if (key.ino != seen.map.file.ino)
		_exit(77);
	_exit(key.dev == seen.map.file.dev ? 0 : 1);
}

static void test_overlay_key(void **state)
{
	pid_t pid = fork();
	int status;
	(void)state;

	assert_true(pid >= 0);
	if (!pid)
		overlay_child();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no overlayfs to be had here (not root, or not in this kernel): not tested\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- files as the process sees them ---- */

static void check_text(pid_t pid, const char *path, const char *want)
{
	char *text = NULL;
	size_t len;
	int code = rt_proc_read_file(pid, path, &text, &len);

	if (code)
		fail_msg("%s: %s", path, strerror(-code));
	assert_int_equal(len, strlen(want));
	assert_string_equal(text, want);
	free(text);
}

static void check_refused(pid_t pid, const char *path, int want)
{
	char *text = (char *)16;
	size_t len;
	int code = rt_proc_read_file(pid, path, &text, &len);

	if (code != want)
		fail_msg("%s: %d instead of %d", path, code, want);
	assert_ptr_equal(text, (char *)16);
}

static void test_read_file(void **state)
{
	char *text = NULL;
	size_t len;
	int fd;
	(void)state;

	write_file(in_dir("plain"), "one\ntwo");
	check_text(getpid(), in_dir("plain"), "one\ntwo");
	write_file(in_dir("empty"), "");
	check_text(getpid(), in_dir("empty"), "");
	assert_int_equal(symlink("plain", in_dir("link")), 0);
	check_text(getpid(), in_dir("link"), "one\ntwo");
	/* nothing that is no file is opened, and none of these waits */
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	check_refused(getpid(), in_dir("fifo"), -EINVAL);
	check_refused(getpid(), "/dev/null", -EINVAL);
	check_refused(getpid(), "/dev/zero", -EINVAL);
	check_refused(getpid(), dir, -EINVAL);
	check_refused(getpid(), in_dir("nothing"), -ENOENT);
	check_refused(getpid(), "", -ENOENT);
	check_refused(getpid(), "/proc/self/fd/0", -ELOOP);
	check_refused(INT_MAX, in_dir("plain"), -ESRCH);
	fd = open(in_dir("large"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, RT_PROCFS_MAX_FILE), 0);
	assert_int_equal(rt_proc_read_file(getpid(), in_dir("large"), &text, &len), 0);
	assert_int_equal(len, RT_PROCFS_MAX_FILE);
	free(text);
	assert_int_equal(ftruncate(fd, RT_PROCFS_MAX_FILE + 1), 0);
	check_refused(getpid(), in_dir("large"), -EFBIG);
	close(fd);
	/* a file that says it has no bytes, and has some */
	text = NULL;
	assert_int_equal(rt_proc_read_file(getpid(), "/proc/version", &text, &len), 0);
	assert_true(len > 10 && !strncmp(text, "Linux version", 13));
	free(text);
}

static void go_down(void)
{
	if (chdir(in_dir("cell/sub")))
		_exit(1);
}

static void go_to_jail(void)
{
	if (chroot(in_dir("cell")) || chdir("/sub"))
		_exit(1);
}

static void go_to_top(void)
{
	if (chroot(in_dir("cell")) || chdir("/"))
		_exit(1);
}

static void test_root(void **state)
{
	pid_t pid;
	(void)state;

	mkdir(in_dir("cell"), 0755);
	mkdir(in_dir("cell/sub"), 0755);
	mkdir(in_dir("cell/etc"), 0755);
	write_file(in_dir("cell/etc/passwd"), "jailed");
	write_file(in_dir("cell/sub/mod.py"), "import this");
	assert_int_equal(symlink("/etc/passwd", in_dir("cell/sub/absolute")), 0);
	assert_int_equal(symlink("../../../../etc/passwd", in_dir("cell/sub/up")), 0);
	pid = spawn(go_down);
	check_text(pid, "mod.py", "import this");
	check_text(pid, "./../sub/mod.py", "import this");
	reap(pid);
	if (geteuid()) {
		print_message("not root: no chroot tested\n");
		skip();
	}
	pid = spawn(go_to_jail);
	check_text(pid, "/sub/mod.py", "import this");
	check_text(pid, "mod.py", "import this");
	check_text(pid, "../etc/passwd", "jailed");
	check_text(pid, "../../../../../../etc/passwd", "jailed");
	check_text(pid, "/sub/absolute", "jailed");
	check_text(pid, "absolute", "jailed");
	check_text(pid, "up", "jailed");
	check_refused(pid, in_dir("cell/sub/mod.py"), -ENOENT);
	reap(pid);
	pid = spawn(go_to_top);
	check_text(pid, "sub/mod.py", "import this");
	reap(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat),	cmocka_unit_test(test_kernel_thread), cmocka_unit_test(test_exec),
		cmocka_unit_test(test_descendants),   cmocka_unit_test(test_memory),
		cmocka_unit_test(test_maps),	cmocka_unit_test(test_file_key),      cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_root),	cmocka_unit_test(test_overlay_key),
	};

	return cmocka_run_group_tests_name("procfs", tests, setup, teardown);
}
