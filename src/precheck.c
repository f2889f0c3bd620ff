/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "precheck.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "probe.h"
#include "procfs.h"

#define INIT_PIDNS_INO 0xEFFFFFFCu /* PROC_PID_INIT_INO, include/linux/proc_ns.h */

bool rt_precheck_is_initial_pidns(void)
{
	struct stat ns;

	return stat("/proc/self/ns/pid", &ns) || ns.st_ino == INIT_PIDNS_INO; /* unknown: not refused for that */
}

int rt_precheck_namespace(void)
{
	if (rt_precheck_is_initial_pidns())
		return RT_OK;
	rt_log_error("PID namespace: this one is not the machine's initial one, so its PIDs are not those that BPF programs see: run it on the "
		     "host, or in a container with the host's PID namespace (--pid=host); run: ramtrack-bpf doctor");
	return RT_NO_TARGET;
}

int rt_precheck_target(pid_t pid)
{
	struct rt_proc_stat stat;

	if (rt_proc_stat(pid, &stat)) {
		rt_log_error("process %d: no such process; find it with: pgrep -f 'vllm serve'", (int)pid);
		return RT_NO_TARGET;
	}
	if (stat.kernel_thread) {
		rt_log_error("process %d (%s): a kernel thread has no memory of its own; name a user process", (int)pid, stat.comm);
		return RT_NO_TARGET;
	}
	if (stat.zombie) {
		rt_log_error("process %d (%s): it has ended (a zombie that its parent has not waited for): nothing is left to trace; name a process "
			     "that runs", (int)pid, stat.comm);
		return RT_NO_TARGET;
	}
	if (pid == getpid()) {
		rt_log_error("process %d: that is ramtrack-bpf itself; name another one", (int)pid);
		return RT_NO_TARGET;
	}
	return RT_OK;
}

struct rt_profile *rt_precheck_profile(const char *name)
{
	static const char *const dirs[] = {"profiles", "../share/ramtrack-bpf/profiles"};
	char exe[4096], path[8192];
	char *error = NULL;
	struct rt_profile *p = NULL;
	ssize_t n;

	if (strchr(name, '/') || (strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".yaml"))) {
		p = rt_profile_read(name, &error);
		if (!p)
			rt_log_error("%s", error ? error : "out of memory");
		free(error);
		return p;
	}
	/* A name: beside the build, beside the installed binary, where it was configured to be installed. */
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	for (int i = 0; i < 3 && !p; i++) {
		char *slash;

		if (i < 2) {
			slash = strrchr(exe, '/');
			if (!slash)
				continue;
			*slash = 0; /* directory of the binary */
			if (i == 0) {
				slash = strrchr(exe, '/');
				snprintf(path, sizeof(path), "%.*s/%s/%s.yaml", (int)(slash ? slash - exe : 0), exe, dirs[0], name);
			} else {
				snprintf(path, sizeof(path), "%s/%s/%s.yaml", exe, dirs[1] + 3, name);
			}
		} else {
			snprintf(path, sizeof(path), "%s/%s.yaml", RT_PROFILE_DIR, name);
		}
		if (access(path, R_OK))
			continue;
		p = rt_profile_read(path, &error);
		if (!p) {
			rt_log_error("%s", error ? error : "out of memory");
			free(error);
			return NULL;
		}
	}
	if (!p)
		rt_log_error("profile %s: not found among the installed profiles (%s); give a file: -P ./my.yaml", name, RT_PROFILE_DIR);
	return p;
}
