/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

long rt_launch_sudo_id(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long id;

	if (!text || !*text)
		return -1;
	errno = 0;
	id = strtol(text, &end, 10);
	return errno || *end || id < 0 || id > 0x7ffffffe ? -1 : id;
}

/* Becomes the user who called sudo, for good. Returns 0 or an errno. */
static int drop_privileges(void)
{
	long uid = rt_launch_sudo_id("SUDO_UID"), gid = rt_launch_sudo_id("SUDO_GID");
	struct passwd *pw;

	if (geteuid() || uid < 0 || gid < 0)
		return 0; /* not by sudo: as whoever we are */
	pw = getpwuid((uid_t)uid);
	if (pw ? initgroups(pw->pw_name, (gid_t)gid) : setgroups(0, NULL))
		return errno;
	if (pw) { /* sudo left root's */
		setenv("HOME", pw->pw_dir, 1);
		setenv("USER", pw->pw_name, 1);
		setenv("LOGNAME", pw->pw_name, 1);
	}
	if (setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) || setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
		return errno;
	return 0;
}

static void child(char **command, int go, int failed)
{
	sigset_t none;
	char byte;
	int err;

	/* Signals as we got them: the session blocks some and ignores SIGPIPE. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (read(go, &byte, 1) != 1)
		_exit(125); /* cancelled */
	err = drop_privileges();
	if (!err) {
		execvp(command[0], command);
		err = errno;
	}
	if (write(failed, &err, sizeof(err)) < 0)
		_exit(125);
	_exit(err == ENOENT ? 127 : 126);
}

/* What says who called sudo must say it: else the command would run as root without a word. */
static int check_ids(const char *command)
{
	static const char *const names[] = {"SUDO_UID", "SUDO_GID"};
	int set = 0;

	for (int i = 0; i < 2; i++) {
		const char *text = getenv(names[i]);

		set += text && *text;
		if (geteuid() || !text || !*text || rt_launch_sudo_id(names[i]) >= 0)
			continue;
		rt_log_error("%s: cannot be started: %s in the environment is no number of a user or group; unset it to start the command as root", command, names[i]);
		return -EINVAL;
	}
	if (set != 1 || geteuid())
		return 0;
	rt_log_error("%s: cannot be started: of SUDO_UID and SUDO_GID only one is in the environment; set both, or unset both to start the command as root", command);
	return -EINVAL;
}

int rt_launch_prepare(char **command, struct rt_launch *out)
{
	int go[2], failed[2], err = check_ids(command[0]);
	pid_t pid;

	if (err)
		return err;
	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		err = errno;
		rt_log_error("%s: cannot be started: pipe: %s", command[0], strerror(err));
		return -err;
	}
	pid = fork();
	if (pid < 0) {
		err = errno;
		rt_log_error("%s: cannot be started: fork: %s", command[0], strerror(err));
		return -err;
	}
	if (!pid) {
		close(go[1]);
		close(failed[0]);
		child(command, go[0], failed[1]);
	}
	close(go[0]);
	close(failed[1]);
	*out = (struct rt_launch){.pid = pid, .go = go[1], .failed = failed[0]};
	return 0;
}

int rt_launch_go(struct rt_launch *l, char **command)
{
	int err = 0;
	ssize_t n;

	if (write(l->go, "", 1) != 1)
		err = errno;
	close(l->go);
	l->go = -1;
	do
		n = read(l->failed, &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	close(l->failed);
	l->failed = -1;
	if (n == 0 && !err)
		return 0; /* closed by the exec */
	waitpid(l->pid, NULL, 0);
	l->pid = 0;
	rt_log_error("%s: cannot be started: %s%s", command[0], strerror(err),
		     err == ENOENT ? ": is it in PATH? Give its full path" :
		     err == EACCES ? ": is it executable by the user who called sudo?" : "");
	return err == ENOENT ? 127 : 126;
}

void rt_launch_cancel(struct rt_launch *l)
{
	if (l->go >= 0)
		close(l->go);
	if (l->failed >= 0)
		close(l->failed);
	if (l->pid > 0)
		waitpid(l->pid, NULL, 0);
	l->pid = 0;
	l->go = l->failed = -1;
}
