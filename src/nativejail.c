/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativejail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534 /* the kernel's overflow user, which owns nothing */
#define KEEP_MAX 8

/* Sanitizers reserve address space by terabytes and need more system calls than we do: under them (tests), both limits are left out. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* close_range: Linux 5.9, which is older than any that we run on. */
static int close_range_of(unsigned int first, unsigned int last)
{
	return first > last || !syscall(SYS_close_range, first, last, 0) ? 0 : -errno;
}

static int close_others(const int *keep, size_t n)
{
	int fds[KEEP_MAX], err = 0;
	unsigned int next = 0;

	if (n > KEEP_MAX)
		return -EINVAL;
	memcpy(fds, keep, n * sizeof(*fds));
	qsort(fds, n, sizeof(*fds), compare_fds);
	for (size_t i = 0; i < n && !err; i++) {
		if (fds[i] < 0)
			continue;
		if (fds[i] > 0 && (unsigned int)fds[i] > next)
			err = close_range_of(next, (unsigned int)fds[i] - 1);
		next = (unsigned int)fds[i] + 1;
	}
	return err ? err : close_range_of(next, ~0u);
}

/* Bytes of address space that this process has; 0: not known. */
static uint64_t own_size(void)
{
	char text[128];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int limit(int what, uint64_t value)
{
	struct rlimit old, new = {value, value};

	if (getrlimit((__rlimit_resource_t)what, &old))
		return -errno;
	if (old.rlim_max < value)
		new.rlim_cur = new.rlim_max = old.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &new) ? -errno : 0;
}

static int set_limits(uint64_t size)
{
	int err = limit(RLIMIT_CORE, 0);

	if (!err)
		err = limit(RLIMIT_CPU, RT_JAIL_SECONDS);
	if (!err)
		err = limit(RLIMIT_FSIZE, 0);
	if (!err && !SANITIZED)
		err = limit(RLIMIT_AS, size + RT_JAIL_MEMORY);
	return err;
}

/* As far as we may: an unprivileged process keeps its user, and in a user namespace there may be no nobody. What follows does not depend on it. */
static void drop_user(void)
{
	if (!geteuid() && !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) && setresuid(NOBODY, NOBODY, NOBODY))
		return; /* the filter has to do */
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Reading, writing to the pipe, malloc, abort, the end. mmap of a file is harmless: it can only be one of those that are open. */
static int set_filter(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(__NR_pread64),
		ALLOW(__NR_read),
		ALLOW(__NR_write),
		ALLOW(__NR_fstat),
		ALLOW(__NR_newfstatat),
		ALLOW(__NR_brk),
		ALLOW(__NR_mmap),
		ALLOW(__NR_munmap),
		ALLOW(__NR_mremap),
		ALLOW(__NR_mprotect),
		ALLOW(__NR_madvise),
		ALLOW(__NR_futex),
		ALLOW(__NR_clock_gettime),
		ALLOW(__NR_getrusage),
		ALLOW(__NR_getrandom), /* malloc's tcache in newer C libraries */
		ALLOW(__NR_rt_sigprocmask),
		ALLOW(__NR_rt_sigreturn),
		ALLOW(__NR_exit),
		ALLOW(__NR_exit_group),
		ALLOW(__NR_sysinfo), /* qsort asks how much memory there is, */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 1), /* older ones in /proc */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

int rt_jail_enter(const int *keep, size_t n)
{
	pid_t parent = getppid();
	uint64_t size = own_size();
	int err = size ? close_others(keep, n) : -EIO;

	for (int signo = 1; signo < 32; signo++) /* the parent's handlers are not for us; what a terminal sends is not either */
		signal(signo, signo == SIGINT || signo == SIGQUIT || signo == SIGHUP || signo == SIGTERM ? SIG_IGN : SIG_DFL);
	drop_user();
	if (!err)
		err = drop_capabilities();
	/* after the change of user, which resets both */
	if (!err && (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
		err = -errno;
	if (!err && getppid() != parent)
		err = -ESRCH;
	if (!err)
		err = set_limits(size);
	if (!err && !SANITIZED)
		err = set_filter();
	return err;
}
