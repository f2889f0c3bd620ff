/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativeprobe - where ramtrack-bpf would put entry probes, for scripts that compare it with binutils (tests/unit/compare_native.py).
 *
 *	nativeprobe find PROFILE ROOT FILE
 *		ROOT: directory with usr/lib/debug; - for none. Lines "symtab 0|1", "debug PATH", "ns CPU-TIME", then "site RULE FLAGS ENTRY OFFSET NAME" (numbers in
 *		hex), and "rule INDEX FOUND REASON". Rules marked hot count as well. Exit status 1: an error, on standard error.
 *	nativeprobe match PATTERN
 *		Lines "NAME<tab>DEMANGLED" on standard input; prints 1 or 0 for each: does the pattern mean it?
 *	nativeprobe decode
 *		Lines of hex bytes on standard input; for each "LENGTH FLOW REL EMULATED QUIET", or "-" where it is not known.
 *
 *	nativeprobe hits FILE OFFSET... -- COMMAND [ARG...]
 *		Runs a command with a probe at each offset (hex) of the file that only counts; prints how often each was hit. Exit status 77: no probes here.
 *	nativeprobe jail read|open|socket|signal|exec|memory
 *		Gives up its privileges as the process that reads files does, prints "ready", waits for a line on standard input and tries that. Prints "done", or
 *		the error; a system call that is not allowed ends it by SIGSYS.
 *
 * Exit status: 0, 1 error, 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nativejail.h"
#include "nativesym.h"
#include "x86insn.h"

static int find(const char *profile_path, const char *root, const char *path)
{
	char *reason = NULL, err[600];
	struct rt_profile *profile = rt_profile_read(profile_path, &reason);
	struct rt_native_request request = {.profile = profile, .fd = open(path, O_RDONLY | O_CLOEXEC), .path = path};
	struct rt_native_sites sites;
	int code;

	request.root_fd = strcmp(root, "-") ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (!profile || request.fd < 0) {
		fprintf(stderr, "%s\n", reason ? reason : path);
		return 1;
	}
	request.mask = rt_native_rules_for(profile, path, true);
	code = rt_native_read(&request, &sites, err, sizeof(err));
	if (code) {
		fprintf(stderr, "%d %s\n", code, err);
		return 1;
	}
	printf("symtab %d\ndebug %s\nns %" PRIu64 "\n", sites.symtab, sites.debug, sites.cpu_ns);
	for (size_t i = 0; i < sites.n; i++)
		printf("site %x %x %" PRIx64 " %" PRIx64 " %s\n", sites.site[i].rule, sites.site[i].flags, sites.site[i].entry, sites.site[i].offset, sites.site[i].name);
	for (int i = 0; i < RT_NATIVE_RULES_MAX; i++)
		if (sites.rule[i].found)
			printf("rule %x %x %s\n", i, sites.rule[i].found, sites.rule[i].reason);
	rt_native_sites_release(&sites);
	rt_profile_free(profile);
	return 0;
}

static int match(const char *pattern)
{
	char *line = NULL, *tab;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[n - (line[n - 1] == '\n')] = '\0';
		tab = strchr(line, '\t');
		if (tab)
			*tab++ = '\0';
		puts(rt_native_name_matches(pattern, line, tab && *tab ? tab : NULL) ? "1" : "0");
	}
	free(line);
	return 0;
}

static int decode(void)
{
	struct rt_x86_insn insn;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		uint8_t bytes[64];
		size_t len = 0;
		unsigned int value;

		for (const char *p = line; len < sizeof(bytes) && sscanf(p, "%2x", &value) == 1; p += 2)
			bytes[len++] = (uint8_t)value;
		if (rt_x86_decode(bytes, len, &insn))
			printf("%u %u %d %d %d\n", insn.len, insn.flow, insn.rel, insn.emulated, insn.quiet);
		else
			puts("-");
	}
	free(line);
	return 0;
}

#define HITS_MAX 64

/* The kernel's own counter of a probe at `offset` (uprobe PMU: /sys/bus/event_source/devices/uprobe), on a process from its next exec on. */
static int counter(const char *path, uint64_t offset, pid_t pid)
{
	struct perf_event_attr attr = {.size = sizeof(attr), .disabled = 1, .enable_on_exec = 1, .uprobe_path = (uintptr_t)path, .probe_offset = offset};
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	unsigned int type = 0;

	if (!file || fscanf(file, "%u", &type) != 1)
		errno = ENOENT;
	if (file)
		fclose(file);
	attr.type = type;
	return type ? (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC) : -1;
}

static int hits(int argc, char **argv)
{
	int fd[HITS_MAX], go[2], n = 0, status;
	char byte = 0;
	pid_t pid;

	while (3 + n < argc && strcmp(argv[3 + n], "--"))
		n++;
	if (3 + n + 1 >= argc || n > HITS_MAX || pipe2(go, O_CLOEXEC))
		return 2;
	pid = fork();
	if (!pid) {
		close(go[1]);
		if (read(go[0], &byte, 1) == 1)
			execvp(argv[3 + n + 1], argv + 3 + n + 1);
		_exit(126);
	}
	for (int i = 0; i < n; i++) {
		fd[i] = counter(argv[2], strtoull(argv[3 + i], NULL, 16), pid);
		if (fd[i] < 0) {
			fprintf(stderr, "%s at %s: %s\n", argv[2], argv[3 + i], strerror(errno));
			kill(pid, SIGKILL);
			return 77;
		}
	}
	if (write(go[1], &byte, 1) != 1 || waitpid(pid, &status, 0) != pid)
		return 1;
	for (int i = 0; i < n; i++) {
		uint64_t count = 0;

		if (read(fd[i], &count, sizeof(count)) != sizeof(count))
			return 1;
		printf("%s %" PRIu64 "\n", argv[3 + i], count);
	}
	printf("status %d\n", status);
	return 0;
}

static bool attempt(const char *what)
{
	char byte;

	if (!strcmp(what, "read"))
		return pread(0, &byte, 1, 0) >= 0 || errno == ESPIPE;
	if (!strcmp(what, "open"))
		return open("/etc/passwd", O_RDONLY) >= 0;
	if (!strcmp(what, "socket"))
		return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
	if (!strcmp(what, "signal"))
		return !kill(getppid(), 0);
	if (!strcmp(what, "exec"))
		return !execl("/bin/true", "true", NULL);
	return mmap(NULL, RT_JAIL_MEMORY + (64u << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0 || write(1, "\n", 1) < 0)
		_exit(1);
}

static int jail(const char *what)
{
	int keep[] = {0, 1}, err = rt_jail_enter(keep, 2);
	char line[16];

	if (err)
		say(strerror(-err));
	else if (write(1, "ready\n", 6) == 6 && read(0, line, sizeof(line)) > 0)
		say(attempt(what) ? "done" : strerror(errno));
	_exit(err != 0);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "find"))
		return find(argv[2], argv[3], argv[4]);
	if (argc == 3 && !strcmp(argv[1], "match"))
		return match(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "decode"))
		return decode();
	if (argc > 3 && !strcmp(argv[1], "hits"))
		return hits(argc, argv);
	if (argc == 3 && !strcmp(argv[1], "jail"))
		return jail(argv[2]);
	fprintf(stderr, "usage: nativeprobe jail WHAT | hits FILE OFFSET... -- COMMAND | find PROFILE ROOT|- FILE | match PATTERN | decode\n");
	return 2;
}
