/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "acc_map.h" /* rt_hash_mix */
#include "elffile.h"
#include "launch.h"
#include "ledformat.h"
#include "log.h"
#include "probe.h" /* enum rt_status */
#include "procfs.h"

#define COMMAND_BYTES 65536 /* of our own command line */
#define COMMAND_WORDS 1024

struct rt_recording {
	struct rt_recording_config config;
	struct rt_recorder *recorder;
	int fd;
	bool renamed; /* PATH.old is what was there before */
	bool reported;
};

/* ---- the file ---- */

/* May it be replaced? A ledger, or an empty file. */
static bool is_ledger(const char *path)
{
	char magic[RT_LEDGER_MAGIC_LEN];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, magic, sizeof(magic)) : -1;

	if (fd >= 0)
		close(fd);
	return n == 0 || (n == sizeof(magic) && !memcmp(magic, RT_LEDGER_MAGIC, sizeof(magic)));
}

int rt_recording_check(const char *path)
{
	char *copy = strdup(path), *dir = copy ? dirname(copy) : NULL;
	struct stat st;
	int err = dir && access(dir, W_OK | X_OK) ? errno : 0;

	if (err)
		rt_log_error("ledger %s: %s: %s; give a file in a directory that you may write to", path, dir, strerror(err));
	free(copy);
	if (err)
		return RT_ERROR;
	if (lstat(path, &st))
		return RT_OK;
	if (S_ISREG(st.st_mode) && is_ledger(path))
		return RT_OK;
	rt_log_error("ledger %s: it is there already and is no ledger%s: it is left as it is; give another name, or remove it", path,
		     S_ISREG(st.st_mode) ? "" : ", nor a regular file");
	return RT_ERROR;
}

static int create(struct rt_recording *r)
{
	const char *path = r->config.path;
	char old[PATH_MAX];
	long uid = rt_launch_sudo_id("SUDO_UID"), gid = rt_launch_sudo_id("SUDO_GID");
	struct stat st;

	if (!lstat(path, &st)) {
		if (snprintf(old, sizeof(old), "%s.old", path) >= (int)sizeof(old) || rename(path, old)) {
			rt_log_error("ledger %s: what is there cannot be renamed to %s.old: %s; remove one of them", path, path, strerror(errno));
			return RT_ERROR;
		}
		r->renamed = true;
	}
	r->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r->fd < 0) {
		rt_log_error("ledger %s: cannot be written: %s; give a file in a directory that you may write to", path, strerror(errno));
		return RT_ERROR;
	}
	if (!geteuid() && uid >= 0 && gid >= 0 && fchown(r->fd, (uid_t)uid, (gid_t)gid))
		rt_log_notice("ledger %s: it stays root's: %s", path, strerror(errno));
	return RT_OK;
}

/* ---- what is read of the outside ---- */

static size_t build_id(void *ctx, uint32_t pid, const char *path, uint8_t id[64])
{
	int fd = rt_proc_open((pid_t)pid, path);
	struct rt_elf *elf;
	size_t len = 0;
	char why[256];

	(void)ctx;
	if (fd < 0)
		return 0;
	elf = calloc(1, sizeof(*elf));
	if (elf && !rt_elf_open(elf, fd, path, why, sizeof(why)) && elf->build_id_len <= 64) {
		len = elf->build_id_len;
		memcpy(id, elf->build_id, len);
	}
	free(elf);
	close(fd);
	return len;
}

static int same_root(void *ctx, uint32_t pid)
{
	struct stat root, ns, our_root, our_ns;
	char path[64];

	(void)ctx;
	snprintf(path, sizeof(path), "/proc/%u/root", pid);
	if (stat(path, &root))
		return -1;
	snprintf(path, sizeof(path), "/proc/%u/ns/mnt", pid);
	if (stat(path, &ns))
		return -1;
	return !stat("/proc/self/root", &our_root) && !stat("/proc/self/ns/mnt", &our_ns) && root.st_dev == our_root.st_dev && root.st_ino == our_root.st_ino &&
	       ns.st_dev == our_ns.st_dev && ns.st_ino == our_ns.st_ino;
}

/* Another content has another time of change, or is another file. */
static uint64_t file_key(void *ctx, const char *path)
{
	struct stat st;
	uint64_t key;

	(void)ctx;
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	key = rt_hash_mix(rt_hash_mix(st.st_dev, st.st_ino), (uint64_t)st.st_size);
	key = rt_hash_mix(key, (uint64_t)st.st_mtim.tv_sec * 1000000000ull + (uint64_t)st.st_mtim.tv_nsec);
	return rt_hash_mix(key, (uint64_t)st.st_ctim.tv_sec * 1000000000ull + (uint64_t)st.st_ctim.tv_nsec) | 1;
}

/* Our own command line, as words. */
static size_t own_command(char *text, const char **word)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	size_t len = 0, n = 0;
	ssize_t got;

	while (fd >= 0 && len < COMMAND_BYTES && (got = read(fd, text + len, COMMAND_BYTES - len)) > 0)
		len += (size_t)got;
	if (fd >= 0)
		close(fd);
	text[len] = '\0';
	for (size_t at = 0; at < len && n < COMMAND_WORDS; at += strlen(text + at) + 1)
		word[n++] = text + at;
	return n;
}

