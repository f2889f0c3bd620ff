/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativesym.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "elffile.h"
#include "nativeanswer.h"
#include "nativefind.h"
#include "nativejail.h"

struct rt_native_job {
	pid_t pid;
	int fd;
	uint64_t deadline_ns;
	uint64_t mask;
	struct rt_elf elf; /* headers, as the parent read them; its descriptor is the caller's and not used any more */
	char debug[128];
	size_t len;
	uint8_t *buf; /* RT_NATIVE_ANSWER_MAX + 1 bytes */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- the child ---- */

static uint64_t cpu_ns(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u))
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000ull + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000ull;
}

static bool write_all(int fd, const void *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf = (const char *)buf + n;
		len -= (size_t)n;
	}
	return true;
}

static int search(const struct rt_native_request *request, int debug_fd, struct rt_native_sites *sites, char *err, size_t errlen)
{
	struct rt_elf elf, debug = {0};
	char ignored[256];
	int code = rt_elf_open(&elf, request->fd, request->path, err, errlen);

	if (code)
		return code;
	if (debug_fd >= 0 && !rt_elf_open_debug(&debug, debug_fd, request->path, &elf, ignored, sizeof(ignored)))
		elf.debug = &debug;
	elf.budget = debug.budget = RT_NATIVE_BUDGET;
	return rt_native_find(request->profile, request->mask, &elf, sites, err, errlen);
}

static _Noreturn void child(const struct rt_native_request *request, int debug_fd, int pipe_fd)
{
	static struct rt_native_answer answer = {.magic = RT_NATIVE_MAGIC};
	struct rt_native_sites sites = {0};
	int keep[] = {request->fd, debug_fd, pipe_fd}, code = rt_jail_enter(keep, 3);
	bool told;

	if (code)
		snprintf(answer.error, sizeof(answer.error), "%s: the process that reads it cannot give up its privileges: %s", request->path, strerror(-code));
	else
		code = search(request, debug_fd, &sites, answer.error, sizeof(answer.error));
	answer.status = code;
	if (!code) {
		answer.n_sites = (uint32_t)sites.n;
		answer.symtab = sites.symtab;
		answer.symbols = sites.symbols;
		memcpy(answer.rule, sites.rule, sizeof(answer.rule));
	}
	answer.cpu_ns = cpu_ns();
	told = write_all(pipe_fd, &answer, sizeof(answer)) && write_all(pipe_fd, sites.site, answer.n_sites * sizeof(*sites.site));
	_exit(told ? 0 : 1);
}

/* ---- starting ---- */

