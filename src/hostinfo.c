/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "hostinfo.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include "precheck.h"

#define CONFIG_LINES 100000

/* The first line of a small file, "" if it cannot be read. */
static void read_line(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");

	buf[0] = '\0';
	if (!f)
		return;
	if (!fgets(buf, (int)len, f))
		buf[0] = '\0';
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
}

static int read_int(const char *path)
{
	char line[64], *end;
	long v;

	read_line(path, line, sizeof(line));
	v = strtol(line, &end, 10);
	return end == line || v < INT_MIN || v > INT_MAX ? INT_MIN : (int)v;
}

static void read_status(struct rt_hostinfo *out)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long caps;
	char line[256];
	int seccomp;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			out->k.caps = caps;
		else if (sscanf(line, "Seccomp: %d", &seccomp) == 1)
			out->k.seccomp = seccomp > 0;
	}
	fclose(f);
}

/* "none [integrity] confidentiality": the one in brackets is in force. */
static void read_lockdown(struct rt_hostinfo *out)
{
	char line[128], *open, *close;

	read_line("/sys/kernel/security/lockdown", line, sizeof(line));
	open = strchr(line, '[');
	close = open ? strchr(open, ']') : NULL;
	if (!close)
		return;
	*close = '\0';
	snprintf(out->lockdown, sizeof(out->lockdown), "%s", open + 1);
	out->k.lockdown = !strcmp(open + 1, "none")	     ? RT_LOCKDOWN_NONE :
			  !strcmp(open + 1, "integrity")     ? RT_LOCKDOWN_INTEGRITY :
			  !strcmp(open + 1, "confidentiality") ? RT_LOCKDOWN_CONFIDENTIALITY :
								 RT_LOCKDOWN_UNKNOWN;
}

/* "CONFIG_X=y", "# CONFIG_X is not set". What stands nowhere in a whole file is off, too. */
static bool read_config(struct rt_hostinfo *out, const char *path)
{
	gzFile f = gzopen(path, "re"); /* reads plain files as well */
	char line[512];
	int lines = 0;

	if (!f)
		return false;
	while (lines < CONFIG_LINES && gzgets(f, line, sizeof(line))) {
		lines++;
		for (int i = 0; i < RT_KCONFIGS; i++) {
			const char *name = rt_kconfig_name((enum rt_kconfig)i);
			size_t n = strlen(name);

			if (!strncmp(line, name, n) && line[n] == '=')
				out->k.config[i] = line[n + 1] == 'y' || line[n + 1] == 'm' ? 'y' : 'n';
		}
	}
	if (lines > 100 && gzeof(f))
		for (int i = 0; i < RT_KCONFIGS; i++)
			if (out->k.config[i] == '?')
				out->k.config[i] = 'n';
	gzclose(f);
	if (lines)
		snprintf(out->config_file, sizeof(out->config_file), "%.*s", (int)sizeof(out->config_file) - 1, path);
	return lines > 0;
}

static void find_config(struct rt_hostinfo *out)
{
	char path[3][160];

	snprintf(path[0], sizeof(path[0]), "/proc/config.gz");
	snprintf(path[1], sizeof(path[1]), "/boot/config-%s", out->release);
	snprintf(path[2], sizeof(path[2]), "/lib/modules/%s/config", out->release);
	for (int i = 0; i < 3; i++)
		if (read_config(out, path[i]))
			return;
}

void rt_hostinfo_read(struct rt_hostinfo *out)
{
	struct utsname u;
	struct rlimit lim;

	memset(out, 0, sizeof(*out));
	memset(out->k.config, '?', sizeof(out->k.config));
	if (!uname(&u)) {
		snprintf(out->release, sizeof(out->release), "%s", u.release);
		snprintf(out->machine, sizeof(out->machine), "%s", u.machine);
	}
	out->initial_pidns = rt_precheck_is_initial_pidns();
	out->k.perf_paranoid = read_int("/proc/sys/kernel/perf_event_paranoid");
	out->unprivileged_bpf = read_int("/proc/sys/kernel/unprivileged_bpf_disabled");
	out->memlock = getrlimit(RLIMIT_MEMLOCK, &lim) || lim.rlim_cur == RLIM_INFINITY ? UINT64_MAX : lim.rlim_cur;
	read_line("/sys/kernel/security/lsm", out->lsm, sizeof(out->lsm));
	read_status(out);
	read_lockdown(out);
	find_config(out);
}