static void fill_host(struct rt_ledger_facts *facts, struct utsname *u)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF), pages = sysconf(_SC_PHYS_PAGES);

	if (uname(u))
		memset(u, 0, sizeof(*u));
	facts->node = u->nodename;
	facts->machine = u->machine;
	facts->cpus = cpus > 0 ? (uint64_t)cpus : 0;
	facts->memory_bytes = pages > 0 ? (uint64_t)pages * facts->page_size : 0;
}

/* ---- the run ---- */

int rt_recording_open(const struct rt_recording_config *config, struct rt_recording **out)
{
	struct rt_recording *r = calloc(1, sizeof(*r));
	struct rt_recorder_config rc = {.read_source = config->read_source, .build_id = build_id, .same_root = same_root, .file_key = file_key, .own_pid = (uint32_t)getpid(), .ctx = config->ctx};

	if (!r) {
		rt_log_error("out of memory");
		return RT_ERROR;
	}
	r->config = *config;
	r->fd = -1;
	if (create(r)) {
		rt_recording_close(r);
		return RT_ERROR;
	}
	if (getrandom(&rc.seed, sizeof(rc.seed), GRND_NONBLOCK) != sizeof(rc.seed))
		rc.seed = (uint64_t)(uintptr_t)r; /* an address that nobody knows will do */
	rc.fd = r->fd;
	r->recorder = rt_recorder_new(&rc);
	if (!r->recorder) {
		rt_log_error("out of memory");
		rt_recording_close(r);
		return RT_ERROR;
	}
	*out = r;
	return RT_OK;
}

void rt_recording_begin(struct rt_recording *r, const struct rt_ledger_facts *facts, const struct rt_profile *profile, struct rt_account *account)
{
	struct rt_ledger_facts all = *facts;
	const char **word;
	struct utsname u;
	char *text;

	if (!r)
		return;
	text = malloc(COMMAND_BYTES + 1);
	word = calloc(COMMAND_WORDS, sizeof(*word));
	fill_host(&all, &u);
	if (text && word) {
		all.n_command = own_command(text, word);
		all.command = word;
	}
	rt_recorder_begin(r->recorder, &all, profile);
	rt_recorder_follow(r->recorder, account, all.page_size);
	free(word);
	free(text);
}

void rt_recording_start(struct rt_recording *r, const struct rt_json_start *start)
{
	if (r)
		rt_recorder_start(r->recorder, start);
}

int rt_recording_read_source(struct rt_recording *r, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	return rt_recorder_read_source(r->recorder, image, pid, file, text, len);
}

bool rt_recording_due(const struct rt_recording *r, uint64_t now_ns)
{
	return r && rt_recorder_due(r->recorder, now_ns);
}

/* Says the first error. */
static int report(struct rt_recording *r)
{
	int err = rt_recorder_error(r->recorder);

	if (!err || r->reported)
		return err;
	r->reported = true;
	rt_log_error("ledger %s: writing failed after %.2f MiB: %s%s; the run goes on, and what was written until then can be read", r->config.path,
		     (double)rt_recorder_size(r->recorder) / (1 << 20), strerror(-err),
		     err == -ENOSPC || err == -EDQUOT ? ": free some space, or write to another disk" :
		     err == -EFBIG		      ? ": raise the limit of file sizes (ulimit -f)" :
							"");
	return err;
}

void rt_recording_tick(struct rt_recording *r, uint64_t now_ns, const uint64_t counters[RT_COUNTERS])
{
	if (!r)
		return;
	rt_recorder_tick(r->recorder, now_ns, counters);
	report(r);
}

int rt_recording_end(struct rt_recording *r, uint64_t now_ns, const uint64_t counters[RT_COUNTERS], const struct rt_self_cost *cost)
{
	double mib;

	if (!r)
		return RT_OK;
	rt_recorder_end(r->recorder, now_ns, counters, cost);
	if (report(r))
		return RT_ERROR;
	mib = (double)rt_recorder_size(r->recorder) / (1 << 20);
	if (r->config.said)
		rt_log_notice("%s: %.2f MiB; read it with: ramtrack-bpf report %s", r->config.path, mib, r->config.path);
	else
		rt_log_detail("ledger %s: %.2f MiB", r->config.path, mib);
	return RT_OK;
}

/* Nothing was recorded: as if we had not been here. */
static void undo(struct rt_recording *r)
{
	char old[PATH_MAX];
	struct stat ours, there;

	if (r->fd < 0 || fstat(r->fd, &ours) || lstat(r->config.path, &there) || ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return;
	unlink(r->config.path);
	if (r->renamed && snprintf(old, sizeof(old), "%s.old", r->config.path) < (int)sizeof(old) && rename(old, r->config.path))
		rt_log_notice("ledger %s: the one that was there is %s now: %s", r->config.path, old, strerror(errno));
}

void rt_recording_close(struct rt_recording *r)
{
	if (!r)
		return;
	if (!r->recorder || rt_recorder_is_empty(r->recorder))
		undo(r);
	rt_recorder_free(r->recorder);
	if (r->fd >= 0 && close(r->fd))
		rt_log_error("ledger %s: %s", r->config.path, strerror(errno));
	free(r);
}