/* The debug file of this build in the target's root, where no link leads out, or else in ours; it has to be a file. -1: none. */
static int open_debug(const struct rt_elf *elf, int root_fd, char path[128])
{
	struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	size_t n = (size_t)snprintf(path, 128, "/usr/lib/debug/.build-id/");
	struct stat st;
	int fd;

	if (root_fd < 0 || elf->build_id_len < 2 || elf->build_id_len > 40)
		return -1;
	for (size_t i = 0; i < elf->build_id_len; i++)
		n += (size_t)snprintf(path + n, 128 - n, "%02x%s", elf->build_id[i], i ? "" : "/");
	snprintf(path + n, 128 - n, ".debug");
	fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	if (fd < 0)
		fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int fork_child(struct rt_native_job *job, const struct rt_native_request *request, int debug_fd)
{
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	job->pid = fork();
	if (!job->pid)
		child(request, debug_fd, ends[1]);
	err = job->pid < 0 ? -errno : 0;
	close(ends[1]);
	job->fd = ends[0];
	if (!err && fcntl(job->fd, F_SETFL, O_NONBLOCK))
		err = -errno;
	return err;
}

int rt_native_start(const struct rt_native_request *request, struct rt_native_job **out, char *err, size_t errlen)
{
	struct rt_native_job *job = calloc(1, sizeof(*job));
	int debug_fd = -1, code = -ENOMEM;

	if (job) {
		job->fd = -1;
		job->mask = request->mask;
		job->deadline_ns = now_ns() + RT_NATIVE_SECONDS * 1000000000ull;
		job->buf = malloc(RT_NATIVE_ANSWER_MAX + 1);
	}
	if (job && job->buf) {
		code = rt_elf_open_headers(&job->elf, request->fd, request->path, err, errlen);
		if (!code && job->elf.machine != EM_X86_64) {
			snprintf(err, errlen, "%s: is not for x86-64: native functions in it are not seen", request->path);
			code = -ENOTSUP;
		}
		if (code) {
			rt_native_free(job);
			return code;
		}
		debug_fd = open_debug(&job->elf, request->root_fd, job->debug);
		if (debug_fd < 0)
			job->debug[0] = '\0';
		code = fork_child(job, request, debug_fd);
	}
	if (debug_fd >= 0)
		close(debug_fd);
	if (code) {
		snprintf(err, errlen, "%s: no process to read it in: %s; native functions in it are not seen", request->path, strerror(-code));
		rt_native_free(job);
		return code;
	}
	*out = job;
	return 0;
}

int rt_native_fd(const struct rt_native_job *job)
{
	return job->fd;
}

void rt_native_free(struct rt_native_job *job)
{
	if (!job)
		return;
	if (job->pid > 0) {
		kill(job->pid, SIGKILL);
		while (waitpid(job->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (job->fd >= 0)
		close(job->fd);
	free(job->buf);
	free(job);
}

/* ---- its answer ---- */

static int reap(struct rt_native_job *job, int *status)
{
	pid_t pid;

	while ((pid = waitpid(job->pid, status, 0)) < 0 && errno == EINTR)
		;
	job->pid = 0;
	return pid < 0 ? -errno : 0;
}

/* The pipe is at its end: the child has told everything, or is dead. */
static int conclude(struct rt_native_job *job, struct rt_native_sites *out, char *err, size_t errlen)
{
	int status = 0, code;

	kill(job->pid, SIGKILL); /* it has nothing more to do; it might hang with a closed pipe */
	code = reap(job, &status);
	if (!job->len && !code) {
		snprintf(err, errlen, "%s: the process that read it died (%s %d): the file is damaged, or made to do that; native functions in it are not seen",
			 job->elf.name, WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return -EBADMSG;
	}
	if (!code) {
		struct rt_native_sites sites;

		code = rt_native_answer_take(job->buf, job->len, &job->elf, job->mask, &sites, err, errlen);
		if (!code) {
			memcpy(sites.debug, job->debug, sizeof(sites.debug));
			*out = sites;
		}
	}
	if (code == -EBADMSG)
		snprintf(err, errlen, "%s: what the process that read it says makes no sense: the file is damaged, or made to do that; native functions in it are not seen",
			 job->elf.name);
	else if (code == -ENOMEM)
		snprintf(err, errlen, "%s: out of memory", job->elf.name);
	return code;
}

int rt_native_poll(struct rt_native_job *job, struct rt_native_sites *out, char *err, size_t errlen)
{
	for (;;) {
		ssize_t n = job->len > RT_NATIVE_ANSWER_MAX ? 0 : read(job->fd, job->buf + job->len, RT_NATIVE_ANSWER_MAX + 1 - job->len);

		if (!n)
			return conclude(job, out, err, errlen);
		if (n > 0) {
			job->len += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			snprintf(err, errlen, "%s: cannot read from the process that reads it: %s", job->elf.name, strerror(errno));
			return -EIO;
		}
		break;
	}
	if (now_ns() < job->deadline_ns)
		return -EAGAIN;
	snprintf(err, errlen, "%s: reading its symbols took more than %d s: the file is damaged, or made to do that; native functions in it are not seen",
		 job->elf.name, RT_NATIVE_SECONDS);
	return -ETIMEDOUT;
}

int rt_native_read(const struct rt_native_request *request, struct rt_native_sites *out, char *err, size_t errlen)
{
	struct rt_native_job *job;
	int code = rt_native_start(request, &job, err, errlen);

	if (code)
		return code;
	while ((code = rt_native_poll(job, out, err, errlen)) == -EAGAIN) {
		struct pollfd p = {.fd = rt_native_fd(job), .events = POLLIN};

		poll(&p, 1, 500);
	}
	rt_native_free(job);
	return code;
}

void rt_native_sites_release(struct rt_native_sites *sites)
{
	free(sites->site);
	*sites = (struct rt_native_sites){0};
}
