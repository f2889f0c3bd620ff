/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "wholefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rt_place {
	char path[PATH_MAX]; /* links resolved */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool as_it_is; /* no regular file */
};

static mode_t rt_default_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* Where the bytes go. A link to nothing is replaced itself. */
static int rt_place_find(const char *path, struct rt_place *place)
{
	char *real;
	struct stat st;

	if (stat(path, &st)) {
		if (errno != ENOENT)
			return -errno;
		if (strlen(path) >= sizeof(place->path))
			return -ENAMETOOLONG;
		strcpy(place->path, path);
		place->mode = rt_default_mode();
		place->uid = geteuid();
		place->gid = getegid();
		place->as_it_is = false;
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	place->mode = st.st_mode & 07777;
	place->uid = st.st_uid;
	place->gid = st.st_gid;
	place->as_it_is = !S_ISREG(st.st_mode);
	real = place->as_it_is ? strdup(path) : realpath(path, NULL);
	if (!real)
		return -errno;
	if (strlen(real) >= sizeof(place->path)) {
		free(real);
		return -ENAMETOOLONG;
	}
	strcpy(place->path, real);
	free(real);
	return 0;
}

static int rt_write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Opens a new file beside the place; *name is its path, the caller frees it. Returns a descriptor or -errno. */
static int rt_beside(const struct rt_place *place, char **name)
{
	int fd, err;

	if (asprintf(name, "%s.XXXXXX", place->path) < 0)
		return -ENOMEM;
	fd = mkostemp(*name, O_CLOEXEC);
	if (fd >= 0)
		return fd;
	err = -errno;
	free(*name);
	return err;
}

int rt_wholefile_check(const char *path)
{
	struct rt_place place;
	char *name;
	int fd, err = rt_place_find(path, &place);

	if (err)
		return err;
	if (place.as_it_is)
		return access(path, W_OK) ? -errno : 0;
	fd = rt_beside(&place, &name);
	if (fd < 0)
		return fd;
	unlink(name);
	free(name);
	close(fd);
	return 0;
}

static int rt_write_as_it_is(const char *path, const void *data, size_t len)
{
	int err, fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	err = rt_write_all(fd, data, len);
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int rt_wholefile_write(const char *path, const void *data, size_t len)
{
	struct rt_place place;
	char *name;
	int fd, err = rt_place_find(path, &place);

	if (err)
		return err;
	if (place.as_it_is)
		return rt_write_as_it_is(path, data, len);
	fd = rt_beside(&place, &name);
	if (fd < 0)
		return fd;
	err = rt_write_all(fd, data, len);
	/* Whoever may not give it away keeps it. The mode comes after: a change of the owner takes bits of it. */
	if (!err && fchown(fd, place.uid, place.gid) && errno != EPERM)
		err = -errno;
	if (!err && (fchmod(fd, place.mode) || fsync(fd)))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(name, place.path))
		err = -errno;
	if (err)
		unlink(name);
	free(name);
	return err;
}
