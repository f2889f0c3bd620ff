/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "sourcedirs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARENTS 4 /* around the folder of a file that runs: a package's modules lie that deep */

static void add(struct rt_sourcedirs *dirs, const char *dir, size_t len)
{
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (!len || dir[0] != '/' || len >= PATH_MAX || dirs->n == RT_SOURCEDIRS_MAX)
		return;
	for (size_t i = 0; i < dirs->n; i++)
		if (strlen(dirs->dir[i]) == len && !memcmp(dirs->dir[i], dir, len))
			return;
	dirs->dir[dirs->n] = strndup(dir, len);
	if (dirs->dir[dirs->n])
		dirs->n++;
}

void rt_sourcedirs_add(struct rt_sourcedirs *dirs, const char *dir)
{
	add(dirs, dir, strlen(dir));
}

void rt_sourcedirs_add_list(struct rt_sourcedirs *dirs, const char *list)
{
	while (*list) {
		size_t n = strcspn(list, ":");

		add(dirs, list, n);
		list += n + (list[n] == ':');
	}
}

void rt_sourcedirs_add_file(struct rt_sourcedirs *dirs, const char *file)
{
	const char *end = strrchr(file, '/');

	for (int i = 0; end && end > file && i <= PARENTS; i++) {
		add(dirs, file, (size_t)(end - file));
		while (end > file && *--end != '/')
			;
	}
}

/* A site folder, and the one around it: a profile may name a file from either. */
static void add_site(struct rt_sourcedirs *dirs, const char *base, size_t len, const char *site)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%.*s/%s", (int)len, base, site);

	if (n > 0 && (size_t)n < sizeof(path))
		add(dirs, path, (size_t)n);
	add(dirs, base, len);
}

static void add_sites(struct rt_sourcedirs *dirs, const char *lib, size_t len)
{
	add_site(dirs, lib, len, "site-packages");
	add_site(dirs, lib, len, "dist-packages");
}

void rt_sourcedirs_add_installed(struct rt_sourcedirs *dirs, const char *file)
{
	static const char *const sites[] = {"/site-packages/", "/dist-packages/"};
	const char *lib = strstr(file, "/python3"), *end;

	if (strlen(file) >= PATH_MAX)
		return;
	for (size_t i = 0; i < 2; i++) {
		const char *at = strstr(file, sites[i]);

		if (!at)
			continue;
		add(dirs, file, (size_t)(at - file) + strlen(sites[i]));
		add(dirs, file, (size_t)(at - file));
		return;
	}
	for (; lib; lib = strstr(lib + 1, "/python3")) {
		end = strchr(lib + 1, '/');
		if (end && lib - file >= 4 && !strncmp(lib - 4, "/lib", 4))
			add_sites(dirs, file, (size_t)(end - file));
	}
}

void rt_sourcedirs_add_program(struct rt_sourcedirs *dirs, const char *program, const char *version)
{
	const char *end = strrchr(program, '/'), *dot = strchr(version, '.');
	int minor = dot ? (int)strspn(dot + 1, "0123456789") : 0;
	char lib[PATH_MAX];
	size_t n;

	while (end && end > program && *--end != '/')
		;
	if (program[0] != '/' || !end || !minor || end - program >= PATH_MAX / 2)
		return;
	n = (size_t)snprintf(lib, sizeof(lib), "%.*s/lib/python%.*s", (int)(end - program), program, (int)(dot - version) + 1 + minor, version);
	if (n < sizeof(lib))
		add_sites(dirs, lib, n);
	n = (size_t)snprintf(lib, sizeof(lib), "%.*s/local/lib/python%.*s", (int)(end - program), program, (int)(dot - version) + 1 + minor,
			     version);
	if (n < sizeof(lib))
		add_site(dirs, lib, n, "dist-packages"); /* Debian's */
	n = (size_t)snprintf(lib, sizeof(lib), "%.*s/lib/python3", (int)(end - program), program);
	if (n < sizeof(lib))
		add_site(dirs, lib, n, "dist-packages");
}

void rt_sourcedirs_free(struct rt_sourcedirs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++)
		free(dirs->dir[i]);
	dirs->n = 0;
}
